/* op/zero.c -- ZeroOf: the number 0 in the type of X, whatever X holds, as the zero point that a quantised operator of
 * ONNX Runtime may leave out.  It stands in no file (graph/written.c). */
#include "kernel/real.h"
#include "op/infer.h"
#include <string.h>

static int zero_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape scalar = { .rank = 0 };
	const enum onx_dtype type = s->in[0].type;
	struct onx_view *v = ONX_NEW(s->mem, struct onx_view);
	uint16_t *bytes = ONX_NEW(s->mem, uint16_t);

	(void)attr;
	if (!v || !bytes)
		return onx_nomem(e, sizeof *v, "a zero point");
	if (type != ONX_INT8 && type != ONX_UINT8 && type != ONX_INT16 && type != ONX_UINT16)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted whole numbers of 8 or 16 bits",
				onx_dtype_name(type));
	*v = (struct onx_view){ .v = bytes, .n = 1, .type = type, .width = onx_dtype_store(type, false) };
	onx_set_out(s, 0, type, &scalar);
	s->out[0].value = v;
	return ONX_OK;
}

static void zero_forward(const struct onx_call *c)
{
	memset(c->y[0].v, 0, c->y[0].width);
}

const struct onx_op ONX_R(onx_ops_zero)[] = {
	{ .domain = "onnx_adapt", .type = "ZeroOf", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_NEVER }, .n_grad = 1, .infer = zero_infer, .forward = zero_forward },
	{ .type = NULL }
};
