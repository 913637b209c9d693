/* kernel/conv_ref.c -- the formulas of conv.h as they stand, sums in double; and the bias. */
#include "kernel/conv.h"
#include "kernel/lanes.h"

void onx_conv_ref_forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			  const real *w, const real *b, real *y, bool add,
			  void *scratch)
{
	const size_t kn = g->w.kern_n, p = g->w.out_n, planes = g->n * g->groups * g->m;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; i < planes * p; i++) {
		const size_t plane = i / p, ch = plane % (g->groups * g->m), from = plane / g->m * g->c;
		double sum = b ? b[ch] : 0;

		for (size_t t = 0; t < g->c * kn; t++)
			if (onx_window_meet(&g->w, i % p, t % kn, &at))
				sum += (double)w[ch * g->c * kn + t] * x[(from + t / kn) * g->w.in_n + at];
		onx_put(&y[i], add, (real)sum);
	}
}

void onx_conv_ref_dgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w,
			const real *dy, real *dx, bool add, void *scratch)
{
	const size_t kn = g->w.kern_n, p = g->w.out_n;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; !add && i < g->n * g->groups * g->c * g->w.in_n; i++)
		dx[i] = 0;
	for (size_t plane = 0; plane < g->n * g->groups * g->m; plane++) {
		const size_t ch = plane % (g->groups * g->m), from = plane / g->m * g->c;

		for (size_t o = 0; o < p; o++)
			for (size_t t = 0; t < g->c * kn; t++)
				if (onx_window_meet(&g->w, o, t % kn, &at))
					dx[(from + t / kn) * g->w.in_n + at] +=
						w[ch * g->c * kn + t] * dy[plane * p + o];
	}
}

void onx_conv_ref_wgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			const real *dy, real *dw, bool add, void *scratch)
{
	const size_t kn = g->w.kern_n, p = g->w.out_n, all = g->groups * g->m;
	size_t at;

	(void)pool, (void)scratch;
	for (size_t i = 0; i < all * g->c * kn; i++) {
		const size_t t = i % kn, c = i / kn % g->c, ch = i / kn / g->c;
		double sum = 0;

		for (size_t n = 0; n < g->n; n++)
			for (size_t o = 0; o < p; o++)
				if (onx_window_meet(&g->w, o, t, &at))
					sum += (double)dy[(n * all + ch) * p + o] *
					       x[((n * g->groups + ch / g->m) * g->c + c) * g->w.in_n + at];
		onx_put(&dw[i], add, (real)sum);
	}
}

enum { PIECE = 1 << 15 };

struct bias {
	size_t n, ch, p, grain;
	const real *b, *dy;
	real *y, *db;
	bool add;
};

static void bias_piece(void *ctx, size_t piece, int worker)
{
	const struct bias *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->n * j->ch, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++)
		for (size_t p = 0; p < j->p; p++)
			j->y[i * j->p + p] += j->b[i % j->ch];
}

void onx_conv_bias(struct onx_pool *pool, size_t n, size_t ch, size_t p, const real *b, real *y)
{
	struct bias j = { .n = n, .ch = ch, .p = p, .b = b, .y = y, .grain = PIECE / (p + 1) + 1 };

	onx_parallel(pool, onx_pieces(n * ch, j.grain), bias_piece, &j);
}

ONX_CLONES
static double row_sum(const real *x, size_t n)
{
	return onx_sum(x, n);
}

static void bgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct bias *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->ch, j->grain, piece, &lo, &hi);
	for (size_t c = lo; c < hi; c++) {
		double sum = 0;

		for (size_t i = 0; i < j->n; i++)
			sum += row_sum(j->dy + (i * j->ch + c) * j->p, j->p);
		onx_put(&j->db[c], j->add, (real)sum);
	}
}

void onx_conv_bgrad(struct onx_pool *pool, size_t n, size_t ch, size_t p, const real *dy, real *db,
		    bool add)
{
	struct bias j = { .n = n, .ch = ch, .p = p, .dy = dy, .db = db, .add = add,
			  .grain = PIECE / (n * p + 1) + 1 };

	onx_parallel(pool, onx_pieces(ch, j.grain), bgrad_piece, &j);
}
