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
#include <string.h>
#include "kernel/far.h"
#include "op/batchnorm_last.h"
#include "op/conv_last.h"

struct nc_attr {
	struct onx_bn_attr bn;
	struct onx_win_attr win;
	int64_t group;
};

static const struct onx_field nc_field[] = {
	ONX_BN_FIELDS,
	ONX_WIN_FIELDS(struct nc_attr),
	ONX_WIN_DILATIONS(struct nc_attr),
	{ "group", F_INT, offsetof(struct nc_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table nc_table = { "NormConvLast", sizeof(struct nc_attr), nc_field, .check = NULL };

static const struct onx_field cm_field[] = {
	ONX_WIN_FIELDS(struct nc_attr),
	ONX_WIN_DILATIONS(struct nc_attr),
	{ "group", F_INT, offsetof(struct nc_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table cm_table = { "ConvMomentsLast", sizeof(struct nc_attr), cm_field, .check = NULL };

enum { X, SCALE, B, MEAN, VAR, NORMED };        /* inputs of a normalization; how many */
enum { BATCH_MEAN = 7, BATCH_VAR, W_BARE = 1 };

struct nc_geo {
	struct onx_bn_geo norm;         /* c == 0: none in front */
	struct onx_conv_geo conv;
	size_t rows, ch;                /* pixels and channels of Y */
	int w, moments;                 /* input W, the bias behind it; output with the mean, the variance behind it */
	bool given;                     /* the statistics of the batch */
};

typedef const struct ONX_R(onx_last_normed) way;

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

static bool normed(const struct nc_geo *g) { return g->norm.bn.c > 0; }

/* The statistics that are given are one number a channel of X. */
static int given(const struct onx_infer *s, struct nc_geo *g, struct onx_err *e)
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

static int outputs(struct onx_infer *s, struct nc_geo *g, const struct onx_shape *y, struct onx_err *e)
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
	const struct nc_attr *a = attr;
	struct nc_geo *g = ONX_NEW(s->mem, struct nc_geo);
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
	const struct nc_attr *a = attr;
	struct nc_geo *g = ONX_NEW(s->mem, struct nc_geo);
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
	const struct nc_geo *g = s->geo;

	(void)attr;
	return onx_conv_last_macs(&g->conv);
}

/* mean and inv of X */
static size_t nc_saved(const struct onx_infer *s, const void *attr)
{
	const struct nc_geo *g = s->geo;

	(void)attr;
	return onx_bn_saved(&g->norm);
}

static void forward_stats(const struct onx_call *c, const struct nc_geo *g)
{
	const real *batch[2] = { NULL, NULL };

	if (g->given) {
		batch[0] = c->x[BATCH_MEAN].v;
		batch[1] = c->x[BATCH_VAR].v;
	}
	if (normed(g))
		onx_bn_forward_stats(c, &((const struct nc_attr *)c->attr)->bn, &g->norm, batch);
}

/* ---- without a tensor between them ------------------------------------------------------------------- */

/* Scratch: the normalization's own; scale * inv [c]; forward parts of the moments, backward sums [2][c], the parts of
 * these, e and d [ch]; the convolution's. */
struct room { size_t a, sum, part, e, d, conv, bytes; };

static struct room room_of(const struct nc_geo *g, way *v, int threads, bool backward)
{
	const size_t c = g->norm.bn.c, pieces = v->pieces(&g->conv, backward);
	struct room r = { .a = normed(g) ? onx_bn_scratch(&g->norm) : 0 };

	r.sum = r.a + rounded(c * sizeof(real));
	r.part = r.sum + (backward ? rounded(2 * c * sizeof(double)) : 0);
	r.e = r.part + rounded(pieces * (backward ? 2 * c : 3 * g->ch) * sizeof(double));
	r.d = r.e + (backward ? rounded(g->ch * sizeof(real)) : 0);
	r.conv = r.d + (backward ? rounded(g->ch * sizeof(real)) : 0);
	r.bytes = r.conv + v->scratch(&g->conv, threads, backward);
	return r;
}

static real *at(const struct onx_call *c, size_t offset)
{
	return (real *)(void *)((char *)c->scratch + offset);
}

/* room is that of one thread: where the convolution's begins does not depend on their number. */
static struct ONX_R(onx_last_norm) norm_of(const struct onx_call *c, const struct nc_geo *g, const struct room *r)
{
	const real *mean = c->save, *inv = mean + g->norm.bn.c, *scale = c->x[SCALE].v;
	real *a = at(c, r->a);

	for (size_t i = 0; i < g->norm.bn.c; i++)
		a[i] = scale[i] * inv[i];
	return (struct ONX_R(onx_last_norm)){ .m = mean, .a = a, .b = c->x[B].v, .f = g->norm.bn.f };
}

static const real *bias_of(const struct onx_call *c, const struct nc_geo *g)
{
	return c->n_x > g->w + 1 ? c->x[g->w + 1].v : NULL;
}

static bool wants_moments(const struct onx_call *c, const struct nc_geo *g)
{
	return c->n_y > g->moments && (c->y[g->moments].v || (c->n_y > g->moments + 1 && c->y[g->moments + 1].v));
}

static void forward(const struct onx_call *c, way *v)
{
	const struct nc_geo *g = c->geo;
	const struct room r = room_of(g, v, 1, false);
	const size_t pieces = v->pieces(&g->conv, false);
	struct ONX_R(onx_last_norm) norm;
	struct ONX_R(onx_bn_last_moments) t = { .c = g->ch, .y = c->y[0].v, .far = onx_is_far(g->rows * g->ch),
						.part = (double *)(void *)at(c, r.part) };
	const struct ONX_R(onx_last_after) after = { onx_bn_last_gather, &t };
	const bool moments = wants_moments(c, g) && !c->again;

	forward_stats(c, g);
	if (normed(g))
		norm = norm_of(c, g, &r);
	if (moments)
		onx_bn_last_zero(c->pool, t.part, pieces * 3 * g->ch);
	v->forward(c->pool, &g->conv, normed(g) ? &norm : NULL, c->x[X].v, c->x[g->w].v, bias_of(c, g),
		   moments ? &after : NULL, c->y[0].v, at(c, r.conv));
	if (moments)
		onx_bn_last_moments_fold(c->pool, &t, pieces, c->y[g->moments].v,
					 c->n_y > g->moments + 1 ? c->y[g->moments + 1].v : NULL);
}

static bool wants_parameters(const struct onx_call *c, const struct nc_geo *g)
{
	bool any = false;

	for (int k = SCALE; normed(g) && k <= VAR; k++)
		any |= c->dx[k].v != NULL;
	for (int k = BATCH_MEAN; g->given && k <= BATCH_VAR; k++)
		any |= c->dx[k].v != NULL;
	return any;
}

/* Gradients of scale, B and the statistics, from the sums. */
static void parameters_back(const struct onx_call *c, const struct nc_geo *g, const double *sum)
{
	onx_bn_parameters(c, &g->norm, sum, g->given ? &c->dx[BATCH_MEAN] : NULL);
}

/* What mean and variance of Y send back (last_norm.h).  Without a gradient of Y itself: dy' = y + ((y - m) (e - 1) +
 * d - m). */
static bool shift_of(const struct onx_call *c, const struct nc_geo *g, real *e, real *d,
		     struct ONX_R(onx_last_shift) *to)
{
	const int k = g->moments;
	const real *mean = c->n_y > k && c->dy[k].v ? c->dy[k].v : NULL;
	const real *var = c->n_y > k + 1 && c->dy[k + 1].v ? c->dy[k + 1].v : NULL, *m = c->n_y > k ? c->y[k].v : NULL;
	const bool alone = !c->dy[0].v;
	const double n = (double)g->rows;

	if (!mean && !var)
		return false;
	for (size_t i = 0; i < g->ch; i++) {
		e[i] = (real)((var ? 2 * (double)var[i] / n : 0) - (alone ? 1 : 0));
		d[i] = (real)((mean ? (double)mean[i] / n : 0) - (alone ? (double)m[i] : 0));
	}
	*to = (struct ONX_R(onx_last_shift)){ c->y[0].v, m, e, d };
	return true;
}

/* Sums of dy' by channel: those of y - m are zero. */
static void bias_back(const struct onx_call *c, const struct nc_geo *g)
{
	const int k = g->w + 1;
	const real *mean = c->n_y > g->moments ? c->dy[g->moments].v : NULL;
	const struct onx_view *db = c->n_x > k ? &c->dx[k] : NULL;

	if (!db || !db->v)
		return;
	if (c->dy[0].v)
		onx_last_bgrad(c->pool, g->rows, g->ch, c->dy[0].v, db->v, db->add);
	for (size_t i = 0; i < g->ch && (mean || !c->dy[0].v); i++)
		onx_put(&((real *)db->v)[i], db->add || c->dy[0].v, mean ? mean[i] : 0);
}

static void data_back(const struct onx_call *c, const struct nc_geo *g, way *v, const struct room *r,
		      const struct ONX_R(onx_last_norm) *norm, const real *dy,
		      const struct ONX_R(onx_last_shift) *shift)
{
	struct ONX_R(onx_bn_last_runs) runs = {
		.norm = *norm, .c = g->norm.bn.c, .x = c->x[X].v, .g = c->dx[X].v, .scaled = g->given || !g->norm.batch,
		.far = onx_is_far(g->norm.bn.rows * g->norm.bn.c), .part = (double *)(void *)at(c, r->part) };
	const struct ONX_R(onx_last_after) after = { onx_bn_last_masked, &runs };
	const size_t pieces = v->pieces(&g->conv, true);
	const real *mean = norm->m, *inv = mean + runs.c;
	double *const sum = (double *)(void *)at(c, r->sum);
	const struct ONX_R(onx_bn_last_grad) t = {
		.x = c->x[X].v, .mean = mean, .inv = inv, .scale = c->x[SCALE].v, .bias = c->x[B].v, .dy = runs.g,
		.ready = true, .batch = true, .dx = runs.g };

	onx_bn_last_zero(c->pool, runs.part, 2 * pieces * runs.c);
	v->data(c->pool, &g->conv, c->x[g->w].v, dy, shift, &after, NULL, false, at(c, r->conv));
	onx_bn_last_runs_fold(c->pool, &runs, pieces, inv, sum);
	if (runs.g && !runs.scaled)
		onx_bn_last_backward(c->pool, &g->norm.bn, &t, sum, c->scratch);
	parameters_back(c, g, sum);
}

static void backward(const struct onx_call *c, way *v)
{
	const struct nc_geo *g = c->geo;
	const struct room r = room_of(g, v, 1, true);
	struct ONX_R(onx_last_shift) back;
	struct ONX_R(onx_last_norm) norm;
	const struct ONX_R(onx_last_shift) *const shift = shift_of(c, g, at(c, r.e), at(c, r.d), &back) ? &back : NULL;
	const real *dy = c->dy[0].v ? c->dy[0].v : c->y[0].v;

	if (!c->dy[0].v && !shift) {
		onx_bn_zero(c);
		return;
	}
	if (normed(g))
		norm = norm_of(c, g, &r);
	if (c->dx[g->w].v)
		v->weights(c->pool, &g->conv, normed(g) ? &norm : NULL, c->x[X].v, dy, shift, c->dx[g->w].v,
			   c->dx[g->w].add, at(c, r.conv));
	bias_back(c, g);
	if (normed(g) && (c->dx[X].v || wants_parameters(c, g)))
		data_back(c, g, v, &r, &norm, dy, shift);
	else if (!normed(g) && c->dx[X].v)
		v->data(c->pool, &g->conv, c->x[g->w].v, dy, shift, NULL, c->dx[X].v, c->dx[X].add, at(c, r.conv));
}

/* ---- one after the other ---------------------------------------------------------------------------- */

/* Scratch: the normalization's own and its sums; f(BN(X)) and its gradient; dy', with e and d; the convolution's. */
struct whole { size_t sum, x, d, dy, e, conv, bytes; };

static struct whole whole_of(const struct nc_geo *g, int threads, bool backward)
{
	const size_t x = rounded(g->conv.n * g->conv.w.in_n * g->conv.groups * g->conv.c * sizeof(real));
	struct whole r = { .sum = normed(g) ? onx_bn_scratch(&g->norm) : 0 };

	r.x = r.sum + rounded(2 * g->norm.bn.c * sizeof(double));
	r.d = r.x + x;
	r.dy = r.d + (backward ? x : 0);
	r.e = r.dy + (backward ? rounded(g->rows * g->ch * sizeof(real)) : 0);
	r.conv = r.e + (backward ? 2 * rounded(g->ch * sizeof(real)) : 0);
	r.bytes = r.conv + (backward ? onx_last_grad_ref.scratch(&g->conv, threads)
				     : rounded(onx_last_way_ref.packed(&g->conv)) +
				       onx_last_way_ref.scratch(&g->conv, threads));
	return r;
}

static const real *x_of(const struct onx_call *c, const struct nc_geo *g, const struct whole *r)
{
	const real *mean = c->save;
	real *const to = at(c, r->x);

	if (!normed(g))
		return c->x[X].v;
	onx_bn_last_apply(c->pool, &g->norm.bn, c->x[X].v, mean, mean + g->norm.bn.c, c->x[SCALE].v, c->x[B].v, NULL,
			  to, c->scratch);
	return to;
}

static void forward_ref(const struct onx_call *c)
{
	const struct nc_geo *g = c->geo;
	const struct whole r = whole_of(g, 1, false);
	const struct ONX_R(onx_last_end) end = { .b = bias_of(c, g) };
	real *const w = at(c, r.conv), *y = c->y[0].v;

	forward_stats(c, g);
	onx_last_way_ref.pack(c->pool, &g->conv, c->x[g->w].v, w);
	onx_last_way_ref.forward(c->pool, &g->conv, x_of(c, g, &r), w, &end, y,
				 at(c, r.conv + rounded(onx_last_way_ref.packed(&g->conv))));
	for (size_t i = 0; i < g->ch && wants_moments(c, g) && !c->again; i++) {
		double mean = 0, m2 = 0;

		for (size_t k = 0; k < g->rows; k++)
			mean += (double)y[k * g->ch + i] / (double)g->rows;
		for (size_t k = 0; k < g->rows; k++)
			m2 += ((double)y[k * g->ch + i] - mean) * ((double)y[k * g->ch + i] - mean);
		if (c->y[g->moments].v)
			((real *)c->y[g->moments].v)[i] = (real)mean;
		if (c->n_y > g->moments + 1 && c->y[g->moments + 1].v)
			((real *)c->y[g->moments + 1].v)[i] = (real)(m2 / (double)g->rows);
	}
}

/* dy' where it is not dy. */
static const real *dy_of(const struct onx_call *c, const struct nc_geo *g, const struct whole *r)
{
	struct ONX_R(onx_last_shift) s;
	real *const to = at(c, r->dy);
	const real *dy = c->dy[0].v ? c->dy[0].v : c->y[0].v;

	if (!shift_of(c, g, at(c, r->e), at(c, r->e + rounded(g->ch * sizeof(real))), &s))
		return c->dy[0].v;
	onx_last_shift_rows(&s, dy, 0, g->ch, 0, g->ch, g->rows, to, g->ch);
	return to;
}

static void backward_ref(const struct onx_call *c)
{
	const struct nc_geo *g = c->geo;
	const struct whole r = whole_of(g, 1, true);
	const real *mean = c->save, *dy = dy_of(c, g, &r);
	double *const sum = (double *)(void *)at(c, r.sum);

	if (!dy) {
		onx_bn_zero(c);
		return;
	}
	if (c->dx[g->w].v)
		onx_last_grad_ref.weights(c->pool, &g->conv, x_of(c, g, &r), dy, c->dx[g->w].v, c->dx[g->w].add,
					  at(c, r.conv));
	bias_back(c, g);
	if (!normed(g) && c->dx[X].v)
		onx_last_grad_ref.data(c->pool, &g->conv, c->x[g->w].v, dy, c->dx[X].v, c->dx[X].add, at(c, r.conv));
	if (!normed(g) || (!c->dx[X].v && !wants_parameters(c, g)))
		return;
	struct ONX_R(onx_bn_last_grad) t = {
		.x = c->x[X].v, .mean = mean, .inv = mean + g->norm.bn.c, .scale = c->x[SCALE].v, .bias = c->x[B].v,
		.dy = at(c, r.d), .batch = g->norm.batch && !g->given, .sums = true, .dx = c->dx[X].v };

	memset(sum, 0, 2 * g->norm.bn.c * sizeof *sum);
	onx_last_grad_ref.data(c->pool, &g->conv, c->x[g->w].v, dy, t.dy, false, at(c, r.conv));
	onx_bn_last_backward(c->pool, &g->norm.bn, &t, sum, c->scratch);
	parameters_back(c, g, sum);
}

static size_t scratch_ref(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return whole_of(s->geo, threads, backward).bytes;
}

#define WAY(name)                                                                                             \
static void forward_##name(const struct onx_call *c) { forward(c, &onx_last_normed_##name); }                \
static void backward_##name(const struct onx_call *c) { backward(c, &onx_last_normed_##name); }              \
static bool fits_##name(const struct onx_infer *s, const void *attr)                                          \
{                                                                                                             \
	const struct nc_geo *g = s->geo;                                                                      \
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
	  .flags = ONX_OP_TRAIN | ONX_OP_APART | ONX_OP_SETS_DX0,
	  .weight = 1 << SCALE | 1 << B | 1 << NORMED | 1 << (NORMED + 1), .stat = 1 << MEAN | 1 << VAR,
	  .attr = &nc_table, .infer = nc_infer, .macs = nc_macs, .saved = nc_saved, .scratch = scratch_ref,
	  .forward = forward_ref, .backward = backward_ref, .impl = nc_impl },
	{ .domain = "onnx_adapt", .type = "ConvMomentsLast", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 3, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(X) | ONX_KEEP_X(W_BARE) | ONX_KEEP_Y(0) | ONX_KEEP_Y(1),
	  .weight = 1 << W_BARE | 1 << (W_BARE + 1), .attr = &cm_table, .infer = cm_infer, .macs = nc_macs,
	  .saved = nc_saved, .scratch = scratch_ref, .forward = forward_ref, .backward = backward_ref,
	  .impl = nc_impl },
	{ .type = NULL }
};
