/* op/conv_fused.c -- FusedConv of ONNX Runtime: Y = f(W * X + B + Z). */
#include "op/conv_i.h"
#include "op/fuse.h"

static const struct onx_field fused_field[] = {
	ONX_CONV_FIELDS,
	{ "activation", F_STR, offsetof(struct onx_conv_attr, activation), .def = "",
	  .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct onx_conv_attr, params), .def = "",
	  .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table fused_table = { "FusedConv", sizeof(struct onx_conv_attr), fused_field,
					      .check = NULL };

/* The kernels of Conv read the first member.  n: elements of Y. */
struct fused_geo { struct onx_conv_geo conv; struct onx_fuse f; size_t n; };

static int fused_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_conv_attr *a = attr;
	struct fused_geo *g = ONX_NEW(s->mem, struct fused_geo);
	int rc = onx_conv_infer(s, attr, e);

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

	return onx_conv_gemm_bytes(s, attr, threads, backward) + (backward ? fused_bytes(g) : 0);
}

static void fused_forward(const struct onx_call *c)
{
	const struct fused_geo *g = c->geo;
	const real *z = c->n_x > 3 ? c->x[3].v : NULL;
	real *y = c->y[0].v;

	onx_conv_run(c, &onx_conv_by_gemm);
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
	onx_conv_run_back(&inside, &onx_conv_by_gemm);
	for (size_t i = 0; z && z->v && i < g->n; i++)
		onx_put((real *)z->v + i, z->add, ((const real *)d.v)[i]);
}

const struct onx_op ONX_R(onx_ops_conv_fused)[] = {
	{ .domain = "com.microsoft", .type = "FusedConv", .since = 1, .min_in = 2, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_Y(0), .attr = &fused_table,
	  .infer = fused_infer, .macs = onx_conv_macs, .scratch = fused_scratch, .forward = fused_forward,
	  .backward = fused_backward },
	{ .type = NULL }
};
