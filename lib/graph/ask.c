/* graph/ask.c -- shapes that depend on the numbers: what one batch answers (decide.h).
 *
 * A node asks where all that it reads has a type and a shape, and yet its rule wants numbers.  It is told what has no
 * gradient: its inputs that are settings (a shape, K), which are constants of the plan then; else what comes out of it
 * (NonZero, texts), which the plan is fed with.  Then the next ones ask. */
#include <string.h>
#include "graph/decide.h"
#include "tensor/seq.h"

enum { ROUNDS = 64, SETTING = 16 };     /* SETTING: elements of an input that is no data, most likely */

struct asker {
	const struct onx_graph *g;
	struct onx_consts *consts;
	const struct onx_ask *ask;
	struct onx_arena *mem;
	struct onx_facts *f;            /* of this round                                       */
	bool *dep;                      /* by value: depends on what trains                     */
	uint32_t *value, n;             /* asked for in this round, each once                   */
	bool *known;                    /* of each: as a constant                               */
	uint32_t *place;                /* by value: 1 + where it stands among them; 0: nowhere */
	struct onx_feed *feed;          /* of the plan, then of the interpreter                 */
	struct onx_told *told; uint32_t n_told;
};

static int no_memory(double n, struct onx_err *e)
{
	return onx_nomem(e, n, "what shapes depend on");
}

static bool unknown(const struct asker *a, uint32_t v)
{
	return v != ONX_NONE && a->f->fact[v].type != ONX_UNDEFINED && !a->f->fact[v].value;
}

/* Has everything that the node reads a type, so that it is the node that asks? */
static bool asks(const struct asker *a, uint32_t id)
{
	const struct onx_node *n = &a->g->node[id];
	bool any = false;
	if (!a->f->asked[id])
		return false;
	for (uint32_t k = 0; k < onx_node_reads(n); k++)
		any |= unknown(a, onx_node_read(n, k));
	return any;
}

static void want(struct asker *a, uint32_t v, bool known)
{
	if (a->place[v] == 0) {
		a->value[a->n] = v;
		a->known[a->n++] = false;
		a->place[v] = a->n;
	}
	a->known[a->place[v] - 1] |= known;
}

/* small: settings alone.  false: there is none. */
static bool inputs(struct asker *a, const struct onx_node *n, bool small)
{
	bool any = false;
	for (uint32_t k = 0; k < n->n_in; k++) {
		if (!unknown(a, n->in[k]) || onx_op_grad(n->op, (int)k) == ONX_G_DIFF)
			continue;
		const struct onx_shape *s = &a->f->fact[n->in[k]].shape;
		if (small && s->rank != 0 && (s->rank != 1 || s->dim[0] > SETTING))
			continue;
		want(a, n->in[k], true);
		any = true;
	}
	return any;
}

static int one(struct asker *a, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &a->g->node[id];
	bool slopes = false, lost = false;
	char name[160];
	for (uint32_t k = 0; k < onx_node_reads(n); k++) {
		const uint32_t v = onx_node_read(n, k);
		const bool diff = v != ONX_NONE && onx_op_grad(n->op, (int)k) == ONX_G_DIFF;
		slopes |= diff;
		lost |= diff && a->dep[v];
	}
	if (slopes && !n->n_body && !(n->op->flags & ONX_OP_RULE) && (inputs(a, n, true) || inputs(a, n, false)))
		return ONX_OK;
	if (lost)
		return onx_fail(e, ONX_UNSUP, "%s: the shape of the result depends on numbers that training changes",
				onx_node_text(a->g, id, name, sizeof name));
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE)
			want(a, n->out[k], false);
	return ONX_OK;
}

static int round_of(struct asker *a, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t i = 0; i < a->n; i++)
		a->place[a->value[i]] = 0;
	a->n = 0;
	for (uint32_t i = 0; rc == ONX_OK && i < a->g->n_order; i++)
		if (asks(a, a->g->order[i]))
			rc = one(a, a->g->order[i], e);
	return rc;
}

/* The numbers of what is asked for. */
static int answer(struct asker *a, struct onx_err *e)
{
	struct onx_facts_want w = *a->ask->numbers;
	struct onx_facts *f = NULL;
	if (w.n_feed)
		memcpy(a->feed, w.feed, w.n_feed * sizeof *w.feed);
	for (uint32_t i = 0; i < a->n_told; i++) {
		a->feed[w.n_feed] = a->told[i].feed;
		a->feed[w.n_feed++].known = a->told[i].view;
	}
	const struct onx_decisions record = { a->mem, ONX_NEWS(a->mem, const struct onx_decision *, a->g->n_node + 1) };
	w.feed = a->feed;
	w.target = a->value;
	w.n_target = a->n;
	w.evaluate = true;
	w.record = &record;
	int rc = record.by_node ? onx_facts_make(a->g, a->consts, &w, &f, e) : no_memory(8.0 * a->g->n_node, e);
	for (uint32_t i = 0; rc == ONX_OK && i < a->n; i++) {
		const struct onx_fact *t = &f->fact[a->value[i]];
		struct onx_told *to = &a->told[a->n_told];
		const struct onx_view *v = t->value ? onx_view_copy(a->mem, t->value) : NULL;
		if (!v)
			rc = no_memory(64, e);
		*to = (struct onx_told){ { a->value[i], t->shape, t->type, a->known[i] ? v : NULL }, v };
		if (rc == ONX_OK && (t->type == ONX_STRING || onx_holds_views(t->type)))
			to->feed.known = v;
		a->n_told++;
	}
	onx_facts_free(f);
	return rc;
}

/* dep[v]: v depends on what trains. */
static int depends(struct asker *a, struct onx_err *e)
{
	const struct onx_graph *g = a->g;
	if (!(a->dep = ONX_NEWS(a->mem, bool, g->n_value + 1)))
		return no_memory(g->n_value, e);
	if (a->ask->weight)
		memcpy(a->dep, a->ask->weight, g->n_value * sizeof *a->dep);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < onx_node_reads(n); k++)
			any |= onx_node_read(n, k) != ONX_NONE && a->dep[onx_node_read(n, k)];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				a->dep[n->out[k]] = true;
	}
	return ONX_OK;
}

int onx_ask(const struct onx_graph *g, struct onx_consts *c, const struct onx_ask *ask, struct onx_arena *mem,
	    struct onx_told **told, uint32_t *n, struct onx_err *e)
{
	/* A value is told at most twice: what comes out of a node, and then as a setting of another. */
	const size_t most = (size_t)g->n_value + 1, told_most = 2 * most;
	struct asker a = { .g = g, .consts = c, .ask = ask, .mem = mem };
	a.told = ONX_NEWS(mem, struct onx_told, told_most);
	a.feed = ONX_NEWS(mem, struct onx_feed, told_most + ask->shapes->n_feed + ask->numbers->n_feed);
	a.value = ONX_NEWS(mem, uint32_t, most);
	a.known = ONX_NEWS(mem, bool, most);
	a.place = ONX_NEWS(mem, uint32_t, most);
	int rc = a.told && a.feed && a.value && a.known && a.place ? depends(&a, e) : no_memory(64.0 * (double)most, e);
	for (int i = 0; rc == ONX_OK; i++) {
		struct onx_facts_want w = *ask->shapes;
		w.partial = true;
		if (w.n_feed)
			memcpy(a.feed, w.feed, w.n_feed * sizeof *w.feed);
		for (uint32_t k = 0; k < a.n_told; k++)
			a.feed[w.n_feed++] = a.told[k].feed;
		w.feed = a.feed;
		rc = onx_facts_make(g, c, &w, &a.f, e);
		if (rc == ONX_OK)
			rc = round_of(&a, e);
		onx_facts_free(a.f);
		a.f = NULL;
		if (rc == ONX_OK && a.n == 0)
			break;
		if (rc == ONX_OK && i == ROUNDS)
			rc = onx_fail(e, ONX_UNSUP, "shapes depend on numbers more than %d times in a row",
				      (int)ROUNDS);
		if (rc == ONX_OK)
			rc = answer(&a, e);
	}
	*told = a.told;
	*n = a.n_told;
	return rc < 0 ? onx_while(e, rc, "finding shapes that depend on the numbers") : rc;
}
