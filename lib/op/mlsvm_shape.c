/* op/mlsvm_shape.c -- attributes and sizes of ai.onnx.ml's SVMClassifier and SVMRegressor. */
#include "op/mlsvm_i.h"

static const char *const kernels[] = { "LINEAR", "POLY", "RBF", "SIGMOID", NULL };
#define COMMON                                                                                             \
	{ "coefficients", F_REALS, offsetof(struct onx_svm, coef), .def = "", .help = "of the support vectors" },  \
	{ "kernel_params", F_REALS, offsetof(struct onx_svm, params), .def = "", .help = "gamma, coef0, degree" }, \
	{ "kernel_type", F_ENUM, offsetof(struct onx_svm, kernel), .def = "LINEAR", .choices = kernels,          \
	  .help = "the kernel" },                                                                                \
	{ "post_transform", F_ENUM, offsetof(struct onx_svm, post), .def = "NONE", .choices = onx_post_names,     \
	  .help = "what acts on the scores" },                                                                   \
	{ "rho", F_REALS, offsetof(struct onx_svm, rho), .def = "", .help = "added to each decision" },            \
	{ "support_vectors", F_REALS, offsetof(struct onx_svm, vector), .def = "", .help = "[S][C]" }
static const struct onx_field classifier_field[] = {
	COMMON,
	{ "classlabels_ints", F_INTS, offsetof(struct onx_svm, labels.ints), .def = "", .help = "of the classes" },
	{ "classlabels_strings", F_STRS, offsetof(struct onx_svm, labels.strings), .def = "",
	  .help = "of the classes" },
	{ "prob_a", F_REALS, offsetof(struct onx_svm, prob_a), .def = "", .help = "slopes of the sigmoids of pairs" },
	{ "prob_b", F_REALS, offsetof(struct onx_svm, prob_b), .def = "", .help = "their offsets" },
	{ "vectors_per_class", F_INTS, offsetof(struct onx_svm, per_class), .def = "",
	  .help = "support vectors of each class; none: a linear model" },
	{ .name = NULL }
};
static const struct onx_field regressor_field[] = {
	COMMON,
	{ "n_supports", F_INT, offsetof(struct onx_svm, n_supports), .def = "0", .min = 0, .max = 1e9,
	  .help = "support vectors; 0: a linear model" },
	{ "one_class", F_INT, offsetof(struct onx_svm, one_class), .def = "0", .help = "1: 1 or -1 by the sign" },
	{ .name = NULL }
};
const struct onx_table onx_svm_classifier_table = { "SVMClassifier", sizeof(struct onx_svm), classifier_field,
							  .check = NULL };
const struct onx_table onx_svm_regressor_table = { "SVMRegressor", sizeof(struct onx_svm), regressor_field,
							 .check = NULL };

static int want(const char *name, size_t have, size_t n, struct onx_err *e)
{
	return have == n ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "%s has %zu numbers, wanted %zu", name, have, n);
}

static int open(struct onx_infer *s, const struct onx_svm *a, struct onx_svm_geo **out, struct onx_err *e)
{
	struct onx_svm_geo *g = ONX_NEW(s->mem, struct onx_svm_geo);

	if (!g)
		return onx_nomem(e, sizeof *g, "an SVM");
	if (a->params.n && a->params.n < 3)
		return onx_fail(e, ONX_FORMAT, "kernel_params has %zu numbers, wanted 3", a->params.n);
	if (a->params.n) {
		g->gamma = a->params.v[0];
		g->coef0 = a->params.v[1];
		g->degree = a->params.v[2];
	}
	*out = s->geo = g;
	return onx_ml_rows(s, 0, &g->rows, &g->cols, e);
}

static int of_classes(struct onx_infer *s, const struct onx_svm *a, struct onx_svm_geo *g, struct onx_err *e)
{
	size_t *first = ONX_NEWS(s->mem, size_t, g->classes + 1);
	int rc = want("vectors_per_class", a->per_class.n, g->classes, e);

	if (rc < 0 || !first)
		return rc < 0 ? rc : onx_nomem(e, (double)g->classes * 8, "an SVM");
	for (size_t i = 0; i < g->classes; i++) {
		if (a->per_class.v[i] < 0 || a->per_class.v[i] > 1 << 30)
			return onx_fail(e, ONX_FORMAT, "vectors_per_class holds %lld", (long long)a->per_class.v[i]);
		first[i] = g->vectors;
		g->vectors += (size_t)a->per_class.v[i];
	}
	first[g->classes] = g->vectors;
	g->first = first;
	g->pairs = g->classes * (g->classes - 1) / 2;
	g->prob = a->prob_a.n > 0;
	if ((rc = want("support_vectors", a->vector.n, g->vectors * g->cols, e)) < 0 ||
	    (rc = want("coefficients", a->coef.n, g->vectors * (g->classes - 1), e)) < 0 ||
	    (rc = want("rho", a->rho.n, g->pairs, e)) < 0)
		return rc;
	if (g->prob && ((rc = want("prob_a", a->prob_a.n, g->pairs, e)) < 0 ||
			(rc = want("prob_b", a->prob_b.n, g->pairs, e)) < 0))
		return rc;
	g->outs = g->prob ? g->classes : g->pairs;
	return ONX_OK;
}

int onx_svm_classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_svm *a = attr;
	struct onx_svm_geo *g = NULL;
	enum onx_dtype type;
	size_t n;
	int rc = onx_ml_labels(&a->labels, &n, &type, e);

	if (rc < 0 || (rc = open(s, a, &g, e)) < 0)
		return rc;
	g->classes = n ? n : 1;
	if (a->per_class.n) {
		if (n < 2 || n > 4096)
			return onx_fail(e, ONX_FORMAT, "support vectors of %zu classes", n);
		rc = of_classes(s, a, g, e);
	} else {
		g->outs = g->classes;
		rc = want("coefficients", a->coef.n, g->classes * g->cols, e);
		if (rc == ONX_OK && a->rho.n == 0)
			rc = want("rho", 0, 1, e);
	}
	if (rc < 0)
		return rc;
	g->twice = g->outs == 1 && g->classes == 2;
	g->outs += g->twice;
	const struct onx_shape y = { 1, { (int64_t)g->rows } };
	const struct onx_shape z = { 2, { (int64_t)g->rows, (int64_t)g->outs } };
	onx_set_out(s, 0, type, &y);
	onx_set_out(s, 1, ONX_FLOAT, &z);
	return ONX_OK;
}

int onx_svm_regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_svm *a = attr;
	struct onx_svm_geo *g = NULL;
	int rc = open(s, a, &g, e);

	if (rc < 0)
		return rc;
	g->vectors = (size_t)a->n_supports;
	g->outs = 1;
	if (a->rho.n == 0)
		return want("rho", 0, 1, e);
	if (g->vectors && (rc = want("support_vectors", a->vector.n, g->vectors * g->cols, e)) < 0)
		return rc;
	if ((rc = want("coefficients", a->coef.n, g->vectors ? g->vectors : g->cols, e)) < 0)
		return rc;
	const struct onx_shape y = { 2, { (int64_t)g->rows, 1 } };
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}
