/* op/pad.c -- operators that put a border around their input, or cut one off: Pad, CenterCropPad. */
#include <inttypes.h>
#include <string.h>
#include "op/move.h"
#include "op/remap.h"

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };
struct pad { int mode; struct onx_ints pads; double value; uint64_t given; };
static const char *const pad_modes[] = { "constant", "reflect", "edge", "wrap", NULL };
static const struct onx_field pad_field[] = {
	{ "mode", F_ENUM, offsetof(struct pad, mode), .def = "constant", .choices = pad_modes,
	  .help = "what stands in the border" },
	{ "pads", F_INTS, offsetof(struct pad, pads), .def = "",
	  .help = "elements to add before each axis, then after each axis; negative ones crop" },
	{ "value", F_REAL, offsetof(struct pad, value), .def = "0", .help = "what mode constant puts" },
	{ .name = NULL }
};
static const struct onx_table pad_attr = { "Pad", sizeof(struct pad), pad_field,
	.given = offsetof(struct pad, given) };

struct pad_geo {
	struct onx_move move;           /* mode constant: the part of y that x covers */
	bool constant;
	int64_t before[ONX_RANK];
	struct onx_remap map;           /* the other modes                            */
};

/* Which element of an axis of n stands at place j, for j outside 0..n-1 too. */
static int64_t pad_source(enum pad_mode mode, int64_t j, int64_t n)
{
	if (mode == PAD_EDGE || n == 1)
		return j < 0 ? 0 : j >= n ? n - 1 : j;
	const int64_t period = mode == PAD_WRAP ? n : 2 * (n - 1);
	int64_t k = j % period;

	k += k < 0 ? period : 0;
	return k < n ? k : period - k;
}

static int pad_map(struct onx_infer *s, enum pad_mode mode, const struct onx_shape *y, const int64_t *before,
		   struct onx_remap *map, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	int64_t from[ONX_RANK];

	onx_strides(x->rank, x->dim, from);
	map->rank = x->rank;
	for (int i = 0; i < x->rank; i++) {
		int64_t *at = ONX_NEWS(s->mem, int64_t, (size_t)y->dim[i] + 1);

		if (!at)
			return onx_nomem(e, 8.0 * (double)y->dim[i], "the border of an axis");
		if (x->dim[i] == 0 && y->dim[i] != 0)
			return onx_fail(e, ONX_SHAPE, "axis %d is empty, nothing to fill the border with", i);
		for (int64_t k = 0; k < y->dim[i]; k++)
			at[k] = pad_source(mode, k - before[i], x->dim[i]) * from[i];
		map->dim[i] = y->dim[i];
		map->at[i] = at;
	}
	return ONX_OK;
}

/* The box that x and y share. */
static void pad_walk(const struct onx_shape *x, const struct onx_shape *y, const int64_t *before, size_t n,
		     struct onx_move *m)
{
	int64_t from[ONX_RANK], to[ONX_RANK];
	bool empty = n == 0;

	onx_strides(x->rank, x->dim, from);
	onx_strides(y->rank, y->dim, to);
	for (int i = 0; i < x->rank && !empty; i++) {
		const int64_t lo = before[i] > 0 ? before[i] : 0;
		const int64_t end = x->dim[i] + before[i], hi = end < y->dim[i] ? end : y->dim[i];

		m->zero = m->zero || hi - lo != x->dim[i];
		empty = hi <= lo;
		if (empty)
			break;
		m->w[0].to0 += lo * to[i];
		m->w[0].from0 += (lo - before[i]) * from[i];
		onx_walk_dim(&m->w[0], hi - lo, to[i], from[i]);
	}
	if (empty) {
		m->w[0] = (struct onx_walk){ .rank = 1, .dim = { 0 }, .to = { 1 }, .from = { 1 } };
		m->zero = true;
	}
}

/* before and after by axis; y's shape. */
static int pad_amounts(struct onx_infer *s, const struct pad *a, int64_t *before, struct onx_shape *y,
		       struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_ints pads, axes = { 0 };
	int rc = onx_in_list(s, 1, &a->pads, &pads, e);

	if (rc == ONX_OK)
		rc = onx_in_list(s, 3, NULL, &axes, e);
	if (rc < 0)
		return rc;
	const size_t n = onx_has_in(s, 3) ? axes.n : (size_t)x->rank;
	if (pads.n != 2 * n)
		return onx_fail(e, ONX_SHAPE, "%zu pads for %zu axes, wanted %zu", pads.n, n, 2 * n);
	*y = *x;
	for (int i = 0; i < x->rank; i++)
		before[i] = 0;
	bool seen[ONX_RANK] = { false };
	for (size_t i = 0; i < n; i++) {
		int axis;

		rc = onx_axis(onx_has_in(s, 3) ? axes.v[i] : (int64_t)i, x->rank, &axis, e);
		if (rc < 0)
			return rc;
		if (seen[axis])
			return onx_fail(e, ONX_SHAPE, "axis %d is given twice", axis);
		seen[axis] = true;
		before[axis] = pads.v[i];
		if (pads.v[i] < -x->dim[axis] || pads.v[i] > INT64_MAX / 4 ||
		    __builtin_add_overflow(x->dim[axis] + pads.v[i], pads.v[i + n], &y->dim[axis]) ||
		    y->dim[axis] < 0)
			return onx_fail(e, ONX_SHAPE, "axis %d of %" PRId64 " cannot be padded by %" PRId64
					" and %" PRId64, axis, x->dim[axis], pads.v[i], pads.v[i + n]);
	}
	return ONX_OK;
}

static int pad_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct pad *a = attr;
	int64_t before[ONX_RANK];
	struct onx_shape y;
	struct onx_move *m;
	size_t n;
	int rc = pad_amounts(s, a, before, &y, e);

	if (rc == ONX_OK && onx_has_in(s, 2))
		rc = onx_want_same_type(s, 0, 2, e);
	if (rc == ONX_OK && onx_has_in(s, 2) && onx_span(s->in[2].shape.dim, 0, s->in[2].shape.rank) != 1)
		rc = onx_fail(e, ONX_SHAPE, "the constant of the border is not a single element");
	if (rc == ONX_OK)
		rc = onx_move_to(s, &y, &n, &m, e);
	if (rc < 0)
		return rc;
	struct pad_geo *g = ONX_NEW(s->mem, struct pad_geo);
	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of a border");
	g->constant = a->mode == PAD_CONSTANT || n == 0;
	memcpy(g->before, before, sizeof before);
	if (g->constant)
		pad_walk(&s->in[0].shape, &y, before, n, m);
	else
		rc = pad_map(s, (enum pad_mode)a->mode, &y, before, &g->map, e);
	g->move = *m;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return rc;
}

/* A border of an integer type takes the attribute's whole part, strings "" (no version has both an
 * attribute and other types than float; newer ones give the value as input 2). */
static void pad_forward(const struct onx_call *c)
{
	static const char *const empty = "";
	const struct pad *a = c->attr;
	const struct pad_geo *g = c->geo;
	const real value = (real)a->value;
	const void *fill = onx_dtype_real(c->x[0].type) ? &value : NULL;

	if (!g->constant) {
		onx_remap_copy(&g->map, c->y[0].v, c->x[0].v, NULL, c->y[0].width, c->pool);
		return;
	}
	if (c->x[0].type == ONX_STRING)
		fill = &empty;
	if (c->n_x > 2 && c->x[2].v)
		fill = c->x[2].v;
	onx_fill(c->y[0].v, c->y[0].n, fill, c->y[0].width);
	onx_walk_copy(&g->move.w[0], c->y[0].v, c->x[0].v, c->y[0].width, c->pool);
}

/* The constant of the border: the sum of dy where x does not reach, in double. */
static void border_back(const struct onx_call *c, const struct onx_view *d)
{
	const struct pad_geo *g = c->geo;
	const struct onx_view *dy = &c->dy[0];
	double sum = 0;

	for (size_t i = 0; g->constant && i < dy->n; i++) {
		size_t rest = i;
		bool inside = true;

		for (int k = dy->rank - 1; k >= 0 && inside; k--) {
			const int64_t at = (int64_t)(rest % (size_t)dy->dim[k]) - g->before[k];
			rest /= (size_t)dy->dim[k];
			inside = at >= 0 && at < c->x[0].dim[k];
		}
		sum += inside ? 0 : ((const real *)dy->v)[i];
	}
	onx_put(d->v, d->add, (real)sum);
}

static void pad_backward(const struct onx_call *c)
{
	const struct pad_geo *g = c->geo;
	const struct onx_view *dx = &c->dx[0];

	if (c->n_x > 2 && c->dx[2].v)
		border_back(c, &c->dx[2]);

	if (!dx->v)
		return;
	if (!dx->add && (!g->constant || g->move.zero))
		onx_fill(dx->v, dx->n, NULL, sizeof(real));
	if (g->constant)
		onx_walk_back(&g->move.w[0], dx->v, c->dy[0].v, dx->add, c->pool);
	else
		onx_remap_back(&g->map, dx->v, c->dy[0].v, c->pool);
}

/* ---- CenterCropPad: the same border or cut on both sides of an axis, an odd element less in front ---- */

static const struct onx_field center_field[] = {
	{ "axes", F_INTS, offsetof(struct pad, pads), .def = "", .help = "axes that the sizes are for; none: all" },
	{ .name = NULL }
};
static const struct onx_table center_attr = { "CenterCropPad", sizeof(struct pad), center_field,
	.given = offsetof(struct pad, given) };

static int center_sizes(struct onx_infer *s, const struct pad *a, int64_t *before, struct onx_shape *y,
			struct onx_err *e)
{
	const int64_t *size;
	size_t n;
	int rc = onx_in_ints(s, 1, &size, &n, e);

	*y = s->in[0].shape;
	for (int i = 0; i < y->rank; i++)
		before[i] = 0;
	const bool all = !onx_given(&center_attr, a, "axes");
	if (rc == ONX_OK && n != (all ? (size_t)y->rank : a->pads.n))
		rc = onx_fail(e, ONX_SHAPE, "%zu sizes for %zu axes", n, all ? (size_t)y->rank : a->pads.n);
	for (size_t i = 0; rc == ONX_OK && i < n; i++) {
		int axis;

		rc = onx_axis(all ? (int64_t)i : a->pads.v[i], y->rank, &axis, e);
		if (rc == ONX_OK && size[i] < 0)
			rc = onx_fail(e, ONX_SHAPE, "axis %d shall have %" PRId64 " elements", axis, size[i]);
		if (rc < 0)
			return rc;
		const int64_t have = s->in[0].shape.dim[axis];
		y->dim[axis] = size[i];
		before[axis] = size[i] < have ? -((have - size[i]) / 2) : (size[i] - have) / 2;
	}
	return rc;
}

static int center_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct pad_geo *g = ONX_NEW(s->mem, struct pad_geo);
	int64_t before[ONX_RANK];
	struct onx_shape y;
	struct onx_move *m;
	size_t n;
	int rc = center_sizes(s, attr, before, &y, e);

	if (rc == ONX_OK)
		rc = g ? onx_move_to(s, &y, &n, &m, e) : onx_nomem(e, sizeof *g, "CenterCropPad");
	if (rc < 0)
		return rc;
	pad_walk(&s->in[0].shape, &y, before, n, m);
	g->constant = true;
	g->move = *m;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

const struct onx_op ONX_R(onx_ops_pad)[] = {
	{ .domain = "", .type = "CenterCropPad", .since = 18, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &center_attr, .infer = center_infer,
	  .forward = pad_forward, .backward = pad_backward },
	{ .domain = "", .type = "Pad", .since = 2, .min_in = 1, .max_in = 4, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 4, .attr = &pad_attr,
	  .infer = pad_infer,
	  .forward = pad_forward, .backward = pad_backward },
	{ .type = NULL }
};
