/* model/tensorfile.c -- a TensorProto in a file of its own, as in the ONNX backend tests. */
#include "model/model_i.h"

struct onx_tensor_file {
	struct onx_arena arena;
	struct onx_unpacked un;
};

static int read_tensor(struct onx_tensor_file *f, const struct onx_bytes *b,
		       const struct onx_weight **w, struct onx_err *e)
{
	ProtobufCMessage *msg;

	int rc = onx_unpack(&f->un, &onnx__tensor_proto__descriptor, b->data, b->len, false, &msg, e);
	if (rc < 0)
		return rc;
	Onnx__TensorProto *t = (Onnx__TensorProto *)msg;
	if (!t->has_data_type)
		return onx_fail(e, ONX_FORMAT, "not a tensor: it has no element type");
	if (t->has_data_location && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT)
		return onx_fail(e, ONX_UNSUP, "the tensor's numbers are in another file");
	return onx_weight_view(&f->arena, t, NULL, NULL, w, e);
}

int onx_tensor_file_read(const char *path, struct onx_tensor_file **out,
			 const struct onx_weight **w, struct onx_err *e)
{
	struct onx_tensor_file *f = onx_heap(1, sizeof *f);
	struct onx_bytes b = { 0 };

	if (!f)
		return onx_nomem(e, sizeof *f, "a tensor");
	int rc = onx_read(path, INT32_MAX, &b, e);
	if (rc == ONX_OK)
		rc = onx_while(e, read_tensor(f, &b, w, e), "reading '%s'", path ? path : "-");
	onx_bytes_release(&b);
	if (rc < 0)
		onx_tensor_file_free(f);
	else
		*out = f;
	return rc;
}

void onx_tensor_file_free(struct onx_tensor_file *f)
{
	if (!f)
		return;
	onx_unpacked_release(&f->un);
	onx_arena_release(&f->arena);
	onx_heap_free(f);
}

int onx_tensor_file_write(const char *path, const char *name, const struct onx_view *v,
			  struct onx_err *e)
{
	struct onx_arena a = { 0 };
	Onnx__TensorProto *t;
	struct onx_out o;

	int rc = onx_weight_build(&a, name, v->type, v, &t, e);
	if (rc == ONX_OK)
		rc = onx_out_open(path, true, &o, e);
	if (rc == ONX_OK) {
		rc = onx_pack_out(&t->base, &o, e);
		if (rc == ONX_OK)
			rc = onx_out_commit(&o, e);
		else
			onx_out_abandon(&o);
	}
	onx_arena_release(&a);
	return onx_while(e, rc, "writing '%s'", path ? path : "-");
}
