/* op/causal.c -- CausalConvWithState: each channel convolved along its length with a kernel that sees the past
 * only.  x [b][c][l], weight [c][1][k], bias [c], state [b][c][k - 1]; with z = state, then x:
 *     u[t] = bias + sum over j of weight[j] z[t + j], y = u or u sigmoid(u), new state = end of z */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct causal { int activation; };
static const char *const activations[] = { "none", "silu", "swish", NULL };
static const struct onx_field causal_field[] = {
	{ "activation", F_ENUM, offsetof(struct causal, activation), .def = "none", .choices = activations,
	  .help = "silu and swish: u sigmoid(u)" },
	{ .name = NULL }
};
static const struct onx_table causal_attr = { "CausalConvWithState", sizeof(struct causal), causal_field,
					      .check = NULL };

struct causal_geo { size_t b, c, l, k; };

static int causal_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int64_t *x = s->in[0].shape.dim, *w = s->in[1].shape.dim;
	struct causal_geo *g = ONX_NEW(s->mem, struct causal_geo);
	char t[ONX_SHAPE_TEXT];
	int rc;

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "CausalConvWithState");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 ||
	    (rc = onx_want_rank(s, 1, 3, 3, e)) < 0)
		return rc;
	for (int i = 1; i < 4; i++)
		if (onx_has_in(s, i) && (rc = onx_want_same_type(s, 0, i, e)) < 0)
			return rc;
	if (w[0] != x[1] || w[1] != 1 || w[2] < 1)
		return onx_fail(e, ONX_SHAPE, "a weight of shape %s for %" PRId64 " channels",
				onx_shape_text(3, w, t, sizeof t), x[1]);
	*g = (struct causal_geo){ (size_t)x[0], (size_t)x[1], (size_t)x[2], (size_t)w[2] };
	const struct onx_shape bias = { 1, { x[1] } }, state = { 3, { x[0], x[1], w[2] - 1 } };
	for (int i = 2; i < 4; i++)
		if (onx_has_in(s, i) && !onx_shape_equal(&s->in[i].shape, i == 2 ? &bias : &state))
			return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %s of the channels", i,
					onx_shape_text(s->in[i].shape.rank, s->in[i].shape.dim, t, sizeof t),
					i == 2 ? "one number" : "one kernel less 1");
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	onx_set_out(s, 1, onx_has_in(s, 3) ? s->in[3].type : s->in[0].type, &state);
	return ONX_OK;
}

static const real *past_of(const struct onx_call *c, size_t line)
{
	const struct causal_geo *g = c->geo;

	return c->n_x > 3 && c->x[3].v ? (const real *)c->x[3].v + line * (g->k - 1) : NULL;
}

/* z[i]: k - 1 numbers of the past, then x. */
static real z_at(const struct causal_geo *g, const real *past, const real *x, size_t i)
{
	return i + 1 < g->k ? past ? past[i] : 0 : x[i + 1 - g->k];
}

static double sum_at(const struct onx_call *c, size_t line, size_t t)
{
	const struct causal_geo *g = c->geo;
	const real *x = (const real *)c->x[0].v + line * g->l, *past = past_of(c, line);
	const real *w = (const real *)c->x[1].v + line % g->c * g->k;
	double u = c->n_x > 2 && c->x[2].v ? ((const real *)c->x[2].v)[line % g->c] : 0;

	for (size_t j = 0; j < g->k; j++)
		u += (double)w[j] * z_at(g, past, x, t + j);
	return u;
}

static double gate(double u)
{
	const double e = exp(-fabs(u));

	return u < 0 ? e / (1 + e) : 1 / (1 + e);
}

static void lines(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct causal_geo *g = c->geo;
	const bool silu = ((const struct causal *)c->attr)->activation != 0;

	for (size_t i = lo; i < hi; i++) {
		const real *x = (const real *)c->x[0].v + i * g->l, *past = past_of(c, i);
		real *y = c->y[0].v ? (real *)c->y[0].v + i * g->l : NULL;
		for (size_t t = 0; y && t < g->l; t++) {
			const double u = sum_at(c, i, t);
			y[t] = (real)(silu ? u * gate(u) : u);
		}
		for (size_t j = 0; c->n_y > 1 && c->y[1].v && j + 1 < g->k; j++)
			((real *)c->y[1].v)[i * (g->k - 1) + j] = z_at(g, past, x, g->l + j);
	}
}

static void causal_forward(const struct onx_call *c)
{
	const struct causal_geo *g = c->geo;

	onx_each(c->pool, g->b * g->c, 4, lines, c);
}

/* One channel: du by sample, dz[t + j] += w[j] du[t], dw[j] += z[t + j] du[t], dbias += du[t]. */
static void channel_back(void *ctx, size_t channel, int worker)
{
	const struct onx_call *c = ctx;
	const struct causal_geo *g = c->geo;
	const bool silu = ((const struct causal *)c->attr)->activation != 0;
	const real *w = (const real *)c->x[1].v + channel * g->k;
	double *dz = (double *)c->scratch + (size_t)worker * (g->l + 2 * g->k), *dw = dz + g->l + g->k, bias = 0;

	for (size_t j = 0; j < g->k; j++)
		dw[j] = 0;
	for (size_t b = 0; b < g->b; b++) {
		const size_t line = b * g->c + channel;
		const real *x = (const real *)c->x[0].v + line * g->l, *past = past_of(c, line);
		const real *dy = c->dy[0].v ? (const real *)c->dy[0].v + line * g->l : NULL;
		const real *ds = c->n_y > 1 && c->dy[1].v ? (const real *)c->dy[1].v + line * (g->k - 1) : NULL;
		for (size_t i = 0; i < g->l + g->k - 1; i++)
			dz[i] = ds && i >= g->l ? ds[i - g->l] : 0;
		for (size_t t = 0; dy && t < g->l; t++) {
			const double u = silu ? sum_at(c, line, t) : 0, s = gate(u);
			const double du = dy[t] * (silu ? s + u * s * (1 - s) : 1);
			bias += du;
			for (size_t j = 0; j < g->k; j++) {
				dz[t + j] += w[j] * du;
				dw[j] += z_at(g, past, x, t + j) * du;
			}
		}
		for (size_t i = 0; i + 1 < g->k && c->n_x > 3 && c->dx[3].v; i++)
			onx_put((real *)c->dx[3].v + line * (g->k - 1) + i, c->dx[3].add, (real)dz[i]);
		for (size_t t = 0; c->dx[0].v && t < g->l; t++)
			onx_put((real *)c->dx[0].v + line * g->l + t, c->dx[0].add, (real)dz[t + g->k - 1]);
	}
	for (size_t j = 0; c->dx[1].v && j < g->k; j++)
		onx_put((real *)c->dx[1].v + channel * g->k + j, c->dx[1].add, (real)dw[j]);
	if (c->n_x > 2 && c->dx[2].v)
		onx_put((real *)c->dx[2].v + channel, c->dx[2].add, (real)bias);
}

static void causal_backward(const struct onx_call *c)
{
	onx_parallel(c->pool, ((const struct causal_geo *)c->geo)->c, channel_back, (void *)c);
}

static size_t causal_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct causal_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * (g->l + 2 * g->k) * sizeof(double) : 0;
}

static double causal_macs(const struct onx_infer *s, const void *attr)
{
	const struct causal_geo *g = s->geo;

	(void)attr;
	return (double)g->b * (double)g->c * (double)g->l * (double)g->k;
}

const struct onx_op ONX_R(onx_ops_causal)[] = {
	{ .domain = "", .type = "CausalConvWithState", .since = 27, .min_in = 2, .max_in = 4, .min_out = 1,
	  .max_out = 2, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3), .weight = 6,
	  .attr = &causal_attr, .infer = causal_infer, .scratch = causal_scratch, .macs = causal_macs,
	  .forward = causal_forward, .backward = causal_backward },
	{ .type = NULL }
};
