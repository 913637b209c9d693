/* tools/help.c -- --help, the manual page and the completion rules, all from the tables. */
#include <string.h>
#include "base/version.h"
#include "tool.h"

enum { COLUMN = 26, WIDTH = 92 };       /* where explanations start, where lines end */

typedef int row_fn(void *ctx, const struct onx_field *f, bool heading);

/* Calls fn for each option row, the tool's own first, the common ones last. */
static int each_row(const struct onx_tool *t, row_fn *fn, void *ctx)
{
	const struct onx_field *f;
	int rc = 0;

	for (int i = 0; t->set && t->set[i].table; i++)
		for (f = t->set[i].table->field; rc == 0 && f->name; f++)
			rc = fn(ctx, f, f->group != NULL);
	for (f = onx_common_table.field; rc == 0 && f->name; f++)
		if (onx_common_applies(t, f))
			rc = fn(ctx, f, f->group != NULL);
	return rc;
}

/* Text broken between words: `at` letters stand on the line already, later lines start at `indent`. */
static void wrap(struct onx_buf *out, const char *text, size_t at, size_t indent)
{
	while (*text) {
		size_t n = strcspn(text, " \n");

		if (at > indent && at + 1 + n > WIDTH) {
			onx_buf_fmt(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			onx_buf_str(out, " ");
			at++;
		}
		onx_buf_add(out, text, n);
		at += n;
		text += n;
		text += strspn(text, " \n");
	}
	onx_buf_str(out, "\n");
}

/* "-o, --output FILE" */
static void spell(struct onx_buf *b, const struct onx_field *f)
{
	if (f->letter)
		onx_buf_fmt(b, "-%c, ", f->letter);
	onx_buf_fmt(b, "--%s%s", onx_field_negative(f) ? "no-" : "", f->name);
	if (f->kind != F_BOOL && strcmp(f->name, "help") != 0)
		onx_buf_fmt(b, " %s", f->arg ? f->arg : "VALUE");
}

/* The explanation with range and default: "step size (number in [0, 1]; default 0.1)". */
static void explain(struct onx_buf *b, const struct onx_field *f)
{
	bool want = (f->min != 0 || f->max != 0 || f->kind == F_ENUM || f->kind == F_SIZE) &&
		    f->kind != F_BOOL;
	bool def = f->def && *f->def && f->kind != F_BOOL;

	onx_buf_str(b, f->help ? f->help : "");
	if (!want && !def)
		return;
	onx_buf_str(b, " (");
	if (want)
		onx_field_want(f, b);
	if (def)
		onx_buf_fmt(b, "%sdefault %s", want ? "; " : "", f->def);
	onx_buf_str(b, ")");
}

static int text_row(void *ctx, const struct onx_field *f, bool heading)
{
	struct onx_buf *out = ctx, opt = { 0 }, help = { 0 };
	size_t at;

	if (f->kind == F_MAP)
		return 0;
	if (heading)
		onx_buf_fmt(out, "\n%s:\n", f->group);
	onx_buf_str(&opt, f->letter ? "  " : "      ");
	spell(&opt, f);
	explain(&help, f);
	onx_buf_str(out, opt.data ? opt.data : "");
	at = opt.len;
	if (at + 2 > COLUMN) {
		onx_buf_fmt(out, "\n%*s", COLUMN, "");
	} else {
		onx_buf_fmt(out, "%*s", (int)(COLUMN - at), "");
	}
	wrap(out, help.data ? help.data : "", COLUMN, COLUMN);
	out->lost |= opt.lost | help.lost;
	onx_buf_release(&opt);
	onx_buf_release(&help);
	return 0;
}

/* Each paragraph of `about` through fn. */
static void paragraphs(const char *about, struct onx_buf *out, const char *between)
{
	while (about && *about) {
		const char *end = strstr(about, "\n\n");
		size_t n = end ? (size_t)(end - about) : strlen(about);
		struct onx_buf one = { 0 };

		onx_buf_add(&one, about, n);
		onx_buf_str(out, between);
		wrap(out, one.data ? one.data : "", 0, 0);
		out->lost |= one.lost;
		onx_buf_release(&one);
		about = end ? end + 2 : NULL;
	}
}

static void statuses(struct onx_buf *out, const char *fmt)
{
#define X(name, value, status, text) { status, text },
	static const struct { int status; const char *text; } row[] = { ONX_CODES(X) };
#undef X
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		struct onx_buf n = { 0 };

		onx_buf_fmt(&n, "%d", row[i].status);
		onx_buf_str(out, fmt);
		onx_buf_fmt(out, "%s  %s\n", n.data ? n.data : "", row[i].text);
		onx_buf_release(&n);
	}
}

static void text_help(const struct onx_tool *t, struct onx_buf *out)
{
	onx_buf_fmt(out, "%s -- %s\n\nusage: %s [OPTION]... %s\n", t->name, t->brief, t->name, t->operands);
	paragraphs(t->about, out, "\n");
	if (t->example && t->example->command)
		onx_buf_str(out, "\nExamples:\n");
	for (const struct onx_example *x = t->example; x && x->command; x++)
		onx_buf_fmt(out, "  # %s\n  %s\n", x->what, x->command);
	each_row(t, text_row, out);
	onx_buf_str(out, "\nExit status:\n");
	statuses(out, "  ");
}

/* roff: a backslash and a dash are escaped, so is a dot or quote at the start of a line */
static void roff(struct onx_buf *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		onx_buf_str(out, "\\&");
	for (; *s; s++)
		if (*s == '\\')
			onx_buf_str(out, "\\e");
		else if (*s == '-')
			onx_buf_str(out, "\\-");
		else
			onx_buf_add(out, s, 1);
}

static int man_row(void *ctx, const struct onx_field *f, bool heading)
{
	struct onx_buf *out = ctx, b = { 0 };

	if (f->kind == F_MAP)
		return 0;
	if (heading) {
		onx_buf_str(out, ".SS ");
		roff(out, f->group);
		onx_buf_str(out, "\n");
	}
	onx_buf_str(out, ".TP\n.B ");
	spell(&b, f);
	roff(out, b.data ? b.data : "");
	onx_buf_str(out, "\n");
	out->lost |= b.lost;
	onx_buf_release(&b);
	explain(&b, f);
	roff(out, b.data ? b.data : "");
	onx_buf_str(out, "\n");
	out->lost |= b.lost;
	onx_buf_release(&b);
	return 0;
}

static void man_help(const struct onx_tool *t, struct onx_buf *out)
{
	struct onx_buf about = { 0 }, codes = { 0 };

	onx_buf_fmt(out, ".TH %s 1 \"\" \"onnx\\-adapt %s\" \"User Commands\"\n.SH NAME\n", t->name,
		    ONX_VERSION);
	roff(out, t->name);
	onx_buf_str(out, " \\- ");
	roff(out, t->brief);
	onx_buf_str(out, "\n.SH SYNOPSIS\n.B ");
	roff(out, t->name);
	onx_buf_str(out, "\n[OPTION]... ");
	roff(out, t->operands);
	onx_buf_str(out, "\n.SH DESCRIPTION\n");
	paragraphs(t->about, &about, ".PP\n");
	for (char *line = about.data, *end; line && *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = 0;
		if (strcmp(line, ".PP") == 0)
			onx_buf_str(out, line);
		else
			roff(out, line);
		onx_buf_str(out, "\n");
	}
	onx_buf_str(out, ".SH OPTIONS\n");
	each_row(t, man_row, out);
	onx_buf_str(out, ".SH EXAMPLES\n");
	for (const struct onx_example *x = t->example; x && x->command; x++) {
		onx_buf_str(out, ".PP\n");
		roff(out, x->what);
		onx_buf_str(out, ":\n.PP\n.nf\n");
		roff(out, x->command);
		onx_buf_str(out, "\n.fi\n");
	}
	onx_buf_str(out, ".SH EXIT STATUS\n.nf\n");
	statuses(&codes, "");
	roff(out, codes.data ? codes.data : "");
	onx_buf_str(out, ".fi\n");
	out->lost |= about.lost | codes.lost;
	onx_buf_release(&about);
	onx_buf_release(&codes);
}

static int word_row(void *ctx, const struct onx_field *f, bool heading)
{
	(void)heading;
	if (f->kind != F_MAP)
		onx_buf_fmt(ctx, " --%s%s", onx_field_negative(f) ? "no-" : "", f->name);
	return 0;
}

static int choice_row(void *ctx, const struct onx_field *f, bool heading)
{
	struct onx_buf *out = ctx;

	(void)heading;
	if (f->kind != F_ENUM || !f->choices)
		return 0;
	onx_buf_fmt(out, "\t--%s) words='", f->name);
	for (const char *const *c = f->choices; *c; c++)
		onx_buf_fmt(out, "%s%s", c == f->choices ? "" : " ", *c);
	onx_buf_str(out, "' ;;\n");
	return 0;
}

/* Options and their choices; anything else is completed as a file name. */
static void complete_help(const struct onx_tool *t, struct onx_buf *out)
{
	struct onx_buf id = { 0 };

	onx_buf_str(&id, t->name);
	for (char *p = id.data; p && *p; p++)
		if (*p == '-')
			*p = '_';
	onx_buf_fmt(out, "# bash completion for %s\n_%s()\n{\n\tlocal words=''\n", t->name,
		    id.data ? id.data : "");
	onx_buf_str(out, "\tcase \"${COMP_WORDS[COMP_CWORD-1]}\" in\n");
	each_row(t, choice_row, out);
	onx_buf_str(out, "\t*) [[ ${COMP_WORDS[COMP_CWORD]} == -* ]] && words='");
	each_row(t, word_row, out);
	onx_buf_str(out, "' ;;\n\tesac\n"
		    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n");
	onx_buf_fmt(out, "complete -o default -F _%s %s\n", id.data ? id.data : "", t->name);
	out->lost |= id.lost;
	onx_buf_release(&id);
}

int onx_help(const struct onx_tool *t, const char *form, struct onx_buf *out, struct onx_err *e)
{
	static const struct { const char *name; void (*write)(const struct onx_tool *, struct onx_buf *); }
	forms[] = { { "text", text_help }, { "man", man_help }, { "complete", complete_help } };

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (strcmp(forms[i].name, form) == 0) {
			forms[i].write(t, out);
			return ONX_OK;
		}
	return onx_fail(e, ONX_USAGE, "--help is one of text, man, complete, not '%s'", form);
}
