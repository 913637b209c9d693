/* graph/decide.c -- see decide.h. */
#include "graph/decide.h"
#include <string.h>
#include "graph/control.h"
#include "tensor/seq.h"

static int no_memory(double bytes, struct onx_err *e)
{
	return onx_nomem(e, bytes, "what is decided");
}

/* ---- what there is ---- */

/* Does the body of a Loop hand its condition on as it is? */
static bool passes_on(const struct onx_graph *b)
{
	uint32_t v = b->output[0];
	while (b->value[v].def != ONX_NONE && strcmp(b->node[b->value[v].def].type, "Identity") == 0)
		v = b->node[b->value[v].def].in[0];
	return b->n_input > 1 && v == b->input[1];
}

static bool is_plain(const struct onx_node *n)
{
	for (uint32_t k = 0; k < n->n_body; k++)
		if (onx_graph_has_bodies(n->body[k].g))
			return false;
	if (strcmp(n->type, "If") == 0)
		return true;
	return strcmp(n->type, "Loop") == 0 && n->n_in > 0 && n->in[0] != ONX_NONE && n->body[0].g->n_output > 0 &&
	       passes_on(n->body[0].g);
}

/* behind[v]: a node that decides by numbers is in front of v. */
static void find_nodes(const struct onx_graph *g, const struct onx_facts *f, bool *behind, struct onx_open *o)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		bool any = f->guessed[id];
		for (uint32_t k = 0; k < onx_node_reads(n) && !any; k++)
			any = onx_node_read(n, k) != ONX_NONE && behind[onx_node_read(n, k)];
		if (!any || !f->infer[id])
			continue;
		for (uint32_t k = 0; k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				behind[n->out[k]] = true;
		if (!n->n_body)
			continue;
		o->plain[o->n] = is_plain(n);
		o->node[o->n++] = id;
	}
}

/* What the nodes decide by: the inputs of plain ones, one output of the others, which have to run. */
static void find_targets(const struct onx_graph *g, struct onx_open *o)
{
	for (uint32_t i = 0; i < o->n; i++) {
		const struct onx_node *n = &g->node[o->node[i]];
		for (uint32_t k = 0; o->plain[i] && k < n->n_in && k < 2; k++)
			if (n->in[k] != ONX_NONE)
				o->target[o->n_target++] = n->in[k];
		for (uint32_t k = 0; !o->plain[i] && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE) {
				o->target[o->n_target++] = n->out[k];
				break;
			}
	}
}

/* behind: also what no plan holds, sequences. */
static void find_front(const struct onx_graph *g, const struct onx_facts_want *w, const bool *behind, bool *need,
		       struct onx_open *o)
{
	for (uint32_t i = 0; i < w->n_feed; i++)
		need[w->feed[i].value] = true;          /* fed: nothing to compute */
	bool *fed = need + g->n_value;
	memcpy(fed, need, g->n_value * sizeof *need);
	memset(need, 0, g->n_value * sizeof *need);
	for (uint32_t i = 0; i < o->n_target; i++)
		need[o->target[i]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < n->n_out && !any; k++)
			any = n->out[k] != ONX_NONE && need[n->out[k]] && behind[n->out[k]];
		for (uint32_t k = 0; any && k < onx_node_reads(n); k++)
			if (onx_node_read(n, k) != ONX_NONE)
				need[onx_node_read(n, k)] = true;
	}
	for (uint32_t v = 0; v < g->n_value; v++)
		if (need[v] && !behind[v] && !fed[v] && g->value[v].def != ONX_NONE && !g->value[v].init)
			o->front[o->n_front++] = v;
}

/* Could a node want numbers that are computed?  Then it has an input that no gradient goes to. */
static bool may_ask(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		for (uint32_t k = 0; n->op && k < n->n_in; k++)
			if (n->in[k] != ONX_NONE && !g->value[n->in[k]].init &&
			    ((n->op->flags & ONX_OP_RULE) || onx_op_grad(n->op, (int)k) != ONX_G_DIFF))
				return true;
	}
	return false;
}

/* Which tensor of a sequence is meant decides where gradients go: no batch is asked for that. */
static bool asks_of_sequences(const struct onx_graph *g, const struct onx_facts *f)
{
	bool any = false;
	for (uint32_t i = 0; i < g->n_node; i++)
		any |= f->asked[i] && g->node[i].op && (g->node[i].op->flags & ONX_OP_SEQUENCE);
	return any;
}

int onx_open_find(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, struct onx_arena *a,
		  struct onx_open *o, struct onx_err *e)
{
	struct onx_facts_want guess = *w;
	struct onx_facts *f = NULL;
	*o = (struct onx_open){ 0 };
	if (!onx_graph_has_bodies(g) && !may_ask(g))
		return ONX_OK;
	guess.guess = true;
	guess.partial = true;
	int rc = onx_facts_make(g, c, &guess, &f, e);
	if (rc == ONX_OK && asks_of_sequences(g, f)) {
		onx_facts_free(f);
		f = NULL;
		guess.partial = false;
		rc = onx_facts_make(g, c, &guess, &f, e);       /* its fault */
	}
	if (rc == ONX_OK && f->other.code) {
		*e = f->other;
		rc = f->other.code;
		onx_facts_free(f);
	}
	if (rc < 0)
		return rc;
	bool *behind = ONX_NEWS(a, bool, g->n_value + 1), *need = ONX_NEWS(a, bool, 2 * (size_t)g->n_value + 1);
	o->node = ONX_NEWS(a, uint32_t, g->n_node + 1);
	o->asker = ONX_NEWS(a, uint32_t, g->n_node + 1);
	o->plain = ONX_NEWS(a, bool, g->n_node + 1);
	o->target = ONX_NEWS(a, uint32_t, 2 * (size_t)g->n_node + 1);
	o->front = ONX_NEWS(a, uint32_t, g->n_value + 1);
	if (!behind || !need || !o->node || !o->asker || !o->plain || !o->target || !o->front) {
		rc = no_memory(16.0 * g->n_value, e);
	} else if (f->any_asked) {
		o->asks = true;
		for (uint32_t i = 0; i < g->n_order; i++)
			if (f->asked[g->order[i]])
				o->asker[o->n_asker++] = g->order[i];
		if (f->any_guess) {
			find_nodes(g, f, behind, o);
			find_targets(g, o);
		}
		rc = onx_front(g, c, w, a, &o->front, &o->n_front, e);
	} else if (f->any_guess) {
		find_nodes(g, f, behind, o);
		find_targets(g, o);
		for (uint32_t v = 0; v < g->n_value; v++)
			behind[v] |= onx_holds_views(f->fact[v].type);
		find_front(g, w, behind, need, o);
	}
	onx_facts_free(f);
	o->any = o->n > 0 || o->asks;
	return rc;
}

/* ---- what is decided ---- */

static int64_t number(const struct onx_facts *f, const struct onx_node *n, uint32_t k, int64_t absent,
		      struct onx_err *e, int *rc)
{
	const uint32_t v = k < n->n_in ? n->in[k] : ONX_NONE;
	const struct onx_view *x = v == ONX_NONE ? NULL : f->fact[v].value;
	if (v == ONX_NONE)
		return absent;
	if (!x || x->n != 1 || (x->type != ONX_BOOL && x->type != ONX_INT64)) {
		*rc = onx_fail(e, ONX_SHAPE, "what decides in '%s' is %s of %zu elements, wanted one number", n->name,
			       onx_dtype_name(f->fact[v].type), x ? x->n : 0);
		return 0;
	}
	return onx_view_int(x, 0);
}

/* A plain node by its inputs. */
static int by_inputs(const struct onx_facts *f, const struct onx_node *n, struct onx_decision *d, struct onx_err *e)
{
	int rc = ONX_OK;
	if (strcmp(n->type, "If") == 0) {
		d->body = number(f, n, 0, 0, e, &rc) ? 0 : 1;
		d->turns = 1;
		return rc;
	}
	const int64_t most = number(f, n, 0, 0, e, &rc), go = rc < 0 ? 0 : number(f, n, 1, 1, e, &rc);
	d->turns = rc == ONX_OK && go && most > 0 ? (size_t)most : 0;
	return rc;
}

int onx_decide(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w,
	       const struct onx_open *o, struct onx_arena *a, const struct onx_decision ***told, struct onx_err *e)
{
	struct onx_decisions record = { a, ONX_NEWS(a, const struct onx_decision *, g->n_node + 1) };
	const struct onx_decision **all = ONX_NEWS(a, const struct onx_decision *, g->n_node + 1);
	struct onx_facts_want want = *w;
	struct onx_facts *f = NULL;
	if (!record.by_node || !all)
		return no_memory(16.0 * g->n_node, e);
	want.target = o->target;
	want.n_target = o->n_target;
	want.evaluate = true;
	want.record = &record;
	int rc = onx_facts_make(g, c, &want, &f, e);
	for (uint32_t i = 0; rc == ONX_OK && i < o->n; i++) {
		const uint32_t id = o->node[i];
		struct onx_decision *d = ONX_NEW(a, struct onx_decision);
		all[id] = o->plain[i] ? d : record.by_node[id];
		if (!d)
			rc = no_memory(sizeof *d, e);
		else if (o->plain[i])
			rc = by_inputs(f, &g->node[id], d, e);
	}
	onx_facts_free(f);
	*told = all;
	return rc < 0 ? onx_while(e, rc, "deciding what control flow does") : rc;
}

static void put(struct onx_buf *b, size_t x)
{
	const uint64_t v = x;
	onx_buf_add(b, &v, sizeof v);
}

static void body_key(const struct onx_node *n, const struct onx_decision *d, struct onx_buf *out)
{
	put(out, d->body);
	put(out, d->turns);
	for (size_t t = 0; d->turn && t < d->turns; t++)
		if (d->turn[t]) {
			onx_decision_key(n->body[d->body].g, d->turn[t], out);
			put(out, SIZE_MAX);
		}
}

void onx_decision_key(const struct onx_graph *g, const struct onx_decision *const *told, struct onx_buf *out)
{
	for (uint32_t i = 0; i < g->n_order; i++)
		if (told[g->order[i]]) {
			put(out, g->order[i]);
			body_key(&g->node[g->order[i]], told[g->order[i]], out);
		}
}
