/* base/buf.h -- growing bytes.  Zero-initialise; the caller releases.
 * Appending never returns a fault: a buffer that could not grow sets `lost` and ignores what comes
 * after, so a writer checks once, at the end.  `data` is NUL-terminated whenever it is not NULL. */
#ifndef ONX_BUF_H
#define ONX_BUF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onx_buf { char *data; size_t len, cap; bool lost; };

void onx_buf_add(struct onx_buf *b, const void *p, size_t n);
void onx_buf_str(struct onx_buf *b, const char *s);
__attribute__((format(printf, 2, 3)))
void onx_buf_fmt(struct onx_buf *b, const char *fmt, ...);
void onx_buf_release(struct onx_buf *b);

#endif
