/* graph/dump.c -- a graph as stable text. */
#include "graph/graph_i.h"

static void dump_shape(const struct onx_value *v, struct onx_buf *out)
{
	onx_buf_fmt(out, " %s", onx_dtype_name(v->type));
	if (!v->has_shape) {
		onx_buf_str(out, " [?]");
		return;
	}
	onx_buf_str(out, " [");
	for (int i = 0; i < v->rank; i++) {
		onx_buf_str(out, i ? "," : "");
		if (v->dim[i] >= 0)
			onx_buf_fmt(out, "%lld", (long long)v->dim[i]);
		else
			onx_buf_str(out, v->sym[i] ? v->sym[i] : "?");
	}
	onx_buf_str(out, "]");
}

static void dump_ids(const struct onx_graph *g, const uint32_t *id, uint32_t n, struct onx_buf *out)
{
	for (uint32_t i = 0; i < n; i++)
		onx_buf_fmt(out, "%s%s", i ? " " : "", id[i] == ONX_NONE ? "-" : g->value[id[i]].name);
}

void onx_graph_dump(const struct onx_graph *g, struct onx_buf *out)
{
	for (uint32_t i = 0; i < g->n_input; i++) {
		onx_buf_fmt(out, "input %s", g->value[g->input[i]].name);
		dump_shape(&g->value[g->input[i]], out);
		onx_buf_str(out, "\n");
	}
	for (uint32_t v = 0; v < g->n_value; v++)
		if (g->value[v].init) {
			onx_buf_fmt(out, "constant %s", g->value[v].name);
			dump_shape(&g->value[v], out);
			onx_buf_str(out, "\n");
		}
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		onx_buf_fmt(out, "node %s%s%s '%s': ", n->domain, *n->domain ? "." : "", n->type, n->name);
		dump_ids(g, n->in, n->n_in, out);
		onx_buf_str(out, " -> ");
		dump_ids(g, n->out, n->n_out, out);
		onx_buf_str(out, "\n");
	}
	for (uint32_t i = 0; i < g->n_output; i++) {
		onx_buf_fmt(out, "output %s", g->value[g->output[i]].name);
		dump_shape(&g->value[g->output[i]], out);
		onx_buf_str(out, "\n");
	}
}
