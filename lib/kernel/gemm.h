/* kernel/gemm.h -- matrix products.
 *
 * All matrices are row-major.  Products of a few numbers are written out (tiny.h), those of a few rows or columns are
 * slivers (sliver.h), others go in blocks through the set's tiles (blocked.h).  C is cut into tiles by size alone, and
 * each element of C is one sum taken by one call, so the bits do not depend on the number of threads.
 * beta == 0 means that C is not read (it may hold anything); beta == 1 adds to C, which is also how a
 * bias is given: write it into C first. */
#ifndef ONX_GEMM_H
#define ONX_GEMM_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/fuse.h"
#include "kernel/real.h"

/* op(A) is m x k, op(B) is k x n, C is m x n.  op(A) = A if !ta, else A transposed, and then A is
 * stored k x m.  ld*: elements between rows as stored. */
struct onx_mat {
	size_t m, n, k;
	bool ta, tb;
	size_t lda, ldb, ldc;
};

/* Many products of one size.  Outer indices choose a C, inner indices are summed over:
 *     C[o] = alpha * sum over i of op(A[o,i]) op(B[o,i]) + beta * C[o]
 * The element offset of a matrix is the sum of index * step; a step of 0 broadcasts. */
#define ONX_BATCH_RANK 10
struct onx_batch {
	int n_outer, n_inner;
	size_t outer[ONX_BATCH_RANK], outer_a[ONX_BATCH_RANK], outer_b[ONX_BATCH_RANK],
	       outer_c[ONX_BATCH_RANK];
	size_t inner[ONX_BATCH_RANK], inner_a[ONX_BATCH_RANK], inner_b[ONX_BATCH_RANK];
};

#define onx_gemm_one ONX_R(onx_gemm_one)
#define onx_gemm ONX_R(onx_gemm)
#define onx_gemm_batch ONX_R(onx_gemm_batch)
#define onx_gemm_naive ONX_R(onx_gemm_naive)

/* C = alpha op(A) op(B) + beta C in the calling thread: for use inside a piece. */
void onx_gemm_one(const struct onx_mat *g, real alpha, const real *a, const real *b, real beta, real *c);
/* The same over the pool. */
void onx_gemm(struct onx_pool *pool, const struct onx_mat *g, real alpha, const real *a, const real *b,
	      real beta, real *c);
void onx_gemm_batch(struct onx_pool *pool, const struct onx_mat *g, const struct onx_batch *batch,
		    real alpha, const real *a, const real *b, real beta, real *c);
/* C = f(op(A) op(B) + bias + Z), the end applied to each tile while it is in the cache.  bias [n] and
 * Z [m][n] (rows ldc apart; it may be C itself) may be NULL. */
#define onx_gemm_fused ONX_R(onx_gemm_fused)
struct ONX_R(onx_gemm_end) { const real *bias, *z; struct onx_fuse f; };
void onx_gemm_fused(struct onx_pool *pool, const struct onx_mat *g, const real *a, const real *b,
		    const struct ONX_R(onx_gemm_end) *end, real *c);
/* Products with one B again and again: op(B) is copied once.  onx_gemm_panels: how many numbers that takes; 0: A has so
 * few rows that B is better read where it lies.  beta is 0 or 1. */
#define onx_gemm_panels ONX_R(onx_gemm_panels)
#define onx_gemm_pack ONX_R(onx_gemm_pack)
#define onx_gemm_packed ONX_R(onx_gemm_packed)
size_t onx_gemm_panels(const struct onx_mat *g);
void onx_gemm_pack(const struct onx_mat *g, const real *b, real *panels);
void onx_gemm_packed(struct onx_pool *pool, const struct onx_mat *g, const real *a, const real *panels, real beta,
		     real *c);
/* Three loops, sums in double: what the tests hold the others to. */
void onx_gemm_naive(const struct onx_mat *g, real alpha, const real *a, const real *b, real beta,
		    real *c);

#endif
