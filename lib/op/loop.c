/* op/loop.c -- gradients of broadcast operands. */
#include "op/loop.h"

enum { LANES = 256 };           /* sums held at once on the stack */

struct grad_job {
	const struct onx_walk *w;
	const struct onx_call *c;
	int k, n_kept, n_summed;
	int kept[ONX_RANK + 1], summed[ONX_RANK + 1];   /* dimensions, from the inside out */
	size_t per_row;                                 /* pieces of LANES in an innermost run */
	size_t n_sum;                                   /* summed positions, without an innermost run */
	const struct onx_view *dx;
	onx_term_fn *term;
};

/* Adds the steps of position i, counted over the dimensions listed, to off. */
static void move(const struct onx_walk *w, const int *list, int n, size_t i, size_t *off)
{
	for (int d = 0; d < n; d++) {
		const size_t at = i % w->dim[list[d]];
		i /= w->dim[list[d]];
		for (int k = 0; k < w->n; k++)
			off[k] += at * w->step[k][list[d]];
	}
}

static void sum_terms(const struct grad_job *j, const size_t *base, double *acc, size_t every, size_t n)
{
	size_t step[ONX_OPERANDS];

	for (int k = 0; k < j->w->n; k++)
		step[k] = j->w->step[k][0];
	for (size_t s = 0; s < j->n_sum; s++) {
		size_t off[ONX_OPERANDS];
		for (int k = 0; k < j->w->n; k++)
			off[k] = base[k];
		move(j->w, j->summed, j->n_summed, s, off);
		j->term(j->c, acc, every, off, step, n);
	}
}

/* The innermost dimension is summed: one element of dx at a time. */
static void sum_inner(const void *ctx, size_t lo, size_t hi)
{
	const struct grad_job *j = ctx;
	real *dx = j->dx->v;

	for (size_t i = lo; i < hi; i++) {
		size_t base[ONX_OPERANDS] = { 0 };
		double acc = 0;
		move(j->w, j->kept, j->n_kept, i, base);
		sum_terms(j, base, &acc, 0, j->w->dim[0]);
		onx_put(&dx[i], j->dx->add, (real)acc);
	}
}

/* The innermost dimension is kept: LANES neighbours of dx at a time. */
static void sum_outer(const void *ctx, size_t lo, size_t hi)
{
	const struct grad_job *j = ctx;
	const size_t row = j->w->dim[0];
	real *dx = j->dx->v;

	for (size_t i = lo; i < hi; i++) {
		const size_t from = i % j->per_row * LANES;
		const size_t n = from + LANES < row ? LANES : row - from;
		const size_t first = i / j->per_row * row + from;
		size_t base[ONX_OPERANDS] = { 0 };
		double acc[LANES] = { 0 };
		move(j->w, j->kept, j->n_kept, first, base);
		sum_terms(j, base, acc, 1, n);
		for (size_t e = 0; e < n; e++)
			onx_put(&dx[first + e], j->dx->add, (real)acc[e]);
	}
}

void onx_walk_grad(const struct onx_call *c, const struct onx_walk *w, int k, const struct onx_view *dx,
		   onx_term_fn *term)
{
	const bool inner = w->step[k][0] == 0;
	struct grad_job j = { .w = w, .c = c, .k = k, .per_row = onx_pieces(w->dim[0], LANES), .n_sum = 1,
			      .dx = dx, .term = term };

	for (int d = 0; d < w->rank; d++) {
		if (w->step[k][d] != 0) {
			j.kept[j.n_kept++] = d;
		} else if (d > 0) {
			j.summed[j.n_summed++] = d;
			j.n_sum *= w->dim[d];
		}
	}
	if (dx->n == 0)
		return;
	if (inner) {
		const size_t work = j.n_sum * w->dim[0] + 1;
		onx_each(c->pool, dx->n, onx_pieces(ONX_GRAIN, work), sum_inner, &j);
	} else {
		const size_t work = (j.n_sum + 1) * LANES;
		onx_each(c->pool, dx->n / w->dim[0] * j.per_row, onx_pieces(ONX_GRAIN, work), sum_outer,
			 &j);
	}
}
