/* Convolutions of what a batch normalization makes, with channels last: the same bits as both steps one after the
 * other. */
#include <stdio.h>
#include <string.h>
#include "kernel/last_norm_i.h"
#include "kernel/norm_last.h"
#include "unit/lib/numbers.h"

static const struct onx_fuse acts[] = {
	{ ONX_FUSE_NONE, 0, 0 }, { ONX_FUSE_RELU, 0, 0 }, { ONX_FUSE_CLIP, 0, 6 }, { ONX_FUSE_CLIP, -0.5, 1 },
	{ ONX_FUSE_HARD_SWISH, 0, 0 }, { ONX_FUSE_SILU, 0, 0 }, { ONX_FUSE_LEAKY, 0.1, 0 }
};
enum { ACTS = sizeof acts / sizeof *acts };

static int bad;

static void check(bool ok, const char *what, const char *name, const struct onx_fuse *f)
{
	printf("%s - %s, %s, after activation %d\n", ok ? "ok" : "not ok", what, name, f ? (int)f->kind : -1);
	bad += !ok;
}

/* A normalization of ch channels: what onx_bn_last_apply takes, and a = scale * inv. */
struct normal { real *mean, *inv, *scale, *bias, *a; };

static struct normal normal_of(size_t ch)
{
	struct normal n = { numbers(ch, -0.3, 0.3, 11), numbers(ch, 0.5, 3, 12), numbers(ch, -2, 2, 13),
			    numbers(ch, -1, 1, 14), bytes(ch * sizeof(real)) };

	for (size_t c = 0; c < ch; c++)
		n.a[c] = n.inv[c] * n.scale[c];
	return n;
}

static void normal_free(struct normal *n)
{
	onx_heap_free(n->mean);
	onx_heap_free(n->inv);
	onx_heap_free(n->scale);
	onx_heap_free(n->bias);
	onx_heap_free(n->a);
}

static real *applied(struct onx_pool *pool, const struct normal *n, const struct onx_fuse *f, size_t rows, size_t ch,
		     const real *x)
{
	const struct onx_bn_last g = { .rows = rows, .c = ch, .f = *f };
	void *scratch = bytes(onx_bn_last_scratch(&g));
	real *y = bytes(rows * ch * sizeof *y);

	onx_bn_last_apply(pool, &g, x, n->mean, n->inv, n->scale, n->bias, NULL, y, scratch);
	onx_heap_free(scratch);
	return y;
}

/* Parts of pixels, and whole ones. */
static void rows(size_t ch, const struct onx_fuse *f)
{
	enum { PIXELS = 37 };
	struct normal n = normal_of(ch);
	const struct ONX_R(onx_last_norm) p = { n.mean, n.a, n.bias, *f };
	struct ONX_R(onx_last_spread) s;
	real *x = numbers(PIXELS * ch, -4, 4, 1), *want = applied(NULL, &n, f, PIXELS, ch, x);
	real *have = bytes(PIXELS * ch * sizeof *have);
	void *spread = bytes(onx_last_spread_bytes(ch));
	char name[32];

	snprintf(name, sizeof name, "%zu channels", ch);
	onx_last_spread_of(&p, ch, spread, &s);
	onx_last_norm_line(&s, x, PIXELS * ch, have);
	check(!memcmp(have, want, PIXELS * ch * sizeof *have), "a line", name, f);
	for (size_t i = 0; i < PIXELS; i++) {
		const size_t c = i * 3 % ch, at = i * ch;

		onx_last_norm_row(&p, x + at, 0, c, have + at);
		onx_last_norm_row(&p, x + at + c, c, ch - c, x + at + c);
		memcpy(have + at + c, x + at + c, (ch - c) * sizeof *have);
	}
	check(!memcmp(have, want, PIXELS * ch * sizeof *have), "rows, also in place", name, f);
	onx_heap_free(x);
	onx_heap_free(want);
	onx_heap_free(have);
	onx_heap_free(spread);
	normal_free(&n);
}

struct shape {
	const char *name;
	size_t n, ch, in[2], kern[2];
	int64_t stride[2], dil[2], pad[2], pad_end[2];
};
#define D1 { 1, 1 }
#define D2 { 2, 2 }
#define D0 { 0, 0 }
static const struct shape shapes[] = {
	{ "3x3", 3, 16, { 9, 11 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, 96 channels", 3, 96, { 17, 13 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, stride 2", 3, 96, { 17, 13 }, { 3, 3 }, D2, D1, D1, D1 },
	{ "3x3, stride 2, even map", 3, 144, { 14, 12 }, { 3, 3 }, D2, D1, D1, D1 },
	{ "3x3, padded behind alone", 3, 24, { 12, 12 }, { 3, 3 }, D2, D1, D0, D1 },
	{ "3x3, odd channels", 3, 33, { 10, 12 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, 3 channels", 3, 3, { 16, 9 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, 3 channels, stride 2", 3, 3, { 15, 17 }, { 3, 3 }, D2, D1, D1, { 0, 1 } },
	{ "3x3, 8 channels, stride 1 and 2", 1, 8, { 7, 13 }, { 3, 3 }, { 1, 2 }, D1, D1, D1 },
	{ "3x3, stride 2 and 1", 3, 33, { 11, 6 }, { 3, 3 }, { 2, 1 }, D1, D1, D1 },
	{ "3x3, no padding", 3, 24, { 17, 13 }, { 3, 3 }, D1, D1, D0, D0 },
	{ "3x3, stride 2, no padding", 3, 24, { 16, 13 }, { 3, 3 }, D2, D1, D0, D0 },
	{ "3x3, more padding than window", 3, 16, { 5, 6 }, { 3, 3 }, D1, D1, { 4, 3 }, { 5, 4 } },
	{ "3x3, cropped", 3, 16, { 12, 11 }, { 3, 3 }, D1, D1, { -2, -1 }, { -3, 0 } },
	{ "3x3, 1x1 map", 3, 96, { 1, 1 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, 2x1 map", 3, 144, { 2, 1 }, { 3, 3 }, D2, D1, D1, D1 },
	{ "3x3, 7x7 map", 33, 144, { 7, 7 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, small maps", 70, 16, { 3, 2 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "3x3, dilated 2", 3, 24, { 13, 14 }, { 3, 3 }, D1, D2, D2, D2 },
	{ "3x3, dilated, stride 2", 3, 33, { 17, 13 }, { 3, 3 }, D2, { 3, 2 }, { 3, 2 }, { 3, 2 } },
	{ "3x3, dilated beyond the map", 3, 16, { 4, 5 }, { 3, 3 }, D1, { 5, 4 }, { 5, 4 }, { 5, 4 } },
	{ "5x5", 3, 96, { 13, 9 }, { 5, 5 }, D1, D1, D2, D2 },
	{ "5x5, stride 2", 3, 33, { 17, 13 }, { 5, 5 }, D2, D1, { 1, 2 }, D2 },
	{ "7x7", 1, 24, { 11, 17 }, { 7, 7 }, D1, D1, { 3, 3 }, { 3, 3 } },
	{ "7x7, stride 2", 3, 16, { 17, 13 }, { 7, 7 }, D2, D1, { 3, 3 }, { 2, 3 } },
	{ "7x7, 3x3 map", 3, 144, { 3, 3 }, { 7, 7 }, D1, D1, { 3, 3 }, { 3, 3 } },
	{ "3x1", 3, 24, { 17, 13 }, { 3, 1 }, D1, D1, { 1, 0 }, { 1, 0 } },
	{ "1x5", 3, 24, { 5, 13 }, { 1, 5 }, D1, D1, { 0, 2 }, { 0, 2 } },
	{ "6x2, many rows of the window", 3, 16, { 17, 9 }, { 6, 2 }, D1, D1, { 2, 1 }, { 3, 0 } },
	{ "27x1, more rows than a strip takes", 3, 24, { 31, 6 }, { 27, 1 }, D1, D1, { 13, 0 }, { 13, 0 } },
	{ "1x1, stride 3", 3, 16, { 10, 11 }, { 1, 1 }, { 3, 3 }, D1, D0, D0 },
	{ "2x2, stride 5 and 7", 3, 16, { 17, 13 }, { 2, 2 }, { 5, 7 }, D1, D0, D0 },
	{ "stride beyond the map", 3, 16, { 4, 5 }, { 2, 2 }, { 9, 9 }, D1, D1, D0 },
	{ "one row of pixels", 3, 33, { 1, 40 }, { 1, 3 }, D1, D1, { 0, 1 }, { 0, 1 } },
	{ "batch 0", 0, 16, { 9, 11 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "many pieces", 5, 96, { 90, 20 }, { 3, 3 }, D1, D1, D1, D1 },
	{ "many pieces, dilated, no padding", 5, 48, { 90, 31 }, { 5, 3 }, D1, { 2, 1 }, D0, D0 },
	{ "more results than caches hold", 2, 64, { 260, 130 }, { 3, 3 }, D1, D1, D1, D1 },
};

enum { POOLS = 2 };             /* 1 and 3 threads */
static const struct ONX_R(onx_last_normed) *const way = &onx_last_normed_depthwise;

static struct onx_conv_geo geo_of(const struct shape *s)
{
	struct onx_conv_geo g = { .n = s->n, .groups = s->ch, .c = 1, .m = 1,
				  .w = { .in = { 1 }, .out = { 1 }, .kern = { 1 }, .stride = { 1 }, .dil = { 1 } } };

	for (int d = 0; d < 2; d++) {
		g.w.in[d + 1] = s->in[d];
		g.w.kern[d + 1] = s->kern[d];
		g.w.stride[d + 1] = s->stride[d];
		g.w.dil[d + 1] = s->dil[d];
		g.w.pad[d + 1] = s->pad[d];
		g.w.pad_end[d + 1] = s->pad_end[d];
		g.w.out[d + 1] = (size_t)(((int64_t)s->in[d] + s->pad[d] + s->pad_end[d] -
					   (((int64_t)s->kern[d] - 1) * s->dil[d] + 1)) / s->stride[d] + 1);
	}
	onx_window_close(&g.w);
	return g;
}

struct data {
	struct onx_conv_geo g;
	size_t nx, ny, nw;
	real *x, *u, *w, *b, *dy;       /* u: x normalised */
	real *y, *m, *e, *d, *shifted;  /* of dy */
	struct ONX_R(onx_last_norm) norm;
	struct ONX_R(onx_last_shift) shift;
};

/* Runs, copied to where they belong; of a piece one after the other, each pixel once. */
struct copies { size_t ch, pixels, pieces; real *to; unsigned char *seen; size_t *next; bool wrong; };

static void copy(void *ctx, const struct ONX_R(onx_last_run) *r)
{
	struct copies *c = ctx;

	if (r->piece >= c->pieces || r->pixel + r->n > c->pixels || r->c0 != 0 || r->c1 != c->ch ||
	    r->pixel < c->next[r->piece]) {
		c->wrong = true;
		return;
	}
	c->next[r->piece] = r->pixel + r->n;
	for (size_t i = 0; i < r->n; i++) {
		c->seen[r->pixel + i]++;
		memcpy(c->to + (r->pixel + i) * c->ch, r->y + i * r->pitch, c->ch * sizeof *c->to);
	}
}

static struct copies copies_of(const struct onx_conv_geo *g, bool data, real *to)
{
	struct copies c = { .ch = g->groups, .pixels = g->n * (data ? g->w.in_n : g->w.out_n),
			    .pieces = way->pieces(g, data), .to = to };

	c.seen = bytes(c.pixels);
	c.next = bytes(c.pieces * sizeof *c.next);
	memset(c.seen, 0, c.pixels);
	memset(c.next, 0, c.pieces * sizeof *c.next);
	return c;
}

static bool copies_end(struct copies *c)
{
	bool all = !c->wrong;

	for (size_t i = 0; i < c->pixels; i++)
		all = all && c->seen[i] == 1;
	onx_heap_free(c->seen);
	onx_heap_free(c->next);
	return all;
}

static real *forward(const struct data *t, struct onx_pool *pool, bool normed, bool runs, bool *all)
{
	const struct onx_conv_geo *g = &t->g;
	real *y = bytes(t->ny * sizeof *y);
	void *scratch = bytes(way->scratch(g, onx_pool_threads(pool), false));
	struct copies c = copies_of(g, false, y);
	const struct ONX_R(onx_last_after) after = { copy, &c };

	way->forward(pool, g, normed ? &t->norm : NULL, normed ? t->x : t->u, t->w, t->b, runs ? &after : NULL,
		     runs ? NULL : y, scratch);
	*all = copies_end(&c) || !runs;
	onx_heap_free(scratch);
	return y;
}

static void forwards(const struct data *t, struct onx_pool *const *pools, const char *name)
{
	const struct onx_conv_geo *g = &t->g;
	const struct ONX_R(onx_last_end) end = { .b = t->b };
	real *want = bytes(t->ny * sizeof *want);
	void *packed = bytes(onx_last_way_depthwise.packed(g));

	onx_last_way_depthwise.pack(pools[0], g, t->w, packed);
	onx_last_way_depthwise.forward(pools[0], g, t->u, packed, &end, want, NULL);
	for (int i = 0; i < 2 * POOLS + 1; i++) {
		const bool normed = i < 2 * POOLS, runs = i % 2 || !normed;
		bool all;
		real *have = forward(t, pools[i / 2 % POOLS], normed, runs, &all);

		check(all && !memcmp(have, want, t->ny * sizeof *want),
		      normed ? runs ? "forward, in runs" : "forward" : "forward of x as it is", name, &t->norm.f);
		onx_heap_free(have);
	}
	onx_heap_free(packed);
	onx_heap_free(want);
}

static void datas(const struct data *t, struct onx_pool *const *pools, const char *name)
{
	const struct onx_conv_geo *g = &t->g;
	real *want = bytes(t->nx * sizeof *want), *have = bytes(t->nx * sizeof *have);
	void *scratch = bytes(onx_last_grad_depthwise.scratch(g, 1));

	for (int i = 0; i < 4 * POOLS; i++) {
		const bool shifted = i % 2, runs = i / 2 % 2;
		struct onx_pool *pool = pools[i / 4];
		struct copies c = copies_of(g, true, have);
		const struct ONX_R(onx_last_after) after = { copy, &c };
		void *room = bytes(way->scratch(g, onx_pool_threads(pool), true));

		memset(want, 0, t->nx * sizeof *want);
		memset(have, 0, t->nx * sizeof *have);
		onx_last_grad_depthwise.data(pools[0], g, t->w, shifted ? t->shifted : t->dy, want, !runs, scratch);
		way->backward(pool, g, &(struct ONX_R(onx_last_back)){
			.shift = shifted ? &t->shift : NULL, .after = runs ? &after : NULL, .w = t->w, .dy = t->dy,
			.dx = runs ? NULL : have, .add_dx = !runs }, room);
		check((copies_end(&c) || !runs) && !memcmp(have, want, t->nx * sizeof *want),
		      shifted ? "gradient of data, shifted" : "gradient of data", name, NULL);
		onx_heap_free(room);
	}
	onx_heap_free(scratch);
	onx_heap_free(want);
	onx_heap_free(have);
}

/* Alone, and added to what is there. */
static void weights(const struct data *t, struct onx_pool *const *pools, const char *name)
{
	const struct onx_conv_geo *g = &t->g;
	void *plain = bytes(onx_last_grad_depthwise.scratch(g, 1));

	for (int i = 0; i < 8 * POOLS; i++) {
		const bool add = i % 2, shifted = i / 2 % 2, normed = i / 4 % 2;
		struct onx_pool *pool = pools[i / 8];
		real *want = numbers(t->nw, -1, 1, 6), *have = numbers(t->nw, -1, 1, 6);
		void *scratch = bytes(way->scratch(g, onx_pool_threads(pool), true));

		onx_last_grad_depthwise.weights(pools[0], g, t->u, shifted ? t->shifted : t->dy, want, add, plain);
		way->backward(pool, g, &(struct ONX_R(onx_last_back)){
			.norm = normed ? &t->norm : NULL, .shift = shifted ? &t->shift : NULL,
			.x = normed ? t->x : t->u, .dy = t->dy, .dw = have, .add_dw = add }, scratch);
		check(!memcmp(have, want, t->nw * sizeof *want), add ? "gradient of weights, added" :
		      shifted ? "gradient of weights, shifted" : "gradient of weights", name, &t->norm.f);
		onx_heap_free(want);
		onx_heap_free(have);
		onx_heap_free(scratch);
	}
	onx_heap_free(plain);
}

/* Both gradients at once: the bits of each by itself. */
static void both(const struct data *t, struct onx_pool *const *pools, const char *name)
{
	const struct onx_conv_geo *g = &t->g;
	real *want = bytes(t->nx * sizeof *want), *have = bytes(t->nx * sizeof *have);
	void *plain = bytes(onx_last_grad_depthwise.scratch(g, 1));

	for (int i = 0; i < 8 * POOLS; i++) {
		const bool shifted = i % 2, runs = i / 2 % 2, normed = i / 4 % 2;
		const real *dy = shifted ? t->shifted : t->dy;
		struct onx_pool *pool = pools[i / 8];
		struct copies c = copies_of(g, true, have);
		const struct ONX_R(onx_last_after) after = { copy, &c };
		real *want_w = numbers(t->nw, -1, 1, 6), *have_w = numbers(t->nw, -1, 1, 6);
		void *room = bytes(way->scratch(g, onx_pool_threads(pool), true));

		memset(want, 0, t->nx * sizeof *want);
		memset(have, 0, t->nx * sizeof *have);
		onx_last_grad_depthwise.data(pools[0], g, t->w, dy, want, !runs, plain);
		onx_last_grad_depthwise.weights(pools[0], g, t->u, dy, want_w, runs, plain);
		way->backward(pool, g, &(struct ONX_R(onx_last_back)){
			.norm = normed ? &t->norm : NULL, .shift = shifted ? &t->shift : NULL,
			.after = runs ? &after : NULL, .x = normed ? t->x : t->u, .w = t->w, .dy = t->dy,
			.dx = runs ? NULL : have, .dw = have_w, .add_dx = !runs, .add_dw = runs }, room);
		check((copies_end(&c) || !runs) && !memcmp(have, want, t->nx * sizeof *want) &&
		      !memcmp(have_w, want_w, t->nw * sizeof *want_w), "both gradients", name, &t->norm.f);
		onx_heap_free(want_w);
		onx_heap_free(have_w);
		onx_heap_free(room);
	}
	onx_heap_free(plain);
	onx_heap_free(want);
	onx_heap_free(have);
}

static void one(const struct shape *s, struct onx_pool *const *pools)
{
	struct data t = { .g = geo_of(s) };
	struct normal n = normal_of(s->ch);

	if (!way->fits(&t.g)) {
		check(false, "fits", s->name, NULL);
		return;
	}
	t.nx = s->n * t.g.w.in_n * s->ch;
	t.ny = s->n * t.g.w.out_n * s->ch;
	t.nw = s->ch * t.g.w.kern_n;
	t.x = numbers(t.nx, -4, 4, 1);
	t.w = numbers(t.nw, -1, 1, 2);
	t.b = numbers(s->ch, -1, 1, 3);
	t.dy = numbers(t.ny, -1, 1, 4);
	t.y = numbers(t.ny, -3, 3, 7);
	t.m = numbers(s->ch, -1, 1, 8);
	t.e = numbers(s->ch, -1, 1, 9);
	t.d = numbers(s->ch, -1, 1, 10);
	t.shifted = bytes(t.ny * sizeof *t.shifted);
	t.shift = (struct ONX_R(onx_last_shift)){ t.y, t.m, t.e, t.d };
	onx_last_shift_rows(&t.shift, t.dy, 0, s->ch, 0, s->ch, s->n * t.g.w.out_n, t.shifted, s->ch);
	for (size_t f = 0; f < ACTS && (f == 0 || t.nx < 1 << 18); f++) {
		t.norm = (struct ONX_R(onx_last_norm)){ n.mean, n.a, n.bias, acts[f] };
		t.u = applied(pools[0], &n, &acts[f], s->n * t.g.w.in_n, s->ch, t.x);
		forwards(&t, pools, s->name);
		weights(&t, pools, s->name);
		if (f < 2)
			both(&t, pools, s->name);
		if (f == 0)
			datas(&t, pools, s->name);
		onx_heap_free(t.u);
	}
	onx_heap_free(t.x);
	onx_heap_free(t.w);
	onx_heap_free(t.b);
	onx_heap_free(t.dy);
	onx_heap_free(t.y);
	onx_heap_free(t.m);
	onx_heap_free(t.e);
	onx_heap_free(t.d);
	onx_heap_free(t.shifted);
	normal_free(&n);
}

/* Other ranks, and convolutions that are not depthwise, are not for this way. */
static void misfits(void)
{
	struct onx_conv_geo g = geo_of(&shapes[0]);

	check(way->fits(&g), "fits", "two dimensions", NULL);
	g.w.in[0] = g.w.out[0] = 2;
	check(!way->fits(&g), "does not fit", "three dimensions", NULL);
	g = geo_of(&shapes[0]);
	g.m = 2;
	check(!way->fits(&g), "does not fit", "two results for a channel", NULL);
}

int main(void)
{
	static const size_t channels[] = { 1, 3, 8, 16, 24, 33, 96, 144, 520 };
	struct onx_pool *pools[POOLS];
	struct onx_err e = { 0 };

	for (int i = 0; i < POOLS; i++)
		if (onx_pool_new(2 * i + 1, &pools[i], &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			return 6;
		}
	for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
		for (size_t f = 0; f < ACTS; f++)
			rows(channels[i], &acts[f]);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		one(&shapes[i], pools);
	misfits();
	for (int i = 0; i < POOLS; i++)
		onx_pool_free(pools[i]);
	return bad != 0;
}
