/* op/integer.c -- whole numbers: the loop of integer.h, comparisons, logic, bits. */
#include "op/integer.h"
#include <string.h>
#include "kernel/cpu.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/loop.h"

static uint64_t power(uint64_t a, int64_t b)
{
	uint64_t y = 1;

	if (b < 0)
		return a == 1 ? 1 : a == UINT64_MAX ? (b % 2 ? a : 1) : 0;
	for (; b > 0; b >>= 1, a *= a)
		y = b & 1 ? y * a : y;
	return y;
}

/* Truncates; the one overflow, INT64_MIN / -1, wraps. */
static int64_t divide(int64_t a, int64_t b)
{
	if (b == 0)
		return 0;
	return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t modulo(int64_t a, int64_t b, bool sign_of_divisor)
{
	const int64_t r = b == 0 || b == -1 ? 0 : a % b;

	return sign_of_divisor && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* By n bits; a negative n, which is a large one here, shifts everything out. */
static int64_t shift_left(uint64_t a, uint64_t n)
{
	return n < 64 ? (int64_t)(a << n) : 0;
}

/* A signed number brings its sign in from above: ~a is not negative where a is. */
static int64_t shift_right(uint64_t a, uint64_t n, bool is_unsigned)
{
	const uint64_t sign = !is_unsigned && a >> 63 ? UINT64_MAX : 0;

	return (int64_t)(n < 64 ? (a ^ sign) >> n ^ sign : sign);
}

/* One loop for each operation: the simple ones become vector instructions. */
#define LOOP(f)                                                                              \
	for (size_t i = 0; i < n; i++) {                                                     \
		const int64_t a = as[i], b = bs[i];                                          \
		const uint64_t ua = (uint64_t)a, ub = (uint64_t)b;                           \
		(void)ua; (void)ub;                                                          \
		y[i] = (int64_t)(f);                                                         \
	}                                                                                    \
	return
#define SIGNED(f_unsigned, f)                                                                \
	if (is_unsigned) {                                                                   \
		LOOP(f_unsigned);                                                            \
	}                                                                                    \
	LOOP(f)

ONX_CLONES static void compute(enum onx_int_op op, bool is_unsigned, const int64_t *restrict as,
			       const int64_t *restrict bs, size_t n, int64_t *restrict y)
{
	switch (op) {
	case ONX_I_ADD:   LOOP(ua + ub);
	case ONX_I_SUB:   LOOP(ua - ub);
	case ONX_I_MUL:   LOOP(ua * ub);
	case ONX_I_DIV:   SIGNED(ub ? ua / ub : 0, divide(a, b));
	case ONX_I_MOD:   SIGNED(ub ? ua % ub : 0, modulo(a, b, true));
	case ONX_I_FMOD:  SIGNED(ub ? ua % ub : 0, modulo(a, b, false));
	case ONX_I_POW:   LOOP(b == 2 ? ua * ua : power(ua, b));
	case ONX_I_PRELU: SIGNED(a, a > 0 ? ua : ua * ub);
	case ONX_I_MAX:   SIGNED(ua < ub ? b : a, a < b ? b : a);
	case ONX_I_MIN:   SIGNED(ua < ub ? a : b, a < b ? a : b);
	case ONX_I_AND:   LOOP(a & b);
	case ONX_I_OR:    LOOP(a | b);
	case ONX_I_XOR:   LOOP(a ^ b);
	case ONX_I_LEFT:  LOOP(shift_left(ua, ub));
	case ONX_I_RIGHT: LOOP(shift_right(ua, ub, is_unsigned));
	case ONX_I_EQ:    LOOP(a == b);
	case ONX_I_LT:    SIGNED(ua < ub, a < b);
	case ONX_I_GT:    SIGNED(ua > ub, a > b);
	case ONX_I_LE:    SIGNED(ua <= ub, a <= b);
	case ONX_I_GE:    SIGNED(ua >= ub, a >= b);
	}
}

static void int_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const enum onx_int_op op = *(const enum onx_int_op *)c->scratch;
	const bool is_unsigned = onx_dtype_class(c->x[0].type) == ONX_CLASS_UINT;
	int64_t room_a[ONX_BULK], room_b[ONX_BULK], y[ONX_BULK];

	for (size_t i = 0; i < n; i += ONX_BULK) {
		const size_t m = n - i < ONX_BULK ? n - i : ONX_BULK;
		const int64_t *a = onx_bulk_ints(&c->x[0], off[1] + i * step[1], step[1], m, room_a);
		const int64_t *b = onx_bulk_ints(&c->x[1], off[2] + i * step[2], step[2], m, room_b);
		compute(op, is_unsigned, a, b, m, y);
		onx_bulk_put_ints(&c->y[0], off[0] + i, m, y);
	}
}

static void run(const struct onx_call *c, enum onx_int_op op, onx_run_fn *fn)
{
	const struct onx_view *in[2] = { &c->x[0], &c->x[1] };
	struct onx_call with_op = *c;
	struct onx_walk w;

	with_op.scratch = &op;
	onx_walk_init(&w, &c->y[0], in, 2);
	onx_walk_run(&with_op, &w, c->y[0].n, fn);
}

void onx_int_pairs(const struct onx_call *c, enum onx_int_op op)
{
	run(c, op, int_run);
}

void onx_int_fold(const struct onx_call *c, enum onx_int_op op)
{
	struct onx_view x[2] = { c->x[0], c->x[0] };
	struct onx_call pair = *c;

	pair.x = x;
	onx_int_pairs(&pair, ONX_I_MAX);        /* x0 alone: the larger of x0 and x0 */
	x[0] = c->y[0];
	for (int k = 1; k < c->n_x; k++) {
		x[1] = c->x[k];
		onx_int_pairs(&pair, op);
	}
}

/* For one operator: where both follow their strides; a fixed operand is a stride of 0. */
#define COMPARE(op)                                                                          \
	if (step[1] == 1 && step[2] == 1)                                                    \
		for (size_t i = 0; i < n; i++)                                               \
			y[i] = a[i] op b[i];                                                 \
	else if (step[1] == 1 && step[2] == 0)                                               \
		for (size_t i = 0; i < n; i++)                                               \
			y[i] = a[i] op b[0];                                                 \
	else                                                                                 \
		for (size_t i = 0; i < n; i++)                                               \
			y[i] = a[i * step[1]] op b[i * step[2]];                             \
	return

ONX_CLONES static void real_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const real *restrict a = (const real *)c->x[0].v + off[1], *restrict b = (const real *)c->x[1].v + off[2];
	uint8_t *restrict y = (uint8_t *)c->y[0].v + off[0];

	switch (*(const enum onx_int_op *)c->scratch) {
	case ONX_I_EQ: COMPARE(==);
	case ONX_I_LT: COMPARE(<);
	case ONX_I_GT: COMPARE(>);
	case ONX_I_LE: COMPARE(<=);
	default:       COMPARE(>=);
	}
}

static void text_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const char *const *a = (const char *const *)c->x[0].v + off[1];
	const char *const *b = (const char *const *)c->x[1].v + off[2];
	uint8_t *y = (uint8_t *)c->y[0].v + off[0];

	for (size_t i = 0; i < n; i++)
		y[i] = strcmp(a[i * step[1]], b[i * step[2]]) == 0;
}

static void compare(const struct onx_call *c, enum onx_int_op op)
{
	const enum onx_class class = onx_dtype_class(c->x[0].type);

	run(c, op, class == ONX_CLASS_REAL ? real_run : class == ONX_CLASS_TEXT ? text_run : int_run);
}

struct bit_shift { int right; };
static const char *const bit_shift_way[] = { "LEFT", "RIGHT", NULL };
static const struct onx_field bit_shift_field[] = {
	{ .name = "direction", .kind = F_ENUM, .off = offsetof(struct bit_shift, right),
	  .choices = bit_shift_way, .help = "which way the bits move" },
	{ .name = NULL }
};
static const struct onx_table bit_shift_attr = { .name = "BitShift", .size = sizeof(struct bit_shift),
						 .field = bit_shift_field };

static void shift_forward(const struct onx_call *c)
{
	const struct bit_shift *p = c->attr;

	onx_int_pairs(c, p->right ? ONX_I_RIGHT : ONX_I_LEFT);
}

#define FORWARD(name, how, op) static void name##_forward(const struct onx_call *c) { how(c, op); }
FORWARD(Equal, compare, ONX_I_EQ)
FORWARD(Less, compare, ONX_I_LT)
FORWARD(Greater, compare, ONX_I_GT)
FORWARD(LessOrEqual, compare, ONX_I_LE)
FORWARD(GreaterOrEqual, compare, ONX_I_GE)
FORWARD(And, onx_int_pairs, ONX_I_AND)
FORWARD(Or, onx_int_pairs, ONX_I_OR)
FORWARD(Xor, onx_int_pairs, ONX_I_XOR)

static int infer_compare(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_infer_broadcast(s, attr, e);

	if (rc == ONX_OK && onx_has_out(s, 0))
		s->out[0].type = ONX_BOOL;
	return rc;
}

/* Order needs numbers. */
static int infer_order(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a number type",
				onx_dtype_name(s->in[0].type));
	return infer_compare(s, attr, e);
}

static int infer_logic(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_type(s, 0, ONX_BOOL, e);

	return rc < 0 ? rc : onx_infer_broadcast(s, attr, e);
}

static int infer_bits(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a whole-number type",
				onx_dtype_name(s->in[0].type));
	return onx_infer_broadcast(s, attr, e);
}

#define ROW(name, since_, infer_, forward_)                                                  \
	{ .domain = "", .type = name, .since = since_, .min_in = 2, .max_in = 2, .min_out = 1, \
	  .max_out = 1, .infer = infer_, .forward = forward_ }

const struct onx_op ONX_R(onx_ops_integer)[] = {
	ROW("Equal", 7, infer_compare, Equal_forward),
	ROW("Less", 7, infer_order, Less_forward),
	ROW("Greater", 7, infer_order, Greater_forward),
	ROW("LessOrEqual", 12, infer_order, LessOrEqual_forward),
	ROW("GreaterOrEqual", 12, infer_order, GreaterOrEqual_forward),
	ROW("And", 7, infer_logic, And_forward),
	ROW("Or", 7, infer_logic, Or_forward),
	ROW("Xor", 7, infer_logic, Xor_forward),
	ROW("BitwiseAnd", 18, infer_bits, And_forward),
	ROW("BitwiseOr", 18, infer_bits, Or_forward),
	ROW("BitwiseXor", 18, infer_bits, Xor_forward),
	{ .domain = "", .type = "BitShift", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1,
	  .max_out = 1, .attr = &bit_shift_attr, .infer = infer_bits, .forward = shift_forward },
	{ .type = NULL }
};
