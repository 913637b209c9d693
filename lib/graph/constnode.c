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

int onx_constant_weight(struct onx_model *m, const struct onx_file_node *n, const struct onx_weight **out,
			struct onx_err *e)
{
	*out = NULL;
	for (size_t i = 0; i < n->n_attr; i++) {
		const struct onx_file_attr *a = &n->attr[i];
		if (strncmp(a->name, "value", 5) != 0)
			continue;
		switch (a->type) {
		case ONX_ATTR_TENSOR:  *out = a->tensor; return ONX_OK;
		case ONX_ATTR_FLOAT:   return make(m, ONX_FLOAT, 0, 1, &a->f, out, e);
		case ONX_ATTR_INT:     return make(m, ONX_INT64, 0, 1, &a->i, out, e);
		case ONX_ATTR_FLOATS:  return make(m, ONX_FLOAT, 1, a->n, a->floats, out, e);
		case ONX_ATTR_INTS:    return make(m, ONX_INT64, 1, a->n, a->ints, out, e);
		case ONX_ATTR_STRING:  return make(m, ONX_STRING, 0, 1, &a->s, out, e);
		case ONX_ATTR_STRINGS: return make(m, ONX_STRING, 1, a->n, a->strings, out, e);
		default:               return ONX_OK;
		}
	}
	return ONX_OK;
}

int onx_constant_changed(const struct onx_file_node *n, const struct onx_weight *w, struct onx_arena *mem,
			 struct onx_file_attr *out, struct onx_err *e)
{
	for (size_t i = 0; i < n->n_attr; i++) {
		const struct onx_file_attr *a = &n->attr[i];
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
