/* kernel/conv.h -- convolution in one to three dimensions, forward and both gradients.
 *
 *     x  [n][groups][c][in]      y  [n][groups][m][out]      w  [groups][m][c][kern]     b  [groups*m]
 *     y[n,g,m,o] = b[g,m] + sum over c,k of w[g,m,c,k] * x[n,g,c, o*stride + k*dil - pad]
 *
 * (ONNX Conv; c and m count channels of ONE group).  A transposed convolution is the data gradient
 * of the convolution with x and y exchanged.  Each of four ways offers the same functions:
 *
 *     gemm       im2col tiles and matrix products; where the window is 1x1 with stride 1 and no padding the
 *                input itself is the matrix (onx_conv_pointwise)
 *     packed     our own micro-kernel on panels packed straight from the image; its wgrad is gemm's
 *     depthwise  c == 1: direct loops along the rows
 *     ref        the formula, sums in double
 *
 * Work is cut by size, every sum has one order: the bits do not depend on the number of threads.
 * Scratch sizes are in bytes for the given number of threads; 64-byte aligned memory is expected. */
#ifndef ONX_CONV_H
#define ONX_CONV_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "kernel/window.h"

struct onx_conv_geo {
	size_t n, groups, c, m;
	struct onx_window w;
};

/* b may be NULL.  With `add` the result is added to what y, dx, dw hold; else they are not read. */
typedef void ONX_R(onx_conv_forward_fn)(struct onx_pool *pool, const struct onx_conv_geo *g,
	const real *x, const real *w, const real *b, real *y, bool add, void *scratch);
typedef void ONX_R(onx_conv_dgrad_fn)(struct onx_pool *pool, const struct onx_conv_geo *g,
	const real *w, const real *dy, real *dx, bool add, void *scratch);
typedef void ONX_R(onx_conv_wgrad_fn)(struct onx_pool *pool, const struct onx_conv_geo *g,
	const real *x, const real *dy, real *dw, bool add, void *scratch);

#define onx_conv_gemm_forward ONX_R(onx_conv_gemm_forward)
#define onx_conv_gemm_dgrad ONX_R(onx_conv_gemm_dgrad)
#define onx_conv_gemm_wgrad ONX_R(onx_conv_gemm_wgrad)
#define onx_conv_gemm_forward_scratch ONX_R(onx_conv_gemm_forward_scratch)
#define onx_conv_gemm_dgrad_scratch ONX_R(onx_conv_gemm_dgrad_scratch)
#define onx_conv_gemm_wgrad_scratch ONX_R(onx_conv_gemm_wgrad_scratch)
#define onx_conv_packed_forward ONX_R(onx_conv_packed_forward)
#define onx_conv_packed_dgrad ONX_R(onx_conv_packed_dgrad)
#define onx_conv_packed_forward_scratch ONX_R(onx_conv_packed_forward_scratch)
#define onx_conv_packed_dgrad_scratch ONX_R(onx_conv_packed_dgrad_scratch)
#define onx_conv_dw_forward ONX_R(onx_conv_dw_forward)
#define onx_conv_dw_dgrad ONX_R(onx_conv_dw_dgrad)
#define onx_conv_dw_wgrad ONX_R(onx_conv_dw_wgrad)
#define onx_conv_ref_forward ONX_R(onx_conv_ref_forward)
#define onx_conv_ref_dgrad ONX_R(onx_conv_ref_dgrad)
#define onx_conv_ref_wgrad ONX_R(onx_conv_ref_wgrad)
#define onx_conv_bias ONX_R(onx_conv_bias)
#define onx_conv_bgrad ONX_R(onx_conv_bgrad)

/* Is the input itself the matrix?  Then forward and wgrad need no im2col, dgrad no col2im. */
static inline bool onx_conv_pointwise(const struct onx_conv_geo *g)
{
	for (int d = 0; d < 3; d++)
		if (g->w.kern[d] != 1 || g->w.stride[d] != 1 || g->w.pad[d] != 0 ||
		    g->w.in[d] != g->w.out[d])
			return false;
	return true;
}

ONX_R(onx_conv_forward_fn) onx_conv_gemm_forward, onx_conv_packed_forward, onx_conv_dw_forward, onx_conv_ref_forward;
ONX_R(onx_conv_dgrad_fn) onx_conv_gemm_dgrad, onx_conv_packed_dgrad, onx_conv_dw_dgrad, onx_conv_ref_dgrad;
ONX_R(onx_conv_wgrad_fn) onx_conv_gemm_wgrad, onx_conv_dw_wgrad, onx_conv_ref_wgrad;

/* The depthwise and reference ways need no scratch. */
size_t onx_conv_gemm_forward_scratch(const struct onx_conv_geo *g, int threads);
size_t onx_conv_gemm_dgrad_scratch(const struct onx_conv_geo *g, int threads);
size_t onx_conv_gemm_wgrad_scratch(const struct onx_conv_geo *g, int threads);
size_t onx_conv_packed_forward_scratch(const struct onx_conv_geo *g, int threads);
size_t onx_conv_packed_dgrad_scratch(const struct onx_conv_geo *g, int threads);

/* y[n,ch,p] += b[ch], and its gradient db[ch] = sum over n,p of dy[n,ch,p] (in double). */
void onx_conv_bias(struct onx_pool *pool, size_t n, size_t ch, size_t p, const real *b, real *y);
void onx_conv_bgrad(struct onx_pool *pool, size_t n, size_t ch, size_t p, const real *dy, real *db,
		    bool add);

#endif
