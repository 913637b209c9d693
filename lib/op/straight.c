/* op/straight.c -- DynamicQuantizeLinear and DequantizeLinear of it in one step, with a straight-through estimate
 * (rewrite/straight.h): the range is that of x itself, so that nothing is cut off and dx = dy. */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"
#include "op/quantize.h"

struct steps { const struct onx_call *c; real scale, zero; };

static void forward_range(const void *ctx, size_t lo, size_t hi)
{
	const struct steps *s = ctx;
	const real *x = s->c->x[0].v;
	real *y = s->c->y[0].v;

	for (size_t i = lo; i < hi; i++) {
		const real v = ONX_M(rint)(x[i] / s->scale) + s->zero;
		y[i] = ((v > 255 ? 255 : v > 0 ? v : 0) - s->zero) * s->scale;
	}
}

static void forward(const struct onx_call *c)
{
	struct steps s = { .c = c };

	onx_dynamic_range(c->x[0].v, c->x[0].n, &s.scale, &s.zero);
	onx_each(c->pool, c->x[0].n, ONX_GRAIN, forward_range, &s);
}

static void backward_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const real *dy = c->dy[0].v;

	for (size_t i = lo; i < hi; i++)
		onx_put((real *)c->dx[0].v + i, c->dx[0].add, dy[i]);
}

static void backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, backward_range, c);
}

const struct onx_op ONX_R(onx_ops_straight)[] = {
	{ .domain = "onnx_adapt", .type = "FakeDynamic", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .flags = ONX_OP_STRAIGHT, .infer = onx_infer_same,
	  .forward = forward, .backward = backward },
	{ .type = NULL }
};
