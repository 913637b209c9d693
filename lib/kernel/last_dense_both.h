/* kernel/last_dense_both.h -- both gradients of a pointwise convolution behind a normalization in one pass over its
 * tensors (last_norm.h). */
#ifndef ONX_LAST_DENSE_BOTH_H
#define ONX_LAST_DENSE_BOTH_H
#include "kernel/last_norm.h"

#define onx_dense_both_fits ONX_R(onx_dense_both_fits)
#define onx_dense_both_pieces ONX_R(onx_dense_both_pieces)
#define onx_dense_both_scratch ONX_R(onx_dense_both_scratch)
#define onx_dense_both ONX_R(onx_dense_both)

/* Of convolutions that onx_last_normed_dense takes: those whose weights are few enough. */
bool onx_dense_both_fits(const struct onx_conv_geo *g);
size_t onx_dense_both_pieces(const struct onx_conv_geo *g);
size_t onx_dense_both_scratch(const struct onx_conv_geo *g, int threads);       /* bytes */
void onx_dense_both(struct onx_pool *pool, const struct onx_conv_geo *g, const struct ONX_R(onx_last_back) *t,
		    void *scratch);

#endif
