/* kernel/pooling_lp.c -- p-norms (pooling.h), sums in double.  A piece is a run of whole planes. */
#include "kernel/pooling_i.h"
#include "kernel/cpu.h"
#include <string.h>

static double power(double x, double p)
{
	x = fabs(x);
	return p == 2 ? x * x : p == 1 ? x : p == 0 ? 1 : pow(x, p);
}

static double root(double sum, double p)
{
	return p == 2 ? sqrt(sum) : p == 1 ? sum : pow(sum, 1 / p);
}

/* What dx takes of sign(x) |x|^(p-1). */
static double slope(double y, double dy, double p)
{
	return y > 0 ? dy / power(y, p - 1) : 0;
}

static void lp_plane_small(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;

	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = onx_pooling_reach(w, o);
		double sum = 0;

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = onx_pooling_row(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					sum += power(x[row + k * w->dil[2]], j->p);
			}
		j->to[plane * w->out_n + o] = (real)root(sum, j->p);
	}
}

static void lp_back_small(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;
	real *dx = j->to + plane * w->in_n;

	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = onx_pooling_reach(w, o);
		const double g = slope(j->y[plane * w->out_n + o], j->dy[plane * w->out_n + o], j->p);

		for (int64_t d = r.lo[0]; g != 0 && d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = onx_pooling_row(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++) {
					const real v = x[row + k * w->dil[2]];

					dx[row + k * w->dil[2]] += (real)((v > 0 ? g : v < 0 ? -g : 0) *
									  power(v, j->p - 1));
				}
			}
	}
}

/* col[i] += |x[i]|^p */
ONX_CLONES static void add_powers(const real *restrict x, double p, size_t n, double *restrict col)
{
	if (p == 2)
		for (size_t i = 0; i < n; i++)
			col[i] += (double)x[i] * (double)x[i];
	else if (p == 1)
		for (size_t i = 0; i < n; i++)
			col[i] += fabs((double)x[i]);
	else
		for (size_t i = 0; i < n; i++)
			col[i] += pow(fabs((double)x[i]), p);
}

/* dx[i] += col[i] sign(x[i]) |x[i]|^(p-1); what gets nothing stays as it is, whatever x is. */
ONX_CLONES static void add_slopes(const real *restrict x, const double *restrict col, double p, size_t n,
				  real *restrict dx)
{
	if (p == 2)
		for (size_t i = 0; i < n; i++)
			dx[i] += (real)(col[i] != 0 ? col[i] * (double)x[i] : 0);
	else if (p == 1)
		for (size_t i = 0; i < n; i++)
			dx[i] += (real)(x[i] > 0 ? col[i] : x[i] < 0 ? -col[i] : 0);
	else
		for (size_t i = 0; i < n; i++)
			dx[i] += col[i] == 0 || x[i] == 0 ? 0 : (real)((x[i] > 0 ? col[i] : -col[i]) *
								       pow(fabs((double)x[i]), p - 1));
}

static void lp_plane(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;
	struct onx_pooling_block b;

	if (!onx_pooling_block(w, 0, &b)) {
		lp_plane_small(j, plane);
		return;
	}
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2] && onx_pooling_block(w, lo, &b); lo += b.n) {
			real *y = j->to + plane * w->out_n + r * w->out[2] + lo;
			double col[ONX_POOLING_COLUMNS], sum[ONX_POOLING_OUTPUTS] = { 0 };

			memset(col, 0, b.wide * sizeof *col);
			for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
				const int64_t at = onx_pooling_line(w, r, t);

				if (at >= 0)
					add_powers(x + at + b.from, j->p, b.wide, col);
			}
			onx_pooling_along(w, &b, col, sum);
			for (size_t i = 0; i < b.n; i++)
				y[i] = (real)root(sum[i], j->p);
		}
}

static void lp_back(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	const real *x = j->x + plane * w->in_n;
	real *dx = j->to + plane * w->in_n;
	struct onx_pooling_block b;

	if (!onx_pooling_block(w, 0, &b)) {
		lp_back_small(j, plane);
		return;
	}
	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2] && onx_pooling_block(w, lo, &b); lo += b.n) {
			const size_t o = plane * w->out_n + r * w->out[2] + lo;
			double col[ONX_POOLING_COLUMNS], share[ONX_POOLING_OUTPUTS];

			for (size_t i = 0; i < b.n; i++)
				share[i] = slope(j->y[o + i], j->dy[o + i], j->p);
			memset(col, 0, b.wide * sizeof *col);
			onx_pooling_spread(w, &b, share, col);
			for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
				const int64_t at = onx_pooling_line(w, r, t);

				if (at >= 0)
					add_slopes(x + at + b.from, col, j->p, b.wide, dx + at + b.from);
			}
		}
}

void onx_lppool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			const real *x, real *y)
{
	struct onx_pooling_job j = { .w = w, .planes = planes, .p = p, .x = x, .to = y };

	onx_pooling_run(pool, &j, lp_plane);
}

void onx_lppool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			 const real *x, const real *y, const real *dy, real *dx, bool add)
{
	struct onx_pooling_job j = { .w = w, .planes = planes, .p = p, .x = x, .y = y, .dy = dy, .to = dx, .add = add };

	onx_pooling_run(pool, &j, lp_back);
}
