/* The speed of our own product of large matrices: what the shares of the table are shares of.
 *
 * usage: peak THREADS     prints one line of JSON: GFLOP/s of the fastest of several products */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/arena.h"
#include "base/pool.h"
#include "kernel/gemm.h"

enum { SIDE = 1536, RUNS = 8 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	const struct onx_mat m = { .m = SIDE, .n = SIDE, .k = SIDE, .lda = SIDE, .ldb = SIDE, .ldc = SIDE };
	const size_t n = (size_t)SIDE * SIDE;
	real *a = onx_heap(n, sizeof *a), *b = onx_heap(n, sizeof *b), *c = onx_heap(n, sizeof *c);
	const int threads = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
	struct onx_err e = { 0 };
	struct onx_pool *pool = NULL;
	double best = 1e9;
	int rc = a && b && c ? ONX_OK : onx_nomem(&e, 12.0 * (double)n, "three matrices");

	if (rc == ONX_OK)
		rc = onx_pool_new(threads, &pool, &e);
	for (size_t i = 0; rc == ONX_OK && i < n; i++) {
		a[i] = (real)(i % 97) / 97;
		b[i] = (real)(i % 89) / 89;
	}
	for (int i = 0; rc == ONX_OK && i < RUNS; i++) {
		const double since = now();

		onx_gemm(pool, &m, 1, a, b, 0, c);
		const double took = now() - since;
		best = took < best ? took : best;
	}
	if (rc == ONX_OK)
		printf("{\"gflops\": %.1f, \"threads\": %d}\n", 2e-9 * SIDE * SIDE * SIDE / best,
		       onx_pool_threads(pool));
	else
		fprintf(stderr, "peak: %s\n", e.text);
	onx_pool_free(pool);
	onx_heap_free(a);
	onx_heap_free(b);
	onx_heap_free(c);
	return onx_exit_status(rc);
}
