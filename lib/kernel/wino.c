/* kernel/wino.c -- 3x3 convolutions forward and their data gradient by Winograd's products (wino.h).
 *
 * Weights are packed [panel of columns][k][columns of a tile][l][column].  A piece is a run of tiles by a run of
 * panels.  It transforms its tiles of x once, V [k][tile][c]; then for each panel it makes the 36 products
 * M [k][tile][column] (tile.h, `gather`) and turns them into pixels.  V and M of a piece stay in the second-level
 * cache where the channels are few; where they are many, the products are so long that the third feeds them.  Where
 * the weights themselves are beyond the caches a piece takes more tiles, so that they are read less often. */
#include "kernel/wino.h"
#include "kernel/fuse_row.h"
#include <string.h>

typedef struct ONX_R(onx_wino) wino;
typedef struct ONX_R(onx_tile_gather) tile_args;

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
	const size_t cols = w->tile->cols;
	real row[ONX_WINO_K][ONX_WINO_COLS];

	if (width <= cols) {
		onx_wino_taps(taps, ONX_WINO_COLS, width, to + l * width, w->c * width);
		return;
	}
	onx_wino_taps(taps, ONX_WINO_COLS, width, row[0], ONX_WINO_COLS);
	for (size_t k = 0; k < ONX_WINO_K; k++, to += w->c * width)
		for (size_t j = 0; j < width; j += cols) {
			const size_t n = min_z(cols, width - j);

			memcpy(to + j * w->c + l * n, row[k] + j, n * sizeof *to);
		}
}

/* A panel of columns and as many l as there are lanes. */
static void pack_piece(void *ctx, size_t piece, int worker)
{
	const struct packing *p = ctx;
	const wino *w = p->w;
	const size_t downs = w->c / ONX_WINO_LANES, l0 = piece % downs * ONX_WINO_LANES;
	const size_t j0 = piece / downs * ONX_WINO_COLS, width = min_z(ONX_WINO_COLS, w->m - j0);
	real taps[ONX_WINO_LANES][9][ONX_WINO_COLS];
	real *const to = p->to + ONX_WINO_K * w->c * j0;

	(void)worker;
	for (size_t j = 0; j < width; j++)
		for (size_t l = 0; l < ONX_WINO_LANES; l++) {
			const real *const from = p->from + (l0 + l) * w->w_l + (j0 + j) * w->w_j;

			for (size_t k = 0; k < 9; k++)
				taps[l][k][j] = from[w->turned ? 8 - k : k];
		}
	for (size_t l = 0; l < ONX_WINO_LANES; l++)
		pack_row(w, taps[l][0], l0 + l, width, to);
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
	char *room;                     /* of all workers */
};

/* One worker's room, in bytes; distance of the 36 parts in V and in M, in numbers. */
struct room { size_t m, at, row, bytes, v_step, m_step; };

static struct room room_of(const wino *w)
{
	struct room r = { .v_step = w->t * w->c + AWAY, .m_step = w->t * ONX_WINO_COLS + AWAY };

	r.m = bytes_of(ONX_WINO_K * r.v_step);
	r.at = r.m + bytes_of(ONX_WINO_K * r.m_step);
	r.row = r.at + up(w->t * sizeof(real *), 64);
	r.bytes = r.row + up(w->t * sizeof(size_t), 64);
	return r;
}

size_t onx_wino_scratch(const wino *w, int threads)
{
	return bytes_of(w->c) + room_of(w).bytes * (size_t)threads;
}

/* M of one panel for `rows` tiles; terms in blocks that are summed from zero. */
static void products(const wino *w, const struct room *room, const real *packed, size_t width, size_t rows,
		     const real *const *at, const size_t *row, real *m)
{
	const struct ONX_R(onx_tile) *t = w->tile;
	const size_t third = t->rows / ONX_TILE_PARTS, by = onx_pieces(w->c, onx_pieces(w->c, ONX_WINO_CHAIN));

	for (size_t k = 0; k < ONX_WINO_K; k++, packed += w->c * width, m += room->m_step)
		for (size_t l = 0; l < w->c; l += by)
			for (size_t j = 0; j < width; j += t->cols) {
				const size_t cols = min_z(t->cols, width - j);
				tile_args a = { .spans = 1, .len = min_z(by, w->c - l), .first = k * room->v_step + l,
						.b = packed + j * w->c + l * cols, .y = m + j,
						.add = l ? m + j : NULL };

				for (size_t r = 0; r < rows; r += t->rows) {
					const size_t part = onx_pieces(min_z(t->rows, rows - r), third) - 1;

					a.at = at + r;
					a.row = row + r;
					t->gather[part][cols / t->unit - 1](&a);
				}
			}
}

/* The end of a pixel's sums. */
ONX_CLONES
static void finish(const struct ONX_R(onx_last_end) *end, size_t j, size_t n, const real *from, const real *z, real *y)
{
	const real *const b = end->b;

	if (b && z)
		for (size_t i = 0; i < n; i++)
			y[i] = from[i] + b[j + i] + z[i];
	else if (b)
		for (size_t i = 0; i < n; i++)
			y[i] = from[i] + b[j + i];
	else if (z)
		for (size_t i = 0; i < n; i++)
			y[i] = from[i] + z[i];
	else
		for (size_t i = 0; i < n; i++)
			y[i] = from[i];
	onx_fuse_row(&end->f, y, n);
}

/* A tile's 4x4 pixels, those that there are. */
static void pixels(const struct job *q, size_t tile, size_t j, size_t width, const real *m, size_t step)
{
	const struct onx_wino_grid *g = &q->w->grid;
	const size_t all = g->across[0] * g->across[1], n = tile / all, in = tile % all;
	const size_t y0 = in / g->across[1] * ONX_WINO_OUT, x0 = in % g->across[1] * ONX_WINO_OUT;
	real out[ONX_WINO_OUT * ONX_WINO_OUT][ONX_WINO_COLS];

	onx_wino_output(m, step, width, out[0], ONX_WINO_COLS);
	for (size_t i = 0; i < min_z(ONX_WINO_OUT, g->dst[0] - y0); i++)
		for (size_t k = 0; k < min_z(ONX_WINO_OUT, g->dst[1] - x0); k++) {
			const size_t at = ((n * g->dst[0] + y0 + i) * g->dst[1] + x0 + k) * q->w->m + j;

			finish(q->end, j, width, out[i * ONX_WINO_OUT + k], q->end->z ? q->end->z + at : NULL,
			       q->y + at);
		}
}

/* Pieces run over tiles, then panels. */
static void wino_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const wino *w = q->w;
	const struct room room = room_of(w);
	char *const mine = q->room + room.bytes * (size_t)worker;
	real *const v = (real *)(void *)mine, *const m = (real *)(void *)(mine + room.m);
	const real **const at = (const real **)(void *)(mine + room.at), *pixel[ONX_WINO_K];
	size_t *const row = (size_t *)(void *)(mine + room.row), runs = onx_pieces(w->panels, w->run);
	size_t t0, t1, p0, p1;

	onx_piece(w->grid.tiles, w->t, piece / runs, &t0, &t1);
	onx_piece(w->panels, w->run, piece % runs, &p0, &p1);
	for (size_t t = 0; t < w->t; t++) {
		at[t] = v + t * w->c;
		row[t] = t * ONX_WINO_COLS;
	}
	for (size_t t = t0; t < t1; t++) {
		onx_wino_at(&w->grid, t, q->x, w->c, q->zeros, pixel);
		onx_wino_input(pixel, 0, w->c, v + (t - t0) * w->c, room.v_step);
	}
	for (size_t p = p0; p < p1; p++) {
		const size_t j = p * ONX_WINO_COLS, width = min_z(ONX_WINO_COLS, w->m - j);

		products(w, &room, q->packed + ONX_WINO_K * w->c * j, width, t1 - t0, at, row, m);
		for (size_t t = t0; t < t1; t++)
			pixels(q, t, j, width, m + row[t - t0], room.m_step);
	}
}

void onx_wino_run(struct onx_pool *pool, const wino *w, const real *x, const real *packed,
		  const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	struct job q = { .w = w, .x = x, .packed = packed, .end = end, .y = y, .zeros = scratch,
			 .room = (char *)scratch + bytes_of(w->c) };

	memset(scratch, 0, bytes_of(w->c));
	onx_parallel(pool, onx_pieces(w->grid.tiles, w->t) * onx_pieces(w->panels, w->run), wino_piece, &q);
}

/* ---- for this processor ------------------------------------------------------------------------------ */

/* Multiplications must be saved in earnest: tiles that reach over the edge are work for nothing. */
static const double least_gain = 1.8;

static bool tiled(size_t h, size_t w)
{
	const size_t covered = up(h, ONX_WINO_OUT) * up(w, ONX_WINO_OUT);

	return (double)(h * w) * 4 >= least_gain * (double)covered;
}

static bool fits(const struct onx_conv_geo *g)
{
	const struct onx_window *w = &g->w;

	if (g->groups != 1 || g->c == 0 || g->m == 0 || g->c % ONX_WINO_LANES || g->m % ONX_WINO_LANES ||
	    w->in[0] != 1 || w->out[0] != 1 || w->kern[0] != 1 || w->pad[0] != 0)
		return false;
	for (int d = 1; d < 3; d++)
		if (w->kern[d] != 3 || w->stride[d] != 1 || w->dil[d] != 1)
			return false;
	return tiled(w->out[1], w->out[2]) && tiled(w->in[1], w->in[2]);
}

static size_t packed(const struct onx_conv_geo *g)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	return onx_wino_packed(&w);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *from, void *to)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	onx_wino_pack(pool, &w, from, to);
}

static size_t scratch_of(const struct onx_conv_geo *g, int threads)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	return onx_wino_scratch(&w, threads);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	wino w;

	onx_wino_forward_of(g, onx_isa(), &w);
	onx_wino_run(pool, &w, x, weights, end, y, scratch);
}

static size_t grad_scratch(const struct onx_conv_geo *g, int threads)
{
	wino w;

	onx_wino_data_of(g, onx_isa(), &w);
	return max_z(onx_wino_packed(&w) + onx_wino_scratch(&w, threads),
		     onx_wino_weights_scratch(g, onx_isa(), threads));
}

static void data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *weights, const real *dy, real *dx,
		 bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	wino w;

	onx_wino_data_of(g, onx_isa(), &w);
	onx_wino_pack(pool, &w, weights, scratch);
	onx_wino_run(pool, &w, dy, scratch, &end, dx, (char *)scratch + onx_wino_packed(&w));
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy, real *dw,
		    bool add, void *scratch)
{
	onx_wino_weights(pool, g, onx_isa(), x, dy, dw, add, scratch);
}

const struct ONX_R(onx_last_way) onx_last_way_winograd = { "winograd", fits, packed, pack, scratch_of, forward };
const struct ONX_R(onx_last_grad) onx_last_grad_winograd = { "winograd", fits, grad_scratch, data, weights };
