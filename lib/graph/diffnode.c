/* graph/diffnode.c -- nodes, their attributes, and graphs inside them. */
#include "graph/diff_i.h"
#include <string.h>

static int same_graph(struct onx_differ *x, const struct onx_file_graph *a,
		      const struct onx_file_graph *b, bool *same, struct onx_err *e);

static bool same_texts(const char *const *a, size_t na, const char *const *b, size_t nb)
{
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = !strcmp(a[i], b[i]);
	return same;
}

static int same_attr(struct onx_differ *x, const struct onx_file_attr *a,
		     const struct onx_file_attr *b, bool *same, struct onx_err *e)
{
	*same = a->type == b->type && a->n == b->n &&
		!strcmp(a->ref ? a->ref : "", b->ref ? b->ref : "");
	if (!*same || a->ref)
		return ONX_OK;
	switch (a->type) {
	case ONX_ATTR_FLOAT:
		*same = !memcmp(&a->f, &b->f, sizeof a->f);
		return ONX_OK;
	case ONX_ATTR_INT:
		*same = a->i == b->i;
		return ONX_OK;
	case ONX_ATTR_STRING:
		*same = a->s_len == b->s_len && !memcmp(a->s, b->s, a->s_len);
		return ONX_OK;
	case ONX_ATTR_INTS:
		*same = !a->n || !memcmp(a->ints, b->ints, a->n * sizeof *a->ints);
		return ONX_OK;
	case ONX_ATTR_FLOATS:
		*same = !a->n || !memcmp(a->floats, b->floats, a->n * sizeof *a->floats);
		return ONX_OK;
	case ONX_ATTR_STRINGS:
		*same = same_texts(a->strings, a->n, b->strings, b->n);
		return ONX_OK;
	case ONX_ATTR_TENSOR:
		return onx_diff_weight_same(x, a->tensor, b->tensor, same, e);
	case ONX_ATTR_GRAPH:
		return same_graph(x, a->graph, b->graph, same, e);
	default:
		return ONX_OK;          /* lists of tensors, graphs, types: by their number */
	}
}

static const struct onx_file_attr *attr_named(const struct onx_file_node *v, const char *name)
{
	for (size_t i = 0; i < v->n_attr; i++)
		if (!strcmp(v->attr[i].name, name))
			return &v->attr[i];
	return NULL;
}

static const char *attr_field(struct onx_differ *x, const char *name)
{
	const char *s = onx_text(&x->scratch, "attribute '%s'", name);
	x->lost |= s == NULL;
	return s ? s : "";
}

/* The value of a Constant node counts as a weight. */
static bool is_constant(const struct onx_file_node *v, const struct onx_file_attr *p)
{
	return !strcmp(v->type, "Constant") && v->n_out == 1 && p->type == ONX_ATTR_TENSOR &&
	       p->tensor;
}

static int diff_attrs(struct onx_differ *x, const char *name, const struct onx_file_node *a,
		      const struct onx_file_node *b, struct onx_err *e)
{
	int rc = ONX_OK;

	for (size_t i = 0; i < a->n_attr && rc == ONX_OK; i++) {
		const struct onx_file_attr *p = &a->attr[i], *q = attr_named(b, p->name);
		bool same = false;
		if (q && is_constant(a, p) && is_constant(b, q)) {
			rc = onx_diff_weight(x, a->out[0], p->tensor, q->tensor, e);
			continue;
		}
		if (q)
			rc = same_attr(x, p, q, &same, e);
		if (!same && rc == ONX_OK)
			onx_diff_add(x, ONX_DIFF_NODE, ONX_DIFF_CHANGED, name,
				     attr_field(x, p->name), onx_diff_attr_text(x, p),
				     q ? onx_diff_attr_text(x, q) : "");
	}
	for (size_t i = 0; i < b->n_attr && rc == ONX_OK; i++)
		if (!attr_named(a, b->attr[i].name))
			onx_diff_add(x, ONX_DIFF_NODE, ONX_DIFF_CHANGED, name,
				     attr_field(x, b->attr[i].name), "",
				     onx_diff_attr_text(x, &b->attr[i]));
	return rc;
}

static int diff_node(struct onx_differ *x, const char *name, const struct onx_file_node *a,
		     const struct onx_file_node *b, struct onx_err *e)
{
	const size_t before = x->d->n;

	onx_diff_texts(x, ONX_DIFF_NODE, name, "name", a->name, b->name);
	onx_diff_texts(x, ONX_DIFF_NODE, name, "operator", a->type, b->type);
	onx_diff_texts(x, ONX_DIFF_NODE, name, "domain", a->domain, b->domain);
	if (!same_texts(a->in, a->n_in, b->in, b->n_in))
		onx_diff_add(x, ONX_DIFF_NODE, ONX_DIFF_CHANGED, name, "inputs",
			     onx_diff_names_text(x, a->in, a->n_in),
			     onx_diff_names_text(x, b->in, b->n_in));
	if (!same_texts(a->out, a->n_out, b->out, b->n_out))
		onx_diff_add(x, ONX_DIFF_NODE, ONX_DIFF_CHANGED, name, "outputs",
			     onx_diff_names_text(x, a->out, a->n_out),
			     onx_diff_names_text(x, b->out, b->n_out));
	if (!x->o->no_meta)
		onx_diff_texts(x, ONX_DIFF_NODE, name, "doc string", a->doc, b->doc);
	int rc = diff_attrs(x, name, a, b, e);
	x->d->nodes_same += x->d->n == before;
	return rc;
}

static bool same_values(struct onx_differ *x, const struct onx_file_value *a, size_t na,
			const struct onx_file_value *b, size_t nb)
{
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = !strcmp(a[i].name, b[i].name) &&
		       !strcmp(onx_diff_value_text(x, &a[i]), onx_diff_value_text(x, &b[i]));
	return same;
}

/* Graphs inside nodes are compared as a whole, element by element. */
static int same_graph(struct onx_differ *x, const struct onx_file_graph *a,
		      const struct onx_file_graph *b, bool *same, struct onx_err *e)
{
	int rc = ONX_OK;

	*same = a->n_node == b->n_node && a->n_init == b->n_init && a->n_sparse == b->n_sparse &&
		same_values(x, a->input, a->n_input, b->input, b->n_input) &&
		same_values(x, a->output, a->n_output, b->output, b->n_output);
	for (size_t i = 0; *same && rc == ONX_OK && i < a->n_init; i++) {
		rc = onx_diff_weight_same(x, a->init[i], b->init[i], same, e);
		*same = *same && !strcmp(a->init[i]->name, b->init[i]->name);
	}
	for (size_t i = 0; *same && rc == ONX_OK && i < a->n_node; i++) {
		const struct onx_file_node *p = &a->node[i], *q = &b->node[i];
		*same = p->n_attr == q->n_attr && !strcmp(p->type, q->type) &&
			!strcmp(p->domain, q->domain) && !strcmp(p->name, q->name) &&
			same_texts(p->in, p->n_in, q->in, q->n_in) &&
			same_texts(p->out, p->n_out, q->out, q->n_out);
		for (size_t k = 0; *same && rc == ONX_OK && k < p->n_attr; k++) {
			const struct onx_file_attr *other = attr_named(q, p->attr[k].name);
			*same = other != NULL;
			if (other)
				rc = same_attr(x, &p->attr[k], other, same, e);
		}
	}
	return rc;
}

static const char *first_output(const struct onx_file_node *v)
{
	for (size_t i = 0; i < v->n_out; i++)
		if (*v->out[i])
			return v->out[i];
	return "";
}

/* What a node is called: its name, else its first output. */
static const char *node_name(const struct onx_file_node *v)
{
	return *v->name ? v->name : first_output(v);
}

static const char *node_reads(struct onx_differ *x, const void *list, size_t i)
{
	(void)x;
	return ((const struct onx_file_node *)list)[i].type;
}

static const char **node_keys(struct onx_differ *x, const struct onx_file_graph *g,
			      const char *key(const struct onx_file_node *))
{
	const char **s = ONX_NEWS(&x->scratch, const char *, g->n_node + 1);

	x->lost |= s == NULL;
	for (size_t i = 0; s && i < g->n_node; i++)
		s[i] = key(&g->node[i]);
	return s;
}

static const char *own_name(const struct onx_file_node *v)
{
	return v->name;
}

int onx_diff_nodes(struct onx_differ *x, const struct onx_file_graph *a,
		   const struct onx_file_graph *b, struct onx_err *e)
{
	const char **na = node_keys(x, a, own_name), **nb = node_keys(x, b, own_name);
	const char **oa = node_keys(x, a, first_output), **ob = node_keys(x, b, first_output);
	const char **ta = node_keys(x, a, node_name), **tb = node_keys(x, b, node_name);
	uint32_t *pa = onx_diff_table(x, a->n_node), *pb = onx_diff_table(x, b->n_node);
	int rc = ONX_OK;

	if (x->lost)
		return ONX_OK;          /* reported at the end */
	onx_diff_pair(x, na, a->n_node, nb, b->n_node, pa, pb);
	onx_diff_pair(x, oa, a->n_node, ob, b->n_node, pa, pb);
	onx_diff_unpaired(x, ONX_DIFF_NODE, ONX_DIFF_REMOVED, ta, pa, a->n_node, node_reads,
			  a->node);
	onx_diff_unpaired(x, ONX_DIFF_NODE, ONX_DIFF_ADDED, tb, pb, b->n_node, node_reads, b->node);
	for (size_t i = 0; i < a->n_node && rc == ONX_OK; i++)
		if (pa[i] != ONX_NONE)
			rc = diff_node(x, ta[i], &a->node[i], &b->node[pa[i]], e);
	onx_diff_order(x, ONX_DIFF_NODE, ta, pa, a->n_node);
	return rc;
}

