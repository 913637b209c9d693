/* onnx-run -- run a model forward. */
#include <string.h>
#include "backend_test.h"
#include "base/json.h"
#include "data/preset.h"
#include "model/mark.h"
#include "rewrite/head.h"
#include "rewrite/scores.h"
#include "run.h"
#include "train/runner.h"
#include "trial.h"

static const char *const formats[] = { "npy", "pb", NULL };
static const struct onx_field fields[] = {
	{ "top", F_INT, offsetof(struct onx_run_opts, top), "0", 0, 1000, .letter = 'k', .arg = "K",
	  .group = "What to print", .help = "the K best classes of the first output; 0: all numbers" },
	{ "labels", F_STR, offsetof(struct onx_run_opts, labels), "", .arg = "FILE",
	  .help = "class names, one a line, where the model carries none" },
	{ "print", F_INT, offsetof(struct onx_run_opts, print), "64", 0, 1e12, .arg = "N",
	  .help = "numbers of each output that are printed; 0: all" },
	{ "format", F_ENUM, offsetof(struct onx_run_opts, format), "npy", .choices = formats, .arg = "FORMAT",
	  .help = "of the files that --output DIR gets, one for each output" },
	{ "size", F_INT, offsetof(struct onx_run_opts, size), "0", 0, 65536, .arg = "N", .group = "How to run",
	  .help = "height and width of pictures, where the model leaves them open; 0: 224" },
	{ "batch", F_INT, offsetof(struct onx_run_opts, batch), "1", 1, 65536, .letter = 'b', .arg = "B",
	  .help = "samples at a time, for --bench" },
	{ "threads", F_INT, offsetof(struct onx_run_opts, threads), "0", 0, 1024, .letter = 't', .arg = "T",
	  .help = "threads; 0: one for each core. The numbers do not depend on it" },
	{ "precise", F_BOOL, offsetof(struct onx_run_opts, precise), "no",
	  .help = "leave out ways to compute that are faster, but round more than the formula" },
	{ "bench", F_INT, offsetof(struct onx_run_opts, bench), "0", 0, 1e6, .arg = "RUNS",
	  .help = "run that often on synthetic inputs; print the median of samples/s, and peak memory" },
	{ "profile", F_BOOL, offsetof(struct onx_run_opts, profile), "no",
	  .help = "with --bench: the time of each operator and step, slowest first" },
	{ "test", F_BOOL, offsetof(struct onx_run_opts, test), "no",
	  .help = "run folders in the layout of the ONNX backend tests; status 1 if any fails" },
	{ "list", F_STR, offsetof(struct onx_run_opts, list), "", .arg = "FILE",
	  .help = "for --test: the tests that must pass, one a line; any other that passes is a failure too" },
	{ .name = NULL }
};

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_run_opts *o = obj;

	if (o->profile && !o->bench)
		return onx_fail(e, ONX_USAGE, "--profile needs --bench RUNS");
	return o->test && (o->bench || o->top)
		? onx_fail(e, ONX_USAGE, "--test goes with neither --bench nor --top") : ONX_OK;
}
static const struct onx_table table = { "onnx-run", sizeof(struct onx_run_opts), fields, check, 0 };
static const struct onx_optset sets[] = {
	{ &table, NULL }, { &onx_preset_table, "data" }, { .table = NULL }
};

static int run_tests(struct onx_work *w, const struct onx_run_opts *o, struct onx_err *e)
{
	const char **dir = ONX_NEWS(&w->mem, const char *, w->n_operand + 1);
	struct onx_pool *pool = NULL;
	size_t n = 0;
	int rc;

	if (!dir)
		return onx_nomem(e, 0, "the list of tests");
	if (w->path)
		dir[n++] = w->path;
	for (size_t i = 0; i < w->n_operand; i++)
		dir[n++] = w->operand[i];
	if (!n)
		return onx_fail(e, ONX_USAGE, "--test needs folders");
	rc = onx_pool_new((int)o->threads, &pool, e);
	if (rc < 0)
		return rc;
	rc = onx_backend_test(dir, n, o->list, pool, stdout, e);
	if (fflush(stdout) != 0 && (rc == ONX_OK || rc == ONX_NO))
		rc = onx_fail(e, ONX_IO, "cannot write standard output");
	onx_pool_free(pool);
	return rc;
}

static int labels(struct onx_run_job *r, struct onx_err *e)
{
	if (r->o->labels)
		return onx_labels_read(r->o->labels, &r->s.mem, &r->label, &r->n_label, e);
	int rc = onx_mark_list(r->w->model, ONX_MARK "labels", &r->s.mem, &r->label, &r->n_label, e);
	return rc < 0 || r->label ? rc : onx_scores_labels(r->s.g, &r->s.mem, &r->label, &r->n_label, e);
}

/* One run, or one for each picture. */
static int run_all(struct onx_run_job *r, struct onx_err *e)
{
	size_t runs = r->n_picture ? r->n_picture : 1;
	int rc = onx_session_plan(&r->s, r->feed, r->s.g->n_input, e);

	for (size_t i = 0; rc == ONX_OK && i < runs; i++) {
		if (i)
			rc = onx_run_picture(r, i, e);
		if (rc < 0)
			break;
		rc = onx_session_run(&r->s, r->feed, r->in, r->s.g->n_input, i, e);
		if (rc == ONX_OK)
			rc = onx_run_outputs(r, r->n_picture ? r->picture[i] : NULL, e);
	}
	return rc;
}

static int work(struct onx_run_job *r, struct onx_err *e)
{
	uint32_t n;
	int rc = onx_session_open(&r->s, r->w->model, r->o->threads, e);

	r->s.precise = r->o->precise;
	r->s.note = &r->w->note;
	r->batch = r->o->batch;
	if (rc == ONX_OK && r->batch > 1 && onx_one_sample(r->s.g)) {
		onx_say(&r->w->note, ONX_INFO, "samples are computed one at a time, as the batch of 1 in the file "
			"asks");
		r->batch = 1;
	}
	if (rc == ONX_OK)
		rc = onx_bind_inputs(r->s.g, r->batch, r->o->size, r->batch > 1, &r->s.mem, &r->feed, &n, e);
	if (rc == ONX_OK && !(r->in = ONX_NEWS(&r->s.mem, struct onx_view, n + 1)))
		rc = onx_nomem(e, 0, "the inputs");
	if (rc == ONX_OK)
		rc = labels(r, e);
	if (rc < 0)
		return rc;
	if (r->o->bench)
		return onx_run_bench(r, e);
	rc = onx_run_inputs(r, e);
	return rc < 0 ? rc : run_all(r, e);
}

static int run(struct onx_work *w, struct onx_err *e)
{
	struct onx_run_job r = { .w = w, .o = w->opt[0], .preset = w->opt[1] };
	int rc;

	if (r.o->test)
		return run_tests(w, r.o, e);
	rc = onx_work_model(w, e);
	if (rc < 0)
		return rc;
	if (r.o->bench && r.o->batch > 1)       /* a batch of 1 may be baked in, also inside */
		rc = onx_open_batch(w, NULL, e);
	if (rc < 0)
		return rc;
	if (w->common.json && !r.o->bench)
		r.json = onx_json_array();
	rc = work(&r, e);
	if (rc == ONX_OK && r.json) {
		rc = onx_json_print(r.json, true, &w->text, e);
		onx_buf_str(&w->text, "\n");
	}
	onx_json_free(r.json);
	onx_session_close(&r.s);
	return rc;
}

static const struct onx_example examples[] = {
	{ "what is in these pictures?", "onnx-run --top 3 flowers.onnx rose.jpg tulip.jpg" },
	{ "arrays in, arrays out (onnx-info names the inputs)", "onnx-run model.onnx x=x.npy --output results/" },
	{ "how fast is it?", "onnx-run --bench 20 --batch 32 model.onnx" },
	{ "where does the time go?", "onnx-run --bench 5 --batch 32 --profile model.onnx" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-run", .brief = "run an ONNX model forward", .operands = "[MODEL] [NAME=FILE | PICTURE]...",
	.about = "Inputs are .npy, .npz or .pb files or pictures; a model with one input needs no NAME. Pictures "
	"become numbers the way the model's own mark says, or the options. Outputs are printed, or written into "
	"the folder of --output.",
	.example = examples, .set = sets,
	.flags = ONX_TOOL_IN | ONX_TOOL_BARE | ONX_TOOL_JSON | ONX_TOOL_DIR, .max_operands = 1 << 20, .run = run
};
