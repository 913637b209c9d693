/* op/loop.c -- gradients of broadcast operands. */
#include "op/loop.h"

void onx_walk_grad(const struct onx_call *c, const struct onx_walk *w, int k, int reads, const struct onx_view *dx,
		   onx_sum_term *term)
{
	struct onx_sum s = { .n_from = reads, .term = term, .ctx = c };

	if (dx->n == 0)
		return;
	for (int d = 0; d < w->rank; d++) {
		struct onx_sum_axis dim = { .size = w->dim[d], .to = (int64_t)w->step[k][d] };
		for (int o = 0; o < reads; o++)
			dim.from[o] = (int64_t)w->step[o][d];
		onx_sum_dim(&s, &dim);
	}
	onx_sum_run(&s, dx->v, dx->add, c->pool);
}
