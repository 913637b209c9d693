/* Which convolutions a plan computes strip by strip (plan/lower_strips.c), and that the numbers stay. */
#include "unit/lib/net.h"

enum { SAMPLES = 2, SIDE = 64, WIDE = 16 };
enum change { NONE, ASKED_FOR, READ_TWICE, SMALL, TRAINED, CHANGES };
static const char *const change_name[] = { "nothing", "the value between is asked for",
					   "the value between is read twice", "a small picture",
					   "weights that train" };
static const int steps[CHANGES] = { 1, 0, 0, 0, 0 };

static uint32_t conv(struct net *n, uint32_t x, uint32_t w, int64_t group, int64_t pad)
{
	const struct onx_file_attr a[] = { onx_attr_ints("pads", (int64_t[]){ pad, pad, pad, pad }, 4),
					   onx_attr_int("group", group) };
	uint32_t in[2] = { x, w }, y;

	net_node(n, "Conv", 2, in, 1, &y, 2, a);
	return y;
}

/* Expand, depthwise, project, add what went in. */
static uint32_t net_of(struct net *n, enum change c, uint32_t *between)
{
	const int64_t side = c == SMALL ? 8 : SIDE;
	uint32_t x, h, y;

	net_new(n);
	x = IN(n, "x", SAMPLES, 8, side, side);
	h = conv(n, x, c == TRAINED ? W(n, WIDE, 8, 1, 1) : FROZEN(n, WIDE, 8, 1, 1), 1, 0);
	*between = h = OP1(n, "Relu", h);
	y = conv(n, h, c == TRAINED ? W(n, WIDE, 1, 3, 3) : FROZEN(n, WIDE, 1, 3, 3), WIDE, 1);
	if (c == READ_TWICE)
		y = OP2(n, "Mul", y, h);
	y = conv(n, OP1(n, "Sigmoid", y), c == TRAINED ? W(n, 8, WIDE, 1, 1) : FROZEN(n, 8, WIDE, 1, 1), 1, 0);
	return OP2(n, "Add", y, x);
}

static void same_numbers(void **state)
{
	(void)state;
	for (int c = 0; c < CHANGES; c++) {
		struct net n;
		struct pair p;
		uint32_t out[2];
		const uint32_t asked = c == ASKED_FOR ? 2 : 1;

		out[0] = net_of(&n, (enum change)c, &out[1]);
		pair_open(&p, &n, out, asked);
		if (c == READ_TWICE || c == ASKED_FOR)  /* the depthwise one and the one behind it may still be */
			assert_true(steps_of(p.fast.plan, "ConvStripsLast") <= 1);
		else if (steps_of(p.fast.plan, "ConvStripsLast") != steps[c])
			fail_msg("%s: %d steps", change_name[c], steps_of(p.fast.plan, "ConvStripsLast"));
		pair_close(&p, &n, 1e-5, change_name[c]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_numbers) };

	return RUN(tests);
}
