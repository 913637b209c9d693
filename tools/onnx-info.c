/* onnx-info -- what is in a model, and can it be trained. */
#include <unistd.h>
#include "info.h"

static const struct onx_field fields[] = {
	{ "check", F_BOOL, offsetof(struct onx_info_opts, check), "no", .letter = 'c', .group = "What to print",
	  .help = "the pre-flight: what stands between the weights that train and the output, and a way out; "
	  "status 1 if anything does" },
	{ "weights", F_BOOL, offsetof(struct onx_info_opts, weights), "no", .letter = 'w',
	  .help = "also every weight, and which of them train" },
	{ "plan", F_BOOL, offsetof(struct onx_info_opts, plan), "no", .letter = 'p',
	  .help = "the steps of one forward run and the memory they take" },
	{ "dot", F_BOOL, offsetof(struct onx_info_opts, dot), "no", .help = "the graph for Graphviz" },
	{ "ops", F_BOOL, offsetof(struct onx_info_opts, ops), "no",
	  .help = "the operators that are supported here; needs no model" },
	{ "page", F_BOOL, offsetof(struct onx_info_opts, page), "no",
	  .help = "with --ops: the page of the documentation, in Markdown" },
	{ "batch", F_INT, offsetof(struct onx_info_opts, batch), "1", 1, 65536, .letter = 'b', .arg = "N",
	  .help = "samples at a time, where the model leaves it open", .group = "For which sizes" },
	{ "size", F_INT, offsetof(struct onx_info_opts, size), "0", 0, 65536, .arg = "N",
	  .help = "height and width of pictures, where the model leaves them open; 0: 224" },
	{ .name = NULL }
};

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_info_opts *o = obj;

	if (o->check + o->plan + o->dot + o->ops > 1)
		return onx_fail(e, ONX_USAGE, "--check, --plan, --dot and --ops exclude each other");
	if (o->page && !o->ops)
		return onx_fail(e, ONX_USAGE, "--page is a form of --ops");
	return ONX_OK;
}
static const struct onx_table table = { "onnx-info", sizeof(struct onx_info_opts), fields, check, 0 };
static const struct onx_optset sets[] = { { &table, NULL }, { .table = NULL } };

static int print(struct onx_work *w, const struct onx_info_opts *o, const struct onx_info *f,
		 struct onx_err *e)
{
	if (o->check)
		return onx_info_check(f, e);
	if (o->dot) {
		onx_info_dot(f, &w->text);
	} else if (o->plan) {
		if (!f->plan) {
			*e = f->why;
			return f->why.code;
		}
		onx_plan_print(f->plan, &w->text);
	} else if (w->common.json) {
		return onx_info_json(f, &w->text, e);
	} else {
		onx_info_text(f, &w->text);
	}
	return ONX_OK;
}

static int run(struct onx_work *w, struct onx_err *e)
{
	const struct onx_info_opts *o = w->opt[0];
	struct onx_info f;
	int rc;

	if (o->ops)
		return onx_info_ops(o->page ? ONX_OPS_PAGE : w->common.json ? ONX_OPS_JSON : ONX_OPS_TEXT,
				    &w->text, e);
	rc = onx_work_model(w, e);
	if (rc < 0)
		return rc;
	rc = onx_info_gather(w, o, &f, e);
	if (rc == ONX_OK)
		rc = print(w, o, &f, e);
	onx_info_release(&f);
	return rc;
}

static const struct onx_example examples[] = {
	{ "what is in a downloaded model", "onnx-info model.onnx" },
	{ "can all of it be trained?", "onnx-freeze --none model.onnx | onnx-info --check" },
	{ "which weights would train, for another program",
	  "onnx-freeze --last 2 model.onnx | onnx-info --weights --json" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-info", .brief = "say what is in an ONNX model", .operands = "[MODEL]",
	.about = "Prints inputs, outputs, operators, weights, multiply-adds and marks of a model. It also looks "
	"at models that cannot be run here, and says why they cannot.",
	.example = examples, .set = sets, .flags = ONX_TOOL_IN | ONX_TOOL_BARE | ONX_TOOL_JSON | ONX_TOOL_SHORT,
	.run = run
};
