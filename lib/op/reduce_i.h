/* op/reduce_i.h -- what the files of the reductions share: how kept and reduced dimensions are walked. */
#ifndef ONX_REDUCE_I_H
#define ONX_REDUCE_I_H
#include "kernel/real.h"
#include "op/loop.h"

enum onx_reduction { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

/* Kept and reduced dimensions with their steps through x, from the inside out. */
struct onx_reduce_dims { int n; size_t size[ONX_RANK], step[ONX_RANK], count; };
struct onx_reduce_geo { struct onx_reduce_dims kept, gone; };

/* Element i of some dimensions, by an odometer: `from` leaves out the inner ones. */
struct onx_reduce_spot { size_t at[ONX_RANK], off; };

static inline struct onx_reduce_spot onx_reduce_seek(const struct onx_reduce_dims *d, int from, size_t i)
{
	struct onx_reduce_spot s = { .off = 0 };

	for (int k = from; k < d->n; k++) {
		s.at[k] = i % d->size[k];
		s.off += s.at[k] * d->step[k];
		i /= d->size[k];
	}
	return s;
}

static inline void onx_reduce_next(const struct onx_reduce_dims *d, int from, struct onx_reduce_spot *s)
{
	for (int k = from; k < d->n; k++) {
		s->off += d->step[k];
		if (++s->at[k] < d->size[k])
			return;
		s->at[k] = 0;
		s->off -= d->step[k] * d->size[k];
	}
}

struct onx_reduce_job { const struct onx_call *c; const struct onx_reduce_geo *g; enum onx_reduction kind; };

/* Outputs side by side, where the innermost dimension is kept: a page of memory of each row, which then follows the
 * one before it or begins where the processor has looked ahead to. */
enum { ONX_REDUCE_BLOCK = 1024 };

/* The innermost dimension goes. */
static inline bool onx_reduce_inner(const struct onx_reduce_geo *g)
{
	return g->gone.n > 0 && g->gone.step[0] == 1 && g->gone.size[0] > 1;
}

/* What runs along the innermost dimension, and how many elements that is. */
static inline size_t onx_reduce_row(const struct onx_reduce_dims *d)
{
	return d->n > 0 ? d->size[0] : 1;
}

/* in or out over all results, in pieces. */
static inline void onx_reduce_each(const struct onx_call *c, const struct onx_reduce_geo *g, onx_range_fn *in,
				   onx_range_fn *out, const struct onx_reduce_job *j)
{
	const size_t grain = onx_pieces(ONX_GRAIN, g->gone.count + 1);

	if (c->y[0].n == 0)
		return;
	if (onx_reduce_inner(g))
		onx_each(c->pool, c->y[0].n, grain, in, j);
	else
		onx_each(c->pool, c->y[0].n, grain < ONX_REDUCE_BLOCK ? ONX_REDUCE_BLOCK : grain, out, j);
}

#define onx_reduce_forward ONX_R(onx_reduce_forward)
#define onx_reduce_backward ONX_R(onx_reduce_backward)
#define onx_reduce_bytes ONX_R(onx_reduce_bytes)
/* y = the reduction of x0: real or whole numbers. */
void onx_reduce_forward(const struct onx_call *c, enum onx_reduction kind);
/* dx0, real; reads x0 and y0 where the kind's derivative has them. */
void onx_reduce_backward(const struct onx_call *c, enum onx_reduction kind);
/* The largest and the smallest of bytes and bools; false: it is something else, nothing was done. */
bool onx_reduce_bytes(const struct onx_call *c, enum onx_reduction kind);

#endif
