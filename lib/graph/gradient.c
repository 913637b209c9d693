/* graph/gradient.c -- the body of Gradient (ai.onnx.preview.training).
 *
 * The node names tensors of the graph that it stands in: y, and xs and zs, which y depends on.  Its body is that
 * sub-graph once more, on the values that the node is given in their place, and behind it the way back
 * (gradient_back.c).  A y of several elements stands for their sum.  So plans and the interpreter see nodes like any
 * others; the file keeps the one node.
 *
 * Where there is control flow in the sub-graph, the body waits until a plan has written that out (plan/unroll.c).
 * Where the sub-graph holds another Gradient, what is copied is that one's body: nodes, and Backwards, which have
 * gradients too (gradient_second.c).  So that one's body is written first. */
#include <string.h>
#include "graph/gradient_i.h"

enum { WAITS = 1, LATE = 2 };
enum { MOST_NODES = 1 << 20 };          /* of a body: each gradient of a gradient triples them, or so */

/* ---- what is between ---- */

static int name_of(const struct onx_gradient *x, const char *name, uint32_t *id, struct onx_err *e)
{
	*id = onx_graph_find(x->g, name);
	return *id != ONX_NONE ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "'%s' is no tensor of the graph that it stands in", name);
}

static const char *listed(const struct onx_gradient *x, size_t i)
{
	return i < x->a->xs.n ? x->a->xs.v[i] : x->a->zs.v[i - x->a->xs.n];
}

/* A Gradient without a body yet: it may read anything. */
static bool open(const struct onx_node *n)
{
	return n->op && (n->op->flags & ONX_OP_SECOND) && !n->n_body;
}

static int between_fault(const struct onx_gradient *x, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[id];
	char name[160];
	onx_node_text(x->g, id, name, sizeof name);
	if (!n->op)
		return onx_fail(e, ONX_UNSUP, "%s is not supported", name);
	if (x->may_wait && (n->late || (n->n_body && !(n->op->flags & ONX_OP_SECOND))))
		return LATE;
	if (n->n_body && !(n->op->flags & ONX_OP_SECOND))
		return onx_fail(e, ONX_UNSUP, "%s is between the given tensors and '%s': gradients through control "
				"flow are not taken here", name, x->a->y);
	return ONX_OK;
}

/* Nodes behind the given values and in front of y.  WAITS: one is a Gradient that is still to be written; LATE: one
 * has to be written out in a plan first. */
static int find_nodes(struct onx_gradient *x, uint32_t y, struct onx_err *e)
{
	struct onx_graph *g = x->g;
	int waits = 0, late = 0;
	x->need[y] = true;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = open(n);
		for (uint32_t k = 0; k < onx_node_reads(n) && !any; k++)
			any = onx_node_read(n, k) != ONX_NONE && x->dep[onx_node_read(n, k)];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				x->dep[n->out[k]] = true;
	}
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		for (uint32_t k = 0; k < n->n_out; k++) {
			const uint32_t v = n->out[k];
			x->copied[id] |= v != ONX_NONE && x->need[v] && x->dep[v] && !x->given[v];
		}
		for (uint32_t k = 0; x->copied[id] && k < onx_node_reads(n); k++)
			if (onx_node_read(n, k) != ONX_NONE)
				x->need[onx_node_read(n, k)] = true;
		waits |= x->copied[id] && open(n) ? WAITS : 0;
		int rc = x->copied[id] ? between_fault(x, id, e) : ONX_OK;
		if (rc < 0)
			return rc;
		late |= rc;
	}
	return late ? late : waits;
}

/* ---- the sub-graph once more ---- */

/* The value of b for v of g, which is read from around where nothing in b makes it. */
static int value_in(struct onx_gradient *x, uint32_t v, uint32_t *id, struct onx_err *e)
{
	if (x->map[v] == ONX_NONE) {
		int rc = onx_grad_value(x, x->g->value[v].name, &x->map[v], e);
		if (rc < 0)
			return rc;
		x->b->value[x->map[v]].input = true;
		x->body->inner[x->body->n_captured] = x->map[v];
		x->body->outer[x->body->n_captured++] = v;
	}
	*id = x->map[v];
	return ONX_OK;
}

/* from, of graph h, on the values of b that map has for its inputs; its outputs are new in out. */
static int copy_node(struct onx_gradient *x, const struct onx_graph *h, const struct onx_node *from,
		     const uint32_t *map, uint32_t *out, struct onx_err *e)
{
	uint32_t to;
	int rc = x->b->n_node < MOST_NODES ? onx_graph_new_node(x->b, from->n_in, from->n_out, &to, e)
		 : onx_fail(e, ONX_UNSUP, "gradients of gradients of more than %d nodes", MOST_NODES);
	for (uint32_t k = 0; rc == ONX_OK && k < from->n_out; k++) {
		out[k] = ONX_NONE;
		if (from->out[k] != ONX_NONE)
			rc = onx_grad_value(x, h->value[from->out[k]].name, &out[k], e);
	}
	if (rc < 0)
		return rc;
	struct onx_node *n = &x->b->node[to];
	for (uint32_t k = 0; k < from->n_in; k++)
		n->in[k] = from->in[k] == ONX_NONE ? ONX_NONE : map[from->in[k]];
	for (uint32_t k = 0; k < from->n_out; k++)
		n->out[k] = out[k];
	n->name = from->name;
	n->type = from->type;
	n->domain = from->domain;
	n->op = from->op;
	n->version = from->version;
	n->attr = from->attr;
	n->file = from->file;
	onx_grad_made(x, to);
	return ONX_OK;
}

/* A node of the body of another Gradient. */
static int copy_inner(struct onx_gradient *x, const struct onx_graph *h, const struct onx_node *n, uint32_t *map,
		      struct onx_err *e)
{
	uint32_t *in = ONX_NEWS(&x->mem, uint32_t, n->n_in + 1u), *out = ONX_NEWS(&x->mem, uint32_t, n->n_out + 1u);
	if (!in || !out)
		return onx_nomem(e, 4.0 * n->n_in, "a gradient");
	for (uint32_t k = 0; k < n->n_in; k++)
		in[k] = n->in[k] == ONX_NONE ? ONX_NONE : map[n->in[k]];
	for (uint32_t k = 0; k < n->n_out; k++)
		out[k] = n->out[k] == ONX_NONE ? ONX_NONE : 0;
	int rc = onx_is_backward(n) ? onx_grad_spell(x, n->attr, in, n->n_in, out, e) : 0;
	if (rc == 0)
		rc = copy_node(x, h, n, map, out, e);
	for (uint32_t k = 0; rc >= 0 && k < n->n_out; k++)
		if (n->out[k] != ONX_NONE)
			map[n->out[k]] = out[k];
	return rc < 0 ? rc : ONX_OK;
}

/* The body of node id of g, a Gradient; its outputs in out. */
static int copy_body(struct onx_gradient *x, uint32_t id, uint32_t *out, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[id];
	const struct onx_body *body = n->body;
	const struct onx_graph *h = body->g;
	uint32_t *map = ONX_NEWS(&x->mem, uint32_t, h->n_value + 1u);
	int rc = map ? ONX_OK : onx_nomem(e, 4.0 * h->n_value, "a gradient");
	for (uint32_t k = 0; rc == ONX_OK && k < h->n_input; k++)
		rc = value_in(x, n->in[k], &map[h->input[k]], e);
	for (uint32_t k = 0; rc == ONX_OK && k < body->n_captured; k++)
		rc = value_in(x, body->outer[k], &map[body->inner[k]], e);
	for (uint32_t k = 0; rc == ONX_OK && k < h->n_order; k++)
		rc = copy_inner(x, h, &h->node[h->order[k]], map, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++)
		out[k] = map[h->output[k]];
	return rc;
}

static int copy(struct onx_gradient *x, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[id];
	uint32_t *out = ONX_NEWS(&x->mem, uint32_t, n->n_out + 1u), v;
	int rc = out ? ONX_OK : onx_nomem(e, 4.0 * n->n_out, "a gradient");
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++)
		if (n->in[k] != ONX_NONE)
			rc = value_in(x, n->in[k], &v, e);
	if (rc == ONX_OK)
		rc = n->n_body ? copy_body(x, id, out, e) : copy_node(x, x->g, n, x->map, out, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++)
		if (n->out[k] != ONX_NONE && !x->given[n->out[k]])
			x->map[n->out[k]] = out[k];
	return rc;
}

/* ---- the node ---- */
static int check_names(struct onx_gradient *x, uint32_t *y, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[x->node];
	const size_t count = x->a->xs.n + x->a->zs.n;
	if (count != n->n_in || n->n_out > x->a->xs.n)
		return onx_fail(e, ONX_FORMAT, "%u inputs and %u outputs, wanted %zu and at most %zu: those that xs "
				"and zs name, and one for each of xs", (unsigned)n->n_in, (unsigned)n->n_out, count,
				x->a->xs.n);
	for (size_t i = 0; i < count; i++) {
		uint32_t v;
		int rc = name_of(x, listed(x, i), &v, e);
		if (rc == ONX_OK && n->in[i] == ONX_NONE)
			rc = onx_fail(e, ONX_FORMAT, "input %zu is missing", i);
		else if (rc == ONX_OK && x->given[v])
			rc = onx_fail(e, ONX_FORMAT, "xs and zs name '%s' twice", listed(x, i));
		if (rc < 0)
			return rc;
		x->given[v] = x->dep[v] = true;
	}
	return x->a->y ? name_of(x, x->a->y, y, e) : onx_fail(e, ONX_FORMAT, "the attribute 'y' is missing");
}

static int open_work(struct onx_gradient *x, struct onx_err *e)
{
	const uint32_t nv = x->g->n_value + 1, nn = x->g->n_node + 1;
	x->map = ONX_NEWS(&x->mem, uint32_t, nv);
	x->x = ONX_NEWS(&x->mem, uint32_t, x->g->node[x->node].n_in + 1u);
	x->given = ONX_NEWS(&x->mem, bool, nv);
	x->dep = ONX_NEWS(&x->mem, bool, nv);
	x->need = ONX_NEWS(&x->mem, bool, nv);
	x->copied = ONX_NEWS(&x->mem, bool, nn);
	if (!x->map || !x->x || !x->given || !x->dep || !x->need || !x->copied)
		return onx_nomem(e, 8.0 * nv, "a gradient");
	memset(x->map, 0xff, nv * sizeof *x->map);
	return ONX_OK;
}

static int open_body(struct onx_gradient *x, struct onx_err *e)
{
	const uint32_t nv = x->g->n_value + 1;
	struct onx_node *n = &x->g->node[x->node];
	struct onx_arena *a = &x->g->arena;
	n->body = ONX_NEW(a, struct onx_body);
	if (!n->body || !(n->body->g = onx_heap(1, sizeof *n->body->g)))
		return onx_nomem(e, sizeof *n->body->g, "a gradient");
	n->n_body = 1;
	x->body = n->body;
	x->b = n->body->g;
	x->b->model = x->g->model;
	x->b->names.arena = &x->b->arena;
	x->body->inner = ONX_NEWS(a, uint32_t, nv);
	x->body->outer = ONX_NEWS(a, uint32_t, nv);
	x->b->input = ONX_NEWS(&x->b->arena, uint32_t, n->n_in + 1u);
	x->b->output = ONX_NEWS(&x->b->arena, uint32_t, n->n_out + 1u);
	return x->body->inner && x->body->outer && x->b->input && x->b->output
	       ? ONX_OK : onx_nomem(e, 8.0 * nv, "a gradient");
}

static int take_inputs(struct onx_gradient *x, struct onx_err *e)
{
	int rc = ONX_OK;
	for (size_t i = 0; rc == ONX_OK && i < x->g->node[x->node].n_in; i++) {
		const uint32_t v = onx_graph_find(x->g, listed(x, i));
		rc = onx_grad_value(x, x->g->value[v].name, &x->x[i], e);
		if (rc < 0)
			break;
		x->map[v] = x->x[i];
		x->b->value[x->x[i]].input = true;
		x->b->input[x->b->n_input++] = x->x[i];
	}
	return rc;
}

/* What is to be copied, before anything is kept of it: 1, another Gradient's body comes first. */
static int prepare(struct onx_gradient *x, uint32_t *y, struct onx_err *e)
{
	if (x->g->node[x->node].file->call)
		return onx_fail(e, ONX_UNSUP, "it stands in a function, which has no names of its own here");
	int rc = open_work(x, e);
	if (rc == ONX_OK)
		rc = check_names(x, y, e);
	return rc < 0 ? rc : find_nodes(x, *y, e);
}

static int write_body(struct onx_gradient *x, struct onx_err *e)
{
	uint32_t y = ONX_NONE, end = 0;
	int rc = prepare(x, &y, e);
	if (rc == ONX_OK)
		rc = open_body(x, e);
	if (rc == ONX_OK)
		rc = take_inputs(x, e);
	for (uint32_t i = 0; rc == ONX_OK && i < x->g->n_order; i++)
		if (x->copied[x->g->order[i]])
			rc = copy(x, x->g->order[i], e);
	if (rc == ONX_OK)
		rc = value_in(x, y, &end, e);
	if (rc == ONX_OK)
		rc = onx_grad_way_back(x, end, e);
	if (rc == ONX_OK)
		rc = onx_graph_order(x->b, e);
	if (rc != ONX_OK)
		return rc;
	struct onx_node *n = &x->g->node[x->node];
	n->captured = x->body->outer;
	n->n_captured = x->body->n_captured;
	return onx_graph_order(x->g, e);
}

/* It reads y from now on, so that y's way is planned, too. */
static int leave(struct onx_graph *g, uint32_t i, struct onx_err *e)
{
	struct onx_node *n = &g->node[i];
	const struct onx_gradient_attr *a = n->attr;
	n->late = true;
	n->captured = ONX_NEWS(&g->arena, uint32_t, 1);
	if (!n->captured)
		return onx_nomem(e, 4, "a gradient");
	n->captured[0] = onx_graph_find(g, a->y);
	n->n_captured = 1;
	return onx_graph_order(g, e);
}

/* One node; *waits: it is to be tried once more. */
static int one(struct onx_graph *g, uint32_t i, bool lax, bool may_wait, bool *waits, struct onx_err *e)
{
	struct onx_err why = { 0 };
	struct onx_gradient x = { .g = g, .node = i, .a = g->node[i].attr, .may_wait = may_wait };
	char name[160];
	int rc = write_body(&x, &why);
	onx_arena_release(&x.mem);
	*waits = rc == WAITS;
	if (rc == LATE)
		rc = leave(g, i, &why);
	if (rc >= 0)
		return ONX_OK;
	if (!lax || rc == ONX_NOMEM) {
		*e = why;
		return onx_while(e, rc, "reading %s", onx_node_text(g, i, name, sizeof name));
	}
	g->node[i].op = NULL;
	return ONX_OK;
}

static int all(struct onx_graph *g, bool lax, bool may_wait, struct onx_err *e)
{
	uint32_t left, before = UINT32_MAX, last = 0;
	char name[160];
	for (;;) {
		left = 0;
		for (uint32_t i = 0; i < g->n_node; i++) {
			bool waits = false;
			const struct onx_node *n = &g->node[i];
			int rc = n->dropped || !open(n) || (n->late && may_wait) ? ONX_OK
				 : one(g, i, lax, may_wait, &waits, e);
			if (rc < 0)
				return rc;
			left += waits;
			last = waits ? i : last;
		}
		if (left == 0)
			return ONX_OK;
		if (left == before && !lax)
			return onx_fail(e, ONX_FORMAT, "%s depends on its own outputs",
					onx_node_text(g, last, name, sizeof name));
		if (left == before)
			g->node[last].op = NULL;
		before = left;
	}
}

int onx_graph_gradients(struct onx_graph *g, bool lax, bool may_wait, struct onx_err *e)
{
	return all(g, lax, may_wait, e);
}

int onx_graph_late(struct onx_graph *g, struct onx_err *e)
{
	return all(g, false, false, e);
}
