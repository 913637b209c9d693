/* graph/inline.c -- model-local functions: each call is replaced by the function's nodes (IR specification,
 * "Model Functions"; IR 8 and later).
 *
 * A name inside a function is a formal input or output, which stands for the name at the call, or it is the
 * function's own and gets the call's number in front.  That holds in the graphs inside its nodes too.  An attribute
 * that refers to one of the function's (ref_attr_name) takes what the call says, else the function's default;
 * where neither is, the node does not have it.  FlexAttention is such a call too (graph/flex.c), and so are some
 * operators that are others put together (graph/written.c).  Only memory changes: a call whose nodes nobody touched is
 * written back as it was (graph/export.c). */
#include <string.h>
#include "graph/inline_i.h"

enum { DEEPEST = 64, NODES_MOST = 1 << 20 };

static int no_memory(struct onx_err *e)
{
	return onx_nomem(e, sizeof(struct onx_file_node), "the nodes of a function");
}

/* Our own kernels come first where a file brings a function for an operator of a known domain. */
static const struct onx_file_function *called(const struct onx_inliner *x, const struct onx_file_node *n)
{
	const struct onx_op *op;
	struct onx_err e = { 0 };

	for (size_t i = 0; i < x->n_f; i++)
		if (strcmp(x->f[i].name, n->type) == 0 && strcmp(x->f[i].domain, n->domain) == 0 &&
		    strcmp(x->f[i].overload, n->overload ? n->overload : "") == 0)
			return onx_op_find(n->domain, n->type, ONX_NEWEST_OPSET, &op, &e) == ONX_OK ? NULL : &x->f[i];
	return NULL;
}

static bool calls_in(const struct onx_inliner *x, const struct onx_file_graph *g);

static bool calls_any(const struct onx_inliner *x, const struct onx_file_node *n)
{
	if (called(x, n) || onx_is_flex(n) || onx_is_written(n))
		return true;
	for (size_t i = 0; i < n->n_attr; i++)
		if (n->attr[i].graph && calls_in(x, n->attr[i].graph))
			return true;
	return false;
}

static bool calls_in(const struct onx_inliner *x, const struct onx_file_graph *g)
{
	for (size_t i = 0; i < g->n_node; i++)
		if (calls_any(x, &g->node[i]))
			return true;
	return false;
}

/* ---- names and attributes ---- */

static bool makes(const struct onx_file_graph *g, const char *name)
{
	for (size_t i = 0; i < g->n_init; i++)
		if (strcmp(g->init[i]->name, name) == 0)
			return true;
	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i].n_out; k++)
			if (strcmp(g->node[i].out[k], name) == 0)
				return true;
	return false;
}

const char *onx_inline_name(struct onx_inliner *x, const struct onx_frame *in, const char *name, struct onx_err *e)
{
	char *to;

	if (!in || !*name)
		return name;
	for (size_t i = 0; i < in->f->n_in; i++)
		if (strcmp(in->f->in[i], name) == 0)
			return i < in->at->n_in ? in->at->in[i] : "";
	for (size_t i = 0; i < in->f->n_out; i++)
		if (strcmp(in->f->out[i], name) == 0 && i < in->at->n_out && *in->at->out[i])
			return in->at->out[i];
	if (in->own && !makes(in->own, name))
		return name;
	const size_t a = strlen(in->prefix), b = strlen(name);

	to = onx_alloc(x->mem, a + b + 1, 1);
	if (!to) {
		(void)no_memory(e);
		return NULL;
	}
	memcpy(to, in->prefix, a);
	memcpy(to + a, name, b + 1);
	return to;
}

static const char *const *names(struct onx_inliner *x, const struct onx_frame *in, const char *const *v, size_t n,
				struct onx_err *e)
{
	const char **to = ONX_NEWS(x->mem, const char *, n + 1);

	if (!to)
		(void)no_memory(e);
	for (size_t i = 0; to && i < n; i++)
		if (!(to[i] = onx_inline_name(x, in, v[i], e)))
			return NULL;
	return to;
}

static int values(struct onx_inliner *x, const struct onx_frame *in, const struct onx_file_value **v, size_t n,
		  struct onx_err *e)
{
	struct onx_file_value *to = ONX_NEWS(x->mem, struct onx_file_value, n + 1);

	if (!to)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		to[i] = (*v)[i];
		if (!(to[i].name = onx_inline_name(x, in, to[i].name, e)))
			return ONX_NOMEM;
	}
	*v = to;
	return ONX_OK;
}

/* A graph inside a node, with its names changed and its calls replaced. */
static int graph(struct onx_inliner *x, const struct onx_frame *in, const struct onx_file_graph **g,
		 struct onx_err *e)
{
	struct onx_file_graph *to = ONX_NEW(x->mem, struct onx_file_graph);
	struct onx_node_list nodes = { 0 };
	int rc = to ? ONX_OK : no_memory(e);

	if (rc < 0)
		return rc;
	*to = **g;
	const struct onx_weight **init = ONX_NEWS(x->mem, const struct onx_weight *, to->n_init + 1);

	if (!init)
		return no_memory(e);
	for (size_t i = 0; i < to->n_init; i++) {
		struct onx_weight *w = ONX_NEW(x->mem, struct onx_weight);

		if (!w)
			return no_memory(e);
		*w = *(*g)->init[i];
		if (!(w->name = onx_inline_name(x, in, w->name, e)))
			return ONX_NOMEM;
		init[i] = w;
	}
	to->init = init;
	if ((rc = values(x, in, &to->input, to->n_input, e)) < 0 ||
	    (rc = values(x, in, &to->output, to->n_output, e)) < 0 ||
	    (rc = values(x, in, &to->info, to->n_info, e)) < 0)
		return rc;
	for (size_t i = 0; rc == ONX_OK && i < (*g)->n_node; i++)
		rc = onx_inline_expand(x, &(*g)->node[i], in, &nodes, e);
	to->node = nodes.v;
	to->n_node = nodes.n;
	*g = to;
	return rc;
}

static int attributes(struct onx_inliner *x, const struct onx_frame *in, const struct onx_file_node *n,
		      struct onx_file_node *to, struct onx_err *e)
{
	struct onx_file_attr *v = ONX_NEWS(x->mem, struct onx_file_attr, n->n_attr + 1);
	size_t count = 0;

	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < n->n_attr; i++) {
		const struct onx_file_attr *a = &n->attr[i];

		if (a->ref && in) {
			const struct onx_file_attr *is = onx_attr_find(in->at->attr, in->at->n_attr, a->ref);

			if (!is)
				is = onx_attr_find(in->f->attr, in->f->n_attr, a->ref);
			if (!is)
				continue;
			v[count] = *is;
			v[count++].name = a->name;
			continue;
		}
		v[count] = *a;
		if (a->graph) {
			const int rc = graph(x, in, &v[count].graph, e);

			if (rc < 0)
				return rc;
		}
		count++;
	}
	to->attr = v;
	to->n_attr = count;
	return ONX_OK;
}

/* ---- nodes ---- */

int onx_inline_append(struct onx_inliner *x, struct onx_node_list *to, const struct onx_file_node *n,
		      struct onx_err *e)
{
	if (++x->nodes > NODES_MOST)
		return onx_fail(e, ONX_UNSUP, "the functions of the model make more than %d nodes", (int)NODES_MOST);
	if (to->n == to->cap) {
		const size_t cap = to->cap ? 2 * to->cap : 32;
		struct onx_file_node *v = ONX_NEWS(x->mem, struct onx_file_node, cap);

		if (!v)
			return no_memory(e);
		if (to->n)
			memcpy(v, to->v, to->n * sizeof *v);
		to->v = v;
		to->cap = cap;
	}
	to->v[to->n++] = *n;
	return ONX_OK;
}

/* The call that a node belongs to: one in the modifier of a FlexAttention is now part of that. */
static const struct onx_file_call *call_of(struct onx_inliner *x, const struct onx_file_node *n,
					   const struct onx_frame *in, struct onx_err *e)
{
	if (!in->own || !n->call)
		return in->call;
	struct onx_file_call *call = ONX_NEW(x->mem, struct onx_file_call);

	if (!call) {
		(void)no_memory(e);
		return NULL;
	}
	*call = *n->call;
	call->node = in->call->node;
	call->once &= in->call->once;
	return call;
}

/* A node of the function as the main graph has it. */
static int copy(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_frame *in,
		struct onx_file_node *to, struct onx_err *e)
{
	*to = *n;
	if (in) {
		to->proto = NULL;
		if (!(to->call = call_of(x, n, in, e)) || !(to->in = names(x, in, n->in, n->n_in, e)) ||
		    !(to->out = names(x, in, n->out, n->n_out, e)) ||
		    !(to->name = *n->name ? onx_inline_name(x, in, n->name, e) : ""))
			return ONX_NOMEM;
	}
	return attributes(x, in, n, to, e);
}

static int body(struct onx_inliner *x, const struct onx_file_function *f, const struct onx_file_node *at,
		const struct onx_file_node *outermost, const struct onx_frame *up, struct onx_node_list *to,
		struct onx_err *e)
{
	struct onx_file_call *call = ONX_NEW(x->mem, struct onx_file_call);
	const char *prefix = onx_text(x->mem, "%s_%zu.", f->name, ++x->calls);
	struct onx_frame in = { .f = f, .at = at, .call = call, .prefix = prefix, .up = up,
			    .depth = up ? up->depth + 1 : 1 };
	const size_t before = to->n;
	int rc = ONX_OK;

	if (!call || !prefix)
		return no_memory(e);
	for (const struct onx_frame *u = up; u; u = u->up)
		if (u->f == f)
			return onx_fail(e, ONX_FORMAT, "the function '%s' calls itself", f->name);
	if (in.depth > DEEPEST)
		return onx_fail(e, ONX_UNSUP, "functions call each other more than %d deep", (int)DEEPEST);
	if (at->n_in > f->n_in || at->n_out > f->n_out)
		return onx_fail(e, ONX_FORMAT, "the call has %zu inputs and %zu outputs, the function '%s' %zu and %zu",
				at->n_in, at->n_out, f->name, f->n_in, f->n_out);
	*call = (struct onx_file_call){ .node = outermost, .opset = f->opset, .n_opset = f->n_opset };
	for (size_t i = 0; rc == ONX_OK && i < f->n_node; i++)
		rc = onx_inline_expand(x, &f->node[i], &in, to, e);
	call->n_node = to->n - before;
	return rc;
}

int onx_inline_expand(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_frame *in,
		      struct onx_node_list *to, struct onx_err *e)
{
	const struct onx_file_function *f = called(x, n);
	struct onx_file_node *at = ONX_NEW(x->mem, struct onx_file_node);
	int rc;

	if (!at)
		return no_memory(e);
	if (!in && !calls_any(x, n))
		return onx_inline_append(x, to, n, e);
	if ((rc = copy(x, n, in, at, e)) < 0)
		return rc;
	if (!f && onx_is_flex(n))
		return onx_inline_flex(x, at, in ? in->call->node : n, in, to, e);
	if (!f && onx_is_written(n))
		return onx_inline_written(x, at, in ? in->call->node : n, in, to, e);
	return f ? body(x, f, at, in ? in->call->node : n, in, to, e) : onx_inline_append(x, to, at, e);
}

int onx_graph_inline(struct onx_model *m, const struct onx_file_graph *g, const struct onx_file_graph **out,
		     struct onx_err *e)
{
	struct onx_inliner x = { .m = m, .mem = onx_model_arena(m) };
	struct onx_node_list nodes = { 0 };
	int rc = onx_model_functions(m, &x.f, &x.n_f, e);

	*out = g;
	if (rc < 0 || !calls_in(&x, g))
		return rc;
	struct onx_file_graph *to = ONX_NEW(x.mem, struct onx_file_graph);

	if (!to)
		return no_memory(e);
	*to = *g;
	for (size_t i = 0; rc == ONX_OK && i < g->n_node; i++)
		rc = onx_inline_expand(&x, &g->node[i], NULL, &nodes, e);
	to->node = nodes.v;
	to->n_node = nodes.n;
	*out = to;
	return rc;
}
