/* model/model.h -- an ONNX file as it is on disk; model/ is the only user of protobuf-c.
 *
 * onx_model owns the unpacked ModelProto, the mapped file and mapped external data.  Others see it
 * through plain structs (onx_file_*), which are views into it: they live until the model is freed.
 * Everything that is not touched survives a load and a save: unknown fields, order, names, doc
 * strings, opset imports, IR version; a file that nobody edited is written back from the bytes that
 * were read.
 *
 * A model file is untrusted: before protobuf-c (which recurses without a limit) sees a byte, a scan
 * of the wire format bounds depth, counts and sizes (model/wire.c). */
#ifndef ONX_MODEL_H
#define ONX_MODEL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/weight.h"

struct onx_model;

/* AttributeProto.AttributeType */
enum onx_attr_type {
	ONX_ATTR_NONE, ONX_ATTR_FLOAT, ONX_ATTR_INT, ONX_ATTR_STRING, ONX_ATTR_TENSOR,
	ONX_ATTR_GRAPH, ONX_ATTR_FLOATS, ONX_ATTR_INTS, ONX_ATTR_STRINGS, ONX_ATTR_TENSORS, ONX_ATTR_GRAPHS,
	ONX_ATTR_SPARSE_TENSOR, ONX_ATTR_SPARSE_TENSORS, ONX_ATTR_TYPE_PROTO, ONX_ATTR_TYPE_PROTOS
};

struct onx_file_graph;
/* A SparseTensorProto: the values that are not 0, and where they are: [n] places in the flat tensor or [n][rank]. */
struct onx_file_sparse {
	const struct onx_weight *values, *indices;
	int rank;
	const int64_t *dim;
};
struct onx_file_attr {
	const char *name;
	enum onx_attr_type type;        /* told by the field that is set in IR 1 and 2 */
	const char *ref;                /* ref_attr_name inside a function, or NULL */
	int64_t i;
	float f;
	const char *s; size_t s_len;    /* bytes, also NUL-terminated */
	size_t n;                       /* of the lists */
	const int64_t *ints;
	const float *floats;
	const char *const *strings;
	const struct onx_weight *tensor;
	const struct onx_file_sparse *sparse;
	const struct onx_file_graph *graph;
};
struct onx_file_node {
	const char *name, *type, *domain, *doc; /* "" where absent; "ai.onnx" is "" */
	size_t n_in, n_out, n_attr;
	const char *const *in, *const *out;     /* "" is an absent optional */
	const struct onx_file_attr *attr;
	void *proto;                            /* the NodeProto it came from; NULL: a new node */
	bool changed;                           /* proto set, but names or attributes were edited */
	const char *overload;                   /* picks among functions of one name */
	const struct onx_file_call *call;       /* of a node in place of a call (graph/inline.c), else NULL */
};
struct onx_file_opset { const char *domain; int64_t version; };  /* "ai.onnx" is given as "" */
/* A call of a model-local function in the main graph, and how many nodes stand in its place. */
struct onx_file_call {
	const struct onx_file_node *node;
	size_t n_node;
	const struct onx_file_opset *opset; size_t n_opset;     /* the innermost function's imports */
	bool once;                                              /* its constants serve this call alone */
};
struct onx_file_function {                      /* FunctionProto */
	const char *domain, *name, *overload;
	size_t n_in, n_out, n_attr, n_node, n_opset;
	const char *const *in, *const *out;
	const struct onx_file_attr *attr;       /* attributes with defaults */
	const struct onx_file_node *node;
	const struct onx_file_opset *opset;
};
/* value -1: see param; that NULL: unknown */
struct onx_file_dim { int64_t value; const char *param; };
struct onx_file_value {                         /* ValueInfoProto */
	const char *name;
	enum onx_dtype type;                    /* ONX_UNDEFINED: not a plain tensor, or not said */
	const char *kind;                       /* "tensor", "sequence", "map", "optional",
						   "sparse_tensor", "" */
	bool has_shape;
	int rank;
	const struct onx_file_dim *dim;
	void *proto;
	bool changed;
};
struct onx_file_graph {
	const char *name;
	size_t n_node, n_init, n_input, n_output, n_info, n_sparse;
	const struct onx_file_node *node;
	const struct onx_weight *const *init;   /* initializers */
	const struct onx_file_value *input, *output, *info;     /* info: value_info */
	void *proto;
};

/* path "-" or NULL: standard input.  `note` receives nothing here yet and may be NULL.  External
 * data is looked for in the folder of `path` (the current folder for standard input). */
int onx_model_read(const char *path, struct onx_model **out, struct onx_err *e) ONX_MUST;
/* The same for work that is soon done: the numbers of large tensors stay in the mapped file, and only what is
 * looked at is read.  Who writes into the file meanwhile (not: puts another in its place) changes them. */
int onx_model_look(const char *path, struct onx_model **out, struct onx_err *e) ONX_MUST;
/* From bytes in memory (copied); `dir` for external data, may be NULL: then it is a fault. */
int onx_model_parse(const void *data, size_t n, const char *dir, struct onx_model **out,
		    struct onx_err *e) ONX_MUST;
/* An empty model: IR version, one opset import, a graph without nodes.  For onnx-head --layers. */
int onx_model_new(const char *graph_name, int64_t opset, struct onx_model **out,
		struct onx_err *e) ONX_MUST;
/* Writes the file and, where weights are external, the data files beside it, in the same layout;
 * which names they get and what is never overwritten is said in model/external.h.  To a pipe,
 * external data is taken into the file (a fault above 2 GiB). */
int onx_model_write(struct onx_model *m, const char *path, struct onx_err *e) ONX_MUST;
/* As one message, nothing external. */
int onx_model_bytes(struct onx_model *m, struct onx_buf *out, struct onx_err *e) ONX_MUST;
void onx_model_free(struct onx_model *m);
struct onx_arena *onx_model_arena(struct onx_model *m);  /* for what lives as long as the model */
const char *onx_model_path(const struct onx_model *m);   /* as given; "-" for standard input */

const struct onx_file_graph *onx_model_graph(const struct onx_model *m);
int64_t onx_model_ir(const struct onx_model *m);
const char *onx_model_producer(const struct onx_model *m);      /* "name version" or "" */
size_t onx_model_opsets(const struct onx_model *m, const struct onx_file_opset **v);
int64_t onx_model_opset(const struct onx_model *m, const char *domain); /* 0: not imported */
int onx_model_set_opset(struct onx_model *m, const char *domain, int64_t version,
		struct onx_err *e) ONX_MUST;
size_t onx_model_n_functions(const struct onx_model *m);
/* The functions, read on first use. */
int onx_model_functions(struct onx_model *m, const struct onx_file_function **v, size_t *n,
			struct onx_err *e) ONX_MUST;

/* Replaces the main graph by g.  Elements with .proto set keep their message, unknown fields and
 * all (.changed: names, attributes or shape are written into it); those without become new
 * messages. Initializers are named by their .proto likewise.  Of g->info, what names nothing any
 * more is dropped; sparse initializers stay, quantization annotations while their tensor is there.
 * Views handed out earlier stay readable; ask onx_model_graph again for the new state. */
int onx_model_set_graph(struct onx_model *m, const struct onx_file_graph *g,
		struct onx_err *e) ONX_MUST;

/* Replaces a graph inside a node (its .proto says which), or the nodes of function i, likewise.  Views of what is
 * around it stay as they were until onx_model_set_graph or onx_model_functions is called. */
int onx_model_set_inner(struct onx_model *m, const struct onx_file_graph *g, struct onx_err *e) ONX_MUST;
int onx_model_set_function(struct onx_model *m, size_t i, const struct onx_file_node *node, size_t n,
			   struct onx_err *e) ONX_MUST;

/* metadata_props of the model.  NULL value removes the key; prefix removal for onnx-export. */
const char *onx_model_meta(const struct onx_model *m, const char *key);
size_t onx_model_n_meta(const struct onx_model *m);
void onx_model_meta_at(const struct onx_model *m, size_t i, const char **key, const char **value);
int onx_model_set_meta(struct onx_model *m, const char *key, const char *value,
		struct onx_err *e) ONX_MUST;
int onx_model_drop_meta(struct onx_model *m, const char *prefix, struct onx_err *e) ONX_MUST;

#endif
