/* op/strips.c -- ConvStripsLast: convolutions in a row with channels last (kernel/strips.h), a step of the plan that
 * stands in no file; plan/lower_strips.c makes it.  X [n][y][x][channels]; for each stage W as Conv has it and B or
 * nothing; then Z like Y, or nothing.  Forward only. */
#include "kernel/strips.h"
#include "op/stages.h"

static const struct onx_field strips_field[] = { ONX_STAGES_FIELDS, { .name = NULL } };
static const struct onx_table strips_table = { "ConvStripsLast", sizeof(struct onx_stages_attr), strips_field,
					       .check = NULL };

static int strips_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_stages_attr *a = attr;
	struct onx_strips *t = ONX_NEW(s->mem, struct onx_strips);
	const size_t k = a->activations.n;
	struct onx_shape x = s->in[0].shape, y;
	int rc = ONX_OK;

	if (!t)
		return onx_nomem(e, sizeof *t, "ConvStripsLast");
	if (k == 0 || k > ONX_STRIPS_MOST || a->windows.n != k * ONX_STAGE_INTS || a->params.n != 2 * k ||
	    (size_t)s->n_in < 1 + 2 * k)
		return onx_fail(e, ONX_SHAPE, "%zu stages with %zu numbers of windows, %zu of activations, %d inputs",
				k, a->windows.n, a->params.n, s->n_in);
	for (int i = 0; i < s->n_in && rc == ONX_OK; i++)
		if (onx_has_in(s, i))
			rc = onx_want_same_type(s, 0, i, e);
	if (rc < 0 || (rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 4, 4, e)) < 0)
		return rc;
	t->k = k;
	for (size_t i = 0; i < k; i++, x = y)
		if ((rc = onx_stage_read(s, a, i, &x, (int)(1 + 2 * i), &t->g[i], &t->f[i], &y, e)) < 0)
			return rc;
	if (onx_has_in(s, (int)(1 + 2 * k)) && !onx_shape_equal(&s->in[1 + 2 * k].shape, &x))
		return onx_fail(e, ONX_SHAPE, "what is added has another shape than the output");
	if (!onx_strips_fits(t))
		return onx_fail(e, ONX_UNSUP, "windows that lie in the padding cannot be done in strips");
	s->geo = t;
	onx_set_out(s, 0, s->in[0].type, &x);
	return ONX_OK;
}

static double strips_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_strips *t = s->geo;
	double all = 0;

	(void)attr;
	for (size_t i = 0; i < t->k; i++)
		all += (double)t->g[i].n * (double)t->g[i].w.out_n * (double)(t->g[i].groups * t->g[i].m) *
		       (double)t->g[i].c * (double)t->g[i].w.kern_n;
	return all;
}

static size_t rounded(size_t bytes)
{
	return (bytes + 63) / 64 * 64;
}

static size_t packed(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_strips_packed(s->geo);
}

static void pack(const struct onx_call *c, void *to)
{
	const struct onx_strips *t = c->geo;
	const real *w[ONX_STRIPS_MOST];

	for (size_t i = 0; i < t->k; i++)
		w[i] = c->x[1 + 2 * i].v;
	onx_strips_pack(t, w, to);
}

/* Scratch: the packed weights, then what the strips want. */
static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)backward;
	return rounded(packed(s, attr)) + onx_strips_scratch(s->geo, threads);
}

static void forward(const struct onx_call *c)
{
	const struct onx_strips *t = c->geo;
	struct ONX_R(onx_strips_data) d = { .x = c->x[0].v, .packed = c->packed, .y = c->y[0].v };
	char *room = c->scratch;

	for (size_t i = 0; i < t->k; i++)
		d.b[i] = c->x[2 + 2 * i].v;
	if ((size_t)c->n_x > 1 + 2 * t->k)
		d.z = c->x[1 + 2 * t->k].v;
	if (!d.packed) {
		pack(c, room);
		d.packed = room;
		room += rounded(onx_strips_packed(t));
	}
	onx_strips_forward(c->pool, t, &d, room);
}

static bool fits(const struct onx_infer *s, const void *attr)
{
	(void)s, (void)attr;
	return true;
}

static const struct onx_impl strips_impl[] = {
	{ .name = "strips", .fits = fits, .scratch = scratch, .packed = packed, .pack = pack, .forward = forward },
	{ .name = NULL }
};

const struct onx_op ONX_R(onx_ops_strips)[] = {
	{ .domain = "onnx_adapt", .type = "ConvStripsLast", .since = 1, .min_in = 3, .max_in = 2 + 2 * ONX_STRIPS_MOST,
	  .min_out = 1, .max_out = 1, .flags = ONX_OP_APART, .attr = &strips_table, .infer = strips_infer,
	  .macs = strips_macs, .scratch = scratch, .forward = forward, .impl = strips_impl },
	{ .type = NULL }
};
