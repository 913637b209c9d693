/* op/select.c -- operators that keep, drop or turn round elements by rule: Trilu, ReverseSequence,
 * Compress. */
#include "op/infer.h"
#include "op/walk.h"
#include <inttypes.h>
#include <string.h>

/* ---- Trilu: one triangle of each matrix, zeros elsewhere ---- */

struct trilu { bool upper; uint64_t given; };
static const struct onx_field trilu_field[] = {
	{ "upper", F_BOOL, offsetof(struct trilu, upper), .def = "1", .help = "which triangle is kept" },
	{ .name = NULL }
};
static const struct onx_table trilu_attr = { "Trilu", sizeof(struct trilu), trilu_field,
	.given = offsetof(struct trilu, given) };

static int trilu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_rank(s, 0, 2, ONX_RANK, e);

	if (rc == ONX_OK && onx_has_in(s, 1))
		rc = onx_want_type(s, 1, ONX_INT64, e);
	if (rc == ONX_OK && onx_has_in(s, 1) && onx_span(s->in[1].shape.dim, 0, s->in[1].shape.rank) != 1)
		return onx_fail(e, ONX_SHAPE, "the number of the diagonal is not a single element");
	return rc < 0 ? rc : onx_infer_same_any(s, attr, e);
}

/* Row r keeps columns [*lo, *hi): c >= r + k (upper) or c <= r + k. */
static void trilu_span(const struct onx_call *c, int64_t r, int64_t cols, int64_t *lo, int64_t *hi)
{
	const int64_t far = (int64_t)1 << 50;
	int64_t k = c->n_x > 1 && c->x[1].v ? onx_view_int(&c->x[1], 0) : 0;

	k = k > far ? far : k < -far ? -far : k;
	const bool upper = ((const struct trilu *)c->attr)->upper;
	int64_t at = r + k + (upper ? 0 : 1);
	at = at < 0 ? 0 : at > cols ? cols : at;
	*lo = upper ? at : 0;
	*hi = upper ? cols : at;
}

static void trilu_forward(const struct onx_call *c)
{
	const struct onx_view *y = &c->y[0];
	const int64_t rows = y->dim[y->rank - 2], cols = y->dim[y->rank - 1];
	const size_t w = y->width;

	for (size_t i = 0; y->n > 0 && i < y->n / (size_t)cols; i++) {
		char *to = (char *)y->v + i * (size_t)cols * w;
		const char *from = (const char *)c->x[0].v + i * (size_t)cols * w;
		int64_t lo, hi;

		trilu_span(c, (int64_t)(i % (size_t)rows), cols, &lo, &hi);
		memset(to, 0, (size_t)lo * w);
		memmove(to + (size_t)lo * w, from + (size_t)lo * w, (size_t)(hi - lo) * w);
		memset(to + (size_t)hi * w, 0, (size_t)(cols - hi) * w);
	}
}

static void trilu_backward(const struct onx_call *c)
{
	const struct onx_view *dx = &c->dx[0];
	const real *dy = c->dy[0].v;

	if (!dx->v || dx->n == 0)
		return;
	const int64_t rows = dx->dim[dx->rank - 2], cols = dx->dim[dx->rank - 1];
	for (size_t i = 0; i < dx->n / (size_t)cols; i++) {
		real *d = (real *)dx->v + i * (size_t)cols;
		int64_t lo, hi;

		trilu_span(c, (int64_t)(i % (size_t)rows), cols, &lo, &hi);
		for (int64_t k = 0; k < cols; k++)
			onx_put(&d[k], dx->add, k >= lo && k < hi ? dy[(int64_t)i * cols + k] : 0);
	}
}

/* ---- ReverseSequence: the first len[b] steps of sequence b backwards ---- */

struct reverse { int64_t batch_axis, time_axis; uint64_t given; };
static const struct onx_field reverse_field[] = {
	{ "batch_axis", F_INT, offsetof(struct reverse, batch_axis), .def = "1", .min = 0, .max = 1,
	  .help = "axis of the sequences" },
	{ "time_axis", F_INT, offsetof(struct reverse, time_axis), .def = "0", .min = 0, .max = 1,
	  .help = "axis of the steps" },
	{ .name = NULL }
};
static const struct onx_table reverse_attr = { "ReverseSequence", sizeof(struct reverse), reverse_field,
	.given = offsetof(struct reverse, given) };

static int reverse_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct reverse *a = attr;
	int rc = onx_want_rank(s, 0, 2, ONX_RANK, e);

	if (rc == ONX_OK)
		rc = onx_want_rank(s, 1, 1, 1, e);
	if (rc == ONX_OK)
		rc = onx_want_type(s, 1, ONX_INT64, e);
	if (rc < 0)
		return rc;
	if (a->batch_axis == a->time_axis || s->in[1].shape.dim[0] != s->in[0].shape.dim[a->batch_axis])
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " sequence lengths, batch axis %" PRId64 ", time axis %"
				PRId64 " do not fit the input", s->in[1].shape.dim[0], a->batch_axis,
				a->time_axis);
	return onx_infer_same_any(s, attr, e);
}

/* Which block (i0, i1) of the first two axes goes to block k.  Lengths outside 0..steps are taken as
 * the nearest of the two. */
static size_t reverse_source(const struct onx_call *c, size_t k)
{
	const struct reverse *a = c->attr;
	const int64_t *dim = c->x[0].dim;
	int64_t at[2] = { (int64_t)(k / (size_t)dim[1]), (int64_t)(k % (size_t)dim[1]) };
	int64_t len = ((const int64_t *)c->x[1].v)[at[a->batch_axis]];
	int64_t *t = &at[a->time_axis];

	len = len < 0 ? 0 : len > dim[a->time_axis] ? dim[a->time_axis] : len;
	*t = *t < len ? len - 1 - *t : *t;
	return (size_t)(at[0] * dim[1] + at[1]);
}

static void reverse_forward(const struct onx_call *c)
{
	const struct onx_view *x = &c->x[0];
	const size_t block = x->width * (size_t)onx_span(x->dim, 2, x->rank);

	for (size_t k = 0; x->n > 0 && k < (size_t)(x->dim[0] * x->dim[1]); k++)
		memcpy((char *)c->y[0].v + k * block, (const char *)x->v + reverse_source(c, k) * block, block);
}

static void reverse_backward(const struct onx_call *c)
{
	const struct onx_view *dx = &c->dx[0];
	const size_t block = (size_t)onx_span(dx->dim, 2, dx->rank);
	const real *dy = c->dy[0].v;
	real *d = dx->v;

	for (size_t k = 0; d && dx->n > 0 && k < (size_t)(dx->dim[0] * dx->dim[1]); k++) {
		const size_t from = reverse_source(c, k);
		for (size_t i = 0; i < block; i++)
			onx_put(&d[from * block + i], dx->add, dy[k * block + i]);
	}
}

/* ---- Compress: the slices whose condition holds ---- */

struct compress { int64_t axis; uint64_t given; };
static const struct onx_field compress_field[] = {
	{ "axis", F_INT, offsetof(struct compress, axis), .def = "0", .help = "axis; default: the tensor "
	  "taken as one list" },
	{ .name = NULL }
};
static const struct onx_table compress_attr = { "Compress", sizeof(struct compress), compress_field,
	.given = offsetof(struct compress, given) };

struct compress_geo { size_t outer, axis, block, n; int64_t *at; };

static int compress_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const bool flat = !onx_given(&compress_attr, attr, "axis");
	const int64_t *cond;
	struct onx_shape y = *x;
	int axis = 0, rc = onx_want_type(s, 1, ONX_BOOL, e);
	size_t n;

	if (rc == ONX_OK)
		rc = onx_in_ints(s, 1, &cond, &n, e);
	if (rc == ONX_OK && !flat)
		rc = onx_axis(((const struct compress *)attr)->axis, x->rank, &axis, e);
	if (rc < 0)
		return rc;
	if (flat)
		y = (struct onx_shape){ .rank = 1, .dim = { onx_span(x->dim, 0, x->rank) } };
	struct compress_geo *g = ONX_NEW(s->mem, struct compress_geo);
	int64_t *at = ONX_NEWS(s->mem, int64_t, n + 1);
	if (!g || !at)
		return onx_nomem(e, 8.0 * (double)n, "places of the slices that are kept");
	g->axis = (size_t)y.dim[axis];
	if (n > g->axis)
		return onx_fail(e, ONX_SHAPE, "%zu conditions for %zu slices", n, g->axis);
	for (size_t i = 0; i < n; i++)
		if (cond[i])
			at[g->n++] = (int64_t)i;
	g->at = at;
	g->outer = (size_t)onx_span(y.dim, 0, axis);
	g->block = (size_t)onx_span(y.dim, axis + 1, y.rank);
	y.dim[axis] = (int64_t)g->n;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static void compress_forward(const struct onx_call *c)
{
	const struct compress_geo *g = c->geo;
	const size_t block = g->block * c->y[0].width;

	for (size_t o = 0; c->y[0].n > 0 && o < g->outer; o++)
		for (size_t i = 0; i < g->n; i++)
			memcpy((char *)c->y[0].v + (o * g->n + i) * block,
			       (const char *)c->x[0].v + (o * g->axis + (size_t)g->at[i]) * block, block);
}

static void compress_backward(const struct onx_call *c)
{
	const struct compress_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	real *dx = c->dx[0].v;

	if (!dx)
		return;
	if (!c->dx[0].add)
		onx_fill(dx, c->dx[0].n, NULL, sizeof(real));
	for (size_t o = 0; c->dx[0].n > 0 && o < g->outer; o++)
		for (size_t i = 0; i < g->n; i++)
			for (size_t b = 0; b < g->block; b++)
				dx[(o * g->axis + (size_t)g->at[i]) * g->block + b] +=
					dy[(o * g->n + i) * g->block + b];
}

const struct onx_op ONX_R(onx_ops_select)[] = {
	{ .domain = "", .type = "Trilu", .since = 14, .min_in = 1, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = ONX_KEEP_X(1), .alias = 1,
	  .attr = &trilu_attr, .infer = trilu_infer, .forward = trilu_forward, .backward = trilu_backward },
	{ .domain = "", .type = "ReverseSequence", .since = 10, .min_in = 2, .max_in = 2, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = ONX_KEEP_X(1),
	  .attr = &reverse_attr, .infer = reverse_infer, .forward = reverse_forward,
	  .backward = reverse_backward },
	{ .domain = "", .type = "Compress", .since = 9, .min_in = 2, .max_in = 2, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &compress_attr,
	  .infer = compress_infer, .forward = compress_forward, .backward = compress_backward },
	{ .type = NULL }
};
