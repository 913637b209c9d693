/* tools/tool.h -- what the programs have in common.
 *
 * A tool is a description, a list of option tables and a run function; it defines one
 *
 *     const struct onx_tool onx_this_tool = { .name = "onnx-freeze", ... };
 *
 * and tools/main.c does the rest: reads the command line and the recipe, reads the model, calls run,
 * adds the history line, writes the model or the text, turns the fault into one line and an exit
 * status.  Nothing is written unless run succeeded (or answered ONX_NO), and then whole.
 *
 * Option tables belong to the library modules that use the settings; a tool composes them.  Their
 * structs are allocated and filled by the frame and live as long as the work; run finds them in
 * w->opt[], in the order of the sets. */
#ifndef ONX_TOOL_H
#define ONX_TOOL_H
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"
#include "base/note.h"
#include "model/model.h"

/* A table of options, and the section of a recipe that it is read from with -r; NULL: none. */
struct onx_optset {
	const struct onx_table *table;
	const char *section;
};
enum { ONX_SETS = 8 };                 /* most option tables of a tool */

struct onx_example { const char *what, *command; };     /* ends with .command == NULL */

enum onx_tool_flag {
	ONX_TOOL_IN   = 1,      /* reads a model: the first operand without '=', or standard input      */
	ONX_TOOL_OUT  = 2,      /* writes a model and adds to its history; otherwise it writes text     */
	ONX_TOOL_JSON = 4,      /* has --json                                                            */
	ONX_TOOL_BARE = 8,      /* with ONX_TOOL_IN: run reads the model itself, if it wants one         */
	ONX_TOOL_PLAIN = 32,    /* with ONX_TOOL_OUT: leaves no line in the history                     */
	ONX_TOOL_SHORT = 64,    /* is soon done: the model's large tensors stay in its file              */
	ONX_TOOL_DIR  = 16      /* --output names a folder that run fills; text goes to standard output  */
};

/* Settings that every tool knows (those that apply to it). */
struct onx_common {
	const char *output, *recipe;
	bool quiet, json, history;
	bool version;
	const char *help;               /* NULL: not asked; "text", "man", "complete" */
};

struct onx_work {
	const struct onx_tool *tool;
	struct onx_common common;
	void *opt[ONX_SETS];           /* one struct for each set                                      */
	uint64_t seen[ONX_SETS];       /* bit i: row i was given, by option or recipe                  */
	const char *at[ONX_SETS];      /* file:line:column of its section in the recipe; NULL: no recipe */
	const char *const *operand;     /* without the model's name                                     */
	size_t n_operand;
	const char *path;               /* of the model as named; NULL: standard input                  */
	struct onx_model *model;        /* read for ONX_TOOL_IN; run may change or replace it           */
	struct onx_buf text;            /* what run has to say on standard output or in --output        */
	struct onx_note note;           /* chatter to standard error, warnings also with --quiet        */
	struct onx_arena mem;           /* dies with the work                                           */
};

struct onx_tool {
	const char *name, *brief;       /* "onnx-freeze", "choose which weights training may change"    */
	const char *operands;           /* for the usage line: "[MODEL]"                                */
	const char *about;              /* paragraphs, separated by empty lines                         */
	const struct onx_example *example;
	const struct onx_optset *set;     /* ends with .table == NULL                                     */
	unsigned flags;                 /* enum onx_tool_flag                                           */
	size_t max_operands;            /* beside the model                                             */
	int (*run)(struct onx_work *w, struct onx_err *e);
};
extern const struct onx_tool onx_this_tool;

/* tool.c */
int onx_tool_main(const struct onx_tool *t, int argc, char **argv);
/* Allocates and fills w->opt[] with the defaults of the tool's tables. */
int onx_work_defaults(struct onx_work *w, struct onx_err *e) ONX_MUST;
/* Copies the rows that the recipe gives for this tool's sections into w->opt[]. */
int onx_work_recipe(struct onx_work *w, const char *path, struct onx_err *e) ONX_MUST;
/* Reads the named model, or the one on standard input; the frame does it for tools without
 * ONX_TOOL_BARE. */
int onx_work_model(struct onx_work *w, struct onx_err *e) ONX_MUST;
struct onx_recipe;
int onx_work_take(struct onx_work *w, struct onx_recipe *r, struct onx_err *e) ONX_MUST;  /* the same */
/* Rows that must be given, and the tables' own checks. */
int onx_work_check(struct onx_work *w, struct onx_err *e) ONX_MUST;
/* The fault that row `name` of a set was not given: says where in the recipe, if there is one. */
int onx_work_missing(struct onx_work *w, int set, const char *name, struct onx_err *e) ONX_MUST;
/* The line that this tool leaves in the model: name, version and the options that differ from their
 * defaults, in the order of the tables; the same from a command line and from a recipe.  Options that
 * cannot change the result (threads, logs, file names) are left out, so is the time. */
int onx_work_history(struct onx_work *w, struct onx_err *e) ONX_MUST;

/* argv.c: options and operands in any order, `--` ends options.  The first call reads only the common
 * settings (and everything's spelling), the second sets the rows of the tables. */
struct onx_argv;
int onx_argv_read(struct onx_work *w, int argc, char **argv, struct onx_argv **out,
		  struct onx_err *e) ONX_MUST;
int onx_argv_apply(struct onx_work *w, const struct onx_argv *a, struct onx_err *e) ONX_MUST;
extern const struct onx_table onx_common_table;
bool onx_common_applies(const struct onx_tool *t, const struct onx_field *f);
/* A flag whose default is "on" is shown, and mostly used, as --no-name. */
bool onx_field_negative(const struct onx_field *f);

/* help.c: the page in one of the forms "text", "man", "complete". */
int onx_help(const struct onx_tool *t, const char *form, struct onx_buf *out, struct onx_err *e) ONX_MUST;

/* stop.c: ^C and SIGTERM.  From then on the first one only sets the flag that is returned, so that a
 * long run can end cleanly; the second one kills as ever. */
const volatile sig_atomic_t *onx_stop_catch(void);

/* tty.c: the progress line on a terminal; nothing anywhere else and nothing with --quiet. */
void onx_tty_line(struct onx_work *w, const char *line);        /* NULL: wipe it */
bool onx_tty_shown(const struct onx_work *w);

#endif
