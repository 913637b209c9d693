/* Quantised files: weights behind QuantizeLinear and DequantizeLinear, and those that are whole numbers. */
#include "unit/lib/net.h"
#include <math.h>
#include "rewrite/dequantize.h"
#include "rewrite/straight.h"

enum { ROWS = 3, COLS = 4, OUT = 5 };

static uint32_t constant(struct net *n, const char *name, enum onx_dtype type, int rank, const int64_t *dim,
			 const void *data)
{
	struct onx_err e = { 0 };
	uint32_t id;
	must(onx_graph_add_weight(n->g, name, type, rank, dim, data, &id, &e), &e);
	return id;
}

static uint32_t along(struct net *n, const char *type, uint32_t x, uint32_t scale, uint32_t zero)
{
	const struct onx_file_attr axis = onx_attr_int("axis", 1);
	return net_op(n, type, 3, (uint32_t[]){ x, scale, zero }, &axis);
}

/* y [ROWS,OUT] = x W, W [COLS,OUT] with a scale and a zero point for each column: float behind a pair, or int8. */
static uint32_t build(struct net *n, bool whole, uint32_t *w)
{
	static const float scale[OUT] = { 0.25f, 0.5f, 0.125f, 0.0625f, 0.03125f };
	static const int8_t zero[OUT] = { 0, 3, -5, 0, 1 };
	const int64_t out[1] = { OUT }, dim[2] = { COLS, OUT };
	int8_t q[COLS * OUT];

	net_new(n);
	const uint32_t x = IN(n, "x", ROWS, COLS);
	const uint32_t s = constant(n, "s", ONX_FLOAT, 1, out, scale), z = constant(n, "z", ONX_INT8, 1, out, zero);
	for (int i = 0; i < COLS * OUT; i++)
		q[i] = (int8_t)(13 * i % 31 - 15);
	*w = whole ? constant(n, "w_quantized", ONX_INT8, 2, dim, q) : FROZEN(n, COLS, OUT);
	const uint32_t stored = whole ? *w : along(n, "QuantizeLinear", *w, s, z);
	const uint32_t y = OP2(n, "MatMul", x, along(n, "DequantizeLinear", stored, s, z));
	net_target(n, y);
	return y;
}

static void outputs(const struct net *n, uint32_t y, double *to)
{
	struct run r;
	run_open(&r, n, &y, 1, ONX_NONE, false, 0);
	run_forward(&r, n);
	for (size_t i = 0; i < ROWS * OUT; i++)
		to[i] = onx_view_real(onx_exec_view(r.exec, y), i);
	run_close(&r);
}

static size_t count(const bool *is, uint32_t n)
{
	size_t c = 0;
	for (uint32_t v = 0; v < n; v++)
		c += is[v];
	return c;
}

/* A float weight behind a pair is one; its scale and zero point are not. */
static void found(void **state)
{
	struct onx_arena a = { 0 };
	struct onx_err e = { 0 };
	struct net n;
	bool *is;
	uint32_t w, *node, quantised;

	(void)state;
	build(&n, false, &w);
	must(onx_graph_weights(n.g, &a, &is, &e), &e);
	assert_true(is[w]);
	assert_int_equal(count(is, n.g->n_value), 1);
	must(onx_graph_quantised(n.g, &a, &node, &quantised, &e), &e);
	assert_int_equal(quantised, 0);
	onx_arena_release(&a);
	net_free(&n);
}

/* Straight through the pair, dW = X' dY where nothing was cut off. */
static void learns(void **state)
{
	struct onx_err e = { 0 };
	struct net n;
	struct run r;
	uint32_t w, changed;

	(void)state;
	const uint32_t y = build(&n, false, &w);
	n.weight[w] = n.variable[w] = true;
	const uint32_t loss = LOSS(&n, y, ROWS, OUT), product = n.g->value[loss].def;
	const uint32_t by = n.g->node[n.g->value[n.g->node[product].in[0]].def].in[1];
	must(onx_straight_through(n.g, &changed, &e), &e);
	assert_int_equal(changed, 1);
	run_open(&r, &n, &loss, 1, loss, true, 1);
	run_forward(&r, &n);
	memset(r.params->grad, 0xff, r.params->n * sizeof(double));
	onx_exec_backward(r.exec, false, 1);
	const struct onx_view *x = onx_exec_view(r.exec, n.feed[0].value);
	const struct onx_view *dy = NULL;
	must(onx_consts_get(&r.consts, by, true, &dy, &e), &e);
	for (size_t i = 0; i < COLS; i++)
		for (size_t k = 0; k < OUT; k++) {
			double want = 0;
			for (size_t t = 0; t < ROWS; t++)
				want += onx_view_real(x, t * COLS + i) * onx_view_real(dy, t * OUT + k);
			const double have = ((const double *)r.params->grad)[r.params->at[w] + i * OUT + k];
			assert_true(fabs(have - want) <= 1e-12 * (1 + fabs(want)));
		}
	run_close(&r);
	net_free(&n);
}

/* Whole numbers are named and, when asked for, become a weight that computes the same. */
static void floats(void **state)
{
	struct onx_arena a = { 0 };
	struct onx_err e = { 0 };
	struct net n;
	bool *is;
	double was[ROWS * OUT], now[ROWS * OUT];
	uint32_t w, *node, quantised;

	(void)state;
	const uint32_t y = build(&n, true, &w);
	must(onx_graph_weights(n.g, &a, &is, &e), &e);
	assert_int_equal(count(is, n.g->n_value), 0);
	must(onx_graph_quantised(n.g, &a, &node, &quantised, &e), &e);
	assert_int_equal(quantised, 1);
	assert_string_equal(n.g->node[node[0]].type, "DequantizeLinear");
	outputs(&n, y, was);
	must(onx_dequantize(n.g, &quantised, NULL, &e), &e);
	assert_int_equal(quantised, 1);
	assert_int_equal(n.g->n_order, 1);
	outputs(&n, y, now);
	assert_memory_equal(was, now, sizeof was);
	must(onx_graph_weights(n.g, &a, &is, &e), &e);
	assert_int_equal(count(is, n.g->n_value), 1);
	assert_true(is[n.g->node[n.g->order[0]].in[1]]);
	must(onx_dequantize(n.g, &quantised, NULL, &e), &e);
	assert_int_equal(quantised, 0);
	onx_arena_release(&a);
	net_free(&n);
}

/* What the input is quantised with, and what an operator reads that has no weight there, is left alone. */
static void others(void **state)
{
	static const float scale = 0.5f;
	static const int8_t q[ROWS] = { 1, 2, 3 };
	const int64_t dim[1] = { ROWS };
	struct onx_err e = { 0 };
	struct net n;
	uint32_t quantised;

	(void)state;
	net_new(&n);
	const uint32_t s = constant(&n, "s", ONX_FLOAT, 0, NULL, &scale);
	const uint32_t in[2] = { constant(&n, "q", ONX_INT8, 1, dim, q), s };
	net_target(&n, OP2(&n, "Max", IN(&n, "x", ROWS), net_op(&n, "DequantizeLinear", 2, in, NULL)));
	must(onx_dequantize(n.g, &quantised, NULL, &e), &e);
	assert_int_equal(quantised, 0);
	assert_int_equal(n.g->n_order, 2);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(found), cmocka_unit_test(learns),
					    cmocka_unit_test(floats), cmocka_unit_test(others) };
	return RUN(tests);
}
