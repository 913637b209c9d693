/* Folding: fewer nodes, the numbers of the formula. */
#include "unit/lib/models.h"
#include "unit/lib/net.h"
#include <math.h>
#include "rewrite/fold.h"
#include "rewrite/head.h"

static void numbers(const struct onx_graph *g, uint32_t v, float *to, size_t n)
{
	const struct onx_weight *w = g->value[v].init;
	const struct onx_view d = { .v = to, .n = n, .rank = w->rank, .dim = w->dim, .type = w->type, .width = 4 };
	struct onx_err e = { 0 };
	assert_int_equal(w->n, n);
	must(onx_weight_load(w, &d, &e), &e);
}

static void norms(void **state)
{
	struct onx_model *m = shared_model("mobilenet_v1_0.25_224.onnx");
	struct onx_err e = { 0 };
	static float w[8 * 27], bn[4][8], got[8 * 27], bias[8];
	uint32_t n;
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	const struct onx_node *conv = &g->node[0], *norm = &g->node[1];
	assert_string_equal(norm->type, "BatchNormalization");
	numbers(g, conv->in[1], w, 8 * 27);
	for (int i = 0; i < 4; i++)
		numbers(g, norm->in[i + 1], bn[i], 8);
	const uint32_t y = norm->out[0];
	must(onx_fold_norms(g, &n, NULL, &e), &e);
	assert_int_equal(n, 27);
	assert_int_equal(g->n_order, 85 - 27);
	conv = &g->node[g->value[y].def];
	assert_string_equal(conv->type, "Conv");
	numbers(g, conv->in[1], got, 8 * 27);
	numbers(g, conv->in[2], bias, 8);
	for (int r = 0; r < 8; r++) {
		const double s = (double)bn[0][r] / sqrt((double)bn[3][r] + (double)0.001f);
		for (int i = 0; i < 27; i++) {
			const double x = w[27 * r + i] * s;
			assert_true(fabs(got[27 * r + i] - x) <= 1e-6 * (fabs(x) + 1e-6));
		}
		const double want = bn[1][r] - bn[2][r] * s;
		assert_true(fabs(bias[r] - want) <= 1e-6 * (fabs(want) + 1));
	}
	must(onx_graph_export(g, &e), &e);
	struct onx_model *out = round_trip(m);
	struct onx_graph *h = built(out);
	assert_int_equal(h->n_order, 85 - 27);
	onx_graph_free(h);
	onx_model_free(out);
	onx_graph_free(g);
	onx_model_free(m);
}

/* Runs the net on its own numbers; the first output. */
static void outputs(const struct net *n, double *to, size_t count)
{
	struct run r;
	run_open(&r, n, n->g->output, n->g->n_output, ONX_NONE, false, 0);
	run_forward(&r, n);
	const struct onx_view *y = onx_exec_view(r.exec, n->g->output[0]);
	assert_int_equal(y->n, count);
	for (size_t i = 0; i < count; i++)
		to[i] = onx_view_real(y, i);
	run_close(&r);
}

/* The layer with attributes, then BatchNormalization over c channels; folded, it gives the same. */
static void behind(const char *type, const int64_t x[4], const int64_t w[4], int64_t c, bool bias, size_t count,
		   const struct onx_file_attr *attr, size_t n_attr)
{
	struct onx_err e = { 0 };
	struct net n;
	double was[256], now[256];
	uint32_t y, folded;
	assert_true(count <= 256);
	net_new(&n);
	const uint32_t in[3] = { net_in(&n, "x", ONX_FLOAT, x), net_weight(&n, false, false, w),
				 bias ? FROZEN(&n, c) : ONX_NONE };
	net_node(&n, type, bias ? 3 : 2, in, 1, &y, n_attr, attr);
	const uint32_t norm[5] = { y, FROZEN(&n, c), FROZEN(&n, c), FROZEN(&n, c), POSITIVE(&n, false, c) };
	net_node(&n, "BatchNormalization", 5, norm, 1, &y, 0, NULL);
	net_target(&n, y);
	outputs(&n, was, count);
	must(onx_fold_norms(n.g, &folded, NULL, &e), &e);
	assert_int_equal(folded, 1);
	assert_int_equal(n.g->n_order, 1);
	outputs(&n, now, count);
	for (size_t i = 0; i < count; i++)
		assert_true(fabs(was[i] - now[i]) < 1e-5 * (1 + fabs(was[i])));
	net_free(&n);
}

static void layers(void **state)
{
	const struct onx_file_attr trans = onx_attr_int("transB", 1), two = onx_attr_int("group", 2);
	const struct onx_file_attr scaled[2] = { onx_attr_float("alpha", 0.5), onx_attr_float("beta", 2) };
	const int64_t row[4] = { 3, 6 }, picture[4] = { 2, 4, 3, 3 };
	(void)state;
	behind("Gemm", row, (int64_t[4]){ 6, 5 }, 5, true, 15, NULL, 0);
	behind("Gemm", row, (int64_t[4]){ 5, 6 }, 5, true, 15, &trans, 1);
	behind("Gemm", row, (int64_t[4]){ 6, 5 }, 5, true, 15, scaled, 2);
	behind("Gemm", row, (int64_t[4]){ 6, 5 }, 5, false, 15, NULL, 0);
	behind("Conv", picture, (int64_t[4]){ 6, 2, 2, 2 }, 6, true, 48, &two, 1);
	behind("ConvTranspose", picture, (int64_t[4]){ 4, 3, 2, 2 }, 3, true, 96, NULL, 0);
	behind("ConvTranspose", picture, (int64_t[4]){ 4, 3, 2, 2 }, 6, false, 192, &two, 1);
}

/* Shape arithmetic and products of constants go; what only makes the file larger stays. */
static void constants(void **state)
{
	struct onx_err e = { 0 };
	struct net n;
	double was[64], now[64];
	uint32_t folded;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 4, 6);
	n.g->value[x].dim[0] = -1;
	const uint32_t wide = OP2(&n, "Expand", FROZEN(&n, 1), INTS(&n, 2, 6, 2000));
	const uint32_t flat = OP2(&n, "Reshape", OP2(&n, "Mul", FROZEN(&n, 6), FROZEN(&n, 1)), INTS(&n, 2, 1, 6));
	const uint32_t sized = OP2(&n, "Reshape", OP2(&n, "Add", x, flat), OP1(&n, "Shape", x));
	const struct onx_file_attr flat_sum = onx_attr_int("keepdims", 0);
	net_target(&n, OP2(&n, "Add", sized, net_op(&n, "ReduceMax", 1, &wide, &flat_sum)));
	outputs(&n, was, 24);
	must(onx_fold_consts(n.g, &folded, NULL, &e), &e);
	/* left: Add, Shape (of the open batch), Reshape, Add; the large Expand went into its maximum */
	assert_int_equal(n.g->n_order, 4);
	assert_int_equal(folded, 4);
	outputs(&n, now, 24);
	for (int i = 0; i < 24; i++)
		assert_true(was[i] == now[i]);
	net_free(&n);
}

static void growing(void **state)
{
	struct onx_err e = { 0 };
	struct net n;
	uint32_t folded;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 4, 2000);
	net_target(&n, OP2(&n, "Add", x, OP2(&n, "Expand", FROZEN(&n, 1), INTS(&n, 2, 4, 2000))));
	must(onx_fold_consts(n.g, &folded, NULL, &e), &e);
	assert_int_equal(folded, 0);
	assert_int_equal(n.g->n_order, 2);
	net_free(&n);
}

static void dropouts(void **state)
{
	struct onx_model *m = shared_model("squeezenet1.1-7-fp16.onnx");
	struct onx_err e = { 0 };
	uint32_t n;
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	must(onx_drop_idle(g, &n, NULL, &e), &e);
	assert_int_equal(n, 1);
	assert_int_equal(g->n_order, 65);
	onx_graph_free(g);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(norms), cmocka_unit_test(layers),
					    cmocka_unit_test(constants),
					    cmocka_unit_test(growing), cmocka_unit_test(dropouts) };
	return RUN(tests);
}
