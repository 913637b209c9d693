/* The innermost blocks of matrix products: every one that this processor can run, with all, two thirds
 * and one third of its rows, against three loops in double. */
#include <stdio.h>
#include "base/rng.h"
#include "kernel/micro.h"

enum { K_MOST = 300, GAP = 5 };

static int bad;

static void fill(real *v, size_t n, uint64_t seed)
{
	struct onx_rng r;

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < n; i++)
		v[i] = (real)onx_rng_range(&r, -1, 1);
}

static void one(const struct ONX_R(onx_micro) *m, int isa, int part, size_t k, bool bias, bool add)
{
	static real a[K_MOST * ONX_MICRO_ROWS], b[K_MOST * ONX_MICRO_COLS], offset[ONX_MICRO_ROWS];
	static real c[ONX_MICRO_ROWS * (ONX_MICRO_COLS + GAP)], old[ONX_MICRO_ROWS * (ONX_MICRO_COLS + GAP)];
	const size_t ld = m->cols + GAP, rows = m->rows / ONX_MICRO_PARTS * ((size_t)part + 1);
	double worst = 0;

	fill(a, k * m->rows, 1);
	fill(b, k * m->cols, 2);
	fill(offset, m->rows, 3);
	fill(old, m->rows * ld, 4);
	for (size_t i = 0; i < m->rows * ld; i++)
		c[i] = add || i % ld >= m->cols || i / ld >= rows ? old[i] : (real)NAN;
	m->run[part](k, a, b, bias ? offset : NULL, add, c, ld);
	for (size_t r = 0; r < m->rows; r++)
		for (size_t j = 0; j < ld; j++) {
			double want = old[r * ld + j];

			if (r < rows && j < m->cols) {
				want = (add ? want : 0) + (bias ? (double)offset[r] : 0);
				for (size_t l = 0; l < k; l++)
					want += (double)a[l * m->rows + r] * (double)b[l * m->cols + j];
			}
			const double gap = fabs((double)c[r * ld + j] - want);

			worst = gap <= worst ? worst : gap == gap ? gap : 1e9;
		}
	const bool ok = worst <= (sizeof(real) == sizeof(float) ? 4e-5 : 1e-13);

	printf("%s - set %d, %zu x %zu of depth %zu%s%s: %.1e\n", ok ? "ok" : "not ok", isa, rows, m->cols, k,
	       bias ? ", bias" : "", add ? ", added" : "", worst);
	bad += !ok;
}

int main(void)
{
	static const size_t depth[] = { 0, 1, 7, K_MOST };

	for (int isa = 0; isa <= (int)onx_isa(); isa++)
		for (int part = 0; part < ONX_MICRO_PARTS; part++)
			for (size_t d = 0; d < sizeof depth / sizeof *depth; d++)
				for (int t = 0; t < 4; t++)
					one(onx_micro_of((enum onx_isa)isa), isa, part, depth[d], t & 1, t & 2);
	return bad != 0;
}
