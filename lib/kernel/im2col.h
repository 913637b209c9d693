/* kernel/im2col.h -- the input of a convolution as a matrix, a tile at a time.
 *     col[(c * kern_n + k) * ld + (p - p0)] = x[c][tap k of output p], 0 where the tap reads padding
 * for channels 0..channels-1 of x and outputs p0..p1-1 (row-major over the three dims). */
#ifndef ONX_IM2COL_H
#define ONX_IM2COL_H
#include "kernel/real.h"
#include "kernel/window.h"

#define onx_im2col ONX_R(onx_im2col)
#define onx_col2im_add ONX_R(onx_col2im_add)

void onx_im2col(const struct onx_window *w, size_t channels, size_t p0, size_t p1, const real *x,
		real *col, size_t ld);
/* The transposed map: x[c][tap k of p] += col[..]; padding is dropped. */
void onx_col2im_add(const struct onx_window *w, size_t channels, size_t p0, size_t p1, const real *col,
		    size_t ld, real *x);

#endif
