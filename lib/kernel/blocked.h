/* kernel/blocked.h -- a matrix product in blocks, by the tiles of tile.h, in the calling thread; C is at least a few rows
 * and columns, else it is a sliver (sliver.h).
 *
 *     C = alpha op(A) op(B) (+ C)                     as in gemm.h
 *
 * A panel of B, at most ONX_BLOCKED_DEPTH rows by the columns of a tile, is copied side by side (and turned, if
 * it is stored transposed); all tiles of a block of rows of A pass along it while it is in the first-level cache.  A is
 * read where it lies: by rows (`gather`), or, stored transposed, as runs of a column (`outer`).  What is gone over
 * again and again, A's rows of the block or C's, is held to what fits the second-level cache.
 * Each element is summed in blocks of ONX_BLOCKED_DEPTH terms, in order, from zero (README.md). */
#ifndef ONX_BLOCKED_H
#define ONX_BLOCKED_H
#include "kernel/cpu.h"
#include "kernel/gemm.h"

enum { ONX_BLOCKED_DEPTH = 128 };

#define onx_blocked ONX_R(onx_blocked)

void onx_blocked(const struct onx_mat *g, enum onx_isa isa, real alpha, const real *a, const real *b, bool add,
		 real *c);

#endif
