/* kernel/pooling.h -- pooling over sliding windows of planes: x [planes][in], y [planes][out]. */
#ifndef ONX_POOLING_H
#define ONX_POOLING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "kernel/window.h"

#define onx_maxpool_forward ONX_R(onx_maxpool_forward)
#define onx_maxpool_backward ONX_R(onx_maxpool_backward)
#define onx_maxpool_bytes ONX_R(onx_maxpool_bytes)
#define onx_maxruns_fits ONX_R(onx_maxruns_fits)
#define onx_maxruns_scratch ONX_R(onx_maxruns_scratch)
#define onx_maxruns_forward ONX_R(onx_maxruns_forward)
#define onx_avgpool_forward ONX_R(onx_avgpool_forward)
#define onx_avgpool_backward ONX_R(onx_avgpool_backward)
#define onx_lppool_forward ONX_R(onx_lppool_forward)
#define onx_lppool_backward ONX_R(onx_lppool_backward)

/* y = max over the window; at: where it was in the plane (row-major).  Of equal elements the first wins,
 * NaN wins over numbers (as PyTorch).  A window that sees only padding: -infinity, at = -1. */
void onx_maxpool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, const real *x,
			 real *y, int32_t *at);
/* dx[at] += dy */
void onx_maxpool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, const real *dy,
			  const int32_t *at, real *dx, bool add);
/* The same on bytes: int8 (is_signed) or uint8. */
void onx_maxpool_bytes(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool is_signed,
		       const void *x, void *y, int32_t *at);

/* ---- pooling_max.c ---- */

enum onx_pool_kind { ONX_POOL_REAL, ONX_POOL_UINT8, ONX_POOL_INT8 };
/* The same maxima and places by runs of elements, whatever the type; at NULL: nobody asks where.  fits: padding does
 * not swell a plane beyond reason.  scratch: bytes, 64-byte aligned. */
bool onx_maxruns_fits(const struct onx_window *w);
size_t onx_maxruns_scratch(const struct onx_window *w, enum onx_pool_kind kind, bool where, int threads);
void onx_maxruns_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, enum onx_pool_kind kind,
			 const void *x, void *y, int32_t *at, void *scratch);

/* ---- pooling_avg.c ---- */

/* y = sum over the window / count; count: taps inside the input, or with `count_pad` those inside the
 * padded input. */
void onx_avgpool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			 const real *x, real *y);
void onx_avgpool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, bool count_pad,
			  const real *dy, real *dx, bool add);

/* ---- pooling_lp.c ---- */

/* y = (sum over the window of |x|^p)^(1/p);  dx = dy * sign(x) |x|^(p-1) / y^(p-1), 0 where y is 0. */
void onx_lppool_forward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			const real *x, real *y);
void onx_lppool_backward(struct onx_pool *pool, const struct onx_window *w, size_t planes, double p,
			 const real *x, const real *y, const real *dy, real *dx, bool add);

#endif
