/* kernel/gemm.c -- matrix products: who does which, and over the pool. */
#include "kernel/gemm.h"
#include <string.h>
#include "kernel/blocked.h"
#include "kernel/fuse_row.h"
#include "kernel/sliver.h"
#include "kernel/tile.h"
#include "kernel/tiny.h"

enum {
	TILE_WORK = 1 << 21,    /* multiply-adds that are worth a tile of their own */
	TILE_MAX  = 64,         /* tiles of one product                             */
	TILE_TALL = 2,          /* rows for each column                             */
	TILE_SIDE = 32,         /* no tile is cut below this                        */
	TILE_WIDE = 96,         /* nor, with TILE_FEW of them, below this: packing would cost too much */
	TILE_FEW  = 8,
	TINY_WORK = 1 << 16     /* multiply-adds of a piece of tiny products */
};

void onx_gemm_naive(const struct onx_mat *g, real alpha, const real *a, const real *b, real beta,
		    real *c)
{
	for (size_t i = 0; i < g->m; i++)
		for (size_t j = 0; j < g->n; j++) {
			double sum = 0;
			real *out = &c[i * g->ldc + j];

			for (size_t l = 0; l < g->k; l++)
				sum += (double)a[g->ta ? l * g->lda + i : i * g->lda + l] *
				       (double)b[g->tb ? j * g->ldb + l : l * g->ldb + j];
			*out = (real)(alpha * sum + (beta == 0 ? 0 : (double)beta * *out));
		}
}

void onx_gemm_one(const struct onx_mat *g, real alpha, const real *a, const real *b, real beta, real *c)
{
	if (g->m == 0 || g->n == 0)
		return;
	if (g->k == 0 || (beta != 0 && beta != 1))
		onx_gemm_naive(g, alpha, a, b, beta, c);
	else if (onx_is_tiny(g))
		onx_tiny(g, alpha, a, b, beta == 1, c);
	else if (onx_is_sliver(g))
		onx_sliver(g, alpha, a, b, beta == 1, c);
	else
		onx_blocked(g, onx_isa(), alpha, a, b, beta == 1, c);
}

struct job {
	const struct onx_mat *g;
	const struct onx_batch *batch;
	const struct ONX_R(onx_gemm_end) *end;
	real alpha, beta;
	const real *a, *b;
	const real *panels;             /* of op(B), instead of b */
	real *c;
	size_t tm, tn, rows, cols;      /* tile sides, tiles down and across */
	size_t all, grain;              /* tiles of all batches; of a piece  */
};

/* Halves a side until there are enough tiles for the work; each copies its columns of B, so they are tall. */
static void cut(struct job *j, size_t batches)
{
	const struct onx_mat *g = j->g;
	const double work = (double)g->m * (double)g->n * (double)g->k / TILE_WORK;
	const size_t side_of = j->panels ? ONX_TILE_COLS : 16;
	const size_t want = work * (double)batches < 0.25 ? 1 :
			    work > TILE_MAX ? TILE_MAX : work < 2 ? 2 : (size_t)work;

	j->tm = g->m;
	j->tn = g->n;
	j->rows = j->cols = 1;
	while (j->rows * j->cols * batches < want) {
		const size_t least = j->rows * j->cols * batches < TILE_FEW ? TILE_SIDE : TILE_WIDE;
		const bool down = j->tn < 2 * least || j->tm > TILE_TALL * j->tn;
		size_t *const side = down ? &j->tm : &j->tn;

		if (*side < 2 * least)
			break;
		*side = onx_pieces(*side / 2, side_of) * side_of;
		j->rows = onx_pieces(g->m, j->tm);
		j->cols = onx_pieces(g->n, j->tn);
	}
}

static void run_tile(const struct job *j, size_t tile, const real *a, const real *b, real beta, real *c)
{
	const struct onx_mat *g = j->g;
	struct onx_mat t = *g;
	size_t i0, i1, j0, j1;

	onx_piece(g->m, j->tm, tile / j->cols, &i0, &i1);
	onx_piece(g->n, j->tn, tile % j->cols, &j0, &j1);
	t.m = i1 - i0;
	t.n = j1 - j0;
	if (j->panels) {
		onx_blocked_packed(&t, onx_isa(), a + (g->ta ? i0 : i0 * g->lda), j->panels + j0 * g->k, beta != 0,
				   c + i0 * g->ldc + j0);
		return;
	}
	onx_gemm_one(&t, j->alpha, a + (g->ta ? i0 : i0 * g->lda), b + (g->tb ? j0 * g->ldb : j0), beta,
		     c + i0 * g->ldc + j0);
}

static void gemm_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;

	(void)worker;
	run_tile(j, piece, j->a, j->b, j->beta, j->c);
}

void onx_gemm(struct onx_pool *pool, const struct onx_mat *g, real alpha, const real *a, const real *b,
	      real beta, real *c)
{
	struct job j = { .g = g, .alpha = alpha, .beta = beta, .a = a, .b = b, .c = c };

	if (g->m == 0 || g->n == 0)
		return;
	cut(&j, 1);
	onx_parallel(pool, j.rows * j.cols, gemm_piece, &j);
}

size_t onx_gemm_panels(const struct onx_mat *g)
{
	return onx_is_sliver(g) || g->k == 0 ? 0 : onx_blocked_panels(g, onx_isa());
}

void onx_gemm_pack(const struct onx_mat *g, const real *b, real *panels)
{
	onx_blocked_pack(g, onx_isa(), b, panels);
}

void onx_gemm_packed(struct onx_pool *pool, const struct onx_mat *g, const real *a, const real *panels, real beta,
		     real *c)
{
	struct job j = { .g = g, .alpha = 1, .beta = beta, .a = a, .panels = panels, .c = c };

	cut(&j, 1);
	onx_parallel(pool, j.rows * j.cols, gemm_piece, &j);
}

/* Z goes into C first, so that in place it is the same sum. */
static void put_rows(const real *z, size_t rows, size_t cols, size_t ld, real *c)
{
	for (size_t r = 0; r < rows; r++)
		memcpy(c + r * ld, z + r * ld, cols * sizeof *c);
}

ONX_CLONES
static void end_rows(const real *bias, const struct onx_fuse *f, size_t rows, size_t cols, size_t ld, real *c)
{
	for (size_t r = 0; r < rows; r++, c += ld) {
		for (size_t i = 0; bias && i < cols; i++)
			c[i] += bias[i];
		onx_fuse_row(f, c, cols);
	}
}

static void fused_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_mat *g = j->g;
	const struct ONX_R(onx_gemm_end) *end = j->end;
	size_t i0, i1, j0, j1;

	(void)worker;
	onx_piece(g->m, j->tm, piece / j->cols, &i0, &i1);
	onx_piece(g->n, j->tn, piece % j->cols, &j0, &j1);
	const size_t at = i0 * g->ldc + j0;

	if (end->z && end->z != j->c)
		put_rows(end->z + at, i1 - i0, j1 - j0, g->ldc, j->c + at);
	run_tile(j, piece, j->a, j->b, end->z ? 1 : 0, j->c);
	end_rows(end->bias ? end->bias + j0 : NULL, &end->f, i1 - i0, j1 - j0, g->ldc, j->c + at);
}

void onx_gemm_fused(struct onx_pool *pool, const struct onx_mat *g, const real *a, const real *b,
		    const struct ONX_R(onx_gemm_end) *end, real *c)
{
	struct job j = { .g = g, .alpha = 1, .a = a, .b = b, .end = end, .c = c };

	if (g->m == 0 || g->n == 0)
		return;
	cut(&j, 1);
	onx_parallel(pool, j.rows * j.cols, fused_piece, &j);
}

/* Adds index * step for the mixed-radix digits of i; the last dim runs fastest. */
static void locate(size_t i, int rank, const size_t *dim, const size_t *step_a, const size_t *step_b,
		   const size_t *step_c, size_t at[3])
{
	for (int d = rank - 1; d >= 0; d--) {
		const size_t x = i % dim[d];

		i /= dim[d];
		at[0] += x * step_a[d];
		at[1] += x * step_b[d];
		if (step_c)
			at[2] += x * step_c[d];
	}
}

static size_t volume(int rank, const size_t *dim)
{
	size_t n = 1;

	for (int d = 0; d < rank; d++)
		n *= dim[d];
	return n;
}

static void batch_tile(const struct job *j, size_t tile, size_t inner)
{
	const struct onx_batch *b = j->batch;
	const size_t tiles = j->rows * j->cols;
	size_t at[3] = { 0 };

	locate(tile / tiles, b->n_outer, b->outer, b->outer_a, b->outer_b, b->outer_c, at);
	for (size_t i = 0; i < inner; i++) {
		size_t in[3] = { at[0], at[1], 0 };

		locate(i, b->n_inner, b->inner, b->inner_a, b->inner_b, NULL, in);
		run_tile(j, tile % tiles, j->a + in[0], j->b + in[1], i ? 1 : j->beta, j->c + at[2]);
	}
}

static void batch_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t inner = volume(j->batch->n_inner, j->batch->inner);
	size_t lo, hi;

	(void)worker;
	onx_piece(j->all, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++)
		batch_tile(j, lo, inner);
}

void onx_gemm_batch(struct onx_pool *pool, const struct onx_mat *g, const struct onx_batch *batch,
		    real alpha, const real *a, const real *b, real beta, real *c)
{
	struct job j = { .g = g, .batch = batch, .alpha = alpha, .beta = beta, .a = a, .b = b, .c = c };
	const size_t outer = volume(batch->n_outer, batch->outer);
	struct onx_mat empty = *g;
	struct onx_batch once = *batch;

	if (g->m == 0 || g->n == 0 || outer == 0)
		return;
	if (volume(batch->n_inner, batch->inner) == 0) {        /* an empty sum: C = beta * C */
		empty.k = 0;
		once.n_inner = 0;
		j.g = &empty;
		j.batch = &once;
	}
	cut(&j, outer);
	j.all = outer * j.rows * j.cols;
	const size_t each = g->m * g->n * (g->k + 1) * volume(batch->n_inner, batch->inner) + ONX_TINY;
	j.grain = onx_is_tiny(g) ? TINY_WORK / each + 1 : 1;
	onx_parallel(pool, onx_pieces(j.all, j.grain), batch_piece, &j);
}
