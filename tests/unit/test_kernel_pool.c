/* The largest of a window with channels last where nobody asks which tap it was, beside the same with taps: the same
 * bits, over windows of any size, NaN and infinities among the numbers. */
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/pool_last.h"

struct row { size_t n, h, w, c, kern; int64_t stride, dil, pad; };

static const struct row rows[] = {
	{ 2, 13, 14, 64, 3, 2, 1, 1 }, { 1, 9, 7, 5, 3, 1, 1, 0 },  { 1, 8, 8, 130, 2, 2, 1, 0 },
	{ 2, 6, 5, 17, 3, 2, 2, 2 },   { 1, 5, 5, 3, 5, 1, 1, 2 },  { 1, 4, 6, 20, 1, 1, 1, 0 },
	{ 1, 12, 11, 9, 9, 2, 1, 4 },  { 0, 4, 4, 8, 3, 1, 1, 1 },
};

static struct onx_pool_last geo_of(const struct row *r)
{
	struct onx_pool_last g = { .n = r->n, .c = r->c };

	for (int d = 0; d < 3; d++) {
		const size_t side = d == 0 ? 1 : d == 1 ? r->h : r->w, kern = d ? r->kern : 1;
		const int64_t reach = d ? (int64_t)(r->kern - 1) * r->dil + 1 : 1, pad = d ? r->pad : 0;

		g.w.in[d] = side;
		g.w.kern[d] = kern;
		g.w.stride[d] = d ? r->stride : 1;
		g.w.dil[d] = d ? r->dil : 1;
		g.w.pad[d] = g.w.pad_end[d] = pad;
		g.w.out[d] = (size_t)(((int64_t)side + 2 * pad - reach) / g.w.stride[d]) + 1;
	}
	onx_window_close(&g.w);
	return g;
}

static void fill(real *x, size_t n)
{
	static const real odd[] = { NAN, -INFINITY, INFINITY, 0, -(real)0.0 };
	struct onx_rng r;

	onx_rng_init(&r, 5, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < n; i++)
		x[i] = i % 7 == 3 ? odd[i / 7 % 5] : i % 11 < 4 ? -(real)INFINITY : (real)onx_rng_range(&r, -1, 1);
}

static bool same(const struct row *r, struct onx_pool *pool)
{
	const struct onx_pool_last g = geo_of(r);
	const size_t in = g.n * g.w.in_n * g.c, out = g.n * g.w.out_n * g.c;
	real *x = onx_heap(in + 1, sizeof *x), *a = onx_heap(out + 1, sizeof *a), *b = onx_heap(out + 1, sizeof *b);
	void *tap = onx_heap(onx_maxlast_taps(&g) + 1, 1);
	bool ok = x && a && b && tap;

	if (ok) {
		fill(x, in);
		onx_maxlast_forward(NULL, &g, x, a, tap);
		onx_maxlast_forward(pool, &g, x, b, NULL);
		ok = memcmp(a, b, out * sizeof *a) == 0;
	}
	onx_heap_free(x);
	onx_heap_free(a);
	onx_heap_free(b);
	onx_heap_free(tap);
	return ok;
}

int main(void)
{
	struct onx_err e = { 0 };
	struct onx_pool *pool = NULL;
	int bad = onx_pool_new(3, &pool, &e) < 0;

	printf("1..%zu\n", sizeof rows / sizeof *rows);
	for (size_t i = 0; i < sizeof rows / sizeof *rows && !bad; i++) {
		const bool ok = same(&rows[i], pool);

		printf("%sok - window of %zu, stride %d, on %zu x %zu x %zu\n", ok ? "" : "not ", rows[i].kern,
		       (int)rows[i].stride, rows[i].h, rows[i].w, rows[i].c);
		bad |= !ok;
	}
	onx_pool_free(pool);
	return bad;
}
