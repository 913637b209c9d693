#include "data/source.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "data/source_i.h"

static bool ends(const char *s, const char *with)
{
	size_t n = strlen(s), m = strlen(with);

	return n >= m && strcasecmp(s + n - m, with) == 0;
}

static bool is_folder(const char *spec)
{
	struct stat st;

	return stat(spec, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_csv(const char *spec) { return ends(spec, ".csv") || ends(spec, ".tsv"); }
static bool is_npz(const char *spec) { return ends(spec, ".npz"); }
static bool is_npy(const char *spec) { return strchr(spec, ',') && ends(spec, ".npy"); }
static bool is_idx(const char *spec) { return strchr(spec, ',') != NULL; }

const struct onx_format onx_formats[] = {
	{ "folder", "a folder with one sub-folder of pictures a class", is_folder, onx_open_folder },
	{ "csv", "FILE.csv", is_csv, onx_open_csv },
	{ "npz", "FILE.npz with one array per model input and y", is_npz, onx_open_npz },
	{ "npy", "X.npy,Y.npy", is_npy, onx_open_npy },
	{ "idx", "IMAGES,LABELS (IDX, .gz or not)", is_idx, onx_open_idx },
	{ .name = NULL }
};

static const char *const task_names[] = { "classify", "regress", NULL };
static const char *const missing_names[] = { "fail", "mean", "skip", NULL };

#define AT(m) offsetof(struct onx_source_opts, m)
static const struct onx_field fields[] = {
	{ "target", F_STRS, AT(target), .def = "", .arg = "COLUMN", .group = "Data",
	  .help = "csv: the column to learn; more than one for regression; else the last" },
	{ "task", F_ENUM, AT(task), .def = "classify", .choices = task_names, .arg = "TASK",
	  .help = "classes or real numbers" },
	{ "skip-bad", F_BOOL, AT(skip_bad), .def = "no",
	  .help = "leave out pictures that cannot be decoded, and say how many" },
	{ "missing", F_ENUM, AT(missing), .def = "fail", .choices = missing_names, .arg = "WHAT",
	  .help = "csv: an empty or NA cell stops, becomes the column's mean, or skips the row" },
	{ "header", F_BOOL, AT(header), .def = "yes", .help = "csv: the first line names the columns" },
	{ .name = NULL }
};
#undef AT
const struct onx_table onx_source_table = {
	"data", sizeof(struct onx_source_opts), fields, NULL, offsetof(struct onx_source_opts, given)
};

static int no_format(const char *spec, struct onx_err *e)
{
	struct stat st;
	struct onx_buf b = { 0 };
	int rc;

	if (!strchr(spec, ',') && stat(spec, &st) < 0)
		return onx_fail(e, ONX_IO, "no data at '%s'", spec);
	for (const struct onx_format *f = onx_formats; f->name; f++)
		onx_buf_fmt(&b, "%s%s", b.len ? "; " : "", f->help);
	rc = onx_fail(e, ONX_USAGE, "'%s' is no known data source, wanted %s", spec,
		      b.data ? b.data : "");
	onx_buf_release(&b);
	return rc;
}

int onx_source_open(const char *spec, const struct onx_source_ask *ask, struct onx_source **out,
		    struct onx_err *e)
{
	const struct onx_format *f;
	struct onx_source *s;
	int rc;

	*out = NULL;
	for (f = onx_formats; f->name && !f->sniff(spec); f++)
		;
	if (!f->name)
		return no_format(spec, e);
	s = onx_heap(1, sizeof(*s));
	if (!s)
		return onx_nomem(e, sizeof(*s), "a data source");
	s->priv = ONX_NEW(&s->arena, struct onx_source_priv);
	s->spec = onx_dup(&s->arena, spec);
	s->format = f->name;
	s->task = (enum onx_task)ask->opts->task;
	s->skip_bad = ask->opts->skip_bad;
	rc = s->priv && s->spec ? f->open(s, ask, e) : onx_nomem(e, 256, "a data source");
	if (rc == ONX_OK && s->n == 0)
		rc = onx_fail(e, ONX_USAGE, "no samples in '%s'", spec);
	if (rc == ONX_OK && s->task == ONX_TASK_CLASSIFY && !ask->label && s->n_class < 2)
		rc = onx_fail(e, ONX_USAGE, "'%s' has one class only, '%s'; wanted two or more", spec,
			      s->n_class ? s->class_name[0] : "");
	if (rc < 0) {
		onx_source_free(s);
		return rc;
	}
	*out = s;
	return ONX_OK;
}

void onx_source_free(struct onx_source *s)
{
	struct onx_source_priv *p;

	if (!s)
		return;
	p = s->priv;
	if (p) {
		for (size_t i = 0; i < p->n_array; i++)
			onx_array_release(&p->array[i]);
		onx_bytes_release(&p->map);
		onx_heap_free(p->own);
	}
	onx_arena_release(&s->arena);
	onx_heap_free(s);
}

const char *onx_source_path(const struct onx_source *s, size_t i)
{
	const struct onx_source_priv *p = s->priv;

	return p->path ? p->path[p->row[i]] : NULL;
}

const uint8_t *onx_source_pixels(const struct onx_source *s, size_t part, size_t i)
{
	const struct onx_source_priv *p = s->priv;
	const uint8_t *base = p->array ? p->array[part].data : p->pixels;

	assert(s->part[part].kind == ONX_PART_PIXELS);
	return base + p->row[i] * s->part[part].n;
}

int onx_source_load(const struct onx_source *s, size_t part, size_t i, const struct onx_view *v,
		    struct onx_err *e)
{
	const struct onx_source_priv *p = s->priv;
	const struct onx_part *q = &s->part[part];
	int rc;

	assert(v->n == q->n);
	if (q->kind == ONX_PART_COLUMNS) {
		for (size_t k = 0; k < q->n; k++)
			onx_view_put_real(v, k, p->feature[p->row[i] * q->n + k]);
		return ONX_OK;
	}
	rc = onx_array_load(&p->array[part], p->row[i] * q->n, v, e);
	return rc < 0 ? onx_while(e, rc, "reading '%s', array '%s'", s->spec, q->name) : ONX_OK;
}

const char *onx_source_where(const struct onx_source *s, size_t i, char *buf, size_t n)
{
	const char *path = onx_source_path(s, i);

	if (path)
		snprintf(buf, n, "sample %zu ('%s')", i, path);
	else
		snprintf(buf, n, "sample %zu of '%s'", i, s->spec);
	return buf;
}

uint64_t onx_source_hash(const struct onx_source *s)
{
	const struct onx_source_priv *p = s->priv;
	uint64_t h = onx_hash(s->format, strlen(s->format), p->hash);

	return onx_hash(p->row, s->n * sizeof(*p->row), h);
}

void onx_source_drop(struct onx_source *s, const bool *bad)
{
	struct onx_source_priv *p = s->priv;
	int64_t *label = (int64_t *)s->label;
	float *target = (float *)s->target;
	size_t k = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (bad[i])
			continue;
		p->row[k] = p->row[i];
		if (label)
			label[k] = label[i];
		if (target)
			memmove(target + k * s->n_target, target + i * s->n_target,
				s->n_target * sizeof(*target));
		k++;
	}
	s->n_bad += s->n - k;
	s->n = k;
}
