/* train/featurekey.c -- what kept results are found by: all that they depend on, as one number. */
#include <string.h>
#include "train/loop_i.h"

static void put(struct onx_buf *b, const void *p, size_t n)
{
	const uint64_t all = n;
	onx_buf_add(b, &all, sizeof all);
	if (n)
		onx_buf_add(b, p, n);
}

static void text(struct onx_buf *b, const char *s)
{
	put(b, s ? s : "", s ? strlen(s) : 0);
}

/* A tensor inside a node. */
static int tensor(struct onx_buf *b, const struct onx_weight *w, struct onx_err *e)
{
	const size_t width = onx_dtype_store(w->type, false);
	struct onx_view v = { .n = w->n, .rank = w->rank, .dim = w->dim, .type = w->type, .width = (uint8_t)width };
	int rc = ONX_OK;
	put(b, &w->type, sizeof w->type);
	put(b, w->dim, (size_t)w->rank * sizeof *w->dim);
	if (!(v.v = onx_heap(w->n + 1, width)))
		return onx_nomem(e, (double)w->n * (double)width, "a constant");
	rc = onx_weight_load(w, &v, e);
	for (size_t i = 0; rc == ONX_OK && w->type == ONX_STRING && i < w->n; i++)
		text(b, ((const char *const *)v.v)[i]);
	if (rc == ONX_OK && w->type != ONX_STRING)
		put(b, v.v, w->n * width);
	onx_heap_free(v.v);
	return rc;
}

static int nodes(struct onx_buf *b, const struct onx_graph *g, struct onx_err *e);

/* weight: its tensor is a value of the graph, and maybe one that trains. */
static int attribute(struct onx_buf *b, const struct onx_file_attr *a, bool weight, struct onx_err *e)
{
	text(b, a->name);
	put(b, &a->i, sizeof a->i);
	put(b, &a->f, sizeof a->f);
	put(b, a->s, a->s ? a->s_len : 0);
	put(b, a->ints, a->ints ? a->n * sizeof *a->ints : 0);
	put(b, a->floats, a->floats ? a->n * sizeof *a->floats : 0);
	for (size_t i = 0; a->strings && i < a->n; i++)
		text(b, a->strings[i]);
	return a->tensor && !weight ? tensor(b, a->tensor, e) : ONX_OK;
}

/* What a graph inside a node holds. */
static int body(struct onx_buf *b, const struct onx_graph *g, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t v = 0; rc == ONX_OK && v < g->n_value; v++)
		if (g->value[v].init) {
			text(b, g->value[v].name);
			rc = tensor(b, g->value[v].init, e);
		}
	for (uint32_t i = 0; i < g->n_input; i++)
		text(b, g->value[g->input[i]].name);
	for (uint32_t i = 0; i < g->n_output; i++)
		text(b, g->value[g->output[i]].name);
	return rc < 0 ? rc : nodes(b, g, e);
}

static int nodes(struct onx_buf *b, const struct onx_graph *g, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		text(b, n->domain);
		text(b, n->type);
		put(b, &n->version, sizeof n->version);
		for (uint32_t k = 0; k < n->n_in; k++)
			text(b, n->in[k] == ONX_NONE ? "" : g->value[n->in[k]].name);
		for (uint32_t k = 0; k < n->n_out; k++)
			text(b, n->out[k] == ONX_NONE ? "" : g->value[n->out[k]].name);
		for (size_t k = 0; rc == ONX_OK && n->file && k < n->file->n_attr; k++)
			rc = attribute(b, &n->file->attr[k], strcmp(n->type, "Constant") == 0, e);
		for (uint32_t k = 0; rc == ONX_OK && k < n->n_body; k++)
			rc = body(b, n->body[k].g, e);
	}
	return rc;
}

int onx_features_key(const struct onx_trainer *t, const struct onx_source *src, const struct onx_list *list,
		     const struct onx_augment *augment, uint64_t *key, struct onx_err *e)
{
	struct onx_buf b = { 0 };
	*key = onx_hash(list->v, list->n * sizeof *list->v, t->ask->data_hash ^ onx_source_hash(src));
	if (t->o->precise)
		onx_buf_str(&b, "precise;");
	if (augment)
		onx_buf_fmt(&b, "%lld;%lld;", (long long)t->o->seed, (long long)t->o->views);
	for (const struct onx_field *f = onx_augment_table.field; augment && f->name; f++) {
		onx_field_show(f, augment, &b);
		onx_buf_str(&b, ";");
	}
	for (uint32_t i = 0; i < t->prefix.n_target; i++)
		text(&b, t->ask->g->value[t->prefix.target[i]].name);
	int rc = nodes(&b, t->ask->g, e);
	if (rc == ONX_OK && b.lost)
		rc = onx_nomem(e, (double)b.len, "what kept results depend on");
	*key = onx_hash(b.data, b.len, *key);
	onx_buf_release(&b);
	for (uint32_t v = 0; v < t->consts.n; v++) {
		const struct onx_view *c = t->consts.view[t->ask->wide] ? t->consts.view[t->ask->wide][v] : NULL;
		if (!c || t->modes.variable[v])
			continue;
		for (size_t i = 0; c->type == ONX_STRING && i < c->n; i++) {
			const char *s = ((const char *const *)c->v)[i];
			*key = onx_hash(s, strlen(s), *key);
		}
		if (c->type != ONX_STRING)
			*key = onx_hash(c->v, c->n * c->width, *key);
	}
	return rc;
}
