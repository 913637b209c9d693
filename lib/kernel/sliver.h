/* kernel/sliver.h -- matrix products of a few rows or a few columns, in the calling thread.
 *
 *     C = alpha op(A) op(B) (+ C)                     as in gemm.h
 *
 * A product with a vector reads each number of the long matrix once or a few times, so it is as fast as memory is, and
 * copying panels (blocked.h) would only be in the way.  The few rows, or columns, are copied; the long matrix is read
 * where it lies: by runs of its columns, or, where it is stored the other way round, as products of its rows.
 * Each element is summed in blocks of ONX_SLIVER_DEPTH terms, from zero (README.md). */
#ifndef ONX_SLIVER_H
#define ONX_SLIVER_H
#include "kernel/gemm.h"

enum { ONX_SLIVER = 4, ONX_SLIVER_DEPTH = 128 };

#define onx_sliver ONX_R(onx_sliver)

/* Fewer rows or columns than these: too few for the tiles of blocked.h. */
static inline bool onx_is_sliver(const struct onx_mat *g)
{
	return g->m < ONX_SLIVER || g->n < ONX_SLIVER;
}
/* For onx_is_sliver alone. */
void onx_sliver(const struct onx_mat *g, real alpha, const real *a, const real *b, bool add, real *c);

#endif
