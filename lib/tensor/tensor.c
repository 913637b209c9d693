/* tensor/tensor.c -- shapes and elements. */
#include "tensor/tensor.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_ELEMENTS (UINT64_C(1) << 48)

int onx_count(int rank, const int64_t *dim, size_t *out, struct onx_err *e)
{
	char text[ONX_SHAPE_TEXT];
	uint64_t n = 1;
	bool empty = false;

	for (int i = 0; i < rank; i++) {
		if (dim[i] < 0)
			return onx_fail(e, ONX_SHAPE, "shape %s has a negative dimension",
					onx_shape_text(rank, dim, text, sizeof text));
		/* An empty tensor's other dimensions are checked too: they are strides somewhere. */
		if (dim[i] > 0 && n > MOST_ELEMENTS / (uint64_t)dim[i])
			return onx_fail(e, ONX_SHAPE, "shape %s has more than 2^48 elements",
					onx_shape_text(rank, dim, text, sizeof text));
		if (dim[i] == 0)
			empty = true;
		else
			n *= (uint64_t)dim[i];
	}
	*out = empty ? 0 : (size_t)n;
	return ONX_OK;
}

int onx_broadcast(const struct onx_shape *a, const struct onx_shape *b, struct onx_shape *out,
		  struct onx_err *e)
{
	char ta[ONX_SHAPE_TEXT], tb[ONX_SHAPE_TEXT];
	struct onx_shape r = { .rank = a->rank > b->rank ? a->rank : b->rank };

	for (int i = 0; i < r.rank; i++) {
		const int ia = i - (r.rank - a->rank), ib = i - (r.rank - b->rank);
		const int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
		if (da != db && da != 1 && db != 1)
			return onx_fail(e, ONX_SHAPE, "cannot broadcast %s with %s: %lld against %lld",
					onx_shape_text(a->rank, a->dim, ta, sizeof ta),
					onx_shape_text(b->rank, b->dim, tb, sizeof tb),
					(long long)da, (long long)db);
		r.dim[i] = da == 1 ? db : da;
	}
	*out = r;
	return ONX_OK;
}

bool onx_shape_equal(const struct onx_shape *a, const struct onx_shape *b)
{
	return a->rank == b->rank &&
	       memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

const char *onx_shape_text(int rank, const int64_t *dim, char *buf, size_t n)
{
	size_t at = 0;

	if (n == 0)
		return buf;
	buf[0] = 0;
	for (int i = 0; i < rank && at < n; i++) {
		const int k = snprintf(buf + at, n - at, "%s%lld", i ? "," : "[", (long long)dim[i]);
		at += k > 0 ? (size_t)k : 0;
	}
	if (at < n)
		snprintf(buf + at, n - at, "%s", rank > 0 ? "]" : "[]");
	return buf;
}

/* ---- elements ------------------------------------------------------------------------------ */

static int64_t to_int(double x, double lo, double hi)
{
	if (isnan(x))
		return 0;
	x = trunc(x);
	return x <= lo ? (int64_t)lo : x >= hi ? (int64_t)hi : (int64_t)x;
}

/* Any real number to the integer type t: towards zero, and to the nearest end of the range. */
static int64_t real_to_int(double x, enum onx_dtype t)
{
	const int bits = onx_dtype_bits(t);

	if (t == ONX_INT64)
		return x >= 0x1p63 ? INT64_MAX : to_int(x, -0x1p63, 0x1.fffffffffffffp62);
	if (t == ONX_UINT64)
		return x >= 0x1p64 ? -1 : x >= 0x1p63 ? (int64_t)(uint64_t)x : to_int(x, 0, 0x1.fffffffffffffp62);
	if (onx_dtype_class(t) == ONX_CLASS_INT)
		return to_int(x, -ldexp(1, bits - 1), ldexp(1, bits - 1) - 1);
	return to_int(x, 0, ldexp(1, bits) - 1);
}

double onx_view_real(const struct onx_view *t, size_t i)
{
	switch (onx_dtype_class(t->type)) {
	case ONX_CLASS_REAL:
		return t->width == 8 ? ((const double *)t->v)[i] : (double)((const float *)t->v)[i];
	case ONX_CLASS_CPLX:            /* the real part */
		return t->width == 16 ? ((const double *)t->v)[2 * i] : (double)((const float *)t->v)[2 * i];
	case ONX_CLASS_UINT:
		if (t->width == 8)
			return (double)((const uint64_t *)t->v)[i];
		return (double)onx_view_int(t, i);
	default:
		return (double)onx_view_int(t, i);
	}
}

int64_t onx_view_int(const struct onx_view *t, size_t i)
{
	const bool is_signed = onx_dtype_class(t->type) == ONX_CLASS_INT;

	switch (onx_dtype_class(t->type)) {
	case ONX_CLASS_REAL:
	case ONX_CLASS_CPLX:
		return real_to_int(onx_view_real(t, i), ONX_INT64);
	case ONX_CLASS_BOOL:
		return ((const uint8_t *)t->v)[i] != 0;
	case ONX_CLASS_INT:
	case ONX_CLASS_UINT:
		break;
	default:
		assert(!"a number is wanted");
		return 0;
	}
	switch (t->width) {
	case 1:
		return is_signed ? ((const int8_t *)t->v)[i] : ((const uint8_t *)t->v)[i];
	case 2:
		return is_signed ? ((const int16_t *)t->v)[i] : ((const uint16_t *)t->v)[i];
	case 4:
		return is_signed ? ((const int32_t *)t->v)[i] : (int64_t)((const uint32_t *)t->v)[i];
	default:
		return ((const int64_t *)t->v)[i];
	}
}

void onx_view_put_real(const struct onx_view *t, size_t i, double x)
{
	switch (onx_dtype_class(t->type)) {
	case ONX_CLASS_REAL:
		if (t->width == 8)
			((double *)t->v)[i] = x;
		else
			((float *)t->v)[i] = (float)x;
		return;
	case ONX_CLASS_CPLX:
		if (t->width == 16)
			memcpy((double *)t->v + 2 * i, (double[]){ x, 0 }, 16);
		else
			memcpy((float *)t->v + 2 * i, (float[]){ (float)x, 0 }, 8);
		return;
	case ONX_CLASS_BOOL:
		((uint8_t *)t->v)[i] = x != 0;
		return;
	default:
		onx_view_put_int(t, i, real_to_int(x, t->type));
	}
}

void onx_view_put_int(const struct onx_view *t, size_t i, int64_t x)
{
	switch (onx_dtype_class(t->type)) {
	case ONX_CLASS_REAL:
	case ONX_CLASS_CPLX:
		onx_view_put_real(t, i, (double)x);
		return;
	case ONX_CLASS_BOOL:
		((uint8_t *)t->v)[i] = x != 0;
		return;
	case ONX_CLASS_INT:
	case ONX_CLASS_UINT:
		break;
	default:
		assert(!"a number is wanted");
		return;
	}
	switch (t->width) {
	case 1:
		((uint8_t *)t->v)[i] = (uint8_t)x;
		return;
	case 2:
		((uint16_t *)t->v)[i] = (uint16_t)x;
		return;
	case 4:
		((uint32_t *)t->v)[i] = (uint32_t)x;
		return;
	default:
		((int64_t *)t->v)[i] = x;
	}
}

/* ---- comparing ----------------------------------------------------------------------------- */

static bool whole(const struct onx_view *t)
{
	const enum onx_class c = onx_dtype_class(t->type);

	return c == ONX_CLASS_INT || c == ONX_CLASS_UINT || c == ONX_CLASS_BOOL;
}

/* |a - b|; 0 for two NaN or the same infinity, infinity where only one is. */
static double gap_of(double a, double b)
{
	if (a == b || (isnan(a) && isnan(b)))
		return 0;
	const double d = fabs(a - b);
	return isnan(d) ? (double)INFINITY : d;
}

static double gap_at(const struct onx_view *a, const struct onx_view *b, size_t i, double *va,
		     double *vb)
{
	if (onx_dtype_class(a->type) == ONX_CLASS_TEXT || onx_dtype_class(b->type) == ONX_CLASS_TEXT) {
		*va = *vb = 0;
		if (a->type != b->type)
			return INFINITY;
		const char *s = ((const char *const *)a->v)[i], *t = ((const char *const *)b->v)[i];
		return strcmp(s ? s : "", t ? t : "") == 0 ? 0 : (double)INFINITY;
	}
	*va = onx_view_real(a, i);
	*vb = onx_view_real(b, i);
	double d = gap_of(*va, *vb);
	/* 64-bit integers that differ may be the same double */
	if (d == 0 && whole(a) && whole(b) && onx_view_int(a, i) != onx_view_int(b, i))
		d = 1;
	return d;
}

/* Complex tensors are pairs of reals. */
static struct onx_view as_reals(const struct onx_view *t)
{
	struct onx_view r = *t;

	if (onx_dtype_class(t->type) == ONX_CLASS_CPLX) {
		r.type = t->width == 16 ? ONX_DOUBLE : ONX_FLOAT;
		r.width = t->width / 2;
		r.n = t->n * 2;
	}
	return r;
}

void onx_compare(const struct onx_view *a, const struct onx_view *b, double rtol, double atol,
		 struct onx_gap *gap)
{
	const struct onx_view ra = as_reals(a), rb = as_reals(b);
	double most = -INFINITY;

	*gap = (struct onx_gap){ 0 };
	assert(ra.n == rb.n);
	for (size_t i = 0; i < ra.n; i++) {
		double va, vb;
		const double d = gap_at(&ra, &rb, i, &va, &vb);
		const double room = isfinite(vb) ? atol + rtol * fabs(vb) : 0;
		const double rel = d == 0 ? 0 : d / fabs(vb);
		gap->bad += d > room;
		gap->worst_abs = fmax(gap->worst_abs, d);
		gap->worst_rel = fmax(gap->worst_rel, rel);
		if (d - room > most) {
			most = d - room;
			gap->at = i;
			gap->a = va;
			gap->b = vb;
		}
	}
}
