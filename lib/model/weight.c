/* model/weight.c -- what a TensorProto holds, checked; new ones. */
#include "model/model_i.h"
#include <stdio.h>
#include <string.h>

static const int64_t no_dims[1];         /* of a scalar: nothing to read, but never NULL */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "raw_data is little-endian, and so are we");

enum onx_holder onx_holder_of(enum onx_dtype t)
{
	switch (t) {
	case ONX_FLOAT:
	case ONX_COMPLEX64:
		return ONX_IN_FLOAT;
	case ONX_DOUBLE:
	case ONX_COMPLEX128:
		return ONX_IN_DOUBLE;
	case ONX_INT64:
		return ONX_IN_INT64;
	case ONX_UINT32:
	case ONX_UINT64:
		return ONX_IN_UINT64;
	case ONX_STRING:
		return ONX_IN_STRING;
	default:
		return ONX_IN_INT32;
	}
}

size_t onx_holder_entries(enum onx_dtype t, size_t n)
{
	const int bits = onx_dtype_bits(t);

	if (onx_dtype_class(t) == ONX_CLASS_CPLX)
		return 2 * n;
	if (bits == 4 || bits == 2)
		return n / (8 / (size_t)bits) + (n % (8 / (size_t)bits) != 0);
	return n;
}

const char *onx_weight_name(const Onnx__TensorProto *t, char *buf, size_t n)
{
	if (t->name && *t->name)
		snprintf(buf, n, "tensor '%s'", t->name);
	else
		snprintf(buf, n, "a tensor without a name");
	return buf;
}

int onx_weight_extent(const Onnx__TensorProto *t, size_t *n, size_t *bytes, struct onx_err *e)
{
	char who[160];

	if (t->n_dims > 1024)
		return onx_fail(e, ONX_FORMAT, "%s has %zu dims",
				onx_weight_name(t, who, sizeof who), t->n_dims);
	if (onx_count((int)t->n_dims, t->dims, n, e) < 0) {
		if (e)
			e->code = ONX_FORMAT;   /* in a file that is damage */
		return onx_while(e, ONX_FORMAT, "reading %s", onx_weight_name(t, who, sizeof who));
	}
	if (!onx_dtype_known(t->data_type) || t->data_type == ONX_UNDEFINED) {
		*bytes = SIZE_MAX;
		return ONX_OK;
	}
	*bytes = onx_dtype_bytes((enum onx_dtype)t->data_type, *n);
	return ONX_OK;
}

static size_t entries_held(const Onnx__TensorProto *t, enum onx_holder h)
{
	switch (h) {
	case ONX_IN_FLOAT:
		return t->n_float_data;
	case ONX_IN_INT32:
		return t->n_int32_data;
	case ONX_IN_INT64:
		return t->n_int64_data;
	case ONX_IN_DOUBLE:
		return t->n_double_data;
	case ONX_IN_UINT64:
		return t->n_uint64_data;
	default:
		return t->n_string_data;
	}
}

/* Whether t holds as much as its dims say; where, if it is bytes. */
static int check_amount(const Onnx__TensorProto *t, enum onx_dtype type, size_t n, size_t bytes,
			const void **raw, struct onx_err *e)
{
	const enum onx_holder h = onx_holder_of(type);
	const size_t held = entries_held(t, h), want = onx_holder_entries(type, n);
	char who[160], shape[ONX_SHAPE_TEXT];

	*raw = NULL;
	if (t->has_raw_data && (t->raw_data.len || !held)) {
		if (type != ONX_STRING && t->raw_data.len == bytes) {
			*raw = t->raw_data.data;
			return ONX_OK;
		}
		if (type == ONX_STRING && t->raw_data.len == 0 && n == 0)
			return ONX_OK;
		return onx_fail(
			e, ONX_FORMAT, "%s: raw_data has %zu bytes, %s%s wants %zu",
			onx_weight_name(t, who, sizeof who), t->raw_data.len, onx_dtype_name(type),
			onx_shape_text((int)t->n_dims, t->dims, shape, sizeof shape), bytes);
	}
	if (held != want)
		return onx_fail(e, ONX_FORMAT, "%s: holds %zu entries, %s%s wants %zu",
				onx_weight_name(t, who, sizeof who), held, onx_dtype_name(type),
				onx_shape_text((int)t->n_dims, t->dims, shape, sizeof shape), want);
	return ONX_OK;
}

int onx_weight_view(struct onx_arena *a, Onnx__TensorProto *t, const struct onx_ext *ext,
		    uint8_t *base, const struct onx_weight **out, struct onx_err *e)
{
	size_t n, bytes;
	int rc = onx_weight_extent(t, &n, &bytes, e);
	if (rc < 0)
		return rc;
	struct onx_weight *w = ONX_NEW(a, struct onx_weight);
	if (!w)
		return onx_nomem(e, sizeof *w, "the view of a tensor");
	*w = (struct onx_weight){ .name = onx_or_empty(t->name),
				  .rank = (int)t->n_dims,
				  .dim = t->dims ? t->dims : no_dims,
				  .n = n,
				  .proto = t };
	*out = w;
	if (bytes != SIZE_MAX)
		w->type = (enum onx_dtype)t->data_type;
	if (ext) {
		w->external = true;
		w->raw = base ? base + ext->at : NULL;
		return ONX_OK;
	}
	if (t->segment)
		return ONX_OK;          /* a part of a tensor; loading it is refused */
	if (bytes == SIZE_MAX) {
		w->raw = t->has_raw_data ? t->raw_data.data : NULL;
		return ONX_OK;
	}
	return check_amount(t, w->type, n, bytes, &w->raw, e);
}

/* --- new tensors ------------------------------------------------------------------------------ */

static int build_strings(struct onx_arena *a, const struct onx_view *src, Onnx__TensorProto *t,
			 struct onx_err *e)
{
	const char *const *s = src->v;

	t->string_data = ONX_NEWS(a, ProtobufCBinaryData, src->n + 1);
	if (!t->string_data)
		return onx_nomem(e, (double)src->n * sizeof *t->string_data, "a tensor of strings");
	for (size_t i = 0; i < src->n; i++) {
		char *copy = onx_dup(a, s[i] ? s[i] : "");
		if (!copy)
			return onx_nomem(e, 64, "a tensor of strings");
		t->string_data[i] = (ProtobufCBinaryData){ strlen(copy), (uint8_t *)copy };
	}
	t->n_string_data = src->n;
	return ONX_OK;
}

int onx_weight_build(struct onx_arena *a, const char *name, enum onx_dtype type,
		     const struct onx_view *src, Onnx__TensorProto **out, struct onx_err *e)
{
	Onnx__TensorProto *t = ONX_NEW(a, Onnx__TensorProto);
	size_t n, bytes;

	if (!t)
		return onx_nomem(e, sizeof *t, "a new tensor");
	onnx__tensor_proto__init(t);
	t->name = onx_dup(a, name);
	t->dims = ONX_NEWS(a, int64_t, (size_t)src->rank + 1);
	if ((name && !t->name) || !t->dims)
		return onx_nomem(e, 64, "a new tensor");
	t->n_dims = (size_t)src->rank;
	if (src->rank)
		memcpy(t->dims, src->dim, t->n_dims * sizeof *t->dims);
	t->has_data_type = 1;
	t->data_type = type;
	*out = t;
	int rc = onx_weight_extent(t, &n, &bytes, e);
	if (rc < 0)
		return rc;
	if (n != src->n || bytes == SIZE_MAX)
		return onx_fail(e, ONX_SHAPE,
				"new tensor '%s': %zu elements of type %d do not fit its shape",
				onx_or_empty(name), src->n, (int)type);
	if (type == ONX_STRING)
		return build_strings(a, src, t, e);
	t->has_raw_data = 1;
	if (!bytes)
		return ONX_OK;
	t->raw_data = (ProtobufCBinaryData){ bytes, onx_alloc(a, bytes, 1) };
	if (!t->raw_data.data)
		return onx_nomem(e, (double)bytes, "a new tensor");
	const struct onx_weight w = { .name = onx_or_empty(name), .type = type, .rank = src->rank,
				      .dim = t->dims, .n = n, .proto = t, .raw = t->raw_data.data };
	return onx_weight_encode(&w, src, e);
}

int onx_weight_new(struct onx_model *m, const char *name, enum onx_dtype type,
		   const struct onx_view *src, const struct onx_weight **out, struct onx_err *e)
{
	Onnx__TensorProto *t;
	int rc = onx_weight_build(&m->arena, name, type, src, &t, e);
	return rc < 0 ? rc : onx_weight_view(&m->arena, t, NULL, NULL, out, e);
}

void onx_weight_rest(const struct onx_weight *w)
{
	const int bits = onx_dtype_bits(w->type);

	if (w->raw && !w->external && bits >= 8)
		onx_heap_rest((void *)(uintptr_t)w->raw, w->n * ((size_t)bits / 8));
}
