/* op/conv_transpose.c -- ConvTranspose: the data gradient of a convolution whose input is Y and whose output is X, with
 * the same weights: all its kernels are those of Conv with x and y exchanged. */
#include "op/conv_i.h"

static const struct onx_field transpose_field[] = {
	ONX_CONV_FIELDS,
	{ "output_padding", F_INTS, offsetof(struct onx_conv_attr, output_padding), .def = "",
	  .help = "added to one end of the output" },
	{ "output_shape", F_INTS, offsetof(struct onx_conv_attr, output_shape), .def = "",
	  .help = "size of the output; pads follow from it" },
	{ .name = NULL }
};
static const struct onx_table transpose_table = { "ConvTranspose", sizeof(struct onx_conv_attr),
						  transpose_field, .check = NULL };

/* ONNX ConvTranspose: size = stride * (in - 1) + output_padding + reach - pads; or output_shape is
 * given (SAME: in * stride) and the pads follow, the odd one at the end for SAME_UPPER, else at the
 * beginning. */
static int transpose_dim(const struct onx_conv_attr *a, int i, int d, struct onx_window *w, struct onx_err *e)
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
	const struct onx_conv_attr *a = attr;
	struct onx_conv_geo *g = ONX_NEW(s->mem, struct onx_conv_geo);
	const struct onx_shape *x = &s->in[0].shape, *w = &s->in[1].shape;
	const int nd = x->rank - 2;
	const struct onx_ints *list[2] = { &a->output_padding, &a->output_shape };
	struct onx_ints shape = a->output_shape;
	int64_t channels = 0;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "ConvTranspose");
	if ((rc = onx_conv_check(s, a, true, &channels, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, w->dim + 2, &g->w, e)) < 0)
		return rc;
	if (shape.n == (size_t)nd + 2)          /* some exporters give batch and channels too */
		shape = (struct onx_ints){ shape.v + 2, (size_t)nd };
	const struct onx_conv_attr use = { .win = a->win, .group = a->group, .output_padding = a->output_padding,
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
	return onx_conv_set_shape(s, channels, g->w.in, e);
}

static void transpose_forward(const struct onx_call *c, const struct onx_conv_way *way)
{
	const struct onx_conv_geo *g = c->geo;

	way->dgrad(c->pool, g, c->x[1].v, c->x[0].v, c->y[0].v, false, c->scratch);
	if (onx_conv_bias_in(c))
		onx_conv_bias(c->pool, g->n, g->groups * g->c, g->w.in_n, onx_conv_bias_in(c), c->y[0].v);
}

static void transpose_backward(const struct onx_call *c, const struct onx_conv_way *way)
{
	const struct onx_conv_geo *g = c->geo;

	if (c->dx[0].v)
		way->forward(c->pool, g, c->dy[0].v, c->x[1].v, NULL, c->dx[0].v, c->dx[0].add, c->scratch);
	if (c->dx[1].v)
		way->wgrad(c->pool, g, c->dy[0].v, c->x[0].v, c->dx[1].v, c->dx[1].add, c->scratch);
	onx_conv_bias_back(c, g->w.in_n);
}

ONX_CONV_BOTH(transpose, transpose_forward, transpose_backward, gemm, onx_conv_by_gemm)
ONX_CONV_BOTH(transpose, transpose_forward, transpose_backward, depthwise, onx_conv_by_depthwise)
ONX_CONV_BOTH(transpose, transpose_forward, transpose_backward, ref, onx_conv_by_ref)

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t transpose_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return backward ? larger(onx_conv_gemm_forward_scratch(s->geo, threads),
				 onx_conv_gemm_wgrad_scratch(s->geo, threads))
			: onx_conv_gemm_dgrad_scratch(s->geo, threads);
}

static const struct onx_impl transpose_impl[] = {
	{ .name = "depthwise", .fits = onx_conv_fits_depthwise,
	  .forward = transpose_forward_depthwise, .backward = transpose_backward_depthwise },
	{ .name = "pointwise", .fits = onx_conv_fits_pointwise, .scratch = transpose_scratch,
	  .forward = transpose_forward_gemm, .backward = transpose_backward_gemm },
	{ .name = "im2col", .fits = onx_conv_fits_all, .scratch = transpose_scratch,
	  .forward = transpose_forward_gemm, .backward = transpose_backward_gemm },
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_conv_transpose)[] = {
	ONX_CONV_ROW("ConvTranspose", transpose, transpose_infer),
	{ .type = NULL }
};
