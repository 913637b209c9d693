/* onnx-head -- put a new classifier on a model. */
#include "stage.h"

static const struct onx_example examples[] = {
	{ "five new classes on a frozen body",
	  "onnx-freeze --all model.onnx | onnx-head --classes 5 | onnx-train --data "
	  "photos/ -o adapted.onnx" },
	{ "keep what it knows and add classes", "onnx-head --extend new-labels.txt "
	  "model.onnx -o more.onnx" },
	{ "a deeper head",
	  "onnx-freeze --all model.onnx | onnx-head --classes 5 --layers 'dropout:0.2 "
	  "gemm:128 relu gemm:5' -o headed.onnx" },
	{ "a network from nothing",
	  "onnx-head --input x:float:Nx1x28x28 --layers 'conv:8:3 relu maxpool:2 gap "
	  "gemm:10' -o small.onnx" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-head", .brief = "put a new classifier on an ONNX model",
	.operands = "[MODEL]",
	.about = "Finds the classifier -- the last Gemm, MatMul or 1x1 Conv, also "
	  "behind Softmax, Flatten, Reshape "
	"or pooling -- and replaces it for other classes; or cuts the model at a "
	  "tensor and appends layers. The "
	"new weights are marked, so that onnx-train knows what is new. A last Softmax "
	  "stays in the file; the "
	"loss works on what is in front of it.\n\n"
	"Layers are words such as dropout:0.2 gemm:128 conv:32:3 bn relu maxpool:2 gap "
	  "flatten and res( ... ).",
	.example = examples, .set = onx_head_sets, .flags = ONX_TOOL_IN | ONX_TOOL_OUT | ONX_TOOL_BARE | ONX_TOOL_SHORT,
	.run = onx_stage_head
};
