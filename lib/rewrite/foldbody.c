/* rewrite/foldbody.c -- what never changes in the bodies of If, Loop and Scan and in model-local functions.
 *
 * This works on the file, before there is a graph: a node that makes what others read becomes a Constant that makes
 * it under the same name, so that whoever reads it, in bodies further in too, means what he meant.  Scopes nest as
 * names do; what a body reads of the graphs around it may be constant there, and has an initializer or a Constant
 * there afterwards.  In the main graph only what bodies and functions read is looked at: the rest is foldconst.c's. */
#include "rewrite/fold.h"
#include "op/op.h"
#include "rewrite/foldbody_i.h"

/* ---- who reads what ---- */

enum reads { BEFORE, NOW, HELD };

static void note(const struct onx_fold_scope *s, const char *name, enum reads how)
{
	struct onx_fold_def *d = onx_fold_own(s, name);

	if (!d)
		return;
	d->read |= how == BEFORE;
	d->needed |= how != BEFORE;
	d->held |= how == HELD;
}

static void inside(const struct onx_fold_scope *s, const struct onx_file_node *n, enum reads how);

static void graph_reads(const struct onx_fold_scope *s, const struct onx_file_graph *g, enum reads how)
{
	for (size_t i = 0; i < g->n_node; i++) {
		for (size_t k = 0; k < g->node[i].n_in; k++)
			note(s, g->node[i].in[k], how);
		inside(s, &g->node[i], how);
	}
	for (size_t i = 0; i < g->n_output; i++)
		note(s, g->output[i].name, how);
}

/* What the bodies of a node read. */
static void inside(const struct onx_fold_scope *s, const struct onx_file_node *n, enum reads how)
{
	for (size_t i = 0; i < n->n_attr; i++)
		if (n->attr[i].graph)
			graph_reads(s, n->attr[i].graph, how);
}

/* Is it a call, of whose inputs the names are better kept? */
static bool is_call(const struct onx_fold *x, const struct onx_fold_scope *s, const struct onx_file_node *n)
{
	const int64_t version = onx_fold_version(x, s, n->domain);
	const struct onx_op *op;
	struct onx_err e = { 0 };

	return version > 0 && onx_op_find(n->domain, n->type, (int)version, &op, &e) < 0;
}

static void node_reads(const struct onx_fold *x, const struct onx_fold_scope *s, const struct onx_file_node *n)
{
	const enum reads how = is_call(x, s, n) ? HELD : NOW;

	for (size_t k = 0; k < n->n_in; k++)
		note(s, n->in[k], how);
	inside(s, n, HELD);
}

static void outputs_read(const struct onx_fold_scope *s, enum reads how)
{
	for (size_t i = 0; i < s->f.n_output; i++)
		note(s, s->f.output[i].name, how);
	for (size_t i = 0; s->fn && i < s->fn->n_out; i++)
		note(s, s->fn->out[i], how);
}

/* ---- what goes and what stays ---- */

enum fate { STAYS, GOES, BECOMES };

/* All that is needed of the node is known and small enough. */
static bool replaceable(const struct onx_fold_scope *s, const struct onx_file_node *n)
{
	double made_of = ONX_FOLD_SMALL;
	bool held = s->up || s->fn;

	for (size_t k = 0; k < n->n_in; k++) {
		const struct onx_fold_def *d = *n->in[k] ? onx_fold_find(s, n->in[k]) : NULL;
		made_of += d ? d->bytes : 0;
	}
	for (size_t k = 0; k < n->n_out; k++) {
		const struct onx_fold_def *d = onx_fold_own(s, n->out[k]);
		if (!d || !d->needed)
			continue;
		held |= d->held;
		if (!d->value || d->bytes > made_of)
			return false;
	}
	return held;
}

static enum fate decide(const struct onx_fold *x, const struct onx_fold_scope *s, const struct onx_file_node *n)
{
	bool needed = false, read = false;

	for (size_t k = 0; k < n->n_out; k++) {
		const struct onx_fold_def *d = onx_fold_own(s, n->out[k]);
		needed |= d && d->needed;
		read |= d && d->read;
	}
	if (!needed)
		return read ? GOES : STAYS;
	if (!onx_fold_is_constant(n) && replaceable(s, n))
		return BECOMES;
	node_reads(x, s, n);
	return STAYS;
}

static int constant_node(struct onx_fold *x, const struct onx_file_node *was, const struct onx_fold_def *d,
			 const char *name, struct onx_file_node *to, struct onx_err *e)
{
	struct onx_arena *a = onx_model_arena(x->m);
	struct onx_file_attr *attr = ONX_NEW(a, struct onx_file_attr);
	const char **out = ONX_NEW(a, const char *);
	const struct onx_weight *w = NULL;

	if (!attr || !out)
		return onx_fold_nomem(e);
	const int rc = onx_weight_new(x->m, name, d->value->type, d->value, &w, e);
	*attr = (struct onx_file_attr){ .name = "value", .type = ONX_ATTR_TENSOR, .tensor = w };
	*out = name;
	*to = (struct onx_file_node){ .name = was->n_out == 1 ? was->name : "", .type = "Constant", .domain = "",
				      .doc = "", .n_out = 1, .out = out, .n_attr = 1, .attr = attr };
	return rc;
}

/* The scope's nodes and initializers as they are to be. */
static int rewrite(struct onx_fold *x, struct onx_fold_scope *s, const enum fate *fate, struct onx_err *e)
{
	struct onx_file_node *node = ONX_NEWS(&x->mem, struct onx_file_node, s->n_def + s->f.n_node + 1);
	const struct onx_weight **init = ONX_NEWS(&x->mem, const struct onx_weight *, s->f.n_init + 1);
	size_t n = 0, n_init = 0;
	int rc = node && init ? ONX_OK : onx_fold_nomem(e);

	for (size_t i = 0; rc == ONX_OK && i < s->f.n_node; i++) {
		const struct onx_file_node *f = &s->f.node[i];
		if (fate[i] == STAYS)
			node[n++] = *f;
		for (size_t k = 0; fate[i] == BECOMES && rc == ONX_OK && k < f->n_out; k++) {
			const struct onx_fold_def *d = onx_fold_own(s, f->out[k]);
			if (d && d->needed)
				rc = constant_node(x, f, d, f->out[k], &node[n++], e);
		}
		x->n += fate[i] != STAYS && !onx_fold_is_constant(f);
		s->changed |= fate[i] != STAYS;
	}
	for (size_t i = 0; rc == ONX_OK && i < s->f.n_init; i++) {
		const struct onx_fold_def *d = onx_fold_own(s, s->f.init[i]->name);
		const bool goes = d && d->init && d->read && !d->needed;
		if (!goes)
			init[n_init++] = s->f.init[i];
		s->changed |= goes;
	}
	s->f.node = node;
	s->f.n_node = n;
	s->f.init = init;
	s->f.n_init = n_init;
	return rc;
}

/* Before IR 4 an initializer is an input, too, and without its numbers would have to be fed. */
static void inputs_stay(const struct onx_fold_scope *s)
{
	for (size_t i = 0; i < s->f.n_input; i++)
		note(s, s->f.input[i].name, NOW);
}

static int settle(struct onx_fold *x, struct onx_fold_scope *s, struct onx_err *e)
{
	struct onx_fold_def **want = ONX_NEWS(&x->mem, struct onx_fold_def *, s->n_def + 1);
	const char **name = ONX_NEWS(&x->mem, const char *, s->n_def + 1);
	enum fate *fate = ONX_NEWS(&x->mem, enum fate, s->f.n_node + 1);
	struct onx_fold_trial t = { 0 };
	struct onx_err why = { 0 };
	size_t n = 0;
	int rc = ONX_OK;

	if (!want || !name || !fate)
		return onx_fold_nomem(e);
	outputs_read(s, NOW);
	inputs_stay(s);
	for (size_t i = 0; i < s->f.n_node; i++)
		if (!onx_fold_known(x, s, &s->f.node[i]))
			node_reads(x, s, &s->f.node[i]);
	for (size_t i = 0; i < s->f.n_node; i++)
		for (size_t k = 0; k < s->f.node[i].n_out; k++) {
			struct onx_fold_def *d = onx_fold_own(s, s->f.node[i].out[k]);
			if (!d || !d->known || onx_fold_is_constant(d->node) || !(s->up || s->fn || d->held))
				continue;
			want[n] = d;
			name[n++] = s->f.node[i].out[k];
		}
	if (n)
		rc = onx_fold_compute(x, &t, want, name, n, &why);
	if (rc == ONX_NOMEM)
		*e = why;
	for (size_t i = s->f.n_node; rc != ONX_NOMEM && i-- > 0; )      /* a fault is for who runs it to find */
		fate[i] = onx_fold_known(x, s, &s->f.node[i]) ? decide(x, s, &s->f.node[i]) : STAYS;
	if (rc != ONX_NOMEM)
		rc = rewrite(x, s, fate, e);
	onx_fold_forget(&t);
	return rc;
}

/* ---- scopes ---- */

static int fold_scope(struct onx_fold *x, struct onx_fold_scope *s, struct onx_err *e);

/* The bodies of node i, and the node with their new views. */
static int fold_inner(struct onx_fold *x, struct onx_fold_scope *s, struct onx_file_node *n, struct onx_err *e)
{
	struct onx_file_attr *attr = ONX_NEWS(&x->mem, struct onx_file_attr, n->n_attr + 1);

	if (!attr)
		return onx_fold_nomem(e);
	for (size_t i = 0; i < n->n_attr; i++) {
		attr[i] = n->attr[i];
		if (!attr[i].graph || attr[i].ref)
			continue;
		struct onx_fold_scope *in = ONX_NEW(&x->mem, struct onx_fold_scope);
		if (!in)
			return onx_fold_nomem(e);
		*in = (struct onx_fold_scope){ .up = s, .f = *attr[i].graph, .call = s->call };
		int rc = fold_scope(x, in, e);
		if (rc == ONX_OK && in->changed)
			rc = onx_model_set_inner(x->m, &in->f, e);
		onx_names_release(&in->names);
		if (rc < 0)
			return rc;
		s->changed |= in->changed;
		attr[i].graph = &in->f;
	}
	n->attr = attr;
	return ONX_OK;
}

static int fold_scope(struct onx_fold *x, struct onx_fold_scope *s, struct onx_err *e)
{
	struct onx_file_node *node = ONX_NEWS(&x->mem, struct onx_file_node, s->f.n_node + 1);

	if (!node)
		return onx_fold_nomem(e);
	for (size_t i = 0; i < s->f.n_node; i++)
		node[i] = s->f.node[i];
	s->f.node = node;
	int rc = onx_fold_define(x, s, e);
	if (rc == ONX_OK) {
		graph_reads(s, &s->f, BEFORE);
		outputs_read(s, BEFORE);
	}
	for (size_t i = 0; rc == ONX_OK && i < s->f.n_node; i++) {
		bool any = false;
		for (size_t k = 0; k < node[i].n_attr; k++)
			any |= node[i].attr[k].graph != NULL;
		rc = any ? fold_inner(x, s, &node[i], e) : ONX_OK;
	}
	return rc == ONX_OK ? settle(x, s, e) : rc;
}

static int fold_functions(struct onx_fold *x, struct onx_err *e)
{
	const struct onx_file_function *f;
	size_t n;
	int rc = onx_model_functions(x->m, &f, &n, e);

	for (size_t i = 0; rc == ONX_OK && i < n; i++) {
		const struct onx_file_call call = { .opset = f[i].opset, .n_opset = f[i].n_opset };
		struct onx_fold_scope s = {
			.f = { .name = f[i].name, .node = f[i].node, .n_node = f[i].n_node }, .fn = &f[i], .call = &call
		};
		rc = fold_scope(x, &s, e);
		if (rc == ONX_OK && s.changed)
			rc = onx_model_set_function(x->m, i, s.f.node, s.f.n_node, e);
		onx_names_release(&s.names);
	}
	return rc;
}

int onx_fold_bodies(struct onx_model *m, uint32_t *n, struct onx_err *e)
{
	struct onx_fold x = { .m = m };
	struct onx_fold_scope s = { .f = *onx_model_graph(m) };
	int rc = fold_functions(&x, e);

	if (rc == ONX_OK)
		rc = fold_scope(&x, &s, e);
	if (rc == ONX_OK && (s.changed || x.n))
		rc = onx_model_set_graph(m, &s.f, e);
	onx_names_release(&s.names);
	onx_arena_release(&x.mem);
	*n = x.n;
	return rc;
}
