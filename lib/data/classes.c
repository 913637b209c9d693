/* Labels to classes, and other things the formats share. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/names.h"
#include "base/rng.h"
#include "data/source_i.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = 0, y = 0;

	/* Both were numbers when they were made (number_text). */
	if (onx_parse_int(*(const char *const *)a, &x) < 0 ||
	    onx_parse_int(*(const char *const *)b, &y) < 0)
		return by_name(a, b);
	return x < y ? -1 : x > y;
}

/* The distinct labels, sorted. */
static int learn(struct onx_source *s, const char *const *text, bool by_value, struct onx_err *e)
{
	struct onx_names seen = { .arena = &s->arena };
	const char **name = ONX_NEWS(&s->arena, const char *, s->n ? s->n : 1);
	size_t k = 0;
	bool ok = name != NULL;

	for (size_t i = 0; ok && i < s->n; i++) {
		if (onx_names_get(&seen, text[i]) != ONX_NONE)
			continue;
		ok = onx_names_put(&seen, text[i], (uint32_t)k);
		name[k++] = text[i];
	}
	onx_names_release(&seen);
	if (!ok)
		return onx_nomem(e, (double)s->n * sizeof(*name), "class names");
	qsort(name, k, sizeof(*name), by_value ? by_number : by_name);
	for (size_t i = 0; i < k; i++) {
		name[i] = onx_dup(&s->arena, name[i]);
		if (!name[i])
			return onx_nomem(e, 64, "class names");
	}
	s->class_name = name;
	s->n_class = k;
	return ONX_OK;
}

/* The model's classes, copied. */
static int adopt(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	const char **name = ONX_NEWS(&s->arena, const char *, ask->n_label + 1);
	bool ok = name != NULL;

	for (size_t i = 0; ok && i < ask->n_label; i++) {
		name[i] = onx_dup(&s->arena, ask->label[i]);
		ok = name[i] != NULL;
	}
	if (!ok)
		return onx_nomem(e, (double)ask->n_label * 16, "class names");
	s->class_name = name;
	s->n_class = ask->n_label;
	return ONX_OK;
}

static int outside(const struct onx_source *s, size_t i, const char *label, struct onx_err *e)
{
	const char *near = onx_nearest(s->class_name, s->n_class, label);
	char where[600];

	return onx_fail(e, ONX_USAGE, "label '%.100s' of %s is outside the model's %zu classes%s%s%s",
			label, onx_source_where(s, i, where, sizeof(where)), s->n_class,
			near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
}

/* Names to numbers.  A whole number that is no class name counts as an index where the labels of the
 * file are numbers. */
static int map(struct onx_source *s, const char *const *text, bool by_value, struct onx_err *e)
{
	struct onx_names index = { .arena = &s->arena };
	int64_t *label = ONX_NEWS(&s->arena, int64_t, s->n ? s->n : 1);
	bool ok = label != NULL;
	int rc = ONX_OK;

	for (size_t c = s->n_class; ok && c-- > 0;)     /* the first of equal names wins */
		ok = onx_names_put(&index, s->class_name[c], (uint32_t)c);
	if (!ok)
		rc = onx_nomem(e, (double)s->n * 8, "labels");
	for (size_t i = 0; rc == ONX_OK && i < s->n; i++) {
		uint32_t c = onx_names_get(&index, text[i]);
		int64_t v;

		if (c != ONX_NONE)
			label[i] = c;
		else if (by_value && onx_parse_int(text[i], &v) == ONX_OK && v >= 0 &&
			 v < (int64_t)s->n_class)
			label[i] = v;
		else
			rc = outside(s, i, text[i], e);
	}
	onx_names_release(&index);
	s->label = label;
	return rc;
}

int onx_source_classes(struct onx_source *s, const struct onx_source_ask *ask, const char *const *text,
		       bool by_value, struct onx_err *e)
{
	int rc = ask->label ? adopt(s, ask, e) : learn(s, text, by_value, e);

	return rc < 0 ? rc : map(s, text, by_value, e);
}

static int class_texts(struct onx_source *s, const struct onx_array *y, const char ***out,
		       struct onx_err *e)
{
	const char **text = ONX_NEWS(&s->arena, const char *, s->n ? s->n : 1);
	const char *last = NULL;
	double before = NAN;

	if (!text)
		return onx_nomem(e, (double)s->n * sizeof(*text), "labels");
	for (size_t i = 0; i < s->n; i++) {
		double x = onx_array_real(y, i);

		if (x != floor(x) || fabs(x) > 1e9)
			return onx_fail(e, ONX_USAGE, "label %g of sample %zu of '%s' is not a class; "
					"for real targets say --task regress", x, i, s->spec);
		if (x != before)
			last = onx_text(&s->arena, "%" PRId64, (int64_t)x);
		if (!last)
			return onx_nomem(e, 32, "labels");
		text[i] = last;
		before = x;
	}
	*out = text;
	return ONX_OK;
}

int onx_source_targets(struct onx_source *s, const struct onx_source_ask *ask,
		       const struct onx_array *y, struct onx_err *e)
{
	size_t per = s->n ? y->n / s->n : 0;
	char buf[ONX_SHAPE_TEXT];
	const char **text = NULL;
	float *t;
	int rc;

	if (y->shape.rank < 1 || y->shape.dim[0] != (int64_t)s->n || per < 1 ||
	    (s->task == ONX_TASK_CLASSIFY && per != 1))
		return onx_fail(e, ONX_SHAPE, "'%s': y is %s, wanted %s of %zu samples", s->spec,
				onx_shape_text(y->shape.rank, y->shape.dim, buf, sizeof(buf)),
				s->task == ONX_TASK_CLASSIFY ? "one class" : "targets", s->n);
	if (s->task == ONX_TASK_CLASSIFY) {
		if (y->type == ONX_STRING)
			return onx_source_classes(s, ask, y->data, false, e);
		rc = class_texts(s, y, &text, e);
		return rc < 0 ? rc : onx_source_classes(s, ask, text, true, e);
	}
	if (y->type == ONX_STRING)
		return onx_fail(e, ONX_USAGE, "'%s': y is text, wanted numbers", s->spec);
	s->n_target = per;
	s->target = t = ONX_NEWS(&s->arena, float, y->n);
	if (!t)
		return onx_nomem(e, (double)y->n * 4, "targets");
	for (size_t i = 0; i < y->n; i++) {
		t[i] = (float)onx_array_real(y, i);
		if (!isfinite(t[i]))
			return onx_fail(e, ONX_USAGE, "'%s': the target of sample %zu is %g", s->spec,
					i / per, (double)t[i]);
	}
	return ONX_OK;
}

int onx_source_rows(struct onx_source *s, size_t n, struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;

	if (n >= UINT32_MAX)
		return onx_fail(e, ONX_UNSUP, "'%s': %zu samples", s->spec, n);
	s->n = n;
	p->row = ONX_NEWS(&s->arena, uint32_t, n ? n : 1);
	if (!p->row)
		return onx_nomem(e, (double)n * 4, "sample numbers");
	for (size_t i = 0; i < n; i++)
		p->row[i] = (uint32_t)i;
	return ONX_OK;
}

int onx_source_stamp(struct onx_source *s, const char *path, struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;
	struct stat st;
	int64_t v[3];

	if (stat(path, &st) < 0)
		return onx_fail(e, ONX_IO, "'%s': %s", path, strerror(errno));
	v[0] = st.st_size;
	v[1] = st.st_mtim.tv_sec;
	v[2] = st.st_mtim.tv_nsec;
	p->hash = onx_hash(path, strlen(path), p->hash);
	p->hash = onx_hash(v, sizeof(v), p->hash);
	return ONX_OK;
}

int onx_source_one_part(struct onx_source *s, const struct onx_source_ask *ask, struct onx_part **out,
			struct onx_err *e)
{
	if (ask->n_want != 1)
		return onx_fail(e, ONX_USAGE, "'%s' (%s) feeds one input, but the model has %zu; "
				"an .npz can feed several", s->spec, s->format, ask->n_want);
	*out = ONX_NEW(&s->arena, struct onx_part);
	if (!*out)
		return onx_nomem(e, sizeof(**out), "a data source");
	(*out)->name = onx_dup(&s->arena, ask->want[0].name);
	s->part = *out;
	s->n_part = 1;
	return (*out)->name ? ONX_OK : onx_nomem(e, 64, "a name");
}

bool onx_two_paths(struct onx_arena *a, const char *spec, const char **one, const char **two)
{
	const char *comma = strchr(spec, ',');

	if (!comma || strchr(comma + 1, ',') || comma == spec || !comma[1])
		return false;
	*one = onx_dupn(a, spec, (size_t)(comma - spec));
	*two = onx_dup(a, comma + 1);
	return *one && *two;
}
