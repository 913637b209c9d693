/* recipe/recipe.h -- a whole adaptation in one file.
 *
 * The sections are model, freeze, head, data, train, eval and export; a section's keys are the long
 * options of the tool of that name, described by the same tables (recipe/recipe.c lists them, in the
 * modules that use them they are defined).  File names in a recipe are looked up from the current
 * folder, as on the command line.  The recipe owns everything that is reached from it. */
#ifndef ONX_RECIPE_H
#define ONX_RECIPE_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"

struct onx_recipe;

enum { ONX_RECIPE_PARTLY = 1 };         /* options may still add to it: keys may be missing and rules
					   across keys are not checked yet */

/* Path "-" is standard input.  ONX_USAGE faults begin file:line:column. */
int onx_recipe_read(const char *path, int flags, struct onx_recipe **out, struct onx_err *e) ONX_MUST;
void onx_recipe_free(struct onx_recipe *r);
bool onx_recipe_has(const struct onx_recipe *r, const char *section);
/* "file:line:column" of a section, in the recipe's arena; of the file's start if it has none. */
const char *onx_recipe_at(struct onx_recipe *r, const char *section);

/* Copies what the section gives for table t into obj (filled with defaults or more), texts into mem;
 * sets its bits in *seen and the table's `given`.  A section that is absent gives nothing. */
int onx_recipe_take(const struct onx_recipe *r, const char *section, const struct onx_table *t, void *obj,
		    uint64_t *seen, struct onx_arena *mem, struct onx_err *e) ONX_MUST;

/* The sections with their tables, in the order of a run; a section of several tables has several
 * rows.  Ends with .section == NULL. */
struct onx_recipe_row { const char *section; const struct onx_table *table; };
extern const struct onx_recipe_row onx_recipe_rows[];

/* The reference of all keys as Markdown: recipes/README.md. */
void onx_recipe_schema(struct onx_buf *out);

#endif
