/* onnx-adapt -- a whole recipe in one process. */
#include <string.h>
#include <unistd.h>
#include "base/io.h"
#include "recipe/recipe.h"
#include "recipe/sections.h"
#include "stage.h"

struct opts { bool check, schema; };
static const struct onx_field fields[] = {
	{ "check", F_BOOL, offsetof(struct opts, check), "no", .letter = 'c', .group = "Recipes",
	  .help = "only check the recipe; status 2 if it is wrong" },
	{ "schema", F_BOOL, offsetof(struct opts, schema), "no",
	  .help = "print every section and key with type, default and meaning" },
	{ .name = NULL }
};
static const struct onx_table table = { "onnx-adapt", sizeof(struct opts), fields, NULL, 0 };
static const struct onx_optset sets[] = { { &table, NULL }, { .table = NULL } };

/* The stages, in the order of a run.  A stage whose section the recipe leaves out is left out. */
static const struct stage {
	const char *section, *tool;
	const struct onx_optset *set;
	int (*check)(struct onx_work *w, struct onx_err *e);    /* beside the tables' own; NULL: none */
	int (*run)(struct onx_work *w, struct onx_err *e);
	bool changes, history;
} stages[] = {
	{ "freeze", "onnx-freeze", onx_freeze_sets, NULL, onx_stage_freeze, true, true },
	{ "head", "onnx-head", onx_head_sets, NULL, onx_stage_head, true, true },
	{ "train", "onnx-train", onx_train_sets, onx_train_check, onx_stage_train, true, true },
	{ "eval", "onnx-eval", onx_eval_sets, NULL, onx_stage_eval, false, false },
	{ "export", "onnx-export", onx_export_sets, NULL, onx_stage_export, true, false }
};

/* What comes out of one stage goes into the next as a pipe would carry it. */
static int hand_on(struct onx_work *w, struct onx_err *e)
{
	struct onx_buf bytes = { 0 };
	struct onx_model *next = NULL;
	int rc = onx_model_bytes(w->model, &bytes, e);

	if (rc == ONX_OK)
		rc = onx_model_parse(bytes.data, bytes.len, NULL, &next, e);
	onx_buf_release(&bytes);
	if (rc < 0)
		return rc;
	onx_model_free(w->model);
	w->model = next;
	return ONX_OK;
}

/* One stage: its options from the recipe, the same checks, run and history line as its tool's. */
static int run_stage(struct onx_work *top, struct onx_recipe *r, const struct stage *s, bool history,
		     bool dry, struct onx_err *e)
{
	const struct onx_tool tool = { .name = s->tool, .set = s->set };
	struct onx_work w = { .tool = &tool, .common = top->common, .path = top->path, .model = top->model,
			      .note = top->note };
	int rc = onx_work_defaults(&w, e);

	if (rc == ONX_OK)
		rc = onx_work_take(&w, r, e);
	if (rc == ONX_OK)
		rc = onx_work_check(&w, e);
	if (rc == ONX_OK && s->check)
		rc = s->check(&w, e);
	if (rc == ONX_OK && !dry) {
		rc = s->run(&w, e);
		top->model = w.model;
	}
	if (rc == ONX_OK && !dry && history && s->history)
		rc = onx_work_history(&w, e);
	if (rc == ONX_OK && !dry && s->changes) {
		rc = hand_on(&w, e);
		top->model = w.model;
	}
	onx_buf_add(&top->text, w.text.data ? w.text.data : "", w.text.len);
	onx_buf_release(&w.text);
	onx_arena_release(&w.mem);
	return rc < 0 && !dry ? onx_while(e, rc, "in stage '%s' of the recipe", s->section) : rc;
}

/* Scores go to standard output, or, where the model goes there, to standard error. */
static int deliver(struct onx_work *w, const char *output, struct onx_err *e)
{
	const bool piped = !output || strcmp(output, "-") == 0;
	int rc = onx_model_write(w->model, output, e);

	if (rc == ONX_OK && piped && w->text.len)
		fprintf(stderr, "%s", w->text.data);
	else if (rc == ONX_OK && w->text.len)
		rc = onx_write_file(NULL, false, w->text.data, w->text.len, e);
	w->text.len = 0;
	w->common.output = NULL;        /* has been written */
	onx_model_free(w->model);
	w->model = NULL;
	return rc;
}

static int adapt(struct onx_work *w, struct onx_recipe *r, const struct opts *o, struct onx_err *e)
{
	struct onx_model_opts model;
	uint64_t seen = 0;
	int rc = onx_defaults(&onx_model_table, &model, &w->mem, e);

	if (rc == ONX_OK)
		rc = onx_recipe_take(r, "model", &onx_model_table, &model, &seen, &w->mem, e);
	if (rc < 0)
		return rc;
	w->path = model.file;
	for (int dry = 1; dry >= 0 && rc == ONX_OK; dry--) {
		if (!dry && o->check) {
			onx_buf_fmt(&w->text, "the recipe is right\n");
			return ONX_OK;
		}
		if (!dry && !model.file && !onx_recipe_has(r, "head") && isatty(STDIN_FILENO))
			return onx_fail(e, ONX_USAGE, "%s: 'model' needs a 'file: FILE', or a model piped in",
					onx_recipe_at(r, "model"));
		/* a head with an input of its own makes the model itself */
		if (!dry && (model.file || !onx_recipe_has(r, "head")))
			rc = onx_work_model(w, e);
		for (size_t i = 0; rc == ONX_OK && i < sizeof stages / sizeof *stages; i++)
			if (onx_recipe_has(r, stages[i].section))
				rc = run_stage(w, r, &stages[i], model.history, dry, e);
	}
	return rc < 0 ? rc : deliver(w, w->common.output ? w->common.output : model.output, e);
}

static int run(struct onx_work *w, struct onx_err *e)
{
	const struct opts *o = w->opt[0];
	struct onx_recipe *r = NULL;
	int rc;

	if (o->schema) {
		onx_recipe_schema(&w->text);
		return ONX_OK;
	}
	if (w->n_operand != 1)
		return onx_fail(e, ONX_USAGE, "needs one recipe");
	rc = onx_recipe_read(w->operand[0], 0, &r, e);
	if (rc == ONX_OK)
		rc = adapt(w, r, o, e);
	onx_recipe_free(r);
	return rc;
}

static const struct onx_example examples[] = {
	{ "is the recipe right?", "onnx-adapt --check recipes/new-classes.yaml" },
	{ "run it", "onnx-adapt recipes/new-classes.yaml" },
	{ "every key that a recipe may have", "onnx-adapt --schema | less" },
	{ .command = NULL }
};

const struct onx_tool onx_this_tool = {
	.name = "onnx-adapt", .brief = "adapt an ONNX model by a recipe", .operands = "RECIPE.yaml",
	.about = "Runs the sections freeze, head, train, eval and export of a recipe, those that it has, in this "
	"order and in one process. The result is the same file, bit for bit, as a pipeline of the tools with the "
	"same options gives.",
	.example = examples, .set = sets, .max_operands = 1, .run = run
};
