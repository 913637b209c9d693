/* base/pool.h -- threads over pieces.
 * Work is cut into pieces whose number is a function of the problem, never of the threads; each
 * piece writes its own output and sums are taken over pieces in a fixed order.  So the bits do not
 * depend on how many threads there are.  A NULL pool, or a call from inside a piece, runs the
 * pieces one after another in the caller. */
#ifndef ONX_POOL_H
#define ONX_POOL_H
#include <stddef.h>
#include "base/err.h"

struct onx_pool;
/* fn(ctx, piece, worker): 0 <= worker < onx_pool_threads(): index for per-thread scratch. */
typedef void onx_piece_fn(void *ctx, size_t piece, int worker);

int onx_pool_new(int threads, struct onx_pool **out, struct onx_err *e) ONX_MUST;   /* 0: all cores */
void onx_pool_free(struct onx_pool *p);
int onx_pool_threads(const struct onx_pool *p);                 /* 1 for NULL        */
int onx_cores(void);                                            /* usable processors */
void onx_parallel(struct onx_pool *p, size_t pieces, onx_piece_fn *fn, void *ctx);

/* The usual cut: n items in pieces of about `grain`; piece i has [*lo, *hi). */
static inline size_t onx_pieces(size_t n, size_t grain)
{
	return n == 0 ? 0 : (n + grain - 1) / grain;
}
static inline void onx_piece(size_t n, size_t grain, size_t i, size_t *lo, size_t *hi)
{
	*lo = i * grain;
	*hi = *lo + grain < n ? *lo + grain : n;
}

#endif
