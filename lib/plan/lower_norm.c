/* plan/lower_norm.c -- trained normalizations that go into the convolution behind them (op/conv_norm.c).
 *
 *     BatchNormalization [activation] -> Conv, pointwise or depthwise          one step NormConvLast
 *
 * where the Conv alone reads the result and has nothing fused in behind it: the normalised tensor, which a step forward
 * and one backward would store and read again, never exists.  Where such a convolution stands in front of it, too, that
 * one makes the statistics of what it writes. */
#include "plan/lower.h"

static bool trained_norm(const struct onx_lower *l, const struct onx_chain *c)
{
	return onx_lower_is(&l->from->node[c->head], "BatchNormalization") && l->f->infer[c->head]->train &&
	       c->add == ONX_NONE;
}

static bool bare_conv(const struct onx_lower *l, const struct onx_chain *c)
{
	const struct onx_node *n = &l->from->node[c->head];

	return onx_lower_is(n, "Conv") && c->end == c->head && !c->before && c->scale == ONX_NONE &&
	       (onx_lower_pointwise(l, n) || onx_lower_depthwise(l, c));
}

void onx_lower_norms(struct onx_lower *l)
{
	const struct onx_graph *g = l->from;

	for (uint32_t i = 0; i < g->n_order; i++) {
		struct onx_chain *c = l->inner[g->order[i]] ? NULL : l->chain[g->order[i]], *p;

		if (!c || !bare_conv(l, c) || !(p = onx_lower_maker(l, g->node[c->head].in[0])) ||
		    !trained_norm(l, p) || onx_lower_reader(l, g->node[p->end].out[0]) != c->head)
			continue;
		c->norm = p;
		l->inner[p->end] = true;
		p->from = onx_lower_maker(l, g->node[p->head].in[0]);
		if (p->from && bare_conv(l, p->from))
			p->from->moments = true;
		else
			p->from = NULL;
	}
}
