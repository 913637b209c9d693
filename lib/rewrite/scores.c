/* rewrite/scores.c -- see rewrite/scores.h. */
#include "rewrite/scores.h"
#include <string.h>

static const char ml[] = "ai.onnx.ml";
enum { DEEPEST = 16 };

static bool is(const struct onx_node *n, const char *domain, const char *type)
{
	return strcmp(n->domain, domain) == 0 && strcmp(n->type, type) == 0;
}

static bool classifies(const struct onx_node *n)
{
	return is(n, ml, "LinearClassifier") || is(n, ml, "SVMClassifier") || is(n, ml, "TreeEnsembleClassifier");
}

static const struct onx_node *maker(const struct onx_graph *g, uint32_t v)
{
	return v == ONX_NONE || g->value[v].def == ONX_NONE ? NULL : &g->node[g->value[v].def];
}

/* Backwards from v over what only passes on; *zipped: what the ZipMap on the way reads. */
static const struct onx_node *behind(const struct onx_graph *g, uint32_t v, uint32_t *zipped)
{
	const struct onx_node *n = maker(g, v);

	*zipped = ONX_NONE;
	for (int i = 0; n && i < DEEPEST && !classifies(n); i++) {
		if (n->n_in == 0 || !(is(n, ml, "ZipMap") || is(n, ml, "Normalizer") || is(n, "", "Identity") ||
				      is(n, "", "Cast") || is(n, "", "Reshape")))
			return NULL;
		if (is(n, ml, "ZipMap"))
			*zipped = n->in[0];
		n = maker(g, n->in[0]);
	}
	return n && classifies(n) ? n : NULL;
}

static const struct onx_node *find(const struct onx_graph *g, uint32_t *zipped)
{
	const struct onx_node *n = NULL;
	uint32_t one;

	*zipped = ONX_NONE;
	for (uint32_t i = 0; !n && i < g->n_output; i++) {
		n = behind(g, g->output[i], &one);
		if (*zipped == ONX_NONE)
			*zipped = one;
	}
	return n;
}

uint32_t onx_scores(const struct onx_graph *g)
{
	uint32_t zipped;
	const struct onx_node *n = find(g, &zipped);

	return n && n->n_out > 1 && n->out[1] != ONX_NONE ? n->out[1] : zipped;
}

int onx_scores_labels(const struct onx_graph *g, struct onx_arena *a, const char *const **label, size_t *n,
		      struct onx_err *e)
{
	uint32_t zipped;
	const struct onx_node *c = find(g, &zipped);
	const struct onx_file_attr *list = NULL;
	bool counts = true;

	*n = 0;
	*label = NULL;
	for (size_t i = 0; c && c->file && i < c->file->n_attr; i++)
		if (strncmp(c->file->attr[i].name, "classlabels_", 12) == 0 && c->file->attr[i].n)
			list = &c->file->attr[i];
	for (size_t i = 0; list && list->ints && i < list->n; i++)
		counts &= list->ints[i] == (int64_t)i;
	if (!list || (list->ints ? counts : !list->strings))
		return ONX_OK;
	const char **to = ONX_NEWS(a, const char *, list->n);
	bool ok = to != NULL;
	for (size_t i = 0; ok && i < list->n; i++)
		ok = (to[i] = list->strings ? onx_dup(a, list->strings[i])
					    : onx_text(a, "%lld", (long long)list->ints[i])) != NULL;
	if (!ok)
		return onx_nomem(e, (double)list->n * 16, "class names");
	*label = to;
	*n = list->n;
	return ONX_OK;
}

static const struct onx_node *linear(const struct onx_graph *g, uint32_t v)
{
	const struct onx_node *n = maker(g, v);

	return n && is(n, ml, "LinearClassifier") && g->value[v].def_slot == 1 && n->file ? n : NULL;
}

bool onx_scores_apart(const struct onx_graph *g, uint32_t v)
{
	const struct onx_node *n = linear(g, v);
	const struct onx_file_attr *a = n ? onx_attr_find(n->file->attr, n->file->n_attr, "post_transform") : NULL;

	return a && a->s && strcmp(a->s, "LOGISTIC") == 0;
}

uint32_t onx_scores_patch(struct onx_patch *p, const struct onx_graph *g, uint32_t v)
{
	const struct onx_node *n = linear(g, v);

	if (!n)
		return v;
	const uint32_t y = onx_patch_value(p, "scores", ONX_FLOAT, 0, NULL, NULL);
	onx_patch_add(p, &(struct onx_patch_node){ "onnx_adapt", "LinearScores", "scores", n->in, &y, n->n_in, 1,
						   n->file->attr, n->file->n_attr });
	return y;
}

static bool reads(const struct onx_node *n, uint32_t v)
{
	for (uint32_t k = 0; k < n->n_in; k++)
		if (n->in[k] == v)
			return true;
	return false;
}

bool onx_scores_of_features(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		for (uint32_t k = 0; k < g->n_input; k++)
			if (strcmp(n->domain, ml) == 0 && reads(n, g->input[k]))
				return true;
	}
	return false;
}
