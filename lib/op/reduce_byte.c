/* op/reduce_byte.c -- the largest and the smallest of bytes and bools, in vectors of bytes.  Flipping bits puts all of
 * these orders into one, that of unsigned numbers from the smallest to the largest. */
#include <string.h>
#include "kernel/cpu.h"
#include "op/reduce_i.h"

ONX_CLONES static uint8_t top_run(const uint8_t *restrict x, uint8_t flip, size_t n, uint8_t top)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t v = x[i] ^ flip;
		top = v > top ? v : top;
	}
	return top;
}

ONX_CLONES static void top_row(const uint8_t *restrict x, uint8_t flip, size_t n, uint8_t *restrict top)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t v = x[i] ^ flip;
		top[i] = v > top[i] ? v : top[i];
	}
}

static uint8_t flip_of(const struct onx_reduce_job *j)
{
	return (j->c->x[0].type == ONX_INT8 ? 0x80 : 0) ^ (j->kind == MIN ? 0xff : 0);
}

static void put(const struct onx_reduce_job *j, size_t o, uint8_t v)
{
	((uint8_t *)j->c->y[0].v)[o] = j->c->y[0].type == ONX_BOOL ? v != 0 : v;
}

static void inner_bytes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t n = gone->size[0], rows = gone->count / n;
	const uint8_t flip = flip_of(j);
	struct onx_reduce_spot at = onx_reduce_seek(kept, 0, lo);

	for (size_t o = lo; o < hi; o++, onx_reduce_next(kept, 0, &at)) {
		struct onx_reduce_spot row = { .off = at.off };
		uint8_t top = 0;

		for (size_t r = 0; r < rows; r++, onx_reduce_next(gone, 1, &row))
			top = top_run((const uint8_t *)j->c->x[0].v + row.off, flip, n, top);
		put(j, o, top ^ flip);
	}
}

static void outer_bytes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_reduce_job *j = ctx;
	const struct onx_reduce_dims *gone = &j->g->gone, *kept = &j->g->kept;
	const size_t width = onx_reduce_row(kept);
	const uint8_t flip = flip_of(j);

	for (size_t o = lo, n; o < hi; o += n) {
		const size_t left = width - o % width, room = hi - o < ONX_REDUCE_BLOCK ? hi - o : ONX_REDUCE_BLOCK;
		struct onx_reduce_spot row = { .off = onx_reduce_seek(kept, 0, o).off };
		uint8_t top[ONX_REDUCE_BLOCK];

		n = left < room ? left : room;
		memset(top, 0, n);
		for (size_t r = 0; r < gone->count; r++, onx_reduce_next(gone, 0, &row))
			top_row((const uint8_t *)j->c->x[0].v + row.off, flip, n, top);
		for (size_t i = 0; i < n; i++)
			put(j, o + i, top[i] ^ flip);
	}
}

bool onx_reduce_bytes(const struct onx_call *c, enum onx_reduction kind)
{
	const struct onx_reduce_job j = { c, c->geo, kind };
	const enum onx_dtype type = c->x[0].type;

	if ((kind != MAX && kind != MIN) || j.g->gone.count == 0 ||
	    (type != ONX_UINT8 && type != ONX_INT8 && type != ONX_BOOL))
		return false;
	onx_reduce_each(c, c->geo, inner_bytes, outer_bytes, &j);
	return true;
}
