/* op/softmax.c -- Softmax, LogSoftmax, Hardmax in both meanings of the axis: up to opset 12 the input is
 * flattened to two dimensions in front of it, from 13 on only the axis itself counts. */
#include "kernel/softmax.h"
#include "op/infer.h"

struct soft_attr { int64_t axis; };

static const struct onx_field old_field[] = {
	{ "axis", F_INT, offsetof(struct soft_attr, axis), .def = "1", .help = "first dim of a row" },
	{ .name = NULL }
};
static const struct onx_field new_field[] = {
	{ "axis", F_INT, offsetof(struct soft_attr, axis), .def = "-1", .help = "the dim to normalise" },
	{ .name = NULL }
};
static const struct onx_table old_table = { "Softmax", sizeof(struct soft_attr), old_field, .check = NULL };
static const struct onx_table new_table = { "Softmax", sizeof(struct soft_attr), new_field, .check = NULL };

static int soft_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_lines *g = ONX_NEW(s->mem, struct onx_lines);
	int axis = 0, rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Softmax");
	if ((rc = onx_want_real(s, 0, e)) < 0)
		return rc;
	*g = (struct onx_lines){ 1, 1, 1 };
	/* Both meanings allow what stands behind the last dim: a flattening of everything, a scalar. */
	const int64_t at = ((const struct soft_attr *)attr)->axis;

	if (x->rank == 0 && at >= -1 && at <= 1)
		axis = 0;
	else if (s->version < 13 && at == x->rank)
		axis = x->rank;
	else if ((rc = onx_axis(at, x->rank, &axis, e)) < 0)
		return rc;
	for (int d = 0; d < x->rank; d++)
		*(d < axis ? &g->outer : d == axis || s->version < 13 ? &g->len : &g->inner) *=
			(size_t)x->dim[d];
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, x);
	return ONX_OK;
}

#define KIND(name, kind)                                                                                    \
static void name##_forward(const struct onx_call *c)                                                        \
{                                                                                                           \
	onx_softmax_forward(c->pool, c->geo, kind, c->x[0].v, c->y[0].v);                                   \
}
#define KIND_BACK(name, kind)                                                                               \
static void name##_backward(const struct onx_call *c)                                                       \
{                                                                                                           \
	onx_softmax_backward(c->pool, c->geo, kind, c->y[0].v, c->dy[0].v, c->dx[0].v, c->dx[0].add);       \
}
KIND(softmax, ONX_SOFTMAX)
KIND_BACK(softmax, ONX_SOFTMAX)
KIND(log_softmax, ONX_LOG_SOFTMAX)
KIND_BACK(log_softmax, ONX_LOG_SOFTMAX)
KIND(hardmax, ONX_HARDMAX)
#undef KIND
#undef KIND_BACK

#define SOFT(t, v, table, part) \
	{ .domain = "", .type = t, .since = v, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,        \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_Y(0), .alias = 1, .attr = &table,           \
	  .flags = ONX_OP_APART, .infer = soft_infer, .forward = part##_forward, .backward = part##_backward }
#define HARD(v, table) \
	{ .domain = "", .type = "Hardmax", .since = v, .min_in = 1, .max_in = 1, .min_out = 1,              \
	  .max_out = 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = &table, .infer = soft_infer,           \
	  .forward = hardmax_forward }
const struct onx_op ONX_R(onx_ops_softmax)[] = {
	SOFT("Softmax", 1, old_table, softmax),
	SOFT("Softmax", 13, new_table, softmax),
	SOFT("LogSoftmax", 1, old_table, log_softmax),
	SOFT("LogSoftmax", 13, new_table, log_softmax),
	HARD(1, old_table),
	HARD(13, new_table),
	{ .type = NULL }
};
