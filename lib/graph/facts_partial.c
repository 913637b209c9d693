/* graph/facts_partial.c -- facts as far as they go: what works on numbers that are not known is left out, with all that
 * is behind it. */
#include "graph/facts_i.h"
#include "tensor/seq.h"

bool onx_facts_behind(const struct onx_facts_work *w, uint32_t id)
{
	const struct onx_node *n = &w->g->node[id];
	bool any = false;
	for (uint32_t k = 0; k < onx_node_reads(n); k++) {
		const uint32_t v = onx_node_read(n, k);
		any |= v != ONX_NONE && !w->fed[v] && !w->g->value[v].init && w->g->value[v].def != ONX_NONE &&
		       w->f->fact[v].type == ONX_UNDEFINED;
	}
	return any;
}

/* Would the node's rule get further if it knew the numbers that it reads?  Zeros are numbers, too. */
static int matter_of_numbers(struct onx_facts_work *w, const struct onx_node *n, bool *is, struct onx_err *e)
{
	struct onx_infer s = { .version = n->version, .n_in = (int)n->n_in, .mem = &w->f->arena,
			       .n_out = n->op->max_out < ONX_MANY && n->op->max_out > (int)n->n_out ? n->op->max_out
					: (int)n->n_out };
	struct onx_err why = { 0 };
	*is = onx_facts_inputs(w, n, &s, &why) == ONX_OK;
	s.out = ONX_NEWS(s.mem, struct onx_fact, (size_t)s.n_out + 1);
	s.out_wanted = ONX_NEWS(s.mem, bool, (size_t)s.n_out + 1);
	if (!s.out || !s.out_wanted)
		return onx_nomem(e, sizeof *s.out, "facts");
	for (uint32_t i = 0; i < n->n_out; i++)
		s.out_wanted[i] = n->out[i] != ONX_NONE;
	struct onx_fact *in = (struct onx_fact *)(uintptr_t)s.in;
	for (uint32_t i = 0; *is && i < n->n_in; i++) {
		if (in[i].type == ONX_UNDEFINED || in[i].value || onx_holds_views(in[i].type))
			continue;
		struct onx_view *v = onx_tensor_new(s.mem, in[i].type, in[i].shape.rank, in[i].shape.dim,
						    onx_dtype_store(in[i].type, w->want->wide));
		if (!v)
			return onx_nomem(e, 64, "numbers that are not known");
		for (size_t k = 0; v->type == ONX_STRING && k < v->n; k++)
			((const char **)v->v)[k] = "";
		in[i].value = v;
	}
	*is = *is && n->op->infer(&s, n->attr, &why) != ONX_UNSUP;
	return ONX_OK;
}

/* Bodies and sequences may stand still for other reasons, which are theirs to say (graph/decide.c). */
static void leave_out(struct onx_facts_work *w, uint32_t id, bool numbers, const struct onx_err *e)
{
	const struct onx_node *n = &w->g->node[id];
	if (!numbers && !w->f->other.code)
		w->f->other = *e;
	w->f->infer[id] = NULL;
	w->f->run[id] = false;
	w->f->asked[id] = numbers;
	w->f->any_asked |= numbers;
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE && !w->fed[n->out[k]])
			w->f->fact[n->out[k]] = (struct onx_fact){ 0 };
}

int onx_facts_leave(struct onx_facts_work *w, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &w->g->node[id];
	/* by batch (graph/ask.c) it is settled already */
	bool numbers = n->n_body || (n->op->flags & (ONX_OP_SEQUENCE | ONX_OP_RULE)) || w->f->infer[id] ||
		       !w->want->guess;
	char name[160];
	struct onx_err why = *e;
	int rc = onx_while(&why, ONX_UNSUP, "inferring %s", onx_node_text(w->g, id, name, sizeof name));
	*e = (struct onx_err){ 0 };
	rc = numbers ? ONX_OK : matter_of_numbers(w, n, &numbers, e);
	leave_out(w, id, numbers, &why);
	return rc;
}
