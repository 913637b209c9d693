/* tools/info_rows.c -- the pre-flight: does what the loss works on have a row for each sample? */
#include <stdio.h>
#include "graph/decide.h"
#include "info.h"
#include "train/runner.h"

static bool open_batch(const struct onx_graph *g)
{
	bool any = false;

	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];
		any |= v->has_shape && v->rank > 0 && v->dim[0] < 0;
	}
	return any;
}

/* Shapes that depend on the numbers: those of made-up ones, as training takes them for its first plan.  -1: not known,
 * here what stands in the way of a plan is no matter of rows. */
static int64_t rows_made_up(const struct onx_info *f, uint32_t target, int64_t n, struct onx_err *e)
{
	struct onx_block_mem block = { 0 };
	struct onx_feed *feed = NULL;
	struct onx_open open;
	struct onx_exec *x;
	struct onx_consts consts;
	const struct onx_plan *p = NULL;
	uint32_t n_feed = 0;
	int64_t rows = -1;
	int rc = onx_bind_inputs(f->g, n, f->o->size, true, &f->w->mem, &feed, &n_feed, e);

	for (uint32_t i = 0; rc == ONX_OK && i < n_feed; i++)
		if (feed[i].shape.rank)
			feed[i].shape.dim[0] = n;
	const struct onx_facts_want want = { .feed = feed, .n_feed = n_feed, .target = &target, .n_target = 1 };
	onx_consts_init(&consts, f->g);
	if (rc == ONX_OK)
		rc = onx_open_find(f->g, &consts, &want, &f->w->mem, &open, e);
	struct onx_runner r = { .g = f->g, .consts = &consts, .block = &block, .feed = feed, .n_feed = n_feed,
				.target = &target, .n_target = 1, .loss = ONX_NONE, .open = &open };
	if (rc == ONX_OK && open.asks)
		rc = onx_runner_get(&r, n, &x, &p, e);
	if (rc == ONX_OK && p && p->facts->fact[target].shape.rank)
		rows = p->facts->fact[target].shape.dim[0];
	onx_runner_release(&r);
	onx_block_release(&block);
	onx_consts_release(&consts);
	return rows;
}

/* Two numbers of samples, for one could be right by chance. */
bool onx_info_rows(const struct onx_info *f, uint32_t target, char *why, size_t room)
{
	struct onx_err no = { 0 };

	if (onx_one_sample(f->g))
		return true;
	if (f->plan) {
		const struct onx_probe *p = f->probe ? &f->probe[target] : NULL;

		if (!p || !p->known || p->rank == 0 || p->dim[0].times || !open_batch(f->g))
			return true;
		snprintf(why, room, "it has %lld row%s, however many samples go in", (long long)p->dim[0].plus,
			 p->dim[0].plus == 1 ? "" : "s");
		return false;
	}
	for (int64_t n = 2; n <= 3 && onx_info_asks(f); n++) {
		const int64_t rows = rows_made_up(f, target, n, &no);

		if (rows >= 0 && rows != n) {
			snprintf(why, room, "it has %lld row%s for %lld samples of made-up numbers", (long long)rows,
				 rows == 1 ? "" : "s", (long long)n);
			return false;
		}
	}
	return true;
}
