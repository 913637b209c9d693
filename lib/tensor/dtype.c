/* tensor/dtype.c -- element types, and the short floating-point types bit by bit. */
#include "tensor/dtype.h"
#include <math.h>
#include <string.h>

struct row { uint8_t bits; enum onx_class class; const char *text; };

static const struct row rows[] = {
	{ 0, ONX_CLASS_NONE, "undefined" },
#define X(name, number, bits, class, text) [number] = { bits, ONX_CLASS_##class, text },
	ONX_DTYPES(X)
#undef X
};
enum { N_ROW = sizeof rows / sizeof *rows };

bool onx_dtype_known(int number)
{
	return number > 0 && number < N_ROW;
}

static const struct row *row_of(enum onx_dtype t)
{
	static const struct row others[] = { { 64, ONX_CLASS_NONE, "sequence" }, { 64, ONX_CLASS_NONE, "map" },
					     { 64, ONX_CLASS_NONE, "empty optional" } };

	if (t >= ONX_SEQUENCE && t <= ONX_NOTHING)
		return &others[t - ONX_SEQUENCE];
	return &rows[onx_dtype_known((int)t) ? t : 0];
}

const char *onx_dtype_name(enum onx_dtype t) { return row_of(t)->text; }
int onx_dtype_bits(enum onx_dtype t) { return row_of(t)->bits; }
enum onx_class onx_dtype_class(enum onx_dtype t) { return row_of(t)->class; }

enum onx_dtype onx_dtype_find(const char *name)
{
	for (int i = 1; i < N_ROW; i++)
		if (strcmp(rows[i].text, name) == 0)
			return (enum onx_dtype)i;
	return ONX_UNDEFINED;
}

size_t onx_dtype_bytes(enum onx_dtype t, size_t n)
{
	const size_t bits = row_of(t)->bits;

	return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

size_t onx_dtype_store(enum onx_dtype t, bool wide)
{
	const struct row *r = row_of(t);

	if (r->class == ONX_CLASS_REAL)
		return t == ONX_DOUBLE || wide ? sizeof(double) : sizeof(float);
	if (r->class == ONX_CLASS_TEXT)
		return sizeof(const char *);
	return (r->bits + 7u) / 8;
}

static uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u;
}

static float float_of(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

/* u >> shift, rounded to nearest, ties to even; 0 < shift < 32. */
static uint32_t shift_rne(uint32_t u, int shift)
{
	const uint32_t kept = u >> shift, rest = u & ((1u << shift) - 1), half = 1u << (shift - 1);

	return kept + (rest > half || (rest == half && (kept & 1)));
}

/* ---- float16 and bfloat16 ------------------------------------------------------------------ */

float onx_from_f16(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 1023;

	if (exp == 31)
		return float_of(sign | 0x7F800000 | man << 13);
	if (exp == 0) {                 /* man * 2^-24 is exact */
		const float f = (float)man * 0x1p-24f;
		return sign ? -f : f;
	}
	return float_of(sign | (exp + 112) << 23 | man << 13);
}

uint16_t onx_to_f16(float f)
{
	const uint32_t u = bits_of(f), abs = u & 0x7FFFFFFF;
	const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);

	if (abs > 0x7F800000)           /* NaN: keep what fits of the payload, but stay NaN */
		return (uint16_t)(sign | 0x7C00 | (abs >> 13 & 0x3FF ? abs >> 13 & 0x3FF : 0x200));
	if (abs >= 0x47800000)          /* 65536 and up, infinity */
		return (uint16_t)(sign | 0x7C00);
	if (abs >= 0x38800000)          /* normal; a carry out of the mantissa is right, up to Inf */
		return (uint16_t)(sign | shift_rne(abs - 0x38000000, 13));
	if (abs < 0x33000000)           /* below half of the smallest */
		return sign;
	const int shift = 126 - (int)(abs >> 23);       /* subnormal: in units of 2^-24 */
	return (uint16_t)(sign | shift_rne((abs & 0x7FFFFF) | 0x800000, shift));
}

float onx_from_bf16(uint16_t h)
{
	return float_of((uint32_t)h << 16);
}

uint16_t onx_to_bf16(float f)
{
	const uint32_t u = bits_of(f);

	if ((u & 0x7FFFFFFF) > 0x7F800000)
		return (uint16_t)(u >> 16 & 0x7F ? u >> 16 : u >> 16 | 0x40);
	return (uint16_t)shift_rne(u, 16);
}

/* ---- 8, 6 and 4 bits ----------------------------------------------------------------------- */

/* ONNX, "Float stored in 8 bits" and in 6 and 4: exponent and mantissa bits, bias, the largest finite
 * code, and the code of NaN; uz: no negative zero, its code is NaN; finite: neither NaN nor infinity,
 * `nan` is what stands for NaN.  E5M2 alone has infinities. */
struct mini { uint8_t sign, man, bias, largest, nan, inf; bool uz, finite; };

static const struct mini e4m3fn   = { 0x80, 3, 7, 0x7E, 0x7F, 0, false, false };
static const struct mini e4m3fnuz = { 0x80, 3, 8, 0x7F, 0x80, 0, true, false };
static const struct mini e5m2     = { 0x80, 2, 15, 0x7B, 0x7F, 0x7C, false, false };
static const struct mini e5m2fnuz = { 0x80, 2, 16, 0x7F, 0x80, 0, true, false };
static const struct mini e2m3     = { 0x20, 3, 1, 0x1F, 0x20, 0, false, true };
static const struct mini e3m2     = { 0x20, 2, 3, 0x1F, 0x20, 0, false, true };
static const struct mini e2m1     = { 0x08, 1, 1, 0x07, 0x07, 0, false, true };

static const struct mini *mini_of(enum onx_dtype t)
{
	switch (t) {
	case ONX_FLOAT8E4M3FN:
		return &e4m3fn;
	case ONX_FLOAT8E4M3FNUZ:
		return &e4m3fnuz;
	case ONX_FLOAT8E5M2:
		return &e5m2;
	case ONX_FLOAT8E5M2FNUZ:
		return &e5m2fnuz;
	case ONX_FLOAT6E2M3:
		return &e2m3;
	case ONX_FLOAT6E3M2:
		return &e3m2;
	case ONX_FLOAT4E2M1:
		return &e2m1;
	default:
		return NULL;
	}
}

static float from_mini(uint8_t b, const struct mini *k)
{
	const int code = b & (k->sign - 1), exp = code >> k->man, man = code & ((1 << k->man) - 1);
	float f;

	if (k->uz ? b == 0x80 : code > k->largest && code != k->inf)
		return (float)NAN;
	if (k->inf && code == k->inf)
		f = INFINITY;
	else if (exp == 0)
		f = ldexpf((float)man, 1 - k->bias - k->man);
	else
		f = ldexpf((float)(man + (1 << k->man)), exp - k->bias - k->man);
	return b & k->sign ? -f : f;
}

/* Code of |f|, with an exponent without limit above: so [x] > largest is seen after rounding. */
static int mini_code(float abs, const struct mini *k)
{
	int exp;

	if (abs == 0)
		return 0;
	frexpf(abs, &exp);              /* abs = m * 2^exp, 0.5 <= m < 1 */
	int unit = exp - 1 < 1 - k->bias ? 1 - k->bias : exp - 1;
	/* rintf rounds ties to even in the default rounding mode; the scaling is exact */
	const int man = (int)rintf(ldexpf(abs, k->man - unit));
	return ((unit + k->bias - 1) << k->man) + man;
}

static uint8_t to_mini(float f, const struct mini *k, bool saturate)
{
	const uint8_t sign = signbit(f) ? k->sign : 0;

	if (isnan(f) && k->finite)
		return saturate ? k->nan : ONX_NO_CODE;
	if (isnan(f))
		return k->uz ? k->nan : (uint8_t)(k->nan | sign);
	const int code = isinf(f) ? 0x7FFF : mini_code(fabsf(f), k);
	if (code > k->largest) {
		if (saturate)
			return (uint8_t)(k->largest | sign);
		if (k->finite)
			return ONX_NO_CODE;
		if (k->uz)
			return k->nan;
		return (uint8_t)((k->inf ? k->inf : k->nan) | sign);
	}
	if (code == 0 && k->uz)
		return 0;
	return (uint8_t)(code | sign);
}

/* E8M0 is 2^(b - 127), 255 is NaN (OCP Microscaling formats).  Cast's default rounding is upwards;
 * the sign is lost. */
static uint8_t to_e8m0(float f, bool saturate)
{
	const uint32_t abs = bits_of(f) & 0x7FFFFFFF, exp = abs >> 23, man = abs & 0x7FFFFF;

	if (exp == 255)
		return 255;
	const uint32_t up = exp == 0 ? man > 0x400000 : man != 0;       /* 2^-127 is 0x400000 */
	return (uint8_t)(exp + up == 255 && saturate ? 254 : exp + up);
}

float onx_from_f8(uint8_t b, enum onx_dtype t)
{
	const struct mini *k = mini_of(t);

	if (k)
		return from_mini(b, k);
	return b == 255 ? (float)NAN : ldexpf(1, b - 127);      /* FLOAT8E8M0 */
}

uint8_t onx_to_f8(float f, enum onx_dtype t, bool saturate)
{
	const struct mini *k = mini_of(t);

	return k ? to_mini(f, k, saturate) : to_e8m0(f, saturate);
}

float onx_round_to(float f, enum onx_dtype t)
{
	switch (t) {
	case ONX_FLOAT16:
		return onx_from_f16(onx_to_f16(f));
	case ONX_BFLOAT16:
		return onx_from_bf16(onx_to_bf16(f));
	case ONX_FLOAT8E4M3FN:
	case ONX_FLOAT8E4M3FNUZ:
	case ONX_FLOAT8E5M2:
	case ONX_FLOAT8E5M2FNUZ:
	case ONX_FLOAT8E8M0:
	case ONX_FLOAT6E2M3:
	case ONX_FLOAT6E3M2:
	case ONX_FLOAT4E2M1:
		return onx_from_f8(onx_to_f8(f, t, true), t);
	default:
		return f;
	}
}
