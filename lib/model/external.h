/* model/external.h -- numbers of tensors that lie in files beside the model (private to model/).
 *
 * The names of these files come from the model file, which may be hostile.  On load and on save:
 *   - a location is a relative path without "..", and each step of it is opened without following
 *     symbolic links, from the model's folder on: it cannot lead outside;
 *   - the file is a regular one with one name only (a hard link could be anybody's file);
 *   - the keys are location, offset, length, checksum and basepath, each at most once; numbers are
 *     plain digits; offset and length lie inside the file and are what type and dims make them.
 *     checksum is not verified (it is dropped when the data change), basepath is not used.
 *
 * Files are mapped privately: onx_weight_store writes into the mapping, the file stays as it is
 * until the model is saved, and then goes out in the same layout.  Sizes are 64-bit; nothing is
 * read before it is used.
 *
 * Where onx_model_write puts a data file, beside the model that it writes:
 *   - nothing is there: under the name that the model uses;
 *   - the very file is there that was read, and no number changed: nothing is written, it is
 * shared;
 *   - a file is there that the model named there, and about to be replaced, already uses: replaced;
 *   - a file with the same bytes is there: left alone;
 *   - any other file is there (the data of the model that was read, when saving beside it under
 * another
 *     name): it stays as it is; the data go to "<model>.data" (a second file: "<model>.1.data") and
 * the
 *     tensors are made to say so.  If that is somebody else's file too, it is a fault.
 * All is written to temporary files first; data files are renamed before the model is. */
#ifndef ONX_EXTERNAL_H
#define ONX_EXTERNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"

struct onx_model;

struct onx_data {                       /* one data file */
	const char *location;           /* as the model has it               */
	uint8_t *base;                  /* mapped privately; NULL: empty     */
	size_t size;
	dev_t dev;
	ino_t ino;
	bool dirty;                     /* a store has changed numbers in it */
};
struct onx_ext {                        /* one tensor */
	void *proto;
	size_t file;                    /* index into m->data                */
	size_t at, bytes;
};

/* Finds all tensors of the model (functions and training graphs too), opens, checks and maps. */
int onx_external_open(struct onx_model *m, struct onx_err *e) ONX_MUST;
void onx_external_close(struct onx_model *m);
const struct onx_ext *onx_external_find(const struct onx_model *m, const void *proto); /* or NULL */

/* Opens the folder of a location beneath `dir` (a descriptor) and gives the name inside it.  make:
 * creates folders that are missing.  *fd is the caller's. */
int onx_external_folder(int dir, const char *location, bool make, int *fd, char name[256],
			struct onx_err *e) ONX_MUST;

/* Saving: stage writes temporary files, commit renames them, abandon removes what is left. */
struct onx_staged { int dir; char name[256], tmp[256]; };
struct onx_staging { struct onx_staged *v; size_t n; };
int onx_external_stage(struct onx_model *m, const char *path, struct onx_staging *s,
		       struct onx_err *e) ONX_MUST;
int onx_external_commit(struct onx_staging *s, struct onx_err *e) ONX_MUST;
void onx_external_abandon(struct onx_staging *s);

/* Makes external tensors point at their numbers as raw_data, for a message that holds everything,
 * and back again.  The array of what was there is the caller's (onx_heap_free). */
struct onx_was;
int onx_external_inline(struct onx_model *m, struct onx_was **was, struct onx_err *e) ONX_MUST;
void onx_external_restore(struct onx_model *m, struct onx_was *was);

#endif
