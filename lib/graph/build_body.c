/* graph/build_body.c -- bodies of If, Loop and Scan: graphs of their own, and what they read of those around them. */
#include "graph/build_i.h"
#include <string.h>

int onx_build_capture(struct onx_build *b, uint32_t inner, uint32_t outer, struct onx_err *e)
{
	struct onx_body *t = b->body;
	if (t->n_captured == b->room) {
		b->room = b->room ? 2 * b->room : 8;
		uint32_t *more = ONX_NEWS(&b->g->arena, uint32_t, 2 * (size_t)b->room);
		if (!more)
			return onx_nomem(e, b->room * 8.0, "captured values");
		if (t->n_captured) {
			memcpy(more, t->inner, t->n_captured * sizeof *more);
			memcpy(more + b->room, t->outer, t->n_captured * sizeof *more);
		}
		t->inner = more;
		t->outer = more + b->room;
	}
	t->inner[t->n_captured] = inner;
	t->outer[t->n_captured++] = outer;
	b->g->value[inner].input = true;
	return ONX_OK;
}

int onx_build_resolve(struct onx_build *b, const char *name, uint32_t *id, struct onx_err *e)
{
	uint32_t outer;
	*id = onx_graph_find(b->g, name);
	if (*id != ONX_NONE || !b->outer)
		return ONX_OK;
	int rc = onx_build_resolve(b->outer, name, &outer, e);
	if (rc < 0 || outer == ONX_NONE)
		return rc;
	rc = onx_graph_new_value(b->g, name, id, e);
	return rc < 0 ? rc : onx_build_capture(b, *id, outer, e);
}

int onx_build_hoist(struct onx_build *b, const char *name, const struct onx_weight *w, bool fixed, uint32_t *id,
		    struct onx_err *e)
{
	uint32_t outer;
	int rc;
	if (b->outer) {
		rc = onx_build_hoist(b->outer, name, w, fixed, &outer, e);
		if (rc == ONX_OK)
			rc = onx_graph_add_value(b->g, name, w->type, id, e);
		return rc < 0 ? rc : onx_build_capture(b, *id, outer, e);
	}
	rc = onx_graph_add_value(b->g, name, w->type, id, e);
	if (rc == ONX_OK) {
		onx_build_constant(&b->g->value[*id], w);
		b->g->value[*id].fixed = fixed;
	}
	return rc;
}

int onx_build_body_inits(struct onx_build *b, struct onx_err *e)
{
	for (size_t i = 0; i < b->f->n_init; i++) {
		const struct onx_weight *w = b->f->init[i];
		uint32_t outer, id;
		if (!*w->name || onx_graph_find(b->g, w->name) != ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "initializer '%s' of a body has no name of its own", w->name);
		int rc = onx_build_hoist(b->outer, w->name, w, b->called, &outer, e);
		if (rc == ONX_OK)
			rc = onx_graph_new_value(b->g, w->name, &id, e);
		if (rc == ONX_OK)
			rc = onx_build_capture(b, id, outer, e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

static int make_body(struct onx_build *b, struct onx_body *t, const struct onx_file_graph *f, bool called,
		     struct onx_err *e)
{
	t->g = onx_heap(1, sizeof *t->g);
	if (!t->g)
		return onx_nomem(e, sizeof *t->g, "a body");
	struct onx_build in = { .g = t->g, .f = f, .lax = b->lax, .outer = b, .body = t,
			    .called = called || b->called };
	t->g->model = b->g->model;
	t->g->names.arena = &t->g->arena;
	int rc = onx_build_all(&in, e);
	return rc < 0 ? onx_while(e, rc, "reading the body '%s'", f->name) : rc;
}

/* What the bodies read from this graph. */
static int collect_captures(struct onx_build *b, struct onx_node *n, struct onx_err *e)
{
	size_t most = 1;
	for (uint32_t k = 0; k < n->n_body; k++)
		most += n->body[k].n_captured;
	n->captured = ONX_NEWS(&b->g->arena, uint32_t, most);
	if (!n->captured)
		return onx_nomem(e, (double)most * 4, "captured values");
	for (uint32_t k = 0; k < n->n_body; k++)
		for (uint32_t i = 0; i < n->body[k].n_captured; i++)
			n->captured[n->n_captured++] = n->body[k].outer[i];
	return ONX_OK;
}

/* Bodies in the order then_branch, else_branch: a file may have it the other way round.  New values may move
 * the table of nodes' graph, never the nodes. */
int onx_build_bodies(struct onx_build *b, uint32_t id, struct onx_err *e)
{
	struct onx_node *n = &b->g->node[id];
	size_t count = 0;
	for (size_t k = 0; k < n->file->n_attr; k++)
		count += n->file->attr[k].graph != NULL;
	if (!count)
		return ONX_OK;
	n->body = ONX_NEWS(&b->g->arena, struct onx_body, count);
	if (!n->body)
		return onx_nomem(e, (double)count * sizeof *n->body, "bodies");
	for (int later = 0; later < 2; later++)
		for (size_t k = 0; k < n->file->n_attr; k++) {
			const struct onx_file_attr *a = &n->file->attr[k];
			if (!a->graph || (strcmp(a->name, "else_branch") == 0) != later)
				continue;
			int rc = make_body(b, &n->body[n->n_body++], a->graph, n->file->call != NULL, e);
			if (rc < 0)
				return rc;
		}
	return collect_captures(b, n, e);
}
