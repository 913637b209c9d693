/* op/batchnorm_last.c -- BatchNormalization with channels last and an activation fused in, steps of the plan
 * that stand in no file.
 *
 *     BatchNormLast      Y = f(BN(X))             X [..][c], scale, B, mean, var
 *     BatchNormAddLast   Y = f(BN(X) + Z)         Z like X
 *
 * Statistics as in op/batchnorm.c: `fixed`, `adapted` or (training_mode) `training`; Y[1] and Y[2] are the
 * running ones.  The first step keeps X and two numbers a channel, and knows the derivative of every f; the
 * second keeps Y too, and where it is differentiated f must have a slope in Y (onx_fuse_in_y). */
#include <string.h>
#include "op/batchnorm_last.h"

static const struct onx_field bn_field[] = { ONX_BN_FIELDS, { .name = NULL } };
static const struct onx_table bn_table = { "BatchNormLast", sizeof(struct onx_bn_attr), bn_field, .check = NULL };

enum { Z = 5 };

static int bn_check(const struct onx_infer *s, struct onx_bn_last *g, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0)
		return rc;
	g->c = (size_t)x->dim[x->rank - 1];
	g->rows = 1;
	for (int d = 0; d < x->rank - 1; d++)
		g->rows *= (size_t)x->dim[d];
	for (int i = 1; i < Z; i++) {
		const struct onx_fact *f = &s->in[i];

		if ((rc = onx_want_real(s, i, e)) < 0 || (rc = onx_want_rank(s, i, 1, 1, e)) < 0)
			return rc;
		if ((f->type == ONX_DOUBLE) != (s->in[0].type == ONX_DOUBLE))
			return onx_fail(e, ONX_UNSUP, "input %d is %s where the data is %s", i,
					onx_dtype_name(f->type), onx_dtype_name(s->in[0].type));
		if (f->shape.dim[0] != (int64_t)g->c)
			return onx_fail(e, ONX_SHAPE, "input %d has %lld elements, the data %zu channels", i,
					(long long)f->shape.dim[0], g->c);
	}
	return ONX_OK;
}

int onx_bn_read(struct onx_infer *s, const struct onx_bn_attr *a, struct onx_bn_geo *g, struct onx_err *e)
{
	int rc;

	if ((rc = onx_fuse_read(a->activation, a->params.v, a->params.n, &g->bn.f, e)) < 0 ||
	    (rc = bn_check(s, &g->bn, e)) < 0)
		return rc;
	const double count = (double)g->bn.rows;

	g->batch = a->training || s->train;
	g->unbias = g->batch && !a->training && count > 1 ? count / (count - 1) : 1;
	if (g->batch && g->bn.rows == 0)
		return onx_fail(e, ONX_SHAPE, "no elements to take statistics of");
	/* In training the statistics leave through y[1] and y[2] even where the node does not name them. */
	for (int i = 1; i < s->n_out && i <= 2; i++)
		if (onx_has_out(s, i) || s->train)
			s->out[i] = (struct onx_fact){ .type = s->in[2 + i].type, .shape = s->in[3].shape };
	return ONX_OK;
}

static int bn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_bn_geo *g = ONX_NEW(s->mem, struct onx_bn_geo);
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "BatchNormLast");
	if ((rc = onx_bn_read(s, attr, g, e)) < 0)
		return rc;
	if (s->n_in > Z && !onx_shape_equal(&s->in[Z].shape, &s->in[0].shape))
		return onx_fail(e, ONX_SHAPE, "input %d has another shape than the data", (int)Z);
	if (s->n_in > Z && (rc = onx_want_same_type(s, 0, Z, e)) < 0)
		return rc;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	return ONX_OK;
}

size_t onx_bn_saved(const struct onx_bn_geo *g)
{
	return 2 * g->bn.c * sizeof(real);
}

size_t onx_bn_scratch(const struct onx_bn_geo *g)
{
	return (onx_bn_last_scratch(&g->bn) + 63) / 64 * 64;
}

static size_t bn_saved(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_bn_saved(s->geo);
}

/* What the kernels want, then in backward sums [2][c]. */
static size_t bn_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_bn_geo *g = s->geo;

	(void)attr, (void)threads;
	return onx_bn_scratch(g) + (backward ? 2 * g->bn.c * sizeof(double) : 0);
}

/* Leaves mean in save and the variance where inv will be; writes the running statistics. */
static void batch_stats(const struct onx_call *c, const struct onx_bn_geo *g, double keep, const real *const *given,
			real *mean, real *var)
{
	const real *batch[2] = { mean, var };

	if (given[0]) {
		memcpy(mean, given[0], g->bn.c * sizeof *mean);
		memcpy(var, given[1], g->bn.c * sizeof *var);
	} else {
		onx_bn_last_stats(c->pool, &g->bn, c->x[0].v, mean, var, c->scratch);
	}
	for (int k = 0; k < 2; k++) {
		const real *old = c->x[3 + k].v;
		real *y = 1 + k < c->n_y ? c->y[1 + k].v : NULL;
		const double factor = k ? g->unbias : 1;

		for (size_t i = 0; y && i < g->bn.c; i++)
			y[i] = (real)(old[i] * keep + batch[k][i] * factor * (1 - keep));
	}
}

void onx_bn_forward_stats(const struct onx_call *c, const struct onx_bn_attr *a, const struct onx_bn_geo *g,
			  const real *const *batch)
{
	real *mean = c->save, *inv = mean + g->bn.c;
	const real *var = inv;

	if (c->again)
		return;
	if (g->batch) {
		batch_stats(c, g, a->momentum, batch, mean, inv);
	} else {
		const real *old = c->x[3].v;

		var = c->x[4].v;
		for (size_t i = 0; i < g->bn.c; i++)
			mean[i] = old[i];
	}
	for (size_t i = 0; i < g->bn.c; i++)
		inv[i] = (real)(1 / sqrt((double)var[i] + a->epsilon));
}

/* Y = f((X - mean) / sqrt(var + epsilon) * scale + B + Z) by channel */
static void bn_forward(const struct onx_call *c)
{
	const struct onx_bn_geo *g = c->geo;
	const real *mean = c->save, *inv = mean + g->bn.c, *const none[2] = { NULL, NULL };

	onx_bn_forward_stats(c, c->attr, g, none);
	onx_bn_last_apply(c->pool, &g->bn, c->x[0].v, mean, inv, c->x[1].v, c->x[2].v,
			  c->n_x > Z ? c->x[Z].v : NULL, c->y[0].v, c->scratch);
}

/* With g = dy f': dscale = sum g xhat, dB = sum g, dmean = -scale inv sum g, dvar = -scale inv^2 / 2 sum g xhat; the
 * fixed statistics count for nothing where the batch's are used. */
void onx_bn_parameters(const struct onx_call *c, const struct onx_bn_geo *g, const double *sum,
		       const struct onx_view *batch)
{
	const real *scale = c->x[1].v, *inv = (const real *)c->save + g->bn.c;
	const struct onx_view *to[Z + 1] = { &c->dx[1], &c->dx[2], &c->dx[3], &c->dx[4],
					     batch, batch ? batch + 1 : NULL };

	for (int k = 0; k < Z + 1; k++)
		for (size_t i = 0; to[k] && to[k]->v && i < g->bn.c; i++) {
			const double a = -(double)scale[i] * (double)inv[i], s0 = sum[i], s1 = sum[g->bn.c + i];
			const double mean = a * s0, var = a * (double)inv[i] * s1 / 2;
			const double value[Z + 1] = { s1, s0, g->batch ? 0 : mean, g->batch ? 0 : var, mean, var };

			onx_put(&((real *)to[k]->v)[i], to[k]->add, (real)value[k]);
		}
}

void onx_bn_zero(const struct onx_call *c)
{
	for (int k = 0; k < c->n_x; k++)
		for (size_t i = 0; c->dx[k].v && !c->dx[k].add && i < c->dx[k].n; i++)
			((real *)c->dx[k].v)[i] = 0;
}

static void bn_backward(const struct onx_call *c)
{
	const struct onx_bn_geo *g = c->geo;
	const real *mean = c->save, *inv = mean + g->bn.c;
	const struct onx_view *dz = c->n_x > Z ? &c->dx[Z] : NULL;
	const bool par = c->dx[1].v || c->dx[2].v || c->dx[3].v || c->dx[4].v;
	double *sum = (double *)((char *)c->scratch + onx_bn_scratch(g));

	if (!c->dy[0].v) {
		onx_bn_zero(c);
		return;
	}
	const struct ONX_R(onx_bn_last_grad) t = {
		.x = c->x[0].v, .mean = mean, .inv = inv, .scale = c->x[1].v, .bias = c->x[2].v,
		.y = dz ? c->y[0].v : NULL, .dy = c->dy[0].v, .batch = g->batch, .sums = par,
		.dx = c->dx[0].v, .add_x = c->dx[0].add, .dz = dz ? dz->v : NULL, .add_z = dz && dz->add,
	};
	for (size_t i = 0; g->bn.rows == 0 && i < 2 * g->bn.c; i++)
		sum[i] = 0;
	onx_bn_last_backward(c->pool, &g->bn, &t, sum, c->scratch);
	if (par)
		onx_bn_parameters(c, g, sum, NULL);
}

#define BN(name, ins, kept, taken)                                                                         \
	{ .domain = "onnx_adapt", .type = name, .since = 1, .min_in = ins, .max_in = ins, .min_out = 1,    \
	  .max_out = 3, .grad = { ONX_G_DIFF }, .n_grad = 1,                                               \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | (kept), .pass = taken,                  \
	  .flags = ONX_OP_TRAIN | ONX_OP_TAKES_DY | ONX_OP_AGAIN | ONX_OP_APART | ((taken) ? 0 : ONX_OP_OVER_DY), \
	  .weight = 6, .stat = 24,                                                                         \
	  .attr = &bn_table,                                                                              \
	  .infer = bn_infer, .saved = bn_saved, .scratch = bn_scratch, .forward = bn_forward,              \
	  .backward = bn_backward }
const struct onx_op ONX_R(onx_ops_batchnorm_last)[] = {
	BN("BatchNormLast", Z, 0, 0),
	BN("BatchNormAddLast", Z + 1, ONX_KEEP_Y(0), Z),
	{ .type = NULL }
};
