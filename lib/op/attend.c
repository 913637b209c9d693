/* op/attend.c -- Attention of the default domain: softmax(scale Q K' + bias) V for each head.
 *
 * Q [b][hq][q][d] or [b][q][hq d]; K, V likewise with hk heads, hk dividing hq: query head h reads head
 * h / (hq / hk).  Past keys and values [b][hk][past][d] come in front.  The bias is attn_mask, shorter
 * ones going on as masked; no key behind the query's own (is_causal: keys in front of the block of queries
 * count as seen); none from nonpad_kv_seqlen on.  A query that may see nothing gives zeros.
 *
 * A piece is a sample and a head of K: keys and values are gathered, then one query head after the other
 * goes through two products.  Backward computes the scores again from what a row's softmax
 * was divided by, so the memory between the passes is a number for each row. */
#include <inttypes.h>
#include <string.h>
#include "kernel/gemm.h"
#include "op/attend.h"
#include "op/infer.h"
#include "op/whole.h"

#define FIELD(text, what, member, d, lo, hi, about) { text, what, offsetof(struct onx_attend, member), .def = d, \
	.min = lo, .max = hi, .help = about }
static const struct onx_field attend_field[] = {
	FIELD("is_causal", F_INT, causal, "0", 0, 1, "1: no key after the query's own"),
	FIELD("kv_num_heads", F_INT, hk, "0", 0, 1 << 20, "heads of K and V, where these have rank 3"),
	FIELD("q_num_heads", F_INT, hq, "0", 0, 1 << 20, "heads of Q, where it has rank 3"),
	FIELD("qk_matmul_output_mode", F_INT, mode, "0", 0, 3,
	      "output 3: 0 scores, 1 capped, 2 with the bias, 3 behind the softmax"),
	FIELD("scale", F_REAL, scale, "0", 0, 0, "factor of the scores; default: 1 / sqrt(d)"),
	FIELD("softcap", F_REAL, cap, "0", 0, 1e30, "c: scores become c tanh(score / c); 0: they do not"),
	FIELD("softmax_precision", F_INT, precision, "0", 0, 64, "element type of the softmax; here the run's"),
	{ .name = NULL }
};
static const struct onx_table attend_attr = { "Attention", sizeof(struct onx_attend), attend_field,
					      .given = offsetof(struct onx_attend, given) };

enum { Q = ONX_AT_Q, K = ONX_AT_K, V = ONX_AT_V, MASK = ONX_AT_MASK, PAST_K = ONX_AT_PAST_K,
       PAST_V = ONX_AT_PAST_V, LENGTHS = ONX_AT_LENGTHS };

/* ---- shapes ---- */

static int heads_of(const struct onx_infer *s, int i, int64_t given, int64_t *heads, int64_t *len, int64_t *width,
		    struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape;

	*heads = *len = *width = 0;
	if (x->rank == 4) {
		*heads = x->dim[1], *len = x->dim[2], *width = x->dim[3];
		return ONX_OK;
	}
	if (given < 1 || x->dim[2] % given)
		return onx_fail(e, ONX_SHAPE, "input %d has %" PRId64 " numbers for %" PRId64 " heads", i, x->dim[2],
				given);
	*heads = given, *len = x->dim[1], *width = x->dim[2] / given;
	return ONX_OK;
}

static int want_past(struct onx_infer *s, struct onx_attend_geo *g, struct onx_err *e)
{
	char t[ONX_SHAPE_TEXT];

	if (onx_has_in(s, PAST_K) != onx_has_in(s, PAST_V))
		return onx_fail(e, ONX_SHAPE, "past keys and values come together or not at all");
	for (int i = PAST_K; i <= PAST_V && onx_has_in(s, PAST_K); i++) {
		const int64_t *d = s->in[i].shape.dim;
		int rc = onx_want_rank(s, i, 4, 4, e);
		if (rc == ONX_OK)
			rc = onx_want_same_type(s, i == PAST_K ? K : V, i, e);
		if (rc < 0)
			return rc;
		g->past = (size_t)s->in[PAST_K].shape.dim[2];
		if (d[0] != (int64_t)g->b || d[1] != (int64_t)g->hk || d[2] != (int64_t)g->past ||
		    d[3] != (int64_t)(i == PAST_K ? g->d : g->dv))
			return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted [%zu,%zu,%zu,%zu]", i,
					onx_shape_text(4, d, t, sizeof t), g->b, g->hk, g->past,
					i == PAST_K ? g->d : g->dv);
	}
	return ONX_OK;
}

static int want_mask(struct onx_infer *s, struct onx_attend_geo *g, struct onx_err *e)
{
	const struct onx_shape *m = &s->in[MASK].shape;
	const int64_t full[4] = { (int64_t)g->b, (int64_t)g->hq, (int64_t)g->q, (int64_t)g->t };
	size_t *step[4] = { &g->mask_b, &g->mask_h, &g->mask_q, &g->mask_k }, next = 1;
	char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
	int rc;

	if (!onx_has_in(s, MASK))
		return ONX_OK;
	if ((rc = onx_want_rank(s, MASK, 1, 4, e)) < 0 ||
	    (s->in[MASK].type != ONX_BOOL && !onx_is_whole(s->in[MASK].type) && (rc = onx_want_real(s, MASK, e)) < 0))
		return rc;
	for (int d = 3, own = m->rank - 1; own >= 0; d--, own--) {
		const int64_t n = m->dim[own];
		if (n != full[d] && n != 1 && !(d == 3 && n < full[d]))
			return onx_fail(e, ONX_SHAPE, "a mask of shape %s for scores of shape %s",
					onx_shape_text(m->rank, m->dim, t, sizeof t),
					onx_shape_text(4, full, u, sizeof u));
		*step[d] = n == 1 && (d < 3 || full[3] == 1 || s->version < 24) ? 0 : next;
		next *= (size_t)n;
	}
	const int64_t keys = m->dim[m->rank - 1];
	g->mask_n = keys == 1 && g->mask_k == 0 ? g->t : (size_t)keys;
	return ONX_OK;
}

static int set_outputs(struct onx_infer *s, const struct onx_attend_geo *g, struct onx_err *e)
{
	const int64_t b = (int64_t)g->b, q = (int64_t)g->q, hq = (int64_t)g->hq, hk = (int64_t)g->hk;
	const int64_t t = (int64_t)g->t, d = (int64_t)g->d, dv = (int64_t)g->dv;
	struct onx_shape y = { 4, { b, hq, q, dv } };
	const struct onx_shape k = { 4, { b, hk, t, d } }, v = { 4, { b, hk, t, dv } }, qk = { 4, { b, hq, q, t } };
	size_t n;
	int rc = onx_count(4, qk.dim, &n, e);

	/* V takes the precision of Q, which is no copy */
	if (onx_has_out(s, 2) && (s->in[V].type == ONX_DOUBLE) != (s->in[Q].type == ONX_DOUBLE))
		return onx_fail(e, ONX_UNSUP, "present values are %s where Q is %s", onx_dtype_name(s->in[V].type),
				onx_dtype_name(s->in[Q].type));
	if (g->packed)
		y = (struct onx_shape){ 3, { b, q, hq * dv } };
	onx_set_out(s, 0, s->in[Q].type, &y);
	onx_set_out(s, 1, s->in[K].type, &k);
	onx_set_out(s, 2, s->in[V].type, &v);
	onx_set_out(s, 3, s->in[Q].type, &qk);
	return rc;
}

static int attend_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_attend *a = attr;
	struct onx_attend_geo *g = ONX_NEW(s->mem, struct onx_attend_geo);
	int64_t hq, hk, hv, q, kv, lv, d, dk, dv;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Attention");
	if ((rc = onx_want_rank(s, Q, 3, 4, e)) < 0)
		return rc;
	for (int i = Q; i <= V; i++)
		if ((rc = onx_want_real(s, i, e)) < 0 || (i == K && (rc = onx_want_same_type(s, Q, K, e)) < 0) ||
		    (rc = onx_want_rank(s, i, s->in[Q].shape.rank, s->in[Q].shape.rank, e)) < 0)
			return rc;
	if ((rc = heads_of(s, Q, a->hq, &hq, &q, &d, e)) < 0 || (rc = heads_of(s, K, a->hk, &hk, &kv, &dk, e)) < 0 ||
	    (rc = heads_of(s, V, a->hk, &hv, &lv, &dv, e)) < 0)
		return rc;
	const int64_t b = s->in[Q].shape.dim[0];
	if (d != dk || kv != lv || hk != hv || hk < 1 || hq % hk || s->in[K].shape.dim[0] != b ||
	    s->in[V].shape.dim[0] != b)
		return onx_fail(e, ONX_SHAPE, "Q has %" PRId64 " heads of %" PRId64 ", K %" PRId64 " of %" PRId64
				" for %" PRId64 " keys, V %" PRId64 " heads for %" PRId64 ": they do not fit", hq, d,
				hk, dk, kv, hv, lv);
	*g = (struct onx_attend_geo){ .b = (size_t)b, .hq = (size_t)hq, .hk = (size_t)hk, .q = (size_t)q,
				      .kv = (size_t)kv, .d = (size_t)d, .dv = (size_t)dv,
				      .packed = s->in[Q].shape.rank == 3 };
	if ((rc = want_past(s, g, e)) < 0)
		return rc;
	g->t = g->past + g->kv;
	g->scale = onx_given(&attend_attr, a, "scale") && a->scale != 0 ? a->scale : 1 / sqrt(d > 0 ? (double)d : 1);
	if (onx_has_in(s, LENGTHS) && ((rc = onx_want_type(s, LENGTHS, ONX_INT64, e)) < 0 ||
				       (rc = onx_want_rank(s, LENGTHS, 1, 1, e)) < 0))
		return rc;
	if (onx_has_in(s, LENGTHS) && s->in[LENGTHS].shape.dim[0] != b)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " lengths for %" PRId64 " samples",
				s->in[LENGTHS].shape.dim[0], b);
	s->geo = g;
	if ((rc = want_mask(s, g, e)) < 0)
		return rc;
	return set_outputs(s, g, e);
}

/* The logarithm of each row's divisor. */
static size_t attend_saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_attend_geo *g = s->geo;

	(void)attr;
	return g->b * g->hq * g->q * sizeof(double);
}

/* One head: K [t][d], V [t][dv], scores [q][t]; backward: their gradients as well, and capped scores. */
size_t onx_attend_piece(const struct onx_attend_geo *g, bool back)
{
	return (g->t * (g->d + g->dv) + 2 * g->q * g->t) * (back ? 2 : 1);
}

static size_t attend_scratch(const struct onx_infer *s, const void *attr, int threads, bool back)
{
	const struct onx_attend_geo *g = s->geo;
	size_t mask = 0;
	struct onx_err e;

	(void)attr;
	if (back && onx_has_in(s, MASK) && onx_dtype_real(s->in[MASK].type) &&
	    onx_count(s->in[MASK].shape.rank, s->in[MASK].shape.dim, &mask, &e) < 0)
		return 0;
	return ((size_t)threads * onx_attend_piece(g, back) + mask) * sizeof(double);
}

static double attend_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_attend_geo *g = s->geo;

	(void)attr;
	return (double)g->b * (double)g->hq * (double)g->q * (double)g->t * (double)(g->d + g->dv);
}

/* ---- one head ---- */

struct onx_head onx_head_of(const struct onx_attend_geo *g, size_t b, size_t h)
{
	struct onx_head at = { b, h, g->d, g->dv, 0, 0 };

	if (g->packed) {
		at.ldq = g->hq * g->d, at.ldv = g->hq * g->dv;
		at.q = b * g->q * at.ldq + h * g->d;
		at.y = b * g->q * at.ldv + h * g->dv;
	} else {
		at.q = (b * g->hq + h) * g->q * g->d;
		at.y = (b * g->hq + h) * g->q * g->dv;
	}
	return at;
}

static const struct onx_view *input(const struct onx_call *c, int i)
{
	return i < c->n_x && c->x[i].v ? &c->x[i] : NULL;
}

size_t onx_head_row(const struct onx_attend_geo *g, size_t b, size_t h, size_t r, size_t w)
{
	if (r < g->past)
		return ((b * g->hk + h) * g->past + r) * w;
	r -= g->past;
	return g->packed ? (b * g->kv + r) * g->hk * w + h * w : ((b * g->hk + h) * g->kv + r) * w;
}

void onx_head_gather(const struct onx_call *c, int i, size_t b, size_t h, size_t w, real *to)
{
	const struct onx_attend_geo *g = c->geo;

	for (size_t r = 0; r < g->t; r++) {
		const real *from = c->x[r < g->past ? i + PAST_K - K : i].v;
		memcpy(to + r * w, from + onx_head_row(g, b, h, r, w), w * sizeof *to);
	}
}

double onx_head_bias(const struct onx_call *c, const struct onx_head *at, size_t q, size_t k)
{
	const struct onx_attend *a = c->attr;
	const struct onx_attend_geo *g = c->geo;
	const struct onx_view *mask = input(c, MASK), *lengths = input(c, LENGTHS);
	const int64_t said = lengths ? onx_view_int(lengths, at->b) : (int64_t)g->t;
	const int64_t length = said < 0 ? 0 : said < (int64_t)g->t ? said : (int64_t)g->t;
	const int64_t ahead = input(c, PAST_K) ? (int64_t)g->past : lengths ? length - (int64_t)g->q : 0;

	if ((int64_t)k >= length || (a->causal && (int64_t)k > (int64_t)q + ahead))
		return -INFINITY;
	if (!mask)
		return 0;
	if (k >= g->mask_n)
		return -INFINITY;
	const size_t i = onx_head_mask(g, at, q, k);
	if (mask->type == ONX_BOOL)
		return ((const uint8_t *)mask->v)[i] ? 0 : -INFINITY;
	return onx_dtype_real(mask->type) ? ((const real *)mask->v)[i] : (double)onx_view_int(mask, i);
}

void onx_head_scores(const struct onx_call *c, const struct onx_head *at, const real *keys, real *s)
{
	const struct onx_attend *a = c->attr;
	const struct onx_attend_geo *g = c->geo;
	const struct onx_mat m = { g->q, g->t, g->d, false, true, at->ldq, g->d, g->t };

	onx_gemm_one(&m, (real)g->scale, (const real *)c->x[Q].v + at->q, keys, 0, s);
	for (size_t i = 0; a->cap > 0 && i < g->q * g->t; i++)
		s[i] = (real)(a->cap * tanh(s[i] / a->cap));
}

static real *show(const struct onx_call *c, const struct onx_head *at, int mode)
{
	const struct onx_attend_geo *g = c->geo;
	const bool wanted = c->n_y > 3 && c->y[3].v && ((const struct onx_attend *)c->attr)->mode == mode;

	return wanted ? (real *)c->y[3].v + (at->b * g->hq + at->h) * g->q * g->t : NULL;
}

/* Row by row: s = softmax(s + bias), and the logarithm of the divisor. */
static void softmax(const struct onx_call *c, const struct onx_head *at, real *s, double *divisor)
{
	const struct onx_attend_geo *g = c->geo;
	real *biased = show(c, at, 2);

	for (size_t q = 0; q < g->q; q++) {
		real *row = s + q * g->t;
		double most = -INFINITY, sum = 0;
		for (size_t k = 0; k < g->t; k++) {
			row[k] = (real)(row[k] + onx_head_bias(c, at, q, k));
			most = row[k] > most ? row[k] : most;
		}
		if (biased)
			memcpy(biased + q * g->t, row, g->t * sizeof *row);
		for (size_t k = 0; k < g->t; k++)
			sum += row[k] == -(real)INFINITY ? 0 : exp((double)row[k] - most);
		divisor[q] = most + log(sum);
		for (size_t k = 0; k < g->t; k++)
			row[k] = row[k] == -(real)INFINITY ? 0 : (real)exp((double)row[k] - divisor[q]);
	}
}

static void copy_present(const struct onx_call *c, size_t piece, const real *keys, const real *values)
{
	const struct onx_attend_geo *g = c->geo;

	if (c->n_y > 1 && c->y[1].v)
		memcpy((real *)c->y[1].v + piece * g->t * g->d, keys, g->t * g->d * sizeof *keys);
	if (c->n_y > 2 && c->y[2].v)
		memcpy((real *)c->y[2].v + piece * g->t * g->dv, values, g->t * g->dv * sizeof *values);
}

static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;
	const struct onx_attend_geo *g = c->geo;
	const size_t b = piece / g->hk, h = piece % g->hk, group = g->hq / g->hk, n = g->q * g->t;
	real *keys = (real *)((double *)c->scratch + (size_t)worker * onx_attend_piece(g, false));
	real *values = keys + g->t * g->d, *s = values + g->t * g->dv;

	onx_head_gather(c, K, b, h, g->d, keys);
	onx_head_gather(c, V, b, h, g->dv, values);
	copy_present(c, piece, keys, values);
	for (size_t i = h * group; i < (h + 1) * group; i++) {
		const struct onx_head at = onx_head_of(g, b, i);
		const struct onx_mat m = { g->q, g->dv, g->t, false, false, g->t, g->dv, at.ldv };
		const struct onx_mat raw = { g->q, g->t, g->d, false, true, at.ldq, g->d, g->t };
		real *out = show(c, &at, 0);

		if (out)
			onx_gemm_one(&raw, (real)g->scale, (const real *)c->x[Q].v + at.q, keys, 0, out);
		onx_head_scores(c, &at, keys, s);
		if ((out = show(c, &at, 1)) != NULL)
			memcpy(out, s, n * sizeof *s);
		softmax(c, &at, s, (double *)c->save + (b * g->hq + i) * g->q);
		if ((out = show(c, &at, 3)) != NULL)
			memcpy(out, s, n * sizeof *s);
		if (c->y[0].v)
			onx_gemm_one(&m, 1, s, values, 0, (real *)c->y[0].v + at.y);
	}
}

/* Y = softmax(...) V by head; present keys and values are what was read */
static void attend_forward(const struct onx_call *c)
{
	const struct onx_attend_geo *g = c->geo;

	onx_parallel(c->pool, g->b * g->hk, forward_piece, (void *)c);
}

#define D ONX_G_DIFF
#define KEEP (ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3) | ONX_KEEP_X(4) | ONX_KEEP_X(5) | \
	      ONX_KEEP_X(6))
const struct onx_op ONX_R(onx_ops_attend)[] = {
	{ .domain = "", .type = "Attention", .since = 23, .min_in = 3, .max_in = 7, .min_out = 1, .max_out = 4,
	  .grad = { D, D, D, D, D, D, ONX_G_NEVER }, .n_grad = 7, .keep = KEEP, .attr = &attend_attr,
	  .infer = attend_infer, .saved = attend_saved, .scratch = attend_scratch, .macs = attend_macs,
	  .forward = attend_forward, .backward = onx_attend_backward },
	{ .type = NULL }
};
