/* Every allocation of a training step fails once, from reading the file to writing it again: each time the
 * answer is the fault ONX_NOMEM, and nothing leaks (make san counts that) or is left half done. */
#include "unit/unit.h"
#include "base/pool.h"
#include "model/mark.h"
#include "rewrite/freeze.h"
#include "rewrite/head.h"
#include "rewrite/loss.h"
#include "train/loop.h"

enum { BATCH = 4, STEPS = 1, MOST = 200000 };   /* MOST: allocations; a loop that does not end is a failure */

/* A network of every kind of layer that keeps something for backward, as the bytes of a file. */
static int network(struct onx_buf *file, struct onx_err *e)
{
	const struct onx_head_opts o = {
		.input = "x:float:Nx3x8x8", .seed = 3,
		.layers = "conv:8:3 bn relu res( conv:8:3 bn ) dwconv:3 maxpool:2 gap dropout:0.2 gemm:5 softmax" };
	const struct onx_freeze_opts f = { .none = true };
	struct onx_model *m = NULL;
	struct onx_graph *g = NULL;
	int rc = onx_model_new("net", 17, &m, e);

	if (rc == ONX_OK)
		rc = onx_graph_build(m, 0, &g, e);
	if (rc == ONX_OK)
		rc = onx_head(g, &o, NULL, e);
	if (rc == ONX_OK)
		rc = onx_freeze(g, &f, NULL, e);
	if (rc == ONX_OK)
		rc = onx_graph_export(g, e);
	if (rc == ONX_OK)
		rc = onx_model_bytes(m, file, e);
	onx_graph_free(g);
	onx_model_free(m);
	return rc;
}

static int objective(struct onx_graph *g, struct onx_arena *a, struct onx_train_ask *ask, struct onx_err *e)
{
	const struct onx_loss_opts lo = { .type = "CrossEntropy", .ignore_index = -100 };
	struct onx_loss made;
	uint32_t logits, behind;
	bool *trains, *said = ONX_NEW(a, bool);
	int rc = said ? onx_loss_logits(g, &logits, &behind, e) : onx_nomem(e, 1, "a flag");

	if (rc == ONX_OK)
		rc = onx_loss_append(g, logits, &lo, &made, NULL, e);
	if (rc == ONX_OK)
		rc = onx_trainable(g, a, &trains, said, e);
	if (rc < 0)
		return rc;
	ask->g = g;
	ask->weight = trains;
	ask->obj = (struct onx_objective){ .loss = made.loss, .target = made.target, .logits = made.logits,
					   .input = g->input, .n_input = 1, .n_class = (uint32_t)made.classes };
	return ONX_OK;
}

static int options(struct onx_train_opts **o, struct onx_arena *a, struct onx_err *e)
{
	*o = ONX_NEW(a, struct onx_train_opts);
	return *o ? onx_defaults(&onx_train_table, *o, a, e) : onx_nomem(e, sizeof **o, "the options");
}

/* Plan, memory, one step; then weights go back into the model. */
static int train(struct onx_graph *g, struct onx_pool *pool, struct onx_arena *a, struct onx_err *e)
{
	struct onx_train_ask ask = { .pool = pool };
	struct onx_train_opts *o;
	struct onx_params *p = NULL;
	struct onx_feed *feed;
	double seconds[STEPS];
	struct onx_bench b = { .steps = STEPS, .seconds = seconds };
	uint32_t n;
	int rc = options(&o, a, e);

	ask.o = o;
	if (rc == ONX_OK)
		rc = onx_bind_inputs(g, BATCH, 0, true, a, &feed, &n, e);
	if (rc == ONX_OK)
		rc = objective(g, a, &ask, e);
	if (rc == ONX_OK)
		rc = onx_train_bench(&ask, feed, n, &b, e);
	if (rc == ONX_OK)
		rc = onx_params_new(g, ask.weight, false, &p, e);
	if (rc == ONX_OK)
		rc = onx_params_store(p, e);
	onx_params_free(p);
	return rc;
}

static int whole(const struct onx_buf *file, struct onx_buf *out, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *g = NULL;
	struct onx_pool *pool = NULL;
	int rc = onx_pool_new(2, &pool, e);

	if (rc == ONX_OK)
		rc = onx_model_parse(file->data, file->len, NULL, &m, e);
	if (rc == ONX_OK)
		rc = onx_graph_build(m, 0, &g, e);
	if (rc == ONX_OK)
		rc = train(g, pool, &a, e);
	if (rc == ONX_OK)
		rc = onx_mark_history(m, "a step", e);
	if (rc == ONX_OK)
		rc = onx_graph_export(g, e);
	if (rc == ONX_OK)
		rc = onx_model_bytes(m, out, e);
	onx_graph_free(g);
	onx_model_free(m);
	onx_pool_free(pool);
	onx_arena_release(&a);
	return rc;
}

typedef int job(const struct onx_buf *in, struct onx_buf *out, struct onx_err *e);

/* Did the job use up all n - 1 allocations before the one that was to fail, so that the next one is it? */
static bool next_one_fails(void)
{
	void *p = onx_heap(1, 1);

	onx_heap_free(p);
	return p == NULL;
}

/* Returns how many allocations were made to fail before the job succeeded. */
static long fail_each(job *run, const struct onx_buf *in, struct onx_buf *out)
{
	for (long n = 1; n < MOST; n++) {
		struct onx_err e = { 0 };
		onx_alloc_fail_at(n);
		int rc = run(in, out, &e);
		if (rc == ONX_OK && !next_one_fails())
			fail_msg("allocation %ld failed and nobody took notice", n);
		onx_alloc_fail_at(0);
		if (rc == ONX_OK)
			return n - 1;
		if (rc != ONX_NOMEM || !e.text[0])
			fail_msg("allocation %ld: fault %d '%s', wanted %d", n, rc, e.text, ONX_NOMEM);
		onx_buf_release(out);
	}
	fail_msg("more than %d allocations", MOST);
	return 0;
}

static void no_memory_for_training(void **state)
{
	struct onx_buf file = { 0 }, plain = { 0 }, after = { 0 };
	struct onx_err e = { 0 };

	(void)state;
	must(network(&file, &e), &e);
	must(whole(&file, &plain, &e), &e);
	assert_true(fail_each(whole, &file, &after) > 100);
	/* all those failures left nothing behind that changes the result */
	assert_int_equal(after.len, plain.len);
	assert_memory_equal(after.data, plain.data, plain.len);
	onx_buf_release(&file);
	onx_buf_release(&plain);
	onx_buf_release(&after);
}

static int make(const struct onx_buf *in, struct onx_buf *out, struct onx_err *e)
{
	(void)in;
	return network(out, e);
}

static void no_memory_for_a_new_network(void **state)
{
	struct onx_buf file = { 0 };

	(void)state;
	assert_true(fail_each(make, NULL, &file) > 100);
	onx_buf_release(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_for_a_new_network),
		cmocka_unit_test(no_memory_for_training),
	};
	return RUN(tests);
}
