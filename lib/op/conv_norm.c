/* op/conv_norm.c -- a convolution with channels last together with the trained normalizations in front of it and behind
 * it, steps of the plan that stand in no file; plan/lower_norm.c makes them where a convolution alone reads what a
 * BatchNormalization and its activation make.
 *
 *     NormConvLast       Y = W * f(BN(X)) + bias     X [n][y][x][c], scale, B, mean, var, W, bias, batch mean and var
 *     ConvMomentsLast    Y = W * X + bias            X, W, bias
 *
 * scale to var and the running statistics that leave through Y[1] and Y[2] are those of BatchNormLast
 * (op/batchnorm_last.h), W and bias those of ConvLast.  The last outputs, if they are wanted, are mean and population
 * variance of Y by channel over the batch: what a normalization of Y needs, which takes them as its batch mean and
 * variance.  A normalization that is not given them takes its own.
 *
 * f(BN(X)), often the largest tensor of a layer, never stands in memory (kernel/last_norm.h): forward and the gradient
 * of W normalise X as they read it, and the gradient with respect to it is masked and summed as it leaves the
 * convolution.  With given statistics it is dX then, and what statistics send back is added by the convolution that
 * made X as it reads dX; else one more pass over dX adds it.  Reference: one after the other.
 *
 * NormConvLast sets dX and never adds to it (ONX_OP_SETS_DX0): until the sums are there its memory may hold another
 * gradient. */
#include "kernel/far.h"
#include "op/conv_norm_i.h"

static const struct onx_field nc_field[] = {
	ONX_BN_FIELDS,
	ONX_WIN_FIELDS(struct onx_cn_attr),
	ONX_WIN_DILATIONS(struct onx_cn_attr),
	{ "group", F_INT, offsetof(struct onx_cn_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table nc_table = { "NormConvLast", sizeof(struct onx_cn_attr), nc_field, .check = NULL };

static const struct onx_field cm_field[] = {
	ONX_WIN_FIELDS(struct onx_cn_attr),
	ONX_WIN_DILATIONS(struct onx_cn_attr),
	{ "group", F_INT, offsetof(struct onx_cn_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table cm_table = { "ConvMomentsLast", sizeof(struct onx_cn_attr), cm_field, .check = NULL };

typedef const struct ONX_R(onx_last_normed) way;

/* The statistics that are given are one number a channel of X. */
static int given(const struct onx_infer *s, struct onx_cn_geo *g, struct onx_err *e)
{
	int rc = ONX_OK;

	g->given = onx_has_in(s, BATCH_MEAN);
	if (g->given != onx_has_in(s, BATCH_VAR))
		return onx_fail(e, ONX_SHAPE, "of the batch's mean and variance one is missing");
	if (g->given && !g->norm.batch)
		return onx_fail(e, ONX_SHAPE, "the batch's mean and variance stand where fixed ones count");
	for (int i = BATCH_MEAN; g->given && rc == ONX_OK && i <= BATCH_VAR; i++)
		if (s->in[i].shape.rank != 1 || s->in[i].shape.dim[0] != (int64_t)g->norm.bn.c)
			rc = onx_fail(e, ONX_SHAPE, "input %d is not one number for each of %zu channels", i,
				      g->norm.bn.c);
	return rc;
}

static int outputs(struct onx_infer *s, struct onx_cn_geo *g, const struct onx_shape *y, struct onx_err *e)
{
	g->ch = g->conv.groups * g->conv.m;
	g->rows = g->conv.n * g->conv.w.out_n;
	s->geo = g;
	onx_set_out(s, 0, s->in[X].type, y);
	if (onx_has_out(s, g->moments) != onx_has_out(s, g->moments + 1))
		return onx_fail(e, ONX_SHAPE, "of the outputs with mean and variance one is missing");
	if (onx_has_out(s, g->moments) && g->rows == 0)
		return onx_fail(e, ONX_SHAPE, "no pixels to take a mean of");
	for (int i = g->moments; i < s->n_out; i++)
		if (onx_has_out(s, i))
			onx_set_out(s, i, s->in[X].type, &(struct onx_shape){ 1, { (int64_t)g->ch } });
	return ONX_OK;
}

static int nc_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_cn_attr *a = attr;
	struct onx_cn_geo *g = ONX_NEW(s->mem, struct onx_cn_geo);
	struct onx_shape y;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "NormConvLast");
	g->w = NORMED;
	g->moments = 3;
	if ((rc = onx_bn_read(s, &a->bn, &g->norm, e)) < 0 || (rc = given(s, g, e)) < 0 ||
	    (rc = onx_conv_last_read(s, g->w, &a->win, a->group, &g->conv, &y, e)) < 0)
		return rc;
	return outputs(s, g, &y, e);
}

static int cm_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_cn_attr *a = attr;
	struct onx_cn_geo *g = ONX_NEW(s->mem, struct onx_cn_geo);
	struct onx_shape y;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "ConvMomentsLast");
	g->w = W_BARE;
	g->moments = 1;
	rc = onx_conv_last_read(s, g->w, &a->win, a->group, &g->conv, &y, e);
	return rc < 0 ? rc : outputs(s, g, &y, e);
}

static double nc_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_cn_geo *g = s->geo;

	(void)attr;
	return onx_conv_last_macs(&g->conv);
}

/* mean and inv of X */
static size_t nc_saved(const struct onx_infer *s, const void *attr)
{
	const struct onx_cn_geo *g = s->geo;

	(void)attr;
	return onx_bn_saved(&g->norm);
}

/* ---- without a tensor between them ------------------------------------------------------------------- */

/* Scratch: the normalization's own; scale * inv [c]; forward parts of the moments, backward sums [2][c], the parts of
 * these, e and d [ch]; the convolution's. */
struct room { size_t a, sum, part, e, d, conv, bytes; };

static struct room room_of(const struct onx_cn_geo *g, way *v, int threads, bool backward)
{
	const size_t c = g->norm.bn.c, pieces = v->pieces(&g->conv, backward);
	struct room r = { .a = onx_cn_normed(g) ? onx_bn_scratch(&g->norm) : 0 };

	r.sum = r.a + onx_cn_rounded(c * sizeof(real));
	r.part = r.sum + (backward ? onx_cn_rounded(2 * c * sizeof(double)) : 0);
	r.e = r.part + onx_cn_rounded(pieces * (backward ? 2 * c : 3 * g->ch) * sizeof(double));
	r.d = r.e + (backward ? onx_cn_rounded(g->ch * sizeof(real)) : 0);
	r.conv = r.d + (backward ? onx_cn_rounded(g->ch * sizeof(real)) : 0);
	r.bytes = r.conv + v->scratch(&g->conv, threads, backward);
	return r;
}

/* room is that of one thread: where the convolution's begins does not depend on their number. */
static struct ONX_R(onx_last_norm) norm_of(const struct onx_call *c, const struct onx_cn_geo *g, const struct room *r)
{
	const real *mean = c->save, *inv = mean + g->norm.bn.c, *scale = c->x[SCALE].v;
	real *a = onx_cn_at(c, r->a);

	for (size_t i = 0; i < g->norm.bn.c; i++)
		a[i] = scale[i] * inv[i];
	return (struct ONX_R(onx_last_norm)){ .m = mean, .a = a, .b = c->x[B].v, .f = g->norm.bn.f };
}

static void forward(const struct onx_call *c, way *v)
{
	const struct onx_cn_geo *g = c->geo;
	const struct room r = room_of(g, v, 1, false);
	const size_t pieces = v->pieces(&g->conv, false);
	struct ONX_R(onx_last_norm) norm;
	struct ONX_R(onx_bn_last_moments) t = { .c = g->ch, .y = c->y[0].v, .far = onx_is_far(g->rows * g->ch),
						.part = (double *)(void *)onx_cn_at(c, r.part) };
	const struct ONX_R(onx_last_after) after = { onx_bn_last_gather, &t };
	const bool moments = onx_cn_wants_moments(c, g) && !c->again;

	onx_cn_forward_stats(c, g);
	if (onx_cn_normed(g))
		norm = norm_of(c, g, &r);
	if (moments)
		onx_bn_last_zero(c->pool, t.part, pieces * 3 * g->ch);
	v->forward(c->pool, &g->conv, onx_cn_normed(g) ? &norm : NULL, c->x[X].v, c->x[g->w].v, onx_cn_bias(c, g),
		   moments ? &after : NULL, c->y[0].v, onx_cn_at(c, r.conv));
	if (moments)
		onx_bn_last_moments_fold(c->pool, &t, pieces, c->y[g->moments].v,
					 c->n_y > g->moments + 1 ? c->y[g->moments + 1].v : NULL);
}

/* b with a normalization in front of it: its gradients, too. */
static void normed_back(const struct onx_call *c, const struct onx_cn_geo *g, way *v, const struct room *r,
			struct ONX_R(onx_last_back) *b)
{
	const struct ONX_R(onx_last_norm) norm = norm_of(c, g, r);
	struct ONX_R(onx_bn_last_runs) runs = {
		.norm = norm, .c = g->norm.bn.c, .x = c->x[X].v, .g = c->dx[X].v, .scaled = g->given || !g->norm.batch,
		.far = onx_is_far(g->norm.bn.rows * g->norm.bn.c), .part = (double *)(void *)onx_cn_at(c, r->part) };
	const struct ONX_R(onx_last_after) after = { onx_bn_last_masked, &runs };
	const size_t pieces = v->pieces(&g->conv, true);
	const real *mean = norm.m, *inv = mean + runs.c;
	double *const sum = (double *)(void *)onx_cn_at(c, r->sum);
	const struct ONX_R(onx_bn_last_grad) t = {
		.x = c->x[X].v, .mean = mean, .inv = inv, .scale = c->x[SCALE].v, .bias = c->x[B].v, .dy = runs.g,
		.ready = true, .batch = true, .dx = runs.g };

	b->norm = &norm;
	b->dx = NULL;
	if (!c->dx[X].v && !onx_cn_wants_parameters(c, g)) {
		v->backward(c->pool, &g->conv, b, onx_cn_at(c, r->conv));
		return;
	}
	b->after = &after;
	onx_bn_last_zero(c->pool, runs.part, 2 * pieces * runs.c);
	v->backward(c->pool, &g->conv, b, onx_cn_at(c, r->conv));
	onx_bn_last_runs_fold(c->pool, &runs, pieces, inv, sum);
	if (runs.g && !runs.scaled)
		onx_bn_last_backward(c->pool, &g->norm.bn, &t, sum, c->scratch);
	onx_cn_parameters_back(c, g, sum);
}

static void backward(const struct onx_call *c, way *v)
{
	const struct onx_cn_geo *g = c->geo;
	const struct room r = room_of(g, v, 1, true);
	struct ONX_R(onx_last_shift) back;
	const bool shifts = onx_cn_shift(c, g, onx_cn_at(c, r.e), onx_cn_at(c, r.d), &back);
	struct ONX_R(onx_last_back) b = {
		.shift = shifts ? &back : NULL, .x = c->x[X].v, .w = c->x[g->w].v,
		.dy = c->dy[0].v ? c->dy[0].v : c->y[0].v, .dx = c->dx[X].v, .add_dx = c->dx[X].add,
		.dw = c->dx[g->w].v, .add_dw = c->dx[g->w].add };

	if (!c->dy[0].v && !shifts) {
		onx_bn_zero(c);
		return;
	}
	onx_cn_bias_back(c, g);
	if (onx_cn_normed(g))
		normed_back(c, g, v, &r, &b);
	else
		v->backward(c->pool, &g->conv, &b, onx_cn_at(c, r.conv));
}

#define WAY(name)                                                                                             \
static void forward_##name(const struct onx_call *c) { forward(c, &onx_last_normed_##name); }                \
static void backward_##name(const struct onx_call *c) { backward(c, &onx_last_normed_##name); }              \
static bool fits_##name(const struct onx_infer *s, const void *attr)                                          \
{                                                                                                             \
	const struct onx_cn_geo *g = s->geo;                                                                      \
                                                                                                              \
	(void)attr;                                                                                           \
	return onx_last_normed_##name.fits(&g->conv);                                                         \
}                                                                                                             \
static size_t scratch_##name(const struct onx_infer *s, const void *attr, int threads, bool backward)         \
{                                                                                                             \
	(void)attr;                                                                                           \
	return room_of(s->geo, &onx_last_normed_##name, threads, backward).bytes;                             \
}
#define ROW(way) { .name = #way, .fits = fits_##way, .saved = nc_saved, .scratch = scratch_##way,             \
		   .forward = forward_##way, .backward = backward_##way }
WAY(dense)
WAY(depthwise)

static const struct onx_impl nc_impl[] = {
	ROW(dense),
	ROW(depthwise),
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_conv_norm)[] = {
	{ .domain = "onnx_adapt", .type = "NormConvLast", .since = 1, .min_in = 6, .max_in = 9, .min_out = 1,
	  .max_out = 5, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(X) | ONX_KEEP_X(SCALE) | ONX_KEEP_X(B) | ONX_KEEP_X(NORMED) | ONX_KEEP_Y(0) |
		  ONX_KEEP_Y(3),
	  .flags = ONX_OP_TRAIN | ONX_OP_APART | ONX_OP_SETS_DX0 | ONX_OP_REPEATS,
	  .weight = 1 << SCALE | 1 << B | 1 << NORMED | 1 << (NORMED + 1), .stat = 1 << MEAN | 1 << VAR,
	  .attr = &nc_table, .infer = nc_infer, .macs = nc_macs, .saved = nc_saved, .scratch = onx_cn_scratch_ref,
	  .forward = onx_cn_forward_ref, .backward = onx_cn_backward_ref, .impl = nc_impl },
	{ .domain = "onnx_adapt", .type = "ConvMomentsLast", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 3, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(X) | ONX_KEEP_X(W_BARE) | ONX_KEEP_Y(0) | ONX_KEEP_Y(1), .flags = ONX_OP_REPEATS,
	  .weight = 1 << W_BARE | 1 << (W_BARE + 1), .attr = &cm_table, .infer = cm_infer, .macs = nc_macs,
	  .saved = nc_saved, .scratch = onx_cn_scratch_ref, .forward = onx_cn_forward_ref,
	  .backward = onx_cn_backward_ref, .impl = nc_impl },
	{ .type = NULL }
};
