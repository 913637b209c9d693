/* op/binary.c -- y = f(a, b) on real numbers with broadcasting (ONNX Broadcasting.md), and the
 * variadic Sum, Mean, Max and Min.  Whole numbers go through op/integer.h. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/integer.h"
#include "op/loop.h"

#define X01 (ONX_KEEP_X(0) | ONX_KEEP_X(1))
#define E(fn) ONX_M(fn)

static real *at(const struct onx_view *v, size_t off)
{
	return (real *)v->v + off;
}

static void walk_pair(const struct onx_call *c, struct onx_walk *w)
{
	const struct onx_view *in[2] = { &c->x[0], &c->x[1] };

	onx_walk_init(w, &c->y[0], in, 2);
}

static void both_gradients(const struct onx_call *c, onx_term_fn *da, onx_term_fn *db)
{
	struct onx_walk w;

	walk_pair(c, &w);
	if (c->dx[0].v)
		onx_walk_grad(c, &w, 1, &c->dx[0], da);
	if (c->dx[1].v)
		onx_walk_grad(c, &w, 2, &c->dx[1], db);
}

/* A power with exponent 0 has slope 0 everywhere, also at 0 (as PyTorch). */
static real pow_da(real a, real b)
{
	if (b == 0)
		return 0;
	return b == 2 ? 2 * a : b == 3 ? 3 * a * a : b * E(pow)(a, b - 1);
}

static real pow_db(real a, real b)
{
	return a == 0 && b >= 0 ? 0 : E(pow)(a, b) * E(log)(a);
}

static real power(real a, real b)
{
	return b == 2 ? a * a : b == 3 ? a * a * a : b == (real)0.5 ? E(sqrt)(a) : E(pow)(a, b);
}

/* PRelu at 0: the slope, as PyTorch.      f(a, b)            df/da       df/db */
#define BINARY(B)                                                                            \
	B(Add,   0,             a + b,                        1,          1)                 \
	B(Sub,   0,             a - b,                        1,          -1)                \
	B(Mul,   X01,           a * b,                        b,          a)                 \
	B(Div,   X01,           a / b,                        1 / b,      -a / (b * b))      \
	B(Pow,   X01,           power(a, b),                  pow_da(a, b), pow_db(a, b))    \
	B(Mod,   X01,           E(fmod)(a, b),                1,          -E(trunc)(a / b))  \
	B(PRelu, X01,           a > 0 ? a : b * a,            a > 0 ? 1 : b, a > 0 ? 0 : a)

/* acc += dy times the slope in a or in b. */
#define SLOPE(name, keep, slope)                                                             \
static void name(const struct onx_call *c, double *acc, size_t every, const size_t *off,     \
		 const size_t *step, size_t n)                                               \
{                                                                                            \
	const real *dy = at(&c->dy[0], off[0]);                                              \
	const real *as = at(&c->x[0], off[1]), *bs = at(&c->x[1], off[2]);                   \
	for (size_t i = 0; i < n; i++) {                                                     \
		const real a = (keep) ? as[i * step[1]] : 0, b = (keep) ? bs[i * step[2]] : 0; \
		(void)a; (void)b;                                                            \
		acc[i * every] += (double)(dy[i] * (real)(slope));                           \
	}                                                                                    \
}

#define B(name, keep, f, da, db)                                                             \
ONX_CLONES static void name##_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n) \
{                                                                                            \
	const real *as = at(&c->x[0], off[1]), *bs = at(&c->x[1], off[2]);                   \
	real *y = at(&c->y[0], off[0]);                                                      \
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
	walk_pair(c, &w);                                                                    \
	onx_walk_run(c, &w, c->y[0].n, name##_run);                                          \
}                                                                                            \
SLOPE(name##_da, keep, da)                                                                   \
SLOPE(name##_db, keep, db)                                                                   \
static void name##_backward(const struct onx_call *c)                                        \
{                                                                                            \
	both_gradients(c, name##_da, name##_db);                                             \
}
BINARY(B)
#undef B
#define B(name, keep, f, da, db) name##_keep = keep,
enum { BINARY(B) };
#undef B

struct mod { int64_t fmod; };
static const struct onx_field mod_field[] = {
	{ .name = "fmod", .kind = F_INT, .off = offsetof(struct mod, fmod), .def = "0", .min = 0, .max = 1,
	  .help = "1: the sign of the dividend, as C's fmod; 0: of the divisor (whole numbers only)" },
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
PAIR(Mod, ((const struct mod *)c->attr)->fmod ? ONX_I_FMOD : ONX_I_MOD)

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
		walk_pair(c, &w);
		onx_walk_run(c, &w, c->y[0].n, mixed_run);
	}
}

static void mixed_da(const struct onx_call *c, double *acc, size_t every, const size_t *off,
		     const size_t *step, size_t n)
{
	const real *dy = at(&c->dy[0], off[0]), *a = at(&c->x[0], off[1]);

	for (size_t i = 0; i < n; i++) {
		const real b = (real)onx_view_real(&c->x[1], off[2] + i * step[2]);
		acc[i * every] += (double)(dy[i] * pow_da(a[i * step[1]], b));
	}
}

static void Pow_any_backward(const struct onx_call *c)
{
	if (onx_dtype_real(c->x[1].type) && c->x[1].width == sizeof(real))
		Pow_backward(c);
	else
		both_gradients(c, mixed_da, Pow_db);    /* dx[1] is not there: not a real input */
}

/* Variadic: y = x0, then y = f(y, xk), k = 1, 2, ... */
enum many { M_SUM, M_MEAN, M_MAX, M_MIN };

static void copy_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const real *x = at(&c->x[0], off[1]);
	real *y = at(&c->y[0], off[0]);

	for (size_t i = 0; i < n; i++)
		y[i] = x[i * step[1]];
}

#define FOLD(name, f)                                                                        \
static void name##_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n) \
{                                                                                            \
	const real *x = at(&c->x[0], off[1]);                                                \
	real *y = at(&c->y[0], off[0]);                                                      \
	for (size_t i = 0; i < n; i++) {                                                     \
		const real a = y[i], b = x[i * step[1]];                                     \
		y[i] = f;                                                                    \
	}                                                                                    \
}
FOLD(sum, a + b)
FOLD(max, a > b || isnan(a) ? a : b)
FOLD(min, a < b || isnan(a) ? a : b)

static void run_one(const struct onx_call *c, int k, onx_run_fn *run)
{
	const struct onx_view *in[1] = { &c->x[k] };
	struct onx_call one = *c;
	struct onx_walk w;

	one.x = &c->x[k];
	onx_walk_init(&w, &c->y[0], in, 1);
	onx_walk_run(&one, &w, c->y[0].n, run);
}

static void many_forward(const struct onx_call *c, enum many what)
{
	static onx_run_fn *const run[] = { sum_run, sum_run, max_run, min_run };
	real *y = c->y[0].v;

	if (!onx_dtype_real(c->x[0].type)) {
		onx_int_fold(c, what == M_MAX ? ONX_I_MAX : ONX_I_MIN);
		return;
	}
	if (c->x[0].v != c->y[0].v)
		run_one(c, 0, copy_run);
	for (int k = 1; k < c->n_x; k++)
		run_one(c, k, run[what]);
	for (size_t i = 0; what == M_MEAN && i < c->y[0].n; i++)
		y[i] /= (real)c->n_x;
}

static void spread_term(const struct onx_call *c, double *acc, size_t every, const size_t *off,
			const size_t *step, size_t n)
{
	const real *dy = at(&c->dy[0], off[0]);
	const double share = c->n_x > 0 ? 1.0 / c->n_x : 1;     /* n_x: by how much to divide */

	(void)step;
	for (size_t i = 0; i < n; i++)
		acc[i * every] += share * (double)dy[i];
}

/* Where several inputs attain the extreme they share the gradient (as PyTorch). */
static void count_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const real *x = at(&c->x[0], off[1]), *y = at(&c->y[0], off[0]);
	real *count = (real *)c->scratch + off[0];

	for (size_t i = 0; i < n; i++)
		count[i] += x[i * step[1]] == y[i];
}

static void extreme_term(const struct onx_call *c, double *acc, size_t every, const size_t *off,
			 const size_t *step, size_t n)
{
	const real *x = at(&c->x[0], off[1]), *y = at(&c->y[0], off[0]), *dy = at(&c->dy[0], off[0]);
	const real *count = (const real *)c->scratch + off[0];

	for (size_t i = 0; i < n; i++)
		if (x[i * step[1]] == y[i])
			acc[i * every] += (double)(dy[i] / count[i]);
}

static void many_gradients(const struct onx_call *c, int share, onx_term_fn *term)
{
	for (int k = 0; k < c->n_x; k++) {
		const struct onx_view *in[1] = { &c->x[k] };
		struct onx_call one = *c;
		struct onx_walk w;
		if (!c->dx[k].v)
			continue;
		one.x = &c->x[k];
		one.n_x = share;
		onx_walk_init(&w, &c->y[0], in, 1);
		onx_walk_grad(&one, &w, 1, &c->dx[k], term);
	}
}

static void extreme_backward(const struct onx_call *c)
{
	real *count = c->scratch;

	for (size_t i = 0; i < c->y[0].n; i++)
		count[i] = 0;
	for (int k = 0; k < c->n_x; k++)
		run_one(c, k, count_run);
	many_gradients(c, 1, extreme_term);
}

static size_t extreme_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	size_t n = 0;
	struct onx_err e;

	(void)attr;
	(void)threads;
	if (!backward || onx_count(s->out[0].shape.rank, s->out[0].shape.dim, &n, &e) < 0)
		return 0;
	return n * sizeof(real);
}

static void Sum_forward(const struct onx_call *c)  { many_forward(c, M_SUM); }
static void Mean_forward(const struct onx_call *c) { many_forward(c, M_MEAN); }
static void Max_forward(const struct onx_call *c)  { many_forward(c, M_MAX); }
static void Min_forward(const struct onx_call *c)  { many_forward(c, M_MIN); }
static void Sum_backward(const struct onx_call *c)  { many_gradients(c, 1, spread_term); }
static void Mean_backward(const struct onx_call *c) { many_gradients(c, c->n_x, spread_term); }

static int infer_numbers(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT) {
		int rc = onx_want_real(s, 0, e);
		if (rc < 0)
			return rc;
	}
	return onx_infer_broadcast(s, attr, e);
}

static int infer_reals(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : onx_infer_broadcast(s, attr, e);
}

static int mod_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	if (onx_dtype_real(s->in[0].type) && !((const struct mod *)attr)->fmod)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a whole-number type (or fmod = 1)",
				onx_dtype_name(s->in[0].type));
	return infer_numbers(s, attr, e);
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
	int rc = infer_numbers(s, attr, e);

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
#define MANY(name, since_, keep_, infer_, scratch_, backward_)                               \
	{ .domain = "", .type = #name, .since = since_, .min_in = 1, .max_in = ONX_MANY,     \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = keep_,    \
	  .alias = 1, .flags = ONX_OP_EACH, .infer = infer_, .scratch = scratch_, .forward = name##_forward,       \
	  .backward = backward_ }
#define KEEP_ALL (ONX_KEEP_Y(0) | 0xFFFF)

const struct onx_op ONX_R(onx_ops_binary)[] = {
	TWO(Add, 7, ONX_OP_SETTING, 3, 3, NULL, infer_numbers, Add_backward),
	TWO(Sub, 7, ONX_OP_SETTING, 3, 3, NULL, infer_numbers, Sub_backward),
	TWO(Mul, 7, ONX_OP_SETTING, 3, 3, NULL, infer_numbers, Mul_backward),
	TWO(Div, 7, ONX_OP_SETTING, 3, 3, NULL, infer_numbers, Div_backward),
	TWO(Pow, 7, 0, 0, 1, NULL, pow_infer, Pow_any_backward),
	TWO(Mod, 10, 0, 0, 3, &mod_attr, mod_infer, Mod_backward),
	TWO(PRelu, 7, 0, 2, 1, NULL, prelu_infer, PRelu_backward),
	MANY(Sum, 1, 0, infer_reals, NULL, Sum_backward),
	MANY(Mean, 1, 0, infer_reals, NULL, Mean_backward),
	MANY(Max, 1, KEEP_ALL, infer_numbers, extreme_scratch, extreme_backward),
	MANY(Min, 1, KEEP_ALL, infer_numbers, extreme_scratch, extreme_backward),
	{ .type = NULL }
};
