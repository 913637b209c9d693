/* op/cast.c -- Cast and CastLike between all element types but to strings and complex.
 * Real to real keeps the gradient.  Values that pass through a narrow type are rounded to it. */
#include <strings.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct cast { int64_t to; bool saturate; int mode; };
#define SATURATE { .name = "saturate", .kind = F_BOOL, .off = offsetof(struct cast, saturate), .def = "1", \
	.help = "8-bit floats: overflow becomes the largest number" }
enum { UP, DOWN, NEAREST };
static const char *const modes[] = { "up", "down", "nearest", NULL };
#define MODE { .name = "round_mode", .kind = F_ENUM, .off = offsetof(struct cast, mode), .def = "up", \
	.choices = modes, .help = "to which power of two, for float8e8m0" }
static const struct onx_field cast_field[] = {
	{ .name = "to", .kind = F_INT, .off = offsetof(struct cast, to), .def = "0", .min = 0, .max = 64,
	  .help = "number of the element type" },
	SATURATE, MODE, { .name = NULL }
};
static const struct onx_field like_field[] = { SATURATE, MODE, { .name = NULL } };
static const struct onx_table cast_attr = { .name = "Cast", .size = sizeof(struct cast),
					    .field = cast_field };
static const struct onx_table like_attr = { .name = "CastLike", .size = sizeof(struct cast),
					    .field = like_field };

static bool castable(enum onx_dtype t)
{
	const enum onx_class class = onx_dtype_class(t);

	return class == ONX_CLASS_REAL || class == ONX_CLASS_INT || class == ONX_CLASS_UINT ||
	       class == ONX_CLASS_BOOL;
}

static int infer_to(struct onx_infer *s, enum onx_dtype to, struct onx_err *e)
{
	const bool text = s->in[0].type == ONX_STRING && to != ONX_BOOL;

	if ((!castable(s->in[0].type) && !text) || !castable(to))
		return onx_fail(e, ONX_UNSUP, "a cast from %s to %s is not supported",
				onx_dtype_name(s->in[0].type), onx_dtype_name(to));
	onx_set_out(s, 0, to, &s->in[0].shape);
	return ONX_OK;
}

static int cast_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct cast *p = attr;

	if (!onx_dtype_known((int)p->to))
		return onx_fail(e, ONX_SHAPE, "'to' is %d, wanted the number of an element type", (int)p->to);
	return infer_to(s, (enum onx_dtype)p->to, e);
}

static int like_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return infer_to(s, s->in[1].type, e);
}

static bool is_f8(enum onx_dtype t)
{
	return t == ONX_FLOAT8E4M3FN || t == ONX_FLOAT8E4M3FNUZ || t == ONX_FLOAT8E5M2 ||
	       t == ONX_FLOAT8E5M2FNUZ;
}

/* The power of two at or below |x|, or (nearest) the closer one; halves go up. */
static double power(double x, int mode)
{
	int exponent;
	const double part = frexp(fabs(x), &exponent);

	return !isfinite(x) || x == 0 ? x : ldexp(mode == NEAREST && part >= 0.75 ? 1 : 0.5, exponent);
}

/* float and double are as exact as their storage here; the others round to what they can hold. */
static double rounded(double x, const struct onx_view *y, const struct cast *p)
{
	const bool saturate = p->saturate;

	if (y->type == ONX_FLOAT8E8M0 && p->mode != UP)
		x = power(x, p->mode);
	if (y->type == ONX_DOUBLE || y->type == ONX_FLOAT)
		return x;
	if (is_f8(y->type))
		return (double)onx_from_f8(onx_to_f8((float)x, y->type, saturate), y->type);
	return (double)onx_round_to((float)x, y->type);
}

/* Towards zero; what no 64-bit number can hold becomes the nearest that can, NaN 0. */
static int64_t whole(double x, bool wide)
{
	if (isnan(x))
		return 0;
	if (wide)
		return x <= 0 ? (x > -9.2e18 ? (int64_t)x : 0)
		     : (int64_t)(x >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)x);
	return x >= 9223372036854775807.0 ? INT64_MAX : x <= -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

/* Types of less than a byte stand in bytes: the bits that they have, and the sign of those. */
static int64_t narrow(int64_t v, enum onx_dtype t)
{
	const int bits = onx_dtype_bits(t);
	const int64_t low = v & (((int64_t)1 << bits) - 1);

	return onx_dtype_class(t) == ONX_CLASS_INT && low >> (bits - 1) ? low - ((int64_t)1 << bits) : low;
}

/* A number as the specification writes it: plain or scientific, INF and NaN in any case; NaN if it is none. */
static double number(const char *text)
{
	static const struct { const char *word; double value; } words[] = {
		{ "inf", INFINITY }, { "+inf", INFINITY }, { "-inf", -INFINITY }, { "infinity", INFINITY },
		{ "+infinity", INFINITY }, { "-infinity", -INFINITY }
	};
	double v = NAN;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(text, words[i].word) == 0)
			return words[i].value;
	return onx_parse_real(*text == '+' ? text + 1 : text, &v) < 0 ? NAN : v;
}

static void text_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_view *y = &c->y[0];
	const char *const *x = c->x[0].v;

	for (size_t i = lo; i < hi; i++) {
		int64_t v = 0;
		if (onx_dtype_real(y->type)) {
			onx_view_put_real(y, i, rounded(number(x[i]), y, c->attr));
			continue;
		}
		if (onx_parse_int(x[i], &v) < 0)
			v = whole(number(x[i]), y->type == ONX_UINT64);
		onx_view_put_int(y, i, onx_dtype_bits(y->type) < 8 ? narrow(v, y->type) : v);
	}
}

static void cast_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_view *x = &c->x[0], *y = &c->y[0];
	const bool from_real = onx_dtype_real(x->type), to_real = onx_dtype_real(y->type);
	const bool to_bool = y->type == ONX_BOOL, wide = y->type == ONX_UINT64, small = onx_dtype_bits(y->type) < 8;

	for (size_t i = lo; i < hi; i++) {
		if (to_real)
			onx_view_put_real(y, i, rounded(onx_view_real(x, i), y, c->attr));
		else if (to_bool)
			onx_view_put_int(y, i, from_real ? onx_view_real(x, i) != 0 : onx_view_int(x, i) != 0);
		else {
			const int64_t v = from_real ? whole(onx_view_real(x, i), wide) : onx_view_int(x, i);
			onx_view_put_int(y, i, small ? narrow(v, y->type) : v);
		}
	}
}

static void cast_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, c->x[0].type == ONX_STRING ? text_range : cast_range, c);
}

static void back_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_view *dx = &c->dx[0];

	for (size_t i = lo; i < hi; i++)
		onx_view_put_real(dx, i, onx_view_real(&c->dy[0], i) +
				  (dx->add ? onx_view_real(dx, i) : 0));
}

static void cast_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, back_range, c);
}

const struct onx_op ONX_R(onx_ops_cast)[] = {
	{ .domain = "", .type = "Cast", .since = 6, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .flags = ONX_OP_WIDTHS | ONX_OP_EACH,
	  .attr = &cast_attr, .infer = cast_infer,
	  .forward = cast_forward, .backward = cast_backward },
	{ .domain = "", .type = "CastLike", .since = 15, .min_in = 2, .max_in = 2, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,
	  .flags = ONX_OP_WIDTHS, .attr = &like_attr, .infer = like_infer, .forward = cast_forward,
	  .backward = cast_backward },
	{ .type = NULL }
};
