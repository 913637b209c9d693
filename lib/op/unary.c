/* op/unary.c -- y = f(x), element by element.  One row is one operator: the derivative may use x and
 * y, and `keep` says which of the two it really uses, so that the plan can drop the other.
 * Comparisons are turned so that NaN passes through. */
#include "kernel/real.h"
#include "kernel/vmath.h"
#include "kernel/gelu.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/loop.h"
#include "op/whole.h"

#define X0 ONX_KEEP_X(0)
#define Y0 ONX_KEEP_Y(0)
#define E(f) ONX_M(f)

/* tanh(log(1 + e)) with e = exp(x): n / (n + 2), n = e (e + 2).  Beyond 20 it is 1. */
ONX_INLINE real mish_exp(real x)
{
	return onx_vexp(onx_vpick(x > 20, 20, x));
}

ONX_INLINE real mish(real x)
{
	const real e = mish_exp(x), n = e * (e + 2);

	return x * (n / (n + 2));
}

ONX_INLINE real mish_slope(real x)
{
	const real e = mish_exp(x), n = e * (e + 2), r = 1 / (n + 2);

	return n * r + x * (4 * e * (1 + e) * r * r);
}

ONX_INLINE real elu(real x, real a, real b)
{
	return onx_vpick(x > 0, x, a * onx_vexpm1(b * x));
}

ONX_INLINE real elu_slope(real x, real a, real b)
{
	return onx_vpick(x > 0, 1, a * onx_vexp(b * x));
}

ONX_INLINE real swish_slope(real x, real a)
{
	const real s = onx_vsigmoid(a * x);

	return s + a * x * s * (1 - s);
}

ONX_INLINE real tanh_slope(real x, real a, real b)
{
	const real t = onx_vtanh(b * x);

	return a * b * (1 - t * t);
}

ONX_INLINE real sign(real x)
{
	return x > 0 ? 1 : x < 0 ? -1 : x;
}

ONX_INLINE real clamp(real x, real lo, real hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

/* Every operator here has at most two numbers and a choice. */
struct unary { double a, b; int choice; };

#define REAL(text, m, d, about) { .name = text, .kind = F_REAL, .off = offsetof(struct unary, m), \
	.def = d, .help = about }
#define TABLE(type, ...)                                                                         \
static const struct onx_field type##_field[] = { __VA_ARGS__, { .name = NULL } };                \
static const struct onx_table type##_attr =                                                      \
	{ .name = #type, .size = sizeof(struct unary), .field = type##_field };

static const char *const gelu_choice[] = { "none", "tanh", NULL };
TABLE(LeakyRelu, REAL("alpha", a, "0.01", "slope for x < 0"))
TABLE(Elu, REAL("alpha", a, "1", "limit for x -> -inf"))
TABLE(Selu, REAL("alpha", a, "1.67326319217681884765625", "limit for x -> -inf"),
      REAL("gamma", b, "1.05070102214813232421875", "scale of the whole"))
TABLE(Celu, REAL("alpha", a, "1", "limit for x -> -inf"))
TABLE(HardSigmoid, REAL("alpha", a, "0.2", "slope"), REAL("beta", b, "0.5", "value at 0"))
TABLE(ThresholdedRelu, REAL("alpha", a, "1", "threshold"))
TABLE(Affine, REAL("alpha", a, "1", "slope"), REAL("beta", b, "0", "value at 0"))
TABLE(Scale, REAL("scale", a, "1", "factor"))
TABLE(ScaledTanh, REAL("alpha", a, "1", "factor of the whole"), REAL("beta", b, "1", "factor inside tanh"))
TABLE(ParametricSoftplus, REAL("alpha", a, "1", "factor of the whole"), REAL("beta", b, "1", "factor of x"))
TABLE(Shrink, REAL("bias", a, "0", "taken off what passes"), REAL("lambd", b, "0.5", "threshold"))
TABLE(Swish, REAL("alpha", a, "1", "factor inside the sigmoid"))
TABLE(QuickGelu, REAL("alpha", a, "1.702", "factor inside the sigmoid"))
TABLE(Gelu, { .name = "approximate", .kind = F_ENUM, .off = offsetof(struct unary, choice),
	      .def = "none", .choices = gelu_choice, .help = "none: by erf; tanh: by tanh" })

/* Derivatives at kinks: Relu, Elu, ThresholdedRelu, Shrink 0 or the left one, Abs 0, HardSigmoid 0,
 * all as PyTorch.      type         keep  f(x)                          df(x, y)              */
#define UNARY(U)                                                                             \
	U(Relu,            Y0, x < 0 ? 0 : x,                    y > 0 ? 1 : 0)              \
	U(LeakyRelu,       X0, x > 0 ? x : a * x,                x > 0 ? 1 : a)              \
	U(Sigmoid,         Y0, onx_vsigmoid(x),                  y * (1 - y))                \
	U(Tanh,            Y0, onx_vtanh(x),                     1 - y * y)                  \
	U(Exp,             Y0, onx_vexp(x),                      y)                          \
	U(Log,             X0, onx_vlog(x),                      1 / x)                      \
	U(Sqrt,            Y0, E(sqrt)(x),                       (real)0.5 / y)              \
	U(Neg,             0,  -x,                               -1)                         \
	U(Abs,             X0, E(fabs)(x),                       sign(x))                    \
	U(Reciprocal,      Y0, 1 / x,                            -y * y)                     \
	U(Erf,             X0, onx_verf(x), (real)1.12837916709551257390 * onx_vexp(-x * x)) \
	U(Asin,            X0, onx_vasin(x),                      1 / E(sqrt)((1 - x) * (1 + x)))  \
	U(Acos,            X0, onx_vacos(x),                      -1 / E(sqrt)((1 - x) * (1 + x))) \
	U(Atan,            X0, onx_vatan(x),                      1 / (1 + x * x))            \
	U(Sinh,            X0, onx_vsinh(x),                     onx_vcosh(x))                  \
	U(Cosh,            X0, onx_vcosh(x),                     onx_vsinh(x))                  \
	U(Asinh,           X0, E(asinh)(x),                      1 / E(hypot)(x, 1))         \
	U(Acosh,           X0, E(acosh)(x),                      1 / E(sqrt)((x - 1) * (x + 1))) \
	U(Atanh,           X0, onx_vatanh(x),                     1 / ((1 - x) * (1 + x)))    \
	U(Elu,             X0, elu(x, a, 1),                     elu_slope(x, a, 1))         \
	U(Selu,            X0, b * elu(x, a, 1),                 b * elu_slope(x, a, 1))     \
	U(Celu,            X0, elu(x, a, 1 / a),                 elu_slope(x, 1, 1 / a))     \
	U(Softplus,        Y0, onx_vsoftplus(x),                 -onx_vexpm1(-y))            \
	U(Softsign,        X0, x / (1 + E(fabs)(x)), 1 / ((1 + E(fabs)(x)) * (1 + E(fabs)(x)))) \
	U(HardSigmoid,     Y0, clamp(a * x + b, 0, 1),           y > 0 && y < 1 ? a : 0)     \
	U(HardSwish,       X0, x * clamp(x / 6 + (real)0.5, 0, 1),                           \
			       x < -3 ? 0 : x > 3 ? 1 : x / 3 + (real)0.5)                   \
	U(Mish,            X0, mish(x),                          mish_slope(x))              \
	U(GeluErf,         X0, onx_gelu(x),                      onx_gelu_slope(x))          \
	U(GeluTanh,        X0, onx_gelu_tanh(x),                 onx_gelu_tanh_slope(x))     \
	U(Swish,           X0, x * onx_vsigmoid(a * x),          swish_slope(x, a))          \
	U(ThresholdedRelu, X0, x <= a ? 0 : x,                   x > a ? 1 : 0)              \
	U(Affine,          0,  a * x + b,                        a)                          \
	U(ScaledTanh,      X0, a * onx_vtanh(b * x),             tanh_slope(x, a, b))        \
	U(ParametricSoftplus, X0, a * onx_vsoftplus(b * x),      a * b * onx_vsigmoid(b * x)) \
	U(Shrink,          X0, x < -b ? x + a : x > b ? x - a : x - x, x < -b || x > b ? 1 : 0)

/* A derivative of 0 everywhere it exists: no backward. */
#define STEPS(U)                                                                             \
	U(Floor,           0,  E(floor)(x),                      0)                          \
	U(Ceil,            0,  E(ceil)(x),                       0)                          \
	U(Round,           0,  E(rint)(x),                       0)                          \
	U(Sign,            0,  sign(x),                          0)

#define NUMBERS                                                                              \
	const struct unary *p = c->attr;                                                     \
	const real a = p ? (real)p->a : 0, b = p ? (real)p->b : 0;                           \
	(void)a; (void)b;

#define U(type, keep, f, df)                                                                 \
ONX_CLONES static void type##_y(const void *ctx, size_t lo, size_t hi)                       \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	const real *xs = c->x[0].v;                                                          \
	real *ys = c->y[0].v;                                                                \
	NUMBERS                                                                              \
	ONX_ALIKE for (size_t i = lo; i < hi; i++) {                                         \
		const real x = xs[i];                                                        \
		ys[i] = (real)(f);                                                           \
	}                                                                                    \
}                                                                                            \
static void type##_forward(const struct onx_call *c)                                         \
{                                                                                            \
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, type##_y, c);                                \
}
UNARY(U)
STEPS(U)
#undef U

/* Two loops, so that each is a vector loop: in one with a choice GCC keeps large formulas number by number. */
#define U(type, keep, f, df)                                                                 \
ONX_INLINE real type##_slope(real x, real y, real a, real b)                                 \
{                                                                                            \
	(void)x; (void)y; (void)a; (void)b;                                                  \
	return (real)(df);                                                                   \
}                                                                                            \
ONX_CLONES static void type##_dx(const void *ctx, size_t lo, size_t hi)                      \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	const real *xs = c->x[0].v, *ys = c->y[0].v, *dy = c->dy[0].v;                       \
	real *dx = c->dx[0].v;                                                               \
	const bool add = c->dx[0].add;                                                       \
	NUMBERS                                                                              \
	if (add)                                                                             \
		ONX_ALIKE for (size_t i = lo; i < hi; i++)                                   \
			dx[i] += dy[i] * type##_slope((keep) & X0 ? xs[i] : 0, (keep) & Y0 ? ys[i] : 0, a, b);  \
	else                                                                                 \
		ONX_ALIKE for (size_t i = lo; i < hi; i++)                                   \
			dx[i] = dy[i] * type##_slope((keep) & X0 ? xs[i] : 0, (keep) & Y0 ? ys[i] : 0, a, b);   \
}                                                                                            \
static void type##_backward(const struct onx_call *c)                                        \
{                                                                                            \
	if (c->dx[0].v)                                                                      \
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, type##_dx, c);                      \
}
UNARY(U)
#undef U

#define U(type, keep, f, df) type##_keep = keep,
enum { UNARY(U) Gelu_keep = X0 };
#undef U

/* Two formulas: asked once, not for each number. */
static void Gelu_forward(const struct onx_call *c)
{
	const struct unary *p = c->attr;

	(p && p->choice ? GeluTanh_forward : GeluErf_forward)(c);
}

static void Gelu_backward(const struct onx_call *c)
{
	const struct unary *p = c->attr;

	(p && p->choice ? GeluTanh_backward : GeluErf_backward)(c);
}

/* Whole numbers: Abs, Neg, Relu, Sign.  Unsigned ones are their own absolute value. */
static int64_t int_abs(int64_t x)  { return x < 0 ? (int64_t)(0 - (uint64_t)x) : x; }
static int64_t int_neg(int64_t x)  { return (int64_t)(0 - (uint64_t)x); }
static int64_t int_relu(int64_t x) { return x < 0 ? 0 : x; }
static int64_t int_sign(int64_t x) { return (x > 0) - (x < 0); }
static int64_t int_not(int64_t x)  { return ~x; }
static int64_t int_erf(int64_t x)  { return (int64_t)erf((double)x); }

struct ints { const struct onx_call *c; int64_t (*f)(int64_t); };

static void ints_range(const void *ctx, size_t lo, size_t hi)
{
	const struct ints *j = ctx;
	int64_t (*const f)(int64_t) = j->f;
	const bool wide = j->c->x[0].type == ONX_UINT64 && f != int_not;
	int64_t room[ONX_BULK], y[ONX_BULK];

	for (size_t at = lo; at < hi; at += ONX_BULK) {
		const size_t n = hi - at < ONX_BULK ? hi - at : ONX_BULK;
		const int64_t *x = onx_bulk_ints(&j->c->x[0], at, 1, n, room);
		for (size_t i = 0; i < n; i++)
			y[i] = f(x[i]);
		for (size_t i = 0; wide && i < n; i++)
			if (x[i] < 0)                   /* above INT64_MAX, not negative */
				y[i] = f == int_sign || f == int_erf ? 1 : x[i];
		onx_bulk_put_ints(&j->c->y[0], at, n, y);
	}
}

static void ints(const struct onx_call *c, int64_t (*f)(int64_t))
{
	const struct ints j = { c, f };

	onx_each(c->pool, c->y[0].n, ONX_GRAIN, ints_range, &j);
}

#define NUMBER(name, f)                                                                      \
static void name##_any(const struct onx_call *c)                                             \
{                                                                                            \
	if (onx_dtype_real(c->x[0].type))                                                    \
		name##_forward(c);                                                           \
	else                                                                                 \
		ints(c, f);                                                                  \
}
NUMBER(Abs, int_abs)
NUMBER(Neg, int_neg)
NUMBER(Relu, int_relu)
NUMBER(Sign, int_sign)
NUMBER(Erf, int_erf)

static void Shrink_any(const struct onx_call *c)
{
	const struct unary *p = c->attr;

	if (onx_dtype_real(c->x[0].type)) {
		Shrink_forward(c);
		return;
	}
	for (size_t i = 0; i < c->y[0].n; i++) {
		const double x = onx_view_real(&c->x[0], i);
		onx_whole_put(&c->y[0], i, x < -p->b ? x + p->a : x > p->b ? x - p->a : 0);
	}
}

static void bitwise_not(const struct onx_call *c)
{
	ints(c, int_not);
}

static int infer_number(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a number type",
				onx_dtype_name(s->in[0].type));
	return onx_infer_same_any(s, attr, e);
}

static int infer_int(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a whole-number type",
				onx_dtype_name(s->in[0].type));
	return onx_infer_same_any(s, attr, e);
}

static int infer_not(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int rc = onx_want_type(s, 0, ONX_BOOL, e);

	return rc < 0 ? rc : onx_infer_same_any(s, attr, e);
}

static int infer_question(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_infer_same(s, attr, e);

	onx_set_out(s, 0, ONX_BOOL, &s->in[0].shape);
	return rc;
}

/* A question about each element, answered in bytes. */
#define ANSWER(name, T, prepare, f)                                                          \
ONX_CLONES static void name##_range(const void *ctx, size_t lo, size_t hi)                   \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	const T *xs = c->x[0].v;                                                             \
	uint8_t *y = c->y[0].v;                                                              \
	prepare                                                                              \
	ONX_ALIKE for (size_t i = lo; i < hi; i++) {                                         \
		const T x = xs[i];                                                           \
		y[i] = (f);                                                                  \
	}                                                                                    \
}                                                                                            \
static void name##_forward(const struct onx_call *c)                                         \
{                                                                                            \
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, name##_range, c);                            \
}
ANSWER(not, uint8_t, , !x)
ANSWER(is_nan, real, , x != x)

struct is_inf { bool negative, positive; };
static const struct onx_field is_inf_field[] = {
	{ .name = "detect_negative", .kind = F_BOOL, .off = offsetof(struct is_inf, negative), .def = "1",
	  .help = "-inf counts" },
	{ .name = "detect_positive", .kind = F_BOOL, .off = offsetof(struct is_inf, positive), .def = "1",
	  .help = "+inf counts" },
	{ .name = NULL }
};
static const struct onx_table is_inf_attr = { .name = "IsInf", .size = sizeof(struct is_inf),
					      .field = is_inf_field };

ANSWER(is_inf, real, const struct is_inf *p = c->attr; const real top = p->positive ? (real)INFINITY : (real)NAN;
       const real low = p->negative ? -(real)INFINITY : (real)NAN;, (x == top) | (x == low))

struct straight { const struct onx_call *c; double most; };

static void straight_range(const void *ctx, size_t lo, size_t hi)
{
	const struct straight *s = ctx;
	const struct onx_view *dx = &s->c->dx[0];
	const real *x = s->c->x[0].v, *dy = s->c->dy[0].v;

	for (size_t i = lo; i < hi; i++)
		onx_put((real *)dx->v + i, dx->add, s->most <= 0 || ONX_M(fabs)(x[i]) <= (real)s->most ? dy[i] : 0);
}

static void straight(const struct onx_call *c)
{
	const struct straight s = { c, 0 };

	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, straight_range, &s);
}

static void straight_unit(const struct onx_call *c)
{
	const struct straight s = { c, 1 };

	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, straight_range, &s);
}

#define ROW(dom, type_, op_, since_, infer_, table_, forward_)                                   \
	{ .domain = dom, .type = type_, .since = since_, .min_in = 1, .max_in = 1, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = op_##_keep, .alias = 1,     \
	  .flags = ONX_OP_EACH, .attr = table_, .infer = infer_, .forward = forward_, .backward = op_##_backward },
#define REALS(type, since) ROW("", #type, type, since, onx_infer_same, NULL, type##_forward)
#define TUNED(type, since) ROW("", #type, type, since, onx_infer_same, &type##_attr, type##_forward)
#define ANY(type, since)   ROW("", #type, type, since, infer_number, NULL, type##_any)
#define STEP(type_, since_, infer_, forward_)                                                    \
	{ .domain = "", .type = #type_, .since = since_, .min_in = 1, .max_in = 1, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .alias = 1, .flags = ONX_OP_EACH,   \
	  .infer = infer_, .forward = forward_ },
/* Straight-through estimates (Bengio, Leonard, Courville 2013, arXiv 1308.3432): the steps as above, with the
 * gradient of y = x; for Sign inside [-1, 1], 0 outside (Courbariaux et al. 2016, arXiv 1602.02830). */
#define STRAIGHT(type_, infer_, forward_, range_)                                                  \
	{ .domain = "onnx_adapt", .type = #type_, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0),              \
	  .flags = ONX_OP_EACH | ONX_OP_STRAIGHT, .infer = infer_, .forward = forward_, .backward = range_ },
#define ASK(type_, since_, infer_, forward_, table_)                                             \
	{ .domain = "", .type = #type_, .since = since_, .min_in = 1, .max_in = 1, .min_out = 1, \
	  .max_out = 1, .attr = table_, .infer = infer_, .forward = forward_ },

const struct onx_op ONX_R(onx_ops_unary)[] = {
	ANY(Relu, 1) TUNED(LeakyRelu, 1) REALS(Sigmoid, 1) REALS(Tanh, 1) REALS(Exp, 1) REALS(Log, 1)
	REALS(Sqrt, 1) ANY(Neg, 1) ANY(Abs, 1) REALS(Reciprocal, 1) ANY(Erf, 9) REALS(Asin, 7)
	REALS(Acos, 7) REALS(Atan, 7) REALS(Sinh, 9)
	REALS(Cosh, 9) REALS(Asinh, 9) REALS(Acosh, 9) REALS(Atanh, 9) TUNED(Elu, 1) TUNED(Selu, 6)
	TUNED(Celu, 12) REALS(Softplus, 1) REALS(Softsign, 1) TUNED(HardSigmoid, 1)
	REALS(HardSwish, 14) REALS(Mish, 18) TUNED(Gelu, 20) TUNED(Swish, 24)
	/* On trial in opset 1, taken away by opset 10; ThresholdedRelu came back as it was. */
	TUNED(Affine, 1) ROW("", "Scale", Affine, 1, onx_infer_same, &Scale_attr, Affine_forward) TUNED(ScaledTanh, 1)
	TUNED(ParametricSoftplus, 1) TUNED(ThresholdedRelu, 1)
	ROW("", "Shrink", Shrink, 9, infer_number, &Shrink_attr, Shrink_any)
	ROW("com.microsoft", "Gelu", Gelu, 1, onx_infer_same, NULL, Gelu_forward)
	ROW("com.microsoft", "QuickGelu", Swish, 1, onx_infer_same, &QuickGelu_attr, Swish_forward)
	STEP(Floor, 1, onx_infer_same, Floor_forward) STEP(Ceil, 1, onx_infer_same, Ceil_forward)
	STEP(Round, 11, onx_infer_same, Round_forward) STEP(Sign, 9, infer_number, Sign_any)
	STRAIGHT(Floor, onx_infer_same, Floor_forward, straight) STRAIGHT(Ceil, onx_infer_same, Ceil_forward, straight)
	STRAIGHT(Round, onx_infer_same, Round_forward, straight) STRAIGHT(Sign, infer_number, Sign_any, straight_unit)
	ASK(Not, 1, infer_not, not_forward, NULL) ASK(BitwiseNot, 18, infer_int, bitwise_not, NULL)
	ASK(IsNaN, 9, infer_question, is_nan_forward, NULL)
	ASK(IsInf, 10, infer_question, is_inf_forward, &is_inf_attr)
	{ .type = NULL }
};
