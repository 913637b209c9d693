/* graph/constnode.c -- Constant nodes whose numbers stand in an attribute that is not a tensor. */
#include "graph/graph_i.h"
#include <string.h>

static int make(struct onx_model *m, enum onx_dtype type, int rank, size_t n, const void *data,
		const struct onx_weight **out, struct onx_err *e)
{
	const int64_t dim[1] = { (int64_t)n };
	const struct onx_view src = { .v = (void *)(uintptr_t)data, .n = n, .rank = rank, .dim = dim,
				      .type = type, .width = (uint8_t)onx_dtype_store(type, false) };
	return onx_weight_new(m, "", type, &src, out, e);
}

/* Where value k of a sparse tensor stands among the n elements. */
static int sparse_place(const struct onx_file_sparse *s, const int64_t *index, size_t k, size_t n, size_t *at,
			struct onx_err *e)
{
	const bool flat = s->indices->rank == 1;
	int64_t to = flat ? index[k] : 0;

	for (int d = 0; !flat && d < s->rank; d++) {
		const int64_t i = index[k * (size_t)s->rank + (size_t)d];
		if (i < 0 || i >= s->dim[d])
			return onx_fail(e, ONX_FORMAT, "a sparse tensor has index %lld on an axis of %lld",
					(long long)i, (long long)s->dim[d]);
		to = to * s->dim[d] + i;
	}
	if (to < 0 || (size_t)to >= n)
		return onx_fail(e, ONX_FORMAT, "a sparse tensor has index %lld, of %zu elements", (long long)to, n);
	*at = (size_t)to;
	return ONX_OK;
}

static int sparse_check(const struct onx_file_sparse *s, size_t *n, struct onx_err *e)
{
	const struct onx_weight *v = s->values, *i = s->indices;
	const bool listed = i->rank == 2 && i->dim[1] == s->rank;
	int rc = onx_count(s->rank, s->dim, n, e);

	if (rc == ONX_OK && (i->type != ONX_INT64 || v->rank != 1 || (i->rank != 1 && !listed) ||
			     i->dim[0] != v->dim[0]))
		rc = onx_fail(e, ONX_FORMAT, "the values and indices of a sparse tensor do not fit");
	if (rc == ONX_OK && v->type == ONX_STRING)
		rc = onx_fail(e, ONX_UNSUP, "a sparse tensor of strings");
	return rc;
}

/* All elements of a sparse tensor, zeros too. */
static int from_sparse(struct onx_model *m, const struct onx_file_sparse *s, const struct onx_weight **out,
		       struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	size_t n = 0, at = 0;
	int rc = sparse_check(s, &n, e);

	if (rc < 0)
		return rc;
	const size_t width = onx_dtype_store(s->values->type, false), few = s->values->n;
	char *all = onx_alloc(&mem, n + 1, width), *some = onx_alloc(&mem, few + 1, width);
	int64_t *index = ONX_NEWS(&mem, int64_t, s->indices->n + 1);
	const struct onx_view values = { .v = some, .n = few, .rank = 1, .dim = s->values->dim,
					 .type = s->values->type, .width = (uint8_t)width };
	const struct onx_view places = { .v = index, .n = s->indices->n, .rank = s->indices->rank,
					 .dim = s->indices->dim, .type = ONX_INT64, .width = 8 };
	const struct onx_view src = { .v = all, .n = n, .rank = s->rank, .dim = s->dim, .type = values.type,
				      .width = (uint8_t)width };

	if (!all || !some || !index)
		rc = onx_nomem(e, (double)n * (double)width, "a sparse tensor");
	else if ((rc = onx_weight_load(s->values, &values, e)) == ONX_OK)
		rc = onx_weight_load(s->indices, &places, e);
	for (size_t k = 0; rc == ONX_OK && k < few; k++)
		if ((rc = sparse_place(s, index, k, n, &at, e)) == ONX_OK)
			memcpy(all + at * width, some + k * width, width);
	if (rc == ONX_OK)
		rc = onx_weight_new(m, "", src.type, &src, out, e);
	onx_arena_release(&mem);
	return rc;
}

int onx_constant_weight(struct onx_model *m, const struct onx_file_node *n, const struct onx_weight **out,
			struct onx_err *e)
{
	*out = NULL;
	for (size_t i = 0; i < n->n_attr; i++) {
		const struct onx_file_attr *a = &n->attr[i];
		if (strncmp(a->name, "value", 5) != 0 && strcmp(a->name, "sparse_value") != 0)
			continue;
		switch (a->type) {
		case ONX_ATTR_TENSOR:  *out = a->tensor; return ONX_OK;
		case ONX_ATTR_FLOAT:   return make(m, ONX_FLOAT, 0, 1, &a->f, out, e);
		case ONX_ATTR_INT:     return make(m, ONX_INT64, 0, 1, &a->i, out, e);
		case ONX_ATTR_FLOATS:  return make(m, ONX_FLOAT, 1, a->n, a->floats, out, e);
		case ONX_ATTR_INTS:    return make(m, ONX_INT64, 1, a->n, a->ints, out, e);
		case ONX_ATTR_STRING:  return make(m, ONX_STRING, 0, 1, &a->s, out, e);
		case ONX_ATTR_STRINGS: return make(m, ONX_STRING, 1, a->n, a->strings, out, e);
		case ONX_ATTR_SPARSE_TENSOR:
			return from_sparse(m, a->sparse, out, e);
		default:               return ONX_OK;
		}
	}
	return ONX_OK;
}

/* Trained, a sparse tensor is a dense one: `value`. */
static int sparse_changed(struct onx_model *m, const struct onx_file_sparse *s, const struct onx_weight *w,
			  struct onx_file_attr *out, struct onx_err *e)
{
	const struct onx_weight *old;
	int rc = from_sparse(m, s, &old, e);

	if (rc < 0 || w->n == 0 || memcmp(old->raw, w->raw, w->n * (size_t)onx_dtype_bits(w->type) / 8) == 0)
		return rc;
	*out = (struct onx_file_attr){ .name = "value", .type = ONX_ATTR_TENSOR, .tensor = w };
	return 1;
}

int onx_constant_changed(struct onx_model *m, const struct onx_file_node *n, const struct onx_weight *w,
			 struct onx_arena *mem, size_t *at, struct onx_file_attr *out, struct onx_err *e)
{
	for (size_t i = 0; i < n->n_attr; i++) {
		const struct onx_file_attr *a = &n->attr[i];
		*at = i;
		if (a->type == ONX_ATTR_SPARSE_TENSOR && strcmp(a->name, "sparse_value") == 0)
			return sparse_changed(m, a->sparse, w, out, e);
		if (a->type != ONX_ATTR_FLOAT && a->type != ONX_ATTR_FLOATS)
			continue;
		const float *old = a->type == ONX_ATTR_FLOAT ? &a->f : a->floats;
		float *now = ONX_NEWS(mem, float, w->n + 1);
		const struct onx_view dst = { .v = now, .n = w->n, .rank = w->rank, .dim = w->dim,
					      .type = ONX_FLOAT, .width = 4 };
		int rc = now ? onx_weight_load(w, &dst, e) : onx_nomem(e, (double)w->n * 4, "a constant");
		if (rc < 0 || w->n == 0 || memcmp(now, old, w->n * sizeof *now) == 0)
			return rc;
		*out = *a;
		out->f = now[0];
		out->floats = now;
		return 1;
	}
	return ONX_OK;
}
