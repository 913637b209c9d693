/* op/attend_back.c -- the gradients of Attention.
 *
 * With P = softmax(S + bias), S = capped scale Q K':
 *     dV = P' dY, dP = dY V', dS = P (dP - sum of P dP by row), dbias = dS,
 *     dQ = scale dS K, dK = scale dS' Q, with dS (1 - (S / cap)^2) where the scores are capped.
 * A gradient of output 3 comes in where that output was taken; present keys and values hand theirs on. */
#include <string.h>
#include "kernel/gemm.h"
#include "op/attend.h"
#include "op/loop.h"

enum { Q = ONX_AT_Q, K = ONX_AT_K, V = ONX_AT_V, MASK = ONX_AT_MASK, PAST_K = ONX_AT_PAST_K,
       PAST_V = ONX_AT_PAST_V };

static const real *given(const struct onx_call *c, int i)
{
	return i < c->n_y ? c->dy[i].v : NULL;
}

static const struct onx_view *wanted(const struct onx_call *c, int i)
{
	return i < c->n_x && c->dx[i].v ? &c->dx[i] : NULL;
}

/* The gradient of output 3 for this head, if it was taken at `mode`. */
static const real *shown(const struct onx_call *c, const struct onx_head *at, int mode)
{
	const struct onx_attend_geo *g = c->geo;
	const real *d = given(c, 3);

	if (!d || ((const struct onx_attend *)c->attr)->mode != mode)
		return NULL;
	return d + (at->b * g->hq + at->h) * g->q * g->t;
}

/* The mask's gradient, where a piece is not alone in writing it: sums in double behind all pieces. */
static double *mask_sums(const struct onx_call *c)
{
	return (double *)c->scratch +
	       (size_t)onx_pool_threads(c->pool) * onx_attend_piece(c->geo, true);
}

/* In: s the capped scores of a row, dp the gradient of its probabilities.  Out: s the probabilities, dp the
 * gradient of the scale's product. */
static void row_back(const struct onx_call *c, const struct onx_head *at, size_t q, real *s, real *dp)
{
	const struct onx_attend *a = c->attr;
	const struct onx_attend_geo *g = c->geo;
	const double divisor = ((const double *)c->save)[(at->b * g->hq + at->h) * g->q + q];
	const real *biased = shown(c, at, 2), *capped = shown(c, at, 1), *raw = shown(c, at, 0);
	double *sums = wanted(c, MASK) ? mask_sums(c) : NULL, dot = 0;

	for (size_t k = 0; k < g->t; k++) {
		const double bias = onx_head_bias(c, at, q, k), score = (double)s[k] + bias;
		const double p = score == -INFINITY ? 0 : exp(score - divisor);
		dot += p * dp[k];
	}
	for (size_t k = 0; k < g->t; k++) {
		const double bias = onx_head_bias(c, at, q, k), score = (double)s[k] + bias;
		const double p = score == -INFINITY ? 0 : exp(score - divisor);
		const double slope = a->cap > 0 ? 1 - (s[k] / a->cap) * (s[k] / a->cap) : 1;
		const size_t i = q * g->t + k;
		double d = p * (dp[k] - dot) + (biased && score != -INFINITY ? biased[i] : 0);
		if (sums && bias != -INFINITY)
			sums[onx_head_mask(g, at, q, k)] += d;
		d = (d + (capped ? capped[i] : 0)) * slope + (raw ? raw[i] : 0);
		s[k] = (real)p;
		dp[k] = (real)d;
	}
}

struct part { real *keys, *values, *s, *dp, *dk, *dv; };

static void head_back(const struct onx_call *c, const struct onx_head *at, const struct part *p)
{
	const struct onx_attend_geo *g = c->geo;
	const struct onx_view *dq = wanted(c, Q);
	const real *q = (const real *)c->x[Q].v + at->q, *dy = given(c, 0), *last = shown(c, at, 3);
	const struct onx_mat to_p = { g->q, g->t, g->dv, false, true, at->ldv, g->dv, g->t };
	const struct onx_mat to_v = { g->t, g->dv, g->q, true, false, g->t, at->ldv, g->dv };
	const struct onx_mat to_q = { g->q, g->d, g->t, false, false, g->t, g->d, at->ldq };
	const struct onx_mat to_k = { g->t, g->d, g->q, true, false, g->t, at->ldq, g->d };

	onx_head_scores(c, at, p->keys, p->s);
	if (last)
		memcpy(p->dp, last, g->q * g->t * sizeof *last);
	else if (!dy)
		memset(p->dp, 0, g->q * g->t * sizeof *p->dp);
	if (dy)
		onx_gemm_one(&to_p, 1, dy + at->y, p->values, last ? 1 : 0, p->dp);
	for (size_t r = 0; r < g->q; r++)
		row_back(c, at, r, p->s + r * g->t, p->dp + r * g->t);
	if (dy)
		onx_gemm_one(&to_v, 1, p->s, dy + at->y, 1, p->dv);
	if (dq)
		onx_gemm_one(&to_q, (real)g->scale, p->dp, p->keys, dq->add ? 1 : 0, (real *)dq->v + at->q);
	onx_gemm_one(&to_k, (real)g->scale, p->dp, q, 1, p->dk);
}

/* The gradient of gathered rows to the input and its past. */
static void scatter(const struct onx_call *c, int i, size_t b, size_t h, size_t w, const real *from)
{
	const struct onx_attend_geo *g = c->geo;

	for (size_t r = 0; r < g->t; r++) {
		const struct onx_view *d = wanted(c, r < g->past ? i + PAST_K - K : i);
		real *to = d ? (real *)d->v + onx_head_row(g, b, h, r, w) : NULL;
		for (size_t j = 0; to && j < w; j++)
			onx_put(&to[j], d->add, from[r * w + j]);
	}
}

static void back_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct onx_attend_geo *g = c->geo;
	const size_t b = piece / g->hk, h = piece % g->hk, group = g->hq / g->hk, n = g->q * g->t;
	real *keys = (real *)((double *)c->scratch + (size_t)worker * onx_attend_piece(g, true));
	const struct part p = { keys, keys + g->t * g->d, keys + g->t * (g->d + g->dv),
				keys + g->t * (g->d + g->dv) + n, keys + g->t * (g->d + g->dv) + 2 * n,
				keys + g->t * (2 * g->d + g->dv) + 2 * n };

	onx_head_gather(c, K, b, h, g->d, p.keys);
	onx_head_gather(c, V, b, h, g->dv, p.values);
	onx_head_start(p.dk, given(c, 1), piece, g->t * g->d);
	onx_head_start(p.dv, given(c, 2), piece, g->t * g->dv);
	for (size_t i = h * group; i < (h + 1) * group; i++) {
		const struct onx_head at = onx_head_of(g, b, i);
		head_back(c, &at, &p);
	}
	scatter(c, K, b, h, g->d, p.dk);
	scatter(c, V, b, h, g->dv, p.dv);
}

/* With a gradient for the mask the pieces run one after another: heads may share its elements. */
void onx_attend_backward(const struct onx_call *c)
{
	const struct onx_attend_geo *g = c->geo;
	const struct onx_view *mask = wanted(c, MASK);
	double *sums = mask ? mask_sums(c) : NULL;

	for (size_t i = 0; mask && i < mask->n; i++)
		sums[i] = 0;
	onx_parallel(mask ? NULL : c->pool, g->b * g->hk, back_piece, (void *)c);
	for (size_t i = 0; mask && i < mask->n; i++)
		onx_put((real *)mask->v + i, mask->add, (real)sums[i]);
}
