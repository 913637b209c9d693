/* op/gated.c -- SwiGLU: y = Swish(a) * b, where Swish(a) = a * sigmoid(alpha * a); one shape, no broadcast. */
#include "kernel/vmath.h"
#include "op/infer.h"
#include "op/loop.h"

struct gated { double alpha; };
static const struct onx_field gated_field[] = {
	{ "alpha", F_REAL, offsetof(struct gated, alpha), .def = "1", .min = -1e6, .max = 1e6,
	  .help = "factor inside the sigmoid" },
	{ .name = NULL }
};
static const struct onx_table gated_attr = { "SwiGLU", sizeof(struct gated), gated_field, .check = NULL };

static int gated_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *a = &s->in[0].shape, *b = &s->in[1].shape;
	bool same = a->rank == b->rank;
	int rc = onx_want_real(s, 0, e);

	if (rc == ONX_OK)
		rc = onx_want_same_type(s, 0, 1, e);
	if (rc < 0)
		return rc;
	for (int d = 0; same && d < a->rank; d++)
		same = a->dim[d] == b->dim[d];
	if (!same) {
		char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
		return onx_fail(e, ONX_SHAPE, "input 1 has shape %s, wanted %s as input 0",
				onx_shape_text(b->rank, b->dim, t, sizeof t),
				onx_shape_text(a->rank, a->dim, u, sizeof u));
	}
	return onx_infer_same(s, attr, e);
}

static void forward_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const real alpha = (real)((const struct gated *)c->attr)->alpha;
	const real *a = c->x[0].v, *b = c->x[1].v;
	real *y = c->y[0].v;

	for (size_t i = lo; i < hi; i++)
		y[i] = a[i] * onx_vsigmoid(alpha * a[i]) * b[i];
}

static void gated_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, forward_range, c);
}

/* da = dy b (s + alpha a s (1 - s)), db = dy a s, with s = sigmoid(alpha a) */
static void backward_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const real alpha = (real)((const struct gated *)c->attr)->alpha;
	const real *a = c->x[0].v, *b = c->x[1].v, *dy = c->dy[0].v;
	real *da = c->dx[0].v, *db = c->dx[1].v;

	for (size_t i = lo; i < hi; i++) {
		const real g = dy[i], s = onx_vsigmoid(alpha * a[i]), swish = a[i] * s;
		if (da)
			onx_put(&da[i], c->dx[0].add, g * b[i] * (s + alpha * swish * (1 - s)));
		if (db)
			onx_put(&db[i], c->dx[1].add, g * swish);
	}
}

static void gated_backward(const struct onx_call *c)
{
	onx_each(c->pool, c->dy[0].n, ONX_GRAIN, backward_range, c);
}

const struct onx_op ONX_R(onx_ops_gated)[] = {
	{ .domain = "", .type = "SwiGLU", .since = 28, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .attr = &gated_attr,
	  .infer = gated_infer, .forward = gated_forward, .backward = gated_backward },
	{ .type = NULL }
};
