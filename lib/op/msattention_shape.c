/* op/msattention_shape.c -- attributes, masks and sizes of ONNX Runtime's Attention and MultiHeadAttention. */
#include <string.h>
#include "op/msattention_i.h"

#define COMMON                                                                                               \
	{ "num_heads", F_INT, offsetof(struct onx_ms_attention, heads), .def = NULL, .min = 1, .max = 1 << 20,      \
	  .help = "heads" },                                                                                 \
	{ "unidirectional", F_INT, offsetof(struct onx_ms_attention, causal), .def = "0",                           \
	  .help = "1: no key after the query's own" },                                                       \
	{ "scale", F_REAL, offsetof(struct onx_ms_attention, scale), .def = "0", .help = "0: 1 / sqrt(dk)" },       \
	{ "mask_filter_value", F_REAL, offsetof(struct onx_ms_attention, filter), .def = "-10000",                  \
	  .help = "added to what is masked" }
static const struct onx_field attention_field[] = {
	COMMON,
	{ "qkv_hidden_sizes", F_INTS, offsetof(struct onx_ms_attention, sizes), .def = "",
	  .help = "widths of Q, K and V; none: all equal" },
	{ "do_rotary", F_INT, offsetof(struct onx_ms_attention, rotary), .def = "0", .min = 0, .max = 0,
	  .help = "only 0 is supported" },
	{ "rotary_embedding_dim", F_INT, offsetof(struct onx_ms_attention, rotary_dim), .def = "0",
	  .help = "elements of a head that do_rotary turns" },
	{ "past_present_share_buffer", F_INT, offsetof(struct onx_ms_attention, share), .def = "0", .min = 0, .max = 0,
	  .help = "only 0 is supported" },
	{ .name = NULL }
};
const struct onx_table onx_ms_attention_table = { "Attention", sizeof(struct onx_ms_attention), attention_field,
						  .check = NULL };
static const struct onx_field multi_field[] = { COMMON, { .name = NULL } };
const struct onx_table onx_ms_multi_table = { "MultiHeadAttention", sizeof(struct onx_ms_attention), multi_field,
					      .check = NULL };

/* ---- shapes ---- */

static int want_dims(const struct onx_infer *s, int i, int rank, const int64_t *dim, struct onx_err *e)
{
	char have[ONX_SHAPE_TEXT], want[ONX_SHAPE_TEXT];
	bool same = s->in[i].shape.rank == rank;
	int rc = onx_want_same_type(s, 0, i, e);

	for (int d = 0; same && d < rank; d++)
		same = s->in[i].shape.dim[d] == dim[d];
	if (rc < 0 || same)
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %s", i,
			onx_shape_text(s->in[i].shape.rank, s->in[i].shape.dim, have, sizeof have),
			onx_shape_text(rank, dim, want, sizeof want));
}

static int read_mask(const struct onx_infer *s, int i, struct onx_ms_geo *g, bool ends, struct onx_err *e)
{
	char have[ONX_SHAPE_TEXT];
	int rc;

	g->mask_in = i;
	if (!onx_has_in(s, i))
		return ONX_OK;
	const struct onx_shape *m = &s->in[i].shape;
	const int64_t b = (int64_t)g->b, q = (int64_t)g->s, t = (int64_t)g->t;
	if ((rc = onx_want_type(s, i, ONX_INT32, e)) < 0)
		return rc;
	/* 3 B + 2: lengths, then where each sample's queries and keys would begin without padding */
	if (m->rank == 1 && (m->dim[0] == b || (!ends && m->dim[0] == 3 * b + 2)))
		g->mask = ONX_MS_LENGTHS;
	else if (ends && m->rank == 1 && m->dim[0] == 2 * b)
		g->mask = ONX_MS_ENDS;
	else if (m->rank == 2 && m->dim[0] == b && m->dim[1] == t)
		g->mask = ONX_MS_BY_KEY;
	else if (m->rank == 3 && m->dim[0] == b && m->dim[1] == q && m->dim[2] == t)
		g->mask = ONX_MS_BY_PAIR;
	else if (m->rank == 4 && m->dim[0] == b && m->dim[1] == 1 && m->dim[2] == m->dim[3] && m->dim[2] >= t)
		g->mask = ONX_MS_SQUARE;
	else
		return onx_fail(e, ONX_UNSUP, "input %d, the mask, has shape %s", i,
				onx_shape_text(m->rank, m->dim, have, sizeof have));
	g->square = m->rank == 4 ? (size_t)m->dim[2] : 0;
	return ONX_OK;
}

static int read_bias(const struct onx_infer *s, int i, struct onx_ms_geo *g, struct onx_err *e)
{
	g->bias_in = i;
	if (!onx_has_in(s, i))
		return ONX_OK;
	const struct onx_shape *m = &s->in[i].shape;
	const bool by_b = m->rank == 4 && m->dim[0] != 1, by_h = m->rank == 4 && m->dim[1] != 1;
	const int64_t want[4] = { by_b ? (int64_t)g->b : 1, by_h ? (int64_t)g->h : 1, (int64_t)g->s, (int64_t)g->t };

	g->bias_h = by_h ? g->s * g->t : 0;
	g->bias_b = by_b ? (by_h ? g->h : 1) * g->s * g->t : 0;
	return want_dims(s, i, 4, want, e);
}

static int sizes(const struct onx_infer *s, const struct onx_ms_attention *a, struct onx_ms_geo *g, struct onx_err *e)
{
	const int64_t all[4] = { (int64_t)g->b, (int64_t)g->h, (int64_t)g->s, (int64_t)g->t };
	size_t n;

	(void)s;
	if (g->t == 0 || g->dk == 0)
		return onx_fail(e, ONX_SHAPE, "there are no keys");
	g->scale = a->scale != 0 ? a->scale : 1 / sqrt((double)g->dk);
	return onx_count(4, all, &n, e);
}

static int projection(const struct onx_infer *s, const struct onx_ms_attention *a, struct onx_ms_geo *g,
		      struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim, *w = s->in[1].shape.dim;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, 2, 2, e)) < 0)
		return rc;
	const size_t all = (size_t)w[1];
	const bool given = a->sizes.n == 3;
	if (a->sizes.n != 0 && !given)
		return onx_fail(e, ONX_FORMAT, "qkv_hidden_sizes has %zu numbers, wanted 3", a->sizes.n);
	for (size_t i = 0; i < a->sizes.n; i++)
		if (a->sizes.v[i] <= 0 || a->sizes.v[i] % a->heads != 0)
			return onx_fail(e, ONX_SHAPE, "%lld columns do not fall into %lld heads",
					(long long)a->sizes.v[i], (long long)a->heads);
	*g = (struct onx_ms_geo){ .b = (size_t)x[0], .h = (size_t)a->heads, .s = (size_t)x[1], .l = (size_t)x[1],
			   .projects = true, .in = (size_t)x[2], .hq = given ? (size_t)a->sizes.v[0] : all / 3,
			   .hk = given ? (size_t)a->sizes.v[1] : all / 3,
			   .hv = given ? (size_t)a->sizes.v[2] : all / 3 };
	g->dk = g->hq / g->h;
	g->dv = g->hv / g->h;
	const int64_t want_w[2] = { x[2], (int64_t)(g->hq + g->hk + g->hv) }, want_b[1] = { want_w[1] };
	if (g->hq != g->hk || g->dk * g->h != g->hq || g->dv * g->h != g->hv)
		return onx_fail(e, ONX_SHAPE, "%zu, %zu and %zu columns for %zu heads", g->hq, g->hk, g->hv, g->h);
	if ((rc = want_dims(s, 1, 2, want_w, e)) < 0)
		return rc;
	return onx_has_in(s, 2) ? want_dims(s, 2, 1, want_b, e) : ONX_OK;
}

int onx_ms_attention_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_ms_geo *g = ONX_NEW(s->mem, struct onx_ms_geo);
	int rc = g ? projection(s, attr, g, e) : onx_nomem(e, sizeof *g, "attention");

	if (rc < 0)
		return rc;
	if (onx_has_in(s, 4)) {
		const struct onx_shape *p = &s->in[4].shape;
		g->past = p->rank == 5 ? (size_t)p->dim[3] : 0;
		const int64_t want[5] = { 2, (int64_t)g->b, (int64_t)g->h, (int64_t)g->past, (int64_t)g->dk };
		if (g->dk != g->dv)
			return onx_fail(e, ONX_SHAPE, "a past with keys of %zu and values of %zu", g->dk, g->dv);
		if ((rc = want_dims(s, 4, 5, want, e)) < 0)
			return rc;
	}
	g->t = g->past + g->l;
	if (onx_has_out(s, 1) && g->dk != g->dv)
		return onx_fail(e, ONX_SHAPE, "a present with keys of %zu and values of %zu", g->dk, g->dv);
	if ((rc = sizes(s, attr, g, e)) < 0 || (rc = read_mask(s, 3, g, true, e)) < 0 ||
	    (rc = read_bias(s, 5, g, e)) < 0)
		return rc;
	const struct onx_shape y = { 3, { (int64_t)g->b, (int64_t)g->s, (int64_t)g->hv } };
	const struct onx_shape now = { 5, { 2, (int64_t)g->b, (int64_t)g->h, (int64_t)g->t, (int64_t)g->dk } };
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	onx_set_out(s, 1, s->in[0].type, &now);
	return ONX_OK;
}

/* Query, key and value in one tensor [B,S,H,3,d], or key and value in one, [B,L,H,2,d]. */
static int packed(const struct onx_infer *s, const struct onx_ms_attention *a, struct onx_ms_geo *g, size_t n,
		  struct onx_err *e)
{
	const int at = n == 3 ? 0 : 1;
	const int64_t *q = s->in[0].shape.dim, *p = s->in[at].shape.dim;
	const int64_t want[5] = { q[0], p[1], a->heads, (int64_t)n, n == 3 ? p[4] : q[2] / a->heads };

	if (onx_has_in(s, 2) || (n == 3 && onx_has_in(s, 1)))
		return onx_fail(e, ONX_SHAPE, "input %d holds the value too, yet there is another", at);
	if (n == 2 && (s->in[0].shape.rank != 3 || q[2] % a->heads != 0))
		return onx_fail(e, ONX_SHAPE, "columns do not fall into %lld heads", (long long)a->heads);
	*g = (struct onx_ms_geo){ .b = (size_t)q[0], .h = (size_t)a->heads, .s = (size_t)q[1], .l = (size_t)p[1],
				  .dk = (size_t)want[4], .dv = (size_t)want[4], .pack = n };
	g->hq = g->hk = g->hv = g->h * g->dk;
	return want_dims(s, at, 5, want, e);
}

static int multi_keys(const struct onx_infer *s, const struct onx_ms_attention *a, struct onx_ms_geo *g,
		      struct onx_err *e)
{
	const struct onx_shape *q = &s->in[0].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0)
		return rc;
	if (q->rank == 5 || (onx_has_in(s, 1) && s->in[1].shape.rank == 5))
		return packed(s, a, g, q->rank == 5 ? 3 : 2, e);
	if (q->rank != 3 || !onx_has_in(s, 1) || !onx_has_in(s, 2))
		return onx_fail(e, ONX_SHAPE, "there is no %s", q->rank == 3 && onx_has_in(s, 1) ? "value" : "key");
	const struct onx_shape *k = &s->in[1].shape, *v = &s->in[2].shape;
	const bool split = k->rank == 4;
	if ((k->rank != 3 && !split) || v->rank != k->rank)
		return onx_fail(e, ONX_UNSUP, "a key of %d dimensions and a value of %d", k->rank, v->rank);
	*g = (struct onx_ms_geo){ .b = (size_t)q->dim[0], .h = (size_t)a->heads, .s = (size_t)q->dim[1],
			   .l = (size_t)k->dim[split ? 2 : 1], .hq = (size_t)q->dim[2], .split_kv = split };
	g->dk = g->hq / g->h;
	g->dv = split ? (size_t)v->dim[3] : (size_t)v->dim[2] / g->h;
	g->hk = g->hq;
	g->hv = g->dv * g->h;
	if (g->dk * g->h != g->hq || (!split && g->hv != (size_t)v->dim[2]))
		return onx_fail(e, ONX_SHAPE, "columns do not fall into %zu heads", g->h);
	const int64_t b = (int64_t)g->b, h = (int64_t)g->h, l = (int64_t)g->l;
	const int64_t k3[3] = { b, l, (int64_t)g->hk }, k4[4] = { b, h, l, (int64_t)g->dk };
	const int64_t v3[3] = { b, l, (int64_t)g->hv }, v4[4] = { b, h, l, (int64_t)g->dv };
	rc = want_dims(s, 1, k->rank, split ? k4 : k3, e);
	return rc < 0 ? rc : want_dims(s, 2, k->rank, split ? v4 : v3, e);
}

static int multi_past(const struct onx_infer *s, struct onx_ms_geo *g, struct onx_err *e)
{
	int rc;

	if (onx_has_in(s, 6) != onx_has_in(s, 7))
		return onx_fail(e, ONX_SHAPE, "past_key without past_value, or the other way round");
	if (!onx_has_in(s, 6))
		return ONX_OK;
	g->past = s->in[6].shape.rank == 4 ? (size_t)s->in[6].shape.dim[2] : 0;
	const int64_t k[4] = { (int64_t)g->b, (int64_t)g->h, (int64_t)g->past, (int64_t)g->dk };
	const int64_t v[4] = { k[0], k[1], k[2], (int64_t)g->dv };
	rc = want_dims(s, 6, 4, k, e);
	return rc < 0 ? rc : want_dims(s, 7, 4, v, e);
}

int onx_ms_multi_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_ms_geo *g = ONX_NEW(s->mem, struct onx_ms_geo);
	int rc = g ? multi_keys(s, attr, g, e) : onx_nomem(e, sizeof *g, "attention");

	if (rc < 0 || (rc = multi_past(s, g, e)) < 0)
		return rc;
	g->t = g->past + g->l;
	const int64_t bias[1] = { (int64_t)(g->hq + g->hk + g->hv) };
	if ((rc = sizes(s, attr, g, e)) < 0 || (onx_has_in(s, 3) && (rc = want_dims(s, 3, 1, bias, e)) < 0) ||
	    (rc = read_mask(s, 4, g, false, e)) < 0 || (rc = read_bias(s, 5, g, e)) < 0)
		return rc;
	const struct onx_shape y = { 3, { (int64_t)g->b, (int64_t)g->s, (int64_t)g->hv } };
	const struct onx_shape k = { 4, { (int64_t)g->b, (int64_t)g->h, (int64_t)g->t, (int64_t)g->dk } };
	const struct onx_shape v = { 4, { (int64_t)g->b, (int64_t)g->h, (int64_t)g->t, (int64_t)g->dv } };
	const struct onx_shape qk = { 4, { (int64_t)g->b, (int64_t)g->h, (int64_t)g->s, (int64_t)g->t } };
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	onx_set_out(s, 1, s->in[0].type, &k);
	onx_set_out(s, 2, s->in[0].type, &v);
	onx_set_out(s, 3, s->in[0].type, &qk);
	return ONX_OK;
}
