/* op/index.c -- see index.h. */
#include "op/index.h"
#include <inttypes.h>
#include <string.h>
#include "op/walk.h"

static inline int64_t wrap(int64_t i, int64_t d)
{
	i += i < 0 ? d : 0;
	return i >= 0 && i < d ? i : -1;
}

static inline int64_t index_at(const struct onx_view *idx, size_t i)
{
	return idx->width == 8 ? ((const int64_t *)idx->v)[i] : ((const int32_t *)idx->v)[i];
}

int64_t onx_locate(const struct onx_index *g, const struct onx_view *idx, size_t k)
{
	int64_t at = 0, rest = (int64_t)k;

	if (g->where == ONX_BY_AXIS) {
		const int64_t i = wrap(index_at(idx, k % (size_t)g->n_index), g->dim[g->axis]);
		const int64_t outer = (int64_t)(k / (size_t)g->n_index);

		return i < 0 ? -1 : (outer * g->dim[g->axis] + i) * g->stride[g->axis];
	}
	if (g->where == ONX_BY_ELEMENT) {
		const int64_t i = wrap(index_at(idx, k), g->dim[g->axis]);

		for (int d = g->rank - 1; d >= 0; d--) {
			at += (d == g->axis ? i : rest % g->index_dim[d]) * g->stride[d];
			rest /= g->index_dim[d];
		}
		return i < 0 ? -1 : at;
	}
	const int batch = g->axis;              /* leading axes that index tensor and data share */
	if (batch > 0)
		at = rest / g->per_batch * (g->stride[batch - 1]);
	for (int t = 0; t < g->tuple; t++) {
		const int64_t i = wrap(index_at(idx, k * (size_t)g->tuple + (size_t)t), g->dim[batch + t]);

		if (i < 0)
			return -1;
		at += i * g->stride[batch + t];
	}
	return at;
}

/* Along the last axis of the index tensor everything but the index itself goes by steps. */
static void locate_elements(const struct onx_index *g, const struct onx_view *idx, size_t k, size_t n, int64_t *at)
{
	const int last = g->rank - 1;
	const size_t row = (size_t)g->index_dim[last];

	for (size_t done = 0, m; done < n; done += m, k += m) {
		const size_t first = k % row;
		const int64_t by = last == g->axis ? 0 : g->stride[last];
		int64_t base = last == g->axis ? 0 : (int64_t)first * by, rest = (int64_t)(k / row);
		m = row - first < n - done ? row - first : n - done;
		for (int d = last - 1; d >= 0; d--) {
			base += d == g->axis ? 0 : rest % g->index_dim[d] * g->stride[d];
			rest /= g->index_dim[d];
		}
		for (size_t i = 0; i < m; i++) {
			const int64_t v = wrap(index_at(idx, k + i), g->dim[g->axis]);
			at[done + i] = v < 0 ? -1 : base + (int64_t)i * by + v * g->stride[g->axis];
		}
	}
}

static void locate_along(const struct onx_index *g, const struct onx_view *idx, size_t k, size_t n, int64_t *at)
{
	const int64_t dim = g->dim[g->axis], stride = g->stride[g->axis];
	int64_t i = (int64_t)(k % (size_t)g->n_index), base = (int64_t)(k / (size_t)g->n_index) * dim * stride;

	for (size_t done = 0; done < n; done++) {
		const int64_t v = wrap(index_at(idx, (size_t)i), dim);
		at[done] = v < 0 ? -1 : base + v * stride;
		if (++i == g->n_index) {
			i = 0;
			base += dim * stride;
		}
	}
}

void onx_locate_run(const struct onx_index *g, const struct onx_view *idx, size_t k, size_t n, int64_t *at)
{
	if (g->where == ONX_BY_ELEMENT && g->rank > 0)
		locate_elements(g, idx, k, n, at);
	else if (g->where == ONX_BY_AXIS)
		locate_along(g, idx, k, n, at);
	else
		for (size_t i = 0; i < n; i++)
			at[i] = onx_locate(g, idx, k + i);
}

int onx_index_known(const struct onx_infer *s, const struct onx_index *g, struct onx_err *e)
{
	const struct onx_view *idx = s->in[1].value;

	for (size_t k = 0; idx && g->block > 0 && k < g->blocks; k++)
		if (onx_locate(g, idx, k) < 0)
			return onx_fail(e, ONX_SHAPE, "index %zu is outside the axis it selects from", k);
	return ONX_OK;
}

int onx_index_new(struct onx_infer *s, enum onx_where where, struct onx_index **out, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_dtype t = s->in[1].type;
	struct onx_index *g = ONX_NEW(s->mem, struct onx_index);

	*out = g;
	if (!g)
		return onx_nomem(e, sizeof *g, "geometry of an index");
	if (t != ONX_INT64 && t != ONX_INT32)
		return onx_fail(e, ONX_SHAPE, "indices are %s, wanted int32 or int64", onx_dtype_name(t));
	g->where = where;
	g->rank = x->rank;
	memcpy(g->dim, x->dim, sizeof g->dim);
	onx_strides(x->rank, x->dim, g->stride);
	s->geo = g;
	return ONX_OK;
}

int onx_index_elements(struct onx_infer *s, int64_t axis, struct onx_index **out, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *idx = &s->in[1].shape;
	struct onx_index *g;
	int rc = onx_index_new(s, ONX_BY_ELEMENT, &g, e);
	size_t n;

	*out = g;
	if (rc == ONX_OK)
		rc = onx_axis(axis, x->rank, &g->axis, e);
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 1, x->rank, x->rank, e);
	if (rc == ONX_OK)
		rc = onx_count(idx->rank, idx->dim, &n, e);
	if (rc < 0)
		return rc;
	for (int i = 0; i < x->rank; i++)
		if (i != g->axis && idx->dim[i] > x->dim[i])
			return onx_fail(e, ONX_SHAPE, "the indices have %" PRId64 " elements along axis %d, the data %"
					PRId64, idx->dim[i], i, x->dim[i]);
	memcpy(g->index_dim, idx->dim, sizeof g->index_dim);
	g->block = 1;
	g->blocks = n;
	return onx_index_known(s, g, e);
}

int onx_index_tuples(struct onx_infer *s, int batch, struct onx_shape *y, struct onx_index **out,
		     struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *idx = &s->in[1].shape;
	struct onx_index *g;
	int rc = onx_index_new(s, ONX_BY_TUPLE, &g, e);
	size_t n;

	*out = g;
	*y = (struct onx_shape){ .rank = 0 };
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 1, batch + 1, ONX_RANK, e);
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, batch + 1, ONX_RANK, e);
	if (rc < 0)
		return rc;
	const int64_t tuple = idx->dim[idx->rank - 1];
	if (tuple < 1 || tuple > x->rank - batch)
		return onx_fail(e, ONX_SHAPE, "indices of %" PRId64 " numbers into a tensor of rank %d", tuple,
				x->rank);
	for (int i = 0; i < batch; i++)
		if (x->dim[i] != idx->dim[i])
			return onx_fail(e, ONX_SHAPE, "batch axis %d is %" PRId64 " in the data, %" PRId64
					" in the indices", i, x->dim[i], idx->dim[i]);
	if (idx->rank - 1 + x->rank - batch - tuple > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a result of more than %d dimensions", ONX_RANK);
	for (int i = 0; i < idx->rank - 1; i++)
		y->dim[y->rank++] = idx->dim[i];
	for (int i = batch + (int)tuple; i < x->rank; i++)
		y->dim[y->rank++] = x->dim[i];
	rc = onx_count(y->rank, y->dim, &n, e);
	if (rc < 0)
		return rc;
	g->tuple = (int)tuple;
	g->axis = batch;
	g->block = (size_t)onx_span(x->dim, batch + g->tuple, x->rank);
	g->blocks = n ? n / g->block : 0;
	g->per_batch = onx_span(idx->dim, batch, idx->rank - 1);
	return onx_index_known(s, g, e);
}
