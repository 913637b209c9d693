/* graph/graph.c -- tables of values and nodes: growing, finding, naming. */
#include "graph/graph_i.h"
#include <stdio.h>
#include <string.h>

/* A table twice as long; the old one stays in the arena, so that borrowed pointers stay readable. */
static void *longer(struct onx_arena *a, const void *old, uint32_t n, uint32_t *cap, size_t size)
{
	const uint32_t room = *cap ? *cap * 2 : 64;
	void *v = room > *cap && room < ONX_NONE / 2 ? onx_alloc(a, room, size) : NULL;
	if (!v)
		return NULL;
	if (n)
		memcpy(v, old, n * size);
	*cap = room;
	return v;
}

int onx_graph_new_value(struct onx_graph *g, const char *name, uint32_t *id, struct onx_err *e)
{
	if (g->n_value == g->cap_value) {
		void *v = longer(&g->arena, g->value, g->n_value, &g->cap_value, sizeof *g->value);
		if (!v)
			return onx_nomem(e, 2.0 * g->n_value * sizeof *g->value, "values");
		g->value = v;
	}
	const char *copy = onx_dup(&g->arena, name);
	if (!copy || !onx_names_put(&g->names, copy, g->n_value))
		return onx_nomem(e, (double)strlen(name), "names");
	*id = g->n_value++;
	g->value[*id] = (struct onx_value){ .name = copy, .def = ONX_NONE };
	return ONX_OK;
}

int onx_graph_new_node(struct onx_graph *g, uint32_t n_in, uint32_t n_out, uint32_t *id, struct onx_err *e)
{
	if (g->n_node == g->cap_node) {
		void *v = longer(&g->arena, g->node, g->n_node, &g->cap_node, sizeof *g->node);
		if (!v)
			return onx_nomem(e, 2.0 * g->n_node * sizeof *g->node, "nodes");
		g->node = v;
	}
	struct onx_node n = { .n_in = n_in, .n_out = n_out };
	n.in = ONX_NEWS(&g->arena, uint32_t, (size_t)n_in + 1);
	n.out = ONX_NEWS(&g->arena, uint32_t, (size_t)n_out + 1);
	if (!n.in || !n.out)
		return onx_nomem(e, (double)(n_in + n_out) * sizeof *n.in, "nodes");
	*id = g->n_node++;
	g->node[*id] = n;
	return ONX_OK;
}

void onx_graph_free(struct onx_graph *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i < g->n_node; i++)
		for (uint32_t k = 0; k < g->node[i].n_body; k++)
			onx_graph_free(g->node[i].body[k].g);
	onx_names_release(&g->names);
	struct onx_arena a = g->arena;
	onx_arena_release(&a);
	onx_heap_free(g);
}

uint32_t onx_graph_find(const struct onx_graph *g, const char *value_name)
{
	return onx_names_get(&g->names, value_name);
}

uint32_t onx_graph_find_node(const struct onx_graph *g, const char *node_name)
{
	for (uint32_t i = 0; i < g->n_node; i++)
		if (!g->node[i].dropped && *node_name && strcmp(g->node[i].name, node_name) == 0)
			return i;
	return ONX_NONE;
}

const char *onx_node_text(const struct onx_graph *g, uint32_t node, char *buf, size_t n)
{
	const struct onx_node *x = &g->node[node];
	const char *out = "";

	for (uint32_t i = 0; i < x->n_out && !*out; i++)
		if (x->out[i] != ONX_NONE)
			out = g->value[x->out[i]].name;
	if (*x->name)
		snprintf(buf, n, "%s '%s'", x->type, x->name);
	else
		snprintf(buf, n, "%s #%u -> '%s'", x->type, (unsigned)node, out);
	return buf;
}

/* --- building blocks ---------------------------------------------------------------------------- */

/* The name, with a suffix where it is taken. */
static const char *free_name(struct onx_graph *g, const char *name)
{
	if (onx_names_get(&g->names, name) == ONX_NONE)
		return name;
	for (unsigned i = 1; i < ONX_NONE; i++) {
		const char *s = onx_text(&g->arena, "%s_%u", name, i);
		if (!s || onx_names_get(&g->names, s) == ONX_NONE)
			return s;
	}
	return NULL;
}

int onx_graph_add_value(struct onx_graph *g, const char *name, enum onx_dtype type, uint32_t *id,
			struct onx_err *e)
{
	const char *s = free_name(g, *name ? name : "value");
	int rc = s ? onx_graph_new_value(g, s, id, e) : onx_nomem(e, (double)strlen(name), "names");
	if (rc == ONX_OK)
		g->value[*id].type = type;
	return rc;
}

static int keep_weight(struct onx_graph *g, const struct onx_weight *w, struct onx_err *e)
{
	if ((g->n_new_init & (g->n_new_init - 1)) == 0) {       /* 0 or a power of two: full */
		const uint32_t room = g->n_new_init ? 2 * g->n_new_init : 1;
		const struct onx_weight **v = ONX_NEWS(&g->arena, const struct onx_weight *, room);
		if (!v)
			return onx_nomem(e, (double)room * sizeof *v, "weights");
		if (g->n_new_init)
			memcpy(v, g->new_init, g->n_new_init * sizeof *v);
		g->new_init = v;
	}
	g->new_init[g->n_new_init++] = w;
	return ONX_OK;
}

int onx_graph_add_weight(struct onx_graph *g, const char *name, enum onx_dtype type, int rank,
			 const int64_t *dim, const void *data, uint32_t *id, struct onx_err *e)
{
	size_t n;
	const struct onx_weight *w = NULL;
	int rc = onx_count(rank, dim, &n, e);
	if (rc == ONX_OK)
		rc = onx_graph_add_value(g, name, type, id, e);
	if (rc < 0)
		return rc;
	struct onx_value *v = &g->value[*id];
	/* A view never writes here: the numbers are copied into the model. */
	const struct onx_view src = { .v = (void *)(uintptr_t)data, .n = n, .rank = rank, .dim = dim,
				      .type = type, .width = (uint8_t)onx_dtype_store(type, false) };
	rc = onx_weight_new(g->model, v->name, type, &src, &w, e);
	if (rc < 0)
		return rc;
	v->init = w;
	v->has_shape = rank <= ONX_RANK;
	v->rank = rank;
	for (int i = 0; i < rank && i < ONX_RANK; i++)
		v->dim[i] = dim[i];
	return keep_weight(g, w, e);
}

/* The tensor of a Constant node; whatever form it had, it is `value` now. */
static int set_constant(struct onx_graph *g, struct onx_node *n, const struct onx_weight *w, struct onx_err *e)
{
	struct onx_file_attr *a = ONX_NEW(&g->arena, struct onx_file_attr);
	if (!a)
		return onx_nomem(e, sizeof *a, "a constant");
	*a = (struct onx_file_attr){ .name = "value", .type = ONX_ATTR_TENSOR, .tensor = w };
	n->new_attr = a;
	n->n_new_attr = 1;
	n->changed = true;
	return n->op ? onx_attr_fill(n->op, a, 1, &g->arena, &n->attr, e) : ONX_OK;
}

int onx_graph_set_weight(struct onx_graph *g, uint32_t id, enum onx_dtype type, const void *data,
			 struct onx_err *e)
{
	struct onx_value *v = &g->value[id];
	const struct onx_weight *w = NULL, *old = v->init;
	const struct onx_view src = { .v = (void *)(uintptr_t)data, .n = old->n, .rank = old->rank,
				      .dim = old->dim, .type = type,
				      .width = (uint8_t)onx_dtype_store(type, false) };
	int rc = onx_weight_new(g->model, v->from_node ? old->name : v->name, type, &src, &w, e);
	if (rc < 0)
		return rc;
	if (!v->lifted)         /* it has a place in an attribute, and none among the initializers */
		rc = v->from_node ? set_constant(g, &g->node[v->def], w, e) : keep_weight(g, w, e);
	if (rc < 0)
		return rc;
	v->init = w;
	v->type = type;
	v->changed = v->proto != NULL;
	return ONX_OK;
}

int onx_graph_add_node(struct onx_graph *g, const char *domain, const char *type, const char *name,
		       const uint32_t *in, uint32_t n_in, const uint32_t *out, uint32_t n_out,
		       const struct onx_file_attr *attr, size_t n_attr, uint32_t *id, struct onx_err *e)
{
	int64_t version = *domain && strcmp(domain, "onnx_adapt") == 0 ? 1 : onx_model_opset(g->model, domain);
	const struct onx_op *op = NULL;
	const void *filled = NULL;
	struct onx_file_attr *copy = onx_attr_copy(&g->arena, attr, n_attr);
	int rc = copy ? onx_op_find(domain, type, (int)version, &op, e) : onx_nomem(e, 256, "attributes");
	if (rc == ONX_OK)
		rc = onx_attr_fill(op, copy, n_attr, &g->arena, &filled, e);
	if (rc == ONX_OK)
		rc = onx_graph_new_node(g, n_in, n_out, id, e);
	if (rc < 0)
		return onx_while(e, rc, "adding %s '%s'", type, name);
	struct onx_node *n = &g->node[*id];
	n->name = onx_dup(&g->arena, name);
	n->type = onx_dup(&g->arena, type);
	n->domain = onx_dup(&g->arena, domain);
	if (!n->name || !n->type || !n->domain)
		return onx_nomem(e, 256, "a node");
	n->new_attr = copy;
	n->n_new_attr = n_attr;
	n->op = op;
	n->version = (int)version;
	n->attr = filled;
	for (uint32_t i = 0; i < n_in; i++)
		n->in[i] = in[i];
	for (uint32_t i = 0; i < n_out; i++) {
		n->out[i] = out[i];
		if (out[i] != ONX_NONE) {
			g->value[out[i]].def = *id;
			g->value[out[i]].def_slot = i;
		}
	}
	return ONX_OK;
}

/* --- uses ----------------------------------------------------------------------------------------- */

/* Calls for each value that the node reads, each once per node: marks by `last`. */
static void count_uses(const struct onx_graph *g, uint32_t node, uint32_t *last, uint32_t *count, uint32_t *use)
{
	const struct onx_node *n = &g->node[node];
	for (uint32_t i = 0; i < onx_node_reads(n); i++) {
		const uint32_t v = onx_node_read(n, i);
		if (v == ONX_NONE || last[v] == node)
			continue;
		last[v] = node;
		if (use)
			use[count[v]] = node;
		count[v]++;
	}
}

int onx_graph_uses(const struct onx_graph *g, struct onx_arena *a, struct onx_uses *out, struct onx_err *e)
{
	uint32_t *count = ONX_NEWS(a, uint32_t, (size_t)g->n_value + 1);
	uint32_t *last = ONX_NEWS(a, uint32_t, (size_t)g->n_value + 1);
	out->first = ONX_NEWS(a, uint32_t, (size_t)g->n_value + 1);
	if (!count || !last || !out->first)
		return onx_nomem(e, (double)g->n_value * sizeof *count, "uses");
	memset(last, 0xff, ((size_t)g->n_value + 1) * sizeof *last);
	for (uint32_t i = 0; i < g->n_order; i++)
		count_uses(g, g->order[i], last, count, NULL);
	for (uint32_t v = 0; v < g->n_value; v++) {
		out->first[v + 1] = out->first[v] + count[v];
		count[v] = out->first[v];
	}
	out->use = ONX_NEWS(a, uint32_t, (size_t)out->first[g->n_value] + 1);
	if (!out->use)
		return onx_nomem(e, (double)out->first[g->n_value] * sizeof *out->use, "uses");
	memset(last, 0xff, ((size_t)g->n_value + 1) * sizeof *last);
	for (uint32_t i = 0; i < g->n_order; i++)
		count_uses(g, g->order[i], last, count, out->use);
	return ONX_OK;
}
