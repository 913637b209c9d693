/* train/runner.c */
#include "train/runner.h"
#include <string.h>

static int make(struct onx_runner *r, int64_t n, struct onx_plan **plan, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_feed *feed = ONX_NEWS(&a, struct onx_feed, r->n_feed + 1);
	size_t least = 0;
	if (!feed)
		return onx_nomem(e, r->n_feed * sizeof *feed, "the plan");
	if (r->n_feed)
		memcpy(feed, r->feed, r->n_feed * sizeof *feed);
	for (uint32_t i = 0; i < r->n_feed; i++)
		if (feed[i].shape.rank && (!r->samples || feed[i].shape.dim[0] == r->samples))
			feed[i].shape.dim[0] = n;
	const struct onx_plan_want w = {
		.facts = { .feed = feed, .n_feed = r->n_feed, .target = r->target, .n_target = r->n_target,
			   .variable = r->variable, .train = r->train, .wide = r->wide, .pool = r->pool },
		.loss = r->loss, .weight = r->weight, .threads = onx_pool_threads(r->pool),
		.budget = r->budget, .precise = r->precise, .least = &least };
	int rc = onx_plan_make(r->g, r->consts, &w, plan, e);
	onx_arena_release(&a);
	r->least = least > r->least ? least : r->least;
	return rc;
}

int onx_runner_get(struct onx_runner *r, int64_t n, struct onx_exec **x, const struct onx_plan **plan,
		   struct onx_err *e)
{
	int k = 0;
	for (int i = 0; i < ONX_RUNNER_SIZES; i++) {
		if (r->slot[i].exec && r->slot[i].n == n) {
			k = i;
			goto found;
		}
		if (r->slot[i].used < r->slot[k].used)
			k = i;
	}
	onx_exec_free(r->slot[k].exec);
	onx_plan_free(r->slot[k].plan);
	memset(&r->slot[k], 0, sizeof r->slot[k]);
	int rc = make(r, n, &r->slot[k].plan, e);
	if (rc == ONX_OK)
		rc = onx_exec_new(r->slot[k].plan, r->params, r->block, r->pool, &r->slot[k].exec, e);
	if (rc < 0)
		return rc;
	r->slot[k].n = n;
	if (r->slot[k].plan->bytes > r->bytes)
		r->bytes = r->slot[k].plan->bytes;
found:
	r->slot[k].used = ++r->clock;
	*x = r->slot[k].exec;
	if (plan)
		*plan = r->slot[k].plan;
	return ONX_OK;
}

void onx_runner_release(struct onx_runner *r)
{
	for (int i = 0; i < ONX_RUNNER_SIZES; i++) {
		onx_exec_free(r->slot[i].exec);
		onx_plan_free(r->slot[i].plan);
	}
	memset(r->slot, 0, sizeof r->slot);
}
