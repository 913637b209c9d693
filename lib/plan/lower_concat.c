/* plan/lower_concat.c -- convolutions that write where their results are joined (op/branches.c).
 *
 *     [Conv] [Conv] [anything] -> Concat over the channels
 *
 * with fixed weights, in plans that only go forward, where the Concat alone reads what they make: each stores its
 * channels where the joined tensor has them, which nobody then need copy.  What else is joined is copied, as ever. */
#include "plan/lower.h"
#include "kernel/last.h"
#include "op/branches.h"
#include "op/stages.h"

static bool once(const struct onx_node *n, uint32_t v)
{
	uint32_t times = 0;

	for (uint32_t k = 0; k < n->n_in; k++)
		times += n->in[k] == v;
	return times == 1;
}

static bool writes(const struct onx_lower *l, uint32_t id, uint32_t v)
{
	const struct onx_chain *c = onx_lower_maker(l, v);

	if (!c || c->before || c->z != ONX_NONE || c->scale != ONX_NONE || !onx_lower_fixed(l, c) ||
	    onx_lower_reader(l, v) != id || !once(&l->from->node[id], v))
		return false;
	const struct onx_node *n = &l->from->node[c->head];
	const struct onx_file_attr *group = onx_lower_find(n, "group");
	const struct onx_shape *w = &l->f->fact[n->in[1]].shape;
	const struct onx_conv_geo g = { .groups = 1, .m = (size_t)w->dim[0], .c = (size_t)w->dim[1],
					.w.kern_n = (size_t)(w->dim[2] * w->dim[3]) };

	return (!group || group->i == 1) && w->rank == 4 && onx_last_way_dense.fits(&g);
}

static bool joins(const struct onx_lower *l, const struct onx_node *n)
{
	const struct onx_file_attr *a = onx_lower_find(n, "axis");

	return onx_lower_is(n, "Concat") && n->version >= 4 && a && (a->i == 1 || a->i == -3) && n->n_in > 1 &&
	       n->n_in <= ONX_BRANCHES && l->f->fact[n->out[0]].shape.rank == 4;
}

void onx_lower_concats(struct onx_lower *l)
{
	const struct onx_graph *g = l->from;

	if (l->want->loss != ONX_NONE)
		return;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];

		if (!l->f->run[id] || l->inner[id] || l->chain[id] || !joins(l, n))
			continue;
		for (uint32_t k = 0; k < n->n_in; k++)
			if (writes(l, id, n->in[k]))
				l->concat[id] = l->inner[g->value[n->in[k]].def] = true;
	}
}

/* A branch is known by its chain, which is inner now. */
static const struct onx_chain *branch(const struct onx_lower *l, uint32_t v)
{
	const uint32_t id = l->from->value[v].def;

	return id != ONX_NONE && l->f->run[id] && l->inner[id] && l->chain[id] && l->chain[id]->end == id ? l->chain[id]
													  : NULL;
}

int onx_lower_concat(struct onx_lower *l, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[id];
	uint32_t in[ONX_BRANCHES * ONX_BRANCH_INPUTS], out;
	struct onx_lower_stages s;
	int rc = onx_lower_stages(l, n->n_in, &s, e);

	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++) {
		const struct onx_chain *c = branch(l, n->in[k]);
		uint32_t *const x = in + k * ONX_BRANCH_INPUTS;

		x[1] = x[2] = ONX_NONE;
		rc = onx_lower_last(l, id, c ? l->from->node[c->head].in[0] : n->in[k], &x[0], e);
		if (rc < 0 || !c)
			continue;
		rc = onx_lower_coefficients(l, c, &x[1], &x[2], e);
		onx_lower_stage(l, c, k, &s);
	}
	if (rc == ONX_OK)
		rc = onx_lower_made_last(l, n->out[0], &out, e);
	if (rc < 0)
		return rc;
	return onx_lower_stages_node(l, "ConcatConvLast", id, in, n->n_in * ONX_BRANCH_INPUTS, out, &s, e);
}
