/* op/quantize.c -- QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: real numbers as small whole
 * numbers (or 8-bit floats) with a scale and a zero point, for the whole tensor, by axis, or by blocks
 * along an axis. */
#include <inttypes.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"
#include "op/quantize_i.h"

struct quant { int64_t axis, block, type, precision; bool saturate; };
#define AXIS { "axis", F_INT, offsetof(struct quant, axis), .def = "1", \
	.help = "axis of the scales, if there are several" }
#define BLOCK { "block_size", F_INT, offsetof(struct quant, block), .def = "0", .min = 0, .max = 1e12, \
	.help = "elements along the axis that share a scale; 0: no blocks" }
#define TYPE { "output_dtype", F_INT, offsetof(struct quant, type), .def = "0", .min = 0, .max = 64, \
	.help = "element type of the result; 0: that of the zero point or scale" }
static const struct onx_field quantize_field[] = {
	AXIS, BLOCK, TYPE,
	{ "saturate", F_BOOL, offsetof(struct quant, saturate), .def = "1",
	  .help = "8-bit floats: overflow becomes the largest number" },
	{ "precision", F_INT, offsetof(struct quant, precision), .def = "0", .min = 0, .max = 64,
	  .help = "element type of the division; here always that of the run" },
	{ .name = NULL }
};
static const struct onx_field dequantize_field[] = { AXIS, BLOCK, TYPE, { .name = NULL } };
static const struct onx_table quantize_attr = { "QuantizeLinear", sizeof(struct quant), quantize_field,
						.check = NULL };
static const struct onx_table dequantize_attr = { "DequantizeLinear", sizeof(struct quant), dequantize_field,
						  .check = NULL };

static int by_blocks(const struct onx_infer *s, const struct quant *a, int axis, struct quant_geo *g,
		     struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *scale = &s->in[1].shape;
	const int64_t n = x->dim[axis], have = scale->dim[axis];
	const int64_t even = have > 0 ? n / have + (n % have != 0) : 1;
	const int64_t block = a->block ? a->block : even > 0 ? even : 1;

	for (int d = 0; d < x->rank; d++)
		if (scale->rank != x->rank || (d == axis ? have != n / block + (n % block != 0)
						: scale->dim[d] != x->dim[d])) {
			char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
			return onx_fail(e, ONX_SHAPE, "scales of shape %s do not fit data of shape %s in blocks of %"
					PRId64, onx_shape_text(scale->rank, scale->dim, t, sizeof t),
					onx_shape_text(x->rank, x->dim, u, sizeof u), block);
		}
	g->block = (size_t)(block > 0 ? block : 1);
	g->so = (size_t)have * g->inner;
	g->sk = g->inner;
	g->si = 1;
	return ONX_OK;
}

static int geometry(struct onx_infer *s, const struct quant *a, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *scale = &s->in[1].shape;
	struct quant_geo *g = ONX_NEW(s->mem, struct quant_geo);
	size_t n;
	int axis, rc = onx_count(scale->rank, scale->dim, &n, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "quantisation");
	if (rc < 0)
		return rc;
	*g = (struct quant_geo){ .n = 1, .inner = 1, .block = 1 };
	s->geo = g;
	const bool single = scale->rank <= 1 && n == 1;
	if (onx_has_in(s, 2) && !onx_shape_equal(&s->in[2].shape, scale) &&
	    !(single && (s->in[2].shape.rank == 0 || (s->in[2].shape.rank == 1 && s->in[2].shape.dim[0] == 1))))
		return onx_fail(e, ONX_SHAPE, "the zero point has another shape than the scale");
	if (single)
		return ONX_OK;
	if ((rc = onx_axis(a->axis, x->rank, &axis, e)) < 0)
		return rc;
	g->n = (size_t)x->dim[axis];
	for (int d = axis + 1; d < x->rank; d++)
		g->inner *= (size_t)x->dim[d];
	if (scale->rank != 1 || a->block)
		return by_blocks(s, a, axis, g, e);
	if (n != g->n)
		return onx_fail(e, ONX_SHAPE, "%zu scales for axis %d of %zu", n, axis, g->n);
	g->sk = 1;
	return ONX_OK;
}

static bool is_small_float(enum onx_dtype t)
{
	return onx_dtype_real(t) && onx_dtype_bits(t) <= 8;
}

static bool is_whole(enum onx_dtype t)
{
	const enum onx_class class = onx_dtype_class(t);

	return class == ONX_CLASS_INT || class == ONX_CLASS_UINT;
}

static int named_type(const struct quant *a, enum onx_dtype *t, struct onx_err *e)
{
	if (a->type == 0)
		return ONX_OK;
	if (!onx_dtype_known((int)a->type))
		return onx_fail(e, ONX_SHAPE, "output_dtype is %" PRId64 ", wanted an element type", a->type);
	*t = (enum onx_dtype)a->type;
	return ONX_OK;
}

static int quantize_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct quant *a = attr;
	enum onx_dtype to = onx_has_in(s, 2) ? s->in[2].type : ONX_UINT8;
	int rc = s->in[0].type == ONX_INT32 ? ONX_OK : onx_want_real(s, 0, e);

	if (rc == ONX_OK && s->in[1].type != ONX_INT32)
		rc = onx_want_real(s, 1, e);
	if (rc == ONX_OK && !onx_has_in(s, 2))
		rc = named_type(a, &to, e);
	if (rc == ONX_OK && !is_small_float(to) && !(is_whole(to) && onx_dtype_bits(to) <= 16))
		rc = onx_fail(e, ONX_UNSUP, "numbers cannot be quantised to %s", onx_dtype_name(to));
	if (rc == ONX_OK)
		rc = geometry(s, a, e);
	onx_set_out(s, 0, to, &s->in[0].shape);
	return rc;
}

/* What a whole-number type can hold. */
static void limits(enum onx_dtype t, double *lo, double *hi)
{
	const bool sign = onx_dtype_class(t) == ONX_CLASS_INT;

	*hi = ldexp(1, onx_dtype_bits(t) - sign) - 1;
	*lo = sign ? -*hi - 1 : 0;
}

static double number(const struct onx_view *v, size_t i)
{
	return onx_dtype_real(v->type) ? onx_view_real(v, i) : (double)onx_view_int(v, i);
}

/* v = x / scale, rounded, moved and cut to lo..hi (NaN: lo) */
ONX_CLONES static void quantize_run(size_t n, const double *restrict x, const double *restrict scale,
				    const double *restrict zero, double lo, double hi, int32_t *restrict v)
{
	for (size_t i = 0; i < n; i++) {
		const real q = ONX_M(rint)((real)x[i] / (real)scale[i]);
		const double r = (double)q + zero[i];
		v[i] = (int32_t)(r > hi ? hi : r > lo ? r : lo);
	}
}

ONX_CLONES static void put_small(const struct onx_view *y, size_t at, size_t n, const int32_t *restrict v)
{
	if (y->width == 1)
		for (size_t i = 0; i < n; i++)
			((uint8_t *)y->v)[at + i] = (uint8_t)v[i];
	else
		for (size_t i = 0; i < n; i++)
			((uint16_t *)y->v)[at + i] = (uint16_t)v[i];
}

static void quantize_whole(const void *ctx, size_t from, size_t to)
{
	const struct onx_call *c = ctx;
	double room[3][ONX_BULK], lo, hi;
	int32_t v[ONX_BULK];

	limits(c->y[0].type, &lo, &hi);
	for (size_t i = from, n, step; i < to; i += n) {
		const size_t at = onx_scale_at(c->geo, i);
		n = onx_run_of(c->geo, i, to, &step);
		quantize_run(n, onx_bulk_reals(&c->x[0], i, 1, n, room[0]),
			     onx_bulk_reals(&c->x[1], at, step, n, room[1]), onx_zeros_of(c, at, step, n, room[2]),
			     lo, hi, v);
		put_small(&c->y[0], i, n, v);
	}
}

static void quantize_float(const void *ctx, size_t from, size_t to)
{
	const struct onx_call *c = ctx;
	const struct onx_view *y = &c->y[0];
	const bool saturate = ((const struct quant *)c->attr)->saturate;

	for (size_t i = from; i < to; i++) {
		const size_t at = onx_scale_at(c->geo, i);
		const real q = (real)number(&c->x[0], i) / (real)onx_view_real(&c->x[1], at);

		if (onx_dtype_bits(y->type) < 8 || y->type == ONX_FLOAT8E8M0)
			onx_view_put_real(y, i, (double)onx_round_to((float)q, y->type));
		else
			onx_view_put_real(y, i, (double)onx_from_f8(onx_to_f8((float)q, y->type, saturate), y->type));
	}
}

/* y = saturate(round(x / scale) + zero point), to nearest even; 8-bit floats have no zero point */
static void quantize_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, is_whole(c->y[0].type) ? quantize_whole : quantize_float, c);
}

static int dequantize_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	enum onx_dtype to = s->in[1].type;
	int rc = onx_want_real(s, 1, e);

	if (rc == ONX_OK && onx_has_in(s, 2))
		rc = onx_want_same_type(s, 0, 2, e);
	if (rc == ONX_OK && !is_whole(s->in[0].type) && !is_small_float(s->in[0].type))
		rc = onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted whole numbers or small floats",
			      onx_dtype_name(s->in[0].type));
	if (rc == ONX_OK)
		rc = named_type(attr, &to, e);
	if (rc == ONX_OK && !onx_dtype_real(to))
		rc = onx_fail(e, ONX_SHAPE, "output_dtype is %s, wanted a floating-point type", onx_dtype_name(to));
	if (rc == ONX_OK)
		rc = geometry(s, attr, e);
	onx_set_out(s, 0, to, &s->in[0].shape);
	return rc;
}

ONX_CLONES static void dequantize_run(size_t n, const double *restrict x, const double *restrict scale,
				      const double *restrict zero, double *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = (double)((real)(x[i] - zero[i]) * (real)scale[i]);
}

static void dequantize_range(const void *ctx, size_t from, size_t to)
{
	const struct onx_call *c = ctx;
	double room[4][ONX_BULK];

	for (size_t i = from, n, step; i < to; i += n) {
		const size_t at = onx_scale_at(c->geo, i);
		n = onx_run_of(c->geo, i, to, &step);
		dequantize_run(n, onx_bulk_reals(&c->x[0], i, 1, n, room[0]),
			       onx_bulk_reals(&c->x[1], at, step, n, room[1]), onx_zeros_of(c, at, step, n, room[2]),
			       room[3]);
		onx_bulk_put_reals(&c->y[0], i, n, room[3]);
	}
}

/* y = (x - zero point) * scale */
static void dequantize_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, dequantize_range, c);
}

static int dynamic_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape scalar = { .rank = 0 };

	(void)attr;
	onx_set_out(s, 0, ONX_UINT8, &s->in[0].shape);
	onx_set_out(s, 1, s->in[0].type, &scalar);
	onx_set_out(s, 2, ONX_UINT8, &scalar);
	return onx_want_real(s, 0, e);
}

void onx_dynamic_range(const real *x, size_t n, real *scale, real *zero)
{
	real lo = 0, hi = 0;

	for (size_t i = 0; i < n; i++) {
		lo = x[i] < lo ? x[i] : lo;
		hi = x[i] > hi ? x[i] : hi;
	}
	*scale = hi > lo ? (hi - lo) / 255 : 1;
	const real start = ONX_M(rint)(-lo / *scale);
	*zero = start > 255 ? 255 : start > 0 ? start : 0;
}

static void dynamic_forward(const struct onx_call *c)
{
	const real *x = c->x[0].v;
	uint8_t *y = c->y[0].v;
	real scale, zero;

	onx_dynamic_range(x, c->x[0].n, &scale, &zero);
	for (size_t i = 0; y && i < c->x[0].n; i++) {
		const real v = ONX_M(rint)(x[i] / scale) + zero;
		y[i] = (uint8_t)(v > 255 ? 255 : v > 0 ? v : 0);
	}
	if (c->n_y > 1 && c->y[1].v)
		*(real *)c->y[1].v = scale;
	if (c->n_y > 2 && c->y[2].v)
		*(uint8_t *)c->y[2].v = (uint8_t)zero;
}

/* ---- quantised and back in one step, with a straight-through estimate ---- */

static int fake_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	if (rc == ONX_OK)
		rc = onx_want_real(s, 1, e);
	if (rc == ONX_OK)
		rc = quantize_infer(s, attr, e);
	if (rc == ONX_OK && !is_whole(s->out[0].type))
		rc = onx_fail(e, ONX_UNSUP, "no straight-through estimate of %s", onx_dtype_name(s->out[0].type));
	if (rc < 0)
		return rc;
	struct onx_shape shape = s->in[0].shape;
	struct quant_geo *g = s->geo;
	limits(s->out[0].type, &g->lo, &g->hi);
	onx_set_out(s, 0, s->in[1].type, &shape);
	return ONX_OK;
}

static void fake_range(const void *ctx, size_t from, size_t to)
{
	const struct onx_call *c = ctx;
	const struct quant_geo *g = c->geo;
	double room[3][ONX_BULK], v[ONX_BULK];
	int32_t whole[ONX_BULK];

	for (size_t i = from, n, step; i < to; i += n) {
		const size_t at = onx_scale_at(g, i);
		n = onx_run_of(g, i, to, &step);
		const double *scale = onx_bulk_reals(&c->x[1], at, step, n, room[1]);
		const double *zero = onx_zeros_of(c, at, step, n, room[2]);
		quantize_run(n, onx_bulk_reals(&c->x[0], i, 1, n, room[0]), scale, zero, g->lo, g->hi, whole);
		for (size_t k = 0; k < n; k++)
			v[k] = (double)whole[k];
		dequantize_run(n, v, scale, zero, room[0]);
		onx_bulk_put_reals(&c->y[0], i, n, room[0]);
	}
}

static void fake_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, fake_range, c);
}

const struct onx_op ONX_R(onx_ops_quantize)[] = {
	{ .domain = "", .type = "QuantizeLinear", .since = 10, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_ZERO, ONX_G_ZERO, ONX_G_NEVER }, .n_grad = 3,
	  .attr = &quantize_attr, .infer = quantize_infer, .forward = quantize_forward },
	{ .domain = "", .type = "DequantizeLinear", .since = 10, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_ZERO, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 3,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(2), .attr = &dequantize_attr, .infer = dequantize_infer,
	  .scratch = onx_dequantize_scratch, .forward = dequantize_forward, .backward = onx_dequantize_backward },
	{ .domain = "", .type = "DynamicQuantizeLinear", .since = 11, .min_in = 1, .max_in = 1,
	  .min_out = 3, .max_out = 3, .grad = { ONX_G_ZERO }, .n_grad = 1, .infer = dynamic_infer,
	  .forward = dynamic_forward },
	{ .domain = "onnx_adapt", .type = "FakeQuantize", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 3, .flags = ONX_OP_STRAIGHT,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .attr = &quantize_attr, .infer = fake_infer,
	  .scratch = onx_dequantize_scratch, .forward = fake_forward, .backward = onx_fake_backward },
	{ .type = NULL }
};
