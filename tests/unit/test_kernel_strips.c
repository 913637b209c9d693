/* Convolutions in a row, strip by strip, beside the same ones done one after the other: the same bits, for any number
 * of threads. */
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/rng.h"
#include "kernel/strips.h"

enum { THREADS = 3 };
static int bad;

struct stage { size_t m, kern; int64_t stride, dil, pad, end; bool depthwise; enum onx_fuse_kind f; };
struct row { const char *name; size_t n, h, w, c, k; struct stage s[ONX_STRIPS_MOST]; bool z; };

static const struct row rows[] = {
	{ "expand, 3x3, project and add", 2, 23, 17, 19, 3,
	  { { 70, 1, 1, 1, 0, 0, false, ONX_FUSE_CLIP }, { 0, 3, 1, 1, 1, 1, true, ONX_FUSE_CLIP },
	    { 19, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE } }, true },
	{ "in many strips", 1, 60, 48, 16, 3,
	  { { 96, 1, 1, 1, 0, 0, false, ONX_FUSE_RELU }, { 0, 3, 2, 1, 1, 1, true, ONX_FUSE_SILU },
	    { 24, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE } }, false },
	{ "many images in two strips", 17, 30, 40, 8, 2,
	  { { 100, 1, 1, 1, 0, 0, false, ONX_FUSE_HARD_SWISH }, { 0, 5, 1, 1, 2, 2, true, ONX_FUSE_RELU } }, false },
	{ "stem, 3x3, project", 3, 65, 47, 3, 3,
	  { { 32, 3, 2, 1, 1, 1, false, ONX_FUSE_CLIP }, { 0, 3, 1, 1, 1, 1, true, ONX_FUSE_CLIP },
	    { 16, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE } }, false },
	{ "5x5 of stride 2, dilated", 2, 41, 30, 12, 2,
	  { { 0, 5, 2, 2, 4, 3, true, ONX_FUSE_NONE }, { 40, 1, 1, 1, 0, 0, false, ONX_FUSE_SIGMOID } }, true },
	{ "stride beyond the window", 2, 50, 50, 33, 3,
	  { { 64, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE }, { 0, 2, 3, 1, 0, 0, true, ONX_FUSE_NONE },
	    { 40, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE } }, false },
	{ "four dense ones", 2, 30, 31, 5, 4,
	  { { 20, 3, 1, 1, 1, 1, false, ONX_FUSE_RELU }, { 17, 1, 1, 1, 0, 0, false, ONX_FUSE_RELU },
	    { 33, 3, 1, 1, 1, 1, false, ONX_FUSE_RELU }, { 7, 3, 2, 1, 0, 1, false, ONX_FUSE_TANH } }, false },
	{ "a picture of one line", 1, 1, 9, 4, 2,
	  { { 16, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE }, { 0, 3, 1, 1, 1, 1, true, ONX_FUSE_NONE } }, false },
	{ "no image", 0, 8, 8, 4, 2,
	  { { 16, 1, 1, 1, 0, 0, false, ONX_FUSE_NONE }, { 0, 3, 1, 1, 1, 1, true, ONX_FUSE_NONE } }, false },
};

static real *numbers(size_t n, uint64_t seed)
{
	struct onx_rng r;
	real *v = onx_heap(n + 1, sizeof *v);

	onx_rng_init(&r, seed, ONX_RNG_TEST, 0, 0);
	for (size_t i = 0; v && i < n; i++)
		v[i] = (real)onx_rng_range(&r, -1, 1);
	return v;
}

static size_t outs(const struct onx_conv_geo *g)
{
	return g->n * g->w.out_n * g->groups * g->m;
}

static void describe(const struct row *r, struct onx_strips *s)
{
	size_t h = r->h, w = r->w, c = r->c;

	*s = (struct onx_strips){ .k = r->k };
	for (size_t i = 0; i < r->k; i++) {
		const struct stage *t = &r->s[i];
		struct onx_conv_geo *g = &s->g[i];
		const size_t m = t->depthwise ? c : t->m, span = (t->kern - 1) * (size_t)t->dil + 1;
		const size_t around = (size_t)(t->pad + t->end);

		*g = (struct onx_conv_geo){ .n = r->n, .groups = t->depthwise ? c : 1, .c = t->depthwise ? 1 : c,
					    .m = t->depthwise ? 1 : m };
		g->w = (struct onx_window){ .in = { 1, h, w }, .kern = { 1, h < t->kern ? 1 : t->kern, t->kern },
					    .stride = { 1, t->stride, t->stride }, .dil = { 1, t->dil, t->dil },
					    .pad = { 0, h < t->kern ? 0 : t->pad, t->pad } };
		g->w.out[0] = 1;
		g->w.out[1] = h < t->kern ? h : (h + around - span) / (size_t)t->stride + 1;
		g->w.out[2] = (w + around - span) / (size_t)t->stride + 1;
		g->w.in_n = h * w;
		g->w.out_n = g->w.out[1] * g->w.out[2];
		g->w.kern_n = g->w.kern[1] * g->w.kern[2];
		s->f[i] = (struct onx_fuse){ t->f, -0.2, 0.3 };
		h = g->w.out[1];
		w = g->w.out[2];
		c = m;
	}
}

/* Stage by stage, all of each. */
static real *one_by_one(const struct onx_strips *s, const real *x, real *const *w, real *const *b, const real *z)
{
	const real *in = x;
	real *out = NULL;

	for (size_t i = 0; i < s->k; i++) {
		const struct onx_conv_geo *g = &s->g[i];
		const struct ONX_R(onx_last_way) *way = onx_last_way_depthwise.fits(g) ? &onx_last_way_depthwise :
							&onx_last_way_dense;
		const struct ONX_R(onx_last_end) end = { .b = b[i], .z = i + 1 == s->k ? z : NULL, .f = s->f[i] };
		void *packed = onx_heap(way->packed(g) + 1, 1), *scratch = onx_heap(way->scratch(g, 1) + 1, 1);

		out = numbers(outs(g), 9);
		way->pack(NULL, g, w[i], packed);
		way->forward(NULL, g, in, packed, &end, out, scratch);
		if (i > 0)
			onx_heap_free((void *)(uintptr_t)in);
		onx_heap_free(packed);
		onx_heap_free(scratch);
		in = out;
	}
	return out;
}

static void one(const struct row *r, struct onx_pool *const *pools)
{
	struct onx_strips s;
	real *w[ONX_STRIPS_MOST], *b[ONX_STRIPS_MOST], *x, *z, *want;

	describe(r, &s);
	x = numbers(r->n * r->h * r->w * r->c, 1);
	for (size_t i = 0; i < s.k; i++) {
		w[i] = numbers(s.g[i].groups * s.g[i].m * s.g[i].c * s.g[i].w.kern_n, 2 + i);
		b[i] = i == 1 ? NULL : numbers(s.g[i].groups * s.g[i].m, 20 + i);
	}
	z = r->z ? numbers(outs(&s.g[s.k - 1]), 30) : NULL;
	want = one_by_one(&s, x, w, b, z);
	void *packed = onx_heap(onx_strips_packed(&s) + 1, 1);

	onx_strips_pack(&s, (const real *const *)w, packed);
	for (int t = 0; t < THREADS; t++) {
		real *y = numbers(outs(&s.g[s.k - 1]), 8);
		void *scratch = onx_heap(onx_strips_scratch(&s, t + 1) + 1, 1);
		struct ONX_R(onx_strips_data) d = { .x = x, .z = z, .packed = packed, .y = y };

		for (size_t i = 0; i < s.k; i++)
			d.b[i] = b[i];
		onx_strips_forward(pools[t], &s, &d, scratch);
		const bool ok = onx_strips_fits(&s) && memcmp(y, want, outs(&s.g[s.k - 1]) * sizeof *y) == 0;

		printf("%s - %s, %d threads\n", ok ? "ok" : "not ok", r->name, t + 1);
		bad += !ok;
		onx_heap_free(y);
		onx_heap_free(scratch);
	}
	for (size_t i = 0; i < s.k; i++) {
		onx_heap_free(w[i]);
		onx_heap_free(b[i]);
	}
	onx_heap_free(x);
	onx_heap_free(z);
	onx_heap_free(want);
	onx_heap_free(packed);
}

/* Windows that lie in the padding have no line to begin with. */
static void padding_alone(void)
{
	struct onx_strips s;

	describe(&rows[0], &s);
	s.g[1].w.pad[1] = 5;
	const bool ok = !onx_strips_fits(&s);

	printf("%s - windows in the padding are refused\n", ok ? "ok" : "not ok");
	bad += !ok;
}

int main(void)
{
	struct onx_pool *pools[THREADS];
	struct onx_err e = { 0 };

	for (int t = 0; t < THREADS; t++)
		if (onx_pool_new(t + 1, &pools[t], &e) < 0)
			return 1;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		one(&rows[i], pools);
	padding_alone();
	for (int t = 0; t < THREADS; t++)
		onx_pool_free(pools[t]);
	return bad != 0;
}
