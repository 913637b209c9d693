/* Heads: found in real files, replaced, extended, built from layers; all else stays. */
#include "unit/lib/models.h"
#include "unit/lib/net.h"
#include <math.h>
#include <stdlib.h>
#include "base/io.h"
#include "model/mark.h"
#include "rewrite/freeze.h"
#include "rewrite/head.h"
#include "rewrite/loss.h"

struct known { const char *file; const char *type; int64_t classes, features; bool softmax; size_t new_weights; };
static const struct known files[] = {
	{ "squeezenet1.1-7-fp16.onnx", "Conv", 1000, 512, true, 2 },
	{ "mobilenet_v1_0.25_224.onnx", "Conv", 1000, 256, true, 2 },
	{ "mnist-7-cntk.onnx", "MatMul", 10, 256, false, 2 },
	{ "cifar10-pytorch.onnx", "Gemm", 10, 2400, false, 2 },
	{ "iris-pytorch.onnx", "Gemm", 3, 24, false, 2 },
	{ "ppocr-cls-paddle2onnx.onnx", "MatMul", 2, 200, true, 2 },
};
enum { N_FILE = sizeof files / sizeof *files };

static struct onx_head_opts options(int64_t classes)
{
	return (struct onx_head_opts){ .classes = classes, .seed = 1 };
}

static void finds(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_FILE; i++) {
		struct onx_model *m = shared_model(files[i].file);
		struct onx_head h;
		struct onx_err e = { 0 };
		if (!m)
			continue;
		struct onx_graph *g = built(m);
		must(onx_head_find(g, &h, &e), &e);
		assert_string_equal(g->node[h.node].type, files[i].type);
		assert_int_equal(h.classes, files[i].classes);
		assert_int_equal(h.features, files[i].features);
		assert_int_equal(h.logits != h.output, files[i].softmax);
		assert_true(h.bias != ONX_NONE);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

static size_t constants(const struct onx_model *m)
{
	const struct onx_file_graph *g = onx_model_graph(m);
	size_t n = 0;
	for (size_t i = 0; i < g->n_node; i++)
		n += strcmp(g->node[i].type, "Constant") == 0;
	return n;
}

static void replaces_one(const struct known *k)
{
	struct onx_model *m = shared_model(k->file), *old = m ? shared_model(k->file) : NULL;
	const struct onx_head_opts o = options(7);
	struct onx_err e = { 0 };
	size_t same, differ;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	must(onx_freeze(g, &(struct onx_freeze_opts){ .all = true }, NULL, &e), &e);
	must(onx_head(g, &o, NULL, &e), &e);
	must(onx_graph_export(g, &e), &e);
	struct onx_model *n = round_trip(m);
	struct onx_graph *again = built(n);
	struct onx_head h;
	must(onx_head_find(again, &h, &e), &e);
	assert_int_equal(h.classes, 7);
	assert_int_equal(h.features, k->features);
	struct onx_arena a = { 0 };
	const char *const *name;
	size_t count;
	must(onx_mark_list(n, ONX_MARK "train", &a, &name, &count, &e), &e);
	assert_int_equal(count, k->new_weights);
	bool *trains, said;
	must(onx_trainable(again, &a, &trains, &said, &e), &e);
	assert_true(said);
	assert_int_equal(onx_model_meta(n, ONX_MARK "logits") != NULL, k->softmax);
	/* The type of the file stays, and so does every other weight. */
	const uint32_t w = onx_graph_find(again, name[0]);
	if (strstr(k->file, "fp16"))
		assert_int_equal(again->value[w].type, ONX_FLOAT16);
	compare_inits(old, n, &same, &differ);
	assert_int_equal(differ, 0);
	assert_true(same + 4 >= onx_model_graph(old)->n_init);
	/* Constant nodes that held the old numbers are gone; nothing else is. */
	const size_t n_old = onx_model_graph(old)->n_node, n_new = onx_model_graph(n)->n_node;
	assert_int_equal(n_old, n_new + constants(old) - constants(n));
	const struct onx_value *out = &again->value[again->output[0]];
	assert_int_equal(out->dim[1], 7);
	onx_arena_release(&a);
	onx_graph_free(again);
	onx_graph_free(g);
	onx_model_free(n);
	onx_model_free(old);
	onx_model_free(m);
}

static void replaces(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_FILE; i++) {
		print_message("%s\n", files[i].file);
		replaces_one(&files[i]);
	}
}

static void several_heads(void **state)
{
	struct onx_model *m = shared_model("ultraface_RFB_320.onnx");
	struct onx_head h;
	struct onx_err e = { 0 };
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	int rc = onx_head_find(g, &h, &e);
	must_fail(rc, ONX_UNSUP, &e, "'scores'");
	must_fail(rc, ONX_UNSUP, &e, "'boxes'");
	must_fail(rc, ONX_UNSUP, &e, "--cut-at");
	onx_graph_free(g);
	onx_model_free(m);
}

/* A network from nothing, with everything that layers can say. */
static struct onx_graph *network(struct onx_model **m, const char *text, int64_t opset)
{
	struct onx_head_opts o = { .layers = text, .input = "x:float:Nx3x8x8", .seed = 3 };
	struct onx_graph *g;
	struct onx_err e = { 0 };
	must(onx_model_new("net", opset, m, &e), &e);
	must(onx_graph_build(*m, 0, &g, &e), &e);
	must(onx_head(g, &o, NULL, &e), &e);
	must(onx_graph_export(g, &e), &e);
	return g;
}

static void builds(void **state)
{
	(void)state;
	static const int64_t opset[] = { 7, 11, 13, 17, 20 };
	for (size_t i = 0; i < sizeof opset / sizeof *opset; i++) {
		struct onx_model *m;
		struct onx_graph *g = network(&m, "conv:8:3 bn relu res( conv:16:3:2 bn relu dwconv:3 ) maxpool:2 "
					      "sigmoid avgpool:2 tanh gap dropout:0.2 gemm:12 relu gemm:5 softmax",
					      opset[i]);
		struct onx_model *n = round_trip(m);
		struct onx_graph *h = built(n);
		assert_int_equal(h->n_output, 1);
		assert_int_equal(h->n_input, 1);
		assert_int_equal(h->value[h->output[0]].rank, 2);
		assert_int_equal(h->value[h->output[0]].dim[1], 5);
		assert_non_null(onx_model_meta(n, ONX_MARK "logits"));
		onx_graph_free(h);
		onx_model_free(n);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

static void cuts(void **state)
{
	struct onx_model *m;
	struct onx_err e = { 0 };
	(void)state;
	struct onx_graph *g = network(&m, "conv:4:3 relu conv:6:3 relu gap gemm:5", 13);
	const uint32_t before = g->n_order;
	const struct onx_head_opts wrong = { .classes = 3, .cut_at = "net.1.Relo" };
	must_fail(onx_head(g, &wrong, NULL, &e), ONX_USAGE, &e, "nearest is 'net.1.Relu'");
	const struct onx_head_opts o = { .classes = 3, .cut_at = "net.1.Relu" };
	must(onx_head(g, &o, NULL, &e), &e);
	assert_true(g->n_order < before);
	assert_int_equal(g->n_output, 1);
	assert_int_equal(g->value[g->output[0]].dim[1], 3);
	must(onx_graph_export(g, &e), &e);
	struct onx_model *n = round_trip(m);
	assert_int_equal(onx_model_graph(n)->n_output, 1);
	onx_model_free(n);
	onx_graph_free(g);
	onx_model_free(m);
}

static void bad_layers(void **state)
{
	static const struct { const char *text, *part; } bad[] = {
		{ "gemm", "takes 1 to 1" }, { "gem:3", "nearest is 'gemm'" }, { "gemm:x", "no number" },
		{ "gemm:0", "whole numbers" }, { "res conv:3:3", "parentheses" }, { "res( relu", "')' is missing" },
		{ "relu )", "too many" }, { "flatten conv:3:3", "rank 2" }, { "dropout:2", "ratio" } };
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct onx_model *m;
		struct onx_graph *g;
		struct onx_err e = { 0 };
		const struct onx_head_opts o = { .layers = bad[i].text, .input = "x:float:Nx3x8x8" };
		must(onx_model_new("net", 13, &m, &e), &e);
		must(onx_graph_build(m, 0, &g, &e), &e);
		int rc = onx_head(g, &o, NULL, &e);
		must_fail(rc, rc, &e, bad[i].part);
		assert_true(rc < 0);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

static void load_floats(const struct onx_graph *g, uint32_t v, float *to, size_t room)
{
	const struct onx_weight *w = g->value[v].init;
	const struct onx_view d = { .v = to, .n = w->n, .rank = w->rank, .dim = w->dim, .type = w->type, .width = 4 };
	struct onx_err e = { 0 };
	assert_true(w->n <= room);
	must(onx_weight_load(w, &d, &e), &e);
}

static void extends(void **state)
{
	struct onx_model *m;
	struct onx_err e = { 0 };
	struct onx_head h;
	float old[32], new[64];
	char path[] = "/tmp/onx-labels-XXXXXX";
	const int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0,rose, red\n1,tulip\n", 20), 20);
	close(fd);
	struct onx_graph *g = network(&m, "gap gemm:5", 13);
	must(onx_head_find(g, &h, &e), &e);
	load_floats(g, h.weight, old, 32);
	const struct onx_head_opts o = { .extend = path, .seed = 9 };
	must(onx_head(g, &o, NULL, &e), &e);
	unlink(path);
	must(onx_head_find(g, &h, &e), &e);
	assert_int_equal(h.classes, 7);
	load_floats(g, h.weight, new, 64);
	assert_memory_equal(old, new, 15 * sizeof *old);
	bool differ = false;
	for (int i = 15; i < 21; i++) {
		differ |= new[i] != 0;
		assert_true(fabsf(new[i]) <= 1 / sqrtf(3));
	}
	assert_true(differ);
	assert_non_null(strstr(onx_model_meta(m, ONX_MARK "labels"), "rose, red"));
	onx_graph_free(g);
	onx_model_free(m);
}

/* x [2,4] -> pair -> Gemm or MatMul and Add, W [4,5] and b made from whole numbers (or float ones behind a pair)
 * -> pair -> Softmax.  Returns the output. */
static const float w_scale[5] = { 0.25f, 0.5f, 0.125f, 0.0625f, 0.03125f };
static uint32_t quantised(struct net *n, bool gemm, bool whole, bool softmax)
{
	const int64_t five[1] = { 5 }, dim[2] = { 4, 5 };
	const struct onx_file_attr axis = onx_attr_int("axis", 1), first = onx_attr_int("axis", 0);
	static const float one = 0.125f;
	float w[20];
	int8_t q[20];
	int32_t b[5];
	uint32_t s, ws, wq, bq;
	struct onx_err e = { 0 };

	net_new(n);
	for (int i = 0; i < 20; i++)
		w[i] = w_scale[i % 5] * (q[i] = (int8_t)(13 * i % 31 - 15));
	for (int i = 0; i < 5; i++)
		b[i] = 7 * i - 11;
	const uint32_t x = IN(n, "x", 2, 4);
	must(onx_graph_add_weight(n->g, "s", ONX_FLOAT, 0, NULL, &one, &s, &e), &e);
	must(onx_graph_add_weight(n->g, "ws", ONX_FLOAT, 1, five, w_scale, &ws, &e), &e);
	must(onx_graph_add_weight(n->g, "b_quantized", ONX_INT32, 1, five, b, &bq, &e), &e);
	must(whole ? onx_graph_add_weight(n->g, "w_quantized", ONX_INT8, 2, dim, q, &wq, &e)
		   : onx_graph_add_weight(n->g, "w", ONX_FLOAT, 2, dim, w, &wq, &e), &e);
	int8_t zero[5] = { 0 };
	uint32_t z;
	must(onx_graph_add_weight(n->g, "z", ONX_INT8, 1, five, zero, &z, &e), &e);
	if (!whole)
		wq = net_op(n, "QuantizeLinear", 3, (uint32_t[]){ wq, ws, z }, &axis);
	const uint32_t wf = net_op(n, "DequantizeLinear", 3, (uint32_t[]){ wq, ws, z }, &axis);
	const uint32_t bf = net_op(n, "DequantizeLinear", 2, (uint32_t[]){ bq, ws }, &first);
	const uint32_t xf = OP2(n, "DequantizeLinear", OP2(n, "QuantizeLinear", x, s), s);
	const uint32_t y = gemm ? OP3(n, "Gemm", xf, wf, bf) : OP2(n, "Add", bf, OP2(n, "MatMul", xf, wf));
	const uint32_t back = OP2(n, "DequantizeLinear", OP2(n, "QuantizeLinear", y, s), s);
	const uint32_t out = softmax ? OP1(n, "Softmax", back) : back;
	net_target(n, out);
	return out;
}

static size_t nodes_of(const struct onx_graph *g, const char *type)
{
	size_t n = 0;
	for (uint32_t i = 0; i < g->n_order; i++)
		n += strcmp(g->node[g->order[i]].type, type) == 0;
	return n;
}

/* A classifier of whole numbers becomes one of float numbers; what is in front of it stays as it is. */
static void quantised_heads(void **state)
{
	(void)state;
	for (int way = 0; way < 8; way++) {
		const bool gemm = way & 1, whole = way & 2, softmax = way & 4;
		const struct onx_head_opts o = options(3);
		struct onx_err e = { 0 };
		struct onx_head h;
		struct net n;
		struct run r;
		const uint32_t out = quantised(&n, gemm, whole, softmax);
		const char *name = n.g->value[out].name;
		must(onx_head_find(n.g, &h, &e), &e);
		assert_string_equal(n.g->node[h.node].type, gemm ? "Gemm" : "MatMul");
		assert_int_equal(h.classes, 5);
		assert_int_equal(h.features, 4);
		assert_int_equal(h.n_made, 2);
		assert_true(h.pairs);
		must(onx_head(n.g, &o, NULL, &e), &e);
		must(onx_head_find(n.g, &h, &e), &e);
		assert_int_equal(h.classes, 3);
		assert_int_equal(h.n_made, 0);
		assert_false(h.pairs);
		assert_non_null(n.g->value[h.weight].init);
		assert_int_equal(n.g->value[h.weight].init->type, ONX_FLOAT);
		assert_non_null(n.g->value[h.bias].init);
		assert_int_equal(nodes_of(n.g, "QuantizeLinear"), 1);
		assert_int_equal(nodes_of(n.g, "DequantizeLinear"), 1);
		assert_string_equal(n.g->value[n.g->output[0]].name, name);
		assert_int_equal(onx_model_meta(n.g->model, ONX_MARK "logits") != NULL, softmax);
		run_open(&r, &n, n.g->output, 1, ONX_NONE, false, 0);
		run_forward(&r, &n);
		const struct onx_view *y = onx_exec_view(r.exec, n.g->output[0]);
		assert_int_equal(y->n, 6);
		for (size_t i = 0; i < y->n; i++)
			assert_true(isfinite(onx_view_real(y, i)));
		run_close(&r);
		net_free(&n);
	}
}

/* The old classes keep the numbers that the whole ones stand for; with new layers all of the old head goes. */
static void quantised_heads_extended(void **state)
{
	struct onx_err e = { 0 };
	struct onx_head h;
	struct net n;
	float w[28];
	char path[] = "/tmp/onx-labels-XXXXXX";
	const int fd = mkstemp(path);
	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "rose\ntulip\n", 11), 11);
	close(fd);
	quantised(&n, true, true, true);
	const struct onx_head_opts more = { .extend = path, .seed = 9 };
	must(onx_head(n.g, &more, NULL, &e), &e);
	unlink(path);
	must(onx_head_find(n.g, &h, &e), &e);
	assert_int_equal(h.classes, 7);
	load_floats(n.g, h.weight, w, 28);
	for (int i = 0; i < 20; i++)
		assert_float_equal(w[i / 5 * 7 + i % 5], w_scale[i % 5] * (float)(13 * i % 31 - 15), 0);
	net_free(&n);
	quantised(&n, true, true, true);
	const struct onx_head_opts layers = { .layers = "gemm:2", .seed = 9 };
	must(onx_head(n.g, &layers, NULL, &e), &e);
	must(onx_head_find(n.g, &h, &e), &e);
	assert_int_equal(h.classes, 2);
	assert_int_equal(nodes_of(n.g, "DequantizeLinear"), 1);
	assert_int_equal(nodes_of(n.g, "Gemm"), 1);
	net_free(&n);
}

/* The loss is in the graph and never in the file. */
static void loss(void **state)
{
	struct onx_model *m;
	struct onx_err e = { 0 };
	struct onx_loss l;
	uint32_t logits, behind;
	(void)state;
	struct onx_graph *g = network(&m, "conv:5:3 gap softmax", 13);
	struct onx_buf before = { 0 }, after = { 0 };
	must(onx_model_bytes(m, &before, &e), &e);
	must(onx_loss_logits(g, &logits, &behind, &e), &e);
	assert_string_equal(g->node[behind].type, "Softmax");
	const struct onx_loss_opts o = { .type = "CrossEntropy", .ignore_index = -1 };
	must(onx_loss_append(g, logits, &o, &l, NULL, &e), &e);
	assert_int_equal(l.classes, 5);
	assert_true(l.logits != logits);
	assert_int_equal(g->n_input, 2);
	must(onx_graph_export(g, &e), &e);
	must(onx_model_bytes(m, &after, &e), &e);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, before.len);
	onx_buf_release(&before);
	onx_buf_release(&after);
	onx_graph_free(g);
	onx_model_free(m);
}

static void swaps(void **state)
{
	struct onx_model *m;
	struct onx_err e = { 0 };
	static const char *const one[] = { "Relu=HardSwish" }, *const none[] = { "Elu=Relu" };
	(void)state;
	struct onx_graph *g = network(&m, "relu gap relu gemm:2", 14);
	const struct onx_head_opts bad = { .swap = { none, 1 } }, o = { .swap = { one, 1 } };
	must_fail(onx_head(g, &bad, NULL, &e), ONX_USAGE, &e, "has no Elu");
	must(onx_head(g, &o, NULL, &e), &e);
	for (uint32_t i = 0; i < g->n_order; i++)
		assert_string_not_equal(g->node[g->order[i]].type, "Relu");
	onx_graph_free(g);
	onx_model_free(m);
	g = network(&m, "relu gap gemm:2", 13);
	must_fail(onx_head(g, &o, NULL, &e), ONX_UNSUP, &e, "HardSwish");
	onx_graph_free(g);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds), cmocka_unit_test(replaces), cmocka_unit_test(several_heads),
		cmocka_unit_test(builds), cmocka_unit_test(cuts), cmocka_unit_test(bad_layers),
		cmocka_unit_test(extends), cmocka_unit_test(loss), cmocka_unit_test(swaps),
		cmocka_unit_test(quantised_heads), cmocka_unit_test(quantised_heads_extended),
	};
	return RUN(tests);
}
