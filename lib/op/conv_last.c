/* op/conv_last.c -- ConvLast: Y = f(W * X + B + Z) with channels last, a step of the plan that stands in no file.
 * X [n][spatial][channels], W as Conv has it, B [channels of Y], Z like Y.  lib/plan/lower.c makes it of Conv and
 * of what follows it. */
#include "op/conv_last.h"
#include "kernel/last.h"
#include "op/fuse.h"

struct last_attr {
	struct onx_win_attr win;
	int64_t group;
	const char *activation;
	struct onx_reals params;
};

static const struct onx_field last_field[] = {
	ONX_WIN_FIELDS(struct last_attr),
	ONX_WIN_DILATIONS(struct last_attr),
	{ "group", F_INT, offsetof(struct last_attr, group), .def = "1", .min = 1, .max = 1e9,
	  .help = "parts into which the channels fall" },
	{ "activation", F_STR, offsetof(struct last_attr, activation), .def = "",
	  .help = "what acts on the sum" },
	{ "activation_params", F_REALS, offsetof(struct last_attr, params), .def = "",
	  .help = "its numbers" },
	{ .name = NULL }
};
static const struct onx_table last_table = { "ConvLast", sizeof(struct last_attr), last_field, .check = NULL };

/* rows: pixels of Y.  No pointer to a kernel here: infer runs in one precision for both. */
struct last_geo {
	struct onx_conv_geo conv;
	struct onx_fuse f;
	size_t rows, ch;
};

/* Winograd's way is not among them: its gradients go with its forward, so that `precise` leaves out all three. */
static const struct ONX_R(onx_last_grad) *const grads[] = { &onx_last_grad_depthwise, &onx_last_grad_dense,
						    &onx_last_grad_ref };

static const struct ONX_R(onx_last_grad) *grad_of(const struct last_geo *g)
{
	size_t k = 0;

	while (!grads[k]->fits(&g->conv))
		k++;
	return grads[k];
}

static int check(const struct onx_infer *s, int w, int64_t group, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *k = &s->in[w].shape;
	const int64_t ch = x->rank ? x->dim[x->rank - 1] : 0;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_want_rank(s, w, x->rank, x->rank, e)) < 0)
		return rc;
	if (ch % group != 0 || k->dim[1] != ch / group || k->dim[0] % group != 0)
		return onx_fail(e, ONX_SHAPE, "input has %lld channels in %lld groups, the weights are %lld by %lld",
				(long long)ch, (long long)group, (long long)k->dim[0], (long long)k->dim[1]);
	if (onx_has_in(s, w + 1) && (s->in[w + 1].shape.rank != 1 || s->in[w + 1].shape.dim[0] != k->dim[0]))
		return onx_fail(e, ONX_SHAPE, "the bias has not %lld elements", (long long)k->dim[0]);
	return ONX_OK;
}

int onx_conv_last_read(const struct onx_infer *s, int w, const struct onx_win_attr *win, int64_t group,
		       struct onx_conv_geo *to, struct onx_shape *y, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *k = &s->in[w].shape;
	const int nd = x->rank - 2;
	size_t n;
	int rc = ONX_OK;

	for (int i = 0; i < s->n_in && rc == ONX_OK; i++)
		if (onx_has_in(s, i))
			rc = onx_want_same_type(s, 0, i, e);
	if (rc < 0 || (rc = check(s, w, group, e)) < 0 ||
	    (rc = onx_win_read(win, nd, x->dim + 1, k->dim + 2, &to->w, e)) < 0 ||
	    (rc = onx_win_slide(win, nd, false, &to->w, e)) < 0)
		return rc;
	to->n = (size_t)x->dim[0];
	to->groups = (size_t)group;
	to->c = (size_t)k->dim[1];
	to->m = (size_t)(k->dim[0] / group);
	*y = (struct onx_shape){ .rank = x->rank, .dim = { x->dim[0] } };
	for (int i = 0; i < nd; i++)
		y->dim[1 + i] = (int64_t)to->w.out[3 - nd + i];
	y->dim[x->rank - 1] = k->dim[0];
	return onx_count(y->rank, y->dim, &n, e);
}

static int last_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct last_attr *a = attr;
	struct last_geo *g = ONX_NEW(s->mem, struct last_geo);
	struct onx_shape y;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "ConvLast");
	if ((rc = onx_conv_last_read(s, 1, &a->win, a->group, &g->conv, &y, e)) < 0 ||
	    (rc = onx_fuse_read(a->activation, a->params.v, a->params.n, &g->f, e)) < 0)
		return rc;
	g->ch = g->conv.groups * g->conv.m;
	g->rows = g->conv.n * g->conv.w.out_n;
	if (onx_has_in(s, 3) && !onx_shape_equal(&s->in[3].shape, &y))
		return onx_fail(e, ONX_SHAPE, "input 3 has another shape than the output");
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double last_macs(const struct onx_infer *s, const void *attr)
{
	const struct last_geo *g = s->geo;

	(void)attr;
	return onx_conv_last_macs(&g->conv);
}

static size_t rounded(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

/* Weights that never change come packed; the others are packed each time, as a rule in front of the scratch. */
static size_t forward_scratch(const struct last_geo *g, const struct ONX_R(onx_last_way) *way, int threads)
{
	const size_t ready = way->scratch(&g->conv, threads);
	const size_t fresh = way->fresh ? way->fresh_scratch(&g->conv, threads)
					: rounded(way->packed(&g->conv)) + ready;

	return fresh > ready ? fresh : ready;
}

static void forward(const struct onx_call *c, const struct ONX_R(onx_last_way) *way)
{
	const struct last_geo *g = c->geo;
	const struct ONX_R(onx_last_end) end = { .b = c->n_x > 2 ? c->x[2].v : NULL,
						 .z = c->n_x > 3 ? c->x[3].v : NULL, .f = g->f };
	const void *packed = c->packed;
	char *scratch = c->scratch;

	if (!packed && way->fresh) {
		way->fresh(c->pool, &g->conv, c->x[0].v, c->x[1].v, &end, c->y[0].v, scratch);
		return;
	}
	if (!packed) {
		way->pack(c->pool, &g->conv, c->x[1].v, scratch);
		packed = scratch;
		scratch += rounded(way->packed(&g->conv));
	}
	way->forward(c->pool, &g->conv, c->x[0].v, packed, &end, c->y[0].v, scratch);
}

/* The activation's derivative goes over dy, which nobody reads afterwards (ONX_OP_TAKES_DY). */
static void backward(const struct onx_call *c, const struct ONX_R(onx_last_grad) *grad, const struct last_geo *g)
{
	const struct onx_view *dz = c->n_x > 3 ? &c->dx[3] : NULL;
	real *d = c->dy[0].v;

	if (g->f.kind != ONX_FUSE_NONE)
		onx_fuse_backward(&g->f, &c->y[0], d, d, c->pool);
	if (c->dx[0].v)
		grad->data(c->pool, &g->conv, c->x[1].v, d, c->dx[0].v, c->dx[0].add, c->scratch);
	if (c->dx[1].v)
		grad->weights(c->pool, &g->conv, c->x[0].v, d, c->dx[1].v, c->dx[1].add, c->scratch);
	if (c->n_x > 2 && c->dx[2].v)
		onx_last_bgrad(c->pool, g->rows, g->ch, d, c->dx[2].v, c->dx[2].add);
	if (dz && dz->v && (dz->v != d))
		onx_fuse_pass(c->pool, g->rows * g->ch, d, dz->v, dz->add);
}

/* grad: the gradients' way, for the geometry `geo`. */
#define WAY(name, grad)                                                                                       \
static void backward_##name(const struct onx_call *c)                                                         \
{                                                                                                             \
	const struct last_geo *geo = c->geo;                                                                  \
                                                                                                              \
	backward(c, grad, geo);                                                                               \
}                                                                                                             \
static void forward_##name(const struct onx_call *c) { forward(c, &onx_last_way_##name); }                   \
static void pack_##name(const struct onx_call *c, void *to)                                                   \
{                                                                                                             \
	onx_last_way_##name.pack(NULL, c->geo, c->x[1].v, to);                                                \
}                                                                                                             \
static size_t packed_##name(const struct onx_infer *s, const void *attr)                                      \
{                                                                                                             \
	(void)attr;                                                                                           \
	return onx_last_way_##name.packed(s->geo);                                                            \
}                                                                                                             \
static bool fits_##name(const struct onx_infer *s, const void *attr)                                          \
{                                                                                                             \
	(void)attr;                                                                                           \
	return onx_last_way_##name.fits(s->geo);                                                              \
}                                                                                                             \
static size_t scratch_##name(const struct onx_infer *s, const void *attr, int threads, bool backward)         \
{                                                                                                             \
	const struct last_geo *geo = s->geo;                                                                  \
                                                                                                              \
	if (backward)                                                                                         \
		return (grad)->scratch(&geo->conv, threads);                                                  \
	(void)attr;                                                                                           \
	return forward_scratch(geo, &onx_last_way_##name, threads);                                           \
}
#define ROW(way, is_rough)                                                                                    \
	{ .name = #way, .rough = is_rough, .fits = fits_##way, .scratch = scratch_##way, .packed = packed_##way, \
	  .pack = pack_##way, .forward = forward_##way, .backward = backward_##way }
WAY(winograd, &onx_last_grad_winograd)
WAY(depthwise, grad_of(geo))
WAY(dense, grad_of(geo))
WAY(ref, grad_of(geo))

static const struct onx_impl last_impl[] = {
	ROW(winograd, true),
	ROW(depthwise, false),
	ROW(dense, false),
	ROW(ref, false),
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_conv_last)[] = {
	{ .domain = "onnx_adapt", .type = "ConvLast", .since = 1, .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .weight = 6, .flags = ONX_OP_TAKES_DY | ONX_OP_APART, .pass = 3,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_Y(0), .attr = &last_table, .infer = last_infer,
	  .macs = last_macs, .scratch = scratch_ref, .forward = forward_ref, .backward = backward_ref,
	  .impl = last_impl },
	{ .type = NULL }
};
