/* tools/objective.c -- from a model with marks to something that can be trained or scored. */
#include <stdlib.h>
#include <string.h>
#include "model/mark.h"
#include "objective.h"
#include "rewrite/loss.h"
#include "rewrite/scores.h"
#include "trial.h"

/* The weights that a list mark names, by value. */
static int marked(struct onx_work *w, struct onx_problem *p, const char *key, bool **is, bool *any,
		  struct onx_err *e)
{
	const char *const *name;
	size_t n;
	int rc = onx_mark_list(w->model, key, &p->mem, &name, &n, e);

	if (rc < 0)
		return rc;
	*any = name != NULL;
	*is = ONX_NEWS(&p->mem, bool, (size_t)p->g->n_value + 1);
	if (!*is)
		return onx_nomem(e, p->g->n_value, "the list of weights");
	for (size_t i = 0; i < n; i++) {
		uint32_t v = onx_graph_find(p->g, name[i]);

		if (v == ONX_NONE || !p->g->value[v].init)
			return onx_fail(e, ONX_USAGE, "the mark '%s' names '%s', which is no weight of this model; "
					"choose anew with onnx-freeze", key, name[i]);
		(*is)[v] = true;
	}
	return ONX_OK;
}

/* What trains: the mark of onnx-freeze, else the weights that onnx-head made. */
static int chosen(struct onx_work *w, struct onx_problem *p, struct onx_err *e)
{
	bool said, headed, any = false;
	int rc = marked(w, p, ONX_MARK "train", &p->weight, &said, e);

	if (rc == ONX_OK)
		rc = marked(w, p, ONX_MARK "head", &p->fresh, &headed, e);
	if (rc < 0)
		return rc;
	if (!said && headed)
		memcpy(p->weight, p->fresh, p->g->n_value * sizeof *p->weight);
	for (uint32_t v = 0; v < p->g->n_value; v++)
		any |= p->weight[v];
	return any ? ONX_OK : onx_fail(e, ONX_USAGE, "nothing is marked to train: put onnx-head (a new classifier) or "
				       "onnx-freeze (--last N, --none) in front");
}

int onx_problem_open(struct onx_work *w, bool train, int64_t threads, struct onx_problem *p,
		     struct onx_err *e)
{
	uint32_t behind;
	int rc = onx_open_batch(w, NULL, e);

	if (rc == ONX_OK)
		rc = onx_graph_build(w->model, 0, &p->g, e);
	if (rc == ONX_OK)
		rc = onx_pool_new((int)threads, &p->pool, e);
	if (rc == ONX_OK)
		rc = onx_loss_logits(p->g, &p->logits, &behind, e);
	if (rc == ONX_OK && train)
		rc = chosen(w, p, e);
	if (rc < 0)
		return rc;
	p->wide = train && onx_train_wide(p->g, p->weight);
	p->n_input = p->g->n_input;
	p->input = ONX_NEWS(&p->mem, uint32_t, (size_t)p->n_input + 1);
	if (!p->input)
		return onx_nomem(e, p->n_input * sizeof *p->input, "the inputs");
	if (p->n_input)
		memcpy(p->input, p->g->input, p->n_input * sizeof *p->input);
	return ONX_OK;
}

/* "balanced": n / (C * n_c), so that every class weighs the same in sum; or the numbers given. */
static int class_weights(struct onx_problem *p, const char *text, const struct onx_samples *s,
			 const float **out, uint32_t *n, struct onx_err *e)
{
	const size_t c = s->src->n_class;
	float *v = ONX_NEWS(&p->mem, float, c + 1);
	size_t *count = ONX_NEWS(&p->mem, size_t, c + 1), i = 0;
	char *copy = onx_dup(&p->mem, text);

	if (!v || !count || !copy)
		return onx_nomem(e, (double)c * sizeof *count, "the class weights");
	*out = v;
	*n = (uint32_t)c;
	if (strcmp(text, "balanced") == 0) {
		onx_class_counts(s->src, &s->train, count);
		for (i = 0; i < c; i++)
			v[i] = count[i] ? (float)((double)s->train.n / ((double)c * (double)count[i])) : 0;
		return ONX_OK;
	}
	for (char *at = copy; at; i++) {
		char *comma = strchr(at, ',');
		double x;

		if (comma)
			*comma++ = 0;
		if (onx_parse_real(at, &x) < 0 || !(x >= 0))
			return onx_fail(e, ONX_USAGE, "'class-weights' must be 'balanced' or numbers with commas "
					"between, not '%s'", text);
		if (i < c)
			v[i] = (float)x;
		at = comma;
	}
	return i == c ? ONX_OK : onx_fail(e, ONX_USAGE, "'class-weights' has %zu numbers for %zu classes", i, c);
}

/* apart: each class has a logistic function of its own in the file. */
static const char *loss_type(int kind, bool regress, bool apart)
{
	static const char *const type[] = {
		[ONX_LOSS_CE] = "CrossEntropy", [ONX_LOSS_BCE] = "BCEWithLogits", [ONX_LOSS_MSE] = "MSE",
		[ONX_LOSS_L1] = "L1", [ONX_LOSS_HUBER] = "Huber"
	};

	return type[kind != ONX_LOSS_AUTO ? kind : regress ? ONX_LOSS_MSE : apart ? ONX_LOSS_BCE : ONX_LOSS_CE];
}

/* As many outputs as classes, or as targets; one output tells two classes apart with bce. */
static int fits(const struct onx_samples *s, int64_t outputs, bool bce, struct onx_err *e)
{
	const size_t want = s->src->task == ONX_TASK_CLASSIFY ? s->src->n_class : s->src->n_target;

	if (outputs == (int64_t)want || (bce && outputs == 1 && want == 2))
		return ONX_OK;
	if (s->src->task == ONX_TASK_CLASSIFY)
		return onx_fail(e, ONX_SHAPE, "the data has %zu classes, but the model has %lld outputs; make a new "
				"classifier with onnx-head --classes %zu", want, (long long)outputs, want);
	return onx_fail(e, ONX_SHAPE, "the data has %zu targets, but the model has %lld outputs", want,
			(long long)outputs);
}

int onx_problem_attach(struct onx_problem *p, const struct onx_train_opts *o, const struct onx_samples *s,
		       bool regress, struct onx_err *e)
{
	const uint32_t values = p->g->n_value;
	const bool apart = onx_scores_apart(p->g, p->logits);
	struct onx_loss_opts lo = { .type = loss_type(o->loss, regress, apart), .label_smoothing = o->label_smoothing,
				    .ignore_index = o->ignore_index, .delta = o->huber_delta };
	struct onx_loss made;
	bool *more[2] = { p->weight, p->fresh };
	int rc = ONX_OK;

	if (o->class_weights && s && regress)
		rc = onx_fail(e, ONX_USAGE, "'class-weights' is for classes, not for regression");
	else if (o->class_weights && s)
		rc = class_weights(p, o->class_weights, s, &lo.class_weight, &lo.n_class, e);
	if (rc == ONX_OK)
		rc = onx_loss_append(p->g, p->logits, &lo, &made, NULL, e);
	if (rc == ONX_OK && s)
		rc = fits(s, made.classes, strcmp(lo.type, "BCEWithLogits") == 0, e);
	if (rc < 0)
		return rc;
	/* the loss brought values of its own: lists by value grow */
	for (int i = 0; i < 2 && p->weight; i++) {
		bool *grown = ONX_NEWS(&p->mem, bool, (size_t)p->g->n_value + 1);

		if (!grown)
			return onx_nomem(e, p->g->n_value, "the list of weights");
		memcpy(grown, more[i], values * sizeof *grown);
		*(i ? &p->fresh : &p->weight) = grown;
	}
	p->obj = (struct onx_objective){
		.loss = made.loss, .target = made.target, .logits = made.logits, .input = p->input,
		.n_input = p->n_input, .class_weight = lo.class_weight,
		.n_class = regress ? 0 : made.classes == 1 ? 2 : (uint32_t)made.classes };
	return ONX_OK;
}

void onx_problem_close(struct onx_problem *p)
{
	onx_graph_free(p->g);
	onx_pool_free(p->pool);
	onx_arena_release(&p->mem);
	*p = (struct onx_problem){ 0 };
}

void onx_progress_line(void *ctx, const struct onx_progress *p)
{
	struct onx_work *w = ctx;
	char line[256];
	int left = (int)p->seconds_left;
	size_t n = (size_t)snprintf(line, sizeof line, "epoch %llu/%llu  %s %llu/%llu", (unsigned long long)p->epoch,
				    (unsigned long long)p->epochs, p->phase, (unsigned long long)p->sample,
				    (unsigned long long)p->samples);

	if (p->epochs == 0)
		n = (size_t)snprintf(line, sizeof line, "%s %llu/%llu", p->phase, (unsigned long long)p->sample,
				     (unsigned long long)p->samples);
	if (p->loss == p->loss && p->loss != 0)
		n += (size_t)snprintf(line + n, sizeof line - n, "  loss %.4f", p->loss);
	if (p->accuracy == p->accuracy && p->accuracy > 0)
		n += (size_t)snprintf(line + n, sizeof line - n, "  accuracy %.1f %%", p->accuracy * 100);
	n += (size_t)snprintf(line + n, sizeof line - n, "  %.0f/s", p->samples_per_s);
	if (left > 0)
		snprintf(line + n, sizeof line - n, "  %d:%02d:%02d left", left / 3600, left / 60 % 60, left % 60);
	onx_tty_line(w, line);
}
