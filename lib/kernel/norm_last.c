/* kernel/norm_last.c -- statistics, and forward; see the header. */
#include "kernel/norm_last_i.h"
#include "kernel/far.h"
#include "kernel/fuse_row.h"

enum { SAMPLES = 16 };

struct job {
	struct onx_stripes s;
	struct onx_fuse f;
	struct onx_bn_band band;
	const real *x, *z, *m, *a, *b;          /* m, a, b over a stripe: mean, scale * inv, bias */
	real *to;
	bool far;                               /* y is stored past the caches */
	double *part;
};

size_t onx_bn_last_scratch(const struct onx_bn_last *g)
{
	const struct onx_stripes s = onx_stripes_of(g->rows, g->c);

	return ONX_BN_PARAMS * onx_bn_room(&s) * sizeof(real) +
	       2 * onx_stripes_pieces(&s) * s.c * sizeof(double);
}

/* s0 += x - m, s1 += (x - m)^2.  Row by row: several rows at once would spare stores of sums, but read memory
 * at half the speed. */
ONX_CLONES
static void moments(const struct job *j, const struct onx_tile *t, real *restrict s0, real *restrict s1)
{
	const real *restrict m = j->m + t->col;

	for (size_t r = 0; r < t->rows; r++) {
		const real *restrict x = j->x + t->at + r * t->step;

		ONX_IN_ORDER;
		for (size_t i = 0; i < t->n; i++) {
			const real d = x[i] - m[i];

			s0[i] += d;
			s1[i] += d * d;
		}
	}
}

static void moments_tile(const void *job, const struct onx_tile *t, real *s0, real *s1)
{
	moments(job, t, s0, s1);
}

static void moments_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;

	(void)worker;
	onx_stripes_sums(&j->s, piece, j->part + 2 * piece * j->s.c, moments_tile, j);
}

/* A number near the mean of each channel: the mean of rows spread over all of x. */
static void near(const struct onx_bn_last *g, const real *x, real *to)
{
	const size_t n = g->rows < SAMPLES ? g->rows : SAMPLES;

	for (size_t c = 0; c < g->c; c++)
		to[c] = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < g->c; c++)
			to[c] += x[g->rows / n * i * g->c + c] / (real)n;
}

void onx_bn_last_stats(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, real *mean, real *var,
		       void *scratch)
{
	struct job j = { .s = onx_stripes_of(g->rows, g->c), .x = x };
	const size_t pieces = onx_stripes_pieces(&j.s);
	const double n = (double)g->rows;

	near(g, x, mean);
	j.m = onx_bn_spread(&j.s, mean, NULL, onx_bn_param(&j.s, scratch, 0));
	j.part = onx_bn_parts(&j.s, scratch);
	onx_parallel(pool, pieces, moments_piece, &j);
	for (size_t c = 0; c < g->c; c++) {
		double s[2] = { 0, 0 };

		for (size_t p = 0; p < 2 * pieces; p++)
			s[p % 2] += j.part[p * g->c + c];
		const double v = (s[1] - s[0] * s[0] / n) / n;

		mean[c] = (real)((double)mean[c] + s[0] / n);
		var[c] = (real)(v < 0 ? 0 : v);
	}
}

ONX_CLONES
static void apply_banded(const struct job *j, const struct onx_tile *t)
{
	const real *const m = j->m + t->col, *const a = j->a + t->col, *const b = j->b + t->col;
	real row[ONX_TILE_COLS];

	for (size_t r = 0; r < t->rows; r++) {
		const size_t at = t->at + r * t->step;
		real *const y = j->far ? row : j->to + at;

		if (j->z)
			onx_bn_banded_row(&j->band, j->x + at, m, a, b, j->z + at, t->n, y);
		else
			onx_bn_banded_row(&j->band, j->x + at, m, a, b, NULL, t->n, y);
		if (j->far)
			onx_far_row(row, t->n, j->to + at);
	}
}

ONX_CLONES
static void apply(const struct job *j, const struct onx_tile *t)
{
	const real *restrict m = j->m + t->col, *restrict a = j->a + t->col, *restrict b = j->b + t->col;
	real row[ONX_TILE_COLS];

	for (size_t r = 0; r < t->rows; r++) {
		const size_t at = t->at + r * t->step;
		const real *restrict x = j->x + at, *restrict z = j->z ? j->z + at : NULL;
		real *restrict y = j->far ? row : j->to + at;

		if (z)
			for (size_t i = 0; i < t->n; i++)
				y[i] = (x[i] - m[i]) * a[i] + b[i] + z[i];
		else
			for (size_t i = 0; i < t->n; i++)
				y[i] = (x[i] - m[i]) * a[i] + b[i];
		onx_fuse_row(&j->f, y, t->n);
		if (j->far)
			onx_far_row(row, t->n, j->to + at);
	}
}

static void banded_tile(const void *job, const struct onx_tile *t)
{
	apply_banded(job, t);
}

static void apply_tile(const void *job, const struct onx_tile *t)
{
	apply(job, t);
}

static void apply_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;

	(void)worker;
	onx_stripes_each(&j->s, piece, onx_bn_banded(&j->f) ? banded_tile : apply_tile, j);
	if (j->far)
		onx_far_done();
}

void onx_bn_last_apply(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, const real *mean,
		       const real *inv, const real *scale, const real *bias, const real *z, real *y, void *scratch)
{
	struct job j = { .s = onx_stripes_of(g->rows, g->c), .f = g->f, .x = x, .z = z, .to = y };

	if (j.s.total == 0)
		return;
	j.far = onx_is_far(j.s.total);
	onx_bn_band_of(&g->f, &j.band);
	j.m = onx_bn_spread(&j.s, mean, NULL, onx_bn_param(&j.s, scratch, 0));
	j.a = onx_bn_spread(&j.s, inv, scale, onx_bn_param(&j.s, scratch, 1));
	j.b = onx_bn_spread(&j.s, bias, NULL, onx_bn_param(&j.s, scratch, 2));
	onx_parallel(pool, onx_stripes_pieces(&j.s), apply_piece, &j);
}
