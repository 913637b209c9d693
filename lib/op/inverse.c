/* op/inverse.c -- Inverse of ONNX Runtime: inverses of square matrices, NaN where there is none. */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/jordan.h"
#include "op/loop.h"

struct inverse_geo { size_t n, m; };    /* matrices, their edge */

static int inverse_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct inverse_geo *g = ONX_NEW(s->mem, struct inverse_geo);
	int rc = onx_want_real(s, 0, e);

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "Inverse");
	if (rc < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0)
		return rc;
	const int64_t rows = x->dim[x->rank - 2], columns = x->dim[x->rank - 1];
	if (rows != columns)
		return onx_fail(e, ONX_SHAPE, "matrices of %lld x %lld, wanted square ones", (long long)rows,
				(long long)columns);
	g->m = (size_t)rows;
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, x);
	return onx_count(x->rank - 2, x->dim, &g->n, e);
}

/* A matrix and what becomes its inverse, side by side; backward two products. */
static size_t inverse_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct inverse_geo *g = s->geo;

	(void)attr, (void)backward;
	return (size_t)threads * 2 * g->m * g->m * sizeof(double);
}

struct job { const struct onx_call *c; };

static void inverse_piece(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct inverse_geo *g = c->geo;
	const size_t m = g->m, w = 2 * m;
	const real *x = (const real *)c->x[0].v + i * m * m;
	double *a = (double *)c->scratch + (size_t)worker * m * w;
	real *y = (real *)c->y[0].v + i * m * m;

	for (size_t r = 0; r < m; r++)
		for (size_t j = 0; j < m; j++) {
			a[r * w + j] = x[r * m + j];
			a[r * w + m + j] = r == j;
		}
	struct onx_pivots p;
	const bool good = onx_jordan(a, m, &p);
	for (size_t r = 0; r < m; r++)
		for (size_t j = 0; j < m; j++)
			y[r * m + j] = good ? (real)a[r * w + m + j] : (real)NAN;
}

static void inverse_forward(const struct onx_call *c)
{
	struct job j = { c };

	onx_parallel(c->pool, ((const struct inverse_geo *)c->geo)->n, inverse_piece, &j);
}

/* dX = -Y' dY Y' */
static void inverse_dx_piece(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ((const struct job *)ctx)->c;
	const struct inverse_geo *g = c->geo;
	const size_t m = g->m, first = i * m * m;
	const real *y = (const real *)c->y[0].v + first, *dy = (const real *)c->dy[0].v + first;
	double *p = (double *)c->scratch + (size_t)worker * 2 * m * m;
	real *dx = (real *)c->dx[0].v + first;

	for (size_t r = 0; r < m; r++)
		for (size_t j = 0; j < m; j++) {
			double sum = 0;
			for (size_t k = 0; k < m; k++)
				sum += (double)y[k * m + r] * (double)dy[k * m + j];
			p[r * m + j] = sum;
		}
	for (size_t r = 0; r < m; r++)
		for (size_t j = 0; j < m; j++) {
			double sum = 0;
			for (size_t k = 0; k < m; k++)
				sum += p[r * m + k] * (double)y[j * m + k];
			onx_put(&dx[r * m + j], c->dx[0].add, (real)-sum);
		}
}

static void inverse_backward(const struct onx_call *c)
{
	struct job j = { c };

	if (c->dx[0].v)
		onx_parallel(c->pool, ((const struct inverse_geo *)c->geo)->n, inverse_dx_piece, &j);
}

const struct onx_op ONX_R(onx_ops_inverse)[] = {
	{ .domain = "com.microsoft", .type = "Inverse", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_Y(0), .infer = inverse_infer,
	  .scratch = inverse_scratch, .forward = inverse_forward, .backward = inverse_backward },
	{ .type = NULL }
};
