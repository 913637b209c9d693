/* graph/front.c -- the part of a graph that a plan can take where it cannot take all of it (facts.h): sequences, shapes
 * and control flow that depend on the numbers are left to the interpreter, with what is behind them. */
#include "graph/facts.h"
#include "tensor/seq.h"

/* A tensor that runs, in front of what was left out. */
static bool planned(const struct onx_facts *f, uint32_t v)
{
	const struct onx_value *x = &f->g->value[v];
	const enum onx_dtype t = f->fact[v].type;
	return x->def != ONX_NONE && !x->init && f->run[x->def] && t != ONX_STRING && t != ONX_UNDEFINED &&
	       !onx_holds_views(t) && !f->fact[v].value;
}

static void add(const struct onx_facts *f, uint32_t v, bool *is, uint32_t *front, uint32_t *n)
{
	if (v == ONX_NONE || is[v] || !planned(f, v))
		return;
	is[v] = true;
	front[(*n)++] = v;
}

int onx_front(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, struct onx_arena *a,
	      uint32_t **front, uint32_t *n, struct onx_err *e)
{
	struct onx_facts_want want = *w;
	struct onx_facts *f = NULL;
	bool *is = ONX_NEWS(a, bool, g->n_value + 1);
	*front = ONX_NEWS(a, uint32_t, g->n_value + 1);
	*n = 0;
	want.partial = true;
	int rc = is && *front ? onx_facts_make(g, c, &want, &f, e) : onx_nomem(e, 5.0 * g->n_value, "facts");
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *x = &g->node[g->order[i]];
		for (uint32_t k = 0; !f->infer[g->order[i]] && k < onx_node_reads(x); k++)
			add(f, onx_node_read(x, k), is, *front, n);
	}
	for (uint32_t i = 0; i < f->n_target; i++)
		add(f, f->target[i], is, *front, n);
	onx_facts_free(f);
	return ONX_OK;
}
