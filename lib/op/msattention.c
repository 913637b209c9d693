/* op/msattention.c -- ONNX Runtime's Attention and MultiHeadAttention: softmax(scale Q K' + mask) V for each
 * head (msattention_core.c), behind a common projection or with Q, K, V as given.
 *
 * Q, K and V are gathered by head into [B,H,S,dk], [B,H,T,dk], [B,H,T,dv], with the past keys and values in
 * front. */
#include "kernel/gemm.h"
#include "op/msattention_i.h"

static size_t saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_ms_geo *g = s->geo;

	(void)attr;
	return (onx_ms_n_q(g) + onx_ms_n_k(g) + onx_ms_n_v(g) + onx_ms_n_p(g)) * sizeof(double);
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_ms_geo *g = s->geo;

	(void)threads;
	return backward ? onx_ms_n_all(g) * sizeof(double) + saved(s, attr) : onx_ms_n_all(g) * sizeof(double);
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

static real *output(const struct onx_call *c, int i)
{
	return i < c->n_y ? c->y[i].v : NULL;
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
	const struct onx_ms_parts m = onx_ms_parts_of(g, c->save);
	const struct heads q = part(g, true, g->dk, 0), k = part(g, false, g->dk, g->hq);
	const struct heads v = part(g, false, g->dv, g->hq + g->hk);
	const struct rows past = past_rows(g, g->dk);
	const real *bias = onx_ms_input(c, 2);
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
		onx_ms_copy(now, m.k, onx_ms_n_k(g));
		onx_ms_copy(now + onx_ms_n_k(g), m.v, onx_ms_n_v(g));
	}
	onx_ms_core(c, &m, NULL);
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
	const struct onx_ms_parts m = onx_ms_parts_of(g, c->save), d = onx_ms_parts_of(g, c->scratch);
	const real *now = c->n_y > 1 ? c->dy[1].v : NULL;
	const struct heads q = part(g, true, g->dk, 0), k = part(g, false, g->dk, g->hq);
	const struct heads v = part(g, false, g->dv, g->hq + g->hk);

	onx_ms_core_back(c, &m, &d, now, now ? now + onx_ms_n_k(g) : NULL, NULL);
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
		onx_ms_bias_back(c, d.p);
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
	const real *bias = onx_ms_input(c, 3);

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
	const struct onx_ms_parts m = onx_ms_parts_of(g, c->save);
	const struct rows pk = past_rows(g, g->dk), pv = past_rows(g, g->dv);

	take(c, 0, m.q);
	take(c, 1, m.k);
	take(c, 2, m.v);
	if (g->past) {
		move_rows(&pk, c->x[6].v, m.k, false);
		move_rows(&pv, c->x[7].v, m.v, false);
	}
	if (output(c, 1))
		onx_ms_copy(output(c, 1), m.k, onx_ms_n_k(g));
	if (output(c, 2))
		onx_ms_copy(output(c, 2), m.v, onx_ms_n_v(g));
	onx_ms_core(c, &m, output(c, 3));
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
	const struct onx_ms_parts m = onx_ms_parts_of(g, c->save), d = onx_ms_parts_of(g, c->scratch);
	const real *const grad[3] = { d.q, d.k, d.v };

	onx_ms_core_back(c, &m, &d, c->n_y > 1 ? c->dy[1].v : NULL, c->n_y > 2 ? c->dy[2].v : NULL,
		      c->n_y > 3 ? c->dy[3].v : NULL);
	for (int i = 0; i < 3; i++)
		give(c, i, grad[i]);
	if (wanted(c, 5))
		onx_ms_bias_back(c, d.p);
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
	return (double)onx_ms_n_p(g) * (double)(g->dk + g->dv) + (double)onx_ms_n_all(g) * (double)g->in;
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
