/* model/model_i.h -- private to model/: the only includer of the code that protobuf-c generates.
 *
 * Three owners of memory: the heap of the unpacked message (struct onx_unpacked, freed as one), the
 * arena of views and of whatever edits add, and the mappings of the file and its data files. */
#ifndef ONX_MODEL_I_H
#define ONX_MODEL_I_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/names.h"
#include "model/external.h"
#include "model/model.h"
#include "model/weight.h"
#include "model/wire.h"
#include "onnx.pb-c.h"

/* --- unpacked.c: one message and its memory --------------------------------------------------- */

/* protobuf-c's allocator with a ceiling.  Small pieces come from an arena in blocks and die with
 * it; large ones are heap blocks in a ring, because protobuf-c frees its work tables.  Every piece
 * is zeroed and followed by at least one zero byte, so that a `bytes` field can be read as a C
 * string. */
struct onx_big;
struct onx_unpacked {
	struct onx_arena arena;
	char *at, *end;                 /* free part of the arena's newest block */
	struct onx_big *big;
	size_t live, limit;
	bool over;                      /* the ceiling, not the machine, said no */
};
/* Scans and unpacks.  *out lives until onx_unpacked_release(u), also after a fault.  in_place: large raw_data is not
 * copied but points into p, which then lives as long. */
int onx_unpack(struct onx_unpacked *u, const ProtobufCMessageDescriptor *desc, const uint8_t *p,
	       size_t n, bool in_place, ProtobufCMessage **out, struct onx_err *e) ONX_MUST;
void onx_unpacked_release(struct onx_unpacked *u);

/* Packed size; a message above protobuf's 2 GiB is a fault. */
int onx_packed_size(const ProtobufCMessage *msg, size_t *n, struct onx_err *e) ONX_MUST;
int onx_pack_out(const ProtobufCMessage *msg, struct onx_out *o, struct onx_err *e) ONX_MUST;
int onx_pack_buf(const ProtobufCMessage *msg, struct onx_buf *b, struct onx_err *e) ONX_MUST;

/* Calls see(ctx, tensor) for each TensorProto anywhere inside msg, in order; stops at a fault. */
typedef int onx_see_tensor(void *ctx, Onnx__TensorProto *t, struct onx_err *e);
int onx_each_tensor(ProtobufCMessage *msg, onx_see_tensor *see, void *ctx,
		    struct onx_err *e) ONX_MUST;

/* --- slim.c: a message without its large raw_data --------------------------------------------- */

struct onx_slim {
	struct onx_buf bytes;           /* the message to unpack           */
	ProtobufCBinaryData *raw;       /* what was left out: where it is  */
	size_t n;
};
/* p: scanned, with w.large of them and no marks.  The caller releases, also after a fault. */
int onx_slim(struct onx_slim *s, const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t n,
	     const struct onx_wire *w, struct onx_err *e) ONX_MUST;
/* Gives the unpacked message what was left out. */
int onx_slim_fill(struct onx_slim *s, ProtobufCMessage *msg, struct onx_err *e) ONX_MUST;
void onx_slim_release(struct onx_slim *s);

/* --- model.c ---------------------------------------------------------------------------------- */

struct onx_model {
	struct onx_arena arena;
	struct onx_unpacked un;
	struct onx_bytes file;          /* as read; empty if it came from memory    */
	const uint8_t *source;          /* the bytes, wherever they are; NULL: none */
	size_t n_source;
	Onnx__ModelProto *proto;
	bool dirty;                     /* proto is no longer what source says      */
	const char *producer;
	char *path, *dir;               /* dir: where external data is; NULL: nowhere */
	const struct onx_file_graph *graph;
	struct onx_file_function *function;     /* NULL until asked for */
	struct onx_file_opset *opset;
	size_t n_opset;
	struct onx_data *data;          /* data files, mapped (external.h)          */
	size_t n_data;
	struct onx_ext *ext;            /* tensors whose numbers are in them        */
	size_t n_ext;
};

static inline const char *onx_or_empty(const char *s)
{
	return s ? s : "";
}

/* "ai.onnx" and "" are one domain; views say "". */
const char *onx_domain_norm(const char *domain);

/* --- view.c: plain structs over messages, in the model's arena -------------------------------- */

int onx_view_graph(struct onx_model *m, Onnx__GraphProto *g, const struct onx_file_graph **out,
		   struct onx_err *e) ONX_MUST;
int onx_view_opsets(struct onx_model *m, struct onx_err *e) ONX_MUST;
int onx_view_functions(struct onx_model *m, struct onx_err *e) ONX_MUST;

/* --- weight.c, convert.c ---------------------------------------------------------------------- */

/* Which field of a TensorProto holds an element type that is not in raw_data. */
enum onx_holder {
	ONX_IN_FLOAT,
	ONX_IN_INT32,
	ONX_IN_INT64,
	ONX_IN_DOUBLE,
	ONX_IN_UINT64,
	ONX_IN_STRING
};
enum onx_holder onx_holder_of(enum onx_dtype t);
/* Entries of that field that n elements take: two for a complex number, one for a byte of short
 * ones. */
size_t onx_holder_entries(enum onx_dtype t, size_t n);

/* Checks dims, type and the amount of data of t and describes it.  ext: where its numbers are if
 * they are external, else NULL; base: that file. */
int onx_weight_view(struct onx_arena *a, Onnx__TensorProto *t, const struct onx_ext *ext,
		    uint8_t *base, const struct onx_weight **out, struct onx_err *e) ONX_MUST;
/* Elements of t, and the bytes they take in raw_data or a data file; 0 for strings, SIZE_MAX for a
 * type that we do not know. */
int onx_weight_extent(const Onnx__TensorProto *t, size_t *n, size_t *bytes,
		      struct onx_err *e) ONX_MUST;
/* A TensorProto with raw_data (string_data for strings) in a. */
int onx_weight_build(struct onx_arena *a, const char *name, enum onx_dtype type,
		     const struct onx_view *src, Onnx__TensorProto **out,
		     struct onx_err *e) ONX_MUST;
/* "tensor 'x'" or "a tensor without a name" for faults; returns buf. */
const char *onx_weight_name(const Onnx__TensorProto *t, char *buf, size_t n);
/* Memory form -> the place where w keeps its elements. */
int onx_weight_encode(const struct onx_weight *w, const struct onx_view *src,
		      struct onx_err *e) ONX_MUST;

/* --- build.c: new messages, and changes in old ones, in the model's arena --------------------- */

int onx_build_node(struct onx_arena *a, const struct onx_file_node *v, Onnx__NodeProto **out,
		   struct onx_err *e) ONX_MUST;
int onx_build_value(struct onx_arena *a, const struct onx_file_value *v, Onnx__ValueInfoProto **out,
		    struct onx_err *e) ONX_MUST;

#endif
