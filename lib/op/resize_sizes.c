/* op/resize_sizes.c -- how Resize and Upsample map each axis: by scales, or by sizes and a policy. */
#include "op/resize_i.h"
#include <inttypes.h>
#include "op/infer.h"
#include "op/walk.h"

/* Numbers of input i as double; n == 0 where it is absent or empty. */
static int in_reals(struct onx_infer *s, int i, const double **v, size_t *n, struct onx_err *e)
{
	*v = NULL;
	*n = 0;
	if (!onx_has_in(s, i) || onx_span(s->in[i].shape.dim, 0, s->in[i].shape.rank) == 0)
		return ONX_OK;
	const struct onx_view *x = s->in[i].value;
	if (!x || x->type == ONX_STRING)
		return onx_fail(e, ONX_UNSUP, "input %d is computed while running, wanted a value that is known "
				"before", i);
	double *out = ONX_NEWS(s->mem, double, x->n);
	if (!out)
		return onx_nomem(e, 8.0 * (double)x->n, "sizes");
	for (size_t k = 0; k < x->n; k++)
		out[k] = onx_view_real(x, k);
	*v = out;
	*n = x->n;
	return ONX_OK;
}

/* Lengths by `sizes`; with a policy all axes named get one scale. */
static int by_sizes(const double *size, size_t n, const int *axes, enum onx_resize_policy p, struct onx_axis_map *m,
		    struct onx_err *e)
{
	double scale = p == ONX_RESIZE_NOT_LARGER ? INFINITY : 0;

	for (size_t i = 0; i < n; i++) {
		struct onx_axis_map *k = &m[axes[i]];

		if (!(size[i] >= 0 && size[i] <= 0x1p48) || (k->n_in == 0 && size[i] > 0))
			return onx_fail(e, ONX_SHAPE, "axis %d of %" PRId64 " cannot get the size %g", axes[i],
					k->n_in, size[i]);
		const double ratio = k->n_in ? size[i] / (double)k->n_in : 1;
		scale = p == ONX_RESIZE_NOT_LARGER ? fmin(scale, ratio) : fmax(scale, ratio);
		k->n_out = (int64_t)size[i];
		k->scale = ratio;
		k->by_size = true;
	}
	for (size_t i = 0; p != ONX_RESIZE_STRETCH && i < n; i++) {
		struct onx_axis_map *k = &m[axes[i]];
		const double length = floor(scale * (double)k->n_in + 0.5);

		if (!(length <= 0x1p48))
			return onx_fail(e, ONX_SHAPE, "axis %d would have %g elements", axes[i], length);
		k->n_out = (int64_t)length;
		k->scale = scale;
		k->by_size = false;
	}
	return ONX_OK;
}

/* floor(in * (roi_end - roi_start) * scale), in float as the standard's own shape rule has it. */
static int by_scales(const double *scale, size_t n, const int *axes, struct onx_axis_map *m, struct onx_err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct onx_axis_map *k = &m[axes[i]];
		float in = (float)k->n_in;

		if (k->coord == ONX_TF_CROP_AND_RESIZE)
			in *= (float)(k->roi1 - k->roi0);
		const double length = floor((double)(in * (float)scale[i]));
		if (!(scale[i] > 0 && scale[i] <= 0x1p48 && length >= 0 && length <= 0x1p48))
			return onx_fail(e, ONX_SHAPE, "axis %d of %" PRId64 " cannot be scaled by %g", axes[i],
					k->n_in, scale[i]);
		k->n_out = (int64_t)length;
		k->scale = scale[i];
	}
	return ONX_OK;
}

static int resize_axes(const struct onx_resize *a, int rank, int *axes, size_t *n, struct onx_err *e)
{
	bool seen[ONX_RANK] = { false };

	*n = a->axes.n ? a->axes.n : (size_t)rank;
	for (size_t i = 0; i < *n; i++) {
		int rc = onx_axis(a->axes.n ? a->axes.v[i] : (int64_t)i, rank, &axes[i < ONX_RANK ? i : 0], e);

		if (rc < 0)
			return rc;
		if (i >= (size_t)rank || seen[axes[i]])
			return onx_fail(e, ONX_SHAPE, "attribute 'axes' names an axis twice");
		seen[axes[i]] = true;
	}
	return ONX_OK;
}

int onx_resize_maps(struct onx_infer *s, const struct onx_resize *a, bool upsample, struct onx_axis_map *m,
		    struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const bool full = !upsample && s->version >= 11;
	const double *roi, *scale, *size;
	size_t n, n_roi, n_scale, n_size;
	int axes[ONX_RANK], rc = resize_axes(a, x->rank, axes, &n, e);

	if (rc == ONX_OK)
		rc = in_reals(s, full ? 1 : ONX_MANY, &roi, &n_roi, e);
	if (rc == ONX_OK)
		rc = in_reals(s, full ? 2 : 1, &scale, &n_scale, e);
	if (rc == ONX_OK)
		rc = in_reals(s, full ? 3 : ONX_MANY, &size, &n_size, e);
	if (rc < 0)
		return rc;
	if (n_scale == 0 && a->scales.n) {
		scale = a->scales.v;
		n_scale = a->scales.n;
	}
	const bool crop = full && a->coord == ONX_TF_CROP_AND_RESIZE;
	if ((crop && n_roi != 2 * n) || (n_size ? n_size : n_scale) != n)
		return onx_fail(e, ONX_SHAPE, "%zu scales, %zu sizes and %zu numbers of roi for %zu axes",
				n_scale, n_size, n_roi, n);
	for (int i = 0; i < x->rank; i++)
		m[i] = (struct onx_axis_map){ .n_in = x->dim[i], .n_out = x->dim[i], .scale = 1, .roi1 = 1,
			.coord = full ? (enum onx_coord)a->coord : ONX_ASYMMETRIC };
	for (size_t i = 0; crop && i < n; i++) {
		m[axes[i]].roi0 = roi[i];
		m[axes[i]].roi1 = roi[n + i];
	}
	return n_size ? by_sizes(size, n, axes, (enum onx_resize_policy)a->policy, m, e)
		      : by_scales(scale, n, axes, m, e);
}
