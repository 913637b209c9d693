/* op/cast.c -- Cast and CastLike between all element types but complex; to strings where the numbers are known
 * before a plan is made (the interpreter, constants).
 * Real to real keeps the gradient.  Values that pass through a narrow type are rounded to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "kernel/cpu.h"
#include "kernel/half.h"
#include "kernel/real.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/loop.h"
#include "tensor/seq.h"

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

static double rounded_to(double x, enum onx_dtype t)
{
	return t == ONX_DOUBLE ? x : t == ONX_FLOAT ? (double)(float)x : (double)onx_round_to((float)x, t);
}

/* The fewest digits that read back as the same number, plain from 1e-4 to 1e16 and scientific beyond, as in
 * Python: 0.25, 1.0, 1e-05; NaN, INF, -INF. */
static const char *real_text(struct onx_arena *mem, double x, enum onx_dtype t)
{
	char digit[32], plain[48];
	int n = 0, exponent;
	char *to = plain;

	if (!isfinite(x))
		return isnan(x) ? "NaN" : x > 0 ? "INF" : "-INF";
	do
		snprintf(digit, sizeof digit, "%.*e", n, fabs(x));
	while (n++ < 16 && rounded_to(strtod(digit, NULL), t) != fabs(x));
	exponent = (int)strtol(strchr(digit, 'e') + 1, NULL, 10);
	if (exponent < -4 || exponent >= 16)
		return onx_text(mem, "%s%s", signbit(x) ? "-" : "", digit);
	*strchr(digit, 'e') = '\0';
	if (n > 1)
		memmove(digit + 1, digit + 2, strlen(digit + 2) + 1);   /* the point */
	for (int at = exponent < 0 ? exponent : 0; at < n || at <= exponent + 1; at++) {
		*to++ = at >= 0 && at < n ? digit[at] : '0';
		if (at == (exponent < 0 ? exponent : 0) && exponent < 0)
			*to++ = '.';
		else if (at == exponent)
			*to++ = '.';
	}
	*to = '\0';
	return onx_text(mem, "%s%s", signbit(x) ? "-" : "", plain);
}

static int to_text(struct onx_infer *s, struct onx_err *e)
{
	const struct onx_view *x;
	int rc = onx_in_known(s, 0, &x, e);

	if (rc < 0)
		return rc;
	struct onx_view *y = onx_tensor_new(s->mem, ONX_STRING, x->rank, x->dim, sizeof(char *));

	for (size_t i = 0; y && i < x->n; i++) {
		const char **to = (const char **)y->v + i;

		if (x->type == ONX_STRING)
			*to = ((const char *const *)x->v)[i];
		else if (onx_dtype_real(x->type))
			*to = real_text(s->mem, onx_view_real(x, i), x->type);
		else if (x->type == ONX_UINT64)
			*to = onx_text(s->mem, "%llu", (unsigned long long)onx_view_int(x, i));
		else
			*to = onx_text(s->mem, "%lld", (long long)onx_view_int(x, i));
		if (!*to)
			return onx_nomem(e, 32, "texts");
	}
	return onx_give(s, 0, y, e);
}

static int infer_to(struct onx_infer *s, enum onx_dtype to, struct onx_err *e)
{
	const bool text = s->in[0].type == ONX_STRING && to != ONX_BOOL;

	if (to == ONX_STRING && (castable(s->in[0].type) || s->in[0].type == ONX_STRING))
		return to_text(s, e);
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

ONX_CLONES static void halves(size_t n, const double *restrict x, double *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (double)onx_to_half((float)x[i]);
}

ONX_CLONES static void brains(size_t n, const double *restrict x, double *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (double)onx_to_brain((float)x[i]);
}

static void reals_to_reals(const struct onx_view *y, const struct cast *p, size_t at, size_t n, const double *x)
{
	double room[ONX_BULK];
	const bool as_is = y->type == ONX_FLOAT || y->type == ONX_DOUBLE;

	if (y->type == ONX_FLOAT16)
		halves(n, x, room);
	else if (y->type == ONX_BFLOAT16)
		brains(n, x, room);
	else
		for (size_t i = 0; !as_is && i < n; i++)
			room[i] = rounded(x[i], y, p);
	onx_bulk_put_reals(y, at, n, as_is ? x : room);
}

static void reals_to_ints(const struct onx_view *y, size_t at, size_t n, const double *x)
{
	const bool wide = y->type == ONX_UINT64;
	int64_t room[ONX_BULK];

	if (y->type == ONX_BOOL)
		for (size_t i = 0; i < n; i++)
			room[i] = x[i] != 0;
	else if (wide)
		for (size_t i = 0; i < n; i++)
			room[i] = whole(x[i], true);
	else
		for (size_t i = 0; i < n; i++)
			room[i] = whole(x[i], false);
	for (size_t i = 0; onx_dtype_bits(y->type) < 8 && i < n; i++)
		room[i] = narrow(room[i], y->type);
	onx_bulk_put_ints(y, at, n, room);
}

static void ints_to_ints(const struct onx_view *x, const struct onx_view *y, size_t at, size_t n)
{
	int64_t room[ONX_BULK], small[ONX_BULK];
	const int64_t *v = onx_bulk_ints(x, at, 1, n, room);
	const bool cut = y->type != ONX_BOOL && onx_dtype_bits(y->type) < 8;

	for (size_t i = 0; cut && i < n; i++)
		small[i] = narrow(v[i], y->type);
	onx_bulk_put_ints(y, at, n, cut ? small : v);
}

static void cast_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_view *x = &c->x[0], *y = &c->y[0];
	const bool from_real = onx_dtype_real(x->type), to_real = onx_dtype_real(y->type);
	double room[ONX_BULK];

	for (size_t i = lo; i < hi; i += ONX_BULK) {
		const size_t n = hi - i < ONX_BULK ? hi - i : ONX_BULK;
		if (to_real)
			reals_to_reals(y, c->attr, i, n, onx_bulk_reals(x, i, 1, n, room));
		else if (from_real)
			reals_to_ints(y, i, n, onx_bulk_reals(x, i, 1, n, room));
		else
			ints_to_ints(x, y, i, n);
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
	double room[ONX_BULK], there[ONX_BULK], sum[ONX_BULK];

	for (size_t i = lo, n; i < hi; i += n) {
		n = hi - i < ONX_BULK ? hi - i : ONX_BULK;
		const double *dy = onx_bulk_reals(&c->dy[0], i, 1, n, room);
		const double *old = dx->add ? onx_bulk_reals(dx, i, 1, n, there) : NULL;
		for (size_t k = 0; old && k < n; k++)
			sum[k] = dy[k] + old[k];
		onx_bulk_put_reals(dx, i, n, old ? sum : dy);
	}
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
