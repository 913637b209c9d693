/* op/heads.c -- HeadAttention: softmax(scale Q K' + mask) V for each head, a step of the plan that stands in no file;
 * plan/lower_block.c makes it of the products, the softmax and the transposes that exporters write.
 *
 *     layout   Q, K, V                                              Y
 *     bhtd     [b][heads][tq][d], [b][heads][tk][d], ..[dv]         [b][heads][tq][dv]
 *     bthd     [b][tq][heads d], [b][tk][heads d], ..[heads dv]     [b][tq][heads dv]
 *     packed   one [b][t][3 heads d] at input 0: Q, K, V in a row   [b][t][heads d]
 *
 * The mask (input 3) broadcasts to [b][heads][tq][tk] and has no gradient here. */
#include "kernel/heads.h"
#include "op/infer.h"

struct heads_attr { int64_t heads; double scale; int layout; };
enum { BHTD, BTHD, PACKED };
static const char *const layouts[] = { "bhtd", "bthd", "packed", NULL };
static const struct onx_field heads_field[] = {
	{ .name = "heads", .kind = F_INT, .off = offsetof(struct heads_attr, heads), .min = 1, .max = 1 << 20,
	  .help = "heads" },
	{ .name = "scale", .kind = F_REAL, .off = offsetof(struct heads_attr, scale), .def = "1",
	  .help = "factor of the scores" },
	{ .name = "layout", .kind = F_ENUM, .off = offsetof(struct heads_attr, layout), .def = "bhtd",
	  .choices = layouts, .help = "order of the dimensions" },
	{ .name = NULL }
};
static const struct onx_table heads_table = { "HeadAttention", sizeof(struct heads_attr), heads_field, .check = NULL };

struct geo { struct onx_heads h; bool packed; };

/* Sizes of input i: rows and columns of a head. */
static int operand(const struct onx_infer *s, const struct heads_attr *a, int i, size_t parts, size_t *b, size_t *t,
		   size_t *d, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape;
	const int64_t heads = a->heads * (int64_t)parts;
	int rc = onx_want_same_type(s, 0, i, e);

	if (rc == ONX_OK)
		rc = onx_want_rank(s, i, a->layout == BHTD ? 4 : 3, a->layout == BHTD ? 4 : 3, e);
	if (rc < 0)
		return rc;
	if (a->layout == BHTD ? x->dim[1] != heads : x->dim[2] % heads != 0)
		return onx_fail(e, ONX_SHAPE, "input %d does not fall into %lld heads", i, (long long)heads);
	*b = (size_t)x->dim[0];
	*t = (size_t)x->dim[a->layout == BHTD ? 2 : 1];
	*d = (size_t)(a->layout == BHTD ? x->dim[3] : x->dim[2] / heads);
	return ONX_OK;
}

static struct onx_head_steps steps(const struct heads_attr *a, size_t t, size_t d, size_t row)
{
	const size_t heads = (size_t)a->heads;

	if (a->layout == BHTD)
		return (struct onx_head_steps){ heads * t * d, t * d, d };
	return (struct onx_head_steps){ t * row, d, row };
}

static int mask_steps(const struct onx_infer *s, struct onx_heads *h, struct onx_err *e)
{
	const size_t want[4] = { h->b, h->h, h->tq, h->tk };
	size_t step[4] = { 0 }, next = 1;

	if (!onx_has_in(s, 3))
		return ONX_OK;
	const struct onx_shape *m = &s->in[3].shape;
	int rc = onx_want_same_type(s, 0, 3, e);

	if (rc < 0 || (rc = onx_want_rank(s, 3, 0, 4, e)) < 0)
		return rc;
	for (int d = m->rank - 1; d >= 0; d--) {
		const int to = d + 4 - m->rank;

		if (m->dim[d] != 1 && (size_t)m->dim[d] != want[to])
			return onx_fail(e, ONX_SHAPE, "dim %d of the mask is %lld, wanted %zu", d,
					(long long)m->dim[d], want[to]);
		step[to] = m->dim[d] == 1 ? 0 : next;
		next *= (size_t)m->dim[d];
	}
	h->mask_b = step[0];
	h->mask_h = step[1];
	h->mask_q = step[2];
	h->mask_k = step[3];
	return ONX_OK;
}

static int sizes(struct onx_infer *s, const struct heads_attr *a, struct onx_heads *h, struct onx_err *e)
{
	const size_t heads = (size_t)a->heads;
	size_t b[2], t;
	int rc;

	if (a->layout == PACKED) {
		if ((rc = operand(s, a, 0, 3, &h->b, &h->tq, &h->d, e)) < 0)
			return rc;
		h->tk = h->tq;
		h->dv = h->d;
		h->q = h->k = h->v = steps(a, h->tq, h->d, 3 * heads * h->d);
		return ONX_OK;
	}
	if (!onx_has_in(s, 1) || !onx_has_in(s, 2))
		return onx_fail(e, ONX_SHAPE, "keys or values are missing");
	size_t dk;

	if ((rc = operand(s, a, 0, 1, &h->b, &h->tq, &h->d, e)) < 0 ||
	    (rc = operand(s, a, 1, 1, &b[0], &h->tk, &dk, e)) < 0 ||
	    (rc = operand(s, a, 2, 1, &b[1], &t, &h->dv, e)) < 0)
		return rc;
	if (b[0] != h->b || b[1] != h->b || dk != h->d || t != h->tk)
		return onx_fail(e, ONX_SHAPE, "queries, keys and values do not go together");
	h->q = steps(a, h->tq, h->d, heads * h->d);
	h->k = steps(a, h->tk, h->d, heads * h->d);
	h->v = steps(a, h->tk, h->dv, heads * h->dv);
	return ONX_OK;
}

static int heads_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct heads_attr *a = attr;
	struct geo *g = ONX_NEW(s->mem, struct geo);
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "HeadAttention");
	struct onx_heads *h = &g->h;

	*h = (struct onx_heads){ .h = (size_t)a->heads, .scale = a->scale };
	g->packed = a->layout == PACKED;
	s->geo = g;
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = sizes(s, a, h, e)) < 0 || (rc = mask_steps(s, h, e)) < 0)
		return rc;
	if (h->tk == 0)
		return onx_fail(e, ONX_SHAPE, "there are no keys");
	h->o = steps(a, h->tq, h->dv, h->h * h->dv);
	const struct onx_shape four = { 4, { (int64_t)h->b, (int64_t)h->h, (int64_t)h->tq, (int64_t)h->dv } };
	const struct onx_shape three = { 3, { (int64_t)h->b, (int64_t)h->tq, (int64_t)(h->h * h->dv) } };

	onx_set_out(s, 0, s->in[0].type, a->layout == BHTD ? &four : &three);
	return ONX_OK;
}

static double heads_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_heads *h = &((const struct geo *)s->geo)->h;

	(void)attr;
	return (double)h->b * (double)h->h * (double)h->tq * (double)h->tk * (double)(h->d + h->dv);
}

static size_t heads_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return onx_heads_scratch(&((const struct geo *)s->geo)->h, threads, backward);
}

static const real *input(const struct onx_call *c, int i)
{
	const struct geo *g = c->geo;

	if (g->packed && i < 3)
		return (const real *)c->x[0].v + (size_t)i * g->h.h * g->h.d;
	return i < c->n_x ? c->x[i].v : NULL;
}

static void heads_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_heads_forward(c->pool, &g->h, input(c, 0), input(c, 1), input(c, 2), input(c, 3), c->y[0].v, c->scratch);
}

static void heads_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const struct onx_view *d = c->dx;
	real *all = d[0].v;
	const size_t width = g->h.h * g->h.d;
	struct ONX_R(onx_heads_grad) to = { .q = all, .add_q = d[0].add };

	if (g->packed && all) {
		to.k = all + width;
		to.v = all + 2 * width;
		to.add_k = to.add_v = d[0].add;
	} else if (!g->packed) {
		to.k = d[1].v;
		to.add_k = d[1].add;
		to.v = d[2].v;
		to.add_v = d[2].add;
	}
	onx_heads_backward(c->pool, &g->h, input(c, 0), input(c, 1), input(c, 2), input(c, 3), c->dy[0].v, &to,
			   c->scratch);
}

const struct onx_op ONX_R(onx_ops_heads)[] = {
	{ .domain = "onnx_adapt", .type = "HeadAttention", .since = 1, .min_in = 1, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 4,
	  .flags = ONX_OP_APART,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3), .attr = &heads_table,
	  .infer = heads_infer, .macs = heads_macs, .scratch = heads_scratch, .forward = heads_forward,
	  .backward = heads_backward },
	{ .type = NULL }
};
