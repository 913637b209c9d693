/* tools/tool.c -- the life of a tool: settings, model in, run, history, result out, exit status. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/io.h"
#include "base/version.h"
#include "model/mark.h"
#include "recipe/recipe.h"
#include "tool.h"

/* Options that say how to run or where to write; the result does not depend on them. */
static const char *const how[] = {
	"threads", "events", "checkpoint", "resume", "bench", "profile", "html", "cache", "cache-dir", "check", NULL
};

int onx_work_defaults(struct onx_work *w, struct onx_err *e)
{
	for (int i = 0; w->tool->set && w->tool->set[i].table; i++) {
		const struct onx_table *t = w->tool->set[i].table;
		int rc;

		assert(i < ONX_SETS);
		w->opt[i] = onx_alloc(&w->mem, 1, t->size);
		if (!w->opt[i])
			return onx_nomem(e, (double)t->size, "the options");
		rc = onx_defaults(t, w->opt[i], &w->mem, e);
		if (rc < 0)
			return onx_while(e, rc, "setting the defaults of '%s'", t->name);
	}
	return ONX_OK;
}

int onx_work_take(struct onx_work *w, struct onx_recipe *r, struct onx_err *e)
{
	for (int i = 0; w->tool->set && w->tool->set[i].table; i++) {
		const struct onx_optset *p = &w->tool->set[i];
		int rc = ONX_OK;

		if (!p->section)
			continue;
		w->at[i] = onx_dup(&w->mem, onx_recipe_at(r, p->section));
		if (!w->at[i])
			return onx_nomem(e, 0, "the recipe");
		rc = onx_recipe_take(r, p->section, p->table, w->opt[i], &w->seen[i], &w->mem, e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

int onx_work_recipe(struct onx_work *w, const char *path, struct onx_err *e)
{
	struct onx_recipe *r = NULL;
	int rc = onx_recipe_read(path, ONX_RECIPE_PARTLY, &r, e);

	if (rc == ONX_OK)
		rc = onx_work_take(w, r, e);
	onx_recipe_free(r);
	return rc;
}

int onx_work_missing(struct onx_work *w, int set, const char *name, struct onx_err *e)
{
	const struct onx_optset *p = &w->tool->set[set];
	const struct onx_field *f = onx_find(p->table, name);
	const char *arg = f && f->arg ? f->arg : "VALUE";

	return w->at[set] ? onx_fail(e, ONX_USAGE, "%s: '%s' needs a '%s: %s'", w->at[set], p->section, name, arg)
			  : onx_fail(e, ONX_USAGE, "needs '--%s %s'", name, arg);
}

int onx_work_check(struct onx_work *w, struct onx_err *e)
{
	for (int i = 0; w->tool->set && w->tool->set[i].table; i++) {
		const struct onx_table *t = w->tool->set[i].table;
		int rc = ONX_OK;

		for (const struct onx_field *f = t->field; f->name; f++)
			if (!f->def && !(w->seen[i] >> (f - t->field) & 1))
				return onx_work_missing(w, i, f->name, e);
		if (t->check)
			rc = t->check(w->opt[i], e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

static bool is_how(const char *name)
{
	for (size_t i = 0; how[i]; i++)
		if (strcmp(how[i], name) == 0)
			return true;
	return false;
}

/* " --name=value" if the row has another value than its default. */
static int add_option(struct onx_work *w, int part, const struct onx_field *f, struct onx_buf *line,
		      struct onx_err *e)
{
	const struct onx_table *t = w->tool->set[part].table;
	struct onx_buf now = { 0 }, was = { 0 };
	void *def = onx_alloc(&w->mem, 1, t->size);
	int rc = def ? onx_defaults(t, def, &w->mem, e) : onx_nomem(e, (double)t->size, "the history");

	if (rc < 0)
		return rc;
	onx_field_show(f, w->opt[part], &now);
	if (f->def)
		onx_field_show(f, def, &was);
	if (now.data && (!was.data || strcmp(now.data, was.data) != 0)) {
		if (f->kind != F_BOOL)
			onx_buf_fmt(line, " --%s=%s", f->name, now.data);
		else
			onx_buf_fmt(line, " --%s%s", *(bool *)((char *)w->opt[part] + f->off) ? "" : "no-",
				    f->name);
	}
	if (now.lost || was.lost)
		rc = onx_nomem(e, 0, "the history");
	onx_buf_release(&now);
	onx_buf_release(&was);
	return rc;
}

int onx_work_history(struct onx_work *w, struct onx_err *e)
{
	struct onx_buf line = { 0 };
	int rc = ONX_OK;

	onx_buf_fmt(&line, "%s %s", w->tool->name, ONX_VERSION);
	for (int i = 0; rc == ONX_OK && w->tool->set && w->tool->set[i].table; i++)
		for (const struct onx_field *f = w->tool->set[i].table->field; f->name; f++) {
			if (is_how(f->name) || f->kind == F_MAP)
				continue;
			rc = add_option(w, i, f, &line, e);
			if (rc < 0)
				break;
		}
	if (rc == ONX_OK && line.lost)
		rc = onx_nomem(e, 0, "the history");
	if (rc == ONX_OK)
		rc = onx_mark_history(w->model, line.data, e);
	onx_buf_release(&line);
	return rc;
}

/* Chatter: a line on standard error.  Warnings are told even to those who asked for quiet. */
static void say(void *ctx, enum onx_level level, const char *line)
{
	struct onx_work *w = ctx;

	if (w->common.quiet && level == ONX_INFO)
		return;
	onx_tty_line(w, NULL);
	fprintf(stderr, "%s: %s%s\n", w->tool->name, level == ONX_WARN ? "warning: " : "", line);
}

/* Names in a fault come from other people's files: whatever they hold, the fault stays one line. */
static void complain(const struct onx_tool *t, struct onx_err *e, bool hint)
{
	for (char *p = e->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
	fprintf(stderr, "%s: %s", t->name, e->text);
	if (hint)
		fprintf(stderr, "; try '%s --help'", t->name);
	fputc('\n', stderr);
}

static int settings(struct onx_work *w, int argc, char **argv, struct onx_err *e, bool *hint)
{
	struct onx_argv *a = NULL;
	int rc = onx_argv_read(w, argc, argv, &a, e);

	*hint = rc < 0;
	if (rc < 0 || w->common.help || w->common.version)
		return rc;
	rc = onx_work_defaults(w, e);
	if (rc == ONX_OK && w->common.recipe)
		rc = onx_work_recipe(w, w->common.recipe, e);
	if (rc < 0)
		return rc;
	rc = onx_argv_apply(w, a, e);
	if (rc == ONX_OK)
		rc = onx_work_check(w, e);
	*hint = rc == ONX_USAGE;
	return rc;
}

int onx_work_model(struct onx_work *w, struct onx_err *e)
{
	if (!w->path && isatty(STDIN_FILENO))
		return onx_fail(e, ONX_USAGE, "no model: name a file, or pipe one in");
	return w->tool->flags & ONX_TOOL_SHORT ? onx_model_look(w->path, &w->model, e)
					       : onx_model_read(w->path, &w->model, e);
}

static int write_result(struct onx_work *w, struct onx_err *e)
{
	const char *to = w->common.output;
	int rc = ONX_OK;

	if (w->text.lost)
		return onx_nomem(e, (double)w->text.len, "the text to print");
	if (w->tool->flags & ONX_TOOL_OUT && w->model) {
		if (w->common.history && !(w->tool->flags & ONX_TOOL_PLAIN))
			rc = onx_work_history(w, e);
		return rc == ONX_OK ? onx_model_write(w->model, to, e) : rc;
	}
	if (w->tool->flags & ONX_TOOL_DIR)
		to = NULL;
	if (w->text.len || to)
		rc = onx_write_file(to, false, w->text.data ? w->text.data : "", w->text.len, e);
	return rc;
}

static int answer(struct onx_work *w, struct onx_err *e)
{
	if (w->common.version)
		onx_buf_fmt(&w->text, "%s (onnx-adapt) %s\n", w->tool->name, ONX_VERSION);
	else {
		int rc = onx_help(w->tool, w->common.help, &w->text, e);

		if (rc < 0)
			return rc;
	}
	return w->text.lost ? onx_nomem(e, (double)w->text.len, "the text to print")
			    : onx_write_file(NULL, false, w->text.data, w->text.len, e);
}

int onx_tool_main(const struct onx_tool *t, int argc, char **argv)
{
	struct onx_work w = { .tool = t };
	struct onx_err e = { 0 };
	bool hint = false;
	int rc;

	w.note = (struct onx_note){ say, &w };
	rc = settings(&w, argc, argv, &e, &hint);
	if (rc == ONX_OK && (w.common.help || w.common.version)) {
		rc = answer(&w, &e);
	} else {
		if (rc == ONX_OK && t->flags & ONX_TOOL_IN && !(t->flags & ONX_TOOL_BARE))
			rc = onx_work_model(&w, &e);
		if (rc == ONX_OK)
			rc = t->run(&w, &e);
		onx_tty_line(&w, NULL);
		if (rc == ONX_OK || (rc == ONX_NO && w.text.len)) {
			struct onx_err werr = { 0 };
			int wrote = write_result(&w, &werr);

			if (wrote < 0) {
				rc = wrote;
				e = werr;
			}
		}
	}
	if (rc < 0 && *e.text && !(rc == ONX_NO && w.common.quiet))
		complain(t, &e, hint);
	onx_model_free(w.model);
	onx_buf_release(&w.text);
	onx_arena_release(&w.mem);
	return onx_exit_status(rc);
}
