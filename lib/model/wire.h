/* model/wire.h -- a look at the bytes of a protobuf message before protobuf-c unpacks them.
 *
 * protobuf-c recurses without a limit, allocates whatever the counts in a file make it, and on a
 * fault says neither what nor where.  The scan walks the message by its descriptor, so that it
 * knows which fields are messages; a field it does not know is opaque.  It refuses, naming byte and
 * field:
 *   - a varint, a fixed number or a length that reaches past its message, a tag of 0, groups;
 *   - a known field in a wire type that it cannot have, a packed list that does not come out even;
 *   - more than ONX_WIRE_DEPTH messages inside each other (protobuf's own readers stop there too);
 *   - a singular message given twice (protobuf would merge them; nobody writes it, and an attacker
 *     could hide one from a reader that takes the last);
 *   - a zero byte in a string (protobuf-c would cut it off there);
 *   - more memory than a file of this size has a right to: an empty node takes two bytes in a file
 * and
 *     hundreds unpacked. */
#ifndef ONX_WIRE_H
#define ONX_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { ONX_WIRE_DEPTH = 100 };

/* What model/slim.c leaves out: raw_data of LARGE bytes or more; MARK bytes, a length that few tensors have, say
 * which one it was. */
enum { ONX_WIRE_LARGE = 4096, ONX_WIRE_MARK = 13 };

struct onx_wire {                       /* what the scan found */
	size_t messages, fields;
	size_t bytes; /* memory that unpacking and the views of it take, rounded up */
	size_t large, marks;                    /* tensors with large raw_data; with raw_data of MARK bytes */
};

/* One field on the wire. */
struct onx_piece {
	const void *field;              /* its ProtobufCFieldDescriptor; NULL: unknown */
	uint32_t id;
	unsigned type;
	const uint8_t *at, *p;          /* the tag; the content */
	size_t len;
};
/* Reads the field at *p, which is in a message that the scan has found whole, and moves *p behind it. */
void onx_wire_next(const void *desc, const uint8_t **p, const uint8_t *end, struct onx_piece *f);
/* Whether it is the raw_data of a TensorProto. */
bool onx_wire_is_raw(const void *desc, const struct onx_piece *f);

/* The most that a message of n bytes may take when unpacked. */
size_t onx_wire_budget(size_t n);

/* desc: the ProtobufCMessageDescriptor.  Faults are ONX_FORMAT, or ONX_NOMEM over the budget. */
int onx_wire_scan(const void *desc, const uint8_t *p, size_t n, struct onx_wire *w,
		  struct onx_err *e) ONX_MUST;

/* What else the bytes may be: "a JPEG picture", "text", "a Git LFS pointer ..."; NULL: no idea. */
const char *onx_wire_sniff(const uint8_t *p, size_t n);

#endif
