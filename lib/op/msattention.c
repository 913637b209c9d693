/* op/msattention.c -- ONNX Runtime's Attention and MultiHeadAttention: softmax(scale Q K' + mask) V for each
 * head (Vaswani and others 2017, section 3.2), behind a common projection or with Q, K, V as given.
 *
 * Q, K and V are gathered by head into [B,H,S,dk], [B,H,T,dk], [B,H,T,dv], with the past keys and values in
 * front; all products are batches of matrices over B and H. */
#include "kernel/gemm.h"
#include "kernel/softmax.h"
#include "op/msattention_i.h"
#include <float.h>
#include <string.h>

/* ---- memory: Q, K, V, P saved; dQ, dK, dV, dP while going back; the projection and its gradient ---- */

static size_t n_q(const struct onx_ms_geo *g) { return g->b * g->h * g->s * g->dk; }
static size_t n_k(const struct onx_ms_geo *g) { return g->b * g->h * g->t * g->dk; }
static size_t n_v(const struct onx_ms_geo *g) { return g->b * g->h * g->t * g->dv; }
static size_t n_p(const struct onx_ms_geo *g) { return g->b * g->h * g->s * g->t; }
static size_t n_all(const struct onx_ms_geo *g) { return g->projects ? g->b * g->s * (g->hq + g->hk + g->hv) : 0; }

struct parts { real *q, *k, *v, *p, *all; };

static struct parts parts_of(const struct onx_ms_geo *g, void *mem)
{
	real *q = mem, *k = q + n_q(g), *v = k + n_k(g), *p = v + n_v(g);

	return (struct parts){ q, k, v, p, p + n_p(g) };
}

static size_t saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_ms_geo *g = s->geo;

	(void)attr;
	return (n_q(g) + n_k(g) + n_v(g) + n_p(g)) * sizeof(double);
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_ms_geo *g = s->geo;

	(void)attr, (void)threads;
	return (n_all(g) + (backward ? n_q(g) + n_k(g) + n_v(g) + n_p(g) : 0)) * sizeof(double);
}

/* ---- heads ---- */

/* One side is [B,H,T,d] (rows from `row` on), the other [B,L,ld] (columns from `col` on, `step` to the next head). */
struct heads { size_t b, h, t, row, l, d, ld, col, step; };

static void to_heads(const struct heads *m, const real *from, const real *bias, real *to)
{
	for (size_t b = 0; b < m->b; b++)
		for (size_t h = 0; h < m->h; h++)
			for (size_t i = 0; i < m->l; i++) {
				const real *x = from + (b * m->l + i) * m->ld + m->col + h * m->step;
				real *y = to + ((b * m->h + h) * m->t + m->row + i) * m->d;
				for (size_t j = 0; j < m->d; j++)
					y[j] = x[j] + (bias ? bias[h * m->d + j] : 0);
			}
}

static void from_heads(const struct heads *m, const real *from, real *to, bool add)
{
	for (size_t b = 0; b < m->b; b++)
		for (size_t h = 0; h < m->h; h++)
			for (size_t i = 0; i < m->l; i++) {
				const real *x = from + ((b * m->h + h) * m->t + m->row + i) * m->d;
				real *y = to + (b * m->l + i) * m->ld + m->col + h * m->step;
				for (size_t j = 0; j < m->d; j++)
					onx_put(&y[j], add, x[j]);
			}
}

/* Rows of all heads: [n][from_t][d] (from row `from_row` on) to [n][to_t][d] (to row `to_row`), l of each. */
struct rows { size_t n, l, d, from_t, from_row, to_t, to_row; };

static void move_rows(const struct rows *m, const real *from, real *to, bool add)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < m->l * m->d; j++)
			onx_put(&to[(i * m->to_t + m->to_row) * m->d + j], add,
				from[(i * m->from_t + m->from_row) * m->d + j]);
}

static const real *input(const struct onx_call *c, int i)
{
	return i < c->n_x ? c->x[i].v : NULL;
}

static real *output(const struct onx_call *c, int i)
{
	return i < c->n_y ? c->y[i].v : NULL;
}

/* Of a batch of nothing there is no memory. */
static void copy(real *to, const real *from, size_t n)
{
	if (n)
		memcpy(to, from, n * sizeof *to);
}

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
	const real *bias = input(job->c, g->bias_in);
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

/* y [B,S,H*dv] = softmax(scale Q K' + masks) V; qk: its argument, or NULL */
static void core_forward(const struct onx_call *c, const struct parts *m, real *qk)
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
	if (g->mask != ONX_MS_NO_MASK || input(c, g->bias_in) || ((const struct onx_ms_attention *)c->attr)->causal)
		onx_parallel(c->pool, g->b * g->h, mask_piece, &job);
	if (qk)
		copy(qk, m->p, n_p(g));
	onx_softmax_forward(c->pool, &(struct onx_lines){ g->b * g->h * g->s, g->t, 1 }, ONX_SOFTMAX, m->p, m->p);
	onx_gemm_batch(c->pool, &o, &out, 1, m->p, m->v, 0, c->y[0].v);
}

/* The scores' gradient, summed over what was broadcast, in double. */
static void bias_back(const struct onx_call *c, const real *dp)
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
static void core_backward(const struct onx_call *c, const struct parts *m, const struct parts *d, const real *dk,
			  const real *dv, const real *dqk)
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
	clear(d->k, n_k(g));
	clear(d->v, n_v(g));
	if (dk)
		copy(d->k, dk, n_k(g));
	if (dv)
		copy(d->v, dv, n_v(g));
	clear(d->q, n_q(g));
	clear(d->p, n_p(g));
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

/* ---- Attention: [Q K V] = X W + b ---- */

static struct heads part(const struct onx_ms_geo *g, bool query, size_t d, size_t col)
{
	return (struct heads){ g->b, g->h, query ? g->s : g->t, query ? 0 : g->past, query ? g->s : g->l, d,
			       g->hq + g->hk + g->hv, col, d };
}

static struct rows past_rows(const struct onx_ms_geo *g, size_t d)
{
	return (struct rows){ g->b * g->h, g->past, d, g->past, 0, g->t, 0 };
}

static void attention_forward(const struct onx_call *c)
{
	const struct onx_ms_geo *g = c->geo;
	const size_t all = g->hq + g->hk + g->hv, one = g->b * g->h * g->past * g->dk;
	const struct onx_mat w = { g->b * g->s, all, g->in, false, false, g->in, all, all };
	const struct parts m = parts_of(g, c->save);
	const struct heads q = part(g, true, g->dk, 0), k = part(g, false, g->dk, g->hq);
	const struct heads v = part(g, false, g->dv, g->hq + g->hk);
	const struct rows past = past_rows(g, g->dk);
	const real *bias = input(c, 2);
	real *x = c->scratch, *now = output(c, 1);

	onx_gemm(c->pool, &w, 1, c->x[0].v, c->x[1].v, 0, x);
	to_heads(&q, x, bias, m.q);
	to_heads(&k, x, bias ? bias + k.col : NULL, m.k);
	to_heads(&v, x, bias ? bias + v.col : NULL, m.v);
	if (g->past) {
		move_rows(&past, c->x[4].v, m.k, false);
		move_rows(&past, (const real *)c->x[4].v + one, m.v, false);
	}
	if (now) {
		copy(now, m.k, n_k(g));
		copy(now + n_k(g), m.v, n_v(g));
	}
	core_forward(c, &m, NULL);
}

static void columns(const struct onx_view *d, const real *from, size_t rows, size_t cols)
{
	for (size_t j = 0; j < cols; j++) {
		double sum = 0;
		for (size_t i = 0; i < rows; i++)
			sum += from[i * cols + j];
		onx_put((real *)d->v + j, d->add, (real)sum);
	}
}

static bool wanted(const struct onx_call *c, int i)
{
	return i < c->n_x && c->dx[i].v;
}

static void attention_backward(const struct onx_call *c)
{
	const struct onx_ms_geo *g = c->geo;
	const size_t all = g->hq + g->hk + g->hv, n = g->b * g->s, one = g->b * g->h * g->past * g->dk;
	const struct parts m = parts_of(g, c->save), d = parts_of(g, c->scratch);
	const real *now = c->n_y > 1 ? c->dy[1].v : NULL;
	const struct heads q = part(g, true, g->dk, 0), k = part(g, false, g->dk, g->hq);
	const struct heads v = part(g, false, g->dv, g->hq + g->hk);

	core_backward(c, &m, &d, now, now ? now + n_k(g) : NULL, NULL);
	from_heads(&q, d.q, d.all, false);
	from_heads(&k, d.k, d.all, false);
	from_heads(&v, d.v, d.all, false);
	if (wanted(c, 0)) {
		const struct onx_mat x = { n, g->in, all, false, true, all, all, g->in };
		onx_gemm(c->pool, &x, 1, d.all, c->x[1].v, c->dx[0].add, c->dx[0].v);
	}
	if (wanted(c, 1)) {
		const struct onx_mat w = { g->in, all, n, true, false, g->in, all, all };
		onx_gemm(c->pool, &w, 1, c->x[0].v, d.all, c->dx[1].add, c->dx[1].v);
	}
	if (wanted(c, 2))
		columns(&c->dx[2], d.all, n, all);
	if (wanted(c, 4)) {
		const struct rows back = { g->b * g->h, g->past, g->dk, g->t, 0, g->past, 0 };
		move_rows(&back, d.k, c->dx[4].v, c->dx[4].add);
		move_rows(&back, d.v, (real *)c->dx[4].v + one, c->dx[4].add);
	}
	if (wanted(c, 5))
		bias_back(c, d.p);
}

/* ---- MultiHeadAttention: Q, K, V are inputs, with one bias for all three; of keys and values that come by heads, as
 * a cache has them, it is part already, and the query's alone is left ---- */

/* The input that has query, key or value (i): one may hold several, side by side in each head. */
static int held(const struct onx_ms_geo *g, int i)
{
	return g->pack == 3 ? 0 : g->pack == 2 && i ? 1 : i;
}

/* query, key or value, and the part of the bias that is its own */
static struct heads own(const struct onx_ms_geo *g, int i)
{
	const size_t d = i == 2 ? g->dv : g->dk, at = (size_t)held(g, i);
	const size_t n = g->pack == 3 || at == 1 ? (g->pack ? g->pack : 1) : 1;

	return (struct heads){ g->b, g->h, i ? g->t : g->s, i ? g->past : 0, i ? g->l : g->s, d, g->h * d * n,
			       ((size_t)i - at) * d, d * n };
}

static const real *own_bias(const struct onx_call *c, int i)
{
	const struct onx_ms_geo *g = c->geo;
	const real *bias = input(c, 3);

	return bias && !(i && g->split_kv) ? bias + (i == 0 ? 0 : i == 1 ? g->hq : g->hq + g->hk) : NULL;
}

static void take(const struct onx_call *c, int i, real *to)
{
	const struct onx_ms_geo *g = c->geo;
	const struct heads m = own(g, i);

	if (i == 0 || !g->split_kv) {
		to_heads(&m, c->x[held(g, i)].v, own_bias(c, i), to);
		return;
	}
	const struct rows r = { g->b * g->h, g->l, m.d, g->l, 0, g->t, g->past };
	move_rows(&r, c->x[i].v, to, false);
}

static void multi_forward(const struct onx_call *c)
{
	const struct onx_ms_geo *g = c->geo;
	const struct parts m = parts_of(g, c->save);
	const struct rows pk = past_rows(g, g->dk), pv = past_rows(g, g->dv);

	take(c, 0, m.q);
	take(c, 1, m.k);
	take(c, 2, m.v);
	if (g->past) {
		move_rows(&pk, c->x[6].v, m.k, false);
		move_rows(&pv, c->x[7].v, m.v, false);
	}
	if (output(c, 1))
		copy(output(c, 1), m.k, n_k(g));
	if (output(c, 2))
		copy(output(c, 2), m.v, n_v(g));
	core_forward(c, &m, output(c, 3));
}

static void give(const struct onx_call *c, int i, const real *from)
{
	const struct onx_ms_geo *g = c->geo;
	const struct heads m = own(g, i);
	real *bias = wanted(c, 3) ? (real *)c->dx[3].v + (i == 0 ? 0 : i == 1 ? g->hq : g->hq + g->hk) : NULL;

	const int at = held(g, i);

	if (wanted(c, at) && (i == 0 || !g->split_kv)) {
		from_heads(&m, from, c->dx[at].v, c->dx[at].add);
	} else if (wanted(c, i)) {
		const struct rows r = { g->b * g->h, g->l, m.d, g->t, g->past, g->l, 0 };
		move_rows(&r, from, c->dx[i].v, c->dx[i].add);
	}
	for (size_t j = 0; bias && j < g->h * m.d; j++) {
		double sum = 0;
		for (size_t b = 0; b < g->b && !(i && g->split_kv); b++)
			for (size_t r = 0; r < m.l; r++)
				sum += from[((b * g->h + j / m.d) * m.t + m.row + r) * m.d + j % m.d];
		onx_put(&bias[j], c->dx[3].add, (real)sum);
	}
}

static void multi_backward(const struct onx_call *c)
{
	const struct onx_ms_geo *g = c->geo;
	const struct parts m = parts_of(g, c->save), d = parts_of(g, c->scratch);
	const real *const grad[3] = { d.q, d.k, d.v };

	core_backward(c, &m, &d, c->n_y > 1 ? c->dy[1].v : NULL, c->n_y > 2 ? c->dy[2].v : NULL,
		      c->n_y > 3 ? c->dy[3].v : NULL);
	for (int i = 0; i < 3; i++)
		give(c, i, grad[i]);
	if (wanted(c, 5))
		bias_back(c, d.p);
	for (int i = 6; i < 8; i++) {
		const size_t n = i == 6 ? g->dk : g->dv;
		const struct rows back = { g->b * g->h, g->past, n, g->t, 0, g->past, 0 };
		if (wanted(c, i))
			move_rows(&back, grad[i - 5], c->dx[i].v, c->dx[i].add);
	}
}

static double macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_ms_geo *g = s->geo;

	(void)attr;
	return (double)n_p(g) * (double)(g->dk + g->dv) + (double)n_all(g) * (double)g->in;
}

#define D ONX_G_DIFF
#define N ONX_G_NEVER
const struct onx_op ONX_R(onx_ops_msattention)[] = {
	{ .domain = "com.microsoft", .type = "Attention", .since = 1, .min_in = 2, .max_in = 6, .min_out = 1,
	  .max_out = 2, .grad = { D, D, D, N, D, D }, .n_grad = 6, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1),
	  .weight = 6, .attr = &onx_ms_attention_table, .infer = onx_ms_attention_infer, .saved = saved,
	  .scratch = scratch, .macs = macs, .forward = attention_forward, .backward = attention_backward },
	{ .domain = "com.microsoft", .type = "MultiHeadAttention", .since = 1, .min_in = 1, .max_in = 8,
	  .min_out = 1, .max_out = 4, .grad = { D, D, D, D, N, D, D, D }, .n_grad = 8, .weight = 8,
	  .attr = &onx_ms_multi_table, .infer = onx_ms_multi_infer, .saved = saved, .scratch = scratch, .macs = macs,
	  .forward = multi_forward, .backward = multi_backward },
	{ .type = NULL }
};
