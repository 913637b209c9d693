/* Products of 8-bit numbers beside three loops, with the tiles of every instruction set that this processor has: the
 * largest numbers, odd sums, tails of every kind, sums that wrap. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/bytes.h"

struct matrices { size_t n, k; int16_t *a, *b; uint32_t *c; size_t next; bool ordered; };
static int bad;

static void row_of_a(const void *ctx, size_t i, size_t k, size_t count, int16_t *to)
{
	const struct matrices *m = ctx;

	memcpy(to, m->a + i * m->k + k, count * sizeof *to);
}

static void row_of_b(void *ctx, size_t k, size_t j, size_t count, int16_t *to)
{
	struct matrices *m = ctx;

	m->ordered &= k == m->next;
	m->next = k + 1 == m->k ? 0 : k + 1;
	memcpy(to, m->b + k * m->n + j, count * sizeof *to);
}

static void row_of_c(const void *ctx, size_t i, size_t j, size_t count, const uint32_t *sum)
{
	const struct matrices *m = ctx;

	memcpy(m->c + i * m->n + j, sum, count * sizeof *sum);
}

static int16_t *numbers(size_t n, uint64_t seed, bool large)
{
	struct onx_rng r;
	int16_t *v = onx_heap(n + 1, sizeof *v);

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; v && i < n; i++)
		v[i] = (int16_t)(large ? (onx_rng_range(&r, 0, 1) < 0.01 ? 255 : -255) : onx_rng_range(&r, -255, 256));
	return v;
}

static void one(enum onx_isa isa, size_t m, size_t n, size_t k, bool large)
{
	struct matrices x = { n, k, numbers(m * k, 1, large), numbers(k * n, 2, large), NULL, 0, true };
	const struct onx_bytes p = { m, n, k, row_of_a, row_of_b, row_of_c, &x };
	size_t wrong = 0;

	x.c = onx_heap(m * n, sizeof *x.c);
	for (size_t i = onx_bytes_pieces(&p); i-- > 0; )
		onx_bytes_piece(&p, isa, i);
	for (size_t i = 0; i < m * n; i++) {
		uint32_t want = 0;

		for (size_t l = 0; l < k; l++)
			want += (uint32_t)(x.a[i / n * k + l] * x.b[l * n + i % n]);
		wrong += want != x.c[i];
	}
	const bool ok = wrong == 0 && x.ordered;

	printf("%s - set %d, %zu x %zu x %zu%s: %zu wrong\n", ok ? "ok" : "not ok", (int)isa, m, n, k,
	       large ? ", large" : "", wrong);
	bad += !ok;
	onx_heap_free(x.a);
	onx_heap_free(x.b);
	onx_heap_free(x.c);
}

int main(void)
{
	static const size_t sizes[][3] = { { 1, 1, 1 }, { 4, 16, 2 }, { 6, 16, 256 }, { 7, 17, 257 }, { 128, 128, 255 },
					   { 129, 129, 3 }, { 131, 300, 515 }, { 5, 15, 0 }, { 8, 31, 1 },
					   { 9, 128, 64 } };

	for (int isa = ONX_ISA_BASE; isa <= (int)onx_isa(); isa++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			for (int large = 0; large < 2; large++)
				one((enum onx_isa)isa, sizes[i][0], sizes[i][1], sizes[i][2], large);
		one((enum onx_isa)isa, 4, 5, 70001, true);      /* 70,001 products of 65,025: beyond 2^32 */
	}
	return bad != 0;
}
