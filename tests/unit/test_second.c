/* Gradients of gradients: first, second and third derivatives of chains of operators against signed differences. */
#include "unit/lib/derive.h"

/* From a (3 x 3), b (3 x 1) and c (1 x 3) to h, through every kind of second derivative. */
struct link { const char *in, *type, *out; };
static const struct link CHAIN[] = {
	{ "a W", "MatMul", "m" }, { "m", "Tanh", "t" }, { "t b", "Mul", "p" }, { "p a", "Sub", "q" },
	{ "q", "Sigmoid", "s" }, { "s c", "Div", "v" }, { "v", "Exp", "h1" }, { "h1 W t", "Gemm", "h2" },
	{ "h2 h2", "Mul", "h3" }, { "h3", "Softplus", "h4" }, { "h4", "Sqrt", "h5" }, { "h5 two", "Pow", "h6" },
	{ "h6 s", "Sum", "h7" }, { "h7 c", "Pow", "h8" }, { "h8", "Log", "h9" }, { "h9", "Transpose", "h10" },
	{ "h10", "Relu", "h11" }, { "h11", "LeakyRelu", "h12" }, { "h12", "Erf", "h13" }, { "h13", "Sin", "h14" },
	{ "h14", "Cos", "h15" }, { "h15", "Reciprocal", "h16" }, { "h16", "Atan", "h17" }, { "h17", "Tan", "h18" },
	{ "h18", "Sinh", "h19" }, { "h19", "Cosh", "h20" }, { "h20", "Flatten", "h21" }, { "h21", "ReduceMean", "h" },
};
static const struct link PICTURES[] = {
	{ "a shape", "Reshape", "A" }, { "b c", "MatMul", "bc" }, { "bc shape", "Reshape", "B" },
	{ "A B", "Concat", "AB" }, { "AB B", "Conv", "C" }, { "C B bias", "ConvTranspose", "T" },
	{ "T index", "Gather", "G" }, { "G", "Abs", "G1" }, { "G1 A", "Mul", "G2" }, { "G2 A bias", "Conv", "G3" },
	{ "G3", "ReduceSum", "sum" }, { "sum bias", "Div", "h" },
};
static const struct link MOVES[] = {
	{ "a b", "Mul", "ab" }, { "ab c", "Mul", "abc" }, { "abc", "Exp", "e" },
	{ "e every", "GatherElements", "e1" }, { "e1 rows", "GatherND", "e2" }, { "e2 one", "CumSum", "e3" },
	{ "e3", "Trilu", "e4" }, { "e4 e", "Mean", "e5" }, { "e5", "Neg", "e6" }, { "some e6 e", "Where", "e7" },
	{ "e7 axes", "Unsqueeze", "e8" }, { "e8 reps", "Tile", "e9" }, { "e9", "DepthToSpace", "e10" },
	{ "e10", "SpaceToDepth", "e11" }, { "e11", "AveragePool", "e12" }, { "e12", "GlobalAveragePool", "e13" },
	{ "e13 ends", "Squeeze", "e14" }, { "e14", "Split", "e15 e16" }, { "e16 wide", "Expand", "e17" },
	{ "e17", "Identity", "e18" }, { "e18", "HardSigmoid", "e19" }, { "e19 low", "Clip", "e20" },
	{ "e20 zero four", "Slice", "e21" }, { "e21 e21", "Mul", "e22" }, { "e22", "ReduceSum", "h" },
};
/* Operators that are written out as others (graph/gradient_spell.c), or linear with a constant. */
static const struct link WRITTEN[] = {
	{ "a b", "Mul", "p" }, { "p c", "Add", "x" }, { "x", "Softmax", "s1" }, { "x", "LogSoftmax", "s2" },
	{ "s1 s2", "Mul", "s" }, { "x c low3", "LayerNormalization", "l1" },
	{ "l1 s", "Max", "m1" }, { "m1 a s1", "Min", "m2" }, { "m2", "Elu", "e1" }, { "e1", "Selu", "e2" },
	{ "e2", "Softsign", "e3" }, { "e3 b", "PRelu", "e4" }, { "e4 shape", "Reshape", "B" },
	{ "a shape", "Reshape", "A" }, { "A B", "Mul", "AB" }, { "AB pads", "Pad", "P" }, { "P", "MaxPool", "M" },
	{ "M", "GlobalMaxPool", "G" }, { "M scale1 bias mean1 var1", "BatchNormalization", "N" },
	{ "N scale1 bias", "InstanceNormalization", "I" }, { "I G", "Mul", "IG" }, { "IG", "ReduceMax", "R1" },
	{ "IG", "ReduceLogSumExp", "R2" }, { "IG", "ReduceL2", "R3" }, { "R1 R2", "Add", "R4" },
	{ "R4 R3", "Mul", "R5" }, { "IG", "Asinh", "R6" }, { "R6 R5", "Mul", "R7" }, { "R7 M", "Add", "R8" },
	{ "R8", "LpNormalization", "R9" }, { "x classes", "SoftmaxCrossEntropyLoss", "loss2" },
	{ "R9 loss2", "Mul", "R10" }, { "R10", "ReduceSum", "h" },
};
/* Ways back that a row says itself, and windows. */
static const struct link PRODUCTS[] = {
	{ "a b", "Mul", "p" }, { "p c", "Add", "x" }, { "x", "Det", "t" }, { "x", "ReduceProd", "r" },
	{ "x a", "Mod", "o" }, { "o x", "Mul", "q" }, { "q shape", "Reshape", "Q" }, { "Q", "LpPool", "L" },
	{ "Q turned", "Reshape", "T" }, { "T", "LRN", "N" }, { "N shape", "Reshape", "N1" }, { "L N1", "Mul", "LN" },
	{ "t r", "Mul", "tr" }, { "tr LN", "Mul", "w" }, { "w", "ReduceSum", "h" },
};
/* Bodies, which a plan has written out before it differentiates; they read b, c and W from around. */
static const struct link BODIES[] = {
	{ "a W", "MatMul", "m" }, { "three - m", "Loop", "l turns" }, { "yes", "If", "f" }, { "f turns", "Mul", "ft" },
	{ "ft", "ReduceSum", "h" },
};
static void bodies_of(struct onx_buf *n, const char *type)
{
	struct onx_buf body = { 0 }, other = { 0 };
	if (strcmp(type, "Loop") == 0) {
		add(&body, "v b", "Mul", "t");
		add(&body, "t W", "MatMul", "u");
		add(&body, "u", "Tanh", "vn");
		add(&body, "vn t", "Mul", "out");
		add(&body, "go", "Identity", "on");
		PORT_IN(&body, "i", WHOLE);
		PORT_IN(&body, "go", TRUTH);
		PORT_IN(&body, "v", REAL);
		PORT_OUT(&body, "on", TRUTH);
		PORT_OUT(&body, "vn", REAL);
		PORT_OUT(&body, "out", REAL);
		attr_graph(n, "body", &body);
	} else if (strcmp(type, "If") == 0) {
		add(&body, "l c", "Div", "r");
		PORT_OUT(&body, "r", REAL);
		add(&other, "l", "Neg", "r2");
		PORT_OUT(&other, "r2", REAL);
		attr_graph(n, "then_branch", &body);
		attr_graph(n, "else_branch", &other);
	}
}
/* What they need beside their inputs: attributes, and constants of whole numbers. */
static const struct { const char *type, *name; size_t n; int64_t v[2]; } ATTRS[] = {
	{ "Concat", "axis", 0, { 0 } }, { "Split", "axis", 0, { 1 } }, { "DepthToSpace", "blocksize", 0, { 2 } },
	{ "SpaceToDepth", "blocksize", 0, { 2 } }, { "AveragePool", "kernel_shape", 2, { 2, 2 } },
	{ "MaxPool", "kernel_shape", 2, { 2, 2 } }, { "LpPool", "kernel_shape", 2, { 3, 3 } },
	{ "LRN", "size", 0, { 2 } }, { "Mod", "fmod", 0, { 1 } },
};
static const struct { const char *name; size_t rank; int64_t dim[2], v[9]; int type; } WHOLES[] = {
	{ "shape", 1, { 4 }, { 1, 1, 3, 3 }, WHOLE }, { "turned", 1, { 4 }, { 1, 3, 3, 1 }, WHOLE },
	{ "index", 1, { 1 }, { 1 }, WHOLE },
	{ "two", 0, { 0 }, { 2 }, WHOLE },
	{ "every", 2, { 3, 3 }, { 0, 2, 1, 1, 1, 0, 2, 0, 2 }, WHOLE }, { "rows", 2, { 3, 1 }, { 2, 0, 2 }, WHOLE },
	{ "one", 0, { 0 }, { 1 }, WHOLE }, { "some", 2, { 3, 3 }, { 1, 0, 1, 0, 0, 1, 1, 1, 0 }, TRUTH },
	{ "axes", 1, { 2 }, { 0, 1 }, WHOLE }, { "reps", 1, { 4 }, { 1, 4, 2, 2 }, WHOLE },
	{ "ends", 1, { 2 }, { 2, 3 }, WHOLE }, { "wide", 1, { 2 }, { 5, 2 }, WHOLE },
	{ "zero", 1, { 1 }, { 0 }, WHOLE }, { "four", 1, { 1 }, { 4 }, WHOLE },
	{ "three", 0, { 0 }, { 3 }, WHOLE }, { "yes", 0, { 0 }, { 1 }, TRUTH },
	{ "pads", 1, { 8 }, { 0, 0, 1, 0, 0, 0, 0, 1 }, WHOLE }, { "classes", 1, { 3 }, { 2, 0, 1 }, WHOLE },
};
static const struct { const char *d, *of, *to; } SLOPE[] = {
	{ "da", "h", "a" }, { "db", "h", "b" }, { "dc", "h", "c" }, { "daa", "mixed", "a" }, { "dab", "mixed", "b" },
	{ "dac", "mixed", "c" }, { "daaa", "square", "a" }, { "daab", "square", "b" }, { "daac", "square", "c" },
};

/* The nodes of derivatives stand in front of what they are of: they are written in whatever order is right. */
static struct onx_buf derivatives(const struct link *chain, size_t count)
{
	struct onx_buf g = { 0 };
	for (size_t i = 0; i < count; i++) {
		struct onx_buf n = node(chain[i].in, chain[i].type, chain[i].out);
		for (size_t k = 0; k < sizeof ATTRS / sizeof *ATTRS; k++)
			if (strcmp(chain[i].type, ATTRS[k].type) == 0 && ATTRS[k].n)
				attr_ints(&n, ATTRS[k].name, ATTRS[k].n, ATTRS[k].v);
			else if (strcmp(chain[i].type, ATTRS[k].type) == 0)
				attr_int(&n, ATTRS[k].name, ATTRS[k].v[0]);
		bodies_of(&n, chain[i].type);
		pb_msg(&g, 1, &n);
	}
	gradient(&g, "a b c", "a b c", "", "square", "daaa daab daac");
	gradient(&g, "a b c", "a b c", "", "mixed", "daa dab dac");
	gradient(&g, "a b c", "a b c", "", "h", "da db dc");
	add(&g, "da W", "Mul", "scaled");
	add(&g, "scaled db", "Add", "mix");
	add(&g, "mix dc", "Mul", "mixed");
	add(&g, "daa daa", "Mul", "square");
	INPUT(&g, "a", 3, 3);
	INPUT(&g, "b", 3, 1);
	INPUT(&g, "c", 1, 3);
	tensor(&g, "W", 2, (int64_t[]){ 3, 3 });
	tensor(&g, "bias", 1, (int64_t[]){ 1 });
	tensor(&g, "low", 0, NULL);
	tensor(&g, "low3", 1, (int64_t[]){ 3 });
	for (int i = 0; i < 3; i++) {
		struct onx_buf t = pb_tensor(((const char *const[]){ "scale1", "mean1", "var1" })[i], REAL,
					     (int64_t[]){ 1 }, 1);
		pb_float(&t, 4, 0.5F + 0.3F * (float)i);
		pb_msg(&g, 5, &t);
	}
	for (size_t i = 0; i < sizeof WHOLES / sizeof *WHOLES; i++) {
		struct onx_buf t = pb_tensor(WHOLES[i].name, WHOLES[i].type, WHOLES[i].dim, WHOLES[i].rank);
		size_t size = 1;
		for (size_t d = 0; d < WHOLES[i].rank; d++)
			size *= (size_t)WHOLES[i].dim[d];
		for (size_t k = 0; k < size; k++)
			pb_int(&t, WHOLES[i].type == TRUTH ? 5 : 7, WHOLES[i].v[k]);
		pb_msg(&g, 5, &t);
	}
	for (size_t i = 0; i < sizeof SLOPE / sizeof *SLOPE; i++)
		PORT_OUT(&g, SLOPE[i].d, REAL);
	PORT_OUT(&g, "h", REAL);
	PORT_OUT(&g, "mixed", REAL);
	PORT_OUT(&g, "square", REAL);
	return model(&g);
}

/* A forward pass where element i of x is moved. */
static void moved(struct run *r, const struct net *n, const char *x, size_t i, double by)
{
	for (int k = 0; k < 3; k++) {
		const char *name = ((const char *const[]){ "a", "b", "c" })[k];
		size_t bytes;
		double *v = onx_exec_feed_at(r->exec, onx_graph_find(n->g, name), &bytes);
		for (size_t j = 0; j < bytes / sizeof *v; j++)
			v[j] = 0.6 + 0.13 * k + 0.07 * (double)((j * 5 + 1) % 7) +
			       (strcmp(name, x) == 0 && i == j ? by : 0);
	}
	onx_exec_forward(r->exec, 1, 0);
}

static double total(struct run *r, const struct net *n, const char *name)
{
	double sum = 0;
	for (size_t i = 0; i < onx_exec_view(r->exec, onx_graph_find(n->g, name))->n; i++)
		sum += at(r, n, name, i);
	return sum;
}

/* First, second and third derivatives against signed differences of what they are of. */
static void check_chain(const struct link *chain, size_t links, bool interpreted)
{
	struct net n;
	struct run r;
	struct onx_buf m = derivatives(chain, links);
	const double step = 1e-5;
	open_model(&n, &m);
	memset(n.train, 0, sizeof n.train);
	if (interpreted)
		like_interpreter(&n);
	run_open(&r, &n, n.g->output, n.g->n_output, ONX_NONE, true, 0);
	for (size_t k = 0; k < sizeof SLOPE / sizeof *SLOPE; k++) {
		const size_t count = SLOPE[k].to[0] == 'a' ? 9 : 3;
		for (size_t i = 0; i < count; i++) {
			moved(&r, &n, SLOPE[k].to, i, step);
			const double up = total(&r, &n, SLOPE[k].of);
			moved(&r, &n, SLOPE[k].to, i, -step);
			const double slope = (up - total(&r, &n, SLOPE[k].of)) / (2 * step);
			moved(&r, &n, "", 0, 0);
			const double d = at(&r, &n, SLOPE[k].d, i);
			assert_true(fabs(d) > 1e-9);
			if (!(fabs(d - slope) < 1e-6 * (1 + fabs(slope))))
				fail_msg("%s[%zu] is %.12g, differences say %.12g", SLOPE[k].d, i, d, slope);
		}
	}
	run_close(&r);
	net_free(&n);
}

static void of_gradients(void **state)
{
	(void)state;
	check_chain(CHAIN, sizeof CHAIN / sizeof *CHAIN, true);
	check_chain(PICTURES, sizeof PICTURES / sizeof *PICTURES, true);
	check_chain(MOVES, sizeof MOVES / sizeof *MOVES, true);
	check_chain(WRITTEN, sizeof WRITTEN / sizeof *WRITTEN, true);
	check_chain(PRODUCTS, sizeof PRODUCTS / sizeof *PRODUCTS, true);
	check_chain(BODIES, sizeof BODIES / sizeof *BODIES, false);
}

/* An operator without a second derivative is named. */
static void unknown_second(void **state)
{
	struct onx_err e = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *graph = NULL;
	struct onx_buf g = { 0 };
	(void)state;
	add(&g, "a a a", "RNN", "y");
	gradient(&g, "a", "a", "", "y", "d");
	gradient(&g, "a", "a", "", "d", "dd");
	INPUT(&g, "a", 3);
	PORT_OUT(&g, "dd", REAL);
	struct onx_buf bytes = model(&g);
	must(onx_model_parse(bytes.data, bytes.len, NULL, &m, &e), &e);
	onx_buf_release(&bytes);
	must_fail(onx_graph_build(m, 0, &graph, &e), ONX_UNSUP, &e, "RNN has no second derivative");
	must(onx_graph_build(m, ONX_BUILD_LAX, &graph, &e), &e);
	onx_graph_free(graph);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(of_gradients), cmocka_unit_test(unknown_second) };

	return RUN(tests);
}
