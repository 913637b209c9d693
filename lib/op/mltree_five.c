/* op/mltree_five.c -- attributes of TreeEnsemble (ai.onnx.ml 5) into a forest: its nodes first, then one node for each
 * leaf. */
#include "op/mltree_i.h"

struct ensemble {
	struct onx_ints root, feature, yes, no, yes_leaf, no_leaf, missing, leaf_id;
	const struct onx_view *mode, *split, *hitrate, *leaf_weight, *member;
	int64_t n_targets, aggregate, post;
};
#define INTS(name_, m, about) { name_, F_INTS, offsetof(struct ensemble, m), .def = "", .help = about }
#define TENSOR(name_, m, about) { name_, F_TENSOR, offsetof(struct ensemble, m), .def = "", .help = about }
static const struct onx_field ensemble_field[] = {
	INTS("tree_roots", root, "nodes to start from"), INTS("nodes_featureids", feature, "column it asks"),
	INTS("nodes_truenodeids", yes, "where true leads"), INTS("nodes_falsenodeids", no, "where false leads"),
	INTS("nodes_trueleafs", yes_leaf, "1: to a leaf"), INTS("nodes_falseleafs", no_leaf, "1: to a leaf"),
	INTS("nodes_missing_value_tracks_true", missing, "1: NaN goes the way of true"),
	INTS("leaf_targetids", leaf_id, "what a leaf counts for"), TENSOR("nodes_modes", mode, "0..6: LEQ..MEMBER"),
	TENSOR("nodes_splits", split, "compared with"), TENSOR("nodes_hitrates", hitrate, "not used"),
	TENSOR("leaf_weights", leaf_weight, "what a leaf adds"),
	TENSOR("membership_values", member, "sets of the nodes of mode 6, each ended by NaN"),
	{ "n_targets", F_INT, offsetof(struct ensemble, n_targets), .def = "1", .min = 1, .max = 1e8,
	  .help = "number of outputs" },
	{ "aggregate_function", F_INT, offsetof(struct ensemble, aggregate), .def = "1", .min = 0, .max = 3,
	  .help = "0 average, 1 sum, 2 least, 3 most" },
	{ "post_transform", F_INT, offsetof(struct ensemble, post), .def = "0", .min = 0, .max = 4,
	  .help = "0 none, 1 softmax, 2 logistic, 3 softmax of what is not 0, 4 probit" },
	{ .name = NULL }
};
const struct onx_table onx_tree_ensemble_table = { "TreeEnsemble", sizeof(struct ensemble), ensemble_field,
						 .check = NULL };

static int child(const struct onx_forest *f, size_t branches, int64_t to, bool leaf, uint32_t *at, struct onx_err *e)
{
	const size_t most = leaf ? f->n_node - branches : branches;

	if (to < 0 || (size_t)to >= most)
		return onx_fail(e, ONX_FORMAT, "a node leads to %s %lld of %zu", leaf ? "leaf" : "node",
				(long long)to, most);
	*at = (uint32_t)(leaf ? branches + (size_t)to : (size_t)to);
	return ONX_OK;
}

static int ensemble_node(const struct ensemble *a, struct onx_forest *f, size_t i, size_t n, bool *reached,
			 size_t *set, struct onx_err *e)
{
	struct onx_tree_node *p = &f->node[i];
	const int64_t mode = onx_view_int(a->mode, i);
	const bool stump = a->yes_leaf.v[i] && a->no_leaf.v[i] && a->yes.v[i] == a->no.v[i];
	int rc = child(f, n, a->yes.v[i], a->yes_leaf.v[i] != 0, &p->yes, e);

	if (rc == ONX_OK)
		rc = child(f, n, a->no.v[i], a->no_leaf.v[i] != 0, &p->no, e);
	if (rc < 0 || (rc = onx_tree_reach(reached, f, p->yes, e)) < 0 ||
	    (rc = onx_tree_reach(reached, f, p->no, e)) < 0)
		return rc;
	if (mode < 0 || mode > ONX_TREE_MEMBER || a->feature.v[i] < 0 ||
	    ((size_t)a->feature.v[i] >= f->cols && !stump))
		return onx_fail(e, ONX_SHAPE, "a node of mode %lld asks for feature %lld of %zu", (long long)mode,
				(long long)a->feature.v[i], f->cols);
	p->mode = (uint8_t)mode;
	p->value = onx_view_real(a->split, i);
	p->feature = (size_t)a->feature.v[i] < f->cols ? (uint32_t)a->feature.v[i] : 0;
	p->missing = a->missing.n && a->missing.v[i] != 0;
	if (mode != ONX_TREE_MEMBER)
		return ONX_OK;
	p->from = (uint32_t)*set;
	while (a->member && *set < a->member->n && !isnan(f->member[*set]))
		++*set;
	p->to = (uint32_t)*set;
	if (!a->member || *set >= a->member->n)
		return onx_fail(e, ONX_FORMAT, "membership_values has too few sets");
	++*set;
	return ONX_OK;
}

static int ensemble_sizes(const struct ensemble *a, struct onx_err *e)
{
	const size_t n = a->feature.n;
	int rc;

	if (!a->mode || !a->split || !a->leaf_weight || onx_dtype_class(a->mode->type) != ONX_CLASS_UINT ||
	    !onx_dtype_real(a->split->type) || !onx_dtype_real(a->leaf_weight->type) ||
	    (a->member && !onx_dtype_real(a->member->type)))
		return onx_fail(e, ONX_FORMAT, "nodes_modes, nodes_splits or leaf_weights is missing or of "
				"a wrong type");
	if (n + a->leaf_id.n > 1u << 30 || a->root.n > n)
		return onx_fail(e, ONX_FORMAT, "%zu nodes, %zu leaves, %zu trees", n, a->leaf_id.n, a->root.n);
	if ((rc = onx_tree_want_n("nodes_modes", a->mode->n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_splits", a->split->n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_truenodeids", a->yes.n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_falsenodeids", a->no.n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_trueleafs", a->yes_leaf.n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_falseleafs", a->no_leaf.n, n, false, e)) < 0 ||
	    (rc = onx_tree_want_n("nodes_missing_value_tracks_true", a->missing.n, n, true, e)) < 0)
		return rc;
	return onx_tree_want_n("leaf_weights", a->leaf_weight->n, a->leaf_id.n, false, e);
}

static int ensemble_nodes(struct onx_infer *s, const struct ensemble *a, struct onx_forest *f, struct onx_err *e)
{
	const size_t n = a->feature.n;
	bool *reached = ONX_NEWS(s->mem, bool, f->n_node + 1);
	size_t set = 0;
	int rc = reached ? ONX_OK : onx_nomem(e, (double)f->n_node, "a forest");

	for (size_t i = 0; rc == ONX_OK && i < a->leaf_id.n; i++) {
		if (a->leaf_id.v[i] < 0 || a->leaf_id.v[i] >= a->n_targets)
			rc = onx_fail(e, ONX_FORMAT, "a leaf counts for %lld of %lld", (long long)a->leaf_id.v[i],
				      (long long)a->n_targets);
		f->node[n + i] = (struct onx_tree_node){ .mode = ONX_TREE_LEAF, .yes = (uint32_t)i,
						       .no = (uint32_t)i + 1 };
		f->weight[i] = (struct onx_tree_weight){ (uint32_t)a->leaf_id.v[i], onx_view_real(a->leaf_weight, i) };
	}
	for (size_t i = 0; rc == ONX_OK && i < n; i++)
		rc = ensemble_node(a, f, i, n, reached, &set, e);
	for (size_t i = 0; rc == ONX_OK && i < a->root.n; i++) {
		if (a->root.v[i] < 0 || (size_t)a->root.v[i] >= n || reached[a->root.v[i]])
			rc = onx_fail(e, ONX_FORMAT, "%lld is no root", (long long)a->root.v[i]);
		f->root[i] = (uint32_t)a->root.v[i];
	}
	return rc;
}

int onx_tree_ensemble_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct ensemble *a = attr;
	struct onx_forest *f = ONX_NEW(s->mem, struct onx_forest);
	int rc = ensemble_sizes(a, e);

	if (rc == ONX_OK)
		rc = onx_want_real(s, 0, e);
	if (rc < 0)
		return rc;
	if (!f)
		return onx_nomem(e, sizeof *f, "a forest");
	f->n_node = a->feature.n + a->leaf_id.n;
	f->n_root = a->root.n;
	f->n_out = (size_t)a->n_targets;
	f->n_weight = a->leaf_id.n;
	f->aggregate = (enum onx_aggregate)a->aggregate;
	f->post = (enum onx_post)a->post;
	f->member = a->member ? a->member->v : NULL;
	f->node = ONX_NEWS(s->mem, struct onx_tree_node, f->n_node + 1);
	f->root = ONX_NEWS(s->mem, uint32_t, f->n_root + 1);
	f->weight = ONX_NEWS(s->mem, struct onx_tree_weight, f->n_weight + 1);
	if (!f->node || !f->root || !f->weight)
		return onx_nomem(e, (double)f->n_node * sizeof *f->node, "a forest");
	if ((rc = onx_ml_rows(s, 0, &f->rows, &f->cols, e)) < 0 || (rc = ensemble_nodes(s, a, f, e)) < 0)
		return rc;
	const struct onx_shape y = { 2, { (int64_t)f->rows, a->n_targets } };
	s->geo = f;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}
