/* kernel/draw.c -- Philox4x32-10 (base/rng.c), WIDE blocks beside each other. */
#include "kernel/draw.h"
#include "kernel/cpu.h"

enum { WIDE = 16 };

ONX_INLINE void multiply(const uint32_t *c, uint32_t by, uint32_t *low, uint32_t *high)
{
	for (size_t l = 0; l < WIDE; l++) {
		const uint64_t p = (uint64_t)by * c[l];
		low[l] = (uint32_t)p;
		high[l] = (uint32_t)(p >> 32);
	}
}

/* Blocks i, i + 1, ...; to [WIDE][4]. */
ONX_CLONES static void blocks(const struct onx_rng *r, uint32_t i, uint32_t *restrict to)
{
	uint32_t c0[WIDE], c1[WIDE], c2[WIDE], c3[WIDE], low0[WIDE], high0[WIDE], low2[WIDE], high2[WIDE];
	uint32_t k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32);

	for (uint32_t l = 0; l < WIDE; l++) {
		c0[l] = i + l;
		c1[l] = r->stream;
		c2[l] = (uint32_t)r->b;
		c3[l] = (uint32_t)(r->b >> 32);
	}
	for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
		multiply(c0, 0xD2511F53u, low0, high0);
		multiply(c2, 0xCD9E8D57u, low2, high2);
		for (size_t l = 0; l < WIDE; l++) {
			c0[l] = high2[l] ^ c1[l] ^ k0;
			c1[l] = low2[l];
			c2[l] = high0[l] ^ c3[l] ^ k1;
			c3[l] = low0[l];
		}
	}
	for (size_t l = 0; l < WIDE; l++) {
		to[4 * l] = c0[l];
		to[4 * l + 1] = c1[l];
		to[4 * l + 2] = c2[l];
		to[4 * l + 3] = c3[l];
	}
}

void onx_draw(const struct onx_rng *r, uint64_t block, uint32_t *to, size_t n)
{
	uint32_t rest[4 * WIDE];

	for (; n >= 4 * WIDE; n -= 4 * WIDE, to += 4 * WIDE, block += WIDE)
		blocks(r, (uint32_t)block, to);
	if (n > 0)
		blocks(r, (uint32_t)block, rest);
	for (size_t k = 0; k < n; k++)
		to[k] = rest[k];
}
