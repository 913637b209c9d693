/* data/source.h -- where samples come from.
 *
 * A source is opened from one word on the command line (SRC); the formats are rows of a table
 * (data/source.c):
 *
 *   folder          one sub-folder a class, pictures in it (not deeper; hidden files are ignored)
 *   x.csv           a header and rows; target column(s), numbers, text columns become one-hot
 *   x.npz           one array per model input, by name (or the only other array), and `y`
 *   x.npy,y.npy     the same as two files
 *   images,labels   IDX files (the format of MNIST), gzip-compressed or not
 *
 * It gives n samples; each has n_part parts (one for each model input that was asked for), and a
 * class or real targets.  Classes are sorted: names by byte order, the whole numbers of .npy, .npz
 * and IDX files by value.  If the model already has class names (`labels`), the source is mapped onto those
 * and a class outside them is a fault.
 *
 * A source owns everything that is reached from it; arrays are mapped where the file allows it.
 * After opening it is read-only: any thread may read. */
#ifndef ONX_SOURCE_H
#define ONX_SOURCE_H
#include "base/arena.h"
#include "base/err.h"
#include "base/field.h"
#include "base/note.h"
#include "tensor/tensor.h"

/* A model input, as the source must serve it. */
struct onx_data_want {
	const char *name;
	enum onx_dtype type;
	int rank;
	const int64_t *dim;             /* dim[0] is the batch (-1 or a number); -1 elsewhere: free */
};

enum onx_task { ONX_TASK_CLASSIFY, ONX_TASK_REGRESS };

/* Options; onx_source_table describes them for argv and recipes. */
struct onx_source_opts {
	struct onx_strs target;         /* csv: names of the target columns; none: the last column  */
	int task;                       /* enum onx_task                                            */
	bool skip_bad;                  /* a picture that cannot be decoded is counted and left out */
	int missing;                    /* csv: enum onx_missing                                    */
	bool header;                    /* csv: the first line names the columns                    */
	uint64_t given;
};
enum onx_missing { ONX_MISSING_FAIL, ONX_MISSING_MEAN, ONX_MISSING_SKIP };      /* SKIP: drop the row */
extern const struct onx_table onx_source_table;

/* How csv columns become features; learnt from the training file, stored in the model's mark with
 * the preset (data/preset.h), and used again for every other file.  Feature order: file order of
 * the training file, a text column takes n_level places. */
struct onx_column {
	const char *name;
	size_t n_level;                 /* 0: a number; else one-hot over level[]                   */
	const char *const *level;       /* sorted                                                   */
	double fill;                    /* mean of the column where it is a number                  */
};
struct onx_columns { size_t n, n_feature; const struct onx_column *v; };

enum onx_part_kind {
	ONX_PART_FILE,                  /* a compressed picture file: onx_source_path               */
	ONX_PART_PIXELS,                /* uint8 h x w x c in memory                                */
	ONX_PART_ARRAY,                 /* numbers, given to the model as they are                  */
	ONX_PART_COLUMNS                /* csv features, float                                      */
};
struct onx_part {                       /* what all samples have in common */
	const char *name;               /* of the model input                                       */
	enum onx_part_kind kind;
	int h, w, c;                    /* PIXELS                                                   */
	struct onx_shape shape;         /* ARRAY, COLUMNS: of one sample, no batch                  */
	size_t n;                       /* elements of one sample; 0 for FILE                       */
};

struct onx_source {
	const char *spec;               /* as opened                                                */
	const char *format;             /* "folder", "csv", ...                                     */
	enum onx_task task;
	size_t n, n_part, n_class, n_target;
	const struct onx_part *part;
	const char *const *class_name;  /* n_class; classify                                        */
	const int64_t *label;           /* n; classify                                              */
	const float *target;            /* n x n_target; regress                                    */
	struct onx_columns columns;     /* csv                                                      */
	size_t n_bad;                   /* left out by skip_bad (also onx_loader_new) or missing=skip */
	bool skip_bad;
	void *priv;
	struct onx_arena arena;
};

struct onx_source_ask {
	const struct onx_source_opts *opts;
	const struct onx_data_want *want;
	size_t n_want;
	const char *const *label;       /* the model's classes, or NULL: learn them from the source */
	size_t n_label;
	const struct onx_columns *columns;      /* the model's columns, or NULL: learn them        */
	const struct onx_note *note;    /* may be NULL                                              */
};
/* Faults: nothing at `spec`, unknown format (lists them), empty folder, one class only (unless
 * ask->label), label outside the classes, shapes that do not fit the model's inputs, csv trouble
 * as 'file:line:column'. */
int onx_source_open(const char *spec, const struct onx_source_ask *ask, struct onx_source **out,
		    struct onx_err *e) ONX_MUST;
void onx_source_free(struct onx_source *s);

/* ONX_PART_FILE: the path of sample i. */
const char *onx_source_path(const struct onx_source *s, size_t i);
/* ONX_PART_PIXELS: h * w * c bytes. */
const uint8_t *onx_source_pixels(const struct onx_source *s, size_t part, size_t i);
/* ONX_PART_ARRAY, ONX_PART_COLUMNS: sample i into v (memory form, part->n elements). */
int onx_source_load(const struct onx_source *s, size_t part, size_t i, const struct onx_view *v,
		    struct onx_err *e) ONX_MUST;
/* "sample 17 ('cat/cat03.jpeg')": for faults and reports; returns buf. */
const char *onx_source_where(const struct onx_source *s, size_t i, char *buf, size_t n);
/* A hash of everything that decides the samples: paths, sizes and times of files; names the data
 * in the key of the frozen-prefix cache. */
uint64_t onx_source_hash(const struct onx_source *s);
/* Leaves out the samples whose bad[i] is set and counts them in n_bad (before any loader runs). */
void onx_source_drop(struct onx_source *s, const bool *bad);

#endif
