/* kernel/conv_gemm.c -- convolution as matrix products over im2col tiles.
 *
 * Per image and group, with K = c * kern_n and P = out_n:
 *     forward   y [m x P]  = w [m x K] col [K x P]             pieces: image, group, tile of P, part of m
 *     dgrad     col [K x P] = w' [K x m] dy [m x P], col2im    pieces: image, group, part of c
 *     wgrad     dw [m x K] = sum over images dy [m x P] col'   pieces: group, part of c, part of the sum
 * A part of c is a run of whole channels, so no two pieces write one element of dx or dw. */
#include "kernel/conv.h"
#include "kernel/gemm.h"
#include "kernel/im2col.h"
#include <string.h>

enum {
	COL_ELEMENTS = 1 << 17, /* of a tile of col: it should stay in the second-level cache */
	COL_MIN      = 64,      /* columns; fewer make a poor matrix product                   */
	PIECES       = 8,       /* wanted at least, where the problem has them                 */
	SPLIT_MAX    = 1 << 20  /* elements of all partial sums of wgrad                        */
};

/* How the work is cut: a function of the geometry alone. */
struct cut {
	size_t cols, tiles;     /* columns of a tile; tiles of P                */
	size_t chan, chans;     /* channels of a part of c; parts               */
	size_t rows, parts;     /* rows of a part of m; parts (forward)         */
	size_t split, per;      /* parts of the sum over images; images in each */
};

struct job {
	const struct onx_conv_geo *g;
	struct cut cut;
	const real *x, *w, *b, *dy;
	real *y, *dx, *dw;
	bool add, direct;
	real *col, *partial;
	size_t col_step;        /* elements of col of one worker */
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }

static void cut_cols(struct cut *t, const struct onx_conv_geo *g, size_t k, size_t others)
{
	const size_t p = g->w.out_n;
	size_t cols = max_z(COL_ELEMENTS / max_z(k, 1), COL_MIN);

	if (others < PIECES)
		cols = min_z(cols, max_z(p * others / PIECES, COL_MIN));
	t->cols = min_z(up(cols, 16), max_z(p, 1));
	t->tiles = onx_pieces(p, t->cols);
}

static void cut_chan(struct cut *t, const struct onx_conv_geo *g, size_t others)
{
	const size_t want = others >= PIECES ? 1 : (PIECES + others - 1) / max_z(others, 1);
	const size_t least = (COL_MIN / 2 + g->w.kern_n - 1) / max_z(g->w.kern_n, 1);

	t->chan = max_z(max_z((g->c + want - 1) / want, least), 1);
	t->chan = min_z(t->chan, max_z(g->c, 1));
	t->chans = onx_pieces(g->c, t->chan);
}

static struct cut cut_forward(const struct onx_conv_geo *g)
{
	struct cut t = { 0 };
	const size_t images = g->n * g->groups;

	cut_cols(&t, g, g->c * g->w.kern_n, images);
	t.rows = max_z(g->m, 1);
	while (images * t.tiles * onx_pieces(g->m, t.rows) < PIECES / 2 && t.rows >= 2 * COL_MIN)
		t.rows = up(t.rows / 2, 16);
	t.parts = onx_pieces(g->m, t.rows);
	return t;
}

static struct cut cut_dgrad(const struct onx_conv_geo *g)
{
	struct cut t = { 0 };

	cut_chan(&t, g, g->n * g->groups);
	cut_cols(&t, g, t.chan * g->w.kern_n, PIECES);
	return t;
}

static struct cut cut_wgrad(const struct onx_conv_geo *g)
{
	struct cut t = { 0 };
	const size_t all = g->groups * g->m * g->c * g->w.kern_n;
	size_t pieces;

	cut_chan(&t, g, g->groups);
	cut_cols(&t, g, t.chan * g->w.kern_n, PIECES);
	pieces = max_z(g->groups * t.chans, 1);
	t.split = pieces >= PIECES / 2 ? 1 : min_z(PIECES / pieces, max_z(g->n, 1));
	if (all != 0)
		t.split = max_z(min_z(t.split, SPLIT_MAX / all), 1);
	t.per = onx_pieces(max_z(g->n, 1), t.split);
	t.split = onx_pieces(max_z(g->n, 1), t.per);
	return t;
}

/* Elements of col for one worker: whole cache lines. */
static size_t col_elements(const struct onx_conv_geo *g, size_t channels, size_t cols)
{
	return onx_conv_pointwise(g) ? 0 : up(channels * g->w.kern_n * cols, 64 / sizeof(real));
}

size_t onx_conv_gemm_forward_scratch(const struct onx_conv_geo *g, int threads)
{
	return col_elements(g, g->c, cut_forward(g).cols) * sizeof(real) * (size_t)threads;
}

size_t onx_conv_gemm_dgrad_scratch(const struct onx_conv_geo *g, int threads)
{
	const struct cut t = cut_dgrad(g);

	return col_elements(g, t.chan, t.cols) * sizeof(real) * (size_t)threads;
}

static size_t partial_elements(const struct onx_conv_geo *g, const struct cut *t)
{
	return t->split == 1 ? 0 : up(g->groups * g->m * g->c * g->w.kern_n * t->split, 64 / sizeof(real));
}

size_t onx_conv_gemm_wgrad_scratch(const struct onx_conv_geo *g, int threads)
{
	const struct cut t = cut_wgrad(g);

	return (partial_elements(g, &t) + col_elements(g, t.chan, t.cols) * (size_t)threads) * sizeof(real);
}

static real *own_col(const struct job *j, int worker)
{
	return j->col_step ? j->col + (size_t)worker * j->col_step : NULL;
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	const size_t k = g->c * g->w.kern_n, p = g->w.out_n, part = piece % j->cut.parts;
	const size_t tile = piece / j->cut.parts % j->cut.tiles, at = piece / j->cut.parts / j->cut.tiles;
	const size_t group = at % g->groups;
	const real *x = j->x + at * g->c * g->w.in_n;
	size_t p0, p1, m0, m1;

	onx_piece(p, j->cut.cols, tile, &p0, &p1);
	onx_piece(g->m, j->cut.rows, part, &m0, &m1);

	struct onx_mat mat = { .m = m1 - m0, .n = p1 - p0, .k = k, .lda = k, .ldb = p, .ldc = p };
	const real *col = x + p0;
	real *y = j->y + (at * g->m + m0) * p + p0;

	if (!j->direct) {
		real *own = own_col(j, worker);

		onx_im2col(&g->w, g->c, p0, p1, x, own, p1 - p0);
		mat.ldb = p1 - p0;
		col = own;
	}
	if (j->b)
		for (size_t m = m0; m < m1; m++)
			for (size_t i = 0; i < p1 - p0; i++)
				onx_put(&y[(m - m0) * p + i], j->add, j->b[group * g->m + m]);
	onx_gemm_one(&mat, 1, j->w + (group * g->m + m0) * k, col, j->b || j->add ? 1 : 0, y);
}

void onx_conv_gemm_forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			   const real *w, const real *b, real *y, bool add, void *scratch)
{
	struct job j = { .g = g, .cut = cut_forward(g), .x = x, .w = w, .b = b, .y = y, .add = add,
			 .col = scratch, .direct = onx_conv_pointwise(g) };

	j.col_step = col_elements(g, g->c, j.cut.cols);
	onx_parallel(pool, g->n * g->groups * j.cut.tiles * j.cut.parts, forward_piece, &j);
}

static void dgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	const size_t k = g->c * g->w.kern_n, p = g->w.out_n, at = piece / j->cut.chans;
	size_t c0, c1;

	onx_piece(g->c, j->cut.chan, piece % j->cut.chans, &c0, &c1);

	const real *w = j->w + at % g->groups * g->m * k + c0 * g->w.kern_n;
	real *dx = j->dx + (at * g->c + c0) * g->w.in_n, *own = own_col(j, worker);
	struct onx_mat mat = { .m = (c1 - c0) * g->w.kern_n, .k = g->m, .ta = true, .lda = k, .ldb = p };

	if (!j->direct && !j->add)
		memset(dx, 0, (c1 - c0) * g->w.in_n * sizeof *dx);
	for (size_t t = 0; t < j->cut.tiles; t++) {
		size_t p0, p1;

		onx_piece(p, j->cut.cols, t, &p0, &p1);
		const real *dy = j->dy + at * g->m * p + p0;

		mat.n = p1 - p0;
		mat.ldc = j->direct ? p : p1 - p0;
		if (j->direct) {
			onx_gemm_one(&mat, 1, w, dy, j->add ? 1 : 0, dx + p0);
			continue;
		}
		onx_gemm_one(&mat, 1, w, dy, 0, own);
		onx_col2im_add(&g->w, c1 - c0, p0, p1, own, p1 - p0, dx);
	}
}

void onx_conv_gemm_dgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w,
			 const real *dy, real *dx, bool add, void *scratch)
{
	struct job j = { .g = g, .cut = cut_dgrad(g), .w = w, .dy = dy, .dx = dx, .add = add,
			 .col = scratch, .direct = onx_conv_pointwise(g) };

	j.col_step = col_elements(g, j.cut.chan, j.cut.cols);
	onx_parallel(pool, g->n * g->groups * j.cut.chans, dgrad_piece, &j);
}

/* dw[:, channels c0..c1-1] of one group, images n0..n1-1; the first product sets unless add. */
static void wgrad_part(const struct job *j, size_t group, size_t c0, size_t c1, size_t n0, size_t n1,
		       bool add, real *dw, real *own)
{
	const struct onx_conv_geo *g = j->g;
	const size_t k = g->c * g->w.kern_n, p = g->w.out_n;
	struct onx_mat mat = { .m = g->m, .n = (c1 - c0) * g->w.kern_n, .tb = true, .lda = p, .ldc = k };

	for (size_t n = n0; n < n1; n++) {
		const size_t at = n * g->groups + group;
		const real *x = j->x + (at * g->c + c0) * g->w.in_n, *dy = j->dy + at * g->m * p;

		for (size_t t = 0; t < (j->direct ? 1 : j->cut.tiles); t++) {
			size_t p0 = 0, p1 = p;

			if (!j->direct) {
				onx_piece(p, j->cut.cols, t, &p0, &p1);
				onx_im2col(&g->w, c1 - c0, p0, p1, x, own, p1 - p0);
			}
			mat.k = mat.ldb = p1 - p0;
			onx_gemm_one(&mat, 1, dy + p0, j->direct ? x : own, add ? 1 : 0, dw);
			add = true;
		}
	}
}

static void wgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_conv_geo *g = j->g;
	const size_t k = g->c * g->w.kern_n, part = piece % j->cut.split;
	const size_t chan = piece / j->cut.split % j->cut.chans, group = piece / j->cut.split / j->cut.chans;
	const size_t at = group * g->m * k;
	real *own = own_col(j, worker);
	size_t c0, c1, n0, n1;

	onx_piece(g->c, j->cut.chan, chan, &c0, &c1);
	onx_piece(g->n, j->cut.per, part, &n0, &n1);
	if (j->cut.split == 1)
		wgrad_part(j, group, c0, c1, n0, n1, j->add, j->dw + at + c0 * g->w.kern_n, own);
	else
		wgrad_part(j, group, c0, c1, n0, n1, false,
			   j->partial + part * g->groups * g->m * k + at + c0 * g->w.kern_n, own);
}

static void sum_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t all = j->g->groups * j->g->m * j->g->c * j->g->w.kern_n;
	size_t lo, hi;

	(void)worker;
	onx_piece(all, 1 << 14, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		real sum = j->partial[i];

		for (size_t s = 1; s < j->cut.split; s++)
			sum += j->partial[s * all + i];
		onx_put(&j->dw[i], j->add, sum);
	}
}

void onx_conv_gemm_wgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			 const real *dy, real *dw, bool add, void *scratch)
{
	struct job j = { .g = g, .cut = cut_wgrad(g), .x = x, .dy = dy, .dw = dw, .add = add,
			 .partial = scratch, .direct = onx_conv_pointwise(g) };
	const size_t all = g->groups * g->m * g->c * g->w.kern_n;

	if (g->n == 0 || g->w.out_n == 0) {     /* an empty sum */
		if (!add)
			memset(dw, 0, all * sizeof *dw);
		return;
	}
	if (j.partial)
		j.col = j.partial + partial_elements(g, &j.cut);
	j.col_step = col_elements(g, j.cut.chan, j.cut.cols);
	onx_parallel(pool, g->groups * j.cut.chans * j.cut.split, wgrad_piece, &j);
	if (j.cut.split > 1)
		onx_parallel(pool, onx_pieces(all, 1 << 14), sum_piece, &j);
}
