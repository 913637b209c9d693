/* unit/lib/numbers.h -- memory and random numbers for tests of kernels; onx_heap_free frees both. */
#ifndef TEST_NUMBERS_H
#define TEST_NUMBERS_H
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/real.h"

static inline void *bytes(size_t n)
{
	void *v = onx_heap(n + 1, 1);

	if (!v)
		abort();
	memset(v, 0xff, n);             /* NaN: who reads it is found out */
	return v;
}

static inline real *numbers(size_t n, double lo, double hi, uint64_t seed)
{
	struct onx_rng r;
	real *v = bytes(n * sizeof *v);

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < n; i++)
		v[i] = (real)onx_rng_range(&r, lo, hi);
	return v;
}

#endif
