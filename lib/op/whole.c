/* op/whole.c -- see whole.h.  A piece is a block of one C.  Some rows of B are read, whatever their type, as words that
 * are as wide as C's elements need, then each row of A is multiplied on to its sums. */
#include "op/whole.h"
#include <string.h>
#include "kernel/cpu.h"
#include "op/bulk.h"

enum { ROWS = 32, COLS = 256, DEPTH = 32 };

struct job {
	const struct onx_mat *g;
	const struct onx_batch *batch;
	const struct onx_view *a, *b, *c;
};

/* Offsets of the operands at index `at` of n dimensions, the last one fastest. */
static void offsets(size_t at, int n, const size_t *dim, const size_t *const *step, size_t *off, int operands)
{
	for (int d = n - 1; d >= 0; d--) {
		const size_t i = at % dim[d];
		at /= dim[d];
		for (int k = 0; k < operands; k++)
			off[k] += i * step[k][d];
	}
}

/* Rows [i0, i1) by columns [j0, j1) of a C. */
struct block { size_t i0, i1, j0, j1; };

#define WORD uint32_t
#define NAME(f) f##_32
#include "op/whole_lines.inc"
#define WORD uint64_t
#define NAME(f) f##_64
#include "op/whole_lines.inc"

static void block_piece(void *ctx, size_t piece, int worker)
{
	static const struct onx_batch one = { .n_outer = 0 };
	const struct job *j = ctx;
	const struct onx_batch *t = j->batch ? j->batch : &one;
	const size_t down = onx_pieces(j->g->m, ROWS), across = onx_pieces(j->g->n, COLS);
	const size_t *const outer[3] = { t->outer_a, t->outer_b, t->outer_c };
	struct block o;
	size_t at[3] = { 0 };

	(void)worker;
	onx_piece(j->g->m, ROWS, piece / across % down, &o.i0, &o.i1);
	onx_piece(j->g->n, COLS, piece % across, &o.j0, &o.j1);
	offsets(piece / across / down, t->n_outer, t->outer, outer, at, 3);
	(j->c->width <= 4 ? product_32 : product_64)(j, &o, t, at);
}

void onx_whole_products(struct onx_pool *pool, const struct onx_mat *g, const struct onx_batch *batch,
			const struct onx_view *a, const struct onx_view *b, const struct onx_view *c)
{
	struct job j = { g, batch, a, b, c };
	size_t pieces = onx_pieces(g->m, ROWS) * onx_pieces(g->n, COLS);

	for (int d = 0; batch && d < batch->n_outer; d++)
		pieces *= batch->outer[d];
	onx_parallel(pool, pieces, block_piece, &j);
}
