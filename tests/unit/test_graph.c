/* Graphs: built, ordered, checked, written back. */
#include "unit/lib/models.h"
#include "rewrite/patch.h"

static const char *const files[] = { "squeezenet1.1-7-fp16.onnx", "mobilenet_v1_0.25_224.onnx", "mnist-7-cntk.onnx",
	"cifar10-pytorch.onnx", "iris-pytorch.onnx", "ppocr-cls-paddle2onnx.onnx", "ultraface_RFB_320.onnx" };

/* Built, nothing changed, written back: the same bytes. */
static void untouched(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct onx_model *m = shared_model(files[i]);
		struct onx_buf a = { 0 }, b = { 0 };
		struct onx_err e = { 0 };
		if (!m)
			continue;
		must(onx_model_bytes(m, &a, &e), &e);
		struct onx_graph *g = built(m);
		must(onx_graph_export(g, &e), &e);
		must(onx_model_bytes(m, &b, &e), &e);
		assert_int_equal(a.len, b.len);
		assert_memory_equal(a.data, b.data, a.len);
		assert_int_equal(g->n_order, onx_model_graph(m)->n_node);
		onx_buf_release(&a);
		onx_buf_release(&b);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

/* x -> Relu 'a' -> Relu 'b' -> y, as a file. */
static struct onx_file_node relu(const char *name, const char *const *in, const char *const *out)
{
	return (struct onx_file_node){ .name = name, .type = "Relu", .domain = "", .doc = "", .n_in = 1, .n_out = 1,
				       .in = in, .out = out };
}
static const char *const X[] = { "x" }, *const T[] = { "t" }, *const Y[] = { "y" };

static int build_pair(struct onx_file_node a, struct onx_file_node b, int64_t opset, int flags,
		      struct onx_graph **g, struct onx_model **m, struct onx_err *e)
{
	static const struct onx_file_dim dim[] = { { -1, "N" }, { 4, NULL } };
	const struct onx_file_value in = { .name = "x", .type = ONX_FLOAT, .kind = "tensor", .has_shape = true,
					   .rank = 2, .dim = dim };
	struct onx_file_value out = in;
	const struct onx_file_node n[] = { a, b };
	out.name = "y";
	const struct onx_file_graph f = { .name = "g", .n_node = 2, .n_input = 1, .n_output = 1, .node = n,
					  .input = &in, .output = &out };
	must(onx_model_new("g", opset, m, e), e);
	must(onx_model_set_graph(*m, &f, e), e);
	return onx_graph_build(*m, flags, g, e);
}

static void orders(void **state)
{
	struct onx_model *m;
	struct onx_graph *g;
	struct onx_err e = { 0 };
	(void)state;
	/* The file has them the wrong way round. */
	must(build_pair(relu("b", T, Y), relu("a", X, T), 13, 0, &g, &m, &e), &e);
	assert_string_equal(g->node[g->order[0]].name, "a");
	assert_string_equal(g->node[g->order[1]].name, "b");
	struct onx_arena mem = { 0 };
	struct onx_uses u;
	must(onx_graph_uses(g, &mem, &u, &e), &e);
	const uint32_t t = onx_graph_find(g, "t");
	assert_int_equal(u.first[t + 1] - u.first[t], 1);
	assert_int_equal(u.use[u.first[t]], onx_graph_find_node(g, "b"));
	struct onx_buf d = { 0 };
	onx_graph_dump(g, &d);
	assert_string_equal(d.data, "input x float [N,4]\nnode Relu 'a': x -> t\nnode Relu 'b': t -> y\n"
			    "output y float [N,4]\n");
	onx_buf_release(&d);
	onx_arena_release(&mem);
	onx_graph_free(g);
	onx_model_free(m);
}

static void refuses(void **state)
{
	(void)state;
	static const char *const none[] = { "nowhere" };
	struct { struct onx_file_node a, b; int64_t opset; int code; const char *part; } bad[] = {
		{ relu("a", Y, T), relu("b", T, Y), 13, ONX_FORMAT, "cycle: 'b' -> 'a' -> 'b'" },
		{ relu("a", none, T), relu("b", T, Y), 13, ONX_FORMAT, "nothing makes 'nowhere'" },
		{ relu("a", X, Y), relu("b", X, Y), 13, ONX_FORMAT, "'y' is made twice" },
		{ relu("a", X, T), relu("b", T, X), 13, ONX_FORMAT, "'x' is made twice" },
		{ relu("a", X, T), relu("b", X, none), 13, ONX_FORMAT, "nothing makes the output 'y'" },
		{ relu("a", X, T), relu("b", T, Y), 99, ONX_UNSUP, "opset 99 is newer" },
		{ relu("a", X, T), relu("b", T, Y), 13, ONX_UNSUP, "operator 'Rellu'" } };
	bad[6].b.type = "Rellu";
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct onx_model *m;
		struct onx_graph *g;
		struct onx_err e = { 0 };
		int rc = build_pair(bad[i].a, bad[i].b, bad[i].opset, 0, &g, &m, &e);
		must_fail(rc, bad[i].code, &e, bad[i].part);
		onx_model_free(m);
	}
}

static void lax(void **state)
{
	struct onx_model *m;
	struct onx_graph *g;
	struct onx_err e = { 0 };
	struct onx_file_node odd = relu("b", T, Y);
	(void)state;
	odd.type = "Rellu";
	must(build_pair(relu("a", X, T), odd, 13, ONX_BUILD_LAX, &g, &m, &e), &e);
	assert_non_null(g->node[0].op);
	assert_null(g->node[1].op);
	onx_graph_free(g);
	onx_model_free(m);
}

/* --- patches ---------------------------------------------------------------------------------------------- */

static void patch(void **state)
{
	struct onx_model *m;
	struct onx_graph *g;
	struct onx_err e = { 0 };
	struct onx_arena mem = { 0 };
	struct onx_buf log = { 0 };
	(void)state;
	must(build_pair(relu("a", X, T), relu("b", T, Y), 13, 0, &g, &m, &e), &e);
	/* 'b' gives way to Add(t, w), which makes y. */
	struct onx_patch p = { .mem = &mem, .rule = "test", .where = "b" };
	const float w[4] = { 1, 2, 3, 4 };
	const uint32_t y = onx_graph_find(g, "y");
	uint32_t in[2] = { onx_graph_find(g, "t"), onx_patch_value(&p, "w", ONX_FLOAT, 1, (int64_t[]){ 4 }, w) };
	onx_patch_drop(&p, onx_graph_find_node(g, "b"));
	onx_patch_add(&p, &(struct onx_patch_node){ "", "Add", "c", in, &y, 2, 1, NULL, 0 });
	must(onx_patch_apply(g, &p, &log, &e), &e);
	assert_string_equal(log.data, "test: b: +1 -1 nodes\n");
	must(onx_graph_export(g, &e), &e);
	struct onx_model *n = round_trip(m);
	const struct onx_file_graph *f = onx_model_graph(n);
	assert_int_equal(f->n_node, 2);
	assert_string_equal(f->node[1].type, "Add");
	assert_int_equal(f->n_init, 1);
	assert_string_equal(f->output[0].name, "y");
	assert_string_equal(f->output[0].dim[0].param, "N");
	onx_model_free(n);
	/* A patch that leaves a reader without a maker is refused. */
	struct onx_patch q = { .mem = &mem, .rule = "bad", .where = "a" };
	onx_patch_drop(&q, onx_graph_find_node(g, "a"));
	assert_true(onx_patch_apply(g, &q, &log, &e) < 0);
	assert_non_null(strstr(e.text, "'t'"));
	onx_buf_release(&log);
	onx_arena_release(&mem);
	onx_graph_free(g);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(untouched), cmocka_unit_test(orders),
		cmocka_unit_test(refuses), cmocka_unit_test(lax), cmocka_unit_test(patch) };
	return RUN(tests);
}
