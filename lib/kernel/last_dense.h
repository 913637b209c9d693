/* kernel/last_dense.h -- a convolution with channels last as gathered products (gather.h), for an instruction set. */
#ifndef ONX_LAST_DENSE_H
#define ONX_LAST_DENSE_H
#include "kernel/gather.h"

#define onx_last_dense_forward_of ONX_R(onx_last_dense_forward_of)
void onx_last_dense_forward_of(const struct onx_conv_geo *g, enum onx_isa isa, struct ONX_R(onx_gather) *p);

#endif
