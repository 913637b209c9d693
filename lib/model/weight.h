/* model/weight.h -- a tensor as it is stored in a model file (TensorProto).
 *
 * An onx_weight describes one stored tensor -- an initializer, the value of a Constant node, a
 * tensor attribute -- in whichever form the file has it: raw_data, typed fields, or external data
 * (mapped, inside the model's folder only).  It belongs to the model; numbers are read on
 * demand. */
#ifndef ONX_WEIGHT_H
#define ONX_WEIGHT_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "tensor/tensor.h"

struct onx_model;

struct onx_weight {
	const char *name;               /* "" where a tensor has none */
	enum onx_dtype type;
	int rank;
	const int64_t *dim;
	size_t n;                       /* elements, checked */
	void *proto;                    /* the TensorProto; opaque outside model/ */
	const void *raw;                /* little-endian elements in the file's own width, or NULL
					   (typed fields, strings) */
	bool external;
};

/* Converts all elements to the memory form of dst (dst->type, ->width; see tensor/dtype.h), which
 * has w->n elements.  dst->type is w->type except that real types convert freely. */
int onx_weight_load(const struct onx_weight *w, const struct onx_view *dst,
		struct onx_err *e) ONX_MUST;

/* Writes numbers back in the form, type and place that the tensor has in the file: the converse of
 * onx_weight_load, for after training.  A value that is not representable (fp16 overflow) is an
 * ONX_NUMERIC fault naming the tensor. */
int onx_weight_store(struct onx_model *m, const struct onx_weight *w, const struct onx_view *src,
		     struct onx_err *e) ONX_MUST;

/* Gives the memory of its numbers back: they are held elsewhere, and nobody reads them here before onx_weight_store
 * has brought them back. */
void onx_weight_rest(const struct onx_weight *w);

/* A new tensor (raw_data) in the model's arena: for new layers.  src in memory form; `type` is how
 * it is to be stored. */
int onx_weight_new(struct onx_model *m, const char *name, enum onx_dtype type,
		   const struct onx_view *src, const struct onx_weight **out, struct onx_err *e)
	ONX_MUST;

/* TensorProto files (.pb), as in the ONNX backend tests. The weight lives in the arena-like
 * holder. */
struct onx_tensor_file;
int onx_tensor_file_read(const char *path, struct onx_tensor_file **out,
			 const struct onx_weight **w, struct onx_err *e) ONX_MUST;
void onx_tensor_file_free(struct onx_tensor_file *f);
/* A sequence or an optional ("sequence", "optional") in a file of its own; *out lives in a (tensor/seq.h). */
int onx_value_file_read(const char *path, const char *kind, struct onx_arena *a, const struct onx_view **out,
			struct onx_err *e) ONX_MUST;
int onx_tensor_file_write(const char *path, const char *name, const struct onx_view *v,
			  struct onx_err *e) ONX_MUST;

#endif
