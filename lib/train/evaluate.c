/* train/evaluate.c -- forward only: scores of a model on data; and the speed of training on none. */
#include <math.h>
#include <string.h>
#include "train/loop_i.h"

struct eval {
	const struct onx_eval_ask *ask;
	struct onx_arena arena;
	struct onx_consts consts;
	struct onx_block_mem block;
	struct onx_runner run;
	struct onx_open open;
	const void **number;            /* by feed */
	uint32_t target[2];
};

static int setup(struct eval *v, struct onx_err *e)
{
	const struct onx_eval_ask *ask = v->ask;
	const struct onx_objective *obj = &ask->obj;
	struct onx_feed *feed = ONX_NEWS(&v->arena, struct onx_feed, obj->n_input + 2);
	v->number = ONX_NEWS(&v->arena, const void *, obj->n_input + 2);
	if (!feed || !v->number)
		return onx_nomem(e, sizeof *feed, "the inputs");
	for (uint32_t i = 0; i < obj->n_input; i++) {
		feed[i] = (struct onx_feed){ .value = obj->input[i] };
		int rc = onx_loader_shape(ask->loader, i, 1, &feed[i].shape, e);
		if (rc < 0)
			return rc;
	}
	feed[obj->n_input] = onx_target_feed(obj, ask->g, ask->src, false);
	v->target[0] = obj->loss;
	v->target[1] = obj->logits;
	v->run = (struct onx_runner){
		.g = ask->g, .consts = &v->consts, .block = &v->block, .pool = ask->pool, .feed = feed,
		.n_feed = obj->n_input + 1, .target = v->target, .n_target = 2, .loss = ONX_NONE,
		.precise = ask->precise };
	const struct onx_facts_want w = { .feed = feed, .n_feed = obj->n_input, .target = &obj->logits, .n_target = 1 };
	if (onx_one_sample(ask->g))
		onx_loader_rebatch(ask->loader, 1);
	int rc = onx_open_find(ask->g, &v->consts, &w, &v->arena, &v->open, e);
	v->run.open = rc == ONX_OK && v->open.any ? &v->open : NULL;
	return rc;
}

/* How many labels count: what the mean of the batch is divided by. */
static double counted(const struct onx_view *y, int64_t ignore)
{
	double n = 0;
	if (onx_dtype_class(y->type) != ONX_CLASS_INT)
		return y->rank ? (double)y->dim[0] : 1;
	for (size_t i = 0; i < y->n; i++)
		n += onx_view_int(y, i) != ignore;
	return n;
}

static int batch(struct eval *v, const struct onx_batch *b, struct onx_score *score, struct onx_err *e)
{
	const struct onx_objective *obj = &v->ask->obj;
	struct onx_exec *x;
	for (size_t i = 0; i < b->n_input && i < obj->n_input; i++)
		v->number[i] = b->input[i].v;
	int rc = onx_runner_feed(&v->run, (int64_t)b->n, v->number, 0, 0, &x, e);
	if (rc < 0)
		return rc;
	onx_feed_target(x, obj->target, &b->y);
	onx_exec_forward(x, 0, 0);
	onx_score_add(score, onx_exec_view(x, obj->logits), &b->y,
		      onx_view_real(onx_exec_view(x, obj->loss), 0), counted(&b->y, v->ask->ignore_index),
		      v->ask->ignore_index);
	return ONX_OK;
}

static int all(struct eval *v, struct onx_score *score, struct onx_err *e)
{
	const struct onx_eval_ask *ask = v->ask;
	const double since = onx_clock();
	int rc = onx_loader_start(ask->loader, ask->list.v, ask->list.n, 0, e);
	for (size_t done = 0; rc == ONX_OK; ) {
		const struct onx_batch *b;
		rc = onx_loader_next(ask->loader, &b, e);
		if (rc < 0 || !b || (ask->stop && *ask->stop))
			break;
		rc = batch(v, b, score, e);
		done += b->n;
		if (ask->progress) {
			const double s = onx_clock() - since;
			const struct onx_progress p = {
				.phase = "evaluation", .sample = done, .samples = ask->list.n,
				.loss = onx_score_loss(score), .accuracy = onx_score_accuracy(score),
				.samples_per_s = (double)done / (s + 1e-9),
				.seconds_left = s * (double)(ask->list.n - done) / (double)done };
			ask->progress(ask->progress_ctx, &p);
		}
	}
	onx_loader_stop(ask->loader);
	return rc;
}

int onx_evaluate(const struct onx_eval_ask *ask, struct onx_score *score, struct onx_err *e)
{
	struct eval v = { .ask = ask };
	onx_consts_init(&v.consts, ask->g);
	int rc = setup(&v, e);
	if (rc == ONX_OK)
		rc = all(&v, score, e);
	onx_runner_release(&v.run);
	onx_block_release(&v.block);
	onx_consts_release(&v.consts);
	onx_arena_release(&v.arena);
	return rc;
}
