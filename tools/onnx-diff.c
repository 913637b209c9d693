/* onnx-diff -- what is different between two models. */
#include <string.h>
#include "base/json.h"
#include "graph/diff.h"
#include "diff_data.h"

struct opts {
	double rtol, atol;
	bool meta, info;
	int64_t limit;
	struct onx_diff_data run;
};

static const struct onx_field fields[] = {
	{ "rtol", F_REAL, offsetof(struct opts, rtol), "0", 0, 1, .arg = "X", .group = "When weights are equal",
	  .help = "numbers a and b agree if |a - b| <= atol + rtol * |b|" },
	{ "atol", F_REAL, offsetof(struct opts, atol), "0", 0, 1e30, .arg = "X", .help = "see --rtol" },
	{ "meta", F_BOOL, offsetof(struct opts, meta), "yes", .group = "What to compare",
	  .help = "leave metadata, marks, producer and doc strings out" },
	{ "info", F_BOOL, offsetof(struct opts, info), "yes",
	  .help = "leave value_info out: declared shapes of values inside" },
	{ "limit", F_INT, offsetof(struct opts, limit), "100", 0, 1e9, .arg = "N",
	  .help = "print at most that many differences; 0: all" },
	{ "data", F_STRS, offsetof(struct opts, run.data), "", .arg = "SRC|NAME=FILE", .group = "What they compute",
	  .help = "run both models on these samples, or on a file for each input (.npy, .npz, .pb, a picture), and "
	  "compare only their outputs" },
	{ "tol", F_REAL, offsetof(struct opts, run.tol), "1e-4", 0, 1e30, .arg = "X",
	  .help = "with --data: outputs may be off by this part of the largest number of an output" },
	{ "batch", F_INT, offsetof(struct opts, run.batch), "32", 1, 4096, .letter = 'b', .arg = "N",
	  .help = "samples at a time, where the models leave it open" },
	{ "threads", F_INT, offsetof(struct opts, run.threads), "0", 0, 1024, .letter = 't', .arg = "N",
	  .help = "threads; 0: one for each core. The numbers do not depend on it" },
	{ .name = NULL }
};

static int check(const void *obj, struct onx_err *e)
{
	const struct opts *o = obj;

	for (size_t i = 0; i < o->run.data.n && o->run.data.n > 1; i++)
		if (!strchr(o->run.data.v[i], '='))
			return onx_fail(e, ONX_USAGE, "--data is one source of samples, or NAME=FILE for each input");
	return ONX_OK;
}
static const struct onx_table table = { "onnx-diff", sizeof(struct opts), fields, check, 0 };
static const struct onx_optset sets[] = {
	{ &table, NULL }, { &onx_source_table, "data" }, { &onx_preset_table, "data" }, { .table = NULL }
};

static void text(const struct onx_diff *d, const struct opts *o, struct onx_buf *out)
{
	for (size_t i = 0; i < d->n && (o->limit == 0 || (int64_t)i < o->limit); i++) {
		onx_diff_line(&d->v[i], out);
		onx_buf_str(out, "\n");
	}
	if (o->limit && (int64_t)d->n > o->limit)
		onx_buf_fmt(out, "... and %zu more\n", d->n - (size_t)o->limit);
	onx_buf_fmt(out, "%s: %zu difference%s; %zu nodes the same; of the weights %zu identical to the byte "
		    "(%zu numbers), %zu within the tolerance, %zu different\n", d->n ? "different" : "the same",
		    d->n, d->n == 1 ? "" : "s", d->nodes_same, d->weights_same, d->numbers_same,
		    d->weights_near, d->weights_far);
}

static struct onx_json *one(const struct onx_difference *v)
{
	struct onx_json *o = onx_json_object();

	onx_json_str(o, "place", onx_diff_place_text(v->place));
	onx_json_str(o, "what", onx_diff_what_text(v->what));
	onx_json_str(o, "name", v->name);
	onx_json_str(o, "field", v->field);
	onx_json_str(o, "a", v->a);
	onx_json_str(o, "b", v->b);
	if (v->numbers) {
		onx_json_int(o, "differ", (int64_t)v->gap.bad);
		onx_json_real(o, "worst_abs", v->gap.worst_abs);
		onx_json_real(o, "worst_rel", v->gap.worst_rel);
	}
	return o;
}

static int json(const struct onx_diff *d, struct onx_buf *out, struct onx_err *e)
{
	struct onx_json *top = onx_json_object(), *list = onx_json_array();
	int rc;

	onx_json_bool(top, "same", d->n == 0);
	onx_json_int(top, "nodes_same", (int64_t)d->nodes_same);
	onx_json_int(top, "weights_same", (int64_t)d->weights_same);
	onx_json_int(top, "weights_near", (int64_t)d->weights_near);
	onx_json_int(top, "weights_far", (int64_t)d->weights_far);
	onx_json_int(top, "numbers_same", (int64_t)d->numbers_same);
	for (size_t i = 0; i < d->n; i++)
		onx_json_put(list, NULL, one(&d->v[i]));
	onx_json_put(top, "differences", list);
	rc = onx_json_print(top, true, out, e);
	onx_json_free(top);
	onx_buf_str(out, "\n");
	return rc;
}

/* As files: graph and weights. */
static int compare(struct onx_work *w, const struct onx_model *other, const struct opts *o, struct onx_err *e)
{
	struct onx_diff_options how = { .rtol = o->rtol, .atol = o->atol, .no_meta = !o->meta,
					.no_info = !o->info };
	struct onx_diff d = { 0 };
	int rc = onx_diff_models(w->model, other, &how, &d, e);

	if (rc == ONX_OK && w->common.json)
		rc = json(&d, &w->text, e);
	else if (rc == ONX_OK)
		text(&d, o, &w->text);
	if (rc == ONX_OK && d.n)
		rc = ONX_NO;            /* the text says it all */
	onx_diff_release(&d);
	return rc;
}

static int run(struct onx_work *w, struct onx_err *e)
{
	const struct opts *o = w->opt[0];
	struct onx_diff_data how = o->run;
	struct onx_model *other = NULL;
	int rc;

	how.source = w->opt[1];
	how.preset = w->opt[2];
	if (w->n_operand != 1)
		return onx_fail(e, ONX_USAGE, "needs two models; one of them may be '-'");
	if (!w->path || (strcmp(w->path, "-") == 0 && strcmp(w->operand[0], "-") == 0))
		return onx_fail(e, ONX_USAGE, "standard input can be only one of the two models");
	rc = onx_work_model(w, e);
	if (rc < 0)
		return rc;
	rc = onx_model_look(w->operand[0], &other, e);
	if (rc < 0)
		return rc;
	rc = o->run.data.n ? onx_diff_outputs(w, &other, &how, e) : compare(w, other, o, e);
	onx_model_free(other);
	return rc;
}

static const struct onx_example examples[] = {
	{ "what did training change?", "onnx-diff headed.onnx trained.onnx" },
	{ "is everything but the marks untouched?", "onnx-export adapted.onnx | onnx-diff --no-info model.onnx -" },
	{ "do they compute the same, on your pictures?", "onnx-export --fold adapted.onnx | onnx-diff --data test/ "
	  "adapted.onnx -" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-diff", .brief = "compare two ONNX models", .operands = "MODEL MODEL",
	.about = "Compares graph and weights as they stand in the files. Says nothing but a summary if they "
	"are the same; the exit status is 0 then, and 1 if they differ.\n\n"
	"With --data it runs both and compares what comes out, whatever the files look like: the largest gap of each "
	"output, how often both say the same class, and the accuracy of both where the data has labels; status 1 if an "
	"output is off by more than --tol.",
	.example = examples, .set = sets, .flags = ONX_TOOL_IN | ONX_TOOL_BARE | ONX_TOOL_JSON | ONX_TOOL_SHORT,
	.max_operands = 1, .run = run
};
