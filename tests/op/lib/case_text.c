/* op/lib/case_text.c -- the small language of operator cases (see case.h). */
#include "case.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *at, const char *wanted, struct onx_err *e)
{
	return onx_fail(e, ONX_USAGE, "case text: '%s', wanted %s", at, wanted);
}

/* "2x3x4" or "s"; p moves on. */
static int read_dims(const char **p, struct onx_shape *shape, struct onx_err *e)
{
	shape->rank = 0;
	if (**p == 's') {
		(*p)++;
		return ONX_OK;
	}
	for (;;) {
		char *end;
		if (!isdigit((unsigned char)**p) || shape->rank == ONX_RANK)
			return bad(*p, "dimensions", e);
		shape->dim[shape->rank++] = strtol(*p, &end, 10);
		*p = end;
		if (**p != 'x')
			return ONX_OK;
		(*p)++;
	}
}

static int read_range(const char **p, struct op_tensor *t, struct onx_err *e)
{
	const bool real = onx_dtype_real(t->type);
	char *end;

	t->lo = real ? -2 : 0;
	t->hi = real ? 2 : t->type == ONX_BOOL ? 1 : 3;
	if (**p == '+') {
		t->lo = 0.5;
		(*p)++;
	} else if (**p == '^') {
		t->distinct = true;
		(*p)++;
	} else if (**p == '[') {
		t->lo = strtod(*p + 1, &end);
		if (*end != ',')
			return bad(*p, "[lo,hi]", e);
		t->hi = strtod(end + 1, &end);
		if (*end != ']')
			return bad(*p, "[lo,hi]", e);
		*p = end + 1;
	}
	return ONX_OK;
}

static int read_values(const char **p, struct op_tensor *t, struct onx_arena *a, struct onx_err *e)
{
	const char *q = *p + 2, *end = strchr(q, '}');
	size_t n, k = 0;
	int rc = onx_count(t->shape.rank, t->shape.dim, &n, e);

	if (rc < 0)
		return rc;
	double *v = ONX_NEWS(a, double, n + 1);
	const char **text = ONX_NEWS(a, const char *, n + 1);
	if (!v || !text)
		return onx_nomem(e, (double)n * 16, "case values");
	if (!end)
		return bad(*p, "a closing brace", e);
	while (q < end) {
		size_t len = strcspn(q, ",}");
		if (k == n)
			return bad(*p, "fewer values", e);
		text[k] = onx_dupn(a, q, len);
		v[k] = strtod(text[k], NULL);
		k++;
		q += len + (q[len] == ',');
	}
	if (k != n)
		return bad(*p, "more values", e);
	t->given = true;
	t->v = v;
	t->text = text;
	*p = end + 1;
	return ONX_OK;
}

static int read_tensor(const char **p, struct op_tensor *t, struct onx_arena *a, struct onx_err *e)
{
	const char *start = *p;
	size_t n = strcspn(start, ": ");
	int rc;

	*t = (struct op_tensor){ .type = ONX_FLOAT };
	if (n == 1 && start[0] == '-') {
		t->absent = true;
		(*p)++;
		return ONX_OK;
	}
	if (start[n] != ':' || n >= sizeof t->name)
		return bad(start, "name:", e);
	memcpy(t->name, start, n);
	*p += n + 1;
	n = strcspn(*p, ": ={[");
	if ((*p)[n] == ':') {
		char type[32];
		snprintf(type, sizeof type, "%.*s", (int)n, *p);
		t->type = onx_dtype_find(type);
		if (t->type == ONX_UNDEFINED)
			return bad(*p, "an element type", e);
		*p += n + 1;
	}
	rc = read_dims(p, &t->shape, e);
	if (rc == ONX_OK)
		rc = read_range(p, t, e);
	if (rc == ONX_OK && strncmp(*p, "={", 2) == 0)
		rc = read_values(p, t, a, e);
	if (rc == ONX_OK && **p != ' ' && **p != '\0')
		return bad(*p, "a blank or the end", e);
	return rc;
}

int op_tensors(const char *text, struct op_tensor *t, int max, struct onx_arena *a, struct onx_err *e)
{
	int n = 0;

	for (const char *p = text; p && *p;) {
		if (*p == ' ') {
			p++;
			continue;
		}
		if (n == max)
			return bad(p, "fewer tensors", e);
		int rc = read_tensor(&p, &t[n++], a, e);
		if (rc < 0)
			return rc;
	}
	return n;
}

int64_t op_whole(const char *text)
{
	return text[0] == '-' ? strtoll(text, NULL, 10) : (int64_t)strtoull(text, NULL, 10);
}

/* name=t:type:dims={values} for a tensor attribute; real numbers as double. */
static int set_tensor(const char *text, const struct onx_view **out, struct onx_arena *a, struct onx_err *e)
{
	struct op_tensor *t = ONX_NEW(a, struct op_tensor);
	struct onx_view *v = ONX_NEW(a, struct onx_view);
	int rc = t && v ? read_tensor(&text, t, a, e) : onx_nomem(e, sizeof *t, "a tensor attribute");

	if (rc < 0)
		return rc;
	*v = (struct onx_view){ .rank = t->shape.rank, .dim = t->shape.dim, .type = t->type,
				.width = (uint8_t)onx_dtype_store(t->type, true) };
	rc = onx_count(v->rank, v->dim, &v->n, e);
	v->v = onx_alloc(a, v->n + 1, v->width);
	if (rc == ONX_OK && (!v->v || !t->given))
		rc = bad(text, "values", e);
	for (size_t i = 0; rc == ONX_OK && i < v->n; i++)
		if (t->type == ONX_STRING)
			((const char **)v->v)[i] = t->text[i];
		else if (onx_dtype_real(t->type))
			onx_view_put_real(v, i, t->type == ONX_DOUBLE ? t->v[i] : (double)(float)t->v[i]);
		else
			onx_view_put_int(v, i, op_whole(t->text[i]));
	*out = v;
	return rc;
}

static int set_one(const struct onx_op *op, const char *word, void *obj, struct onx_arena *a,
		   struct onx_err *e)
{
	const char *eq = strchr(word, '=');
	const char *name = eq ? onx_dupn(a, word, (size_t)(eq - word)) : word;
	const struct onx_field *f = op->attr ? onx_find(op->attr, name) : NULL;

	if (!eq || !f)
		return bad(word, "an attribute of the operator", e);
	if (f->kind == F_TENSOR)
		return set_tensor(eq + 1, (const struct onx_view **)(void *)((char *)obj + f->off), a, e);
	return onx_set(op->attr, f, obj, eq + 1, a, e);
}

int op_attr(const struct op_case *c, const struct onx_op *op, struct onx_arena *a, void **out,
	    struct onx_err *e)
{
	const char *p = c->attr ? c->attr : "";
	int rc;

	*out = NULL;
	if (op->attr) {
		*out = onx_alloc(a, 1, op->attr->size);
		if (!*out)
			return onx_nomem(e, (double)op->attr->size, "attributes");
		rc = onx_defaults(op->attr, *out, a, e);
		if (rc < 0)
			return rc;
	}
	while (*p) {
		size_t n = strcspn(p, " ");
		if (n > 0) {
			rc = set_one(op, onx_dupn(a, p, n), *out, a, e);
			if (rc < 0)
				return rc;
		}
		p += n + (p[n] == ' ');
	}
	for (const struct onx_field *f = op->attr ? op->attr->field : NULL; f && f->name; f++)
		if (!f->def && op->attr->given && !onx_given(op->attr, *out, f->name))
			return onx_fail(e, ONX_USAGE, "attribute '%s' is missing", f->name);
	if (op->attr && op->attr->check)
		return op->attr->check(*out, e);
	return ONX_OK;
}
