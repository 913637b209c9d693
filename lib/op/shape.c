/* op/shape.c -- operators that make or look at shapes, and those that only give one another name.
 *
 * Views (Identity, Reshape, Flatten, Squeeze, Unsqueeze) copy only where the plan could not let y share
 * the bytes of x. */
#include "op/infer.h"
#include "op/walk.h"
#include <inttypes.h>
#include <string.h>

static void view_forward(const struct onx_call *c)
{
	if (c->y[0].v != c->x[0].v && c->y[0].n > 0)
		memcpy(c->y[0].v, c->x[0].v, c->y[0].n * c->y[0].width);
}

static void view_backward(const struct onx_call *c)
{
	const struct onx_view *dx = &c->dx[0];
	const real *dy = c->dy[0].v;
	real *d = dx->v;

	if (!d || d == dy)
		return;
	for (size_t i = 0; i < dx->n; i++)
		onx_put(&d[i], dx->add, dy[i]);
}

/* ---- Reshape: 0 copies a dim (unless allowzero), one -1 takes the rest ---- */

struct reshape { bool allowzero; uint64_t given; };
static const struct onx_field reshape_field[] = {
	{ "allowzero", F_BOOL, offsetof(struct reshape, allowzero), .def = "0",
	  .help = "a 0 in the shape means an empty axis, not the input's" },
	{ .name = NULL }
};
static const struct onx_table reshape_attr = { "Reshape", sizeof(struct reshape), reshape_field,
	.given = offsetof(struct reshape, given) };

static int reshape_misfit(const struct onx_shape *x, int n, const int64_t *v, struct onx_err *e)
{
	char have[ONX_SHAPE_TEXT], want[ONX_SHAPE_TEXT];

	return onx_fail(e, ONX_SHAPE, "cannot give %s the shape %s",
			onx_shape_text(x->rank, x->dim, have, sizeof have),
			onx_shape_text(n, v, want, sizeof want));
}

static int reshape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const bool allowzero = ((const struct reshape *)attr)->allowzero;
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = { .rank = 0 };
	const int64_t *v;
	size_t n, have, rest = 1;
	int open = -1, rc = onx_in_ints(s, 1, &v, &n, e);

	if (rc == ONX_OK)
		rc = onx_count(x->rank, x->dim, &have, e);
	if (rc < 0)
		return rc;
	if (n > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a shape of %zu dimensions, at most %d are supported", n, ONX_RANK);
	y.rank = (int)n;
	for (int i = 0; i < y.rank; i++) {
		y.dim[i] = v[i];
		if (v[i] == 0 && !allowzero) {
			if (i >= x->rank)
				return reshape_misfit(x, y.rank, v, e);
			y.dim[i] = x->dim[i];
		}
		if (v[i] < -1 || (v[i] == -1 && open >= 0))
			return reshape_misfit(x, y.rank, v, e);
		if (v[i] == -1) {
			open = i;
			y.dim[i] = 1;
		}
	}
	rc = onx_count(y.rank, y.dim, &rest, e);
	if (rc < 0)
		return rc;
	if (open >= 0) {
		if (rest == 0 ? have != 0 : have % rest != 0)
			return reshape_misfit(x, y.rank, v, e);
		y.dim[open] = rest ? (int64_t)(have / rest) : 0;
	} else if (rest != have) {
		return reshape_misfit(x, y.rank, v, e);
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* ---- Flatten: to a matrix, cut before `axis` ---- */

struct axis { int64_t axis; uint64_t given; };
static const struct onx_field flatten_field[] = {
	{ "axis", F_INT, offsetof(struct axis, axis), .def = "1", .help = "first axis of the columns" },
	{ .name = NULL }
};
static const struct onx_table flatten_attr = { "Flatten", sizeof(struct axis), flatten_field,
	.given = offsetof(struct axis, given) };

static int flatten_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	int64_t axis = ((const struct axis *)attr)->axis;

	if (axis < -x->rank || axis > x->rank)
		return onx_fail(e, ONX_SHAPE, "axis %" PRId64 " of a tensor of rank %d", axis, x->rank);
	axis += axis < 0 ? x->rank : 0;
	const struct onx_shape y = { .rank = 2, .dim = { onx_span(x->dim, 0, (int)axis),
							onx_span(x->dim, (int)axis, x->rank) } };
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* ---- Squeeze, Unsqueeze: axes as attribute, from 13 on as input ---- */

struct axes { struct onx_ints axes; uint64_t given; };
static const struct onx_field axes_field[] = {
	{ "axes", F_INTS, offsetof(struct axes, axes), .def = "", .help = "axes to remove or to add" },
	{ .name = NULL }
};
static const struct onx_table squeeze_attr = { "Squeeze", sizeof(struct axes), axes_field,
	.given = offsetof(struct axes, given) };
static const struct onx_table unsqueeze_attr = { "Unsqueeze", sizeof(struct axes), axes_field,
	.given = offsetof(struct axes, given) };

static int squeeze_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct axes *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = { .rank = 0 };
	int axes[ONX_RANK], n, rc = onx_axes_arg(s, &a->axes, 1, x->rank, axes, &n, e);
	const bool all = n == 0 && !onx_has_in(s, 1);

	if (rc < 0)
		return rc;
	for (int i = 0, k = 0; i < x->rank; i++) {
		const bool named = k < n && axes[k] == i;

		k += named;
		if (named && x->dim[i] != 1)
			return onx_fail(e, ONX_SHAPE, "axis %d has %" PRId64 " elements, only an axis of 1 can "
					"be removed", i, x->dim[i]);
		if (!named && !(all && x->dim[i] == 1))
			y.dim[y.rank++] = x->dim[i];
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static int unsqueeze_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct axes *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const int64_t *v;
	size_t more = a->axes.n;
	int axes[ONX_RANK], n, rc = ONX_OK;

	if (onx_has_in(s, 1))
		rc = onx_in_ints(s, 1, &v, &more, e);
	if (rc == ONX_OK && more > (size_t)(ONX_RANK - x->rank))
		return onx_fail(e, ONX_UNSUP, "%zu more axes than %d, at most %d are supported", more, x->rank,
				ONX_RANK);
	struct onx_shape y = { .rank = x->rank + (int)more };
	if (rc == ONX_OK)
		rc = onx_axes_arg(s, &a->axes, 1, y.rank, axes, &n, e);
	if (rc < 0)
		return rc;
	for (int i = 0, k = 0; i < y.rank; i++)
		y.dim[i] = k < n && axes[k] == i ? (k++, 1) : x->dim[i - k];
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* ---- Shape, Size ---- */

struct ends { int64_t start, end; uint64_t given; };
static const struct onx_field shape_field[] = {
	{ "start", F_INT, offsetof(struct ends, start), .def = "0", .help = "first axis" },
	{ "end", F_INT, offsetof(struct ends, end), .def = "0", .help = "one past the last axis; default: all" },
	{ .name = NULL }
};
static const struct onx_table shape_attr = { "Shape", sizeof(struct ends), shape_field,
	.given = offsetof(struct ends, given) };

/* Output 0 = n whole numbers that are known now, whether or not the input's numbers are. */
static int give_ints(struct onx_infer *s, const int64_t *v, int rank, int64_t n, struct onx_err *e)
{
	struct onx_shape y = { .rank = rank, .dim = { n } };
	struct onx_view *value = ONX_NEW(s->mem, struct onx_view);
	int64_t *copy = ONX_NEWS(s->mem, int64_t, ONX_RANK), *dim = ONX_NEW(s->mem, int64_t);

	if (!value || !copy || !dim)
		return onx_nomem(e, ONX_RANK * sizeof *copy, "a shape");
	*dim = n;
	for (int64_t i = 0; i < n; i++)
		copy[i] = v[i];
	*value = (struct onx_view){ .v = copy, .n = (size_t)n, .rank = rank, .dim = dim, .type = ONX_INT64,
				    .width = 8 };
	onx_set_out(s, 0, ONX_INT64, &y);
	s->out[0].value = value;
	return ONX_OK;
}

static int64_t clamp_axis(int64_t v, int rank)
{
	v += v < 0 ? rank : 0;
	return v < 0 ? 0 : v > rank ? rank : v;
}

static int shape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct ends *a = attr;
	const int rank = s->in[0].shape.rank;
	int64_t *from = ONX_NEW(s->mem, int64_t);

	if (!from)
		return onx_nomem(e, 8, "first axis of a shape");
	*from = clamp_axis(a->start, rank);
	const int64_t end = onx_given(&shape_attr, a, "end") ? clamp_axis(a->end, rank) : rank;
	s->geo = from;
	return give_ints(s, s->in[0].shape.dim + *from, 1, end > *from ? end - *from : 0, e);
}

static void shape_forward(const struct onx_call *c)
{
	const int64_t from = *(const int64_t *)c->geo;

	for (size_t i = 0; i < c->y[0].n; i++)
		((int64_t *)c->y[0].v)[i] = c->x[0].dim[from + (int64_t)i];
}

static int size_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int64_t n = onx_span(s->in[0].shape.dim, 0, s->in[0].shape.rank);

	(void)attr;
	return give_ints(s, &n, 0, 1, e);
}

static void size_forward(const struct onx_call *c)
{
	*(int64_t *)c->y[0].v = (int64_t)c->x[0].n;
}

/* ---- NonZero: shape depends on the numbers, so they must be known ---- */

static bool not_zero(const struct onx_view *x, size_t i)
{
	if (x->type == ONX_STRING)
		return ((const char *const *)x->v)[i][0] != 0;
	if (x->type == ONX_COMPLEX64)
		return ((const float *)x->v)[2 * i] != 0 || ((const float *)x->v)[2 * i + 1] != 0;
	if (x->type == ONX_COMPLEX128)
		return ((const double *)x->v)[2 * i] != 0 || ((const double *)x->v)[2 * i + 1] != 0;
	return onx_dtype_real(x->type) ? onx_view_real(x, i) != 0 : onx_view_int(x, i) != 0;
}

static int nonzero_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x = s->in[0].value;
	int64_t n = 0;

	(void)attr;
	if (!x)
		return onx_fail(e, ONX_UNSUP, "input 0 is computed while running, and the shape of the result "
				"depends on it");
	for (size_t i = 0; i < x->n; i++)
		n += not_zero(x, i);
	const struct onx_shape y = { .rank = 2, .dim = { s->in[0].shape.rank, n } };
	onx_set_out(s, 0, ONX_INT64, &y);
	return ONX_OK;
}

static void nonzero_forward(const struct onx_call *c)
{
	const struct onx_view *x = &c->x[0];
	const size_t n = (size_t)c->y[0].dim[1];
	int64_t *y = c->y[0].v;
	size_t k = 0;

	for (size_t i = 0; i < x->n && k < n; i++) {
		size_t rest = i;

		if (!not_zero(x, i))
			continue;
		for (int d = x->rank - 1; d >= 0; d--) {
			y[(size_t)d * n + k] = (int64_t)(rest % (size_t)x->dim[d]);
			rest /= (size_t)x->dim[d];
		}
		k++;
	}
}

#define VIEW(name, version, ins, table, rule)                                               \
	{ .domain = "", .type = name, .since = version, .min_in = 1, .max_in = ins,           \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,       \
	  .alias = 1, .flags = ONX_OP_VIEW, .attr = table, .infer = rule,                     \
	  .forward = view_forward, .backward = view_backward }
#define LOOK(name, version, table, rule, run)                                               \
	{ .domain = "", .type = name, .since = version, .min_in = 1, .max_in = 1,             \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = table,     \
	  .infer = rule, .forward = run }
const struct onx_op ONX_R(onx_ops_shape)[] = {
	{ .domain = "", .type = "Identity", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .alias = 1, .flags = ONX_OP_VIEW | ONX_OP_ANYTHING,
	  .infer = onx_infer_same_any, .forward = view_forward, .backward = view_backward },
	{ .domain = "", .type = "Reshape", .since = 5, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .alias = 1, .flags = ONX_OP_VIEW,
	  .attr = &reshape_attr, .infer = reshape_infer, .forward = view_forward, .backward = view_backward },
	VIEW("Flatten", 1, 1, &flatten_attr, flatten_infer),
	VIEW("Squeeze", 1, 2, &squeeze_attr, squeeze_infer),
	VIEW("Unsqueeze", 1, 2, &unsqueeze_attr, unsqueeze_infer),
	LOOK("Shape", 1, &shape_attr, shape_infer, shape_forward),
	LOOK("Size", 1, NULL, size_infer, size_forward),
	LOOK("NonZero", 9, NULL, nonzero_infer, nonzero_forward),
	{ .type = NULL }
};
