/* Which convolutions a plan lets write into what joins them (plan/lower_concat.c), and that the numbers stay. */
#include "unit/lib/net.h"

enum { SAMPLES = 2, SIDE = 13, WIDE = 16 };
enum change { NONE, ASKED_FOR, READ_TWICE, JOINED_TWICE, ALONG_LINES, TRAINED, CHANGES };
static const struct { const char *name; int steps, parts; } changes[CHANGES] = {
	[NONE] = { "nothing", 1, 3 },
	[ASKED_FOR] = { "a part is asked for", 1, 2 },
	[READ_TWICE] = { "a part is read twice", 1, 2 },
	[JOINED_TWICE] = { "a part is joined twice", 1, 2 },
	[ALONG_LINES] = { "joined along the lines", 0, 0 },
	[TRAINED] = { "weights that train", 0, 0 },
};

static uint32_t conv(struct net *n, uint32_t x, uint32_t w, int64_t up, int64_t side)
{
	const struct onx_file_attr a[] = { onx_attr_ints("pads", (int64_t[]){ up, side, up, side }, 4) };
	uint32_t in[2] = { x, w }, y;

	net_node(n, "Conv", 2, in, 1, &y, 1, a);
	return y;
}

/* Pointwise, by Winograd's way, 3x5, and what went in. */
static uint32_t net_of(struct net *n, enum change c, uint32_t *part)
{
	const struct onx_file_attr axis[] = { onx_attr_int("axis", c == ALONG_LINES ? 2 : 1) };
	uint32_t x, in[5], y, n_in = 4;

	net_new(n);
	x = IN(n, "x", SAMPLES, WIDE, SIDE, SIDE);
	in[0] = conv(n, x, c == TRAINED ? W(n, WIDE, WIDE, 1, 1) : FROZEN(n, WIDE, WIDE, 1, 1), 0, 0);
	*part = in[0] = OP1(n, "Relu", in[0]);
	in[1] = conv(n, x, c == TRAINED ? W(n, WIDE, WIDE, 3, 3) : FROZEN(n, WIDE, WIDE, 3, 3), 1, 1);
	in[2] = x;
	in[3] = conv(n, x, c == TRAINED ? W(n, WIDE, WIDE, 3, 5) : FROZEN(n, WIDE, WIDE, 3, 5), 1, 2);
	in[3] = OP1(n, "Sigmoid", in[3]);
	if (c == JOINED_TWICE)
		in[n_in++] = in[0];
	net_node(n, "Concat", n_in, in, 1, &y, 1, axis);
	return c == READ_TWICE ? OP2(n, "Mul", y, OP1(n, "ReduceMean", in[0])) : y;
}

/* Steps that join, and the convolutions in them. */
static int joins(const struct onx_plan *p, int *parts)
{
	int n = 0;

	*parts = 0;
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];

		if (strcmp(s->op->type, "ConcatConvLast") != 0)
			continue;
		n++;
		for (uint32_t k = 1; k < s->n_x; k += 3)
			*parts += s->x[k] != ONX_NONE;
	}
	return n;
}

static void one(enum change c)
{
	struct net n;
	struct pair p;
	uint32_t out[2];
	const uint32_t asked = c == ASKED_FOR ? 2 : 1;
	int parts, steps;

	out[0] = net_of(&n, c, &out[1]);
	pair_open(&p, &n, out, asked);
	steps = joins(p.fast.plan, &parts);
	if (steps != changes[c].steps || parts != changes[c].parts)
		fail_msg("%s: %d steps, %d convolutions", changes[c].name, steps, parts);
	pair_close(&p, &n, 5e-5, changes[c].name);  /* Winograd's way is rough */
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
