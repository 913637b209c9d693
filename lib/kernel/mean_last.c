/* kernel/mean_last.c -- the mean over all pixels with channels last (pool_last.h).  A piece is a block of channels of a
 * sample, or some of its rows on the way back. */
#include "kernel/pool_last.h"
#include <string.h>
#include "kernel/cpu.h"

enum { BLOCK = 128, PIECE_WORK = 1 << 16 };
enum { LINES = 4, RUN = 32 };   /* RUN: rows that are summed in single precision before they go to the sum in double */

#define ONX_LINES "kernel/mean_last_lines.inc"
#include "kernel/lines.h"

struct mean { size_t n, rows, c, blocks; const real *x; real *to; bool add; };

static void mean_piece(void *ctx, size_t piece, int worker)
{
	const struct mean *j = ctx;
	const size_t n = piece / j->blocks;
	static void (*const sum_block[ONX_ISAS])(const real *x, size_t rows, size_t step, size_t n, double *sum) =
		ONX_WIDTHS(sum_block);
	double sum[BLOCK] = { 0 };
	size_t lo, hi;

	(void)worker;
	onx_piece(j->c, BLOCK, piece % j->blocks, &lo, &hi);
	sum_block[onx_isa()](j->x + n * j->rows * j->c + lo, j->rows, j->c, hi - lo, sum);
	for (size_t i = lo; i < hi; i++)
		j->to[n * j->c + i] = (real)(sum[i - lo] / (double)j->rows);
}

void onx_meanlast_forward(struct onx_pool *pool, size_t n, size_t rows, size_t c, const real *x, real *y)
{
	struct mean j = { .n = n, .rows = rows, .c = c, .blocks = onx_pieces(c, BLOCK), .x = x, .to = y };

	onx_parallel(pool, n * j.blocks, mean_piece, &j);
}

ONX_CLONES
static void spread(const real *restrict dy, real f, size_t n, bool add, real *restrict dx)
{
	for (size_t i = 0; i < n; i++)
		onx_put(&dx[i], add, f * dy[i]);
}

static void spread_piece(void *ctx, size_t piece, int worker)
{
	const struct mean *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->n * j->rows, j->blocks, piece, &lo, &hi);
	for (; lo < hi; lo++)
		spread(j->x + lo / j->rows * j->c, (real)(1 / (double)j->rows), j->c, j->add, j->to + lo * j->c);
}

void onx_meanlast_backward(struct onx_pool *pool, size_t n, size_t rows, size_t c, const real *dy, real *dx,
			   bool add)
{
	struct mean j = { .n = n, .rows = rows, .c = c, .blocks = PIECE_WORK / (c + 1) + 1, .x = dy, .to = dx,
			  .add = add };

	onx_parallel(pool, onx_pieces(n * rows, j.blocks), spread_piece, &j);
}
