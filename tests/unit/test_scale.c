/* Which pointwise convolutions take in the scales of their input (plan/lower_scale.c), and that the numbers stay. */
#include "unit/lib/net.h"

enum { SAMPLES = 2, SIDE = 7, WIDE = 16 };
enum change { NONE, TURNED, NO_SCALE, STRIDE, WINDOW, ASKED_FOR, READ_TWICE, TRAINED, CHANGES };
static const struct { const char *name; int steps; } changes[CHANGES] = {
	[NONE] = { "nothing", 1 },
	[TURNED] = { "the scale is the first factor", 1 },
	[NO_SCALE] = { "both factors are pictures", 0 },
	[STRIDE] = { "a stride", 0 },
	[WINDOW] = { "a window of 3 x 3", 0 },
	[ASKED_FOR] = { "the product is asked for", 0 },
	[READ_TWICE] = { "the product is read twice", 0 },
	[TRAINED] = { "weights that train", 1 },        /* this plan only goes forward */
};

static uint32_t conv(struct net *n, uint32_t x, uint32_t w, int64_t stride)
{
	const struct onx_file_attr a[] = { onx_attr_ints("strides", (int64_t[]){ stride, stride }, 2) };
	uint32_t in[2] = { x, w }, y;

	net_node(n, "Conv", 2, in, 1, &y, 1, a);
	return y;
}

static uint32_t net_of(struct net *n, enum change c, uint32_t *product)
{
	const int64_t k = c == WINDOW ? 3 : 1;
	uint32_t x, s, y;

	net_new(n);
	x = OP1(n, "Relu", conv(n, IN(n, "x", SAMPLES, WIDE, SIDE, SIDE), FROZEN(n, WIDE, WIDE, 1, 1), 1));
	s = OP1(n, "Sigmoid", conv(n, OP1(n, "GlobalAveragePool", x), FROZEN(n, WIDE, WIDE, 1, 1), 1));
	if (c == NO_SCALE)
		s = OP1(n, "Sigmoid", conv(n, x, FROZEN(n, WIDE, WIDE, 1, 1), 1));
	*product = c == TURNED ? OP2(n, "Mul", s, x) : OP2(n, "Mul", x, s);
	y = conv(n, *product, c == TRAINED ? W(n, 24, WIDE, k, k) : FROZEN(n, 24, WIDE, k, k), c == STRIDE ? 2 : 1);
	y = OP1(n, "Sigmoid", y);
	return c == READ_TWICE ? OP2(n, "Mul", y, OP1(n, "ReduceMean", *product)) : y;
}

static void one(enum change c)
{
	struct net n;
	struct pair p;
	uint32_t out[2];
	const uint32_t asked = c == ASKED_FOR ? 2 : 1;

	out[0] = net_of(&n, c, &out[1]);
	pair_open(&p, &n, out, asked);
	if (steps_of(p.fast.plan, "ConvScaledLast") != changes[c].steps)
		fail_msg("%s: %d steps", changes[c].name, steps_of(p.fast.plan, "ConvScaledLast"));
	pair_close(&p, &n, 1e-5, changes[c].name);
}

static void same_numbers(void **state)
{
	(void)state;
	for (int c = 0; c < CHANGES; c++)
		one((enum change)c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_numbers) };

	return RUN(tests);
}
