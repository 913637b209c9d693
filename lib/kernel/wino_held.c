/* kernel/wino_held.c -- the gradient of 3x3 weights by Winograd's products (wino.h) where channels are few.
 *
 * Then a tile's transforms are more numbers than its products can wait for from far away.  So S is cut into blocks of
 * SIDE x SIDE channels, for which everything is held in the second-level cache: S [k][l][j] itself, and V [k][tile][l]
 * and Z [k][tile][j] of DEPTH tiles.  A piece is such a block and a run of tiles: it transforms DEPTH tiles, adds their
 * products, and asks meanwhile for the pixels of the next ones (ask.h).  Each block transforms its tiles anew, which
 * costs less than to fetch them.  The pieces of a run follow each other, so that all but the first find its pixels in
 * the last cache.  Each piece makes dw of its S; those of all runs are added in order at the end. */
#include "kernel/ask.h"
#include "kernel/outer.h"
#include "kernel/wino.h"
#include <string.h>

typedef struct ONX_R(onx_wino) wino;
typedef struct ONX_R(onx_outer) outer;
typedef struct ONX_R(onx_asks) asks;

enum { SIDE = 32, DEPTH = 24, ANEW_MOST = 4, RUN_ROOM = 1 << 22, AWAY = 16, TAPS = 9 };
enum { PIXELS = ONX_WINO_OUT * ONX_WINO_OUT, STEP = DEPTH * SIDE + AWAY, S_STEP = SIDE * SIDE + AWAY,
       PART = SIDE * TAPS * SIDE };
enum { ROOM = ONX_WINO_K * (S_STEP + 2 * STEP) };       /* numbers of a worker */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t bytes_of(size_t n) { return up(n * sizeof(real), 64); }

/* As long as transforms are few times the same. */
bool onx_wino_is_held(const struct onx_conv_geo *g)
{
	return onx_pieces(g->c, SIDE) + onx_pieces(g->m, SIDE) <= ANEW_MOST;
}

struct job {
	wino w;
	const struct ONX_R(onx_outers) *outers;
	size_t downs, across, run, runs;        /* blocks; tiles of a run */
	const real *x, *dy, *zeros;
	real *part, *dw, *room;
	bool add;
};

static void sizes(const struct onx_conv_geo *g, enum onx_isa isa, struct job *q)
{
	onx_wino_forward_of(g, isa, &q->w);
	q->outers = onx_outers_of(isa);
	q->downs = onx_pieces(q->w.c, SIDE);
	q->across = onx_pieces(q->w.m, SIDE);
	q->run = up(RUN_ROOM / (PIXELS * (q->w.c + q->w.m) * sizeof(real)), DEPTH);
	q->runs = onx_pieces(q->w.grid.tiles, q->run);
}

static size_t parts_of(const struct job *q)
{
	return q->runs * q->downs * q->across;
}

size_t onx_wino_held_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads)
{
	struct job q;

	sizes(g, isa, &q);
	return bytes_of(max_z(g->c, g->m)) + bytes_of(parts_of(&q) * PART) + bytes_of(ROOM) * (size_t)threads;
}

/* Channels [l0, l0 + n_l) by [j0, j0 + n_j). */
struct block { size_t l0, n_l, j0, n_j; };

static void transform(const struct job *q, const struct block *b, size_t t0, size_t n, real *v, real *z)
{
	const struct onx_wino_grid *g = &q->w.grid;
	const real *at[ONX_WINO_K];

	for (size_t i = 0; i < n; i++) {
		onx_wino_at(g, t0 + i, q->x, q->w.c, q->zeros, at);
		onx_wino_input(at, b->l0, b->n_l, v + i * SIDE, STEP);
		onx_wino_dy_at(g, t0 + i, q->dy, q->w.m, q->zeros, at);
		onx_wino_dy(at, b->j0, b->n_j, z + i * SIDE, STEP);
	}
}

/* For the pixels of n tiles from t0 on, each once, in so many parts; row: room for those of x and of dy. */
static asks asks_of(const struct job *q, const struct block *b, size_t t0, size_t n, size_t parts, const real **row)
{
	const struct onx_wino_grid *g = &q->w.grid;
	const size_t line = 64 / sizeof(real);
	const real *at[ONX_WINO_K];
	asks a = { .row = row, .rows = n * PIXELS, .n = b->n_l, .then = row + n * PIXELS, .then_rows = n * PIXELS,
		   .then_n = b->n_j };

	for (size_t i = 0; i < n; i++, row += PIXELS) {
		onx_wino_at(g, t0 + i, q->x + b->l0, q->w.c, q->zeros, at);
		for (size_t k = 0; k < PIXELS; k++)
			row[k] = at[(k / ONX_WINO_OUT + 1) * ONX_WINO_IN + k % ONX_WINO_OUT + 1];
		onx_wino_dy_at(g, t0 + i, q->dy + b->j0, q->w.m, q->zeros, row + n * PIXELS);
	}
	a.each = onx_pieces(n * PIXELS * (onx_pieces(b->n_l, line) + onx_pieces(b->n_j, line)), parts);
	return a;
}

/* Rows of the next tile where `left` are left: two of two thirds are faster than a whole one and a third. */
static size_t height(const struct ONX_R(onx_tile) *tile, size_t left)
{
	const size_t third = tile->rows / ONX_TILE_PARTS;

	return left > tile->rows && left - tile->rows <= third ? tile->rows - third : min_z(tile->rows, left);
}

/* V of all k by Z of all k, `depth` tiles, to S. */
static void products(const struct job *q, const struct block *b, size_t depth, const real *v, const real *z, bool add,
		     real *s, asks *ahead)
{
	const struct ONX_R(onx_tile) *tile = q->w.tile;
	const size_t third = tile->rows / ONX_TILE_PARTS;
	const real *at[DEPTH];
	outer o = { .depth = depth, .ldb = SIDE, .ldc = SIDE, .at = at, .add = add };

	for (size_t i = 0; i < depth; i++)
		at[i] = v + i * SIDE;
	for (size_t k = 0; k < ONX_WINO_K; k++, z += STEP, s += S_STEP)
		for (size_t j = 0; j < b->n_j; j += tile->cols) {
			const size_t width = min_z(tile->cols, b->n_j - j) / tile->unit - 1;

			o.b = z + j;
			for (size_t r = 0, n; r < b->n_l; r += n) {
				n = height(tile, b->n_l - r);
				o.first = k * STEP + r;
				o.c = s + r * SIDE + j;
				onx_ask(ahead);
				q->outers->run[onx_pieces(n, third) - 1][width](&o);
			}
		}
}

static struct block block_of(const struct job *q, size_t index)
{
	const size_t l0 = index / q->across * SIDE, j0 = index % q->across * SIDE;

	return (struct block){ l0, min_z(SIDE, q->w.c - l0), j0, min_z(SIDE, q->w.m - j0) };
}

/* Pieces run over the tiles, then over the blocks of a run. */
static void held_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const size_t blocks = q->downs * q->across;
	const struct block b = block_of(q, piece % blocks);
	const size_t calls = ONX_WINO_K * onx_pieces(b.n_j, q->w.tile->cols) * onx_pieces(b.n_l, q->w.tile->rows);
	real *const s = q->room + bytes_of(ROOM) / sizeof(real) * (size_t)worker, *const v = s + ONX_WINO_K * S_STEP;
	real *const z = v + ONX_WINO_K * STEP, *const part = q->part + piece * PART;
	const real *row[2 * DEPTH * PIXELS];
	size_t t0, t1;

	onx_piece(q->w.grid.tiles, q->run, piece / blocks, &t0, &t1);
	for (size_t t = t0; t < t1; t += DEPTH) {
		const size_t after = min_z(t + DEPTH, t1);
		asks ahead = asks_of(q, &b, after, min_z(DEPTH, t1 - after), calls, row);

		transform(q, &b, t, after - t, v, z);
		products(q, &b, after - t, v, z, t > t0, s, &ahead);
	}
	for (size_t l = 0; l < b.n_l; l++)
		onx_wino_dw(s + l * SIDE, S_STEP, b.n_j, part + l * TAPS * SIDE, SIDE);
}

/* One l of a block, all runs together, from [l][tap][j] to dw [j][l][tap]. */
static void add_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const size_t blocks = q->downs * q->across, index = piece / SIDE, l = piece % SIDE;
	const struct block b = block_of(q, index);
	real sum[TAPS * SIDE] = { 0 };

	(void)worker;
	if (l >= b.n_l)
		return;
	for (size_t r = 0; r < q->runs; r++) {
		const real *const part = q->part + (r * blocks + index) * PART + l * TAPS * SIDE;

		for (size_t i = 0; i < TAPS * SIDE; i++)
			sum[i] += part[i];
	}
	for (size_t j = 0; j < b.n_j; j++)
		for (size_t k = 0; k < TAPS; k++)
			onx_put(&q->dw[((b.j0 + j) * q->w.c + b.l0 + l) * TAPS + k], q->add, sum[k * SIDE + j]);
}

void onx_wino_held(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *x,
		   const real *dy, real *dw, bool add, void *scratch)
{
	struct job q = { .x = x, .dy = dy, .dw = dw, .zeros = scratch, .add = add };
	const size_t zeros = bytes_of(max_z(g->c, g->m));

	sizes(g, isa, &q);
	memset(scratch, 0, zeros);
	q.part = (real *)(void *)((char *)scratch + zeros);
	q.room = q.part + bytes_of(parts_of(&q) * PART) / sizeof *q.room;
	onx_parallel(pool, parts_of(&q), held_piece, &q);
	onx_parallel(pool, q.downs * q.across * SIDE, add_piece, &q);
}
