/* unit/test_sums.c -- sums over dimensions of boxes (op/sums.h) beside plain loops, on one thread and on three. */
#include <math.h>
#include "base/rng.h"
#include "op/sums.h"
#include "unit.h"

enum { MOST = 300000 };
static real source[MOST], have[2][MOST];
static double want[MOST];

static void take(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n)
{
	const real *a = ctx, *b = (const real *)ctx + 1;

	for (size_t i = 0; i < n; i++)
		out[i] = a[off[0] + (int64_t)i * step[0]] * b[off[1] + (int64_t)i * step[1]];
}

/* Element by element: idx counts, the first dimension fastest. */
static void plain(const struct onx_sum *s)
{
	size_t idx[ONX_SUM_RANK] = { 0 };

	for (bool more = true; more;) {
		int64_t to = s->to0, off[2] = { s->from0[0], s->from0[1] };
		for (int d = 0; d < s->rank; d++) {
			to += (int64_t)idx[d] * s->dim[d].to;
			for (int k = 0; k < 2; k++)
				off[k] += (int64_t)idx[d] * s->dim[d].from[k];
		}
		want[to] += (double)(real)(source[off[0]] * source[1 + off[1]]);
		more = false;
		for (int d = 0; d < s->rank && !more; d++) {
			more = ++idx[d] < s->dim[d].size;
			idx[d] = more ? idx[d] : 0;
		}
	}
}

/* sizes from the inside out; summed: bit d; once: bit d: operand 1 does not move along it. */
static void check(int rank, const size_t *size, unsigned summed, unsigned once, bool add)
{
	struct onx_sum s = { .n_from = 2, .term = take, .ctx = source };
	int64_t to = 1, from = 1, other = 1, n = 0;
	struct onx_pool *pool;
	struct onx_err e;

	assert_int_equal(onx_pool_new(3, &pool, &e), ONX_OK);
	for (int d = 0; d < rank; d++) {
		const bool gone = summed >> d & 1, still = once >> d & 1;
		onx_sum_dim(&s, &(struct onx_sum_axis){ size[d], gone ? 0 : to, { from, still ? 0 : other } });
		to *= gone ? 1 : (int64_t)size[d];
		other *= still ? 1 : (int64_t)size[d];
		from *= (int64_t)size[d];
	}
	n = to;
	assert_true(from < MOST);
	for (int64_t i = 0; i < n; i++)
		want[i] = have[0][i] = have[1][i] = add ? (real)(i % 5) : 0;
	plain(&s);
	onx_sum_run(&s, have[0], add, NULL);
	onx_sum_run(&s, have[1], add, pool);
	assert_memory_equal(have[0], have[1], (size_t)n * sizeof(real));
	for (int64_t i = 0; i < n; i++)
		assert_true(fabs((double)have[0][i] - want[i]) <= 1e-6 * (1 + fabs(want[i])));
	onx_pool_free(pool);
}

static void draw(void)
{
	struct onx_rng g;

	onx_rng_init(&g, 7, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < MOST; i++)
		source[i] = (real)onx_rng_range(&g, -1, 1);
}

/* Every choice of summed and of still dimensions, short and long runs. */
static void boxes_beside_plain_loops(void **state)
{
	static const size_t size[][4] = {
		{ 4, 3, 5, 2 }, { 49, 30, 7, 1 }, { 1500, 3, 11, 1 }, { 3, 1500, 2, 5 }, { 1, 1, 1, 1 },
		{ 2000, 9, 1, 13 }, { 7, 7, 7, 7 }, { 1, 1030, 33, 1 },
	};

	(void)state;
	draw();
	for (size_t k = 0; k < sizeof size / sizeof *size; k++)
		for (unsigned summed = 0; summed < 16; summed++)
			for (unsigned once = 0; once < 16; once++)
				check(4, size[k], summed, once, (summed ^ once) & 1);
}

/* Few results of many terms go in slices. */
static void few_results(void **state)
{
	static const size_t size[][2] = { { 4, 70000 }, { 250000, 1 }, { 1000, 250 }, { 60000, 3 } };

	(void)state;
	draw();
	for (size_t k = 0; k < 4; k++)
		for (unsigned summed = 1; summed < 4; summed++)
			check(2, size[k], summed, 0, false);
}

/* The sum of nothing is 0; nothing kept, nothing written. */
static void empty(void **state)
{
	struct onx_sum s = { .n_from = 2, .term = take, .ctx = source };
	real dx[3] = { 1, 2, 3 };

	(void)state;
	onx_sum_dim(&s, &(struct onx_sum_axis){ 0, 0, { 1, 1 } });
	onx_sum_dim(&s, &(struct onx_sum_axis){ 3, 1, { 0, 0 } });
	onx_sum_run(&s, dx, true, NULL);
	assert_true(dx[0] == 1 && dx[2] == 3);
	onx_sum_run(&s, dx, false, NULL);
	assert_true(dx[0] == 0 && dx[1] == 0 && dx[2] == 0);
	onx_sum_dim(&s, &(struct onx_sum_axis){ 0, 3, { 0, 0 } });
	dx[0] = 5;
	onx_sum_run(&s, dx, false, NULL);
	assert_true(dx[0] == 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boxes_beside_plain_loops), cmocka_unit_test(few_results), cmocka_unit_test(empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
