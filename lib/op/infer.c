/* op/infer.c -- shape rules shared by families. */
#include "op/infer.h"
#include <inttypes.h>

void onx_set_out(struct onx_infer *s, int i, enum onx_dtype type, const struct onx_shape *shape)
{
	if (i >= s->n_out || !s->out_wanted[i])
		return;
	s->out[i].type = type;
	s->out[i].shape = *shape;
	s->out[i].value = NULL;
}

int onx_infer_same_any(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	size_t n;
	int rc = onx_count(s->in[0].shape.rank, s->in[0].shape.dim, &n, e);

	(void)attr;
	if (rc < 0)
		return rc;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	return ONX_OK;
}

int onx_infer_same(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : onx_infer_same_any(s, attr, e);
}

int onx_infer_broadcast(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape shape = s->in[0].shape;

	(void)attr;
	for (int i = 1; i < s->n_in; i++) {
		struct onx_shape sum;
		int rc = onx_want_same_type(s, 0, i, e);

		if (rc == ONX_OK)
			rc = onx_broadcast(&shape, &s->in[i].shape, &sum, e);
		if (rc < 0)
			return rc;
		shape = sum;
	}
	onx_set_out(s, 0, s->in[0].type, &shape);
	return ONX_OK;
}

int onx_infer_numbers(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT) {
		int rc = onx_want_real(s, 0, e);
		if (rc < 0)
			return rc;
	}
	return onx_infer_broadcast(s, attr, e);
}

static int want_there(const struct onx_infer *s, int i, struct onx_err *e)
{
	if (onx_has_in(s, i))
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "input %d is missing", i);
}

int onx_want_real(const struct onx_infer *s, int i, struct onx_err *e)
{
	int rc = want_there(s, i, e);

	if (rc < 0 || onx_dtype_real(s->in[i].type))
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted a floating-point type", i,
			onx_dtype_name(s->in[i].type));
}

int onx_want_type(const struct onx_infer *s, int i, enum onx_dtype t, struct onx_err *e)
{
	int rc = want_there(s, i, e);

	if (rc < 0 || s->in[i].type == t)
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted %s", i, onx_dtype_name(s->in[i].type),
			onx_dtype_name(t));
}

int onx_want_same_type(const struct onx_infer *s, int i, int j, struct onx_err *e)
{
	int rc = want_there(s, i, e);

	if (rc == ONX_OK)
		rc = want_there(s, j, e);
	if (rc < 0 || s->in[i].type == s->in[j].type)
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d is %s, input %d is %s, wanted one type", i,
			onx_dtype_name(s->in[i].type), j, onx_dtype_name(s->in[j].type));
}

int onx_want_rank(const struct onx_infer *s, int i, int lo, int hi, struct onx_err *e)
{
	char text[ONX_SHAPE_TEXT];
	int rc = want_there(s, i, e);

	if (rc < 0)
		return rc;
	const struct onx_shape *shape = &s->in[i].shape;
	if (shape->rank >= lo && shape->rank <= hi)
		return ONX_OK;
	onx_shape_text(shape->rank, shape->dim, text, sizeof text);
	if (lo == hi)
		return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %d dimensions", i, text, lo);
	if (hi >= ONX_RANK)
		return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted at least %d dimensions", i,
				text, lo);
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %d to %d dimensions", i, text, lo, hi);
}

int onx_axis(int64_t axis, int rank, int *out, struct onx_err *e)
{
	*out = 0;
	if (axis < -rank || axis >= rank)
		return onx_fail(e, ONX_SHAPE, "axis %" PRId64 " of a tensor of rank %d, wanted %d..%d", axis,
				rank, -rank, rank - 1);
	*out = (int)(axis < 0 ? axis + rank : axis);
	return ONX_OK;
}

static int want_known(const struct onx_infer *s, int i, struct onx_err *e)
{
	int rc = want_there(s, i, e);

	if (rc < 0 || s->in[i].value)
		return rc;
	return onx_fail(e, ONX_UNSUP, "input %d is computed while running, wanted a value that is known "
			"before", i);
}

int onx_in_ints(struct onx_infer *s, int i, const int64_t **v, size_t *n, struct onx_err *e)
{
	int rc = want_known(s, i, e);

	*v = NULL;
	*n = 0;
	if (rc < 0)
		return rc;
	const struct onx_view *value = s->in[i].value;
	const enum onx_class class = onx_dtype_class(value->type);
	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT && class != ONX_CLASS_BOOL)
		return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted whole numbers", i,
				onx_dtype_name(value->type));
	int64_t *out = ONX_NEWS(s->mem, int64_t, value->n + 1);    /* never NULL for none */
	if (!out)
		return onx_nomem(e, 8.0 * (double)value->n, "whole numbers of an input");
	for (size_t k = 0; k < value->n; k++)
		out[k] = onx_view_int(value, k);
	*v = out;
	*n = value->n;
	return ONX_OK;
}

int onx_in_list(struct onx_infer *s, int i, const struct onx_ints *attr, struct onx_ints *out, struct onx_err *e)
{
	*out = attr ? *attr : (struct onx_ints){ 0 };
	return onx_has_in(s, i) ? onx_in_ints(s, i, &out->v, &out->n, e) : ONX_OK;
}

int onx_in_real(struct onx_infer *s, int i, double *v, struct onx_err *e)
{
	int rc = want_known(s, i, e);

	*v = 0;
	if (rc < 0)
		return rc;
	const struct onx_view *value = s->in[i].value;
	if (value->n != 1 || value->type == ONX_STRING)
		return onx_fail(e, ONX_SHAPE, "input %d has %zu elements of %s, wanted one number", i,
				value->n, onx_dtype_name(value->type));
	*v = onx_view_real(value, 0);
	return ONX_OK;
}

int onx_axes_arg(struct onx_infer *s, const struct onx_ints *attr, int i, int rank, int *axes, int *n,
		 struct onx_err *e)
{
	const int64_t *v = attr ? attr->v : NULL;
	size_t count = attr ? attr->n : 0;
	bool seen[ONX_RANK] = { false };

	*n = 0;
	if (i >= 0 && onx_has_in(s, i)) {
		int rc = onx_in_ints(s, i, &v, &count, e);
		if (rc < 0)
			return rc;
	}
	for (size_t k = 0; k < count; k++) {
		int axis, rc = onx_axis(v[k], rank, &axis, e);
		if (rc < 0)
			return rc;
		if (seen[axis])
			return onx_fail(e, ONX_SHAPE, "axis %d is given twice", axis);
		seen[axis] = true;
	}
	for (int axis = 0; axis < rank; axis++)
		if (seen[axis])
			axes[(*n)++] = axis;
	return ONX_OK;
}

int onx_in_known(const struct onx_infer *s, int i, const struct onx_view **v, struct onx_err *e)
{
	*v = onx_has_in(s, i) ? s->in[i].value : NULL;
	if (*v || !onx_has_in(s, i))
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "input %d is computed while running, wanted a value that is known before", i);
}

int onx_give(struct onx_infer *s, int i, const struct onx_view *v, struct onx_err *e)
{
	struct onx_shape shape = { 0 };
	if (!v)
		return onx_nomem(e, 64, "a value");
	shape.rank = v->rank;
	for (int d = 0; d < v->rank; d++)
		shape.dim[d] = v->dim[d];
	onx_set_out(s, i, v->type, &shape);
	if (onx_has_out(s, i))
		s->out[i].value = v;
	return ONX_OK;
}
