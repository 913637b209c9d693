/* kernel/wino.c -- 3x3 convolutions forward and their data gradient by Winograd's products (wino.h).
 *
 * Weights are packed [panel of columns][k][columns of a tile][l][column].  A piece is a run of tiles by a run of
 * panels.  It transforms its tiles of x once, V [k][tile][c]; then for each panel it makes the 36 products
 * M [k][tile][column] (flat.h) and turns them into pixels.  V and M of a piece stay in the second-level
 * cache where the channels are few; where they are many, the products are so long that the third feeds them.  Where
 * the weights themselves are beyond the caches a piece takes more tiles, so that they are read less often.
 *
 * Weights that are packed for one run only, beyond the caches, and more than the tiles (`by_panels`): V is made of all
 * tiles first; then a piece is a panel, which packs its own weights and uses them while it has them. */
#include "kernel/wino.h"
#include "kernel/flat.h"
#include "kernel/fuse_row.h"
#include <string.h>

typedef struct ONX_R(onx_wino) wino;

enum { TILES = 48, TILES_MANY = 132, MANY = 1 << 24, PIECES = 8, RUN_LEAST = 2 };
enum { AWAY = 16 };     /* numbers between the 36 parts, so that they do not fall into one set of the cache */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t bytes_of(size_t n) { return up(n * sizeof(real), 64); }

static void close(wino *w)
{
	struct onx_wino_grid *g = &w->grid;

	for (int d = 0; d < 2; d++)
		g->across[d] = onx_pieces(g->dst[d], ONX_WINO_OUT);
	g->tiles = g->n * g->across[0] * g->across[1];
	w->panels = onx_pieces(w->m, ONX_WINO_COLS);
	w->t = onx_wino_packed(w) > MANY ? TILES_MANY : TILES;
	w->t = max_z(min_z(w->t, up(onx_pieces(g->tiles, 2), w->tile->rows)), w->tile->rows);
	w->run = w->panels;
	while (w->run > RUN_LEAST && onx_pieces(g->tiles, w->t) * onx_pieces(w->panels, w->run) < PIECES)
		w->run = (w->run + 1) / 2;
}

void onx_wino_forward_of(const struct onx_conv_geo *g, enum onx_isa isa, wino *w)
{
	*w = (wino){ .tile = onx_tile_of(isa), .c = g->c, .m = g->m, .w_l = 9, .w_j = 9 * g->c, .grid.n = g->n };
	for (int d = 0; d < 2; d++) {
		w->grid.src[d] = g->w.in[d + 1];
		w->grid.dst[d] = g->w.out[d + 1];
		w->grid.pad[d] = g->w.pad[d + 1];
	}
	close(w);
}

void onx_wino_data_of(const struct onx_conv_geo *g, enum onx_isa isa, wino *w)
{
	*w = (wino){ .tile = onx_tile_of(isa), .c = g->m, .m = g->c, .w_l = 9 * g->c, .w_j = 9, .turned = true,
		     .grid.n = g->n };
	for (int d = 0; d < 2; d++) {
		w->grid.src[d] = g->w.out[d + 1];
		w->grid.dst[d] = g->w.in[d + 1];
		w->grid.pad[d] = 2 - g->w.pad[d + 1];
	}
	close(w);
}

/* ---- weights ---------------------------------------------------------------------------------------- */

size_t onx_wino_packed(const wino *w)
{
	return bytes_of(ONX_WINO_K * w->c * w->m);
}

struct packing {
	const wino *w;
	const real *from;
	real *to;
};

/* Row l of the 36 parts of a panel, whose columns fall into those of the tiles. */
static void pack_row(const wino *w, const real *taps, size_t l, size_t width, real *to)
{
	for (size_t j = 0, n; j < width; j += n) {
		n = min_z(w->tile->cols, width - j);
		onx_wino_taps(taps + j, ONX_WINO_COLS, n, to + j * w->c + l * n, w->c * width);
	}
}

/* Of a panel of columns from j0 on as many l as there are lanes. */
static void pack_lanes(const wino *w, const real *from, size_t l0, size_t j0, size_t width, real *to)
{
	real taps[ONX_WINO_LANES][9][ONX_WINO_COLS];

	for (size_t j = 0; j < width; j++)
		for (size_t l = 0; l < ONX_WINO_LANES; l++) {
			const real *const at = from + (l0 + l) * w->w_l + (j0 + j) * w->w_j;

			for (size_t k = 0; k < 9; k++)
				taps[l][k][j] = at[w->turned ? 8 - k : k];
		}
	for (size_t l = 0; l < ONX_WINO_LANES; l++)
		pack_row(w, taps[l][0], l0 + l, width, to);
}

static void pack_piece(void *ctx, size_t piece, int worker)
{
	const struct packing *p = ctx;
	const size_t downs = p->w->c / ONX_WINO_LANES, j0 = piece / downs * ONX_WINO_COLS;

	(void)worker;
	pack_lanes(p->w, p->from, piece % downs * ONX_WINO_LANES, j0, min_z(ONX_WINO_COLS, p->w->m - j0),
		   p->to + ONX_WINO_K * p->w->c * j0);
}

void onx_wino_pack(struct onx_pool *pool, const wino *w, const real *from, real *to)
{
	struct packing p = { w, from, to };

	onx_parallel(pool, w->panels * (w->c / ONX_WINO_LANES), pack_piece, &p);
}

/* ---- products ---------------------------------------------------------------------------------------- */
struct job {
	const wino *w;
	const real *x, *packed, *zeros;
	const struct ONX_R(onx_last_end) *end;
	real *y;
	const real *from; real *v;      /* by panels: weights, and V */
	char *room;                     /* of all workers */
};

static bool by_panels(const wino *w)
{
	return onx_wino_packed(w) > MANY && w->grid.tiles <= w->m;
}

/* One worker's room, in bytes; distance of the 36 parts in V and in M, in numbers.  In front stands V of a run of
 * tiles; by panels, where V is that of all tiles and for all workers, the weights of a panel. */
struct room { size_t m, bytes, v_step, m_step; };

static struct room room_of(const wino *w, bool panels)
{
	struct room r = { .v_step = (panels ? w->grid.tiles : w->t) * w->c + AWAY,
			  .m_step = w->t * ONX_WINO_COLS + AWAY };

	r.m = bytes_of(ONX_WINO_K * (panels ? w->c * ONX_WINO_COLS : r.v_step));
	r.bytes = r.m + bytes_of(ONX_WINO_K * r.m_step);
	return r;
}

size_t onx_wino_scratch(const wino *w, int threads)
{
	return bytes_of(w->c) + room_of(w, false).bytes * (size_t)threads;
}

size_t onx_wino_fresh_scratch(const wino *w, int threads)
{
	const struct room r = room_of(w, true);

	return by_panels(w) ? bytes_of(w->c) + bytes_of(ONX_WINO_K * r.v_step) + r.bytes * (size_t)threads
			    : onx_wino_packed(w) + onx_wino_scratch(w, threads);
}

/* M of one panel for `rows` tiles; terms in blocks that are summed from zero. */
static void products(const wino *w, const struct room *room, const real *packed, size_t width, size_t rows,
		     const real *v, real *m)
{
	const struct ONX_R(onx_tile) *t = w->tile;
	const size_t by = onx_pieces(w->c, onx_pieces(w->c, ONX_WINO_CHAIN));

	for (size_t k = 0; k < ONX_WINO_K; k++, packed += w->c * width, v += room->v_step, m += room->m_step)
		for (size_t l = 0; l < w->c; l += by)
			for (size_t j = 0; j < width; j += t->cols) {
				const size_t cols = min_z(t->cols, width - j);
				const struct ONX_R(onx_flat) f = {
					.rows = rows, .len = min_z(by, w->c - l), .x = v + l, .x_pitch = w->c,
					.b = packed + j * w->c + l * cols, .y = m + j, .y_pitch = ONX_WINO_COLS,
					.add = l ? m + j : NULL, .add_pitch = ONX_WINO_COLS };

				onx_flat_of(t->isa, cols / (t->cols / 2))(&f);
			}
}

/* The end of a pixel's sums, which is made beside y: what was just stored into far memory is slow to read again. */
ONX_CLONES
static void finish(const struct ONX_R(onx_last_end) *end, size_t j, size_t n, real *restrict sum, const real *z,
		   real *y)
{
	const real *const b = end->b;

	for (size_t i = 0; b && i < n; i++)
		sum[i] += b[j + i];
	for (size_t i = 0; z && i < n; i++)
		sum[i] += z[i];
	onx_fuse_row(&end->f, sum, n);
	memcpy(y, sum, n * sizeof *y);
}

/* A tile's 4x4 pixels, those that there are. */
static void pixels(const struct job *q, size_t tile, size_t j, size_t width, const real *m, size_t step)
{
	const struct onx_wino_grid *g = &q->w->grid;
	const size_t all = g->across[0] * g->across[1], n = tile / all, in = tile % all;
	const size_t y0 = in / g->across[1] * ONX_WINO_OUT, x0 = in % g->across[1] * ONX_WINO_OUT;
	const size_t pitch = q->end->pitch ? q->end->pitch : q->w->m;
	real out[ONX_WINO_OUT * ONX_WINO_OUT][ONX_WINO_COLS];

	onx_wino_output(m, step, width, out[0], ONX_WINO_COLS);
	for (size_t i = 0; i < min_z(ONX_WINO_OUT, g->dst[0] - y0); i++)
		for (size_t k = 0; k < min_z(ONX_WINO_OUT, g->dst[1] - x0); k++) {
			const size_t at = ((n * g->dst[0] + y0 + i) * g->dst[1] + x0 + k) * pitch + j;

			finish(q->end, j, width, out[i * ONX_WINO_OUT + k], q->end->z ? q->end->z + at : NULL,
			       q->y + at);
		}
}

static void transform(const struct job *q, size_t tile, real *v, size_t step)
{
	const real *pixel[ONX_WINO_K];

	onx_wino_at(&q->w->grid, tile, q->x, q->w->c, q->zeros, pixel);
	onx_wino_input(pixel, 0, q->w->c, v, step);
}

/* Tiles [t0, t1), whose V begins at v, by the panel at column j. */
static void panel(const struct job *q, const struct room *room, char *mine, const real *packed, size_t j, const real *v,
		  size_t t0, size_t t1)
{
	const wino *w = q->w;
	const size_t width = min_z(ONX_WINO_COLS, w->m - j);
	real *const m = (real *)(void *)(mine + room->m);

	products(w, room, packed, width, t1 - t0, v, m);
	for (size_t t = t0; t < t1; t++)
		pixels(q, t, j, width, m + (t - t0) * ONX_WINO_COLS, room->m_step);
}

/* Pieces run over tiles, then panels. */
static void wino_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const wino *w = q->w;
	const struct room room = room_of(w, false);
	char *const mine = q->room + room.bytes * (size_t)worker;
	real *const v = (real *)(void *)mine;
	const size_t runs = onx_pieces(w->panels, w->run);
	size_t t0, t1, p0, p1;

	onx_piece(w->grid.tiles, w->t, piece / runs, &t0, &t1);
	onx_piece(w->panels, w->run, piece % runs, &p0, &p1);
	for (size_t t = t0; t < t1; t++)
		transform(q, t, v + (t - t0) * w->c, room.v_step);
	for (size_t j = p0 * ONX_WINO_COLS; j < p1 * ONX_WINO_COLS; j += ONX_WINO_COLS)
		panel(q, &room, mine, q->packed + ONX_WINO_K * w->c * j, j, v, t0, t1);
}

enum { FEW = 4 };       /* tiles that are transformed in a piece */

static void transform_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const size_t step = room_of(q->w, true).v_step;
	size_t t0, t1;

	(void)worker;
	onx_piece(q->w->grid.tiles, FEW, piece, &t0, &t1);
	for (size_t t = t0; t < t1; t++)
		transform(q, t, q->v + t * q->w->c, step);
}

static void panel_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const wino *w = q->w;
	const struct room room = room_of(w, true);
	char *const mine = q->room + room.bytes * (size_t)worker;
	real *const packed = (real *)(void *)mine;
	const size_t j = piece * ONX_WINO_COLS, width = min_z(ONX_WINO_COLS, w->m - j);

	for (size_t l = 0; l < w->c; l += ONX_WINO_LANES)
		pack_lanes(w, q->from, l, j, width, packed);
	for (size_t t = 0; t < w->grid.tiles; t += w->t)
		panel(q, &room, mine, packed, j, q->v + t * w->c, t, min_z(t + w->t, w->grid.tiles));
}

void onx_wino_fresh(struct onx_pool *pool, const wino *w, const real *x, const real *from,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	struct job q = { .w = w, .x = x, .from = from, .end = end, .y = y, .zeros = scratch };

	if (!by_panels(w)) {
		onx_wino_pack(pool, w, from, scratch);
		onx_wino_run(pool, w, x, scratch, end, y, (char *)scratch + onx_wino_packed(w));
		return;
	}
	q.v = (real *)(void *)((char *)scratch + bytes_of(w->c));
	q.room = (char *)q.v + bytes_of(ONX_WINO_K * room_of(w, true).v_step);
	memset(scratch, 0, bytes_of(w->c));
	onx_parallel(pool, onx_pieces(w->grid.tiles, FEW), transform_piece, &q);
	onx_parallel(pool, w->panels, panel_piece, &q);
}

void onx_wino_run(struct onx_pool *pool, const wino *w, const real *x, const real *packed,
		  const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	struct job q = { .w = w, .x = x, .packed = packed, .end = end, .y = y, .zeros = scratch,
			 .room = (char *)scratch + bytes_of(w->c) };

	memset(scratch, 0, bytes_of(w->c));
	onx_parallel(pool, onx_pieces(w->grid.tiles, w->t) * onx_pieces(w->panels, w->run), wino_piece, &q);
}
