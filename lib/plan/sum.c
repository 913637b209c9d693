/* plan/sum.c */
#include "plan/sum.h"
#include <string.h>

enum { GRAIN = 1 << 15 };

static void piece(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ctx;
	const struct onx_view *from = &c->dy[0], *to = &c->dx[0];
	size_t lo, hi;
	(void)worker;
	onx_piece(to->n, GRAIN, i, &lo, &hi);
	if (!to->add) {
		memcpy((char *)to->v + lo * to->width, (const char *)from->v + lo * to->width,
		       (hi - lo) * to->width);
	} else if (to->width == sizeof(double)) {
		const double *x = from->v;
		double *y = to->v;
		for (size_t k = lo; k < hi; k++)
			y[k] += x[k];
	} else {
		const float *x = from->v;
		float *y = to->v;
		for (size_t k = lo; k < hi; k++)
			y[k] += x[k];
	}
}

void onx_sum_gradients(const struct onx_call *c)
{
	onx_parallel(c->pool, onx_pieces(c->dx[0].n, GRAIN), piece, (void *)(uintptr_t)c);
}
