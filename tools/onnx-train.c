/* onnx-train -- train the weights that are marked. */
#include "stage.h"

static const struct onx_example examples[] = {
	{ "a folder with one sub-folder a class; a fifth held back",
	  "onnx-freeze --all model.onnx | onnx-head --classes 5 | onnx-train --data "
	  "photos/ --val 0.2 -o adapted.onnx" },
	{ "deeper, slower, with random changes to the pictures",
	  "onnx-freeze --last 4 adapted.onnx | onnx-train --data photos/ --val 0.2 "
	  "--augment --epochs 20 -o finer.onnx" },
	{ "a table, and a page about the run",
	  "onnx-freeze --none iris.onnx | onnx-train --data iris.csv --events "
	  "run.jsonl -o adapted.onnx && "
	  "onnx-report run.jsonl -o run.html" },
	{ "where does the time of a step go?",
	  "onnx-freeze --none model.onnx | onnx-train --bench 5 --batch 8 --profile" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-train", .brief = "train the marked weights of an ONNX model",
	.operands = "[MODEL]",
	.about = "Trains the weights that onnx-freeze marked, or else those that "
	  "onnx-head made, and writes the "
	"model with them; nothing else in it changes, except marks. Before the first "
	  "step it says what trains, "
	"what is kept of the frozen part and how much memory the run takes. The same "
	  "seed gives the same bits, "
	"with any number of threads.\n\n"
	"Ctrl-C ends the run cleanly and writes the best weights so far.",
	.example = examples, .set = onx_train_sets, .flags = ONX_TOOL_IN | ONX_TOOL_OUT | ONX_TOOL_JSON,
	.run = onx_stage_train
};
