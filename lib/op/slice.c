/* op/slice.c -- Slice: y[i] = x[start + i * step]. */
#include "op/move.h"

struct slice { struct onx_ints starts, ends, axes; uint64_t given; };
static const struct onx_field slice_field[] = {
	{ "starts", F_INTS, offsetof(struct slice, starts), .def = "", .help = "first element, by axis" },
	{ "ends", F_INTS, offsetof(struct slice, ends), .def = "", .help = "one past the last element" },
	{ "axes", F_INTS, offsetof(struct slice, axes), .def = "", .help = "axes meant; default: the first" },
	{ .name = NULL }
};
static const struct onx_table slice_attr = { "Slice", sizeof(struct slice), slice_field,
	.given = offsetof(struct slice, given) };
static const struct onx_field dynamic_field[] = { { .name = NULL } };
static const struct onx_table dynamic_attr = { "DynamicSlice", sizeof(struct slice), dynamic_field, .check = NULL };

struct range { int64_t start, step, n; };

/* start and end as ONNX clamps them: negative ones count from the end; then into [0, d] for a positive
 * step, start into [0, d-1] and end into [-1, d-1] for a negative one. */
static struct range slice_range(int64_t start, int64_t end, int64_t step, int64_t d)
{
	const int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? d : d - 1;
	struct range r;

	step = step > d + 1 ? d + 1 : step < -(d + 1) ? -(d + 1) : step;
	start += start < 0 ? d : 0;
	end += end < 0 ? d : 0;
	start = start < 0 ? 0 : start > hi ? hi : start;
	end = end < lo ? lo : end > hi ? hi : end;
	r.start = start;
	r.step = step;
	r.n = step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step;
	if (r.n < 0 || d == 0 || (step > 0 ? end <= start : start <= end))
		r.n = 0;
	return r;
}

static int slice_ranges(struct onx_infer *s, const struct slice *a, struct range *r, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_ints starts, ends, axes, steps;
	bool seen[ONX_RANK] = { false };
	int rc = onx_in_list(s, 1, &a->starts, &starts, e);

	if (rc == ONX_OK)
		rc = onx_in_list(s, 2, &a->ends, &ends, e);
	if (rc == ONX_OK)
		rc = onx_in_list(s, 3, &a->axes, &axes, e);
	if (rc == ONX_OK)
		rc = onx_in_list(s, 4, NULL, &steps, e);
	if (rc < 0)
		return rc;
	if (ends.n != starts.n || (axes.n && axes.n != starts.n) || (steps.n && steps.n != starts.n))
		return onx_fail(e, ONX_SHAPE, "%zu starts, %zu ends, %zu axes, %zu steps, wanted as many of each",
				starts.n, ends.n, axes.n, steps.n);
	for (int i = 0; i < x->rank; i++)
		r[i] = (struct range){ 0, 1, x->dim[i] };
	for (size_t i = 0; i < starts.n; i++) {
		int axis;

		rc = onx_axis(axes.n ? axes.v[i] : (int64_t)i, x->rank, &axis, e);
		if (rc < 0)
			return rc;
		if (seen[axis])
			return onx_fail(e, ONX_SHAPE, "axis %d is given twice", axis);
		if (steps.n && steps.v[i] == 0)
			return onx_fail(e, ONX_SHAPE, "a step of 0 on axis %d", axis);
		seen[axis] = true;
		r[axis] = slice_range(starts.v[i], ends.v[i], steps.n ? steps.v[i] : 1, x->dim[axis]);
	}
	return ONX_OK;
}

static int slice_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = { .rank = x->rank };
	int64_t from[ONX_RANK], to[ONX_RANK];
	struct range r[ONX_RANK];
	struct onx_move *m;
	size_t n;
	int rc = slice_ranges(s, attr, r, e);

	for (int i = 0; rc == ONX_OK && i < x->rank; i++)
		y.dim[i] = r[i].n;
	if (rc == ONX_OK)
		rc = onx_move_to(s, &y, &n, &m, e);
	if (rc < 0)
		return rc;
	onx_strides(x->rank, x->dim, from);
	onx_strides(y.rank, y.dim, to);
	for (int i = 0; i < y.rank && n > 0; i++) {
		m->w[0].from0 += r[i].start * from[i];
		onx_walk_dim(&m->w[0], r[i].n, to[i], r[i].n > 1 ? r[i].step * from[i] : 0);
		m->zero = m->zero || y.dim[i] != x->dim[i];
	}
	if (n == 0) {
		onx_walk_dim(&m->w[0], 0, 1, 1);
		m->zero = true;
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

const struct onx_op ONX_R(onx_ops_slice)[] = {
	{ .domain = "", .type = "Slice", .since = 1, .min_in = 1, .max_in = 5, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &slice_attr, .infer = slice_infer,
	  .forward = onx_move_forward, .backward = onx_move_backward },
	/* on trial in opset 1 */
	{ .domain = "", .type = "DynamicSlice", .since = 1, .min_in = 3, .max_in = 4, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &dynamic_attr, .infer = slice_infer,
	  .forward = onx_move_forward, .backward = onx_move_backward },
	{ .type = NULL }
};
