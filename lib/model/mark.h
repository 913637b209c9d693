/* model/mark.h -- the marks that onnx-adapt leaves in a model, so that each tool is a filter.
 * They are metadata_props of the model under "onnx_adapt."; onnx-export removes them all.
 *
 *   onnx_adapt.train       JSON array: the initializers (and outputs of Constant nodes) that
 * training may
 *                          change.  Absent: nobody has said.
 *   onnx_adapt.head        JSON array: the weights that onnx-head made, still untrained
 *   onnx_adapt.labels      JSON array: class names, by index
 *   onnx_adapt.preprocess  JSON object: how pixels or columns become numbers (data/preset.h)
 *   onnx_adapt.logits      name of the tensor that the loss works on, where a Softmax follows it
 *   onnx_adapt.task        "classify" or "regress"
 *   onnx_adapt.history     JSON array: one line for each tool that the file went through (no time
 * stamps)
 */
#ifndef ONX_MARK_H
#define ONX_MARK_H
#include "model/model.h"

#define ONX_MARK "onnx_adapt."

/* A list mark; *n == 0 and *v == NULL if it is absent, *v non-NULL if it is there and empty. */
int onx_mark_list(const struct onx_model *m, const char *key, struct onx_arena *a,
		  const char *const **v, size_t *n, struct onx_err *e) ONX_MUST;
int onx_mark_set_list(struct onx_model *m, const char *key, const char *const *v, size_t n,
		      struct onx_err *e) ONX_MUST;
/* Appends one line to the history. */
int onx_mark_history(struct onx_model *m, const char *line, struct onx_err *e) ONX_MUST;

#endif
