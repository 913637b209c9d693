/* base/rng.c -- Philox4x32-10 and xxHash.
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
 *
 * A generator has (seed, stream, a) mixed into its key by one Philox block, and counts blocks of
 * four numbers in the counter beside b; so streams do not overlap and a skip costs nothing. */
#include "base/rng.h"
#include <assert.h>
#include <math.h>
#include <xxhash.h>

void onx_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
	uint32_t k0 = key[0], k1 = key[1];

	for (int round = 0; round < 10; round++) {
		const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

void onx_rng_init(struct onx_rng *r, uint64_t seed, enum onx_stream s, uint64_t a, uint64_t b)
{
	const uint32_t counter[4] = { (uint32_t)a, (uint32_t)(a >> 32), (uint32_t)s, 0 };
	const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t mixed[4];

	onx_philox(counter, key, mixed);
	*r = (struct onx_rng){ .seed = mixed[0] | (uint64_t)mixed[1] << 32, .stream = (uint32_t)s,
			       .a = a, .b = b };
}

uint32_t onx_rng_u32(struct onx_rng *r)
{
	if (r->left == 0) {
		const uint32_t counter[4] = { r->i++, r->stream, (uint32_t)r->b, (uint32_t)(r->b >> 32) };
		const uint32_t key[2] = { (uint32_t)r->seed, (uint32_t)(r->seed >> 32) };
		onx_philox(counter, key, r->out);
		r->left = 4;
	}
	return r->out[4 - r->left--];
}

void onx_rng_skip(struct onx_rng *r, uint64_t n)
{
	r->i = (uint32_t)(n / 4);
	r->left = 0;
	for (uint64_t k = n % 4; k > 0; k--)
		(void)onx_rng_u32(r);
}

double onx_rng_unit(struct onx_rng *r)
{
	return onx_rng_u32(r) * 0x1p-32;
}

double onx_rng_range(struct onx_rng *r, double lo, double hi)
{
	return lo + (hi - lo) * onx_rng_unit(r);
}

double onx_rng_normal(struct onx_rng *r)
{
	/* Always two draws, and only the cosine half: the n-th normal is a function of n alone. */
	const double u = (onx_rng_u32(r) + 1.0) * 0x1p-32, v = onx_rng_u32(r) * 0x1p-32;

	return sqrt(-2 * log(u)) * cos(6.283185307179586476925 * v);
}

uint32_t onx_rng_below(struct onx_rng *r, uint32_t n)
{
	assert(n > 0);
	/* Lemire, "Fast random integer generation in an interval", TOMACS 2019. */
	uint64_t m = (uint64_t)onx_rng_u32(r) * n;
	if ((uint32_t)m < n)
		for (const uint32_t low = -n % n; (uint32_t)m < low; )
			m = (uint64_t)onx_rng_u32(r) * n;
	return (uint32_t)(m >> 32);
}

void onx_rng_shuffle(struct onx_rng *r, uint32_t *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		const size_t j = onx_rng_below(r, (uint32_t)i);
		const uint32_t t = v[i - 1];
		v[i - 1] = v[j];
		v[j] = t;
	}
}

uint64_t onx_hash(const void *p, size_t n, uint64_t seed)
{
	return XXH64(p, n, seed);
}
