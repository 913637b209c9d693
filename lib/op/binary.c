/* op/binary.c -- y = f(a, b) on real numbers with broadcasting (ONNX Broadcasting.md).  Whole numbers go through
 * op/integer.h. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/integer.h"
#include "op/pair.h"

#define X01 (ONX_KEEP_X(0) | ONX_KEEP_X(1))
#define E(fn) ONX_M(fn)

/* A power with exponent 0 has slope 0 everywhere, also at 0 (as PyTorch). */
static real pow_da(real a, real b)
{
	if (b == 0)
		return 0;
	return b == 2 ? 2 * a : b == 3 ? 3 * a * a : b == (real)0.5 ? b / E(sqrt)(a) : b * E(pow)(a, b - 1);
}

static real pow_db(real a, real b)
{
	return a == 0 && b >= 0 ? 0 : E(pow)(a, b) * E(log)(a);
}

static real power(real a, real b)
{
	return b == 2 ? a * a : b == 3 ? a * a * a : b == (real)0.5 ? E(sqrt)(a) : E(pow)(a, b);
}

/* The remainder with the sign of b, and how often b goes into a; as Python's % and //. */
static real floor_rest(real a, real b)
{
	const real m = E(fmod)(a, b);

	if (m == 0)
		return E(copysign)(m, b);
	return (m < 0) == (b < 0) ? m : m + b;
}

static real floor_times(real a, real b)
{
	const real m = E(fmod)(a, b), q = E(rint)((a - m) / b);

	return m == 0 || (m < 0) == (b < 0) ? q : q - 1;
}

/* PRelu at 0: the slope, as PyTorch.      f(a, b)            df/da       df/db */
#define BINARY(B)                                                                            \
	B(Add,   0,             a + b,                        1,          1)                 \
	B(Sub,   0,             a - b,                        1,          -1)                \
	B(Mul,   X01,           a * b,                        b,          a)                 \
	B(Div,   X01,           a / b,                        1 / b,      -a / (b * b))      \
	B(Pow,   X01,           power(a, b),                  pow_da(a, b), pow_db(a, b))    \
	B(Mod,   X01,           floor_rest(a, b),             1,          -floor_times(a, b)) \
	B(Fmod,  X01,           E(fmod)(a, b),                1,          -E(trunc)(a / b))  \
	B(PRelu, X01,           a > 0 ? a : b * a,            a > 0 ? 1 : b, a > 0 ? 0 : a)

#define B(name, keep, f, da, db)                                                             \
ONX_CLONES static void name##_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n) \
{                                                                                            \
	const real *as = onx_at(&c->x[0], off[1]), *bs = onx_at(&c->x[1], off[2]);                   \
	real *y = onx_at(&c->y[0], off[0]);                                                      \
	if (step[1] && step[2]) {                                                            \
		for (size_t i = 0; i < n; i++) {                                             \
			const real a = as[i], b = bs[i];                                     \
			y[i] = f;                                                            \
		}                                                                            \
	} else if (step[1]) {                                                                \
		const real b = *bs;                                                          \
		for (size_t i = 0; i < n; i++) {                                             \
			const real a = as[i];                                                \
			y[i] = f;                                                            \
		}                                                                            \
	} else {                                                                             \
		const real a = *as;                                                          \
		for (size_t i = 0; i < n; i++) {                                             \
			const real b = bs[i * step[2]];                                      \
			y[i] = f;                                                            \
		}                                                                            \
	}                                                                                    \
}                                                                                            \
static void name##_real(const struct onx_call *c)                                            \
{                                                                                            \
	struct onx_walk w;                                                                   \
	onx_pair_walk(c, &w);                                                                    \
	onx_walk_run(c, &w, c->y[0].n, name##_run);                                          \
}                                                                                            \
ONX_SLOPE(name##_da, keep, da)                                                                   \
ONX_SLOPE(name##_db, keep, db)                                                                   \
static void name##_backward(const struct onx_call *c)                                        \
{                                                                                            \
	onx_pair_back(c, (keep) ? 3 : 1, name##_da, name##_db);                                             \
}
BINARY(B)
#undef B
#define B(name, keep, f, da, db) name##_keep = keep,
enum { BINARY(B) };
#undef B

struct mod { int64_t fmod; };
static const struct onx_field mod_field[] = {
	{ .name = "fmod", .kind = F_INT, .off = offsetof(struct mod, fmod), .def = "0", .min = 0, .max = 1,
	  .help = "1: the sign of the dividend, as C's fmod; 0: of the divisor (whole numbers only, up to opset 27)" },
	{ .name = NULL }
};
static const struct onx_table mod_attr = { .name = "Mod", .size = sizeof(struct mod), .field = mod_field };

#define PAIR(name, whole)                                                                    \
static void name##_forward(const struct onx_call *c)                                         \
{                                                                                            \
	if (onx_dtype_real(c->x[0].type))                                                    \
		name##_real(c);                                                              \
	else                                                                                 \
		onx_int_pairs(c, whole);                                                     \
}
PAIR(Add, ONX_I_ADD)
PAIR(Sub, ONX_I_SUB)
PAIR(Mul, ONX_I_MUL)
PAIR(Div, ONX_I_DIV)
PAIR(PRelu, ONX_I_PRELU)

static bool as_c(const struct onx_call *c)
{
	return ((const struct mod *)c->attr)->fmod;
}

static void Mod_forward(const struct onx_call *c)
{
	if (!onx_dtype_real(c->x[0].type))
		onx_int_pairs(c, as_c(c) ? ONX_I_FMOD : ONX_I_MOD);
	else if (as_c(c))
		Fmod_real(c);
	else
		Mod_real(c);
}

static void Mod_any_backward(const struct onx_call *c)
{
	if (as_c(c))
		Fmod_backward(c);
	else
		Mod_backward(c);
}

/* Base and exponent may have different types since opset 12; the result has the base's. */
static void mixed_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const size_t a = off[1] + i * step[1], b = off[2] + i * step[2];
		const double y = pow(onx_view_real(&c->x[0], a), onx_view_real(&c->x[1], b));
		if (onx_dtype_real(c->y[0].type))
			onx_view_put_real(&c->y[0], off[0] + i, y);
		else
			onx_view_put_int(&c->y[0], off[0] + i, (int64_t)(y < 9.2e18 && y > -9.2e18 ? y : 0));
	}
}

static void Pow_forward(const struct onx_call *c)
{
	struct onx_walk w;

	if (onx_dtype_real(c->x[0].type) && c->x[0].width == sizeof(real) &&
	    onx_dtype_real(c->x[1].type) && c->x[1].width == sizeof(real)) {
		Pow_real(c);
	} else if (!onx_dtype_real(c->x[0].type) && !onx_dtype_real(c->x[1].type)) {
		onx_int_pairs(c, ONX_I_POW);
	} else {
		onx_pair_walk(c, &w);
		onx_walk_run(c, &w, c->y[0].n, mixed_run);
	}
}

static void mixed_da(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n)
{
	const struct onx_call *c = ctx;
	const real *dy = onx_at(&c->dy[0], (size_t)off[0]), *a = onx_at(&c->x[0], (size_t)off[1]);

	for (size_t i = 0; i < n; i++) {
		const real b = (real)onx_view_real(&c->x[1], (size_t)off[2] + i * (size_t)step[2]);
		out[i] = dy[i] * pow_da(a[i * (size_t)step[1]], b);
	}
}

static void Pow_any_backward(const struct onx_call *c)
{
	if (onx_dtype_real(c->x[1].type) && c->x[1].width == sizeof(real))
		Pow_backward(c);
	else
		onx_pair_back(c, 3, mixed_da, Pow_db);    /* dx[1] is not there: not a real input */
}

static int infer_reals(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : onx_infer_broadcast(s, attr, e);
}

static int mod_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	if (s->version < 28 && onx_dtype_real(s->in[0].type) && !((const struct mod *)attr)->fmod)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a whole-number type (or fmod = 1, or opset 28)",
				onx_dtype_name(s->in[0].type));
	return onx_infer_numbers(s, attr, e);
}

static int pow_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape shape;

	if (s->version < 12)
		return infer_reals(s, attr, e);
	for (int i = 0; i < 2; i++) {
		const enum onx_class class = onx_dtype_class(s->in[i].type);
		if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT) {
			int rc = onx_want_real(s, i, e);
			if (rc < 0)
				return rc;
		}
	}
	int rc = onx_broadcast(&s->in[0].shape, &s->in[1].shape, &shape, e);
	onx_set_out(s, 0, s->in[0].type, &shape);
	return rc;
}

/* The slope is broadcast to x, not the other way round. */
static int prelu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];
	int rc = onx_infer_numbers(s, attr, e);

	if (rc < 0 || !s->out_wanted[0] || onx_shape_equal(&s->out[0].shape, &s->in[0].shape))
		return rc;
	return onx_fail(e, ONX_SHAPE, "slope has shape %s, wanted one that broadcasts to %s",
			onx_shape_text(s->in[1].shape.rank, s->in[1].shape.dim, b, sizeof b),
			onx_shape_text(s->in[0].shape.rank, s->in[0].shape.dim, a, sizeof a));
}

#define DIFF2 .grad = { ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 2
#define TWO(name, since_, flags_, weight_, alias_, attr_, infer_, backward_)                 \
	{ .domain = "", .type = #name, .since = since_, .min_in = 2, .max_in = 2, .min_out = 1, \
	  .max_out = 1, DIFF2, .keep = name##_keep, .flags = flags_ | ONX_OP_EACH, .weight = weight_,      \
	  .alias = alias_, .attr = attr_, .infer = infer_, .forward = name##_forward, .backward = backward_ }

const struct onx_op ONX_R(onx_ops_binary)[] = {
	TWO(Add, 7, ONX_OP_SETTING, 3, 3, NULL, onx_infer_numbers, Add_backward),
	TWO(Sub, 7, ONX_OP_SETTING, 3, 3, NULL, onx_infer_numbers, Sub_backward),
	TWO(Mul, 7, ONX_OP_SETTING, 3, 3, NULL, onx_infer_numbers, Mul_backward),
	TWO(Div, 7, ONX_OP_SETTING, 3, 3, NULL, onx_infer_numbers, Div_backward),
	TWO(Pow, 7, 0, 0, 1, NULL, pow_infer, Pow_any_backward),
	TWO(Mod, 10, 0, 0, 3, &mod_attr, mod_infer, Mod_any_backward),
	TWO(PRelu, 7, 0, 2, 1, NULL, prelu_infer, PRelu_backward),
	{ .type = NULL }
};
