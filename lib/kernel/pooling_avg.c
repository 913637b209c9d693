/* kernel/pooling_avg.c -- averages (pooling.h), sums in double.  A piece is a run of whole planes. */
#include "kernel/pooling_i.h"
#include "kernel/cpu.h"
#include <string.h>

static void avg_plane_small(const struct onx_pooling_job *j, size_t plane)
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
					sum += x[row + k * w->dil[2]];
			}
		j->to[plane * w->out_n + o] = (real)(sum / onx_reach_count(w, &r, j->count_pad));
	}
}

static void avg_back_small(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;

	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t o = 0; o < w->out_n; o++) {
		const struct onx_reach r = onx_pooling_reach(w, o);
		const real g = (real)(j->dy[plane * w->out_n + o] / onx_reach_count(w, &r, j->count_pad));

		for (int64_t d = r.lo[0]; d < r.hi[0]; d++)
			for (int64_t h = r.lo[1]; h < r.hi[1]; h++) {
				const int64_t row = onx_pooling_row(w, &r, d, h);

				for (int64_t k = r.lo[2]; k < r.hi[2]; k++)
					dx[row + k * w->dil[2]] += g;
			}
	}
}

/* Rows of fewer outputs than these go output by output. */
enum { AVG_ROW = 4 };

static bool by_columns(const struct onx_window *w)
{
	struct onx_pooling_block b;

	return w->out[2] >= AVG_ROW && onx_pooling_block(w, 0, &b);
}

/* Taps of output o along dimension d: inside the input, or with `pad` inside the padded one.  Their product over the
 * dimensions is what an average divides by (onx_reach_count). */
static double taps_along(const struct onx_window *w, int d, size_t o, bool pad)
{
	const int64_t first = onx_window_at(w, d, o, 0), step = w->dil[d], k = (int64_t)w->kern[d];
	const int64_t room = (int64_t)w->in[d] + (pad ? w->pad_end[d] : 0) - first;
	const int64_t end = room > 0 ? (room - 1) / step + 1 : 0, hi = end < k ? end : k;
	const int64_t lo = first < 0 && !pad ? (-first + step - 1) / step : 0;

	return hi > lo ? (double)(hi - lo) : 0;
}

/* What a sum over that many is multiplied by: divisions would cost as much as the sums.  Over none it is 0 anyway. */
static double share_of(double taps)
{
	return taps > 0 ? 1 / taps : 0;
}

/* by[i]: of outputs lo + i of a row; in its middle all have the same. */
static void shares_of_block(const struct onx_pooling_job *j, const struct onx_pooling_block *b, double *by)
{
	const struct onx_window *w = j->w;
	const int64_t span = ((int64_t)w->kern[2] - 1) * w->dil[2];
	const double all = share_of((double)w->kern[2]);

	for (size_t i = 0; i < b->n; i++) {
		const int64_t first = onx_window_at(w, 2, b->lo + i, 0);
		const bool whole = first >= 0 && first + span < (int64_t)w->in[2];

		by[i] = whole ? all : share_of(taps_along(w, 2, b->lo + i, j->count_pad));
	}
}

/* The same across the rows of output row r. */
static double share_of_row(const struct onx_pooling_job *j, size_t r)
{
	const struct onx_window *w = j->w;

	return share_of(taps_along(w, 0, r / w->out[1], j->count_pad) *
			taps_along(w, 1, r % w->out[1], j->count_pad));
}

ONX_CLONES static void scale(const double *restrict sum, const double *restrict by, double row, size_t n,
			     real *restrict to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (real)(sum[i] * (by[i] * row));
}

ONX_CLONES static void shares(const real *restrict dy, const double *restrict by, double row, size_t n,
			      double *restrict to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (double)dy[i] * (by[i] * row);
}

ONX_CLONES static void add_columns(const real *restrict x, size_t n, double *restrict col)
{
	for (size_t i = 0; i < n; i++)
		col[i] += x[i];
}

/* Of windows three rows high, the usual ones: nothing is read or written twice. */
ONX_CLONES static void three_columns(const real *restrict x, const real *restrict y, const real *restrict z, size_t n,
				     double *restrict col)
{
	for (size_t i = 0; i < n; i++)
		col[i] = (double)x[i] + (double)y[i] + (double)z[i];
}

ONX_CLONES static void spread_columns(const double *restrict col, size_t n, real *restrict dx)
{
	for (size_t i = 0; i < n; i++)
		dx[i] += (real)col[i];
}

static void sum_columns(const struct onx_window *w, size_t r, const real *x, size_t n, double *col)
{
	memset(col, 0, n * sizeof *col);
	for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
		const int64_t at = onx_pooling_line(w, r, t);

		if (at >= 0)
			add_columns(x + at, n, col);
	}
}

/* A block of output row r. */
static void avg_row(const struct onx_pooling_job *j, const struct onx_pooling_block *b, const double *by, size_t r,
		    const real *x, real *y)
{
	const struct onx_window *w = j->w;
	double col[ONX_POOLING_COLUMNS], sum[ONX_POOLING_OUTPUTS];
	const int64_t at = onx_window_at(w, 1, r, 0), step = w->dil[1] * (int64_t)w->in[2];

	memset(sum, 0, b->n * sizeof *sum);
	x += b->from;
	if (w->kern[0] * w->out[0] == 1 && w->kern[1] == 3 && at >= 0 && at + 2 * w->dil[1] < (int64_t)w->in[1] &&
	    w->pad[0] == 0) {
		const real *first = x + (size_t)at * w->in[2];

		three_columns(first, first + step, first + 2 * step, b->wide, col);
	} else {
		sum_columns(w, r, x, b->wide, col);
	}
	onx_pooling_along(w, b, col, sum);
	scale(sum, by, share_of_row(j, r), b->n, y + r * w->out[2] + b->lo);
}

static void avg_plane(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	struct onx_pooling_block b;
	double by[ONX_POOLING_OUTPUTS];

	if (!by_columns(w)) {
		avg_plane_small(j, plane);
		return;
	}
	for (size_t lo = 0; lo < w->out[2] && onx_pooling_block(w, lo, &b); lo += b.n) {
		shares_of_block(j, &b, by);
		for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
			avg_row(j, &b, by, r, j->x + plane * w->in_n, j->to + plane * w->out_n);
	}
}

static void avg_row_back(const struct onx_pooling_job *j, const struct onx_pooling_block *b, const double *by,
			 size_t r, const real *dy, real *dx)
{
	const struct onx_window *w = j->w;
	double col[ONX_POOLING_COLUMNS], share[ONX_POOLING_OUTPUTS];

	shares(dy + r * w->out[2] + b->lo, by, share_of_row(j, r), b->n, share);
	memset(col, 0, b->wide * sizeof *col);
	onx_pooling_spread(w, b, share, col);
	for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
		const int64_t at = onx_pooling_line(w, r, t);

		if (at >= 0)
			spread_columns(col, b->wide, dx + at + b->from);
	}
}

static void avg_back(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;
	struct onx_pooling_block b;
	double by[ONX_POOLING_OUTPUTS];

	if (!by_columns(w)) {
		avg_back_small(j, plane);
		return;
	}
	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t lo = 0; lo < w->out[2] && onx_pooling_block(w, lo, &b); lo += b.n) {
		shares_of_block(j, &b, by);
		for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
			avg_row_back(j, &b, by, r, j->dy + plane * w->out_n, dx);
	}
}

void onx_avgpool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			 const real *x, real *y)
{
	struct onx_pooling_job j = { .w = w, .planes = planes, .count_pad = count_pad, .x = x, .to = y };

	onx_pooling_run(pool, &j, avg_plane);
}

void onx_avgpool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			  const real *dy, real *dx, bool add)
{
	struct onx_pooling_job j = { .w = w, .planes = planes, .count_pad = count_pad, .dy = dy, .to = dx, .add = add };

	onx_pooling_run(pool, &j, avg_back);
}
