/* op/msattention_core.c -- softmax(scale Q K' + mask) V for each head (Vaswani and others 2017, section 3.2), forward
 * and backward; all products are batches of matrices over B and H. */
#include "kernel/gemm.h"
#include "kernel/softmax.h"
#include "op/msattention_i.h"
#include <float.h>

static void clear(real *to, size_t n)
{
	if (n)
		memset(to, 0, n * sizeof *to);
}

/* ---- the mask ---- */

static bool hidden(const struct onx_ms_geo *g, const int32_t *m, size_t b, size_t i, size_t j)
{
	switch (g->mask) {
	case ONX_MS_NO_MASK: break;
	case ONX_MS_LENGTHS: return (int64_t)j >= m[b];
	case ONX_MS_ENDS:    return (int64_t)j >= m[b] || (int64_t)j < m[g->b + b];
	case ONX_MS_BY_KEY:  return m[b * g->t + j] == 0;
	case ONX_MS_BY_PAIR: return m[(b * g->s + i) * g->t + j] == 0;
	case ONX_MS_SQUARE:  return m[(b * g->square + g->past + i) * g->square + j] == 0;
	}
	return false;
}

struct job { const struct onx_call *c; real *p; };

/* One head: adds masks and bias to its scores. */
static void mask_piece(void *ctx, size_t at, int worker)
{
	const struct job *job = ctx;
	const struct onx_ms_geo *g = job->c->geo;
	const struct onx_ms_attention *a = job->c->attr;
	const int32_t *m = g->mask == ONX_MS_NO_MASK ? NULL : job->c->x[g->mask_in].v;
	const real *bias = onx_ms_input(job->c, g->bias_in);
	const size_t b = at / g->h, h = at % g->h;
	real *p = job->p + at * g->s * g->t;

	(void)worker;
	for (size_t i = 0; i < g->s; i++)
		for (size_t j = 0; j < g->t; j++) {
			real *s = &p[i * g->t + j];
			if (bias)
				*s += bias[b * g->bias_b + h * g->bias_h + i * g->t + j];
			if (m && hidden(g, m, b, i, j))
				*s += (real)a->filter;
			if (a->causal && j > g->past + i)
				*s = -FLT_MAX;          /* in double, too: scores may be an output */
		}
}

/* ---- forward and backward of what both share ---- */

static struct onx_batch heads_batch(const struct onx_ms_geo *g, size_t a, size_t b, size_t c)
{
	return (struct onx_batch){ .n_outer = 1, .outer = { g->b * g->h }, .outer_a = { a }, .outer_b = { b },
				   .outer_c = { c } };
}

void onx_ms_core(const struct onx_call *c, const struct onx_ms_parts *m, real *qk)
{
	const struct onx_ms_geo *g = c->geo;
	const struct onx_mat s = { g->s, g->t, g->dk, false, true, g->dk, g->dk, g->t };
	const struct onx_mat o = { g->s, g->dv, g->t, false, false, g->t, g->dv, g->hv };
	const struct onx_batch score = heads_batch(g, g->s * g->dk, g->t * g->dk, g->s * g->t);
	const struct onx_batch out = { .n_outer = 2, .outer = { g->b, g->h },
				       .outer_a = { g->h * g->s * g->t, g->s * g->t },
				       .outer_b = { g->h * g->t * g->dv, g->t * g->dv },
				       .outer_c = { g->s * g->hv, g->dv } };
	struct job job = { c, m->p };

	onx_gemm_batch(c->pool, &s, &score, (real)g->scale, m->q, m->k, 0, m->p);
	if (g->mask != ONX_MS_NO_MASK || onx_ms_input(c, g->bias_in) ||
	    ((const struct onx_ms_attention *)c->attr)->causal)
		onx_parallel(c->pool, g->b * g->h, mask_piece, &job);
	if (qk)
		onx_ms_copy(qk, m->p, onx_ms_n_p(g));
	onx_softmax_forward(c->pool, &(struct onx_lines){ g->b * g->h * g->s, g->t, 1 }, ONX_SOFTMAX, m->p, m->p);
	onx_gemm_batch(c->pool, &o, &out, 1, m->p, m->v, 0, c->y[0].v);
}

/* The scores' gradient, summed over what was broadcast, in double. */
void onx_ms_bias_back(const struct onx_call *c, const real *dp)
{
	const struct onx_ms_geo *g = c->geo;
	const struct onx_view *d = &c->dx[g->bias_in];
	const size_t one = g->s * g->t, nb = g->bias_b ? g->b : 1, nh = g->bias_h ? g->h : 1;

	for (size_t b = 0; b < nb; b++)
		for (size_t h = 0; h < nh; h++)
			for (size_t i = 0; i < one; i++) {
				double sum = 0;
				for (size_t bb = b; bb < (g->bias_b ? b + 1 : g->b); bb++)
					for (size_t hh = h; hh < (g->bias_h ? h + 1 : g->h); hh++)
						sum += dp[(bb * g->h + hh) * one + i];
				onx_put((real *)d->v + b * g->bias_b + h * g->bias_h + i, d->add, (real)sum);
			}
}

/* Scores that are an output: nothing goes back through keys that `unidirectional` hides. */
static void scores_back(const struct onx_call *c, const real *dqk, real *dp)
{
	const struct onx_ms_geo *g = c->geo;
	const bool causal = ((const struct onx_ms_attention *)c->attr)->causal;

	for (size_t r = 0; r < g->b * g->h * g->s; r++) {
		const size_t n = causal && g->past + r % g->s + 1 < g->t ? g->past + r % g->s + 1 : g->t;
		for (size_t j = 0; j < n; j++)
			dp[r * g->t + j] += dqk[r * g->t + j];
	}
}

/* dV = P' dY, dP = dY V', dS = P (dP - sum dP P) + dqk, dQ = scale dS K, dK = scale dS' Q */
void onx_ms_core_back(const struct onx_call *c, const struct onx_ms_parts *m, const struct onx_ms_parts *d,
		      const real *dk, const real *dv, const real *dqk)
{
	const struct onx_ms_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	const size_t st = g->s * g->t, sv = g->t * g->dv, sk = g->t * g->dk, sq = g->s * g->dk;
	const struct onx_batch v = { .n_outer = 2, .outer = { g->b, g->h }, .outer_a = { g->h * st, st },
				     .outer_b = { g->s * g->hv, g->dv }, .outer_c = { g->h * sv, sv } };
	const struct onx_batch p = { .n_outer = 2, .outer = { g->b, g->h }, .outer_a = { g->s * g->hv, g->dv },
				     .outer_b = { g->h * sv, sv }, .outer_c = { g->h * st, st } };
	const struct onx_mat to_v = { g->t, g->dv, g->s, true, false, g->t, g->hv, g->dv };
	const struct onx_mat to_p = { g->s, g->t, g->dv, false, true, g->hv, g->dv, g->t };
	const struct onx_mat to_q = { g->s, g->dk, g->t, false, false, g->t, g->dk, g->dk };
	const struct onx_mat to_k = { g->t, g->dk, g->s, true, false, g->t, g->dk, g->dk };
	const struct onx_batch q = heads_batch(g, st, sk, sq), k = heads_batch(g, st, sq, sk);

	/* what the present passes back is there first */
	clear(d->k, onx_ms_n_k(g));
	clear(d->v, onx_ms_n_v(g));
	if (dk)
		onx_ms_copy(d->k, dk, onx_ms_n_k(g));
	if (dv)
		onx_ms_copy(d->v, dv, onx_ms_n_v(g));
	clear(d->q, onx_ms_n_q(g));
	clear(d->p, onx_ms_n_p(g));
	if (dy) {
		onx_gemm_batch(c->pool, &to_v, &v, 1, m->p, dy, 1, d->v);
		onx_gemm_batch(c->pool, &to_p, &p, 1, dy, m->v, 0, d->p);
		onx_softmax_backward(c->pool, &(struct onx_lines){ g->b * g->h * g->s, g->t, 1 }, ONX_SOFTMAX, m->p,
				     d->p, d->p, false);
	}
	if (dqk)
		scores_back(c, dqk, d->p);
	if (!dy && !dqk)
		return;
	onx_gemm_batch(c->pool, &to_q, &q, (real)g->scale, d->p, m->k, 0, d->q);
	onx_gemm_batch(c->pool, &to_k, &k, (real)g->scale, d->p, m->q, 1, d->k);
}
