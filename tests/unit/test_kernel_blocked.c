/* Matrix products beside three loops: in blocks, with the tiles of every instruction set that this processor has, and
 * slivers. */
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/blocked.h"
#include "kernel/sliver.h"

static int bad;

static real *numbers(size_t n, uint64_t seed)
{
	struct onx_rng r;
	real *v = onx_heap(n, sizeof *v);

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; v && i < n; i++)
		v[i] = (real)onx_rng_range(&r, -1, 1);
	return v;
}

/* The matrices end where their memory ends, so that a sanitizer sees a read beyond them. */
static void one(enum onx_isa isa, size_t m, size_t n, size_t k, int flags)
{
	struct onx_mat g = { .m = m, .n = n, .k = k, .ta = flags & 1, .tb = flags & 2 };
	const bool add = flags & 4;
	const size_t gap = flags & 8 ? 5 : 0;

	g.lda = (g.ta ? m : k) + gap;
	g.ldb = (g.tb ? k : n) + gap;
	g.ldc = n + gap;
	const size_t na = ((g.ta ? k : m) - 1) * g.lda + (g.ta ? m : k), nc = (m - 1) * g.ldc + n;
	real *a = numbers(na, 1), *b = numbers(((g.tb ? n : k) - 1) * g.ldb + (g.tb ? k : n), 2);
	real *c = numbers(nc, 3), *want = numbers(nc, 3);
	double worst = 0;

	for (size_t i = 0; !add && i < m * n; i++)
		c[i / n * g.ldc + i % n] = (real)NAN;
	onx_gemm_naive(&g, (real)1.5, a, b, add ? 1 : 0, want);
	if (onx_is_sliver(&g))
		onx_sliver(&g, (real)1.5, a, b, add, c);
	else
		onx_blocked(&g, isa, (real)1.5, a, b, add, c);
	for (size_t i = 0; i < nc; i++) {
		const double d = fabs((double)c[i] - (double)want[i]);

		worst = d <= worst ? worst : d == d ? d : 1e9;
	}
	const bool ok = worst <= (sizeof(real) == sizeof(float) ? 4e-5 : 1e-13) * (1 + sqrt((double)k));

	printf("%s - set %d, %zu x %zu x %zu case %d: %.1e\n", ok ? "ok" : "not ok", (int)isa, m, n, k, flags, worst);
	bad += !ok;
	onx_heap_free(a);
	onx_heap_free(b);
	onx_heap_free(c);
	onx_heap_free(want);
}

/* Panels made before: the bits of the product that makes its own, also cut as for a pool. */
static void packed(enum onx_isa isa, size_t m, size_t n, size_t k, int flags)
{
	const struct onx_mat g = { m, n, k, flags & 1, flags & 2, flags & 1 ? m : k, flags & 2 ? k : n, n };
	const bool add = flags & 4;
	real *a = numbers(m * k, 1), *b = numbers(n * k, 2), *c = numbers(m * n, 3), *want = numbers(m * n, 3);
	real *panels = onx_heap(onx_blocked_panels(&g, isa), sizeof *panels);

	onx_blocked(&g, isa, 1, a, b, add, want);
	onx_blocked_pack(&g, isa, b, panels);
	onx_blocked_packed(&g, isa, a, panels, add, c);
	bool ok = memcmp(c, want, m * n * sizeof *c) == 0;
	if (isa == onx_isa()) {
		memcpy(c, want, m * n * sizeof *c);
		onx_gemm_pack(&g, b, panels);
		onx_gemm_packed(NULL, &g, a, panels, 0, c);
		onx_blocked(&g, isa, 1, a, b, false, want);
		ok = ok && onx_gemm_panels(&g) > 0 && memcmp(c, want, m * n * sizeof *c) == 0;
	}
	printf("%s - set %d, packed %zu x %zu x %zu case %d\n", ok ? "ok" : "not ok", (int)isa, m, n, k, flags);
	bad += !ok;
	onx_heap_free(a);
	onx_heap_free(b);
	onx_heap_free(c);
	onx_heap_free(want);
	onx_heap_free(panels);
}

int main(void)
{
	static const size_t sizes[][3] = { { 4, 8, 8 }, { 5, 9, 11 }, { 12, 32, 128 }, { 13, 33, 129 }, { 97, 31, 260 },
					   { 4, 8, 1 }, { 70, 90, 3 },
					   { 200, 70, 17 }, { 11, 300, 9 }, { 130, 257, 190 }, { 250, 280, 270 } };
	static const size_t slivers[][3] = { { 1, 1, 1 }, { 1, 1, 300 }, { 1, 300, 1 }, { 300, 1, 1 }, { 3, 7, 40 },
					     { 1, 520, 257 }, { 520, 1, 257 }, { 3, 260, 133 }, { 259, 7, 130 },
					     { 2, 17, 16 }, { 31, 5, 15 } };

	for (int isa = ONX_ISA_BASE; isa <= (int)onx_isa(); isa++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			for (int flags = 0; flags < (sizes[i][0] > 200 && sizes[i][1] > 200 ? 4 : 16); flags++)
				one((enum onx_isa)isa, sizes[i][0], sizes[i][1], sizes[i][2], flags);
	for (int isa = ONX_ISA_BASE; isa <= (int)onx_isa(); isa++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			for (int flags = 0; flags < 8; flags++)
				packed((enum onx_isa)isa, sizes[i][0], sizes[i][1], sizes[i][2], flags);
	packed(onx_isa(), 64, 700, 300, 2);
	for (size_t i = 0; i < sizeof slivers / sizeof *slivers; i++)
		for (int flags = 0; flags < 16; flags++)
			one(onx_isa(), slivers[i][0], slivers[i][1], slivers[i][2], flags);
	return bad != 0;
}
