/* op/roi.c -- RoiAlign and MaxRoiPool: features of rectangles of pictures, at a fixed size.
 * X [n][c][h][w]; Y [rois][c][ph][pw].  Rectangles and the pictures that they lie in may be computed
 * while running: a picture that does not exist gives zeros. */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct roi_attr { int mode, shift; int64_t height, width, samples; double scale; };
static const char *const modes[] = { "avg", "max", NULL };
static const char *const shifts[] = { "half_pixel", "output_half_pixel", NULL };
#define FIELDS \
	{ "mode", F_ENUM, offsetof(struct roi_attr, mode), .def = "avg", .choices = modes,               \
	  .help = "what a cell makes of its samples" },                                                 \
	{ "output_height", F_INT, offsetof(struct roi_attr, height), .def = "1", .min = 1, .max = 65536, \
	  .help = "cells of a rectangle, downwards" },                                                  \
	{ "output_width", F_INT, offsetof(struct roi_attr, width), .def = "1", .min = 1, .max = 65536,   \
	  .help = "cells of a rectangle, across" },                                                     \
	{ "sampling_ratio", F_INT, offsetof(struct roi_attr, samples), .def = "0", .min = 0, .max = 4096, \
	  .help = "samples of a cell in each direction; 0: as many as it has pixels" },                 \
	{ "spatial_scale", F_REAL, offsetof(struct roi_attr, scale), .def = "1",                         \
	  .help = "factor of the rectangles" }
static const struct onx_field align10_field[] = { FIELDS, { .name = NULL } };
static const struct onx_field align16_field[] = {
	FIELDS,
	{ "coordinate_transformation_mode", F_ENUM, offsetof(struct roi_attr, shift), .def = "half_pixel",
	  .choices = shifts, .help = "half_pixel: the centre of the first pixel is 0" },
	{ .name = NULL }
};
static const struct onx_table align10_attr = { "RoiAlign", sizeof(struct roi_attr), align10_field, .check = NULL };
static const struct onx_table align16_attr = { "RoiAlign", sizeof(struct roi_attr), align16_field, .check = NULL };

struct pool_attr { struct onx_ints shape; double scale; };
static const struct onx_field pool_field[] = {
	{ "pooled_shape", F_INTS, offsetof(struct pool_attr, shape), .help = "cells: height, width" },
	{ "spatial_scale", F_REAL, offsetof(struct pool_attr, scale), .def = "1", .help = "factor of the rectangles" },
	{ .name = NULL }
};
static const struct onx_table pool_attr = { "MaxRoiPool", sizeof(struct pool_attr), pool_field, .check = NULL };

struct roi_geo { int64_t n, c, h, w, rois, ph, pw; bool shift; };

static int roi_geometry(struct onx_infer *s, int64_t ph, int64_t pw, int64_t numbers, struct roi_geo **out,
			struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim, *rois = s->in[1].shape.dim;
	struct roi_geo *g = *out = ONX_NEW(s->mem, struct roi_geo);
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "rectangles");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_same_type(s, 0, 1, e)) < 0 ||
	    (rc = onx_want_rank(s, 0, 4, 4, e)) < 0 || (rc = onx_want_rank(s, 1, 2, 2, e)) < 0)
		return rc;
	if (rois[1] != numbers)
		return onx_fail(e, ONX_SHAPE, "rectangles of %" PRId64 " numbers, wanted %" PRId64, rois[1], numbers);
	*g = (struct roi_geo){ x[0], x[1], x[2], x[3], rois[0], ph, pw, false };
	s->geo = g;
	const struct onx_shape y = { 4, { g->rois, g->c, ph, pw } };
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(4, y.dim, &n, e);
}

static int align_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct roi_attr *a = attr;
	struct roi_geo *g;
	int rc = roi_geometry(s, a->height, a->width, 4, &g, e);

	if (rc < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0 || (rc = onx_want_type(s, 2, ONX_INT64, e)) < 0)
		return rc;
	if (s->in[2].shape.dim[0] != g->rois)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " pictures for %" PRId64 " rectangles",
				s->in[2].shape.dim[0], g->rois);
	g->shift = s->version >= 16 && a->shift == 0;
	return ONX_OK;
}

/* A bounded whole number of a place that may be anything. */
static int64_t bounded(double v, double lo, double hi)
{
	return (int64_t)(v > lo ? v < hi ? v : hi : lo);        /* NaN: lo */
}

/* One axis of a rectangle: where it starts, how long a cell is, how many samples a cell has. */
struct span { double start, cell; int64_t samples; };

static struct span span_of(const struct roi_attr *a, const struct roi_geo *g, double from, double to, int64_t cells)
{
	const double start = from * a->scale - (g->shift ? 0.5 : 0);
	double length = to * a->scale - from * a->scale;

	length = g->shift || length > 1 ? length : 1;
	const double cell = length / (double)cells;
	return (struct span){ start, cell, a->samples ? a->samples : bounded(ceil(cell), 0, 65536) };
}

/* The two elements around a sample and their weights; false: it lies outside. */
struct near { int64_t at[2]; double w[2]; };

static bool near_of(const struct span *s, int64_t cell, int64_t i, int64_t n, struct near *t)
{
	double x = s->start + (double)cell * s->cell + ((double)i + 0.5) * s->cell / (double)s->samples;

	if (!(x >= -1 && x <= (double)n) || n < 1)
		return false;
	x = x > 0 ? x : 0;
	t->at[0] = (int64_t)x;
	t->at[1] = t->at[0] + 1;
	if (t->at[0] >= n - 1) {
		t->at[0] = t->at[1] = n - 1;
		x = (double)(n - 1);
	}
	t->w[1] = x - (double)t->at[0];
	t->w[0] = 1 - t->w[1];
	return true;
}

/* One cell of one plane.  d: NULL, or the plane's gradient, to which g times the slopes are added. */
static double align_cell(const struct roi_attr *a, const struct roi_geo *g, const struct span s[2], int64_t ph,
			 int64_t pw, const real *x, double *d, double dy)
{
	const double count = (double)(s[0].samples * s[1].samples > 1 ? s[0].samples * s[1].samples : 1);
	double y = 0, best_w = 0;
	int64_t best = -1;
	bool any = false;

	for (int64_t iy = 0; iy < s[0].samples; iy++)
		for (int64_t ix = 0; ix < s[1].samples; ix++) {
			struct near v, h;
			const bool in = near_of(&s[0], ph, iy, g->h, &v) && near_of(&s[1], pw, ix, g->w, &h);
			if (!in && a->mode == 1 && (!any || y < 0))     /* a sample outside counts as 0 */
				y = 0, best = -1, any = true;
			for (int k = 0; in && k < 4; k++) {
				const int64_t at = v.at[k / 2] * g->w + h.at[k % 2];
				const double w = v.w[k / 2] * h.w[k % 2];
				if (a->mode == 0) {
					y += x ? w * (double)x[at] : 0;
					if (d)
						d[at] += w * dy / count;
				} else if (!any || w * (double)x[at] > y) {
					y = w * (double)x[at];
					best = at, best_w = w, any = true;
				}
			}
		}
	if (d && a->mode == 1 && best >= 0)
		d[best] += best_w * dy;
	return a->mode == 0 ? y / count : y;
}

static bool roi_spans(const struct onx_call *c, size_t r, struct span s[2], int64_t *picture)
{
	const struct roi_attr *a = c->attr;
	const struct roi_geo *g = c->geo;
	const real *roi = (const real *)c->x[1].v + 4 * r;

	*picture = onx_view_int(&c->x[2], r);
	s[0] = span_of(a, g, roi[1], roi[3], g->ph);
	s[1] = span_of(a, g, roi[0], roi[2], g->pw);
	return *picture >= 0 && *picture < g->n;
}

/* The samples of one cell: elements and weights, four for each, as many as there is room for. */
enum { TAPS = 256, TOGETHER = 16 };
struct samples { int n; int64_t at[TAPS]; double w[TAPS]; };

/* y[i] += the samples in plane i of x, for each of n planes: four sums at a time, which do not wait for each other. */
static void add_samples(const struct samples *t, const real *x, size_t plane, size_t n, double *y)
{
	enum { SUMS = 4 };
	size_t i = 0;

	for (; i + SUMS <= n; i += SUMS, x += SUMS * plane)
		for (int k = 0; k < t->n; k++) {
			const real *v = x + t->at[k];

			y[i] += t->w[k] * (double)v[0];
			y[i + 1] += t->w[k] * (double)v[plane];
			y[i + 2] += t->w[k] * (double)v[2 * plane];
			y[i + 3] += t->w[k] * (double)v[3 * plane];
		}
	for (; i < n; i++, x += plane)
		for (int k = 0; k < t->n; k++)
			y[i] += t->w[k] * (double)x[t->at[k]];
}

/* The mean of one cell's samples, for n planes that follow each other: what align_cell() gives for each. */
static void mean_cell(const struct roi_geo *g, const struct span s[2], int64_t cell, const real *x, size_t n, double *y)
{
	const double count = (double)(s[0].samples * s[1].samples > 1 ? s[0].samples * s[1].samples : 1);
	const size_t plane = (size_t)(g->h * g->w);
	struct samples t;

	t.n = 0;
	for (int64_t iy = 0; iy < s[0].samples; iy++) {
		struct near v, h;

		if (!near_of(&s[0], cell / g->pw, iy, g->h, &v))
			continue;
		for (int64_t ix = 0; ix < s[1].samples; ix++) {
			if (!near_of(&s[1], cell % g->pw, ix, g->w, &h))
				continue;
			if (t.n == TAPS) {
				add_samples(&t, x, plane, n, y);
				t.n = 0;
			}
			for (int k = 0; k < 4; k++) {
				t.at[t.n] = v.at[k / 2] * g->w + h.at[k % 2];
				t.w[t.n++] = v.w[k / 2] * h.w[k % 2];
			}
		}
	}
	add_samples(&t, x, plane, n, y);
	for (size_t i = 0; i < n; i++)
		y[i] /= count;
}

/* n planes of one rectangle's result, from number `at` of all on. */
static void align_run(const struct onx_call *c, size_t at, size_t n)
{
	const struct roi_geo *g = c->geo;
	const struct roi_attr *a = c->attr;
	const int64_t cells = g->ph * g->pw, plane = g->h * g->w;
	real *to = (real *)c->y[0].v + (int64_t)at * cells;
	struct span s[2];
	int64_t picture;
	const bool there = roi_spans(c, at / (size_t)g->c, s, &picture);
	const real *x = (const real *)c->x[0].v + (there ? (picture * g->c + (int64_t)at % g->c) * plane : 0);

	for (int64_t k = 0; k < cells; k++) {
		double y[TOGETHER] = { 0 };

		if (there && a->mode == 0)
			mean_cell(g, s, k, x, n, y);
		for (size_t i = 0; there && a->mode == 1 && i < n; i++)
			y[i] = align_cell(a, g, s, k / g->pw, k % g->pw, x + (int64_t)i * plane, NULL, 0);
		for (size_t i = 0; i < n; i++)
			to[(int64_t)i * cells + k] = (real)y[i];
	}
}

static void align_planes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const size_t channels = (size_t)((const struct roi_geo *)c->geo)->c;

	for (size_t n; lo < hi; lo += n) {
		const size_t left = channels - lo % channels;

		n = left < hi - lo ? left : hi - lo;
		align_run(c, lo, n);
	}
}

static void align_forward(const struct onx_call *c)
{
	const struct roi_geo *g = c->geo;

	onx_each(c->pool, (size_t)(g->rois * g->c), TOGETHER, align_planes, c);
}

static size_t roi_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct roi_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * (size_t)(g->h * g->w) * sizeof(double) : 0;
}

typedef void add_fn(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d);
struct plane_job { const struct onx_call *c; add_fn *add; };

/* The gradient of one plane of X: every rectangle in turn, so always in the same order. */
static void plane_back(void *ctx, size_t i, int worker)
{
	const struct plane_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct roi_geo *g = c->geo;
	const size_t n = (size_t)(g->h * g->w);
	double *d = (double *)c->scratch + (size_t)worker * n;

	for (size_t k = 0; k < n; k++)
		d[k] = 0;
	for (size_t r = 0; r < (size_t)g->rois; r++)
		j->add(c, r, (int64_t)i / g->c, (int64_t)i % g->c, d);
	for (size_t k = 0; k < n; k++)
		onx_put((real *)c->dx[0].v + i * n + k, c->dx[0].add, (real)d[k]);
}

static void all_planes(const struct onx_call *c, add_fn *add)
{
	const struct roi_geo *g = c->geo;
	struct plane_job j = { c, add };

	if (c->dx[0].v)
		onx_parallel(c->pool, (size_t)(g->n * g->c), plane_back, &j);
}

static void align_add(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d)
{
	const struct roi_attr *a = c->attr;
	const struct roi_geo *g = c->geo;
	const real *dy = (const real *)c->dy[0].v + ((int64_t)roi * g->c + channel) * g->ph * g->pw;
	const real *x = a->mode == 1 ? (const real *)c->x[0].v + (picture * g->c + channel) * g->h * g->w : NULL;
	struct span s[2];
	int64_t own;

	if (!roi_spans(c, roi, s, &own) || own != picture)
		return;
	for (int64_t k = 0; k < g->ph * g->pw; k++)
		align_cell(a, g, s, k / g->pw, k % g->pw, x, d, dy[k]);
}

/* avg: each sample's weights; max: the weight of the largest term, which the maximum is taken of */
static void align_backward(const struct onx_call *c)
{
	all_planes(c, align_add);
}

/* ---- MaxRoiPool: the largest element of each cell, whose edges are whole numbers ---- */

static int pool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct pool_attr *a = attr;
	struct roi_geo *g;

	if (a->shape.n != 2 || a->shape.v[0] < 1 || a->shape.v[1] < 1)
		return onx_fail(e, ONX_SHAPE, "pooled_shape has %zu numbers, wanted 2 positive ones", a->shape.n);
	return roi_geometry(s, a->shape.v[0], a->shape.v[1], 5, &g, e);
}

/* Cell k of an axis: elements [lo, hi).  In single precision, as everybody does: an edge at a half must fall on
 * the same side. */
static void pool_edges(real from, real to, double scale, int64_t cells, int64_t k, int64_t n, int64_t *lo,
		       int64_t *hi)
{
	const float first = roundf((float)from * (float)scale), last = roundf((float)to * (float)scale);
	const float length = last - first + 1 > 1 ? last - first + 1 : 1, cell = length / (float)cells;

	*lo = bounded((double)(floorf((float)k * cell) + first), 0, (double)n);
	*hi = bounded((double)(ceilf((float)(k + 1) * cell) + first), 0, (double)n);
}

/* The place of the largest element of a cell; -1: an empty cell, whose value is 0. */
static int64_t pool_best(const struct onx_call *c, size_t roi, int64_t k, const real *x)
{
	const double scale = ((const struct pool_attr *)c->attr)->scale;
	const struct roi_geo *g = c->geo;
	const real *r = (const real *)c->x[1].v + 5 * roi;
	int64_t y0, y1, x0, x1, best = -1;

	pool_edges(r[2], r[4], scale, g->ph, k / g->pw, g->h, &y0, &y1);
	pool_edges(r[1], r[3], scale, g->pw, k % g->pw, g->w, &x0, &x1);
	for (int64_t i = y0; i < y1; i++)
		for (int64_t j = x0; j < x1; j++)
			if (best < 0 || x[i * g->w + j] > x[best])
				best = i * g->w + j;
	return best;
}

static int64_t pool_picture(const struct onx_call *c, size_t roi)
{
	return bounded(((const real *)c->x[1].v)[5 * roi], -1, (double)((const struct roi_geo *)c->geo)->n);
}

static void pool_planes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct roi_geo *g = c->geo;

	for (size_t i = lo; i < hi; i++) {
		const size_t roi = i / (size_t)g->c;
		const int64_t picture = pool_picture(c, roi);
		const bool there = picture >= 0 && picture < g->n;
		const real *x = (const real *)c->x[0].v +
				(there ? (picture * g->c + (int64_t)i % g->c) * g->h * g->w : 0);
		real *y = (real *)c->y[0].v + (int64_t)i * g->ph * g->pw;
		for (int64_t k = 0; k < g->ph * g->pw; k++) {
			const int64_t best = there ? pool_best(c, roi, k, x) : -1;
			y[k] = best < 0 ? 0 : x[best];
		}
	}
}

static void pool_forward(const struct onx_call *c)
{
	const struct roi_geo *g = c->geo;

	onx_each(c->pool, (size_t)(g->rois * g->c), 16, pool_planes, c);
}

static void pool_add(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d)
{
	const struct roi_geo *g = c->geo;
	const real *dy = (const real *)c->dy[0].v + ((int64_t)roi * g->c + channel) * g->ph * g->pw;
	const real *x = (const real *)c->x[0].v + (picture * g->c + channel) * g->h * g->w;

	if (pool_picture(c, roi) != picture)
		return;
	for (int64_t k = 0; k < g->ph * g->pw; k++) {
		const int64_t best = pool_best(c, roi, k, x);
		if (best >= 0)
			d[best] += dy[k];
	}
}

static void pool_backward(const struct onx_call *c)
{
	all_planes(c, pool_add);
}

#define KEEP3 (ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2))
#define ROI(name, version, ins, table, part)                                                     \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = KEEP3,          \
	  .attr = &table, .infer = part##_infer, .scratch = roi_scratch, .forward = part##_forward, \
	  .backward = part##_backward }
const struct onx_op ONX_R(onx_ops_roi)[] = {
	ROI("RoiAlign", 10, 3, align10_attr, align),
	ROI("RoiAlign", 16, 3, align16_attr, align),
	ROI("MaxRoiPool", 1, 2, pool_attr, pool),
	{ .type = NULL }
};
