/* model/slim.c -- a message without its large tensors' numbers, for unpacking: protobuf-c copies every byte, and the
 * numbers of a file of 100 MB can stay where they are.
 *
 * In the slim message each large raw_data is ONX_WIRE_MARK bytes that say which one it was; where a message has
 * raw_data of that length itself (the scan tells) it is not slimmed.  Lengths of the messages around it
 * are written anew, all else byte by byte. */
#include "model/model_i.h"
#include <string.h>

static void put_varint(struct onx_buf *b, uint64_t v)
{
	uint8_t byte[10];
	size_t n = 0;

	for (; v > 0x7f; v >>= 7)
		byte[n++] = (uint8_t)(v | 0x80);
	byte[n++] = (uint8_t)v;
	onx_buf_add(b, byte, n);
}

/* The tag of f, then a length. */
static void put_head(struct onx_buf *b, const struct onx_piece *f, size_t len)
{
	put_varint(b, (uint64_t)f->id << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
	put_varint(b, len);
}

static void put_mark(struct onx_slim *s, struct onx_buf *b, const struct onx_piece *f)
{
	uint8_t mark[ONX_WIRE_MARK] = { 0 };
	const uint64_t at = s->n;

	s->raw[s->n++] = (ProtobufCBinaryData){ f->len, (uint8_t *)(uintptr_t)f->p };
	memcpy(mark, &at, sizeof at);
	put_head(b, f, sizeof mark);
	onx_buf_add(b, mark, sizeof mark);
}

/* Depth is bounded by the scan. */
static void slim_message(struct onx_slim *s, const ProtobufCMessageDescriptor *d, const uint8_t *p, const uint8_t *end,
			 struct onx_buf *b)
{
	const uint8_t *same = p;        /* from here on nothing is written yet */

	while (p < end) {
		struct onx_piece f;
		onx_wire_next(d, &p, end, &f);
		const ProtobufCFieldDescriptor *fd = f.field;
		if (f.len < ONX_WIRE_LARGE || !fd)
			continue;
		if (onx_wire_is_raw(d, &f)) {
			onx_buf_add(b, same, (size_t)(f.at - same));
			put_mark(s, b, &f);
			same = p;
		} else if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
			struct onx_buf inner = { 0 };
			slim_message(s, fd->descriptor, f.p, f.p + f.len, &inner);
			b->lost |= inner.lost;
			onx_buf_add(b, same, (size_t)(f.at - same));
			put_head(b, &f, inner.len);
			onx_buf_add(b, inner.data, inner.len);
			onx_buf_release(&inner);
			same = p;
		}
	}
	onx_buf_add(b, same, (size_t)(end - same));
}

int onx_slim(struct onx_slim *s, const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t n,
	     const struct onx_wire *w, struct onx_err *e)
{
	*s = (struct onx_slim){ .raw = onx_heap(w->large, sizeof *s->raw) };
	if (!s->raw)
		return onx_nomem(e, (double)w->large * sizeof *s->raw, "a list of tensors");
	slim_message(s, desc, p, p + n, &s->bytes);
	return s->bytes.lost ? onx_nomem(e, (double)s->bytes.len, "the model's messages") : ONX_OK;
}

static int fill(void *ctx, Onnx__TensorProto *t, struct onx_err *e)
{
	const struct onx_slim *s = ctx;
	uint64_t at;

	(void)e;
	if (!t->has_raw_data || t->raw_data.len != ONX_WIRE_MARK)
		return ONX_OK;
	memcpy(&at, t->raw_data.data, sizeof at);
	t->raw_data = s->raw[at];
	return ONX_OK;
}

int onx_slim_fill(struct onx_slim *s, ProtobufCMessage *msg, struct onx_err *e)
{
	return onx_each_tensor(msg, fill, s, e);
}

void onx_slim_release(struct onx_slim *s)
{
	onx_buf_release(&s->bytes);
	onx_heap_free(s->raw);
	*s = (struct onx_slim){ 0 };
}
