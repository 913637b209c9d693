/* kernel/norm_rows.c -- normalisation along rows. */
#include "kernel/lanes.h"
#include "kernel/norm.h"

enum { PIECE = 1 << 14, BLOCKS = 16 };

struct job {
	const struct onx_rows *g;
	const struct onx_rows_grad *t;
	const real *x, *scale, *bias;
	real *y, *stat;
	double *partial;        /* [blocks][2][n_par] */
	size_t grain;
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }

ONX_CLONES
static void row_stats(const struct onx_rows *g, const real *x, real *stat)
{
	const double mean = g->centre ? onx_sum(x, g->len) / (double)g->len : 0;
	const double var = onx_sum_square(x, mean, g->len) / (double)g->len;

	stat[0] = (real)mean;
	stat[1] = (real)(1 / sqrt(var + g->eps));
}

/* Elements lo..hi-1 of a row, which share one scale and bias (s, b), or have their own (step 1). */
ONX_CLONES
static void run_forward(const real *restrict x, const real *stat, const real *s, const real *b, bool own,
			size_t n, real *restrict y)
{
	const real m = stat[0], inv = stat[1];

	if (!own)
		for (size_t i = 0; i < n; i++)
			y[i] = (x[i] - m) * inv * (s ? *s : 1) + (b ? *b : 0);
	else if (s && b)
		for (size_t i = 0; i < n; i++)
			y[i] = (x[i] - m) * inv * s[i] + b[i];
	else
		for (size_t i = 0; i < n; i++)
			y[i] = (x[i] - m) * inv * (s ? s[i] : 1) + (b ? b[i] : 0);
}

/* Calls of the loops above for one row: `run` elements at a time, or the whole row if run is 1. */
static void row_forward(const struct job *j, size_t r)
{
	const struct onx_rows *g = j->g;
	const size_t base = r % g->period * g->first, step = g->run == 1 ? g->len : g->run;
	const real *x = j->x + r * g->len;

	row_stats(g, x, j->stat + 2 * r);
	for (size_t i = 0; i < g->len; i += step) {
		const size_t par = base + i / g->run;

		run_forward(x + i, j->stat + 2 * r, j->scale ? j->scale + par : NULL,
			    j->bias ? j->bias + par : NULL, g->run == 1, min_z(step, g->len - i),
			    j->y + r * g->len + i);
	}
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->g->rows, j->grain, piece, &lo, &hi);
	for (size_t r = lo; r < hi; r++)
		row_forward(j, r);
}

void onx_rows_forward(struct onx_pool *pool, const struct onx_rows *g, const real *x, const real *scale,
		      const real *bias, real *y, real *stat)
{
	struct job j = { .g = g, .x = x, .scale = scale, .bias = bias, .y = y, .stat = stat,
			 .grain = PIECE / (g->len + 1) + 1 };

	if (g->len)
		onx_parallel(pool, onx_pieces(g->rows, j.grain), forward_piece, &j);
}

size_t onx_rows_scratch(const struct onx_rows *g)
{
	return BLOCKS * 2 * g->n_par * sizeof(double);
}

/* With h = dy * scale and xhat = (x - mean) * inv, means taken over the row:
 *     dx = inv * (h - mean(h) - xhat * mean(h * xhat)) + dmean / len - dinv * inv^2 * xhat / len
 * (without mean(h) and dmean where nothing is subtracted). */
static void row_dx(const struct onx_rows *g, const struct onx_rows_grad *t, size_t r)
{
	const real *x = t->x + r * g->len, *dy = t->dy ? t->dy + r * g->len : NULL;
	const size_t base = r % g->period * g->first;
	const double m = t->stat[2 * r], inv = t->stat[2 * r + 1], len = (double)g->len;
	double sum = 0, product = 0;

	for (size_t i = 0; dy && i < g->len; i++) {
		const double h = dy[i] * (t->scale ? (double)t->scale[base + i / g->run] : 1);

		sum += h;
		product += h * (x[i] - m);
	}
	const double flat = (g->centre ? -inv * sum + (t->dmean ? (double)t->dmean[r] : 0) : 0) / len;
	const double slope = (-inv * inv * inv * product - (t->dinv ? t->dinv[r] * inv * inv * inv : 0)) / len;

	for (size_t i = 0; i < g->len; i++) {
		const double h = dy ? dy[i] * (t->scale ? (double)t->scale[base + i / g->run] : 1) : 0;

		onx_put(&t->dx[r * g->len + i], t->add_x, (real)(inv * h + slope * (x[i] - m) + flat));
	}
}

/* Sums of h = dy * scale, and of h * (x - mean), in running lanes as in lanes.h. */
ONX_INLINE void own_sums(const real *x, const real *dy, const real *s, double m, size_t n, double *sum, double *product)
{
	double h_lane[8] = { 0 }, p_lane[8] = { 0 };
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t l = 0; l < 8; l++) {
			const double h = (double)dy[i + l] * s[i + l];

			h_lane[l] += h;
			p_lane[l] += h * (x[i + l] - m);
		}
	for (; i < n; i++) {
		const double h = (double)dy[i] * s[i];

		h_lane[i % 8] += h;
		p_lane[i % 8] += h * (x[i] - m);
	}
	*sum = onx_lane_total(h_lane);
	*product = onx_lane_total(p_lane);
}

/* row_dx() where there is a dy and each element has its own scale. */
ONX_CLONES
static void own_dx(const struct onx_rows *g, const struct onx_rows_grad *t, size_t r)
{
	const real *x = t->x + r * g->len, *dy = t->dy + r * g->len, *s = t->scale + r % g->period * g->first;
	const double m = t->stat[2 * r], inv = t->stat[2 * r + 1], len = (double)g->len;
	real *dx = t->dx + r * g->len;
	double sum, product;

	own_sums(x, dy, s, m, g->len, &sum, &product);
	const real flat = (real)((g->centre ? -inv * sum + (t->dmean ? (double)t->dmean[r] : 0) : 0) / len);
	const real slope = (real)((-inv * inv * inv * product - (t->dinv ? t->dinv[r] * inv * inv * inv : 0)) / len);
	const real by = (real)inv, mean = (real)m;

	if (t->add_x) {
		ONX_ALIKE
		for (size_t i = 0; i < g->len; i++)
			dx[i] += by * (dy[i] * s[i]) + (slope * (x[i] - mean) + flat);
		return;
	}
	ONX_ALIKE
	for (size_t i = 0; i < g->len; i++)
		dx[i] = by * (dy[i] * s[i]) + (slope * (x[i] - mean) + flat);
}

ONX_CLONES
static void own_parameters(const real *restrict x, const real *restrict dy, real m, real inv, size_t n,
			   double *restrict scale, double *restrict bias)
{
	for (size_t i = 0; i < n; i++) {
		scale[i] += dy[i] * ((x[i] - m) * inv);
		bias[i] += dy[i];
	}
}

/* Sums over a run, which has one scale and bias: of dy, and of dy * (x - mean). */
ONX_CLONES
static void run_sums(const real *x, const real *dy, double m, size_t n, double *flat, double *product)
{
	*flat = onx_sum(dy, n);
	*product = onx_sum_product(dy, x, m, n);
}

ONX_CLONES
static void run_dx(const real *x, const real *dy, real by, real slope, real mean, real flat, size_t n, bool add,
		   real *dx)
{
	if (add) {
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			dx[i] += by * dy[i] + (slope * (x[i] - mean) + flat);
		return;
	}
	ONX_ALIKE
	for (size_t i = 0; i < n; i++)
		dx[i] = by * dy[i] + (slope * (x[i] - mean) + flat);
}

/* A row of runs that has a dy: its part of the gradients of the parameters, then dx as row_dx(). */
static void row_of_runs(const struct onx_rows *g, const struct onx_rows_grad *t, size_t r, double *par)
{
	const real *x = t->x + r * g->len, *dy = t->dy + r * g->len;
	const size_t base = r % g->period * g->first;
	const double m = t->stat[2 * r], inv = t->stat[2 * r + 1], len = (double)g->len;
	double sum = 0, product = 0;

	for (size_t i = 0, at = base; i < g->len; i += g->run, at++) {
		double flat, slope;
		run_sums(x + i, dy + i, m, min_z(g->run, g->len - i), &flat, &slope);
		sum += flat * (t->scale ? (double)t->scale[at] : 1);
		product += slope * (t->scale ? (double)t->scale[at] : 1);
		if (par) {
			par[at] += slope * inv;
			par[g->n_par + at] += flat;
		}
	}
	if (!t->dx)
		return;
	const double flat = (g->centre ? -inv * sum + (t->dmean ? (double)t->dmean[r] : 0) : 0) / len;
	const double slope = (-inv * inv * inv * product - (t->dinv ? t->dinv[r] * inv * inv * inv : 0)) / len;
	for (size_t i = 0, at = base; i < g->len; i += g->run, at++)
		run_dx(x + i, dy + i, (real)(inv * (t->scale ? (double)t->scale[at] : 1)), (real)slope, (real)m,
		       (real)flat, min_z(g->run, g->len - i), t->add_x, t->dx + r * g->len + i);
}

static void backward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_rows *g = j->g;
	double *sum = j->partial ? j->partial + piece * 2 * g->n_par : NULL;
	size_t lo, hi;

	(void)worker;
	for (size_t i = 0; sum && i < 2 * g->n_par; i++)
		sum[i] = 0;
	onx_piece(g->rows, j->grain, piece, &lo, &hi);
	for (size_t r = lo; r < hi; r++) {
		if (g->run > 1 && j->t->dy) {
			row_of_runs(g, j->t, r, sum);
			continue;
		}
		if (j->t->dx && g->run == 1 && j->t->dy && j->t->scale)
			own_dx(g, j->t, r);
		else if (j->t->dx)
			row_dx(g, j->t, r);
		if (sum && j->t->dy)
			own_parameters(j->t->x + r * g->len, j->t->dy + r * g->len, (real)j->t->stat[2 * r],
				       (real)j->t->stat[2 * r + 1], g->len, sum + r % g->period * g->first,
				       sum + g->n_par + r % g->period * g->first);
	}
}

void onx_rows_backward(struct onx_pool *pool, const struct onx_rows *g, const struct onx_rows_grad *t)
{
	struct job j = { .g = g, .t = t, .partial = t->dscale || t->dbias ? t->scratch : NULL };

	j.grain = (g->rows + BLOCKS - 1) / BLOCKS;
	const size_t blocks = onx_pieces(g->rows, j.grain);

	onx_parallel(pool, blocks, backward_piece, &j);
	for (size_t i = 0; j.partial && i < g->n_par; i++) {
		double scale = 0, bias = 0;

		for (size_t b = 0; b < blocks; b++) {
			scale += j.partial[(2 * b) * g->n_par + i];
			bias += j.partial[(2 * b + 1) * g->n_par + i];
		}
		if (t->dscale)
			onx_put(&t->dscale[i], t->add_scale, (real)scale);
		if (t->dbias)
			onx_put(&t->dbias[i], t->add_bias, (real)bias);
	}
}
