/* A baked-in batch of 1 becomes symbolic in real files, and a node that stands in the way is named. */
#include "unit/lib/models.h"
#include "graph/probe.h"
#include "rewrite/batch.h"
#include "rewrite/patch.h"

static int says_no(void *ctx, const struct onx_graph *g, struct onx_err *e)
{
	(void)g;
	*(int *)ctx += 1;
	return onx_fail(e, ONX_NUMERIC, "they differ");
}

static void files(void **state)
{
	static const struct { const char *file; bool baked; } all[] = {
		{ "squeezenet1.1-7-fp16.onnx", true }, { "mnist-7-cntk.onnx", true },
		{ "ultraface_RFB_320.onnx", true }, { "cifar10-pytorch.onnx", false },
		{ "mobilenet_v1_0.25_224.onnx", false } };
	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct onx_model *m = shared_model(all[i].file), *old = m ? shared_model(all[i].file) : NULL;
		struct onx_err e = { 0 };
		bool changed;
		size_t same, differ;
		if (!m)
			continue;
		struct onx_graph *g = built(m);
		must(onx_batch_free(g, NULL, NULL, &changed, NULL, &e), &e);
		assert_int_equal(changed, all[i].baked);
		must(onx_graph_export(g, &e), &e);
		struct onx_model *n = round_trip(m);
		struct onx_graph *h = built(n);
		for (uint32_t k = 0; k < h->n_output; k++)
			assert_int_equal(h->value[h->output[k]].dim[0], -1);
		struct onx_arena a = { 0 };
		struct onx_probe *p;
		must(onx_probe(h, 0, false, false, &a, &p, &e), &e);
		compare_inits(old, n, &same, &differ);
		assert_int_equal(differ, 0);
		onx_arena_release(&a);
		onx_graph_free(h);
		onx_graph_free(g);
		onx_model_free(n);
		onx_model_free(old);
		onx_model_free(m);
	}
}

/* x [1,4] -> `type` -> y */
static struct onx_graph *one_node(struct onx_model **m, const char *type, const struct onx_file_attr *attr,
				  size_t n_attr, uint32_t n_in, const int64_t *shape, int64_t n_shape)
{
	struct onx_arena mem = { 0 };
	struct onx_err e = { 0 };
	struct onx_graph *g;
	struct onx_patch p = { .mem = &mem, .rule = "test" };
	must(onx_model_new("g", 11, m, &e), &e);
	must(onx_graph_build(*m, 0, &g, &e), &e);
	uint32_t in[2] = { onx_patch_input(&p, "x", ONX_FLOAT, 2, (int64_t[]){ 1, 4 }), ONX_NONE };
	if (n_in > 1)
		in[1] = onx_patch_value(&p, "shape", ONX_INT64, 1, &n_shape, shape);
	const uint32_t y = onx_patch_op(&p, type, "y", ONX_FLOAT, in, n_in, attr, n_attr);
	must(onx_patch_apply(g, &p, NULL, &e), &e);
	g->output = ONX_NEWS(&g->arena, uint32_t, 1);
	g->output[g->n_output++] = onx_patch_id(&p, y);
	g->value[g->output[0]].output = true;
	onx_arena_release(&mem);
	return g;
}

static void blocked(void **state)
{
	struct onx_model *m;
	struct onx_err e = { 0 };
	bool changed;
	int asked = 0;
	(void)state;
	/* The batch is summed away. */
	const struct onx_file_attr axes = onx_attr_ints("axes", (int64_t[]){ 0 }, 1);
	struct onx_graph *g = one_node(&m, "ReduceSum", &axes, 1, 1, NULL, 0);
	must_fail(onx_batch_free(g, NULL, NULL, &changed, NULL, &e), ONX_SHAPE, &e, "ReduceSum 'y'");
	onx_graph_free(g);
	onx_model_free(m);
	/* Shapes that take any batch, and numbers that do not. */
	g = one_node(&m, "Reshape", NULL, 0, 2, (int64_t[]){ 1, 2, 2 }, 3);
	must_fail(onx_batch_free(g, says_no, &asked, &changed, NULL, &e), ONX_NUMERIC, &e, "together and alone");
	assert_int_equal(asked, 1);
	onx_graph_free(g);
	onx_model_free(m);
	/* A shape that says 4 where the batch is hidden. */
	g = one_node(&m, "Reshape", NULL, 0, 2, (int64_t[]){ 4 }, 1);
	must_fail(onx_batch_free(g, NULL, NULL, &changed, NULL, &e), ONX_SHAPE, &e, "Reshape 'y'");
	onx_graph_free(g);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(files), cmocka_unit_test(blocked) };
	return RUN(tests);
}
