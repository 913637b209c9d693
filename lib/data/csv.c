/* Csv files: which columns are targets and features, and cells to numbers. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/io.h"
#include "data/csv_i.h"
#include "data/source_i.h"

enum { LEVELS_MAX = 256 };

struct csv {
	struct onx_source *s;
	const struct onx_source_ask *ask;
	struct onx_cells t;
	const char **name;              /* of the columns                                     */
	bool *target;                   /* of the columns                                     */
	size_t n_target;
	bool *skip;                     /* of the rows: missing=skip found a hole             */
	struct onx_column *col;         /* features, in feature order                         */
	size_t *from;                   /* the file's column behind each of them              */
	size_t n_col;
};

static const struct onx_cell *cell(const struct csv *c, size_t row, size_t col)
{
	return &c->t.cell[row * c->t.cols + col];
}

static bool missing(const char *s)
{
	static const char *const words[] = { "", "na", "n/a", "nan", "null", "none", "?", NULL };

	for (int i = 0; words[i]; i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

static size_t find_column(const struct csv *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->t.cols && strcmp(c->name[i], name) != 0; i++)
		;
	return i;
}

static int name_columns(struct csv *c, struct onx_err *e)
{
	struct onx_arena *a = &c->s->arena;

	c->name = ONX_NEWS(a, const char *, c->t.cols);
	c->target = ONX_NEWS(a, bool, c->t.cols);
	c->skip = ONX_NEWS(a, bool, c->t.rows);
	c->col = ONX_NEWS(a, struct onx_column, c->t.cols);
	c->from = ONX_NEWS(a, size_t, c->t.cols);
	if (!c->name || !c->target || !c->skip || !c->col || !c->from)
		return onx_nomem(e, (double)c->t.cols * 64, "csv columns");
	for (size_t i = 0; i < c->t.cols; i++) {
		c->name[i] = c->t.head ? c->t.head[i].text : onx_text(a, "column%zu", i + 1);
		if (!c->name[i])
			return onx_nomem(e, 32, "csv columns");
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->name[i], c->name[k]) == 0)
				return onx_fail(e, ONX_FORMAT, "%s:%u:%u: column '%s' is there twice",
						c->s->spec, c->t.head[i].line, c->t.head[i].column,
						c->name[i]);
	}
	return ONX_OK;
}

static int choose_targets(struct csv *c, struct onx_err *e)
{
	const struct onx_strs *t = &c->ask->opts->target;

	if (!t->n) {
		c->target[c->t.cols - 1] = true;
		c->n_target = 1;
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t k = find_column(c, t->v[i]);

		if (k == c->t.cols) {
			const char *near = onx_nearest(c->name, c->t.cols, t->v[i]);

			return onx_fail(e, ONX_USAGE, "'%s' has no column '%s'%s%s%s", c->s->spec, t->v[i],
					near ? ", did you mean '" : "", near ? near : "",
					near ? "'" : "");
		}
		c->n_target += !c->target[k];
		c->target[k] = true;
	}
	if (c->s->task == ONX_TASK_CLASSIFY && c->n_target != 1)
		return onx_fail(e, ONX_USAGE, "%zu target columns, but classes stand in one", c->n_target);
	return ONX_OK;
}

/* Holes: a fault, or the row is left out.  A hole in a target cannot be filled. */
static int look_for_holes(struct csv *c, size_t col, bool target, struct onx_err *e)
{
	int how = c->ask->opts->missing;

	for (size_t r = 0; r < c->t.rows; r++) {
		const struct onx_cell *x = cell(c, r, col);

		if (!missing(x->text))
			continue;
		if (how == ONX_MISSING_SKIP)
			c->skip[r] = true;
		else if (how == ONX_MISSING_FAIL || target)
			return onx_fail(e, ONX_FORMAT, "%s:%u:%u: '%s' is missing ('%s'); --missing skip%s "
					"would go on", c->s->spec, x->line, x->column, c->name[col],
					x->text, target ? "" : " or mean");
	}
	return ONX_OK;
}

/* A column is text if fewer than half of its cells are numbers. */
static bool is_text(const struct csv *c, size_t col)
{
	size_t numbers = 0, all = 0;
	double x;

	for (size_t r = 0; r < c->t.rows; r++) {
		const char *s = cell(c, r, col)->text;

		if (missing(s))
			continue;
		all++;
		numbers += onx_parse_real(s, &x) == ONX_OK;
	}
	return 2 * numbers < all;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int learn_levels(struct csv *c, size_t col, struct onx_column *out, struct onx_err *e)
{
	const char **level = ONX_NEWS(&c->s->arena, const char *, LEVELS_MAX);

	if (!level)
		return onx_nomem(e, LEVELS_MAX * sizeof(*level), "csv levels");
	out->level = level;
	for (size_t r = 0; r < c->t.rows; r++) {
		const struct onx_cell *x = cell(c, r, col);
		size_t k;

		if (missing(x->text) || c->skip[r])
			continue;
		for (k = 0; k < out->n_level && strcmp(level[k], x->text) != 0; k++)
			;
		if (k < out->n_level)
			continue;
		if (k == LEVELS_MAX)
			return onx_fail(e, ONX_USAGE, "%s:%u:%u: text column '%s' has more than %d different "
					"values; remove it or make it numbers", c->s->spec, x->line,
					x->column, c->name[col], LEVELS_MAX);
		level[out->n_level++] = x->text;
	}
	qsort(level, out->n_level, sizeof(*level), by_name);
	return ONX_OK;
}

static int number_at(const struct csv *c, size_t row, size_t col, double *out, struct onx_err *e)
{
	const struct onx_cell *x = cell(c, row, col);

	if (onx_parse_real(x->text, out) < 0 || !isfinite(*out))
		return onx_fail(e, ONX_FORMAT, "%s:%u:%u: '%.60s' in column '%s' is not a number",
				c->s->spec, x->line, x->column, x->text, c->name[col]);
	return ONX_OK;
}

static int learn_mean(struct csv *c, size_t col, struct onx_column *out, struct onx_err *e)
{
	double sum = 0, x;
	size_t n = 0;

	for (size_t r = 0; r < c->t.rows; r++) {
		int rc;

		if (missing(cell(c, r, col)->text))
			continue;
		rc = number_at(c, r, col, &x, e);
		if (rc < 0)
			return rc;
		sum += x;
		n++;
	}
	if (!n)
		return onx_fail(e, ONX_USAGE, "'%s': column '%s' has no values at all", c->s->spec,
				c->name[col]);
	out->fill = sum / (double)n;
	return ONX_OK;
}

static int learn_columns(struct csv *c, struct onx_err *e)
{
	for (size_t i = 0; i < c->t.cols; i++) {
		struct onx_column *out = &c->col[c->n_col];
		int rc;

		if (c->target[i])
			continue;
		rc = look_for_holes(c, i, false, e);
		if (rc < 0)
			return rc;
		out->name = c->name[i];
		c->from[c->n_col++] = i;
	}
	for (size_t k = 0; k < c->n_col; k++) {
		int rc = is_text(c, c->from[k]) ? learn_levels(c, c->from[k], &c->col[k], e)
						: learn_mean(c, c->from[k], &c->col[k], e);

		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

/* The model's columns, found by name in this file. */
static int match_columns(struct csv *c, struct onx_err *e)
{
	const struct onx_columns *want = c->ask->columns;

	c->col = ONX_NEWS(&c->s->arena, struct onx_column, want->n + 1);
	c->from = ONX_NEWS(&c->s->arena, size_t, want->n + 1);
	if (!c->col || !c->from)
		return onx_nomem(e, (double)want->n * sizeof(*c->col), "csv columns");
	for (size_t i = 0; i < want->n; i++) {
		size_t k = find_column(c, want->v[i].name);
		int rc;

		if (k == c->t.cols || c->target[k])
			return onx_fail(e, ONX_USAGE, "'%s' has no column '%s' to feed the model", c->s->spec,
					want->v[i].name);
		rc = look_for_holes(c, k, false, e);
		if (rc < 0)
			return rc;
		c->col[i] = want->v[i];
		c->from[i] = k;
	}
	c->n_col = want->n;
	return ONX_OK;
}

/* One cell into its feature(s). */
static int put_feature(const struct csv *c, size_t row, size_t k, float *to, struct onx_err *e)
{
	const struct onx_column *col = &c->col[k];
	const struct onx_cell *x = cell(c, row, c->from[k]);
	double v = col->fill;
	size_t l;
	int rc;

	if (!col->n_level) {
		rc = missing(x->text) ? ONX_OK : number_at(c, row, c->from[k], &v, e);
		*to = (float)v;
		return rc;
	}
	if (missing(x->text))           /* no level at all: the row of zeros */
		return ONX_OK;
	for (l = 0; l < col->n_level && strcmp(col->level[l], x->text) != 0; l++)
		;
	if (l == col->n_level)
		return onx_fail(e, ONX_USAGE, "%s:%u:%u: '%.60s' in column '%s' is none of the %zu values "
				"that the model knows", c->s->spec, x->line, x->column, x->text,
				col->name, col->n_level);
	to[l] = 1;
	return ONX_OK;
}

static int make_features(struct csv *c, struct onx_err *e)
{
	struct onx_source_priv *p = c->s->priv;
	size_t f = 0, n = 0;
	float *to;

	for (size_t k = 0; k < c->n_col; k++)
		f += c->col[k].n_level ? c->col[k].n_level : 1;
	for (size_t r = 0; r < c->t.rows; r++)
		n += !c->skip[r];
	c->s->columns = (struct onx_columns){ c->n_col, f, c->col };
	c->s->n_bad = c->t.rows - n;
	p->feature = to = onx_alloc(&c->s->arena, (n ? n : 1) * sizeof(*to), f ? f : 1);
	if (!to)
		return onx_nomem(e, (double)n * (double)f * sizeof(*to), "csv features");
	for (size_t r = 0; r < c->t.rows; r++) {
		if (c->skip[r])
			continue;
		for (size_t k = 0; k < c->n_col; k++) {
			int rc = put_feature(c, r, k, to, e);

			if (rc < 0)
				return rc;
			to += c->col[k].n_level ? c->col[k].n_level : 1;
		}
	}
	return onx_source_rows(c->s, n, e);
}

static int make_targets(struct csv *c, struct onx_err *e)
{
	struct onx_source *s = c->s;
	const char **text = ONX_NEWS(&s->arena, const char *, s->n ? s->n : 1);
	float *t = onx_alloc(&s->arena, (s->n ? s->n : 1) * sizeof(*t), c->n_target);
	size_t k = 0;

	if (!text || !t)
		return onx_nomem(e, (double)s->n * (double)c->n_target * sizeof(*t), "targets");
	s->n_target = c->n_target;
	for (size_t r = 0; r < c->t.rows; r++) {
		for (size_t i = 0; i < c->t.cols && !c->skip[r]; i++) {
			double x;
			int rc;

			if (!c->target[i])
				continue;
			if (s->task == ONX_TASK_CLASSIFY) {
				text[k++] = cell(c, r, i)->text;
				continue;
			}
			rc = number_at(c, r, i, &x, e);
			if (rc < 0)
				return rc;
			t[k++] = (float)x;
		}
	}
	if (s->task == ONX_TASK_REGRESS) {
		s->target = t;
		return ONX_OK;
	}
	s->n_target = 0;
	return onx_source_classes(s, c->ask, text, false, e);
}

/* The features must fill the input. */
static int check_input(const struct csv *c, const struct onx_data_want *w, struct onx_part *p,
		       struct onx_err *e)
{
	size_t f = c->s->columns.n_feature, fixed = 1;
	int open = 0, at = 0;
	char buf[ONX_SHAPE_TEXT];

	p->kind = ONX_PART_COLUMNS;
	p->n = f;
	p->shape.rank = w->rank > 0 ? w->rank - 1 : 0;
	for (int i = 1; i < w->rank; i++) {
		p->shape.dim[i - 1] = w->dim[i];
		if (w->dim[i] < 0) {
			open++;
			at = i - 1;
		} else if (w->dim[i] && fixed <= SIZE_MAX / (size_t)w->dim[i]) {
			fixed *= (size_t)w->dim[i];
		} else {
			fixed = 0;
		}
	}
	if (w->rank < 1 || !fixed || (open ? open > 1 || f % fixed : fixed != f) || !f)
		return onx_fail(e, ONX_SHAPE, "'%s' makes %zu features out of %zu columns, but input '%s' is %s",
				c->s->spec, f, c->n_col, w->name,
				onx_shape_text(w->rank, w->dim, buf, sizeof(buf)));
	if (open)
		p->shape.dim[at] = (int64_t)(f / fixed);
	return ONX_OK;
}

static int fill(struct csv *c, struct onx_part *part, struct onx_err *e)
{
	int rc = name_columns(c, e);

	if (rc == ONX_OK)
		rc = choose_targets(c, e);
	for (size_t i = 0; rc == ONX_OK && i < c->t.cols; i++)
		if (c->target[i])
			rc = look_for_holes(c, i, true, e);
	if (rc == ONX_OK)
		rc = c->ask->columns && c->ask->columns->n ? match_columns(c, e) : learn_columns(c, e);
	if (rc == ONX_OK)
		rc = make_features(c, e);
	if (rc == ONX_OK)
		rc = check_input(c, &c->ask->want[0], part, e);
	return rc == ONX_OK ? make_targets(c, e) : rc;
}

int onx_open_csv(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	struct csv c = { .s = s, .ask = ask };
	struct onx_bytes b = { 0 };
	struct onx_part *part;
	int rc = onx_source_one_part(s, ask, &part, e);

	if (rc == ONX_OK)
		rc = onx_source_stamp(s, s->spec, e);
	if (rc == ONX_OK)
		rc = onx_read(s->spec, SIZE_MAX, &b, e);
	if (rc == ONX_OK)
		rc = onx_csv_cells(s->spec, (const char *)b.data, b.len, ask->opts->header, &s->arena, &c.t, e);
	onx_bytes_release(&b);
	if (rc == ONX_OK)
		rc = fill(&c, part, e);
	if (rc == ONX_OK && s->n_bad)
		onx_say(ask->note, ONX_WARN, "%zu of %zu rows of '%s' have missing values and are left out",
			s->n_bad, c.t.rows, s->spec);
	return rc;
}
