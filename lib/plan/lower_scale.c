/* plan/lower_scale.c -- scales of channels that a pointwise convolution takes in (op/conv_scaled.c).
 *
 *     Mul(x [n][c][y][x], s [n][c][1][1]) -> Conv 1x1            squeeze and excitation, as exporters write it
 *
 * in plans that only go forward, where the Conv alone reads the product: its tensor, as large as x, never exists. */
#include "plan/lower.h"

/* Every number of the attribute, if it is there. */
static bool all(const struct onx_node *n, const char *name, int64_t one)
{
	const struct onx_file_attr *a = onx_lower_find(n, name);

	for (size_t i = 0; a && i < a->n; i++)
		if (a->ints[i] != one)
			return false;
	return true;
}

/* SAME pads a window of one number nowhere, as VALID does. */
bool onx_lower_pointwise(const struct onx_lower *l, const struct onx_node *n)
{
	const struct onx_file_attr *group = onx_lower_find(n, "group");
	const struct onx_shape *w = &l->f->fact[n->in[1]].shape;

	return onx_lower_is(n, "Conv") && w->rank == 4 && w->dim[2] == 1 && w->dim[3] == 1 &&
	       (!group || group->i == 1) && all(n, "strides", 1) && all(n, "pads", 0);
}

/* s scales the channels of x. */
static bool scales(const struct onx_lower *l, uint32_t x, uint32_t s)
{
	const struct onx_shape *a = &l->f->fact[x].shape, *b = &l->f->fact[s].shape;

	return a->rank == 4 && b->rank == 4 && a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1] && b->dim[2] == 1 &&
	       b->dim[3] == 1 && a->dim[2] * a->dim[3] > 1 && l->f->fact[x].type == l->f->fact[s].type;
}

static void take(struct onx_lower *l, struct onx_chain *c)
{
	const uint32_t v = l->from->node[c->head].in[0], id = l->from->value[v].def;

	if (id == ONX_NONE || !l->f->run[id] || l->inner[id] || l->chain[id] || l->swap[id] ||
	    !onx_lower_is(&l->from->node[id], "Mul") || onx_lower_reader(l, v) != c->head)
		return;
	const uint32_t *in = l->from->node[id].in;

	for (int k = 0; k < 2; k++)
		if (scales(l, in[k], in[1 - k])) {
			c->x = in[k];
			c->scale = in[1 - k];
			l->inner[id] = true;
			return;
		}
}

void onx_lower_scales(struct onx_lower *l)
{
	const struct onx_graph *g = l->from;

	if (l->want->loss != ONX_NONE)
		return;
	for (uint32_t i = 0; i < g->n_order; i++) {
		struct onx_chain *c = l->inner[g->order[i]] ? NULL : l->chain[g->order[i]];

		if (c && !c->before && onx_lower_pointwise(l, &g->node[c->head]))
			take(l, c);
	}
}
