/* graph/gradient.c -- the body of Gradient (ai.onnx.preview.training).
 *
 * The node names tensors of the graph that it stands in: y, and xs and zs, which y depends on.  Its body is that
 * sub-graph once more, on the values that the node is given in their place, and behind it the way back: one Backward
 * (op/gradient.h) for each node between the xs and y, Sum where a tensor has several readers, zeros where y does not
 * depend on an x.  A y of several elements stands for their sum.  So plans and the interpreter see nodes like any
 * others; the file keeps the one node. */
#include <string.h>
#include "graph/graph_i.h"
#include "op/gradient.h"

struct term { uint32_t v; struct term *next; };
struct grad {
	struct onx_graph *g, *b;        /* around the node; its body                                       */
	uint32_t node;
	const struct onx_gradient_attr *a;
	struct onx_body *body;
	struct onx_arena mem;           /* of the work                                                     */
	uint32_t *map;                  /* by value of g: the value of b, or ONX_NONE                       */
	bool *given, *dep, *need, *act; /* by value of g: xs and zs; behind them; in front of y; behind xs  */
	bool *copied;                   /* by node of g                                                    */
	struct term **d;                /* by value of g: its gradients so far, values of b                */
};

static int no_memory(double n, struct onx_err *e)
{
	return onx_nomem(e, n, "a gradient");
}

/* ---- what is between ---- */

static int name_of(const struct grad *x, const char *name, uint32_t *id, struct onx_err *e)
{
	*id = onx_graph_find(x->g, name);
	return *id != ONX_NONE ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "'%s' is no tensor of the graph that it stands in", name);
}

static const char *listed(const struct grad *x, size_t i)
{
	return i < x->a->xs.n ? x->a->xs.v[i] : x->a->zs.v[i - x->a->xs.n];
}

/* Nodes behind the given values and in front of y. */
static int find_nodes(struct grad *x, uint32_t y, struct onx_err *e)
{
	struct onx_graph *g = x->g;
	char name[160];
	x->need[y] = true;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
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
		if (x->copied[id] && n->n_body)
			return onx_fail(e, ONX_UNSUP, "%s is between the given tensors and '%s': gradients of "
					"gradients, or through control flow, are not taken here",
					onx_node_text(g, id, name, sizeof name), x->a->y);
		if (x->copied[id] && !n->op)
			return onx_fail(e, ONX_UNSUP, "%s is not supported", onx_node_text(g, id, name, sizeof name));
	}
	return ONX_OK;
}

/* ---- the sub-graph once more ---- */

static int new_value(struct grad *x, uint32_t like, uint32_t *id, struct onx_err *e)
{
	return onx_graph_add_value(x->b, x->g->value[like].name, ONX_UNDEFINED, id, e);
}

/* The value of b for v of g, which is read from around where nothing in b makes it. */
static int value_in(struct grad *x, uint32_t v, uint32_t *id, struct onx_err *e)
{
	if (x->map[v] == ONX_NONE) {
		int rc = new_value(x, v, &x->map[v], e);
		if (rc < 0)
			return rc;
		x->b->value[x->map[v]].input = true;
		x->body->inner[x->body->n_captured] = x->map[v];
		x->body->outer[x->body->n_captured++] = v;
	}
	*id = x->map[v];
	return ONX_OK;
}

static void made(struct grad *x, uint32_t node)
{
	const struct onx_node *n = &x->b->node[node];
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE) {
			x->b->value[n->out[k]].def = node;
			x->b->value[n->out[k]].def_slot = k;
		}
}

static int copy_node(struct grad *x, uint32_t id, struct onx_err *e)
{
	const struct onx_node *from = &x->g->node[id];
	uint32_t to;
	int rc = onx_graph_new_node(x->b, from->n_in, from->n_out, &to, e);
	for (uint32_t k = 0; rc == ONX_OK && k < from->n_in; k++) {
		x->b->node[to].in[k] = ONX_NONE;
		if (from->in[k] != ONX_NONE)
			rc = value_in(x, from->in[k], &x->b->node[to].in[k], e);
	}
	for (uint32_t k = 0; rc == ONX_OK && k < from->n_out; k++) {
		uint32_t v = ONX_NONE;
		if (from->out[k] != ONX_NONE && (rc = new_value(x, from->out[k], &v, e)) == ONX_OK &&
		    !x->given[from->out[k]])
			x->map[from->out[k]] = v;
		x->b->node[to].out[k] = v;
	}
	if (rc < 0)
		return rc;
	struct onx_node *n = &x->b->node[to];
	n->name = from->name;
	n->type = from->type;
	n->domain = from->domain;
	n->op = from->op;
	n->version = from->version;
	n->attr = from->attr;
	n->file = from->file;
	made(x, to);
	return ONX_OK;
}

/* A node of b with one output, which is new; like: a value of g, for its name. */
static int put(struct grad *x, const char *type, const uint32_t *in, uint32_t n_in, uint32_t like, uint32_t *out,
	       struct onx_err *e)
{
	uint32_t id;
	int rc = onx_graph_new_node(x->b, n_in, 1, &id, e);
	if (rc == ONX_OK)
		rc = new_value(x, like, out, e);
	if (rc < 0)
		return rc;
	struct onx_node *n = &x->b->node[id];
	memcpy(n->in, in, n_in * sizeof *in);
	n->out[0] = *out;
	n->name = x->g->node[x->node].name;
	n->type = type;
	n->domain = "";
	n->version = ONX_NEWEST_OPSET;
	made(x, id);
	rc = onx_op_find("", type, ONX_NEWEST_OPSET, &n->op, e);
	return rc < 0 ? rc : onx_attr_fill(n->op, NULL, 0, &x->b->arena, &n->attr, e);
}

/* All 0 in the shape and type of v, a value of g. */
static int zeros(struct grad *x, uint32_t v, uint32_t *out, struct onx_err *e)
{
	uint32_t shape, at[2];
	int rc = value_in(x, v, &at[1], e);
	if (rc == ONX_OK)
		rc = put(x, "Shape", &at[1], 1, v, &shape, e);
	if (rc == ONX_OK)
		rc = put(x, "ConstantOfShape", &shape, 1, v, &at[0], e);
	return rc < 0 ? rc : put(x, "CastLike", at, 2, v, out, e);
}

/* ---- and back ---- */

static int add_term(struct grad *x, uint32_t v, uint32_t gradient, struct onx_err *e)
{
	struct term *t = ONX_NEW(&x->mem, struct term);
	if (!t)
		return no_memory(sizeof *t, e);
	*t = (struct term){ gradient, x->d[v] };
	x->d[v] = t;
	return ONX_OK;
}

/* The whole gradient of v of g, ONX_NONE: it has none. */
static int sum_of(struct grad *x, uint32_t v, uint32_t *out, struct onx_err *e)
{
	uint32_t n = 0, *all;
	*out = x->d[v] ? x->d[v]->v : ONX_NONE;
	for (const struct term *t = x->d[v]; t; t = t->next)
		n++;
	if (n < 2)
		return ONX_OK;
	if (!(all = ONX_NEWS(&x->mem, uint32_t, n)))
		return no_memory(4.0 * n, e);
	for (const struct term *t = x->d[v]; t; t = t->next)
		all[--n] = t->v;
	for (const struct term *t = x->d[v]; t; t = t->next)
		n++;
	int rc = put(x, "Sum", all, n, v, out, e);
	if (rc == ONX_OK)
		*x->d[v] = (struct term){ *out, NULL };
	return rc;
}

/* Values whose gradient leads to an x. */
static void find_active(struct grad *x)
{
	for (uint32_t i = 0; i < x->g->n_order; i++) {
		const struct onx_node *n = &x->g->node[x->g->order[i]];
		bool any = false;
		for (uint32_t k = 0; x->copied[x->g->order[i]] && k < n->n_in && !any; k++)
			any = n->in[k] != ONX_NONE && x->act[n->in[k]] && onx_op_grad(n->op, (int)k) == ONX_G_DIFF;
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE && !x->given[n->out[k]])
				x->act[n->out[k]] = true;
	}
}

static int attr_of(struct grad *x, const struct onx_node *n, const void **out, struct onx_err *e)
{
	struct onx_backward_attr *a = ONX_NEW(&x->b->arena, struct onx_backward_attr);
	if (!a)
		return no_memory(sizeof *a, e);
	*a = (struct onx_backward_attr){ .op = n->op, .attr = n->attr, .version = n->version, .n_y = (int)n->n_out };
	for (uint32_t k = 0; k < n->n_out && k < 32; k++)
		a->wanted |= (uint32_t)(n->out[k] != ONX_NONE) << k;
	*out = a;
	return ONX_OK;
}

static int fill_backward(struct grad *x, uint32_t id, uint32_t to, const uint32_t *dy, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[id];
	int rc = ONX_OK;
	memcpy(x->b->node[to].in, dy, n->n_out * sizeof *dy);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++) {
		uint32_t in = ONX_NONE, out = ONX_NONE;
		if (n->in[k] != ONX_NONE)
			rc = value_in(x, n->in[k], &in, e);
		if (rc == ONX_OK && in != ONX_NONE && x->act[n->in[k]] &&
		    onx_op_grad(n->op, (int)k) == ONX_G_DIFF && (rc = new_value(x, n->in[k], &out, e)) == ONX_OK)
			rc = add_term(x, n->in[k], out, e);
		x->b->node[to].in[n->n_out + k] = in;
		x->b->node[to].out[k] = out;
	}
	return rc;
}

/* The Backward of node id of g, where its outputs have gradients. */
static int back_through(struct grad *x, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[id];
	uint32_t *dy = ONX_NEWS(&x->mem, uint32_t, n->n_out + 1u), to;
	bool any = false;
	char name[160];
	int rc = dy ? ONX_OK : no_memory(4.0 * n->n_out, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++) {
		dy[k] = ONX_NONE;
		if (n->out[k] == ONX_NONE || !x->act[n->out[k]] || x->given[n->out[k]])
			continue;
		rc = sum_of(x, n->out[k], &dy[k], e);
		any |= dy[k] != ONX_NONE;
	}
	if (rc < 0 || !any)
		return rc;
	if (!n->op->backward)
		return onx_fail(e, ONX_UNSUP, "%s has no gradient", onx_node_text(x->g, id, name, sizeof name));
	rc = onx_graph_new_node(x->b, n->n_out + n->n_in, n->n_in, &to, e);
	if (rc < 0 || (rc = fill_backward(x, id, to, dy, e)) < 0)
		return rc;
	struct onx_node *b = &x->b->node[to];
	b->name = n->name;
	b->type = "Backward";
	b->domain = "onnx_adapt";
	b->version = 1;
	made(x, to);
	rc = onx_op_find(b->domain, b->type, 1, &b->op, e);
	return rc < 0 ? rc : attr_of(x, n, &b->attr, e);
}

static int way_back(struct grad *x, uint32_t y, struct onx_err *e)
{
	uint32_t zero, one;
	int rc = zeros(x, y, &zero, e);
	if (rc == ONX_OK)
		rc = put(x, "Exp", &zero, 1, y, &one, e);
	find_active(x);
	if (rc == ONX_OK)
		rc = add_term(x, y, one, e);
	for (uint32_t i = x->g->n_order; rc == ONX_OK && i-- > 0; )
		if (x->copied[x->g->order[i]])
			rc = back_through(x, x->g->order[i], e);
	for (uint32_t i = 0; rc == ONX_OK && i < x->g->node[x->node].n_out; i++) {
		uint32_t v, out;
		rc = name_of(x, x->a->xs.v[i], &v, e);
		if (rc == ONX_OK)
			rc = sum_of(x, v, &out, e);
		if (rc == ONX_OK && out == ONX_NONE)
			rc = zeros(x, v, &out, e);
		if (rc == ONX_OK) {
			x->b->value[out].output = true;
			x->b->output[x->b->n_output++] = out;
		}
	}
	return rc;
}

/* ---- the node ---- */

static int take_names(struct grad *x, uint32_t *y, struct onx_err *e)
{
	const struct onx_node *n = &x->g->node[x->node];
	const size_t count = x->a->xs.n + x->a->zs.n;
	if (count != n->n_in || n->n_out > x->a->xs.n)
		return onx_fail(e, ONX_FORMAT, "%u inputs and %u outputs, wanted %zu and at most %zu: those that xs "
				"and zs name, and one for each of xs", (unsigned)n->n_in, (unsigned)n->n_out, count,
				x->a->xs.n);
	for (size_t i = 0; i < count; i++) {
		uint32_t v, id;
		int rc = name_of(x, listed(x, i), &v, e);
		if (rc == ONX_OK && n->in[i] == ONX_NONE)
			rc = onx_fail(e, ONX_FORMAT, "input %zu is missing", i);
		else if (rc == ONX_OK && x->given[v])
			rc = onx_fail(e, ONX_FORMAT, "xs and zs name '%s' twice", listed(x, i));
		if (rc == ONX_OK)
			rc = new_value(x, v, &id, e);
		if (rc < 0)
			return rc;
		x->map[v] = id;
		x->given[v] = x->dep[v] = true;
		x->act[v] = i < x->a->xs.n;
		x->b->value[id].input = true;
		x->b->input[x->b->n_input++] = id;
	}
	return name_of(x, x->a->y, y, e);
}

static int open_body(struct grad *x, struct onx_err *e)
{
	const uint32_t nv = x->g->n_value + 1, nn = x->g->n_node + 1;
	struct onx_node *n = &x->g->node[x->node];
	struct onx_arena *a = &x->g->arena;
	n->body = ONX_NEW(a, struct onx_body);
	if (!n->body || !(n->body->g = onx_heap(1, sizeof *n->body->g)))
		return no_memory(sizeof *n->body->g, e);
	n->n_body = 1;
	x->body = n->body;
	x->b = n->body->g;
	x->b->model = x->g->model;
	x->b->names.arena = &x->b->arena;
	x->body->inner = ONX_NEWS(a, uint32_t, nv);
	x->body->outer = ONX_NEWS(a, uint32_t, nv);
	x->b->input = ONX_NEWS(&x->b->arena, uint32_t, n->n_in + 1u);
	x->b->output = ONX_NEWS(&x->b->arena, uint32_t, n->n_out + 1u);
	x->map = ONX_NEWS(&x->mem, uint32_t, nv);
	x->d = ONX_NEWS(&x->mem, struct term *, nv);
	x->given = ONX_NEWS(&x->mem, bool, nv);
	x->dep = ONX_NEWS(&x->mem, bool, nv);
	x->need = ONX_NEWS(&x->mem, bool, nv);
	x->act = ONX_NEWS(&x->mem, bool, nv);
	x->copied = ONX_NEWS(&x->mem, bool, nn);
	if (!x->body->inner || !x->body->outer || !x->b->input || !x->b->output || !x->map || !x->d || !x->given ||
	    !x->dep || !x->need || !x->act || !x->copied)
		return no_memory(32.0 * nv, e);
	memset(x->map, 0xff, nv * sizeof *x->map);
	return ONX_OK;
}

static int write_body(struct grad *x, struct onx_err *e)
{
	uint32_t y;
	int rc = open_body(x, e);
	if (rc == ONX_OK && x->g->node[x->node].file->call)
		rc = onx_fail(e, ONX_UNSUP, "it stands in a function, which has no names of its own here");
	if (rc == ONX_OK)
		rc = take_names(x, &y, e);
	if (rc == ONX_OK)
		rc = find_nodes(x, y, e);
	for (uint32_t i = 0; rc == ONX_OK && i < x->g->n_order; i++)
		if (x->copied[x->g->order[i]])
			rc = copy_node(x, x->g->order[i], e);
	if (rc == ONX_OK)
		rc = way_back(x, y, e);
	if (rc == ONX_OK)
		rc = onx_graph_order(x->b, e);
	if (rc < 0)
		return rc;
	struct onx_node *n = &x->g->node[x->node];
	n->captured = x->body->outer;
	n->n_captured = x->body->n_captured;
	return ONX_OK;
}

int onx_graph_gradients(struct onx_graph *g, bool lax, struct onx_err *e)
{
	bool any = false;
	char name[160];
	for (uint32_t i = 0; i < g->n_node; i++) {
		struct onx_node *n = &g->node[i];
		if (n->dropped || !n->op || !(n->op->flags & ONX_OP_SECOND))
			continue;
		struct onx_err why = { 0 };
		struct grad x = { .g = g, .node = i, .a = n->attr };
		int rc = write_body(&x, &why);
		onx_arena_release(&x.mem);
		any = true;
		if (rc == ONX_OK)
			continue;
		if (!lax || rc == ONX_NOMEM) {
			*e = why;
			return onx_while(e, rc, "reading %s", onx_node_text(g, i, name, sizeof name));
		}
		n->op = NULL;
	}
	return any ? onx_graph_order(g, e) : ONX_OK;
}
