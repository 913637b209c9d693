/* kernel/tiny.h -- matrix products so small that packing, cutting and asking who does them costs more than they do.
 *
 *     C = alpha op(A) op(B) (+ C)                     as in gemm.h, in the calling thread
 *
 * Rotations of points, 4 x 4 transforms, heads of a few numbers: thousands of them follow one another in a batch.  Each
 * element is one sum of at most ONX_TINY terms, from zero. */
#ifndef ONX_TINY_H
#define ONX_TINY_H
#include "kernel/gemm.h"

enum { ONX_TINY = 16, ONX_TINY_WORK = 1024 };   /* the longest side; the most multiply-adds */

#define onx_tiny ONX_R(onx_tiny)

static inline bool onx_is_tiny(const struct onx_mat *g)
{
	return g->m <= ONX_TINY && g->n <= ONX_TINY && g->k <= ONX_TINY && g->m * g->n * g->k <= ONX_TINY_WORK;
}

void onx_tiny(const struct onx_mat *g, real alpha, const real *a, const real *b, bool add, real *c);

#endif
