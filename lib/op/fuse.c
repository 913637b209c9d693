/* op/fuse.c -- see the header. */
#include "op/fuse.h"
#include <string.h>
#include "kernel/fuse_row.h"
#include "op/loop.h"

static const struct { const char *name; size_t n; double a, b; } known[] = {
	[ONX_FUSE_NONE] = { "", 0, 0, 0 },
	[ONX_FUSE_RELU] = { "Relu", 0, 0, 0 },
	[ONX_FUSE_TANH] = { "Tanh", 0, 0, 0 },
	[ONX_FUSE_SIGMOID] = { "Sigmoid", 0, 0, 0 },
	[ONX_FUSE_LEAKY] = { "LeakyRelu", 1, 0.01, 0 },
	[ONX_FUSE_HARD_SIGMOID] = { "HardSigmoid", 2, 0.2, 0.5 },
	[ONX_FUSE_CLIP] = { "Clip", 2, -ONX_REAL_MAX, ONX_REAL_MAX },
	[ONX_FUSE_HARD_SWISH] = { "HardSwish", 0, 0, 0 },
	[ONX_FUSE_SILU] = { "Silu", 0, 0, 0 },
};

int onx_fuse_read(const char *name, const double *v, size_t n, struct onx_fuse *f, struct onx_err *e)
{
	for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
		if (strcmp(known[k].name, name ? name : "") != 0)
			continue;
		*f = (struct onx_fuse){ (enum onx_fuse_kind)k, known[k].a, known[k].b };
		if (n > 0 && known[k].n > 0)
			f->a = v[0];
		if (n > 1 && known[k].n > 1)
			f->b = v[1];
		if (f->kind == ONX_FUSE_LEAKY && f->a < 0)
			return onx_fail(e, ONX_UNSUP, "a fused LeakyRelu of slope %g", f->a);
		return ONX_OK;
	}
	return onx_fail(e, ONX_UNSUP, "activation '%s' is not known", name);
}

struct job { const struct onx_fuse *f; const real *y, *dy; real *to; };

static void apply_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	onx_fuse_row(j->f, j->to + lo, hi - lo);
}

void onx_fuse_forward(const struct onx_fuse *f, const struct onx_view *y, struct onx_pool *pool)
{
	const struct job j = { f, NULL, NULL, y->v };

	if (f->kind != ONX_FUSE_NONE)
		onx_each(pool, y->n, ONX_GRAIN, apply_range, &j);
}

static real slope(const struct onx_fuse *f, real y)
{
	switch (f->kind) {
	case ONX_FUSE_NONE:         return 1;
	case ONX_FUSE_RELU:         return y > 0 ? 1 : 0;
	case ONX_FUSE_TANH:         return 1 - y * y;
	case ONX_FUSE_SIGMOID:      return y * (1 - y);
	case ONX_FUSE_LEAKY:        return y > 0 ? 1 : (real)f->a;
	case ONX_FUSE_HARD_SIGMOID: return y > 0 && y < 1 ? (real)f->a : 0;
	case ONX_FUSE_CLIP:         return y > (real)f->a && y < (real)f->b ? 1 : 0;
	case ONX_FUSE_HARD_SWISH:
	case ONX_FUSE_SILU:         break;          /* onx_fuse_in_y() */
	}
	return 1;
}

static void slope_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	for (size_t i = lo; i < hi; i++)
		j->to[i] = j->dy[i] * slope(j->f, j->y[i]);
}

void onx_fuse_backward(const struct onx_fuse *f, const struct onx_view *y, const real *dy, real *d,
		       struct onx_pool *pool)
{
	const struct job j = { f, y->v, dy, d };

	onx_each(pool, y->n, ONX_GRAIN, slope_range, &j);
}

struct pass { const real *d; real *to; bool add; };

static void pass_range(const void *ctx, size_t lo, size_t hi)
{
	const struct pass *j = ctx;

	for (size_t i = lo; i < hi; i++)
		j->to[i] = j->add ? j->to[i] + j->d[i] : j->d[i];
}

void onx_fuse_pass(struct onx_pool *pool, size_t n, const real *d, real *to, bool add)
{
	const struct pass j = { d, to, add };

	onx_each(pool, n, ONX_GRAIN, pass_range, &j);
}
