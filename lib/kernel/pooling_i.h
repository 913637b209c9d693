/* kernel/pooling_i.h -- what the files of pooling.h share. */
#ifndef ONX_POOLING_I_H
#define ONX_POOLING_I_H
#include "kernel/pooling.h"

#define onx_pooling_job ONX_R(onx_pooling_job)
#define onx_pooling_run ONX_R(onx_pooling_run)
#define onx_pooling_block ONX_R(onx_pooling_block)
#define onx_pooling_along ONX_R(onx_pooling_along)
#define onx_pooling_spread ONX_R(onx_pooling_spread)

struct onx_pooling_job {
	const struct onx_window *w;
	size_t planes, grain;
	bool count_pad, add, is_signed;
	double p;
	const real *x, *y, *dy;
	const void *bytes;
	void *bytes_out;
	real *to;
	int32_t *at;
	const int32_t *from;
	void (*plane)(const struct onx_pooling_job *j, size_t plane);
};

/* plane(j, i) for all planes i, in pieces that are runs of them. */
void onx_pooling_run(struct onx_pool *pool, struct onx_pooling_job *j,
		     void (*plane)(const struct onx_pooling_job *j, size_t plane));

static inline struct onx_reach onx_pooling_reach(const struct onx_window *w, size_t o)
{
	const size_t oi[3] = { o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2] };

	return onx_window_reach(w, oi);
}

/* Where tap column 0 of tap row (d, h) lies in the plane. */
static inline int64_t onx_pooling_row(const struct onx_window *w, const struct onx_reach *r, int64_t d, int64_t h)
{
	return ((r->first[0] + d * w->dil[0]) * (int64_t)w->in[1] + r->first[1] + h * w->dil[1]) *
	       (int64_t)w->in[2] + r->first[2];
}

/* Where tap row t (of the kern[0] * kern[1] ones) of output row r begins in the plane; -1: outside the input. */
static inline int64_t onx_pooling_line(const struct onx_window *w, size_t r, size_t t)
{
	const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[1]);
	const int64_t h = onx_window_at(w, 1, r % w->out[1], t % w->kern[1]);
	const bool inside = d >= 0 && d < (int64_t)w->in[0] && h >= 0 && h < (int64_t)w->in[1];

	return inside ? (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2] : -1;
}

/* ---- pooling_columns.c ---- */

/* Outputs [lo, lo + n) of a row and the columns [from, from + wide) of the input that they see. */
enum { ONX_POOLING_COLUMNS = 512, ONX_POOLING_OUTPUTS = 128 };
struct onx_pooling_block { size_t lo, n, from, wide; };

/* The block that begins at output lo; false: windows are wider than a block can be. */
bool onx_pooling_block(const struct onx_window *w, size_t lo, struct onx_pooling_block *b);
/* sum[i] += the columns that output lo + i sees; col[c] += the shares of the outputs that see column from + c. */
void onx_pooling_along(const struct onx_window *w, const struct onx_pooling_block *b, const double *col, double *sum);
void onx_pooling_spread(const struct onx_window *w, const struct onx_pooling_block *b, const double *share,
			double *col);

/* The outputs [*lo, *hi) of row r that meet the input with tap t, and where the first of them does in the plane;
 * false: none. */
static inline bool onx_pooling_tap(const struct onx_window *w, size_t r, size_t t, size_t *lo, size_t *hi,
				   int64_t *from)
{
	const size_t k = t % w->kern[2];
	const int64_t d = onx_window_at(w, 0, r / w->out[1], t / w->kern[2] / w->kern[1]);
	const int64_t h = onx_window_at(w, 1, r % w->out[1], t / w->kern[2] % w->kern[1]);

	if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
		return false;
	onx_window_valid(w, 2, k, lo, hi);
	*from = (d * (int64_t)w->in[1] + h) * (int64_t)w->in[2] + onx_window_at(w, 2, *lo, k);
	return *lo < *hi;
}

#endif
