/* onnx-report -- event logs of onnx-train as one HTML page. */
#include "report/report.h"
#include "tool.h"

enum { MAX_RUNS = 8 };

static int run(struct onx_work *w, struct onx_err *e)
{
	const char *const standard[] = { "-" }, *const *path = w->n_operand ? w->operand : standard;
	size_t n = w->n_operand ? w->n_operand : 1;
	struct onx_run runs[MAX_RUNS] = { { .n_epoch = 0 } };
	int rc = ONX_OK;

	for (size_t i = 0; rc == ONX_OK && i < n; i++) {
		rc = onx_run_read(path[i], &runs[i], e);
		if (rc == ONX_OK && runs[i].cut)
			onx_say(&w->note, ONX_WARN, "'%s' ends in the middle of a line", runs[i].name);
	}
	if (rc == ONX_OK)
		rc = onx_report(runs, n, &w->mem, &w->text, e);
	for (size_t i = 0; i < n; i++)
		onx_run_release(&runs[i]);
	return rc;
}

static const struct onx_example examples[] = {
	{ "a page about one training", "onnx-train --data flowers/ --events run.jsonl headed.onnx -o flowers.onnx && "
	  "onnx-report run.jsonl -o run.html" },
	{ "two runs over each other", "onnx-report slow.jsonl fast.jsonl -o both.html" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-report", .brief = "turn event logs of training into an HTML page",
	.operands = "[EVENTS.jsonl]...",
	.about = "Reads what onnx-train writes with --events and prints one self-contained page: scores, losses "
	"and learning rate as plots and tables. The log of a run that was killed is read as far as it goes.",
	.example = examples, .max_operands = MAX_RUNS, .run = run
};
