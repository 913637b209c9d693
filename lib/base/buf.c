/* base/buf.c -- growing bytes. */
#include "base/buf.h"
#include "base/arena.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for n more bytes and the closing NUL. */
static bool reserve(struct onx_buf *b, size_t n)
{
	if (b->lost)
		return false;
	if (b->cap - b->len > n)
		return true;
	size_t cap = b->cap ? b->cap : 128;
	while (cap - b->len <= n && cap < SIZE_MAX / 4)
		cap *= 2;
	char *p = cap - b->len > n ? onx_heap_grow(b->data, b->len, cap) : NULL;
	if (!p) {
		b->lost = true;
		return false;
	}
	b->data = p;
	b->cap = cap;
	return true;
}

void onx_buf_add(struct onx_buf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return;
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = 0;
}

void onx_buf_str(struct onx_buf *b, const char *s)
{
	onx_buf_add(b, s, strlen(s));
}

void onx_buf_fmt(struct onx_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !reserve(b, (size_t)n)) {
		b->lost = true;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		b->len += (size_t)n;
}

void onx_buf_release(struct onx_buf *b)
{
	onx_heap_free(b->data);
	*b = (struct onx_buf){ 0 };
}
