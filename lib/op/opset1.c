/* op/opset1.c -- operators on pictures [N,C,H,W] that opset 1 had on trial and opset 10 took away; converters of
 * their time wrote them: Crop, ImageScaler. */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct trial { struct onx_ints border, size, consumed; struct onx_reals bias; double scale; };
#define AT(member) offsetof(struct trial, member)
#define CONSUMED { "consumed_inputs", F_INTS, AT(consumed), .def = "", .help = "a hint of old writers" }
static const struct onx_field crop_field[] = {
	{ "border", F_INTS, AT(border), .def = "0,0,0,0", .help = "left, top, right, bottom" },
	{ "scale", F_INTS, AT(size), .def = "", .help = "height and width of what is kept; none: up to the border" },
	CONSUMED, { .name = NULL }
};
static const struct onx_table crop_attr = { "Crop", sizeof(struct trial), crop_field, .check = NULL };
static const struct onx_field scaler_field[] = {
	{ "scale", F_REAL, AT(scale), .def = "1", .help = "factor of all channels" },
	{ "bias", F_REALS, AT(bias), .def = "", .help = "added to each channel" },
	CONSUMED, { .name = NULL }
};
static const struct onx_table scaler_attr = { "ImageScaler", sizeof(struct trial), scaler_field, .check = NULL };

/* ---- Crop: y[n][c][i][j] = x[n][c][top + i][left + j] ---- */

struct crop_geo { size_t top, left, h, w, kh, kw; };

/* How many of n are kept behind `before`: `size`, or where it is negative all in front of `after`. */
static int kept(int64_t n, int64_t before, int64_t after, int64_t size, int64_t *out, struct onx_err *e)
{
	if (before < 0 || before > n || (size < 0 ? after < 0 || after > n - before : size > n - before))
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " elements have no room for a border of %" PRId64 " and %"
				PRId64, n, before, size < 0 ? after : size);
	*out = size < 0 ? n - before - after : size;
	return ONX_OK;
}

static int crop_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct trial *a = attr;
	struct crop_geo *g = ONX_NEW(s->mem, struct crop_geo);
	struct onx_shape y = s->in[0].shape;
	int rc = g ? onx_want_real(s, 0, e) : onx_nomem(e, sizeof *g, "Crop");

	if (rc < 0 || (rc = onx_want_rank(s, 0, 4, 4, e)) < 0)
		return rc;
	if (a->border.n != 4 || (a->size.n != 0 && a->size.n != 2))
		return onx_fail(e, ONX_SHAPE, "border has %zu numbers and scale %zu, wanted 4, and 2 or none",
				a->border.n, a->size.n);
	for (size_t i = 0; i < a->size.n; i++)
		if (a->size.v[i] < 0)
			return onx_fail(e, ONX_SHAPE, "scale is %" PRId64, a->size.v[i]);
	const int64_t *b = a->border.v;
	*g = (struct crop_geo){ .h = (size_t)y.dim[2], .w = (size_t)y.dim[3] };
	rc = kept(y.dim[2], b[1], b[3], a->size.n ? a->size.v[0] : -1, &y.dim[2], e);
	if (rc == ONX_OK)
		rc = kept(y.dim[3], b[0], b[2], a->size.n ? a->size.v[1] : -1, &y.dim[3], e);
	if (rc < 0)
		return rc;
	g->top = (size_t)b[1];
	g->left = (size_t)b[0];
	g->kh = (size_t)y.dim[2];
	g->kw = (size_t)y.dim[3];
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* The place in x of the first element of line `row` of y. */
static size_t line_at(const struct crop_geo *g, size_t row)
{
	return (row / g->kh * g->h + g->top + row % g->kh) * g->w + g->left;
}

static void crop_forward(const struct onx_call *c)
{
	const struct crop_geo *g = c->geo;
	const real *x = c->x[0].v;
	real *y = c->y[0].v;

	for (size_t row = 0; g->kw > 0 && row < c->y[0].n / g->kw; row++)
		for (size_t j = 0; j < g->kw; j++)
			y[row * g->kw + j] = x[line_at(g, row) + j];
}

static void crop_backward(const struct onx_call *c)
{
	const struct crop_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	real *dx = c->dx[0].v;

	for (size_t i = 0; dx && !c->dx[0].add && i < c->dx[0].n; i++)
		dx[i] = 0;
	for (size_t row = 0; dx && g->kw > 0 && row < c->dy[0].n / g->kw; row++)
		for (size_t j = 0; j < g->kw; j++)
			dx[line_at(g, row) + j] += dy[row * g->kw + j];
}

/* ---- ImageScaler: y = scale x + bias[channel] ---- */

static int scaler_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct trial *a = attr;
	int rc = onx_want_rank(s, 0, 4, 4, e);

	if (rc == ONX_OK && a->bias.n != 0 && (int64_t)a->bias.n != s->in[0].shape.dim[1])
		rc = onx_fail(e, ONX_SHAPE, "bias has %zu numbers for %" PRId64 " channels", a->bias.n,
			      s->in[0].shape.dim[1]);
	return rc < 0 ? rc : onx_infer_same(s, attr, e);
}

static void scaler_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct trial *a = c->attr;
	const size_t plane = (size_t)(c->x[0].dim[2] * c->x[0].dim[3]);
	const real *x = c->x[0].v;
	real *y = c->y[0].v;

	for (size_t i = lo; i < hi; i++)
		y[i] = (real)a->scale * x[i] + (a->bias.n ? (real)a->bias.v[i / plane % a->bias.n] : 0);
}

static void scaler_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, scaler_range, c);
}

static void scaler_backward(const struct onx_call *c)
{
	const real *dy = c->dy[0].v, scale = (real)((const struct trial *)c->attr)->scale;
	real *dx = c->dx[0].v;

	for (size_t i = 0; dx && i < c->dx[0].n; i++)
		onx_put(&dx[i], c->dx[0].add, scale * dy[i]);
}

#define ROW(t, part) \
	{ .domain = "", .type = t, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .attr = &part##_attr, .infer = part##_infer,          \
	  .forward = part##_forward, .backward = part##_backward }
const struct onx_op ONX_R(onx_ops_opset1)[] = {
	ROW("Crop", crop),
	ROW("ImageScaler", scaler),
	{ .type = NULL }
};
