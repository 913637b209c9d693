/* plan/mode.c -- which nodes run in training mode. */
#include <string.h>
#include "plan/plan.h"

static bool has_trainable(const struct onx_node *n, const bool *weight)
{
	for (uint32_t k = 0; k < onx_node_reads(n); k++)
		if (onx_node_read(n, k) != ONX_NONE && weight[onx_node_read(n, k)])
			return true;
	return false;
}

static bool has_frozen_weight(const struct onx_graph *g, const struct onx_node *n, const bool *weight,
			      const bool *is)
{
	for (uint32_t k = 0; k < onx_node_reads(n); k++) {
		const uint32_t v = onx_node_read(n, k);
		if (v != ONX_NONE && is[v] && g->value[v].init && !weight[v])
			return true;
	}
	return false;
}

/* open[v]: v reaches what trains (or a target of the loss) through nodes without frozen weights. */
static int open_values(const struct onx_graph *g, const bool *weight, struct onx_arena *a, bool **out,
		       struct onx_err *e)
{
	bool *open = ONX_NEWS(a, bool, g->n_value + 1), *is = NULL;
	if (!open)
		return onx_nomem(e, g->n_value, "the plan");
	int rc = onx_graph_weights(g, a, &is, e);
	if (rc < 0)
		return rc;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool on = has_trainable(n, weight);
		for (uint32_t k = 0; k < n->n_out && !on; k++)
			on = n->out[k] != ONX_NONE && open[n->out[k]];
		if (!on || (has_frozen_weight(g, n, weight, is) && !has_trainable(n, weight)))
			continue;
		for (uint32_t k = 0; k < onx_node_reads(n); k++)
			if (onx_node_read(n, k) != ONX_NONE)
				open[onx_node_read(n, k)] = true;
	}
	*out = open;
	return ONX_OK;
}

static void mark_stats(const struct onx_node *n, bool *variable)
{
	for (uint32_t k = 0; k < n->n_in && k < 16; k++)
		if (n->in[k] != ONX_NONE && (n->op->stat >> k & 1))
			variable[n->in[k]] = true;
}

/* Does n run otherwise in training?  Where its bodies have a Dropout, say. */
static bool switches(const struct onx_node *n)
{
	if (n->op && (n->op->flags & ONX_OP_TRAIN))
		return true;
	for (uint32_t b = 0; b < n->n_body; b++)
		for (uint32_t i = 0; i < n->body[b].g->n_order; i++) {
			const struct onx_node *in = &n->body[b].g->node[n->body[b].g->order[i]];
			if (!(in->op && in->op->stat) && switches(in))
				return true;
		}
	return false;
}

int onx_plan_modes(const struct onx_graph *g, const bool *weight, enum onx_bn_mode bn, struct onx_arena *a,
		   struct onx_modes *out, struct onx_err *e)
{
	bool *open = NULL, *wants = NULL;
	out->train = ONX_NEWS(a, bool, g->n_node + 1);
	out->variable = ONX_NEWS(a, bool, g->n_value + 1);
	if (!out->train || !out->variable)
		return onx_nomem(e, g->n_value, "the plan");
	memcpy(out->variable, weight, g->n_value * sizeof *weight);
	int rc = open_values(g, weight, a, &open, e);
	if (rc == ONX_OK)
		rc = onx_plan_wants(g, weight, a, &wants, e);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (!n->op || !switches(n))
			continue;
		if (n->op->stat) {
			out->train[g->order[i]] = bn == ONX_BN_AUTO && has_trainable(n, weight);
			if (out->train[g->order[i]])
				mark_stats(n, out->variable);
			continue;
		}
		for (uint32_t k = 0; k < n->n_out; k++)
			if (n->out[k] != ONX_NONE && (open[n->out[k]] || wants[n->out[k]]))
				out->train[g->order[i]] = true;
	}
	return rc;
}
