/* graph/build.c -- from the file's names to values and nodes; those of bodies: build_body.c. */
#include "graph/build_i.h"
#include <string.h>

static void declare(struct onx_value *v, const struct onx_file_value *f)
{
	v->type = f->type;
	v->composite = f->kind && (strcmp(f->kind, "sequence") == 0 || strcmp(f->kind, "map") == 0 ||
				   strcmp(f->kind, "optional") == 0);
	v->proto = f->proto;
	v->has_shape = f->has_shape && f->rank <= ONX_RANK;
	v->rank = v->has_shape ? f->rank : 0;
	for (int i = 0; i < v->rank; i++) {
		v->dim[i] = f->dim[i].value;
		v->sym[i] = f->dim[i].param;
	}
}

/* The value of a name, made where it is new. */
static int value_of(struct onx_build *b, const char *name, uint32_t *id, struct onx_err *e)
{
	*id = onx_graph_find(b->g, name);
	return *id != ONX_NONE ? ONX_OK : onx_graph_new_value(b->g, name, id, e);
}

static int take_inputs(struct onx_build *b, struct onx_err *e)
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

void onx_build_constant(struct onx_value *v, const struct onx_weight *w)
{
	v->init = w;
	v->type = w->type;
	v->has_shape = w->rank <= ONX_RANK;
	v->rank = v->has_shape ? w->rank : 0;
	for (int k = 0; k < v->rank; k++)
		v->dim[k] = w->dim[k];
}

static int take_inits(struct onx_build *b, struct onx_err *e)
{
	for (size_t i = 0; i < b->f->n_init; i++) {
		const struct onx_weight *w = b->f->init[i];
		uint32_t id;
		if (!*w->name)
			return onx_fail(e, ONX_FORMAT, "initializer %zu has no name", i);
		int rc = value_of(b, w->name, &id, e);
		if (rc < 0)
			return rc;
		if (b->g->value[id].init)
			return onx_fail(e, ONX_FORMAT, "two initializers are called '%s'", w->name);
		onx_build_constant(&b->g->value[id], w);
	}
	return ONX_OK;
}

/* --- nodes --------------------------------------------------------------------------------------------- */

/* A function imports domains of its own. */
static int64_t imported(const struct onx_build *b, const struct onx_file_node *f)
{
	for (size_t i = 0; f->call && i < f->call->n_opset; i++)
		if (strcmp(f->call->opset[i].domain, f->domain) == 0)
			return f->call->opset[i].version;
	return onx_model_opset(b->g->model, f->domain);
}

static int find_op(struct onx_build *b, struct onx_node *n, struct onx_err *e)
{
	const struct onx_file_node *f = n->file;
	int64_t version = imported(b, f);
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
	else
		rc = onx_op_find(f->domain, f->type, n->version, &n->op, e);
	/* A Constant node's numbers are its value's; they are not read a second time. */
	if (rc == ONX_OK && !(n->n_out && n->out[0] != ONX_NONE && b->g->value[n->out[0]].from_node))
		rc = onx_attr_fill(n->op, f->attr, f->n_attr, &b->g->arena, &n->attr, e);
	const int most = rc == ONX_OK ? n->op->lift ? 1 : n->op->max_in : 0;
	if (rc == ONX_OK && ((int)n->n_in < n->op->min_in || ((int)n->n_in > most && most < ONX_MANY)))
		rc = onx_fail(e, ONX_FORMAT, "has %u inputs, wanted %d to %d", (unsigned)n->n_in, n->op->min_in,
			      most);
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
static int make_node(struct onx_build *b, const struct onx_file_node *f, struct onx_err *e)
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

static int link_node(struct onx_build *b, uint32_t id, struct onx_err *e)
{
	struct onx_node *n = &b->g->node[id];
	for (uint32_t i = 0; i < n->n_in; i++) {
		const char *name = n->file->in[i];
		int rc = ONX_OK;
		n->in[i] = ONX_NONE;
		if (*name)
			rc = onx_build_resolve(b, name, &n->in[i], e);
		if (rc < 0)
			return rc;
		if (!*name || n->in[i] != ONX_NONE)
			continue;
		if (!b->f->n_sparse)
			return onx_fail(e, ONX_FORMAT, "nothing makes '%s'", name);
		if (!b->lax)
			return onx_fail(e, ONX_UNSUP, "nothing makes '%s', or it is a sparse initializer", name);
		rc = onx_graph_new_value(b->g, name, &n->in[i], e);
		if (rc < 0)
			return rc;
		b->g->value[n->in[i]].input = true;     /* its numbers come from outside what we see */
	}
	return ONX_OK;
}

/* The numbers of a Constant node are a constant of the graph, in a body one of the main graph. */
static int take_constant(struct onx_build *b, struct onx_node *n, struct onx_err *e)
{
	const uint32_t v = n->n_out == 1 ? n->out[0] : ONX_NONE;
	const struct onx_weight *w = NULL;
	uint32_t outer;
	if (*n->domain || strcmp(n->type, "Constant") != 0 || v == ONX_NONE)
		return ONX_OK;
	int rc = onx_constant_weight(b->g->model, n->file, &w, e);
	if (rc < 0 || !w)
		return rc;
	if (!b->outer) {
		onx_build_constant(&b->g->value[v], w);
		b->g->value[v].from_node = true;
		return ONX_OK;
	}
	const struct onx_file_attr *a = onx_attr_find(n->file->attr, n->file->n_attr, "value");
	rc = onx_build_hoist(b->outer, b->g->value[v].name, w, b->called || !a || a->tensor != w, &outer, e);
	if (rc < 0)
		return rc;
	b->g->value[v].def = ONX_NONE;
	n->dropped = true;
	return onx_build_capture(b, v, outer, e);
}

static int finish_node(struct onx_build *b, uint32_t id, struct onx_err *e)
{
	struct onx_node *n = &b->g->node[id];
	int rc = link_node(b, id, e);
	if (rc == ONX_OK)
		rc = onx_build_bodies(b, id, e);
	if (rc == ONX_OK)
		rc = take_constant(b, n, e);
	if (rc < 0 || n->dropped)
		return rc;
	struct onx_err why = { 0 };
	rc = find_op(b, n, &why);
	if (rc == ONX_OK || (b->lax && rc != ONX_NOMEM)) {
		if (rc < 0)
			n->op = NULL;
		return n->op && !b->outer ? onx_lift(b->g, id, e) : ONX_OK;
	}
	return onx_fail(e, rc, "%s", why.text);
}

static int take_nodes(struct onx_build *b, struct onx_err *e)
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

static int take_outputs(struct onx_build *b, struct onx_err *e)
{
	struct onx_graph *g = b->g;
	g->output = ONX_NEWS(&g->arena, uint32_t, b->f->n_output + 1);
	g->input = ONX_NEWS(&g->arena, uint32_t, b->f->n_input + 1);
	if (!g->output || !g->input)
		return onx_nomem(e, (double)(b->f->n_output + b->f->n_input) * 4, "outputs");
	for (size_t i = 0; i < b->f->n_output; i++) {
		const struct onx_file_value *f = &b->f->output[i];
		uint32_t v;
		int rc = onx_build_resolve(b, f->name, &v, e);
		if (rc < 0)
			return rc;
		if (v == ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "nothing makes the output '%s'", f->name);
		if (g->value[v].output && !b->outer)
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

int onx_build_all(struct onx_build *b, struct onx_err *e)
{
	int rc;
	if (b->f->n_node >= ONX_NONE / 4 || b->f->n_init >= ONX_NONE / 4 || b->f->n_input >= ONX_NONE / 4)
		return onx_fail(e, ONX_UNSUP, "the graph has too many nodes or tensors");
	if ((rc = take_inputs(b, e)) < 0 ||
	    (rc = b->outer ? onx_build_body_inits(b, e) : take_inits(b, e)) < 0 || (rc = take_nodes(b, e)) < 0 ||
	    (rc = take_outputs(b, e)) < 0 || (rc = onx_graph_order(b->g, e)) < 0 ||
	    (rc = onx_graph_gradients(b->g, b->lax, !b->outer, e)) < 0)
		return rc;
	return onx_graph_check(b->g, e);
}

static int build_of(struct onx_model *m, const struct onx_file_graph *f, bool lax, struct onx_graph **out,
		    struct onx_err *e)
{
	struct onx_graph *g = onx_heap(1, sizeof *g);
	struct onx_build b = { .g = g, .f = f, .lax = lax };

	if (!g)
		return onx_nomem(e, sizeof *g, "a graph");
	g->model = m;
	g->names.arena = &g->arena;
	int rc = f ? onx_graph_inline(m, f, &b.f, e) : onx_fail(e, ONX_FORMAT, "the model has no graph");
	if (rc == ONX_OK)
		rc = onx_build_all(&b, e);
	if (rc < 0)
		onx_graph_free(g);
	else
		*out = g;
	return rc;
}

int onx_graph_build(struct onx_model *m, int flags, struct onx_graph **out, struct onx_err *e)
{
	return build_of(m, onx_model_graph(m), (flags & ONX_BUILD_LAX) != 0, out, e);
}

int onx_graph_build_part(struct onx_model *m, const struct onx_file_graph *f, struct onx_graph **out,
			 struct onx_err *e)
{
	return build_of(m, f, false, out, e);
}
