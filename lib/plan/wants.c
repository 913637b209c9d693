/* plan/wants.c -- which gradients are wanted, and what stands in their way. */
#include <string.h>
#include "plan/plan.h"

int onx_plan_wants(const struct onx_graph *g, const bool *weight, struct onx_arena *a, bool **out,
		   struct onx_err *e)
{
	bool *wants = ONX_NEWS(a, bool, g->n_value + 1);
	if (!wants)
		return onx_nomem(e, g->n_value, "the plan");
	memcpy(wants, weight, g->n_value * sizeof *wants);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; n->op && k < n->n_in && !any; k++)
			any = n->in[k] != ONX_NONE && wants[n->in[k]] &&
			      onx_op_grad(n->op, (int)k) == ONX_G_DIFF;
		for (uint32_t k = 0; k < n->n_captured && !any; k++)
			any = wants[n->captured[k]];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				wants[n->out[k]] = true;
	}
	*out = wants;
	return ONX_OK;
}

/* A condition or a number of turns chooses what is computed; nobody expects a gradient through it. */
static bool chooses(const struct onx_node *n, uint32_t k)
{
	return n->op && n->n_body && !(n->op->flags & ONX_OP_SECOND) && k < n->n_in &&
	       onx_op_grad(n->op, (int)k) == ONX_G_NEVER;
}

static bool upstream(const struct onx_graph *g, const uint32_t *target, uint32_t n_target, bool *need)
{
	for (uint32_t i = 0; i < n_target; i++)
		need[target[i]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < n->n_out && !any; k++)
			any = n->out[k] != ONX_NONE && need[n->out[k]];
		for (uint32_t k = 0; any && k < onx_node_reads(n); k++)
			if (onx_node_read(n, k) != ONX_NONE && !chooses(n, k))
				need[onx_node_read(n, k)] = true;
	}
	return true;
}

/* Values that have a gradient from a target, by whatever way. */
static void reached(const struct onx_graph *g, const uint32_t *target, uint32_t n_target, bool *got)
{
	for (uint32_t i = 0; i < n_target; i++)
		got[target[i]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		const bool whole = n->op && (n->op->flags & (ONX_OP_BODY | ONX_OP_SEQUENCE));
		bool any = false;
		for (uint32_t k = 0; k < n->n_out && !any; k++)
			any = n->out[k] != ONX_NONE && got[n->out[k]];
		for (uint32_t k = 0; n->op && any && k < onx_node_reads(n); k++)
			if (onx_node_read(n, k) != ONX_NONE && !chooses(n, k) &&
			    (whole || (k < n->n_in && onx_op_grad(n->op, (int)k) == ONX_G_DIFF)))
				got[onx_node_read(n, k)] = true;
	}
}

/* t: values that depend on a weight.  idle: it passes none on, and nobody misses it: all that it reads has a gradient
 * from elsewhere, as where the Shape of a tensor is taken. */
static const char *why_not(const struct onx_node *n, const bool *t, const bool *got, bool *idle, const char **way_out)
{
	bool alone = false;
	*idle = false;
	if (!n->op) {
		*way_out = "freeze everything up to this node's output: onnx-freeze --up-to";
		return "the operator is not supported";
	}
	if (n->op->flags & ONX_OP_SECOND) {
		*way_out = "take the loss from outputs that do not pass through it, or freeze what is in front of it";
		return "gradients of gradients (second order) are not computed";
	}
	if (n->op->flags & (ONX_OP_BODY | ONX_OP_SEQUENCE))
		return NULL;                            /* written out: its nodes have gradients (unroll.c) */
	for (uint32_t k = 0; k < n->n_in; k++) {
		if (n->in[k] == ONX_NONE || !t[n->in[k]])
			continue;
		if (onx_op_grad(n->op, (int)k) == ONX_G_DIFF && !n->op->backward) {
			*way_out = "freeze everything up to this node's output: onnx-freeze --up-to";
			return "the operator has no backward here";
		}
		if (onx_op_grad(n->op, (int)k) == ONX_G_DIFF)
			return NULL;
		alone |= !got[n->in[k]];
	}
	*idle = !alone;
	if (*idle)
		return NULL;
	*way_out = "weights in front of it cannot learn from what is behind it; freeze them, or replace "
		   "the node (onnx-head --swap)";
	return "its gradient is zero or does not exist";
}

int onx_plan_blocks(const struct onx_graph *g, const bool *weight, const uint32_t *target, uint32_t n_target,
		    struct onx_arena *a, struct onx_block **v, uint32_t *n, struct onx_err *e)
{
	bool *t = ONX_NEWS(a, bool, g->n_value + 1), *need = ONX_NEWS(a, bool, g->n_value + 1);
	bool *got = ONX_NEWS(a, bool, g->n_value + 1);
	*v = ONX_NEWS(a, struct onx_block, g->n_order + 1);
	*n = 0;
	if (!t || !need || !got || !*v)
		return onx_nomem(e, g->n_value, "the pre-flight");
	memcpy(t, weight, g->n_value * sizeof *t);
	upstream(g, target, n_target, need);
	reached(g, target, n_target, got);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *x = &g->node[g->order[i]];
		const char *way = NULL, *why;
		bool on_path = false, made = false, idle;
		for (uint32_t k = 0; k < onx_node_reads(x); k++)
			on_path |= onx_node_read(x, k) != ONX_NONE && t[onx_node_read(x, k)];
		for (uint32_t k = 0; k < x->n_out; k++)
			made |= x->out[k] != ONX_NONE && need[x->out[k]];
		if (!on_path || !made)
			continue;
		if ((why = why_not(x, t, got, &idle, &way)) != NULL)
			(*v)[(*n)++] = (struct onx_block){ g->order[i], why, way };
		for (uint32_t k = 0; !idle && k < x->n_out; k++)
			if (x->out[k] != ONX_NONE)
				t[x->out[k]] = true;
	}
	return ONX_OK;
}
