/* train/bench.c -- how fast training is, on numbers that mean nothing. */
#include <string.h>
#include "base/rng.h"
#include "train/loop_i.h"

struct bench {
	struct onx_arena arena;
	struct onx_modes modes;
	struct onx_consts consts;
	struct onx_block_mem block;
	struct onx_params *params;
	struct onx_optim optim;
	struct onx_runner runner;
	struct onx_open open;
	const struct onx_plan *plan;
	struct onx_exec *exec;
	size_t batch, micro;            /* samples of a step, and computed at once */
	struct onx_feed *feed; uint32_t n_feed;
	uint32_t target[1];
	void **number;                  /* by feed: what it is fed with before each step; NULL: nobody reads it */
};

/* Made-up numbers for one feed, in the memory form that the plan wants. */
static int fill(struct bench *b, uint32_t k, int64_t n_class, struct onx_err *e)
{
	size_t room;
	const uint32_t value = b->feed[k].value;
	struct onx_rng r;
	if (!onx_exec_feed_at(b->exec, value, &room))
		return ONX_OK;
	struct onx_view v = *onx_exec_view(b->exec, value);
	v.v = b->number[k] = onx_alloc(&b->arena, v.n + 1, v.width);
	if (!v.v)
		return onx_nomem(e, (double)v.n * v.width, "an input");
	onx_rng_init(&r, 1, ONX_RNG_TEST, value, 0);
	for (size_t i = 0; i < v.n; i++)
		if (onx_dtype_real(v.type))
			onx_view_put_real(&v, i, onx_rng_range(&r, -1, 1));
		else
			onx_view_put_int(&v, i, (int64_t)i % (n_class > 0 ? n_class : 2));
	return ONX_OK;
}

static int setup(struct bench *b, const struct onx_train_ask *ask, const struct onx_feed *feed, uint32_t n,
		 struct onx_err *e)
{
	int rc = onx_plan_modes(ask->g, ask->weight, ask->o->bn, &b->arena, &b->modes, e);
	if (rc == ONX_OK)
		rc = onx_params_new(ask->g, b->modes.variable, ask->wide, &b->params, e);
	if (rc == ONX_OK)
		rc = onx_optim_init(&b->optim, ask->o, b->params, ask->weight, e);
	if (rc < 0)
		return rc;
	onx_params_keep_alone(b->params);
	struct onx_feed *all = b->feed = ONX_NEWS(&b->arena, struct onx_feed, n + 2);
	b->number = ONX_NEWS(&b->arena, void *, n + 2);
	if (!all || !b->number)
		return onx_nomem(e, sizeof *all, "the inputs");
	b->n_feed = n + 1;
	memcpy(all, feed, n * sizeof *all);
	all[n] = onx_target_feed(&ask->obj, ask->g, NULL, ask->wide);
	all[n].shape.dim[0] = n && feed[0].shape.rank ? feed[0].shape.dim[0] : 1;
	b->batch = (size_t)all[n].shape.dim[0];
	if (b->batch == 0)
		return onx_fail(e, ONX_SHAPE, "input '%s' takes no samples: its first size is 0",
				ask->g->value[feed[0].value].name);
	b->target[0] = ask->obj.loss;
	b->runner = (struct onx_runner){
		.g = ask->g, .consts = &b->consts, .params = b->params, .block = &b->block, .pool = ask->pool,
		.feed = all, .n_feed = n + 1, .target = b->target, .n_target = 1, .loss = ask->obj.loss,
		.weight = ask->weight, .train = b->modes.train, .variable = b->modes.variable, .wide = ask->wide,
		.samples = (int64_t)b->batch, .precise = ask->o->precise };
	const struct onx_facts_want w = { .feed = all, .n_feed = n + 1, .target = b->target, .n_target = 1,
					  .variable = b->modes.variable, .train = b->modes.train, .wide = ask->wide };
	if ((rc = onx_open_find(ask->g, &b->consts, &w, &b->arena, &b->open, e)) < 0)
		return rc;
	b->runner.open = b->open.any ? &b->open : NULL;
	if (b->open.asks)
		onx_say(&ask->note, ONX_INFO, "shapes depend on the numbers: what is measured are those of made-up "
			"ones");
	else if (b->open.n)
		onx_say(&ask->note, ONX_INFO, "control flow depends on the numbers: what is measured takes the first "
			"body of each If, and one turn of each Loop");
	return ONX_OK;
}

static size_t fixed(const struct bench *b, const struct onx_train_ask *ask)
{
	return b->params->n * (ask->wide ? 8 : 4) * (2 + b->optim.n_state);
}

/* The batch, or as much of it as the budget lets through at once. */
static int settle(struct bench *b, const struct onx_train_ask *ask, struct onx_err *e)
{
	const struct onx_micro m = { .mem = (size_t)ask->o->mem, .fixed = fixed(b, ask), .n = 1,
				     .part = { { &b->runner, 0 } } };
	uint32_t bn = 0;
	int rc = onx_micro_fit(&m, b->batch, &b->micro, e);
	if (rc == ONX_OK)
		rc = onx_runner_get(&b->runner, (int64_t)b->micro, &b->exec, &b->plan, e);
	for (uint32_t i = 0; i < ask->g->n_node; i++)
		bn += b->modes.train[i] && ask->g->node[i].op->stat;
	if (rc == ONX_OK)
		onx_micro_say(&m, b->plan, b->micro, b->batch, bn, &ask->note);
	for (uint32_t i = 0; rc == ONX_OK && i < b->n_feed; i++)
		rc = fill(b, i, ask->obj.n_class, e);
	return rc;
}

static void one_step(struct bench *b, const struct onx_train_ask *ask, uint64_t step)
{
	for (size_t done = 0; done < b->batch; done += b->micro) {
		for (uint32_t k = 0; k < b->n_feed; k++)
			if (b->number[k])
				onx_exec_lend(b->exec, b->feed[k].value, b->number[k]);
		onx_exec_forward(b->exec, 1, (step << 32) + done);
		onx_exec_backward(b->exec, done > 0, (double)b->micro / (double)b->batch);
	}
	onx_optim_step(&b->optim, 1e-6, ask->pool);
}

static int run(struct bench *b, const struct onx_train_ask *ask, struct onx_bench *bench, struct onx_err *e)
{
	double *sum = ONX_NEWS(&b->arena, double, (size_t)b->plan->n_step + 1);
	int rc = sum ? ONX_OK : onx_nomem(e, 8.0 * b->plan->n_step, "the profile");
	if (rc == ONX_OK && bench->profile)
		rc = onx_exec_profile(b->exec, e);
	for (int i = -1; rc == ONX_OK && i < bench->steps; i++) {
		const double since = onx_clock();
		one_step(b, ask, (uint64_t)(i + 1));
		if (i < 0)
			continue;
		bench->seconds[i] = onx_clock() - since;
		const double *t = onx_exec_times(b->exec);
		for (uint32_t k = 0; bench->profile && k < b->plan->n_step; k++)
			sum[k] += t[k];
	}
	if (rc == ONX_OK && bench->profile)
		rc = bench->profile(bench->ctx, b->plan, sum, e);
	return rc;
}

int onx_train_bench(const struct onx_train_ask *ask, const struct onx_feed *feed, uint32_t n_feed,
		    struct onx_bench *bench, struct onx_err *e)
{
	struct bench b = { 0 };
	onx_consts_init(&b.consts, ask->g);
	int rc = setup(&b, ask, feed, n_feed, e);
	if (rc == ONX_OK)
		rc = settle(&b, ask, e);
	if (rc == ONX_OK)
		rc = run(&b, ask, bench, e);
	if (rc == ONX_OK) {
		bench->peak_bytes = b.block.bytes + fixed(&b, ask);
		bench->micro = b.micro;
		bench->again = b.plan->again;
	}
	onx_runner_release(&b.runner);
	onx_optim_release(&b.optim);
	onx_params_free(b.params);
	onx_block_release(&b.block);
	onx_consts_release(&b.consts);
	onx_arena_release(&b.arena);
	return rc;
}
