/* Float and double inputs of one node, where the specification allows them: the plan casts what is not in the
 * precision of the node; the interpreter's numbers, gradients through both. */
#include "unit/lib/bodies.h"

static void cast(struct onx_buf *g, const char *in, int to, const char *out)
{
	struct onx_buf n = node(in, "Cast", out);
	attr_int(&n, "to", to);
	pb_msg(g, 1, &n);
}

static void vector(struct onx_buf *g, const char *name, float from)
{
	struct onx_buf t = pb_tensor(name, REAL, (int64_t[]){ 3 }, 1);
	for (int i = 0; i < 3; i++)
		pb_float(&t, 4, from + 0.3F * (float)i);
	pb_msg(g, 5, &t);
}

/* Base and exponent of other precisions, either way; a normalization of double data with float parameters, which
 * train; a OneHot of float indices and double values. */
static struct onx_buf model(void)
{
	struct onx_buf g = { 0 };
	add(&g, "x W", "MatMul", "h");
	add(&g, "h", "Softplus", "base");
	cast(&g, "base", ONX_DOUBLE, "wide");
	add(&g, "base wide", "Pow", "p1");
	add(&g, "wide base", "Pow", "p2");
	add(&g, "p2 gamma beta mean var", "BatchNormalization", "n");
	add(&g, "idx depth pair", "OneHot", "hot");
	cast(&g, "n", ONX_FLOAT, "n1");
	cast(&g, "hot", ONX_FLOAT, "hot1");
	add(&g, "p1 n1", "Mul", "m");
	add(&g, "m hot1", "Add", "s");
	add(&g, "s", "ReduceSum", "loss");
	add(&g, "place", "Abs", "idx");
	add(&g, "q", "Identity", "q1");
	cast(&g, "q1", ONX_DOUBLE, "pair");
	weight(&g, "W", 3, 3);
	vector(&g, "gamma", 0.5F);
	vector(&g, "beta", -0.2F);
	vector(&g, "mean", 0.1F);
	vector(&g, "var", 0.7F);
	struct onx_buf t = pb_tensor("depth", REAL, NULL, 0);
	pb_float(&t, 4, 3);
	pb_msg(&g, 5, &t);
	INPUT(&g, "x", 2, 3);
	INPUT(&g, "place", 2);
	INPUT(&g, "q", 2);
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "s", REAL);
	PORT_OUT(&g, "p2", ONX_DOUBLE);
	return g;
}

static void mixed(void **state)
{
	struct onx_buf g = model();
	struct onx_err e = { 0 };
	struct net n;
	struct run r;
	(void)state;
	open_net(&n, &g);
	memset(n.train, 0, sizeof n.train);
	memset(n.variable, 0, sizeof n.variable);
	for (uint32_t v = 0; v < n.g->n_value; v++)
		n.variable[v] = n.weight[v];
	assert_true(n.weight[onx_graph_find(n.g, "gamma")]);
	must(run_with(&r, &n, net_want(&n, n.g->output, n.g->n_output, ONX_NONE, false), 0, &e), &e);
	run_forward(&r, &n);
	assert_int_equal(onx_exec_view(r.exec, onx_graph_find(n.g, "p2"))->width, 8);
	run_close(&r);
	like_interpreter(&n);
	both(&n, onx_graph_find(n.g, "loss"));
}

/* Statistics of a batch move in their own type: refused. */
static void statistics(void **state)
{
	struct onx_buf g = model();
	struct onx_err e = { 0 };
	struct net n;
	struct run r;
	(void)state;
	open_net(&n, &g);
	must_fail(run_with(&r, &n, net_want(&n, n.g->output, 1, n.g->output[0], false), 0, &e), ONX_UNSUP, &e,
		  "where the data is double");
	onx_consts_release(&r.consts);
	net_free(&n);
}

/* Float beside double in the nodes of a graph of which `version` is the opset: plan and interpreter, gradients, and
 * the numbers of a plan that computes in double alone.  The largest of those is the loss, the sum of n products: each
 * may be off by `size` times 2^-23, the step of float at 1. */
static void beside(struct onx_buf *g, uint64_t version, int n_products, double size)
{
	const double near = n_products * size * 0x1p-23;
	struct onx_buf bytes = pb_model_of(g, version);
	struct net n;
	struct pair p;
	open_model(&n, &bytes);
	like_interpreter(&n);
	slopes_wide(&n, onx_graph_find(n.g, "loss"));
	slopes_float(&n, onx_graph_find(n.g, "loss"));
	pair_open(&p, &n, n.g->output, n.g->n_output);
	pair_close(&p, &n, near, "float beside double");
}

/* loss = the sum of a b, b of which is double */
static void end(struct onx_buf *g, const char *a, const char *b)
{
	char both_of[64];
	cast(g, b, ONX_FLOAT, "narrow");
	snprintf(both_of, sizeof both_of, "%s narrow", a);
	add(g, both_of, "Mul", "m");
	add(g, "m", "ReduceSum", "loss");
	PORT_OUT(g, "loss", REAL);
	PORT_OUT(g, a, REAL);
	PORT_OUT(g, b, ONX_DOUBLE);
}

/* Both factors are means of numbers below 1. */
static void attention(void **state)
{
	struct onx_buf g = { 0 };
	(void)state;
	add(&g, "x W", "MatMul", "q");
	add(&g, "x U", "MatMul", "k");
	add(&g, "q", "Sigmoid", "v");
	cast(&g, "v", ONX_DOUBLE, "wv");
	cast(&g, "q", ONX_DOUBLE, "wq");
	cast(&g, "k", ONX_DOUBLE, "wk");
	cast(&g, "bias", ONX_DOUBLE, "wbias");
	add(&g, "q k wv wbias", "Attention", "y1");
	add(&g, "wq wk v bias", "Attention", "y2");
	end(&g, "y1", "y2");
	weight(&g, "W", 6, 6);
	weight(&g, "U", 6, 6);
	weight(&g, "bias", 5, 5);
	INPUT(&g, "x", 2, 2, 5, 6);
	beside(&g, 24, 2 * 2 * 5 * 6, 1);
}

/* The value that goes on has to be the value that came. */
static void present(void **state)
{
	struct onx_buf g = { 0 }, bytes;
	struct onx_err e = { 0 };
	struct net n;
	struct run r;
	(void)state;
	cast(&g, "x", ONX_DOUBLE, "wx");
	add(&g, "x x wx", "Attention", "y - v");
	INPUT(&g, "x", 1, 1, 2, 2);
	PORT_OUT(&g, "y", REAL);
	PORT_OUT(&g, "v", ONX_DOUBLE);
	bytes = pb_model_of(&g, 24);
	open_model(&n, &bytes);
	must_fail(run_with(&r, &n, net_want(&n, n.g->output, 2, ONX_NONE, false), 0, &e), ONX_UNSUP, &e,
		  "present values are double where Q is float");
	onx_consts_release(&r.consts);
	net_free(&n);
}

/* Factors below 2; places on an axis of 6 elements are known to 3 steps, slopes are about 1. */
static void grid(void **state)
{
	struct onx_buf g = { 0 };
	(void)state;
	add(&g, "x W", "MatMul", "h");
	add(&g, "at U", "MatMul", "turned");
	add(&g, "turned", "Tanh", "places");
	cast(&g, "h", ONX_DOUBLE, "wh");
	cast(&g, "places", ONX_DOUBLE, "wplaces");
	add(&g, "h wplaces", "GridSample", "y1");
	add(&g, "wh places", "GridSample", "y2");
	end(&g, "y1", "y2");
	weight(&g, "W", 6, 6);
	weight(&g, "U", 2, 2);
	INPUT(&g, "x", 2, 3, 5, 6);
	INPUT(&g, "at", 2, 3, 4, 2);
	beside(&g, 20, 2 * 3 * 3 * 4, 6);
}

/* ONNX Runtime's own: the result has the type of the scale. */
static void layer(void **state)
{
	struct onx_buf g = { 0 };
	(void)state;
	add(&g, "x W", "MatMul", "h");
	cast(&g, "h", ONX_DOUBLE, "wh");
	cast(&g, "gamma", ONX_DOUBLE, "wgamma");
	cast(&g, "beta", ONX_DOUBLE, "wbeta");
	add(&g, "wh gamma beta", "LayerNormalization", "y1");
	add(&g, "h wgamma wbeta", "LayerNormalization", "y2");
	end(&g, "y1", "y2");
	weight(&g, "W", 3, 3);
	vector(&g, "gamma", 0.5F);
	vector(&g, "beta", -0.2F);
	INPUT(&g, "x", 4, 3);
	beside(&g, 13, 4 * 3, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(mixed), cmocka_unit_test(statistics),
					    cmocka_unit_test(attention), cmocka_unit_test(present),
					    cmocka_unit_test(grid), cmocka_unit_test(layer) };
	return RUN(tests);
}
