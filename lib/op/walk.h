/* op/walk.h -- moving elements between two tensors over a common index space.
 *
 * Transpose, Slice, Concat, Expand, Tile and their like differ in nothing but strides: for every index
 * i of a box, to[to0 + i.to] = from[from0 + i.from].  A walk is that box with both sets of strides (in
 * elements); dimensions are given from the outermost inwards and merge where both sides are dense.
 *
 * Copies go by the width of an element, whatever its type (1, 2, 4, 8 or 16 bytes; strings are
 * pointers).  Gradients are `real`.  Nothing here allocates or fails; every index must have been
 * checked.  Work is cut by size, each element is summed in a fixed order, in double. */
#ifndef ONX_WALK_H
#define ONX_WALK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "tensor/tensor.h"

enum { ONX_WALK_RANK = 2 * ONX_RANK + 2 };

struct onx_walk {                       /* zero-initialise */
	int rank;
	int64_t dim[ONX_WALK_RANK], to[ONX_WALK_RANK], from[ONX_WALK_RANK];
	int64_t to0, from0;
};

#define onx_walk_dim ONX_R(onx_walk_dim)
#define onx_walk_copy ONX_R(onx_walk_copy)
#define onx_walk_back ONX_R(onx_walk_back)
#define onx_fill ONX_R(onx_fill)

/* Appends an inner dimension of `dim` steps. */
void onx_walk_dim(struct onx_walk *w, int64_t dim, int64_t to, int64_t from);
/* to[...] = from[...], elements of `width` bytes. */
void onx_walk_copy(const struct onx_walk *w, void *to, const void *from, size_t width, struct onx_pool *p);
/* The gradient of that copy: dfrom[...] (+)= sum of dto[...] over the dimensions with from == 0.
 * Elements of dfrom that the walk does not visit are left alone (zero them first). */
void onx_walk_back(const struct onx_walk *w, real *dfrom, const real *dto, bool add, struct onx_pool *p);

/* n elements of `width` bytes, all equal to *value (NULL: zero bytes). */
void onx_fill(void *to, size_t n, const void *value, size_t width);

/* Row-major strides of a shape, in elements. */
static inline void onx_strides(int rank, const int64_t *dim, int64_t *stride)
{
	uint64_t s = 1;         /* an empty tensor may have dims whose product wraps: nobody uses it */
	for (int i = rank - 1; i >= 0; i--) {
		stride[i] = (int64_t)s;
		s *= (uint64_t)dim[i];
	}
}
/* Product of dim[lo..hi-1]. */
static inline int64_t onx_span(const int64_t *dim, int lo, int hi)
{
	uint64_t n = 1;
	for (int i = lo; i < hi; i++)
		n *= (uint64_t)dim[i];
	return (int64_t)n;
}

#endif
