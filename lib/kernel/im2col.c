/* kernel/im2col.c -- see the header. */
#include "kernel/im2col.h"
#include "kernel/cpu.h"
#include <stdbool.h>
#include <string.h>

/* One tap of one channel: the outputs with their valid range along the rows. */
struct tap {
	size_t kd, kh, kw, lo, hi;
	int64_t off;                    /* input column of output column 0 */
};

static struct tap tap_of(const struct onx_window *w, size_t k)
{
	struct tap t = { .kw = k % w->kern[2], .kh = k / w->kern[2] % w->kern[1],
			 .kd = k / w->kern[2] / w->kern[1] };

	onx_window_valid(w, 2, t.kw, &t.lo, &t.hi);
	t.off = onx_window_at(w, 2, 0, t.kw);
	return t;
}

/* The input row that output row r (od * out[1] + oh) meets, or NULL in the padding. */
ONX_INLINE const real *input_row(const struct onx_window *w, const struct tap *t, size_t r,
				 const real *x)
{
	const int64_t d = onx_window_at(w, 0, r / w->out[1], t->kd);
	const int64_t h = onx_window_at(w, 1, r % w->out[1], t->kh);

	if (d < 0 || d >= (int64_t)w->in[0] || h < 0 || h >= (int64_t)w->in[1])
		return NULL;
	return x + ((size_t)d * w->in[1] + (size_t)h) * w->in[2];
}

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }

/* Outputs [a, b) of one output row. */
ONX_INLINE void take_row(const struct onx_window *w, const struct tap *t, const real *row, size_t a,
			 size_t b, real *col)
{
	const size_t lo = row ? min_z(max_z(t->lo, a), b) : b, hi = row ? max_z(min_z(t->hi, b), lo) : b;
	const int64_t s = w->stride[2];

	memset(col, 0, (lo - a) * sizeof *col);
	memset(col + (hi - a), 0, (b - hi) * sizeof *col);
	if (hi == lo || !row)
		return;
	const real *from = row + ((int64_t)lo * s + t->off);
	real *to = col + (lo - a);

	if (s == 1)
		memcpy(to, from, (hi - lo) * sizeof *to);
	else if (s == 2)
		for (size_t i = 0; i < hi - lo; i++)
			to[i] = from[2 * i];
	else
		for (size_t i = 0; i < hi - lo; i++)
			to[i] = from[(int64_t)i * s];
}

ONX_INLINE void give_row(const struct onx_window *w, const struct tap *t, const real *col, size_t a,
			 size_t b, real *restrict row)
{
	const size_t lo = min_z(max_z(t->lo, a), b), hi = max_z(min_z(t->hi, b), lo);
	const int64_t s = w->stride[2];

	if (hi == lo)
		return;
	const real *restrict from = col + (lo - a);
	real *restrict to = row + ((int64_t)lo * s + t->off);

	if (s == 1)
		for (size_t i = 0; i < hi - lo; i++)
			to[i] += from[i];
	else
		for (size_t i = 0; i < hi - lo; i++)
			to[(int64_t)i * s] += from[i];
}

ONX_CLONES
static void take_tap(const struct onx_window *w, size_t k, size_t p0, size_t p1, const real *x, real *col)
{
	const struct tap t = tap_of(w, k);
	const size_t width = w->out[2];

	for (size_t p = p0; p < p1;) {
		const size_t r = p / width, a = p - r * width, b = min_z(width, a + (p1 - p));

		take_row(w, &t, input_row(w, &t, r, x), a, b, col + (p - p0));
		p += b - a;
	}
}

ONX_CLONES
static void give_tap(const struct onx_window *w, size_t k, size_t p0, size_t p1, const real *col, real *x)
{
	const struct tap t = tap_of(w, k);
	const size_t width = w->out[2];

	for (size_t p = p0; p < p1;) {
		const size_t r = p / width, a = p - r * width, b = min_z(width, a + (p1 - p));
		const real *row = input_row(w, &t, r, x);

		if (row)
			give_row(w, &t, col + (p - p0), a, b, x + (row - x));
		p += b - a;
	}
}

void onx_im2col(const struct onx_window *w, size_t channels, size_t p0, size_t p1, const real *x,
		real *col, size_t ld)
{
	for (size_t c = 0; c < channels; c++)
		for (size_t k = 0; k < w->kern_n; k++)
			take_tap(w, k, p0, p1, x + c * w->in_n, col + (c * w->kern_n + k) * ld);
}

void onx_col2im_add(const struct onx_window *w, size_t channels, size_t p0, size_t p1, const real *col,
		    size_t ld, real *x)
{
	for (size_t c = 0; c < channels; c++)
		for (size_t k = 0; k < w->kern_n; k++)
			give_tap(w, k, p0, p1, col + (c * w->kern_n + k) * ld, x + c * w->in_n);
}
