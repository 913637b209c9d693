/* op/whole.c -- see whole.h. */
#include "op/whole.h"

struct job {
	const struct onx_mat *g;
	const struct onx_batch *batch;
	const struct onx_view *a, *b, *c;
};

/* Offsets of the operands at index `at` of n dimensions, the last one fastest. */
static void offsets(size_t at, int n, const size_t *dim, const size_t *const *step, size_t *off, int operands)
{
	for (int d = n - 1; d >= 0; d--) {
		const size_t i = at % dim[d];
		at /= dim[d];
		for (int k = 0; k < operands; k++)
			off[k] += i * step[k][d];
	}
}

static uint64_t dot(const struct job *j, size_t a, size_t b, size_t row, size_t col)
{
	const struct onx_mat *g = j->g;
	uint64_t sum = 0;

	for (size_t k = 0; k < g->k; k++) {
		const size_t at_a = a + (g->ta ? k * g->lda + row : row * g->lda + k);
		const size_t at_b = b + (g->tb ? col * g->ldb + k : k * g->ldb + col);
		sum += (uint64_t)onx_view_int(j->a, at_a) * (uint64_t)onx_view_int(j->b, at_b);
	}
	return sum;
}

/* One row of one C. */
static void row_piece(void *ctx, size_t piece, int worker)
{
	static const struct onx_batch one = { .n_outer = 0 };
	const struct job *j = ctx;
	const struct onx_batch *t = j->batch ? j->batch : &one;
	const size_t row = piece % j->g->m;
	const size_t *const outer[3] = { t->outer_a, t->outer_b, t->outer_c };
	const size_t *const inner[2] = { t->inner_a, t->inner_b };
	size_t at[3] = { 0 }, sums = 1;

	(void)worker;
	offsets(piece / j->g->m, t->n_outer, t->outer, outer, at, 3);
	for (int d = 0; d < t->n_inner; d++)
		sums *= t->inner[d];
	for (size_t col = 0; col < j->g->n; col++) {
		uint64_t sum = 0;
		for (size_t i = 0; i < sums; i++) {
			size_t off[2] = { at[0], at[1] };
			offsets(i, t->n_inner, t->inner, inner, off, 2);
			sum += dot(j, off[0], off[1], row, col);
		}
		onx_view_put_int(j->c, at[2] + row * j->g->ldc + col, (int64_t)sum);
	}
}

void onx_whole_products(struct onx_pool *pool, const struct onx_mat *g, const struct onx_batch *batch,
			const struct onx_view *a, const struct onx_view *b, const struct onx_view *c)
{
	struct job j = { g, batch, a, b, c };
	size_t rows = g->m;

	for (int d = 0; batch && d < batch->n_outer; d++)
		rows *= batch->outer[d];
	onx_parallel(pool, rows, row_piece, &j);
}
