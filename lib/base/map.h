/* base/map.h -- one large array that may be bigger than memory: a mapped file, or plain memory.
 *
 * onx_map_new without a path gives memory, or above `memory` bytes an unlinked file in $TMPDIR.  With a path
 * it gives a new file beside it, which onx_map_commit renames into place.  onx_map_open maps an existing
 * file for reading. */
#ifndef ONX_MAP_H
#define ONX_MAP_H
#include <stddef.h>
#include "base/err.h"

struct onx_map { void *data; size_t bytes; int fd; char *tmp, *path; };

int onx_map_new(const char *path, size_t bytes, size_t memory, struct onx_map *m, struct onx_err *e) ONX_MUST;
int onx_map_commit(struct onx_map *m, struct onx_err *e) ONX_MUST;      /* no-op without a path */
/* 1: mapped; 0: there is no such file. */
int onx_map_open(const char *path, struct onx_map *m, struct onx_err *e) ONX_MUST;
void onx_map_release(struct onx_map *m);        /* an uncommitted file is removed */

#endif
