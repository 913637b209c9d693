/* op/onehot.c -- OneHot: from places to rows of numbers. */
#include "op/infer.h"
#include <string.h>
#include "op/walk.h"

struct onehot { int64_t axis; uint64_t given; };
static const struct onx_field onehot_field[] = {
	{ "axis", F_INT, offsetof(struct onehot, axis), .def = "-1", .help = "where the new axis stands" },
	{ .name = NULL }
};
static const struct onx_table onehot_attr = { "OneHot", sizeof(struct onehot), onehot_field,
	.given = offsetof(struct onehot, given) };

struct onehot_geo { size_t inner; int64_t depth; };

static int onehot_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *idx = &s->in[0].shape;
	struct onehot_geo *g = ONX_NEW(s->mem, struct onehot_geo);
	struct onx_shape y = { .rank = idx->rank + 1 };
	double depth;
	size_t n;
	int axis, rc = onx_in_real(s, 1, &depth, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of OneHot");
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 0, ONX_RANK - 1, e);
	if (rc == ONX_OK)
		rc = onx_axis(((const struct onehot *)attr)->axis, y.rank, &axis, e);
	if (rc < 0)
		return rc;
	if (s->in[0].type == ONX_STRING || !(depth >= 0 && depth <= 0x1p48))
		return onx_fail(e, ONX_SHAPE, "indices of %s, depth %g", onx_dtype_name(s->in[0].type), depth);
	if (s->in[2].shape.rank != 1 || s->in[2].shape.dim[0] != 2)
		return onx_fail(e, ONX_SHAPE, "input 2 is not a pair of an off and an on value");
	for (int i = 0, k = 0; i < y.rank; i++)
		y.dim[i] = i == axis ? (int64_t)depth : idx->dim[k++];
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	g->inner = (size_t)onx_span(y.dim, axis + 1, y.rank);
	g->depth = (int64_t)depth;
	s->geo = g;
	onx_set_out(s, 0, s->in[2].type, &y);
	return ONX_OK;
}

/* An index outside [-depth, depth-1] gives a row of off values. */
static void onehot_forward(const struct onx_call *c)
{
	const struct onehot_geo *g = c->geo;
	const struct onx_view *y = &c->y[0], *idx = &c->x[0];
	const size_t w = y->width;
	const char *off = c->x[2].v, *on = off + w;
	const bool is_real = onx_dtype_real(idx->type);

	onx_fill(y->v, y->n, off, w);
	for (size_t i = 0; y->n > 0 && i < idx->n; i++) {
		const double v = is_real ? onx_view_real(idx, i) : (double)onx_view_int(idx, i);
		const size_t o = i / g->inner, in = i % g->inner;

		if (!(v >= -(double)g->depth && v < (double)g->depth))
			continue;
		const size_t k = (size_t)((int64_t)v + (v < 0 ? g->depth : 0));
		memcpy((char *)y->v + ((o * (size_t)g->depth + k) * g->inner + in) * w, on, w);
	}
}

/* dvalues: the sums of dy where y has the off value and where it has the on value, in double */
static void onehot_backward(const struct onx_call *c)
{
	const struct onehot_geo *g = c->geo;
	const struct onx_view *idx = &c->x[0], *d = &c->dx[2];
	const bool is_real = onx_dtype_real(idx->type);
	const real *dy = c->dy[0].v;
	double all = 0, on = 0;

	if (!d->v)
		return;
	for (size_t i = 0; i < c->dy[0].n; i++)
		all += dy[i];
	for (size_t i = 0; c->dy[0].n > 0 && i < idx->n; i++) {
		const double v = is_real ? onx_view_real(idx, i) : (double)onx_view_int(idx, i);

		if (!(v >= -(double)g->depth && v < (double)g->depth))
			continue;
		const size_t k = (size_t)((int64_t)v + (v < 0 ? g->depth : 0));
		on += dy[(i / g->inner * (size_t)g->depth + k) * g->inner + i % g->inner];
	}
	onx_put((real *)d->v, d->add, (real)(all - on));
	onx_put((real *)d->v + 1, d->add, (real)on);
}

const struct onx_op ONX_R(onx_ops_onehot)[] = {
	{ .domain = "", .type = "OneHot", .since = 9, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER, ONX_G_NEVER, ONX_G_DIFF }, .n_grad = 3, .keep = ONX_KEEP_X(0),
	  .attr = &onehot_attr, .infer = onehot_infer, .forward = onehot_forward, .backward = onehot_backward },
	{ .type = NULL }
};
