/* tools/stage.h -- the tools that change a model, as functions on a model in memory.
 *
 * onnx-freeze, onnx-head, onnx-train and onnx-export are each one of these, and onnx-adapt is all of them
 * in a row; so a recipe and a pipeline do the same, to the bit.  A stage takes its options from w->opt[],
 * in the order of its sets, and leaves its result in w->model. */
#ifndef ONX_STAGE_H
#define ONX_STAGE_H
#include "tool.h"

extern const struct onx_optset onx_freeze_sets[], onx_head_sets[], onx_train_sets[], onx_eval_sets[],
	onx_export_sets[];

/* Each line of a rewrite's log as chatter. */
void onx_work_log(struct onx_work *w, const struct onx_buf *log);

int onx_stage_freeze(struct onx_work *w, struct onx_err *e) ONX_MUST;
int onx_stage_head(struct onx_work *w, struct onx_err *e) ONX_MUST;
int onx_stage_train(struct onx_work *w, struct onx_err *e) ONX_MUST;
/* What onnx-train must have been told; its stage asks it first. */
int onx_train_check(struct onx_work *w, struct onx_err *e) ONX_MUST;
int onx_stage_eval(struct onx_work *w, struct onx_err *e) ONX_MUST;
int onx_stage_export(struct onx_work *w, struct onx_err *e) ONX_MUST;

#endif
