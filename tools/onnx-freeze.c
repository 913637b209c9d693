/* onnx-freeze -- choose which weights training may change. */
#include "stage.h"

static const struct onx_example examples[] = {
	{ "keep the whole body, train a new classifier",
	  "onnx-freeze --all model.onnx | onnx-head --classes 5 | onnx-train --data photos/ -o adapted.onnx" },
	{ "train the last two layers",
	  "onnx-freeze --last 2 model.onnx | onnx-info --weights" },
	{ "an int8 file of DequantizeLinear nodes: its weights as float, all of them to train",
	  "onnx-freeze --dequantize --none model-int8.onnx -o chosen.onnx" },
	{ "everything but BatchNormalization", "onnx-freeze --none --op BatchNormalization model.onnx -o chosen.onnx" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-freeze", .brief = "choose which weights training may change", .operands = "[MODEL]",
	.about = "Marks the weights that onnx-train may change; all others stay as they are, to the byte, and "
	"what depends on no trained weight is not computed again and again. The choice is by place in the graph "
	"first, because exporters lose names, then by name and by operator. Running statistics of "
	"BatchNormalization are never weights.\n\n"
	"--last N counts layers, the way the net was drawn and not the way it was exported: a Conv, Gemm or MatMul "
	"is one, together with the Add of its bias and the BatchNormalization (or Mul and Add) behind it. So N means "
	"the same whether or not an exporter folded them.\n\n"
	"Choices combine in this order, later ones win: --all, --none or --last; --up-to; --op; --match; --train.",
	.example = examples, .set = onx_freeze_sets, .flags = ONX_TOOL_IN | ONX_TOOL_OUT | ONX_TOOL_SHORT,
	.run = onx_stage_freeze
};
