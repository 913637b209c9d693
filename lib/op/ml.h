/* op/ml.h -- what the operators of ai.onnx.ml share: rows of samples, transforms of scores, labels.
 *
 * These operators take floats, doubles or whole numbers and give floats; a row is read into double,
 * and all arithmetic is done there, whatever the precision of the plan.  Rows carry ONX_OP_WIDTHS. */
#ifndef ONX_ML_H
#define ONX_ML_H
#include "kernel/real.h"
#include "op/infer.h"

#define ONX_ML "ai.onnx.ml"

enum onx_post { ONX_POST_NONE, ONX_POST_SOFTMAX, ONX_POST_LOGISTIC, ONX_POST_SOFTMAX_ZERO, ONX_POST_PROBIT };

#define onx_post_names ONX_R(onx_post_names)
#define onx_ml_rows ONX_R(onx_ml_rows)
#define onx_ml_row ONX_R(onx_ml_row)
#define onx_ml_each ONX_R(onx_ml_each)
#define onx_ml_scratch ONX_R(onx_ml_scratch)
#define onx_ml_post ONX_R(onx_ml_post)
#define onx_ml_post_back ONX_R(onx_ml_post_back)
#define onx_ml_labels ONX_R(onx_ml_labels)
#define onx_ml_put_label ONX_R(onx_ml_put_label)
#define onx_ml_best ONX_R(onx_ml_best)

extern const char *const onx_post_names[];

/* Input i as rows of samples: [C] is one row, [N,C] N of them; real numbers, int32 or int64. */
int onx_ml_rows(const struct onx_infer *s, int i, size_t *rows, size_t *cols, struct onx_err *e) ONX_MUST;
void onx_ml_row(const struct onx_view *x, size_t row, size_t cols, double *to);

/* fn(c, row, work) for each row, over the pool; work: `n` doubles of the thread's own in c->scratch, which
 * onx_ml_scratch sizes. */
typedef void onx_ml_row_fn(const struct onx_call *c, size_t row, double *work);
void onx_ml_each(const struct onx_call *c, size_t rows, size_t n, onx_ml_row_fn *fn);
size_t onx_ml_scratch(size_t n, int threads);

/* s [n] = f(s).  SOFTMAX_ZERO is a softmax of what is not zero; PROBIT is the inverse of the normal
 * distribution function, NaN outside (0, 1). */
void onx_ml_post(enum onx_post kind, double *s, size_t n);
/* d [n]: the gradient of y = f(s) on entry, of s on return; y and s as after and before the transform. */
void onx_ml_post_back(enum onx_post kind, const double *s, const double *y, double *d, size_t n);

/* Names of classes: int64 or strings, never both. */
struct onx_labels { struct onx_ints ints; struct onx_strs strings; };
/* Checks them; *n 0: none are given, classes are numbered. */
int onx_ml_labels(const struct onx_labels *l, size_t *n, enum onx_dtype *type, struct onx_err *e) ONX_MUST;
void onx_ml_put_label(const struct onx_labels *l, const struct onx_view *y, size_t row, size_t k);
/* The first largest. */
size_t onx_ml_best(const double *s, size_t n);

#endif
