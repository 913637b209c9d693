/* op/batchnorm.c -- BatchNormalization.
 *
 * Three ways to run, fixed while planning:
 *   fixed      mean and variance are inputs 3 and 4 (inference; a frozen layer)
 *   adapted    the plan trains a layer whose file says inference: statistics of the batch, and
 *              y[1], y[2] = old * momentum + batch * (1 - momentum) with the unbiased variance, as PyTorch
 *   training   the node itself says training (training_mode; from opset 7 more than one output; before, no
 *              is_test):
 *              the same with the population variance, as the specification has it
 * y[1] may be the memory of x[3] and y[2] that of x[4]. */
#include "kernel/norm.h"
#include "op/infer.h"

struct bn_attr { double epsilon, momentum; bool training, is_test; int64_t spatial; };

#define COMMON \
	{ "epsilon", F_REAL, offsetof(struct bn_attr, epsilon), .def = "1e-5", .min = 0, .max = 1e6,   \
	  .help = "added to the variance" },                                                           \
	{ "momentum", F_REAL, offsetof(struct bn_attr, momentum), .def = "0.9", .min = 0, .max = 1,    \
	  .help = "weight of the old running statistics" }
static const struct onx_field old_field[] = {
	COMMON,
	{ "spatial", F_INT, offsetof(struct bn_attr, spatial), .def = "1", .min = 0, .max = 1,
	  .help = "statistics by channel (1) or by element (0)" },
	{ "is_test", F_BOOL, offsetof(struct bn_attr, is_test), .def = "0",
	  .help = "before opset 7: use the running statistics" },
	{ .name = NULL }
};
static const struct onx_field new_field[] = {
	COMMON,
	{ "training_mode", F_BOOL, offsetof(struct bn_attr, training), .def = "0",
	  .help = "use the statistics of the batch" },
	{ .name = NULL }
};
static const struct onx_table old_table = { "BatchNormalization", sizeof(struct bn_attr), old_field,
					    .check = NULL };
static const struct onx_table new_table = { "BatchNormalization", sizeof(struct bn_attr), new_field,
					    .check = NULL };

struct bn_geo {
	struct onx_bn bn;
	bool batch;             /* statistics of the batch            */
	double unbias;          /* factor of the variance in y[2]     */
};

/* each: statistics of every element (spatial = 0), each with the parameters at its own place. */
static int bn_check(const struct onx_infer *s, bool each, struct onx_bn *g, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 1, ONX_RANK, e)) < 0)
		return rc;
	g->n = (size_t)x->dim[0];
	g->c = x->rank > 1 ? (size_t)x->dim[1] : 1;
	g->p = 1;
	for (int d = 2; d < x->rank; d++)
		*(each ? &g->c : &g->p) *= (size_t)x->dim[d];
	for (int i = 1; i < 5; i++) {
		const struct onx_fact *f = &s->in[i];

		const int rank = each && x->rank > 2 ? x->rank - 1 : 1;
		if ((rc = onx_want_real(s, i, e)) < 0 || (rc = onx_want_rank(s, i, rank, rank, e)) < 0)
			return rc;
		for (int d = 0; rank > 1 && d < rank; d++)
			if (f->shape.dim[d] != x->dim[1 + d])
				return onx_fail(e, ONX_SHAPE, "input %d has another shape than an element", i);
		if (rank == 1 && f->shape.dim[0] != (int64_t)g->c)
			return onx_fail(e, ONX_SHAPE, "input %d has %lld elements, the data %zu channels", i,
					(long long)f->shape.dim[0], g->c);
	}
	return ONX_OK;
}

static int bn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct bn_attr *a = attr;
	struct bn_geo *g = ONX_NEW(s->mem, struct bn_geo);
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "BatchNormalization");
	if ((rc = bn_check(s, s->version < 9 && a->spatial == 0, &g->bn, e)) < 0)
		return rc;
	const bool named = onx_has_out(s, 1) || onx_has_out(s, 2);
	const bool own = s->version >= 14 ? a->training : s->version < 7 ? !a->is_test : named;
	const double count = (double)g->bn.n * (double)g->bn.p;

	g->bn.eps = a->epsilon;
	g->batch = own || s->train;
	g->unbias = g->batch && !own && count > 1 ? count / (count - 1) : 1;
	for (int i = 1; i < 5 && (g->batch || s->version < 14); i++)    /* the statistics have to move, in their type */
		if ((s->in[i].type == ONX_DOUBLE) != (s->in[0].type == ONX_DOUBLE))
			return onx_fail(e, ONX_UNSUP, "input %d is %s where the data is %s", i,
					onx_dtype_name(s->in[i].type), onx_dtype_name(s->in[0].type));
	if (g->batch && count < 1)
		return onx_fail(e, ONX_SHAPE, "no elements to take statistics of");
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	/* In training the running statistics are written even where the node does not name them. */
	for (int i = 1; i < s->n_out; i++)
		/* In training the statistics leave through y[1] and y[2] even where the node does not name them. */
		if (onx_has_out(s, i) || (i < 3 && s->train))
			s->out[i] = (struct onx_fact){ .type = s->in[i % 2 ? 3 : 4].type,
						       .shape = s->in[3].shape };
	return ONX_OK;
}

/* save: mean [c], then inv [c] */
static size_t bn_saved(const struct onx_infer *s, const void *attr)
{
	const struct bn_geo *g = s->geo;

	(void)attr;
	return 2 * g->bn.c * sizeof(double);
}

/* backward: sums [c][2] */
static size_t bn_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct bn_geo *g = s->geo;

	(void)attr, (void)threads;
	return backward ? 2 * g->bn.c * sizeof(double) : 0;
}

static real *output(const struct onx_call *c, int i)
{
	return i < c->n_y ? c->y[i].v : NULL;
}

/* Leaves mean in save and the variance where inv will be; writes the running statistics. */
static void batch_stats(const struct onx_call *c, const struct bn_geo *g, real *mean, real *var)
{
	const double keep = ((const struct bn_attr *)c->attr)->momentum;
	const real *batch[2] = { mean, var };

	onx_bn_stats(c->pool, &g->bn, c->x[0].v, mean, var);
	for (int k = 0; k < 2; k++) {
		const real *old = c->x[3 + k].v;
		real *y = output(c, 1 + k), *raw = output(c, 3 + k);
		const double factor = k ? g->unbias : 1;

		for (size_t i = 0; i < g->bn.c; i++) {
			if (y)
				y[i] = (real)(old[i] * keep + batch[k][i] * factor * (1 - keep));
			if (raw)
				raw[i] = batch[k][i];
		}
	}
}

/* Y = (X - mean) / sqrt(var + epsilon) * scale + B by channel */
static void bn_forward(const struct onx_call *c)
{
	const struct bn_geo *g = c->geo;
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
		inv[i] = (real)(1 / sqrt((double)var[i] + g->bn.eps));
	onx_bn_apply(c->pool, &g->bn, c->x[0].v, mean, inv, c->x[1].v, c->x[2].v, c->y[0].v);
}

/* dscale = sum dy xhat, dB = sum dy; with fixed statistics also dmean = -scale inv sum dy and
 * dvar = -scale inv^2 / 2 sum dy xhat; statistics of the batch do not depend on inputs 3 and 4. */
static void bn_parameters(const struct onx_call *c, const struct bn_geo *g, const real *inv, const real *sum)
{
	const real *scale = c->x[1].v;

	for (int k = 1; k < 5; k++) {
		real *d = c->dx[k].v;

		for (size_t i = 0; d && i < g->bn.c; i++) {
			const real a = g->batch ? 0 : -scale[i] * inv[i];
			const real value[5] = { 0, sum[2 * i + 1], sum[2 * i], a * sum[2 * i],
						a * inv[i] * sum[2 * i + 1] / 2 };

			onx_put(&d[i], c->dx[k].add, value[k]);
		}
	}
}

static void bn_backward(const struct onx_call *c)
{
	const struct bn_geo *g = c->geo;
	const real *mean = c->save, *inv = mean + g->bn.c;
	const bool par = c->dx[1].v || c->dx[2].v || c->dx[3].v || c->dx[4].v;
	real *sum = c->scratch;

	if (!c->dy[0].v) {
		for (int k = 0; k < 5; k++)
			for (size_t i = 0; c->dx[k].v && !c->dx[k].add && i < c->dx[k].n; i++)
				((real *)c->dx[k].v)[i] = 0;
		return;
	}
	if (par || g->batch)
		onx_bn_sums(c->pool, &g->bn, c->x[0].v, c->dy[0].v, mean, inv, sum);
	if (par)
		bn_parameters(c, g, inv, sum);
	if (c->dx[0].v)
		onx_bn_dx(c->pool, &g->bn, c->x[0].v, c->dy[0].v, mean, inv, c->x[1].v,
			  g->batch ? sum : NULL, c->dx[0].v, c->dx[0].add);
}

#define BN(v, outs, table) \
	{ .domain = "", .type = "BatchNormalization", .since = v, .min_in = 5, .max_in = 5, .min_out = 1,  \
	  .max_out = outs, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1),     \
	  .flags = ONX_OP_TRAIN | ONX_OP_AGAIN | ONX_OP_APART, .weight = 6, .stat = 24, .attr = &table,     \
	  .infer = bn_infer, .saved = bn_saved, .scratch = bn_scratch, .forward = bn_forward, .backward = bn_backward }
const struct onx_op ONX_R(onx_ops_batchnorm)[] = {
	BN(1, 5, old_table),
	BN(14, 3, new_table),
	{ .type = NULL }
};
