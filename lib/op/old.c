/* op/old.c -- operators of opsets 1 to 6 whose inputs or attributes differ from later ones, brought to the
 * newest meaning: a row here settles attributes and shapes as the later row wants them, and every call
 * goes on to that row.
 *
 * Add, Sub, Mul, Div, Pow, comparisons, logic   `broadcast` and `axis` instead of Broadcasting.md
 * PRelu      a slope for each channel, whatever the rank
 * Reshape    `shape` is an attribute            Tile      one axis at a time
 * Pad        `paddings`                         Upsample  `height_scale`, `width_scale`
 * Cast       `to` is a name                     LpPool, GlobalLpPool   `p` is a float
 * Selu       shorter defaults
 * Other operators took the same numbers all along; what is told of memory (consumed_inputs) is ignored. */
#include <inttypes.h>
#include <string.h>
#include "op/old.h"

struct attrs {
	int64_t axis;
	uint64_t given;
	bool broadcast;
	struct onx_ints pads, shape, kernel, strides, consumed;
	double value, height, width, p, alpha, gamma;
	const char *mode, *to, *auto_pad;
};
#define AT(member) offsetof(struct attrs, member)
#define CONSUMED { "consumed_inputs", F_INTS, AT(consumed), .def = "", .help = "a hint of old writers" }
static const struct onx_field broadcast_field[] = {
	{ "broadcast", F_BOOL, AT(broadcast), .def = "0", .help = "B may be smaller than A" },
	{ "axis", F_INT, AT(axis), .def = "0", .help = "axis of A where those of B begin; default: the last ones" },
	CONSUMED, { .name = NULL }
};
static const struct onx_field consumed_field[] = { CONSUMED, { .name = NULL } };
static const struct onx_field reshape_field[] = {
	{ "shape", F_INTS, AT(shape), .def = "", .help = "new dims; 0: that of the input, -1: what is left" },
	CONSUMED, { .name = NULL }
};
static const struct onx_field pad_field[] = {
	{ "paddings", F_INTS, AT(pads), .help = "before each axis, then behind each" },
	{ "mode", F_STR, AT(mode), .def = "constant", .help = "constant, reflect, edge" },
	{ "value", F_REAL, AT(value), .def = "0", .help = "of a constant border" },
	{ .name = NULL }
};
static const struct onx_field upsample_field[] = {
	{ "height_scale", F_REAL, AT(height), .help = "factor of axis 2" },
	{ "width_scale", F_REAL, AT(width), .help = "factor of axis 3" },
	{ "mode", F_STR, AT(mode), .def = "nearest", .help = "nearest or bilinear" },
	{ .name = NULL }
};
static const struct onx_field cast_field[] = {
	{ "to", F_STR, AT(to), .help = "name of the element type" },
	{ .name = NULL }
};
#define NORM { "p", F_REAL, AT(p), .def = "2", .min = 1, .max = 64, .help = "which norm" }
static const struct onx_field global_field[] = { NORM, { .name = NULL } };
static const struct onx_field lppool_field[] = {
	NORM,
	{ "kernel_shape", F_INTS, AT(kernel), .def = "", .help = "size of the window" },
	{ "pads", F_INTS, AT(pads), .def = "", .help = "border" },
	{ "strides", F_INTS, AT(strides), .def = "", .help = "steps" },
	{ "auto_pad", F_STR, AT(auto_pad), .def = "NOTSET", .help = "NOTSET, VALID, SAME_UPPER, SAME_LOWER" },
	{ .name = NULL }
};
static const struct onx_field selu_field[] = {
	{ "alpha", F_REAL, AT(alpha), .def = "1.6732", .help = "limit for x -> -inf" },
	{ "gamma", F_REAL, AT(gamma), .def = "1.0507", .help = "scale of the whole" },
	CONSUMED, { .name = NULL }
};
#define TABLE(name) static const struct onx_table name##_attr = \
	{ #name, sizeof(struct attrs), name##_field, .given = AT(given) };
TABLE(broadcast)
TABLE(consumed)
TABLE(reshape)
TABLE(pad)
TABLE(upsample)
TABLE(cast)
TABLE(lppool)
TABLE(global)
TABLE(selu)

/* ---- shapes and attributes ---- */

/* B stands at axes `axis` ... of A; ones behind it make that Broadcasting.md's. */
static int align(struct onx_old *o, int64_t axis, struct onx_err *e)
{
	const struct onx_shape *a = &o->in[0].shape, b = o->in[1].shape;
	struct onx_shape *to = &o->in[1].shape, both;
	char s[ONX_SHAPE_TEXT], t[ONX_SHAPE_TEXT];

	if (axis < 0 || axis > a->rank - b.rank)
		return onx_fail(e, ONX_SHAPE, "B of shape %s does not fit A of shape %s from axis %" PRId64 " on",
				onx_shape_text(b.rank, b.dim, s, sizeof s),
				onx_shape_text(a->rank, a->dim, t, sizeof t), axis);
	to->rank = a->rank - (int)axis;
	for (int d = b.rank; d < to->rank; d++)
		to->dim[d] = 1;
	o->aligned = true;
	int rc = onx_broadcast(a, to, &both, e);
	if (rc == ONX_OK && !onx_shape_equal(a, &both))
		rc = onx_fail(e, ONX_SHAPE, "B of shape %s is larger than A of shape %s",
			      onx_shape_text(b.rank, b.dim, s, sizeof s),
			      onx_shape_text(a->rank, a->dim, t, sizeof t));
	return rc;
}

static int pair(struct onx_infer *s, enum onx_family family, const char *type, const struct attrs *a,
		struct onx_err *e)
{
	struct onx_old *o;
	int rc = onx_old_open(s, family, type, 7, &o, e);

	if (rc < 0)
		return rc;
	const int rank = o->in[0].shape.rank, own = o->in[1].shape.rank;
	char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
	if (a->broadcast) {
		const bool one = own <= rank && !onx_given(&broadcast_attr, a, "axis");
		const int64_t axis = one ? rank - own : a->axis + (a->axis < 0 ? rank : 0);
		rc = align(o, axis, e);
	} else if (!onx_shape_equal(&o->in[0].shape, &o->in[1].shape)) {
		rc = onx_fail(e, ONX_SHAPE, "A has shape %s, B %s, wanted one shape (or broadcast = 1)",
			      onx_shape_text(rank, o->in[0].shape.dim, t, sizeof t),
			      onx_shape_text(own, o->in[1].shape.dim, u, sizeof u));
	}
	return rc < 0 ? rc : onx_old_settle(o, e);
}

#define PAIR(type, family) \
static int type##_infer(struct onx_infer *s, const void *attr, struct onx_err *e) \
{                                                                                 \
	return pair(s, family, #type, attr, e);                                   \
}
PAIR(Add, ONX_F_BINARY)
PAIR(Sub, ONX_F_BINARY)
PAIR(Mul, ONX_F_BINARY)
PAIR(Div, ONX_F_BINARY)
PAIR(Pow, ONX_F_BINARY)
PAIR(Equal, ONX_F_INTEGER)
PAIR(Less, ONX_F_INTEGER)
PAIR(Greater, ONX_F_INTEGER)
PAIR(And, ONX_F_INTEGER)
PAIR(Or, ONX_F_INTEGER)
PAIR(Xor, ONX_F_INTEGER)

/* One slope for all, or one for each channel: axis 1. */
static int prelu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_BINARY, "PRelu", 7, &o, e);

	(void)attr;
	if (rc == ONX_OK && o->in[1].shape.rank == 1 && o->in[1].shape.dim[0] != 1 && o->in[0].shape.rank > 1)
		rc = align(o, 1, e);
	return rc < 0 ? rc : onx_old_settle(o, e);
}

static int reshape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_SHAPE, "Reshape", 5, &o, e);

	if (rc == ONX_OK)
		rc = onx_old_know(o, s, a->shape.v, a->shape.n, e);
	return rc < 0 ? rc : onx_old_settle(o, e);
}

/* Inputs `tiles` and `axis`, one number each. */
static int tile_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int64_t repeats[ONX_RANK];
	double number[2] = { 1, 0 };
	struct onx_old *o;
	int axis = 0, rc = onx_old_open(s, ONX_F_MOVEMENT, "Tile", 6, &o, e);

	(void)attr;
	for (int i = 0; i < 2 && rc == ONX_OK; i++) {
		rc = onx_in_real(s, 1 + i, &number[i], e);
		if (rc == ONX_OK && !(number[i] >= -1e9 && number[i] <= 1e15))
			rc = onx_fail(e, ONX_SHAPE, "input %d is %g, wanted a whole number", 1 + i, number[i]);
	}
	if (rc == ONX_OK)
		rc = onx_axis((int64_t)number[1], o->in[0].shape.rank, &axis, e);
	for (int d = 0; d < ONX_RANK; d++)
		repeats[d] = d == axis ? (int64_t)number[0] : 1;
	if (rc == ONX_OK)
		rc = onx_old_know(o, s, repeats, (size_t)o->in[0].shape.rank, e);
	return rc < 0 ? rc : onx_old_settle(o, e);
}

static int pad_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_PAD, "Pad", 2, &o, e);

	if (rc == ONX_OK)
		rc = onx_old_word(o, s, "mode", a->mode, e);
	if (rc < 0)
		return rc;
	onx_old_ints(o, "pads", &a->pads);
	*(double *)onx_old_slot(o, "value") = a->value;
	return onx_old_settle(o, e);
}

static int upsample_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	const bool bilinear = a->mode && strcmp(a->mode, "bilinear") == 0;
	double *scale = ONX_NEWS(s->mem, double, 4);
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_RESIZE, "Upsample", 7, &o, e);

	if (rc == ONX_OK && !scale)
		rc = onx_nomem(e, 4 * sizeof *scale, "factors");
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 4, 4, e);
	if (rc == ONX_OK)
		rc = onx_old_word(o, s, "mode", bilinear ? "linear" : a->mode, e);
	if (rc < 0)
		return rc;
	scale[0] = scale[1] = 1;
	scale[2] = a->height;
	scale[3] = a->width;
	*(struct onx_reals *)onx_old_slot(o, "scales") = (struct onx_reals){ scale, 4 };
	return onx_old_settle(o, e);
}

static int cast_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const char *name = ((const struct attrs *)attr)->to;
	char low[16] = "";
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_CAST, "Cast", 6, &o, e);

	for (size_t i = 0; name && name[i] && i + 1 < sizeof low; i++)
		low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	const enum onx_dtype to = onx_dtype_find(low);
	if (rc == ONX_OK && to == ONX_UNDEFINED)
		rc = onx_fail(e, ONX_SHAPE, "'to' is '%s', wanted the name of an element type", name ? name : "");
	if (rc < 0)
		return rc;
	*(int64_t *)onx_old_slot(o, "to") = (int64_t)to;
	return onx_old_settle(o, e);
}

static int lp(struct onx_infer *s, const struct attrs *a, bool global, struct onx_err *e)
{
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_POOLING, global ? "GlobalLpPool" : "LpPool", 2, &o, e);

	if (rc == ONX_OK && a->p != (double)(int64_t)a->p)
		rc = onx_fail(e, ONX_UNSUP, "p is %g, wanted a whole number", a->p);
	if (rc == ONX_OK && !global)
		rc = onx_old_word(o, s, "auto_pad", a->auto_pad, e);
	if (rc < 0)
		return rc;
	*(int64_t *)onx_old_slot(o, "p") = (int64_t)a->p;
	if (!global) {
		onx_old_ints(o, "kernel_shape", &a->kernel);
		onx_old_ints(o, "pads", &a->pads);
		onx_old_ints(o, "strides", &a->strides);
	}
	return onx_old_settle(o, e);
}

static int lppool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return lp(s, attr, false, e);
}

static int global_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return lp(s, attr, true, e);
}

static int selu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	struct onx_old *o;
	int rc = onx_old_open(s, ONX_F_UNARY, "Selu", 6, &o, e);

	if (rc < 0)
		return rc;
	*(double *)onx_old_slot(o, "alpha") = a->alpha;
	*(double *)onx_old_slot(o, "gamma") = a->gamma;
	return onx_old_settle(o, e);
}

#define X0 ONX_KEEP_X(0)
#define X01 (ONX_KEEP_X(0) | ONX_KEEP_X(1))
#define ONE(name, version, ins, kept, share, what, rule)                                         \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = kept,          \
	  .alias = share, .flags = what, .attr = &rule##_attr, .infer = rule##_infer, .saved = onx_old_saved, \
	  .scratch = onx_old_scratch, .forward = onx_old_forward, .backward = onx_old_backward }
#define TWO(type_, attr_, rule, kept, share, what, weights)                                      \
	{ .domain = "", .type = #type_, .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 2, .keep = kept, .alias = share, .flags = what,   \
	  .weight = weights, .attr = &attr_, .infer = rule, .forward = onx_old_forward, .backward = onx_old_backward }
#define ASK(type_)                                                                               \
	{ .domain = "", .type = #type_, .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
	  .attr = &broadcast_attr, .infer = type_##_infer, .forward = onx_old_forward }
/* What backward reads is said by the later rows, too: they must agree. */
const struct onx_op ONX_R(onx_ops_old)[] = {
	TWO(Add, broadcast_attr, Add_infer, 0, 3, ONX_OP_SETTING, 3),
	TWO(Sub, broadcast_attr, Sub_infer, 0, 3, ONX_OP_SETTING, 3),
	TWO(Mul, broadcast_attr, Mul_infer, X01, 3, ONX_OP_SETTING, 3),
	TWO(Div, broadcast_attr, Div_infer, X01, 3, ONX_OP_SETTING, 3),
	TWO(Pow, broadcast_attr, Pow_infer, X01, 1, 0, 0),
	TWO(PRelu, consumed_attr, prelu_infer, X01, 1, 0, 2),
	ASK(Equal), ASK(Less), ASK(Greater), ASK(And), ASK(Or), ASK(Xor),
	ONE("Reshape", 1, 1, 0, 1, ONX_OP_VIEW, reshape),
	ONE("Pad", 1, 1, 0, 0, 0, pad),
	ONE("Upsample", 1, 1, 0, 0, 0, upsample),
	ONE("Cast", 1, 1, 0, 0, ONX_OP_WIDTHS, cast),
	ONE("LpPool", 1, 1, X0 | ONX_KEEP_Y(0), 0, 0, lppool),
	ONE("GlobalLpPool", 1, 1, X0 | ONX_KEEP_Y(0), 0, 0, global),
	ONE("Selu", 1, 1, X0, 1, 0, selu),
	{ .domain = "", .type = "Tile", .since = 1, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .infer = tile_infer, .saved = onx_old_saved,
	  .scratch = onx_old_scratch, .forward = onx_old_forward, .backward = onx_old_backward },
	{ .type = NULL }
};
