/* op/pair.h -- gradients of y = f(a, b), broadcast: dy times a slope, summed where a or b was spread. */
#ifndef ONX_PAIR_H
#define ONX_PAIR_H
#include "kernel/cpu.h"
#include "op/loop.h"

static inline real *onx_at(const struct onx_view *v, size_t off)
{
	return (real *)v->v + off;
}

static inline void onx_pair_walk(const struct onx_call *c, struct onx_walk *w)
{
	const struct onx_view *in[2] = { &c->x[0], &c->x[1] };

	onx_walk_init(w, &c->y[0], in, 2);
}

/* reads: 3, or 1 where the slopes look at neither a nor b. */
static inline void onx_pair_back(const struct onx_call *c, int reads, onx_sum_term *da, onx_sum_term *db)
{
	struct onx_walk w;

	onx_pair_walk(c, &w);
	if (c->dx[0].v)
		onx_walk_grad(c, &w, 1, reads, &c->dx[0], da);
	if (c->dx[1].v)
		onx_walk_grad(c, &w, 2, reads, &c->dx[1], db);
}

/* dy times the slope in a or in b.  What is not kept is not read. */
#define ONX_SLOPE(name, keep, slope)                                                             \
ONX_CLONES static void name(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n) \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	const real *dy = onx_at(&c->dy[0], (size_t)off[0]);                                      \
	const real *as = (keep) ? onx_at(&c->x[0], (size_t)off[1]) : dy;                         \
	const real *bs = (keep) ? onx_at(&c->x[1], (size_t)off[2]) : dy;                         \
	if (!(keep) || (step[1] && step[2])) {                                               \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const real a = as[i], b = bs[i];                                     \
			(void)a; (void)b;                                                    \
			out[i] = dy[i] * (real)(slope);                                      \
		}                                                                            \
	} else if (step[1]) {                                                                \
		const real b = *bs;                                                          \
		(void)b;                                                                     \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const real a = as[i];                                                \
			(void)a;                                                             \
			out[i] = dy[i] * (real)(slope);                                      \
		}                                                                            \
	} else {                                                                             \
		const real a = *as;                                                          \
		const int64_t by = step[2];                                                  \
		(void)a;                                                                     \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const real b = bs[(int64_t)i * by];                                  \
			(void)b;                                                             \
			out[i] = dy[i] * (real)(slope);                                      \
		}                                                                            \
	}                                                                                    \
}

#endif
