/* op/mltree_read.c -- attributes of TreeEnsembleClassifier and -Regressor (ai.onnx.ml 1 to 3) into a forest. */
#include <stdlib.h>
#include <string.h>
#include "op/mltree_i.h"

#define NODES                                                                                          \
	{ "nodes_treeids", F_INTS, offsetof(struct onx_tree, treeid), .def = "", .help = "tree of each node" },    \
	{ "nodes_nodeids", F_INTS, offsetof(struct onx_tree, nodeid), .def = "", .help = "its number there" },     \
	{ "nodes_featureids", F_INTS, offsetof(struct onx_tree, feature), .def = "", .help = "column it asks" },   \
	{ "nodes_modes", F_STRS, offsetof(struct onx_tree, mode), .def = "", .help = "BRANCH_LEQ, ..., LEAF" },    \
	{ "nodes_values", F_REALS, offsetof(struct onx_tree, value), .def = "", .help = "compared with" },         \
	{ "nodes_values_as_tensor", F_TENSOR, offsetof(struct onx_tree, value_t), .def = "", .help = "in double" }, \
	{ "nodes_hitrates", F_REALS, offsetof(struct onx_tree, hitrate), .def = "", .help = "not used" },          \
	{ "nodes_hitrates_as_tensor", F_TENSOR, offsetof(struct onx_tree, hitrate_t), .def = "",                   \
	  .help = "not used" },                                                                                \
	{ "nodes_missing_value_tracks_true", F_INTS, offsetof(struct onx_tree, missing), .def = "",                \
	  .help = "1: NaN goes the way of true" },                                                             \
	{ "nodes_truenodeids", F_INTS, offsetof(struct onx_tree, yes), .def = "", .help = "where true leads" },    \
	{ "nodes_falsenodeids", F_INTS, offsetof(struct onx_tree, no), .def = "", .help = "where false leads" },   \
	{ "base_values", F_REALS, offsetof(struct onx_tree, base), .def = "", .help = "added in the end" },        \
	{ "base_values_as_tensor", F_TENSOR, offsetof(struct onx_tree, base_t), .def = "", .help = "in double" },  \
	{ "post_transform", F_ENUM, offsetof(struct onx_tree, post), .def = "NONE", .choices = onx_post_names,     \
	  .help = "what acts on the sums" }
#define LEAVES(what)                                                                                   \
	{ what "_treeids", F_INTS, offsetof(struct onx_tree, w_tree), .def = "", .help = "tree of a weight" },     \
	{ what "_nodeids", F_INTS, offsetof(struct onx_tree, w_node), .def = "", .help = "its leaf" },             \
	{ what "_ids", F_INTS, offsetof(struct onx_tree, w_id), .def = "", .help = "what it counts for" },         \
	{ what "_weights", F_REALS, offsetof(struct onx_tree, weight), .def = "", .help = "the weight" },          \
	{ what "_weights_as_tensor", F_TENSOR, offsetof(struct onx_tree, weight_t), .def = "", .help = "in double" }

static const char *const aggregates[] = { "AVERAGE", "SUM", "MIN", "MAX", NULL };
static const struct onx_field classifier_field[] = {
	NODES, LEAVES("class"),
	{ "classlabels_int64s", F_INTS, offsetof(struct onx_tree, labels.ints), .def = "", .help = "of the classes" },
	{ "classlabels_strings", F_STRS, offsetof(struct onx_tree, labels.strings), .def = "",
	  .help = "of the classes" },
	{ .name = NULL }
};
static const struct onx_field regressor_field[] = {
	NODES, LEAVES("target"),
	{ "n_targets", F_INT, offsetof(struct onx_tree, n_targets), .def = "1", .min = 1, .max = 1e8,
	  .help = "number of outputs" },
	{ "aggregate_function", F_ENUM, offsetof(struct onx_tree, aggregate), .def = "SUM", .choices = aggregates,
	  .help = "what is made of the trees' weights" },
	{ .name = NULL }
};
const struct onx_table onx_tree_classifier_table = { "TreeEnsembleClassifier", sizeof(struct onx_tree),
						   classifier_field, .check = NULL };
const struct onx_table onx_tree_regressor_table = { "TreeEnsembleRegressor", sizeof(struct onx_tree),
						  regressor_field, .check = NULL };

struct key { int64_t tree, node; uint32_t at; };

static int by_key(const void *x, const void *y)
{
	const struct key *a = x, *b = y;

	if (a->tree != b->tree)
		return a->tree < b->tree ? -1 : 1;
	return (a->node > b->node) - (a->node < b->node);
}

static int by_key_at(const void *x, const void *y)      /* a total order, so qsort's choice does not matter */
{
	const struct key *a = x, *b = y;
	const int c = by_key(x, y);

	return c ? c : (a->at > b->at) - (a->at < b->at);
}

/* Numbers from the list or from the tensor of doubles, whichever is there; borrowed. */
static const double *numbers(const struct onx_reals *l, const struct onx_view *t, size_t *n)
{
	if (l->n || !t || !onx_dtype_real(t->type)) {
		*n = l->n;
		return l->v;
	}
	*n = t->n;
	return t->v;
}

int onx_tree_want_n(const char *name, size_t have, size_t n, bool optional, struct onx_err *e)
{
	return have == n || (optional && have == 0) ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "%s has %zu entries, wanted %zu", name, have, n);
}

static int mode_of(const char *s, uint8_t *mode, struct onx_err *e)
{
	static const char *const name[] = { "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ",
					    "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF" };

	for (uint8_t i = 0; i < sizeof name / sizeof *name; i++)
		if (strcmp(s, name[i]) == 0 && i != ONX_TREE_MEMBER) {
			*mode = i;
			return ONX_OK;
		}
	return onx_fail(e, ONX_FORMAT, "a node has the mode '%s'", s);
}

static int check_sizes(const struct onx_tree *a, size_t *n, const double **value, const double **weight,
		       struct onx_err *e)
{
	size_t n_value, n_weight;
	int rc;

	*n = a->nodeid.n;
	*value = numbers(&a->value, a->value_t, &n_value);
	*weight = numbers(&a->weight, a->weight_t, &n_weight);
	if (*n == 0 || *n > 1u << 30 || n_weight > 1u << 30)
		return onx_fail(e, ONX_FORMAT, "%zu nodes and %zu weights", *n, n_weight);
	if ((rc = onx_tree_want_n("nodes_treeids", a->treeid.n, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_featureids", a->feature.n, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_modes", a->mode.n, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_values", n_value, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_truenodeids", a->yes.n, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_falsenodeids", a->no.n, *n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_missing_value_tracks_true", a->missing.n, *n, true, e)) < 0 ||
	    (rc = onx_tree_want_n("the list of trees of weights", a->w_tree.n, n_weight, false, e)) < 0 ||
	    (rc = onx_tree_want_n("the list of leaves of weights", a->w_node.n, n_weight, false, e)) < 0)
		return rc;
	return onx_tree_want_n("the list of ids of weights", a->w_id.n, n_weight, false, e);
}

static int find(const struct key *key, size_t n, int64_t tree, int64_t node, uint32_t *at, struct onx_err *e)
{
	const struct key want = { tree, node, 0 }, *k = bsearch(&want, key, n, sizeof want, by_key);

	if (!k)
		return onx_fail(e, ONX_FORMAT, "there is no node %lld in tree %lld", (long long)node,
				(long long)tree);
	*at = k->at;
	return ONX_OK;
}

int onx_tree_reach(bool *reached, const struct onx_forest *f, uint32_t to, struct onx_err *e)
{
	if (f->node[to].mode != ONX_TREE_LEAF && reached[to])
		return onx_fail(e, ONX_FORMAT, "node number %u is reached twice", (unsigned)to);
	reached[to] = true;
	return ONX_OK;
}

static int fill_nodes(struct onx_infer *s, const struct onx_tree *a, struct onx_forest *f, const double *value,
		      const struct key *key, struct onx_err *e)
{
	bool *reached = ONX_NEWS(s->mem, bool, f->n_node);
	int rc = ONX_OK;

	if (!reached)
		return onx_nomem(e, (double)f->n_node, "a forest");
	for (size_t i = 0; rc == ONX_OK && i < f->n_node; i++) {
		struct onx_tree_node *n = &f->node[i];
		n->value = value[i];
		n->missing = a->missing.n && a->missing.v[i] != 0;
		rc = mode_of(a->mode.v[i], &n->mode, e);
		if (rc == ONX_OK && n->mode != ONX_TREE_LEAF &&
		    (a->feature.v[i] < 0 || (size_t)a->feature.v[i] >= f->cols))
			rc = onx_fail(e, ONX_SHAPE, "a node asks for feature %lld of %zu",
				      (long long)a->feature.v[i], f->cols);
		n->feature = n->mode != ONX_TREE_LEAF ? (uint32_t)a->feature.v[i] : 0;
	}
	for (size_t i = 0; rc == ONX_OK && i < f->n_node; i++) {
		struct onx_tree_node *n = &f->node[i];
		if (n->mode == ONX_TREE_LEAF)
			continue;
		rc = find(key, f->n_node, a->treeid.v[i], a->yes.v[i], &n->yes, e);
		if (rc == ONX_OK)
			rc = find(key, f->n_node, a->treeid.v[i], a->no.v[i], &n->no, e);
		if (rc == ONX_OK)
			rc = onx_tree_reach(reached, f, n->yes, e);
		if (rc == ONX_OK)
			rc = onx_tree_reach(reached, f, n->no, e);
	}
	f->root = ONX_NEWS(s->mem, uint32_t, f->n_node);
	if (rc == ONX_OK && !f->root)
		return onx_nomem(e, (double)f->n_node * 4, "a forest");
	for (size_t i = 0; rc == ONX_OK && i < f->n_node; i++)
		if (!reached[i])
			f->root[f->n_root++] = (uint32_t)i;
	return rc;
}

/* Weights sorted by leaf, in the order of the file within one. */
static int fill_weights(struct onx_infer *s, const struct onx_tree *a, struct onx_forest *f, const double *w,
			const struct key *key, struct onx_err *e)
{
	struct key *at = ONX_NEWS(s->mem, struct key, f->n_weight + 1);
	int rc = ONX_OK;

	f->weight = ONX_NEWS(s->mem, struct onx_tree_weight, f->n_weight + 1);
	if (!at || !f->weight)
		return onx_nomem(e, (double)f->n_weight * sizeof *at, "a forest");
	for (size_t i = 0; rc == ONX_OK && i < f->n_weight; i++) {
		uint32_t leaf = 0;
		rc = find(key, f->n_node, a->w_tree.v[i], a->w_node.v[i], &leaf, e);
		if (rc == ONX_OK && (a->w_id.v[i] < 0 || (size_t)a->w_id.v[i] >= f->n_out))
			rc = onx_fail(e, ONX_FORMAT, "a weight counts for %lld of %zu", (long long)a->w_id.v[i],
				      f->n_out);
		at[i] = (struct key){ leaf, 0, (uint32_t)i };
	}
	if (rc < 0)
		return rc;
	qsort(at, f->n_weight, sizeof *at, by_key_at);
	for (uint32_t i = 0; i < f->n_weight; i++) {
		struct onx_tree_node *n = &f->node[at[i].tree];
		f->weight[i] = (struct onx_tree_weight){ (uint32_t)a->w_id.v[at[i].at], w[at[i].at] };
		if (n->mode != ONX_TREE_LEAF)
			continue;               /* a weight of a branch node never counts */
		if (n->yes == n->no)
			n->yes = i;
		n->no = i + 1;
	}
	return ONX_OK;
}

static int make_forest(struct onx_infer *s, const struct onx_tree *a, size_t n_out, struct onx_forest **out,
		       struct onx_err *e)
{
	struct onx_forest *f = ONX_NEW(s->mem, struct onx_forest);
	const double *value, *weight;
	size_t n;
	int rc = check_sizes(a, &n, &value, &weight, e);

	if (rc < 0)
		return rc;
	struct key *key = ONX_NEWS(s->mem, struct key, n);
	if (!f || !key || !(f->node = ONX_NEWS(s->mem, struct onx_tree_node, n)))
		return onx_nomem(e, (double)n * sizeof *key, "a forest");
	f->n_node = n;
	f->n_out = n_out;
	f->n_weight = a->w_tree.n;
	f->post = (enum onx_post)a->post;
	f->aggregate = (enum onx_aggregate)a->aggregate;
	f->base = numbers(&a->base, a->base_t, &f->n_base);
	for (uint32_t i = 0; i < n; i++)
		key[i] = (struct key){ a->treeid.v[i], a->nodeid.v[i], i };
	qsort(key, n, sizeof *key, by_key_at);
	for (size_t i = 1; i < n; i++)
		if (by_key(&key[i - 1], &key[i]) == 0)
			return onx_fail(e, ONX_FORMAT, "node %lld is twice in tree %lld", (long long)key[i].node,
					(long long)key[i].tree);
	if ((rc = onx_ml_rows(s, 0, &f->rows, &f->cols, e)) < 0 ||
	    (rc = fill_nodes(s, a, f, value, key, e)) < 0 || (rc = fill_weights(s, a, f, weight, key, e)) < 0)
		return rc;
	*out = s->geo = f;
	return ONX_OK;
}

static int want_base(const struct onx_forest *f, struct onx_err *e)
{
	return f->n_base <= 1 || f->n_base == f->n_out ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "%zu base values for %zu outputs", f->n_base, f->n_out);
}

int onx_tree_regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_tree *a = attr;
	struct onx_forest *f = NULL;
	int rc = make_forest(s, a, (size_t)a->n_targets, &f, e);

	if (rc < 0 || (rc = want_base(f, e)) < 0)
		return rc;
	const struct onx_shape y = { 2, { (int64_t)f->rows, a->n_targets } };
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}

int onx_tree_classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_tree *a = attr;
	struct onx_forest *f = NULL;
	enum onx_dtype type;
	size_t n;
	int rc = onx_ml_labels(&a->labels, &n, &type, e);

	if (rc == ONX_OK && n == 0)
		rc = onx_fail(e, ONX_FORMAT, "no class labels");
	if (rc < 0 || (rc = make_forest(s, a, n, &f, e)) < 0 || (rc = want_base(f, e)) < 0)
		return rc;
	f->aggregate = ONX_TREES_SUM;
	f->n_label = n;
	f->binary = n <= 2;
	f->positive = true;
	for (size_t i = 0; i < f->n_weight; i++) {
		f->binary = f->binary && f->weight[i].id == f->weight[0].id;
		f->positive = f->positive && f->weight[i].w >= 0;
	}
	const struct onx_shape y = { 1, { (int64_t)f->rows } };
	const struct onx_shape z = { 2, { (int64_t)f->rows, f->binary ? 2 : (int64_t)n } };
	onx_set_out(s, 0, type, &y);
	onx_set_out(s, 1, ONX_FLOAT, &z);
	return ONX_OK;
}
