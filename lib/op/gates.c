/* op/gates.c -- DequantizeGates: the weights of ONNX Runtime's DynamicQuantizeLSTM made real and turned into those of
 * LSTM.  X [d][n][g], scale and zero point [d] or [d][g], Y [d][g][n] = scale (X - zero point).  It stands in no file
 * (graph/recipes.inc). */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct gates_geo { size_t d, n, g; bool each; };        /* each: a scale for every gate's row */

static int gates_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim;
	struct gates_geo *g = ONX_NEW(s->mem, struct gates_geo);
	size_t n[3] = { 0 };
	int rc;

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "DequantizeGates");
	if ((rc = onx_want_rank(s, 0, 3, 3, e)) < 0 || (rc = onx_want_real(s, 1, e)) < 0)
		return rc;
	if (s->in[0].type != ONX_INT8 && s->in[0].type != ONX_UINT8)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted int8 or uint8", onx_dtype_name(s->in[0].type));
	if (onx_has_in(s, 2) && (rc = onx_want_same_type(s, 0, 2, e)) < 0)
		return rc;
	for (int i = 1; i < 3 && onx_has_in(s, i); i++) {
		rc = onx_count(s->in[i].shape.rank, s->in[i].shape.dim, &n[i], e);
		if (rc == ONX_OK && n[i] != (size_t)x[0] && n[i] != (size_t)(x[0] * x[2]))
			rc = onx_fail(e, ONX_SHAPE, "input %d has %zu elements, wanted %lld or %lld", i, n[i],
				      (long long)x[0], (long long)(x[0] * x[2]));
		if (rc == ONX_OK && n[i] != n[1])
			rc = onx_fail(e, ONX_SHAPE, "%zu zero points beside %zu scales", n[i], n[1]);
		if (rc < 0)
			return rc;
	}
	const struct onx_shape y = { 3, { x[0], x[2], x[1] } };
	*g = (struct gates_geo){ (size_t)x[0], (size_t)x[1], (size_t)x[2], n[1] != (size_t)x[0] };
	s->geo = g;
	onx_set_out(s, 0, s->in[1].type, &y);
	return ONX_OK;
}

/* Element i of row r = d g + gate of Y, without its scale. */
static double whole(const struct onx_call *c, size_t r, size_t i)
{
	const struct gates_geo *g = c->geo;
	const int64_t zero = c->n_x > 2 && c->x[2].v ? onx_view_int(&c->x[2], g->each ? r : r / g->g) : 0;

	return (double)(onx_view_int(&c->x[0], (r / g->g * g->n + i) * g->g + r % g->g) - zero);
}

static void gates_range(const void *ctx, size_t from, size_t to)
{
	const struct onx_call *c = ctx;
	const struct gates_geo *g = c->geo;
	real *y = c->y[0].v;

	for (size_t k = from; k < to; k++) {
		const size_t r = k / g->n;
		const double scale = (double)((const real *)c->x[1].v)[g->each ? r : r / g->g];
		y[k] = (real)(scale * whole(c, r, k % g->n));
	}
}

static void gates_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, gates_range, c);
}

/* dscale = sum of dY (X - zero point) */
static void gates_backward(const struct onx_call *c)
{
	const struct gates_geo *g = c->geo;
	const real *dy = c->dy[0].v;
	real *ds = c->dx[1].v;
	const size_t per = g->each ? 1 : g->g;

	for (size_t k = 0; ds && dy && k < c->dx[1].n; k++) {
		double sum = 0;
		for (size_t r = k * per; r < (k + 1) * per; r++)
			for (size_t i = 0; i < g->n; i++)
				sum += (double)dy[r * g->n + i] * whole(c, r, i);
		onx_put(&ds[k], c->dx[1].add, (real)sum);
	}
}

const struct onx_op ONX_R(onx_ops_gates)[] = {
	{ .domain = "onnx_adapt", .type = "DequantizeGates", .since = 1, .min_in = 2, .max_in = 3, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_ZERO, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 3,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(2), .infer = gates_infer, .forward = gates_forward,
	  .backward = gates_backward },
	{ .type = NULL }
};
