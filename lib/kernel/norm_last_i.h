/* kernel/norm_last_i.h -- what the files of batch normalisation with channels last share, and what is made of it while
 * something else goes on (last_norm_i.h). */
#ifndef ONX_NORM_LAST_I_H
#define ONX_NORM_LAST_I_H
#include "kernel/cpu.h"
#include "kernel/norm_last.h"
#include "kernel/stripe.h"

/* Scratch: parameters [5][room], each repeated over a stripe, then parts [piece][2][c]. */
enum { ONX_BN_PARAMS = 5 };

static inline size_t onx_bn_room(const struct onx_stripes *s)
{
	return (s->width + 15) / 16 * 16;
}

static inline real *onx_bn_param(const struct onx_stripes *s, void *scratch, size_t i)
{
	return (real *)scratch + i * onx_bn_room(s);
}

static inline double *onx_bn_parts(const struct onx_stripes *s, void *scratch)
{
	return (double *)onx_bn_param(s, scratch, ONX_BN_PARAMS);
}

/* v [c] repeated over a stripe; with `by` times by [c]. */
static inline const real *onx_bn_spread(const struct onx_stripes *s, const real *v, const real *by, real *to)
{
	for (size_t i = 0, c = 0; i < s->width; i++, c = c + 1 < s->c ? c + 1 : 0)
		to[i] = by ? by[c] * v[c] : v[c];
	return to;
}

/* Relu, Clip, LeakyRelu: f' is 1 between lo and hi, slope outside.  hi = NaN: no upper end (p >= NaN is never
 * true). */
struct onx_bn_band { real lo, hi, slope; };

static inline bool onx_bn_band_of(const struct onx_fuse *f, struct onx_bn_band *b)
{
	b->lo = f->kind == ONX_FUSE_CLIP ? (real)f->a : 0;
	b->hi = f->kind == ONX_FUSE_CLIP ? (real)f->b : (real)NAN;
	b->slope = f->kind == ONX_FUSE_LEAKY ? (real)f->a : 0;
	return f->kind == ONX_FUSE_CLIP || f->kind == ONX_FUSE_RELU || f->kind == ONX_FUSE_LEAKY;
}

/* dy f'(p); f piecewise linear */
ONX_INLINE real onx_bn_inside(const struct onx_bn_band *k, real p, real dy)
{
	return ((p > k->lo) & !(p >= k->hi)) ? dy : k->slope * dy;
}

/* Where forward is onx_bn_banded_row. */
static inline bool onx_bn_banded(const struct onx_fuse *f)
{
	return f->kind == ONX_FUSE_RELU || f->kind == ONX_FUSE_CLIP;
}

/* y = (x - m) * a + b + z, within lo and hi: Relu and Clip in one loop.  z may be NULL (0); y may be x. */
ONX_INLINE void onx_bn_banded_row(const struct onx_bn_band *band, const real *x, const real *m, const real *a,
				  const real *b, const real *z, size_t n, real *y)
{
	const real lo = band->lo, hi = band->hi;

	ONX_ALIKE
	for (size_t i = 0; i < n; i++) {
		const real p = (x[i] - m[i]) * a[i] + b[i] + (z ? z[i] : 0), q = p < lo ? lo : p;

		y[i] = q > hi ? hi : q;
	}
}

#endif
