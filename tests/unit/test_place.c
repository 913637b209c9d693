/* Placement: no two pieces that live at the same time overlap, and the block is no smaller than what is
 * alive at the worst step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/rng.h"
#include "plan/plan.h"

enum { MOST = 60, STEPS = 40 };

static uint32_t random_lives(struct onx_rng *r, struct onx_life *life)
{
	const uint32_t n = 1 + onx_rng_below(r, MOST);
	for (uint32_t i = 0; i < n; i++) {
		life[i].first = onx_rng_below(r, STEPS);
		life[i].last = life[i].first + onx_rng_below(r, STEPS - life[i].first);
		life[i].bytes = 64 * (size_t)onx_rng_below(r, 100);
		life[i].offset = SIZE_MAX / 2;
	}
	return n;
}

static size_t alive(const struct onx_life *life, uint32_t n)
{
	size_t most = 0;
	for (uint32_t s = 0; s < STEPS; s++) {
		size_t now = 0;
		for (uint32_t i = 0; i < n; i++)
			if (life[i].first <= s && s <= life[i].last)
				now += life[i].bytes;
		most = now > most ? now : most;
	}
	return most;
}

static void no_overlap(void **state)
{
	struct onx_rng r;
	(void)state;
	for (uint64_t set = 0; set < 2000; set++) {
		struct onx_life life[MOST] = { 0 };
		onx_rng_init(&r, 1, ONX_RNG_TEST, set, 0);
		const uint32_t n = random_lives(&r, life);
		const size_t top = onx_place(life, n);
		assert_true(top >= alive(life, n));
		for (uint32_t i = 0; i < n; i++) {
			const struct onx_life *p = &life[i];
			if (p->bytes == 0)
				continue;
			assert_true(p->offset % 64 == 0 && p->offset + p->bytes <= top);
			for (uint32_t j = 0; j < i; j++) {
				const struct onx_life *q = &life[j];
				if (q->bytes && p->first <= q->last && q->first <= p->last)
					assert_true(p->offset + p->bytes <= q->offset ||
						    q->offset + q->bytes <= p->offset);
			}
		}
	}
}

static void same_again(void **state)
{
	struct onx_life a[MOST] = { 0 }, b[MOST] = { 0 };
	struct onx_rng r;
	(void)state;
	onx_rng_init(&r, 2, ONX_RNG_TEST, 0, 0);
	const uint32_t n = random_lives(&r, a);
	for (uint32_t i = 0; i < n; i++)
		b[i] = a[i];
	assert_int_equal(onx_place(a, n), onx_place(b, n));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(a[i].offset, b[i].offset);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_overlap), cmocka_unit_test(same_again) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
