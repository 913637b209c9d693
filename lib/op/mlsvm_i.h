/* op/mlsvm_i.h -- what the files of ai.onnx.ml's support vector machines share. */
#ifndef ONX_MLSVM_I_H
#define ONX_MLSVM_I_H
#include "op/ml.h"

enum onx_svm_kernel { ONX_SVM_LINEAR, ONX_SVM_POLY, ONX_SVM_RBF, ONX_SVM_SIGMOID };
struct onx_svm {
	struct onx_reals coef, params, prob_a, prob_b, rho, vector;
	struct onx_ints per_class;
	struct onx_labels labels;
	int64_t one_class, n_supports;
	int kernel, post;
};

struct onx_svm_geo {
	size_t rows, cols, vectors;     /* vectors 0: linear                                        */
	size_t classes, pairs, outs;
	const size_t *first;            /* by class: its first vector                               */
	bool prob, twice;               /* twice: one decision, given as -s and s                   */
	double gamma, coef0, degree;
};

static inline double onx_ml_dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

#define onx_svm_classifier_table ONX_R(onx_svm_classifier_table)
#define onx_svm_regressor_table ONX_R(onx_svm_regressor_table)
#define onx_svm_classifier_infer ONX_R(onx_svm_classifier_infer)
#define onx_svm_regressor_infer ONX_R(onx_svm_regressor_infer)
#define onx_couple ONX_R(onx_couple)
#define onx_couple_along ONX_R(onx_couple_along)

/* mlsvm_shape.c: s->geo is the struct onx_svm_geo. */
extern const struct onx_table onx_svm_classifier_table, onx_svm_regressor_table;
int onx_svm_classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;
int onx_svm_regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e) ONX_MUST;

/* mlpairs.c: p [n] from r [n][n], r[i][j] how probable class i is beside j; q [n][n] and qp [n] are scratch. */
void onx_couple(size_t n, const double *r, double *q, double *qp, double *p);
/* Its slope dp [n] along dr [n][n]; mem: 2 n^2 + 3 n doubles. */
void onx_couple_along(size_t n, const double *r, const double *dr, double *mem, double *dp);

#endif
