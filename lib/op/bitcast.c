/* op/bitcast.c -- BitCast: the bits of numbers read as another type of the same width.  Real types stand in
 * memory as float or double, so their bits are made and read here. */
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"

struct bitcast { int64_t to; };
static const struct onx_field bitcast_field[] = {
	{ "to", F_INT, offsetof(struct bitcast, to), .min = 1, .max = 64, .help = "number of the element type" },
	{ .name = NULL }
};
static const struct onx_table bitcast_attr = { "BitCast", sizeof(struct bitcast), bitcast_field, .check = NULL };

static bool has_bits(enum onx_dtype t)
{
	const enum onx_class class = onx_dtype_class(t);

	return class != ONX_CLASS_NONE && class != ONX_CLASS_TEXT;
}

static int bitcast_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_dtype from = s->in[0].type;
	const int number = (int)((const struct bitcast *)attr)->to;

	if (!onx_dtype_known(number))
		return onx_fail(e, ONX_SHAPE, "'to' is %d, wanted the number of an element type", number);
	const enum onx_dtype to = (enum onx_dtype)number;
	if (!has_bits(from) || !has_bits(to))
		return onx_fail(e, ONX_UNSUP, "the bits of %s as %s are not supported", onx_dtype_name(from),
				onx_dtype_name(to));
	if (onx_dtype_bits(from) != onx_dtype_bits(to))
		return onx_fail(e, ONX_SHAPE, "%s has %d bits, %s has %d", onx_dtype_name(from), onx_dtype_bits(from),
				onx_dtype_name(to), onx_dtype_bits(to));
	onx_set_out(s, 0, to, &s->in[0].shape);
	return ONX_OK;
}

static uint64_t bits_of(const struct onx_view *x, size_t i)
{
	const double wide = onx_dtype_real(x->type) ? onx_view_real(x, i) : 0;
	const float f = (float)wide;
	uint64_t bits = 0;
	uint32_t word;

	switch (x->type) {
	case ONX_DOUBLE:   memcpy(&bits, &wide, sizeof bits); return bits;
	case ONX_FLOAT:    memcpy(&word, &f, sizeof word); return word;
	case ONX_FLOAT16:  return onx_to_f16(f);
	case ONX_BFLOAT16: return onx_to_bf16(f);
	case ONX_COMPLEX64: memcpy(&bits, (const char *)x->v + i * sizeof bits, sizeof bits); return bits;
	default:
		return onx_dtype_real(x->type) ? onx_to_f8(f, x->type, true) : (uint64_t)onx_view_int(x, i);
	}
}

static void put_bits(const struct onx_view *y, size_t i, uint64_t bits)
{
	const int width = onx_dtype_bits(y->type);
	const uint32_t word = (uint32_t)bits;
	double wide;
	float f;

	switch (y->type) {
	case ONX_DOUBLE:   memcpy(&wide, &bits, sizeof wide); onx_view_put_real(y, i, wide); return;
	case ONX_FLOAT:    memcpy(&f, &word, sizeof f); onx_view_put_real(y, i, f); return;
	case ONX_FLOAT16:  onx_view_put_real(y, i, onx_from_f16((uint16_t)bits)); return;
	case ONX_BFLOAT16: onx_view_put_real(y, i, onx_from_bf16((uint16_t)bits)); return;
	case ONX_COMPLEX64: memcpy((char *)y->v + i * sizeof bits, &bits, sizeof bits); return;
	default:
		break;
	}
	if (onx_dtype_real(y->type)) {
		onx_view_put_real(y, i, onx_from_f8((uint8_t)bits, y->type));
		return;
	}
	if (onx_dtype_class(y->type) == ONX_CLASS_INT && width < 64)     /* the sign goes on upwards */
		bits = (bits ^ (uint64_t)1 << (width - 1)) - ((uint64_t)1 << (width - 1));
	onx_view_put_int(y, i, (int64_t)bits);
}

static void bitcast_forward(const struct onx_call *c)
{
	const int width = onx_dtype_bits(c->x[0].type);
	const uint64_t mask = width < 64 ? ((uint64_t)1 << width) - 1 : UINT64_MAX;

	if (width > 64 && c->y[0].n > 0) {              /* complex128 stays what it is */
		memcpy(c->y[0].v, c->x[0].v, c->y[0].n * c->y[0].width);
		return;
	}
	for (size_t i = 0; i < c->y[0].n; i++)
		put_bits(&c->y[0], i, bits_of(&c->x[0], i) & mask);
}

const struct onx_op ONX_R(onx_ops_bitcast)[] = {
	{ .domain = "", .type = "BitCast", .since = 26, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER }, .n_grad = 1, .flags = ONX_OP_WIDTHS, .attr = &bitcast_attr,
	  .infer = bitcast_infer, .forward = bitcast_forward },
	{ .type = NULL }
};
