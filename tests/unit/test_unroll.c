/* If, Loop and Scan in plans: the same numbers as turn by turn in the interpreter, gradients through all turns,
 * clear faults where something that decides is not known. */
#include "unit/lib/bodies.h"

/* A recurrent layer: Y, H = f(X W + H R), the weight W in the body, R around it. */
static struct onx_buf scan(bool back, int64_t axis)
{
	struct onx_buf g = { 0 }, body = { 0 };
	add(&body, "xt W", "MatMul", "a");
	add(&body, "h R", "MatMul", "b");
	add(&body, "a b", "Add", "c");
	add(&body, "c", "Tanh", "hn");
	add(&body, "hn", "Sigmoid", "yt");
	weight(&body, "W", 3, 4);
	PORT_IN(&body, "h", REAL);
	PORT_IN(&body, "xt", REAL);
	PORT_OUT(&body, "hn", REAL);
	PORT_OUT(&body, "yt", REAL);
	struct onx_buf n = node("h0 x", "Scan", "H Y");
	attr_int(&n, "num_scan_inputs", 1);
	attr_ints(&n, "scan_input_axes", 1, &axis);
	attr_ints(&n, "scan_output_axes", 1, &axis);
	attr_ints(&n, "scan_input_directions", 1, (int64_t[]){ back });
	attr_ints(&n, "scan_output_directions", 1, (int64_t[]){ back });
	attr_graph(&n, "body", &body);
	pb_msg(&g, 1, &n);
	add(&g, "Y", "ReduceSum", "sum");
	add(&g, "H H", "Mul", "HH");
	add(&g, "HH", "ReduceSum", "sumH");
	add(&g, "sum sumH", "Add", "loss");
	weight(&g, "R", 4, 4);
	INPUT(&g, "h0", 2, 4);
	INPUT(&g, "x", 2, 5, 3);
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "Y", REAL);
	PORT_OUT(&g, "H", REAL);
	return g;
}

static void scans(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct net n;
		struct onx_buf g = scan(k & 1, k & 2 ? 1 : -2);
		open_net(&n, &g);
		assert_true(n.weight[onx_graph_find(n.g, "W")]);
		assert_true(n.weight[onx_graph_find(n.g, "R")]);
		like_interpreter(&n);
		both(&n, onx_graph_find(n.g, "loss"));
	}
}

/* out = Relu of x where `is` says so, else Tanh. */
static void branch(struct onx_buf *g, const char *is, const char *x, const char *out)
{
	struct onx_buf then = { 0 }, other = { 0 }, n = node(is, "If", out);
	add(&then, x, "Relu", "r");
	PORT_OUT(&then, "r", REAL);
	add(&other, x, "Tanh", "t");
	PORT_OUT(&other, "t", REAL);
	attr_graph(&n, "then_branch", &then);
	attr_graph(&n, "else_branch", &other);
	pb_msg(g, 1, &n);
}

/* v = f(v L) while the count goes on, f Relu for two turns and Tanh then; sums of all turns. */
static struct onx_buf loop(int64_t most, bool stop)
{
	struct onx_buf g = { 0 }, body = { 0 };
	add(&body, "v L", "MatMul", "v1");
	struct onx_buf cast = node("i", "Cast", "ir");
	attr_int(&cast, "to", REAL);
	pb_msg(&body, 1, &cast);
	add(&body, "v1 ir", "Add", "v2");
	add(&body, "i two", "Less", "early");
	branch(&body, "early", "v2", "vn");
	add(&body, "i three", "Less", stop ? "on" : "unread");
	if (!stop)
		add(&body, "go", "Identity", "on");
	add(&body, "vn", "ReduceSum", "sum");
	weight(&body, "L", 3, 3);
	whole(&body, "two", 2);
	whole(&body, "three", 3);
	PORT_IN(&body, "i", WHOLE);
	PORT_IN(&body, "go", TRUTH);
	PORT_IN(&body, "v", REAL);
	PORT_OUT(&body, "on", TRUTH);
	PORT_OUT(&body, "vn", REAL);
	value(&body, 12, "sum", REAL, 2, (int64_t[]){ 1, 1 });
	struct onx_buf n = node("most - x", "Loop", "y sums");
	attr_graph(&n, "body", &body);
	pb_msg(&g, 1, &n);
	add(&g, "y y", "Mul", "yy");
	add(&g, "yy", "ReduceSum", "a");
	add(&g, "sums", "ReduceSum", "b");
	add(&g, "a b", "Add", "loss");
	whole(&g, "most", most);
	INPUT(&g, "x", 2, 3);
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "y", REAL);
	PORT_OUT(&g, "sums", REAL);
	return g;
}

static void loops(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct net n;
		struct onx_buf g = loop(k < 2 ? 5 : 1, k & 1);
		open_net(&n, &g);
		like_interpreter(&n);
		struct run r;
		run_open(&r, &n, n.g->output, n.g->n_output, ONX_NONE, false, 0);
		const struct onx_view *sums = onx_exec_view(r.exec, onx_graph_find(n.g, "sums"));
		assert_int_equal(sums->dim[0], k == 0 ? 5 : k == 1 ? 4 : 1);
		run_close(&r);
		both(&n, onx_graph_find(n.g, "loss"));
	}
}

static void no_turn(void **state)
{
	struct net n;
	struct onx_buf g = loop(0, false);
	(void)state;
	open_net(&n, &g);
	like_interpreter(&n);
	net_free(&n);
}

/* A Constant node of a body trains where the file has a tensor for it; lists of numbers could not be written back. */
static void constants_of_bodies(void **state)
{
	(void)state;
	for (int list = 0; list < 2; list++) {
		struct net n;
		struct onx_buf g = { 0 }, body = { 0 }, bias = { 0 }, a = { 0 };
		struct onx_buf t = pb_tensor("", REAL, (int64_t[]){ 3 }, 1);
		words(&bias, 2, "bias");
		pb_str(&bias, 4, "Constant");
		for (int i = 0; i < 3; i++)
			pb_float(list ? &a : &t, list ? 7 : 4, (float)i);
		pb_str(&a, 1, list ? "value_floats" : "value");
		pb_int(&a, 20, list ? 6 : 4);
		if (list)
			onx_buf_release(&t);
		else
			pb_msg(&a, 5, &t);
		pb_msg(&bias, 5, &a);
		pb_msg(&body, 1, &bias);
		add(&body, "xt bias", "Mul", "m");
		add(&body, "m bias", "Add", "yt");
		PORT_IN(&body, "xt", REAL);
		PORT_OUT(&body, "yt", REAL);
		struct onx_buf scan = node("x", "Scan", "Y");
		attr_int(&scan, "num_scan_inputs", 1);
		attr_graph(&scan, "body", &body);
		pb_msg(&g, 1, &scan);
		add(&g, "Y", "ReduceSum", "loss");
		INPUT(&g, "x", 4, 3);
		PORT_OUT(&g, "loss", REAL);
		open_net(&n, &g);
		assert_int_equal(n.weight[onx_graph_find(n.g, "bias")], !list);
		like_interpreter(&n);
		if (list)
			net_free(&n);
		else
			both(&n, onx_graph_find(n.g, "loss"));
	}
}

/* --- what a plan cannot know ----------------------------------------------------------------------- */

static void refused(struct onx_buf *g, int code, const char *text)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	open_net(&n, g);
	must_fail(run_with(&r, &n, net_want(&n, n.g->output, n.g->n_output, ONX_NONE, false), 0, &e), code, &e, text);
	onx_consts_release(&r.consts);
	net_free(&n);
}

static void condition_of_numbers(void **state)
{
	struct onx_buf g = { 0 };
	(void)state;
	struct onx_buf sum = node("x", "ReduceSum", "s");
	attr_int(&sum, "keepdims", 0);
	pb_msg(&g, 1, &sum);
	add(&g, "s s", "Less", "is");
	branch(&g, "is", "x", "y");
	INPUT(&g, "x", 2, 3);
	PORT_OUT(&g, "y", REAL);
	refused(&g, ONX_UNSUP, "computed while running");
}

static void too_long(void **state)
{
	struct onx_buf g = loop(1 << 15, false);
	(void)state;
	refused(&g, ONX_UNSUP, "more than 16384 turns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans), cmocka_unit_test(loops), cmocka_unit_test(no_turn),
		cmocka_unit_test(constants_of_bodies),
		cmocka_unit_test(condition_of_numbers), cmocka_unit_test(too_long),
	};
	return RUN(tests);
}
