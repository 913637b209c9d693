/* op/control.h -- the attributes of operators that run graphs of their own; graph/ does the running. */
#ifndef ONX_CONTROL_ATTR_H
#define ONX_CONTROL_ATTR_H
#include "base/field.h"

struct onx_control_attr {
	const void *then_branch, *else_branch, *body;   /* struct onx_file_graph * (model/model.h) */
	int64_t scan_inputs;                            /* Scan: the last so many inputs are scanned  */
	struct onx_ints in_axes, out_axes, in_back, out_back;   /* Scan; empty: all 0               */
};

static inline int64_t onx_ints_at(const struct onx_ints *l, size_t i)
{
	return i < l->n ? l->v[i] : 0;
}

#endif
