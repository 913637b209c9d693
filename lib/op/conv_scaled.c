/* op/conv_scaled.c -- ConvScaledLast: Y = f(W * (X S) + B + Z), a pointwise convolution with channels last of what each
 * sample's channels are scaled by first, a step of the plan that stands in no file; plan/lower_scale.c makes it where
 * squeeze and excitation (Hu et al. 2018) stand in front of a convolution.  X [n][y][x][c], S [n][1][1][c], W, B and Z
 * as ConvLast has them.  Rows are scaled as they are copied for the product (kernel/gather.h): the bits of a Mul and a
 * convolution, without a tensor between them.  Forward only. */
#include "kernel/last_dense.h"
#include "op/fuse.h"
#include "op/infer.h"

struct scaled_attr { const char *activation; struct onx_reals params; };
static const struct onx_field scaled_field[] = {
	{ "activation", F_STR, offsetof(struct scaled_attr, activation), .def = "", .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct scaled_attr, params), .def = "", .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table scaled_table = { "ConvScaledLast", sizeof(struct scaled_attr), scaled_field,
					       .check = NULL };

enum { X, S, W, B, Z };
struct scaled_geo { struct onx_conv_geo conv; struct onx_fuse f; };

static int check(const struct onx_infer *s, struct onx_err *e)
{
	const int64_t *x = s->in[X].shape.dim, *w = s->in[W].shape.dim;
	const struct onx_shape scale = { 4, { x[0], 1, 1, x[3] } };
	int rc = onx_want_real(s, X, e);

	for (int i = 0; i < s->n_in && rc == ONX_OK; i++)
		if (onx_has_in(s, i))
			rc = onx_want_same_type(s, X, i, e);
	if (rc < 0 || (rc = onx_want_rank(s, X, 4, 4, e)) < 0 || (rc = onx_want_rank(s, W, 4, 4, e)) < 0)
		return rc;
	if (w[1] != x[3] || w[2] != 1 || w[3] != 1)
		return onx_fail(e, ONX_SHAPE, "input has %lld channels, the weights are of %lld and %lld by %lld",
				(long long)x[3], (long long)w[1], (long long)w[2], (long long)w[3]);
	if (!onx_shape_equal(&s->in[S].shape, &scale))
		return onx_fail(e, ONX_SHAPE, "the scales are not one for each sample and channel");
	if (onx_has_in(s, B) && (s->in[B].shape.rank != 1 || s->in[B].shape.dim[0] != w[0]))
		return onx_fail(e, ONX_SHAPE, "the bias has not %lld elements", (long long)w[0]);
	return ONX_OK;
}

static int scaled_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct scaled_attr *a = attr;
	struct scaled_geo *g = ONX_NEW(s->mem, struct scaled_geo);
	struct onx_shape y = s->in[X].shape;
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "ConvScaledLast");
	if ((rc = check(s, e)) < 0 || (rc = onx_fuse_read(a->activation, a->params.v, a->params.n, &g->f, e)) < 0)
		return rc;
	g->conv = (struct onx_conv_geo){ .n = (size_t)y.dim[0], .groups = 1, .c = (size_t)y.dim[3],
					 .m = (size_t)s->in[W].shape.dim[0] };
	for (int d = 0; d < 3; d++) {
		g->conv.w.in[d] = g->conv.w.out[d] = d ? (size_t)y.dim[d] : 1;
		g->conv.w.kern[d] = 1;
		g->conv.w.stride[d] = g->conv.w.dil[d] = 1;
	}
	onx_window_close(&g->conv.w);
	y.dim[3] = (int64_t)g->conv.m;
	if ((rc = onx_count(y.rank, y.dim, &n, e)) < 0)
		return rc;
	if (onx_has_in(s, Z) && !onx_shape_equal(&s->in[Z].shape, &y))
		return onx_fail(e, ONX_SHAPE, "input %d has another shape than the output", Z);
	s->geo = g;
	onx_set_out(s, 0, s->in[X].type, &y);
	return ONX_OK;
}

static double scaled_macs(const struct onx_infer *s, const void *attr)
{
	const struct scaled_geo *g = s->geo;

	(void)attr;
	return (double)g->conv.n * (double)g->conv.w.out_n * (double)g->conv.c * (double)g->conv.m;
}

static struct ONX_R(onx_gather) gather_of(const struct scaled_geo *g, const real *scale)
{
	struct ONX_R(onx_gather) p;

	onx_last_dense_scaled_of(&g->conv, onx_isa(), scale, &p);
	return p;
}

static const real none;         /* sizes do not depend on the scales */

static size_t packed(const struct onx_infer *s, const void *attr)
{
	const struct ONX_R(onx_gather) p = gather_of(s->geo, &none);

	(void)attr;
	return onx_gather_packed(&p);
}

static void pack(const struct onx_call *c, void *to)
{
	const struct ONX_R(onx_gather) p = gather_of(c->geo, &none);

	onx_gather_pack(c->pool, &p, c->x[W].v, to);
}

/* Packed weights, then what the product wants. */
static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct ONX_R(onx_gather) p = gather_of(s->geo, &none);

	(void)attr, (void)backward;
	return onx_gather_packed(&p) + onx_gather_scratch(&p, threads);
}

static void forward(const struct onx_call *c)
{
	const struct scaled_geo *g = c->geo;
	const struct ONX_R(onx_gather) p = gather_of(g, c->x[S].v);
	const struct ONX_R(onx_last_end) end = { .b = c->n_x > B ? c->x[B].v : NULL, .z = c->n_x > Z ? c->x[Z].v : NULL,
						 .f = g->f };
	const void *ready = c->packed;
	char *room = c->scratch;

	if (!ready) {
		pack(c, room);
		ready = room;
		room += onx_gather_packed(&p);
	}
	onx_gather_run(c->pool, &p, c->x[X].v, ready, &end, c->y[0].v, room);
}

static bool always(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return true;
}

static const struct onx_impl scaled_impl[] = {
	{ .name = "dense", .fits = always, .scratch = scratch, .packed = packed, .pack = pack, .forward = forward },
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_conv_scaled)[] = {
	{ .domain = "onnx_adapt", .type = "ConvScaledLast", .since = 1, .min_in = 3, .max_in = 5, .min_out = 1,
	  .max_out = 1, .flags = ONX_OP_APART, .attr = &scaled_table, .infer = scaled_infer, .macs = scaled_macs,
	  .scratch = scratch, .forward = forward, .impl = scaled_impl },
	{ .type = NULL }
};
