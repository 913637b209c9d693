/* kernel/last_norm.h -- convolutions with channels last (last.h) of what a batch normalization makes, without a tensor
 * for it; and what is done with a result while it is still in the cache.
 *
 *     u = (x - m) * a + b by channel        y = conv(f(u))
 *
 * In front: rows of x are normalised as the convolution comes to them, forward and for the gradient of the weights;
 * what the padding adds is zero, not normalised.  Arithmetic in the order of onx_bn_last_apply: the same bits as both
 * steps one after the other.
 *
 * Behind: pixels of a result come in a buffer of the worker, in runs, and `run` stores them.  Which pixels and channels
 * a piece has depends on sizes alone, and each piece is one worker's: sums kept by piece have one order.
 *
 * On the way back: where mean and variance of y are results, too, what they send back reaches each number of y,
 *     dy' = dy + ((y - m) * e + d) by channel        m the mean, e = 2 dvar / rows, d = dmean / rows
 * and is added as rows of dy are read. */
#ifndef ONX_LAST_NORM_H
#define ONX_LAST_NORM_H
#include "kernel/last.h"

struct ONX_R(onx_last_norm) {
	const real *m, *a, *b;          /* [groups * c] */
	struct onx_fuse f;
};

/* Pixels [pixel, pixel + n) of the result, of all images in a row, channels [c0, c1): those of a pixel side by side,
 * pixels `pitch` numbers apart. */
struct ONX_R(onx_last_run) { size_t piece, pixel, n, c0, c1, pitch; const real *y; };
struct ONX_R(onx_last_after) { void (*run)(void *ctx, const struct ONX_R(onx_last_run) *r); void *ctx; };

/* f(u) of n numbers of a pixel, from channel c on.  May be in place. */
#define onx_last_norm_row ONX_R(onx_last_norm_row)
#define onx_last_norm_rows ONX_R(onx_last_norm_rows)
void onx_last_norm_row(const struct ONX_R(onx_last_norm) *p, const real *x, size_t c, size_t n, real *to);
/* The same for pixels `pitch` numbers apart. */
void onx_last_norm_rows(const struct ONX_R(onx_last_norm) *p, const real *x, size_t pitch, size_t c, size_t n,
			size_t rows, real *to, size_t to_pitch);

/* NULL where the mean and the variance of y are not asked for. */
struct ONX_R(onx_last_shift) { const real *y, *m, *e, *d; };    /* y like dy; m, e, d by its channels */

/* dy' of n channels from channel c on of pixels `pitch` apart; the first number of dy is number `at` of y. */
#define onx_last_shift_rows ONX_R(onx_last_shift_rows)
void onx_last_shift_rows(const struct ONX_R(onx_last_shift) *p, const real *dy, size_t at, size_t pitch, size_t c,
			 size_t n, size_t rows, real *to, size_t to_pitch);

/* Both gradients of y = conv(f(u)).  norm, shift: NULL, as above; x, dy: what they change.  dw NULL: none of w.  That
 * with respect to f(u) goes to `after`, or without one to dx; both NULL: none.  add_*: to what dx (without `after`) and
 * dw hold. */
struct ONX_R(onx_last_back) {
	const struct ONX_R(onx_last_norm) *norm;
	const struct ONX_R(onx_last_shift) *shift;
	const struct ONX_R(onx_last_after) *after;
	const real *x, *w, *dy;
	real *dx, *dw;
	bool add_dx, add_dw;
};

/* One way: those that last.h has under the same name, with what stands in front and behind.  norm, after and bias may
 * be NULL: x itself; the result goes to y; none. */
struct ONX_R(onx_last_normed) {
	bool (*fits)(const struct onx_conv_geo *g);
	size_t (*pieces)(const struct onx_conv_geo *g, bool data);      /* of forward, of the data's gradient */
	size_t (*scratch)(const struct onx_conv_geo *g, int threads, bool backward);    /* bytes, whatever is NULL */
	/* w as it stands. */
	void (*forward)(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_norm) *norm,
			const real *x, const real *w, const real *bias, const struct ONX_R(onx_last_after) *after,
			real *y, void *scratch);
	/* Each gradient has the same bits whether the other is wanted or not. */
	void (*backward)(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *t,
			 void *scratch);
};

#define onx_last_normed_dense ONX_R(onx_last_normed_dense)
#define onx_last_normed_depthwise ONX_R(onx_last_normed_depthwise)
extern const struct ONX_R(onx_last_normed) onx_last_normed_dense;       /* pointwise alone: last_dense_*.c    */
extern const struct ONX_R(onx_last_normed) onx_last_normed_depthwise;   /* last_dw_norm.c, last_dw_grad.c     */

#endif
