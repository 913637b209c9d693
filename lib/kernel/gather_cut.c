/* kernel/gather_cut.c -- how a gathered product (gather.h) is cut into pieces, and its weights in their order. */
#include "kernel/flat.h"
#include "kernel/gather.h"
#include <string.h>

typedef struct ONX_R(onx_gather) gather;

/* A piece: about ROW_TERMS numbers of the left operand, in TILES_LEAST to TILES_MOST tiles; at least PIECES. */
enum { TILES_LEAST = 8, TILES_MOST = 32, ROW_TERMS = 1 << 15, PIECES = 16 };
/* Rows that lie a multiple of ALIKE bytes apart fall into the same few sets of the nearest cache, and throw each other
 * out: where as many as PANELS panels read them they are copied. */
enum { ALIKE = 4096, PANELS = 4 };
enum { BY_ROWS = 1 << 17 };             /* bytes of weights that are read again for each tile of rows */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t volume(const size_t *d) { return d[0] * d[1] * d[2]; }

/* Sizes alone decide. */
static void cut(gather *g)
{
	const size_t tile = g->tile->rows, tiles = onx_pieces(g->rows, tile), k = max_z(g->spans * g->len, 1);
	const size_t pieces = g->alone ? 1 : PIECES;

	g->cuts = onx_pieces(g->len, ONX_GATHER_CHAIN);
	g->by_len = onx_pieces(g->len, g->cuts);
	g->by_spans = g->cuts > 1 ? 1 : max_z(ONX_GATHER_CHAIN / g->len, 1);
	g->blocks = onx_pieces(g->spans, g->by_spans);
	g->by_spans = g->blocks ? onx_pieces(g->spans, g->blocks) : 1;
	g->blocks = max_z(onx_pieces(g->spans, g->by_spans) * g->cuts, 1);
	g->by_rows = g->blocks == 1 && g->ends * k * sizeof(real) <= BY_ROWS;
	g->tiles = max_z(min_z(ROW_TERMS / (k * tile), TILES_MOST), TILES_LEAST);
	g->tiles = max_z(min_z(g->tiles, onx_pieces(tiles * g->groups, pieces)), 1);
	g->run = g->panels;
	while (g->run > 1 && onx_pieces(tiles, g->tiles) * g->groups * onx_pieces(g->panels, g->run) < pieces)
		g->run = (g->run + 1) / 2;
}

/* Panels of three vectors where no narrower one is left over by them, or a better one by two is not. */
static void panels(gather *g)
{
	const size_t line = g->tile->cols / 2, most = ONX_FLAT_LINES * line;

	g->copied = g->scale || g->norm || g->shift ||
		    (g->spans == 1 && !g->merged && onx_pieces(g->m, g->tile->cols) >= PANELS &&
		     (!g->flat || g->groups * g->c * sizeof(real) % ALIKE == 0));
	g->straight = g->even && (g->flat || g->copied) && g->m % line == 0;
	g->cols = g->tile->cols;
	if (g->straight && (g->m % most == 0 || (g->m % g->cols != 0 && g->m % most == g->cols)))
		g->cols = most;
	g->panels = onx_pieces(g->m, g->cols);
	g->ends = up(g->m, g->tile->unit);
}

void onx_gather_close(gather *g)
{
	g->merged = g->groups == 1 && g->s.taps[2] > 1 && g->s.inc[2] == 1 && g->c <= ONX_GATHER_MERGE;
	g->spans = volume(g->s.taps);
	g->len = g->c;
	if (g->merged) {
		g->spans /= g->s.taps[2];
		g->len *= g->s.taps[2];
	}
	g->rows = g->n * volume(g->s.grid);
	g->even = true;
	for (int d = 0; d < 3; d++)
		g->even &= g->s.dst[d] == g->s.grid[d] && g->s.first[d] == 0 && g->s.step[d] == 1;
	g->flat = g->even && g->spans == 1 && !g->merged;
	for (int d = 0; d < 3; d++)
		g->flat &= g->s.mul[d] == 1 && g->s.base[d] == 0 && g->s.src[d] == g->s.grid[d];
	panels(g);
	cut(g);
}

size_t onx_gather_packed(const gather *g)
{
	return up(g->groups * g->ends * g->spans * g->len * sizeof(real), 64);
}

/* ---- weights ---------------------------------------------------------------------------------------- */
struct packing {
	const gather *g;
	const real *w;
	real *to;
};

/* Weights of column j at (t, l), for l0 <= l < l1; the taps' offsets in w run over t. */
static void pack_column(const gather *g, const real *w, size_t l0, size_t l1, size_t width, real *to)
{
	const size_t *n = g->s.taps;

	for (size_t t0 = 0; t0 < n[0]; t0++)
		for (size_t t1 = 0; t1 < n[1]; t1++)
			for (size_t t2 = 0; t2 < n[2]; t2++) {
				const size_t k = onx_slide_tap(&g->s, (size_t[]){ t0, t1, t2 });
				real *const row = to + ((t0 * n[1] + t1) * n[2] + t2) * g->c * width;

				for (size_t l = l0; l < l1; l++)
					row[l * width] = w[l * g->w_l + k];
			}
}

enum { PACK_LINES = 16 };

static void pack_piece(void *ctx, size_t piece, int worker)
{
	const struct packing *p = ctx;
	const gather *g = p->g;
	const size_t group = piece / g->panels, j0 = piece % g->panels * g->cols;
	const size_t width = min_z(g->cols, g->ends - j0), k = g->spans * g->len;
	real *const to = p->to + (group * g->ends + j0) * k;

	(void)worker;
	if (j0 + width > g->m)
		memset(to, 0, width * k * sizeof *to);
	for (size_t l = 0; l < g->c; l += PACK_LINES)
		for (size_t j = j0; j < min_z(j0 + width, g->m); j++)
			pack_column(g, p->w + group * g->w_group + j * g->w_j, l, min_z(l + PACK_LINES, g->c),
				    width, to + j - j0);
}

void onx_gather_pack(struct onx_pool *pool, const gather *g, const real *w, real *to)
{
	struct packing p = { g, w, to };

	onx_parallel(pool, g->groups * g->panels, pack_piece, &p);
}
