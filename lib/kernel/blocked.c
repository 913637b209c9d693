/* kernel/blocked.c -- see the header. */
#include "kernel/blocked.h"
#include <string.h>
#include "kernel/outer.h"

enum { DEPTH = ONX_BLOCKED_DEPTH, KEPT = 1 << 16, ROWS_LEAST = 96 };    /* numbers gone over again; rows of a block */
enum { TURN = 4 };                                                      /* side of a block that is turned */

typedef real four __attribute__((vector_size(TURN * sizeof(real))));

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

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

/* A panel, and the block of rows that passes along it. */
struct pass {
	const struct onx_mat *g;
	const struct ONX_R(onx_tile) *tile;
	const struct ONX_R(onx_outers) *outers;
	const real *a, *b;
	real *c;
	size_t k0, depth, j0, cols, width;
	bool add;
};

/* A tile of `rows` rows from i on; part: its thirds of a whole tile. */
static void by_rows(const struct pass *p, size_t i, size_t rows, size_t part, bool add, real *c, size_t ldc)
{
	const struct onx_mat *g = p->g;
	const real *at[ONX_TILE_ROWS];
	size_t row[ONX_TILE_ROWS];
	struct ONX_R(onx_tile_gather) t = { .spans = 1, .len = p->depth, .at = at, .first = p->k0, .b = p->b,
					    .add = add ? c : NULL, .y = c, .row = row, .add_row = row };

	for (size_t r = 0; r < p->tile->rows; r++) {
		at[r] = p->a + (i + min_z(r, rows - 1)) * g->lda;
		row[r] = r * ldc;
	}
	p->tile->gather[part][p->width / p->tile->unit - 1](&t);
}

/* A stored transposed: a tile's numbers of one term are a run, which must not pass the end of its row. */
static void by_columns(const struct pass *p, size_t i, size_t rows, size_t part, bool add, real *c, size_t ldc)
{
	const struct onx_mat *g = p->g;
	const real *at[DEPTH];
	real edge[DEPTH * ONX_TILE_ROWS];
	const size_t whole = (part + 1) * p->tile->rows / ONX_TILE_PARTS;
	struct ONX_R(onx_outer) t = { .depth = p->depth, .ldb = p->width, .ldc = ldc, .at = at, .b = p->b,
				    .add = add, .c = c };

	for (size_t k = 0; k < p->depth; k++) {
		at[k] = p->a + (p->k0 + k) * g->lda + i;
		if (i + whole > g->m) {
			for (size_t r = 0; r < whole; r++)
				edge[k * whole + r] = r < rows ? at[k][r] : 0;
			at[k] = edge + k * whole;
		}
	}
	p->outers->run[part][p->width / p->tile->unit - 1](&t);
}

static void run_tile(const struct pass *p, size_t i, size_t rows)
{
	const struct onx_mat *g = p->g;
	const size_t third = p->tile->rows / ONX_TILE_PARTS, part = (rows + third - 1) / third - 1;
	void (*const run)(const struct pass *, size_t, size_t, size_t, bool, real *, size_t) =
		g->ta ? by_columns : by_rows;
	real *const c = p->c + i * g->ldc + p->j0, sum[ONX_TILE_ROWS * ONX_TILE_COLS];

	if (p->cols == p->width && rows == (part + 1) * third) {
		run(p, i, rows, part, p->add, c, g->ldc);
		return;
	}
	run(p, i, rows, part, false, sum, p->width);
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < p->cols; j++)
			c[r * g->ldc + j] = sum[r * p->width + j] + (p->add ? c[r * g->ldc + j] : 0);
}

void onx_blocked(const struct onx_mat *g, enum onx_isa isa, real alpha, const real *a, const real *b, bool add, real *c)
{
	const struct ONX_R(onx_tile) *const tile = onx_tile_of(isa);
	const struct ONX_R(onx_outers) *const outers = onx_outers_of(isa);
	const size_t panels = onx_pieces(g->n, tile->cols), blocks = onx_pieces(g->k, DEPTH);
	const size_t rows = max_z(KEPT / min_z(g->k, g->n) / tile->rows * tile->rows, ROWS_LEAST);
	const bool by_panel = g->k <= g->n;     /* the rows of A stay, else those of C */
	real panel[DEPTH * ONX_TILE_COLS];

	for (size_t i0 = 0; i0 < g->m; i0 += rows)
		for (size_t n = 0; n < panels * blocks; n++) {
			const size_t j = by_panel ? n / blocks : n % panels, k = by_panel ? n % blocks : n / panels;
			struct pass p = { .g = g, .tile = tile, .outers = outers, .a = a, .b = panel, .c = c,
					  .k0 = k * DEPTH, .j0 = j * tile->cols, .add = add || k > 0 };
			const size_t i1 = min_z(i0 + rows, g->m);

			p.depth = min_z(DEPTH, g->k - p.k0);
			p.cols = min_z(tile->cols, g->n - p.j0);
			p.width = (p.cols + tile->unit - 1) / tile->unit * tile->unit;
			copy_panel(b + (g->tb ? p.j0 * g->ldb + p.k0 : p.k0 * g->ldb + p.j0), g->ldb, g->tb, p.depth,
				   p.cols, p.width, alpha, panel);
			for (size_t i = i0; i < i1; i += tile->rows)
				run_tile(&p, i, min_z(tile->rows, i1 - i));
		}
}
