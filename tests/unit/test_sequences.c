/* Sequences of tensors that are computed while running, in plans: the interpreter's numbers, gradients through what
 * goes in and comes out; what no plan can hold is refused. */
#include "unit/lib/bodies.h"

static void axis_of(struct onx_buf *g, const char *in, const char *type, const char *out, int64_t axis,
		    const char *also)
{
	struct onx_buf n = node(in, type, out);
	attr_int(&n, "axis", axis);
	if (also)
		attr_int(&n, also, strcmp(also, "new_axis") == 0);
	pb_msg(g, 1, &n);
}

static void finish(struct onx_buf *g, const char *y)
{
	char twice[64];
	snprintf(twice, sizeof twice, "%s %s", y, y);
	add(g, twice, "Mul", "square");
	add(g, "square", "ReduceSum", "loss");
	weight(g, "W", 3, 3);
	INPUT(g, "x", 2, 3);
	PORT_OUT(g, "loss", REAL);
	PORT_OUT(g, y, REAL);
}

/* A Loop that gathers its turns in a sequence, and one that hands a sequence around. */
static struct onx_buf gathering(bool new_axis)
{
	struct onx_buf g = { 0 }, body = { 0 };
	add(&g, "", "SequenceEmpty", "none");
	add(&body, "v W", "MatMul", "w");
	add(&body, "w", "Tanh", "vn");
	add(&body, "s vn", "SequenceInsert", "s2");
	add(&body, "s2", "SequenceLength", "len");
	add(&body, "s2 zero", "SequenceAt", "first");
	add(&body, "first vn", "Add", "both");
	add(&body, "s2 both", "SequenceInsert", "sn");
	add(&body, "go", "Identity", "on");
	whole(&body, "zero", 0);
	PORT_IN(&body, "i", WHOLE);
	PORT_IN(&body, "go", TRUTH);
	PORT_IN(&body, "v", REAL);
	PORT_IN(&body, "s", REAL);
	PORT_OUT(&body, "on", TRUTH);
	PORT_OUT(&body, "vn", REAL);
	PORT_OUT(&body, "sn", REAL);
	struct onx_buf n = node("three - x none", "Loop", "last all");
	attr_graph(&n, "body", &body);
	pb_msg(&g, 1, &n);
	axis_of(&g, "all", "ConcatFromSequence", "y", 0, new_axis ? "new_axis" : NULL);
	whole(&g, "three", 3);
	finish(&g, "y");
	return g;
}

/* Slices, a body on each of them beside a tensor, a piece out, another in, and joined. */
static struct onx_buf mapping(bool keep)
{
	struct onx_buf g = { 0 }, body = { 0 };
	add(&g, "x W", "MatMul", "h");
	axis_of(&g, "h", "SplitToSequence", "parts", 1, keep ? NULL : "keepdims");
	add(&body, "e", "Sigmoid", "f");
	add(&body, "f t", "Mul", "m");
	add(&body, "e e", "Add", "d");
	PORT_IN(&body, "e", REAL);
	PORT_IN(&body, "t", REAL);
	PORT_OUT(&body, "m", REAL);
	PORT_OUT(&body, "d", REAL);
	struct onx_buf n = node("parts scale", "SequenceMap", "m2 d2");
	attr_graph(&n, "body", &body);
	pb_msg(&g, 1, &n);
	add(&g, "m2 one", "SequenceErase", "less");
	add(&g, "d2 one", "SequenceAt", "at");
	add(&g, "less at zero", "SequenceInsert", "more");
	axis_of(&g, "more", "ConcatFromSequence", "y", keep ? 1 : 0, keep ? NULL : "new_axis");
	whole(&g, "one", 1);
	whole(&g, "zero", 0);
	struct onx_buf t = pb_tensor("half", REAL, NULL, 0);
	pb_float(&t, 4, 0.5F);
	pb_msg(&g, 5, &t);
	struct onx_buf sum = node("x", "ReduceMean", "mean");
	attr_int(&sum, "keepdims", 0);
	pb_msg(&g, 1, &sum);
	add(&g, "mean half", "Add", "scale");
	finish(&g, "y");
	return g;
}

static void planned(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct net n;
		struct onx_buf g = k < 2 ? gathering(k & 1) : mapping(k & 1);
		open_net(&n, &g);
		assert_true(n.weight[onx_graph_find(n.g, "W")]);
		like_interpreter(&n);
		both(&n, onx_graph_find(n.g, "loss"));
	}
}

/* The position is one of the numbers. */
static void unknown_position(void **state)
{
	struct onx_err e = { 0 };
	struct onx_buf g = { 0 };
	struct net n;
	struct run r;
	(void)state;
	add(&g, "x W", "MatMul", "h");
	add(&g, "h h", "SequenceConstruct", "s");
	struct onx_buf arg = node("x", "ReduceMax", "a"), cast = node("a", "Cast", "p");
	attr_int(&arg, "keepdims", 0);
	pb_msg(&g, 1, &arg);
	attr_int(&cast, "to", WHOLE);
	pb_msg(&g, 1, &cast);
	add(&g, "s p", "SequenceAt", "y");
	finish(&g, "y");
	open_net(&n, &g);
	must_fail(run_with(&r, &n, net_want(&n, n.g->output, 1, n.g->output[0], false), 0, &e), ONX_UNSUP, &e,
		  "computed while running");
	onx_consts_release(&r.consts);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(planned), cmocka_unit_test(unknown_position) };
	return RUN(tests);
}
