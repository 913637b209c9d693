/* op/norm.c -- LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization: rows of
 * the input with mean 0 and variance 1, then scale and bias (kernel/norm.h). */
#include "kernel/norm.h"
#include "op/infer.h"

struct norm_attr { double epsilon; int64_t axis, groups, stash; };

#define EPSILON { "epsilon", F_REAL, offsetof(struct norm_attr, epsilon), .def = "1e-5", .min = 0, \
	.max = 1e6, .help = "added to the variance" }
#define STASH { "stash_type", F_INT, offsetof(struct norm_attr, stash), .def = "1", \
	.help = "type of the statistics in the file's terms" }
static const struct onx_field layer_field[] = {
	EPSILON, STASH,
	{ "axis", F_INT, offsetof(struct norm_attr, axis), .def = "-1", .help = "first dim of a row" },
	{ .name = NULL }
};
static const struct onx_table layer_table = { "LayerNormalization", sizeof(struct norm_attr), layer_field,
					      .check = NULL };
static const struct onx_field instance_field[] = { EPSILON, { .name = NULL } };
static const struct onx_table instance_table = { "InstanceNormalization", sizeof(struct norm_attr),
						 instance_field, .check = NULL };
static const struct onx_field group_field[] = {
	EPSILON, STASH,
	{ "num_groups", F_INT, offsetof(struct norm_attr, groups), .def = NULL, .min = 1, .max = 1e9,
	  .help = "groups of channels" },
	{ .name = NULL }
};
static const struct onx_table group_table = { "GroupNormalization", sizeof(struct norm_attr), group_field,
					      .check = NULL };

static size_t product(const struct onx_shape *s, int from, int to)
{
	size_t n = 1;

	for (int d = from; d < to; d++)
		n *= (size_t)s->dim[d];
	return n;
}

/* mixes: its precision may be another than the data's. */
static int want_parameter(const struct onx_infer *s, int i, size_t n, bool mixes, struct onx_err *e)
{
	size_t have;
	int rc;

	if (!onx_has_in(s, i))
		return ONX_OK;
	if ((rc = onx_want_real(s, i, e)) < 0 ||
	    (rc = onx_count(s->in[i].shape.rank, s->in[i].shape.dim, &have, e)) < 0)
		return rc;
	if (!mixes && (s->in[i].type == ONX_DOUBLE) != (s->in[0].type == ONX_DOUBLE))
		return onx_fail(e, ONX_UNSUP, "input %d is %s where the data is %s", i,
				onx_dtype_name(s->in[i].type), onx_dtype_name(s->in[0].type));
	if (have != n)
		return onx_fail(e, ONX_SHAPE, "input %d has %zu elements, wanted %zu", i, have, n);
	return ONX_OK;
}

static int finish(struct onx_infer *s, const struct onx_rows *g, bool mixes, struct onx_err *e)
{
	struct onx_rows *geo = ONX_NEW(s->mem, struct onx_rows);
	int rc;

	if (!geo)
		return onx_nomem(e, sizeof *geo, "normalisation");
	*geo = *g;
	s->geo = geo;
	if ((rc = want_parameter(s, 1, g->n_par, mixes, e)) < 0 ||
	    (rc = want_parameter(s, 2, g->n_par, mixes, e)) < 0)
		return rc;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	return ONX_OK;
}

static int by_axis(struct onx_infer *s, const struct norm_attr *a, bool centre, int *axis,
		   struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_axis(a->axis, x->rank, axis, e)) < 0)
		return rc;
	const size_t len = product(x, *axis, x->rank);

	return finish(s, &(struct onx_rows){ .rows = product(x, 0, *axis), .len = len, .period = 1, .run = 1,
					     .n_par = len, .eps = a->epsilon, .centre = centre },
		      !centre || s->version < 17, e);
}

/* The outputs behind the first: one number a row. */
static int statistics(struct onx_infer *s, const struct norm_attr *a, int axis, struct onx_err *e)
{
	struct onx_shape stat = s->in[0].shape;

	if (a->stash != ONX_FLOAT && a->stash != ONX_BFLOAT16 && a->stash != ONX_FLOAT16 &&
	    a->stash != ONX_DOUBLE)
		return onx_fail(e, ONX_UNSUP, "stash_type is %lld", (long long)a->stash);
	for (int d = axis; d < stat.rank; d++)
		stat.dim[d] = 1;
	for (int i = 1; i < s->n_out && i < 3; i++)
		if (onx_has_out(s, i))
			onx_set_out(s, i, (enum onx_dtype)a->stash, &stat);
	return ONX_OK;
}

static int layer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int axis = 0, rc = by_axis(s, attr, true, &axis, e);

	if (rc == ONX_OK)
		rc = statistics(s, attr, axis, e);
	if (rc == ONX_OK && s->version < 17)            /* ONNX Runtime's own: of the type of the scale */
		s->out[0].type = s->in[1].type;
	return rc;
}

static int rms_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int axis = 0, rc = by_axis(s, attr, false, &axis, e);

	if (rc == ONX_OK)
		rc = statistics(s, attr, axis, e);
	if (rc == ONX_OK)
		s->out[0].type = s->in[1].type;
	return rc;
}

static int instance_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct norm_attr *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, ONX_RANK, e)) < 0)
		return rc;
	const size_t len = product(x, 2, x->rank), c = (size_t)x->dim[1];

	return finish(s, &(struct onx_rows){ .rows = (size_t)x->dim[0] * c, .len = len, .period = c,
					     .first = 1, .run = len ? len : 1, .n_par = c, .eps = a->epsilon,
					     .centre = true }, false, e);
}

/* Opset 18: scale and bias by group; from 21 on by channel. */
static int group_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct norm_attr *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const bool by_group = s->version < 21;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0)
		return rc;
	if (x->dim[1] % a->groups != 0 || x->dim[1] == 0)
		return onx_fail(e, ONX_SHAPE, "%lld channels do not fall into %lld groups",
				(long long)x->dim[1], (long long)a->groups);
	const size_t p = product(x, 2, x->rank), g = (size_t)a->groups, c = (size_t)x->dim[1];
	const size_t run = by_group ? c / g * p : p;

	return finish(s, &(struct onx_rows){ .rows = (size_t)x->dim[0] * g, .len = c / g * p, .period = g,
					     .first = by_group ? 1 : c / g, .run = run ? run : 1,
					     .n_par = by_group ? g : c, .eps = a->epsilon, .centre = true }, false, e);
}

static size_t rows_saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_rows *g = s->geo;

	(void)attr;
	return g->rows * 2 * sizeof(double);    /* enough for either precision */
}

static size_t rows_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_rows *g = s->geo;

	(void)attr, (void)threads;
	return backward ? onx_rows_scratch(g) + 2 * g->rows * sizeof(double) : 0;
}

static const real *input(const struct onx_call *c, int i)
{
	return i < c->n_x ? c->x[i].v : NULL;
}

/* Y = (X - mean) / sqrt(var + epsilon) * scale + bias by rows; Mean and InvStdDev, or without a mean the latter alone,
 * if asked for */
static void rows_forward(const struct onx_call *c)
{
	const struct onx_rows *g = c->geo;
	const real *stat = (const real *)c->save + !g->centre;

	onx_rows_forward(c->pool, g, c->x[0].v, input(c, 1), input(c, 2), c->y[0].v, c->save);
	for (int i = 1; i < c->n_y && i < 3; i++)
		for (size_t r = 0; c->y[i].v && r < c->y[i].n; r++)
			onx_view_put_real(&c->y[i], r, stat[2 * r + (size_t)i - 1]);
}

/* The gradient of a statistic as real numbers: its view may have another width. */
static const real *stat_grad(const struct onx_call *c, int i, real *to)
{
	if (i >= c->n_y || !c->dy[i].v)
		return NULL;
	for (size_t r = 0; r < c->dy[i].n; r++)
		to[r] = (real)onx_view_real(&c->dy[i], r);
	return to;
}

static void rows_backward(const struct onx_call *c)
{
	const struct onx_rows *g = c->geo;
	real *own = (real *)((char *)c->scratch + onx_rows_scratch(g));
	struct onx_rows_grad t = { .x = c->x[0].v, .scale = input(c, 1), .dy = c->dy[0].v, .stat = c->save,
				   .dx = c->dx[0].v, .add_x = c->dx[0].add, .scratch = c->scratch };

	if (g->centre)
		t.dmean = stat_grad(c, 1, own);
	t.dinv = stat_grad(c, g->centre ? 2 : 1, own + g->rows);
	if (c->n_x > 1) {
		t.dscale = c->dx[1].v;
		t.add_scale = c->dx[1].add;
	}
	if (c->n_x > 2) {
		t.dbias = c->dx[2].v;
		t.add_bias = c->dx[2].add;
	}
	onx_rows_backward(c->pool, g, &t);
}

#define NORM(t, v, lo, hi, outs, part) \
	{ .domain = "", .type = t, .since = v, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = outs, \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 6,       \
	  .flags = ONX_OP_APART, .attr = &part##_table, .infer = part##_infer, .saved = rows_saved,      \
	  .scratch = rows_scratch,                                                                       \
	  .forward = rows_forward, .backward = rows_backward }
/* ONNX Runtime writes LayerNormalization and SimplifiedLayerNormalization into models of any opset. */
#define rms_table layer_table
const struct onx_op ONX_R(onx_ops_norm)[] = {
	NORM("LayerNormalization", 1, 2, 3, 3, layer),
	NORM("RMSNormalization", 23, 2, 2, 1, rms),
	NORM("SimplifiedLayerNormalization", 1, 2, 2, 2, rms),
	NORM("InstanceNormalization", 1, 3, 3, 1, instance),
	NORM("GroupNormalization", 18, 3, 3, 1, group),
	{ .type = NULL }
};
