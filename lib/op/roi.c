/* op/roi.c -- RoiAlign: the mean or the largest of samples between the elements of each cell; see roi.h. */
#include <inttypes.h>
#include "op/roi.h"

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

static int align_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct roi_attr *a = attr;
	struct onx_roi_geo *g;
	int rc = onx_roi_geometry(s, a->height, a->width, 4, &g, e);

	if (rc < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0 || (rc = onx_want_type(s, 2, ONX_INT64, e)) < 0)
		return rc;
	if (s->in[2].shape.dim[0] != g->rois)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " pictures for %" PRId64 " rectangles",
				s->in[2].shape.dim[0], g->rois);
	g->shift = s->version >= 16 && a->shift == 0;
	return ONX_OK;
}

/* One axis of a rectangle: where it starts, how long a cell is, how many samples a cell has. */
struct span { double start, cell; int64_t samples; };

static struct span span_of(const struct roi_attr *a, const struct onx_roi_geo *g, double from, double to, int64_t cells)
{
	const double start = from * a->scale - (g->shift ? 0.5 : 0);
	double length = to * a->scale - from * a->scale;

	length = g->shift || length > 1 ? length : 1;
	const double cell = length / (double)cells;
	return (struct span){ start, cell, a->samples ? a->samples : onx_roi_place(ceil(cell), 0, 65536) };
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
static double align_cell(const struct roi_attr *a, const struct onx_roi_geo *g, const struct span s[2], int64_t ph,
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
	const struct onx_roi_geo *g = c->geo;
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
static void mean_cell(const struct onx_roi_geo *g, const struct span s[2], int64_t cell, const real *x, size_t n,
		      double *y)
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
	const struct onx_roi_geo *g = c->geo;
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
	const size_t channels = (size_t)((const struct onx_roi_geo *)c->geo)->c;

	for (size_t n; lo < hi; lo += n) {
		const size_t left = channels - lo % channels;

		n = left < hi - lo ? left : hi - lo;
		align_run(c, lo, n);
	}
}

static void align_forward(const struct onx_call *c)
{
	const struct onx_roi_geo *g = c->geo;

	onx_each(c->pool, (size_t)(g->rois * g->c), TOGETHER, align_planes, c);
}

static void align_add(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d)
{
	const struct roi_attr *a = c->attr;
	const struct onx_roi_geo *g = c->geo;
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
	onx_roi_back(c, align_add);
}

const struct onx_op ONX_R(onx_ops_roi)[] = {
	ONX_ROI_ROW("RoiAlign", 10, 3, align10_attr, align),
	ONX_ROI_ROW("RoiAlign", 16, 3, align16_attr, align),
	{ .type = NULL }
};
