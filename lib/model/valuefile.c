/* model/valuefile.c -- a SequenceProto or OptionalProto in a file of its own, as in the ONNX backend tests. */
#include "model/model_i.h"
#include <string.h>
#include "tensor/seq.h"

struct reader { struct onx_arena *a; struct onx_err *e; };

static int tensor(struct reader *r, Onnx__TensorProto *t, const struct onx_view **out)
{
	const struct onx_weight *w;
	if (t->has_data_location && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT)
		return onx_fail(r->e, ONX_UNSUP, "the tensor's numbers are in another file");
	int rc = onx_weight_view(r->a, t, NULL, NULL, &w, r->e);
	if (rc < 0)
		return rc;
	struct onx_view *v = onx_tensor_new(r->a, w->type, w->rank, w->dim, onx_dtype_store(w->type, false));
	if (!v)
		return onx_nomem(r->e, (double)w->n, "a tensor");
	rc = onx_weight_load(w, v, r->e);
	/* texts point into the message, which goes */
	if (rc == ONX_OK && !(*out = onx_view_copy(r->a, v)))
		rc = onx_nomem(r->e, (double)w->n, "a tensor");
	return rc;
}

/* Depth is bounded by the scan of the wire format. */
static int sequence(struct reader *r, const Onnx__SequenceProto *s, const struct onx_view **out)
{
	const size_t n = s->n_tensor_values ? s->n_tensor_values : s->n_sequence_values;
	struct onx_view *v = onx_seq_new(r->a, ONX_SEQUENCE, n);
	int rc = v ? ONX_OK : onx_nomem(r->e, (double)n * 8, "a sequence");
	if (s->n_map_values || s->n_sparse_tensor_values || s->n_optional_values)
		return onx_fail(r->e, ONX_UNSUP, "a sequence of something else than tensors and sequences");
	for (size_t i = 0; rc == ONX_OK && i < n; i++)
		rc = s->n_tensor_values ? tensor(r, s->tensor_values[i], &onx_seq_items(v)[i])
					: sequence(r, s->sequence_values[i], &onx_seq_items(v)[i]);
	*out = v;
	return rc;
}

static int optional(struct reader *r, const Onnx__OptionalProto *o, const struct onx_view **out)
{
	if (o->tensor_value)
		return tensor(r, o->tensor_value, out);
	if (o->sequence_value)
		return sequence(r, o->sequence_value, out);
	if (o->optional_value)
		return optional(r, o->optional_value, out);
	if (o->map_value || o->sparse_tensor_value)
		return onx_fail(r->e, ONX_UNSUP, "an optional of something else than tensors and sequences");
	*out = onx_seq_new(r->a, ONX_NOTHING, 0);
	return *out ? ONX_OK : onx_nomem(r->e, 64, "an optional");
}

int onx_value_file_read(const char *path, const char *kind, struct onx_arena *a, const struct onx_view **out,
			struct onx_err *e)
{
	const bool seq = strcmp(kind, "sequence") == 0;
	struct onx_unpacked un = { 0 };
	struct onx_bytes b = { 0 };
	struct reader r = { a, e };
	ProtobufCMessage *msg;
	int rc = onx_read(path, INT32_MAX, &b, e);
	if (rc == ONX_OK)
		rc = onx_unpack(&un, seq ? &onnx__sequence_proto__descriptor : &onnx__optional_proto__descriptor,
				b.data, b.len, false, &msg, e);
	if (rc == ONX_OK)
		rc = seq ? sequence(&r, (Onnx__SequenceProto *)msg, out)
			 : optional(&r, (Onnx__OptionalProto *)msg, out);
	onx_unpacked_release(&un);
	onx_bytes_release(&b);
	return onx_while(e, rc, "reading '%s'", path);
}
