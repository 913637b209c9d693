/* rewrite/shapes.c -- declared shapes after a rewrite. */
#include "rewrite/head.h"
#include "graph/facts.h"

/* Takes over what inference says about a declared value, but leaves symbolic dims symbolic. */
static void redeclare(struct onx_value *v, const struct onx_fact *t)
{
	bool same = v->has_shape && v->rank == t->shape.rank && v->type == t->type;
	for (int i = 0; same && i < v->rank; i++)
		same = v->dim[i] < 0 || v->dim[i] == t->shape.dim[i];
	if (same)
		return;
	const bool keep = v->has_shape && v->rank == t->shape.rank;
	for (int i = 0; i < t->shape.rank; i++)
		if (!keep || v->dim[i] >= 0)
			v->dim[i] = t->shape.dim[i];
	v->rank = t->shape.rank;
	v->type = t->type;
	v->has_shape = v->changed = true;
}

int onx_redeclare(struct onx_graph *g, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_facts_want w = { 0 };
	struct onx_feed *feed = NULL;
	struct onx_facts *f = NULL;

	onx_consts_init(&consts, g);
	int rc = onx_bind_inputs(g, 1, 0, false, &mem, &feed, &w.n_feed, e);
	w.feed = feed;
	if (rc == ONX_OK)
		rc = onx_facts_make(g, &consts, &w, &f, e);
	for (uint32_t v = 0; rc == ONX_OK && v < g->n_value; v++) {
		struct onx_value *x = &g->value[v];
		if (x->def == ONX_NONE || x->from_node || !(x->proto || x->output) || f->fact[v].type == ONX_UNDEFINED)
			continue;
		redeclare(x, &f->fact[v]);
	}
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}
