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
	[ONX_FUSE_GELU] = { "Gelu", 0, 0, 0 },
	[ONX_FUSE_GELU_TANH] = { "GeluTanh", 0, 0, 0 },
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

ONX_CLONES
static void apply_span(const struct onx_fuse *f, real *y, size_t n)
{
	onx_fuse_row(f, y, n);
}

static void apply_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	apply_span(j->f, j->to + lo, hi - lo);
}

void onx_fuse_forward(const struct onx_fuse *f, const struct onx_view *y, struct onx_pool *pool)
{
	const struct job j = { f, NULL, NULL, y->v };

	if (f->kind != ONX_FUSE_NONE)
		onx_each(pool, y->n, ONX_GRAIN, apply_range, &j);
}

ONX_CLONES
static void slope_span(const struct onx_fuse *f, const real *y, const real *dy, real *to, size_t n)
{
	onx_slope_row(f, y, dy, to, n);
}

static void slope_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	slope_span(j->f, j->y + lo, j->dy + lo, j->to + lo, hi - lo);
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
