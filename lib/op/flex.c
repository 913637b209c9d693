/* op/flex.c -- FlexAttention: Y = prob_mod(softmax(score_mod(scale Q K'))) V, where the two modifiers are graphs.
 * A graph that is read has nodes in its place (graph/flex.c): FlexScores, the nodes of the first modifier, Softmax,
 * those of the second, FlexMix.  Heads of Q that share one of K and V follow each other, so to the products they are
 * one head with more rows. */
#include "kernel/gemm.h"
#include "op/infer.h"
#include "op/flex.h"

static const struct onx_field flex_field[] = {
	{ "scale", F_REAL, offsetof(struct onx_flex, scale), .def = "0",
	  .help = "of the scores; default: 1/sqrt(size)" },
	{ "softmax_precision", F_INT, offsetof(struct onx_flex, precision), .def = "0",
	  .help = "element type of scores and probabilities; default: float, beside double double" },
	{ "score_mod", F_GRAPH, offsetof(struct onx_flex, score_mod), .def = "", .help = "a graph of the scores" },
	{ "prob_mod", F_GRAPH, offsetof(struct onx_flex, prob_mod), .def = "", .help = "a graph of the probabilities" },
	{ .name = NULL }
};
static const struct onx_table flex_attr = { "FlexAttention", sizeof(struct onx_flex), flex_field, .check = NULL,
					    .given = offsetof(struct onx_flex, given) };

/* C [b][m][n] = alpha A [b][m][k] op(B), B [b][k][n] or, turned, [b][n][k] */
struct flex_geo { size_t b, m, n, k; bool turned; double alpha; };

/* Q, the heads of which fall to those of `kv` (K, V). */
static int want_heads(const struct onx_infer *s, int q, int kv, struct onx_err *e)
{
	const struct onx_shape *a = &s->in[q].shape, *b = &s->in[kv].shape;
	int rc;

	if ((rc = onx_want_real(s, q, e)) < 0 || (rc = onx_want_same_type(s, q, kv, e)) < 0 ||
	    (rc = onx_want_rank(s, q, 4, 4, e)) < 0 || (rc = onx_want_rank(s, kv, 4, 4, e)) < 0)
		return rc;
	if (a->dim[0] != b->dim[0])
		return onx_fail(e, ONX_SHAPE, "input %d has %lld samples, input %d %lld", q, (long long)a->dim[0], kv,
				(long long)b->dim[0]);
	if (b->dim[1] < 1 || a->dim[1] % b->dim[1])
		return onx_fail(e, ONX_SHAPE, "%lld heads of Q do not fall to %lld of input %d", (long long)a->dim[1],
				(long long)b->dim[1], kv);
	return ONX_OK;
}

static int new_geo(struct onx_infer *s, struct flex_geo g, struct onx_err *e)
{
	struct flex_geo *to = ONX_NEW(s->mem, struct flex_geo);

	if (!to)
		return onx_nomem(e, sizeof *to, "FlexAttention");
	*to = g;
	s->geo = to;
	return ONX_OK;
}

static int scores_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_flex *a = attr;
	const int64_t *q = s->in[0].shape.dim, *k = s->in[1].shape.dim;
	int rc = want_heads(s, 0, 1, e);
	size_t n;

	if (rc < 0)
		return rc;
	if (a->precision && a->precision != ONX_FLOAT && a->precision != ONX_DOUBLE && a->precision != ONX_FLOAT16 &&
	    a->precision != ONX_BFLOAT16)
		return onx_fail(e, ONX_UNSUP, "softmax_precision is %lld", (long long)a->precision);
	if (q[3] != k[3])
		return onx_fail(e, ONX_SHAPE, "heads of Q have %lld numbers, of K %lld", (long long)q[3],
				(long long)k[3]);
	const struct onx_shape y = { 4, { q[0], q[1], q[2], k[2] } };
	const double scale = onx_given(&flex_attr, a, "scale") ? a->scale : 1 / sqrt(q[3] > 0 ? (double)q[3] : 1);

	onx_set_out(s, 0, s->in[0].type == ONX_DOUBLE ? ONX_DOUBLE : ONX_FLOAT, &y);
	if ((rc = onx_count(4, y.dim, &n, e)) < 0)
		return rc;
	return new_geo(s, (struct flex_geo){ (size_t)(k[0] * k[1]), (size_t)(q[1] / k[1] * q[2]), (size_t)k[2],
					     (size_t)q[3], true, scale }, e);
}

/* P, V, Q: of Q the shape and the type. */
static int mix_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *p = &s->in[0].shape;
	const int64_t *v = s->in[1].shape.dim, *q = s->in[2].shape.dim;
	char text[ONX_SHAPE_TEXT], want[ONX_SHAPE_TEXT];
	int rc = want_heads(s, 2, 1, e);
	size_t n;

	(void)attr;
	if (rc < 0)
		return rc;
	const enum onx_dtype type = s->in[2].type == ONX_DOUBLE ? ONX_DOUBLE : ONX_FLOAT;
	const struct onx_shape same = { 4, { q[0], q[1], q[2], v[2] } }, y = { 4, { q[0], q[1], q[2], v[3] } };

	if (s->in[0].type != type || !onx_shape_equal(p, &same))
		return onx_fail(e, ONX_SHAPE, "modified probabilities are %s of shape %s, wanted %s of %s",
				onx_dtype_name(s->in[0].type), onx_shape_text(p->rank, p->dim, text, sizeof text),
				onx_dtype_name(type), onx_shape_text(4, same.dim, want, sizeof want));
	onx_set_out(s, 0, s->in[2].type, &y);
	if ((rc = onx_count(4, y.dim, &n, e)) < 0)
		return rc;
	return new_geo(s, (struct flex_geo){ (size_t)(v[0] * v[1]), (size_t)(q[1] / v[1] * q[2]), (size_t)v[3],
					     (size_t)v[2], false, 1 }, e);
}

/* Of the whole node, for those who ask what it takes; where it runs its parts have the rules. */
static int flex_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = scores_infer(s, attr, e);

	if (rc < 0 || (rc = want_heads(s, 0, 2, e)) < 0)
		return rc;
	const int64_t *q = s->in[0].shape.dim;
	const struct onx_shape y = { 4, { q[0], q[1], q[2], s->in[2].shape.dim[3] } };

	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double flex_macs(const struct onx_infer *s, const void *attr)
{
	const struct flex_geo *g = s->geo;

	(void)attr;
	return (double)g->b * (double)g->m * (double)g->n * (double)g->k;
}

/* to = alpha op(a) op(b) of all heads; the sizes of a head are the products of m, k and n. */
static void products(const struct onx_call *c, struct onx_mat m, const void *a, const void *b,
		     const struct onx_view *to)
{
	const struct flex_geo *g = c->geo;
	const struct onx_batch all = { .n_outer = 1, .outer = { g->b }, .outer_a = { m.m * m.k },
				       .outer_b = { m.k * m.n }, .outer_c = { m.m * m.n } };

	m.lda = m.ta ? m.m : m.k;
	m.ldb = m.tb ? m.k : m.n;
	m.ldc = m.n;
	if (to->n > 0)
		onx_gemm_batch(c->pool, &m, &all, (real)g->alpha, a, b, to->add, to->v);
}

static void flex_forward(const struct onx_call *c)
{
	const struct flex_geo *g = c->geo;
	struct onx_view y = c->y[0];

	y.add = false;
	products(c, (struct onx_mat){ .m = g->m, .n = g->n, .k = g->k, .tb = g->turned }, c->x[0].v, c->x[1].v, &y);
}

/* dA = alpha dC op(B)', dB = alpha A' dC or its other way round */
static void flex_backward(const struct onx_call *c)
{
	const struct flex_geo *g = c->geo;
	const void *dc = c->dy[0].v;

	if (c->dx[0].v)
		products(c, (struct onx_mat){ .m = g->m, .n = g->k, .k = g->n, .tb = !g->turned }, dc, c->x[1].v,
			 &c->dx[0]);
	if (c->dx[1].v && g->turned)
		products(c, (struct onx_mat){ .m = g->n, .n = g->k, .k = g->m, .ta = true }, dc, c->x[0].v, &c->dx[1]);
	else if (c->dx[1].v)
		products(c, (struct onx_mat){ .m = g->k, .n = g->n, .k = g->m, .ta = true }, c->x[0].v, dc, &c->dx[1]);
}

#define PART(name, ins, table, part, ...) \
	{ .domain = "onnx_adapt", .type = name, .since = 1, .min_in = ins, .max_in = ins, .min_out = 1, .max_out = 1, \
	  .grad = { __VA_ARGS__ }, .n_grad = ins, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .flags = ONX_OP_APART,       \
	  .attr = table, .infer = part##_infer, .macs = flex_macs, .forward = flex_forward,                           \
	  .backward = flex_backward }
const struct onx_op ONX_R(onx_ops_flex)[] = {
	{ .domain = "ai.onnx.preview", .type = "FlexAttention", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .flags = ONX_OP_BODY | ONX_OP_NOFOLD, .attr = &flex_attr,
	  .infer = flex_infer },
	PART("FlexScores", 2, &flex_attr, scores, ONX_G_DIFF, ONX_G_DIFF),
	PART("FlexMix", 3, NULL, mix, ONX_G_DIFF, ONX_G_DIFF, ONX_G_ZERO),
	{ .type = NULL }
};
