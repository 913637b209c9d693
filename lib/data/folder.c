/* A folder with one sub-folder a class. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "picture/image.h"
#include "data/source_i.h"

struct names { const char **v; size_t n, cap; };

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int push(struct names *l, struct onx_arena *a, const char *name, struct onx_err *e)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		void *v = onx_heap_grow(l->v, l->cap * sizeof(*l->v), cap * sizeof(*l->v));

		if (!v)
			return onx_nomem(e, (double)cap * sizeof(*l->v), "file names");
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = onx_dup(a, name);
	if (!l->v[l->n])
		return onx_nomem(e, (double)strlen(name), "file names");
	l->n++;
	return ONX_OK;
}

/* What is in a folder, sorted, hidden ones left out: sub-folders, or files named like pictures;
 * `other` counts the files that are not. */
static int list(struct onx_arena *a, const char *dir, bool folders, struct names *out, size_t *other,
		struct onx_err *e)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	int rc = ONX_OK;

	if (!d)
		return onx_fail(e, ONX_IO, "'%s': %s", dir, strerror(errno));
	while (rc == ONX_OK && (f = readdir(d))) {
		struct stat st;

		if (f->d_name[0] == '.' || fstatat(dirfd(d), f->d_name, &st, 0) < 0)
			continue;
		if (folders ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) && onx_image_named(f->d_name))
			rc = push(out, a, f->d_name, e);
		else if (S_ISREG(st.st_mode))
			++*other;
	}
	closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	return rc;
}

struct found {
	struct names path, label;       /* one each a picture */
	size_t other;
};

static int walk_class(struct onx_source *s, const struct onx_source_ask *ask, const char *class,
		      struct found *f, struct onx_err *e)
{
	const char *dir = onx_join(&s->arena, s->spec, class);
	struct names file = { 0 };
	int rc = dir ? list(&s->arena, dir, false, &file, &f->other, e)
		     : onx_nomem(e, 256, "a path");

	if (rc == ONX_OK && !file.n)
		onx_say(ask->note, ONX_WARN, "no pictures in '%s': this class is left out", dir);
	for (size_t i = 0; rc == ONX_OK && i < file.n; i++) {
		const char *path = onx_join(&s->arena, dir, file.v[i]);

		rc = path ? push(&f->path, &s->arena, path, e) : onx_nomem(e, 256, "a path");
		if (rc == ONX_OK)
			rc = push(&f->label, &s->arena, class, e);
		if (rc == ONX_OK)
			rc = onx_source_stamp(s, path, e);
	}
	onx_heap_free(file.v);
	return rc;
}

static int walk(struct onx_source *s, const struct onx_source_ask *ask, struct found *f,
		struct onx_err *e)
{
	struct names class = { 0 };
	size_t loose = 0;
	char endings[128];
	int rc = list(&s->arena, s->spec, true, &class, &loose, e);

	for (size_t i = 0; rc == ONX_OK && i < class.n; i++)
		rc = walk_class(s, ask, class.v[i], f, e);
	onx_image_endings(endings, sizeof endings);
	if (rc == ONX_OK && !f->path.n)
		rc = onx_fail(e, ONX_USAGE, "no pictures in '%s'; wanted one sub-folder a class with %s files "
			      "(found %zu sub-folders, %zu other files)", s->spec, endings, class.n,
			      loose + f->other);
	else if (rc == ONX_OK && f->other)
		onx_say(ask->note, ONX_WARN, "%zu files in '%s' are not pictures by name and are ignored",
			f->other, s->spec);
	onx_heap_free(class.v);
	return rc;
}

int onx_open_folder(struct onx_source *s, const struct onx_source_ask *ask, struct onx_err *e)
{
	struct onx_source_priv *p = s->priv;
	struct found f = { 0 };
	struct onx_part *part;
	const char **path;
	int rc;

	if (s->task != ONX_TASK_CLASSIFY)
		return onx_fail(e, ONX_USAGE, "'%s': a folder of pictures has classes, no real targets",
				s->spec);
	rc = onx_source_one_part(s, ask, &part, e);
	if (rc < 0)
		return rc;
	part->kind = ONX_PART_FILE;
	rc = walk(s, ask, &f, e);
	if (rc == ONX_OK)
		rc = onx_source_rows(s, f.path.n, e);
	if (rc == ONX_OK) {
		p->path = path = ONX_NEWS(&s->arena, const char *, s->n);
		if (path)
			memcpy(path, f.path.v, s->n * sizeof(*path));
		else
			rc = onx_nomem(e, (double)s->n * sizeof(*path), "paths");
	}
	if (rc == ONX_OK)
		rc = onx_source_classes(s, ask, f.label.v, false, e);
	onx_heap_free(f.path.v);
	onx_heap_free(f.label.v);
	return rc;
}
