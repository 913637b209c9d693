/* base/names.h -- names to numbers, and globs.  The map copies its keys into the arena given. */
#ifndef ONX_NAMES_H
#define ONX_NAMES_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"

#define ONX_NONE UINT32_MAX

struct onx_names { struct onx_arena *arena; struct onx_name *head; };   /* arena outlives the map */

uint32_t onx_names_get(const struct onx_names *m, const char *name);    /* ONX_NONE if absent */
/* Puts name -> id.  Returns false if memory is short.  An existing name gets the new id. */
bool onx_names_put(struct onx_names *m, const char *name, uint32_t id);
void onx_names_release(struct onx_names *m);            /* the index; keys die with the arena */

bool onx_glob(const char *pattern, const char *name);   /* fnmatch(3), '/' is an ordinary letter */

#endif
