/* op/batchnorm_last.c -- BatchNormalization with channels last and an activation fused in, steps of the plan
 * that stand in no file.
 *
 *     BatchNormLast      Y = f(BN(X))             X [..][c], scale, B, mean, var
 *     BatchNormAddLast   Y = f(BN(X) + Z)         Z like X
 *
 * Statistics as in op/batchnorm.c: `fixed`, `adapted` or (training_mode) `training`; Y[1] and Y[2] are the
 * running ones.  The first step keeps X and two numbers a channel, and knows the derivative of every f; the
 * second keeps Y too, and where it is differentiated f must have a slope in Y (onx_fuse_in_y). */
#include "kernel/norm_last.h"
#include "op/fuse.h"
#include "op/infer.h"

struct bn_attr {
	double epsilon, momentum;
	bool training;
	const char *activation;
	struct onx_reals params;
};

static const struct onx_field bn_field[] = {
	{ "epsilon", F_REAL, offsetof(struct bn_attr, epsilon), .def = "1e-5", .min = 0, .max = 1e6,
	  .help = "added to the variance" },
	{ "momentum", F_REAL, offsetof(struct bn_attr, momentum), .def = "0.9", .min = 0, .max = 1,
	  .help = "weight of the old running statistics" },
	{ "training_mode", F_BOOL, offsetof(struct bn_attr, training), .def = "0",
	  .help = "use the statistics of the batch" },
	{ "activation", F_STR, offsetof(struct bn_attr, activation), .def = "",
	  .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct bn_attr, params), .def = "",
	  .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table bn_table = { "BatchNormLast", sizeof(struct bn_attr), bn_field, .check = NULL };

enum { Z = 5 };

struct bn_geo {
	struct onx_bn_last bn;
	bool batch;             /* statistics of the batch            */
	double unbias;          /* factor of the variance in y[2]     */
};

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
	if (s->n_in <= Z)
		return ONX_OK;
	if (!onx_shape_equal(&s->in[Z].shape, x))
		return onx_fail(e, ONX_SHAPE, "input %d has another shape than the data", (int)Z);
	return onx_want_same_type(s, 0, Z, e);
}

static int bn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct bn_attr *a = attr;
	struct bn_geo *g = ONX_NEW(s->mem, struct bn_geo);
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "BatchNormLast");
	if ((rc = onx_fuse_read(a->activation, a->params.v, a->params.n, &g->bn.f, e)) < 0 ||
	    (rc = bn_check(s, &g->bn, e)) < 0)
		return rc;
	const double count = (double)g->bn.rows;

	g->batch = a->training || s->train;
	g->unbias = g->batch && !a->training && count > 1 ? count / (count - 1) : 1;
	if (g->batch && g->bn.rows == 0)
		return onx_fail(e, ONX_SHAPE, "no elements to take statistics of");
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	/* In training the statistics leave through y[1] and y[2] even where the node does not name them. */
	for (int i = 1; i < s->n_out; i++)
		if (onx_has_out(s, i) || s->train)
			s->out[i] = (struct onx_fact){ .type = s->in[2 + i].type, .shape = s->in[3].shape };
	return ONX_OK;
}

/* save: mean [c], then inv [c] */
static size_t bn_saved(const struct onx_infer *s, const void *attr)
{
	const struct bn_geo *g = s->geo;

	(void)attr;
	return 2 * g->bn.c * sizeof(real);
}

static size_t kernel_scratch(const struct bn_geo *g)
{
	return (onx_bn_last_scratch(&g->bn) + 63) / 64 * 64;
}

/* What the kernels want, then in backward sums [2][c]. */
static size_t bn_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct bn_geo *g = s->geo;

	(void)attr, (void)threads;
	return kernel_scratch(g) + (backward ? 2 * g->bn.c * sizeof(double) : 0);
}

/* Leaves mean in save and the variance where inv will be; writes the running statistics. */
static void batch_stats(const struct onx_call *c, const struct bn_geo *g, real *mean, real *var)
{
	const double keep = ((const struct bn_attr *)c->attr)->momentum;
	const real *batch[2] = { mean, var };

	onx_bn_last_stats(c->pool, &g->bn, c->x[0].v, mean, var, c->scratch);
	for (int k = 0; k < 2; k++) {
		const real *old = c->x[3 + k].v;
		real *y = 1 + k < c->n_y ? c->y[1 + k].v : NULL;
		const double factor = k ? g->unbias : 1;

		for (size_t i = 0; y && i < g->bn.c; i++)
			y[i] = (real)(old[i] * keep + batch[k][i] * factor * (1 - keep));
	}
}

/* Y = f((X - mean) / sqrt(var + epsilon) * scale + B + Z) by channel */
static void bn_forward(const struct onx_call *c)
{
	const struct bn_geo *g = c->geo;
	const double eps = ((const struct bn_attr *)c->attr)->epsilon;
	real *mean = c->save, *inv = mean + g->bn.c;
	const real *var = inv;

	if (g->batch && !c->again) {
		batch_stats(c, g, mean, inv);
	} else if (!c->again) {
		const real *old = c->x[3].v;

		var = c->x[4].v;
		for (size_t i = 0; i < g->bn.c; i++)
			mean[i] = old[i];
	}
	for (size_t i = 0; i < g->bn.c && !c->again; i++)
		inv[i] = (real)(1 / sqrt((double)var[i] + eps));
	onx_bn_last_apply(c->pool, &g->bn, c->x[0].v, mean, inv, c->x[1].v, c->x[2].v,
			  c->n_x > Z ? c->x[Z].v : NULL, c->y[0].v, c->scratch);
}

/* With g = dy f': dscale = sum g xhat, dB = sum g; with fixed statistics also dmean = -scale inv sum g and
 * dvar = -scale inv^2 / 2 sum g xhat; statistics of the batch do not depend on inputs 3 and 4. */
static void bn_parameters(const struct onx_call *c, const struct bn_geo *g, const real *inv, const double *sum)
{
	const real *scale = c->x[1].v;

	for (int k = 1; k < Z; k++) {
		real *d = c->dx[k].v;

		for (size_t i = 0; d && i < g->bn.c; i++) {
			const double a = g->batch ? 0 : -(double)scale[i] * (double)inv[i];
			const double s0 = sum[i], s1 = sum[g->bn.c + i];
			const double value[Z] = { 0, s1, s0, a * s0, a * (double)inv[i] * s1 / 2 };

			onx_put(&d[i], c->dx[k].add, (real)value[k]);
		}
	}
}

static void bn_backward(const struct onx_call *c)
{
	const struct bn_geo *g = c->geo;
	const real *mean = c->save, *inv = mean + g->bn.c;
	const struct onx_view *dz = c->n_x > Z ? &c->dx[Z] : NULL;
	const bool par = c->dx[1].v || c->dx[2].v || c->dx[3].v || c->dx[4].v;
	double *sum = (double *)((char *)c->scratch + kernel_scratch(g));

	if (!c->dy[0].v) {
		for (int k = 0; k < c->n_x; k++)
			for (size_t i = 0; c->dx[k].v && !c->dx[k].add && i < c->dx[k].n; i++)
				((real *)c->dx[k].v)[i] = 0;
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
		bn_parameters(c, g, inv, sum);
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
