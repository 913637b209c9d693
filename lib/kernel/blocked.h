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
#define onx_blocked_panels ONX_R(onx_blocked_panels)
#define onx_blocked_pack ONX_R(onx_blocked_pack)
#define onx_blocked_packed ONX_R(onx_blocked_packed)

void onx_blocked(const struct onx_mat *g, enum onx_isa isa, real alpha, const real *a, const real *b, bool add,
		 real *c);

/* For products with one B again and again, its panels alone: how many numbers they are, the copying, and
 * C = op(A) op(B) (+ C) with them, to the same bits.  From column j on, where a tile begins, they lie at j * k. */
size_t onx_blocked_panels(const struct onx_mat *g, enum onx_isa isa);
void onx_blocked_pack(const struct onx_mat *g, enum onx_isa isa, const real *b, real *to);
void onx_blocked_packed(const struct onx_mat *g, enum onx_isa isa, const real *a, const real *panels, bool add,
			real *c);

#endif
