/* kernel/pooling_columns.c -- see pooling_i.h: sums over windows as sums over the input's rows that they see, then
 * along those, and their gradients in the other direction: a window costs its height and its width, not their
 * product. */
#include "kernel/pooling_i.h"
#include "kernel/cpu.h"

bool onx_pooling_block(const struct onx_window *w, size_t lo, struct onx_pooling_block *b)
{
	const size_t s = (size_t)w->stride[2], reach = (w->kern[2] - 1) * (size_t)w->dil[2] + 1;
	const size_t left = w->out[2] - lo;

	if (w->in[2] > ONX_POOLING_COLUMNS && reach > ONX_POOLING_COLUMNS)
		return false;
	const size_t most = w->in[2] <= ONX_POOLING_COLUMNS ? left : (ONX_POOLING_COLUMNS - reach) / s + 1;
	b->lo = lo;
	b->n = left < most ? left : most;
	if (b->n > ONX_POOLING_OUTPUTS)
		b->n = ONX_POOLING_OUTPUTS;
	const int64_t in = (int64_t)w->in[2], first = onx_window_at(w, 2, lo, 0);
	const int64_t last = onx_window_at(w, 2, lo + b->n - 1, w->kern[2] - 1) + 1, end = last < in ? last : in;
	b->from = first < 0 ? 0 : (size_t)(first < in ? first : in);
	b->wide = end > (int64_t)b->from ? (size_t)end - b->from : 0;
	return true;
}

/* The outputs [*lo, *hi) of the block whose tap k meets its columns, the first of them in column *at; false: none. */
static bool tap(const struct onx_window *w, const struct onx_pooling_block *b, size_t k, size_t *lo, size_t *hi,
		size_t *at)
{
	onx_window_valid(w, 2, k, lo, hi);
	*lo = *lo > b->lo ? *lo : b->lo;
	*hi = *hi < b->lo + b->n ? *hi : b->lo + b->n;
	if (*lo >= *hi)
		return false;
	*at = (size_t)onx_window_at(w, 2, *lo, k) - b->from;
	return true;
}

ONX_CLONES static void tap_sum(const double *restrict col, size_t s, size_t n, double *restrict sum)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			sum[i] += col[i];
	else if (s == 2)
		for (size_t i = 0; i < n; i++)
			sum[i] += col[2 * i];
	else
		for (size_t i = 0; i < n; i++)
			sum[i] += col[i * s];
}

ONX_CLONES static void tap_spread(const double *restrict share, size_t s, size_t n, double *restrict col)
{
	if (s == 1)
		for (size_t i = 0; i < n; i++)
			col[i] += share[i];
	else
		for (size_t i = 0; i < n; i++)
			col[i * s] += share[i];
}

void onx_pooling_along(const struct onx_window *w, const struct onx_pooling_block *b, const double *col, double *sum)
{
	for (size_t k = 0, lo, hi, at; k < w->kern[2]; k++)
		if (tap(w, b, k, &lo, &hi, &at))
			tap_sum(col + at, (size_t)w->stride[2], hi - lo, sum + (lo - b->lo));
}

void onx_pooling_spread(const struct onx_window *w, const struct onx_pooling_block *b, const double *share, double *col)
{
	for (size_t k = 0, lo, hi, at; k < w->kern[2]; k++)
		if (tap(w, b, k, &lo, &hi, &at))
			tap_spread(share + (lo - b->lo), (size_t)w->stride[2], hi - lo, col + at);
}
