/* rewrite/loss.h -- the loss node behind the logits.
 *
 * The node is of domain "onnx_adapt" (rows in op/loss.c) and never reaches a file: onx_graph_export leaves it
 * out, with everything that only feeds it.  Logits of rank above 2 are flattened to [N,C] in front of it.
 *
 *   CrossEntropy   logits [N,C], labels int64 [N], class weights float [C] or absent -> mean, a scalar
 *   BCEWithLogits, MSE, L1, Huber   y [N,C], target float [N,C], class weights or absent (BCE) -> mean */
#ifndef ONX_REWRITE_LOSS_H
#define ONX_REWRITE_LOSS_H
#include "base/buf.h"
#include "graph/graph.h"

struct onx_loss_opts {
	const char *type;               /* "CrossEntropy", "BCEWithLogits", "MSE", "L1", "Huber"      */
	double label_smoothing;         /* CrossEntropy, 0..1                                         */
	int64_t ignore_index;           /* CrossEntropy: labels with this number do not count          */
	double delta;                   /* Huber                                                      */
	const float *class_weight;      /* n_class numbers, or NULL                                   */
	uint32_t n_class;
};
struct onx_loss { uint32_t loss, target, logits;        /* logits: as the loss node reads them, [N,C] */
		  int64_t classes; };                   /* C                                          */

/* The tensor that the loss works on: the mark onnx_adapt.logits, else the model's only (or first) output,
 * in front of a last Softmax, LogSoftmax or Sigmoid.  *behind: that node, or ONX_NONE.  Of a classifier of
 * ai.onnx.ml its scores, without their transform (rewrite/scores.h). */
int onx_loss_logits(const struct onx_graph *g, uint32_t *logits, uint32_t *behind, struct onx_err *e) ONX_MUST;
/* Appends the loss and the graph input 'onnx_adapt.target' for its labels. */
int onx_loss_append(struct onx_graph *g, uint32_t logits, const struct onx_loss_opts *o, struct onx_loss *out,
		    struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
