/* base/gz.h -- bytes that Deflate packed. */
#ifndef ONX_GZ_H
#define ONX_GZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* The whole of gzip-compressed bytes, into a heap block; `what` names them in faults. */
int onx_gunzip(const void *data, size_t n, const char *what, uint8_t **out, size_t *out_n,
	       struct onx_err *e) ONX_MUST;
/* The first out_n bytes of a zlib stream; false: it has fewer, or is damaged. */
bool onx_inflate(const void *data, size_t n, void *out, size_t out_n);

#endif
