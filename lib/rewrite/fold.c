/* rewrite/fold.c -- idle nodes out, BatchNormalization into convolutions. */
#include "rewrite/fold.h"
#include <math.h>
#include <string.h>
#include "graph/consts.h"
#include "rewrite/patch.h"

static bool is(const struct onx_node *n, const char *type)
{
	return !*n->domain && strcmp(n->type, type) == 0;
}

static uint32_t readers(const struct onx_uses *u, uint32_t v)
{
	return u->first[v + 1] - u->first[v];
}

static bool idle(const struct onx_graph *g, const struct onx_uses *u, const struct onx_node *n)
{
	if ((!is(n, "Identity") && !is(n, "Dropout")) || n->n_in < 1 || n->in[0] == ONX_NONE ||
	    n->out[0] == ONX_NONE || g->value[n->out[0]].output)
		return false;
	if (n->n_in > 2 && n->in[2] != ONX_NONE)
		return false;                           /* a Dropout told to be in training mode */
	return n->n_out < 2 || n->out[1] == ONX_NONE ||
	       (readers(u, n->out[1]) == 0 && !g->value[n->out[1]].output);
}

int onx_drop_idle(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_uses u;
	char name[160];
	int rc = onx_graph_uses(g, &mem, &u, e);
	*n = 0;
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_node; i++) {
		const struct onx_node *x = &g->node[i];
		if (x->dropped || !idle(g, &u, x))
			continue;
		struct onx_patch p = { .mem = &mem, .rule = "idle", .where = onx_node_text(g, i, name, sizeof name) };
		onx_patch_drop(&p, i);
		onx_patch_move(&p, x->out[0], x->in[0]);
		rc = onx_patch_apply(g, &p, log, e);
		++*n;
	}
	onx_arena_release(&mem);
	return rc;
}

/* --- batch normalisation ----------------------------------------------------------------------------------- */

static double epsilon(const struct onx_node *n)
{
	for (size_t i = 0; n->file && i < n->file->n_attr; i++)
		if (strcmp(n->file->attr[i].name, "epsilon") == 0)
			return (double)n->file->attr[i].f;
	for (size_t i = 0; !n->file && i < n->n_new_attr; i++)
		if (strcmp(n->new_attr[i].name, "epsilon") == 0)
			return (double)n->new_attr[i].f;
	return 1e-5;
}

static bool foldable(const struct onx_graph *g, const struct onx_uses *u, const struct onx_node *n)
{
	if (!is(n, "BatchNormalization") || n->n_in != 5 || n->in[0] == ONX_NONE || n->out[0] == ONX_NONE)
		return false;
	for (uint32_t i = 1; i < n->n_out; i++)         /* a node that still moves its statistics */
		if (n->out[i] != ONX_NONE)
			return false;
	for (uint32_t i = 1; i < 5; i++)
		if (n->in[i] == ONX_NONE || !g->value[n->in[i]].init)
			return false;
	const struct onx_value *y = &g->value[n->in[0]];
	if (y->def == ONX_NONE || y->output || readers(u, n->in[0]) != 1 || !is(&g->node[y->def], "Conv"))
		return false;
	const struct onx_node *c = &g->node[y->def];
	for (uint32_t i = 1; i < c->n_in; i++)
		if (c->in[i] != ONX_NONE && !g->value[c->in[i]].init)
			return false;
	const struct onx_weight *w = g->value[c->in[1]].init;
	for (uint32_t i = 1; i < 5; i++)
		if (w->rank < 2 || (int64_t)g->value[n->in[i]].init->n != w->dim[0])
			return false;
	return c->n_in < 3 || c->in[2] == ONX_NONE || (int64_t)g->value[c->in[2]].init->n == w->dim[0];
}

/* w and b hold the convolution's numbers, in double, and get the folded ones. */
static void scale_rows(const struct onx_view *w, const struct onx_view *b, const struct onx_view *const bn[4],
		       double eps)
{
	const size_t rows = (size_t)w->dim[0], inner = w->n / rows;
	for (size_t r = 0; r < rows; r++) {
		const double s = onx_view_real(bn[0], r) / sqrt(onx_view_real(bn[3], r) + eps);
		for (size_t i = 0; i < inner; i++)
			onx_view_put_real(w, r * inner + i, onx_view_real(w, r * inner + i) * s);
		onx_view_put_real(b, r, (onx_view_real(b, r) - onx_view_real(bn[2], r)) * s + onx_view_real(bn[1], r));
	}
}

/* A copy in the memory form that a new weight wants. */
static int copied(const struct onx_graph *g, uint32_t v, size_t n, enum onx_dtype type, struct onx_arena *mem,
		  struct onx_view *out, struct onx_err *e)
{
	*out = (struct onx_view){ .n = n, .type = type, .width = (uint8_t)onx_dtype_store(type, false) };
	out->v = onx_alloc(mem, n + 1, out->width);
	if (!out->v)
		return onx_nomem(e, (double)n * out->width, "folded weights");
	if (v == ONX_NONE)
		return ONX_OK;
	out->rank = g->value[v].init->rank;
	out->dim = g->value[v].init->dim;
	return onx_weight_load(g->value[v].init, out, e);
}

static int fold_one(struct onx_graph *g, struct onx_consts *c, uint32_t id, struct onx_arena *mem,
		    struct onx_buf *log, struct onx_err *e)
{
	const struct onx_node *n = &g->node[id], *conv = &g->node[g->value[n->in[0]].def];
	const uint32_t conv_id = g->value[n->in[0]].def;
	const struct onx_value *wv = &g->value[conv->in[1]];
	const bool has_bias = conv->n_in > 2 && conv->in[2] != ONX_NONE;
	const size_t rows = (size_t)wv->init->dim[0];
	const struct onx_view *bn[4];
	struct onx_view w, b;
	char name[160];
	struct onx_patch p = { .mem = mem, .rule = "fold-norm", .where = onx_node_text(g, id, name, sizeof name) };
	int rc = ONX_OK;
	for (int i = 0; rc == ONX_OK && i < 4; i++)
		rc = onx_consts_get(c, n->in[i + 1], false, &bn[i], e);
	if (rc == ONX_OK)
		rc = copied(g, conv->in[1], wv->init->n, wv->init->type, mem, &w, e);
	if (rc == ONX_OK)
		rc = copied(g, has_bias ? conv->in[2] : ONX_NONE, rows, wv->init->type, mem, &b, e);
	if (rc < 0)
		return rc;
	scale_rows(&w, &b, bn, epsilon(n));
	const char *wn = onx_text(mem, "%s_folded", wv->name), *bias = onx_text(mem, "%s_folded_bias", wv->name);
	if (!wn || !bias)
		return onx_nomem(e, 64, "names");
	const uint32_t in[3] = { conv->in[0],
		onx_patch_value(&p, wn, wv->init->type, w.rank, w.dim, w.v),
		onx_patch_value(&p, bias, wv->init->type, 1, (int64_t[]){ (int64_t)rows }, b.v) };
	const struct onx_file_attr *attr = conv->new_attr ? conv->new_attr : conv->file ? conv->file->attr : NULL;
	const size_t n_attr = conv->new_attr ? conv->n_new_attr : conv->file ? conv->file->n_attr : 0;
	onx_patch_drop(&p, id);
	onx_patch_drop(&p, conv_id);
	onx_patch_add(&p, &(struct onx_patch_node){ "", "Conv", conv->name, in, n->out, 3, 1, attr, n_attr });
	return onx_patch_apply(g, &p, log, e);
}

int onx_fold_norms(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts c;
	struct onx_uses u;
	const uint32_t n_node = g->n_node;
	int rc = onx_graph_uses(g, &mem, &u, e);
	*n = 0;
	onx_consts_init(&c, g);
	for (uint32_t i = 0; rc == ONX_OK && i < n_node; i++) {
		if (g->node[i].dropped || !foldable(g, &u, &g->node[i]))
			continue;
		rc = fold_one(g, &c, i, &mem, log, e);
		++*n;
	}
	onx_consts_release(&c);
	onx_arena_release(&mem);
	return rc;
}
