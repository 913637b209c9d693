/* graph/check.c -- the invariants of a graph; run before and after every patch. */
#include "graph/graph_i.h"
#include <string.h>

static int check_node(const struct onx_graph *g, uint32_t id, const bool *made, struct onx_err *e)
{
	const struct onx_node *n = &g->node[id];
	char name[160];

	for (uint32_t i = 0; i < onx_node_reads(n); i++) {
		const uint32_t v = onx_node_read(n, i);
		if (v == ONX_NONE)
			continue;
		if (v >= g->n_value)
			return onx_fail(e, ONX_FORMAT, "%s reads value %u of %u",
					onx_node_text(g, id, name, sizeof name), (unsigned)v, (unsigned)g->n_value);
		const struct onx_value *x = &g->value[v];
		if (x->def != ONX_NONE && g->node[x->def].dropped)
			return onx_fail(e, ONX_FORMAT, "%s reads '%s', whose node is gone",
					onx_node_text(g, id, name, sizeof name), x->name);
		if (x->def == ONX_NONE && !x->input && !x->init)
			return onx_fail(e, ONX_FORMAT, "%s reads '%s', which nothing makes",
					onx_node_text(g, id, name, sizeof name), x->name);
		if (x->def != ONX_NONE && !made[v])
			return onx_fail(e, ONX_FORMAT, "%s reads '%s' before it is made",
					onx_node_text(g, id, name, sizeof name), x->name);
	}
	for (uint32_t i = 0; i < n->n_out; i++) {
		const uint32_t v = n->out[i];
		if (v == ONX_NONE)
			continue;
		if (v >= g->n_value)
			return onx_fail(e, ONX_FORMAT, "%s makes value %u of %u",
					onx_node_text(g, id, name, sizeof name), (unsigned)v, (unsigned)g->n_value);
		if (g->value[v].def != id || g->value[v].def_slot != i || made[v])
			return onx_fail(e, ONX_FORMAT, "'%s' is made twice, once by %s", g->value[v].name,
					onx_node_text(g, id, name, sizeof name));
	}
	return ONX_OK;
}

static int check_values(const struct onx_graph *g, struct onx_err *e)
{
	for (uint32_t v = 0; v < g->n_value; v++) {
		const struct onx_value *x = &g->value[v];
		if (x->def != ONX_NONE && x->def >= g->n_node)
			return onx_fail(e, ONX_FORMAT, "'%s' is made by node %u of %u", x->name, (unsigned)x->def,
					(unsigned)g->n_node);
		if (onx_names_get(&g->names, x->name) != v)
			return onx_fail(e, ONX_FORMAT, "two values are called '%s'", x->name);
		if (x->rank < 0 || x->rank > ONX_RANK)
			return onx_fail(e, ONX_FORMAT, "'%s' has rank %d", x->name, x->rank);
	}
	for (uint32_t i = 0; i < g->n_output; i++) {
		const struct onx_value *x = g->output[i] < g->n_value ? &g->value[g->output[i]] : NULL;
		if (!x || (x->def != ONX_NONE && g->node[x->def].dropped) ||
		    (x->def == ONX_NONE && !x->input && !x->init))
			return onx_fail(e, ONX_FORMAT, "nothing makes the output '%s'", x ? x->name : "?");
	}
	return ONX_OK;
}

int onx_graph_check(const struct onx_graph *g, struct onx_err *e)
{
	struct onx_arena scratch = { 0 };
	bool *made = ONX_NEWS(&scratch, bool, (size_t)g->n_value + 1);
	uint32_t live = 0;
	int rc = made ? check_values(g, e) : onx_nomem(e, g->n_value, "a check");

	for (uint32_t i = 0; i < g->n_node; i++)
		live += !g->node[i].dropped;
	if (rc == ONX_OK && live != g->n_order)
		rc = onx_fail(e, ONX_FORMAT, "the order has %u of %u nodes", (unsigned)g->n_order, (unsigned)live);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (id >= g->n_node || g->node[id].dropped)
			rc = onx_fail(e, ONX_FORMAT, "the order names node %u, which is gone", (unsigned)id);
		else
			rc = check_node(g, id, made, e);
		for (uint32_t k = 0; rc == ONX_OK && k < g->node[id].n_out; k++)
			if (g->node[id].out[k] != ONX_NONE)
				made[g->node[id].out[k]] = true;
	}
	onx_arena_release(&scratch);
	return rc;
}
