/* train/metric.h -- scores with their uncertainty. */
#ifndef ONX_METRIC_H
#define ONX_METRIC_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "tensor/tensor.h"

struct onx_score {
	uint64_t n;                     /* samples (classify: those whose label counts)              */
	double loss_sum, loss_weight;   /* the sum of all weighted losses, and of their weights      */
	uint64_t correct;               /* classify                                                  */
	uint32_t n_class; uint64_t *confusion;  /* n_class x n_class, [truth][guess]; NULL: not kept */
	/* regress, over all targets */
	uint64_t n_target; double abs_sum, square_sum, y_sum, y2_sum;
};
/* n_class == 0: regression, or confusion not wanted. */
int onx_score_init(struct onx_score *s, struct onx_arena *a, uint32_t n_class, struct onx_err *e) ONX_MUST;
/* Adds a batch: outputs [N,C] (or [N,C,1,1], or [N] and [N,1] for a binary logit), y INT64 [N] or real like
 * the outputs.  loss is the batch's mean and weight what it is divided by -- samples, or the sum of their
 * class weights -- so that the mean over all batches does not depend on how they were cut.  Labels equal to
 * ignore_index do not count. */
void onx_score_add(struct onx_score *s, const struct onx_view *out, const struct onx_view *y, double loss,
		   double weight, int64_t ignore_index);
double onx_score_loss(const struct onx_score *s);               /* the weighted mean of all samples  */
double onx_score_accuracy(const struct onx_score *s);
double onx_score_accuracy_se(const struct onx_score *s);        /* binomial standard error           */
double onx_score_mae(const struct onx_score *s);
double onx_score_rmse(const struct onx_score *s);
double onx_score_r2(const struct onx_score *s);
struct onx_class_score { double precision, recall, f1; uint64_t support, guessed; };
void onx_score_class(const struct onx_score *s, uint32_t c, struct onx_class_score *out);

#endif
