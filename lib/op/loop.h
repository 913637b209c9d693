/* op/loop.h -- loops shared by element-wise families: ranges over a pool and broadcasting.
 * Nothing here allocates or fails. */
#ifndef ONX_LOOP_H
#define ONX_LOOP_H
#include <stdbool.h>
#include "base/pool.h"
#include "op/op.h"

#define ONX_GRAIN 16384         /* elements in a piece of an element-wise loop */

/* fn(ctx, lo, hi) over 0..n-1 in pieces of about `grain`. */
typedef void onx_range_fn(const void *ctx, size_t lo, size_t hi);
struct onx_range { onx_range_fn *fn; const void *ctx; size_t n, grain; };
static inline void onx_range_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_range *r = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(r->n, r->grain, piece, &lo, &hi);
	r->fn(r->ctx, lo, hi);
}
static inline void onx_each(struct onx_pool *pool, size_t n, size_t grain, onx_range_fn *fn, const void *ctx)
{
	struct onx_range r = { fn, ctx, n, grain };

	onx_parallel(pool, onx_pieces(n, grain), onx_range_piece, &r);
}

#endif
