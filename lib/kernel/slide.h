/* kernel/slide.h -- which input positions an output position meets, per dimension and for one set of taps.
 *
 *     y[first + o * step] = sum over taps t of w[kern0 + t * kern_step] * x[o * mul + base + t * inc]
 *
 * for 0 <= o < grid; positions of x outside [0, src) count as 0.  A convolution forward is one such sum.  Its data
 * gradient is one for each phase: the positions of x with one remainder modulo the strides meet the same taps. */
#ifndef ONX_SLIDE_H
#define ONX_SLIDE_H
#include <stdbool.h>
#include "kernel/window.h"

struct onx_slide {
	size_t grid[3], dst[3], first[3], step[3];
	size_t src[3], taps[3];
	size_t kern[3], kern0[3], kern_step[3];
	int64_t mul[3], base[3], inc[3];
};

enum { ONX_SLIDE_PHASES = 1024 };       /* more than these are not worth it */

static inline void onx_slide_forward(const struct onx_window *w, struct onx_slide *s)
{
	for (int d = 0; d < 3; d++) {
		s->grid[d] = s->dst[d] = w->out[d];
		s->first[d] = s->kern0[d] = 0;
		s->step[d] = s->kern_step[d] = 1;
		s->src[d] = w->in[d];
		s->taps[d] = s->kern[d] = w->kern[d];
		s->mul[d] = w->stride[d];
		s->base[d] = -w->pad[d];
		s->inc[d] = w->dil[d];
	}
}

/* Phases of one dimension; those behind the end of x are left out. */
static inline size_t onx_slide_phases_of(const struct onx_window *w, int d)
{
	return (size_t)w->stride[d] < w->in[d] ? (size_t)w->stride[d] : w->in[d] ? w->in[d] : 1;
}

/* All phases; ONX_SLIDE_PHASES + 1 where there are more. */
static inline size_t onx_slide_phases(const struct onx_window *w)
{
	size_t all = 1;

	for (int d = 0; d < 3; d++) {
		const size_t n = onx_slide_phases_of(w, d);

		if (n > ONX_SLIDE_PHASES || all * n > ONX_SLIDE_PHASES)
			return ONX_SLIDE_PHASES + 1;
		all *= n;
	}
	return all;
}

/* Dimension d of the positions i = a + stride * o: tap k reads y's gradient at (i + pad - k dil) / stride where
 * that is whole, which it is for each kern_step-th tap from kern0 on, or for none. */
static inline void onx_slide_phase_of(const struct onx_window *w, int d, size_t a, struct onx_slide *s)
{
	const int64_t stride = w->stride[d], dil = w->dil[d], at = (int64_t)a + w->pad[d];
	int64_t gcd = stride, r = dil;
	size_t k0 = 0;

	for (int64_t left; r; r = left) {
		left = gcd % r;
		gcd = r;
	}
	while (k0 < w->kern[d] && (at - (int64_t)k0 * dil) % stride != 0)
		k0++;
	const size_t step = (size_t)(stride / gcd);

	s->grid[d] = a < w->in[d] ? (w->in[d] - a - 1) / (size_t)stride + 1 : 0;
	s->dst[d] = w->in[d];
	s->first[d] = a;
	s->step[d] = (size_t)stride;
	s->src[d] = w->out[d];
	s->taps[d] = k0 < w->kern[d] ? (w->kern[d] - 1 - k0) / step + 1 : 0;
	s->kern[d] = w->kern[d];
	s->kern0[d] = k0;
	s->kern_step[d] = step;
	s->mul[d] = 1;
	s->base[d] = (at - (int64_t)k0 * dil) / stride;
	s->inc[d] = -((int64_t)step * dil / stride);
}

static inline void onx_slide_phase(const struct onx_window *w, size_t index, struct onx_slide *s)
{
	for (int d = 2; d >= 0; d--) {
		const size_t n = onx_slide_phases_of(w, d);

		onx_slide_phase_of(w, d, index % n, s);
		index /= n;
	}
}

static inline int64_t onx_slide_at(const struct onx_slide *s, int d, size_t o, size_t t)
{
	return (int64_t)o * s->mul[d] + s->base[d] + (int64_t)t * s->inc[d];
}

static inline bool onx_slide_in(const struct onx_slide *s, int d, size_t o, size_t t)
{
	const int64_t i = onx_slide_at(s, d, o, t);

	return i >= 0 && i < (int64_t)s->src[d];
}

/* Taps [*lo, *hi) of dimension d that output position o meets inside x. */
static inline void onx_slide_taps(const struct onx_slide *s, int d, size_t o, size_t *lo, size_t *hi)
{
	*lo = 0;
	*hi = s->taps[d];
	while (*lo < *hi && !onx_slide_in(s, d, o, *lo))
		++*lo;
	while (*hi > *lo && !onx_slide_in(s, d, o, *hi - 1))
		--*hi;
}

/* The tap's row-major index in the window. */
static inline size_t onx_slide_tap(const struct onx_slide *s, const size_t *t)
{
	size_t k = 0;

	for (int d = 0; d < 3; d++)
		k = k * s->kern[d] + s->kern0[d] + t[d] * s->kern_step[d];
	return k;
}

#endif
