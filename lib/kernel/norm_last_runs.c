/* kernel/norm_last_runs.c -- batch normalization's sums over runs of pixels (last_norm.h), which are still in the
 * cache; see norm_last.h.  A run goes in blocks of rows, whose sums are of single precision, to its piece's part.
 *
 * Moments of a block are those about its first row; moments of two sets together (Chan, Golub and LeVeque 1979):
 *     n = n1 + n2     mean = mean1 + delta n2 / n     M = M1 + M2 + delta^2 n1 n2 / n,   delta = mean2 - mean1 */
#include <string.h>
#include "kernel/far.h"
#include "kernel/fuse_row.h"
#include "kernel/norm_last_i.h"

typedef struct ONX_R(onx_bn_last_runs) runs;
typedef struct ONX_R(onx_last_run) run;

enum { COLS = 512, ROWS = ONX_STRIPE_TERMS };

/* Columns [col, col + n) of rows [lo, hi) of a run. */
struct block { size_t lo, hi, col, n; };

typedef void block_fn(const void *job, const run *r, const struct block *b, real *s0, real *s1);

/* fn over all blocks of a run, each with two sums [n] that are zero. */
static void each_block(const run *r, block_fn *fn, const void *job)
{
	struct block b;

	for (b.col = 0; b.col < r->c1 - r->c0; b.col += COLS) {
		b.n = r->c1 - r->c0 - b.col < COLS ? r->c1 - r->c0 - b.col : COLS;
		for (b.lo = 0; b.lo < r->n; b.lo += ROWS) {
			real s0[COLS], s1[COLS];

			b.hi = b.lo + ROWS < r->n ? b.lo + ROWS : r->n;
			memset(s0, 0, b.n * sizeof *s0);
			memset(s1, 0, b.n * sizeof *s1);
			fn(job, r, &b, s0, s1);
		}
	}
}

/* s0 += g, s1 += g * (x - m) */
ONX_INLINE void banded_block(const runs *t, const run *r, const struct block *b, const struct onx_bn_band *band,
			     real *restrict s0, real *restrict s1, const bool scaled)
{
	const real *restrict m = t->norm.m + r->c0 + b->col, *restrict k = t->norm.a + r->c0 + b->col;
	const real *restrict l = t->norm.b + r->c0 + b->col;
	const struct onx_bn_band f = *band;
	real row[COLS];

	for (size_t i = b->lo; i < b->hi; i++) {
		const size_t at = (r->pixel + i) * t->c + r->c0 + b->col;
		const real *restrict x = t->x + at, *restrict dy = r->y + i * r->pitch + b->col;
		real *restrict to = t->g && !t->far ? t->g + at : row;

		ONX_IN_ORDER;
		for (size_t j = 0; j < b->n; j++) {
			const real d = x[j] - m[j], g = onx_bn_inside(&f, d * k[j] + l[j], dy[j]);

			to[j] = scaled ? g * k[j] : g;
			s0[j] += g;
			s1[j] += g * d;
		}
		if (t->g && t->far)
			onx_far_row(row, b->n, t->g + at);
	}
}

ONX_CLONES
static void banded(const runs *t, const run *r, const struct block *b, const struct onx_bn_band *band, real *s0,
		   real *s1)
{
	if (t->scaled)
		banded_block(t, r, b, band, s0, s1, true);
	else
		banded_block(t, r, b, band, s0, s1, false);
}

/* The same for any f. */
ONX_CLONES
static void any(const runs *t, const run *r, const struct block *b, real *restrict s0, real *restrict s1)
{
	const real *restrict m = t->norm.m + r->c0 + b->col, *restrict k = t->norm.a + r->c0 + b->col;
	const real *restrict l = t->norm.b + r->c0 + b->col;
	real arg[COLS], row[COLS];

	for (size_t i = b->lo; i < b->hi; i++) {
		const size_t at = (r->pixel + i) * t->c + r->c0 + b->col;
		const real *restrict x = t->x + at;

		for (size_t j = 0; j < b->n; j++)
			arg[j] = (x[j] - m[j]) * k[j] + l[j];
		if (t->norm.f.kind == ONX_FUSE_NONE)
			memcpy(row, r->y + i * r->pitch + b->col, b->n * sizeof *row);
		else
			onx_slope_arg(&t->norm.f, arg, r->y + i * r->pitch + b->col, row, b->n);
		for (size_t j = 0; j < b->n; j++) {
			s0[j] += row[j];
			s1[j] += row[j] * (x[j] - m[j]);
			row[j] = t->scaled ? row[j] * k[j] : row[j];
		}
		if (t->g && t->far)
			onx_far_row(row, b->n, t->g + at);
		else if (t->g)
			memcpy(t->g + at, row, b->n * sizeof *row);
	}
}

static void masked_block(const void *job, const run *r, const struct block *b, real *s0, real *s1)
{
	const runs *t = job;
	double *const part = t->part + 2 * r->piece * t->c + r->c0 + b->col;
	struct onx_bn_band band;

	if (onx_bn_band_of(&t->norm.f, &band))
		banded(t, r, b, &band, s0, s1);
	else
		any(t, r, b, s0, s1);
	for (size_t j = 0; j < b->n; j++) {
		part[j] += (double)s0[j];
		part[t->c + j] += (double)s1[j];
	}
}

void onx_bn_last_masked(void *ctx, const run *r)
{
	const runs *t = ctx;

	each_block(r, masked_block, t);
	if (t->far)
		onx_far_done();
}

/* ---- moments ---------------------------------------------------------------------------------------- */

typedef struct ONX_R(onx_bn_last_moments) moments;

/* s0 += y - y0, s1 += (y - y0)^2 */
ONX_CLONES
static void about_first(const moments *t, const run *r, const struct block *b, real *restrict s0, real *restrict s1)
{
	const real *restrict y0 = r->y + b->lo * r->pitch + b->col;

	for (size_t i = b->lo; i < b->hi; i++) {
		const real *restrict y = r->y + i * r->pitch + b->col;
		real *const to = t->y + (r->pixel + i) * t->c + r->c0 + b->col;

		ONX_IN_ORDER;
		for (size_t j = 0; j < b->n; j++) {
			const real d = y[j] - y0[j];

			s0[j] += d;
			s1[j] += d * d;
		}
		if (t->far)
			onx_far_row(y, b->n, to);
		else
			memcpy(to, y, b->n * sizeof *to);
	}
}

/* How many, mean, sum of squares about it. */
struct set { double n, mean, m2; };

static inline struct set together(struct set a, struct set b)
{
	const double n = a.n + b.n, delta = b.mean - a.mean;

	return n > 0 ? (struct set){ n, a.mean + delta * b.n / n, a.m2 + b.m2 + delta * delta * a.n * b.n / n } : a;
}

static void moments_block(const void *job, const run *r, const struct block *b, real *s0, real *s1)
{
	const moments *t = job;
	double *const part = t->part + 3 * r->piece * t->c + r->c0 + b->col;
	const real *y0 = r->y + b->lo * r->pitch + b->col;
	const double n = (double)(b->hi - b->lo);

	about_first(t, r, b, s0, s1);
	for (size_t j = 0; j < b->n; j++) {
		double *const p = part + j, s = (double)s0[j];
		const struct set all = together((struct set){ p[0], p[t->c], p[2 * t->c] },
						(struct set){ n, (double)y0[j] + s / n, (double)s1[j] - s * s / n });

		p[0] = all.n;
		p[t->c] = all.mean;
		p[2 * t->c] = all.m2;
	}
}

void onx_bn_last_gather(void *ctx, const run *r)
{
	const moments *t = ctx;

	each_block(r, moments_block, t);
	if (t->far)
		onx_far_done();
}

/* ---- parts ------------------------------------------------------------------------------------------ */

enum { CLEAR = 4096, COLUMNS = 32 };

struct zero { double *part; size_t n; };

static void zero_piece(void *ctx, size_t piece, int worker)
{
	const struct zero *z = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(z->n, CLEAR, piece, &lo, &hi);
	memset(z->part + lo, 0, (hi - lo) * sizeof *z->part);
}

void onx_bn_last_zero(struct onx_pool *pool, double *part, size_t n)
{
	struct zero z = { part, n };

	onx_parallel(pool, onx_pieces(n, CLEAR), zero_piece, &z);
}

/* Of the two kinds of parts one. */
struct fold {
	const runs *t;
	const moments *m;
	size_t pieces;
	const real *inv;
	double *sum;
	real *mean, *var;
};

static void fold_piece(void *ctx, size_t piece, int worker)
{
	const struct fold *f = ctx;
	const size_t c = f->t->c;
	size_t lo, hi;

	(void)worker;
	onx_piece(c, COLUMNS, piece, &lo, &hi);
	for (size_t k = 0; k < 2; k++) {
		double sum[COLUMNS] = { 0 };

		for (size_t p = 0; p < f->pieces; p++)
			for (size_t i = lo; i < hi; i++)
				sum[i - lo] += f->t->part[(2 * p + k) * c + i];
		for (size_t i = lo; i < hi; i++)
			f->sum[k * c + i] = sum[i - lo] * (k ? (double)f->inv[i] : 1);
	}
}

void onx_bn_last_runs_fold(struct onx_pool *pool, const runs *t, size_t pieces, const real *inv, double *sum)
{
	struct fold f = { .t = t, .pieces = pieces, .inv = inv, .sum = sum };

	onx_parallel(pool, onx_pieces(t->c, COLUMNS), fold_piece, &f);
}

static void moments_piece(void *ctx, size_t piece, int worker)
{
	const struct fold *f = ctx;
	const size_t c = f->m->c;
	struct set all[COLUMNS] = { { 0 } };
	size_t lo, hi;

	(void)worker;
	onx_piece(c, COLUMNS, piece, &lo, &hi);
	for (size_t p = 0; p < f->pieces; p++)
		for (size_t i = lo; i < hi; i++) {
			const double *at = f->m->part + 3 * p * c + i;

			all[i - lo] = together(all[i - lo], (struct set){ at[0], at[c], at[2 * c] });
		}
	for (size_t i = lo; i < hi; i++) {
		if (f->mean)
			f->mean[i] = (real)all[i - lo].mean;
		if (f->var)
			f->var[i] = (real)(all[i - lo].m2 > 0 ? all[i - lo].m2 / all[i - lo].n : 0);
	}
}

void onx_bn_last_moments_fold(struct onx_pool *pool, const moments *t, size_t pieces, real *mean, real *var)
{
	struct fold f = { .m = t, .pieces = pieces, .mean = mean, .var = var };

	onx_parallel(pool, onx_pieces(t->c, COLUMNS), moments_piece, &f);
}
