/* graph/facts.c -- concrete inference with constant folding. */
#include "graph/facts.h"
#include <string.h>
#include "graph/control.h"
#include "graph/eval.h"
#include "graph/facts_i.h"
#include "tensor/seq.h"

enum { FOLD_LIMIT = 1 << 28 };  /* elements of one folded tensor, unless everything is evaluated */
enum { LARGE = 1 << 14 };       /* elements of a constant that is hardly one of shape arithmetic */

static int start(struct onx_facts_work *w, struct onx_err *e)
{
	struct onx_facts *f = w->f;
	const uint32_t nv = w->g->n_value, nn = w->g->n_node;
	f->g = w->g;
	f->fact = ONX_NEWS(&f->arena, struct onx_fact, nv + 1);
	f->infer = ONX_NEWS(&f->arena, struct onx_infer *, nn + 1);
	f->run = ONX_NEWS(&f->arena, bool, nn + 1);
	f->wide = ONX_NEWS(&f->arena, bool, nn + 1);
	f->unknown = ONX_NEWS(&f->arena, const struct onx_view *, nv + 1);
	f->guessed = ONX_NEWS(&f->arena, bool, nn + 1);
	f->asked = ONX_NEWS(&f->arena, bool, nn + 1);
	f->variable = ONX_NEWS(&f->arena, bool, nv + 1);
	w->fed = ONX_NEWS(&f->arena, bool, nv + 1);
	const uint32_t n_target = w->want->n_target ? w->want->n_target : w->g->n_output;
	const uint32_t *target = w->want->n_target ? w->want->target : w->g->output;
	f->target = ONX_NEWS(&f->arena, uint32_t, n_target + 1);
	if (!f->fact || !f->infer || !f->run || !f->wide || !f->guessed || !f->asked || !f->unknown ||
	    !f->variable || !w->fed || !f->target)
		return onx_nomem(e, nv * sizeof *f->fact, "facts");
	for (uint32_t i = 0; i < n_target; i++)
		if (w->want->n_target || w->want->evaluate || !w->g->value[target[i]].composite)
			f->target[f->n_target++] = target[i];
	if (w->want->variable)
		memcpy(f->variable, w->want->variable, nv * sizeof *f->variable);
	return ONX_OK;
}

static int take_feeds(struct onx_facts_work *w, struct onx_err *e)
{
	for (uint32_t i = 0; i < w->want->n_feed; i++) {
		const struct onx_feed *d = &w->want->feed[i];
		struct onx_fact *t = &w->f->fact[d->value];
		size_t n;
		int rc = onx_count(d->shape.rank, d->shape.dim, &n, e);
		if (rc < 0)
			return onx_while(e, rc, "binding input '%s'", w->g->value[d->value].name);
		t->type = d->type ? d->type : w->g->value[d->value].type;
		if (t->type == ONX_UNDEFINED)
			return onx_fail(e, ONX_UNSUP, "input '%s' is not a plain tensor",
					w->g->value[d->value].name);
		t->shape = d->shape;
		t->value = d->known;
		w->fed[d->value] = true;
	}
	return ONX_OK;
}

/* The fact of a constant: shape always, numbers unless they are going to change. */
static int constant(struct onx_facts_work *w, uint32_t v, struct onx_err *e)
{
	const struct onx_weight *c = w->g->value[v].init;
	struct onx_fact *t = &w->f->fact[v];
	if (c->rank > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "'%s' has %d dimensions, at most %d are supported", c->name,
				c->rank, ONX_RANK);
	if (c->type == ONX_UNDEFINED)
		return onx_fail(e, ONX_UNSUP, "'%s' has elements of a type that is not known", c->name);
	t->type = c->type;
	t->shape.rank = c->rank;
	memcpy(t->shape.dim, c->dim, (size_t)c->rank * sizeof *c->dim);
	if (w->f->variable[v] || (w->small && c->n > LARGE))
		return ONX_OK;
	return onx_consts_get(w->consts, v, w->want->wide, &t->value, e);
}

/* Which nodes the targets need.  Walks the order backwards, stopping at what is fed. */
static int needed(struct onx_facts_work *w, bool **out, struct onx_err *e)
{
	const struct onx_graph *g = w->g;
	bool *value = ONX_NEWS(&w->f->arena, bool, g->n_value + 1);
	bool *node = ONX_NEWS(&w->f->arena, bool, g->n_node + 1);
	if (!value || !node)
		return onx_nomem(e, g->n_value, "facts");
	for (uint32_t i = 0; i < w->f->n_target; i++)
		value[w->f->target[i]] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < n->n_out && !any; k++)
			any = n->out[k] != ONX_NONE && value[n->out[k]] && !w->fed[n->out[k]] &&
			      !g->value[n->out[k]].init;
		if (!any)
			continue;
		node[g->order[i]] = true;
		for (uint32_t k = 0; k < n->n_in; k++)
			if (n->in[k] != ONX_NONE)
				value[n->in[k]] = true;
		for (uint32_t k = 0; k < n->n_captured; k++)
			value[n->captured[k]] = true;
	}
	*out = node;
	return ONX_OK;
}

/* A tensor that is computed while running, where it goes into a sequence. */
static const struct onx_view *stands_for(struct onx_facts_work *w, uint32_t v)
{
	const struct onx_fact *t = &w->f->fact[v];
	if (!w->f->unknown[v])
		w->f->unknown[v] = onx_unknown_new(&w->f->arena, t->type, t->shape.rank, t->shape.dim,
						   onx_dtype_store(t->type, w->want->wide), v);
	return w->f->unknown[v];
}

int onx_facts_inputs(struct onx_facts_work *w, const struct onx_node *n, struct onx_infer *s, struct onx_err *e)
{
	struct onx_fact *in = ONX_NEWS(&w->f->arena, struct onx_fact, n->n_in + 1);
	if (!in)
		return onx_nomem(e, n->n_in * sizeof *in, "facts");
	for (uint32_t i = 0; i < n->n_in; i++) {
		const uint32_t v = n->in[i];
		if (v == ONX_NONE)
			continue;
		if (w->f->fact[v].type == ONX_UNDEFINED && w->g->value[v].init && !w->fed[v]) {
			int rc = constant(w, v, e);
			if (rc < 0)
				return rc;
		}
		if (w->f->fact[v].type == ONX_UNDEFINED)
			return onx_fail(e, ONX_SHAPE, "input '%s' has no value: nothing computes or feeds it",
					w->g->value[v].name);
		in[i] = w->f->fact[v];
		if (onx_holds_views(in[i].type) && !n->n_body && !(n->op->flags & (ONX_OP_RULE | ONX_OP_ANYTHING)))
			return onx_fail(e, ONX_SHAPE, "input %u is %s, wanted a tensor", (unsigned)i,
					onx_dtype_name(in[i].type));
		if (!in[i].value && (n->op->flags & ONX_OP_SEQUENCE) && onx_op_grad(n->op, (int)i) == ONX_G_DIFF &&
		    !(in[i].value = stands_for(w, v)))
			return onx_nomem(e, sizeof(struct onx_unknown), "a sequence");
	}
	s->in = in;
	return ONX_OK;
}

/* A node with bodies: what they read is settled first. */
static int infer_bodies(struct onx_facts_work *w, uint32_t id, struct onx_infer *s, struct onx_err *e)
{
	const struct onx_node *n = &w->g->node[id];
	const struct onx_decisions *r = w->want->record;
	struct onx_path path = { .told = w->want->told ? w->want->told[id] : NULL };
	const struct onx_control c = { w->g, n, s, w->f->fact, w->want, &path };
	for (uint32_t i = 0; i < n->n_captured; i++) {
		const uint32_t v = n->captured[i];
		if (w->f->fact[v].type != ONX_UNDEFINED || !w->g->value[v].init || w->fed[v])
			continue;
		int rc = constant(w, v, e);
		if (rc < 0)
			return rc;
	}
	if (r && !(path.made = ONX_NEW(r->mem, struct onx_decision)))
		return onx_nomem(e, sizeof *path.made, "what was decided");
	int rc = onx_control_infer(&c, e);
	if (r)
		r->by_node[id] = path.made;
	w->f->guessed[id] = path.guessed;
	w->f->any_guess |= path.guessed;
	return rc;
}

/* Does the node run in training mode? */
static bool trains(const struct onx_facts_work *w, uint32_t id)
{
	const struct onx_op *op = w->g->node[id].op;
	return (w->want->train && w->want->train[id]) ||
	       (w->want->training && (op->flags & (ONX_OP_TRAIN | ONX_OP_BODY)) && !op->stat);
}

/* What decides is computed apart from the run that it is for: the same numbers in both, or none. */
static int repeats(const struct onx_op *op, const struct onx_infer *s, struct onx_err *e)
{
	if (op->flags & ONX_OP_BODY || !s->train || !op->stat)
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP, "statistics of a batch decide what control flow behind other control flow does");
}

static int infer(struct onx_facts_work *w, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &w->g->node[id];
	struct onx_infer *s = ONX_NEW(&w->f->arena, struct onx_infer);
	/* An operator may fill outputs that the node leaves out: running statistics. */
	const uint32_t room = n->n_out > (uint32_t)n->op->max_out ? n->n_out
			      : n->op->max_out < ONX_MANY ? (uint32_t)n->op->max_out : n->n_out;
	if (!s)
		return onx_nomem(e, sizeof *s, "facts");
	*s = (struct onx_infer){ .version = n->version, .n_in = (int)n->n_in, .n_out = (int)room,
				 .train = trains(w, id), .mem = &w->f->arena };
	s->out = ONX_NEWS(&w->f->arena, struct onx_fact, room + 1);
	s->out_wanted = ONX_NEWS(&w->f->arena, bool, room + 1);
	if (!s->out || !s->out_wanted)
		return onx_nomem(e, room * sizeof *s->out, "facts");
	for (uint32_t i = 0; i < n->n_out; i++)
		s->out_wanted[i] = n->out[i] != ONX_NONE;
	int rc = onx_facts_inputs(w, n, s, e);
	if (rc == ONX_OK)
		rc = n->n_body ? infer_bodies(w, id, s, e) : n->op->infer(s, n->attr, e);
	if (rc == ONX_OK && w->want->record)
		rc = repeats(n->op, s, e);
	for (uint32_t i = 0; rc == ONX_OK && i < room; i++) {
		size_t count;
		if (s->out[i].type == ONX_UNDEFINED)
			continue;
		rc = onx_count(s->out[i].shape.rank, s->out[i].shape.dim, &count, e);
		if (rc == ONX_OK && i < n->n_out && n->out[i] != ONX_NONE && !w->fed[n->out[i]])
			w->f->fact[n->out[i]] = s->out[i];
	}
	if (rc < 0)
		return rc;
	w->f->infer[id] = s;
	w->f->wide[id] = onx_runs_wide(s, w->want->wide);
	return ONX_OK;
}

/* Did the rule itself give all numbers?  Shape and Size know them whatever their input holds. */
static bool settled(const struct onx_op *op, const struct onx_infer *s)
{
	bool any = false;
	if ((op->flags & ONX_OP_SEQUENCE) && s->geo)
		return false;                   /* tensors go in or come out that are not known */
	for (int i = 0; i < s->n_out; i++) {
		if (s->out[i].type == ONX_UNDEFINED)
			continue;
		if (!s->out[i].value || ((op->flags & ONX_OP_BODY) && onx_view_open(s->out[i].value)))
			return false;
		any = true;
	}
	return any;
}

static bool can_fold(const struct onx_facts_work *w, uint32_t id)
{
	const struct onx_infer *s = w->f->infer[id];
	const struct onx_node *n = &w->g->node[id];
	if (w->want->evaluate)
		return !s->train || w->want->record;
	if (s->train || (n->op->flags & (ONX_OP_RANDOM | ONX_OP_NOFOLD)))
		return false;
	for (int i = 0; i < s->n_in; i++)
		if (s->in[i].type != ONX_UNDEFINED && !s->in[i].value)
			return false;
	for (int i = 0; i < s->n_out; i++) {
		double count = 1;
		for (int d = 0; d < s->out[i].shape.rank; d++)
			count *= (double)s->out[i].shape.dim[d];
		if (count > FOLD_LIMIT)
			return false;
	}
	return true;
}

static int walk(struct onx_facts_work *w, struct onx_err *e)
{
	const struct onx_graph *g = w->g;
	bool *need = NULL;
	char name[160];
	int rc = needed(w, &need, e);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (!need[id] || (w->want->partial && onx_facts_behind(w, id)))
			continue;
		if (!g->node[id].op)
			return onx_fail(e, ONX_UNSUP, "%s: the operator is not supported",
					onx_node_text(g, id, name, sizeof name));
		rc = infer(w, id, e);
		if (rc == ONX_OK && !settled(g->node[id].op, w->f->infer[id])) {
			const uint32_t flags = g->node[id].op->flags;
			const bool body = (flags & (ONX_OP_BODY | ONX_OP_SEQUENCE)) != 0;
			w->f->run[id] = body || !can_fold(w, id);
			if (g->node[id].late && w->want->evaluate)
				rc = onx_fail(e, ONX_UNSUP, "a gradient through control flow takes a plan, which this "
					      "model cannot have");
			else if (((flags & ONX_OP_RULE) && !body) || (body && w->want->evaluate))
				rc = onx_fail(e, ONX_UNSUP, "it works on numbers that are computed while running");
			else if (!w->f->run[id])
				rc = onx_facts_fold(w, id, e);
		}
		if (rc == ONX_UNSUP && w->want->partial)
			rc = onx_facts_leave(w, id, e);
		if (rc < 0)
			return onx_while(e, rc, "inferring %s", onx_node_text(g, id, name, sizeof name));
	}
	return rc;
}

static int targets(struct onx_facts_work *w, struct onx_err *e)
{
	for (uint32_t i = 0; i < w->f->n_target; i++) {
		const uint32_t v = w->f->target[i];
		if (w->f->fact[v].type == ONX_UNDEFINED && w->g->value[v].init) {
			int rc = constant(w, v, e);
			if (rc < 0)
				return rc;
		}
		if (w->f->fact[v].type == ONX_UNDEFINED && !w->want->partial)
			return onx_fail(e, ONX_SHAPE, "nothing computes the output '%s'", w->g->value[v].name);
	}
	return ONX_OK;
}

static int make(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *want, bool small,
		struct onx_facts **out, struct onx_err *e)
{
	struct onx_facts *f = onx_heap(1, sizeof *f);
	struct onx_facts_work w = { g, c, want, f, NULL, small };
	if (!f)
		return onx_nomem(e, sizeof *f, "facts");
	int rc = start(&w, e);
	if (rc == ONX_OK)
		rc = take_feeds(&w, e);
	if (rc == ONX_OK)
		rc = walk(&w, e);
	if (rc == ONX_OK)
		rc = targets(&w, e);
	if (rc < 0)
		onx_facts_free(f);
	else
		*out = f;
	return rc;
}

int onx_facts_make(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *want,
		   struct onx_facts **out, struct onx_err *e)
{
	int rc = want->sizes && !want->partial ? make(g, c, want, true, out, e) : ONX_UNSUP;

	/* A rule that does need large numbers says so; then all are looked at. */
	if (rc < 0 && rc != ONX_NOMEM)
		rc = make(g, c, want, false, out, e);
	return rc;
}

void onx_facts_free(struct onx_facts *f)
{
	if (!f)
		return;
	struct onx_arena a = f->arena;
	onx_arena_release(&a);
	onx_heap_free(f);
}
