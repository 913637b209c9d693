/* op/constant.c -- operators that make numbers out of attributes and shapes: Constant, ConstantOfShape,
 * Range, EyeLike. */
#include "op/infer.h"
#include "op/walk.h"
#include <inttypes.h>
#include <string.h>

/* ---- Constant: usually taken out of the graph when it is built; the row makes it an operator like any
 * other where it is not ---- */

struct constant {
	const struct onx_view *value;
	double value_float;
	int64_t value_int;
	const char *value_string;
	struct onx_ints value_ints;
	struct onx_reals value_floats;
	struct onx_strs value_strings;
	uint64_t given;
};
static const struct onx_field constant_field[] = {
	{ "value", F_TENSOR, offsetof(struct constant, value), .def = "", .help = "a tensor" },
	{ "value_float", F_REAL, offsetof(struct constant, value_float), .def = "0", .help = "a float scalar" },
	{ "value_int", F_INT, offsetof(struct constant, value_int), .def = "0", .help = "an int64 scalar" },
	{ "value_string", F_STR, offsetof(struct constant, value_string), .def = "", .help = "a string scalar" },
	{ "value_ints", F_INTS, offsetof(struct constant, value_ints), .def = "", .help = "a list of int64" },
	{ "value_floats", F_REALS, offsetof(struct constant, value_floats), .def = "",
	  .help = "a list of float" },
	{ "value_strings", F_STRS, offsetof(struct constant, value_strings), .def = "",
	  .help = "a list of strings" },
	{ .name = NULL }
};
static const struct onx_table constant_attr = { "Constant", sizeof(struct constant), constant_field,
	.given = offsetof(struct constant, given) };

/* A view with memory and dims of its own in s->mem; real numbers in double. */
static struct onx_view *new_value(struct onx_infer *s, enum onx_dtype type, int rank, const int64_t *dim,
				  size_t n)
{
	struct onx_view *v = ONX_NEW(s->mem, struct onx_view);
	int64_t *d = ONX_NEWS(s->mem, int64_t, ONX_RANK);
	const size_t width = onx_dtype_store(type, true);
	void *numbers = onx_alloc(s->mem, n + 1, width);

	if (!v || !d || !numbers)
		return NULL;
	for (int i = 0; i < rank; i++)
		d[i] = dim[i];
	*v = (struct onx_view){ .v = numbers, .n = n, .rank = rank, .dim = d, .type = type,
				.width = (uint8_t)width };
	return v;
}

static int check_rank(const struct onx_view *v, struct onx_err *e)
{
	return v->rank <= ONX_RANK ? ONX_OK
	       : onx_fail(e, ONX_UNSUP, "a tensor of %d dimensions, at most %d are supported", v->rank, ONX_RANK);
}

/* The list or scalar that one of the value_* attributes gives; NULL: memory. */
static struct onx_view *from_lists(struct onx_infer *s, const struct constant *a)
{
	const struct onx_table *t = &constant_attr;
	const bool is_float = onx_given(t, a, "value_float"), is_int = onx_given(t, a, "value_int");
	const bool is_text = onx_given(t, a, "value_string");
	const bool scalar = is_float || is_int || is_text, ints = onx_given(t, a, "value_ints");
	const bool floats = onx_given(t, a, "value_floats");
	const enum onx_dtype type = is_float || floats ? ONX_FLOAT : is_int || ints ? ONX_INT64 : ONX_STRING;
	const size_t n = scalar ? 1 : ints ? a->value_ints.n : floats ? a->value_floats.n : a->value_strings.n;
	const int64_t dim = (int64_t)n;
	struct onx_view *v = new_value(s, type, scalar ? 0 : 1, &dim, n);

	for (size_t i = 0; v && i < n; i++)
		if (type == ONX_FLOAT)
			((double *)v->v)[i] = floats ? a->value_floats.v[i] : a->value_float;
		else if (type == ONX_INT64)
			((int64_t *)v->v)[i] = ints ? a->value_ints.v[i] : a->value_int;
		else if (scalar)
			((const char **)v->v)[i] = a->value_string ? a->value_string : "";
		else
			((const char **)v->v)[i] = a->value_strings.v[i];
	return v;
}

static int constant_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct constant *a = attr;
	struct onx_shape y = { .rank = 0 };
	const struct onx_view *v = a->value;
	int rc = ONX_OK;

	if (v) {
		rc = check_rank(v, e);
	} else if (a->given) {
		v = from_lists(s, a);
		if (!v)
			return onx_nomem(e, sizeof *v, "a constant");
	} else {
		return onx_fail(e, ONX_UNSUP, "no value");
	}
	if (rc < 0)
		return rc;
	y.rank = v->rank;
	for (int i = 0; i < y.rank; i++)
		y.dim[i] = v->dim[i];
	s->geo = (void *)(uintptr_t)v;
	onx_set_out(s, 0, v->type, &y);
	return ONX_OK;
}

static void constant_forward(const struct onx_call *c)
{
	const struct onx_view *v = c->geo, *y = &c->y[0];

	if (onx_dtype_real(y->type))
		for (size_t i = 0; i < y->n; i++)
			((real *)y->v)[i] = (real)((const double *)v->v)[i];
	else if (y->n > 0)
		memcpy(y->v, v->v, y->n * y->width);
}

/* ---- ConstantOfShape ---- */

struct of_shape { const struct onx_view *value; uint64_t given; };
static const struct onx_field of_shape_field[] = {
	{ "value", F_TENSOR, offsetof(struct of_shape, value), .def = "",
	  .help = "one element; default: 0 as float" },
	{ .name = NULL }
};
static const struct onx_table of_shape_attr = { "ConstantOfShape", sizeof(struct of_shape), of_shape_field,
	.given = offsetof(struct of_shape, given) };

static int of_shape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct of_shape *a = attr;
	struct onx_shape y = { .rank = 0 };
	const int64_t *dim;
	const struct onx_view *v = a->value;
	size_t n, count;
	int rc = onx_in_ints(s, 0, &dim, &n, e);

	if (rc < 0)
		return rc;
	if (n > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a shape of %zu dimensions, at most %d are supported", n, ONX_RANK);
	if (a->value && a->value->n != 1)
		return onx_fail(e, ONX_SHAPE, "attribute 'value' has %zu elements, wanted 1", a->value->n);
	y.rank = (int)n;
	for (int i = 0; i < y.rank; i++)
		y.dim[i] = dim[i];
	rc = onx_count(y.rank, y.dim, &count, e);
	if (rc == ONX_OK && !v) {
		v = new_value(s, ONX_FLOAT, 0, NULL, 1);
		if (!v)
			return onx_nomem(e, 8, "a constant");
	}
	if (rc < 0)
		return rc;
	s->geo = (void *)(uintptr_t)v;
	onx_set_out(s, 0, v->type, &y);
	return ONX_OK;
}

static void of_shape_forward(const struct onx_call *c)
{
	const struct onx_view *v = c->geo, *y = &c->y[0];

	if (onx_dtype_real(y->type)) {
		const real value = (real)*(const double *)v->v;
		onx_fill(y->v, y->n, &value, sizeof value);
	} else {
		onx_fill(y->v, y->n, v->v, y->width);
	}
}

/* ---- Range: start, start + delta, ... below limit ---- */

struct range { int64_t stash; };
static const struct onx_field range_field[] = {
	{ "stash_type", F_INT, offsetof(struct range, stash), .def = "1",
	  .help = "element type that float16 and bfloat16 are computed in; here it is double" },
	{ .name = NULL }
};
static const struct onx_table range_attr = { "Range", sizeof(struct range), range_field, .check = NULL };

static int range_ints(struct onx_infer *s, int64_t *n, struct onx_err *e)
{
	int64_t v[3], span;

	for (int i = 0; i < 3; i++) {
		const int64_t *x;
		size_t count;
		int rc = onx_in_ints(s, i, &x, &count, e);
		if (rc < 0)
			return rc;
		if (count != 1)
			return onx_fail(e, ONX_SHAPE, "input %d has %zu elements, wanted one number", i, count);
		v[i] = x[0];
	}
	if (v[2] == 0 || v[2] == INT64_MIN || __builtin_sub_overflow(v[1], v[0], &span) || span == INT64_MIN)
		return onx_fail(e, ONX_SHAPE, "a range from %" PRId64 " to %" PRId64 " in steps of %" PRId64,
				v[0], v[1], v[2]);
	const int64_t step = v[2] < 0 ? -v[2] : v[2];
	span = v[2] < 0 ? -span : span;
	*n = span > 0 ? span / step + (span % step != 0) : 0;
	return ONX_OK;
}

static int range_reals(struct onx_infer *s, int64_t *n, struct onx_err *e)
{
	double v[3];

	for (int i = 0; i < 3; i++) {
		int rc = onx_in_real(s, i, &v[i], e);
		if (rc < 0)
			return rc;
	}
	const double steps = ceil((v[1] - v[0]) / v[2]);
	if (!(steps <= 0x1p48) || !(fabs(v[2]) > 0))
		return onx_fail(e, ONX_SHAPE, "a range from %g to %g in steps of %g", v[0], v[1], v[2]);
	*n = steps > 0 ? (int64_t)steps : 0;
	return ONX_OK;
}

static int range_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape y = { .rank = 1 };
	const int64_t stash = ((const struct range *)attr)->stash;
	int rc = onx_want_same_type(s, 0, 1, e);
	size_t count;

	if (stash != ONX_FLOAT && stash != ONX_DOUBLE && stash != ONX_FLOAT16 && stash != ONX_BFLOAT16)
		return onx_fail(e, ONX_UNSUP, "stash_type is %" PRId64, stash);
	if (rc == ONX_OK)
		rc = onx_want_same_type(s, 0, 2, e);
	if (rc == ONX_OK)
		rc = onx_dtype_real(s->in[0].type) ? range_reals(s, &y.dim[0], e) : range_ints(s, &y.dim[0], e);
	if (rc == ONX_OK)
		rc = onx_count(1, y.dim, &count, e);
	if (rc < 0)
		return rc;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static void range_forward(const struct onx_call *c)
{
	const struct onx_view *y = &c->y[0];

	if (onx_dtype_real(y->type)) {
		const double start = onx_view_real(&c->x[0], 0), delta = onx_view_real(&c->x[2], 0);
		for (size_t i = 0; i < y->n; i++)
			((real *)y->v)[i] = (real)(start + (double)i * delta);
		return;
	}
	const int64_t start = onx_view_int(&c->x[0], 0), delta = onx_view_int(&c->x[2], 0);
	for (size_t i = 0; i < y->n; i++)
		onx_view_put_int(y, i, start + (int64_t)i * delta);
}

/* ---- EyeLike: ones on diagonal k ---- */

struct eye { int64_t dtype, k; uint64_t given; };
static const struct onx_field eye_field[] = {
	{ "dtype", F_INT, offsetof(struct eye, dtype), .def = "0", .help = "element type; default: the input's" },
	{ "k", F_INT, offsetof(struct eye, k), .def = "0", .help = "0 main diagonal, above it positive" },
	{ .name = NULL }
};
static const struct onx_table eye_attr = { "EyeLike", sizeof(struct eye), eye_field,
	.given = offsetof(struct eye, given) };

static int eye_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct eye *a = attr;
	enum onx_dtype type = s->in[0].type;
	int rc = onx_want_rank(s, 0, 2, 2, e);

	if (rc < 0)
		return rc;
	if (a->dtype != 0) {
		if (a->dtype < 0 || a->dtype > 1000 || !onx_dtype_known((int)a->dtype))
			return onx_fail(e, ONX_UNSUP, "element type %" PRId64, a->dtype);
		type = (enum onx_dtype)a->dtype;
	}
	if (type == ONX_STRING || onx_dtype_class(type) == ONX_CLASS_CPLX)
		return onx_fail(e, ONX_UNSUP, "no ones in %s", onx_dtype_name(type));
	onx_set_out(s, 0, type, &s->in[0].shape);
	return ONX_OK;
}

static void eye_forward(const struct onx_call *c)
{
	const struct onx_view *y = &c->y[0];
	const int64_t k = ((const struct eye *)c->attr)->k;

	onx_fill(y->v, y->n, NULL, y->width);
	if (k <= -y->dim[0] || k >= y->dim[1])
		return;
	for (int64_t r = k < 0 ? -k : 0; r < y->dim[0] && r + k < y->dim[1]; r++) {
		const size_t at = (size_t)(r * y->dim[1] + r + k);

		if (onx_dtype_real(y->type))
			onx_view_put_real(y, at, 1);
		else
			onx_view_put_int(y, at, 1);
	}
}

#define MAKE(name, version, ins, table, rule, run)                                            \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins,           \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = table,       \
	  .infer = rule, .forward = run }
const struct onx_op ONX_R(onx_ops_constant)[] = {
	MAKE("Constant", 1, 0, &constant_attr, constant_infer, constant_forward),
	MAKE("ConstantOfShape", 9, 1, &of_shape_attr, of_shape_infer, of_shape_forward),
	MAKE("Range", 11, 3, &range_attr, range_infer, range_forward),
	MAKE("EyeLike", 9, 1, &eye_attr, eye_infer, eye_forward),
	{ .type = NULL }
};
