/* graph/gradient_attr.c -- attributes of an operator that is differentiated once more, by their names. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "graph/gradient_i.h"

bool onx_grad_attr(const struct onx_backward_attr *a, const char *name, struct onx_file_attr *to)
{
	const struct onx_field *f = a->op->attr ? onx_find(a->op->attr, name) : NULL;
	const char *at = (const char *)a->attr + (f ? f->off : 0);
	const struct onx_ints *list = (const struct onx_ints *)(const void *)at;
	*to = (struct onx_file_attr){ .name = name };
	if (!f || (!f->def && a->op->attr->given && !onx_given(a->op->attr, a->attr, name)))
		return false;
	if (a->op->attr->given && strcmp(name, "ignore_index") == 0 && !onx_given(a->op->attr, a->attr, name))
		return false;
	switch (f->kind) {
	case F_BOOL: *to = onx_attr_int(name, *(const bool *)at); return true;
	case F_INT:  *to = onx_attr_int(name, *(const int64_t *)(const void *)at); return true;
	case F_REAL: *to = onx_attr_float(name, *(const double *)(const void *)at); return true;
	case F_INTS: *to = onx_attr_ints(name, list->v, list->n); return list->n > 0;
	case F_STR:
		to->type = ONX_ATTR_STRING;
		to->s = *(const char *const *)(const void *)at;
		to->s_len = to->s ? strlen(to->s) : 0;
		return to->s != NULL;
	case F_ENUM:
		to->type = ONX_ATTR_STRING;
		to->s = f->choices[*(const int *)(const void *)at];
		to->s_len = strlen(to->s);
		return true;
	default: return false;
	}
}

/* name=value of an attribute; one that is not there is 0 */
static bool is(const struct onx_backward_attr *a, const char *name, const char *value)
{
	struct onx_file_attr v;
	if (!onx_grad_attr(a, name, &v))
		return strcmp(value, "0") == 0;
	return v.type == ONX_ATTR_STRING ? strcmp(v.s, value) == 0 : v.type == ONX_ATTR_FLOAT
	       ? (double)v.f == strtod(value, NULL) : v.i == strtoll(value, NULL, 10);
}

static bool holds(const struct onx_backward_attr *a, const char *when)
{
	char text[64], *rest = text;
	snprintf(text, sizeof text, "%s", when ? when : "");
	for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL; ) {
		char *eq = strchr(w, '=');
		*eq = 0;
		if (!is(a, w, eq + 1))
			return false;
	}
	return true;
}

bool onx_grad_about(const struct onx_backward_attr *a, const char *type, const char *when)
{
	const size_t n = strlen(a->op->domain);
	if (n && (strncmp(type, a->op->domain, n) != 0 || type[n] != '.'))
		return false;
	return strcmp(type + (n ? n + 1 : 0), a->op->type) == 0 && holds(a, when);
}

bool onx_grad_fused(const struct onx_backward_attr *a, size_t i, double *to)
{
	static const char *const names[] = { "activation_alpha", "activation_beta" };
	const struct onx_table *t = a->op->attr;
	const struct onx_field *f = onx_find(t, "activation_params");
	const char *at = a->attr;
	if (f) {
		const struct onx_reals *v = (const struct onx_reals *)(const void *)(at + f->off);
		*to = i < v->n ? v->v[i] : 0;
		return i < v->n;
	}
	*to = *(const double *)(const void *)(at + onx_find(t, names[i])->off);
	return !isnan(*to);
}
