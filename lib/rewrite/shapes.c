/* rewrite/shapes.c -- declared shapes after a rewrite. */
#include "rewrite/head.h"
#include "graph/facts.h"
#include "graph/probe.h"

/* The first input whose batch is open says what it is called; NULL: none is, or it has no name. */
static const char *batch_name(const struct onx_graph *g, bool *open)
{
	*open = false;
	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];
		if (!v->has_shape || v->rank < 1 || v->dim[0] >= 0)
			continue;
		*open = true;
		if (v->sym[0])
			return v->sym[0];
	}
	return NULL;
}

/* Takes over what inference says about a declared value, but leaves symbolic dims symbolic, and makes those
 * that follow the batch (p, NULL where that is not known) symbolic. */
static void redeclare(struct onx_value *v, const struct onx_fact *t, const struct onx_probe *p,
		      const char *batch)
{
	bool same = v->has_shape && v->rank == t->shape.rank && v->type == t->type;
	for (int i = 0; same && i < v->rank; i++)
		same = v->dim[i] < 0 || v->dim[i] == t->shape.dim[i];
	if (same)
		return;
	const bool keep = v->has_shape && v->rank == t->shape.rank;
	for (int i = 0; i < t->shape.rank; i++) {
		const bool follows = p && p->known && p->rank == t->shape.rank && p->dim[i].times != 0;
		if (keep && v->dim[i] < 0)
			continue;
		v->dim[i] = follows ? -1 : t->shape.dim[i];
		v->sym[i] = follows && p->dim[i].times == 1 && p->dim[i].plus == 0 ? batch : NULL;
	}
	v->rank = t->shape.rank;
	v->type = t->type;
	v->has_shape = v->changed = true;
}

/* Values whose shapes were found for what control flow was guessed to do. */
static int behind_guesses(const struct onx_graph *g, const struct onx_facts *f, struct onx_arena *a, bool **out,
			  struct onx_err *e)
{
	bool *is = *out = ONX_NEWS(a, bool, g->n_value + 1);
	if (!is)
		return onx_nomem(e, g->n_value, "shapes");
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = f->guessed[g->order[i]];
		for (uint32_t k = 0; k < onx_node_reads(n) && !any; k++)
			any = onx_node_read(n, k) != ONX_NONE && is[onx_node_read(n, k)];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				is[n->out[k]] = true;
	}
	return ONX_OK;
}

int onx_redeclare(struct onx_graph *g, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_facts_want w = { .guess = true, .sizes = true };
	struct onx_feed *feed = NULL;
	struct onx_facts *f = NULL;
	struct onx_probe *probe = NULL;
	struct onx_err no = { 0 };
	bool open;
	const char *batch = batch_name(g, &open);

	/* a graph that does not run with every batch keeps the shapes that it has with a batch of one */
	if (open && onx_probe(g, 0, false, true, &mem, &probe, &no) < 0)
		probe = NULL;
	if (no.code == ONX_NOMEM) {
		onx_arena_release(&mem);
		*e = no;
		return ONX_NOMEM;
	}
	onx_consts_init(&consts, g);
	int rc = onx_bind_inputs(g, 1, 0, false, &mem, &feed, &w.n_feed, e);
	w.feed = feed;
	if (rc == ONX_OK)
		rc = onx_facts_make(g, &consts, &w, &f, e);
	bool *guessed = NULL;
	if (rc == ONX_OK)
		rc = behind_guesses(g, f, &mem, &guessed, e);
	for (uint32_t v = 0; rc == ONX_OK && v < g->n_value; v++) {
		struct onx_value *x = &g->value[v];
		if (x->def == ONX_NONE || x->from_node || !(x->proto || x->output) || f->fact[v].type == ONX_UNDEFINED)
			continue;
		if (guessed[v] && !x->output) {
			x->has_shape = false;           /* it may be another for other numbers */
			x->changed = true;
			continue;
		}
		redeclare(x, &f->fact[v], probe ? &probe[v] : NULL, batch);
	}
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}
