/* recipe/yaml.h -- YAML into structs through field tables; recipe/yaml.c is the only user of libyaml.
 *
 * A recipe is a mapping of sections, a section a mapping of keys, and a key a row of one of the tables
 * that make up the section.  A recipe is data and not a language: anchors, aliases, tags and several
 * documents are refused, so is yes or no where text is wanted, and a quoted number where a number is.
 * Every fault is ONX_USAGE and begins file:line:column. */
#ifndef ONX_YAML_H
#define ONX_YAML_H
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/field.h"

struct onx_yaml_part {
	const char *section;
	const struct onx_table *table;
	void *obj;                      /* table->size bytes, filled with defaults by the caller       */
	uint64_t seen;                  /* bit i: row i was given                                     */
	size_t line, column;            /* where the section is opened, from 1; 0: not in the file    */
};

/* Reads `n` bytes of `text`; `path` is for faults only.  Parts of one section share its keys.  Texts
 * and lists go into mem. */
int onx_yaml_read(const char *path, const void *text, size_t n, struct onx_yaml_part *part, size_t n_part,
		  struct onx_arena *mem, struct onx_err *e) ONX_MUST;

#endif
