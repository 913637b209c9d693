/* kernel/last_dense_both.c -- both gradients of a pointwise convolution with channels last between two normalizations
 * (last_norm.h), one pass over x, dy and y.
 *
 *     dx[p][l] = sum over j of dy'[p][j] w[j][l]        dw[j][l] = sum over pixels p of dy'[p][j] f(u)[p][l]
 *
 * A piece is a run of pixels.  It brings them in blocks of DEPTH, shifted and normalised, which stay in the
 * second-level cache; makes their rows of dx (flat.h), which whoever follows takes while x is at hand; and adds the
 * tiles of their outer products (outer.h) to its own part of dw.  With each tile it asks for some of the next block
 * (ask.h).  The parts are added in order, in double.  W and a part must share the cache with a block, so this is for
 * convolutions with few weights: those with many read little memory for their products. */
#include <stdint.h>
#include "kernel/ask.h"
#include "kernel/flat.h"
#include "kernel/last_dense.h"
#include "kernel/last_dense_both.h"
#include "kernel/outer.h"

typedef struct ONX_R(onx_gather) gather;
typedef struct ONX_R(onx_last_back) back;

enum { DEPTH = 96, CHUNK = 48, PIECES = 16 };   /* pixels of a block, of a run of dx; pieces where there are blocks */
enum { MOST = 1 << 17 };                        /* bytes of W */
enum { STREAM = 1 << 24, COLUMNS = 16 };        /* bytes of dx beyond the caches; columns of a piece of the sum */
enum { LINE = 64 / sizeof(real) };              /* numbers of a line of the caches */

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t bytes_of(size_t n) { return (n * sizeof(real) + 63) / 64 * 64; }

/* From row to row of n numbers: by single lines out of each other's sets. */
static size_t beside(size_t n)
{
	return (n + LINE - 1) / LINE * LINE + LINE;
}

/* dx as a product of shifted rows, of which packed weights and their cut are taken. */
static gather product_of(const struct onx_conv_geo *g)
{
	static const struct ONX_R(onx_last_shift) some;
	gather p;

	onx_last_dense_data_of(g, onx_isa(), 0, &p);
	p.shift = &some;
	onx_gather_close(&p);
	return p;
}

/* Whole tiles of both products. */
bool onx_dense_both_fits(const struct onx_conv_geo *g)
{
	const gather p = product_of(g);
	const struct ONX_R(onx_tile) *t = p.tile;

	return p.straight && g->m % t->unit == 0 && g->c % (t->rows / ONX_TILE_PARTS) == 0 &&
	       g->m * g->c * sizeof(real) <= MOST;
}

static size_t by_of(const struct onx_conv_geo *g)
{
	const size_t blocks = onx_pieces(g->n * g->w.out_n, DEPTH), by = onx_pieces(blocks, PIECES);

	return (by ? by : 1) * DEPTH;
}

size_t onx_dense_both_pieces(const struct onx_conv_geo *g)
{
	return onx_pieces(g->n * g->w.out_n, by_of(g));
}

/* One worker's room: rows of dy', f(u) and dx; pointers to rows of f(u). */
struct desk { size_t dy, x, dx, at, bytes; };

static struct desk desk_of(const struct onx_conv_geo *g)
{
	struct desk d = { .dy = 0 };

	d.x = bytes_of(beside(g->m) * DEPTH);
	d.dx = d.x + bytes_of(beside(g->c) * DEPTH);
	d.at = d.dx + bytes_of(beside(g->c) * CHUNK);
	d.bytes = d.at + (DEPTH * sizeof(real *) + 63) / 64 * 64;
	return d;
}

size_t onx_dense_both_scratch(const struct onx_conv_geo *g, int threads)
{
	const gather p = product_of(g);

	return onx_gather_packed(&p) + bytes_of(onx_dense_both_pieces(g) * g->m * g->c) +
	       (size_t)threads * desk_of(g).bytes;
}

struct job {
	const struct onx_conv_geo *g;
	const back *t;
	gather p;
	const struct ONX_R(onx_outers) *outers;
	const real *packed;
	real *part;                     /* [piece][l][j] */
	size_t rows, by;
	bool stream;
	char *desks;
};

/* A block: rows of dy' and f(u), their pitches; what the next one reads, all of x, dy and y in a row each. */
struct block {
	size_t piece, pixel, n, dy_pitch, x_pitch, dx_pitch;
	const real *dy, *x, **at;
	real *dx;                       /* [CHUNK] */
	const real *next[3];
	struct ONX_R(onx_asks) ahead;
};

static void bring(const struct job *j, struct block *b, real *dy, real *x)
{
	const back *t = j->t;
	const size_t m = j->g->m, c = j->g->c;

	b->dy = t->dy + b->pixel * m;
	b->dy_pitch = m;
	if (t->shift) {
		onx_last_shift_rows(t->shift, b->dy, b->pixel * m, m, 0, m, b->n, dy, beside(m));
		b->dy = dy;
		b->dy_pitch = beside(m);
	}
	if (!t->dw)
		return;
	b->x = t->x + b->pixel * c;
	b->x_pitch = c;
	if (t->norm) {
		onx_last_norm_rows(t->norm, b->x, c, 0, c, b->n, x, beside(c));
		b->x = x;
		b->x_pitch = beside(c);
	}
	for (size_t k = 0; k < b->n; k++)
		b->at[k] = b->x + k * b->x_pitch;
}

/* Rows [r0, r1) of a block of dx; sums of several blocks of terms gather in the worker's rows. */
static void data_rows(const struct job *j, const struct block *b, size_t r0, size_t r1)
{
	const back *t = j->t;
	const gather *p = &j->p;
	const size_t c = j->g->c, lines = p->tile->cols / 2;
	real *const to = t->after ? b->dx : t->dx + (b->pixel + r0) * c;
	const size_t pitch = t->after ? b->dx_pitch : c;

	for (size_t j0 = 0; j0 < p->ends; j0 += p->cols) {
		const size_t width = min_z(p->cols, p->ends - j0);

		for (size_t k = 0; k < p->blocks; k++) {
			const size_t first = k * p->by_len;
			const bool last = k + 1 == p->blocks;
			struct ONX_R(onx_flat) f = { .rows = r1 - r0, .len = min_z(p->by_len, p->len - first),
						     .x = b->dy + r0 * b->dy_pitch + first, .x_pitch = b->dy_pitch,
						     .b = j->packed + j0 * p->len + first * width };

			if (k > 0)
				f.add = b->dx + j0;
			else if (t->add_dx && !t->after)
				f.add = to + j0;
			f.add_pitch = k > 0 ? b->dx_pitch : pitch;
			f.y = last ? to + j0 : b->dx + j0;
			f.y_pitch = last ? pitch : b->dx_pitch;
			f.stream = last && j->stream;
			onx_flat_of(p->tile->isa, width == p->tile->cols ? 2 : width / lines)(&f);
		}
	}
	if (t->after)
		t->after->run(t->after->ctx, &(struct ONX_R(onx_last_run)){ b->piece, b->pixel + r0, r1 - r0, 0, c,
									     b->dx_pitch, b->dx });
}

/* The n pixels of the next block. */
static void foresee(const struct job *j, struct block *b, size_t next, size_t n)
{
	const back *t = j->t;
	const size_t m = j->g->m, c = j->g->c, more = t->shift ? 2 : 1, rows = j->p.tile->rows, cols = j->p.tile->cols;

	b->next[0] = t->x + next * c;
	b->next[1] = t->dy + next * m;
	if (t->shift)
		b->next[2] = t->shift->y + next * m;
	b->ahead = (struct ONX_R(onx_asks)){
		.row = b->next, .rows = 1, .n = n * c, .then = b->next + 1, .then_rows = more, .then_n = n * m,
		.each = onx_pieces(onx_pieces(n * (c + more * m), LINE) + 3, onx_pieces(m, cols) * onx_pieces(c, rows)),
	};
}

static void products(const struct job *j, struct block *b, real *part, bool add)
{
	const struct ONX_R(onx_tile) *t = j->p.tile;
	const size_t m = j->g->m, c = j->g->c, third = t->rows / ONX_TILE_PARTS;
	struct ONX_R(onx_outer) o = { .depth = b->n, .at = b->at, .ldb = b->dy_pitch, .ldc = m, .add = add };

	for (size_t j0 = 0; j0 < m; j0 += t->cols) {
		const size_t wide = onx_pieces(min_z(t->cols, m - j0), t->unit) - 1;

		o.b = b->dy + j0;
		for (o.first = 0; o.first < c; o.first += t->rows) {
			onx_ask(&b->ahead);
			o.c = part + o.first * m + j0;
			j->outers->run[onx_pieces(min_z(t->rows, c - o.first), third) - 1][wide](&o);
		}
	}
}

static void pixels_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const back *t = j->t;
	const size_t m = j->g->m, c = j->g->c;
	const struct desk d = desk_of(j->g);
	char *const desk = j->desks + (size_t)worker * d.bytes;
	struct block b = { .piece = piece, .dx_pitch = beside(c), .dx = (real *)(void *)(desk + d.dx),
			   .at = (const real **)(void *)(desk + d.at) };
	size_t lo, hi;

	onx_piece(j->rows, j->by, piece, &lo, &hi);
	for (b.pixel = lo; b.pixel < hi; b.pixel += DEPTH) {
		b.n = min_z(DEPTH, hi - b.pixel);
		b.ahead.rows = b.ahead.then_rows = 0;
		if (t->dw && b.pixel + DEPTH < hi)
			foresee(j, &b, b.pixel + DEPTH, min_z(DEPTH, hi - b.pixel - DEPTH));
		bring(j, &b, (real *)(void *)(desk + d.dy), (real *)(void *)(desk + d.x));
		for (size_t r = 0; r < b.n && (t->after || t->dx); r += CHUNK)
			data_rows(j, &b, r, min_z(r + CHUNK, b.n));
		if (t->dw)
			products(j, &b, j->part + piece * m * c, b.pixel > lo);
	}
	onx_tile_settle();
}

/* Columns [lo, hi) of a part, all parts together. */
ONX_CLONES
static void sum_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t m = j->g->m, c = j->g->c, pieces = onx_dense_both_pieces(j->g);
	size_t lo, hi;

	(void)worker;
	onx_piece(m, COLUMNS, piece, &lo, &hi);
	for (size_t l = 0; l < c; l++) {
		double sum[COLUMNS] = { 0 };

		for (size_t p = 0; p < pieces; p++)
			for (size_t i = lo; i < hi; i++)
				sum[i - lo] += (double)j->part[(p * c + l) * m + i];
		for (size_t i = lo; i < hi; i++)
			onx_put(&j->t->dw[i * c + l], j->t->add_dw, (real)sum[i - lo]);
	}
}

void onx_dense_both(struct onx_pool *pool, const struct onx_conv_geo *g, const back *t, void *scratch)
{
	struct job j = { .g = g, .t = t, .p = product_of(g), .outers = onx_outers_of(onx_isa()), .packed = scratch,
			 .rows = g->n * g->w.out_n, .by = by_of(g) };
	const size_t pieces = onx_dense_both_pieces(g), dx_bytes = j.rows * g->c * sizeof(real);
	const bool data = t->after || t->dx;

	j.part = (real *)(void *)((char *)scratch + onx_gather_packed(&j.p));
	j.desks = (char *)j.part + bytes_of(pieces * g->m * g->c);
	j.stream = t->dx && !t->after && !t->add_dx && dx_bytes > STREAM && g->c * sizeof(real) % 64 == 0 &&
		   j.p.cols * sizeof(real) % 64 == 0 && (uintptr_t)t->dx % 64 == 0;
	if (data)
		onx_gather_pack(pool, &j.p, t->w, scratch);
	if (data || t->dw)
		onx_parallel(pool, pieces, pixels_piece, &j);
	if (t->dw)
		onx_parallel(pool, onx_pieces(g->m, COLUMNS), sum_piece, &j);
}
