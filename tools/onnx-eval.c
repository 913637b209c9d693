/* onnx-eval -- score a model on data. */
#include "stage.h"

static const struct onx_example examples[] = {
	{ "how good is it?", "onnx-eval --data test/ adapted.onnx" },
	{ "the number alone", "onnx-eval --data test/ --json adapted.onnx | grep '\"accuracy\"'" },
	{ "a page with the confusion matrix", "onnx-eval --data test/ --html scores.html adapted.onnx" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-eval", .brief = "score an ONNX model on data", .operands = "[MODEL]",
	.about = "Prints the loss, and for classes the accuracy with its standard error, precision, recall and F1 "
	"of each class and the confusion matrix; for numbers mean errors and R squared. Classes and "
	"preprocessing are those that the model carries.",
	.example = examples, .set = onx_eval_sets, .flags = ONX_TOOL_IN | ONX_TOOL_JSON, .run = onx_stage_eval
};
