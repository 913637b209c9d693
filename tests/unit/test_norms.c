/* Which trained normalizations go into the convolution behind them and have their statistics from the one in front
 * (plan/lower_norm.c), and that gradients and running statistics stay: beside the plan in double, where nothing is
 * lowered; and that they are made again where memory is short. */
#include <math.h>
#include "unit/lib/net.h"

enum { SAMPLES = 3, FROM = 8, WIDE = 16, OUT = 24, SIDE = 9 };
enum change { NONE, READ_TWICE, ASKED_FOR, NO_ACTIVATION, WINDOW, FIXED, STRIDE, BIAS, SUM, DEEP, CHANGES };
/* Steps of both directions are counted. */
static const struct { const char *name; int norms, moments; } changes[CHANGES] = {
	[NONE] = { "nothing", 4, 2 },
	[READ_TWICE] = { "the first result is read twice", 2, 2 },
	[ASKED_FOR] = { "the first result is asked for", 2, 2 },
	[NO_ACTIVATION] = { "no activations", 4, 2 },
	[WINDOW] = { "a dense window in the middle", 2, 0 },
	[FIXED] = { "fixed statistics", 0, 0 },
	[STRIDE] = { "a stride at the end", 2, 2 },
	[BIAS] = { "biases", 4, 2 },
	[SUM] = { "a sum behind the last normalization", 4, 2 },
	[DEEP] = { "more layers", 12, 2 },
};

struct block { uint32_t first, loss; };

static uint32_t norm(struct net *n, uint32_t x, int64_t c, bool train)
{
	const uint32_t in[5] = { x, POSITIVE(n, true, c), W(n, c), FROZEN(n, c), POSITIVE(n, false, c) };
	uint32_t y;
	const uint32_t id = net_node(n, "BatchNormalization", 5, in, 1, &y, 0, NULL);

	n->train[id] = train;
	for (int k = 0; k < 2; k++)
		n->variable[in[3 + k]] = train;
	return y;
}

static uint32_t conv(struct net *n, uint32_t x, int64_t from, int64_t to, int64_t side, int64_t group, int64_t stride,
		     bool bias)
{
	const int64_t pad = side / 2;
	const struct onx_file_attr a[] = { onx_attr_ints("strides", (int64_t[]){ stride, stride }, 2),
					   onx_attr_ints("pads", (int64_t[]){ pad, pad, pad, pad }, 4),
					   onx_attr_int("group", group) };
	uint32_t in[3] = { x, W(n, to, from / group, side, side), ONX_NONE }, y;

	if (bias)
		in[2] = W(n, to);
	net_node(n, "Conv", bias ? 3 : 2, in, 1, &y, 3, a);
	return y;
}

/* What mobile nets are made of, with a layer in front so that x has a gradient. */
static struct block block_of(struct net *n, enum change c)
{
	const bool train = c != FIXED, act = c != NO_ACTIVATION, bias = c == BIAS;
	struct block b;
	uint32_t h, sum;

	net_new(n);
	h = OP1(n, "Tanh", conv(n, IN(n, "x", SAMPLES, FROM, SIDE, SIDE), FROM, FROM, 3, 1, 1, false));
	h = norm(n, conv(n, h, FROM, WIDE, 1, 1, 1, bias), WIDE, train);
	b.first = h = act ? OP1(n, "Relu", h) : h;
	h = norm(n, conv(n, h, WIDE, WIDE, 3, c == WINDOW ? 1 : WIDE, c == DEEP ? 1 : 2, bias), WIDE, train);
	h = act ? OP1(n, "HardSwish", h) : h;
	for (int k = 0; k < 4 && c == DEEP; k++)
		h = OP1(n, "Relu", norm(n, conv(n, h, WIDE, WIDE, 1, 1, 1, false), WIDE, true));
	h = norm(n, conv(n, h, WIDE, OUT, 1, 1, c == STRIDE ? 2 : 1, bias), OUT, train);
	if (c == SUM)
		h = OP2(n, "Add", h, OP1(n, "Tanh", h));
	sum = LOSS(n, OP1(n, "Flatten", OP1(n, "GlobalAveragePool", OP1(n, "Sigmoid", h))), SAMPLES, OUT);
	if (c == READ_TWICE)
		sum = OP2(n, "Add", sum, LOSS(n, OP1(n, "Flatten", OP1(n, "GlobalAveragePool", b.first)), SAMPLES,
					      WIDE));
	b.loss = sum;
	return b;
}

static double number(const struct run *r, const void *v, size_t i)
{
	return r->params->wide ? ((const double *)v)[i] : (double)((const float *)v)[i];
}

/* Gradients, and weights with the running statistics among them: both blocks are laid out alike. */
static void beside(const struct run *a, const struct run *b, const char *name)
{
	assert_int_equal(a->params->n, b->params->n);
	for (size_t i = 0; i < 2 * a->params->n; i++) {
		const bool grad = i % 2;
		const double x = number(a, grad ? a->params->grad : a->params->weight, i / 2);
		const double y = number(b, grad ? b->params->grad : b->params->weight, i / 2);

		if (!(fabs(x - y) < 2e-4 * (1 + fabs(y))))
			fail_msg("%s: %s %zu is %g, wanted %g", name, grad ? "gradient" : "parameter", i / 2, x, y);
	}
}

static void one(enum change c)
{
	struct net n;
	struct run fast[2], plain;
	const struct block b = block_of(&n, c);
	const uint32_t target[2] = { b.loss, b.first }, asked = c == ASKED_FOR ? 2 : 1;

	run_open(&plain, &n, target, asked, b.loss, true, 0);
	run_forward(&plain, &n);
	onx_exec_backward(plain.exec, false, 1);
	for (int k = 0; k < 2; k++) {
		run_open(&fast[k], &n, target, asked, b.loss, false, k ? 3 : 0);
		if (steps_of(fast[k].plan, "NormConvLast") != changes[c].norms ||
		    steps_of(fast[k].plan, "ConvMomentsLast") != changes[c].moments)
			fail_msg("%s: %d and %d steps", changes[c].name, steps_of(fast[k].plan, "NormConvLast"),
				 steps_of(fast[k].plan, "ConvMomentsLast"));
		run_forward(&fast[k], &n);
		onx_exec_backward(fast[k].exec, false, 1);
		beside(&fast[k], &plain, changes[c].name);
	}
	assert_memory_equal(fast[0].params->grad, fast[1].params->grad, fast[0].params->n * sizeof(float));
	assert_memory_equal(fast[0].params->weight, fast[1].params->weight, fast[0].params->n * sizeof(float));
	for (int k = 0; k < 2; k++)
		run_close(&fast[k]);
	run_close(&plain);
	net_free(&n);
}

static int again(const struct onx_plan *p, const char *type)
{
	int n = 0;
	for (uint32_t i = 0; i < p->n_step; i++)
		n += p->step[i].again && strcmp(p->step[i].op->type, type) == 0;
	return n;
}

/* In less memory the steps are run again amid backward: the same bits, statistics and all. */
static void made_again(void **state)
{
	struct onx_err e = { 0 };
	struct net n;
	struct run r[2];
	const struct block b = block_of(&n, DEEP);
	struct onx_plan_want want = net_want(&n, &b.loss, 1, b.loss, false);
	size_t least = 0;
	(void)state;
	want.budget = 1;
	want.least = &least;
	assert_int_equal(run_with(&r[0], &n, want, 0, &e), ONX_NOMEM);
	onx_consts_release(&r[0].consts);
	want.budget = least;
	must(run_with(&r[1], &n, want, 0, &e), &e);
	run_open(&r[0], &n, &b.loss, 1, b.loss, false, 0);
	assert_true(again(r[1].plan, "NormConvLast") > 0 && again(r[1].plan, "ConvMomentsLast") > 0);
	assert_true(r[1].plan->bytes < r[0].plan->bytes);
	for (int k = 0; k < 2; k++) {
		run_forward(&r[k], &n);
		onx_exec_backward(r[k].exec, false, 1);
	}
	assert_memory_equal(r[0].params->grad, r[1].params->grad, r[0].params->n * sizeof(float));
	assert_memory_equal(r[0].params->weight, r[1].params->weight, r[0].params->n * sizeof(float));
	for (int k = 0; k < 2; k++)
		run_close(&r[k]);
	net_free(&n);
}

static void same_numbers(void **state)
{
	(void)state;
	for (int c = 0; c < CHANGES; c++)
		one((enum change)c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_numbers), cmocka_unit_test(made_again) };

	return RUN(tests);
}
