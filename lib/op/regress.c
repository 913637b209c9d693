/* op/regress.c -- losses of our own domain between scores x and targets t of one shape, averaged over
 * all elements (or divided by scale_n): MSE, L1, Huber and BCEWithLogits, as PyTorch defines them. */
#include "kernel/real.h"
#include "op/infer.h"

struct regress { double delta, scale_n; };
#define SCALE { .name = "scale_n", .kind = F_REAL, .off = offsetof(struct regress, scale_n), .def = "0", \
	.min = 0, .max = 1e18, .help = "what the sum is divided by; 0: the number of elements" }
static const struct onx_field plain_field[] = { SCALE, { .name = NULL } };
static const struct onx_field huber_field[] = {
	SCALE,
	{ .name = "delta", .kind = F_REAL, .off = offsetof(struct regress, delta), .def = "1", .min = 1e-12,
	  .max = 1e12, .help = "from where on the loss is linear" },
	{ .name = NULL }
};
static const struct onx_table plain_attr = { .name = "loss", .size = sizeof(struct regress),
					     .field = plain_field };
static const struct onx_table huber_attr = { .name = "Huber", .size = sizeof(struct regress),
					     .field = huber_field };

/* Loss and its derivative by x; w: weight of positive targets, delta: Huber's. */
typedef double regress_fn(double x, double t, double w, double delta, double *slope);

static double mse(double x, double t, double w, double delta, double *slope)
{
	(void)w;
	(void)delta;
	*slope = 2 * (x - t);
	return (x - t) * (x - t);
}

static double l1(double x, double t, double w, double delta, double *slope)
{
	(void)w;
	(void)delta;
	*slope = (x > t) - (x < t);
	return fabs(x - t);
}

static double huber(double x, double t, double w, double delta, double *slope)
{
	const double d = x - t;

	(void)w;
	if (fabs(d) > delta) {
		*slope = d > 0 ? delta : -delta;
		return delta * (fabs(d) - delta / 2);
	}
	*slope = d;
	return d * d / 2;
}

/* (1 - t) x + (1 + (w - 1) t) log(1 + exp(-x)), without overflow. */
static double bce(double x, double t, double w, double delta, double *slope)
{
	const double k = 1 + (w - 1) * t, e = exp(-fabs(x));

	(void)delta;
	*slope = (1 - t) - k * (x < 0 ? 1 / (1 + e) : e / (1 + e));
	return (1 - t) * x + k * (log1p(e) + (x < 0 ? -x : 0));
}

static double positive(const struct onx_call *c, size_t i)
{
	return c->n_x > 2 && c->x[2].v ? (double)((const real *)c->x[2].v)[i % c->x[2].n] : 1;
}

static double divisor(const struct onx_call *c)
{
	const struct regress *p = c->attr;

	return p->scale_n > 0 ? p->scale_n : (double)c->x[0].n;
}

static void forward(const struct onx_call *c, regress_fn *f)
{
	const real *x = c->x[0].v, *t = c->x[1].v;
	const double delta = ((const struct regress *)c->attr)->delta;
	double sum = 0, slope;

	for (size_t i = 0; i < c->x[0].n; i++)
		sum += f((double)x[i], (double)t[i], positive(c, i), delta, &slope);
	*(real *)c->y[0].v = (real)(sum / divisor(c));
}

static void backward(const struct onx_call *c, regress_fn *f)
{
	const real *x = c->x[0].v, *t = c->x[1].v;
	const double by = (double)*(const real *)c->dy[0].v / divisor(c);
	const double delta = ((const struct regress *)c->attr)->delta;
	real *dx = c->dx[0].v;

	for (size_t i = 0; dx && i < c->x[0].n; i++) {
		double slope;
		(void)f((double)x[i], (double)t[i], positive(c, i), delta, &slope);
		onx_put(&dx[i], c->dx[0].add, (real)(by * slope));
	}
}

#define LOSS(f)                                                                              \
static void f##_forward(const struct onx_call *c)  { forward(c, f); }                        \
static void f##_backward(const struct onx_call *c) { backward(c, f); }
LOSS(mse)
LOSS(l1)
LOSS(huber)
LOSS(bce)

/* Half precision scores are met by single precision targets: both are float in memory. */
static int beside_scores(const struct onx_infer *s, int i, struct onx_err *e)
{
	const int rc = onx_want_real(s, i, e);

	return rc < 0 || (s->in[i].type == ONX_DOUBLE) == (s->in[0].type == ONX_DOUBLE)
		? rc : onx_want_same_type(s, 0, i, e);
}

static int infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape scalar = { .rank = 0 }, *x = &s->in[0].shape;
	char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];
	size_t n;
	int rc = onx_want_real(s, 0, e);

	(void)attr;
	if (rc == ONX_OK)
		rc = beside_scores(s, 1, e);
	if (rc < 0)
		return rc;
	if (!onx_shape_equal(x, &s->in[1].shape))
		return onx_fail(e, ONX_SHAPE, "scores have shape %s, targets %s, wanted one shape",
				onx_shape_text(x->rank, x->dim, a, sizeof a),
				onx_shape_text(s->in[1].shape.rank, s->in[1].shape.dim, b, sizeof b));
	if (onx_has_in(s, 2)) {
		rc = beside_scores(s, 2, e);
		if (rc == ONX_OK)
			rc = onx_count(s->in[2].shape.rank, s->in[2].shape.dim, &n, e);
		if (rc < 0)
			return rc;
		if (n != 1 && (x->rank == 0 || (int64_t)n != x->dim[x->rank - 1] || s->in[2].shape.rank != 1))
			return onx_fail(e, ONX_SHAPE, "weights of the positive targets have %zu elements, "
					"wanted 1 or as many as the last dimension of %s", n,
					onx_shape_text(x->rank, x->dim, a, sizeof a));
	}
	onx_set_out(s, 0, s->in[0].type, &scalar);
	return ONX_OK;
}

#define ROW(name, ins, table, f)                                                             \
	{ .domain = "onnx_adapt", .type = name, .since = 1, .min_in = 2, .max_in = ins, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,                    \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .flags = ONX_OP_LOSS,       \
	  .attr = &table, .infer = infer, .forward = f##_forward, .backward = f##_backward }

const struct onx_op ONX_R(onx_ops_regress)[] = {
	ROW("MSE", 2, plain_attr, mse),
	ROW("L1", 2, plain_attr, l1),
	ROW("Huber", 2, huber_attr, huber),
	ROW("BCEWithLogits", 3, plain_attr, bce),
	{ .type = NULL }
};
