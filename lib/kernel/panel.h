/* kernel/panel.h -- columns of the im2col matrix, packed for the micro-kernel: panels of `cols` columns,
 *     to[(q - q0) / cols][k - k0][(q - q0) % cols] = x[n][group][ch][tap of p]
 *     with k = ch * kern_n + tap, q = n * out_n + p
 * for k0 <= k < k1 and q0 <= q < q1; 0 in the padding and in what is left of the last panel.
 * At most ONX_PANELS panels of at most ONX_MICRO_COLS columns at a time. */
#ifndef ONX_PANEL_H
#define ONX_PANEL_H
#include "kernel/conv.h"

enum { ONX_PANELS = 8 };

#define onx_panel_pack ONX_R(onx_panel_pack)
void onx_panel_pack(const struct onx_conv_geo *g, const real *x, size_t group, size_t k0, size_t k1,
		    size_t q0, size_t q1, size_t cols, real *to);

#endif
