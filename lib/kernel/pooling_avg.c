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

/* Rows of at least this many outputs go tap by tap; shorter ones output by output. */
enum { AVG_ROW = 4, AVG_BLOCK = 128, AVG_WIDE = 512 };

/* onx_pooling_tap for outputs [lo, lo + n) of the row alone. */
static bool tap_within(const struct onx_window *w, size_t r, size_t t, size_t lo, size_t n, size_t *first, size_t *end,
		       int64_t *from)
{
	size_t all;

	if (!onx_pooling_tap(w, r, t, &all, end, from))
		return false;
	*first = all > lo ? all : lo;
	*end = *end < lo + n ? *end : lo + n;
	*from += (int64_t)(*first - all) * w->stride[2];
	return *first < *end;
}

ONX_CLONES static void sum_tap(const real *restrict x, int64_t s, size_t n, double *restrict sum)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			sum[i] += x[i];
	else
		for (size_t i = 0; i < n; i++)
			sum[i] += x[(int64_t)i * s];
}

ONX_CLONES static void spread_tap(const double *restrict share, int64_t s, size_t n, real *restrict dx)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			dx[i] += (real)share[i];
	else
		for (size_t i = 0; i < n; i++)
			dx[(int64_t)i * s] += (real)share[i];
}

/* Outputs [lo, lo + n) of row r, tap by tap. */
static void sum_taps(const struct onx_window *w, const real *x, size_t r, size_t lo, size_t n, double *sum)
{
	for (size_t t = 0, first, end; t < w->kern_n; t++) {
		int64_t from;

		if (tap_within(w, r, t, lo, n, &first, &end, &from))
			sum_tap(x + from, w->stride[2], end - first, sum + (first - lo));
	}
}

static void spread_taps(const struct onx_window *w, const double *share, size_t r, size_t lo, size_t n, real *dx)
{
	for (size_t t = 0, first, end; t < w->kern_n; t++) {
		int64_t from;

		if (tap_within(w, r, t, lo, n, &first, &end, &from))
			spread_tap(share + (first - lo), w->stride[2], end - first, dx + from);
	}
}

/* count[i]: by how much outputs [lo, lo + n) of row r divide; those in the middle of a row have the same. */
static void counts(const struct onx_pooling_job *j, size_t r, size_t lo, size_t n, double *count)
{
	const struct onx_window *w = j->w;
	const int64_t span = ((int64_t)w->kern[2] - 1) * w->dil[2];
	double middle = 0;

	for (size_t i = 0; i < n; i++) {
		const int64_t first = onx_window_at(w, 2, lo + i, 0);
		const bool whole = first >= 0 && first + span < (int64_t)w->in[2];

		if (!whole || middle == 0) {
			const struct onx_reach reach = onx_pooling_reach(w, r * w->out[2] + lo + i);
			count[i] = onx_reach_count(w, &reach, j->count_pad);
			middle = whole ? count[i] : middle;
		} else {
			count[i] = middle;
		}
	}
}

ONX_CLONES static void add_columns(const real *restrict x, size_t n, double *restrict col)
{
	for (size_t i = 0; i < n; i++)
		col[i] += x[i];
}

ONX_CLONES static void tap_columns(const double *restrict col, int64_t s, size_t n, double *restrict acc)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			acc[i] += col[i];
	else
		for (size_t i = 0; i < n; i++)
			acc[i] += col[(int64_t)i * s];
}

/* Row r of the output: first the input's rows that it sees added up, then its taps along them. */
static void sum_columns(const struct onx_window *w, const real *x, size_t r, double *acc)
{
	double col[AVG_WIDE];

	memset(col, 0, w->in[2] * sizeof *col);
	for (size_t t = 0; t < w->kern[0] * w->kern[1]; t++) {
		const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[1]);
		const int64_t h = onx_window_at(w, 1, r % w->out[1], t % w->kern[1]);

		if (d >= 0 && d < (int64_t)w->in[0] && h >= 0 && h < (int64_t)w->in[1])
			add_columns(x + (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2], w->in[2], col);
	}
	for (size_t kw = 0; kw < w->kern[2]; kw++) {
		size_t from, to;

		onx_window_valid(w, 2, kw, &from, &to);
		if (from < to)
			tap_columns(col + onx_window_at(w, 2, from, kw), w->stride[2], to - from, acc + from);
	}
}

static void avg_plane(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;

	if (w->out[2] < AVG_ROW) {
		avg_plane_small(j, plane);
		return;
	}
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2]; lo += AVG_BLOCK) {
			const size_t n = w->out[2] - lo < AVG_BLOCK ? w->out[2] - lo : AVG_BLOCK;
			real *y = j->to + plane * w->out_n + r * w->out[2] + lo;
			double sum[AVG_BLOCK] = { 0 }, count[AVG_BLOCK];

			if (w->in[2] <= AVG_WIDE && w->out[2] <= AVG_BLOCK)
				sum_columns(w, j->x + plane * w->in_n, r, sum);
			else
				sum_taps(w, j->x + plane * w->in_n, r, lo, n, sum);
			counts(j, r, lo, n, count);
			for (size_t i = 0; i < n; i++)
				y[i] = (real)(sum[i] / count[i]);
		}
}

static void avg_back(const struct onx_pooling_job *j, size_t plane)
{
	const struct onx_window *w = j->w;
	real *dx = j->to + plane * w->in_n;

	if (w->out[2] < AVG_ROW) {
		avg_back_small(j, plane);
		return;
	}
	if (!j->add)
		memset(dx, 0, w->in_n * sizeof *dx);
	for (size_t r = 0; r < w->out[0] * w->out[1]; r++)
		for (size_t lo = 0; lo < w->out[2]; lo += AVG_BLOCK) {
			const size_t n = w->out[2] - lo < AVG_BLOCK ? w->out[2] - lo : AVG_BLOCK;
			const real *dy = j->dy + plane * w->out_n + r * w->out[2] + lo;
			double share[AVG_BLOCK], count[AVG_BLOCK];

			counts(j, r, lo, n, count);
			for (size_t i = 0; i < n; i++)
				share[i] = dy[i] / count[i];
			spread_taps(w, share, r, lo, n, dx);
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
