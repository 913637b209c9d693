/* kernel/last_dw.h -- the gradient of the data of a depthwise convolution with channels last; see last.h. */
#ifndef ONX_LAST_DW_H
#define ONX_LAST_DW_H
#include "kernel/last.h"
#include "kernel/slide.h"

#define onx_last_dw_data_scratch ONX_R(onx_last_dw_data_scratch)
#define onx_last_dw_data ONX_R(onx_last_dw_data)
size_t onx_last_dw_data_scratch(const struct onx_conv_geo *g);  /* bytes */
void onx_last_dw_data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		      bool add, void *scratch);

#endif
