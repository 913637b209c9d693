/* op/conv_norm_ref.c -- NormConvLast and ConvMomentsLast by the book: the normalization, the convolution, the moments,
 * one after the other with a tensor between them. */
#include <string.h>
#include "op/conv_norm_i.h"

/* Scratch: the normalization's own and its sums; f(BN(X)) and its gradient; dy', with e and d; the convolution's. */
struct whole { size_t sum, x, d, dy, e, conv, bytes; };

static struct whole whole_of(const struct onx_cn_geo *g, int threads, bool backward)
{
	const size_t x = onx_cn_rounded(g->conv.n * g->conv.w.in_n * g->conv.groups * g->conv.c * sizeof(real));
	struct whole r = { .sum = onx_cn_normed(g) ? onx_bn_scratch(&g->norm) : 0 };

	r.x = r.sum + onx_cn_rounded(2 * g->norm.bn.c * sizeof(double));
	r.d = r.x + x;
	r.dy = r.d + (backward ? x : 0);
	r.e = r.dy + (backward ? onx_cn_rounded(g->rows * g->ch * sizeof(real)) : 0);
	r.conv = r.e + (backward ? 2 * onx_cn_rounded(g->ch * sizeof(real)) : 0);
	r.bytes = r.conv + (backward ? onx_last_grad_ref.scratch(&g->conv, threads)
				     : onx_cn_rounded(onx_last_way_ref.packed(&g->conv)) +
				       onx_last_way_ref.scratch(&g->conv, threads));
	return r;
}

static const real *x_of(const struct onx_call *c, const struct onx_cn_geo *g, const struct whole *r)
{
	const real *mean = c->save;
	real *const to = onx_cn_at(c, r->x);

	if (!onx_cn_normed(g))
		return c->x[X].v;
	onx_bn_last_apply(c->pool, &g->norm.bn, c->x[X].v, mean, mean + g->norm.bn.c, c->x[SCALE].v, c->x[B].v, NULL,
			  to, c->scratch);
	return to;
}

void onx_cn_forward_ref(const struct onx_call *c)
{
	const struct onx_cn_geo *g = c->geo;
	const struct whole r = whole_of(g, 1, false);
	const struct ONX_R(onx_last_end) end = { .b = onx_cn_bias(c, g) };
	real *const w = onx_cn_at(c, r.conv), *y = c->y[0].v;

	onx_cn_forward_stats(c, g);
	onx_last_way_ref.pack(c->pool, &g->conv, c->x[g->w].v, w);
	onx_last_way_ref.forward(c->pool, &g->conv, x_of(c, g, &r), w, &end, y,
				 onx_cn_at(c, r.conv + onx_cn_rounded(onx_last_way_ref.packed(&g->conv))));
	for (size_t i = 0; i < g->ch && onx_cn_wants_moments(c, g) && !c->again; i++) {
		double mean = 0, m2 = 0;

		for (size_t k = 0; k < g->rows; k++)
			mean += (double)y[k * g->ch + i] / (double)g->rows;
		for (size_t k = 0; k < g->rows; k++)
			m2 += ((double)y[k * g->ch + i] - mean) * ((double)y[k * g->ch + i] - mean);
		if (c->y[g->moments].v)
			((real *)c->y[g->moments].v)[i] = (real)mean;
		if (c->n_y > g->moments + 1 && c->y[g->moments + 1].v)
			((real *)c->y[g->moments + 1].v)[i] = (real)(m2 / (double)g->rows);
	}
}

/* dy' where it is not dy. */
static const real *dy_of(const struct onx_call *c, const struct onx_cn_geo *g, const struct whole *r)
{
	struct ONX_R(onx_last_shift) s;
	real *const to = onx_cn_at(c, r->dy);
	const real *dy = c->dy[0].v ? c->dy[0].v : c->y[0].v;

	if (!onx_cn_shift(c, g, onx_cn_at(c, r->e), onx_cn_at(c, r->e + onx_cn_rounded(g->ch * sizeof(real))), &s))
		return c->dy[0].v;
	onx_last_shift_rows(&s, dy, 0, g->ch, 0, g->ch, g->rows, to, g->ch);
	return to;
}

void onx_cn_backward_ref(const struct onx_call *c)
{
	const struct onx_cn_geo *g = c->geo;
	const struct whole r = whole_of(g, 1, true);
	const real *mean = c->save, *dy = dy_of(c, g, &r);
	double *const sum = (double *)(void *)onx_cn_at(c, r.sum);

	if (!dy) {
		onx_bn_zero(c);
		return;
	}
	if (c->dx[g->w].v)
		onx_last_grad_ref.weights(c->pool, &g->conv, x_of(c, g, &r), dy, c->dx[g->w].v, c->dx[g->w].add,
					  onx_cn_at(c, r.conv));
	onx_cn_bias_back(c, g);
	if (!onx_cn_normed(g) && c->dx[X].v)
		onx_last_grad_ref.data(c->pool, &g->conv, c->x[g->w].v, dy, c->dx[X].v, c->dx[X].add,
				       onx_cn_at(c, r.conv));
	if (!onx_cn_normed(g) || (!c->dx[X].v && !onx_cn_wants_parameters(c, g)))
		return;
	struct ONX_R(onx_bn_last_grad) t = {
		.x = c->x[X].v, .mean = mean, .inv = mean + g->norm.bn.c, .scale = c->x[SCALE].v, .bias = c->x[B].v,
		.dy = onx_cn_at(c, r.d), .batch = g->norm.batch && !g->given, .sums = true, .dx = c->dx[X].v };

	memset(sum, 0, 2 * g->norm.bn.c * sizeof *sum);
	onx_last_grad_ref.data(c->pool, &g->conv, c->x[g->w].v, dy, t.dy, false, onx_cn_at(c, r.conv));
	onx_bn_last_backward(c->pool, &g->norm.bn, &t, sum, c->scratch);
	onx_cn_parameters_back(c, g, sum);
}

size_t onx_cn_scratch_ref(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return whole_of(s->geo, threads, backward).bytes;
}
