/* op/groupquery_shape.c -- attributes and sizes of ONNX Runtime's GroupQueryAttention, and its row. */
#include <inttypes.h>
#include <string.h>
#include "op/groupquery_i.h"
#include "op/infer.h"

#define AT(member) offsetof(struct onx_gq, member)
static const struct onx_field gq_field[] = {
	{ "num_heads", F_INT, AT(hq), .def = NULL, .min = 1, .max = 1 << 20, .help = "heads of the query" },
	{ "kv_num_heads", F_INT, AT(hk), .def = NULL, .min = 1, .max = 1 << 20, .help = "heads of key and value" },
	{ "scale", F_REAL, AT(scale), .def = "0", .help = "factor of the scores; 0: 1 / sqrt(d)" },
	{ "softcap", F_REAL, AT(cap), .def = "0", .min = 0, .max = 1e30,
	  .help = "c: scores become c tanh(score / c); 0: they do not" },
	{ "causal", F_BOOL, AT(causal), .def = "1", .help = "no key after the query's own" },
	{ "local_window_size", F_INT, AT(window), .def = "-1", .min = -1, .max = 1LL << 40,
	  .help = "keys that a query sees; -1: all" },
	{ "do_rotary", F_BOOL, AT(rotary), .def = "0", .help = "query and key turn by their positions" },
	{ "rotary_interleaved", F_BOOL, AT(interleaved), .def = "0", .help = "pairs are neighbours" },
	{ "smooth_softmax", F_BOOL, AT(smooth), .def = "0", .help = "1 more in the divisor, before it is scaled" },
	{ "qk_output", F_INT, AT(show), .def = "0", .min = 0, .max = 0, .help = "only 0 is supported" },
	{ "sliding_window_cache", F_INT, AT(cache), .def = "0", .min = 0, .max = 0, .help = "only 0 is supported" },
	{ "kv_cache_bit_width", F_INT, AT(width), .def = "0", .min = 0, .max = 64, .help = "of a quantised cache" },
	{ "k_quant_type", F_STR, AT(k_type), .def = "NONE", .help = "only NONE is supported" },
	{ "v_quant_type", F_STR, AT(v_type), .def = "NONE", .help = "only NONE is supported" },
	{ "qk_norm_epsilon", F_REAL, AT(epsilon), .def = "1e-6", .help = "of a normalisation that is not supported" },
	{ .name = NULL }
};
static const struct onx_table gq_attr = { "GroupQueryAttention", sizeof(struct onx_gq), gq_field, .check = NULL };

static int want_dims(const struct onx_infer *s, int i, int rank, const int64_t *dim, struct onx_err *e)
{
	char have[ONX_SHAPE_TEXT], want[ONX_SHAPE_TEXT];
	const struct onx_shape *x = &s->in[i].shape;
	bool same = x->rank == rank;
	int rc = onx_want_same_type(s, 0, i, e);

	for (int d = 0; same && d < rank; d++)
		same = x->dim[d] == dim[d];
	if (rc < 0 || same)
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %s", i,
			onx_shape_text(x->rank, x->dim, have, sizeof have),
			onx_shape_text(rank, dim, want, sizeof want));
}

static int read_heads(const struct onx_infer *s, const struct onx_gq *a, struct onx_gq_geo *g, struct onx_err *e)
{
	const int64_t *q = s->in[0].shape.dim;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0)
		return rc;
	if (strcmp(a->k_type, "NONE") != 0 || strcmp(a->v_type, "NONE") != 0)
		return onx_fail(e, ONX_UNSUP, "a cache that is quantised (%s, %s)", a->k_type, a->v_type);
	const bool packed = !onx_has_in(s, 1);
	const int64_t heads = packed ? a->hq + 2 * a->hk : a->hq, d = q[2] / heads;
	if (a->hq % a->hk || d < 1 || d * heads != q[2])
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " columns for %" PRId64 " heads of queries and %" PRId64
				" of keys", q[2], a->hq, a->hk);
	if (onx_has_in(s, 2) == packed)
		return onx_fail(e, ONX_SHAPE, "key and value come together or not at all");
	*g = (struct onx_gq_geo){ .b = (size_t)q[0], .s = (size_t)q[1], .hq = (size_t)a->hq, .hk = (size_t)a->hk,
				  .d = (size_t)d, .packed = packed };
	g->scale = a->scale < 0 || a->scale > 0 ? a->scale : 1 / sqrt((double)d);
	const int64_t kv[3] = { q[0], q[1], a->hk * d };
	for (int i = 1; i < 3 && !packed; i++)
		if ((rc = want_dims(s, i, 3, kv, e)) < 0)
			return rc;
	return ONX_OK;
}

/* The lengths of the cache: the total, where it is known, else all of it and the sequence. */
static int read_past(struct onx_infer *s, struct onx_gq_geo *g, struct onx_err *e)
{
	const bool has = onx_has_in(s, ONX_GQ_PAST_K);
	const int64_t b = (int64_t)g->b;
	int rc;

	if (has != onx_has_in(s, ONX_GQ_PAST_V))
		return onx_fail(e, ONX_SHAPE, "past_key without past_value, or the other way round");
	g->past = has && s->in[ONX_GQ_PAST_K].shape.rank == 4 ? (size_t)s->in[ONX_GQ_PAST_K].shape.dim[2] : 0;
	const int64_t want[4] = { b, (int64_t)g->hk, (int64_t)g->past, (int64_t)g->d };
	for (int i = ONX_GQ_PAST_K; has && i <= ONX_GQ_PAST_V; i++)
		if ((rc = want_dims(s, i, 4, want, e)) < 0)
			return rc;
	if (!onx_has_in(s, ONX_GQ_LENGTHS) || !onx_has_in(s, ONX_GQ_TOTAL))
		return onx_fail(e, ONX_SHAPE, "there is no seqlens_k or no total_sequence_length");
	if ((rc = onx_want_type(s, ONX_GQ_LENGTHS, ONX_INT32, e)) < 0 ||
	    (rc = onx_want_type(s, ONX_GQ_TOTAL, ONX_INT32, e)) < 0)
		return rc;
	size_t n, n_total;
	if ((rc = onx_count(s->in[ONX_GQ_LENGTHS].shape.rank, s->in[ONX_GQ_LENGTHS].shape.dim, &n, e)) < 0 ||
	    (rc = onx_count(s->in[ONX_GQ_TOTAL].shape.rank, s->in[ONX_GQ_TOTAL].shape.dim, &n_total, e)) < 0)
		return rc;
	if (n != g->b || n_total != 1)
		return onx_fail(e, ONX_SHAPE, "%zu lengths and %zu totals for %zu samples", n, n_total, g->b);
	const struct onx_view *known = s->in[ONX_GQ_TOTAL].value;
	const int64_t total = known ? onx_view_int(known, 0) : (int64_t)(g->past + g->s);
	if (total < (int64_t)g->s)
		return onx_fail(e, ONX_SHAPE, "total_sequence_length is %" PRId64 " for %zu queries", total, g->s);
	g->first = total == (int64_t)g->s;
	g->t = (size_t)total > g->past ? (size_t)total : g->past;
	g->wide = (size_t)total;
	return ONX_OK;
}

static int read_tables(const struct onx_infer *s, const struct onx_gq *a, struct onx_gq_geo *g, struct onx_err *e)
{
	const int64_t ids[2] = { (int64_t)g->b, (int64_t)g->s };
	int rc;

	if (onx_has_in(s, ONX_GQ_IDS)) {
		const struct onx_shape *x = &s->in[ONX_GQ_IDS].shape;
		if ((rc = onx_want_type(s, ONX_GQ_IDS, ONX_INT64, e)) < 0 ||
		    (rc = onx_want_rank(s, ONX_GQ_IDS, 2, 2, e)) < 0)
			return rc;
		if (x->dim[0] != ids[0] || x->dim[1] != ids[1])
			return onx_fail(e, ONX_SHAPE, "positions for [%" PRId64 ",%" PRId64 "], wanted [%zu,%zu]",
					x->dim[0], x->dim[1], g->b, g->s);
	}
	if (!a->rotary)
		return ONX_OK;
	if (!onx_has_in(s, ONX_GQ_COS) || !onx_has_in(s, ONX_GQ_SIN))
		return onx_fail(e, ONX_SHAPE, "do_rotary without cos_cache and sin_cache");
	if ((rc = onx_want_rank(s, ONX_GQ_COS, 2, 2, e)) < 0)
		return rc;
	const int64_t *dim = s->in[ONX_GQ_COS].shape.dim;
	if (dim[1] > (int64_t)g->d / 2)
		return onx_fail(e, ONX_SHAPE, "cos_cache turns %" PRId64 " pairs of a head of %zu", dim[1], g->d);
	g->half = (size_t)dim[1];
	rc = want_dims(s, ONX_GQ_COS, 2, dim, e);
	return rc < 0 ? rc : want_dims(s, ONX_GQ_SIN, 2, dim, e);
}

static int read_bias(const struct onx_infer *s, struct onx_gq_geo *g, struct onx_err *e)
{
	const struct onx_shape *m = &s->in[ONX_GQ_BIAS].shape;
	const int64_t sinks[1] = { (int64_t)g->hq };
	int rc;

	if (onx_has_in(s, ONX_GQ_SINK) && (rc = want_dims(s, ONX_GQ_SINK, 1, sinks, e)) < 0)
		return rc;
	if (!onx_has_in(s, ONX_GQ_BIAS))
		return ONX_OK;
	const bool by_b = m->rank == 4 && m->dim[0] != 1, by_h = m->rank == 4 && m->dim[1] != 1;
	const int64_t want[4] = { by_b ? (int64_t)g->b : 1, by_h ? (int64_t)g->hq : 1, (int64_t)g->s,
				  (int64_t)g->wide };
	g->bias_h = by_h ? g->s * g->wide : 0;
	g->bias_b = by_b ? (by_h ? g->hq : 1) * g->s * g->wide : 0;
	rc = want_dims(s, ONX_GQ_BIAS, 4, want, e);
	return rc < 0 ? rc : onx_count(4, want, &g->n_bias, e);
}

static int gq_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_gq_geo *g = ONX_NEW(s->mem, struct onx_gq_geo);
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "attention");
	if ((rc = read_heads(s, attr, g, e)) < 0 || (rc = read_past(s, g, e)) < 0 ||
	    (rc = read_tables(s, attr, g, e)) < 0 || (rc = read_bias(s, g, e)) < 0)
		return rc;
	const struct onx_shape y = { 3, { (int64_t)g->b, (int64_t)g->s, (int64_t)(g->hq * g->d) } };
	const struct onx_shape kv = { 4, { (int64_t)g->b, (int64_t)g->hk, (int64_t)g->t, (int64_t)g->d } };
	const int64_t p[4] = { (int64_t)g->b, (int64_t)g->hq, (int64_t)g->s, (int64_t)g->t };
	if ((rc = onx_count(4, kv.dim, &n, e)) < 0 || (rc = onx_count(4, p, &n, e)) < 0)
		return rc;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	onx_set_out(s, 1, s->in[0].type, &kv);
	onx_set_out(s, 2, s->in[0].type, &kv);
	return ONX_OK;
}

static size_t gq_saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_gq_geo *g = s->geo;

	(void)attr;
	return g->b * g->hq * g->s * g->t * sizeof(double);
}

static size_t gq_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_gq_geo *g = s->geo;

	(void)attr;
	return ((size_t)threads * onx_gq_piece(g, backward) + (backward ? g->n_bias + g->hq : 0)) * sizeof(double);
}

static double gq_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_gq_geo *g = s->geo;

	(void)attr;
	return 2.0 * (double)g->b * (double)g->hq * (double)g->s * (double)g->t * (double)g->d;
}

#define D ONX_G_DIFF
#define N ONX_G_NEVER
#define K(i) ONX_KEEP_X(i)
const struct onx_op ONX_R(onx_ops_groupquery_shape)[] = {
	{ .domain = "com.microsoft", .type = "GroupQueryAttention", .since = 1, .min_in = 1, .max_in = 12,
	  .min_out = 1, .max_out = 3, .grad = { D, D, D, D, D, N, N, N, N, N, D, D }, .n_grad = 12,
	  .keep = K(0) | K(1) | K(2) | K(3) | K(4) | K(5) | K(7) | K(8) | K(9), .attr = &gq_attr,
	  .infer = gq_infer, .saved = gq_saved, .scratch = gq_scratch, .macs = gq_macs,
	  .forward = onx_gq_forward, .backward = onx_gq_backward },
	{ .type = NULL }
};
