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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(mixed), cmocka_unit_test(statistics) };
	return RUN(tests);
}
