/* base/field.h -- one description for command line, recipe and ONNX attributes.
 *
 * A setting is one row of a static table: name, kind, where it lives in a struct, default, range,
 * help.  argv (tools/), YAML (recipe/) and AttributeProto (graph/) are three readers of the same
 * rows; help, man pages, shell completion and the recipe schema are printed from them.
 *
 *     struct leaky { double alpha; };
 *     static const struct onx_field leaky_field[] = {
 *             { "alpha", F_REAL, offsetof(struct leaky, alpha), .def = "0.01", .help = "..." },
 *             { .name = NULL } };
 *     static const struct onx_table leaky_attr = { "LeakyRelu", sizeof(struct leaky), leaky_field };
 *
 * The default is TEXT: it goes through the same parser as user input and is printed as it stands.
 * def == NULL means that the user must supply the value.  Text and lists belong to the arena that
 * is passed in. */
#ifndef ONX_FIELD_H
#define ONX_FIELD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Kind and the C type of the member it fills.  F_SIZE reads 512M, 2G (bytes); F_TENSOR and F_GRAPH
 * only ever come from ONNX attributes and are filled by graph/. */
enum onx_kind {
	F_BOOL,         /* bool                                      */
	F_INT,          /* int64_t                                   */
	F_REAL,         /* double                                    */
	F_SIZE,         /* int64_t, bytes                            */
	F_STR,          /* const char *; "" is NULL                  */
	F_ENUM,         /* int: index into choices                   */
	F_INTS,         /* struct onx_ints;  text "1,2,3"            */
	F_REALS,        /* struct onx_reals; text "0.1,0.2"          */
	F_STRS,         /* struct onx_strs;  an option may be repeated, a recipe may give a list */
	F_TENSOR,       /* const struct onx_view * (tensor/tensor.h), real numbers as double */
	F_GRAPH,        /* struct onx_graph * (graph/graph.h)        */
	F_MAP           /* a struct described by sub                 */
};

struct onx_ints  { const int64_t *v; size_t n; };
struct onx_reals { const double *v; size_t n; };
struct onx_strs  { const char *const *v; size_t n; };

struct onx_table;
struct onx_field {
	const char *name;               /* --name, recipe key, ONNX attribute                 */
	enum onx_kind kind;
	size_t off;                     /* offsetof(struct, member)                           */
	const char *def;                /* default as text; NULL: must be given               */
	double min, max;                /* closed range; both 0: unlimited                    */
	const char *const *choices;     /* F_ENUM: NULL-terminated                            */
	const struct onx_table *sub;    /* F_MAP                                              */
	char letter;                    /* -x, or 0                                           */
	const char *arg;                /* word for the value in help: FILE, N, GLOB          */
	const char *help;
	const char *group;              /* heading in --help under which this row starts, or NULL */
};
struct onx_table {
	const char *name;
	size_t size;
	const struct onx_field *field;  /* ends with .name == NULL; at most 64 rows            */
	int (*check)(const void *obj, struct onx_err *e);       /* rules across fields, or NULL */
	size_t given;                   /* offset of a uint64_t: bit i = row i was set by the user;
					   0: not recorded (so it is never the first member)   */
};

/* Fills obj (t->size bytes) from the defaults and clears `given`. */
int onx_defaults(const struct onx_table *t, void *obj, struct onx_arena *a, struct onx_err *e) ONX_MUST;
/* Sets one field from text, checking type and range, and its `given` bit.  F_STRS appends. */
int onx_set(const struct onx_table *t, const struct onx_field *f, void *obj, const char *text,
	    struct onx_arena *a, struct onx_err *e) ONX_MUST;
/* The same for a list that is already split (a YAML sequence, an ONNX attribute). */
int onx_set_list(const struct onx_table *t, const struct onx_field *f, void *obj,
		 const char *const *text, size_t n, struct onx_arena *a, struct onx_err *e) ONX_MUST;
const struct onx_field *onx_find(const struct onx_table *t, const char *name);
bool onx_given(const struct onx_table *t, const void *obj, const char *name);
/* The row whose name is nearest in edit distance: "did you mean". NULL if nothing is near. */
const char *onx_nearest_field(const struct onx_table *t, const char *name);
const char *onx_nearest(const char *const *names, size_t n, const char *name);
/* "number in [0, 1]", "one of a, b", "whole number": for faults, help and the schema. */
void onx_field_want(const struct onx_field *f, struct onx_buf *out);
/* The value as text, in a form that onx_set reads back. */
void onx_field_show(const struct onx_field *f, const void *obj, struct onx_buf *out);

/* Text to number; whole text must be used; no locale. */
int onx_parse_int(const char *s, int64_t *out);
int onx_parse_real(const char *s, double *out);
int onx_parse_size(const char *s, int64_t *bytes);      /* 512M, 2G, 1.5GiB, 4096 */

#endif
