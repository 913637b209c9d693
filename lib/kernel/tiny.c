/* kernel/tiny.c -- see the header. */
#include "kernel/tiny.h"
#include "kernel/cpu.h"

/* op(B) as rows of `wide` numbers, those behind the n-th 0. */
ONX_INLINE void take(const struct onx_mat *g, const real *restrict b, const size_t wide, real *restrict to)
{
	for (size_t l = 0; l < g->k; l++)
		for (size_t j = 0; j < wide; j++)
			to[l * wide + j] = j >= g->n ? 0 : g->tb ? b[j * g->ldb + l] : b[l * g->ldb + j];
}

/* Rows of `wide` sums each. */
ONX_INLINE void rows(const struct onx_mat *g, real alpha, const real *restrict a, const real *restrict b, bool add,
		     const size_t wide, real *restrict c)
{
	const size_t down = g->ta ? 1 : g->lda, along = g->ta ? g->lda : 1;

	for (size_t i = 0; i < g->m; i++) {
		real sum[ONX_TINY] = { 0 };

		for (size_t l = 0; l < g->k; l++) {
			const real v = a[i * down + l * along];

			ONX_UNROLL
			for (size_t j = 0; j < wide; j++)
				sum[j] += v * b[l * wide + j];
		}
		if (g->n == wide)
			for (size_t j = 0; j < wide; j++)
				c[i * g->ldc + j] = alpha * sum[j] + (add ? c[i * g->ldc + j] : 0);
		else
			for (size_t j = 0; j < g->n; j++)
				c[i * g->ldc + j] = alpha * sum[j] + (add ? c[i * g->ldc + j] : 0);
	}
}

ONX_INLINE void product(const struct onx_mat *g, real alpha, const real *a, const real *b, bool add, const size_t wide,
			real *c)
{
	real own[ONX_TINY * ONX_TINY];

	if (!g->tb && g->n == wide && g->ldb == wide) {
		rows(g, alpha, a, b, add, wide, c);
		return;
	}
	take(g, b, wide, own);
	rows(g, alpha, a, own, add, wide, c);
}

ONX_CLONES
void onx_tiny(const struct onx_mat *g, real alpha, const real *a, const real *b, bool add, real *c)
{
	if (g->n <= 4)
		product(g, alpha, a, b, add, 4, c);
	else if (g->n <= 8)
		product(g, alpha, a, b, add, 8, c);
	else
		product(g, alpha, a, b, add, ONX_TINY, c);
}
