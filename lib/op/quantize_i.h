/* op/quantize_i.h -- what quantize.c and quantize_back.c share: which elements have which scale. */
#ifndef ONX_QUANTIZE_I_H
#define ONX_QUANTIZE_I_H
#include <stdbool.h>
#include "op/bulk.h"
#include "op/op.h"
#include "op/quantize.h"

/* x [outer][n][inner]; element (o, k, i) has the scale number o * so + k / block * sk + i * si.
 * lo, hi: what the whole numbers can be, where both directions are one step. */
struct quant_geo { size_t n, inner, block, so, sk, si; double lo, hi; };

static inline size_t onx_scale_at(const struct quant_geo *g, size_t at)
{
	const size_t i = at % g->inner, k = at / g->inner % g->n, o = at / g->inner / g->n;

	return o * g->so + k / g->block * g->sk + i * g->si;
}

/* How many elements from `at` on have scales a fixed step apart; at most a block. */
static inline size_t onx_run_of(const struct quant_geo *g, size_t at, size_t hi, size_t *step)
{
	const size_t k = at / g->inner % g->n, most = hi - at < ONX_BULK ? hi - at : ONX_BULK;
	size_t n = most;

	*step = 0;
	if (g->so == 0 && g->sk == 0 && g->si == 0)
		return n;
	if (g->inner > 1) {
		n = g->inner - at % g->inner;
		*step = g->si;
	} else if (g->block == 1) {
		n = g->n - k;
		*step = g->sk;
	} else {
		n = g->block - k % g->block < g->n - k ? g->block - k % g->block : g->n - k;
	}
	return n < most ? n : most;
}

/* Zero points of a run, as `step` has them; 0 without any. */
static inline const double *onx_zeros_of(const struct onx_call *c, size_t at, size_t step, size_t n, double *room)
{
	if (c->n_x > 2 && c->x[2].v)
		return onx_bulk_reals(&c->x[2], at, step, n, room);
	for (size_t i = 0; i < n; i++)
		room[i] = 0;
	return room;
}

#define onx_dequantize_scratch ONX_R(onx_dequantize_scratch)
#define onx_dequantize_backward ONX_R(onx_dequantize_backward)
#define onx_fake_backward ONX_R(onx_fake_backward)
size_t onx_dequantize_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward);
void onx_dequantize_backward(const struct onx_call *c);
void onx_fake_backward(const struct onx_call *c);

#endif
