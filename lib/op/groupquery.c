/* op/groupquery.c -- ONNX Runtime's GroupQueryAttention: attention in which several query heads share a head of keys
 * and values, behind a cache of past ones, with rotary positions (Ainslie and others 2023; onnxruntime,
 * docs/ContribOperators.md).
 *
 * Query [b][s][hq d], key and value [b][s][hk d], or all three side by side in query.  The past [b][hk][p][d] is a
 * cache: sample b has `from` = seqlens_k + 1 - s rows of it, 0 where the sequence is as long as the total; the new rows
 * come behind them in the present [b][hk][t][d].  Query i sees the keys up to from + i, at most local_window_size of
 * them.  Scores are capped, then attention_bias is added; a sink adds exp(head_sink) to the divisor (smooth_softmax:
 * exp(0)).  A position that the tables do not have turns by nothing; lengths are held to what the present has room for.
 *
 * A piece is a sample and a head of keys. */
#include <inttypes.h>
#include <string.h>
#include "kernel/gemm.h"
#include "op/attend.h"
#include "op/groupquery_i.h"

static const struct onx_view *input(const struct onx_call *c, int i)
{
	return i < c->n_x && c->x[i].v ? &c->x[i] : NULL;
}

/* Rows of the past that sample b has. */
static size_t past_of(const struct onx_call *c, size_t b)
{
	const struct onx_gq_geo *g = c->geo;
	const int64_t last = onx_view_int(&c->x[ONX_GQ_LENGTHS], b), from = last + 1 - (int64_t)g->s;

	if (g->first || from < 0)
		return 0;
	return (size_t)from < g->t - g->s ? (size_t)from : g->t - g->s;
}

/* Where row i of query (0), key (1) or value (2) is, of head h. */
static size_t row_at(const struct onx_gq_geo *g, int what, size_t b, size_t i, size_t h)
{
	const size_t heads = g->packed ? g->hq + 2 * g->hk : what == 0 ? g->hq : g->hk;
	const size_t before = !g->packed || what == 0 ? 0 : what == 1 ? g->hq : g->hq + g->hk;

	return ((b * g->s + i) * heads + before + h) * g->d;
}

/* Turns row i of sample b, n places behind the start of the sequence; way -1: back. */
static void turn(const struct onx_call *c, size_t b, size_t i, size_t from, real way, real *x)
{
	const struct onx_gq_geo *g = c->geo;
	const bool next = ((const struct onx_gq *)c->attr)->interleaved;
	const struct onx_view *ids = input(c, ONX_GQ_IDS);
	const int64_t at = ids ? onx_view_int(ids, b * g->s + i) : (int64_t)(from + i);

	if (!g->half || at < 0 || at >= c->x[ONX_GQ_COS].dim[0])
		return;
	const real *cosine = (const real *)c->x[ONX_GQ_COS].v + (size_t)at * g->half;
	const real *sine = (const real *)c->x[ONX_GQ_SIN].v + (size_t)at * g->half;
	for (size_t k = 0; k < g->half; k++) {
		const size_t j = next ? 2 * k : k, l = next ? j + 1 : k + g->half;
		const real p = x[j], q = x[l], s = way * sine[k];
		x[j] = cosine[k] * p - s * q;
		x[l] = s * p + cosine[k] * q;
	}
}

/* All t rows of keys (1) or values (2): the past, the new ones, zeros. */
static void gather(const struct onx_call *c, int what, size_t b, size_t h, real *to)
{
	const struct onx_gq_geo *g = c->geo;
	const size_t from = past_of(c, b);
	const real *x = c->x[g->packed ? 0 : what].v;
	const real *old = g->past ? c->x[ONX_GQ_PAST_K - 1 + what].v : NULL;

	for (size_t r = 0; r < g->t; r++) {
		real *row = to + r * g->d;
		if (r >= from && r < from + g->s) {
			memcpy(row, x + row_at(g, what, b, r - from, h), g->d * sizeof *row);
			if (what == 1)
				turn(c, b, r - from, from, 1, row);
		} else if (r < g->past) {
			memcpy(row, old + ((b * g->hk + h) * g->past + r) * g->d, g->d * sizeof *row);
		} else {
			memset(row, 0, g->d * sizeof *row);
		}
	}
}

static void gather_query(const struct onx_call *c, size_t b, size_t h, real *to)
{
	const struct onx_gq_geo *g = c->geo;
	const size_t from = past_of(c, b);

	for (size_t i = 0; i < g->s; i++) {
		memcpy(to + i * g->d, (const real *)c->x[0].v + row_at(g, 0, b, i, h), g->d * sizeof *to);
		turn(c, b, i, from, 1, to + i * g->d);
	}
}

/* s [s][t] = scale q K', capped */
static void scores(const struct onx_call *c, const real *q, const real *keys, real *s)
{
	const struct onx_gq_geo *g = c->geo;
	const double cap = ((const struct onx_gq *)c->attr)->cap;
	const struct onx_mat m = { g->s, g->t, g->d, false, true, g->d, g->d, g->t };

	onx_gemm_one(&m, (real)g->scale, q, keys, 0, s);
	for (size_t i = 0; cap > 0 && i < g->s * g->t; i++)
		s[i] = (real)(cap * tanh((double)s[i] / cap));
}

struct span { size_t lo, hi; };

/* The keys that query i of sample b sees. */
static struct span seen(const struct onx_call *c, size_t b, size_t i)
{
	const struct onx_gq_geo *g = c->geo;
	const struct onx_gq *a = c->attr;
	const size_t from = past_of(c, b), hi = from + (a->causal ? i + 1 : g->s);

	return (struct span){ a->window > 0 && hi > (size_t)a->window ? hi - (size_t)a->window : 0, hi };
}

/* The place of a bias; SIZE_MAX: none. */
static size_t bias_at(const struct onx_gq_geo *g, size_t b, size_t h, size_t i, size_t k)
{
	return k < g->wide ? b * g->bias_b + h * g->bias_h + i * g->wide + k : SIZE_MAX;
}

/* Row by row softmax of scores; what nobody sees is 0. */
static void softmax(const struct onx_call *c, size_t b, size_t h, real *s)
{
	const struct onx_gq_geo *g = c->geo;
	const struct onx_view *bias = input(c, ONX_GQ_BIAS), *sink = input(c, ONX_GQ_SINK);
	const bool smooth = sink || ((const struct onx_gq *)c->attr)->smooth;
	const double drain = sink ? (double)((const real *)sink->v)[h] : 0;

	for (size_t i = 0; i < g->s; i++) {
		const struct span v = seen(c, b, i);
		real *row = s + i * g->t;
		double most = smooth ? drain : -INFINITY, sum = 0;
		for (size_t k = v.lo; k < v.hi; k++) {
			const size_t at = bias ? bias_at(g, b, h, i, k) : SIZE_MAX;
			row[k] += at == SIZE_MAX ? 0 : ((const real *)bias->v)[at];
			most = (double)row[k] > most ? (double)row[k] : most;
		}
		for (size_t k = v.lo; k < v.hi; k++)
			sum += exp((double)row[k] - most);
		sum += smooth ? exp(drain - most) : 0;
		for (size_t k = 0; k < g->t; k++)
			row[k] = k < v.lo || k >= v.hi ? 0 : (real)(exp((double)row[k] - most) / sum);
	}
}

static real *probabilities(const struct onx_call *c, size_t b, size_t h)
{
	const struct onx_gq_geo *g = c->geo;

	return (real *)c->save + (b * g->hq + h) * g->s * g->t;
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct onx_gq_geo *g = c->geo;
	const size_t b = piece / g->hk, kv = piece % g->hk, group = g->hq / g->hk, n = g->t * g->d;
	real *keys = (real *)((double *)c->scratch + (size_t)worker * onx_gq_piece(g, false));
	real *values = keys + n, *q = values + n;
	const struct onx_mat m = { g->s, g->d, g->t, false, false, g->t, g->d, g->hq * g->d };

	gather(c, 1, b, kv, keys);
	gather(c, 2, b, kv, values);
	if (c->n_y > 1 && c->y[1].v)
		memcpy((real *)c->y[1].v + piece * n, keys, n * sizeof *keys);
	if (c->n_y > 2 && c->y[2].v)
		memcpy((real *)c->y[2].v + piece * n, values, n * sizeof *values);
	for (size_t h = kv * group; h < (kv + 1) * group; h++) {
		real *p = probabilities(c, b, h);
		gather_query(c, b, h, q);
		scores(c, q, keys, p);
		softmax(c, b, h, p);
		if (c->y[0].v)
			onx_gemm_one(&m, 1, p, values, 0, (real *)c->y[0].v + (b * g->s * g->hq + h) * g->d);
	}
}

void onx_gq_forward(const struct onx_call *c)
{
	const struct onx_gq_geo *g = c->geo;

	onx_parallel(c->pool, g->b * g->hk, forward_piece, (void *)c);
}

/* ---- backward ---- */

static const struct onx_view *wanted(const struct onx_call *c, int i)
{
	return i < c->n_x && c->dx[i].v ? &c->dx[i] : NULL;
}

/* Sums in double, behind the pieces: of the bias, then of the sinks. */
static double *sums_of(const struct onx_call *c)
{
	const size_t n = (size_t)onx_pool_threads(c->pool) * onx_gq_piece(c->geo, true);

	return (double *)c->scratch + n;
}

struct part { real *keys, *values, *q, *dq, *s, *dp, *dk, *dv; };

/* dp: in the gradient of the probabilities p, out that of the product in front of the cap (s: behind it). */
static void rows_back(const struct onx_call *c, size_t b, size_t h, const real *p, const struct part *m)
{
	const struct onx_gq_geo *g = c->geo;
	const double cap = ((const struct onx_gq *)c->attr)->cap;
	double *bias = wanted(c, ONX_GQ_BIAS) ? sums_of(c) : NULL;
	double *sink = wanted(c, ONX_GQ_SINK) ? sums_of(c) + g->n_bias + h : NULL;

	for (size_t i = 0; i < g->s; i++) {
		double dot = 0, all = 0;
		for (size_t k = 0; k < g->t; k++) {
			dot += (double)p[i * g->t + k] * (double)m->dp[i * g->t + k];
			all += (double)p[i * g->t + k];
		}
		for (size_t k = 0; k < g->t; k++) {
			const size_t at = i * g->t + k, to = bias ? bias_at(g, b, h, i, k) : SIZE_MAX;
			const double ratio = cap > 0 ? (double)m->s[at] / cap : 0;
			const double d = (double)p[at] * ((double)m->dp[at] - dot);
			if (to != SIZE_MAX)
				bias[to] += d;
			m->dp[at] = (real)(d * (1 - ratio * ratio));
		}
		if (sink)
			*sink -= (1 - all) * dot;
	}
}

static void head_back(const struct onx_call *c, size_t b, size_t h, const struct part *m)
{
	const struct onx_gq_geo *g = c->geo;
	const real *p = probabilities(c, b, h), *dy = c->dy[0].v;
	const struct onx_view *d = wanted(c, 0);
	const size_t ld = g->hq * g->d, at = (b * g->s * g->hq + h) * g->d, from = past_of(c, b);
	const struct onx_mat to_p = { g->s, g->t, g->d, false, true, ld, g->d, g->t };
	const struct onx_mat to_v = { g->t, g->d, g->s, true, false, g->t, ld, g->d };
	const struct onx_mat to_q = { g->s, g->d, g->t, false, false, g->t, g->d, g->d };
	const struct onx_mat to_k = { g->t, g->d, g->s, true, false, g->t, g->d, g->d };

	gather_query(c, b, h, m->q);
	if (dy) {
		if (((const struct onx_gq *)c->attr)->cap > 0)
			scores(c, m->q, m->keys, m->s);
		onx_gemm_one(&to_v, 1, p, dy + at, 1, m->dv);
		onx_gemm_one(&to_p, 1, dy + at, m->values, 0, m->dp);
		rows_back(c, b, h, p, m);
		onx_gemm_one(&to_k, (real)g->scale, m->dp, m->q, 1, m->dk);
		onx_gemm_one(&to_q, (real)g->scale, m->dp, m->keys, 0, m->dq);
	} else {
		memset(m->dq, 0, g->s * g->d * sizeof *m->dq);
	}
	for (size_t i = 0; d && i < g->s; i++) {
		real *to = (real *)d->v + row_at(g, 0, b, i, h);
		turn(c, b, i, from, -1, m->dq + i * g->d);
		for (size_t j = 0; j < g->d; j++)
			onx_put(&to[j], d->add, m->dq[i * g->d + j]);
	}
}

/* The gradient of gathered rows to the input and the past. */
static void scatter(const struct onx_call *c, int what, size_t b, size_t h, real *from)
{
	const struct onx_gq_geo *g = c->geo;
	const struct onx_view *d = wanted(c, g->packed ? 0 : what), *old = wanted(c, ONX_GQ_PAST_K - 1 + what);
	const size_t start = past_of(c, b);

	for (size_t i = 0; d && i < g->s; i++) {
		real *row = from + (start + i) * g->d, *to = (real *)d->v + row_at(g, what, b, i, h);
		if (what == 1)
			turn(c, b, i, start, -1, row);
		for (size_t j = 0; j < g->d; j++)
			onx_put(&to[j], d->add, row[j]);
	}
	for (size_t r = 0; old && r < g->past; r++) {
		real *to = (real *)old->v + ((b * g->hk + h) * g->past + r) * g->d;
		const bool kept = r < start || r >= start + g->s;
		for (size_t j = 0; j < g->d; j++)
			onx_put(&to[j], old->add, kept ? from[r * g->d + j] : 0);
	}
}

static void back_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct onx_gq_geo *g = c->geo;
	const size_t b = piece / g->hk, kv = piece % g->hk, group = g->hq / g->hk, n = g->t * g->d, q = g->s * g->d;
	real *at = (real *)((double *)c->scratch + (size_t)worker * onx_gq_piece(g, true));
	const struct part m = { at, at + n, at + 2 * n, at + 2 * n + q, at + 2 * n + 2 * q,
				at + 2 * n + 2 * q + g->s * g->t, at + 2 * n + 2 * q + 2 * g->s * g->t,
				at + 3 * n + 2 * q + 2 * g->s * g->t };

	gather(c, 1, b, kv, m.keys);
	gather(c, 2, b, kv, m.values);
	onx_head_start(m.dk, c->n_y > 1 ? c->dy[1].v : NULL, piece, n);
	onx_head_start(m.dv, c->n_y > 2 ? c->dy[2].v : NULL, piece, n);
	for (size_t h = kv * group; h < (kv + 1) * group; h++)
		head_back(c, b, h, &m);
	scatter(c, 1, b, kv, m.dk);
	scatter(c, 2, b, kv, m.dv);
}

/* With a gradient for the bias or the sinks the pieces run one after another: they share sums. */
void onx_gq_backward(const struct onx_call *c)
{
	const struct onx_gq_geo *g = c->geo;
	const struct onx_view *bias = wanted(c, ONX_GQ_BIAS), *sink = wanted(c, ONX_GQ_SINK);
	double *sums = bias || sink ? sums_of(c) : NULL;

	for (size_t i = 0; sums && i < g->n_bias + g->hq; i++)
		sums[i] = 0;
	onx_parallel(sums ? NULL : c->pool, g->b * g->hk, back_piece, (void *)c);
	for (size_t i = 0; bias && i < g->n_bias; i++)
		onx_put((real *)bias->v + i, bias->add, (real)sums[i]);
	for (size_t i = 0; sink && i < g->hq; i++)
		onx_put((real *)sink->v + i, sink->add, (real)sums[g->n_bias + i]);
}
