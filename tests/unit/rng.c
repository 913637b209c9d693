#include "unit.h"
#include <stdbool.h>
#include <math.h>
#include "base/rng.h"
#include "kernel/draw.h"

/* Random123, kat_vectors, philox4x32-10. */
static void known_answers(void **state)
{
	static const struct { uint32_t counter[4], key[2], want[4]; } kat[] = {
		{ { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	uint32_t out[4];

	(void)state;
	for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
		onx_philox(kat[i].counter, kat[i].key, out);
		assert_memory_equal(out, kat[i].want, sizeof out);
	}
}

/* xxHash's own specification: XXH64 of no bytes, seed 0. */
static void known_hash(void **state)
{
	(void)state;
	assert_true(onx_hash("", 0, 0) == UINT64_C(0xEF46DB3751D8E999));
	assert_true(onx_hash("a", 1, 0) != onx_hash("a", 1, 1));
}

/* These numbers decide results of training runs: they may never change. */
static void frozen_stream(void **state)
{
	struct onx_rng r;

	(void)state;
	onx_rng_init(&r, 1, ONX_RNG_SHUFFLE, 2, 3);
	const uint32_t first = onx_rng_u32(&r);
	onx_rng_init(&r, 1, ONX_RNG_SHUFFLE, 2, 3);
	assert_int_equal(onx_rng_u32(&r), first);
	uint32_t key_block[4], out[4];
	const uint32_t mix[4] = { 2, 0, ONX_RNG_SHUFFLE, 0 }, seed[2] = { 1, 0 };
	onx_philox(mix, seed, key_block);
	const uint32_t counter[4] = { 0, ONX_RNG_SHUFFLE, 3, 0 };
	onx_philox(counter, key_block, out);
	assert_int_equal(first, out[0]);
}

static void streams_differ(void **state)
{
	uint32_t seen[5];
	struct onx_rng r;

	(void)state;
	static const struct { uint64_t seed; enum onx_stream s; uint64_t a, b; } v[5] = {
		{ 1, ONX_RNG_TEST, 0, 0 }, { 2, ONX_RNG_TEST, 0, 0 }, { 1, ONX_RNG_NODE, 0, 0 },
		{ 1, ONX_RNG_TEST, 1, 0 }, { 1, ONX_RNG_TEST, 0, 1 } };
	for (int i = 0; i < 5; i++) {
		onx_rng_init(&r, v[i].seed, v[i].s, v[i].a, v[i].b);
		seen[i] = onx_rng_u32(&r);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(seen[i], seen[j]);
	}
}

static void skip_is_drawing(void **state)
{
	struct onx_rng drawn, skipped;

	(void)state;
	onx_rng_init(&drawn, 7, ONX_RNG_TEST, 1, 2);
	for (uint64_t n = 0; n < 50; n++) {
		onx_rng_init(&skipped, 7, ONX_RNG_TEST, 1, 2);
		onx_rng_skip(&skipped, n);
		assert_int_equal(onx_rng_u32(&skipped), onx_rng_u32(&drawn));
	}
}

static void moments(void **state)
{
	enum { N = 200000 };
	struct onx_rng r;
	double sum = 0, square = 0, unit = 0;

	(void)state;
	onx_rng_init(&r, 3, ONX_RNG_TEST, 0, 0);
	for (int i = 0; i < N; i++) {
		const double x = onx_rng_normal(&r), u = onx_rng_unit(&r);
		assert_true(isfinite(x) && u >= 0 && u < 1);
		sum += x;
		square += x * x;
		unit += u;
	}
	/* five standard errors */
	assert_true(fabs(sum / N) < 5 / sqrt(N));
	assert_true(fabs(square / N - 1) < 5 * sqrt(2.0 / N));
	assert_true(fabs(unit / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
}

static void below_is_even(void **state)
{
	int count[7] = { 0 };
	struct onx_rng r;

	(void)state;
	onx_rng_init(&r, 4, ONX_RNG_TEST, 0, 0);
	for (int i = 0; i < 70000; i++)
		count[onx_rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9500, 10500);
	assert_int_equal(onx_rng_below(&r, 1), 0);
}

static void shuffle_permutes(void **state)
{
	uint32_t v[100];
	bool seen[100] = { false };
	struct onx_rng r;
	int moved = 0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		v[i] = i;
	onx_rng_init(&r, 5, ONX_RNG_SHUFFLE, 0, 0);
	onx_rng_shuffle(&r, v, 100);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(v[i] < 100 && !seen[v[i]]);
		seen[v[i]] = true;
		moved += v[i] != i;
	}
	assert_true(moved > 80);
	onx_rng_shuffle(&r, v, 0);
}

/* Many at once are those that come one by one. */
static void draws_are_the_stream(void **state)
{
	uint32_t many[300];
	struct onx_rng r;

	(void)state;
	for (size_t n = 0; n < 300; n += 1 + n / 9)
		for (uint64_t block = 0; block < 70; block += 23) {
			onx_rng_init(&r, 11, ONX_RNG_NODE, 5, 1ull << 40 | 3);
			onx_draw(&r, block, many, n);
			onx_rng_skip(&r, 4 * block);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(many[k], onx_rng_u32(&r));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_are_the_stream), cmocka_unit_test(known_answers), cmocka_unit_test(known_hash),
		cmocka_unit_test(frozen_stream), cmocka_unit_test(streams_differ), cmocka_unit_test(skip_is_drawing),
		cmocka_unit_test(moments), cmocka_unit_test(below_is_even), cmocka_unit_test(shuffle_permutes)
	};

	return RUN(tests);
}
