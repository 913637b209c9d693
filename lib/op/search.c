/* op/search.c -- TopK and OneHot: from numbers to places and back. */
#include "op/infer.h"
#include <inttypes.h>
#include <string.h>
#include "op/walk.h"

/* ---- TopK: the k first of each row in order of value; equal values in order of place ---- */

struct topk { int64_t axis, k; bool largest, sorted; uint64_t given; };
static const struct onx_field topk_field[] = {
	{ "axis", F_INT, offsetof(struct topk, axis), .def = "-1", .help = "axis that is searched" },
	{ "k", F_INT, offsetof(struct topk, k), .def = "0", .help = "how many (an input from opset 10 on)" },
	{ "largest", F_BOOL, offsetof(struct topk, largest), .def = "1", .help = "the largest, or the smallest" },
	{ "sorted", F_BOOL, offsetof(struct topk, sorted), .def = "1",
	  .help = "in order of value; we always sort" },
	{ .name = NULL }
};
static const struct onx_table topk_attr = { "TopK", sizeof(struct topk), topk_field,
	.given = offsetof(struct topk, given) };

struct topk_geo { size_t outer, n, k, inner; };

static int topk_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct topk *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	struct topk_geo *g = ONX_NEW(s->mem, struct topk_geo);
	struct onx_shape y = *x;
	int64_t k = a->k;
	int axis, rc = onx_axis(a->axis, x->rank, &axis, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of TopK");
	if (rc == ONX_OK && onx_has_in(s, 1)) {
		const int64_t *v;
		size_t n;

		rc = onx_in_ints(s, 1, &v, &n, e);
		if (rc == ONX_OK && n != 1)
			rc = onx_fail(e, ONX_SHAPE, "k has %zu elements, wanted 1", n);
		k = rc == ONX_OK ? v[0] : 0;
	}
	if (rc < 0)
		return rc;
	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, which has no order here",
				onx_dtype_name(s->in[0].type));
	if (k < 0 || k > x->dim[axis])
		return onx_fail(e, ONX_SHAPE, "the first %" PRId64 " of %" PRId64, k, x->dim[axis]);
	y.dim[axis] = k;
	*g = (struct topk_geo){ (size_t)onx_span(x->dim, 0, axis), (size_t)x->dim[axis], (size_t)k,
				(size_t)onx_span(x->dim, axis + 1, x->rank) };
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	if (s->n_out > 1)
		s->out_wanted[1] = true;        /* the gradient reads it */
	onx_set_out(s, 1, ONX_INT64, &y);
	return ONX_OK;
}

struct row { const struct onx_view *x; size_t base, stride; enum onx_class class; bool largest; };

/* Does element i come before element j?  NaN counts as larger than every number. */
static bool before(const struct row *r, int64_t i, int64_t j)
{
	const size_t p = r->base + (size_t)i * r->stride, q = r->base + (size_t)j * r->stride;
	int order;                      /* sign of x[p] - x[q] */

	if (r->class == ONX_CLASS_REAL) {
		const real a = ((const real *)r->x->v)[p], b = ((const real *)r->x->v)[q];
		order = a != a ? b == b : b != b ? -1 : (a > b) - (a < b);
	} else {
		const int64_t a = onx_view_int(r->x, p), b = onx_view_int(r->x, q);
		order = r->class == ONX_CLASS_INT ? (a > b) - (a < b)
						  : ((uint64_t)a > (uint64_t)b) - ((uint64_t)a < (uint64_t)b);
	}
	if (order == 0)
		return i < j;
	return r->largest ? order > 0 : order < 0;
}

/* Restores the heap below `at`: a parent comes before its children. */
static void sift(const struct row *r, int64_t *heap, size_t n, size_t at)
{
	for (;;) {
		size_t best = at;

		for (size_t c = 2 * at + 1; c <= 2 * at + 2 && c < n; c++)
			if (before(r, heap[c], heap[best]))
				best = c;
		if (best == at)
			return;
		const int64_t t = heap[at];
		heap[at] = heap[best];
		heap[best] = t;
		at = best;
	}
}

static size_t topk_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct topk_geo *g = s->geo;

	(void)attr;
	return backward ? 0 : (size_t)threads * g->n * sizeof(int64_t);
}

static void topk_row(const struct onx_call *c, size_t i, int worker)
{
	const struct topk_geo *g = c->geo;
	const struct onx_view *x = &c->x[0], *y = &c->y[0], *place = &c->y[1];
	const size_t o = i / g->inner, in = i % g->inner;
	const struct row r = { x, o * g->n * g->inner + in, g->inner, onx_dtype_class(x->type),
			       ((const struct topk *)c->attr)->largest };
	int64_t *heap = (int64_t *)c->scratch + (size_t)worker * g->n;
	size_t left = g->n;

	for (size_t k = 0; k < g->n; k++)
		heap[k] = (int64_t)k;
	for (size_t k = g->n / 2; k-- > 0; )
		sift(&r, heap, g->n, k);
	for (size_t k = 0; k < g->k; k++) {
		const size_t to = (o * g->k + k) * g->inner + in, w = x->width;

		if (y->v)
			memcpy((char *)y->v + to * w,
			       (const char *)x->v + (r.base + (size_t)heap[0] * r.stride) * w, w);
		if (place->v)
			((int64_t *)place->v)[to] = heap[0];
		heap[0] = heap[--left];
		sift(&r, heap, left, 0);
	}
}

static void topk_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = ctx;

	topk_row(c, piece, worker);
}

static void topk_forward(const struct onx_call *c)
{
	const struct topk_geo *g = c->geo;
	struct onx_call copy = *c;

	if (g->k > 0)
		onx_parallel(c->pool, g->outer * g->inner, topk_piece, &copy);
}

/* dx at the places that were found; zero elsewhere. */
static void topk_backward(const struct onx_call *c)
{
	const struct topk_geo *g = c->geo;
	const int64_t *place = c->y[1].v;
	const real *dy = c->dy[0].v;
	real *dx = c->dx[0].v;

	if (!dx)
		return;
	if (!c->dx[0].add)
		onx_fill(dx, c->dx[0].n, NULL, sizeof(real));
	for (size_t o = 0; dy && o < g->outer; o++)
		for (size_t k = 0; k < g->k; k++)
			for (size_t i = 0; i < g->inner; i++) {
				const size_t from = (o * g->k + k) * g->inner + i;
				dx[(o * g->n + (size_t)place[from]) * g->inner + i] += dy[from];
			}
}

/* ---- OneHot ---- */

struct onehot { int64_t axis; uint64_t given; };
static const struct onx_field onehot_field[] = {
	{ "axis", F_INT, offsetof(struct onehot, axis), .def = "-1", .help = "where the new axis stands" },
	{ .name = NULL }
};
static const struct onx_table onehot_attr = { "OneHot", sizeof(struct onehot), onehot_field,
	.given = offsetof(struct onehot, given) };

struct onehot_geo { size_t inner; int64_t depth; };

static int onehot_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *idx = &s->in[0].shape;
	struct onehot_geo *g = ONX_NEW(s->mem, struct onehot_geo);
	struct onx_shape y = { .rank = idx->rank + 1 };
	double depth;
	size_t n;
	int axis, rc = onx_in_real(s, 1, &depth, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of OneHot");
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 0, ONX_RANK - 1, e);
	if (rc == ONX_OK)
		rc = onx_axis(((const struct onehot *)attr)->axis, y.rank, &axis, e);
	if (rc < 0)
		return rc;
	if (s->in[0].type == ONX_STRING || !(depth >= 0 && depth <= 0x1p48))
		return onx_fail(e, ONX_SHAPE, "indices of %s, depth %g", onx_dtype_name(s->in[0].type), depth);
	if (s->in[2].shape.rank != 1 || s->in[2].shape.dim[0] != 2)
		return onx_fail(e, ONX_SHAPE, "input 2 is not a pair of an off and an on value");
	for (int i = 0, k = 0; i < y.rank; i++)
		y.dim[i] = i == axis ? (int64_t)depth : idx->dim[k++];
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	g->inner = (size_t)onx_span(y.dim, axis + 1, y.rank);
	g->depth = (int64_t)depth;
	s->geo = g;
	onx_set_out(s, 0, s->in[2].type, &y);
	return ONX_OK;
}

/* An index outside [-depth, depth-1] gives a row of off values. */
static void onehot_forward(const struct onx_call *c)
{
	const struct onehot_geo *g = c->geo;
	const struct onx_view *y = &c->y[0], *idx = &c->x[0];
	const size_t w = y->width;
	const char *off = c->x[2].v, *on = off + w;
	const bool is_real = onx_dtype_real(idx->type);

	onx_fill(y->v, y->n, off, w);
	for (size_t i = 0; y->n > 0 && i < idx->n; i++) {
		const double v = is_real ? onx_view_real(idx, i) : (double)onx_view_int(idx, i);
		const size_t o = i / g->inner, in = i % g->inner;

		if (!(v >= -(double)g->depth && v < (double)g->depth))
			continue;
		const size_t k = (size_t)((int64_t)v + (v < 0 ? g->depth : 0));
		memcpy((char *)y->v + ((o * (size_t)g->depth + k) * g->inner + in) * w, on, w);
	}
}

/* dvalues: the sums of dy where y has the off value and where it has the on value, in double */
static void onehot_backward(const struct onx_call *c)
{
	const struct onehot_geo *g = c->geo;
	const struct onx_view *idx = &c->x[0], *d = &c->dx[2];
	const bool is_real = onx_dtype_real(idx->type);
	const real *dy = c->dy[0].v;
	double all = 0, on = 0;

	if (!d->v)
		return;
	for (size_t i = 0; i < c->dy[0].n; i++)
		all += dy[i];
	for (size_t i = 0; c->dy[0].n > 0 && i < idx->n; i++) {
		const double v = is_real ? onx_view_real(idx, i) : (double)onx_view_int(idx, i);

		if (!(v >= -(double)g->depth && v < (double)g->depth))
			continue;
		const size_t k = (size_t)((int64_t)v + (v < 0 ? g->depth : 0));
		on += dy[(i / g->inner * (size_t)g->depth + k) * g->inner + i % g->inner];
	}
	onx_put((real *)d->v, d->add, (real)(all - on));
	onx_put((real *)d->v + 1, d->add, (real)on);
}

const struct onx_op ONX_R(onx_ops_search)[] = {
	{ .domain = "", .type = "TopK", .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 2,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = ONX_KEEP_Y(1), .attr = &topk_attr,
	  .infer = topk_infer, .scratch = topk_scratch, .forward = topk_forward, .backward = topk_backward },
	{ .domain = "", .type = "OneHot", .since = 9, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER, ONX_G_NEVER, ONX_G_DIFF }, .n_grad = 3, .keep = ONX_KEEP_X(0),
	  .attr = &onehot_attr, .infer = onehot_infer, .forward = onehot_forward, .backward = onehot_backward },
	{ .type = NULL }
};
