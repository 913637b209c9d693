/* graph/build.c -- from the file's names to values and nodes. */
#include "graph/graph_i.h"
#include <string.h>

struct build {
	struct onx_graph *g;
	const struct onx_file_graph *f;
	bool lax;
};

static void declare(struct onx_value *v, const struct onx_file_value *f)
{
	v->type = f->type;
	v->proto = f->proto;
	v->has_shape = f->has_shape && f->rank <= ONX_RANK;
	v->rank = v->has_shape ? f->rank : 0;
	for (int i = 0; i < v->rank; i++) {
		v->dim[i] = f->dim[i].value;
		v->sym[i] = f->dim[i].param;
	}
}

/* The value of a name, made where it is new. */
static int value_of(struct build *b, const char *name, uint32_t *id, struct onx_err *e)
{
	*id = onx_graph_find(b->g, name);
	return *id != ONX_NONE ? ONX_OK : onx_graph_new_value(b->g, name, id, e);
}

static int take_inputs(struct build *b, struct onx_err *e)
{
	for (size_t i = 0; i < b->f->n_input; i++) {
		const struct onx_file_value *f = &b->f->input[i];
		uint32_t id;
		if (!*f->name)
			return onx_fail(e, ONX_FORMAT, "input %zu of the graph has no name", i);
		if (onx_graph_find(b->g, f->name) != ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "two inputs of the graph are called '%s'", f->name);
		int rc = onx_graph_new_value(b->g, f->name, &id, e);
		if (rc < 0)
			return rc;
		declare(&b->g->value[id], f);
		b->g->value[id].input = true;
	}
	return ONX_OK;
}

static int take_inits(struct build *b, struct onx_err *e)
{
	for (size_t i = 0; i < b->f->n_init; i++) {
		const struct onx_weight *w = b->f->init[i];
		uint32_t id;
		if (!*w->name)
			return onx_fail(e, ONX_FORMAT, "initializer %zu has no name", i);
		int rc = value_of(b, w->name, &id, e);
		if (rc < 0)
			return rc;
		struct onx_value *v = &b->g->value[id];
		if (v->init)
			return onx_fail(e, ONX_FORMAT, "two initializers are called '%s'", w->name);
		v->init = w;
		v->type = w->type;
		v->has_shape = w->rank <= ONX_RANK;
		v->rank = v->has_shape ? w->rank : 0;
		for (int k = 0; k < v->rank; k++)
			v->dim[k] = w->dim[k];
	}
	return ONX_OK;
}

/* --- nodes --------------------------------------------------------------------------------------------- */

static bool has_body(const struct onx_file_node *f)
{
	for (size_t i = 0; i < f->n_attr; i++)
		if (f->attr[i].type == ONX_ATTR_GRAPH || f->attr[i].type == ONX_ATTR_GRAPHS)
			return true;
	return false;
}

static int find_op(struct build *b, struct onx_node *n, struct onx_err *e)
{
	const struct onx_file_node *f = n->file;
	int64_t version = onx_model_opset(b->g->model, f->domain);
	const struct onx_file_opset *all;
	if (version == 0 && !*f->domain && onx_model_opsets(b->g->model, &all) == 0)
		version = 1;                            /* IR 1 and 2 have no imports */
	n->version = version > 0 && version < 1 << 20 ? (int)version : 0;
	int rc = ONX_OK;
	if (version == 0)
		rc = onx_fail(e, ONX_FORMAT, "the model does not import the domain '%s'", f->domain);
	else if (!*f->domain && version > ONX_NEWEST_OPSET)
		rc = onx_fail(e, ONX_UNSUP, "opset %lld is newer than %d, the newest known here",
			      (long long)version, ONX_NEWEST_OPSET);
	else if (has_body(f))
		rc = onx_fail(e, ONX_UNSUP, "operators with a body (%s) are not supported", f->type);
	else
		rc = onx_op_find(f->domain, f->type, n->version, &n->op, e);
	/* A Constant node's numbers are its value's; they are not read a second time. */
	if (rc == ONX_OK && !(n->n_out && n->out[0] != ONX_NONE && b->g->value[n->out[0]].from_node))
		rc = onx_attr_fill(n->op, f->attr, f->n_attr, &b->g->arena, &n->attr, e);
	if (rc == ONX_OK && ((int)n->n_in < n->op->min_in ||
			     ((int)n->n_in > n->op->max_in && n->op->max_in < ONX_MANY)))
		rc = onx_fail(e, ONX_FORMAT, "has %u inputs, wanted %d to %d", (unsigned)n->n_in, n->op->min_in,
			      n->op->max_in);
	if (rc == ONX_OK && (int)n->n_out > n->op->max_out && n->op->max_out < ONX_MANY)
		rc = onx_fail(e, ONX_FORMAT, "has %u outputs, wanted at most %d", (unsigned)n->n_out,
			      n->op->max_out);
	if (rc == ONX_OK)
		for (int i = 0; i < n->op->min_in; i++)
			if (n->in[i] == ONX_NONE)
				return onx_fail(e, ONX_FORMAT, "input %d is missing", i);
	return rc;
}

/* Outputs first, for all nodes: a file's nodes may stand in any order until onx_graph_order. */
static int make_node(struct build *b, const struct onx_file_node *f, struct onx_err *e)
{
	uint32_t id, v;
	int rc = onx_graph_new_node(b->g, (uint32_t)f->n_in, (uint32_t)f->n_out, &id, e);
	if (rc < 0)
		return rc;
	struct onx_node *n = &b->g->node[id];
	n->name = f->name;
	n->type = f->type;
	n->domain = f->domain;
	n->proto = f->proto;
	n->file = f;
	for (uint32_t i = 0; i < n->n_out; i++) {
		n->out[i] = ONX_NONE;
		if (!*f->out[i])
			continue;
		rc = value_of(b, f->out[i], &v, e);
		if (rc < 0)
			return rc;
		struct onx_value *x = &b->g->value[v];
		if (x->def != ONX_NONE || x->input || x->init)
			return onx_fail(e, ONX_FORMAT, "'%s' is made twice: by %s '%s' and %s", x->name, f->type,
					f->name, x->def != ONX_NONE ? "another node" : "an input of the graph");
		x->def = id;
		x->def_slot = i;
		n->out[i] = v;
	}
	return ONX_OK;
}

static int link_node(struct build *b, uint32_t id, struct onx_err *e)
{
	struct onx_node *n = &b->g->node[id];
	for (uint32_t i = 0; i < n->n_in; i++) {
		const char *name = n->file->in[i];
		n->in[i] = *name ? onx_graph_find(b->g, name) : ONX_NONE;
		if (!*name || n->in[i] != ONX_NONE)
			continue;
		if (!b->f->n_sparse)
			return onx_fail(e, ONX_FORMAT, "nothing makes '%s'", name);
		if (!b->lax)
			return onx_fail(e, ONX_UNSUP, "nothing makes '%s', or it is a sparse initializer", name);
		int rc = onx_graph_new_value(b->g, name, &n->in[i], e);
		if (rc < 0)
			return rc;
		b->g->value[n->in[i]].input = true;     /* its numbers come from outside what we see */
	}
	return ONX_OK;
}

static int capture(struct build *b, struct onx_node *n, const char *name, uint32_t *room, struct onx_err *e)
{
	const uint32_t v = *name ? onx_graph_find(b->g, name) : ONX_NONE;
	if (v == ONX_NONE)
		return ONX_OK;
	if (n->n_captured == *room) {
		*room = *room ? 2 * *room : 8;
		uint32_t *more = ONX_NEWS(&b->g->arena, uint32_t, *room);
		if (!more)
			return onx_nomem(e, *room * 4.0, "captured values");
		if (n->n_captured)
			memcpy(more, n->captured, n->n_captured * sizeof *more);
		n->captured = more;
	}
	n->captured[n->n_captured++] = v;
	return ONX_OK;
}

/* Values of the main graph that a body reads.  ONNX lets no name of a body hide an outer one, so a name that
 * the main graph knows is its value. */
static int captures(struct build *b, struct onx_node *n, const struct onx_file_graph *body, uint32_t *room,
		    struct onx_err *e)
{
	int rc = ONX_OK;
	for (size_t i = 0; rc == ONX_OK && i < body->n_node; i++) {
		const struct onx_file_node *f = &body->node[i];
		for (size_t k = 0; rc == ONX_OK && k < f->n_in; k++)
			rc = capture(b, n, f->in[k], room, e);
		for (size_t k = 0; rc == ONX_OK && k < f->n_attr; k++)
			if (f->attr[k].graph)
				rc = captures(b, n, f->attr[k].graph, room, e);
	}
	for (size_t i = 0; rc == ONX_OK && i < body->n_output; i++)
		rc = capture(b, n, body->output[i].name, room, e);
	return rc;
}

static int finish_node(struct build *b, uint32_t id, struct onx_err *e)
{
	struct onx_node *n = &b->g->node[id];
	uint32_t room = 0;
	int rc = link_node(b, id, e);
	for (size_t k = 0; rc == ONX_OK && k < n->file->n_attr; k++)
		if (n->file->attr[k].graph)
			rc = captures(b, n, n->file->attr[k].graph, &room, e);
	if (rc == ONX_OK && !*n->domain && strcmp(n->type, "Constant") == 0 && n->n_out == 1 &&
	    n->out[0] != ONX_NONE) {
		struct onx_value *v = &b->g->value[n->out[0]];
		rc = onx_constant_weight(b->g->model, n->file, &v->init, e);
		v->from_node = v->init != NULL;
		if (v->init) {
			v->type = v->init->type;
			v->has_shape = v->init->rank <= ONX_RANK;
			v->rank = v->has_shape ? v->init->rank : 0;
			for (int i = 0; i < v->rank; i++)
				v->dim[i] = v->init->dim[i];
		}
	}
	if (rc < 0)
		return rc;
	struct onx_err why = { 0 };
	rc = find_op(b, n, &why);
	if (rc == ONX_OK || (b->lax && rc != ONX_NOMEM)) {
		if (rc < 0)
			n->op = NULL;
		return ONX_OK;
	}
	return onx_fail(e, rc, "%s", why.text);
}

static int take_nodes(struct build *b, struct onx_err *e)
{
	char name[160];
	for (size_t i = 0; i < b->f->n_node; i++) {
		int rc = make_node(b, &b->f->node[i], e);
		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < b->g->n_node; i++) {
		int rc = finish_node(b, i, e);
		if (rc < 0)
			return onx_while(e, rc, "reading %s", onx_node_text(b->g, i, name, sizeof name));
	}
	return ONX_OK;
}

static int take_outputs(struct build *b, struct onx_err *e)
{
	struct onx_graph *g = b->g;
	g->output = ONX_NEWS(&g->arena, uint32_t, b->f->n_output + 1);
	g->input = ONX_NEWS(&g->arena, uint32_t, b->f->n_input + 1);
	if (!g->output || !g->input)
		return onx_nomem(e, (double)(b->f->n_output + b->f->n_input) * 4, "outputs");
	for (size_t i = 0; i < b->f->n_output; i++) {
		const struct onx_file_value *f = &b->f->output[i];
		const uint32_t v = onx_graph_find(g, f->name);
		if (v == ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "nothing makes the output '%s'", f->name);
		if (g->value[v].output)
			return onx_fail(e, ONX_FORMAT, "two outputs of the graph are called '%s'", f->name);
		if (!g->value[v].init && !g->value[v].input)
			declare(&g->value[v], f);
		g->value[v].output = true;
		g->output[g->n_output++] = v;
	}
	for (size_t i = 0; i < b->f->n_input; i++) {
		const uint32_t v = onx_graph_find(g, b->f->input[i].name);
		if (!g->value[v].init)
			g->input[g->n_input++] = v;
	}
	for (size_t i = 0; i < b->f->n_info; i++) {
		const uint32_t v = onx_graph_find(g, b->f->info[i].name);
		if (v != ONX_NONE && !g->value[v].input && !g->value[v].output && !g->value[v].init)
			declare(&g->value[v], &b->f->info[i]);
	}
	return ONX_OK;
}

int onx_graph_build(struct onx_model *m, int flags, struct onx_graph **out, struct onx_err *e)
{
	struct onx_graph *g = onx_heap(1, sizeof *g);
	struct build b = { g, onx_model_graph(m), (flags & ONX_BUILD_LAX) != 0 };
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "a graph");
	g->model = m;
	g->names.arena = &g->arena;
	if (!b.f)
		rc = onx_fail(e, ONX_FORMAT, "the model has no graph");
	else if (b.f->n_node >= ONX_NONE / 4 || b.f->n_init >= ONX_NONE / 4 || b.f->n_input >= ONX_NONE / 4)
		rc = onx_fail(e, ONX_UNSUP, "the graph has too many nodes or tensors");
	else
		rc = take_inputs(&b, e);
	if (rc == ONX_OK)
		rc = take_inits(&b, e);
	if (rc == ONX_OK)
		rc = take_nodes(&b, e);
	if (rc == ONX_OK)
		rc = take_outputs(&b, e);
	if (rc == ONX_OK)
		rc = onx_graph_order(g, e);
	if (rc == ONX_OK)
		rc = onx_graph_check(g, e);
	if (rc < 0)
		onx_graph_free(g);
	else
		*out = g;
	return rc;
}
