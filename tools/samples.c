/* tools/samples.c -- from the options and marks to loaders. */
#include <string.h>
#include "model/mark.h"
#include "rewrite/scores.h"
#include "samples.h"

/* What each input of the model wants to be fed. */
static int wants(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_err *e)
{
	s->n_want = a->n_input;
	s->want = ONX_NEWS(&s->mem, struct onx_data_want, s->n_want + 1);
	if (!s->want)
		return onx_nomem(e, (double)(s->n_want * sizeof *s->want), "the inputs");
	for (size_t i = 0; i < s->n_want; i++) {
		const struct onx_value *v = &a->g->value[a->input[i]];
		int64_t *dim = ONX_NEWS(&s->mem, int64_t, ONX_RANK);

		if (!dim)
			return onx_nomem(e, sizeof(int64_t) * ONX_RANK, "the inputs");
		if (v->type == ONX_UNDEFINED || !v->has_shape)
			return onx_fail(e, ONX_UNSUP, "input '%s' does not declare a tensor type and shape",
					v->name);
		memcpy(dim, v->dim, (size_t)v->rank * sizeof *dim);
		if (v->rank)
			dim[0] = -1;
		s->want[i] = (struct onx_data_want){ v->name, v->type, v->rank, dim };
	}
	return ONX_OK;
}

/* Opens a source as the model, or the source before it, has classes and columns. */
static int open_source(const struct onx_samples_ask *a, struct onx_samples *s, const char *spec,
		       const struct onx_source *like, struct onx_source **out, struct onx_err *e)
{
	const char *stored = onx_model_meta(a->w->model, ONX_MARK "preprocess");
	const char *task = onx_model_meta(a->w->model, ONX_MARK "task");
	struct onx_source_opts opts = *a->source;
	struct onx_source_ask ask = { .opts = &opts, .want = s->want, .n_want = s->n_want,
				      .note = &a->w->note };
	struct onx_preset old;
	int rc = onx_mark_list(a->w->model, ONX_MARK "labels", &s->mem, &ask.label, &ask.n_label, e);

	if (rc == ONX_OK && stored) {
		rc = onx_preset_parse(stored, &s->mem, &old, e);
		if (rc == ONX_OK && old.kind == ONX_PRESET_TABLE)
			ask.columns = &old.columns;
	}
	if (rc < 0)
		return rc;
	if (ask.n_label == 0 && (rc = onx_scores_labels(a->g, &s->mem, &ask.label, &ask.n_label, e)) < 0)
		return rc;
	if (!onx_given(&onx_source_table, &opts, "task") && task && strcmp(task, "regress") == 0)
		opts.task = ONX_TASK_REGRESS;
	if (ask.n_label == 0)
		ask.label = NULL;
	if (like) {
		ask.label = like->class_name;
		ask.n_label = like->n_class;
		if (like->columns.n)
			ask.columns = &like->columns;
	}
	rc = onx_source_open(spec, &ask, out, e);
	return rc < 0 ? onx_while(e, rc, "opening data '%s'", spec) : rc;
}

static int new_loader(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_source *src,
		      struct onx_loader **out, struct onx_err *e)
{
	struct onx_loader_opts o = { .want = s->want, .n_want = s->n_want, .preset = &s->preset,
				     .augment = a->augment, .batch = (size_t)a->batch,
				     .workers = (int)a->threads, .cache = a->mem ? a->mem / 8 : -1,
				     .seed = a->seed, .wide = a->wide,
				     .note = &a->w->note };

	return onx_loader_new(src, &o, out, e);
}

/* The lists of a source that may be split.  After the loader, which may leave broken pictures out --
 * except for tables, whose statistics are learnt from the training part before the loader runs. */
static int lists(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_err *e)
{
	double fraction = 0;
	bool split = false;
	int rc = ONX_OK;

	if (a->learn && a->data->val)
		rc = onx_val_fraction(a->data->val, &fraction, &split, e);
	if (rc < 0)
		return rc;
	if (!split)
		return onx_list_all(s->src, &s->mem, &s->train, e);
	s->vsrc = s->src;
	return onx_split(s->src, fraction, a->seed, &s->mem, &s->train, &s->val, e);
}

static int validation(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_err *e)
{
	int rc;

	if (s->vsrc) {
		s->vloader = s->loader;
		return ONX_OK;
	}
	if (!a->learn || !a->data->val)
		return ONX_OK;
	rc = open_source(a, s, a->data->val, s->src, &s->vsrc, e);
	if (rc == ONX_OK)
		rc = new_loader(a, s, s->vsrc, &s->vloader, e);
	return rc < 0 ? rc : onx_list_all(s->vsrc, &s->mem, &s->val, e);
}

/* FNV-1a (Fowler, Noll, Vo) over the text of the preprocessing, begun with the hash of the data. */
static int hash(struct onx_samples *s, struct onx_err *e)
{
	struct onx_buf text = { 0 };
	int rc = onx_preset_text(&s->preset, &text, e);

	s->hash = onx_source_hash(s->src);
	for (size_t i = 0; rc == ONX_OK && i < text.len; i++)
		s->hash = (s->hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
	if (rc == ONX_OK && text.lost)
		rc = onx_nomem(e, (double)text.len, "the preprocessing");
	onx_buf_release(&text);
	return rc;
}

int onx_samples_open(const struct onx_samples_ask *a, struct onx_samples *s, struct onx_err *e)
{
	const char *stored = onx_model_meta(a->w->model, ONX_MARK "preprocess");
	struct onx_preset_opts preset = *a->preset;
	bool table;
	int rc;

	rc = wants(a, s, e);
	if (rc == ONX_OK && s->n_want == 0)
		rc = onx_fail(e, ONX_UNSUP, "the model has no inputs that data could go into");
	if (!stored && !preset.preset && onx_scores_of_features(a->g))
		preset.preset = onx_preset_find("none");
	if (rc == ONX_OK)
		rc = open_source(a, s, a->data->data, NULL, &s->src, e);
	if (rc == ONX_OK)
		rc = onx_preset_resolve(&preset, stored, &s->want[0], s->src, &s->mem, &s->preset, e);
	if (rc < 0)
		return rc;
	table = s->preset.kind == ONX_PRESET_TABLE;
	if (table)
		rc = lists(a, s, e);
	if (rc == ONX_OK && table && a->learn)
		rc = onx_preset_learn(&s->preset, s->src, s->train.v, s->train.n, &s->mem, e);
	if (rc == ONX_OK)
		rc = new_loader(a, s, s->src, &s->loader, e);
	if (rc == ONX_OK && !table)
		rc = lists(a, s, e);
	if (rc == ONX_OK)
		rc = validation(a, s, e);
	return rc < 0 ? rc : hash(s, e);
}

void onx_samples_close(struct onx_samples *s)
{
	if (s->vloader != s->loader)
		onx_loader_free(s->vloader);
	onx_loader_free(s->loader);
	if (s->vsrc != s->src)
		onx_source_free(s->vsrc);
	onx_source_free(s->src);
	onx_arena_release(&s->mem);
	*s = (struct onx_samples){ 0 };
}

int onx_samples_mark(const struct onx_samples *s, struct onx_model *m, struct onx_err *e)
{
	struct onx_buf text = { 0 };
	int rc = ONX_OK;

	if (s->src->task == ONX_TASK_CLASSIFY && !onx_model_meta(m, ONX_MARK "labels"))
		rc = onx_mark_set_list(m, ONX_MARK "labels", s->src->class_name, s->src->n_class, e);
	if (rc == ONX_OK)
		rc = onx_model_set_meta(m, ONX_MARK "task",
					s->src->task == ONX_TASK_REGRESS ? "regress" : "classify", e);
	if (rc == ONX_OK)
		rc = onx_preset_text(&s->preset, &text, e);
	if (rc == ONX_OK && text.lost)
		rc = onx_nomem(e, (double)text.len, "the preprocessing");
	if (rc == ONX_OK && text.len)
		rc = onx_model_set_meta(m, ONX_MARK "preprocess", text.data, e);
	onx_buf_release(&text);
	return rc;
}
