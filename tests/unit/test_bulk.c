/* tests/unit/test_bulk.c -- runs of elements read and written as the single ones are; halves without branches. */
#include <math.h>
#include <string.h>
#include "kernel/half.h"
#include "op/bulk.h"
#include "unit.h"

enum { N = 2 * ONX_BULK };

static const enum onx_dtype types[] = { ONX_BOOL, ONX_INT8, ONX_UINT8, ONX_INT16, ONX_UINT16, ONX_INT32, ONX_UINT32,
					ONX_INT64, ONX_UINT64, ONX_FLOAT, ONX_DOUBLE };
enum { TYPES = sizeof types / sizeof *types };

static struct onx_view tensor(enum onx_dtype t, void *v)
{
	static const int64_t dim[1] = { N };

	return (struct onx_view){ .v = v, .n = N, .rank = 1, .dim = dim, .type = t,
				  .width = (uint8_t)onx_dtype_store(t, false) };
}

static void fill(const struct onx_view *t)
{
	for (size_t i = 0; i < N; i++)
		if (onx_dtype_real(t->type))
			onx_view_put_real(t, i, (double)i * 0.37 - 100);
		else
			onx_view_put_int(t, i, (int64_t)(i * 0x9E3779B97F4A7C15u));
}

static void reads(void **state)
{
	static _Alignas(16) unsigned char v[N * 8];
	static int64_t ints[N];
	static double reals[N];

	(void)state;
	for (size_t k = 0; k < TYPES; k++) {
		const struct onx_view t = tensor(types[k], v);
		fill(&t);
		for (size_t step = 0; step < 4; step++)
			for (size_t n = 0; n < 40; n += 13) {
				const double *r = onx_bulk_reals(&t, 5, step, n, reals);
				for (size_t i = 0; i < n; i++)
					assert_true(r[i] == onx_view_real(&t, 5 + i * step));
				if (onx_dtype_real(t.type))
					continue;
				const int64_t *w = onx_bulk_ints(&t, 5, step, n, ints);
				for (size_t i = 0; i < n; i++)
					assert_true(w[i] == onx_view_int(&t, 5 + i * step));
			}
	}
}

static void writes(void **state)
{
	static _Alignas(16) unsigned char v[N * 8], want[N * 8];
	static int64_t ints[N];
	static double reals[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		ints[i] = (int64_t)(i * 0x9E3779B97F4A7C15u);
		reals[i] = i % 7 == 0 ? 1e30 : i % 11 == 0 ? NAN : ((double)i - 300) * 0.7;
	}
	for (size_t k = 0; k < TYPES; k++) {
		const struct onx_view t = tensor(types[k], v), w = tensor(types[k], want);
		memset(v, 0x5A, sizeof v);
		memset(want, 0x5A, sizeof want);
		onx_bulk_put_reals(&t, 3, N - 7, reals);
		for (size_t i = 0; i < N - 7; i++)
			onx_view_put_real(&w, 3 + i, reals[i]);
		assert_memory_equal(v, want, sizeof v);
		if (onx_dtype_real(t.type))
			continue;
		onx_bulk_put_ints(&t, 3, N - 7, ints);
		for (size_t i = 0; i < N - 7; i++)
			onx_view_put_int(&w, 3 + i, ints[i]);
		assert_memory_equal(v, want, sizeof v);
	}
}

/* Every 997th of all floats, and those around the ends of the ranges. */
static void halves(void **state)
{
	(void)state;
	for (uint64_t k = 0; k < (uint64_t)1 << 32; k += k % 0x800000 < 8 || k % 0x2000 == 0xfff ? 1 : 997) {
		const uint32_t bits = (uint32_t)k;
		float x;

		memcpy(&x, &bits, sizeof x);
		const float h = onx_to_half(x), b = onx_to_brain(x);
		const float want_h = onx_round_to(x, ONX_FLOAT16), want_b = onx_round_to(x, ONX_BFLOAT16);
		if (isnan(x))
			assert_true(isnan(h) && isnan(b));
		else
			assert_true(memcmp(&h, &want_h, sizeof h) == 0 && memcmp(&b, &want_b, sizeof b) == 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads), cmocka_unit_test(writes), cmocka_unit_test(halves)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
