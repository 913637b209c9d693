/* kernel/norm_last.h -- batch normalisation with channels last, an activation fused in.
 *
 *     x, y, z  [rows][c]        y = f((x - mean) * inv * scale + bias + z)
 *
 * Everything runs over flat memory: the rows are taken k at a time, k so that k * c is some hundred numbers,
 * and the parameters stand k times in a row.  Statistics and sums are taken in double, by pieces cut by
 * size, added in order: the bits do not depend on the number of threads.
 *
 * Backward keeps x and two numbers a channel.  It passes over memory twice: with g = dy f', first the sums of
 * g and g * xhat by channel (xhat = (x - mean) * inv), then
 *     dx = scale * inv * (g - (sum g + xhat * sum g xhat) / rows)    statistics of this batch
 *     dx = scale * inv * g                                          fixed statistics
 * (Ioffe and Szegedy 2015, section 3, simplified).  f' is computed anew from x in both passes where that is
 * cheap; else (exp, tanh, or a z) the first pass leaves g in dy. */
#ifndef ONX_NORM_LAST_H
#define ONX_NORM_LAST_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/last_norm.h"

struct onx_bn_last { size_t rows, c; struct onx_fuse f; };

#define onx_bn_last_scratch ONX_R(onx_bn_last_scratch)
#define onx_bn_last_stats ONX_R(onx_bn_last_stats)
#define onx_bn_last_apply ONX_R(onx_bn_last_apply)
#define onx_bn_last_backward ONX_R(onx_bn_last_backward)

size_t onx_bn_last_scratch(const struct onx_bn_last *g);        /* bytes, for each of the following */

/* Mean and population variance of each channel, in one pass: sums of x - s and of its square, s the first
 * row, so that little cancels. */
void onx_bn_last_stats(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, real *mean, real *var,
		       void *scratch);
/* z may be NULL (0). */
void onx_bn_last_apply(struct onx_pool *pool, const struct onx_bn_last *g, const real *x, const real *mean,
		       const real *inv, const real *scale, const real *bias, const real *z, real *y, void *scratch);

struct ONX_R(onx_bn_last_grad) {
	const real *x, *mean, *inv, *scale, *bias;
	const real *y;                  /* NULL: f' from x and bias, any f; else from y: f with a slope in y */
	real *dy;                       /* overwritten                                                  */
	bool ready;                     /* dy is g, and sum holds its sums (onx_bn_last_masked)         */
	bool batch, sums;               /* statistics of this batch; are the sums wanted in any case?    */
	real *dx, *dz;                  /* each may be NULL; one of them may be dy                       */
	bool add_x, add_z;
};
/* sum [2][c]: sum of g, then of g * xhat; filled with `batch` or `sums` unless `ready`. */
void onx_bn_last_backward(struct onx_pool *pool, const struct onx_bn_last *g, const struct ONX_R(onx_bn_last_grad) *t,
			  double *sum, void *scratch);

/* ---- norm_last_runs.c: run by run as a convolution's results come (last_norm.h) ---- */

/* The first of the two passes of backward. */
struct ONX_R(onx_bn_last_runs) {
	struct ONX_R(onx_last_norm) norm;
	size_t c;
	const real *x;
	real *g;                        /* NULL: not wanted                                             */
	bool scaled;                    /* a * g is stored: with statistics that are given that is dx   */
	bool far;                       /* it is stored past the caches (far.h)                         */
	double *part;                   /* [pieces][2][c], zero before the first run                    */
};
#define onx_bn_last_masked ONX_R(onx_bn_last_masked)
#define onx_bn_last_runs_fold ONX_R(onx_bn_last_runs_fold)
/* ONX_R(onx_last_after).run: g = dy f', its sums by channel with 1 and with x - m. */
void onx_bn_last_masked(void *runs, const struct ONX_R(onx_last_run) *r);
/* sum [2][c] as onx_bn_last_backward has it. */
void onx_bn_last_runs_fold(struct onx_pool *pool, const struct ONX_R(onx_bn_last_runs) *runs, size_t pieces,
			   const real *inv, double *sum);

/* Mean and population variance of y by channel as it comes out of a convolution, and y stored. */
struct ONX_R(onx_bn_last_moments) {
	size_t c;
	real *y;
	bool far;
	double *part;                   /* [pieces][3][c]: how many, mean, sum of squares about it; zero at first */
};
#define onx_bn_last_gather ONX_R(onx_bn_last_gather)
#define onx_bn_last_moments_fold ONX_R(onx_bn_last_moments_fold)
#define onx_bn_last_zero ONX_R(onx_bn_last_zero)
void onx_bn_last_gather(void *moments, const struct ONX_R(onx_last_run) *r);            /* ONX_R(onx_last_after).run */
void onx_bn_last_moments_fold(struct onx_pool *pool, const struct ONX_R(onx_bn_last_moments) *t, size_t pieces,
			      real *mean, real *var);       /* each may be NULL */
/* part [n] = 0 */
void onx_bn_last_zero(struct onx_pool *pool, double *part, size_t n);

#endif
