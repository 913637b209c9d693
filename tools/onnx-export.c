/* onnx-export -- the file to deploy. */
#include "stage.h"

static const struct onx_example examples[] = {
	{ "without the marks of these tools", "onnx-export adapted.onnx -o deploy.onnx" },
	{ "smaller and faster, one sample at a time", "onnx-export --fold --drop-idle "
	  "--batch 1 adapted.onnx -o deploy.onnx" },
	{ "half the size; a quarter of the size", "onnx-export --fold --fp16 adapted.onnx -o half.onnx && onnx-export "
	  "--fold --int8 adapted.onnx -o int8.onnx" },
	{ "what did that cost, on your pictures?", "onnx-export --fold --int8 adapted.onnx | onnx-diff --data test/ "
	  "adapted.onnx -" },
	{ "open a batch of 1 that is baked in", "onnx-export --batch sym model.onnx -o batched.onnx" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-export", .brief = "write the ONNX file to deploy", .operands = "[MODEL]",
	.about = "Removes the marks that the other tools left, and on demand folds what inference does not need and "
	"stores numbers in fewer bits. The graph is changed only when asked. What goes out is run against what came "
	"in before it is written, and the gap is told.",
	.example = examples, .set = onx_export_sets,
	.flags = ONX_TOOL_IN | ONX_TOOL_OUT | ONX_TOOL_PLAIN | ONX_TOOL_SHORT,
	.run = onx_stage_export
};
