/* op/roi_pool.c -- MaxRoiPool: the largest element of each cell, whose edges are whole numbers; and what it shares with
 * RoiAlign (roi.h). */
#include <inttypes.h>
#include "op/roi.h"

/* ---- shared ---- */

int onx_roi_geometry(struct onx_infer *s, int64_t ph, int64_t pw, int64_t numbers, struct onx_roi_geo **out,
		     struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim, *rois = s->in[1].shape.dim;
	struct onx_roi_geo *g = *out = ONX_NEW(s->mem, struct onx_roi_geo);
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "rectangles");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_same_type(s, 0, 1, e)) < 0 ||
	    (rc = onx_want_rank(s, 0, 4, 4, e)) < 0 || (rc = onx_want_rank(s, 1, 2, 2, e)) < 0)
		return rc;
	if (rois[1] != numbers)
		return onx_fail(e, ONX_SHAPE, "rectangles of %" PRId64 " numbers, wanted %" PRId64, rois[1], numbers);
	*g = (struct onx_roi_geo){ x[0], x[1], x[2], x[3], rois[0], ph, pw, false };
	s->geo = g;
	const struct onx_shape y = { 4, { g->rois, g->c, ph, pw } };
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(4, y.dim, &n, e);
}

size_t onx_roi_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_roi_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * (size_t)(g->h * g->w) * sizeof(double) : 0;
}

struct plane_job { const struct onx_call *c; onx_roi_add_fn *add; };

/* The gradient of one plane of X: every rectangle in turn, so always in the same order. */
static void plane_back(void *ctx, size_t i, int worker)
{
	const struct plane_job *j = ctx;
	const struct onx_call *c = j->c;
	const struct onx_roi_geo *g = c->geo;
	const size_t n = (size_t)(g->h * g->w);
	double *d = (double *)c->scratch + (size_t)worker * n;

	for (size_t k = 0; k < n; k++)
		d[k] = 0;
	for (size_t r = 0; r < (size_t)g->rois; r++)
		j->add(c, r, (int64_t)i / g->c, (int64_t)i % g->c, d);
	for (size_t k = 0; k < n; k++)
		onx_put((real *)c->dx[0].v + i * n + k, c->dx[0].add, (real)d[k]);
}

void onx_roi_back(const struct onx_call *c, onx_roi_add_fn *add)
{
	const struct onx_roi_geo *g = c->geo;
	struct plane_job j = { c, add };

	if (c->dx[0].v)
		onx_parallel(c->pool, (size_t)(g->n * g->c), plane_back, &j);
}

/* ---- MaxRoiPool ---- */

struct pool_attr { struct onx_ints shape; double scale; };
static const struct onx_field pool_field[] = {
	{ "pooled_shape", F_INTS, offsetof(struct pool_attr, shape), .help = "cells: height, width" },
	{ "spatial_scale", F_REAL, offsetof(struct pool_attr, scale), .def = "1", .help = "factor of the rectangles" },
	{ .name = NULL }
};
static const struct onx_table pool_attr = { "MaxRoiPool", sizeof(struct pool_attr), pool_field, .check = NULL };

static int pool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct pool_attr *a = attr;
	struct onx_roi_geo *g;

	if (a->shape.n != 2 || a->shape.v[0] < 1 || a->shape.v[1] < 1)
		return onx_fail(e, ONX_SHAPE, "pooled_shape has %zu numbers, wanted 2 positive ones", a->shape.n);
	return onx_roi_geometry(s, a->shape.v[0], a->shape.v[1], 5, &g, e);
}

/* Cell k of an axis: elements [lo, hi).  In single precision, as everybody does: an edge at a half must fall on
 * the same side. */
static void pool_edges(real from, real to, double scale, int64_t cells, int64_t k, int64_t n, int64_t *lo,
		       int64_t *hi)
{
	const float first = roundf((float)from * (float)scale), last = roundf((float)to * (float)scale);
	const float length = last - first + 1 > 1 ? last - first + 1 : 1, cell = length / (float)cells;

	*lo = onx_roi_place((double)(floorf((float)k * cell) + first), 0, (double)n);
	*hi = onx_roi_place((double)(ceilf((float)(k + 1) * cell) + first), 0, (double)n);
}

/* The place of the largest element of a cell; -1: an empty cell, whose value is 0. */
static int64_t pool_best(const struct onx_call *c, size_t roi, int64_t k, const real *x)
{
	const double scale = ((const struct pool_attr *)c->attr)->scale;
	const struct onx_roi_geo *g = c->geo;
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
	return onx_roi_place(((const real *)c->x[1].v)[5 * roi], -1, (double)((const struct onx_roi_geo *)c->geo)->n);
}

static void pool_planes(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_roi_geo *g = c->geo;

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
	const struct onx_roi_geo *g = c->geo;

	onx_each(c->pool, (size_t)(g->rois * g->c), 16, pool_planes, c);
}

static void pool_add(const struct onx_call *c, size_t roi, int64_t picture, int64_t channel, double *d)
{
	const struct onx_roi_geo *g = c->geo;
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
	onx_roi_back(c, pool_add);
}

const struct onx_op ONX_R(onx_ops_roi_pool)[] = {
	ONX_ROI_ROW("MaxRoiPool", 1, 2, pool_attr, pool),
	{ .type = NULL }
};
