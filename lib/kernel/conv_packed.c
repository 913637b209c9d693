/* kernel/conv_packed.c -- convolution by our own packed matrix product, input tiles read in place.
 *
 * Per group, with K = c * kern_n and the columns Q = n * out_n of ALL images side by side (so that 7x7
 * maps fill whole panels):
 *     y [m x Q] = w [m x K] col [K x Q],     col[(ch, tap), (n, p)] = x[n][ch][tap of p]
 *   - w is packed once a call:   [block of K][panel of R rows][k][R]
 *   - a piece takes PANELS panels of C columns; for each block of K it packs them, [k][C], straight from the
 *     image (the whole of col never exists), and runs the micro-kernel for each panel of rows.  The
 *     block of col (<= 128 KB) stays in the second-level cache, a panel of w in the first.
 *   - a tile inside one image is computed in place; at the ends of images and of m it goes through a
 *     tile on the stack.
 * The data gradient of a convolution of stride 1 is a convolution of dy with the weights turned round
 * and channels exchanged: the same code.  Other strides and wgrad are those of conv_gemm.c. */
#include "kernel/conv.h"
#include "kernel/micro.h"
#include "kernel/panel.h"
#include <string.h>

enum { K_BLOCK = 128, PANELS = ONX_PANELS, PIECES = 8 };

/* The product as it is computed; for dgrad x, y, c, m have changed places. */
struct job {
	struct onx_conv_geo g;
	const struct ONX_R(onx_micro) *micro;
	const real *x, *w, *b;
	real *y, *packed, *col;
	bool add;
	size_t row_step, ch_step;       /* of the weights as stored */
	bool turned;                    /* taps run backwards       */
	size_t k, kb, k_blocks, row_panels;
	size_t cols, blocks;            /* columns of a piece; pieces of a group along the columns */
	size_t rows, parts;             /* panels of rows in a piece; pieces along the rows */
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }

static void cut(struct job *j, const struct onx_conv_geo *g)
{
	const struct ONX_R(onx_micro) *mi = onx_micro_of(onx_isa());
	const size_t panels = onx_pieces(g->n * g->w.out_n, mi->cols);

	j->g = *g;
	if (onx_conv_pointwise(g)) {            /* the whole image is one row */
		j->g.w = (struct onx_window){ .in = { 1, 1, g->w.in_n }, .out = { 1, 1, g->w.in_n },
			.kern = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .dil = { 1, 1, 1 } };
		onx_window_close(&j->g.w);
	}
	j->micro = mi;
	j->k = g->c * g->w.kern_n;
	j->k_blocks = max_z(onx_pieces(j->k, K_BLOCK), 1);
	j->kb = onx_pieces(j->k, j->k_blocks);
	j->row_panels = onx_pieces(g->m, mi->rows);
	j->cols = mi->cols * max_z(min_z(panels * g->groups / PIECES, PANELS), 1);
	j->blocks = onx_pieces(g->n * g->w.out_n, j->cols);
	j->rows = max_z(j->row_panels, 1);
	while (j->blocks * g->groups * onx_pieces(j->row_panels, j->rows) < PIECES && j->rows > 1)
		j->rows = (j->rows + 1) / 2;
	j->parts = onx_pieces(j->row_panels, j->rows);
}

static size_t packed_elements(const struct job *j)
{
	return up(j->g.groups * j->row_panels * j->micro->rows * j->k, 64 / sizeof(real));
}

static size_t col_elements(const struct job *j)
{
	return up(j->kb * j->cols, 64 / sizeof(real));
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	struct job j = { .add = false };

	cut(&j, g);
	return (packed_elements(&j) + col_elements(&j) * (size_t)threads) * sizeof(real);
}

/* Block kb of panel `row` of group `group` in the packed weights. */
static real *panel_at(const struct job *j, size_t group, size_t block, size_t row, size_t *k0, size_t *k1)
{
	const size_t r = j->micro->rows;

	onx_piece(j->k, j->kb, block, k0, k1);
	return j->packed + group * j->row_panels * r * j->k + j->row_panels * r * *k0 + row * r * (*k1 - *k0);
}

static void pack_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t r = j->micro->rows, taps = j->g.w.kern_n;
	const size_t row = piece % j->row_panels, group = piece / j->row_panels;
	const size_t have = min_z(j->g.m - row * r, r);
	const real *w = j->w + group * j->g.m * j->k + row * r * j->row_step;
	size_t k0, k1;

	(void)worker;
	for (size_t b = 0; b < j->k_blocks; b++) {
		real *to = panel_at(j, group, b, row, &k0, &k1);

		for (size_t k = k0; k < k1; k++, to += r) {
			const size_t tap = k % taps;
			const real *from = w + k / taps * j->ch_step + (j->turned ? taps - 1 - tap : tap);

			for (size_t i = 0; i < r; i++)
				to[i] = i < have ? from[i * j->row_step] : 0;
		}
	}
}

/* Between y and a tile on the stack: row by row, image by image. */
static void move_tile(const struct job *j, real *tile, size_t group, size_t row, size_t have, size_t q0,
		      size_t q1, bool out)
{
	const size_t p = j->g.w.out_n, c = j->micro->cols;

	for (size_t q = q0; q < q1;) {
		const size_t n = q / p, at = q % p, run = min_z(p - at, q1 - q);
		real *y = j->y + ((n * j->g.groups + group) * j->g.m + row) * p + at;

		for (size_t r = 0; r < have; r++)
			memcpy(out ? y + r * p : tile + r * c + (q - q0),
			       out ? tile + r * c + (q - q0) : y + r * p, run * sizeof *y);
		q += run;
	}
}

/* One panel of rows times one panel of columns over one block of K. */
static void one_tile(const struct job *j, size_t group, size_t row_panel, size_t k, const real *a,
		     const real *b, size_t q0, size_t q1, bool first)
{
	const struct ONX_R(onx_micro) *mi = j->micro;
	const size_t p = j->g.w.out_n, row = row_panel * mi->rows, have = min_z(j->g.m - row, mi->rows);
	const size_t third = mi->rows / ONX_MICRO_PARTS, part = (have - 1) / third;
	const bool add = j->add || !first;
	_Alignas(64) real tile[ONX_MICRO_ROWS * ONX_MICRO_COLS], few[ONX_MICRO_ROWS] = { 0 };
	const real *bias = first && j->b ? j->b + group * j->g.m + row : NULL;

	if (bias && have < mi->rows) {
		memcpy(few, bias, have * sizeof *few);
		bias = few;
	}
	if (have == (part + 1) * third && q1 - q0 == mi->cols && q0 / p == (q1 - 1) / p) {
		real *y = j->y + ((q0 / p * j->g.groups + group) * j->g.m + row) * p + q0 % p;

		mi->run[part](k, a, b, bias, add, y, p);
		return;
	}
	if (add) {
		memset(tile, 0, sizeof tile);
		move_tile(j, tile, group, row, have, q0, q1, false);
	}
	mi->run[part](k, a, b, bias, add, tile, mi->cols);
	move_tile(j, tile, group, row, have, q0, q1, true);
}

static void product_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t part = piece % j->parts, block = piece / j->parts % j->blocks;
	const size_t group = piece / j->parts / j->blocks, c = j->micro->cols;
	real *col = j->col + (size_t)worker * col_elements(j);
	size_t q0, q1, r0, r1, k0, k1;

	onx_piece(j->g.n * j->g.w.out_n, j->cols, block, &q0, &q1);
	onx_piece(j->row_panels, j->rows, part, &r0, &r1);
	for (size_t kb = 0; kb < j->k_blocks; kb++) {
		onx_piece(j->k, j->kb, kb, &k0, &k1);
		onx_panel_pack(&j->g, j->x, group, k0, k1, q0, q1, c, col);
		for (size_t r = r0; r < r1; r++) {
			const real *a = panel_at(j, group, kb, r, &k0, &k1);

			for (size_t q = q0; q < q1; q += c)
				one_tile(j, group, r, k1 - k0, a, col + (q - q0) * (k1 - k0), q,
					 min_z(q + c, q1), kb == 0);
		}
	}
}

static void run(struct onx_pool *pool, struct job *j, void *scratch)
{
	j->packed = scratch;
	j->col = j->packed + packed_elements(j);
	if (j->k)
		onx_parallel(pool, j->g.groups * j->row_panels, pack_piece, j);
	onx_parallel(pool, j->g.groups * j->blocks * j->parts, product_piece, j);
}

void onx_conv_packed_forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			     const real *w, const real *b, real *y, bool add, void *scratch)
{
	struct job j = { .x = x, .w = w, .b = b, .y = y, .add = add };

	cut(&j, g);
	j.row_step = j.k;
	j.ch_step = g->w.kern_n;
	run(pool, &j, scratch);
}

/* The convolution that computes dx from dy; false where a stride stands in the way. */
static bool turn(const struct onx_conv_geo *g, struct onx_conv_geo *back)
{
	*back = *g;
	back->c = g->m;
	back->m = g->c;
	for (int d = 0; d < 3; d++) {
		if (g->w.stride[d] != 1)
			return false;
		back->w.in[d] = g->w.out[d];
		back->w.out[d] = g->w.in[d];
		back->w.pad[d] = ((int64_t)g->w.kern[d] - 1) * g->w.dil[d] - g->w.pad[d];
	}
	onx_window_close(&back->w);
	return true;
}

void onx_conv_packed_dgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w,
			   const real *dy, real *dx, bool add, void *scratch)
{
	struct onx_conv_geo back;
	struct job j = { .x = dy, .w = w, .y = dx, .add = add, .turned = true };

	if (!turn(g, &back)) {
		onx_conv_gemm_dgrad(pool, g, w, dy, dx, add, scratch);
		return;
	}
	cut(&j, &back);
	j.row_step = g->w.kern_n;
	j.ch_step = g->c * g->w.kern_n;
	run(pool, &j, scratch);
}

size_t onx_conv_packed_forward_scratch(const struct onx_conv_geo *g, int threads)
{
	return scratch_of(g, threads);
}

size_t onx_conv_packed_dgrad_scratch(const struct onx_conv_geo *g, int threads)
{
	struct onx_conv_geo back;

	return turn(g, &back) ? scratch_of(&back, threads) : onx_conv_gemm_dgrad_scratch(g, threads);
}
