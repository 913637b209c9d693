/* kernel/blocked.c -- see the header. */
#include "kernel/blocked.h"
#include <string.h>
#include "kernel/flat.h"
#include "kernel/tile.h"

enum { DEPTH = ONX_BLOCKED_DEPTH, ROWS = 96 };                          /* rows of A that pass along a panel in turn */
enum { COLS = (1 << 17) / (DEPTH * sizeof(real)) };                     /* columns of B that are copied at once */
enum { TURN = 4 };                                                      /* side of a block that is turned */

typedef real four __attribute__((vector_size(TURN * sizeof(real))));

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }

/* ---- a panel of B ----------------------------------------------------------------------------------- */

/* to[k * width + j] = alpha * from[j * ld + k], four by four */
ONX_INLINE void turn(const real *from, size_t ld, real alpha, size_t width, real *to)
{
	four r[TURN], s[TURN];

	ONX_UNROLL
	for (size_t i = 0; i < TURN; i++)
		memcpy(&r[i], from + i * ld, sizeof r[i]);
	s[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
	s[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
	s[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
	s[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
	r[0] = __builtin_shufflevector(s[0], s[2], 0, 1, 4, 5);
	r[1] = __builtin_shufflevector(s[0], s[2], 2, 3, 6, 7);
	r[2] = __builtin_shufflevector(s[1], s[3], 0, 1, 4, 5);
	r[3] = __builtin_shufflevector(s[1], s[3], 2, 3, 6, 7);
	ONX_UNROLL
	for (size_t i = 0; i < TURN; i++) {
		r[i] *= alpha;
		memcpy(to + i * width, &r[i], sizeof r[i]);
	}
}

/* b: the panel's first element.  Columns from cols to width are zeros. */
ONX_CLONES
static void copy_panel(const real *b, size_t ld, bool turned, size_t depth, size_t cols, size_t width, real alpha,
		       real *to)
{
	size_t j = 0;

	if (cols < width)
		memset(to, 0, depth * width * sizeof *to);
	if (!turned) {
		for (size_t k = 0; k < depth; k++)
			for (j = 0; j < cols; j++)
				to[k * width + j] = alpha * b[k * ld + j];
		return;
	}
	for (; j + TURN <= cols; j += TURN) {
		size_t k = 0;

		for (; k + TURN <= depth; k += TURN)
			turn(b + j * ld + k, ld, alpha, width, to + k * width + j);
		for (; k < depth; k++)
			for (size_t i = j; i < j + TURN; i++)
				to[k * width + i] = alpha * b[i * ld + k];
	}
	for (; j < cols; j++)
		for (size_t k = 0; k < depth; k++)
			to[k * width + j] = alpha * b[j * ld + k];
}

/* ---- tiles ------------------------------------------------------------------------------------------ */

/* A panel, and the block of rows [i0, i1) of op(A) that passes along it: row i0 is at a. */
struct pass {
	const struct onx_mat *g;
	const struct ONX_R(onx_tile) *tile;
	const real *a, *b;
	real *c;
	size_t lda, k0, depth, i0, i1, j0, cols, width;
	size_t deep, skip;              /* rows that a panel has in memory, and those before the block's */
	bool add;
};

/* A tile of `rows` rows from i on; part: its thirds of a whole tile. */
static void tile_at(const struct pass *p, size_t i, size_t rows, size_t part, bool add, real *c, size_t ldc)
{
	const real *at[ONX_TILE_ROWS], *next[ONX_TILE_ROWS];
	size_t row[ONX_TILE_ROWS];
	struct ONX_R(onx_tile_gather) t = { .spans = 1, .len = p->depth, .at = at, .b = p->b,
					    .next = i + p->tile->rows < p->i1 ? next : NULL,
					    .add = add ? c : NULL, .y = c, .row = row, .add_row = row };

	for (size_t r = 0; r < p->tile->rows; r++) {
		at[r] = p->a + (i - p->i0 + min_z(r, rows - 1)) * p->lda;
		next[r] = p->a + (min_z(i + p->tile->rows + r, p->i1 - 1) - p->i0) * p->lda;
		row[r] = r * ldc;
	}
	p->tile->gather[part][p->width / p->tile->unit - 1](&t);
}

static void run_tile(const struct pass *p, size_t i, size_t rows)
{
	const struct onx_mat *g = p->g;
	const size_t third = p->tile->rows / ONX_TILE_PARTS, part = (rows + third - 1) / third - 1;
	real *const c = p->c + i * g->ldc + p->j0, sum[ONX_TILE_ROWS * ONX_TILE_COLS];

	for (size_t r = 0; r < rows; r++)
		__builtin_prefetch(c + r * g->ldc, 1);
	if (p->cols == p->width && rows == (part + 1) * third) {
		tile_at(p, i, rows, part, p->add, c, g->ldc);
		return;
	}
	tile_at(p, i, rows, part, false, sum, p->width);
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < p->cols; j++)
			c[r * g->ldc + j] = sum[r * p->width + j] + (p->add ? c[r * g->ldc + j] : 0);
}

static void run_tiles(const struct pass *p)
{
	for (size_t i = p->i0; i < p->i1; i += p->tile->rows)
		run_tile(p, i, min_z(p->tile->rows, p->i1 - i));
}

/* The same along a panel that fills vectors. */
static void run_flat(const struct pass *p)
{
	real *const c = p->c + p->i0 * p->g->ldc + p->j0;
	const struct ONX_R(onx_flat) f = { .rows = p->i1 - p->i0, .len = p->depth, .x = p->a, .x_pitch = p->lda,
					   .b = p->b, .add = p->add ? c : NULL, .add_pitch = p->g->ldc, .y = c,
					   .y_pitch = p->g->ldc };

	onx_flat_of(p->tile->isa, p->width / (p->tile->cols / 2))(&f);
}

/* The rows of a block along all panels of columns [j0, j1), which lie one behind the other. */
static void run_block(struct pass *p, size_t j0, size_t j1, const real *panels)
{
	for (p->j0 = j0; p->j0 < j1; panels += p->deep * p->width, p->j0 += p->tile->cols) {
		p->cols = min_z(p->tile->cols, j1 - p->j0);
		p->width = onx_pieces(p->cols, p->tile->unit) * p->tile->unit;
		p->b = panels + p->skip * p->width;
		if (p->cols == p->width && p->width % (p->tile->cols / 2) == 0)
			run_flat(p);
		else
			run_tiles(p);
	}
}

/* Rows [k0, k0 + depth) of columns [j0, j1). */
static void copy_panels(const struct pass *p, const real *b, real alpha, size_t j0, size_t j1, real *to)
{
	const struct onx_mat *g = p->g;

	for (size_t j = j0; j < j1; j += p->tile->cols) {
		const size_t cols = min_z(p->tile->cols, j1 - j);
		const size_t width = onx_pieces(cols, p->tile->unit) * p->tile->unit;

		copy_panel(b + (g->tb ? j * g->ldb + p->k0 : p->k0 * g->ldb + j), g->ldb, g->tb, p->depth, cols,
			   width, alpha, to);
		to += p->depth * width;
	}
}

/* All rows of A, block by block. */
static void run_rows(struct pass *p, const real *a, size_t j0, size_t j1, const real *panels)
{
	const struct onx_mat *g = p->g;
	real own[ROWS * DEPTH];

	for (p->i0 = 0; p->i0 < g->m; p->i0 += ROWS) {
		p->i1 = min_z(p->i0 + ROWS, g->m);
		p->a = g->ta ? own : a + p->i0 * g->lda + p->k0;
		if (g->ta)
			copy_panel(a + p->k0 * g->lda + p->i0, g->lda, true, p->i1 - p->i0, p->depth, DEPTH, 1, own);
		run_block(p, j0, j1, panels);
	}
}

static struct pass pass_of(const struct onx_mat *g, enum onx_isa isa, real *c)
{
	return (struct pass){ .g = g, .tile = onx_tile_of(isa), .c = c, .lda = g->ta ? DEPTH : g->lda };
}

void onx_blocked(const struct onx_mat *g, enum onx_isa isa, real alpha, const real *a, const real *b, bool add, real *c)
{
	real panels[DEPTH * COLS];
	struct pass p = pass_of(g, isa, c);

	for (size_t j0 = 0; j0 < g->n; j0 += COLS)
		for (p.k0 = 0; p.k0 < g->k; p.k0 += DEPTH) {
			const size_t j1 = min_z(j0 + COLS, g->n);

			p.deep = p.depth = min_z(DEPTH, g->k - p.k0);
			p.add = add || p.k0 > 0;
			copy_panels(&p, b, alpha, j0, j1, panels);
			run_rows(&p, a, j0, j1, panels);
		}
}

/* ---- panels made before ----------------------------------------------------------------------------- */

size_t onx_blocked_panels(const struct onx_mat *g, enum onx_isa isa)
{
	const size_t unit = onx_tile_of(isa)->unit;

	return onx_pieces(g->n, unit) * unit * g->k;
}

void onx_blocked_pack(const struct onx_mat *g, enum onx_isa isa, const real *b, real *to)
{
	struct pass p = pass_of(g, isa, NULL);

	p.depth = g->k;
	copy_panels(&p, b, 1, 0, g->n, to);
}

void onx_blocked_packed(const struct onx_mat *g, enum onx_isa isa, const real *a, const real *panels, bool add, real *c)
{
	struct pass p = pass_of(g, isa, c);

	p.deep = g->k;
	for (size_t j0 = 0; j0 < g->n; j0 += COLS)
		for (p.k0 = 0; p.k0 < g->k; p.k0 += DEPTH) {
			p.depth = min_z(DEPTH, g->k - p.k0);
			p.skip = p.k0;
			p.add = add || p.k0 > 0;
			run_rows(&p, a, j0, min_z(j0 + COLS, g->n), panels + j0 * g->k);
		}
}
