/* base/io.h -- files, whole or not at all.
 * "-" or NULL is standard input or output.  Reading maps a regular file and reads a pipe;
 * writing goes to a temporary file beside the target which is renamed at the end, so that a killed
 * tool, a full disk or a fault leaves no half file. */
#ifndef ONX_IO_H
#define ONX_IO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

struct onx_bytes { const uint8_t *data; size_t len; bool mapped; };

int onx_read(const char *path, size_t limit, struct onx_bytes *out, struct onx_err *e) ONX_MUST;
/* The same; pages of a mapped file come when they are touched, and may be written, which the file does not see. */
int onx_map(const char *path, size_t limit, struct onx_bytes *out, struct onx_err *e) ONX_MUST;
void onx_bytes_release(struct onx_bytes *b);
/* Nobody reads them for a while: pages of a mapped file go back to the system, and come again when read. */
void onx_bytes_rest(const struct onx_bytes *b);

struct onx_out { int fd; char *tmp, *path; bool pipe; };
/* Refuses a terminal when `binary`. */
int onx_out_open(const char *path, bool binary, struct onx_out *o, struct onx_err *e) ONX_MUST;
int onx_out_write(struct onx_out *o, const void *p, size_t n, struct onx_err *e) ONX_MUST;
int onx_out_commit(struct onx_out *o, struct onx_err *e) ONX_MUST;  /* flush, sync errors, rename */
void onx_out_abandon(struct onx_out *o);                            /* remove; no-op after commit */
/* All of it in one call. */
int onx_write_file(const char *path, bool binary, const void *p, size_t n, struct onx_err *e) ONX_MUST;

/* dir of a path ("." if none) and joined paths, in the arena. */
const char *onx_dirname(struct onx_arena *a, const char *path);
const char *onx_join(struct onx_arena *a, const char *dir, const char *name);

#endif
