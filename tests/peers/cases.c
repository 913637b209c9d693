/* peers/cases.c -- the operator cases of tests/op, for other programs.
 * usage: cases [OPERATOR ...]  a line of JSON for each case that no fault ends: the node, and its inputs' numbers
 * as the tests draw them.  For cases.py. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "op/case.h"

static void word(const char *s, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)s[i];
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 32)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void number(double x)
{
	if (isnan(x) || isinf(x))
		printf(isnan(x) ? "NaN" : x < 0 ? "-Infinity" : "Infinity");    /* as Python reads it */
	else
		printf("%.17g", x);
}

static void tensor(const struct onx_view *v)
{
	printf("{\"type\":\"%s\",\"dims\":[", onx_dtype_name(v->type));
	for (int d = 0; d < v->rank; d++)
		printf("%s%lld", d ? "," : "", (long long)v->dim[d]);
	printf("],\"values\":[");
	for (size_t i = 0; i < v->n; i++) {
		if (i > 0)
			putchar(',');
		if (v->type == ONX_STRING)
			word(((const char **)v->v)[i], strlen(((const char **)v->v)[i]));
		else if (onx_dtype_real(v->type))
			number(onx_view_real(v, i));
		else if (v->type == ONX_UINT64)
			printf("%llu", (unsigned long long)onx_view_int(v, i));
		else
			printf("%lld", (long long)onx_view_int(v, i));
	}
	printf("]}");
}

/* The attributes that the case gives: name, kind of field, text. */
static void attributes(const struct op_run *r)
{
	static const char *const kinds[] = { [F_BOOL] = "int", [F_INT] = "int", [F_SIZE] = "int", [F_REAL] = "real",
		[F_STR] = "text", [F_ENUM] = "text", [F_INTS] = "ints", [F_REALS] = "reals", [F_STRS] = "texts",
		[F_TENSOR] = "tensor", [F_GRAPH] = "graph" };
	const char *p = r->cs->attr ? r->cs->attr : "";
	bool more = false;

	while (*p) {
		const size_t n = strcspn(p, " "), name = strcspn(p, "=");
		char key[64];
		snprintf(key, sizeof key, "%.*s", (int)name, p);
		const struct onx_field *f = n ? onx_find(r->op->attr, key) : NULL;
		if (f) {
			printf("%s[\"%s\",\"%s\",", more ? "," : "", key, kinds[f->kind]);
			if (f->kind == F_TENSOR) {
				const struct onx_view *v;
				memcpy(&v, (const char *)r->attr + f->off, sizeof v);
				tensor(v);
			} else {
				word(p + name + 1, n - name - 1);
			}
			putchar(']');
			more = true;
		}
		p += n + (p[n] == ' ');
	}
}

static void print(const struct op_run *r)
{
	const struct op_case *c = r->cs;

	printf("{\"domain\":\"%s\",\"op\":\"%s\",\"version\":%d,\"train\":%s,\"attributes\":[",
	       c->domain ? c->domain : "", c->op, c->version, c->train ? "true" : "false");
	attributes(r);
	printf("],\"inputs\":[");
	for (int i = 0; i < r->s.n_in; i++) {
		printf(i ? "," : "");
		if (r->x[i].v)
			tensor(&r->x[i]);
		else
			printf("null");
	}
	printf("],\"outputs\":[");
	for (int i = 0; i < r->s.n_out; i++)
		printf("%s\"%s\"", i ? "," : "", r->wanted[i] ? onx_dtype_name(r->out[i].type) : "");
	printf("]}\n");
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < op_n_cases; i++) {
		const struct op_case *c = &op_cases[i];
		struct op_run r;
		struct onx_err e = { 0 };

		if (c->fault || !op_case_picked(c, argc, argv))
			continue;
		/* double is not computed in float; the numbers themselves do not depend on it */
		if (op_run_open(&r, c, true, 1, &e) == ONX_OK)
			print(&r);
		op_run_release(&r);
	}
	return fclose(stdout) == 0 ? 0 : 1;
}
