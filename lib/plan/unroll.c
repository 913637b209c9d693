/* plan/unroll.c -- If, Loop and Scan written out, and Casts where a node has inputs of float and of double.
 *
 * Where a body works on numbers that are computed while running, a plan is made for a copy of the graph in which
 * the body's nodes stand once a turn: the states of a turn are the inputs of the next, Scan's inputs are split
 * once, slices are joined by one Concat.  How often, and which branch, the facts have settled (graph/control.h).
 * So every turn's tensors are stored and gradients go back through all of them, as for any graph; a weight that
 * a body reads is one value that many nodes read, whose gradients add up.  Bodies in bodies are written out in
 * further rounds. */
#include <string.h>
#include "op/gradient.h"
#include "plan/unroll_i.h"

enum { ROUNDS_MOST = 64 };

/* ---- rounds ---- */

static bool to_write(const struct onx_graph *g, const struct onx_facts *f, uint32_t id)
{
	return f->run[id] && (g->node[id].n_body || (g->node[id].op->flags & ONX_OP_SEQUENCE));
}

/* Operators on sequences, in bodies too. */
static bool has_sequences(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if ((n->op && (n->op->flags & ONX_OP_SEQUENCE)) || strcmp(n->type, "SequenceMap") == 0)
			return true;
		for (uint32_t b = 0; b < n->n_body; b++)
			if (has_sequences(n->body[b].g))
				return true;
	}
	return false;
}

static int write_node(struct unroll *u, uint32_t id, struct onx_err *e)
{
	const struct onx_turns *t = u->f->infer[id]->geo;
	char name[160];
	int rc;
	u->at = id;
	u->turn = 0;
	if (u->g->node[id].n_body) {
		u->g->node[id].dropped = true;
		rc = onx_unroll_write(u, t, e);
	} else {
		bool done;
		rc = onx_unroll_sequence(u, &done, e);
		u->g->node[id].dropped = rc == ONX_OK && done;
		if (rc == ONX_OK && !done)
			rc = onx_unroll_order(u, id, e);
	}
	return rc < 0 ? onx_while(e, rc, "planning %s", onx_node_text(u->g, id, name, sizeof name)) : rc;
}

/* ---- float and double in one node ---- */

/* Is input k of the node in another precision than the node computes in? */
static bool differs(const struct onx_graph *g, const struct onx_facts *f, uint32_t id, uint32_t k)
{
	const struct onx_node *n = &g->node[id];
	const struct onx_fact *t = n->in[k] == ONX_NONE ? NULL : &f->fact[n->in[k]];
	return t && !n->n_body && f->run[id] && !(n->op->flags & ONX_OP_WIDTHS) && !t->value &&
	       onx_dtype_real(t->type) && onx_dtype_store(t->type, false) != (f->wide[id] ? 8u : 4u);
}

static bool mixed(const struct onx_graph *g, const struct onx_facts *f, uint32_t id)
{
	for (uint32_t k = 0; k < g->node[id].n_in; k++)
		if (differs(g, f, id, k))
			return true;
	return false;
}

/* A Cast in front of each such input; gradients come back through it. */
static int write_casts(struct unroll *u, uint32_t id, struct onx_err *e)
{
	const enum onx_dtype type = u->f->wide[id] ? ONX_DOUBLE : ONX_FLOAT;
	const struct onx_file_attr to = onx_attr_int("to", type);
	const uint32_t n = u->g->node[id].n_in;
	uint32_t *in = onx_unroll_longer(&u->g->arena, u->g->node[id].in, n, n, sizeof *in);
	int rc = in ? ONX_OK : onx_unroll_nomem(4.0 * n, e);
	u->at = id;
	for (uint32_t k = 0; rc == ONX_OK && k < n; k++) {
		const uint32_t from = in[k];
		if (!differs(u->g, u->f, id, k))
			continue;
		rc = onx_unroll_value(u, type, &in[k], e);
		if (rc == ONX_OK)
			rc = onx_unroll_node(u, "Cast", 13, 1, &from, 1, &in[k], &to, 1, e);
	}
	if (rc < 0)
		return rc;
	u->g->node[id].in = in;
	return onx_unroll_order(u, id, e);
}

/* Can there be such nodes?  Something has to be double. */
static bool may_mix(const struct onx_graph *g, const struct onx_plan_want *w)
{
	for (uint32_t i = 0; i < w->facts.n_feed && !w->facts.wide; i++)
		if (w->facts.feed[i].type == ONX_DOUBLE)
			return true;
	for (uint32_t v = 0; v < g->n_value && !w->facts.wide; v++)
		if (g->value[v].type == ONX_DOUBLE)
			return true;
	for (uint32_t i = 0; i < g->n_order && !w->facts.wide; i++) {
		const struct onx_file_node *n = g->node[g->order[i]].file;
		for (size_t k = 0; n && k < n->n_attr; k++)
			if (n->attr[k].type == ONX_ATTR_INT && n->attr[k].i == ONX_DOUBLE)
				return true;    /* Cast to, dtype, output_datatype */
	}
	return false;
}

/* All nodes with bodies that this round's facts leave to run, and those that mix precisions. */
static int round_of(struct unroll *u, struct onx_err *e)
{
	struct onx_graph *g = u->g;
	const uint32_t *old = g->order, n_old = g->n_order;
	int rc = ONX_OK;
	g->order = NULL;
	g->n_order = u->cap_order = 0;
	u->more = u->mixes || u->sequences;
	for (uint32_t i = 0; rc == ONX_OK && i < n_old; i++)
		if (to_write(g, u->f, old[i]))
			rc = write_node(u, old[i], e);
		else
			rc = u->mixes && mixed(g, u->f, old[i]) ? write_casts(u, old[i], e)
								: onx_unroll_order(u, old[i], e);
	return rc;
}

/* A copy of g that shares what its values and nodes point to. */
static int copy_graph(struct unroll *u, const struct onx_graph *g, const struct onx_plan_want *w, struct onx_err *e)
{
	struct onx_graph *t = onx_heap(1, sizeof *t);
	if (!t)
		return onx_unroll_nomem(sizeof *t, e);
	u->g = t;
	t->model = g->model;
	t->cap_value = 2 * g->n_value + 64;
	t->cap_node = 2 * g->n_node + 64;
	t->n_value = g->n_value;
	t->n_order = g->n_order;
	t->value = onx_unroll_longer(&t->arena, g->value, g->n_value, t->cap_value, sizeof *t->value);
	t->node = onx_unroll_longer(&t->arena, g->node, g->n_node, t->cap_node, sizeof *t->node);
	t->n_node = t->node ? g->n_node : 0;
	t->order = g->order;
	t->input = g->input;
	t->n_input = g->n_input;
	t->output = g->output;
	t->n_output = g->n_output;
	t->names = g->names;            /* of the values that both have */
	u->variable = onx_unroll_longer(&t->arena, w->facts.variable, g->n_value, t->cap_value, sizeof(bool));
	u->weight = onx_unroll_longer(&t->arena, w->weight, g->n_value, t->cap_value, sizeof(bool));
	u->train = onx_unroll_longer(&t->arena, w->facts.train, g->n_node, t->cap_node, sizeof(bool));
	u->told = onx_unroll_longer(&t->arena, w->facts.told, g->n_node, t->cap_node, sizeof(void *));
	u->n_feed = u->cap_feed = w->facts.n_feed;
	u->feed = onx_unroll_longer(&t->arena, w->facts.feed, u->n_feed, u->n_feed + 1u, sizeof *u->feed);
	return t->value && t->node && u->variable && u->weight && u->train && u->feed && u->told
	       ? ONX_OK : onx_unroll_nomem(t->cap_value * sizeof *t->value, e);
}

static void want_of(const struct unroll *u, struct onx_plan_want *w)
{
	w->facts.feed = u->feed;
	w->facts.n_feed = u->n_feed;
	w->facts.variable = u->variable;
	w->facts.train = u->train;
	w->facts.told = u->told;
	w->weight = u->weight;
}

static bool any(const struct onx_graph *g, const struct onx_facts *f, bool mixes)
{
	for (uint32_t i = 0; i < g->n_order; i++)
		if (f ? to_write(g, f, g->order[i]) || (mixes && mixed(g, f, g->order[i]))
		      : g->node[g->order[i]].n_body != 0)
			return true;
	return false;
}

/* Gradients that wait for control flow to be written out. */
static bool any_late(const struct onx_graph *g)
{
	bool late = false;
	for (uint32_t i = 0; i < g->n_order; i++)
		late |= g->node[g->order[i]].late && !g->node[g->order[i]].n_body;
	return late;
}

/* What they differentiate by is no constant, or nothing would be left to write out. */
static int hide(struct unroll *u, const struct onx_graph *g, struct onx_plan_want *w, struct onx_err *e)
{
	if (!any_late(g))
		return ONX_OK;
	bool *variable = onx_unroll_longer(&u->mem, w->facts.variable, g->n_value, g->n_value + 1u, sizeof *variable);
	if (!variable)
		return onx_unroll_nomem(g->n_value, e);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		const struct onx_gradient_attr *a = n->attr;
		for (size_t k = 0; n->late && k < a->xs.n; k++) {
			const uint32_t v = onx_graph_find(g, a->xs.v[k]);
			variable[v] |= g->value[v].init && onx_dtype_real(g->value[v].init->type);
		}
	}
	w->facts.variable = variable;
	return ONX_OK;
}

static int write_late(struct unroll *u, const struct onx_graph *g, const struct onx_plan_want *want, struct onx_err *e)
{
	for (uint32_t v = 0; v < g->n_value; v++)
		u->variable[v] = want->facts.variable && want->facts.variable[v];
	u->more = true;
	return onx_graph_late(u->g, e);
}

static int rounds(struct unroll *u, const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *want,
		  struct onx_plan_want *w, struct onx_err *e)
{
	struct onx_facts *f = NULL;
	int rc = hide(u, g, w, e);
	u->more = true;
	for (int i = 0; rc == ONX_OK && u->more; i++) {
		if (i == ROUNDS_MOST)
			return onx_fail(e, ONX_UNSUP, "bodies lie in bodies more than %d deep", (int)ROUNDS_MOST);
		rc = onx_facts_make(u->g ? u->g : g, c, &w->facts, &f, e);
		if (rc < 0)
			return rc;
		u->f = f;
		u->guessed |= f->any_guess;
		u->more = any(u->g ? u->g : g, f, u->mixes);
		const bool late = !u->more && any_late(u->g ? u->g : g);
		if ((u->more || late) && !u->g)
			rc = copy_graph(u, g, w, e);
		if (rc == ONX_OK && u->more)
			rc = round_of(u, e);
		else if (rc == ONX_OK && late)
			rc = write_late(u, g, want, e);
		if (u->g && rc == ONX_OK) {
			want_of(u, w);
			u->more |= any_late(u->g);
		}
		onx_facts_free(f);
		f = NULL;
		onx_arena_release(&u->scratch);
	}
	return rc;
}

void onx_plan_written_free(struct onx_graph *g)
{
	for (uint32_t i = 0; g && i < g->n_node; i++)
		if (g->node[i].late && g->node[i].n_body)
			onx_graph_free(g->node[i].body->g);
	onx_plan_twin_free(g);
}

int onx_plan_unroll(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *want,
		    struct onx_graph **out, struct onx_plan_want *written, bool *guessed, struct onx_err *e)
{
	struct unroll u = { .yes = ONX_NONE };
	*out = NULL;
	*written = *want;
	*guessed = false;
	u.mixes = may_mix(g, want);
	u.sequences = has_sequences(g);
	if (!u.mixes && !u.sequences && !any(g, NULL, false))
		return ONX_OK;
	int rc = rounds(&u, g, c, want, written, e);
	onx_arena_release(&u.scratch);
	onx_arena_release(&u.mem);
	*guessed = u.guessed;
	if (rc < 0)
		onx_plan_written_free(u.g);
	else
		*out = u.g;
	return rc;
}
