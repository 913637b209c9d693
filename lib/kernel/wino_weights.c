/* kernel/wino_weights.c -- the gradient of 3x3 weights by Winograd's products (wino.h).
 *
 * Tiles are taken in runs whose transforms stay in the caches.  Of each run first x and dy are transformed, into panels
 * V [k][panel of L][tile][l] and Z [k][panel of J][tile][j]; then each piece, one k by one panel of V, adds its
 * products over the tiles to S [k][c][m] (outer.h), from zero in blocks of ONX_WINO_CHAIN.  At the end dw is
 * made of S.  Where one run has all tiles, a piece makes some rows and columns of S for all k in a room of its own, and
 * dw of those while it has them. */
#include "kernel/wino.h"
#include "kernel/ask.h"
#include "kernel/outer.h"
#include <string.h>

typedef struct ONX_R(onx_wino) wino;
typedef struct ONX_R(onx_outer) outer;
typedef struct ONX_R(onx_asks) asks;

enum { L = 48, J = ONX_WINO_COLS, ROOM = 1 << 23, FEW = 8, AWAY = 16 };
enum { L_ROOM = 2 * L, J_ROOM = 4 * J, S_ROOM = ONX_WINO_K * L_ROOM * J_ROOM };         /* of a piece */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }
static size_t bytes_of(size_t n) { return up(n * sizeof(real), 64); }

struct job {
	wino w;
	const struct ONX_R(onx_outers) *outers;
	size_t t, t0, t1;               /* tiles of a run; this one */
	size_t v_step, z_step;
	const real *x, *dy, *zeros;
	real *v, *z, *s, *dw;
	bool add;
};

/* S, or a part of it: row l0, column j0 on; numbers between its k and its rows. */
struct part { real *s; size_t l0, j0, k_step, row; };

static void sizes(const struct onx_conv_geo *g, enum onx_isa isa, struct job *q)
{
	onx_wino_forward_of(g, isa, &q->w);
	q->outers = onx_outers_of(isa);
	const size_t tile = ONX_WINO_K * (q->w.c + q->w.m) * sizeof(real);

	q->t = max_z(ROOM / tile / ONX_WINO_CHAIN * ONX_WINO_CHAIN, ONX_WINO_CHAIN);
	q->t = max_z(min_z(q->t, q->w.grid.tiles), 1);
	q->v_step = q->t * q->w.c + AWAY;
	q->z_step = q->t * q->w.m + AWAY;
}

static bool one_run(const struct job *q)
{
	return q->t >= q->w.grid.tiles && q->w.grid.tiles > 0;
}

size_t onx_wino_weights_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads)
{
	struct job q;

	if (onx_wino_is_held(g))
		return onx_wino_held_scratch(g, isa, threads);
	sizes(g, isa, &q);
	const size_t s = one_run(&q) ? S_ROOM * (size_t)threads : ONX_WINO_K * g->c * g->m;

	return bytes_of(max_z(g->c, g->m)) + bytes_of(ONX_WINO_K * q.v_step) + bytes_of(ONX_WINO_K * q.z_step) +
	       bytes_of(s);
}

/* A few tiles of x and of dy. */
static void transform_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const struct onx_wino_grid *g = &q->w.grid;
	const size_t c = q->w.c, m = q->w.m;
	const real *at[ONX_WINO_K];
	size_t t0, t1;

	(void)worker;
	onx_piece(q->t1 - q->t0, FEW, piece, &t0, &t1);
	for (size_t t = t0; t < t1; t++) {
		onx_wino_at(g, q->t0 + t, q->x, c, q->zeros, at);
		for (size_t l = 0; l < c; l += L) {
			const size_t wide = min_z(L, c - l);

			onx_wino_input(at, l, wide, q->v + l * q->t + t * wide, q->v_step);
		}
		onx_wino_dy_at(g, q->t0 + t, q->dy, m, q->zeros, at);
		for (size_t j = 0; j < m; j += J) {
			const size_t wide = min_z(J, m - j);

			onx_wino_dy(at, j, wide, q->z + j * q->t + t * wide, q->z_step);
		}
	}
}

/* A block of tiles by a panel of V and a panel of Z. */
struct block {
	const real *v, *z;
	size_t depth, n_l, n_j;
	bool add;
	real *s;
	size_t row;
};

static void product(const struct job *q, const struct block *k, const real **at, asks *ahead)
{
	const struct ONX_R(onx_tile) *tile = q->w.tile;
	const size_t third = tile->rows / ONX_TILE_PARTS;
	outer o = { .depth = k->depth, .at = at, .ldb = k->n_j, .ldc = k->row, .add = k->add };

	for (size_t i = 0; i < k->depth; i++)
		at[i] = k->v + i * k->n_l;
	for (size_t j = 0; j < k->n_j; j += tile->cols) {
		const size_t cols = min_z(tile->cols, k->n_j - j);

		o.b = k->z + j;
		for (size_t r = 0; r < k->n_l; r += tile->rows) {
			const size_t rows = min_z(tile->rows, k->n_l - r);

			o.first = r;
			o.c = k->s + r * k->row + j;
			onx_ask(ahead);
			for (size_t i = 0; i < rows && k->add; i++)
				__builtin_prefetch(o.c + i * k->row, 1);
			q->outers->run[onx_pieces(rows, third) - 1][cols / tile->unit - 1](&o);
		}
	}
}

/* Columns [j0, j1) of one k and the panel of V at l. */
struct strip { size_t k, l, j0, j1; };

static size_t blocks_of(const struct job *q, const struct strip *p)
{
	return onx_pieces(q->t1 - q->t0, ONX_WINO_CHAIN) * onx_pieces(p->j1 - p->j0, J);
}

/* Runs over the tiles of this run, then over panels of Z. */
static struct block block_of(const struct job *q, const struct strip *p, size_t index)
{
	const size_t across = onx_pieces(p->j1 - p->j0, J), j = p->j0 + index % across * J;
	const size_t t = index / across * ONX_WINO_CHAIN;
	struct block k = { .depth = min_z(ONX_WINO_CHAIN, q->t1 - q->t0 - t), .n_l = min_z(L, q->w.c - p->l),
			   .n_j = min_z(J, q->w.m - j), .add = q->t0 + t > 0 };

	k.v = q->v + p->k * q->v_step + p->l * q->t + t * k.n_l;
	k.z = q->z + p->k * q->z_step + j * q->t + t * k.n_j;
	return k;
}

/* The tiles of this run, added to what earlier ones gave; what each block reads is asked for along the one before,
 * of the first of the strip `next` (NULL: none) along the last. */
static void products(const struct job *q, const struct strip *p, const struct strip *next, const struct part *to)
{
	const struct ONX_R(onx_tile) *tile = q->w.tile;
	const size_t n = blocks_of(q, p), across = onx_pieces(p->j1 - p->j0, J), line = 64 / sizeof(real);
	const real *at[ONX_WINO_CHAIN];
	struct block now = block_of(q, p, 0), then = now;

	for (size_t i = 0; i < n; i++, now = then) {
		asks ahead = { .rows = 0 };

		now.s = to->s + p->k * to->k_step + (p->l - to->l0) * to->row + p->j0 + i % across * J - to->j0;
		now.row = to->row;
		if (i + 1 < n)
			then = block_of(q, p, i + 1);
		else if (next)
			then = block_of(q, next, 0);
		if (i + 1 < n || next)
			ahead = (asks){ .row = &then.z, .rows = 1, .n = then.depth * then.n_j, .then = &then.v,
					.then_rows = then.v != now.v, .then_n = then.depth * then.n_l };
		ahead.each = onx_pieces(onx_pieces(ahead.n + ahead.then_rows * ahead.then_n, line),
					onx_pieces(now.n_l, tile->rows) * onx_pieces(now.n_j, tile->cols));
		product(q, &now, at, &ahead);
	}
}

static struct part whole(const struct job *q)
{
	return (struct part){ .s = q->s, .k_step = q->w.c * q->w.m, .row = q->w.m };
}

static struct strip strip_of(const struct job *q, size_t piece)
{
	const size_t panels = onx_pieces(q->w.c, L);

	return (struct strip){ piece / panels, piece % panels * L, 0, q->w.m };
}

static void product_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const struct part p = whole(q);
	const struct strip now = strip_of(q, piece), next = strip_of(q, piece + 1);

	(void)worker;
	products(q, &now, next.k < ONX_WINO_K ? &next : NULL, &p);
}

/* A panel of columns and as many l as there are lanes, from [k][l][j] to dw [j][l][tap]. */
static void taps_of(const struct job *q, const struct part *p, size_t l0, size_t j0)
{
	const size_t c = q->w.c, width = min_z(J, q->w.m - j0);
	real taps[ONX_WINO_LANES][9][J];

	for (size_t l = 0; l < ONX_WINO_LANES; l++)
		onx_wino_dw(p->s + (l0 + l - p->l0) * p->row + j0 - p->j0, p->k_step, width, taps[l][0], J);
	for (size_t j = 0; j < width; j++)
		for (size_t l = 0; l < ONX_WINO_LANES; l++) {
			real *const to = q->dw + ((j0 + j) * c + l0 + l) * 9;

			for (size_t k = 0; k < 9; k++)
				onx_put(&to[k], q->add, taps[l][k][j]);
		}
}

static void weights_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const struct part p = whole(q);
	const size_t downs = q->w.c / ONX_WINO_LANES;

	(void)worker;
	taps_of(q, &p, piece % downs * ONX_WINO_LANES, piece / downs * J);
}

/* Both at once. */
static void room_piece(void *ctx, size_t piece, int worker)
{
	const struct job *q = ctx;
	const size_t downs = onx_pieces(q->w.c, L_ROOM);
	const struct part p = { .s = q->s + S_ROOM * (size_t)worker, .l0 = piece % downs * L_ROOM,
				.j0 = piece / downs * J_ROOM, .k_step = L_ROOM * J_ROOM, .row = J_ROOM };
	const size_t l1 = min_z(p.l0 + L_ROOM, q->w.c), j1 = min_z(p.j0 + J_ROOM, q->w.m);

	struct strip now = { .l = p.l0, .j0 = p.j0, .j1 = j1 };

	while (now.k < ONX_WINO_K) {
		struct strip next = now;

		next.l += L;
		if (next.l >= l1)
			next = (struct strip){ .k = now.k + 1, .l = p.l0, .j0 = p.j0, .j1 = j1 };
		products(q, &now, next.k < ONX_WINO_K ? &next : NULL, &p);
		now = next;
	}
	for (size_t j = p.j0; j < j1; j += J)
		for (size_t l = p.l0; l < l1; l += ONX_WINO_LANES)
			taps_of(q, &p, l, j);
}

void onx_wino_weights(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *x,
		      const real *dy, real *dw, bool add, void *scratch)
{
	struct job q = { .x = x, .dy = dy, .dw = dw, .zeros = scratch, .add = add };
	const size_t zeros = bytes_of(max_z(g->c, g->m));

	if (onx_wino_is_held(g)) {
		onx_wino_held(pool, g, isa, x, dy, dw, add, scratch);
		return;
	}
	sizes(g, isa, &q);
	memset(scratch, 0, zeros);
	q.v = (real *)(void *)((char *)scratch + zeros);
	q.z = q.v + bytes_of(ONX_WINO_K * q.v_step) / sizeof *q.z;
	q.s = q.z + bytes_of(ONX_WINO_K * q.z_step) / sizeof *q.s;
	if (one_run(&q)) {
		q.t1 = q.w.grid.tiles;
		onx_parallel(pool, onx_pieces(q.t1, FEW), transform_piece, &q);
		onx_parallel(pool, onx_pieces(g->c, L_ROOM) * onx_pieces(g->m, J_ROOM), room_piece, &q);
		return;
	}
	if (q.w.grid.tiles == 0)
		memset(q.s, 0, ONX_WINO_K * g->c * g->m * sizeof *q.s);
	for (q.t0 = 0; q.t0 < q.w.grid.tiles; q.t0 = q.t1) {
		q.t1 = min_z(q.t0 + q.t, q.w.grid.tiles);
		onx_parallel(pool, onx_pieces(q.t1 - q.t0, FEW), transform_piece, &q);
		onx_parallel(pool, ONX_WINO_K * onx_pieces(g->c, L), product_piece, &q);
	}
	onx_parallel(pool, onx_pieces(g->m, J) * (g->c / ONX_WINO_LANES), weights_piece, &q);
}
