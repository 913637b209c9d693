/* kernel/last_ref.c -- the formulas of last.h as they stand, sums in double. */
#include "kernel/last.h"
#include "kernel/fuse_row.h"

static bool fits_all(const struct onx_conv_geo *g)
{
	(void)g;
	return true;
}

static size_t packed(const struct onx_conv_geo *g)
{
	return g->groups * g->m * g->c * g->w.kern_n * sizeof(real);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to)
{
	(void)pool;
	for (size_t i = 0; i < packed(g) / sizeof(real); i++)
		((real *)to)[i] = w[i];
}

static size_t no_scratch(const struct onx_conv_geo *g, int threads)
{
	(void)g, (void)threads;
	return 0;
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	const size_t kn = g->w.kern_n, all = g->groups * g->m;
	const real *w = weights;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; i < g->n * g->w.out_n * all; i++) {
		const size_t ch = i % all, pixel = i / all, n = pixel / g->w.out_n;
		double sum = (end->b ? (double)end->b[ch] : 0) + (end->z ? (double)end->z[i] : 0);

		for (size_t k = 0; k < kn; k++) {
			if (!onx_window_meet(&g->w, pixel % g->w.out_n, k, &at))
				continue;
			for (size_t c = 0; c < g->c; c++)
				sum += (double)w[(ch * g->c + c) * kn + k] *
				       x[((n * g->w.in_n + at) * g->groups + ch / g->m) * g->c + c];
		}
		y[i] = (real)sum;
		onx_fuse_row(&end->f, &y[i], 1);
	}
}

static void data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		 bool add, void *scratch)
{
	const size_t kn = g->w.kern_n, all = g->groups * g->m;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; !add && i < g->n * g->groups * g->c * g->w.in_n; i++)
		dx[i] = 0;
	for (size_t i = 0; i < g->n * g->w.out_n * all; i++) {
		const size_t ch = i % all, pixel = i / all, n = pixel / g->w.out_n;

		for (size_t k = 0; k < kn; k++) {
			if (!onx_window_meet(&g->w, pixel % g->w.out_n, k, &at))
				continue;
			for (size_t c = 0; c < g->c; c++)
				dx[((n * g->w.in_n + at) * g->groups + ch / g->m) * g->c + c] +=
					w[(ch * g->c + c) * kn + k] * dy[i];
		}
	}
}

static void weights(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const real *dy,
		    real *dw, bool add, void *scratch)
{
	const size_t kn = g->w.kern_n, all = g->groups * g->m;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; i < all * g->c * kn; i++) {
		const size_t k = i % kn, c = i / kn % g->c, ch = i / kn / g->c;
		double sum = 0;

		for (size_t q = 0; q < g->n * g->w.out_n; q++)
			if (onx_window_meet(&g->w, q % g->w.out_n, k, &at))
				sum += (double)dy[q * all + ch] *
				       x[((q / g->w.out_n * g->w.in_n + at) * g->groups + ch / g->m) * g->c + c];
		onx_put(&dw[i], add, (real)sum);
	}
}

const struct ONX_R(onx_last_way) onx_last_way_ref = {
	"reference", fits_all, packed, pack, no_scratch, forward, NULL, NULL };
const struct ONX_R(onx_last_grad) onx_last_grad_ref = { "reference", fits_all, no_scratch, data, weights };
