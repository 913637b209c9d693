/* Copies that change the order of dimensions beside one element after another: every order, elements of every width,
 * sizes around those of lines and tiles, with one thread and three. */
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "op/walk.h"

struct row { int rank; int64_t dim[5]; };
static const struct row rows[] = {
	{ 2, { 64, 64 } },  { 2, { 7, 8 } },       { 2, { 65, 131 } },    { 2, { 3, 700 } },    { 2, { 1030, 2 } },
	{ 2, { 17, 4 } },   { 2, { 2100, 9 } },    { 2, { 9, 2100 } },    { 2, { 600, 601 } },  { 2, { 0, 5 } },
	{ 3, { 5, 16, 3 } }, { 3, { 2, 33, 40 } }, { 3, { 20, 3, 129 } }, { 4, { 2, 3, 14, 10 } },
	{ 4, { 8, 5, 9, 64 } },
	{ 4, { 1, 70, 2, 70 } }, { 5, { 3, 4, 5, 6, 7 } }, { 2, { 2100, 2200 } },
};

static void naive(const struct row *r, const int *perm, const unsigned char *from, unsigned char *to, size_t width)
{
	int64_t stride[5], idx[5] = { 0 };
	const int64_t n = onx_span(r->dim, 0, r->rank);

	onx_strides(r->rank, r->dim, stride);
	for (int64_t o = 0; o < n; o++) {
		int64_t at = 0;

		for (int d = 0; d < r->rank; d++)
			at += idx[d] * stride[perm[d]];
		memcpy(to + (size_t)o * width, from + (size_t)at * width, width);
		for (int d = r->rank - 1; d >= 0 && ++idx[d] == r->dim[perm[d]]; d--)
			idx[d] = 0;
	}
}

static bool same(const struct row *r, const int *perm, size_t width, struct onx_pool *pool)
{
	const size_t n = (size_t)onx_span(r->dim, 0, r->rank) * width;
	int64_t from[5], to[5], dim[5];
	unsigned char *x = onx_heap(n + 1, 1), *a = onx_heap(n + 1, 1), *b = onx_heap(n + 1, 1);
	struct onx_walk w = { 0 };
	bool ok = x && a && b;

	onx_strides(r->rank, r->dim, from);
	for (int d = 0; d < r->rank; d++)
		dim[d] = r->dim[perm[d]];
	onx_strides(r->rank, dim, to);
	for (int d = 0; d < r->rank; d++)
		onx_walk_dim(&w, dim[d], to[d], from[perm[d]]);
	for (size_t i = 0; ok && i < n; i++)
		x[i] = (unsigned char)(i * 2654435761u >> 13);
	if (ok) {
		memset(b, 0xa5, n + 1);
		naive(r, perm, x, a, width);
		onx_walk_copy(&w, b, x, width, pool);
		ok = memcmp(a, b, n) == 0 && b[n] == 0xa5;
	}
	onx_heap_free(x);
	onx_heap_free(a);
	onx_heap_free(b);
	return ok;
}

/* The next order after perm; false: that was the last. */
static bool next(int *perm, int n)
{
	int i = n - 2, k = n - 1;

	while (i >= 0 && perm[i] > perm[i + 1])
		i--;
	if (i < 0)
		return false;
	while (perm[k] < perm[i])
		k--;
	for (int swap = perm[i]; swap >= 0; swap = -1) {
		perm[i] = perm[k];
		perm[k] = swap;
	}
	for (int l = i + 1, h = n - 1; l < h; l++, h--) {
		const int swap = perm[l];

		perm[l] = perm[h];
		perm[h] = swap;
	}
	return true;
}

int main(void)
{
	struct onx_err e = { 0 };
	struct onx_pool *pool = NULL;
	int bad = onx_pool_new(3, &pool, &e) < 0;

	printf("1..%zu\n", sizeof rows / sizeof *rows);
	for (size_t i = 0; i < sizeof rows / sizeof *rows && !bad; i++) {
		int perm[5] = { 0, 1, 2, 3, 4 };
		bool ok = true;

		do
			for (size_t width = 1; width <= 16; width *= 2)
				ok &= same(&rows[i], perm, width, NULL) && same(&rows[i], perm, width, pool);
		while (ok && next(perm, rows[i].rank));
		printf("%sok - all orders of %lld x %lld ..., the last %d%d%d%d%d\n", ok ? "" : "not ",
		       (long long)rows[i].dim[0], (long long)rows[i].dim[1], perm[0], perm[1], perm[2], perm[3],
		       perm[4]);
		bad |= !ok;
	}
	onx_pool_free(pool);
	return bad;
}
