/* kernel/cell_i.h -- shared by cell.c and cell_back.c: places, what is saved, the functions f, g, h. */
#ifndef ONX_CELL_I_H
#define ONX_CELL_I_H
#include "kernel/cell.h"

/* In save.  By row of x: pre [t*b][gates*h] (sums before f and g), lin [t*b][h] (late_reset: h R' + Rb);
 * by step: hs and cs [t+1][b][h], the states, the first the initial one. */
struct onx_cell_kept { real *pre, *lin, *hs, *cs; };

static inline struct onx_cell_kept onx_cell_kept(const struct onx_cell *g, void *save)
{
	const size_t rows = g->t * g->b;
	struct onx_cell_kept k = { .pre = save };

	k.hs = k.pre + rows * g->gates * g->h;
	k.cs = k.hs + (rows + g->b) * g->h;
	k.lin = k.cs;                           /* a cell has one or the other */
	return k;
}

static inline size_t onx_cell_steps(const struct onx_cell *g, const int32_t *len, size_t b)
{
	if (!len)
		return g->t;
	return len[b] < 0 ? 0 : (size_t)len[b] < g->t ? (size_t)len[b] : g->t;
}
/* The row of x that sample b meets at step s of n. */
static inline size_t onx_cell_time(const struct onx_cell *g, size_t n, size_t s)
{
	return g->reverse ? n - 1 - s : s;
}
static inline size_t onx_cell_row(const struct onx_cell *g, size_t t, size_t b)
{
	return g->batch_first ? b * g->t + t : t * g->b + b;
}
/* Offsets in y and in the states of all directions. */
static inline size_t onx_cell_y(const struct onx_cell *g, size_t t, size_t b)
{
	return g->h * (g->batch_first ? (b * g->t + t) * g->dirs + g->dir
				      : (t * g->dirs + g->dir) * g->b + b);
}
static inline size_t onx_cell_state(const struct onx_cell *g, size_t b)
{
	return g->h * (g->batch_first ? b * g->dirs + g->dir : g->dir * g->b + b);
}

static inline real onx_cell_clip(const struct onx_cell *g, real x)
{
	return x > g->clip ? (real)g->clip : x < -g->clip ? (real)-g->clip : x;
}

static inline real onx_squash(const struct onx_squash *q, real x)
{
	const real a = (real)q->a, b = (real)q->b;
	const real e = q->kind == ONX_SQ_SIGMOID || q->kind == ONX_SQ_SOFTPLUS
		     ? ONX_M(exp)(-ONX_M(fabs)(x)) : 0;

	switch (q->kind) {
	case ONX_SQ_RELU:         return x < 0 ? 0 : x;
	case ONX_SQ_TANH:         return ONX_M(tanh)(x);
	case ONX_SQ_SIGMOID:      return (x < 0 ? e : 1) / (1 + e);
	case ONX_SQ_AFFINE:       return a * x + b;
	case ONX_SQ_LEAKY:        return x < 0 ? a * x : x;
	case ONX_SQ_THRESHOLD:    return x <= a ? 0 : x;
	case ONX_SQ_SCALED_TANH:  return a * ONX_M(tanh)(b * x);
	case ONX_SQ_HARD_SIGMOID: return a * x + b < 0 ? 0 : a * x + b > 1 ? 1 : a * x + b;
	case ONX_SQ_ELU:          return x < 0 ? a * ONX_M(expm1)(x) : x;
	case ONX_SQ_SOFTSIGN:     return x / (1 + ONX_M(fabs)(x));
	case ONX_SQ_SOFTPLUS:     return (x < 0 ? 0 : x) + ONX_M(log1p)(e);
	}
	return x;
}

/* df/dx from x and y = f(x); at kinks 0 or the left one, as PyTorch. */
static inline real onx_squash_slope(const struct onx_squash *q, real x, real y)
{
	const real a = (real)q->a, b = (real)q->b;

	switch (q->kind) {
	case ONX_SQ_RELU:         return x > 0 ? 1 : 0;
	case ONX_SQ_TANH:         return 1 - y * y;
	case ONX_SQ_SIGMOID:      return y * (1 - y);
	case ONX_SQ_AFFINE:       return a;
	case ONX_SQ_LEAKY:        return x > 0 ? 1 : a;
	case ONX_SQ_THRESHOLD:    return x > a ? 1 : 0;
	case ONX_SQ_SCALED_TANH:  return a * b * (1 - ONX_M(tanh)(b * x) * ONX_M(tanh)(b * x));
	case ONX_SQ_HARD_SIGMOID: return y > 0 && y < 1 ? a : 0;
	case ONX_SQ_ELU:          return x > 0 ? 1 : a * ONX_M(exp)(x);
	case ONX_SQ_SOFTSIGN:     return (1 - ONX_M(fabs)(y)) * (1 - ONX_M(fabs)(y));
	case ONX_SQ_SOFTPLUS:     return -ONX_M(expm1)(-y);
	}
	return 1;
}

/* f(clip(x)), and the gradient that passes it. */
static inline real onx_gate(const struct onx_cell *g, int f, real x)
{
	return onx_squash(&g->f[f], onx_cell_clip(g, x));
}
static inline real onx_gate_slope(const struct onx_cell *g, int f, real x, real y)
{
	return ONX_M(fabs)(x) > g->clip ? 0 : onx_squash_slope(&g->f[f], x, y);
}

/* Rows of a step go to the pool if there is enough work in them; decided by size alone. */
typedef void onx_cell_row_fn(const void *ctx, size_t b);
struct onx_cell_rows { onx_cell_row_fn *fn; const void *ctx; };
static inline void onx_cell_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_cell_rows *r = ctx;

	(void)worker;
	r->fn(r->ctx, piece);
}
static inline void onx_cell_each(struct onx_pool *pool, const struct onx_cell *g, onx_cell_row_fn *fn,
				 const void *ctx)
{
	struct onx_cell_rows r = { fn, ctx };

	onx_parallel(g->b * g->h * g->gates < 4096 ? NULL : pool, g->b, onx_cell_piece, &r);
}

#endif
