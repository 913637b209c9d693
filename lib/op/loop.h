/* op/loop.h -- loops shared by element-wise families: ranges over a pool and broadcasting.
 * Nothing here allocates or fails. */
#ifndef ONX_OP_LOOP_H
#define ONX_OP_LOOP_H
#include <stdbool.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "op/op.h"
#include "op/sums.h"

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

/* How an output and up to three operands are walked together: dimensions from the inside out,
 * those of size 1 left out, neighbours merged where no operand minds.  step[0] belongs to the output,
 * step[k] to operand k; 0 where an operand is broadcast. */
enum { ONX_OPERANDS = 4 };
struct onx_walk { int rank, n; size_t dim[ONX_RANK + 1]; size_t step[ONX_OPERANDS][ONX_RANK + 1]; };

static inline bool onx_walk_merges(const struct onx_walk *w, const size_t *step, int at)
{
	for (int k = 0; k < w->n; k++)
		if (step[k] != w->step[k][at] * w->dim[at])
			return false;
	return true;
}

/* in[0 .. n_in-1] broadcast to out. */
static inline void onx_walk_init(struct onx_walk *w, const struct onx_view *out,
				 const struct onx_view *const *in, int n_in)
{
	size_t next[ONX_OPERANDS] = { 1, 1, 1, 1 };

	*w = (struct onx_walk){ .rank = 0, .n = n_in + 1 };
	for (int d = out->rank - 1; d >= 0; d--) {
		const size_t dim = (size_t)out->dim[d];
		size_t step[ONX_OPERANDS];
		if (dim == 1)
			continue;
		step[0] = next[0];
		next[0] *= dim;
		for (int k = 1; k <= n_in; k++) {
			const int own = d - out->rank + in[k - 1]->rank;
			const bool wide = own >= 0 && in[k - 1]->dim[own] != 1;
			step[k] = wide ? next[k] : 0;
			next[k] *= wide ? dim : 1;
		}
		if (w->rank > 0 && onx_walk_merges(w, step, w->rank - 1)) {
			w->dim[w->rank - 1] *= dim;
			continue;
		}
		w->dim[w->rank] = dim;
		for (int k = 0; k < w->n; k++)
			w->step[k][w->rank] = step[k];
		w->rank++;
	}
	if (w->rank == 0) {
		w->rank = 1;
		w->dim[0] = 1;
	}
}

/* Offsets of all operands at output element o. */
static inline void onx_walk_at(const struct onx_walk *w, size_t o, size_t *off)
{
	for (int k = 0; k < w->n; k++)
		off[k] = 0;
	for (int d = 0; d < w->rank; d++) {
		const size_t i = o % w->dim[d];
		o /= w->dim[d];
		for (int k = 0; k < w->n; k++)
			off[k] += i * w->step[k][d];
	}
}

/* run: n elements along the innermost dimension, operand k at off[k] and every step[k] from there. */
typedef void onx_run_fn(const struct onx_call *c, const size_t *off, const size_t *step, size_t n);
struct onx_walk_job { const struct onx_walk *w; const struct onx_call *c; onx_run_fn *run; };
static inline void onx_walk_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_walk_job *j = ctx;
	size_t off[ONX_OPERANDS], step[ONX_OPERANDS];

	for (int k = 0; k < j->w->n; k++)
		step[k] = j->w->step[k][0];
	while (lo < hi) {
		const size_t left = j->w->dim[0] - lo % j->w->dim[0];
		const size_t n = left < hi - lo ? left : hi - lo;
		onx_walk_at(j->w, lo, off);
		j->run(j->c, off, step, n);
		lo += n;
	}
}
/* The whole output, in pieces over the call's pool. */
static inline void onx_walk_run(const struct onx_call *c, const struct onx_walk *w, size_t n, onx_run_fn *run)
{
	const struct onx_walk_job j = { w, c, run };

	onx_each(c->pool, n, ONX_GRAIN, onx_walk_range, &j);
}

/* The gradient of operand k, summed over the dimensions in which it was broadcast (op/sums.h).  Terms read the first
 * `reads` operands, at least the output's place, and have the call as ctx. */
#define onx_walk_grad ONX_R(onx_walk_grad)
void onx_walk_grad(const struct onx_call *c, const struct onx_walk *w, int k, int reads, const struct onx_view *dx,
		   onx_sum_term *term);

#endif
