/* Elements of an array as numbers, and the writer. */
#include "data/npy.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

double onx_array_real(const struct onx_array *a, size_t i)
{
	const void *p = (const char *)a->data + i * a->width;

	switch (a->type) {
	case ONX_FLOAT: return *(const float *)p;
	case ONX_DOUBLE: return *(const double *)p;
	case ONX_FLOAT16: return onx_from_f16(*(const uint16_t *)p);
	case ONX_INT8: return *(const int8_t *)p;
	case ONX_INT16: return *(const int16_t *)p;
	case ONX_INT32: return *(const int32_t *)p;
	case ONX_INT64: return (double)*(const int64_t *)p;
	case ONX_BOOL: return *(const uint8_t *)p != 0;
	case ONX_UINT8: return *(const uint8_t *)p;
	case ONX_UINT16: return *(const uint16_t *)p;
	case ONX_UINT32: return *(const uint32_t *)p;
	case ONX_UINT64: return (double)*(const uint64_t *)p;
	default: return 0;
	}
}

/* The closed range of an integer type as doubles that are exact. */
static void int_range(enum onx_dtype t, double *lo, double *hi)
{
	int bits = onx_dtype_bits(t);

	if (t == ONX_BOOL) {
		*lo = 0;
		*hi = 1;
	} else if (onx_dtype_class(t) == ONX_CLASS_UINT) {
		*lo = 0;
		*hi = ldexp(1, bits) - 1;
	} else {
		*lo = -ldexp(1, bits - 1);
		*hi = ldexp(1, bits - 1) - 1;
	}
}

static int load_int(const struct onx_array *a, size_t first, const struct onx_view *dst,
		    struct onx_err *e)
{
	double lo, hi;

	int_range(dst->type, &lo, &hi);
	for (size_t i = 0; i < dst->n; i++) {
		double x = onx_array_real(a, first + i);
		int64_t v;

		/* 2^63 - 1 is not a double: hi is 2^63 there, which does not fit. */
		if (!(x >= lo && x <= hi) || x != floor(x) || x >= 0x1p63)
			return onx_fail(e, ONX_SHAPE, "element %zu is %g, which %s cannot hold",
					first + i, x, onx_dtype_name(dst->type));
		v = a->type == ONX_INT64 ? ((const int64_t *)a->data)[first + i] : (int64_t)x;
		onx_view_put_int(dst, i, v);
	}
	return ONX_OK;
}

int onx_array_load(const struct onx_array *a, size_t first, const struct onx_view *dst,
		   struct onx_err *e)
{
	enum onx_class to = onx_dtype_class(dst->type), from = onx_dtype_class(a->type);

	assert(first <= a->n && dst->n <= a->n - first);
	if (a->type == dst->type && a->width == dst->width) {
		if (dst->n)
			memcpy(dst->v, (const char *)a->data + first * a->width, dst->n * a->width);
		return ONX_OK;
	}
	if (from == ONX_CLASS_TEXT || from == ONX_CLASS_CPLX || to == ONX_CLASS_TEXT ||
	    to == ONX_CLASS_CPLX)
		return onx_fail(e, ONX_SHAPE, "elements are %s, wanted %s", onx_dtype_name(a->type),
				onx_dtype_name(dst->type));
	if (to != ONX_CLASS_REAL)
		return load_int(a, first, dst, e);
	for (size_t i = 0; i < dst->n; i++) {
		double x = onx_array_real(a, first + i);

		if (dst->type != ONX_FLOAT && dst->type != ONX_DOUBLE)
			x = onx_round_to((float)x, dst->type);
		onx_view_put_real(dst, i, x);
	}
	return ONX_OK;
}

/* How a view's type is written: NumPy's letters and bytes of an element. */
static const char *written_as(const struct onx_view *v, size_t *bytes)
{
	switch (v->type) {
	case ONX_DOUBLE: *bytes = 8; return "<f8";
	case ONX_FLOAT16: *bytes = 2; return "<f2";
	case ONX_INT8: case ONX_INT4: case ONX_INT2: *bytes = 1; return "|i1";
	case ONX_UINT8: case ONX_UINT4: case ONX_UINT2: *bytes = 1; return "|u1";
	case ONX_BOOL: *bytes = 1; return "|b1";
	case ONX_INT16: *bytes = 2; return "<i2";
	case ONX_UINT16: *bytes = 2; return "<u2";
	case ONX_INT32: *bytes = 4; return "<i4";
	case ONX_UINT32: *bytes = 4; return "<u4";
	case ONX_INT64: *bytes = 8; return "<i8";
	case ONX_UINT64: *bytes = 8; return "<u8";
	case ONX_COMPLEX64: *bytes = 8; return "<c8";
	case ONX_COMPLEX128: *bytes = 16; return "<c16";
	default: *bytes = 4; return "<f4";
	}
}

/* The header: magic, 1.0, length, the dict, blanks up to a multiple of 64, a line feed. */
static void put_header(struct onx_buf *b, const char *descr, const struct onx_view *v)
{
	struct onx_buf dict = { 0 };
	uint8_t start[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0 };
	size_t len;

	onx_buf_fmt(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
	for (int i = 0; i < v->rank; i++)
		onx_buf_fmt(&dict, "%s%" PRId64, i ? ", " : "", v->dim[i]);
	onx_buf_str(&dict, v->rank == 1 ? ",), }" : "), }");
	while ((10 + dict.len + 1) % 64)
		onx_buf_add(&dict, " ", 1);
	onx_buf_add(&dict, "\n", 1);
	len = dict.len;         /* ten dimensions make 300 bytes at most */
	start[8] = (uint8_t)(len & 255);
	start[9] = (uint8_t)(len >> 8);
	onx_buf_add(b, start, sizeof(start));
	onx_buf_add(b, dict.data, dict.len);
	b->lost |= dict.lost;
	onx_buf_release(&dict);
}

static int put_strings(const struct onx_view *v, struct onx_out *o, struct onx_err *e)
{
	struct onx_buf b = { 0 };
	const char *const *s = v->v;
	size_t most = 1;
	char descr[32];
	int rc;

	for (size_t i = 0; i < v->n; i++)
		if (strlen(s[i]) > most)
			most = strlen(s[i]);
	snprintf(descr, sizeof(descr), "|S%zu", most);
	put_header(&b, descr, v);
	for (size_t i = 0; i < v->n; i++) {
		size_t len = strlen(s[i]);

		onx_buf_add(&b, s[i], len);
		for (; len < most; len++)
			onx_buf_add(&b, "", 1);
	}
	rc = b.lost ? onx_nomem(e, (double)v->n * (double)most, "strings to write")
		    : onx_out_write(o, b.data, b.len, e);
	onx_buf_release(&b);
	return rc;
}

/* Elements [lo, hi) in the width of the file, appended. */
static void put_elements(const struct onx_view *v, size_t lo, size_t hi, size_t bytes,
			 struct onx_buf *b)
{
	if (v->width == bytes) {
		onx_buf_add(b, (const char *)v->v + lo * bytes, (hi - lo) * bytes);
		return;
	}
	for (size_t i = lo; i < hi; i++) {
		double x = onx_view_real(v, i);
		float f = (float)x;
		uint16_t h = onx_to_f16(f);

		if (bytes == 8)
			onx_buf_add(b, &x, 8);
		else if (bytes == 4)
			onx_buf_add(b, &f, 4);
		else
			onx_buf_add(b, &h, 2);
	}
}

static int put_numbers(const struct onx_view *v, struct onx_out *o, struct onx_err *e)
{
	enum { chunk = 1 << 14 };
	struct onx_buf b = { 0 };
	size_t bytes;
	const char *descr = written_as(v, &bytes);
	int rc = ONX_OK;

	assert(v->width == bytes || onx_dtype_real(v->type));
	put_header(&b, descr, v);
	for (size_t lo = 0; lo < v->n || b.len; lo += chunk) {
		if (lo < v->n)
			put_elements(v, lo, lo + chunk < v->n ? lo + chunk : v->n, bytes, &b);
		rc = b.lost ? onx_nomem(e, chunk * (double)bytes, "an array to write")
			    : onx_out_write(o, b.data, b.len, e);
		if (rc < 0)
			break;
		b.len = 0;
	}
	onx_buf_release(&b);
	return rc;
}

int onx_npy_write(const char *path, const struct onx_view *v, struct onx_err *e)
{
	struct onx_out o = { 0 };
	int rc;

	rc = onx_out_open(path, true, &o, e);
	if (rc < 0)
		return rc;
	rc = v->type == ONX_STRING ? put_strings(v, &o, e) : put_numbers(v, &o, e);
	if (rc == ONX_OK)
		rc = onx_out_commit(&o, e);
	onx_out_abandon(&o);
	return rc;
}
