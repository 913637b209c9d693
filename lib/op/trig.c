/* op/trig.c -- Sin, Cos, Tan: y = f(x) as in unary.c, but a run of numbers at a time (kernel/trig.h). */
#include "kernel/cpu.h"
#include "kernel/trig.h"
#include "op/infer.h"
#include "op/loop.h"

enum { SOME = 512 };

/* dx = dy slope, slope 1 + y^2 where it is made of the tangent */
ONX_CLONES static void slope_run(const real *dy, const real *restrict slope, size_t n, bool add, real *dx)
{
	ONX_ALIKE for (size_t i = 0; i < n; i++)
		dx[i] = (add ? dx[i] : 0) + dy[i] * slope[i];
}

ONX_CLONES static void tan_slope(const real *y, size_t n, real *restrict slope)
{
	for (size_t i = 0; i < n; i++)
		slope[i] = 1 + y[i] * y[i];
}

ONX_CLONES static void turn_over(real *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		v[i] = -v[i];
}

static void sin_slope(const struct onx_call *c, size_t at, size_t n, real *slope)
{
	onx_cos_run((const real *)c->x[0].v + at, n, slope);
}

static void cos_slope(const struct onx_call *c, size_t at, size_t n, real *slope)
{
	onx_sin_run((const real *)c->x[0].v + at, n, slope);
	turn_over(slope, n);
}

static void tan_slopes(const struct onx_call *c, size_t at, size_t n, real *slope)
{
	tan_slope((const real *)c->y[0].v + at, n, slope);
}

#define ROWS(type, run, slopes)                                                              \
static void type##_y(const void *ctx, size_t lo, size_t hi)                                  \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	run((const real *)c->x[0].v + lo, hi - lo, (real *)c->y[0].v + lo);                  \
}                                                                                            \
static void type##_forward(const struct onx_call *c)                                         \
{                                                                                            \
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, type##_y, c);                                \
}                                                                                            \
static void type##_dx(const void *ctx, size_t lo, size_t hi)                                 \
{                                                                                            \
	const struct onx_call *c = ctx;                                                      \
	real slope[SOME];                                                                    \
	for (size_t n; lo < hi; lo += n) {                                                   \
		n = hi - lo < SOME ? hi - lo : SOME;                                         \
		slopes(c, lo, n, slope);                                                     \
		slope_run((const real *)c->dy[0].v + lo, slope, n, c->dx[0].add, (real *)c->dx[0].v + lo); \
	}                                                                                    \
}                                                                                            \
static void type##_backward(const struct onx_call *c)                                        \
{                                                                                            \
	if (c->dx[0].v)                                                                      \
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, type##_dx, c);                      \
}
ROWS(Sin, onx_sin_run, sin_slope)
ROWS(Cos, onx_cos_run, cos_slope)
ROWS(Tan, onx_tan_run, tan_slopes)

#define ROW(type_, keep_)                                                                    \
	{ .domain = "", .type = #type_, .since = 7, .min_in = 1, .max_in = 1, .min_out = 1,  \
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = keep_, .alias = 1,      \
	  .flags = ONX_OP_EACH, .infer = onx_infer_same, .forward = type_##_forward, .backward = type_##_backward },

const struct onx_op ONX_R(onx_ops_trig)[] = {
	ROW(Sin, ONX_KEEP_X(0))
	ROW(Cos, ONX_KEEP_X(0))
	ROW(Tan, ONX_KEEP_Y(0))
	{ .type = NULL }
};
