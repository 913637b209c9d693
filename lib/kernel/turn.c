/* kernel/turn.c -- see the header.  A tile of rows that fill a line of memory where they are written is turned in the
 * nearest cache, so that every line is read and written once and whole. */
#include "kernel/turn.h"
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/far.h"

enum { LINE_BYTES = 64, TILE_BYTES = 4096, FEW = 8 };

struct odometer { int64_t place, at[ONX_TURN_RANK]; };

static struct odometer start(const struct onx_turn *t, int64_t a)
{
	struct odometer o = { 0 };

	for (int d = t->rank - 1; d >= 0; d--) {
		o.at[d] = a % t->dim[d];
		o.place += o.at[d] * t->stride[d];
		a /= t->dim[d];
	}
	return o;
}

/* n steps of the last dimension, at most to its end. */
static inline void advance(const struct onx_turn *t, struct odometer *o, int64_t n)
{
	int d = t->rank - 1;

	o->at[d] += n;
	o->place += n * t->stride[d];
	for (; o->at[d] == t->dim[d] && d > 0; d--) {
		o->place += t->stride[d - 1] - t->dim[d] * t->stride[d];
		o->at[d] = 0;
		o->at[d - 1]++;
	}
}

#define ELEM uint8_t
#define ONX_E(name) name##_1
#include "kernel/turn.inc"
#undef ELEM
#undef ONX_E

#define ELEM uint16_t
#define ONX_E(name) name##_2
#include "kernel/turn.inc"
#undef ELEM
#undef ONX_E

#define ELEM uint32_t
#define ONX_E(name) name##_4
#include "kernel/turn.inc"
#undef ELEM
#undef ONX_E

#define ELEM uint64_t
#define ONX_E(name) name##_8
#include "kernel/turn.inc"

void onx_turn_block(const struct onx_turn *t, void *to, const void *from, int64_t a0, int64_t a1, int64_t n)
{
	const bool few = n < FEW;

	if (t->width == 1)
		(few ? few_1 : many_1)(t, to, from, a0, a1, n);
	else if (t->width == 2)
		(few ? few_2 : many_2)(t, to, from, a0, a1, n);
	else if (t->width == 4)
		(few ? few_4 : many_4)(t, to, from, a0, a1, n);
	else
		(few ? few_8 : many_8)(t, to, from, a0, a1, n);
	if (t->far)
		onx_far_done();
}
