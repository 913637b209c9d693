/* model/edit.c -- changes to a loaded model. */
#include "model/model_i.h"
#include <string.h>

/* --- the graph -------------------------------------------------------------------------------- */

/* All lists of a graph, built before any is put in: a fault leaves the model as it was, but for
 * edited messages. */
struct lists {
	Onnx__NodeProto **node;
	Onnx__TensorProto **init;
	Onnx__ValueInfoProto **input, **output, **info;
	size_t n_info;
	Onnx__TensorAnnotation **note;
	size_t n_note;
};

static int build_values(struct onx_arena *a, const struct onx_file_value *v, size_t n,
			Onnx__ValueInfoProto ***out, struct onx_err *e)
{
	Onnx__ValueInfoProto **p = ONX_NEWS(a, Onnx__ValueInfoProto *, n + 1);

	if (!p)
		return onx_nomem(e, (double)n * sizeof *p, "inputs and outputs");
	*out = p;
	for (size_t i = 0; i < n; i++) {
		int rc = onx_build_value(a, &v[i], &p[i], e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

static int build_lists(struct onx_model *m, const struct onx_file_graph *g, struct lists *l,
		       struct onx_err *e)
{
	struct onx_arena *a = &m->arena;
	int rc = ONX_OK;

	l->node = ONX_NEWS(a, Onnx__NodeProto *, g->n_node + 1);
	l->init = ONX_NEWS(a, Onnx__TensorProto *, g->n_init + 1);
	if (!l->node || !l->init)
		return onx_nomem(e, (double)(g->n_node + g->n_init) * sizeof *l->node,
				 "the lists of a graph");
	for (size_t i = 0; i < g->n_init; i++)
		l->init[i] = g->init[i]->proto;
	for (size_t i = 0; i < g->n_node && rc == ONX_OK; i++)
		rc = onx_build_node(a, &g->node[i], &l->node[i], e);
	if (rc == ONX_OK)
		rc = build_values(a, g->input, g->n_input, &l->input, e);
	if (rc == ONX_OK)
		rc = build_values(a, g->output, g->n_output, &l->output, e);
	return rc;
}

static bool put_names(struct onx_names *names, const struct onx_file_graph *g)
{
	bool ok = true;

	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i].n_out; k++)
			ok = ok && onx_names_put(names, g->node[i].out[k], 0);
	for (size_t i = 0; i < g->n_init; i++)
		ok = ok && onx_names_put(names, g->init[i]->name, 0);
	for (size_t i = 0; i < g->n_input; i++)
		ok = ok && onx_names_put(names, g->input[i].name, 0);
	return ok;
}

/* value_info and quantization annotations of names that are still there. */
static int keep_info(struct onx_model *m, const Onnx__GraphProto *p, const struct onx_file_graph *g,
		     struct lists *l, struct onx_err *e)
{
	struct onx_arena scratch = { 0 };
	struct onx_names names = { .arena = &scratch };
	int rc = ONX_OK;

	l->info = ONX_NEWS(&m->arena, Onnx__ValueInfoProto *, g->n_info + 1);
	l->note = ONX_NEWS(&m->arena, Onnx__TensorAnnotation *, p->n_quantization_annotation + 1);
	bool ok = l->info && l->note && put_names(&names, g);
	for (size_t i = 0; ok && i < p->n_sparse_initializer; i++)
		if (p->sparse_initializer[i]->values)
			ok = onx_names_put(&names,
					   onx_or_empty(p->sparse_initializer[i]->values->name), 0);
	if (!ok)
		rc = onx_nomem(e, (double)(g->n_info + g->n_node) * 64, "the names of a graph");
	for (size_t i = 0; rc == ONX_OK && i < g->n_info; i++)
		if (onx_names_get(&names, g->info[i].name) != ONX_NONE)
			rc = onx_build_value(&m->arena, &g->info[i], &l->info[l->n_info++], e);
	for (size_t i = 0; rc == ONX_OK && i < p->n_quantization_annotation; i++) {
		Onnx__TensorAnnotation *t = p->quantization_annotation[i];
		if (onx_names_get(&names, onx_or_empty(t->tensor_name)) != ONX_NONE)
			l->note[l->n_note++] = t;
	}
	onx_names_release(&names);
	onx_arena_release(&scratch);
	return rc;
}

static int set_graph(struct onx_model *m, Onnx__GraphProto *p, const struct onx_file_graph *g, struct onx_err *e)
{
	struct lists l = { 0 };

	int rc = build_lists(m, g, &l, e);
	if (rc == ONX_OK)
		rc = keep_info(m, p, g, &l, e);
	if (rc < 0)
		return rc;
	if (strcmp(onx_or_empty(g->name), onx_or_empty(p->name)) != 0) {
		p->name = onx_dup(&m->arena, onx_or_empty(g->name));
		if (!p->name)
			return onx_nomem(e, 64, "the name of the graph");
	}
	p->node = l.node;
	p->n_node = g->n_node;
	p->initializer = l.init;
	p->n_initializer = g->n_init;
	p->input = l.input;
	p->n_input = g->n_input;
	p->output = l.output;
	p->n_output = g->n_output;
	p->value_info = l.info;
	p->n_value_info = l.n_info;
	p->quantization_annotation = l.note;
	p->n_quantization_annotation = l.n_note;
	m->dirty = true;
	return ONX_OK;
}

int onx_model_set_graph(struct onx_model *m, const struct onx_file_graph *g, struct onx_err *e)
{
	const int rc = set_graph(m, m->proto->graph, g, e);

	return rc < 0 ? rc : onx_view_graph(m, m->proto->graph, &m->graph, e);
}

int onx_model_set_inner(struct onx_model *m, const struct onx_file_graph *g, struct onx_err *e)
{
	m->function = NULL;                     /* it may be in one: read anew */
	return set_graph(m, g->proto, g, e);
}

int onx_model_set_function(struct onx_model *m, size_t i, const struct onx_file_node *node, size_t n, struct onx_err *e)
{
	Onnx__FunctionProto *p = m->proto->functions[i];
	Onnx__NodeProto **list = ONX_NEWS(&m->arena, Onnx__NodeProto *, n + 1);
	int rc = list ? ONX_OK : onx_nomem(e, (double)n * sizeof *list, "the nodes of a function");

	for (size_t k = 0; rc == ONX_OK && k < n; k++)
		rc = onx_build_node(&m->arena, &node[k], &list[k], e);
	if (rc < 0)
		return rc;
	p->node = list;
	p->n_node = n;
	m->dirty = true;
	m->function = NULL;
	return ONX_OK;
}

/* --- opsets ----------------------------------------------------------------------------------- */

/* The list with room for one more at its end. */
static void *longer(struct onx_arena *a, const void *v, size_t n)
{
	void **w = ONX_NEWS(a, void *, n + 1);
	if (w && n)
		memcpy(w, v, n * sizeof *w);
	return w;
}

int onx_model_set_opset(struct onx_model *m, const char *domain, int64_t version, struct onx_err *e)
{
	Onnx__ModelProto *p = m->proto;
	Onnx__OperatorSetIdProto *o = NULL;

	for (size_t i = 0; !o && i < p->n_opset_import; i++)
		if (!strcmp(onx_domain_norm(p->opset_import[i]->domain), onx_domain_norm(domain)))
			o = p->opset_import[i];
	if (o && o->has_version && o->version == version)
		return ONX_OK;
	if (!o) {
		Onnx__OperatorSetIdProto **list =
			longer(&m->arena, p->opset_import, p->n_opset_import);
		o = ONX_NEW(&m->arena, Onnx__OperatorSetIdProto);
		if (!list || !o)
			return onx_nomem(e, 64, "an opset import");
		onnx__operator_set_id_proto__init(o);
		o->domain = onx_dup(&m->arena, onx_domain_norm(domain));
		if (!o->domain)
			return onx_nomem(e, 64, "an opset import");
		list[p->n_opset_import++] = o;
		p->opset_import = list;
	}
	o->has_version = 1;
	o->version = version;
	m->dirty = true;
	return onx_view_opsets(m, e);
}

/* --- metadata --------------------------------------------------------------------------------- */

static bool key_is(const Onnx__StringStringEntryProto *x, const char *key)
{
	return !strcmp(onx_or_empty(x->key), key);
}

const char *onx_model_meta(const struct onx_model *m, const char *key)
{
	for (size_t i = 0; i < m->proto->n_metadata_props; i++)
		if (key_is(m->proto->metadata_props[i], key))
			return onx_or_empty(m->proto->metadata_props[i]->value);
	return NULL;
}

size_t onx_model_n_meta(const struct onx_model *m)
{
	return m->proto->n_metadata_props;
}

void onx_model_meta_at(const struct onx_model *m, size_t i, const char **key, const char **value)
{
	*key = onx_or_empty(m->proto->metadata_props[i]->key);
	*value = onx_or_empty(m->proto->metadata_props[i]->value);
}

/* Removes what begins with prefix (whole: is it). */
static void drop(struct onx_model *m, const char *prefix, bool whole)
{
	Onnx__ModelProto *p = m->proto;
	const size_t n = strlen(prefix) + whole;
	size_t keep = 0;

	for (size_t i = 0; i < p->n_metadata_props; i++)
		if (strncmp(onx_or_empty(p->metadata_props[i]->key), prefix, n) != 0)
			p->metadata_props[keep++] = p->metadata_props[i];
	m->dirty |= keep != p->n_metadata_props;
	p->n_metadata_props = keep;
}

int onx_model_set_meta(struct onx_model *m, const char *key, const char *value, struct onx_err *e)
{
	Onnx__ModelProto *p = m->proto;
	Onnx__StringStringEntryProto *x = NULL;

	if (!value) {
		drop(m, key, true);
		return ONX_OK;
	}
	for (size_t i = 0; !x && i < p->n_metadata_props; i++)
		if (key_is(p->metadata_props[i], key))
			x = p->metadata_props[i];
	if (x && !strcmp(onx_or_empty(x->value), value))
		return ONX_OK;
	char *text = onx_dup(&m->arena, value);
	if (!text)
		return onx_nomem(e, (double)strlen(value), "metadata");
	if (!x) {
		Onnx__StringStringEntryProto **list =
			longer(&m->arena, p->metadata_props, p->n_metadata_props);
		x = ONX_NEW(&m->arena, Onnx__StringStringEntryProto);
		if (!list || !x)
			return onx_nomem(e, 64, "metadata");
		onnx__string_string_entry_proto__init(x);
		x->key = onx_dup(&m->arena, key);
		if (!x->key)
			return onx_nomem(e, 64, "metadata");
		list[p->n_metadata_props++] = x;
		p->metadata_props = list;
	}
	x->value = text;
	m->dirty = true;
	return ONX_OK;
}

int onx_model_drop_meta(struct onx_model *m, const char *prefix, struct onx_err *e)
{
	(void)e;
	drop(m, prefix, false);
	return ONX_OK;
}
