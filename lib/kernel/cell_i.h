/* kernel/cell_i.h -- shared by cell.c, cell_gate.c and cell_back.c: places, what is saved, the functions f, g, h. */
#ifndef ONX_CELL_I_H
#define ONX_CELL_I_H
#include "kernel/cell.h"
#include "kernel/gemm.h"
#include "kernel/sliver.h"

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

/* Rows of h numbers are gone through in runs, so that what stands between the gates is in the nearest cache. */
enum { ONX_CELL_RUN = 256, ONX_CELL_PAD = 32 };

#define onx_cell_squash ONX_R(onx_cell_squash)
#define onx_cell_squash_slope ONX_R(onx_cell_squash_slope)
#define onx_cell_gate ONX_R(onx_cell_gate)
#define onx_cell_gate_slope ONX_R(onx_cell_gate_slope)
#define onx_cell_add ONX_R(onx_cell_add)
#define onx_cell_times ONX_R(onx_cell_times)

/* y = f(x); y may be x.  d *= df/dx, from x and y = f(x). */
void onx_cell_squash(const struct onx_squash *q, const real *x, size_t n, real *y);
void onx_cell_squash_slope(const struct onx_squash *q, const real *x, const real *y, size_t n, real *d);
/* y = f(clip(x)), y beside x; and what passes it of the gradient d.  f: the number in g->f. */
void onx_cell_gate(const struct onx_cell *g, int f, const real *x, size_t n, real *y);
void onx_cell_gate_slope(const struct onx_cell *g, int f, const real *x, const real *y, size_t n, real *d);
/* sum += more; to = a . b, or += with `sum`. */
void onx_cell_add(const real *more, size_t n, real *sum);
void onx_cell_times(const real *a, const real *b, size_t n, bool sum, real *to);
static inline size_t onx_cell_run(size_t n, size_t j) { return n - j < ONX_CELL_RUN ? n - j : ONX_CELL_RUN; }

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

/* C = A op(R) (+ C) at each step: R as panels, which onx_cell_product makes at *room and moves it behind them.  That
 * goes for one sample, too, whose product reads R only once a step: panels are read in the order of memory, twice as
 * fast as R's rows side by side.  Over a few steps that does not pay for the copy. */
enum { ONX_CELL_STEPS = 4 };
struct onx_cell_product { struct onx_mat m; const real *r, *panels; };
static inline struct onx_cell_product onx_cell_product(const struct onx_mat *m, size_t steps, const real *r,
						       real **room)
{
	struct onx_mat wide = *m;

	if (wide.m < ONX_SLIVER && steps >= ONX_CELL_STEPS)
		wide.m = ONX_SLIVER;
	const size_t n = onx_gemm_panels(&wide);

	if (n == 0)
		return (struct onx_cell_product){ *m, r, NULL };
	onx_gemm_pack(m, r, *room);
	*room += n;
	return (struct onx_cell_product){ *m, r, *room - n };
}
static inline void onx_cell_product_add(struct onx_pool *pool, const struct onx_cell_product *p, const real *a,
				     real beta, real *c)
{
	if (p->panels)
		onx_gemm_packed(pool, &p->m, a, p->panels, beta, c);
	else
		onx_gemm(pool, &p->m, 1, a, p->r, beta, c);
}

#endif
