/* recipe/yaml.c -- YAML into structs through field tables. */
#include <assert.h>
#include <string.h>
#include <yaml.h>
#include "recipe/yaml.h"

enum { MAX_LIST = 4096 };               /* most elements of a list in a recipe */

struct reader {
	const char *path;
	yaml_parser_t parser;
	struct onx_yaml_part *part;
	size_t n_part;
	struct onx_arena *mem;
	struct onx_err *e;
};

/* A row and the object that it fills. */
struct place { const struct onx_table *table; const struct onx_field *field; void *obj; };

#define AT "%s:%zu:%zu: "               /* so that editors can jump to it; libyaml counts from 0 */
#define POS(r, mark) (r)->path, (mark).line + 1, (mark).column + 1

/* The fault in e again, with its place in front. */
static int placed(struct reader *r, int rc, yaml_mark_t at)
{
	struct onx_err was = *r->e;

	return onx_fail(r->e, rc, AT "%s", POS(r, at), was.text);
}

static int next_event(struct reader *r, yaml_event_t *ev)
{
	const yaml_parser_t *p = &r->parser;
	size_t line, column;

	if (yaml_parser_parse(&r->parser, ev))
		return ONX_OK;
	memset(ev, 0, sizeof *ev);
	if (p->error == YAML_MEMORY_ERROR)
		return onx_nomem(r->e, 0, "the recipe");
	line = p->problem_mark.line;
	column = p->problem_mark.column;
	if (p->error == YAML_READER_ERROR) {    /* knows only the byte; the parser stands just before */
		line = p->mark.line;
		column = p->mark.column;
	}
	return onx_fail(r->e, ONX_USAGE, AT "not YAML: %s", r->path, line + 1, column + 1,
			p->problem ? p->problem : "unreadable");
}

/* What a scalar, sequence or mapping may not carry. */
static int plain(struct reader *r, const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (ev->type == YAML_ALIAS_EVENT)
		return onx_fail(r->e, ONX_USAGE, AT "alias '*%s': a recipe has no aliases, write the value out",
				POS(r, ev->start_mark), (const char *)ev->data.alias.anchor);
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	if (anchor)
		return onx_fail(r->e, ONX_USAGE, AT "anchor '&%s': a recipe has no anchors",
				POS(r, ev->start_mark), (const char *)anchor);
	if (tag)
		return onx_fail(r->e, ONX_USAGE, AT "tag '%s': a recipe has no tags", POS(r, ev->start_mark),
				(const char *)tag);
	if (ev->type == YAML_SCALAR_EVENT &&
	    strlen((const char *)ev->data.scalar.value) != ev->data.scalar.length)
		return onx_fail(r->e, ONX_USAGE, AT "a zero byte inside a value", POS(r, ev->start_mark));
	return ONX_OK;
}

static bool one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

/* A value that YAML readers take for something else than what it looks like. */
static int unsurprising(struct reader *r, const struct onx_field *f, const yaml_event_t *ev)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const bools[] = { "yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE",
					     "false", "False", "FALSE", "on", "On", "ON", "off", "Off",
					     "OFF", NULL };
	const char *s = (const char *)ev->data.scalar.value;
	bool bare = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	bool text = f->kind == F_STR || f->kind == F_STRS || f->kind == F_ENUM;

	if (bare && one_of(s, nulls))
		return onx_fail(r->e, ONX_USAGE, AT "'%s' has no value", POS(r, ev->start_mark), f->name);
	if (bare && text && one_of(s, bools))
		return onx_fail(r->e, ONX_USAGE, AT "'%s' wants text, and '%s' is a truth value in YAML: quote it",
				POS(r, ev->start_mark), f->name, s);
	if (!bare && !text)
		return onx_fail(r->e, ONX_USAGE, AT "'%s' wants a plain value, not the quoted text '%s'",
				POS(r, ev->start_mark), f->name, s);
	return ONX_OK;
}

static const char *kind_text(const yaml_event_t *ev)
{
	return ev->type == YAML_SEQUENCE_START_EVENT ? "a list" :
	       ev->type == YAML_MAPPING_START_EVENT ? "a mapping" : "a single value";
}

static int wrong_kind(struct reader *r, const struct onx_field *f, const yaml_event_t *ev)
{
	struct onx_buf want = { 0 };
	int rc;

	onx_field_want(f, &want);
	rc = onx_fail(r->e, ONX_USAGE, AT "'%s' must be %s, not %s", POS(r, ev->start_mark), f->name,
		      f->kind == F_MAP ? "a mapping" : want.data && *want.data ? want.data : "text",
		      kind_text(ev));
	onx_buf_release(&want);
	return rc;
}

/* The elements of a sequence up to its end. */
static int read_list(struct reader *r, const struct place *p, yaml_mark_t open)
{
	const char **text = ONX_NEWS(r->mem, const char *, MAX_LIST);
	size_t n = 0;
	int rc = text ? ONX_OK : onx_nomem(r->e, MAX_LIST * sizeof *text, "the recipe");

	while (rc == ONX_OK) {
		yaml_event_t ev;

		rc = next_event(r, &ev);
		if (rc == ONX_OK && ev.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (rc == ONX_OK)
			rc = plain(r, &ev);
		if (rc == ONX_OK && ev.type != YAML_SCALAR_EVENT)
			rc = onx_fail(r->e, ONX_USAGE, AT "an element of '%s' is %s", POS(r, ev.start_mark),
				      p->field->name, kind_text(&ev));
		if (rc == ONX_OK)
			rc = unsurprising(r, p->field, &ev);
		if (rc == ONX_OK && n == MAX_LIST)
			rc = onx_fail(r->e, ONX_USAGE, AT "'%s' has more than %d elements",
				      POS(r, ev.start_mark), p->field->name, MAX_LIST);
		if (rc == ONX_OK &&
		    !(text[n++] = onx_dup(r->mem, (const char *)ev.data.scalar.value)))
			rc = onx_nomem(r->e, (double)ev.data.scalar.length, "the recipe");
		yaml_event_delete(&ev);
	}
	if (rc < 0)
		return rc;
	rc = onx_set_list(p->table, p->field, p->obj, text, n, r->mem, r->e);
	return rc < 0 ? placed(r, rc, open) : ONX_OK;
}

static int read_map(struct reader *r, const char *name, struct onx_yaml_part *part, size_t n_part);

/* A mapping inside a section is a little section of its own. */
static int read_sub(struct reader *r, const struct place *p)
{
	struct onx_yaml_part sub = { .section = p->field->name, .table = p->field->sub,
				     .obj = (char *)p->obj + p->field->off };

	return read_map(r, p->field->name, &sub, 1);
}

static int read_value(struct reader *r, const struct place *p)
{
	const struct onx_field *f = p->field;
	bool list = f->kind == F_INTS || f->kind == F_REALS || f->kind == F_STRS;
	yaml_event_t ev;
	int rc = next_event(r, &ev);

	if (rc < 0)
		return rc;
	rc = plain(r, &ev);
	if (rc == ONX_OK && ev.type == YAML_SEQUENCE_START_EVENT && list) {
		rc = read_list(r, p, ev.start_mark);
	} else if (rc == ONX_OK && ev.type == YAML_MAPPING_START_EVENT && f->kind == F_MAP) {
		rc = read_sub(r, p);
	} else if (rc == ONX_OK && ev.type == YAML_SCALAR_EVENT && f->kind != F_MAP) {
		rc = unsurprising(r, f, &ev);
		if (rc == ONX_OK) {
			rc = onx_set(p->table, f, p->obj, (const char *)ev.data.scalar.value, r->mem, r->e);
			if (rc < 0)
				rc = placed(r, rc, ev.start_mark);
		}
	} else if (rc == ONX_OK) {
		rc = wrong_kind(r, f, &ev);
	}
	yaml_event_delete(&ev);
	return rc;
}

/* The row of a key among the tables of a section, or the nearest name. */
static const struct onx_field *find_key(struct onx_yaml_part *part, size_t n_part, const char *key,
					size_t *which, const char **near)
{
	const char *names[8 * 64];
	size_t n = 0;

	for (size_t i = 0; i < n_part; i++)
		for (const struct onx_field *f = part[i].table->field; f->name; f++) {
			if (strcmp(f->name, key) == 0) {
				*which = i;
				return f;
			}
			if (n < sizeof names / sizeof *names)
				names[n++] = f->name;
		}
	*near = onx_nearest(names, n, key);
	return NULL;
}

enum { MAX_PART = 8 };                  /* most tables of one section */

/* One key and its value: 1, or 0 at the end of the mapping, or a fault. */
static int read_pair(struct reader *r, const char *name, struct onx_yaml_part *part, size_t n_part,
		     size_t (*line)[64])
{
	yaml_event_t k;
	const struct onx_field *f = NULL;
	const char *key, *near = NULL;
	size_t w = 0, *first;
	int rc = next_event(r, &k);

	if (rc < 0 || k.type == YAML_MAPPING_END_EVENT)
		return rc;                      /* an end event owns nothing */
	rc = plain(r, &k);
	if (rc == ONX_OK && k.type != YAML_SCALAR_EVENT)
		rc = onx_fail(r->e, ONX_USAGE, AT "a key of '%s' is %s", POS(r, k.start_mark), name,
			      kind_text(&k));
	if (rc < 0)
		goto out;
	key = (const char *)k.data.scalar.value;
	f = find_key(part, n_part, key, &w, &near);
	if (!f) {
		rc = onx_fail(r->e, ONX_USAGE, AT "'%s' has no key '%s'%s%s%s", POS(r, k.start_mark), name,
			      key, near ? "; nearest is '" : "", near ? near : "", near ? "'" : "");
		goto out;
	}
	first = &line[w][f - part[w].table->field];
	if (*first) {
		rc = onx_fail(r->e, ONX_USAGE, AT "'%s' given twice, first on line %zu",
			      POS(r, k.start_mark), key, *first);
		goto out;
	}
	*first = k.start_mark.line + 1;
	part[w].seen |= UINT64_C(1) << (f - part[w].table->field);
	rc = read_value(r, &(struct place){ part[w].table, f, part[w].obj });
out:
	yaml_event_delete(&k);
	return rc < 0 ? rc : 1;
}

static int read_map(struct reader *r, const char *name, struct onx_yaml_part *part, size_t n_part)
{
	size_t line[MAX_PART][64] = { { 0 } };  /* where each key was given first */
	int rc;

	assert(n_part <= MAX_PART);
	do
		rc = read_pair(r, name, part, n_part, line);
	while (rc > 0);
	return rc;
}

/* The parts of one section, brought together: tables keep their order in part[]. */
static int read_section(struct reader *r, const char *name, yaml_mark_t at)
{
	struct onx_yaml_part mine[MAX_PART];
	struct onx_yaml_part *from[MAX_PART];
	size_t n = 0;
	yaml_event_t ev;
	int rc = next_event(r, &ev);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r->n_part; i++)
		if (strcmp(r->part[i].section, name) == 0) {
			assert(n < MAX_PART);
			r->part[i].line = at.line + 1;
			r->part[i].column = at.column + 1;
			from[n] = &r->part[i];
			mine[n++] = r->part[i];
		}
	rc = plain(r, &ev);
	if (rc == ONX_OK && ev.type == YAML_MAPPING_START_EVENT)
		rc = read_map(r, name, mine, n);
	else if (rc == ONX_OK && (ev.type != YAML_SCALAR_EVENT || ev.data.scalar.length))
		rc = onx_fail(r->e, ONX_USAGE, AT "section '%s' must be a mapping of keys, not %s",
			      POS(r, ev.start_mark), name, kind_text(&ev));
	yaml_event_delete(&ev);
	for (size_t i = 0; i < n; i++)
		*from[i] = mine[i];
	return rc;
}

/* One section: 1, or 0 at the end of the recipe, or a fault. */
static int read_entry(struct reader *r)
{
	const char *names[64], *near, *key;
	size_t n = 0, first = 0;
	bool known = false;
	yaml_event_t k;
	int rc = next_event(r, &k);

	if (rc < 0 || k.type == YAML_MAPPING_END_EVENT)
		return rc;
	rc = plain(r, &k);
	if (rc == ONX_OK && k.type != YAML_SCALAR_EVENT)
		rc = onx_fail(r->e, ONX_USAGE, AT "the name of a section is %s", POS(r, k.start_mark),
			      kind_text(&k));
	key = rc == ONX_OK ? (const char *)k.data.scalar.value : "";
	for (size_t i = 0; rc == ONX_OK && i < r->n_part; i++) {
		if (strcmp(r->part[i].section, key) == 0) {
			known = true;
			first = r->part[i].line;
		}
		if (n < sizeof names / sizeof *names)
			names[n++] = r->part[i].section;
	}
	if (rc == ONX_OK && !known) {
		near = onx_nearest(names, n, key);
		rc = onx_fail(r->e, ONX_USAGE, AT "a recipe has no section '%s'%s%s%s", POS(r, k.start_mark),
			      key, near ? "; nearest is '" : "", near ? near : "", near ? "'" : "");
	} else if (rc == ONX_OK && first) {
		rc = onx_fail(r->e, ONX_USAGE, AT "section '%s' given twice, first on line %zu",
			      POS(r, k.start_mark), key, first);
	} else if (rc == ONX_OK) {
		rc = read_section(r, key, k.start_mark);
	}
	yaml_event_delete(&k);
	return rc < 0 ? rc : 1;
}

/* The next event must be of this type. */
static int expect(struct reader *r, yaml_event_type_t type, const char *what)
{
	yaml_event_t ev;
	int rc = next_event(r, &ev);

	if (rc == ONX_OK)
		rc = plain(r, &ev);
	if (rc == ONX_OK && ev.type != type)
		rc = onx_fail(r->e, ONX_USAGE, AT "%s", POS(r, ev.start_mark), what);
	yaml_event_delete(&ev);
	return rc;
}

static int read_document(struct reader *r)
{
	int rc = expect(r, YAML_STREAM_START_EVENT, "not YAML");

	if (rc == ONX_OK)
		rc = expect(r, YAML_DOCUMENT_START_EVENT, "the recipe is empty");
	if (rc == ONX_OK)
		rc = expect(r, YAML_MAPPING_START_EVENT, "a recipe is a mapping of sections");
	if (rc < 0)
		return rc;
	do
		rc = read_entry(r);
	while (rc > 0);
	if (rc == ONX_OK)
		rc = expect(r, YAML_DOCUMENT_END_EVENT, "more after the end of the recipe");
	if (rc == ONX_OK)
		rc = expect(r, YAML_STREAM_END_EVENT, "a second document: a recipe is one");
	return rc;
}

int onx_yaml_read(const char *path, const void *text, size_t n, struct onx_yaml_part *part, size_t n_part,
		  struct onx_arena *mem, struct onx_err *e)
{
	struct reader r = { .path = path, .part = part, .n_part = n_part, .mem = mem, .e = e };
	int rc;

	if (!yaml_parser_initialize(&r.parser))
		return onx_nomem(e, sizeof r.parser, "the recipe");
	yaml_parser_set_input_string(&r.parser, text, n);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	rc = read_document(&r);
	yaml_parser_delete(&r.parser);
	return rc;
}
