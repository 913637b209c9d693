/* graph/attr.c -- attributes of a file node into the struct that its operator's table describes. */
#include "graph/graph_i.h"
#include <math.h>
#include <string.h>

static const char *const type_name[] = { "nothing", "float", "int", "string", "tensor", "graph", "floats",
	"ints", "strings", "tensors", "graphs", "sparse tensor", "sparse tensors", "type", "types" };

/* The attribute type that each kind of field is filled from. */
static enum onx_attr_type wanted(enum onx_kind k)
{
	switch (k) {
	case F_BOOL: case F_INT: case F_SIZE: return ONX_ATTR_INT;
	case F_REAL:   return ONX_ATTR_FLOAT;
	case F_STR: case F_ENUM: return ONX_ATTR_STRING;
	case F_INTS:   return ONX_ATTR_INTS;
	case F_REALS:  return ONX_ATTR_FLOATS;
	case F_STRS:   return ONX_ATTR_STRINGS;
	case F_TENSOR: return ONX_ATTR_TENSOR;
	case F_GRAPH:  return ONX_ATTR_GRAPH;
	case F_MAP:    return ONX_ATTR_NONE;
	}
	return ONX_ATTR_NONE;
}

/* The numbers in memory form, real ones as double: the operator puts them into whatever it computes in. */
static int fill_tensor(const struct onx_weight *w, const struct onx_view **out, struct onx_arena *mem,
		       struct onx_err *e)
{
	const size_t width = onx_dtype_store(w->type, true);
	struct onx_view *v = ONX_NEW(mem, struct onx_view);
	void *numbers = v ? onx_alloc(mem, w->n + 1, width) : NULL;
	if (!numbers)
		return onx_nomem(e, (double)w->n * (double)width, "an attribute");
	*v = (struct onx_view){ .v = numbers, .n = w->n, .rank = w->rank, .dim = w->dim, .type = w->type,
				.width = (uint8_t)width };
	*out = v;
	return onx_weight_load(w, v, e);
}

static int in_range(const struct onx_field *f, double v, struct onx_err *e)
{
	if ((f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max))
		return ONX_OK;
	return onx_fail(e, ONX_FORMAT, "attribute '%s' must be in [%g, %g], not %g", f->name, f->min, f->max, v);
}

static int fill_enum(const struct onx_field *f, const char *s, int *to, struct onx_err *e)
{
	for (int i = 0; f->choices[i]; i++)
		if (strcmp(f->choices[i], s) == 0) {
			*to = i;
			return ONX_OK;
		}
	struct onx_buf b = { 0 };
	onx_field_want(f, &b);
	int rc = onx_fail(e, ONX_FORMAT, "attribute '%s' must be %s, not '%s'", f->name,
			  b.data ? b.data : "a choice", s);
	onx_buf_release(&b);
	return rc;
}

static int fill_list(const struct onx_field *f, const struct onx_file_attr *a, void *to,
		     struct onx_arena *mem, struct onx_err *e)
{
	if (f->kind == F_INTS) {
		*(struct onx_ints *)to = (struct onx_ints){ a->ints, a->n };
		return ONX_OK;
	}
	if (f->kind == F_STRS) {
		*(struct onx_strs *)to = (struct onx_strs){ a->strings, a->n };
		return ONX_OK;
	}
	double *v = ONX_NEWS(mem, double, a->n + 1);
	if (!v)
		return onx_nomem(e, (double)a->n * sizeof *v, "an attribute");
	for (size_t i = 0; i < a->n; i++)
		v[i] = (double)a->floats[i];
	*(struct onx_reals *)to = (struct onx_reals){ v, a->n };
	return ONX_OK;
}

static int fill_one(const struct onx_field *f, const struct onx_file_attr *a, void *obj,
		    struct onx_arena *mem, struct onx_err *e)
{
	void *to = (char *)obj + f->off;
	int rc;

	switch (f->kind) {
	case F_BOOL:
		*(bool *)to = a->i != 0;
		return ONX_OK;
	case F_INT: case F_SIZE:
		*(int64_t *)to = a->i;
		return in_range(f, (double)a->i, e);
	case F_REAL:
		*(double *)to = (double)a->f;
		rc = in_range(f, (double)a->f, e);
		return rc;
	case F_STR:
		*(const char **)to = a->s_len ? a->s : NULL;
		return ONX_OK;
	case F_ENUM:
		return fill_enum(f, a->s ? a->s : "", to, e);
	case F_TENSOR:
		return fill_tensor(a->tensor, to, mem, e);
	case F_INTS: case F_REALS: case F_STRS:
		return fill_list(f, a, to, mem, e);
	case F_GRAPH:
		*(const struct onx_file_graph **)to = a->graph;
		return ONX_OK;
	case F_MAP:
		break;
	}
	return onx_fail(e, ONX_UNSUP, "attribute '%s' cannot be read", f->name);
}

static int take(const struct onx_op *op, const struct onx_file_attr *a, void *obj, uint64_t *given,
		struct onx_arena *mem, struct onx_err *e)
{
	const struct onx_field *f = op->attr ? onx_find(op->attr, a->name) : NULL;
	if (!f && strcmp(a->name, "consumed_inputs") == 0)
		return ONX_OK;          /* opsets 1 to 5: memory that may be reused; it changes no number */
	if (!f) {
		const char *near = op->attr ? onx_nearest_field(op->attr, a->name) : NULL;
		return onx_fail(e, ONX_UNSUP, "%s has no attribute '%s'%s%s%s", op->type, a->name,
				near ? "; nearest is '" : "", near ? near : "", near ? "'" : "");
	}
	const uint64_t bit = (uint64_t)1 << (f - op->attr->field);
	if (*given & bit)
		return onx_fail(e, ONX_FORMAT, "attribute '%s' is given twice", a->name);
	if (a->ref)
		return onx_fail(e, ONX_FORMAT, "attribute '%s' refers to a function's '%s', but this is no function",
				a->name, a->ref);
	const enum onx_attr_type want = wanted(f->kind);
	/* a TypeProto says nothing that the value itself does not */
	if (a->type == ONX_ATTR_TYPE_PROTO && f->kind == F_GRAPH) {
		*given |= bit;
		return ONX_OK;
	}
	if (a->type != want)
		return onx_fail(e, ONX_FORMAT, "attribute '%s' is of type %s, wanted %s", a->name,
				(size_t)a->type < sizeof type_name / sizeof *type_name ? type_name[a->type] : "unknown",
				type_name[want]);
	*given |= bit;
	return fill_one(f, a, obj, mem, e);
}

int onx_attr_fill(const struct onx_op *op, const struct onx_file_attr *attr, size_t n, struct onx_arena *mem,
		  const void **out, struct onx_err *e)
{
	void *obj = onx_alloc(mem, 1, op->attr ? op->attr->size : 1);
	uint64_t given = 0;
	int rc = obj ? ONX_OK : onx_nomem(e, op->attr ? (double)op->attr->size : 1, "attributes");
	if (rc == ONX_OK && op->attr)
		rc = onx_defaults(op->attr, obj, mem, e);
	for (size_t i = 0; rc == ONX_OK && i < n; i++)
		rc = take(op, &attr[i], obj, &given, mem, e);
	if (rc < 0 || !op->attr)
		goto out;
	for (const struct onx_field *f = op->attr->field; f->name; f++)
		if (!f->def && !(given >> (f - op->attr->field) & 1))
			return onx_fail(e, ONX_FORMAT, "attribute '%s' is missing", f->name);
	if (op->attr->given)
		memcpy((char *)obj + op->attr->given, &given, sizeof given);
	if (op->attr->check)
		rc = op->attr->check(obj, e);
out:
	*out = op->attr ? obj : NULL;  /* rows without attributes look for NULL */
	return rc;
}

static const void *copy(struct onx_arena *a, const void *v, size_t n, size_t size, bool *lost)
{
	void *to = onx_alloc(a, n + 1, size);
	*lost |= !to;
	if (to && n)
		memcpy(to, v, n * size);
	return to;
}

struct onx_file_attr *onx_attr_copy(struct onx_arena *a, const struct onx_file_attr *attr, size_t n)
{
	struct onx_file_attr *v = ONX_NEWS(a, struct onx_file_attr, n + 1);
	bool lost = !v;
	for (size_t i = 0; !lost && i < n; i++) {
		v[i] = attr[i];
		v[i].name = onx_dup(a, attr[i].name);
		lost |= !v[i].name;
		if (attr[i].s)
			v[i].s = copy(a, attr[i].s, attr[i].s_len, 1, &lost);
		if (attr[i].ints)
			v[i].ints = copy(a, attr[i].ints, attr[i].n, sizeof *attr[i].ints, &lost);
		if (attr[i].floats)
			v[i].floats = copy(a, attr[i].floats, attr[i].n, sizeof *attr[i].floats, &lost);
	}
	return lost ? NULL : v;
}

const struct onx_file_attr *onx_attr_find(const struct onx_file_attr *attr, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(attr[i].name, name) == 0)
			return &attr[i];
	return NULL;
}
