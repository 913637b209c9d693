/* Convolution and matrix products: the fast ways against the formula, over many shapes; one result for
 * any number of threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/conv.h"
#include "kernel/conv_phase.h"
#include "kernel/gemm.h"

enum { THREADS = 3 };
static const double tolerance = 2e-5;   /* of sums of up to a few thousand products in float */

struct shape {
	const char *name;
	size_t n, groups, c, m, in[3], kern[3];
	int64_t stride[3], dil[3], pad[3], pad_end[3];
};
#define D1 { 1, 1, 1 }
#define D0 { 0, 0, 0 }
static const struct shape shapes[] = {
	{ "3x3", 2, 1, 3, 5, { 1, 9, 11 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3 stride 2", 3, 1, 7, 6, { 1, 12, 13 }, { 1, 3, 3 }, { 1, 2, 2 }, D1, { 0, 1, 1 }, { 0, 1, 0 } },
	{ "7x7 stride 2", 1, 1, 3, 17, { 1, 33, 30 }, { 1, 7, 7 }, { 1, 2, 2 }, D1, { 0, 3, 3 }, { 0, 3, 3 } },
	{ "dilated", 2, 1, 4, 4, { 1, 15, 14 }, { 1, 3, 3 }, D1, { 1, 3, 2 }, { 0, 3, 2 }, { 0, 3, 2 } },
	{ "groups", 2, 3, 5, 4, { 1, 8, 8 }, { 1, 3, 2 }, { 1, 1, 3 }, D1, { 0, 0, 1 }, { 0, 2, 0 } },
	{ "1x1", 3, 1, 19, 23, { 1, 7, 7 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 stride 2", 2, 1, 6, 8, { 1, 9, 10 }, { 1, 1, 1 }, { 1, 2, 2 }, D1, D0, D0 },
	{ "1x1 groups", 2, 2, 6, 8, { 1, 5, 5 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 map", 1, 1, 33, 65, { 1, 1, 1 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "batch 1, deep", 1, 1, 130, 140, { 1, 7, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "wide, many tiles", 1, 1, 40, 3, { 1, 60, 61 }, { 1, 5, 5 }, D1, D1, { 0, 2, 2 }, { 0, 2, 2 } },
	{ "1-D", 2, 1, 5, 9, { 1, 1, 37 }, { 1, 1, 4 }, { 1, 1, 3 }, { 1, 1, 2 }, { 0, 0, 5 }, { 0, 0, 1 } },
	{ "3-D", 2, 2, 2, 3, { 5, 6, 7 }, { 2, 3, 2 }, { 2, 1, 1 }, { 1, 1, 2 }, { 1, 0, 1 }, { 0, 1, 1 } },
	{ "depthwise", 2, 9, 1, 1, { 1, 14, 37 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise stride 2", 2, 5, 1, 1, { 1, 15, 36 }, { 1, 3, 3 }, { 1, 2, 2 }, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 5x5", 2, 4, 1, 2, { 1, 11, 40 }, { 1, 5, 5 }, D1, D1, { 0, 2, 2 }, { 0, 2, 2 } },
	{ "depthwise stride 3", 1, 4, 1, 3, { 1, 11, 40 }, { 1, 3, 3 }, { 1, 1, 3 }, D1, { 0, 2, 2 }, { 0, 0, 1 } },
	{ "depthwise dilated", 1, 3, 1, 1, { 1, 9, 21 }, { 1, 3, 3 }, D1, { 1, 2, 4 }, { 0, 2, 4 }, { 0, 2, 4 } },
	{ "depthwise 1x1 map", 1, 70, 1, 1, { 1, 1, 1 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 2 columns", 1, 3, 1, 1, { 1, 2, 2 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 7x7 map", 3, 33, 1, 1, { 1, 7, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 5x5 stride 2", 2, 6, 1, 1, { 1, 14, 13 }, { 1, 5, 5 }, { 1, 2, 2 }, D1, { 0, 2, 2 }, { 0, 1, 2 } },
	{ "depthwise bands", 1, 3, 1, 2, { 1, 60, 112 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "rows, stride 2", 1, 2, 1, 1, { 1, 20, 112 }, { 1, 3, 3 }, { 1, 2, 2 }, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "bands, stride 2", 2, 2, 1, 1, { 1, 301, 40 }, { 1, 3, 3 }, { 1, 2, 2 }, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise no padding", 1, 2, 1, 1, { 1, 9, 9 }, { 1, 4, 2 }, { 1, 3, 2 }, { 1, 2, 3 }, D0, D0 },
	{ "depthwise wide padding", 1, 2, 1, 1, { 1, 5, 4 }, { 1, 3, 3 }, D1, D1, { 0, 4, 5 }, { 0, 4, 3 } },
	{ "depthwise 3-D", 2, 3, 1, 2, { 4, 5, 6 }, { 3, 2, 3 }, { 1, 2, 1 }, D1, { 1, 0, 1 }, { 1, 1, 1 } },
	{ "batch 0", 0, 1, 3, 5, { 1, 9, 11 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
};

static int bad;

static void say(int ok, const char *what, const char *name, const char *detail)
{
	printf("%s - %s, %s%s\n", ok ? "ok" : "not ok", what, name, detail);
	bad += !ok;
}

static struct onx_conv_geo geo_of(const struct shape *s)
{
	struct onx_conv_geo g = { .n = s->n, .groups = s->groups, .c = s->c, .m = s->m };

	for (int d = 0; d < 3; d++) {
		g.w.in[d] = s->in[d];
		g.w.kern[d] = s->kern[d];
		g.w.stride[d] = s->stride[d];
		g.w.dil[d] = s->dil[d];
		g.w.pad[d] = s->pad[d];
		g.w.pad_end[d] = s->pad_end[d];
		g.w.out[d] = (size_t)(((int64_t)s->in[d] + s->pad[d] + s->pad_end[d] -
				       (((int64_t)s->kern[d] - 1) * s->dil[d] + 1)) / s->stride[d] + 1);
	}
	onx_window_close(&g.w);
	return g;
}

static real *numbers(size_t n, uint64_t seed)
{
	struct onx_rng r;
	real *v = onx_heap(n + 1, sizeof *v);

	if (!v)
		abort();
	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; i < n; i++)
		v[i] = (real)onx_rng_range(&r, -1, 1);
	return v;
}

static real *garbage(size_t n)
{
	real *v = onx_heap(n + 1, sizeof *v);

	if (!v)
		abort();
	memset(v, 0xff, n * sizeof *v);         /* NaN: who reads it is found out */
	return v;
}

/* Largest difference, relative to the larger of 1 and the size of the numbers; NaN counts as 1e9. */
static double gap(const real *a, const real *b, size_t n)
{
	double worst = 0, top = 1;

	for (size_t i = 0; i < n; i++)
		top = fabs((double)b[i]) > top ? fabs((double)b[i]) : top;
	for (size_t i = 0; i < n; i++) {
		const double d = fabs((double)a[i] - (double)b[i]) / top;

		worst = d <= worst ? worst : d == d ? d : 1e9;
	}
	return worst;
}

enum { FORWARD, DGRAD, WGRAD, KINDS };
static const char *const kind_name[KINDS] = { "forward", "dgrad", "wgrad" };

struct data { real *x, *w, *b, *dy; size_t nx, nw, ny; };

/* The ways, by number. */
enum { REF, GEMM, PACKED, DW, PHASE, WAYS };
static const char *const way_name[WAYS] = { "formula", "gemm", "panels", "rows", "phases" };
static ONX_R(onx_conv_forward_fn) *const forward_by[WAYS] = {
	onx_conv_ref_forward, onx_conv_gemm_forward, onx_conv_packed_forward, onx_conv_dw_forward,
	onx_conv_phase_forward };
static ONX_R(onx_conv_dgrad_fn) *const dgrad_by[WAYS] = {
	onx_conv_ref_dgrad, onx_conv_gemm_dgrad, onx_conv_packed_dgrad, onx_conv_dw_dgrad,
	onx_conv_phase_dgrad };
static ONX_R(onx_conv_wgrad_fn) *const wgrad_by[WAYS] = {
	onx_conv_ref_wgrad, onx_conv_gemm_wgrad, onx_conv_gemm_wgrad, onx_conv_dw_wgrad,
	onx_conv_phase_wgrad };

static size_t scratch_of(const struct onx_conv_geo *g, int kind, int way, int threads)
{
	size_t (*const need[2][KINDS])(const struct onx_conv_geo *, int) = {
		{ onx_conv_gemm_forward_scratch, onx_conv_gemm_dgrad_scratch, onx_conv_gemm_wgrad_scratch },
		{ onx_conv_packed_forward_scratch, onx_conv_packed_dgrad_scratch, onx_conv_gemm_wgrad_scratch } };

	if (way == PHASE)
		return onx_conv_phase_scratch(g, threads, kind != FORWARD);
	return way == GEMM || way == PACKED ? need[way == PACKED][kind](g, threads) : 0;
}

/* One computation into fresh memory. */
static real *run(const struct onx_conv_geo *g, const struct data *t, int kind, int way, bool add,
		 struct onx_pool *pool, size_t *n)
{
	const size_t sizes[KINDS] = { t->ny, t->nx, t->nw };
	real *out = add ? numbers(sizes[kind], 77) : garbage(sizes[kind]);
	const size_t bytes = scratch_of(g, kind, way, onx_pool_threads(pool));
	void *scratch = bytes ? garbage(bytes / sizeof(real) + 1) : NULL;

	*n = sizes[kind];
	if (kind == FORWARD)
		forward_by[way](pool, g, t->x, t->w, add ? NULL : t->b, out, add, scratch);
	else if (kind == DGRAD)
		dgrad_by[way](pool, g, t->w, t->dy, out, add, scratch);
	else
		wgrad_by[way](pool, g, t->x, t->dy, out, add, scratch);
	onx_heap_free(scratch);
	return out;
}

static void one(const struct shape *s, struct onx_pool *const *pools)
{
	const struct onx_conv_geo g = geo_of(s);
	struct data t = { .nx = g.n * g.groups * g.c * g.w.in_n, .nw = g.groups * g.m * g.c * g.w.kern_n,
			  .ny = g.n * g.groups * g.m * g.w.out_n };
	char what[64];

	t.x = numbers(t.nx, 1);
	t.w = numbers(t.nw, 2);
	t.b = numbers(g.groups * g.m, 3);
	t.dy = numbers(t.ny, 4);
	for (int way = 1; way < (onx_conv_phase_fits(&g) ? WAYS : g.c == 1 ? PHASE : DW); way++)
		for (int kind = 0; kind < 2 * KINDS; kind++) {
			const bool add = kind >= KINDS;
			size_t n;
			real *want = run(&g, &t, kind % KINDS, 0, add, NULL, &n);
			real *have[THREADS];

			for (int i = 0; i < THREADS; i++)
				have[i] = run(&g, &t, kind % KINDS, way, add, pools[i], &n);
			snprintf(what, sizeof what, "%s%s by %s", kind_name[kind % KINDS], add ? " added" : "",
				 way_name[way]);
			say(gap(have[0], want, n) <= tolerance, what, s->name, "");
			say(!memcmp(have[0], have[1], n * sizeof *want) &&
			    !memcmp(have[0], have[2], n * sizeof *want), what, s->name, ", 1 2 3 threads");
			for (int i = 0; i < THREADS; i++)
				onx_heap_free(have[i]);
			onx_heap_free(want);
		}
	onx_heap_free(t.x);
	onx_heap_free(t.w);
	onx_heap_free(t.b);
	onx_heap_free(t.dy);
}

static void gemms(struct onx_pool *const *pools)
{
	static const size_t sizes[][3] = { { 1, 1, 1 }, { 5, 3, 0 }, { 1, 300, 70 }, { 300, 1, 70 }, { 33, 65, 17 },
					   { 130, 257, 190 }, { 7, 1000, 513 }, { 500, 31, 300 } };
	char name[64];

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int t = 0; t < 8; t++) {
			struct onx_mat g = { .m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2],
					     .ta = t & 1, .tb = t & 2 };
			const real beta = t & 4 ? (real)0.5 : 0;
			const size_t n = g.m * (g.n + 3);

			g.lda = (g.ta ? g.m : g.k) + 1;
			g.ldb = (g.tb ? g.k : g.n) + 2;
			g.ldc = g.n + 3;
			real *a = numbers((g.ta ? g.k : g.m) * g.lda, 1), *c[THREADS + 1];
			real *b = numbers((g.tb ? g.n : g.k) * g.ldb, 2);

			for (int k = 0; k <= THREADS; k++) {
				c[k] = beta == 0 ? garbage(n) : numbers(n, 3);
				for (size_t r = 0; r < g.m; r++)        /* the gaps must stay as they are */
					for (size_t q = g.n; q < g.ldc; q++)
						c[k][r * g.ldc + q] = 3;
				if (k == THREADS)
					onx_gemm_naive(&g, (real)1.5, a, b, beta, c[k]);
				else
					onx_gemm(pools[k], &g, (real)1.5, a, b, beta, c[k]);
			}
			snprintf(name, sizeof name, "%zux%zux%zu case %d", g.m, g.n, g.k, t);
			say(gap(c[0], c[THREADS], n) <= tolerance, "gemm", name, "");
			say(!memcmp(c[0], c[1], n * sizeof *a) && !memcmp(c[0], c[2], n * sizeof *a), "gemm",
			    name, ", 1 2 3 threads");
			for (int k = 0; k <= THREADS; k++)
				onx_heap_free(c[k]);
			onx_heap_free(a);
			onx_heap_free(b);
		}
}

/* 3 x 2 products; the middle index is summed, A is shared along the first. */
static void batches(struct onx_pool *pool)
{
	enum { M = 4, N = 5, K = 6, O = 3, I = 2 };
	const struct onx_mat g = { .m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N };
	struct onx_batch b = { .n_outer = 1, .n_inner = 1, .outer = { O }, .outer_a = { 0 },
			       .outer_b = { I * K * N }, .outer_c = { M * N }, .inner = { I },
			       .inner_a = { M * K }, .inner_b = { K * N } };
	real *x = numbers(I * M * K, 1), *y = numbers(O * I * K * N, 2);
	real *have = garbage(O * M * N), *want = garbage(O * M * N);

	onx_gemm_batch(pool, &g, &b, 1, x, y, 0, have);
	for (size_t o = 0; o < O; o++)
		for (size_t i = 0; i < I; i++)
			onx_gemm_naive(&g, 1, x + i * M * K, y + (o * I + i) * K * N, i ? 1 : 0, want + o * M * N);
	say(gap(have, want, O * M * N) <= tolerance, "batched gemm", "summed", "");
	b.inner[0] = 0;
	onx_gemm_batch(pool, &g, &b, 1, x, y, 0, have);
	memset(want, 0, O * M * N * sizeof *want);
	say(gap(have, want, O * M * N) == 0, "batched gemm", "empty sum", "");
	onx_heap_free(x);
	onx_heap_free(y);
	onx_heap_free(have);
	onx_heap_free(want);
}

int main(void)
{
	struct onx_pool *pools[THREADS];
	struct onx_err e = { 0 };

	for (int i = 0; i < THREADS; i++)
		if (onx_pool_new(i + 1, &pools[i], &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			return 6;
		}
	gemms(pools);
	batches(pools[1]);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		one(&shapes[i], pools);
	for (int i = 0; i < THREADS; i++)
		onx_pool_free(pools[i]);
	return bad != 0;
}
