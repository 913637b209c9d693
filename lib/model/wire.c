/* model/wire.c -- see wire.h.  A recursive walk, but never deeper than ONX_WIRE_DEPTH. */
#include "model/model_i.h"
#include <string.h>

/* What a message, a field and a piece of memory cost beyond their own size: the view made of a
 * message, protobuf-c's work table (48 bytes an entry, doubled as it grows), the allocator's
 * rounding. */
enum { COST_MESSAGE = 256, COST_FIELD = 96, COST_PIECE = 32, COST_UNKNOWN = 64 };

struct scan {
	const uint8_t *start;
	size_t budget;
	struct onx_wire *w;
	struct onx_err *e;
};

size_t onx_wire_budget(size_t n)
{
	const size_t base = (size_t)128 << 20, factor = 24;
	return n > (SIZE_MAX - base) / factor ? SIZE_MAX : base + factor * n;
}

static size_t where(const struct scan *s, const uint8_t *p)
{
	return (size_t)(p - s->start);
}

static const char *field_name(const struct onx_piece *f)
{
	return f->field ? ((const ProtobufCFieldDescriptor *)f->field)->name : "?";
}

/* Bytes of the varint at p, 0 if it does not end within `most` bytes or before end. */
static size_t varint(const uint8_t *p, const uint8_t *end, size_t most, uint64_t *v)
{
	uint64_t x = 0;
	for (size_t i = 0; i < most && p + i < end; i++) {
		x |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80)) {
			*v = x;
			return i + 1;
		}
	}
	return 0;
}

static int charge(struct scan *s, size_t bytes, const uint8_t *at)
{
	s->w->bytes += bytes;
	if (s->w->bytes <= s->budget)
		return ONX_OK;
	return onx_fail(s->e, ONX_NOMEM,
			"damaged at byte %zu: unpacked, the file up to here takes more than "
			"the %zu MiB that its size allows",
			where(s, at), s->budget >> 20);
}

static int cut_short(struct scan *s, const struct onx_piece *f, uint64_t want, size_t have)
{
	return onx_fail(s->e, ONX_FORMAT,
			"damaged at byte %zu: field %u '%s' wants %llu bytes, %zu are left",
			where(s, f->at), f->id, field_name(f), (unsigned long long)want, have);
}

/* Reads tag and extent of the field at *p and moves *p behind it. */
static int read_piece(struct scan *s, const ProtobufCMessageDescriptor *d, const uint8_t **p,
		      const uint8_t *end, struct onx_piece *f)
{
	uint64_t tag = 0, n = 0;
	size_t used = varint(*p, end, 5, &tag);

	*f = (struct onx_piece){ .at = *p, .id = (uint32_t)(tag >> 3), .type = (unsigned)(tag & 7) };
	if (!used || tag > UINT32_MAX || f->id == 0)
		return onx_fail(s->e, ONX_FORMAT,
				"damaged at byte %zu: no field of '%s' begins like this",
				where(s, *p), d->short_name);
	f->field = protobuf_c_message_descriptor_get_field(d, f->id);
	f->p = *p + used;
	const size_t left = (size_t)(end - f->p);
	switch (f->type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		f->len = varint(f->p, end, 10, &n);
		if (!f->len)
			return onx_fail(s->e, ONX_FORMAT,
					"damaged at byte %zu: the number in field %u '%s' "
					"does not end",
					where(s, *p), f->id, field_name(f));
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		f->len = 8;
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		f->len = 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		used = varint(f->p, end, 10, &n);
		if (!used || n > left - used)
			return cut_short(s, f, used ? n : 1, left - used);
		f->p += used;
		f->len = (size_t)n;
		break;
	default:
		return onx_fail(
			s->e, ONX_FORMAT, "damaged at byte %zu: field %u has the wire type %u (%s)",
			where(s, *p), f->id, f->type,
			f->type == 3 || f->type == 4 ? "a group, which ONNX never had" : "none");
	}
	if (f->len > (size_t)(end - f->p))
		return cut_short(s, f, f->len, (size_t)(end - f->p));
	*p = f->p + f->len;
	return ONX_OK;
}

void onx_wire_next(const void *desc, const uint8_t **p, const uint8_t *end, struct onx_piece *f)
{
	struct scan s = { .start = *p };

	if (read_piece(&s, desc, p, end, f) < 0)
		*p = end;               /* not after a scan */
}

bool onx_wire_is_raw(const void *desc, const struct onx_piece *f)
{
	const ProtobufCFieldDescriptor *fd = f->field;

	return desc == &onnx__tensor_proto__descriptor && fd && f->type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
	       fd->offset == offsetof(Onnx__TensorProto, raw_data);
}

static unsigned wire_type_of(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return PROTOBUF_C_WIRE_TYPE_32BIT;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return PROTOBUF_C_WIRE_TYPE_64BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	default:
		return PROTOBUF_C_WIRE_TYPE_VARINT;
	}
}

static size_t element_bytes(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return 4;
	default:
		return 8;
	}
}

/* A list of numbers in one piece: whole elements, varints that end. */
static int scan_packed(struct scan *s, const struct onx_piece *f)
{
	const ProtobufCFieldDescriptor *fd = f->field;
	const unsigned want = wire_type_of(fd->type);
	size_t count = 0;

	if (want == PROTOBUF_C_WIRE_TYPE_32BIT || want == PROTOBUF_C_WIRE_TYPE_64BIT) {
		const size_t width = want == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
		count = f->len / width;
		if (f->len % width)
			return onx_fail(s->e, ONX_FORMAT,
					"damaged at byte %zu: list '%s' has %zu bytes, not "
					"a multiple of %zu",
					where(s, f->at), field_name(f), f->len, width);
	} else {
		const uint8_t *p = f->p, *const end = f->p + f->len;
		uint64_t v;
		while (p < end) {
			const size_t used = varint(p, end, 10, &v);
			if (!used)
				return onx_fail(s->e, ONX_FORMAT,
						"damaged at byte %zu: a number in list '%s' "
						"does not end",
						where(s, p), field_name(f));
			p += used;
			count++;
		}
	}
	return charge(s, count * element_bytes(fd->type) + COST_PIECE, f->at);
}

static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, const uint8_t *p,
			const uint8_t *end, int depth);

static int scan_known(struct scan *s, const struct onx_piece *f, int depth)
{
	const ProtobufCFieldDescriptor *fd = f->field;
	const bool list = fd->label == PROTOBUF_C_LABEL_REPEATED;
	const unsigned want = wire_type_of(fd->type);

	if (f->type != want) {
		if (list && f->type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
			return scan_packed(s, f);
		return onx_fail(s->e, ONX_FORMAT,
				"damaged at byte %zu: field '%s' has the wire type %u, not %u",
				where(s, f->at), fd->name, f->type, want);
	}
	int rc = list ? charge(s, element_bytes(fd->type), f->at) : ONX_OK;
	if (rc < 0)
		return rc;
	switch (fd->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return scan_message(s, fd->descriptor, f->p, f->p + f->len, depth + 1);
	case PROTOBUF_C_TYPE_STRING:
		if (f->len && memchr(f->p, 0, f->len))
			return onx_fail(s->e, ONX_FORMAT,
					"damaged at byte %zu: a zero byte in the string '%s'",
					where(s, f->at), fd->name);
		return charge(s, f->len + COST_PIECE, f->at);
	case PROTOBUF_C_TYPE_BYTES:
		return charge(s, f->len + COST_PIECE, f->at);
	default:
		return ONX_OK;
	}
}

/* Whether a singular message (also one that shares a oneof) comes a second time. */
static bool twice(const ProtobufCMessageDescriptor *d, const struct onx_piece *f, uint64_t *seen)
{
	const ProtobufCFieldDescriptor *fd = f->field;

	if (fd->label == PROTOBUF_C_LABEL_REPEATED || fd->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	/* The members of a oneof lie at one place in the struct: its first row stands for all. */
	unsigned row = (unsigned)(fd - d->fields);
	for (unsigned i = 0; i < row; i++)
		if (d->fields[i].offset == fd->offset)
			row = i;
	const uint64_t bit = (uint64_t)1 << (row & 63);
	const bool again = (*seen & bit) != 0;
	*seen |= bit;
	return again;
}

static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, const uint8_t *p,
			const uint8_t *end, int depth)
{
	uint64_t seen = 0;
	int rc;

	if (depth > ONX_WIRE_DEPTH)
		return onx_fail(s->e, ONX_FORMAT,
				"damaged at byte %zu: more than %d messages inside each other",
				where(s, p), ONX_WIRE_DEPTH);
	s->w->messages++;
	rc = charge(s, d->sizeof_message + COST_MESSAGE, p);
	while (rc == ONX_OK && p < end) {
		struct onx_piece f;
		rc = read_piece(s, d, &p, end, &f);
		if (rc < 0)
			return rc;
		s->w->fields++;
		if (onx_wire_is_raw(d, &f)) {
			s->w->large += f.len >= ONX_WIRE_LARGE;
			s->w->marks += f.len == ONX_WIRE_MARK;
		}
		if (!f.field)
			rc = charge(s, f.len + COST_UNKNOWN + COST_FIELD, f.at);
		else if (twice(d, &f, &seen))
			rc = onx_fail(s->e, ONX_FORMAT,
				      "damaged at byte %zu: '%s' of '%s' is given twice",
				      where(s, f.at), field_name(&f), d->short_name);
		else if ((rc = charge(s, COST_FIELD, f.at)) == ONX_OK)
			rc = scan_known(s, &f, depth);
	}
	return rc;
}

int onx_wire_scan(const void *desc, const uint8_t *p, size_t n, struct onx_wire *w,
		  struct onx_err *e)
{
	struct scan s = { .start = p, .budget = onx_wire_budget(n), .w = w, .e = e };

	*w = (struct onx_wire){ 0 };
	if (n > INT32_MAX)
		return onx_fail(e, ONX_FORMAT, "%zu bytes: a protobuf message has less than 2 GiB "
				"(larger models keep their weights in external data)", n);
	return scan_message(&s, desc, p, p + n, 1);
}

/* Beginnings of files that people hand to ONNX tools by mistake. */
static const struct { size_t at, len; const char *magic, *what; } kinds[] = {
	{ 0, 7, "version", "a Git LFS pointer: the model itself was not downloaded" },
	{ 0, 3, "\xff\xd8\xff", "a JPEG picture" },
	{ 0, 4, "\x89PNG", "a PNG picture" },
	{ 0, 4, "RIFF", "a RIFF file (WebP, WAV)" },
	{ 0, 4, "PK\x03\x04", "a zip archive (a PyTorch .pt, a Keras file?)" },
	{ 0, 2, "\x80\x02", "a Python pickle (an old PyTorch file?)" },
	{ 0, 2, "\x1f\x8b", "compressed with gzip" },
	{ 0, 4, "\x89HDF", "an HDF5 file (Keras?)" },
	{ 4, 4, "TFL3", "a TensorFlow Lite model" },
	{ 4, 4, "ORTM", "an ONNX Runtime .ort file" },
	{ 0, 4, "GGUF", "a GGUF model" },
	{ 8, 2, "{\"", "a safetensors file" },
	{ 0, 6, "\x93NUMPY", "a NumPy array" },
	{ 0, 4, "\x7f" "ELF", "a program" },
	{ 0, 4, "%PDF", "a PDF document" },
	{ 0, 9, "<!DOCTYPE", "a web page" },
	{ 0, 5, "<html", "a web page" },
};

const char *onx_wire_sniff(const uint8_t *p, size_t n)
{
	if (n == 0)
		return "it is empty";
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (n >= kinds[i].at + kinds[i].len &&
		    !memcmp(p + kinds[i].at, kinds[i].magic, kinds[i].len))
			return kinds[i].what;
	const size_t look = n < 512 ? n : 512;
	for (size_t i = 0; i < look; i++)
		if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t') || p[i] == 0x7f ||
		    p[i] == 0xc0 || p[i] == 0xc1 || p[i] > 0xf4)        /* never in UTF-8 */
			return NULL;
	return "text";
}
