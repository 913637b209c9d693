/* Both gradients of a pointwise convolution between two normalizations, with channels last: near the reference, whose
 * sums are in double; the same bits for any number of threads, and of each by itself. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "kernel/last_norm.h"
#include "unit/lib/numbers.h"

static int bad;

static void check(bool ok, const char *what, const char *name)
{
	printf("%s - %s, %s\n", ok ? "ok" : "not ok", what, name);
	bad += !ok;
}

/* Square maps; channels of x and of y. */
static const struct shape { size_t n, side, c, m; } shapes[] = {
	{ 2, 9, 16, 96 }, { 1, 24, 96, 24 }, { 3, 7, 144, 32 }, { 2, 13, 32, 16 }, { 2, 10, 8, 8 },
	{ 1, 5, 64, 384 }, { 1, 5, 384, 64 }, { 2, 10, 12, 20 }, { 2, 10, 33, 7 }, { 2, 10, 3, 5 },
	{ 1, 1, 24, 48 }, { 0, 9, 16, 96 }, { 3, 40, 24, 16 }, { 1, 3, 576, 160 },
};

enum { POOLS = 2, DATA = 1, WEIGHTS = 2, NORM = 4, SHIFT = 8, AFTER = 16, ADD = 32 };

struct data {
	struct onx_conv_geo g;
	size_t rows;
	real *x, *u, *dy, *shifted, *w, *y, *p[6];
	struct ONX_R(onx_last_norm) norm;
	struct ONX_R(onx_last_shift) shift;
};

static void copy(void *ctx, const struct ONX_R(onx_last_run) *r)
{
	const struct data *t = ((const struct data **)ctx)[0];
	real *to = ((real **)ctx)[1];

	for (size_t i = 0; i < r->n; i++)
		for (size_t k = r->c0; k < r->c1; k++)
			to[(r->pixel + i) * t->g.c + k] += r->y[i * r->pitch + k - r->c0];
}

static void gradients(const struct data *t, struct onx_pool *pool, int what, real *dx, real *dw)
{
	const struct ONX_R(onx_last_normed) *const way = &onx_last_normed_dense;
	const void *ctx[2] = { t, dx };
	const struct ONX_R(onx_last_after) after = { copy, ctx };
	void *scratch = bytes(way->scratch(&t->g, onx_pool_threads(pool), true));
	const struct ONX_R(onx_last_back) b = {
		.norm = what & NORM ? &t->norm : NULL, .shift = what & SHIFT ? &t->shift : NULL,
		.after = (what & DATA) && (what & AFTER) ? &after : NULL, .x = what & NORM ? t->x : t->u, .w = t->w,
		.dy = t->dy, .dx = what & DATA ? dx : NULL, .dw = what & WEIGHTS ? dw : NULL,
		.add_dx = what & ADD, .add_dw = what & ADD };

	memset(dx, 0, t->rows * t->g.c * sizeof *dx);
	for (size_t i = 0; i < t->g.c * t->g.m; i++)
		dw[i] = (real)(i % 3);
	way->backward(pool, &t->g, &b, scratch);
	onx_heap_free(scratch);
}

/* Sums of `terms` products of numbers up to one, 128 at a time from zero: those are off by about 128 / 3 roundings, the
 * blocks together by sqrt(terms / 128) times that, and the worst of 1e5 sums by 4.5 times that. */
static bool near(const real *have, const real *want, size_t n, size_t terms)
{
	const double u = sizeof(real) == 4 ? 6e-8 : 1.1e-16, eps = 17 * u * sqrt((double)terms);

	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)have[i] - (double)want[i]) <= eps * (1 + fabs((double)want[i]))))
			return false;
	return true;
}

static void one_of(const struct data *t, struct onx_pool *const *pools, int what, const char *name)
{
	const size_t nx = t->rows * t->g.c, nw = t->g.c * t->g.m;
	real *dx = bytes(nx * sizeof *dx), *dw = bytes(nw * sizeof *dw), *want = bytes(nx * sizeof *want);
	real *want_w = bytes(nw * sizeof *want_w), *other = bytes(nx * sizeof *other), *sink = bytes(nw * sizeof *sink);
	void *scratch = bytes(onx_last_grad_ref.scratch(&t->g, 1));
	const real *dy = what & SHIFT ? t->shifted : t->dy;

	memset(want, 0, nx * sizeof *want);
	for (size_t i = 0; i < nw; i++)
		want_w[i] = (real)(i % 3);
	onx_last_grad_ref.data(pools[0], &t->g, t->w, dy, want, false, scratch);
	onx_last_grad_ref.weights(pools[0], &t->g, t->u, dy, want_w, what & ADD, scratch);
	gradients(t, pools[0], what | DATA | WEIGHTS, dx, dw);
	check(near(dx, want, nx, t->g.m), "gradient of data", name);
	check(near(dw, want_w, nw, t->rows + 1), "gradient of weights", name);
	gradients(t, pools[1], what | DATA | WEIGHTS, other, want_w);
	check(!memcmp(dx, other, nx * sizeof *dx) && !memcmp(dw, want_w, nw * sizeof *dw), "on three threads", name);
	gradients(t, pools[1], what | DATA, other, sink);
	check(!memcmp(dx, other, nx * sizeof *dx), "of data alone", name);
	gradients(t, pools[1], what | WEIGHTS, other, want_w);
	check(!memcmp(dw, want_w, nw * sizeof *dw), "of weights alone", name);
	onx_heap_free(dx);
	onx_heap_free(dw);
	onx_heap_free(want);
	onx_heap_free(want_w);
	onx_heap_free(other);
	onx_heap_free(sink);
	onx_heap_free(scratch);
}

static void one(const struct shape *s, struct onx_pool *const *pools)
{
	struct data t = { .g = { .n = s->n, .groups = 1, .c = s->c, .m = s->m,
				 .w = { .in = { 1, s->side, s->side }, .out = { 1, s->side, s->side },
					.kern = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .dil = { 1, 1, 1 } } } };
	char name[64];

	onx_window_close(&t.g.w);
	t.rows = s->n * t.g.w.out_n;
	t.x = numbers(t.rows * s->c, -1, 1, 1);
	t.dy = numbers(t.rows * s->m, -1, 1, 2);
	t.y = numbers(t.rows * s->m, -1, 1, 3);
	t.w = numbers(s->c * s->m, -1, 1, 4);
	for (size_t i = 0; i < 6; i++)
		t.p[i] = numbers(i < 3 ? s->c : s->m, -1, 1, 5 + i);
	t.norm = (struct ONX_R(onx_last_norm)){ t.p[0], t.p[1], t.p[2], { ONX_FUSE_CLIP, 0, 6 } };
	t.shift = (struct ONX_R(onx_last_shift)){ t.y, t.p[3], t.p[4], t.p[5] };
	t.u = bytes(t.rows * s->c * sizeof *t.u);
	t.shifted = bytes(t.rows * s->m * sizeof *t.shifted);
	onx_last_norm_rows(&t.norm, t.x, s->c, 0, s->c, t.rows, t.u, s->c);
	onx_last_shift_rows(&t.shift, t.dy, 0, s->m, 0, s->m, t.rows, t.shifted, s->m);
	check(onx_last_normed_dense.fits(&t.g), "fits", "pointwise");
	for (int what = 0; what <= (NORM | SHIFT | AFTER | ADD); what += NORM) {
		snprintf(name, sizeof name, "%zu-%zu at %zux%zu, %d", s->c, s->m, s->n, s->side, what);
		one_of(&t, pools, what, name);
	}
	for (size_t i = 0; i < 6; i++)
		onx_heap_free(t.p[i]);
	onx_heap_free(t.x);
	onx_heap_free(t.dy);
	onx_heap_free(t.y);
	onx_heap_free(t.w);
	onx_heap_free(t.u);
	onx_heap_free(t.shifted);
}

int main(void)
{
	struct onx_pool *pools[POOLS];
	struct onx_err e = { 0 };

	for (int i = 0; i < POOLS; i++)
		if (onx_pool_new(2 * i + 1, &pools[i], &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			return 6;
		}
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		one(&shapes[i], pools);
	for (int i = 0; i < POOLS; i++)
		onx_pool_free(pools[i]);
	return bad != 0;
}
