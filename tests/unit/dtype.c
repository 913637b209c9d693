#include "unit.h"
#include <math.h>
#include "tensor/dtype.h"

static void names_and_sizes(void **state)
{
	(void)state;
	for (int t = 1; t <= ONX_FLOAT6E3M2; t++) {
		assert_true(onx_dtype_known(t));
		assert_int_equal(onx_dtype_find(onx_dtype_name((enum onx_dtype)t)), t);
	}
	assert_false(onx_dtype_known(0) || onx_dtype_known(ONX_FLOAT6E3M2 + 1) || onx_dtype_known(-1));
	assert_int_equal(onx_dtype_find("real"), ONX_UNDEFINED);
	assert_string_equal(onx_dtype_name((enum onx_dtype)99), "undefined");
	assert_int_equal(onx_dtype_bytes(ONX_FLOAT6E2M3, 4), 3);
	assert_int_equal(onx_dtype_bytes(ONX_FLOAT6E3M2, 5), 4);
	assert_int_equal(onx_dtype_bytes(ONX_INT2, 9), 3);
	assert_int_equal(onx_dtype_bytes(ONX_COMPLEX128, 3), 48);
	assert_int_equal(onx_dtype_store(ONX_FLOAT16, false), 4);
	assert_int_equal(onx_dtype_store(ONX_FLOAT16, true), 8);
	assert_int_equal(onx_dtype_store(ONX_DOUBLE, false), 8);
	assert_int_equal(onx_dtype_store(ONX_INT4, false), 1);
	assert_int_equal(onx_dtype_store(ONX_INT64, true), 8);
	assert_int_equal(onx_dtype_store(ONX_COMPLEX64, false), 8);
	assert_int_equal(onx_dtype_store(ONX_BOOL, false), 1);
}

/* What 16 bits with e exponent bits mean, from the definition (IEEE 754-2019, 3.4). */
static double meaning(unsigned h, int e_bits)
{
	const int m_bits = 15 - e_bits, bias = (1 << (e_bits - 1)) - 1;
	const int exp = (int)(h >> m_bits) & ((1 << e_bits) - 1), man = (int)h & ((1 << m_bits) - 1);
	double v;

	if (exp == (1 << e_bits) - 1)
		v = man ? (double)NAN : (double)INFINITY;
	else
		v = exp ? ldexp((1 << m_bits) + man, exp - bias - m_bits) : ldexp(man, 1 - bias - m_bits);
	return h & 0x8000 ? -v : v;
}

static void all_f16_and_bf16(void **state)
{
	(void)state;
	for (unsigned h = 0; h < 65536; h++) {
		const float f = onx_from_f16((uint16_t)h), b = onx_from_bf16((uint16_t)h);
		const double mf = meaning(h, 5), mb = meaning(h, 8);
		assert_true(isnan(mf) ? isnan(f) : (double)f == mf && !signbit(f) == !signbit(mf));
		assert_true(isnan(mb) ? isnan(b) : (double)b == mb && !signbit(b) == !signbit(mb));
		assert_int_equal(onx_to_f16(f), h);
		assert_int_equal(onx_to_bf16(b), h);
	}
}

/* Between two neighbours: below the middle goes down, above goes up, the middle goes to even. */
static void halves_round_to_even(void **state)
{
	(void)state;
	for (unsigned h = 0; h < 0x7C00; h++) {
		const double lo = meaning(h, 5), hi = h == 0x7BFF ? 65536 : meaning(h + 1, 5);
		const float mid = (float)((lo + hi) / 2);       /* exact in float */
		assert_int_equal(onx_to_f16(mid), h + (h & 1));
		assert_int_equal(onx_to_f16(nextafterf(mid, 0)), h);
		assert_int_equal(onx_to_f16(nextafterf(mid, INFINITY)), h + 1);
		assert_int_equal(onx_to_f16(-mid), 0x8000 | (h + (h & 1)));
	}
	assert_int_equal(onx_to_bf16(0x1.01p0f), 0x3F80);       /* tie, down to even */
	assert_int_equal(onx_to_bf16(0x1.03p0f), 0x3F82);       /* tie, up to even   */
	assert_int_equal(onx_to_bf16(3.4028234e38f), 0x7F80);
	assert_true(isnan(onx_from_f16(onx_to_f16(NAN))) && isnan(onx_from_bf16(onx_to_bf16(NAN))));
}

/* Corner values from the ONNX page on 8-bit floats. */
static const struct { enum onx_dtype t; unsigned code; double value; } table[] = {
	{ ONX_FLOAT8E4M3FN, 0x00, 0 }, { ONX_FLOAT8E4M3FN, 0x01, 0x1p-9 },
	{ ONX_FLOAT8E4M3FN, 0x08, 0x1p-6 }, { ONX_FLOAT8E4M3FN, 0x38, 1 }, { ONX_FLOAT8E4M3FN, 0x7E, 448 },
	{ ONX_FLOAT8E4M3FN, 0x7F, NAN }, { ONX_FLOAT8E4M3FN, 0xFF, NAN }, { ONX_FLOAT8E4M3FN, 0xFE, -448 },
	{ ONX_FLOAT8E4M3FNUZ, 0x01, 0x1p-10 }, { ONX_FLOAT8E4M3FNUZ, 0x40, 1 },
	{ ONX_FLOAT8E4M3FNUZ, 0x7F, 240 }, { ONX_FLOAT8E4M3FNUZ, 0x80, NAN },
	{ ONX_FLOAT8E5M2, 0x01, 0x1p-16 }, { ONX_FLOAT8E5M2, 0x3C, 1 }, { ONX_FLOAT8E5M2, 0x7B, 57344 },
	{ ONX_FLOAT8E5M2, 0x7C, INFINITY }, { ONX_FLOAT8E5M2, 0xFC, -INFINITY },
	{ ONX_FLOAT8E5M2, 0x7D, NAN }, { ONX_FLOAT8E5M2FNUZ, 0x01, 0x1p-17 },
	{ ONX_FLOAT8E5M2FNUZ, 0x40, 1 }, { ONX_FLOAT8E5M2FNUZ, 0x7F, 57344 },
	{ ONX_FLOAT8E5M2FNUZ, 0x80, NAN }, { ONX_FLOAT8E8M0, 0, 0x1p-127 }, { ONX_FLOAT8E8M0, 127, 1 },
	{ ONX_FLOAT8E8M0, 254, 0x1p127 }, { ONX_FLOAT8E8M0, 255, NAN }, { ONX_FLOAT4E2M1, 1, 0.5 },
	{ ONX_FLOAT4E2M1, 7, 6 }, { ONX_FLOAT4E2M1, 0xD, -3 }, { ONX_FLOAT6E2M3, 0x01, 0.125 },
	{ ONX_FLOAT6E2M3, 0x08, 1 }, { ONX_FLOAT6E2M3, 0x1F, 7.5 }, { ONX_FLOAT6E2M3, 0x3F, -7.5 },
	{ ONX_FLOAT6E3M2, 0x01, 0.0625 }, { ONX_FLOAT6E3M2, 0x04, 0.25 }, { ONX_FLOAT6E3M2, 0x1F, 28 },
	{ ONX_FLOAT6E3M2, 0x2C, -1 },
};

static void float8_corners(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const float f = onx_from_f8((uint8_t)table[i].code, table[i].t);
		assert_true(isnan(table[i].value) ? isnan(f) : (double)f == table[i].value);
	}
}

static const enum onx_dtype mini[] = { ONX_FLOAT8E4M3FN, ONX_FLOAT8E4M3FNUZ, ONX_FLOAT8E5M2,
				       ONX_FLOAT8E5M2FNUZ };

static void float8_round_trips(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++)
		for (unsigned b = 0; b < 256; b++) {
			const float f = onx_from_f8((uint8_t)b, mini[k]);
			if (isinf(f))           /* saturates, or stays */
				assert_int_equal(onx_to_f8(f, mini[k], false), b);
			else if (!isnan(f))
				assert_int_equal(onx_to_f8(f, mini[k], true), b);
			else
				assert_true(isnan(onx_from_f8(onx_to_f8(f, mini[k], true), mini[k])));
		}
	for (unsigned b = 0; b < 256; b++)
		assert_int_equal(onx_to_f8(onx_from_f8((uint8_t)b, ONX_FLOAT8E8M0), ONX_FLOAT8E8M0, true), b);
}

/* Types without NaN and infinity: every code there and back, halves to the even code, what is beyond. */
static void finite_types(void **state)
{
	static const struct { enum onx_dtype t; unsigned sign, nan; } rows[] = {
		{ ONX_FLOAT4E2M1, 8, 7 }, { ONX_FLOAT6E2M3, 32, 32 }, { ONX_FLOAT6E3M2, 32, 32 }
	};
	(void)state;
	for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
		const enum onx_dtype t = rows[k].t;
		const unsigned last = rows[k].sign - 1;
		const float most = onx_from_f8((uint8_t)last, t);
		for (unsigned b = 0; b < 2 * rows[k].sign; b++)
			assert_int_equal(onx_to_f8(onx_from_f8((uint8_t)b, t), t, false), b);
		for (unsigned b = 0; b < last; b++) {
			const float mid = (onx_from_f8((uint8_t)b, t) + onx_from_f8((uint8_t)(b + 1), t)) / 2;
			assert_int_equal(onx_to_f8(mid, t, true), b + (b & 1));
			assert_int_equal(onx_to_f8(nextafterf(mid, 0), t, true), b);
			assert_int_equal(onx_to_f8(nextafterf(mid, INFINITY), t, true), b + 1);
		}
		assert_int_equal(onx_to_f8(1e9f, t, true), last);
		assert_int_equal(onx_to_f8(-INFINITY, t, true), last | rows[k].sign);
		assert_int_equal(onx_to_f8(NAN, t, true), rows[k].nan);
		assert_int_equal(onx_to_f8(NAN, t, false), ONX_NO_CODE);
		assert_int_equal(onx_to_f8(INFINITY, t, false), ONX_NO_CODE);
		assert_int_equal(onx_to_f8(most * 1.001f, t, false), last);
		assert_int_equal(onx_to_f8(most * 1.5f, t, false), ONX_NO_CODE);
		assert_int_equal(onx_to_f8(-0.0f, t, true), rows[k].sign);
	}
}

static void float8_rounding(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		const unsigned largest = mini[k] == ONX_FLOAT8E4M3FN ? 0x7E : mini[k] == ONX_FLOAT8E5M2 ? 0x7B
													: 0x7F;
		for (unsigned b = 0; b < largest; b++) {
			const float lo = onx_from_f8((uint8_t)b, mini[k]);
			const float hi = onx_from_f8((uint8_t)(b + 1), mini[k]), mid = (lo + hi) / 2;
			assert_int_equal(onx_to_f8(mid, mini[k], true), b + (b & 1));
			assert_int_equal(onx_to_f8(nextafterf(mid, 0), mini[k], true), b);
			assert_int_equal(onx_to_f8(nextafterf(mid, INFINITY), mini[k], true), b + 1);
		}
		const float most = onx_from_f8((uint8_t)largest, mini[k]);
		assert_int_equal(onx_to_f8(1e9f, mini[k], true), largest);
		assert_int_equal(onx_to_f8(-1e9f, mini[k], true), largest | 0x80);
		assert_int_equal(onx_to_f8(most * 1.01f, mini[k], false), largest);
		const float over = onx_from_f8(onx_to_f8(1e9f, mini[k], false), mini[k]);
		assert_true(mini[k] == ONX_FLOAT8E5M2 ? isinf(over) : isnan(over));
	}
	assert_int_equal(onx_to_f8(-0.0f, ONX_FLOAT8E4M3FN, true), 0x80);
	assert_int_equal(onx_to_f8(-0.0f, ONX_FLOAT8E4M3FNUZ, true), 0);
	assert_int_equal(onx_to_f8(-1e-9f, ONX_FLOAT8E5M2FNUZ, true), 0);
}

static void rounding_to_a_type(void **state)
{
	(void)state;
	assert_true(onx_round_to(0.1f, ONX_FLOAT) == 0.1f);
	assert_true(onx_round_to(1e6f, ONX_FLOAT16) == INFINITY);
	assert_true(onx_round_to(1.0009765625f, ONX_FLOAT16) == 1.0009765625f);
	assert_true(onx_round_to(1.001f, ONX_BFLOAT16) == 1.0f);
	assert_true(onx_round_to(1000, ONX_FLOAT8E4M3FN) == 448);
	assert_true(onx_round_to(2.5f, ONX_FLOAT4E2M1) == 2 && onx_round_to(5, ONX_FLOAT4E2M1) == 4);
	assert_true(onx_round_to(25, ONX_FLOAT6E2M3) == 7.5f && onx_round_to(25, ONX_FLOAT6E3M2) == 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_sizes), cmocka_unit_test(all_f16_and_bf16),
		cmocka_unit_test(halves_round_to_even), cmocka_unit_test(float8_corners),
		cmocka_unit_test(float8_round_trips), cmocka_unit_test(finite_types), cmocka_unit_test(float8_rounding),
		cmocka_unit_test(rounding_to_a_type)
	};

	return RUN(tests);
}
