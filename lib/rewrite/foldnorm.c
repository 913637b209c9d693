/* rewrite/foldnorm.c -- BatchNormalization into the weights of the layer in front of it. */
#include "rewrite/fold.h"
#include <math.h>
#include <string.h>
#include "graph/consts.h"
#include "rewrite/patch.h"

/* The layer in front: element i of its weight belongs to output channel
 * (i / outer % groups) * per + i / inner % per. */
struct layer {
	uint32_t node, weight, bias;            /* bias ONX_NONE: none                      */
	size_t channels, per, groups, inner, outer;
	double beta;                            /* what the bias is multiplied by: Gemm     */
};

static bool is(const struct onx_node *n, const char *type)
{
	return !*n->domain && strcmp(n->type, type) == 0;
}

static const struct onx_file_attr *attrs_of(const struct onx_node *n, size_t *count)
{
	*count = n->new_attr ? n->n_new_attr : n->file ? n->file->n_attr : 0;
	return n->new_attr ? n->new_attr : n->file ? n->file->attr : NULL;
}

static double number(const struct onx_node *n, const char *name, double def)
{
	size_t count;
	const struct onx_file_attr *a = attrs_of(n, &count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(a[i].name, name) == 0)
			return a[i].type == ONX_ATTR_INT ? (double)a[i].i : (double)a[i].f;
	return def;
}

/* How the weight is laid out: Conv [C, in/g, k...], ConvTranspose [in, C/g, k...], Gemm [in, C] or, with
 * transB, [C, in]. */
static bool layout(const struct onx_node *n, const struct onx_weight *w, struct layer *l)
{
	size_t inner = 1;
	if (w->rank < 2 || w->n == 0)
		return false;
	for (int i = 2; i < w->rank; i++)
		inner *= (size_t)w->dim[i];
	l->groups = l->beta = 1;
	l->outer = w->n;
	if (is(n, "Conv") || (is(n, "Gemm") && number(n, "transB", 0) != 0)) {
		l->per = l->channels = (size_t)w->dim[0];
		l->inner = w->n / l->per;
	} else if (is(n, "Gemm")) {
		l->per = l->channels = (size_t)w->dim[1];
		l->inner = 1;
	} else if (is(n, "ConvTranspose")) {
		const double g = number(n, "group", 1);
		if (g < 1 || g > (double)w->dim[0] || w->dim[0] % (int64_t)g != 0)
			return false;
		l->groups = (size_t)g;
		l->per = (size_t)w->dim[1];
		l->channels = l->per * l->groups;
		l->inner = inner;
		l->outer = w->n / l->groups;
	} else {
		return false;
	}
	if (is(n, "Gemm"))
		l->beta = number(n, "beta", 1);
	return l->beta != 0;
}

static bool find_layer(const struct onx_graph *g, uint32_t v, struct layer *l)
{
	if (g->value[v].def == ONX_NONE)
		return false;
	l->node = g->value[v].def;
	const struct onx_node *n = &g->node[l->node];
	if (n->n_in < 2 || n->in[1] == ONX_NONE || !g->value[n->in[1]].init)
		return false;
	l->weight = n->in[1];
	l->bias = n->n_in > 2 ? n->in[2] : ONX_NONE;
	if (!layout(n, g->value[l->weight].init, l))
		return false;
	const struct onx_weight *b = l->bias == ONX_NONE ? NULL : g->value[l->bias].init;
	return l->bias == ONX_NONE ||
	       (b && b->n == l->channels && b->rank > 0 && b->dim[b->rank - 1] == (int64_t)l->channels);
}

static bool foldable(const struct onx_graph *g, const struct onx_uses *u, const struct onx_node *n,
		     struct layer *l)
{
	if (!is(n, "BatchNormalization") || n->n_in != 5 || n->in[0] == ONX_NONE || n->out[0] == ONX_NONE ||
	    number(n, "training_mode", 0) != 0 || number(n, "spatial", 1) == 0)
		return false;
	for (uint32_t i = 1; i < n->n_out; i++)         /* a node that still moves its statistics */
		if (n->out[i] != ONX_NONE)
			return false;
	if (g->value[n->in[0]].output || u->first[n->in[0] + 1] - u->first[n->in[0]] != 1 ||
	    !find_layer(g, n->in[0], l))
		return false;
	for (uint32_t i = 1; i < 5; i++)
		if (n->in[i] == ONX_NONE || !g->value[n->in[i]].init ||
		    g->value[n->in[i]].init->n != l->channels)
			return false;
	return true;
}

/* w and b hold the layer's numbers and get the folded ones. */
static void scale(const struct layer *l, const struct onx_view *w, const struct onx_view *b,
		  const struct onx_view *const bn[4], double eps)
{
	for (size_t i = 0; i < w->n; i++) {
		const size_t c = i / l->outer % l->groups * l->per + i / l->inner % l->per;
		const double s = onx_view_real(bn[0], c) / sqrt(onx_view_real(bn[3], c) + eps);
		onx_view_put_real(w, i, onx_view_real(w, i) * s);
	}
	for (size_t c = 0; c < l->channels; c++) {
		const double s = onx_view_real(bn[0], c) / sqrt(onx_view_real(bn[3], c) + eps);
		onx_view_put_real(b, c, ((l->beta * onx_view_real(b, c) - onx_view_real(bn[2], c)) * s +
					 onx_view_real(bn[1], c)) / l->beta);
	}
}

/* A copy in the memory form that a new weight wants; zeros where there is none. */
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

static int fold_one(struct onx_graph *g, struct onx_consts *c, uint32_t id, const struct layer *l,
		    struct onx_arena *mem, struct onx_buf *log, struct onx_err *e)
{
	const struct onx_node *n = &g->node[id], *layer = &g->node[l->node];
	const struct onx_value *wv = &g->value[l->weight];
	const enum onx_dtype type = wv->init->type;
	const struct onx_view *bn[4];
	struct onx_view w, b;
	char name[160];
	size_t n_attr;
	const struct onx_file_attr *attr = attrs_of(layer, &n_attr);
	struct onx_patch p = { .mem = mem, .rule = "fold-norm", .where = onx_node_text(g, id, name, sizeof name) };
	int rc = ONX_OK;
	for (int i = 0; rc == ONX_OK && i < 4; i++)
		rc = onx_consts_get(c, n->in[i + 1], false, &bn[i], e);
	if (rc == ONX_OK)
		rc = copied(g, l->weight, wv->init->n, type, mem, &w, e);
	if (rc == ONX_OK)
		rc = copied(g, l->bias, l->channels, type, mem, &b, e);
	if (rc < 0)
		return rc;
	scale(l, &w, &b, bn, number(n, "epsilon", 1e-5));
	const char *wn = onx_text(mem, "%s_folded", wv->name), *bias = onx_text(mem, "%s_folded_bias", wv->name);
	if (!wn || !bias)
		return onx_nomem(e, 64, "names");
	const uint32_t in[3] = { layer->in[0],
		onx_patch_value(&p, wn, type, w.rank, w.dim, w.v),
		onx_patch_value(&p, bias, type, 1, (int64_t[]){ (int64_t)l->channels }, b.v) };
	onx_patch_drop(&p, id);
	onx_patch_drop(&p, l->node);
	onx_patch_add(&p, &(struct onx_patch_node){ "", layer->type, layer->name, in, n->out, 3, 1, attr, n_attr });
	rc = onx_patch_sweep(&p, g, e);         /* Constant nodes that made the old weights */
	return rc < 0 ? rc : onx_patch_apply(g, &p, log, e);
}

int onx_fold_norms(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts c;
	struct onx_uses u;
	struct layer l;
	const uint32_t n_node = g->n_node;
	bool *whole = NULL;
	int rc = onx_graph_uses(g, &mem, &u, e);
	if (rc == ONX_OK)
		rc = onx_graph_whole(g, &mem, &whole, e);
	*n = 0;
	onx_consts_init(&c, g);
	for (uint32_t i = 0; rc == ONX_OK && i < n_node; i++) {
		if (g->node[i].dropped || whole[i] || !foldable(g, &u, &g->node[i], &l) ||
		    (l.node < n_node && whole[l.node]))
			continue;
		rc = fold_one(g, &c, i, &l, &mem, log, e);
		++*n;
	}
	onx_consts_release(&c);
	onx_arena_release(&mem);
	return rc;
}
