/* rewrite/foldbody_known.c -- names in the scopes of a file: which are constant, and their numbers. */
#include <string.h>
#include "op/op.h"
#include "rewrite/foldbody_i.h"

struct onx_fold_def *onx_fold_own(const struct onx_fold_scope *s, const char *name)
{
	const uint32_t k = *name ? onx_names_get(&s->names, name) : ONX_NONE;

	return k == ONX_NONE ? NULL : &s->def[k];
}

struct onx_fold_def *onx_fold_find(const struct onx_fold_scope *s, const char *name)
{
	struct onx_fold_def *d = NULL;

	for (; s && !d; s = s->up)
		d = onx_fold_own(s, name);
	return d;
}

/* ---- what is known ---- */

int64_t onx_fold_version(const struct onx_fold *x, const struct onx_fold_scope *s, const char *domain)
{
	for (size_t i = 0; s->call && i < s->call->n_opset; i++)
		if (strcmp(s->call->opset[i].domain, domain) == 0)
			return s->call->opset[i].version;
	return onx_model_opset(x->m, domain);
}

bool onx_fold_is_constant(const struct onx_file_node *n)
{
	return !*n->domain && strcmp(n->type, "Constant") == 0;
}

bool onx_fold_known(const struct onx_fold *x, const struct onx_fold_scope *s, const struct onx_file_node *n)
{
	const int64_t version = onx_fold_version(x, s, n->domain);
	const struct onx_op *op;
	struct onx_err e = { 0 };

	for (size_t i = 0; i < n->n_attr; i++)
		if (n->attr[i].ref || n->attr[i].graph)
			return false;
	if (onx_fold_is_constant(n))
		return true;
	if (version <= 0 || version > ONX_NEWEST_OPSET || onx_op_find(n->domain, n->type, (int)version, &op, &e) < 0 ||
	    op->flags & (ONX_OP_RANDOM | ONX_OP_NOFOLD | ONX_OP_BODY | ONX_OP_SEQUENCE))
		return false;
	for (size_t i = 0; i < n->n_in; i++) {
		const struct onx_fold_def *d = *n->in[i] ? onx_fold_find(s, n->in[i]) : NULL;
		if (*n->in[i] && (!d || !d->known))
			return false;
	}
	return true;
}

static bool put(struct onx_fold_scope *s, const char *name, struct onx_fold_def d)
{
	d.in = s;
	s->def[s->n_def] = d;
	return !*name || onx_names_put(&s->names, name, (uint32_t)s->n_def++);
}

int onx_fold_define(struct onx_fold *x, struct onx_fold_scope *s, struct onx_err *e)
{
	const struct onx_file_graph *f = &s->f;
	size_t n = f->n_input + f->n_init + (s->fn ? s->fn->n_in : 0);
	bool ok = true;

	for (size_t i = 0; i < f->n_node; i++)
		n += f->node[i].n_out;
	s->names.arena = &x->mem;
	s->def = ONX_NEWS(&x->mem, struct onx_fold_def, n + 1);
	if (!s->def)
		return onx_fold_nomem(e);
	for (size_t i = 0; s->fn && i < s->fn->n_in; i++)
		ok = ok && put(s, s->fn->in[i], (struct onx_fold_def){ 0 });
	for (size_t i = 0; i < f->n_input; i++)
		ok = ok && put(s, f->input[i].name, (struct onx_fold_def){ 0 });
	for (size_t i = 0; i < f->n_init; i++)
		ok = ok && put(s, f->init[i]->name, (struct onx_fold_def){ .init = f->init[i], .known = true });
	for (size_t i = 0; i < f->n_node; i++) {
		const struct onx_fold_def d = { .node = &f->node[i], .known = onx_fold_known(x, s, &f->node[i]) };
		for (size_t k = 0; k < f->node[i].n_out; k++)
			ok = ok && put(s, f->node[i].out[k], d);
	}
	return ok ? ONX_OK : onx_fold_nomem(e);
}

/* ---- computing ---- */

static void take(struct onx_fold_trial *t, struct onx_fold_def *d)
{
	if (d->taken)
		return;
	d->taken = true;
	for (size_t k = 0; d->node && k < d->node->n_out; k++) {
		struct onx_fold_def *o = onx_fold_own(d->in, d->node->out[k]);
		if (o)
			o->taken = true;
	}
	t->part[t->n++] = d;
}

/* The nodes and initializers that the values are made of, as a graph with the values for outputs. */
static int collect(struct onx_fold *x, struct onx_fold_trial *t, struct onx_fold_def *const *want,
		   const char *const *name, size_t n, struct onx_err *e)
{
	struct onx_file_value *out = ONX_NEWS(&x->mem, struct onx_file_value, n + 1);
	size_t all = 1;

	for (size_t i = 0; i < n; i++)
		for (const struct onx_fold_scope *s = want[i]->in; i == 0 && s; s = s->up)
			all += s->n_def;
	t->part = ONX_NEWS(&x->mem, struct onx_fold_def *, all);
	struct onx_file_node *node = ONX_NEWS(&x->mem, struct onx_file_node, all);
	const struct onx_weight **init = ONX_NEWS(&x->mem, const struct onx_weight *, all);
	if (!out || !t->part || !node || !init)
		return onx_fold_nomem(e);
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct onx_file_value){ .name = name[i], .kind = "" };
		take(t, want[i]);
	}
	t->f = (struct onx_file_graph){ .name = "constants", .node = node, .init = init, .output = out,
					.n_output = n };
	for (size_t i = 0; i < t->n; i++) {
		struct onx_fold_def *d = t->part[i];
		if (d->init) {
			init[t->f.n_init++] = d->init;
			continue;
		}
		for (size_t k = 0; k < d->node->n_in; k++)
			if (*d->node->in[k])
				take(t, onx_fold_find(d->in, d->node->in[k]));
		node[t->f.n_node] = *d->node;
		node[t->f.n_node++].call = d->in->call;
	}
	return ONX_OK;
}

static void learn(const struct onx_fold_trial *t, struct onx_fold_def *d, const char *name)
{
	const uint32_t v = d && *name ? onx_graph_find(t->g, name) : ONX_NONE;
	const struct onx_fact *f = v == ONX_NONE ? NULL : &t->facts->fact[v];

	if (!f || f->type == ONX_UNDEFINED)
		return;
	d->bytes = onx_dtype_bits(f->type) / 8.0;
	for (int i = 0; i < f->shape.rank; i++)
		d->bytes *= (double)f->shape.dim[i];
	if (f->type != ONX_STRING && onx_dtype_class(f->type) != ONX_CLASS_NONE && d->node)
		d->value = f->value;
}

int onx_fold_compute(struct onx_fold *x, struct onx_fold_trial *t, struct onx_fold_def *const *want,
		     const char *const *name, size_t n, struct onx_err *e)
{
	const struct onx_facts_want how = { .partial = true };
	int rc = collect(x, t, want, name, n, e);

	if (rc == ONX_OK)
		rc = onx_graph_build_part(x->m, &t->f, &t->g, e);
	if (rc < 0)
		return rc;
	onx_consts_init(&t->consts, t->g);
	rc = onx_facts_make(t->g, &t->consts, &how, &t->facts, e);
	for (size_t i = 0; rc == ONX_OK && i < t->n; i++) {
		struct onx_fold_def *d = t->part[i];
		if (d->init)
			learn(t, d, d->init->name);
		for (size_t k = 0; d->node && k < d->node->n_out; k++)
			learn(t, onx_fold_own(d->in, d->node->out[k]), d->node->out[k]);
	}
	return rc;
}

void onx_fold_forget(struct onx_fold_trial *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct onx_fold_def *d = t->part[i];
		d->taken = false;
		for (size_t k = 0; d->node && k < d->node->n_out; k++) {
			struct onx_fold_def *o = onx_fold_own(d->in, d->node->out[k]);
			if (o)
				o->taken = false;
		}
	}
	onx_facts_free(t->facts);
	if (t->g)
		onx_consts_release(&t->consts);
	onx_graph_free(t->g);
}
