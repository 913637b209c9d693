/* op/mltree_i.h -- a forest, as both files of the tree ensembles see it. */
#ifndef ONX_MLTREE_I_H
#define ONX_MLTREE_I_H
#include "kernel/real.h"
#include "op/ml.h"

enum onx_tree_mode { ONX_TREE_LEQ, ONX_TREE_LT, ONX_TREE_GTE, ONX_TREE_GT, ONX_TREE_EQ, ONX_TREE_NEQ,
		     ONX_TREE_MEMBER, ONX_TREE_LEAF };
enum onx_aggregate { ONX_TREES_AVERAGE, ONX_TREES_SUM, ONX_TREES_MIN, ONX_TREES_MAX };

struct onx_tree {
	struct onx_ints treeid, nodeid, feature, yes, no, missing;
	struct onx_strs mode;
	struct onx_reals value, hitrate, base, weight;
	const struct onx_view *value_t, *hitrate_t, *base_t, *weight_t;
	struct onx_ints w_tree, w_node, w_id;           /* of class_* or target_* */
	struct onx_labels labels;
	int64_t n_targets;
	int aggregate, post;
};

struct onx_tree_node {
	double value;
	uint32_t feature, yes, no;      /* a leaf: its weights are yes .. no-1; MEMBER: its set likewise in `from` */
	uint32_t from, to;
	uint8_t mode;
	bool missing;                   /* NaN: true */
};
struct onx_tree_weight { uint32_t id; double w; };
struct onx_forest {
	size_t rows, cols, n_node, n_root, n_out, n_weight;
	struct onx_tree_node *node;
	uint32_t *root;
	struct onx_tree_weight *weight;
	const double *member;
	const double *base; size_t n_base;
	enum onx_aggregate aggregate;
	enum onx_post post;
	bool binary, positive;          /* classifier: one class has all weights; all are >= 0 */
	size_t n_label;
};

/* mltree_read.c, mltree_five.c: infer leaves the forest in s->geo. */
#define onx_tree_classifier_table ONX_R(onx_tree_classifier_table)
#define onx_tree_classifier_infer ONX_R(onx_tree_classifier_infer)
#define onx_tree_regressor_table ONX_R(onx_tree_regressor_table)
#define onx_tree_regressor_infer ONX_R(onx_tree_regressor_infer)
#define onx_tree_ensemble_table ONX_R(onx_tree_ensemble_table)
#define onx_tree_ensemble_infer ONX_R(onx_tree_ensemble_infer)
extern const struct onx_table onx_tree_classifier_table;
int onx_tree_classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e);
extern const struct onx_table onx_tree_regressor_table;
int onx_tree_regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e);
extern const struct onx_table onx_tree_ensemble_table;
int onx_tree_ensemble_infer(struct onx_infer *s, const void *attr, struct onx_err *e);

/* What both check: a list is as long as it must be (optional: or empty); every branch node is reached at most once, and
 * those never reached are roots. */
#define onx_tree_want_n ONX_R(onx_tree_want_n)
#define onx_tree_reach ONX_R(onx_tree_reach)
int onx_tree_want_n(const char *name, size_t have, size_t n, bool optional, struct onx_err *e) ONX_MUST;
int onx_tree_reach(bool *reached, const struct onx_forest *f, uint32_t to, struct onx_err *e) ONX_MUST;

#endif
