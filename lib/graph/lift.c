/* graph/lift.c -- weights that a file keeps as lists of numbers in attributes (ai.onnx.ml) are constants of the
 * graph: they can be named, frozen and trained like any other, and go back to where they were. */
#include "graph/graph_i.h"
#include <stdio.h>
#include <string.h>

/* "fc.coefficients": after the node, or its first output where it has no name. */
static int lift_one(struct onx_graph *g, struct onx_node *n, const char *attr, uint32_t *id, struct onx_err *e)
{
	const struct onx_file_attr *a = onx_attr_find(n->file->attr, n->file->n_attr, attr);
	const struct onx_weight *w;
	char name[256];

	*id = ONX_NONE;
	if (!a || a->type != ONX_ATTR_FLOATS || a->n == 0)
		return ONX_OK;
	const char *owner = *n->name || !n->n_out || n->out[0] == ONX_NONE ? n->name : g->value[n->out[0]].name;
	snprintf(name, sizeof name, "%.200s.%s", owner, attr);
	int rc = onx_graph_add_value(g, name, ONX_FLOAT, id, e);
	if (rc < 0)
		return rc;
	struct onx_value *v = &g->value[*id];
	const int64_t dim[1] = { (int64_t)a->n };
	const struct onx_view src = { .v = (void *)(uintptr_t)a->floats, .n = a->n, .rank = 1, .dim = dim,
				      .type = ONX_FLOAT, .width = 4 };
	rc = onx_weight_new(g->model, v->name, ONX_FLOAT, &src, &w, e);
	if (rc < 0)
		return rc;
	v->init = w;
	v->lifted = v->has_shape = true;
	v->rank = 1;
	v->dim[0] = dim[0];
	return ONX_OK;
}

int onx_lift(struct onx_graph *g, uint32_t node, struct onx_err *e)
{
	struct onx_node *n = &g->node[node];
	uint32_t count = 0;

	while (n->op->lift && n->op->lift[count])
		count++;
	if (count == 0 || !n->file || n->file->call || n->n_in != 1)
		return ONX_OK;
	uint32_t *in = ONX_NEWS(&g->arena, uint32_t, (size_t)count + 1);
	if (!in)
		return onx_nomem(e, count * sizeof *in, "inputs");
	in[0] = n->in[0];
	for (uint32_t i = 0; i < count; i++) {
		int rc = lift_one(g, &g->node[node], n->op->lift[i], &in[i + 1], e);
		if (rc < 0)
			return rc;
	}
	n->in = in;
	n->n_in = count + 1;
	return ONX_OK;
}

int onx_lift_back(const struct onx_graph *g, const struct onx_node *n, const struct onx_file_node *f,
		  struct onx_arena *mem, const struct onx_file_attr **out, struct onx_err *e)
{
	struct onx_file_attr *list = NULL;

	*out = NULL;
	for (uint32_t i = 1; n->op && n->op->lift && i < n->n_in; i++) {
		const struct onx_value *v = n->in[i] == ONX_NONE ? NULL : &g->value[n->in[i]];
		if (!v || !v->lifted)
			continue;
		const struct onx_file_attr *a = onx_attr_find(f->attr, f->n_attr, n->op->lift[i - 1]);
		float *now = ONX_NEWS(mem, float, v->init->n + 1);
		const struct onx_view dst = { .v = now, .n = v->init->n, .rank = 1, .dim = v->init->dim,
					      .type = ONX_FLOAT, .width = 4 };
		int rc = now ? onx_weight_load(v->init, &dst, e) : onx_nomem(e, (double)v->init->n * 4, "weights");
		if (rc < 0)
			return rc;
		if (!a || a->n != v->init->n || memcmp(now, a->floats, a->n * sizeof *now) == 0)
			continue;
		if (!list && !(list = ONX_NEWS(mem, struct onx_file_attr, f->n_attr + 1)))
			return onx_nomem(e, (double)f->n_attr * sizeof *list, "attributes");
		for (size_t k = 0; k < f->n_attr && !*out; k++)
			list[k] = f->attr[k];
		*out = list;
		list[a - f->attr].floats = now;
	}
	return list != NULL;
}
