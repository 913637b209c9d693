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
#include "tensor/seq.h"

enum { NODES_MOST = 1 << 18, ROUNDS_MOST = 64 };

static int no_memory(double bytes, struct onx_err *e)
{
	return onx_nomem(e, bytes, "a loop that is written out");
}

/* ---- growing ---- */

static void *longer(struct onx_arena *a, const void *old, size_t n, size_t room, size_t width)
{
	void *v = onx_alloc(a, room, width);
	if (v && n && old)
		memcpy(v, old, n * width);
	return v;
}

int onx_unroll_value(struct unroll *u, enum onx_dtype type, uint32_t *id, struct onx_err *e)
{
	struct onx_graph *g = u->g;
	if (g->n_value == g->cap_value) {
		const uint32_t room = 2 * g->cap_value, n = g->n_value;
		struct onx_value *value = longer(&g->arena, g->value, n, room, sizeof *value);
		bool *variable = longer(&g->arena, u->variable, n, room, sizeof *variable);
		bool *weight = longer(&g->arena, u->weight, n, room, sizeof *weight);
		if (!value || !variable || !weight)
			return no_memory(room * sizeof *value, e);
		g->value = value;
		u->variable = variable;
		u->weight = weight;
		g->cap_value = room;
	}
	g->value[g->n_value] = (struct onx_value){ .name = g->node[u->at].name, .type = type, .def = ONX_NONE };
	*id = g->n_value++;
	return ONX_OK;
}

static int into_order(struct unroll *u, uint32_t id, struct onx_err *e)
{
	struct onx_graph *g = u->g;
	if (g->n_order == u->cap_order) {
		u->cap_order = 2 * u->cap_order + 64;
		g->order = longer(&g->arena, g->order, g->n_order, u->cap_order, sizeof *g->order);
		if (!g->order)
			return no_memory(u->cap_order * 4.0, e);
	}
	g->order[g->n_order++] = id;
	return ONX_OK;
}

/* n behind all others; its outputs are values without a maker. */
static int add_node(struct unroll *u, const struct onx_node *n, struct onx_err *e)
{
	struct onx_graph *g = u->g;
	if (g->n_node >= NODES_MOST)
		return onx_fail(e, ONX_UNSUP, "written out it has more than %d nodes", (int)NODES_MOST);
	if (g->n_node == g->cap_node) {
		const uint32_t room = 2 * g->cap_node;
		struct onx_node *more = longer(&g->arena, g->node, g->n_node, room, sizeof *more);
		u->train = longer(&g->arena, u->train, g->n_node, room, sizeof *u->train);
		u->told = longer(&g->arena, u->told, g->n_node, room, sizeof(void *));
		if (!more || !u->train || !u->told)
			return no_memory(room * sizeof *more, e);       /* its fault still names nodes */
		g->node = more;
		g->cap_node = room;
	}
	g->node[g->n_node] = *n;
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE) {
			g->value[n->out[k]].def = g->n_node;
			g->value[n->out[k]].def_slot = k;
		}
	return into_order(u, g->n_node++, e);
}

/* A node of the default domain beside the bodies' own. */
int onx_unroll_node(struct unroll *u, const char *type, int version, uint32_t n_in, const uint32_t *in, uint32_t n_out,
		  const uint32_t *out, const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	struct onx_arena *a = &u->g->arena;
	struct onx_node n = { .name = u->g->node[u->at].name, .type = type, .domain = "", .version = version,
			      .n_in = n_in, .n_out = n_out };
	n.in = longer(a, in, n_in, n_in + 1u, sizeof *in);
	n.out = longer(a, out, n_out, n_out + 1u, sizeof *out);
	n.new_attr = onx_attr_copy(a, attr, n_attr);
	n.n_new_attr = n_attr;
	if (!n.in || !n.out || !n.new_attr)
		return no_memory(4.0 * (n_in + n_out), e);
	int rc = onx_op_find("", type, version, &n.op, e);
	if (rc == ONX_OK)
		rc = onx_attr_fill(n.op, n.new_attr, n_attr, a, &n.attr, e);
	return rc < 0 ? rc : add_node(u, &n, e);
}

/* v's numbers are those of t. */
int onx_unroll_known(struct unroll *u, uint32_t v, const struct onx_fact *t, struct onx_err *e)
{
	const struct onx_view *copy = onx_view_copy(&u->g->arena, t->value);
	if (u->n_feed == u->cap_feed) {
		u->cap_feed = 2 * u->cap_feed + 64;
		u->feed = longer(&u->g->arena, u->feed, u->n_feed, u->cap_feed, sizeof *u->feed);
	}
	if (!copy || !u->feed)
		return no_memory((double)t->value->n * t->value->width, e);
	u->feed[u->n_feed++] = (struct onx_feed){ v, t->shape, t->type, copy };
	return ONX_OK;
}

/* A new value that holds one whole number. */
int onx_unroll_number(struct unroll *u, enum onx_dtype type, int64_t x, uint32_t *id, struct onx_err *e)
{
	struct onx_view *v = onx_tensor_new(&u->scratch, type, 0, NULL, onx_dtype_store(type, false));
	if (!v)
		return no_memory(8, e);
	onx_view_put_int(v, 0, x);
	const struct onx_fact t = { .type = type, .value = v };
	int rc = onx_unroll_value(u, type, id, e);
	return rc < 0 ? rc : onx_unroll_known(u, *id, &t, e);
}

/* ---- one turn ---- */

/* The bodies of a copied node read what `map` says. */
static int copy_bodies(struct unroll *u, struct onx_node *n, const uint32_t *map, struct onx_err *e)
{
	struct onx_arena *a = &u->g->arena;
	n->captured = longer(a, n->captured, n->n_captured, n->n_captured + 1u, sizeof *n->captured);
	n->body = longer(a, n->body, n->n_body, n->n_body, sizeof *n->body);
	if (!n->captured || !n->body)
		return no_memory(4.0 * n->n_captured, e);
	for (uint32_t i = 0; i < n->n_captured; i++)
		n->captured[i] = map[n->captured[i]];
	for (uint32_t b = 0; b < n->n_body; b++) {
		struct onx_body *body = &n->body[b];
		body->outer = longer(a, body->outer, body->n_captured, body->n_captured + 1u, sizeof *body->outer);
		if (!body->outer)
			return no_memory(4.0 * body->n_captured, e);
		for (uint32_t i = 0; i < body->n_captured; i++)
			body->outer[i] = map[body->outer[i]];
	}
	u->more = true;
	return ONX_OK;
}

static int copy_node(struct unroll *u, const struct onx_graph *from, uint32_t id, size_t turn, uint32_t *map,
		     struct onx_err *e)
{
	struct onx_node n = from->node[id];
	struct onx_arena *a = &u->g->arena;
	int rc = ONX_OK;
	n.in = longer(a, n.in, n.n_in, n.n_in + 1u, sizeof *n.in);
	n.out = longer(a, n.out, n.n_out, n.n_out + 1u, sizeof *n.out);
	n.name = onx_text(a, "%s[%zu]%s%s", u->g->node[u->at].name, turn, *n.name ? "." : "", n.name);
	if (!n.in || !n.out || !n.name)
		return no_memory(4.0 * (n.n_in + n.n_out), e);
	const uint64_t outer = u->g->node[u->at].draw;
	n.draw = onx_draw_inside(outer ? outer : u->at, u->turn - 1, id);
	for (uint32_t k = 0; k < n.n_in; k++)
		if (n.in[k] != ONX_NONE)
			n.in[k] = map[n.in[k]];
	for (uint32_t k = 0; rc == ONX_OK && k < n.n_out; k++) {
		const uint32_t v = n.out[k];
		if (v != ONX_NONE && (rc = onx_unroll_value(u, from->value[v].type, &map[v], e)) == ONX_OK)
			n.out[k] = map[v];
	}
	if (rc == ONX_OK && n.n_body)
		rc = copy_bodies(u, &n, map, e);
	if (rc < 0 || (rc = add_node(u, &n, e)) < 0)
		return rc;
	/* Running statistics stay those of the file. */
	if (n.op && (n.op->flags & (ONX_OP_TRAIN | ONX_OP_BODY)) && !n.op->stat)
		u->train[u->g->n_node - 1] = u->train[u->at];
	return rc;
}

/* The nodes of body b once more: in are values for its inputs, out gets those of its outputs. */
int onx_unroll_body(struct unroll *u, const struct onx_body *b, size_t turn, const uint32_t *in, uint32_t *out,
		     struct onx_err *e)
{
	const struct onx_graph *from = b->g;
	uint32_t *map = ONX_NEWS(&u->scratch, uint32_t, from->n_value + 1u);
	int rc = map ? ONX_OK : no_memory(4.0 * from->n_value, e);
	if (rc < 0)
		return rc;
	memset(map, 0xff, (from->n_value + 1u) * sizeof *map);
	for (uint32_t i = 0; i < b->n_captured; i++)
		map[b->inner[i]] = b->outer[i];
	for (uint32_t i = 0; i < from->n_input; i++)
		map[from->input[i]] = in[i];
	const struct onx_decision *told = u->told[u->at];
	const size_t t = u->turn++;
	const struct onx_decision *const *inside = told && told->turn && t < told->turns ? told->turn[t] : NULL;
	for (uint32_t i = 0; rc == ONX_OK && i < from->n_order; i++) {
		rc = copy_node(u, from, from->order[i], turn, map, e);
		if (rc == ONX_OK && inside)
			u->told[u->g->n_node - 1] = inside[from->order[i]];
	}
	for (uint32_t i = 0; i < from->n_output; i++)
		out[i] = map[from->output[i]];
	return rc;
}

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
			rc = into_order(u, id, e);
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
	uint32_t *in = longer(&u->g->arena, u->g->node[id].in, u->g->node[id].n_in, u->g->node[id].n_in, sizeof *in);
	int rc = in ? ONX_OK : no_memory(4.0 * u->g->node[id].n_in, e);
	u->at = id;
	for (uint32_t k = 0; rc == ONX_OK && k < u->g->node[id].n_in; k++) {
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
	return into_order(u, id, e);
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
								: into_order(u, old[i], e);
	return rc;
}

/* A copy of g that shares what its values and nodes point to. */
static int copy_graph(struct unroll *u, const struct onx_graph *g, const struct onx_plan_want *w, struct onx_err *e)
{
	struct onx_graph *t = onx_heap(1, sizeof *t);
	if (!t)
		return no_memory(sizeof *t, e);
	u->g = t;
	t->model = g->model;
	t->cap_value = 2 * g->n_value + 64;
	t->cap_node = 2 * g->n_node + 64;
	t->n_value = g->n_value;
	t->n_node = g->n_node;
	t->n_order = g->n_order;
	t->value = longer(&t->arena, g->value, g->n_value, t->cap_value, sizeof *t->value);
	t->node = longer(&t->arena, g->node, g->n_node, t->cap_node, sizeof *t->node);
	t->order = g->order;
	t->input = g->input;
	t->n_input = g->n_input;
	t->output = g->output;
	t->n_output = g->n_output;
	t->names = g->names;            /* of the values that both have */
	u->variable = longer(&t->arena, w->facts.variable, g->n_value, t->cap_value, sizeof(bool));
	u->weight = longer(&t->arena, w->weight, g->n_value, t->cap_value, sizeof(bool));
	u->train = longer(&t->arena, w->facts.train, g->n_node, t->cap_node, sizeof(bool));
	u->told = longer(&t->arena, w->facts.told, g->n_node, t->cap_node, sizeof(void *));
	u->n_feed = u->cap_feed = w->facts.n_feed;
	u->feed = longer(&t->arena, w->facts.feed, u->n_feed, u->n_feed + 1u, sizeof *u->feed);
	return t->value && t->node && u->variable && u->weight && u->train && u->feed && u->told
	       ? ONX_OK : no_memory(t->cap_value * sizeof *t->value, e);
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
	bool *variable = longer(&u->mem, w->facts.variable, g->n_value, g->n_value + 1u, sizeof *variable);
	if (!variable)
		return no_memory(g->n_value, e);
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
