#include <string.h>

#include "data/csv_i.h"

struct reader {
	const char *path, *p, *end, *line_start;
	uint32_t line;
	char comma;
	struct onx_arena *arena;
	struct onx_cell *v;             /* heap, growing */
	size_t n, cap;
};

/* The separator that the first line has most of, outside quotes. */
static char find_comma(const char *p, const char *end)
{
	static const char marks[3] = { ',', ';', '\t' };
	size_t count[3] = { 0 };
	bool quoted = false;
	int best = 0;

	for (; p < end && (quoted || *p != '\n'); p++) {
		quoted ^= *p == '"';
		for (int i = 0; i < 3; i++)
			count[i] += !quoted && *p == marks[i];
	}
	for (int i = 1; i < 3; i++)
		if (count[i] > count[best])
			best = i;
	return marks[best];
}

static uint32_t column(const struct reader *r, const char *at)
{
	return (uint32_t)(at - r->line_start) + 1;
}

static bool at_end_of_cell(const struct reader *r)
{
	return r->p == r->end || *r->p == r->comma || *r->p == '\n' ||
	       (*r->p == '\r' && (r->p + 1 == r->end || r->p[1] == '\n'));
}

/* After the opening quote; leaves the cursor behind the closing one. */
static int quoted_cell(struct reader *r, struct onx_cell *c, struct onx_err *e)
{
	const char *from = r->p, *q = from;
	char *to;

	while (q < r->end && !(*q == '"' && (q + 1 == r->end || q[1] != '"')))
		q += *q == '"' ? 2 : 1;
	if (q >= r->end)
		return onx_fail(e, ONX_FORMAT, "%s:%u:%u: this quote is never closed", r->path, c->line,
				c->column);
	c->text = to = onx_alloc(r->arena, (size_t)(q - from) + 1, 1);
	if (!to)
		return onx_nomem(e, (double)(q - from), "a csv cell");
	for (; r->p < q; r->p++) {
		if (*r->p == '"')
			r->p++;
		if (*r->p == '\n') {
			r->line++;
			r->line_start = r->p + 1;
		}
		*to++ = *r->p;
	}
	r->p = q + 1;
	while (!at_end_of_cell(r) && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
	if (!at_end_of_cell(r))
		return onx_fail(e, ONX_FORMAT, "%s:%u:%u: text after a closing quote", r->path, r->line,
				column(r, r->p));
	return ONX_OK;
}

static int read_cell(struct reader *r, struct onx_cell *c, struct onx_err *e)
{
	const char *from, *to;

	while (!at_end_of_cell(r) && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
	c->line = r->line;
	c->column = column(r, r->p);
	if (r->p < r->end && *r->p == '"') {
		r->p++;
		return quoted_cell(r, c, e);
	}
	from = r->p;
	while (!at_end_of_cell(r)) {
		if (*r->p == '\0')
			return onx_fail(e, ONX_FORMAT, "%s:%u:%u: a zero byte: this is not text", r->path,
					r->line, column(r, r->p));
		r->p++;
	}
	for (to = r->p; to > from && (to[-1] == ' ' || to[-1] == '\t'); to--)
		;
	c->text = onx_dupn(r->arena, from, (size_t)(to - from));
	return c->text ? ONX_OK : onx_nomem(e, (double)(to - from), "a csv cell");
}

static int add_cell(struct reader *r, struct onx_err *e)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 1024;
		void *v = onx_heap_grow(r->v, r->cap * sizeof(*r->v), cap * sizeof(*r->v));

		if (!v)
			return onx_nomem(e, (double)cap * sizeof(*r->v), "csv cells");
		r->v = v;
		r->cap = cap;
	}
	return read_cell(r, &r->v[r->n++], e);
}

/* Over CR, LF; counts the line. */
static void next_line(struct reader *r)
{
	if (r->p < r->end && *r->p == '\r')
		r->p++;
	if (r->p < r->end && *r->p == '\n')
		r->p++;
	r->line++;
	r->line_start = r->p;
}

static bool blank_line(const struct reader *r)
{
	const char *q = r->p;

	while (q < r->end && (*q == ' ' || *q == '\r'))
		q++;
	return q == r->end || *q == '\n';
}

static int read_rows(struct reader *r, size_t *cols, struct onx_err *e)
{
	*cols = 0;
	while (r->p < r->end) {
		size_t first = r->n;
		uint32_t line = r->line;
		int rc;

		if (blank_line(r)) {
			while (r->p < r->end && *r->p != '\n')
				r->p++;
			next_line(r);
			continue;
		}
		rc = add_cell(r, e);
		while (rc == ONX_OK && r->p < r->end && *r->p == r->comma) {
			r->p++;
			rc = add_cell(r, e);
		}
		if (rc < 0)
			return rc;
		next_line(r);
		if (*cols && r->n - first != *cols)
			return onx_fail(e, ONX_FORMAT, "%s:%u: %zu cells, but %zu in the first line", r->path,
					line, r->n - first, *cols);
		*cols = r->n - first;
	}
	return ONX_OK;
}

int onx_csv_cells(const char *path, const char *text, size_t n, bool header, struct onx_arena *a,
		  struct onx_cells *out, struct onx_err *e)
{
	struct reader r = { .path = path, .p = text, .end = text + n, .line = 1, .arena = a };
	struct onx_cell *keep;
	int rc;

	memset(out, 0, sizeof(*out));
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.p += 3;
	r.line_start = r.p;
	r.comma = find_comma(r.p, r.end);
	rc = read_rows(&r, &out->cols, e);
	if (rc == ONX_OK && (!out->cols || r.n / out->cols < (header ? 2u : 1u)))
		rc = onx_fail(e, ONX_USAGE, "no rows in '%s'", path);
	if (rc == ONX_OK) {
		keep = ONX_NEWS(a, struct onx_cell, r.n);
		if (keep)
			memcpy(keep, r.v, r.n * sizeof(*keep));
		else
			rc = onx_nomem(e, (double)r.n * sizeof(*keep), "csv cells");
		out->head = header ? keep : NULL;
		out->cell = header ? keep + out->cols : keep;
		out->rows = r.n / out->cols - (header ? 1 : 0);
	}
	onx_heap_free(r.v);
	return rc;
}
