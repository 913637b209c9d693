/* op/taps.c -- see taps.h. */
#include "op/taps.h"
#include <string.h>
#include "kernel/cpu.h"

bool onx_coordinate(const struct onx_axis_map *m, int64_t j, double *out)
{
	const double x = (double)j, in = (double)m->n_in, s = m->scale;
	const double width = m->by_size ? (double)m->n_out : s * in;
	double v = (x + 0.5) / s - 0.5;

	switch (m->coord) {
	case ONX_HALF_PIXEL:
		break;
	case ONX_HALF_PIXEL_SYMMETRIC:
		v += in / 2 * (1 - (double)m->n_out / width);
		break;
	case ONX_PYTORCH_HALF_PIXEL:
		v = m->n_out == 1 ? 0 : v;
		break;
	case ONX_ALIGN_CORNERS:
		v = m->n_out == 1 ? 0 : x * (in - 1) / (width - 1);
		break;
	case ONX_ASYMMETRIC:
		v = x / s;
		break;
	case ONX_TF_CROP_AND_RESIZE:
		v = m->n_out == 1 ? (m->roi0 + m->roi1) * (in - 1) / 2
				  : m->roi0 * (in - 1) +
				    x * (m->roi1 - m->roi0) * (in - 1) / ((double)m->n_out - 1);
		break;
	case ONX_TF_HALF_PIXEL_FOR_NN:
		v = (x + 0.5) / s;
		break;
	}
	/* Scales are floats in a file (1/3 as 0.33333334): what would be a whole or half place but for
	 * that is one. */
	const double snap = nearbyint(2 * v) / 2;
	if (fabs(v - snap) <= 1e-6 * fmax(1, fabs(v)))
		v = snap;
	*out = v;
	return m->coord != ONX_TF_CROP_AND_RESIZE || (v >= 0 && v <= in - 1);
}

int64_t onx_nearest_at(const struct onx_axis_map *m, enum onx_near mode, double x)
{
	double v = floor(x);

	if (mode == ONX_ROUND_PREFER_FLOOR)
		v = ceil(x - 0.5);
	else if (mode == ONX_ROUND_PREFER_CEIL)
		v = floor(x + 0.5);
	else if (mode == ONX_NEAR_CEIL || (mode == ONX_NEAR_SIMPLE && m->scale < 1))
		v = ceil(x);
	return v <= 0 ? 0 : v >= (double)(m->n_in - 1) ? m->n_in - 1 : (int64_t)v;
}

/* Keys' cubic: 1 at 0, 0 at 1 and 2, slope `a` at 1. */
static double cubic_at(double x, double a)
{
	x = fabs(x);
	if (x <= 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double linear_at(double x)
{
	return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Weights of the places first, first+1, ... around x; with antialias the kernel is stretched by 1/scale. */
static void weigh(struct onx_taps *t, int64_t j, double x, int64_t first, bool cubic, double a, double stretch,
		  bool exclude)
{
	int64_t *at = t->at + j * t->n_tap;
	double *w = t->w + j * t->n_tap, sum = 0;

	for (int64_t k = 0; k < t->n_tap; k++) {
		const int64_t i = first + k;
		const double d = stretch * ((double)i - x);

		w[k] = cubic ? cubic_at(d, a) : linear_at(d);
		if (exclude && (i < 0 || i >= t->n_in))
			w[k] = 0;
		at[k] = i < 0 ? 0 : i >= t->n_in ? t->n_in - 1 : i;
		sum += w[k];
	}
	for (int64_t k = 0; (exclude || stretch < 1) && sum != 0 && k < t->n_tap; k++)
		w[k] /= sum;
}

bool onx_taps_make(const struct onx_axis_map *m, bool cubic, double a, bool exclude_outside, bool antialias,
		   struct onx_arena *mem, struct onx_taps *t)
{
	const double stretch = antialias && m->scale < 1 ? m->scale : 1;
	const int64_t left = (int64_t)floor((cubic ? -2 : -1) / stretch) + 1;

	*t = (struct onx_taps){ .n_in = m->n_in, .n_out = m->n_out, .n_tap = 2 - 2 * left };
	t->at = ONX_NEWS(mem, int64_t, (size_t)(m->n_out * t->n_tap) + 1);
	t->w = ONX_NEWS(mem, double, (size_t)(m->n_out * t->n_tap) + 1);
	if (!t->at || !t->w)
		return false;
	if (t->n_in <= INT32_MAX) {
		t->along = ONX_NEWS(mem, int32_t, (size_t)(m->n_out * t->n_tap) + 1);
		t->weight = ONX_NEWS(mem, double, (size_t)(m->n_out * t->n_tap) + 1);
		t->weight_f = ONX_NEWS(mem, float, (size_t)(m->n_out * t->n_tap) + 1);
		if (!t->along || !t->weight || !t->weight_f)
			return false;
	}
	for (int64_t j = 0; j < m->n_out; j++) {
		double x;

		if (onx_coordinate(m, j, &x))
			weigh(t, j, x, (int64_t)ceil(x) - 1 + left, cubic, a, stretch, exclude_outside);
		for (int64_t k = 0; t->along && k < t->n_tap; k++) {
			const int64_t q = k * t->n_out + j;

			t->along[q] = (int32_t)t->at[j * t->n_tap + k];
			t->weight[q] = t->w[j * t->n_tap + k];
			t->weight_f[q] = (float)t->weight[q];
		}
	}
	return true;
}

struct job { const struct onx_taps *t; size_t outer, inner, grain; const real *from; real *to; bool add; };

/* What a tap of weight 0 reads does not count, NaN or not. */
ONX_INLINE real term(real w, real x)
{
	return w != 0 ? w * x : 0;
}

/* y (=|+=) up to four rows by their weights, none of which is 0. */
ONX_CLONES
static void add_rows(const real *const *row, const real *w, size_t k, bool first, size_t n, real *restrict y)
{
	const real *a = row[0], *b = row[1], *c = row[2], *d = row[3];

	if (k == 4)
		for (size_t i = 0; i < n; i++)
			y[i] = (first ? 0 : y[i]) + w[0] * a[i] + w[1] * b[i] + w[2] * c[i] + w[3] * d[i];
	else if (k == 3)
		for (size_t i = 0; i < n; i++)
			y[i] = (first ? 0 : y[i]) + w[0] * a[i] + w[1] * b[i] + w[2] * c[i];
	else if (k == 2)
		for (size_t i = 0; i < n; i++)
			y[i] = (first ? 0 : y[i]) + w[0] * a[i] + w[1] * b[i];
	else if (k == 1)
		for (size_t i = 0; i < n; i++)
			y[i] = (first ? 0 : y[i]) + w[0] * a[i];
	else
		for (size_t i = 0; first && i < n; i++)
			y[i] = 0;
}

/* Row j of the result, whose elements lie side by side. */
static void across(const struct onx_taps *t, size_t j, const real *x, size_t n, real *y)
{
	const real *row[4] = { 0 };
	real w[4] = { 0 };
	size_t k = 0;
	bool first = true;

	for (size_t q = j * (size_t)t->n_tap; q < (j + 1) * (size_t)t->n_tap; q++) {
		if ((real)t->w[q] == 0)
			continue;
		if (k == 4) {
			add_rows(row, w, k, first, n, y);
			first = false;
			k = 0;
		}
		w[k] = (real)t->w[q];
		row[k++] = x + (size_t)t->at[q] * n;
	}
	add_rows(row, w, k, first, n, y);
}

static const real *weights(const struct onx_taps *t)
{
#ifdef ONX_F64
	return t->weight;
#else
	return t->weight_f;
#endif
}

/* Elements [lo, hi) of a row along the axis. */
ONX_CLONES
static void along(const struct onx_taps *t, const real *w, const real *restrict x, size_t lo, size_t hi,
		  real *restrict y)
{
	const size_t n = (size_t)t->n_out;
	const int32_t *const at = t->along;

	for (size_t k = 0; k + 2 <= (size_t)t->n_tap; k += 2) {
		const int32_t *a = at + k * n, *b = a + n;
		const real *u = w + k * n, *v = u + n;

		if (k == 0)
			for (size_t j = lo; j < hi; j++)
				y[j] = term(u[j], x[a[j]]) + term(v[j], x[b[j]]);
		else
			for (size_t j = lo; j < hi; j++)
				y[j] += term(u[j], x[a[j]]) + term(v[j], x[b[j]]);
	}
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_taps *t = j->t;
	const size_t n = j->inner, out = (size_t)t->n_out;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->outer * out, j->grain, piece, &lo, &hi);
	for (size_t r = lo, end; r < hi; r = end) {
		const real *x = j->from + r / out * (size_t)t->n_in * n;

		end = n == 1 && t->along ? (r / out + 1) * out : r + 1;
		end = end < hi ? end : hi;
		if (n == 1 && t->along)
			along(t, weights(t), x, r % out, r % out + (end - r), j->to + r / out * out);
		else
			across(t, r % out, x, n, j->to + r * n);
	}
}

void onx_taps_forward(const struct onx_taps *t, size_t outer, size_t inner, const real *x, real *y,
		      struct onx_pool *p)
{
	struct job j = { t, outer, inner, 8192 / (inner * (size_t)t->n_tap + 1) + 1, x, y, false };

	onx_parallel(p, onx_pieces(outer * (size_t)t->n_out, j.grain), forward_piece, &j);
}

ONX_CLONES
static void add_row(real w, const real *restrict from, size_t n, real *restrict to)
{
	for (size_t i = 0; i < n; i++)
		to[i] += w * from[i];
}

static void back_along(const struct onx_taps *t, const real *dy, real *dx)
{
	const size_t n = (size_t)t->n_out;
	const real *w = weights(t);

	for (size_t j = 0; j < n; j++)
		for (size_t q = j; q < n * (size_t)t->n_tap; q += n)
			dx[t->along[q]] += term(w[q], dy[j]);
}

static void backward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_taps *t = j->t;
	const size_t n = j->inner;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->outer, j->grain, piece, &lo, &hi);
	for (size_t o = lo; o < hi; o++) {
		real *dx = j->to + o * (size_t)t->n_in * n;
		const real *dy = j->from + o * (size_t)t->n_out * n;

		if (!j->add)
			memset(dx, 0, (size_t)t->n_in * n * sizeof *dx);
		if (n == 1 && t->along) {
			back_along(t, dy, dx);
			continue;
		}
		for (size_t q = 0; q < (size_t)(t->n_out * t->n_tap); q++)
			if ((real)t->w[q] != 0)
				add_row((real)t->w[q], dy + q / (size_t)t->n_tap * n, n, dx + (size_t)t->at[q] * n);
	}
}

void onx_taps_backward(const struct onx_taps *t, size_t outer, size_t inner, real *dx, const real *dy,
		       bool add, struct onx_pool *p)
{
	struct job j = { t, outer, inner, 8192 / (inner * (size_t)(t->n_out * t->n_tap) + 1) + 1, dy, dx, add };

	onx_parallel(p, onx_pieces(outer, j.grain), backward_piece, &j);
}
