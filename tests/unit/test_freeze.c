/* Freezing: which weights train, and that nothing of the file but the mark changes. */
#include "unit/lib/models.h"
#include "unit/lib/net.h"
#include "model/mark.h"
#include "rewrite/freeze.h"

/* The training names after a choice, joined with blanks. */
static void expect(struct onx_graph *g, struct onx_freeze_opts o, const char *want)
{
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_buf b = { 0 };
	const char *const *v;
	size_t n;
	must(onx_freeze(g, &o, NULL, &e), &e);
	must(onx_mark_list(g->model, ONX_MARK "train", &a, &v, &n, &e), &e);
	for (size_t i = 0; i < n; i++)
		onx_buf_fmt(&b, "%s%s", i ? " " : "", v[i]);
	assert_string_equal(b.data ? b.data : "", want);
	onx_buf_release(&b);
	onx_arena_release(&a);
}

#define LIST(...) { (const char *const[]){ __VA_ARGS__ }, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *) }

static void choices(void **state)
{
	struct onx_model *m = shared_model("iris-pytorch.onnx");
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	/* The order is that of the file's initializers. */
	expect(g, (struct onx_freeze_opts){ .none = true }, "layer1.bias layer1.weight layer2.bias layer2.weight "
	       "layer3.bias layer3.weight");
	expect(g, (struct onx_freeze_opts){ .all = true }, "");
	expect(g, (struct onx_freeze_opts){ .last = 1 }, "layer3.bias layer3.weight");
	expect(g, (struct onx_freeze_opts){ .up_to = "Gemm_2" }, "layer3.bias layer3.weight");
	expect(g, (struct onx_freeze_opts){ .up_to = "8" },
	       "layer2.bias layer2.weight layer3.bias layer3.weight");
	expect(g, (struct onx_freeze_opts){ .match = LIST("*.weight") }, "layer1.bias layer2.bias layer3.bias");
	expect(g, (struct onx_freeze_opts){ .train = LIST("layer2.*") }, "layer2.bias layer2.weight");
	expect(g, (struct onx_freeze_opts){ .op = LIST("Gemm"), .train = LIST("Gemm_4") },
	       "layer3.bias layer3.weight");
	expect(g, (struct onx_freeze_opts){ .none = true, .match = LIST("layer1*", "layer2*"),
					    .train = LIST("layer1.bias") }, "layer1.bias layer3.bias layer3.weight");
	onx_graph_free(g);
	onx_model_free(m);
}

/* How many weights train with --last k. */
static void trains(struct net *n, int64_t k, size_t want)
{
	struct onx_err e = { 0 };
	struct onx_freeze_count c;
	must(onx_freeze(n->g, &(struct onx_freeze_opts){ .last = k }, &c, &e), &e);
	assert_int_equal(c.training, want);
}

/* Conv, BatchNormalization, Relu, MatMul, Add of its bias, Gemm; `shared`: others read the product, too. */
static void net_of_layers(struct net *n, bool shared)
{
	net_new(n);
	uint32_t h = OP2(n, "Conv", IN(n, "x", 2, 3, 1, 1), FROZEN(n, 4, 3, 1, 1));
	const uint32_t bn[5] = { h, FROZEN(n, 4), FROZEN(n, 4), FROZEN(n, 4), POSITIVE(n, false, 4) };
	net_node(n, "BatchNormalization", 5, bn, 1, &h, 0, NULL);
	h = OP1(n, "Flatten", OP1(n, "Relu", h));
	const uint32_t product = OP2(n, "MatMul", h, FROZEN(n, 4, 5));
	if (shared)
		net_target(n, OP1(n, "Relu", product));
	h = OP2(n, "Add", FROZEN(n, 5), product);
	net_target(n, OP3(n, "Gemm", OP1(n, "Relu", h), FROZEN(n, 5, 2), FROZEN(n, 2)));
}

static void layers(void **state)
{
	struct onx_err e = { 0 };
	struct onx_freeze_opts o = { .last = 4 };
	struct net n;
	(void)state;
	net_of_layers(&n, false);
	trains(&n, 1, 2);
	trains(&n, 2, 4);
	trains(&n, 3, 7);
	must_fail(onx_freeze(n.g, &o, NULL, &e), ONX_USAGE, &e, "only 3 layers");
	net_free(&n);
	net_of_layers(&n, true);
	trains(&n, 2, 3);
	trains(&n, 3, 4);
	trains(&n, 4, 7);
	net_free(&n);
}

static void faults(void **state)
{
	struct onx_model *m = shared_model("iris-pytorch.onnx");
	struct onx_err e = { 0 };
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	struct onx_freeze_opts o = { .up_to = "Gemm_3" };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "nearest is 'Gemm_");
	o = (struct onx_freeze_opts){ .match = LIST("layer9.weight") };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "nearest is 'layer");
	o = (struct onx_freeze_opts){ .op = LIST("Gem") };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "nearest is 'Gemm'");
	o = (struct onx_freeze_opts){ .last = 4 };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "only 3");
	o = (struct onx_freeze_opts){ .all = true, .none = true };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "exclude");
	o = (struct onx_freeze_opts){ 0 };
	must_fail(onx_freeze(g, &o, NULL, &e), ONX_USAGE, &e, "say what");
	assert_null(onx_model_meta(m, ONX_MARK "train"));
	must(onx_model_set_meta(m, ONX_MARK "train", "[\"nobody\"]", &e), &e);
	struct onx_arena a = { 0 };
	bool *t, said;
	must_fail(onx_trainable(g, &a, &t, &said, &e), ONX_FORMAT, &e, "'nobody'");
	onx_arena_release(&a);
	onx_graph_free(g);
	onx_model_free(m);
}

struct total { const char *file; size_t weights; };

/* Running statistics, clip borders and shapes are no weights; Constant nodes and reshaped tensors are. */
static void counts(void **state)
{
	static const struct total files[] = {
		{ "squeezenet1.1-7-fp16.onnx", 52 }, { "mobilenet_v1_0.25_224.onnx", 28 + 1 + 2 * 27 },
		{ "mnist-7-cntk.onnx", 6 }, { "cifar10-pytorch.onnx", 10 }, { "iris-pytorch.onnx", 6 } };
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct onx_model *m = shared_model(files[i].file);
		struct onx_freeze_count c;
		struct onx_err e = { 0 };
		if (!m)
			continue;
		struct onx_graph *g = built(m);
		must(onx_freeze(g, &(struct onx_freeze_opts){ .none = true }, &c, &e), &e);
		assert_int_equal(c.weights, files[i].weights);
		assert_int_equal(c.training, c.weights);
		struct onx_model *old = shared_model(files[i].file), *new = round_trip(m);
		size_t same, differ;
		compare_inits(old, new, &same, &differ);
		assert_int_equal(differ, 0);
		assert_int_equal(same, onx_model_graph(old)->n_init);
		onx_model_free(new);
		onx_model_free(old);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(choices), cmocka_unit_test(layers),
					    cmocka_unit_test(faults), cmocka_unit_test(counts) };
	return RUN(tests);
}
