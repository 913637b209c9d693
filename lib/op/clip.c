/* op/clip.c -- Clip: y = min(max(x, lo), hi); bounds are attributes before opset 11, inputs since. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/loop.h"

struct clip { double min, max; };
static const struct onx_field clip_field[] = {
	{ .name = "min", .kind = F_REAL, .off = offsetof(struct clip, min), .def = "-3.4028234663852886e38",
	  .help = "lower bound" },
	{ .name = "max", .kind = F_REAL, .off = offsetof(struct clip, max), .def = "3.4028234663852886e38",
	  .help = "upper bound" },
	{ .name = NULL }
};
static const struct onx_table clip_attr = { .name = "Clip", .size = sizeof(struct clip),
					    .field = clip_field };

struct bounds { const struct onx_call *c; real lo, hi; };

/* Where lo > hi, everything becomes hi (Clip-11 and later). */
static struct bounds bounds(const struct onx_call *c)
{
	struct bounds b = { c, -(real)INFINITY, (real)INFINITY };
	const struct clip *p = c->attr;

	if (p) {
		b.lo = p->min <= -3.4028234663852886e38 ? b.lo : (real)p->min;
		b.hi = p->max >= 3.4028234663852886e38 ? b.hi : (real)p->max;
	}
	if (c->n_x > 1 && c->x[1].v)
		b.lo = *(const real *)c->x[1].v;
	if (c->n_x > 2 && c->x[2].v)
		b.hi = *(const real *)c->x[2].v;
	b.lo = b.lo > b.hi ? b.hi : b.lo;
	return b;
}

static void clip_y(const void *ctx, size_t from, size_t to)
{
	const struct bounds *b = ctx;
	const real *x = b->c->x[0].v, lo = b->lo, hi = b->hi;
	real *y = b->c->y[0].v;

	for (size_t i = from; i < to; i++)
		y[i] = x[i] < lo ? lo : x[i] > hi ? hi : x[i];
}

/* dx = dy strictly between the bounds, 0 at and beyond them: as PyTorch's hardtanh, which is what
 * exporters write as Clip (ReLU6). */
ONX_CLONES static void clip_dx(const void *ctx, size_t from, size_t to)
{
	const struct bounds *b = ctx;
	const real *y = b->c->y[0].v, *dy = b->c->dy[0].v, lo = b->lo, hi = b->hi;
	real *dx = b->c->dx[0].v;
	const bool add = b->c->dx[0].add;

	ONX_ALIKE for (size_t i = from; i < to; i++) {
		const real inside = ((y[i] > lo) & (y[i] < hi)) ? dy[i] : 0;
		dx[i] = (add ? dx[i] : 0) + inside;
	}
}

struct whole { const struct onx_call *c; uint64_t lo, hi, flip; };

static void clip_whole(const void *ctx, size_t from, size_t to)
{
	const struct whole *w = ctx;
	int64_t room[ONX_BULK], y[ONX_BULK];

	for (size_t at = from; at < to; at += ONX_BULK) {
		const size_t n = to - at < ONX_BULK ? to - at : ONX_BULK;
		const int64_t *v = onx_bulk_ints(&w->c->x[0], at, 1, n, room);
		for (size_t i = 0; i < n; i++) {
			uint64_t x = (uint64_t)v[i] ^ w->flip;
			x = x < w->lo ? w->lo : x;
			x = x > w->hi ? w->hi : x;
			y[i] = (int64_t)(x ^ w->flip);
		}
		onx_bulk_put_ints(&w->c->y[0], at, n, y);
	}
}

static void clip_ints(const struct onx_call *c)
{
	const bool wide = c->x[0].type == ONX_UINT64;
	const uint64_t flip = wide ? 0 : (uint64_t)1 << 63;     /* makes signed order unsigned */
	const struct whole w = { c, c->n_x > 1 && c->x[1].v ? (uint64_t)onx_view_int(&c->x[1], 0) ^ flip : 0,
				 c->n_x > 2 && c->x[2].v ? (uint64_t)onx_view_int(&c->x[2], 0) ^ flip : UINT64_MAX,
				 flip };

	onx_each(c->pool, c->y[0].n, ONX_GRAIN, clip_whole, &w);
}

static void clip_forward(const struct onx_call *c)
{
	if (!onx_dtype_real(c->x[0].type)) {
		clip_ints(c);
		return;
	}
	const struct bounds b = bounds(c);
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, clip_y, &b);
}

/* A bound that is an input gets dy of what it holds, summed in double; hi where both are equal. */
static void bound_back(const struct bounds *b, int i)
{
	const struct onx_call *c = b->c;
	const real *y = c->y[0].v, *dy = c->dy[0].v;
	double sum = 0;

	if (i >= c->n_x || !c->dx[i].v)
		return;
	for (size_t k = 0; k < c->y[0].n; k++)
		if (i == 2 ? y[k] >= b->hi : y[k] <= b->lo && y[k] < b->hi)
			sum += dy[k];
	onx_put(c->dx[i].v, c->dx[i].add, (real)sum);
}

static void clip_backward(const struct onx_call *c)
{
	const struct bounds b = bounds(c);

	bound_back(&b, 1);
	bound_back(&b, 2);

	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, clip_dx, &b);
}

static int clip_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_REAL && (s->version < 12 ||
	    (class != ONX_CLASS_INT && class != ONX_CLASS_UINT)))
		return onx_want_real(s, 0, e);
	for (int i = 1; i < 3; i++) {
		size_t n;
		if (!onx_has_in(s, i))
			continue;
		int rc = onx_want_same_type(s, 0, i, e);
		if (rc == ONX_OK)
			rc = onx_count(s->in[i].shape.rank, s->in[i].shape.dim, &n, e);
		if (rc < 0)
			return rc;
		if (n != 1)
			return onx_fail(e, ONX_SHAPE, "input %d has %zu elements, wanted one number", i, n);
	}
	return onx_infer_same_any(s, attr, e);
}

#define CLIP(since_, max_in_, table_)                                                              \
	{ .domain = "", .type = "Clip", .since = since_, .min_in = 1, .max_in = max_in_,           \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1,                         \
	  .keep = ONX_KEEP_Y(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .alias = 1, .flags = ONX_OP_EACH, \
	  .attr = table_, .infer = clip_infer, .forward = clip_forward, .backward = clip_backward }

const struct onx_op ONX_R(onx_ops_clip)[] = {
	CLIP(1, 1, &clip_attr),
	CLIP(11, 3, NULL),
	{ .type = NULL }
};
