/* op/affine.c -- AffineGrid: the places that an affine map theta [n][d][d + 1] takes the elements of a grid to,
 * [n][D][H][W][3] or [n][H][W][2]; coordinates run from -1 to 1, the last axis (x) first. */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct affine { bool align; };
static const struct onx_field affine_field[] = {
	{ "align_corners", F_BOOL, offsetof(struct affine, align), .def = "0",
	  .help = "-1 and 1 are the centres of the corner elements, not their edges" },
	{ .name = NULL }
};
static const struct onx_table affine_attr = { "AffineGrid", sizeof(struct affine), affine_field, .check = NULL };

struct affine_geo { size_t n, size[3], places; int d; };

static int affine_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct affine_geo *g = ONX_NEW(s->mem, struct affine_geo);
	const int64_t *size, *theta = s->in[0].shape.dim;
	size_t n, count;
	int rc;

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "AffineGrid");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 ||
	    (rc = onx_in_ints(s, 1, &size, &n, e)) < 0)
		return rc;
	if (n != 4 && n != 5)
		return onx_fail(e, ONX_SHAPE, "a size of %zu numbers, wanted N, C and 2 or 3 more", n);
	g->d = (int)n - 2;
	if ((rc = onx_count((int)n, size, &count, e)) < 0)
		return rc;
	if (theta[0] != size[0] || theta[1] != g->d || theta[2] != g->d + 1)
		return onx_fail(e, ONX_SHAPE, "theta has shape [%" PRId64 ",%" PRId64 ",%" PRId64 "], wanted [%" PRId64
				",%d,%d]", theta[0], theta[1], theta[2], size[0], g->d, g->d + 1);
	struct onx_shape y = { g->d + 2, { size[0] } };
	g->n = (size_t)size[0];
	g->places = 1;
	for (int i = 0; i < g->d; i++) {
		y.dim[1 + i] = size[2 + i];
		g->size[i] = (size_t)size[2 + i];
		g->places *= g->size[i];
	}
	y.dim[g->d + 1] = g->d;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(y.rank, y.dim, &count, e);
}

/* Place p as (x, y[, z], 1). */
static void place(const struct affine_geo *g, bool align, size_t p, double *v)
{
	for (int i = g->d - 1; i >= 0; i--) {
		const double n = (double)g->size[i], k = (double)(p % g->size[i]);
		p /= g->size[i];
		v[g->d - 1 - i] = !align ? (2 * k + 1) / n - 1 : n > 1 ? 2 * k / (n - 1) - 1 : 0;
	}
	v[g->d] = 1;
}

static void affine_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct affine_geo *g = c->geo;
	const bool align = ((const struct affine *)c->attr)->align;
	double v[4];

	for (size_t at = lo; at < hi; at++) {
		const real *theta = (const real *)c->x[0].v + at / g->places * (size_t)(g->d * (g->d + 1));
		place(g, align, at % g->places, v);
		for (int i = 0; i < g->d; i++) {
			double sum = 0;
			for (int j = 0; j <= g->d; j++)
				sum += theta[i * (g->d + 1) + j] * v[j];
			((real *)c->y[0].v)[at * (size_t)g->d + (size_t)i] = (real)sum;
		}
	}
}

static void affine_forward(const struct onx_call *c)
{
	const struct affine_geo *g = c->geo;

	onx_each(c->pool, g->n * g->places, 1024, affine_range, c);
}

/* dtheta[i][j] = sum over places of dy[i] v[j], in double */
static void theta_back(void *ctx, size_t b, int worker)
{
	const struct onx_call *c = ctx;
	const struct affine_geo *g = c->geo;
	const bool align = ((const struct affine *)c->attr)->align;
	const int n = g->d * (g->d + 1);
	double sum[12] = { 0 }, v[4];

	(void)worker;
	for (size_t p = 0; p < g->places; p++) {
		const real *dy = (const real *)c->dy[0].v + (b * g->places + p) * (size_t)g->d;
		place(g, align, p, v);
		for (int i = 0; i < n; i++)
			sum[i] += dy[i / (g->d + 1)] * v[i % (g->d + 1)];
	}
	for (int i = 0; i < n; i++)
		onx_put((real *)c->dx[0].v + b * (size_t)n + (size_t)i, c->dx[0].add, (real)sum[i]);
}

static void affine_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_parallel(c->pool, ((const struct affine_geo *)c->geo)->n, theta_back, (void *)c);
}

const struct onx_op ONX_R(onx_ops_affine)[] = {
	{ .domain = "", .type = "AffineGrid", .since = 20, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &affine_attr, .infer = affine_infer,
	  .forward = affine_forward, .backward = affine_backward },
	{ .type = NULL }
};
