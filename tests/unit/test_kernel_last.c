/* Convolution with channels last: the fast ways against the formula, over many shapes and for every
 * instruction set of this processor; one result for any number of threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/last_dense.h"
#include "kernel/wino.h"

enum { THREADS = 3 };
static const double tolerance = sizeof(real) == sizeof(float) ? 1e-5 : 1e-13;   /* of sums of up to 2300 products */

struct shape {
	const char *name;
	size_t n, groups, c, m, in[3], kern[3];
	int64_t stride[3], dil[3], pad[3], pad_end[3];
};
#define D1 { 1, 1, 1 }
#define D0 { 0, 0, 0 }
static const struct shape shapes[] = {
	{ "3x3", 2, 1, 3, 5, { 1, 9, 11 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 16 to 24", 2, 1, 16, 24, { 1, 9, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3 stride 2", 3, 1, 9, 6, { 1, 12, 13 }, { 1, 3, 3 }, { 1, 2, 2 }, D1, { 0, 1, 1 }, { 0, 1, 0 } },
	{ "7x7 stride 2", 1, 1, 3, 17, { 1, 33, 30 }, { 1, 7, 7 }, { 1, 2, 2 }, D1, { 0, 3, 3 }, { 0, 3, 3 } },
	{ "one channel", 2, 1, 1, 33, { 1, 12, 9 }, { 1, 5, 5 }, D1, D1, { 0, 2, 2 }, { 0, 2, 2 } },
	{ "narrower than its window", 2, 1, 2, 9, { 1, 3, 2 }, { 1, 5, 7 }, D1, D1, { 0, 4, 6 }, { 0, 2, 5 } },
	{ "dilated", 2, 1, 4, 4, { 1, 15, 14 }, { 1, 3, 3 }, D1, { 1, 3, 2 }, { 0, 3, 2 }, { 0, 3, 2 } },
	{ "dilated, stride 2 and 3", 2, 1, 10, 12, { 1, 15, 19 }, { 1, 3, 4 }, { 1, 2, 3 }, { 1, 2, 2 },
	  { 0, 1, 3 }, { 0, 2, 2 } },
	{ "stride 4, dilated 6", 1, 1, 5, 7, { 1, 30, 25 }, { 1, 3, 3 }, { 1, 4, 4 }, { 1, 6, 2 },
	  { 0, 2, 5 }, { 0, 1, 0 } },
	{ "stride longer than the window", 2, 1, 6, 5, { 1, 11, 13 }, { 1, 2, 1 }, { 1, 3, 4 }, D1, { 0, 1, 0 }, D0 },
	{ "groups", 2, 3, 5, 4, { 1, 8, 8 }, { 1, 3, 2 }, { 1, 1, 3 }, D1, { 0, 0, 1 }, { 0, 2, 0 } },
	{ "32 groups of 4", 2, 32, 4, 4, { 1, 7, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "1x1", 3, 1, 19, 23, { 1, 7, 7 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 24 to 144", 2, 1, 24, 144, { 1, 9, 10 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 144 to 40", 2, 1, 144, 40, { 1, 6, 6 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 37 to 24, one row over", 1, 1, 37, 24, { 1, 5, 5 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 200 to 136", 1, 1, 200, 136, { 1, 9, 7 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 300 to 96", 1, 1, 300, 96, { 1, 11, 7 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 stride 2, 21 to 96", 2, 1, 21, 96, { 1, 9, 11 }, { 1, 1, 1 }, { 1, 2, 2 }, D1, D0, D0 },
	{ "1x1, 3 groups of 130 to 72", 1, 3, 130, 72, { 1, 7, 5 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x2, zeros behind", 1, 1, 3, 8, { 1, 4, 5 }, { 1, 1, 2 }, D1, D1, D0, { 0, 0, 1 } },
	{ "1x1, 500 to 8", 2, 1, 500, 8, { 1, 5, 6 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 100 to 264", 1, 1, 100, 264, { 1, 19, 20 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, 10 to 264", 1, 1, 10, 264, { 1, 19, 20 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, long rows", 1, 1, 2051, 2056, { 1, 2, 3 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 stride 2", 2, 1, 6, 8, { 1, 9, 10 }, { 1, 1, 1 }, { 1, 2, 2 }, D1, D0, D0 },
	{ "1x1 padded", 1, 1, 6, 8, { 1, 4, 5 }, { 1, 1, 1 }, D1, D1, { 0, 1, 2 }, { 0, 2, 1 } },
	{ "1x1, more results than caches hold", 1, 1, 3, 48, { 1, 300, 301 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1, rows 4096 bytes apart", 2, 1, 1024, 130, { 1, 4, 5 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 stride 2, rows 8192 bytes apart", 1, 1, 1024, 200, { 1, 5, 7 }, { 1, 1, 1 }, { 1, 1, 2 }, D1,
	  { 0, 1, 0 }, { 0, 1, 2 } },
	{ "1x1 groups", 2, 2, 6, 8, { 1, 5, 5 }, { 1, 1, 1 }, D1, D1, D0, D0 },
	{ "1x1 map", 1, 1, 33, 65, { 1, 1, 1 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "batch 1, deep", 1, 1, 130, 140, { 1, 7, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "250 to 260", 1, 1, 250, 260, { 1, 5, 4 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "wide, many tiles", 1, 1, 40, 3, { 1, 60, 61 }, { 1, 5, 5 }, D1, D1, { 0, 2, 2 }, { 0, 2, 2 } },
	{ "1-D", 2, 1, 5, 9, { 1, 1, 37 }, { 1, 1, 4 }, { 1, 1, 3 }, { 1, 1, 2 }, { 0, 0, 5 }, { 0, 0, 1 } },
	{ "3-D", 2, 2, 2, 3, { 5, 6, 7 }, { 2, 3, 2 }, { 2, 1, 1 }, { 1, 1, 2 }, { 1, 0, 1 }, { 0, 1, 1 } },
	{ "cropped", 2, 1, 4, 6, { 1, 9, 9 }, { 1, 3, 3 }, D1, D1, { 0, -1, -2 }, { 0, 0, -1 } },
	{ "3x3, 16 to 32", 2, 1, 16, 32, { 1, 8, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 48 to 80, no padding", 3, 1, 48, 80, { 1, 9, 10 }, { 1, 3, 3 }, D1, D1, D0, D0 },
	{ "3x3, 32 to 16, padding 0 to 2", 2, 1, 32, 16, { 1, 11, 12 }, { 1, 3, 3 }, D1, D1, { 0, 2, 0 }, { 0, 1, 2 } },
	{ "3x3, 64 to 16, cropped", 2, 1, 64, 16, { 1, 13, 14 }, { 1, 3, 3 }, D1, D1, { 0, -1, 1 }, { 0, 1, -2 } },
	{ "3x3, 272 to 48, 7x7", 2, 1, 272, 48, { 1, 7, 7 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 160 to 96, 4x4", 3, 1, 160, 96, { 1, 4, 4 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 128 to 16, many tiles", 1, 1, 128, 16, { 1, 61, 59 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 48 to 16, many tiles", 1, 1, 48, 16, { 1, 131, 130 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, 352 to 368, 4x4", 1, 1, 352, 368, { 1, 4, 4 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "3x3, batch 0", 0, 1, 16, 16, { 1, 8, 8 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 3x3", 2, 37, 1, 1, { 1, 9, 11 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 3x3 stride 2, padding 2 behind", 2, 40, 1, 1, { 1, 9, 11 }, { 1, 3, 3 }, { 1, 2, 2 }, D1,
	  D0, { 0, 2, 2 } },
	{ "depthwise 3x3 stride 2, padding 2 in front", 2, 40, 1, 1, { 1, 9, 11 }, { 1, 3, 3 }, { 1, 2, 2 }, D1,
	  { 0, 2, 2 }, D0 },
	{ "depthwise 5x5 stride 2", 2, 48, 1, 1, { 1, 13, 14 }, { 1, 5, 5 }, { 1, 2, 2 }, D1, { 0, 2, 2 },
	  { 0, 2, 1 } },
	{ "depthwise 7x7", 2, 44, 1, 1, { 1, 9, 17 }, { 1, 7, 7 }, D1, D1, { 0, 3, 3 }, { 0, 3, 3 } },
	{ "depthwise 7x7, stride 2", 1, 37, 1, 1, { 1, 19, 23 }, { 1, 7, 7 }, { 1, 2, 2 }, D1, { 0, 3, 3 },
	  { 0, 3, 3 } },
	{ "depthwise 3x3, dilated 4", 2, 72, 1, 1, { 1, 13, 21 }, { 1, 3, 3 }, D1, { 1, 4, 4 },
	  { 0, 4, 4 }, { 0, 4, 4 } },
	{ "depthwise 3x3, dilated, stride 2", 1, 40, 1, 1, { 1, 19, 31 }, { 1, 3, 3 }, { 1, 2, 2 }, { 1, 3, 2 },
	  { 0, 3, 2 }, { 0, 3, 2 } },
	{ "depthwise 7x7, 3x3 map", 1, 96, 1, 1, { 1, 3, 3 }, { 1, 7, 7 }, D1, D1, { 0, 3, 3 }, { 0, 3, 3 } },
	{ "depthwise 2x4 dilated, stride 3", 3, 16, 1, 1, { 1, 17, 21 }, { 1, 2, 4 }, { 1, 1, 3 }, { 1, 4, 2 },
	  { 0, 3, 1 }, { 0, 0, 4 } },
	{ "depthwise, long rows", 1, 33, 1, 1, { 1, 3, 300 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise, more results than caches hold", 1, 64, 1, 1, { 1, 260, 258 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 },
	  { 0, 1, 1 } },
	{ "depthwise, more pixels than caches hold", 1, 32, 1, 1, { 1, 371, 360 }, { 1, 3, 2 }, { 1, 2, 2 }, D1,
	  { 0, 1, 1 }, { 0, 1, 1 } },
	{ "depthwise 3-D", 2, 5, 1, 1, { 5, 6, 7 }, { 2, 3, 2 }, { 2, 1, 1 }, { 1, 1, 2 }, { 1, 0, 1 }, { 0, 1, 1 } },
	{ "batch 0", 0, 1, 3, 5, { 1, 9, 11 }, { 1, 3, 3 }, D1, D1, { 0, 1, 1 }, { 0, 1, 1 } },
};
/* What follows the sum, in turn. */
static const struct onx_fuse ends[] = {
	{ ONX_FUSE_NONE, 0, 0 }, { ONX_FUSE_RELU, 0, 0 }, { ONX_FUSE_CLIP, -0.5, 2 }, { ONX_FUSE_SIGMOID, 0, 0 },
	{ ONX_FUSE_LEAKY, 0.1, 0 }
};
static const char *const sets[ONX_ISAS] = { "portable", "AVX2", "AVX-512" };

/* Ways under test beside the formula; each for an instruction set. */
enum way { FORMULA, DENSE, WINOGRAD };
/* How much more than `tolerance` a way may be off: Winograd's transforms round on the way in and out (wino.h). */
static const double rougher[] = { 1, 1, 8 };
static const char *const way_name[] = { "formula", "dense", "Winograd" };

static int bad;

static void say(double gap, enum way way, const char *what, const char *name)
{
	const bool ok = gap <= tolerance * rougher[way];

	printf("%s - %s, %s: %.1e\n", ok ? "ok" : "not ok", what, name, gap);
	bad += !ok;
}

static void same(real *const *v, size_t n, const char *what, const char *name)
{
	const int ok = !memcmp(v[0], v[1], n * sizeof(real)) && !memcmp(v[0], v[2], n * sizeof(real));

	printf("%s - %s, %s, 1 2 3 threads\n", ok ? "ok" : "not ok", what, name);
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

static void *garbage(size_t bytes)
{
	void *v = onx_heap(bytes + 1, 1);

	if (!v)
		abort();
	memset(v, 0xff, bytes);         /* NaN: who reads it is found out */
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

struct data { real *x, *w, *b, *z, *dy; size_t nx, nw, ny; };

/* y; z before, if any, lies beside y or in it. */
enum { BARE, BIAS, BESIDE, INSIDE, USES };
static const char *const use_name[USES] = { "bare", "bias", "bias and z", "bias and z in y" };

/* Winograd's products of weights that are not packed give the bits of those that are. */
static void fresh(const struct ONX_R(onx_wino) *q, const struct data *t, int use, const struct onx_fuse *f,
		  struct onx_pool *pool, const real *y)
{
	real *have = use == INSIDE ? numbers(t->ny, 5) : garbage((t->ny + 1) * sizeof *have);
	const struct ONX_R(onx_last_end) end = { .b = use == BARE ? NULL : t->b, .f = *f,
						 .z = use == BESIDE ? t->z : use == INSIDE ? have : NULL };
	void *scratch = garbage(onx_wino_fresh_scratch(q, onx_pool_threads(pool)));

	onx_wino_fresh(pool, q, t->x, t->w, &end, have, scratch);
	if (memcmp(have, y, t->ny * sizeof *y)) {
		printf("not ok - fresh weights, %zu to %zu channels\n", q->c, q->m);
		bad++;
	}
	onx_heap_free(scratch);
	onx_heap_free(have);
}

static real *forward(const struct onx_conv_geo *g, const struct data *t, enum way way, enum onx_isa isa, int use,
		     const struct onx_fuse *f, struct onx_pool *pool)
{
	struct ONX_R(onx_gather) p;
	struct ONX_R(onx_wino) q;
	real *y = use == INSIDE ? numbers(t->ny, 5) : garbage((t->ny + 1) * sizeof *y);
	const struct ONX_R(onx_last_end) end = { .b = use == BARE ? NULL : t->b, .f = *f,
						 .z = use == BESIDE ? t->z : use == INSIDE ? y : NULL };
	void *packed, *scratch;

	if (way == FORMULA) {
		packed = garbage(onx_last_way_ref.packed(g));
		scratch = garbage(0);
		onx_last_way_ref.pack(pool, g, t->w, packed);
		onx_last_way_ref.forward(pool, g, t->x, packed, &end, y, scratch);
	} else if (way == WINOGRAD) {
		onx_wino_forward_of(g, isa, &q);
		packed = garbage(onx_wino_packed(&q));
		scratch = garbage(onx_wino_scratch(&q, onx_pool_threads(pool)));
		onx_wino_pack(pool, &q, t->w, packed);
		onx_wino_run(pool, &q, t->x, packed, &end, y, scratch);
		fresh(&q, t, use, f, pool, y);
	} else {
		onx_last_dense_forward_of(g, isa, &p);
		packed = garbage(onx_gather_packed(&p));
		scratch = garbage(onx_gather_scratch(&p, onx_pool_threads(pool)));
		onx_gather_pack(pool, &p, t->w, packed);
		onx_gather_run(pool, &p, t->x, packed, &end, y, scratch);
	}
	onx_heap_free(packed);
	onx_heap_free(scratch);
	return y;
}

/* Weights beyond the caches, which Winograd's way packs where they are used: the formula takes its time over them, so
 * once is enough, with the widest instructions. */
static bool large(const struct data *t)
{
	return t->nw > 1 << 20;
}

static int first_set(const struct data *t)
{
	return large(t) ? (int)onx_isa() : 0;
}

static void forwards(const struct shape *s, const struct onx_conv_geo *g, const struct data *t, enum way way,
		     struct onx_pool *const *pools)
{
	char what[64];

	for (int use = 0; use < (large(t) ? 1 : USES); use++) {
		const size_t turn = (size_t)(s - shapes) + (size_t)use;
		const struct onx_fuse *f = &ends[turn % (sizeof ends / sizeof *ends)];
		real *want = forward(g, t, FORMULA, ONX_ISA_BASE, use, f, NULL), *have[THREADS];

		for (int isa = first_set(t); isa <= (int)onx_isa(); isa++) {
			for (int i = 0; i < THREADS; i++)
				have[i] = forward(g, t, way, (enum onx_isa)isa, use, f, pools[i]);
			snprintf(what, sizeof what, "%s, %s, forward, %s, end %d", way_name[way], sets[isa],
				 use_name[use], (int)f->kind);
			say(gap(have[0], want, t->ny), way, what, s->name);
			same(have, t->ny, what, s->name);
			for (int i = 0; i < THREADS; i++)
				onx_heap_free(have[i]);
		}
		onx_heap_free(want);
	}
}

/* dx or dw, alone or added to what is there. */
static real *gradient(const struct onx_conv_geo *g, const struct data *t, enum way way, enum onx_isa isa, bool of_w,
		      bool add, struct onx_pool *pool)
{
	const size_t n = of_w ? t->nw : t->nx;
	const int threads = onx_pool_threads(pool);
	real *d = add ? numbers(n, 6) : garbage((n + 1) * sizeof *d);
	void *scratch = NULL;

	if (way == WINOGRAD && of_w) {
		scratch = garbage(onx_wino_weights_scratch(g, isa, threads));
		onx_wino_weights(pool, g, isa, t->x, t->dy, d, add, scratch);
	} else if (way == WINOGRAD) {
		const struct ONX_R(onx_last_end) end = { .z = add ? d : NULL };
		struct ONX_R(onx_wino) q;

		onx_wino_data_of(g, isa, &q);
		scratch = garbage(onx_wino_fresh_scratch(&q, threads));
		onx_wino_fresh(pool, &q, t->dy, t->w, &end, d, scratch);
	} else if (way == DENSE && of_w) {
		scratch = garbage(onx_last_dense_weights_scratch(g, isa, NULL, NULL, threads));
		onx_last_dense_weights(pool, g, isa, NULL, t->x, t->dy, NULL, d, add, scratch);
	} else if (way == DENSE) {
		scratch = garbage(onx_last_dense_data_scratch(g, isa, threads));
		onx_last_dense_data(pool, g, isa, t->w, t->dy, d, add, scratch);
	} else if (of_w) {
		onx_last_grad_ref.weights(pool, g, t->x, t->dy, d, add, NULL);
	} else {
		onx_last_grad_ref.data(pool, g, t->w, t->dy, d, add, NULL);
	}
	onx_heap_free(scratch);
	return d;
}

static void gradients(const struct shape *s, const struct onx_conv_geo *g, const struct data *t, enum way way,
		      struct onx_pool *const *pools)
{
	char what[64];

	for (int kind = 0; kind < (large(t) ? 2 : 4); kind++) {
		const bool of_w = kind & 1, add = kind & 2;
		const size_t n = of_w ? t->nw : t->nx;
		real *want = gradient(g, t, FORMULA, ONX_ISA_BASE, of_w, add, NULL), *have[THREADS];

		for (int isa = first_set(t); isa <= (int)onx_isa(); isa++) {
			for (int i = 0; i < THREADS; i++)
				have[i] = gradient(g, t, way, (enum onx_isa)isa, of_w, add, pools[i]);
			snprintf(what, sizeof what, "%s, gradient of %s%s, %s", way_name[way],
				 of_w ? "weights" : "data", add ? ", added" : "", sets[isa]);
			say(gap(have[0], want, n), way, what, s->name);
			same(have, n, what, s->name);
			for (int i = 0; i < THREADS; i++)
				onx_heap_free(have[i]);
		}
		onx_heap_free(want);
	}
}

/* Only the depthwise ways have a case of this size of their own: alone, their results go past the caches. */
static bool far(const struct data *t)
{
	return t->nx > 1 << 22;
}

/* Depthwise ways stand in for the dense ones as the operator chooses them, for this processor. */
static real *depthwise(const struct onx_conv_geo *g, const struct data *t, int kind, bool add, bool ref,
		       struct onx_pool *pool)
{
	const size_t n = kind == 0 ? t->ny : kind == 1 ? t->nx : t->nw;
	const struct ONX_R(onx_last_way) *way = ref ? &onx_last_way_ref : &onx_last_way_depthwise;
	const struct ONX_R(onx_last_grad) *grad = ref ? &onx_last_grad_ref : &onx_last_grad_depthwise;
	real *d = add ? numbers(n, 6) : garbage((n + 1) * sizeof *d);
	const enum onx_fuse_kind f = far(t) ? ONX_FUSE_NONE : ONX_FUSE_CLIP;
	const struct ONX_R(onx_last_end) end = { .b = t->b, .z = add ? d : NULL, .f = { f, -0.5, 2 } };
	void *packed = garbage(way->packed(g)), *scratch = garbage(grad->scratch(g, onx_pool_threads(pool)));

	if (kind == 0) {
		way->pack(pool, g, t->w, packed);
		way->forward(pool, g, t->x, packed, &end, d, scratch);
	} else if (kind == 1) {
		grad->data(pool, g, t->w, t->dy, d, add, scratch);
	} else {
		grad->weights(pool, g, t->x, t->dy, d, add, scratch);
	}
	onx_heap_free(packed);
	onx_heap_free(scratch);
	return d;
}

static void depthwises(const struct shape *s, const struct onx_conv_geo *g, const struct data *t,
		       struct onx_pool *const *pools)
{
	static const char *const name[] = { "forward", "gradient of data", "gradient of weights" };
	char what[64];

	for (int k = 0; k < 6; k++) {
		const int kind = k % 3;
		const size_t n = kind == 0 ? t->ny : kind == 1 ? t->nx : t->nw;

		if (far(t) && (k > 2 || kind == 2))
			continue;       /* what adds, and weights, do not go past the caches */
		real *want = depthwise(g, t, kind, k > 2, true, NULL), *have[THREADS];

		for (int i = 0; i < THREADS; i++)
			have[i] = depthwise(g, t, kind, k > 2, false, pools[i]);
		snprintf(what, sizeof what, "depthwise %s%s", name[kind], k > 2 ? ", added" : "");
		say(gap(have[0], want, n), DENSE, what, s->name);
		same(have, n, what, s->name);
		for (int i = 0; i < THREADS; i++)
			onx_heap_free(have[i]);
		onx_heap_free(want);
	}
}

static void one(const struct shape *s, struct onx_pool *const *pools)
{
	const struct onx_conv_geo g = geo_of(s);
	struct data t = { .nx = g.n * g.groups * g.c * g.w.in_n, .nw = g.groups * g.m * g.c * g.w.kern_n,
			  .ny = g.n * g.groups * g.m * g.w.out_n };

	t.x = numbers(t.nx, 1);
	t.w = numbers(t.nw, 2);
	t.b = numbers(g.groups * g.m, 3);
	t.dy = numbers(t.ny, 4);
	t.z = numbers(t.ny, 5);
	if (!large(&t) && !far(&t)) {
		forwards(s, &g, &t, DENSE, pools);
		gradients(s, &g, &t, DENSE, pools);
	}
	if (onx_last_way_winograd.fits(&g)) {
		forwards(s, &g, &t, WINOGRAD, pools);
		gradients(s, &g, &t, WINOGRAD, pools);
	}
	if (g.groups > 1 && g.c == 1 && g.m == 1)
		depthwises(s, &g, &t, pools);
	onx_heap_free(t.x);
	onx_heap_free(t.w);
	onx_heap_free(t.b);
	onx_heap_free(t.dy);
	onx_heap_free(t.z);
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
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		one(&shapes[i], pools);
	for (int i = 0; i < THREADS; i++)
		onx_pool_free(pools[i]);
	return bad != 0;
}
