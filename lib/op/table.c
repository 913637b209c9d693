/* op/table.c -- finding an operator's row. */
#include "op/op.h"
#include <stdio.h>
#include <string.h>

#define F(name) extern const struct onx_op onx_ops_##name##_f32[], onx_ops_##name##_f64[];
#include "op/families.inc"
#undef F

static const struct onx_op *const narrow[] = {
#define F(name) onx_ops_##name##_f32,
#include "op/families.inc"
#undef F
	NULL
};
static const struct onx_op *const wide[] = {
#define F(name) onx_ops_##name##_f64,
#include "op/families.inc"
#undef F
	NULL
};
enum { N_FAMILY = sizeof narrow / sizeof *narrow - 1 };

const struct onx_op *const *onx_op_families(bool w, size_t *n)
{
	*n = N_FAMILY;
	return w ? wide : narrow;
}

int onx_op_find(const char *domain, const char *type, int version, const struct onx_op **out,
		struct onx_err *e)
{
	const struct onx_op *best = NULL, *later = NULL;
	const char *names[1024] = { NULL };
	size_t n = 0;

	for (const struct onx_op *const *f = narrow; *f; f++)
		for (const struct onx_op *op = *f; op->type; op++) {
			if (strcmp(op->domain, domain) == 0 && n < sizeof names / sizeof *names)
				names[n++] = op->type;
			if (strcmp(op->type, type) != 0 || strcmp(op->domain, domain) != 0)
				continue;
			if (op->since > version)
				later = !later || op->since < later->since ? op : later;
			else if (!best || op->since > best->since)
				best = op;
		}
	*out = best;
	if (best)
		return ONX_OK;
	if (later)
		return onx_fail(e, ONX_UNSUP, "operator '%s' of opset %d is not supported (here from opset %d on)",
				type, version, later->since);
	const char *near = onx_nearest(names, n, type);
	return onx_fail(e, ONX_UNSUP, "operator '%s' of domain '%s', opset %d, is not supported%s%s%s", type,
			*domain ? domain : "ai.onnx", version, near ? " (nearest is '" : "",
			near ? near : "", near ? "')" : "");
}

const struct onx_op *onx_op_wide(const struct onx_op *op)
{
	for (size_t f = 0; narrow[f]; f++)
		for (const struct onx_op *p = narrow[f]; p->type; p++)
			if (p == op)
				return wide[f] + (p - narrow[f]);
	return NULL;
}
