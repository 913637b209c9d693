/* recipe/recipe.c -- the sections of a recipe, composed from the tables of other modules. */
#include <string.h>
#include "base/io.h"
#include "data/augment.h"
#include "data/preset.h"
#include "data/source.h"
#include "recipe/recipe.h"
#include "recipe/sections.h"
#include "recipe/yaml.h"
#include "rewrite/freeze.h"
#include "rewrite/head.h"
#include "train/config.h"

const struct onx_recipe_row onx_recipe_rows[] = {
	{ "model", &onx_model_table },
	{ "freeze", &onx_freeze_table },
	{ "head", &onx_head_table },
	{ "data", &onx_data_table },
	{ "data", &onx_source_table },
	{ "data", &onx_preset_table },
	{ "data", &onx_augment_table },
	{ "train", &onx_train_table },
	{ "train", &onx_log_table },
	{ "eval", &onx_eval_table },
	{ "export", &onx_export_table },
	{ NULL, NULL }
};
enum { N_ROW = sizeof onx_recipe_rows / sizeof *onx_recipe_rows - 1, MAX_BYTES = 1 << 20 };

struct onx_recipe {
	struct onx_arena arena;
	const char *path;
	struct onx_yaml_part part[N_ROW];
};

static struct onx_yaml_part *find(const struct onx_recipe *r, const char *section,
				  const struct onx_table *t)
{
	for (size_t i = 0; i < N_ROW; i++)
		if (strcmp(r->part[i].section, section) == 0 && (!t || r->part[i].table == t))
			return (struct onx_yaml_part *)&r->part[i];
	return NULL;
}

bool onx_recipe_has(const struct onx_recipe *r, const char *section)
{
	const struct onx_yaml_part *p = find(r, section, NULL);

	return p && p->line;
}

const char *onx_recipe_at(struct onx_recipe *r, const char *section)
{
	const struct onx_yaml_part *p = find(r, section, NULL);
	const char *s = p && p->line ? onx_text(&r->arena, "%s:%zu:%zu", r->path, p->line, p->column)
				     : onx_text(&r->arena, "%s:1:1", r->path);

	return s ? s : r->path;
}

static int defaults(struct onx_recipe *r, struct onx_err *e)
{
	for (size_t i = 0; i < N_ROW; i++) {
		struct onx_yaml_part *p = &r->part[i];
		int rc;

		p->section = onx_recipe_rows[i].section;
		p->table = onx_recipe_rows[i].table;
		p->obj = onx_alloc(&r->arena, 1, p->table->size);
		if (!p->obj)
			return onx_nomem(e, (double)p->table->size, "the recipe");
		rc = onx_defaults(p->table, p->obj, &r->arena, e);
		if (rc < 0)
			return onx_while(e, rc, "setting the defaults of '%s'", p->table->name);
	}
	return ONX_OK;
}

/* Keys that are missing, and the rules across keys, of the sections that are there. */
static int whole(struct onx_recipe *r, struct onx_err *e)
{
	for (size_t i = 0; i < N_ROW; i++) {
		const struct onx_yaml_part *p = &r->part[i];
		struct onx_err was = { 0 };
		int rc;

		for (const struct onx_field *f = p->table->field; p->line && f->name; f++)
			if (!f->def && !(p->seen >> (f - p->table->field) & 1))
				return onx_fail(e, ONX_USAGE, "%s:%zu:%zu: '%s' needs a '%s'", r->path,
						p->line, p->column, p->section, f->name);
		if (!p->line || !p->table->check)
			continue;
		rc = p->table->check(p->obj, &was);
		if (rc < 0)
			return onx_fail(e, rc, "%s:%zu:%zu: %s", r->path, p->line, p->column, was.text);
	}
	return ONX_OK;
}

int onx_recipe_read(const char *path, int flags, struct onx_recipe **out, struct onx_err *e)
{
	struct onx_recipe *r = onx_heap(1, sizeof *r);
	struct onx_bytes text = { 0 };
	int rc;

	*out = NULL;
	if (!r)
		return onx_nomem(e, sizeof *r, "the recipe");
	r->path = onx_dup(&r->arena, path && strcmp(path, "-") != 0 ? path : "standard input");
	rc = r->path ? onx_read(path, MAX_BYTES, &text, e) : onx_nomem(e, 0, "the recipe");
	if (rc < 0) {
		onx_recipe_free(r);
		return onx_while(e, rc, "reading the recipe");
	}
	rc = defaults(r, e);
	if (rc == ONX_OK)
		rc = onx_yaml_read(r->path, text.data, text.len, r->part, N_ROW, &r->arena, e);
	if (rc == ONX_OK && !(flags & ONX_RECIPE_PARTLY))
		rc = whole(r, e);
	onx_bytes_release(&text);
	if (rc < 0)
		onx_recipe_free(r);
	else
		*out = r;
	return rc;
}

void onx_recipe_free(struct onx_recipe *r)
{
	if (!r)
		return;
	onx_arena_release(&r->arena);
	onx_heap_free(r);
}

/* A list copied into mem: n elements of `size` bytes. */
static int dup_list(struct onx_arena *mem, const void **v, size_t n, size_t size, struct onx_err *e)
{
	void *copy = onx_alloc(mem, n ? n : 1, size);

	if (!copy)
		return onx_nomem(e, (double)n * (double)size, "the recipe");
	if (n)
		memcpy(copy, *v, n * size);
	*v = copy;
	return ONX_OK;
}

static int dup_strs(struct onx_arena *mem, struct onx_strs *s, struct onx_err *e)
{
	const char **copy = ONX_NEWS(mem, const char *, s->n + 1);

	for (size_t i = 0; copy && i < s->n; i++) {
		copy[i] = onx_dup(mem, s->v[i]);
		if (!copy[i])
			copy = NULL;
	}
	if (!copy)
		return onx_nomem(e, (double)(s->n * sizeof *copy), "the recipe");
	s->v = copy;
	return ONX_OK;
}

static size_t size_of(const struct onx_field *f)
{
	switch (f->kind) {
	case F_BOOL: return sizeof(bool);
	case F_INT: case F_SIZE: return sizeof(int64_t);
	case F_REAL: return sizeof(double);
	case F_ENUM: return sizeof(int);
	case F_STR: return sizeof(const char *);
	case F_INTS: return sizeof(struct onx_ints);
	case F_REALS: return sizeof(struct onx_reals);
	case F_STRS: return sizeof(struct onx_strs);
	case F_MAP: return f->sub->size;
	case F_TENSOR: case F_GRAPH: break;     /* never in a recipe */
	}
	return 0;
}

/* One member from the recipe's struct into another, with whatever it points to. */
static int copy_field(const struct onx_field *f, const void *from, void *to, struct onx_arena *mem,
		      struct onx_err *e)
{
	void *dst = (char *)to + f->off;
	int rc = ONX_OK;

	memcpy(dst, (const char *)from + f->off, size_of(f));
	if (f->kind == F_STR) {
		const char **s = dst, *was = *s;

		*s = onx_dup(mem, was);
		rc = was && !*s ? onx_nomem(e, 0, "the recipe") : ONX_OK;
	} else if (f->kind == F_INTS) {
		struct onx_ints *l = dst;

		rc = dup_list(mem, (const void **)&l->v, l->n, sizeof *l->v, e);
	} else if (f->kind == F_REALS) {
		struct onx_reals *l = dst;

		rc = dup_list(mem, (const void **)&l->v, l->n, sizeof *l->v, e);
	} else if (f->kind == F_STRS) {
		rc = dup_strs(mem, dst, e);
	} else if (f->kind == F_MAP) {
		for (const struct onx_field *s = f->sub->field; rc == ONX_OK && s->name; s++)
			rc = copy_field(s, (const char *)from + f->off, dst, mem, e);
	}
	return rc;
}

int onx_recipe_take(const struct onx_recipe *r, const char *section, const struct onx_table *t, void *obj,
		    uint64_t *seen, struct onx_arena *mem, struct onx_err *e)
{
	const struct onx_yaml_part *p = find(r, section, t);

	if (!p || !p->line)
		return ONX_OK;
	for (size_t i = 0; t->field[i].name; i++) {
		uint64_t bit = UINT64_C(1) << i;
		int rc;

		if (!(p->seen & bit))
			continue;
		rc = copy_field(&t->field[i], p->obj, obj, mem, e);
		if (rc < 0)
			return rc;
		*seen |= bit;
		if (t->given) {
			uint64_t *given = (uint64_t *)(void *)((char *)obj + t->given);

			*given |= bit;
		}
	}
	return ONX_OK;
}

/* Text of a table cell, which a bar would end. */
static void cell(struct onx_buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			onx_buf_str(out, "\\");
		onx_buf_add(out, s, 1);
	}
}

static void schema_rows(const struct onx_table *t, const char *prefix, struct onx_buf *out)
{
	for (const struct onx_field *f = t->field; f->name; f++) {
		struct onx_buf b = { 0 };

		if (f->kind == F_MAP) {
			onx_buf_fmt(&b, "%s%s.", prefix, f->name);
			schema_rows(f->sub, b.data ? b.data : "", out);
			out->lost |= b.lost;
			onx_buf_release(&b);
			continue;
		}
		onx_field_want(f, &b);
		onx_buf_fmt(out, "| `%s%s` | ", prefix, f->name);
		cell(out, b.data ? b.data : "");
		onx_buf_fmt(out, " | %s%s%s | ", f->def && *f->def ? "`" : "",
			    f->def ? f->def : "must be given", f->def && *f->def ? "`" : "");
		cell(out, f->help ? f->help : "");
		onx_buf_str(out, " |\n");
		out->lost |= b.lost;
		onx_buf_release(&b);
	}
}

void onx_recipe_schema(struct onx_buf *out)
{
	const char *last = "";

	onx_buf_str(out, "# Recipes\n\n"
		"A recipe is one YAML file that holds a whole adaptation; `onnx-adapt recipe.yaml` runs it, and\n"
		"each tool reads its own section with `-r recipe.yaml`. The keys are the long options of the\n"
		"tools. File names are looked up from the current folder. This page is printed by\n"
		"`onnx-adapt --schema`.\n");
	for (size_t i = 0; i < N_ROW; i++) {
		const struct onx_recipe_row *row = &onx_recipe_rows[i];

		if (strcmp(last, row->section) != 0)
			onx_buf_fmt(out, "\n## %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
				    row->section);
		last = row->section;
		schema_rows(row->table, "", out);
	}
}
