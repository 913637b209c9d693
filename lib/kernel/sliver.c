/* kernel/sliver.c -- see the header. */
#include "kernel/sliver.h"
#include <string.h>
#include "kernel/cpu.h"

enum { FEW = ONX_SLIVER - 1, DEPTH = ONX_SLIVER_DEPTH, RUN = 256, AT_ONCE = 4, SUMS = 2 };

/* A register that every instruction set has. */
typedef real part __attribute__((vector_size(16)));
enum { PART = 16 / sizeof(real), LANES = SUMS * PART };

/* The product as few rows x [rows][k] times a long matrix b, k rows of n columns or, turned, n rows of k; strides in
 * numbers. */
struct sliver {
	size_t rows, n, k;
	const real *x, *b;
	size_t x_row, x_term, ldb;
	bool turned;
	real *c;
	size_t c_row, c_col;
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }

static struct sliver sliver_of(const struct onx_mat *g, const real *a, const real *b, real *c)
{
	if (g->m <= g->n)
		return (struct sliver){ g->m, g->n, g->k, a, b, g->ta ? 1 : g->lda, g->ta ? g->lda : 1, g->ldb, g->tb,
					c, g->ldc, 1 };
	return (struct sliver){ g->n, g->m, g->k, b, a, g->tb ? g->ldb : 1, g->tb ? 1 : g->ldb, g->lda, !g->ta,
				c, 1, g->ldc };
}

/* sum [rows][RUN] += x [rows][DEPTH] b, `depth` rows of `cols` columns */
ONX_CLONES
static void by_runs(const real *x, size_t rows, const real *b, size_t ldb, size_t depth, size_t cols,
		    real (*restrict sum)[RUN])
{
	size_t l = 0;

	for (; l + AT_ONCE <= depth; l += AT_ONCE) {
		const real *const b0 = b + l * ldb, *const b1 = b0 + ldb, *const b2 = b1 + ldb, *const b3 = b2 + ldb;

		for (size_t r = 0; r < rows; r++) {
			const real *const v = x + r * DEPTH + l;

			for (size_t j = 0; j < cols; j++)
				sum[r][j] += (v[0] * b0[j] + v[1] * b1[j]) + (v[2] * b2[j] + v[3] * b3[j]);
		}
	}
	for (; l < depth; l++)
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < cols; j++)
				sum[r][j] += x[r * DEPTH + l] * b[l * ldb + j];
}

/* to[c] = x [n] times n numbers at b + c * ldb, `cols` of them, each in LANES running sums */
ONX_INLINE void products(const real *x, const real *b, size_t ldb, size_t n, const size_t cols, real *to)
{
	part sum[AT_ONCE][SUMS], u, v;
	size_t i = 0;

	memset(sum, 0, sizeof sum);
	for (; i + LANES <= n; i += LANES)
		ONX_UNROLL
		for (size_t s = 0; s < SUMS; s++) {
			memcpy(&u, x + i + s * PART, sizeof u);
			ONX_UNROLL
			for (size_t c = 0; c < cols; c++) {
				memcpy(&v, b + c * ldb + i + s * PART, sizeof v);
				sum[c][s] += u * v;
			}
		}
	for (size_t c = 0; c < cols; c++) {
		const part all = sum[c][0] + sum[c][1];

		to[c] = 0;
		for (size_t l = 0; l < PART; l++)
			to[c] += all[l];
		for (size_t k = i; k < n; k++)
			to[c] += x[k] * b[c * ldb + k];
	}
}

/* The same with b turned. */
ONX_CLONES
static void by_products(const real *x, size_t rows, const real *b, size_t ldb, size_t depth, size_t cols,
			real (*restrict sum)[RUN])
{
	size_t j = 0;

	for (; j + AT_ONCE <= cols; j += AT_ONCE)
		for (size_t r = 0; r < rows; r++)
			products(x + r * DEPTH, b + j * ldb, ldb, depth, AT_ONCE, &sum[r][j]);
	for (; j < cols; j++)
		for (size_t r = 0; r < rows; r++)
			products(x + r * DEPTH, b + j * ldb, ldb, depth, 1, &sum[r][j]);
}

static void put(const struct sliver *s, size_t j0, size_t cols, bool add, real (*sum)[RUN])
{
	for (size_t r = 0; r < s->rows; r++) {
		real *c = s->c + r * s->c_row + j0 * s->c_col;

		for (size_t j = 0; j < cols; j++, c += s->c_col)
			*c = sum[r][j] + (add ? *c : 0);
	}
}

void onx_sliver(const struct onx_mat *g, real alpha, const real *a, const real *b, bool add, real *c)
{
	const struct sliver s = sliver_of(g, a, b, c);
	real x[FEW * DEPTH], sum[FEW][RUN];

	for (size_t l0 = 0; l0 < s.k; l0 += DEPTH) {
		const size_t depth = min_z(DEPTH, s.k - l0);

		for (size_t r = 0; r < s.rows; r++)
			for (size_t l = 0; l < depth; l++)
				x[r * DEPTH + l] = alpha * s.x[r * s.x_row + (l0 + l) * s.x_term];
		for (size_t j0 = 0; j0 < s.n; j0 += RUN) {
			const size_t cols = min_z(RUN, s.n - j0);

			if (s.turned) {
				by_products(x, s.rows, s.b + j0 * s.ldb + l0, s.ldb, depth, cols, sum);
			} else {
				memset(sum, 0, s.rows * sizeof *sum);
				by_runs(x, s.rows, s.b + l0 * s.ldb + j0, s.ldb, depth, cols, sum);
			}
			put(&s, j0, cols, add || l0 > 0, sum);
		}
	}
}
