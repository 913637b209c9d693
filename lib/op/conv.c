/* op/conv.c -- Conv and ConvTranspose, and ONNX Runtime's FusedConv.
 * A transposed convolution is the data gradient of a convolution whose input is Y and whose output is
 * X, with the same weights: all its kernels are those of Conv with x and y exchanged. */
#include "kernel/conv.h"
#include "kernel/conv_phase.h"
#include "op/fuse.h"
#include "op/infer.h"
#include "op/window.h"

struct conv_attr {
	struct onx_win_attr win;
	int64_t group;
	struct onx_ints output_padding, output_shape;   /* ConvTranspose only */
	const char *activation;                         /* FusedConv only     */
	struct onx_reals params;
};

static const struct onx_field conv_field[] = {
	ONX_WIN_FIELDS(struct conv_attr),
	ONX_WIN_DILATIONS(struct conv_attr),
	{ "group", F_INT, offsetof(struct conv_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ .name = NULL }
};
static const struct onx_table conv_table = { "Conv", sizeof(struct conv_attr), conv_field, .check = NULL };

static const struct onx_field transpose_field[] = {
	ONX_WIN_FIELDS(struct conv_attr),
	ONX_WIN_DILATIONS(struct conv_attr),
	{ "group", F_INT, offsetof(struct conv_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ "output_padding", F_INTS, offsetof(struct conv_attr, output_padding), .def = "",
	  .help = "added to one end of the output" },
	{ "output_shape", F_INTS, offsetof(struct conv_attr, output_shape), .def = "",
	  .help = "size of the output; pads follow from it" },
	{ .name = NULL }
};
static const struct onx_table transpose_table = { "ConvTranspose", sizeof(struct conv_attr),
						  transpose_field, .check = NULL };

static const struct onx_field fused_field[] = {
	ONX_WIN_FIELDS(struct conv_attr),
	ONX_WIN_DILATIONS(struct conv_attr),
	{ "group", F_INT, offsetof(struct conv_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ "activation", F_STR, offsetof(struct conv_attr, activation), .def = "",
	  .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct conv_attr, params), .def = "",
	  .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table fused_table = { "FusedConv", sizeof(struct conv_attr), fused_field,
					      .check = NULL };

/* What both share: types, ranks, groups, the bias.  out_ch: channels of Y. */
static int check_inputs(const struct onx_infer *s, const struct conv_attr *a, bool transposed,
			int64_t *out_ch, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_same_type(s, 0, 1, e)) < 0 ||
	    (rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, x->rank, x->rank, e)) < 0)
		return rc;
	const int64_t from = transposed ? w->dim[0] : w->dim[1], g = a->group;
	const int64_t channels = transposed ? x->dim[1] : x->dim[1] / g;

	if (from != channels || x->dim[1] % g != 0)
		return onx_fail(e, ONX_SHAPE, "input has %lld channels in %lld groups, the weights are for "
				"%lld%s", (long long)x->dim[1], (long long)g, (long long)from,
				transposed ? "" : " in each");
	if (!transposed && w->dim[0] % g != 0)
		return onx_fail(e, ONX_SHAPE, "%lld output channels do not fall into %lld groups",
				(long long)w->dim[0], (long long)g);
	if (transposed && w->dim[1] > INT64_MAX / g)
		return onx_fail(e, ONX_SHAPE, "too many output channels: %lld in each of %lld groups",
				(long long)w->dim[1], (long long)g);
	*out_ch = transposed ? w->dim[1] * g : w->dim[0];
	if (!onx_has_in(s, 2))
		return ONX_OK;
	if ((rc = onx_want_same_type(s, 0, 2, e)) < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0)
		return rc;
	if (s->in[2].shape.dim[0] != *out_ch)
		return onx_fail(e, ONX_SHAPE, "the bias has %lld elements, the output %lld channels",
				(long long)s->in[2].shape.dim[0], (long long)*out_ch);
	return ONX_OK;
}

static int set_shape(struct onx_infer *s, int64_t channels, const size_t *spatial, struct onx_err *e)
{
	struct onx_shape y = { .rank = s->in[0].shape.rank, .dim = { s->in[0].shape.dim[0], channels } };
	size_t n;

	for (int i = 0; i < y.rank - 2; i++)
		y.dim[2 + i] = (int64_t)spatial[3 - (y.rank - 2) + i];
	int rc = onx_count(y.rank, y.dim, &n, e);

	if (rc == ONX_OK)
		onx_set_out(s, 0, s->in[0].type, &y);
	return rc;
}

static int conv_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct conv_attr *a = attr;
	struct onx_conv_geo *g = ONX_NEW(s->mem, struct onx_conv_geo);
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	const int nd = x->rank - 2;
	int64_t channels = 0;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Conv");
	if ((rc = check_inputs(s, a, false, &channels, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, w->dim + 2, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, nd, false, &g->w, e)) < 0)
		return rc;
	g->n = (size_t)x->dim[0];
	g->groups = (size_t)a->group;
	g->c = (size_t)w->dim[1];
	g->m = (size_t)(w->dim[0] / a->group);
	s->geo = g;
	return set_shape(s, channels, g->w.out, e);
}

/* ONNX ConvTranspose: size = stride * (in - 1) + output_padding + reach - pads; or output_shape is
 * given (SAME: in * stride) and the pads follow, the odd one at the end for SAME_UPPER, else at the
 * beginning. */
static int transpose_dim(const struct conv_attr *a, int i, int d, struct onx_window *w, struct onx_err *e)
{
	const int64_t s = w->stride[d], in = (int64_t)w->out[d];
	const int64_t reach = ((int64_t)w->kern[d] - 1) * w->dil[d] + 1;
	const int64_t extra = a->output_padding.n ? a->output_padding.v[i] : 0;
	const bool same = a->win.auto_pad == ONX_PAD_SAME_UPPER || a->win.auto_pad == ONX_PAD_SAME_LOWER;
	int64_t size;

	if (extra < 0 || (extra >= s && extra >= w->dil[d]))
		return onx_fail(e, ONX_SHAPE, "output_padding has %lld, wanted less than the stride %lld",
				(long long)extra, (long long)s);
	const int64_t full = s * (in - 1) + extra + reach;
	if (a->output_shape.n || same) {
		size = a->output_shape.n ? a->output_shape.v[i] : in * s;
		if (size < 1 || size > 1 << 30)
			return onx_fail(e, ONX_SHAPE, "output_shape has %lld", (long long)size);
		const int64_t total = full - size, half = total > 0 ? total / 2 : total;

		w->pad[d] = a->win.auto_pad == ONX_PAD_SAME_UPPER || total < 0 ? half : total - half;
		if (total < 0)
			w->pad[d] = 0;
		w->pad_end[d] = total - w->pad[d];
	} else {
		size = full - w->pad[d] - w->pad_end[d];
	}
	if (size < 1 || in < 1)
		return onx_fail(e, ONX_SHAPE, "the output would have size %lld along a spatial dimension",
				(long long)size);
	w->in[d] = (size_t)size;
	return ONX_OK;
}

static int transpose_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct conv_attr *a = attr;
	struct onx_conv_geo *g = ONX_NEW(s->mem, struct onx_conv_geo);
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	const int nd = x->rank - 2;
	const struct onx_ints *list[2] = { &a->output_padding, &a->output_shape };
	struct onx_ints shape = a->output_shape;
	int64_t channels = 0;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "ConvTranspose");
	if ((rc = check_inputs(s, a, true, &channels, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, w->dim + 2, &g->w, e)) < 0)
		return rc;
	if (shape.n == (size_t)nd + 2)          /* some exporters give batch and channels too */
		shape = (struct onx_ints){ shape.v + 2, (size_t)nd };
	const struct conv_attr use = { .win = a->win, .group = a->group, .output_padding = a->output_padding,
				       .output_shape = shape };

	for (int i = 0; i < 2; i++)
		if (list[i]->n && list[i]->n != (size_t)nd && (i == 0 || shape.n != (size_t)nd))
			return onx_fail(e, ONX_SHAPE, "attribute '%s' has %zu numbers, wanted %d",
					i ? "output_shape" : "output_padding", list[i]->n, nd);
	for (int i = 0; i < nd; i++) {
		const int d = 3 - nd + i;

		g->w.out[d] = g->w.in[d];
		if ((rc = transpose_dim(&use, i, d, &g->w, e)) < 0)
			return rc;
	}
	onx_window_close(&g->w);
	g->n = (size_t)x->dim[0];
	g->groups = (size_t)a->group;
	g->c = (size_t)w->dim[1];
	g->m = (size_t)(w->dim[0] / a->group);
	s->geo = g;
	return set_shape(s, channels, g->w.in, e);
}

static double conv_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_conv_geo *g = s->geo;

	(void)attr;
	return (double)g->n * (double)g->groups * (double)g->m * (double)g->w.out_n * (double)g->c *
	       (double)g->w.kern_n;
}

/* One way to convolve: kernel/conv.h. */
struct way {
	ONX_R(onx_conv_forward_fn) *forward;
	ONX_R(onx_conv_dgrad_fn) *dgrad;
	ONX_R(onx_conv_wgrad_fn) *wgrad;
};
static const struct way gemm = { onx_conv_gemm_forward, onx_conv_gemm_dgrad, onx_conv_gemm_wgrad };
static const struct way packed = { onx_conv_packed_forward, onx_conv_packed_dgrad, onx_conv_gemm_wgrad };
static const struct way phases = { onx_conv_phase_forward, onx_conv_phase_dgrad, onx_conv_phase_wgrad };
static const struct way depthwise = { onx_conv_dw_forward, onx_conv_dw_dgrad, onx_conv_dw_wgrad };
static const struct way ref = { onx_conv_ref_forward, onx_conv_ref_dgrad, onx_conv_ref_wgrad };

static const real *bias(const struct onx_call *c)
{
	return c->n_x > 2 ? c->x[2].v : NULL;
}

static void bias_back(const struct onx_call *c, size_t spatial)
{
	if (c->n_x > 2 && c->dx[2].v)
		onx_conv_bgrad(c->pool, (size_t)c->dy[0].dim[0], (size_t)c->dy[0].dim[1], spatial,
			       c->dy[0].v, c->dx[2].v, c->dx[2].add);
}

/* Y = W * X + B */
static void conv_forward(const struct onx_call *c, const struct way *way)
{
	way->forward(c->pool, c->geo, c->x[0].v, c->x[1].v, bias(c), c->y[0].v, false, c->scratch);
}

static void conv_backward(const struct onx_call *c, const struct way *way)
{
	const struct onx_conv_geo *g = c->geo;

	if (c->dx[0].v)
		way->dgrad(c->pool, g, c->x[1].v, c->dy[0].v, c->dx[0].v, c->dx[0].add, c->scratch);
	if (c->dx[1].v)
		way->wgrad(c->pool, g, c->x[0].v, c->dy[0].v, c->dx[1].v, c->dx[1].add, c->scratch);
	bias_back(c, g->w.out_n);
}

static void transpose_forward(const struct onx_call *c, const struct way *way)
{
	const struct onx_conv_geo *g = c->geo;

	way->dgrad(c->pool, g, c->x[1].v, c->x[0].v, c->y[0].v, false, c->scratch);
	if (bias(c))
		onx_conv_bias(c->pool, g->n, g->groups * g->c, g->w.in_n, bias(c), c->y[0].v);
}

static void transpose_backward(const struct onx_call *c, const struct way *way)
{
	const struct onx_conv_geo *g = c->geo;

	if (c->dx[0].v)
		way->forward(c->pool, g, c->dy[0].v, c->x[1].v, NULL, c->dx[0].v, c->dx[0].add, c->scratch);
	if (c->dx[1].v)
		way->wgrad(c->pool, g, c->dy[0].v, c->x[0].v, c->dx[1].v, c->dx[1].add, c->scratch);
	bias_back(c, g->w.in_n);
}

#define BOTH(op, way)                                                                   \
static void op##_forward_##way(const struct onx_call *c) { op##_forward(c, &way); }    \
static void op##_backward_##way(const struct onx_call *c) { op##_backward(c, &way); }
BOTH(conv, gemm)
BOTH(conv, packed)
BOTH(conv, phases)
BOTH(conv, depthwise)
BOTH(conv, ref)
BOTH(transpose, gemm)
BOTH(transpose, depthwise)
BOTH(transpose, ref)
#undef BOTH

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t conv_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_gemm_dgrad_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_gemm_forward_scratch(s->geo, threads);
}

static size_t packed_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_packed_dgrad_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_packed_forward_scratch(s->geo, threads);
}

static size_t phases_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return onx_conv_phase_scratch(s->geo, threads, backward);
}

static size_t transpose_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_gemm_forward_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_gemm_dgrad_scratch(s->geo, threads);
}

static bool fits_phases(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return ((const struct onx_conv_geo *)s->geo)->groups > 1 && onx_conv_phase_fits(s->geo);
}

static bool fits_depthwise(const struct onx_infer *s, const void *attr)
{
	const struct onx_conv_geo *g = s->geo;

	(void)attr;
	return g->c == 1 && g->groups > 1;
}

/* In double, im2col and the blocks of kernel/blocked.h are the faster ones. */
static bool fits_packed(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return sizeof(real) == sizeof(float);
}

static bool fits_pointwise(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_conv_pointwise(s->geo);
}

static bool fits_all(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return true;
}

static const struct onx_impl conv_impl[] = {
	{ .name = "depthwise, phases", .fits = fits_phases, .scratch = phases_scratch,
	  .forward = conv_forward_phases, .backward = conv_backward_phases },
	{ .name = "depthwise", .fits = fits_depthwise,
	  .forward = conv_forward_depthwise, .backward = conv_backward_depthwise },
	{ .name = "packed", .fits = fits_packed, .scratch = packed_scratch,
	  .forward = conv_forward_packed, .backward = conv_backward_packed },
	{ .name = "pointwise", .fits = fits_pointwise, .scratch = conv_scratch,
	  .forward = conv_forward_gemm, .backward = conv_backward_gemm },
	{ .name = "im2col", .fits = fits_all, .scratch = conv_scratch,
	  .forward = conv_forward_gemm, .backward = conv_backward_gemm },
	{ .name = NULL }
};
static const struct onx_impl transpose_impl[] = {
	{ .name = "depthwise", .fits = fits_depthwise,
	  .forward = transpose_forward_depthwise, .backward = transpose_backward_depthwise },
	{ .name = "pointwise", .fits = fits_pointwise, .scratch = transpose_scratch,
	  .forward = transpose_forward_gemm, .backward = transpose_backward_gemm },
	{ .name = "im2col", .fits = fits_all, .scratch = transpose_scratch,
	  .forward = transpose_forward_gemm, .backward = transpose_backward_gemm },
	{ .name = NULL }
};

/* ---- FusedConv: Y = f(W * X + B + Z) ---- */

/* The kernels of Conv read the first member.  n: elements of Y. */
struct fused_geo { struct onx_conv_geo conv; struct onx_fuse f; size_t n; };

static int fused_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct conv_attr *a = attr;
	struct fused_geo *g = ONX_NEW(s->mem, struct fused_geo);
	int rc = conv_infer(s, attr, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "FusedConv");
	if (rc == ONX_OK)
		rc = onx_fuse_read(a->activation, a->params.v, a->params.n, &g->f, e);
	if (rc == ONX_OK && !onx_fuse_in_y(&g->f))
		rc = onx_fail(e, ONX_UNSUP, "activation '%s' is not known", a->activation);
	if (rc == ONX_OK && onx_has_in(s, 3))
		rc = onx_want_same_type(s, 0, 3, e);
	if (rc < 0)
		return rc;
	g->conv = *(const struct onx_conv_geo *)s->geo;
	g->n = g->conv.n * g->conv.groups * g->conv.m * g->conv.w.out_n;
	s->geo = g;
	if (onx_has_in(s, 3) && onx_has_out(s, 0) && !onx_shape_equal(&s->in[3].shape, &s->out[0].shape))
		return onx_fail(e, ONX_SHAPE, "input 3 has another shape than the output");
	return ONX_OK;
}

/* Where the gradient of the sum stands in scratch. */
static size_t fused_bytes(const struct fused_geo *g)
{
	return (g->n * sizeof(double) + 63) / 64 * 64;
}

static size_t fused_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct fused_geo *g = s->geo;

	return conv_scratch(s, attr, threads, backward) + (backward ? fused_bytes(g) : 0);
}

static void fused_forward(const struct onx_call *c)
{
	const struct fused_geo *g = c->geo;
	const real *z = c->n_x > 3 ? c->x[3].v : NULL;
	real *y = c->y[0].v;

	conv_forward(c, &gemm);
	for (size_t i = 0; z && i < g->n; i++)
		y[i] += z[i];
	onx_fuse_forward(&g->f, &c->y[0], c->pool);
}

static void fused_backward(const struct onx_call *c)
{
	const struct fused_geo *g = c->geo;
	const struct onx_view *z = c->n_x > 3 ? &c->dx[3] : NULL;
	struct onx_view d = c->dy[0];
	struct onx_call inside = *c;

	d.v = c->scratch;
	onx_fuse_backward(&g->f, &c->y[0], c->dy[0].v, d.v, c->pool);
	inside.dy = &d;
	inside.scratch = (char *)c->scratch + fused_bytes(g);
	conv_backward(&inside, &gemm);
	for (size_t i = 0; z && z->v && i < g->n; i++)
		onx_put((real *)z->v + i, z->add, ((const real *)d.v)[i]);
}

#define CONV(t, since_, part) \
	{ .domain = "", .type = t, .since = since_, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 6,        \
	  .flags = ONX_OP_APART, .attr = &part##_table, .infer = part##_infer, .macs = conv_macs,         \
	  .forward = part##_forward_ref, .backward = part##_backward_ref, .impl = part##_impl }
const struct onx_op ONX_R(onx_ops_conv)[] = {
	CONV("Conv", 1, conv),
	CONV("ConvTranspose", 1, transpose),
	{ .domain = "com.microsoft", .type = "FusedConv", .since = 1, .min_in = 2, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_Y(0), .attr = &fused_table,
	  .infer = fused_infer, .macs = conv_macs, .scratch = fused_scratch, .forward = fused_forward,
	  .backward = fused_backward },
	{ .type = NULL }
};
