/* kernel/norm.h -- normalisation by rows (layer, instance, group, RMS) and by channels (batch).
 * Means and variances are summed in double, two passes; work is cut by size, so the bits do not
 * depend on the number of threads. */
#ifndef ONX_NORM_H
#define ONX_NORM_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"

/* x, y [rows][len]; element i of row r has the parameters number (r % period) * first + i / run:
 * layer norm: period 1, run 1; instance norm: period C, first 1, run len; group norm: period G,
 * first C/G, run = spatial size. */
struct onx_rows {
	size_t rows, len, period, first, run, n_par;
	double eps;
	bool centre;                    /* false: root mean square, nothing is subtracted */
};

#define onx_rows_forward ONX_R(onx_rows_forward)
#define onx_rows_backward ONX_R(onx_rows_backward)
#define onx_rows_scratch ONX_R(onx_rows_scratch)

/* y = (x - mean) * inv * scale + bias with inv = 1 / sqrt(mean of (x - mean)^2 + eps).
 * stat [rows][2]: mean and inv, for backward.  scale and bias may be NULL (1 and 0). */
void onx_rows_forward(struct onx_pool *pool, const struct onx_rows *g, const real *x, const real *scale,
		      const real *bias, real *y, real *stat);
/* Gradients; each of dx, dscale, dbias may be NULL.  dmean and dinv [rows] (or NULL) are gradients
 * of the statistics themselves.  scratch is needed if dscale or dbias is wanted. */
struct onx_rows_grad {
	const real *x, *scale, *dy, *dmean, *dinv, *stat;
	real *dx, *dscale, *dbias;
	bool add_x, add_scale, add_bias;
	void *scratch;
};
void onx_rows_backward(struct onx_pool *pool, const struct onx_rows *g, const struct onx_rows_grad *t);
size_t onx_rows_scratch(const struct onx_rows *g);      /* bytes */

/* x, y [n][c][p]; one mean and variance for each c. */
struct onx_bn { size_t n, c, p; double eps; };

#define onx_bn_apply ONX_R(onx_bn_apply)
#define onx_bn_stats ONX_R(onx_bn_stats)
#define onx_bn_sums ONX_R(onx_bn_sums)
#define onx_bn_dx ONX_R(onx_bn_dx)

/* y = (x - mean) * inv * scale + bias, all by channel. */
void onx_bn_apply(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *mean,
		  const real *inv, const real *scale, const real *bias, real *y);
/* Mean and population variance of each channel. */
void onx_bn_stats(struct onx_pool *pool, const struct onx_bn *g, const real *x, real *mean, real *var);
/* sum [c][2]: sum of dy, and of dy * xhat, where xhat = (x - mean) * inv. */
void onx_bn_sums(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *dy,
		 const real *mean, const real *inv, real *sum);
/* dx (=|+=) scale * inv * dy                                      if sum == NULL: fixed statistics,
 *           scale * inv * (dy - (sum0 + xhat * sum1) / (n p))     else: statistics of this batch
 * (Ioffe and Szegedy 2015, section 3, simplified). */
void onx_bn_dx(struct onx_pool *pool, const struct onx_bn *g, const real *x, const real *dy,
	       const real *mean, const real *inv, const real *scale, const real *sum, real *dx, bool add);

#endif
