/* gzip; the only user of zlib. */
#include <limits.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/gz.h"

/* Inflates into *buf, which grows; deflate cannot grow data more than 1032 times. */
static int inflate_all(z_stream *z, const char *what, size_t limit, uint8_t **buf, size_t *len,
		       struct onx_err *e)
{
	size_t cap = 1 << 16;
	int code = Z_OK;

	*buf = onx_heap(cap, 1);
	while (*buf && code != Z_STREAM_END) {
		if (*len == cap) {
			void *more = cap < limit ? onx_heap_grow(*buf, cap, 2 * cap) : NULL;

			if (!more)
				break;
			*buf = more;
			cap *= 2;
		}
		z->next_out = *buf + *len;
		z->avail_out = (uInt)(cap - *len < UINT_MAX ? cap - *len : UINT_MAX);
		code = inflate(z, Z_NO_FLUSH);
		*len = (size_t)(z->next_out - *buf);
		if (code == Z_BUF_ERROR)
			return onx_fail(e, ONX_FORMAT, "'%s': the gzip data is cut off", what);
		if (code != Z_OK && code != Z_STREAM_END)
			return onx_fail(e, ONX_FORMAT, "'%s': damaged gzip data%s%s", what,
					z->msg ? ": " : "", z->msg ? z->msg : "");
	}
	return code == Z_STREAM_END ? ONX_OK : onx_nomem(e, 2.0 * (double)cap, what);
}

int onx_gunzip(const void *data, size_t n, const char *what, uint8_t **out, size_t *out_n,
	       struct onx_err *e)
{
	z_stream z = { 0 };
	int rc;

	*out = NULL;
	*out_n = 0;
	if (n > UINT_MAX)
		return onx_fail(e, ONX_UNSUP, "'%s': %zu bytes of gzip data", what, n);
	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return onx_nomem(e, 1 << 16, what);
	z.next_in = (z_const Bytef *)data;
	z.avail_in = (uInt)n;
	rc = inflate_all(&z, what, n * 1032 + 64, out, out_n, e);
	inflateEnd(&z);
	if (rc < 0) {
		onx_heap_free(*out);
		*out = NULL;
	}
	return rc;
}

bool onx_inflate(const void *data, size_t n, void *out, size_t out_n)
{
	z_stream z = { .next_in = (z_const Bytef *)data, .avail_in = (uInt)(n < UINT_MAX ? n : UINT_MAX),
		       .next_out = out, .avail_out = (uInt)out_n };

	if (out_n > UINT_MAX || inflateInit(&z) != Z_OK)
		return false;
	inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return z.avail_out == 0;
}
