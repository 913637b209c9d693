/* op/remap.h -- movement where each axis of the result has a list of places to read (walk.h: where it has strides).
 * Nothing here allocates or fails; every place must have been checked.  Work is cut by size. */
#ifndef ONX_REMAP_H
#define ONX_REMAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "tensor/tensor.h"

#define onx_remap_copy ONX_R(onx_remap_copy)
#define onx_remap_back ONX_R(onx_remap_back)

/* Result element (i0, ..., ik) reads from[at[0][i0] + ... + at[k][ik]], or gives `fill` where one of
 * the entries is negative.  at[] already holds index times stride. */
struct onx_remap {
	int rank;
	int64_t dim[ONX_RANK];
	const int64_t *at[ONX_RANK];
};
void onx_remap_copy(const struct onx_remap *m, void *to, const void *from, const void *fill, size_t width,
		    struct onx_pool *p);
/* dfrom[...] += dto[...] (dfrom holds numbers already). */
void onx_remap_back(const struct onx_remap *m, real *dfrom, const real *dto, struct onx_pool *p);

#endif
