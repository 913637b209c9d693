/* tools/stage_eval.c -- onnx-eval: scores of a model on data, into w->text and a page. */
#include "base/io.h"
#include "objective.h"
#include "score.h"
#include "stage.h"

enum { EVAL, SOURCE, PRESET };
const struct onx_optset onx_eval_sets[] = {
	[EVAL] = { &onx_eval_table, "eval" }, [SOURCE] = { &onx_source_table, "data" },
	[PRESET] = { &onx_preset_table, "data" }, { .table = NULL }
};

static int page(struct onx_work *w, const struct onx_score *s, const struct onx_score_names *n,
		struct onx_err *e)
{
	const struct onx_eval_opts *o = w->opt[EVAL];
	struct onx_buf out = { 0 };
	int rc;

	if (!o->html)
		return ONX_OK;
	rc = onx_score_html(s, n, o->data, &out, e);
	if (rc == ONX_OK && out.lost)
		rc = onx_nomem(e, (double)out.len, "the page");
	if (rc == ONX_OK)
		rc = onx_write_file(o->html, false, out.data, out.len, e);
	onx_buf_release(&out);
	return rc;
}

static int score(struct onx_work *w, struct onx_problem *p, struct onx_samples *s, struct onx_err *e)
{
	struct onx_eval_ask ask = {
		.g = p->g, .obj = p->obj, .loader = s->loader, .src = s->src, .list = s->train,
		.ignore_index = -100, .pool = p->pool,
		.precise = ((const struct onx_eval_opts *)w->opt[EVAL])->precise,
		.progress = onx_tty_shown(w) ? onx_progress_line : NULL, .progress_ctx = w };
	struct onx_score_names names = { s->src->class_name, s->src->n_class };
	struct onx_score sum;
	int rc = onx_score_init(&sum, &w->mem, p->obj.n_class, e);

	if (rc == ONX_OK)
		rc = onx_evaluate(&ask, &sum, e);
	onx_tty_line(w, NULL);
	if (rc < 0)
		return rc;
	if (s->src->n_bad)
		onx_say(&w->note, ONX_WARN, "%zu samples were left out", s->src->n_bad);
	if (w->common.json)
		rc = onx_score_json(&sum, &names, &w->text, e);
	else
		onx_score_text(&sum, &names, &w->text);
	return rc == ONX_OK ? page(w, &sum, &names, e) : rc;
}

static int evaluate(struct onx_work *w, struct onx_problem *p, struct onx_err *e)
{
	const struct onx_eval_opts *o = w->opt[EVAL];
	const struct onx_data_opts data = { .data = o->data };
	struct onx_train_opts train;
	struct onx_samples s = { 0 };
	struct onx_samples_ask ask = {
		.w = w, .g = p->g, .input = p->input, .n_input = p->n_input, .data = &data,
		.source = w->opt[SOURCE], .preset = w->opt[PRESET], .batch = o->batch, .threads = o->threads };
	int rc = onx_defaults(&onx_train_table, &train, &w->mem, e);

	if (rc == ONX_OK)
		rc = onx_samples_open(&ask, &s, e);
	if (rc == ONX_OK)
		rc = onx_problem_attach(p, &train, &s, s.src->task == ONX_TASK_REGRESS, e);
	if (rc == ONX_OK)
		rc = score(w, p, &s, e);
	onx_samples_close(&s);
	return rc;
}

int onx_stage_eval(struct onx_work *w, struct onx_err *e)
{
	const struct onx_eval_opts *o = w->opt[EVAL];
	struct onx_problem p = { 0 };
	int rc = onx_problem_open(w, false, o->threads, &p, e);

	if (rc == ONX_OK)
		rc = evaluate(w, &p, e);
	onx_problem_close(&p);
	return rc;
}
