/* model/convert.c -- elements between the form of the file and the form of memory (tensor/dtype.h).
 *
 * Two steps, a block at a time: `fetch` brings elements from raw_data or typed fields into a block
 * of bytes in the type's own width (2- and 4-bit elements a byte each), `decode` makes numbers of
 * them; the way back is `encode` and `put`.  So each storage form and each type is handled once. */
#include "model/model_i.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 1024 }; /* elements; a multiple of 8, so short ones start at a byte */

static size_t own_width(enum onx_dtype t)
{
	const int bits = onx_dtype_bits(t);
	return bits >= 8 ? (size_t)bits / 8 : 1;
}

/* --- storage <-> block ------------------------------------------------------------------------ */

/* Short elements follow each other from the lowest bit up; one of six bits can reach into the next
 * byte.  An entry of int32_data is a byte of them, and of six bits one element. */
static void fetch_short(const struct onx_weight *w, unsigned bits, size_t i, size_t n, uint8_t *b)
{
	const Onnx__TensorProto *t = w->proto;
	const uint8_t *raw = w->raw;
	const unsigned mask = (1u << bits) - 1;

	for (size_t k = 0; k < n; k++) {
		const size_t at = (i + k) * bits / 8;
		const unsigned shift = (unsigned)((i + k) * bits % 8);
		unsigned word = raw ? raw[at] : (unsigned)t->int32_data[bits == 6 ? i + k : at] & 0xff;
		if (raw && shift + bits > 8)
			word |= (unsigned)raw[at + 1] << 8;
		b[k] = (uint8_t)(word >> (!raw && bits == 6 ? 0 : shift) & mask);
	}
}

/* From the first bit of a byte on: the element that begins a byte sets all of it. */
static void put_short(const struct onx_weight *w, unsigned bits, size_t i, size_t n,
		      const uint8_t *b)
{
	const Onnx__TensorProto *t = w->proto;
	uint8_t *raw = (uint8_t *)(uintptr_t)w->raw;

	for (size_t k = 0; k < n; k++) {
		const size_t at = (i + k) * bits / 8;
		const unsigned s = (unsigned)((i + k) * bits % 8), word = (unsigned)b[k] << s;
		if (!raw && bits == 6)
			t->int32_data[i + k] = b[k];
		else if (!raw)
			t->int32_data[at] = (int32_t)(s == 0 ? word : (unsigned)t->int32_data[at] | word);
		else
			raw[at] = (uint8_t)(s == 0 ? word : raw[at] | word);
		if (raw && s + bits > 8)
			raw[at + 1] = (uint8_t)(word >> 8);
	}
}

/* Where the typed field of w begins, and the bytes of an entry. */
static void *typed_field(const struct onx_weight *w, size_t *width)
{
	const Onnx__TensorProto *t = w->proto;

	switch (onx_holder_of(w->type)) {
	case ONX_IN_FLOAT:
		*width = 4;
		return t->float_data;
	case ONX_IN_INT32:
		*width = 4;
		return t->int32_data;
	case ONX_IN_INT64:
		*width = 8;
		return t->int64_data;
	case ONX_IN_DOUBLE:
		*width = 8;
		return t->double_data;
	default:
		*width = 8;
		return t->uint64_data;
	}
}

static void fetch(const struct onx_weight *w, size_t i, size_t n, uint8_t *b)
{
	const size_t width = own_width(w->type);
	const int bits = onx_dtype_bits(w->type);
	size_t entry;

	if (bits < 8) {
		fetch_short(w, (unsigned)bits, i, n, b);
	} else if (w->raw) {
		memcpy(b, (const uint8_t *)w->raw + i * width, n * width);
	} else {
		const uint8_t *v = typed_field(w, &entry);
		/* The low bytes of an entry are the element, whatever its sign. */
		if (entry <= width)
			memcpy(b, v + i * width, n * width);
		else
			for (size_t k = 0; k < n; k++)
				memcpy(b + k * width, v + (i + k) * entry, width);
	}
}

static void put(const struct onx_weight *w, size_t i, size_t n, const uint8_t *b)
{
	const size_t width = own_width(w->type);
	const int bits = onx_dtype_bits(w->type);
	size_t entry;

	if (bits < 8) {
		put_short(w, (unsigned)bits, i, n, b);
		return;
	}
	if (w->raw) {
		memcpy((uint8_t *)(uintptr_t)w->raw + i * width, b, n * width);
		return;
	}
	uint8_t *v = typed_field(w, &entry);
	if (entry <= width) {
		memcpy(v + i * width, b, n * width);
		return;
	}
	const bool sign = onx_dtype_class(w->type) == ONX_CLASS_INT;
	for (size_t k = 0; k < n; k++) {
		const uint8_t *x = b + k * width;
		memset(v + (i + k) * entry, sign && x[width - 1] & 0x80 ? 0xff : 0, entry);
		memcpy(v + (i + k) * entry, x, width);
	}
}

/* --- block <-> numbers ------------------------------------------------------------------------ */

static float get_short_real(enum onx_dtype t, const uint8_t *b)
{
	uint16_t h;

	switch (t) {
	case ONX_FLOAT16:
		memcpy(&h, b, 2);
		return onx_from_f16(h);
	case ONX_BFLOAT16:
		memcpy(&h, b, 2);
		return onx_from_bf16(h);
	default:
		return onx_from_f8(*b, t);
	}
}

/* False if the type cannot hold x: a finite number became none. */
static bool set_short_real(enum onx_dtype t, float x, uint8_t *b)
{
	uint16_t h;

	switch (t) {
	case ONX_FLOAT16:
		h = onx_to_f16(x);
		memcpy(b, &h, 2);
		break;
	case ONX_BFLOAT16:
		h = onx_to_bf16(x);
		memcpy(b, &h, 2);
		break;
	default:
		*b = onx_to_f8(x, t, false);
		if (onx_dtype_bits(t) < 8)
			return *b != ONX_NO_CODE;
	}
	return !isfinite(x) || isfinite(get_short_real(t, b));
}

static void decode_real(enum onx_dtype t, const uint8_t *b, size_t n, size_t width, uint8_t *dst)
{
	const size_t own = own_width(t);

	if ((t == ONX_FLOAT || t == ONX_DOUBLE) && own == width) {
		memcpy(dst, b, n * width);
		return;
	}
	for (size_t k = 0; k < n; k++) {
		double d;
		float f;
		if (t == ONX_DOUBLE) {
			memcpy(&d, b + k * own, 8);
		} else if (t == ONX_FLOAT) {
			memcpy(&f, b + k * own, 4);
			d = (double)f;
		} else {
			d = (double)get_short_real(t, b + k * own);
		}
		f = (float)d;
		memcpy(dst + k * width, width == 8 ? (const void *)&d : (const void *)&f, width);
	}
}

static bool encode_real(enum onx_dtype t, const uint8_t *src, size_t width, size_t n, uint8_t *b,
			size_t *bad)
{
	const size_t own = own_width(t);

	if ((t == ONX_FLOAT || t == ONX_DOUBLE) && own == width) {
		memcpy(b, src, n * width);
		return true;
	}
	for (size_t k = 0; k < n; k++) {
		double d;
		float f;
		if (width == 8) {
			memcpy(&d, src + k * 8, 8);
		} else {
			memcpy(&f, src + k * 4, 4);
			d = (double)f;
		}
		f = (float)d;
		*bad = k;
		if (t == ONX_DOUBLE)
			memcpy(b + k * own, &d, 8);
		else if (isfinite(d) && !isfinite(f))
			return false;
		else if (t == ONX_FLOAT)
			memcpy(b + k * own, &f, 4);
		else if (!set_short_real(t, f, b + k * own))
			return false;
	}
	return true;
}

/* Integers, bool and complex numbers keep their width; short integers take a byte. */
static void decode_plain(enum onx_dtype t, const uint8_t *b, size_t n, size_t width, uint8_t *dst)
{
	const int bits = onx_dtype_bits(t);

	if (bits >= 8 && t != ONX_BOOL) {
		memcpy(dst, b, n * width);
		return;
	}
	const unsigned top = onx_dtype_class(t) == ONX_CLASS_INT ? 1u << (bits - 1) : 0;
	for (size_t k = 0; k < n; k++)
		dst[k] = t == ONX_BOOL ? b[k] != 0 : (uint8_t)((b[k] ^ top) - top);
}

static bool encode_plain(enum onx_dtype t, const uint8_t *src, size_t width, size_t n, uint8_t *b,
			 size_t *bad)
{
	const int bits = onx_dtype_bits(t);

	if (bits >= 8) {
		memcpy(b, src, n * width);
		return true;
	}
	const bool sign = onx_dtype_class(t) == ONX_CLASS_INT;
	const int low = sign ? -(1 << (bits - 1)) : 0,
		  high = sign ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
	for (size_t k = 0; k < n; k++) {
		const int x = sign ? (int8_t)src[k] : src[k];
		*bad = k;
		if (x < low || x > high)
			return false;
		b[k] = (uint8_t)(x & ((1 << bits) - 1));
	}
	return true;
}

/* --- the public pair -------------------------------------------------------------------------- */

static int check_pair(const struct onx_weight *w, const struct onx_view *v, struct onx_err *e)
{
	const Onnx__TensorProto *t = w->proto;
	char who[160];

	onx_weight_name(t, who, sizeof who);
	if (w->type == ONX_UNDEFINED)
		return onx_fail(e, ONX_UNSUP,
				"%s has element type %d, which this build does not know", who,
				(int)t->data_type);
	if (t->segment)
		return onx_fail(e, ONX_UNSUP, "%s is split into segments", who);
	if (w->n != v->n)
		return onx_fail(e, ONX_SHAPE, "%s has %zu elements, not %zu", who, w->n, v->n);
	const bool real = onx_dtype_real(w->type);
	if (real ? !onx_dtype_real(v->type) || (v->width != 4 && v->width != 8)
		 : v->type != w->type || v->width != onx_dtype_store(w->type, false))
		return onx_fail(e, ONX_SHAPE, "%s: %s cannot be read or written as %s (%d bytes)",
				who, onx_dtype_name(w->type), onx_dtype_name(v->type), v->width);
	return ONX_OK;
}

static void load_strings(const struct onx_weight *w, const struct onx_view *dst)
{
	const Onnx__TensorProto *t = w->proto;
	const char **s = dst->v;

	for (size_t i = 0; i < w->n; i++)
		s[i] = t->string_data[i].data ? (const char *)t->string_data[i].data : "";
}

int onx_weight_load(const struct onx_weight *w, const struct onx_view *dst, struct onx_err *e)
{
	uint8_t block[BLOCK * 16];
	const bool real = onx_dtype_real(w->type);

	int rc = check_pair(w, dst, e);
	if (rc < 0)
		return rc;
	if (w->type == ONX_STRING) {
		load_strings(w, dst);
		return ONX_OK;
	}
	const size_t own = w->type == ONX_FLOAT ? 4 : w->type == ONX_DOUBLE ? 8 : 0;
	if (w->raw && w->n && dst->width == own) {
		memcpy(dst->v, w->raw, w->n * dst->width);
		return ONX_OK;
	}
	for (size_t i = 0; i < w->n; i += BLOCK) {
		const size_t n = w->n - i < BLOCK ? w->n - i : BLOCK;
		uint8_t *to = (uint8_t *)dst->v + i * dst->width;
		fetch(w, i, n, block);
		if (real)
			decode_real(w->type, block, n, dst->width, to);
		else
			decode_plain(w->type, block, n, dst->width, to);
	}
	return ONX_OK;
}

int onx_weight_encode(const struct onx_weight *w, const struct onx_view *src, struct onx_err *e)
{
	uint8_t block[BLOCK * 16];
	const bool real = onx_dtype_real(w->type);
	char who[160];

	int rc = check_pair(w, src, e);
	if (rc < 0)
		return rc;
	if (w->type == ONX_STRING)
		return onx_fail(e, ONX_UNSUP, "%s: strings cannot be stored back",
				onx_weight_name(w->proto, who, sizeof who));
	for (size_t i = 0; i < w->n; i += BLOCK) {
		const size_t n = w->n - i < BLOCK ? w->n - i : BLOCK;
		const uint8_t *from = (const uint8_t *)src->v + i * src->width;
		size_t bad = 0;
		if (real ? !encode_real(w->type, from, src->width, n, block, &bad)
			 : !encode_plain(w->type, from, src->width, n, block, &bad))
			return onx_fail(e, ONX_NUMERIC,
					"%s: element %zu is %g, which %s cannot hold",
					onx_weight_name(w->proto, who, sizeof who), i + bad,
					onx_view_real(src, i + bad), onx_dtype_name(w->type));
		put(w, i, n, block);
	}
	return ONX_OK;
}

/* A checksum of bytes that have changed would be wrong: it goes. */
static bool drop_checksum(Onnx__TensorProto *t)
{
	size_t keep = 0;

	for (size_t i = 0; i < t->n_external_data; i++)
		if (strcmp(onx_or_empty(t->external_data[i]->key), "checksum") != 0)
			t->external_data[keep++] = t->external_data[i];
	const bool had = keep != t->n_external_data;
	t->n_external_data = keep;
	return had;
}

int onx_weight_store(struct onx_model *m, const struct onx_weight *w, const struct onx_view *src,
		     struct onx_err *e)
{
	const struct onx_ext *x = w->external ? onx_external_find(m, w->proto) : NULL;

	if (x) {
		m->data[x->file].dirty = true;
		m->dirty |= drop_checksum(w->proto);
	} else {
		m->dirty = true;
	}
	return onx_weight_encode(w, src, e);
}
