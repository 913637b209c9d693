/* unit/lib/pb.h -- protobuf by hand, so that a test can write what no library would. */
#ifndef ONX_TEST_PB_H
#define ONX_TEST_PB_H
#include <stdint.h>
#include "base/buf.h"

void pb_raw_varint(struct onx_buf *b, uint64_t v);
void pb_int(struct onx_buf *b, unsigned field, uint64_t v);
void pb_bytes(struct onx_buf *b, unsigned field, const void *p, size_t n);
void pb_str(struct onx_buf *b, unsigned field, const char *s);
void pb_float(struct onx_buf *b, unsigned field, float v);
/* Puts sub into b as field and releases sub. */
void pb_msg(struct onx_buf *b, unsigned field, struct onx_buf *sub);
/* A StringStringEntryProto. */
void pb_entry(struct onx_buf *b, unsigned field, const char *key, const char *value);

/* A TensorProto without data: name, type, dims. */
struct onx_buf pb_tensor(const char *name, int type, const int64_t *dim, size_t rank);
/* ir_version 8, opset 17 and this graph. Releases graph. */
struct onx_buf pb_model(struct onx_buf *graph);
/* The same of another opset. */
struct onx_buf pb_model_of(struct onx_buf *graph, uint64_t version);
/* A small model with a bit of everything: raw and typed weights, attributes of all kinds, a graph
 * inside an If, value_info, metadata, a function, unknown fields at three levels. */
struct onx_buf pb_zoo(void);

#endif
