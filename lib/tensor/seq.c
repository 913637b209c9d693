/* tensor/seq.c -- see seq.h. */
#include "tensor/seq.h"
#include <string.h>

struct onx_view *onx_tensor_new(struct onx_arena *a, enum onx_dtype type, int rank, const int64_t *dim,
				size_t width)
{
	struct onx_err e;
	size_t n;
	if (rank > ONX_RANK || onx_count(rank, dim, &n, &e) < 0)
		return NULL;
	struct onx_view *v = ONX_NEW(a, struct onx_view);
	int64_t *d = ONX_NEWS(a, int64_t, ONX_RANK);
	void *mem = onx_alloc(a, n + 1, width);
	if (!v || !d || !mem)
		return NULL;
	for (int i = 0; i < rank; i++)
		d[i] = dim[i];
	*v = (struct onx_view){ .v = mem, .n = n, .rank = rank, .dim = d, .type = type, .width = (uint8_t)width };
	return v;
}

struct onx_view *onx_seq_new(struct onx_arena *a, enum onx_dtype type, size_t n)
{
	const int64_t dim[1] = { (int64_t)n };
	return onx_tensor_new(a, type, 1, dim, sizeof(struct onx_view *));
}

const struct onx_view *onx_unknown_new(struct onx_arena *a, enum onx_dtype type, int rank, const int64_t *dim,
				       size_t width, uint32_t id)
{
	struct onx_err e;
	struct onx_unknown *u = ONX_NEW(a, struct onx_unknown);
	int64_t *d = ONX_NEWS(a, int64_t, ONX_RANK);
	size_t n;
	if (rank > ONX_RANK || onx_count(rank, dim, &n, &e) < 0 || !u || !d)
		return NULL;
	if (n == 0)
		return onx_tensor_new(a, type, rank, dim, width);
	for (int i = 0; i < rank; i++)
		d[i] = dim[i];
	u->view = (struct onx_view){ .n = n, .rank = rank, .dim = d, .type = type, .width = (uint8_t)width };
	u->id = id;
	return &u->view;
}

bool onx_view_open(const struct onx_view *v)
{
	for (size_t i = 0; onx_holds_views(v->type) && i < v->n; i++)
		if (onx_view_open(onx_seq_at(v, i)))
			return true;
	return !v->v && v->n;
}

const struct onx_view *onx_view_copy(struct onx_arena *a, const struct onx_view *v)
{
	if (!v->v && v->n)
		return onx_unknown_new(a, v->type, v->rank, v->dim, v->width, UINT32_MAX);
	struct onx_view *c = onx_tensor_new(a, v->type, v->rank, v->dim, v->width);
	if (!c)
		return NULL;
	if (!onx_holds_views(v->type) && v->n)
		memcpy(c->v, v->v, v->n * v->width);
	for (size_t i = 0; v->type == ONX_STRING && i < v->n; i++) {
		const char **s = (const char **)c->v + i;
		if (!(*s = onx_dup(a, *s)))
			return NULL;
	}
	for (size_t i = 0; onx_holds_views(v->type) && i < v->n; i++)
		if (!(onx_seq_items(c)[i] = onx_view_copy(a, onx_seq_at(v, i))))
			return NULL;
	return c;
}
