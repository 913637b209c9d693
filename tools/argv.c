/* tools/argv.c -- the command line through field tables.
 *
 * The line is first cut into tokens (which row, which text), so that a misspelt option is found before
 * anything is read; the common rows are set at once, the others when the defaults and the recipe are in
 * their structs. */
#include <string.h>
#include "tool.h"

static const struct onx_field common_field[] = {
	{ "output", F_STR, offsetof(struct onx_common, output), "", .letter = 'o', .arg = "FILE",
	  .help = "write there; the file appears whole or not at all (default: standard output)",
	  .group = "In every tool" },
	{ "recipe", F_STR, offsetof(struct onx_common, recipe), "", .letter = 'r', .arg = "FILE",
	  .help = "take settings from this tool's section of a recipe; options win" },
	{ "json", F_BOOL, offsetof(struct onx_common, json), "false",
	  .help = "print JSON for another program" },
	{ "history", F_BOOL, offsetof(struct onx_common, history), "true",
	  .help = "do not leave a line about this run in the model" },
	{ "quiet", F_BOOL, offsetof(struct onx_common, quiet), "false", .letter = 'q',
	  .help = "only warnings and faults on standard error" },
	{ "help", F_STR, offsetof(struct onx_common, help), "", .letter = 'h',
	  .help = "this text; --help=man and --help=complete print the manual page and the completion "
	  "rules of bash" },
	{ "version", F_BOOL, offsetof(struct onx_common, version), "false",
	  .help = "print name and version" },
	{ .name = NULL }
};
const struct onx_table onx_common_table = { "common", sizeof(struct onx_common), common_field,
					    NULL, 0 };

bool onx_common_applies(const struct onx_tool *t, const struct onx_field *f)
{
	if (strcmp(f->name, "json") == 0)
		return t->flags & ONX_TOOL_JSON;
	if (strcmp(f->name, "history") == 0)
		return t->flags & ONX_TOOL_OUT;
	if (strcmp(f->name, "recipe") == 0)
		for (const struct onx_optset *p = t->set; p && p->table; p++)
			if (p->section)
				return true;
	return strcmp(f->name, "recipe") != 0;
}

bool onx_field_negative(const struct onx_field *f)
{
	return f->kind == F_BOOL && f->def &&
	       (strcmp(f->def, "true") == 0 || strcmp(f->def, "yes") == 0);
}

struct token {
	int part;                       /* -1: a common row */
	const struct onx_field *field;
	const char *text, *spelt;       /* value, and the option as the user wrote it */
};
struct onx_argv { struct token *token; size_t n; };

struct reader {
	struct onx_work *w;
	int argc, at;
	char **argv;
	struct onx_argv *out;
	const char **operand;
	size_t n_operand;
	struct onx_err *e;
};

/* The row of a long name (n letters) or, if name is NULL, of a letter. */
static const struct onx_field *look_up(const struct onx_tool *t, const char *name, size_t n,
				       char letter, int *part)
{
	const struct onx_field *f;

	for (f = common_field; f->name; f++)
		if (onx_common_applies(t, f) &&
		    (name ? strlen(f->name) == n && memcmp(f->name, name, n) == 0
			  : f->letter && f->letter == letter)) {
			*part = -1;
			return f;
		}
	for (int i = 0; t->set && t->set[i].table; i++)
		for (f = t->set[i].table->field; f->name; f++)
			if (name ? strlen(f->name) == n && memcmp(f->name, name, n) == 0
				 : f->letter && f->letter == letter) {
				*part = i;
				return f;
			}
	return NULL;
}

/* Nothing under that name: say which one is nearest. */
static int unknown(struct reader *r, const char *name, size_t n)
{
	const struct onx_tool *t = r->w->tool;
	const char *names[ONX_SETS * 64 + 16], *word, *near;
	size_t k = 0;
	const struct onx_field *f;

	for (f = common_field; f->name; f++)
		if (onx_common_applies(t, f))
			names[k++] = f->name;
	for (int i = 0; t->set && t->set[i].table; i++)
		for (f = t->set[i].table->field; f->name && k < sizeof names / sizeof *names; f++)
			names[k++] = f->name;
	word = onx_dupn(&r->w->mem, name, n);
	if (!word)
		return onx_nomem(r->e, (double)n, "the command line");
	near = onx_nearest(names, k, word);
	return onx_fail(r->e, ONX_USAGE, "no option '--%s'%s%s%s", word, near ? "; did you mean '--" : "",
			near ? near : "", near ? "'?" : "");
}

static int push(struct reader *r, int part, const struct onx_field *f, const char *text,
		const char *spelt)
{
	/* at most one token a letter of an argument; the array was sized for that */
	r->out->token[r->out->n++] = (struct token){ part, f, text, spelt };
	return ONX_OK;
}

/* The next argument as the value of an option. */
static int value_of(struct reader *r, const struct onx_field *f, const char *spelt, const char **text)
{
	struct onx_buf want = { 0 };
	int rc = ONX_OK;

	if (r->at < r->argc) {
		*text = r->argv[r->at++];
		return ONX_OK;
	}
	onx_field_want(f, &want);
	rc = onx_fail(r->e, ONX_USAGE, "option '%s' needs a value%s%s%s", spelt,
		      want.data && *want.data ? " (" : "", want.data ? want.data : "",
		      want.data && *want.data ? ")" : "");
	onx_buf_release(&want);
	return rc;
}

/* --name, --name=value, --name value, --no-name */
static int read_long(struct reader *r, const char *arg)
{
	const char *name = arg + 2, *eq = strchr(name, '='), *text = eq ? eq + 1 : NULL;
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	const struct onx_field *f;
	int part = 0, rc;

	f = look_up(r->w->tool, name, n, 0, &part);
	if (!f && n > 3 && memcmp(name, "no-", 3) == 0) {
		f = look_up(r->w->tool, name + 3, n - 3, 0, &part);
		if (!f)
			return unknown(r, name, n);
		if (f->kind != F_BOOL)
			return onx_fail(r->e, ONX_USAGE, "'--%s' takes a value and cannot be negated with '%s'",
					f->name, arg);
		if (text)
			return onx_fail(r->e, ONX_USAGE, "'%.*s' takes no value", (int)n + 2, arg);
		return push(r, part, f, "false", arg);
	}
	if (!f)
		return unknown(r, name, n);
	if (part < 0 && f->off == offsetof(struct onx_common, help) && !text)
		text = "text";
	if (f->kind == F_BOOL && !text)
		text = "true";
	if (!text) {
		rc = value_of(r, f, arg, &text);
		if (rc < 0)
			return rc;
	}
	return push(r, part, f, text, arg);
}

/* -x, -x value, -xvalue, and flags in a bundle: -qh */
static int read_short(struct reader *r, const char *arg)
{
	for (const char *p = arg + 1; *p; p++) {
		int part = 0, rc;
		const struct onx_field *f = look_up(r->w->tool, NULL, 0, *p, &part);
		const char *text = p + 1;

		if (!f)
			return onx_fail(r->e, ONX_USAGE, "no option '-%c'", *p);
		if (f->kind == F_BOOL || (part < 0 && f->off == offsetof(struct onx_common, help))) {
			rc = push(r, part, f, f->kind == F_BOOL ? "true" : "text", arg);
			if (rc < 0)
				return rc;
			continue;
		}
		if (!*text) {
			rc = value_of(r, f, arg, &text);
			if (rc < 0)
				return rc;
		}
		return push(r, part, f, text, arg);
	}
	return ONX_OK;
}

static int set(struct onx_work *w, const struct token *k, struct onx_err *e)
{
	const struct onx_table *t = k->part < 0 ? &onx_common_table : w->tool->set[k->part].table;
	void *obj = k->part < 0 ? (void *)&w->common : w->opt[k->part];

	return onx_set(t, k->field, obj, k->text, &w->mem, e);
}

/* The operands: one may be the model. */
static int operands(struct reader *r)
{
	struct onx_work *w = r->w;
	size_t n = 0;

	for (size_t i = 0; i < r->n_operand; i++) {
		const char *s = r->operand[i];

		if (w->tool->flags & ONX_TOOL_IN && !w->path && !strchr(s, '='))
			w->path = s;
		else
			r->operand[n++] = s;
	}
	w->operand = r->operand;
	w->n_operand = n;
	if (n > w->tool->max_operands && !w->common.help && !w->common.version)
		return onx_fail(r->e, ONX_USAGE, "too many arguments: do not know what to do with '%s'",
				r->operand[w->tool->max_operands]);
	return ONX_OK;
}

int onx_argv_read(struct onx_work *w, int argc, char **argv, struct onx_argv **out, struct onx_err *e)
{
	struct reader r = { .w = w, .argc = argc, .at = 1, .argv = argv, .e = e };
	size_t letters = 0;
	bool ended = false;
	int rc;

	for (int i = 0; i < argc; i++)
		letters += strlen(argv[i]) + 1;
	r.out = ONX_NEW(&w->mem, struct onx_argv);
	r.operand = ONX_NEWS(&w->mem, const char *, (size_t)argc + 1);
	if (!r.out || !r.operand || !(r.out->token = ONX_NEWS(&w->mem, struct token, letters + 1)))
		return onx_nomem(e, (double)letters * sizeof(struct token), "the command line");
	rc = onx_defaults(&onx_common_table, &w->common, &w->mem, e);
	while (rc == ONX_OK && r.at < argc) {
		const char *arg = argv[r.at++];

		if (!ended && strcmp(arg, "--") == 0)
			ended = true;
		else if (!ended && strncmp(arg, "--", 2) == 0)
			rc = read_long(&r, arg);
		else if (!ended && arg[0] == '-' && arg[1])
			rc = read_short(&r, arg);
		else
			r.operand[r.n_operand++] = arg;
	}
	for (size_t i = 0; rc == ONX_OK && i < r.out->n; i++)
		if (r.out->token[i].part < 0)
			rc = set(w, &r.out->token[i], e);
	*out = r.out;
	return rc < 0 ? rc : operands(&r);
}

int onx_argv_apply(struct onx_work *w, const struct onx_argv *a, struct onx_err *e)
{
	uint64_t fresh[ONX_SETS] = { 0 };

	for (size_t i = 0; i < a->n; i++) {
		const struct token *k = &a->token[i];
		uint64_t bit;
		int rc;

		if (k->part < 0)
			continue;
		bit = UINT64_C(1) << (k->field - w->tool->set[k->part].table->field);
		/* a list on the command line replaces the recipe's, it does not add to it */
		if (k->field->kind == F_STRS && !(fresh[k->part] & bit))
			*(struct onx_strs *)((char *)w->opt[k->part] + k->field->off) =
				(struct onx_strs){ NULL, 0 };
		fresh[k->part] |= bit;
		w->seen[k->part] |= bit;
		rc = set(w, k, e);
		if (rc < 0)
			return onx_while(e, rc, "reading option '%s'", k->spelt);
	}
	return ONX_OK;
}
