/* op/det.c -- Det: determinants of square matrices. */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/jordan.h"
#include "op/loop.h"

struct det_geo { size_t n, m; };        /* matrices, their edge */

static int det_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape y = s->in[0].shape;
	struct det_geo *g = ONX_NEW(s->mem, struct det_geo);
	int rc = onx_want_real(s, 0, e);

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "Det");
	if (rc < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0)
		return rc;
	y.rank -= 2;
	g->m = (size_t)y.dim[y.rank];
	if (y.dim[y.rank] != y.dim[y.rank + 1] || g->m == 0)
		return onx_fail(e, ONX_SHAPE, "matrices of %lld x %lld, wanted square ones",
				(long long)y.dim[y.rank], (long long)y.dim[y.rank + 1]);
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(y.rank, y.dim, &g->n, e);
}

static size_t det_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct det_geo *g = s->geo;

	(void)attr;
	return (size_t)threads * (backward ? 2 : 1) * g->m * g->m * sizeof(double);
}

/* Gauss with the largest pivot of each column; a [m][m] is lost. */
static double eliminate(double *a, size_t m)
{
	double det = 1;

	for (size_t k = 0; k < m; k++) {
		const size_t top = onx_pivot(a, m, m, k);
		const double pivot = a[top * m + k];
		det *= top == k ? pivot : -pivot;
		if (pivot == 0)
			return 0;
		for (size_t j = k; top != k && j < m; j++) {
			const double t = a[k * m + j];
			a[k * m + j] = a[top * m + j];
			a[top * m + j] = t;
		}
		for (size_t i = k + 1; i < m; i++) {
			const double f = a[i * m + k] / pivot;
			for (size_t j = k; j < m; j++)
				a[i * m + j] -= f * a[k * m + j];
		}
	}
	return det;
}

/* Matrices of a piece: small ones are many. */
struct job { const struct onx_call *c; size_t grain; };

static struct job job_of(const struct onx_call *c)
{
	const struct det_geo *g = c->geo;

	return (struct job){ c, ONX_GRAIN / (g->m * g->m * g->m) + 1 };
}

static void det_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_call *c = j->c;
	const struct det_geo *g = c->geo;
	const size_t mm = g->m * g->m;
	double *a = (double *)c->scratch + (size_t)worker * mm;
	size_t lo, hi;

	onx_piece(g->n, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++) {
		for (size_t k = 0; k < mm; k++)
			a[k] = ((const real *)c->x[0].v)[lo * mm + k];
		((real *)c->y[0].v)[lo] = (real)eliminate(a, g->m);
	}
}

static void det_forward(const struct onx_call *c)
{
	struct job j = job_of(c);

	onx_parallel(c->pool, onx_pieces(((const struct det_geo *)c->geo)->n, j.grain), det_piece, &j);
}

/* The cofactor of element (r, s): right for singular matrices too, where the inverse is not there.  a has room for one
 * row and column less. */
static double cofactor(const real *x, size_t m, size_t r, size_t s, double *a)
{
	const size_t n = m - 1;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			a[i * n + j] = x[(i < r ? i : i + 1) * m + (j < s ? j : j + 1)];
	const double d = eliminate(a, n);
	return (r + s) % 2 ? -d : d;
}

static void det_dx(const struct onx_call *c, size_t at, double *a)
{
	const size_t m = ((const struct det_geo *)c->geo)->m;
	const real *x = (const real *)c->x[0].v + at * m * m;
	const double dy = ((const real *)c->dy[0].v)[at];
	real *dx = (real *)c->dx[0].v + at * m * m;

	for (size_t r = 0; r < m; r++)
		for (size_t s = 0; s < m; s++) {
			a[r * 2 * m + s] = x[r * m + s];
			a[r * 2 * m + m + s] = r == s;
		}
	struct onx_pivots p;
	/* where pivots differ so much the inverse would have lost half of its digits */
	const bool fine = onx_jordan(a, m, &p) && p.least > 1e-7 * p.most;
	const double det = fine ? p.det : 0;
	for (size_t r = 0; det != 0 && r < m; r++)
		for (size_t s = 0; s < m; s++)
			onx_put(&dx[r * m + s], c->dx[0].add, (real)(dy * (det * a[s * 2 * m + m + r])));
	for (size_t r = 0; det == 0 && r < m; r++)
		for (size_t s = 0; s < m; s++)
			onx_put(&dx[r * m + s], c->dx[0].add, (real)(dy * cofactor(x, m, r, s, a)));
}

static void det_dx_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct det_geo *g = j->c->geo;
	size_t lo, hi;

	onx_piece(g->n, j->grain, piece, &lo, &hi);
	for (; lo < hi; lo++)
		det_dx(j->c, lo, (double *)j->c->scratch + (size_t)worker * 2 * g->m * g->m);
}

/* dX = dy * cofactors of X (Jacobi's formula), which are det X times the inverse, transposed */
static void det_backward(const struct onx_call *c)
{
	struct job j = job_of(c);

	if (c->dx[0].v)
		onx_parallel(c->pool, onx_pieces(((const struct det_geo *)c->geo)->n, j.grain), det_dx_piece, &j);
}

const struct onx_op ONX_R(onx_ops_det)[] = {
	{ .domain = "", .type = "Det", .since = 11, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0), .infer = det_infer,
	  .scratch = det_scratch, .forward = det_forward, .backward = det_backward },
	{ .type = NULL }
};
