/* tools/diff_data.h -- the part of onnx-diff that runs the models. */
#ifndef ONX_DIFF_DATA_H
#define ONX_DIFF_DATA_H
#include "data/preset.h"
#include "data/source.h"
#include "tool.h"

struct onx_diff_data {
	struct onx_strs data;           /* one SRC, or NAME=FILE for each input                      */
	double tol;                     /* gap that is allowed, as a part of an output's largest number */
	int64_t batch, threads;
	const struct onx_source_opts *source;
	const struct onx_preset_opts *preset;
};

/* Runs w->model (a) and b on the data, inputs and outputs paired by name or else by place, and says in w->text
 * how far apart the outputs are and how often both say the same class.  ONX_NO where an output is off by more
 * than the tolerance.  Opens a batch of 1 in either model; *b may be another model afterwards. */
int onx_diff_outputs(struct onx_work *w, struct onx_model **b, const struct onx_diff_data *o, struct onx_err *e)
	ONX_MUST;

#endif
