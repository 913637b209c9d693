/* model/unpacked.c -- a message, its memory, and its way back into bytes. */
#include "model/model_i.h"
#include <stdint.h>
#include <string.h>

/* Pieces up to SMALL bytes share blocks.  Under AddressSanitizer each piece is a heap block of its
 * own, so that a read past a string or a list is seen. */
#ifdef __SANITIZE_ADDRESS__
enum { SMALL = 0, BLOCK = 1 << 16, GRAIN = 16 };
#else
enum { SMALL = 2048, BLOCK = 1 << 16, GRAIN = 16 };
#endif

struct head { size_t bytes, large; };   /* directly before each piece */
struct onx_big {
	struct onx_big *prev, *next;
	size_t pad[4];
	struct head head;
};
_Static_assert(sizeof(struct onx_big) == 64, "large pieces stay aligned to 64");

static void *take_large(struct onx_unpacked *u, size_t bytes)
{
	struct onx_big *b = bytes < SIZE_MAX - sizeof *b ? onx_heap_bare(sizeof *b + bytes) : NULL;
	if (!b)
		return NULL;
	b->prev = NULL;
	memset((unsigned char *)(b + 1) + bytes - GRAIN, 0, GRAIN);    /* strings end with a 0 behind them */
	b->next = u->big;
	if (u->big)
		u->big->prev = b;
	u->big = b;
	b->head = (struct head){ bytes, 1 };
	return b + 1;
}

static void *take_small(struct onx_unpacked *u, size_t bytes)
{
	const size_t whole = sizeof(struct head) + bytes;
	if ((size_t)(u->end - u->at) < whole) {
		u->at = onx_alloc(&u->arena, 1, BLOCK);
		if (!u->at) {
			u->end = NULL;
			return NULL;
		}
		u->end = u->at + BLOCK;
	}
	struct head *h = (struct head *)(void *)u->at;
	u->at += whole;
	*h = (struct head){ bytes, 0 };
	return h + 1;
}

static void *take(void *ctx, size_t size)
{
	struct onx_unpacked *u = ctx;

	if (size > u->limit || u->live > u->limit - size) {
		u->over = true;
		return NULL;
	}
	const size_t bytes = (size + 1 + GRAIN - 1) / GRAIN * GRAIN;
	void *p = bytes > SMALL ? take_large(u, bytes) : take_small(u, bytes);
	if (p)
		u->live += bytes;
	return p;
}

static void give(void *ctx, void *p)
{
	struct onx_unpacked *u = ctx;
	const struct head *h = (const struct head *)p - 1;

	if (!h->large)
		return;         /* dies with its block */
	struct onx_big *b = (struct onx_big *)p - 1;
	u->live -= h->bytes;
	if (b->prev)
		b->prev->next = b->next;
	else
		u->big = b->next;
	if (b->next)
		b->next->prev = b->prev;
	onx_heap_free(b);
}

static int unpack(struct onx_unpacked *u, const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t n,
		  double need, ProtobufCMessage **out, struct onx_err *e)
{
	ProtobufCAllocator allocator = { take, give, u };

	*out = protobuf_c_message_unpack(desc, &allocator, n, p);
	if (*out)
		return ONX_OK;
	if (u->over)
		return onx_fail(e, ONX_NOMEM,
				"damaged: unpacked, a file of %zu bytes would take more than "
				"%zu MiB",
				n, u->limit >> 20);
	return onx_nomem(e, need, "the model's messages");
}

int onx_unpack(struct onx_unpacked *u, const ProtobufCMessageDescriptor *desc, const uint8_t *p,
	       size_t n, bool in_place, ProtobufCMessage **out, struct onx_err *e)
{
	struct onx_slim slim = { 0 };
	struct onx_wire w;

	int rc = onx_wire_scan(desc, p, n, &w, e);
	if (rc < 0)
		return rc;
	*u = (struct onx_unpacked){ .limit = onx_wire_budget(n) };
	if (!in_place || !w.large || w.marks)
		return unpack(u, desc, p, n, (double)w.bytes, out, e);
	rc = onx_slim(&slim, desc, p, n, &w, e);
	if (rc == ONX_OK)
		rc = unpack(u, desc, (const uint8_t *)slim.bytes.data, slim.bytes.len, (double)w.bytes, out, e);
	if (rc == ONX_OK)
		rc = onx_slim_fill(&slim, *out, e);
	onx_slim_release(&slim);
	return rc;
}

void onx_unpacked_release(struct onx_unpacked *u)
{
	while (u->big) {
		struct onx_big *b = u->big;
		u->big = b->next;
		onx_heap_free(b);
	}
	onx_arena_release(&u->arena);
	*u = (struct onx_unpacked){ 0 };
}

int onx_packed_size(const ProtobufCMessage *msg, size_t *n, struct onx_err *e)
{
	*n = protobuf_c_message_get_packed_size(msg);
	if (*n <= INT32_MAX)
		return ONX_OK;
	return onx_fail(e, ONX_UNSUP,
			"the model takes %zu bytes in one file and protobuf ends at 2 GiB "
			"(write it to a file with external data, not to a pipe)",
			*n);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* protobuf-c hands over a few bytes at a time: gathered here, large pieces pass through. */
struct sink {
	ProtobufCBuffer base;
	struct onx_out *out;
	struct onx_err *e;
	int rc;
	size_t n;
	uint8_t buf[1 << 15];
};

static void drain(struct sink *s)
{
	if (s->rc == ONX_OK && s->n)
		s->rc = onx_out_write(s->out, s->buf, s->n, s->e);
	s->n = 0;
}

static void sink_append(ProtobufCBuffer *base, size_t n, const uint8_t *p)
{
	struct sink *s = (struct sink *)base;

	if (n > sizeof s->buf - s->n)
		drain(s);
	if (n > sizeof s->buf) {
		if (s->rc == ONX_OK)
			s->rc = onx_out_write(s->out, p, n, s->e);
	} else if (n) {
		memcpy(s->buf + s->n, p, n);
		s->n += n;
	}
}

int onx_pack_out(const ProtobufCMessage *msg, struct onx_out *o, struct onx_err *e)
{
	struct sink s = { .base = { sink_append }, .out = o, .e = e };
	size_t n;

	int rc = onx_packed_size(msg, &n, e);
	if (rc < 0)
		return rc;
	(void)protobuf_c_message_pack_to_buffer(msg, &s.base);
	drain(&s);
	return s.rc;
}

struct text_sink { ProtobufCBuffer base; struct onx_buf *b; };

static void text_append(ProtobufCBuffer *base, size_t n, const uint8_t *p)
{
	onx_buf_add(((struct text_sink *)base)->b, p, n);
}

int onx_pack_buf(const ProtobufCMessage *msg, struct onx_buf *b, struct onx_err *e)
{
	struct text_sink s = { { text_append }, b };
	size_t n;

	int rc = onx_packed_size(msg, &n, e);
	if (rc < 0)
		return rc;
	(void)protobuf_c_message_pack_to_buffer(msg, &s.base);
	return b->lost ? onx_nomem(e, (double)n, "the packed model") : ONX_OK;
}

/* --- walking ---------------------------------------------------------------------------------- */

static const void *at_offset(const ProtobufCMessage *msg, unsigned offset)
{
	return (const char *)msg + offset;
}

/* The messages in field f of msg: how many, and the first pointer to one. */
static size_t submessages(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f,
			  ProtobufCMessage *const **v)
{
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*v = *(ProtobufCMessage *const *const *)at_offset(msg, f->offset);
		return *(const size_t *)at_offset(msg, f->quantifier_offset);
	}
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	    *(const uint32_t *)at_offset(msg, f->quantifier_offset) != f->id)
		return 0;
	*v = at_offset(msg, f->offset);
	return **v ? 1 : 0;
}

int onx_each_tensor(ProtobufCMessage *msg, onx_see_tensor *see, void *ctx, struct onx_err *e)
{
	if (msg->descriptor == &onnx__tensor_proto__descriptor)
		return see(ctx, (Onnx__TensorProto *)msg, e);
	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		ProtobufCMessage *const *v = NULL;
		const size_t n = submessages(msg, &msg->descriptor->fields[i], &v);
		for (size_t k = 0; k < n; k++) {
			int rc = onx_each_tensor(v[k], see, ctx, e);
			if (rc < 0)
				return rc;
		}
	}
	return ONX_OK;
}
