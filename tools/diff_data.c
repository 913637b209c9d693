/* tools/diff_data.c -- two models on the same data. */
#include <math.h>
#include <string.h>
#include "base/json.h"
#include "diff_data.h"
#include "model/mark.h"
#include "run.h"
#include "samples.h"
#include "trial.h"

/* One output of a and its partner of b. */
struct gap {
	uint32_t value[2];
	double worst, top;              /* |a - b|, |a|                                              */
	uint64_t sample; size_t number; /* where the worst is                                        */
};
struct pair {
	struct onx_work *w;
	const struct onx_diff_data *o;
	struct onx_run_job job[2];      /* a and b: session, feeds                                   */
	uint32_t *input;                /* by input of a: which of b's it goes into                  */
	struct gap *gap; uint32_t n_gap;
	uint64_t samples, asked, agree; /* compared; asked for a class; both said the same           */
	uint64_t labelled, right[2];    /* the truth is known; a, b said it                          */
	size_t left_out;
};

static uint32_t partner(const struct onx_graph *g, const char *name, const uint32_t *list, uint32_t n,
			uint32_t place)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(g->value[list[i]].name, name) == 0)
			return i;
	return place;
}

static int pair_up(struct pair *p, struct onx_err *e)
{
	const struct onx_graph *a = p->job[0].s.g, *b = p->job[1].s.g;

	if (a->n_input != b->n_input)
		return onx_fail(e, ONX_SHAPE, "the first model has %u inputs, the second %u", a->n_input, b->n_input);
	if (a->n_output != b->n_output)
		return onx_fail(e, ONX_SHAPE, "the first model has %u outputs, the second %u", a->n_output,
				b->n_output);
	p->n_gap = a->n_output;
	p->gap = ONX_NEWS(&p->w->mem, struct gap, (size_t)p->n_gap + 1);
	p->input = ONX_NEWS(&p->w->mem, uint32_t, (size_t)a->n_input + 1);
	if (!p->gap || !p->input)
		return onx_nomem(e, 0, "the comparison");
	for (uint32_t i = 0; i < p->n_gap; i++) {
		p->gap[i].value[0] = a->output[i];
		p->gap[i].value[1] = b->output[partner(b, a->value[a->output[i]].name, b->output, p->n_gap, i)];
	}
	for (uint32_t i = 0; i < a->n_input; i++) {
		const struct onx_value *x = &a->value[a->input[i]], *y;

		p->input[i] = partner(b, x->name, b->input, a->n_input, i);
		y = &b->value[b->input[p->input[i]]];
		if (x->type != y->type && !(onx_dtype_real(x->type) && onx_dtype_real(y->type)))
			return onx_fail(e, ONX_SHAPE, "input '%s' is %s, input '%s' of the second model %s", x->name,
					onx_dtype_name(x->type), y->name, onx_dtype_name(y->type));
	}
	return ONX_OK;
}

/* Numbers of input i of a into both. */
static int feed(struct pair *p, uint32_t i, const struct onx_view *from, struct onx_err *e)
{
	for (int k = 0; k < 2; k++) {
		struct onx_run_job *j = &p->job[k];
		const uint32_t to = k ? p->input[i] : i;
		struct onx_view v = *from;

		v.type = j->feed[to].type;
		v.width = (uint8_t)onx_dtype_store(v.type, false);
		if (v.width != from->width) {   /* float beside double */
			v.v = onx_alloc(&j->s.mem, v.n + 1, v.width);
			if (!v.v)
				return onx_nomem(e, (double)v.n * v.width, "an input");
			for (size_t m = 0; m < v.n; m++)
				onx_view_put_real(&v, m, onx_view_real(from, m));
		}
		v.dim = j->feed[to].shape.dim;
		j->in[to] = v;
	}
	return ONX_OK;
}

static size_t best(const struct onx_view *v, size_t at, size_t per)
{
	size_t top = 0;

	for (size_t c = 1; c < per; c++)
		if (onx_view_real(v, at + c) > onx_view_real(v, at + top))
			top = c;
	return top;
}

static void classes(struct pair *p, const struct onx_view *a, const struct onx_view *b, size_t n, const int64_t *label)
{
	const size_t per = n ? a->n / n : 0;

	for (size_t s = 0; per > 1 && s < n; s++) {
		const size_t x = best(a, s * per, per), y = best(b, s * per, per);

		p->asked++;
		p->agree += x == y;
		if (!label)
			continue;
		p->labelled++;
		p->right[0] += (int64_t)x == label[s];
		p->right[1] += (int64_t)y == label[s];
	}
}

static int compare(struct pair *p, size_t n, const int64_t *label, struct onx_err *e)
{
	int rc = ONX_OK;

	for (int k = 0; rc == ONX_OK && k < 2; k++) {
		struct onx_run_job *j = &p->job[k];

		rc = onx_session_run(&j->s, j->feed, j->in, j->s.g->n_input, 0, e);
	}
	for (uint32_t i = 0; rc == ONX_OK && i < p->n_gap; i++) {
		struct gap *g = &p->gap[i];
		const struct onx_view *a = onx_session_view(&p->job[0].s, g->value[0]);
		const struct onx_view *b = onx_session_view(&p->job[1].s, g->value[1]);
		const char *name = p->job[0].s.g->value[g->value[0]].name;

		if (!a || !b || a->type == ONX_STRING || b->type == ONX_STRING)
			return onx_fail(e, ONX_UNSUP, "output '%s' is not numbers", name);
		if (a->n != b->n)
			return onx_fail(e, ONX_SHAPE, "output '%s' has %zu numbers in the first model and %zu in the "
					"second", name, a->n, b->n);
		for (size_t m = 0; m < a->n; m++) {
			const double x = onx_view_real(a, m), y = onx_view_real(b, m);
			const double d = x == y || (isnan(x) && isnan(y)) ? 0 : isnan(x - y) ? INFINITY : fabs(x - y);
			const size_t per = n && a->n >= n ? a->n / n : 1;

			if (isfinite(x))
				g->top = fmax(g->top, fabs(x));
			if (d > g->worst) {
				g->worst = d;
				g->sample = p->samples + m / per;
				g->number = m % per;
			}
		}
		if (i == 0)
			classes(p, a, b, n, label);
	}
	p->samples += n;
	return rc;
}

/* Plans both for batches of n samples of the loader. */
static int plan(struct pair *p, const struct onx_loader *l, size_t n, struct onx_err *e)
{
	int rc = ONX_OK;

	for (int k = 0; rc == ONX_OK && k < 2; k++) {
		struct onx_run_job *j = &p->job[k];

		for (uint32_t i = 0; rc == ONX_OK && i < j->s.g->n_input; i++) {
			const uint32_t to = k ? p->input[i] : i;

			rc = onx_loader_shape(l, i, n, &j->feed[to].shape, e);
		}
		if (rc == ONX_OK)
			rc = onx_session_plan(&j->s, j->feed, j->s.g->n_input, e);
	}
	return rc;
}

/* The batch that a model insists on; 0: any. */
static int64_t fixed_batch(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];

		if (v->has_shape && v->rank > 0 && v->dim[0] > 0)
			return v->dim[0];
	}
	return 0;
}

static int batches(struct pair *p, struct onx_samples *s, size_t fixed, struct onx_err *e)
{
	size_t planned = 0;
	int rc = onx_loader_start(s->loader, s->train.v, s->train.n, 0, e);

	while (rc == ONX_OK) {
		const struct onx_batch *b;
		int64_t label[4096];

		rc = onx_loader_next(s->loader, &b, e);
		if (rc < 0 || !b)
			break;
		if (fixed && b->n != fixed) {
			p->left_out += b->n;
			continue;
		}
		if (planned != b->n)
			rc = plan(p, s->loader, planned = b->n, e);
		for (uint32_t i = 0; rc == ONX_OK && i < b->n_input; i++)
			rc = feed(p, i, &b->input[i], e);
		for (size_t i = 0; i < b->n && i < 4096 && b->y.type == ONX_INT64; i++)
			label[i] = onx_view_int(&b->y, i);
		if (rc == ONX_OK)
			rc = compare(p, b->n, b->y.type == ONX_INT64 ? label : NULL, e);
	}
	onx_loader_stop(s->loader);
	return rc;
}

static int from_source(struct pair *p, const char *spec, struct onx_err *e)
{
	const struct onx_graph *g = p->job[0].s.g;
	const struct onx_data_opts data = { .data = spec };
	const int64_t fa = fixed_batch(g), fb = fixed_batch(p->job[1].s.g), fixed = fa ? fa : fb;
	struct onx_work w = *p->w;
	struct onx_samples s = { 0 };
	struct onx_samples_ask ask = {
		.w = &w, .g = g, .input = g->input, .n_input = g->n_input, .data = &data, .source = p->o->source,
		.preset = p->o->preset, .batch = fixed ? fixed : p->o->batch, .threads = p->o->threads };
	int rc;

	if (fa && fb && fa != fb)
		return onx_fail(e, ONX_SHAPE, "the first model takes %lld samples at a time, the second %lld",
				(long long)fa, (long long)fb);
	/* whichever model still carries its marks says how data becomes numbers */
	if (!onx_model_meta(w.model, ONX_MARK "preprocess"))
		w.model = p->job[1].w->model;
	rc = onx_samples_open(&ask, &s, e);
	if (rc == ONX_OK)
		rc = batches(p, &s, (size_t)fixed, e);
	if (rc == ONX_OK && p->left_out)
		onx_say(&p->w->note, ONX_WARN, "%zu samples left out: they do not fill a batch of %lld", p->left_out,
			(long long)fixed);
	onx_samples_close(&s);
	return rc;
}

/* NAME=FILE for each input, as onnx-run takes them. */
static int from_files(struct pair *p, struct onx_err *e)
{
	struct onx_run_job *a = &p->job[0], *b = &p->job[1];
	struct onx_work w = *p->w;
	int rc;

	w.operand = p->o->data.v;
	w.n_operand = p->o->data.n;
	a->w = &w;
	rc = onx_run_inputs(a, e);
	for (uint32_t i = 0; rc == ONX_OK && i < a->s.g->n_input; i++) {
		b->feed[p->input[i]].shape = a->feed[i].shape;
		b->feed[p->input[i]].known = a->feed[i].known;
	}
	if (rc == ONX_OK)
		rc = onx_session_plan(&a->s, a->feed, a->s.g->n_input, e);
	if (rc == ONX_OK)
		rc = onx_session_plan(&b->s, b->feed, b->s.g->n_input, e);
	for (uint32_t i = 0; rc == ONX_OK && i < a->s.g->n_input; i++)
		rc = feed(p, i, &a->in[i], e);
	a->w = p->w;
	if (rc < 0)
		return rc;
	return compare(p, a->s.g->n_input && a->in[0].rank ? (size_t)a->in[0].dim[0] : 1, NULL, e);
}

static bool far(const struct pair *p, const struct gap *g)
{
	return g->worst > p->o->tol * g->top;
}

static void text(const struct pair *p, bool differ, struct onx_buf *out)
{
	onx_buf_fmt(out, "samples   %llu\n", (unsigned long long)p->samples);
	for (uint32_t i = 0; i < p->n_gap; i++) {
		const struct gap *g = &p->gap[i];

		onx_buf_fmt(out, "output    '%s' is off by at most %.3g", p->job[0].s.g->value[g->value[0]].name,
			    g->worst);
		if (g->worst > 0)
			onx_buf_fmt(out, ", %.3g of its largest number %.4g (sample %llu, number %zu)",
				    g->top > 0 ? g->worst / g->top : (double)INFINITY, g->top,
				    (unsigned long long)g->sample, g->number);
		onx_buf_str(out, "\n");
	}
	if (p->asked)
		onx_buf_fmt(out, "top-1     the same class for %llu of %llu samples (%.2f %%)\n",
			    (unsigned long long)p->agree, (unsigned long long)p->asked,
			    100 * (double)p->agree / (double)p->asked);
	if (p->labelled)
		onx_buf_fmt(out, "accuracy  %.2f %% and %.2f %%\n",
			    100 * (double)p->right[0] / (double)p->labelled,
			    100 * (double)p->right[1] / (double)p->labelled);
	onx_buf_fmt(out, "%s (tolerance %g)\n", differ ? "outputs differ" : "outputs agree", p->o->tol);
}

static int json(const struct pair *p, bool differ, struct onx_buf *out, struct onx_err *e)
{
	struct onx_json *top = onx_json_object(), *list = onx_json_array();
	int rc;

	onx_json_bool(top, "same", !differ);
	onx_json_int(top, "samples", (int64_t)p->samples);
	onx_json_real(top, "tolerance", p->o->tol);
	for (uint32_t i = 0; i < p->n_gap; i++) {
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "output", p->job[0].s.g->value[p->gap[i].value[0]].name);
		onx_json_real(o, "worst_abs", p->gap[i].worst);
		onx_json_real(o, "largest", p->gap[i].top);
		onx_json_int(o, "sample", (int64_t)p->gap[i].sample);
		onx_json_int(o, "number", (int64_t)p->gap[i].number);
		onx_json_put(list, NULL, o);
	}
	onx_json_put(top, "outputs", list);
	if (p->asked)
		onx_json_real(top, "top1_agreement", (double)p->agree / (double)p->asked);
	if (p->labelled) {
		onx_json_real(top, "accuracy_a", (double)p->right[0] / (double)p->labelled);
		onx_json_real(top, "accuracy_b", (double)p->right[1] / (double)p->labelled);
	}
	rc = onx_json_print(top, true, out, e);
	onx_json_free(top);
	onx_buf_str(out, "\n");
	return rc;
}

static int open_one(struct onx_run_job *j, struct onx_work *w, const struct onx_diff_data *o, struct onx_err *e)
{
	static const struct onx_run_opts usual = { .batch = 1 };
	uint32_t n;
	int rc = onx_session_open(&j->s, w->model, o->threads, e);

	j->w = w;
	j->s.note = &w->note;
	j->o = &usual;
	j->s.precise = true;            /* what differs is to be the models, not the ways to compute */
	j->preset = o->preset;
	if (rc == ONX_OK)
		rc = onx_bind_inputs(j->s.g, 1, 0, false, &j->s.mem, &j->feed, &n, e);
	if (rc == ONX_OK && !(j->in = ONX_NEWS(&j->s.mem, struct onx_view, (size_t)n + 1)))
		rc = onx_nomem(e, 0, "the inputs");
	return rc;
}

static bool is_source(const struct onx_strs *data)
{
	return data->n == 1 && !strchr(data->v[0], '=');
}

int onx_diff_outputs(struct onx_work *w, struct onx_model **b, const struct onx_diff_data *o, struct onx_err *e)
{
	struct pair p = { .w = w, .o = o };
	struct onx_work second = *w;
	bool differ = false;
	int rc = ONX_OK;

	second.model = *b;
	if (is_source(&o->data)) {
		rc = onx_open_batch(w, NULL, e);
		if (rc == ONX_OK)
			rc = onx_open_batch(&second, NULL, e);
		*b = second.model;
	}
	if (rc == ONX_OK)
		rc = open_one(&p.job[0], w, o, e);
	if (rc == ONX_OK)
		rc = open_one(&p.job[1], &second, o, e);
	if (rc == ONX_OK)
		rc = pair_up(&p, e);
	if (rc == ONX_OK)
		rc = is_source(&o->data) ? from_source(&p, o->data.v[0], e) : from_files(&p, e);
	if (rc == ONX_OK && p.samples == 0)
		rc = onx_fail(e, ONX_USAGE, "no sample was compared");
	for (uint32_t i = 0; rc == ONX_OK && i < p.n_gap; i++)
		differ |= far(&p, &p.gap[i]);
	if (rc == ONX_OK && w->common.json)
		rc = json(&p, differ, &w->text, e);
	else if (rc == ONX_OK)
		text(&p, differ, &w->text);
	onx_session_close(&p.job[0].s);
	onx_session_close(&p.job[1].s);
	return rc == ONX_OK && differ ? ONX_NO : rc;
}
