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
#include "kernel/real.h"
#include "op/infer.h"

#define onx_ops_binary ONX_R(onx_ops_binary)
#define onx_ops_integer ONX_R(onx_ops_integer)
#define onx_ops_shape ONX_R(onx_ops_shape)
#define onx_ops_movement ONX_R(onx_ops_movement)
#define onx_ops_crop ONX_R(onx_ops_crop)
#define onx_ops_resize ONX_R(onx_ops_resize)
#define onx_ops_cast ONX_R(onx_ops_cast)
#define onx_ops_pooling ONX_R(onx_ops_pooling)
#define onx_ops_unary ONX_R(onx_ops_unary)
extern const struct onx_op onx_ops_binary[], onx_ops_integer[], onx_ops_shape[], onx_ops_movement[],
	onx_ops_crop[], onx_ops_resize[], onx_ops_cast[], onx_ops_pooling[], onx_ops_unary[];

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
static const struct onx_field lp_field[] = {
	{ "p", F_REAL, AT(p), .def = "2", .min = 1, .max = 64, .help = "which norm" },
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
#define lp_attr_field(name) static const struct onx_table name##_attr = \
	{ #name, sizeof(struct attrs), lp_field, .given = AT(given) };
lp_attr_field(lppool)
lp_attr_field(global)
TABLE(selu)

/* ---- what a node becomes ---- */

/* A node is settled by the float rows and may run in double: what is kept is the place of the later row. */
enum family { BINARY, INTEGER, SHAPE, MOVEMENT, CROP, RESIZE, CAST, POOLING, UNARY };
static const struct onx_op *const families[] = {
	onx_ops_binary, onx_ops_integer, onx_ops_shape, onx_ops_movement, onx_ops_crop, onx_ops_resize,
	onx_ops_cast, onx_ops_pooling, onx_ops_unary
};

struct old {
	enum family family;
	int row;
	void *attr;
	struct onx_infer now;
	struct onx_fact in[8];
	const struct onx_view *known;   /* input 1, which the old node has as an attribute or in another form */
	bool aligned;                   /* input 1 under the shape in[1].shape */
};

static const struct onx_op *later(const struct old *o)
{
	return &families[o->family][o->row];
}

static int open_row(struct onx_infer *s, enum family family, const char *type, int version, struct old **out,
		    struct onx_err *e)
{
	const struct onx_op *best = NULL, *all = families[family];
	struct old *o = ONX_NEW(s->mem, struct old);

	*out = o;
	if (!o)
		return onx_nomem(e, sizeof *o, "an old operator");
	for (const struct onx_op *op = all; op->type; op++)
		if (!*op->domain && strcmp(op->type, type) == 0 && op->since <= version &&
		    (!best || op->since > best->since))
			best = op;
	o->now = *s;
	o->now.version = version;
	for (int i = 0; i < s->n_in && i < 8; i++)
		o->in[i] = s->in[i];
	o->now.in = o->in;
	s->geo = o;
	if (!best)
		return onx_fail(e, ONX_UNSUP, "operator '%s' of opset %d is not supported", type, version);
	o->family = family;
	o->row = (int)(best - all);
	if (!best->attr)
		return ONX_OK;
	o->attr = onx_alloc(s->mem, 1, best->attr->size);
	return o->attr ? onx_defaults(best->attr, o->attr, s->mem, e)
		       : onx_nomem(e, (double)best->attr->size, "attributes");
}

/* The place of an attribute of the later row; it counts as given. */
static void *slot(struct old *o, const char *name)
{
	const struct onx_table *t = later(o)->attr;
	const struct onx_field *f = onx_find(t, name);

	if (t->given)
		*(uint64_t *)((char *)o->attr + t->given) |= (uint64_t)1 << (f - t->field);
	return (char *)o->attr + f->off;
}

static int word(struct old *o, struct onx_infer *s, const char *name, const char *text, struct onx_err *e)
{
	if (!text)
		return ONX_OK;
	return onx_set(later(o)->attr, onx_find(later(o)->attr, name), o->attr, text, s->mem, e);
}

static void ints(struct old *o, const char *name, const struct onx_ints *v)
{
	if (v->n > 0)
		*(struct onx_ints *)slot(o, name) = *v;
}

/* Input 1 of the later row, known while planning. */
static int know(struct old *o, struct onx_infer *s, const int64_t *v, size_t n, struct onx_err *e)
{
	struct onx_view *view = ONX_NEW(s->mem, struct onx_view);
	int64_t *numbers = ONX_NEWS(s->mem, int64_t, n + 1), *dim = ONX_NEW(s->mem, int64_t);

	if (!view || !numbers || !dim)
		return onx_nomem(e, 8.0 * (double)n, "an input of an old operator");
	for (size_t i = 0; i < n; i++)
		numbers[i] = v[i];
	*dim = (int64_t)n;
	*view = (struct onx_view){ .v = numbers, .n = n, .rank = 1, .dim = dim, .type = ONX_INT64, .width = 8 };
	o->known = view;
	o->in[1] = (struct onx_fact){ .type = ONX_INT64, .shape = { 1, { (int64_t)n } }, .value = view };
	o->now.n_in = 2;
	return ONX_OK;
}

static int settle(struct old *o, struct onx_err *e)
{
	return later(o)->infer(&o->now, o->attr, e);
}

/* ---- calls ---- */

struct views { struct onx_view x[8], dx[8]; };

static struct onx_call onwards(const struct onx_call *c, struct views *v, bool back)
{
	const struct old *o = c->geo;
	struct onx_call d = *c;

	for (int i = 0; i < c->n_x && i < 8; i++) {
		v->x[i] = c->x[i];
		v->dx[i] = back ? c->dx[i] : (struct onx_view){ .v = NULL };
	}
	if (o->aligned) {
		v->x[1].rank = v->dx[1].rank = o->in[1].shape.rank;
		v->x[1].dim = v->dx[1].dim = o->in[1].shape.dim;
	} else if (o->known) {
		v->x[1] = *o->known;
		v->dx[1] = (struct onx_view){ .v = NULL };
		d.n_x = 2;
	}
	d.x = v->x;
	d.dx = back ? v->dx : NULL;
	d.attr = o->attr;
	d.geo = o->now.geo;
	return d;
}

static void forward(const struct onx_call *c)
{
	struct views v;
	const struct onx_call d = onwards(c, &v, false);

	later(c->geo)->forward(&d);
}

static void backward(const struct onx_call *c)
{
	struct views v;
	const struct onx_call d = onwards(c, &v, true);

	later(c->geo)->backward(&d);
}

static size_t saved(const struct onx_infer *s, const void *attr)
{
	const struct old *o = s->geo;

	(void)attr;
	return later(o)->saved ? later(o)->saved(&o->now, o->attr) : 0;
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool back)
{
	const struct old *o = s->geo;

	(void)attr;
	return later(o)->scratch ? later(o)->scratch(&o->now, o->attr, threads, back) : 0;
}

/* ---- shapes and attributes ---- */

/* B stands at axes `axis` ... of A; ones behind it make that Broadcasting.md's. */
static int align(struct old *o, int64_t axis, struct onx_err *e)
{
	const struct onx_shape *a = &o->in[0].shape, b = o->in[1].shape;
	struct onx_shape *to = &o->in[1].shape, both;
	char s[ONX_SHAPE_TEXT], t[ONX_SHAPE_TEXT];

	if (axis < 0 || axis + b.rank > a->rank)
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

static int pair(struct onx_infer *s, enum family family, const char *type, const struct attrs *a,
		struct onx_err *e)
{
	struct old *o;
	int rc = open_row(s, family, type, 7, &o, e);

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
	return rc < 0 ? rc : settle(o, e);
}

#define PAIR(type, family) \
static int type##_infer(struct onx_infer *s, const void *attr, struct onx_err *e) \
{                                                                                 \
	return pair(s, family, #type, attr, e);                                   \
}
PAIR(Add, BINARY)
PAIR(Sub, BINARY)
PAIR(Mul, BINARY)
PAIR(Div, BINARY)
PAIR(Pow, BINARY)
PAIR(Equal, INTEGER)
PAIR(Less, INTEGER)
PAIR(Greater, INTEGER)
PAIR(And, INTEGER)
PAIR(Or, INTEGER)
PAIR(Xor, INTEGER)

/* One slope for all, or one for each channel: axis 1. */
static int prelu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct old *o;
	int rc = open_row(s, BINARY, "PRelu", 7, &o, e);

	(void)attr;
	if (rc == ONX_OK && o->in[1].shape.rank == 1 && o->in[1].shape.dim[0] != 1 && o->in[0].shape.rank > 1)
		rc = align(o, 1, e);
	return rc < 0 ? rc : settle(o, e);
}

static int reshape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	struct old *o;
	int rc = open_row(s, SHAPE, "Reshape", 5, &o, e);

	if (rc == ONX_OK)
		rc = know(o, s, a->shape.v, a->shape.n, e);
	return rc < 0 ? rc : settle(o, e);
}

/* Inputs `tiles` and `axis`, one number each. */
static int tile_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int64_t repeats[ONX_RANK];
	double number[2] = { 1, 0 };
	struct old *o;
	int axis = 0, rc = open_row(s, MOVEMENT, "Tile", 6, &o, e);

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
		rc = know(o, s, repeats, (size_t)o->in[0].shape.rank, e);
	return rc < 0 ? rc : settle(o, e);
}

static int pad_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	struct old *o;
	int rc = open_row(s, CROP, "Pad", 2, &o, e);

	if (rc == ONX_OK)
		rc = word(o, s, "mode", a->mode, e);
	if (rc < 0)
		return rc;
	ints(o, "pads", &a->pads);
	*(double *)slot(o, "value") = a->value;
	return settle(o, e);
}

static int upsample_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct attrs *a = attr;
	const bool bilinear = a->mode && strcmp(a->mode, "bilinear") == 0;
	double *scale = ONX_NEWS(s->mem, double, 4);
	struct old *o;
	int rc = open_row(s, RESIZE, "Upsample", 7, &o, e);

	if (rc == ONX_OK && !scale)
		rc = onx_nomem(e, 4 * sizeof *scale, "factors");
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 4, 4, e);
	if (rc == ONX_OK)
		rc = word(o, s, "mode", bilinear ? "linear" : a->mode, e);
	if (rc < 0)
		return rc;
	scale[0] = scale[1] = 1;
	scale[2] = a->height;
	scale[3] = a->width;
	*(struct onx_reals *)slot(o, "scales") = (struct onx_reals){ scale, 4 };
	return settle(o, e);
}

static int cast_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const char *name = ((const struct attrs *)attr)->to;
	char low[16] = "";
	struct old *o;
	int rc = open_row(s, CAST, "Cast", 6, &o, e);

	for (size_t i = 0; name && name[i] && i + 1 < sizeof low; i++)
		low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	const enum onx_dtype to = onx_dtype_find(low);
	if (rc == ONX_OK && to == ONX_UNDEFINED)
		rc = onx_fail(e, ONX_SHAPE, "'to' is '%s', wanted the name of an element type", name ? name : "");
	if (rc < 0)
		return rc;
	*(int64_t *)slot(o, "to") = (int64_t)to;
	return settle(o, e);
}

static int lp(struct onx_infer *s, const struct attrs *a, bool global, struct onx_err *e)
{
	struct old *o;
	int rc = open_row(s, POOLING, global ? "GlobalLpPool" : "LpPool", 2, &o, e);

	if (rc == ONX_OK && a->p != (double)(int64_t)a->p)
		rc = onx_fail(e, ONX_UNSUP, "p is %g, wanted a whole number", a->p);
	if (rc == ONX_OK && !global)
		rc = word(o, s, "auto_pad", a->auto_pad, e);
	if (rc < 0)
		return rc;
	*(int64_t *)slot(o, "p") = (int64_t)a->p;
	if (!global) {
		ints(o, "kernel_shape", &a->kernel);
		ints(o, "pads", &a->pads);
		ints(o, "strides", &a->strides);
	}
	return settle(o, e);
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
	struct old *o;
	int rc = open_row(s, UNARY, "Selu", 6, &o, e);

	if (rc < 0)
		return rc;
	*(double *)slot(o, "alpha") = a->alpha;
	*(double *)slot(o, "gamma") = a->gamma;
	return settle(o, e);
}

#define X0 ONX_KEEP_X(0)
#define X01 (ONX_KEEP_X(0) | ONX_KEEP_X(1))
#define ONE(name, version, ins, kept, share, what, rule)                                         \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = kept,          \
	  .alias = share, .flags = what, .attr = &rule##_attr, .infer = rule##_infer, .saved = saved, \
	  .scratch = scratch, .forward = forward, .backward = backward }
#define TWO(type_, attr_, rule, kept, share, what, weights)                                      \
	{ .domain = "", .type = #type_, .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 2, .keep = kept, .alias = share, .flags = what,   \
	  .weight = weights, .attr = &attr_, .infer = rule, .forward = forward, .backward = backward }
#define ASK(type_)                                                                               \
	{ .domain = "", .type = #type_, .since = 1, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1, \
	  .attr = &broadcast_attr, .infer = type_##_infer, .forward = forward }
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
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .infer = tile_infer, .saved = saved,
	  .scratch = scratch, .forward = forward, .backward = backward },
	{ .type = NULL }
};
