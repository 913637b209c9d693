#include "unit.h"
#include <stdatomic.h>
#include <stdbool.h>
#include "base/pool.h"

enum { N = 10007, GRAIN = 64, PIECES = (N + GRAIN - 1) / GRAIN };

struct job {
	float x[N];
	double part[PIECES];
	int done[PIECES], worst_worker;
	struct onx_pool *pool;
};

static void sum_piece(void *ctx, size_t piece, int worker)
{
	struct job *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(N, GRAIN, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++)
		j->part[piece] += j->x[i];
	j->done[piece]++;
}

static double sum(struct onx_pool *p, struct job *j)
{
	double s = 0;

	memset(j->part, 0, sizeof j->part);
	memset(j->done, 0, sizeof j->done);
	onx_parallel(p, onx_pieces(N, GRAIN), sum_piece, j);
	for (int i = 0; i < PIECES; i++) {
		assert_int_equal(j->done[i], 1);
		s += j->part[i];
	}
	return s;
}

static void same_bits_for_any_number_of_threads(void **state)
{
	static struct job j;
	struct onx_err e = { 0 };

	(void)state;
	for (int i = 0; i < N; i++)
		j.x[i] = (float)(1.0 / (i + 1) * (i % 3 ? 1 : -1));
	const double want = sum(NULL, &j);
	for (int threads = 1; threads <= 8; threads++) {
		struct onx_pool *p;
		must(onx_pool_new(threads, &p, &e), &e);
		assert_int_equal(onx_pool_threads(p), threads);
		for (int round = 0; round < 50; round++) {
			const double got = sum(p, &j);
			assert_memory_equal(&got, &want, sizeof want);
		}
		onx_pool_free(p);
	}
}

struct nest { struct onx_pool *pool; int threads; atomic_int inner, wrong; };

struct inner { struct nest *n; int worker; };

static void inner_piece(void *ctx, size_t piece, int worker)
{
	struct inner *i = ctx;

	(void)piece;
	atomic_fetch_add(&i->n->inner, 1);
	if (worker != i->worker)
		atomic_fetch_add(&i->n->wrong, 1);
}

static void outer_piece(void *ctx, size_t piece, int worker)
{
	struct nest *n = ctx;
	struct inner i = { n, worker };

	(void)piece;
	if (worker < 0 || worker >= n->threads)
		atomic_fetch_add(&n->wrong, 1);
	onx_parallel(n->pool, 10, inner_piece, &i);
}

/* A nested call runs in place, as the same worker, so scratch by worker stays private. */
static void nested_calls_run_in_place(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	for (int threads = 1; threads <= 4; threads++) {
		struct nest n = { .threads = threads };
		must(onx_pool_new(threads, &n.pool, &e), &e);
		for (int round = 0; round < 20; round++)
			onx_parallel(n.pool, 100, outer_piece, &n);
		assert_int_equal(n.inner, 20000);
		assert_int_equal(n.wrong, 0);
		onx_pool_free(n.pool);
	}
}

static void edges(void **state)
{
	struct onx_pool *p;
	struct onx_err e = { 0 };
	struct nest n = { 0 };
	struct inner i = { &n, 0 };

	(void)state;
	must_fail(onx_pool_new(-1, &p, &e), ONX_USAGE, &e, "-1 threads asked for");
	assert_null(p);
	must(onx_pool_new(0, &p, &e), &e);
	assert_int_equal(onx_pool_threads(p), onx_cores());
	onx_parallel(p, 0, inner_piece, &i);
	assert_int_equal(n.inner, 0);
	onx_parallel(p, 1, inner_piece, &i);
	assert_int_equal(n.inner, 1);
	onx_pool_free(p);
	onx_pool_free(NULL);
	assert_int_equal(onx_pool_threads(NULL), 1);
	assert_int_equal(onx_pieces(0, 5), 0);
	assert_int_equal(onx_pieces(11, 5), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_bits_for_any_number_of_threads),
		cmocka_unit_test(nested_calls_run_in_place), cmocka_unit_test(edges)
	};

	return RUN(tests);
}
