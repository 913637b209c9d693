/* kernel/norm_batch.c -- batch normalisation. */
#include "kernel/lanes.h"
#include "kernel/norm.h"

enum { PIECE = 1 << 15 };

struct job {
	const struct onx_bn *g;
	const real *x, *dy, *mean, *inv, *scale, *bias, *sum;
	real *y, *m, *v, *s, *dx;
	bool add;
	size_t grain;
};

ONX_CLONES
static void plane_apply(const real *restrict x, real m, real a, real b, size_t n, real *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - m) * a + b;
}

static void apply_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_bn *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->n * g->c, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t c = i % g->c;

		plane_apply(j->x + i * g->p, j->mean[c], j->inv[c] * j->scale[c], j->bias[c], g->p,
			    j->y + i * g->p);
	}
}

void onx_bn_apply(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *mean,
		  const real *inv, const real *scale, const real *bias, real *y)
{
	struct job j = { .g = g, .x = x, .mean = mean, .inv = inv, .scale = scale, .bias = bias, .y = y,
			 .grain = PIECE / (g->p + 1) + 1 };

	onx_parallel(pool, onx_pieces(g->n * g->c, j.grain), apply_piece, &j);
}

ONX_CLONES
static double plane_sum(const real *x, size_t n)
{
	return onx_sum(x, n);
}

ONX_CLONES
static double plane_square(const real *x, double mean, size_t n)
{
	return onx_sum_square(x, mean, n);
}

ONX_CLONES
static double plane_product(const real *a, const real *x, double mean, size_t n)
{
	return onx_sum_product(a, x, mean, n);
}

static void stats_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_bn *g = j->g;
	const double count = (double)g->n * (double)g->p;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->c, j->grain, piece, &lo, &hi);
	for (size_t c = lo; c < hi; c++) {
		double sum = 0, square = 0;

		for (size_t n = 0; n < g->n; n++)
			sum += plane_sum(j->x + (n * g->c + c) * g->p, g->p);
		sum /= count;
		for (size_t n = 0; n < g->n; n++)
			square += plane_square(j->x + (n * g->c + c) * g->p, sum, g->p);
		j->m[c] = (real)sum;
		j->v[c] = (real)(square / count);
	}
}

void onx_bn_stats(struct onx_pool *pool, const struct onx_bn *g, const real *x, real *mean, real *var)
{
	struct job j = { .g = g, .x = x, .m = mean, .v = var, .grain = PIECE / (g->n * g->p + 1) + 1 };

	onx_parallel(pool, onx_pieces(g->c, j.grain), stats_piece, &j);
}

static void sums_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_bn *g = j->g;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->c, j->grain, piece, &lo, &hi);
	for (size_t c = lo; c < hi; c++) {
		double sum = 0, product = 0;

		for (size_t n = 0; n < g->n; n++) {
			const size_t at = (n * g->c + c) * g->p;

			sum += plane_sum(j->dy + at, g->p);
			product += plane_product(j->dy + at, j->x + at, j->mean[c], g->p);
		}
		j->s[2 * c] = (real)sum;
		j->s[2 * c + 1] = (real)(product * j->inv[c]);
	}
}

void onx_bn_sums(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *dy,
		 const real *mean, const real *inv, real *sum)
{
	struct job j = { .g = g, .x = x, .dy = dy, .mean = mean, .inv = inv, .s = sum,
			 .grain = PIECE / (g->n * g->p + 1) + 1 };

	onx_parallel(pool, onx_pieces(g->c, j.grain), sums_piece, &j);
}

/* dx (=|+=) a * dy + b * (x - m) + d */
ONX_CLONES
static void plane_dx(const real *restrict x, const real *restrict dy, real a, real b, real m, real d,
		     size_t n, bool add, real *restrict dx)
{
	if (add)
		for (size_t i = 0; i < n; i++)
			dx[i] += a * dy[i] + b * (x[i] - m) + d;
	else
		for (size_t i = 0; i < n; i++)
			dx[i] = a * dy[i] + b * (x[i] - m) + d;
}

ONX_CLONES
static void plane_scale(const real *restrict dy, real a, size_t n, bool add, real *restrict dx)
{
	for (size_t i = 0; i < n; i++)
		onx_put(&dx[i], add, a * dy[i]);
}

static void dx_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_bn *g = j->g;
	const double count = (double)g->n * (double)g->p;
	size_t lo, hi;

	(void)worker;
	onx_piece(g->n * g->c, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t c = i % g->c, at = i * g->p;
		const real a = j->scale[c] * j->inv[c];

		if (!j->sum)
			plane_scale(j->dy + at, a, g->p, j->add, j->dx + at);
		else
			plane_dx(j->x + at, j->dy + at, a,
				 (real)(-a * (double)j->inv[c] * j->sum[2 * c + 1] / count), j->mean[c],
				 (real)(-a * (double)j->sum[2 * c] / count), g->p, j->add, j->dx + at);
	}
}

void onx_bn_dx(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *dy,
	       const real *mean, const real *inv, const real *scale, const real *sum, real *dx, bool add)
{
	struct job j = { .g = g, .x = x, .dy = dy, .mean = mean, .inv = inv, .scale = scale, .sum = sum,
			 .dx = dx, .add = add, .grain = PIECE / (g->p + 1) + 1 };

	onx_parallel(pool, onx_pieces(g->n * g->c, j.grain), dx_piece, &j);
}
