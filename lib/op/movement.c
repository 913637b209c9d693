/* op/movement.c -- operators whose result is their input in another order: every one leaves walks
 * (op/walk.h) in geo, and one forward and one backward serve them all. */
#include "op/move.h"
#include <inttypes.h>

/* ---- Transpose: y[i_perm] = x[i] ---- */

struct transpose { struct onx_ints perm; uint64_t given; };
static const struct onx_field transpose_field[] = {
	{ "perm", F_INTS, offsetof(struct transpose, perm), .def = "",
	  .help = "order of the axes; default: reversed" },
	{ .name = NULL }
};
static const struct onx_table transpose_attr = { "Transpose", sizeof(struct transpose), transpose_field,
	.given = offsetof(struct transpose, given) };

static int transpose_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct transpose *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	int64_t from[ONX_RANK], to[ONX_RANK];
	bool seen[ONX_RANK] = { false };
	struct onx_shape y = { .rank = x->rank };
	int perm[ONX_RANK];
	struct onx_move *m;

	if (a->perm.n != 0 && a->perm.n != (size_t)x->rank)
		return onx_fail(e, ONX_SHAPE, "perm has %zu entries for a tensor of rank %d", a->perm.n, x->rank);
	for (int i = 0; i < x->rank; i++) {
		const int64_t p = a->perm.n ? a->perm.v[i] : x->rank - 1 - i;

		if (p < 0 || p >= x->rank || seen[p])
			return onx_fail(e, ONX_SHAPE, "perm is not an order of the axes 0..%d", x->rank - 1);
		seen[p] = true;
		perm[i] = (int)p;
		y.dim[i] = x->dim[p];
	}
	int rc = onx_move_new(s, 1, &m, e);
	if (rc < 0)
		return rc;
	onx_strides(x->rank, x->dim, from);
	onx_strides(y.rank, y.dim, to);
	for (int i = 0; i < y.rank; i++)
		onx_walk_dim(&m->w[0], y.dim[i], to[i], from[perm[i]]);
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* ---- Concat ---- */

struct axis { int64_t axis; uint64_t given; };
static const struct onx_field concat_field[] = {
	{ "axis", F_INT, offsetof(struct axis, axis), .def = "1", .help = "axis along which the inputs follow "
	  "one another" },
	{ .name = NULL }
};
static const struct onx_table concat_attr = { "Concat", sizeof(struct axis), concat_field,
	.given = offsetof(struct axis, given) };

static int concat_fit(const struct onx_infer *s, int i, int axis, struct onx_shape *y, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape;
	char text[ONX_SHAPE_TEXT], first[ONX_SHAPE_TEXT];
	int rc = onx_want_same_type(s, 0, i, e);
	bool fits = x->rank == y->rank;

	if (rc < 0)
		return rc;
	for (int k = 0; fits && k < x->rank; k++)
		fits = k == axis || x->dim[k] == y->dim[k];
	if (!fits)
		return onx_fail(e, ONX_SHAPE, "cannot join %s to %s along axis %d",
				onx_shape_text(x->rank, x->dim, text, sizeof text),
				onx_shape_text(y->rank, s->in[0].shape.dim, first, sizeof first), axis);
	if (__builtin_add_overflow(y->dim[axis], x->dim[axis], &y->dim[axis]))
		return onx_fail(e, ONX_SHAPE, "joined inputs are too long");
	return ONX_OK;
}

static int concat_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct axis *a = attr;
	struct onx_shape y = s->in[0].shape;
	struct onx_move *m;
	int axis, rc;
	int64_t at = 0;

	if (s->version >= 4 && !onx_given(&concat_attr, a, "axis"))
		return onx_fail(e, ONX_SHAPE, "attribute 'axis' is missing");
	rc = onx_axis(a->axis, y.rank, &axis, e);
	for (int i = 1; rc == ONX_OK && i < s->n_in; i++)
		rc = concat_fit(s, i, axis, &y, e);
	if (rc == ONX_OK)
		rc = onx_move_new(s, s->n_in, &m, e);
	size_t n;
	if (rc == ONX_OK)
		rc = onx_count(y.rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	const int64_t inner = onx_span(y.dim, axis + 1, y.rank), outer = onx_span(y.dim, 0, axis);
	for (int i = 0; i < s->n_in; i++) {
		const int64_t d = s->in[i].shape.dim[axis];

		m->w[i].to0 = at * inner;
		onx_walk_dim(&m->w[i], outer, y.dim[axis] * inner, d * inner);
		onx_walk_dim(&m->w[i], d * inner, 1, 1);
		at += d;
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static void concat_forward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;

	for (int i = 0; i < c->n_x; i++)
		onx_walk_copy(&m->w[i], c->y[0].v, c->x[i].v, c->y[0].width, c->pool);
}

static void concat_backward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;

	for (int i = 0; i < c->n_x; i++)
		if (c->dx[i].v)
			onx_walk_back(&m->w[i], c->dx[i].v, c->dy[0].v, c->dx[i].add, c->pool);
}

/* ---- Split ---- */

struct split { int64_t axis, num_outputs; struct onx_ints split; uint64_t given; };
static const struct onx_field split_field[] = {
	{ "axis", F_INT, offsetof(struct split, axis), .def = "0", .help = "axis that is cut" },
	{ "split", F_INTS, offsetof(struct split, split), .def = "", .help = "lengths of the parts" },
	{ "num_outputs", F_INT, offsetof(struct split, num_outputs), .def = "0",
	  .help = "number of equal parts, the last one shorter" },
	{ .name = NULL }
};
static const struct onx_table split_attr = { "Split", sizeof(struct split), split_field,
	.given = offsetof(struct split, given) };

/* The lengths of the parts of an axis of d elements.  Equal parts: ceil(d/n), the last takes the rest
 * (Split-18); before 18 d must be a multiple. */
static int split_sizes(struct onx_infer *s, const struct split *a, int64_t d, int64_t *size,
		       struct onx_err *e)
{
	const int64_t *v = a->split.v;
	size_t n = a->split.n;
	int64_t sum = 0;

	if (onx_has_in(s, 1)) {
		int rc = onx_in_ints(s, 1, &v, &n, e);
		if (rc < 0)
			return rc;
	} else if (n == 0) {
		const int64_t part = (d + s->n_out - 1) / s->n_out, last = d - part * (s->n_out - 1);

		if ((a->num_outputs != 0 && a->num_outputs != s->n_out) || last < 0 ||
		    (s->version < 18 && last != part))
			return onx_fail(e, ONX_SHAPE, "cannot cut %" PRId64 " elements into %d equal parts "
					"(num_outputs %" PRId64 ")", d, s->n_out, a->num_outputs);
		for (int i = 0; i < s->n_out; i++)
			size[i] = i + 1 < s->n_out ? part : last;
		return ONX_OK;
	}
	if (n != (size_t)s->n_out)
		return onx_fail(e, ONX_SHAPE, "%zu lengths for %d outputs", n, s->n_out);
	for (size_t i = 0; i < n; i++) {
		if (v[i] < 0 || v[i] > d - sum)
			return onx_fail(e, ONX_SHAPE, "part %zu of length %" PRId64 " does not fit into an axis of %"
					PRId64, i, v[i], d);
		sum += size[i] = v[i];
	}
	if (sum != d)
		return onx_fail(e, ONX_SHAPE, "the parts have %" PRId64 " elements, the axis has %" PRId64,
				sum, d);
	return ONX_OK;
}

static int split_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct split *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	int64_t size[ONX_MANY], at = 0;
	struct onx_move *m;
	int axis, rc = onx_axis(a->axis, x->rank, &axis, e);

	if (rc == ONX_OK && (s->n_out < 1 || s->n_out > ONX_MANY))
		return onx_fail(e, ONX_UNSUP, "%d outputs, wanted 1..%d", s->n_out, ONX_MANY);
	if (rc == ONX_OK)
		rc = split_sizes(s, a, x->dim[axis], size, e);
	if (rc == ONX_OK)
		rc = onx_move_new(s, s->n_out, &m, e);
	if (rc < 0)
		return rc;
	const int64_t inner = onx_span(x->dim, axis + 1, x->rank), outer = onx_span(x->dim, 0, axis);
	for (int i = 0; i < s->n_out; i++) {
		struct onx_shape y = *x;

		y.dim[axis] = size[i];
		onx_set_out(s, i, s->in[0].type, &y);
		m->w[i].from0 = at * inner;
		onx_walk_dim(&m->w[i], outer, size[i] * inner, x->dim[axis] * inner);
		onx_walk_dim(&m->w[i], size[i] * inner, 1, 1);
		at += size[i];
	}
	return ONX_OK;
}

static void split_forward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;

	for (int i = 0; i < c->n_y; i++)
		if (c->y[i].v)
			onx_walk_copy(&m->w[i], c->y[i].v, c->x[0].v, c->x[0].width, c->pool);
}

/* Parts without a gradient leave zeros. */
static void split_backward(const struct onx_call *c)
{
	const struct onx_move *m = c->geo;
	bool add = c->dx[0].add;

	if (!c->dx[0].v)
		return;
	for (int i = 0; !add && i < c->n_y; i++)
		if (!c->dy[i].v) {
			onx_fill(c->dx[0].v, c->dx[0].n, NULL, sizeof(real));
			add = true;
		}
	for (int i = 0; i < c->n_y; i++)
		if (c->dy[i].v)
			onx_walk_back(&m->w[i], c->dx[0].v, c->dy[i].v, add, c->pool);
}

/* ---- Expand ---- */

static int expand_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape want = { .rank = 0 }, y;
	int64_t to[ONX_RANK], from[ONX_RANK];
	const int64_t *v;
	struct onx_move *m;
	size_t n, count;
	int rc = onx_in_ints(s, 1, &v, &n, e);

	(void)attr;
	if (rc < 0)
		return rc;
	if (n > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a shape of %zu dimensions, at most %d are supported", n, ONX_RANK);
	want.rank = (int)n;
	for (size_t i = 0; i < n; i++)
		want.dim[i] = v[i];
	rc = onx_count(want.rank, want.dim, &count, e);
	if (rc == ONX_OK)
		rc = onx_broadcast(x, &want, &y, e);
	if (rc == ONX_OK)
		rc = onx_move_to(s, &y, &count, &m, e);
	if (rc < 0)
		return rc;
	onx_strides(x->rank, x->dim, from);
	onx_strides(y.rank, y.dim, to);
	for (int i = 0; i < y.rank; i++) {
		const int k = i - (y.rank - x->rank);

		onx_walk_dim(&m->w[0], y.dim[i], to[i], k < 0 || x->dim[k] == 1 ? 0 : from[k]);
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* ---- Tile ---- */

static int tile_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = { .rank = x->rank };
	int64_t to[ONX_RANK], from[ONX_RANK];
	const int64_t *v;
	struct onx_move *m;
	size_t n, count;
	int rc = onx_in_ints(s, 1, &v, &n, e);

	(void)attr;
	if (rc < 0)
		return rc;
	if (n != (size_t)x->rank)
		return onx_fail(e, ONX_SHAPE, "%zu repeats for a tensor of rank %d", n, x->rank);
	for (int i = 0; i < x->rank; i++)
		if (v[i] < 0 || __builtin_mul_overflow(v[i], x->dim[i], &y.dim[i]))
			return onx_fail(e, ONX_SHAPE, "axis %d of %" PRId64 " cannot be repeated %" PRId64 " times", i,
					x->dim[i], v[i]);
	rc = onx_move_to(s, &y, &count, &m, e);
	if (rc < 0)
		return rc;
	onx_strides(x->rank, x->dim, from);
	onx_strides(y.rank, y.dim, to);
	for (int i = 0; i < x->rank && count > 0; i++) {
		onx_walk_dim(&m->w[0], v[i], to[i] * x->dim[i], 0);
		onx_walk_dim(&m->w[0], x->dim[i], to[i], from[i]);
	}
	if (count == 0) {
		onx_walk_dim(&m->w[0], 0, 1, 1);
		m->zero = true;
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

#define MOVE(name, version, ins, table, rule, flags_)                                               \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins,         \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,       \
	  .flags = flags_, .attr = table, .infer = rule, .forward = onx_move_forward,         \
	  .backward = onx_move_backward }
const struct onx_op ONX_R(onx_ops_movement)[] = {
	MOVE("Transpose", 1, 1, &transpose_attr, transpose_infer, ONX_OP_APART),
	MOVE("Expand", 8, 2, NULL, expand_infer, 0),
	MOVE("Tile", 6, 2, NULL, tile_infer, 0),
	{ .domain = "", .type = "Concat", .since = 1, .min_in = 1, .max_in = ONX_MANY, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .flags = ONX_OP_APART, .attr = &concat_attr,
	  .infer = concat_infer,
	  .forward = concat_forward, .backward = concat_backward },
	{ .domain = "", .type = "Split", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1,
	  .max_out = ONX_MANY, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &split_attr,
	  .infer = split_infer, .forward = split_forward, .backward = split_backward },
	{ .type = NULL }
};
