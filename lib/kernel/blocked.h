/* kernel/blocked.h -- a matrix product in blocks, by the tiles of tile.h, in the calling thread.  Of a few rows or
 * columns it is a sliver (sliver.h).
 *
 *     C = alpha op(A) op(B) (+ C)                     as in gemm.h
 *
 * B is copied once: blocks of at most ONX_BLOCKED_DEPTH rows and some columns, which fit the second-level cache, as
 * panels as wide as a tile, side by side (and turned, if it is stored transposed).  A block of rows of A passes along
 * a panel, tile by tile, while that is in the first-level cache.  A is read where it lies, or, stored
 * transposed, turned into a copy of the block.
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
