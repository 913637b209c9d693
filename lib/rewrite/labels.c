/* rewrite/labels.c -- class names of a file. */
#include "rewrite/head.h"
#include <string.h>
#include "base/io.h"

/* "12,tench, Tinca tinca" -> the name, if the number is the line's. */
static const char *after_index(const char *s, size_t line)
{
	uint64_t n = 0;
	const char *p = s;
	for (; *p >= '0' && *p <= '9' && n < UINT32_MAX; p++)
		n = 10 * n + (uint64_t)(*p - '0');
	return p > s && *p == ',' && n == line ? p + 1 : NULL;
}

static int split(char *text, struct onx_arena *a, const char ***v, size_t *n, struct onx_err *e)
{
	size_t lines = 1, indexed = 0;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	*v = ONX_NEWS(a, const char *, lines + 1);
	if (!*v)
		return onx_nomem(e, (double)lines * sizeof **v, "labels");
	*n = 0;
	for (char *p = text, *end; p && *p; p = end) {
		end = strchr(p, '\n');
		if (end)
			*end++ = 0;
		size_t len = strlen(p);
		while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == ' ' || p[len - 1] == '\t'))
			p[--len] = 0;
		if (len == 0)
			continue;
		indexed += after_index(p, *n) != NULL;
		(*v)[(*n)++] = p;
	}
	for (size_t i = 0; indexed == *n && i < *n; i++)
		(*v)[i] = after_index((*v)[i], i);
	return ONX_OK;
}

int onx_labels_read(const char *path, struct onx_arena *a, const char *const **out, size_t *n, struct onx_err *e)
{
	struct onx_bytes b;
	const char **v = NULL;
	int rc = onx_read(path, 16 << 20, &b, e);
	if (rc < 0)
		return rc;
	char *text = onx_dupn(a, (const char *)b.data, b.len);
	rc = text ? split(text, a, &v, n, e) : onx_nomem(e, (double)b.len, "labels");
	onx_bytes_release(&b);
	if (rc == ONX_OK && *n == 0)
		rc = onx_fail(e, ONX_USAGE, "'%s' has no labels", path);
	for (size_t i = 0; rc == ONX_OK && i < *n; i++)
		if (!*v[i])
			rc = onx_fail(e, ONX_USAGE, "'%s': class %zu has no name", path, i);
	*out = v;
	return rc;
}
