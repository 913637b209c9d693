/* kernel/last_dense.h -- a convolution with channels last as gathered products (gather.h), for an instruction set. */
#ifndef ONX_LAST_DENSE_H
#define ONX_LAST_DENSE_H
#include "kernel/gather.h"

#define onx_last_dense_forward_of ONX_R(onx_last_dense_forward_of)
#define onx_last_dense_scaled_of ONX_R(onx_last_dense_scaled_of)
#define onx_last_dense_data_of ONX_R(onx_last_dense_data_of)
#define onx_last_dense_data_scratch ONX_R(onx_last_dense_data_scratch)
#define onx_last_dense_data ONX_R(onx_last_dense_data)
#define onx_last_dense_weights_scratch ONX_R(onx_last_dense_weights_scratch)
#define onx_last_dense_weights ONX_R(onx_last_dense_weights)

void onx_last_dense_forward_of(const struct onx_conv_geo *g, enum onx_isa isa, struct ONX_R(onx_gather) *p);
/* A pointwise one of x * scale (gather.h); whether there is a scale decides sizes, not where it is. */
void onx_last_dense_scaled_of(const struct onx_conv_geo *g, enum onx_isa isa, const real *scale,
			      struct ONX_R(onx_gather) *p);

/* The gradients as in last.h; scratch in bytes. */
void onx_last_dense_data_of(const struct onx_conv_geo *g, enum onx_isa isa, size_t phase, struct ONX_R(onx_gather) *p);
size_t onx_last_dense_data_scratch(const struct onx_conv_geo *g, enum onx_isa isa, int threads);
void onx_last_dense_data(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa, const real *w,
			 const real *dy, real *dx, bool add, void *scratch);
/* norm and shift: NULL, or of a pointwise convolution what x and dy go through first (last_norm.h). */
size_t onx_last_dense_weights_scratch(const struct onx_conv_geo *g, enum onx_isa isa,
				      const struct ONX_R(onx_last_norm) *norm,
				      const struct ONX_R(onx_last_shift) *shift, int threads);
void onx_last_dense_weights(struct onx_pool *pool, const struct onx_conv_geo *g, enum onx_isa isa,
			    const struct ONX_R(onx_last_norm) *norm, const real *x, const real *dy,
			    const struct ONX_R(onx_last_shift) *shift, real *dw, bool add, void *scratch);

#endif
