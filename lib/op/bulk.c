/* op/bulk.c -- see bulk.h. */
#include "op/bulk.h"
#include <stdbool.h>
#include "kernel/cpu.h"

/* One loop for neighbours, one for a single element, one for the rest. */
#define READ(name, T, U, get)                                                                        \
ONX_CLONES static void name(const void *v, size_t step, size_t n, U *restrict to)                    \
{                                                                                                    \
	const T *restrict x = v;                                                                     \
	if (step == 1)                                                                               \
		for (size_t i = 0; i < n; i++)                                                       \
			to[i] = (U)(get(x[i]));                                                      \
	else if (step == 0)                                                                          \
		for (size_t i = 0; i < n; i++)                                                       \
			to[i] = (U)(get(x[0]));                                                      \
	else                                                                                         \
		for (size_t i = 0; i < n; i++)                                                       \
			to[i] = (U)(get(x[i * step]));                                               \
}
#define WRITE(name, T, U, get)                                                                       \
ONX_CLONES static void name(void *v, size_t n, const U *restrict from)                               \
{                                                                                                    \
	T *restrict y = v;                                                                           \
	for (size_t i = 0; i < n; i++)                                                               \
		y[i] = (T)(get(from[i]));                                                            \
}
#define SAME(x) (x)
#define TRUE(x) ((x) != 0)
READ(int_b, uint8_t, int64_t, TRUE)
READ(int_s1, int8_t, int64_t, SAME)
READ(int_u1, uint8_t, int64_t, SAME)
READ(int_s2, int16_t, int64_t, SAME)
READ(int_u2, uint16_t, int64_t, SAME)
READ(int_s4, int32_t, int64_t, SAME)
READ(int_u4, uint32_t, int64_t, SAME)
READ(int_8, int64_t, int64_t, SAME)
READ(real_b, uint8_t, double, TRUE)
READ(real_s1, int8_t, double, SAME)
READ(real_u1, uint8_t, double, SAME)
READ(real_s2, int16_t, double, SAME)
READ(real_u2, uint16_t, double, SAME)
READ(real_s4, int32_t, double, SAME)
READ(real_u4, uint32_t, double, SAME)
READ(real_s8, int64_t, double, SAME)
READ(real_u8, uint64_t, double, SAME)
READ(real_f, float, double, SAME)
READ(real_d, double, double, SAME)
WRITE(put_b, uint8_t, int64_t, TRUE)
WRITE(put_1, uint8_t, int64_t, SAME)
WRITE(put_2, uint16_t, int64_t, SAME)
WRITE(put_4, uint32_t, int64_t, SAME)
WRITE(put_8, int64_t, int64_t, SAME)
WRITE(put_f, float, double, SAME)
WRITE(put_d, double, double, SAME)

typedef void read_ints(const void *v, size_t step, size_t n, int64_t *to);
typedef void read_reals(const void *v, size_t step, size_t n, double *to);

static const void *element(const struct onx_view *t, size_t at)
{
	return (const char *)t->v + at * t->width;
}

static int log2_of(size_t width)
{
	return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
}

const int64_t *onx_bulk_ints(const struct onx_view *t, size_t at, size_t step, size_t n, int64_t *to)
{
	static read_ints *const read[2][4] = { { int_u1, int_u2, int_u4, int_8 }, { int_s1, int_s2, int_s4, int_8 } };
	const enum onx_class class = onx_dtype_class(t->type);

	if (t->width == sizeof *to && step == 1)
		return element(t, at);
	(class == ONX_CLASS_BOOL ? int_b : read[class == ONX_CLASS_INT][log2_of(t->width)])
		(element(t, at), step, n, to);
	return to;
}

const double *onx_bulk_reals(const struct onx_view *t, size_t at, size_t step, size_t n, double *to)
{
	static read_reals *const read[2][4] = { { real_u1, real_u2, real_u4, real_u8 },
						{ real_s1, real_s2, real_s4, real_s8 } };
	const enum onx_class class = onx_dtype_class(t->type);

	if (class == ONX_CLASS_CPLX) {
		for (size_t i = 0; i < n; i++)
			to[i] = onx_view_real(t, at + i * step);
	} else if (class == ONX_CLASS_REAL && t->width == sizeof *to && step == 1) {
		return element(t, at);
	} else if (class == ONX_CLASS_REAL) {
		(t->width == sizeof *to ? real_d : real_f)(element(t, at), step, n, to);
	} else {
		(class == ONX_CLASS_BOOL ? real_b : read[class == ONX_CLASS_INT][log2_of(t->width)])
			(element(t, at), step, n, to);
	}
	return to;
}

void onx_bulk_put_ints(const struct onx_view *t, size_t at, size_t n, const int64_t *from)
{
	static void (*const put[4])(void *, size_t, const int64_t *) = { put_1, put_2, put_4, put_8 };
	void *to = (char *)t->v + at * t->width;

	(onx_dtype_class(t->type) == ONX_CLASS_BOOL ? put_b : put[log2_of(t->width)])(to, n, from);
}

void onx_bulk_put_reals(const struct onx_view *t, size_t at, size_t n, const double *from)
{
	void *to = (char *)t->v + at * t->width;

	if (onx_dtype_class(t->type) == ONX_CLASS_REAL)
		(t->width == sizeof *from ? put_d : put_f)(to, n, from);
	else
		for (size_t i = 0; i < n; i++)
			onx_view_put_real(t, at + i, from[i]);
}
