/* plan/unroll_copy.c -- the copy of a graph into which control flow is written out: new values, new nodes behind all
 * others, and the nodes of a body once more for a turn. */
#include <string.h>
#include "plan/unroll_i.h"
#include "tensor/seq.h"

enum { NODES_MOST = 1 << 18 };

int onx_unroll_nomem(double bytes, struct onx_err *e)
{
	return onx_nomem(e, bytes, "a loop that is written out");
}

/* ---- growing ---- */

void *onx_unroll_longer(struct onx_arena *a, const void *old, size_t n, size_t room, size_t width)
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
		struct onx_value *value = onx_unroll_longer(&g->arena, g->value, n, room, sizeof *value);
		bool *variable = onx_unroll_longer(&g->arena, u->variable, n, room, sizeof *variable);
		bool *weight = onx_unroll_longer(&g->arena, u->weight, n, room, sizeof *weight);
		if (!value || !variable || !weight)
			return onx_unroll_nomem(room * sizeof *value, e);
		g->value = value;
		u->variable = variable;
		u->weight = weight;
		g->cap_value = room;
	}
	g->value[g->n_value] = (struct onx_value){ .name = g->node[u->at].name, .type = type, .def = ONX_NONE };
	*id = g->n_value++;
	return ONX_OK;
}

int onx_unroll_order(struct unroll *u, uint32_t id, struct onx_err *e)
{
	struct onx_graph *g = u->g;
	if (g->n_order == u->cap_order) {
		u->cap_order = 2 * u->cap_order + 64;
		g->order = onx_unroll_longer(&g->arena, g->order, g->n_order, u->cap_order, sizeof *g->order);
		if (!g->order)
			return onx_unroll_nomem(u->cap_order * 4.0, e);
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
		struct onx_node *more = onx_unroll_longer(&g->arena, g->node, g->n_node, room, sizeof *more);
		u->train = onx_unroll_longer(&g->arena, u->train, g->n_node, room, sizeof *u->train);
		u->told = onx_unroll_longer(&g->arena, u->told, g->n_node, room, sizeof(void *));
		if (!more || !u->train || !u->told)
			return onx_unroll_nomem(room * sizeof *more, e);       /* its fault still names nodes */
		g->node = more;
		g->cap_node = room;
	}
	g->node[g->n_node] = *n;
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE) {
			g->value[n->out[k]].def = g->n_node;
			g->value[n->out[k]].def_slot = k;
		}
	return onx_unroll_order(u, g->n_node++, e);
}

/* A node of the default domain beside the bodies' own. */
int onx_unroll_node(struct unroll *u, const char *type, int version, uint32_t n_in, const uint32_t *in, uint32_t n_out,
		  const uint32_t *out, const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	struct onx_arena *a = &u->g->arena;
	struct onx_node n = { .name = u->g->node[u->at].name, .type = type, .domain = "", .version = version,
			      .n_in = n_in, .n_out = n_out };
	n.in = onx_unroll_longer(a, in, n_in, n_in + 1u, sizeof *in);
	n.out = onx_unroll_longer(a, out, n_out, n_out + 1u, sizeof *out);
	n.new_attr = onx_attr_copy(a, attr, n_attr);
	n.n_new_attr = n_attr;
	if (!n.in || !n.out || !n.new_attr)
		return onx_unroll_nomem(4.0 * (n_in + n_out), e);
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
		u->feed = onx_unroll_longer(&u->g->arena, u->feed, u->n_feed, u->cap_feed, sizeof *u->feed);
	}
	if (!copy || !u->feed)
		return onx_unroll_nomem((double)t->value->n * t->value->width, e);
	u->feed[u->n_feed++] = (struct onx_feed){ v, t->shape, t->type, copy };
	return ONX_OK;
}

/* A new value that holds one whole number. */
int onx_unroll_number(struct unroll *u, enum onx_dtype type, int64_t x, uint32_t *id, struct onx_err *e)
{
	struct onx_view *v = onx_tensor_new(&u->scratch, type, 0, NULL, onx_dtype_store(type, false));
	if (!v)
		return onx_unroll_nomem(8, e);
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
	n->captured = onx_unroll_longer(a, n->captured, n->n_captured, n->n_captured + 1u, sizeof *n->captured);
	n->body = onx_unroll_longer(a, n->body, n->n_body, n->n_body, sizeof *n->body);
	if (!n->captured || !n->body)
		return onx_unroll_nomem(4.0 * n->n_captured, e);
	for (uint32_t i = 0; i < n->n_captured; i++)
		n->captured[i] = map[n->captured[i]];
	for (uint32_t b = 0; b < n->n_body; b++) {
		struct onx_body *body = &n->body[b];
		body->outer = onx_unroll_longer(a, body->outer, body->n_captured, body->n_captured + 1u,
						sizeof *body->outer);
		if (!body->outer)
			return onx_unroll_nomem(4.0 * body->n_captured, e);
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
	n.in = onx_unroll_longer(a, n.in, n.n_in, n.n_in + 1u, sizeof *n.in);
	n.out = onx_unroll_longer(a, n.out, n.n_out, n.n_out + 1u, sizeof *n.out);
	n.name = onx_text(a, "%s[%zu]%s%s", u->g->node[u->at].name, turn, *n.name ? "." : "", n.name);
	if (!n.in || !n.out || !n.name)
		return onx_unroll_nomem(4.0 * (n.n_in + n.n_out), e);
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
	int rc = map ? ONX_OK : onx_unroll_nomem(4.0 * from->n_value, e);
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
