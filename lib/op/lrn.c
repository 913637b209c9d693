/* op/lrn.c -- LRN: normalisation across neighbouring channels.  A run of pixels goes through all channels. */
#include "kernel/cpu.h"
#include "kernel/vmath.h"
#include "op/infer.h"
#include "op/loop.h"

enum { RUN = 128 };             /* pixels */

struct lrn { double alpha, beta, bias; int64_t size; };
static const struct onx_field lrn_field[] = {
	{ "alpha", F_REAL, offsetof(struct lrn, alpha), .def = "0.0001", .help = "factor of the mean square" },
	{ "beta", F_REAL, offsetof(struct lrn, beta), .def = "0.75", .help = "exponent" },
	{ "bias", F_REAL, offsetof(struct lrn, bias), .def = "1", .help = "added to the mean square" },
	{ "size", F_INT, offsetof(struct lrn, size), .min = 1, .max = 1e9, .help = "channels in a window" },
	{ .name = NULL }
};
static const struct onx_table lrn_attr = { "LRN", sizeof(struct lrn), lrn_field, .check = NULL };

struct lrn_geo { size_t n, c, p; };

static int lrn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct lrn_geo *g = ONX_NEW(s->mem, struct lrn_geo);
	int rc = onx_want_rank(s, 0, 2, ONX_RANK, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "LRN");
	if (rc == ONX_OK)
		rc = onx_infer_same(s, attr, e);
	if (rc < 0)
		return rc;
	*g = (struct lrn_geo){ (size_t)x->dim[0], (size_t)x->dim[1], 1 };
	for (int d = 2; d < x->rank; d++)
		g->p *= (size_t)x->dim[d];
	s->geo = g;
	return ONX_OK;
}

static size_t lrn_saved(const struct onx_infer *s, const void *attr)
{
	const struct lrn_geo *g = s->geo;

	(void)attr;
	return g->n * g->c * g->p * sizeof(double);       /* enough for either precision */
}

/* The channels lo..hi-1 that the window of `size` around ch sees; with `back` those that see ch. */
static void window(const struct lrn_geo *g, size_t size, size_t ch, bool back, size_t *lo, size_t *hi)
{
	const size_t less = (size - 1) / 2, more = size - 1 - less;
	const size_t before = back ? more : less, after = back ? less : more;

	*lo = ch > before ? ch - before : 0;
	*hi = g->c - ch > after ? ch + after + 1 : g->c;
}

/* v = s^-beta */
ONX_CLONES static void powers(const real *restrict s, size_t n, double beta, real *restrict v)
{
	if (beta == 0.75)
		for (size_t i = 0; i < n; i++) {
			const real root = 1 / ONX_M(sqrt)(s[i]);
			v[i] = root * ONX_M(sqrt)(root);
		}
	else
		for (size_t i = 0; i < n; i++)
			v[i] = (real)onx_vexp((real)-beta * (real)onx_vlog(s[i]));
}

ONX_CLONES static void add_squares(const real *restrict x, size_t n, double *restrict sum)
{
	for (size_t i = 0; i < n; i++)
		sum[i] += (double)x[i] * (double)x[i];
}

ONX_CLONES static void lrn_run(const real *restrict x, const double *restrict sum, size_t n, const struct lrn *a,
			       real *restrict s, real *restrict y)
{
	const double bias = a->bias, by = a->alpha / (double)a->size;

	for (size_t i = 0; i < n; i++)
		s[i] = (real)(bias + by * sum[i]);
	powers(s, n, a->beta, y);
	for (size_t i = 0; i < n; i++)
		y[i] *= x[i];
}

/* Piece: some pixels of a sample, n of them from `at` in the first channel on. */
static size_t pixels(const struct lrn_geo *g, size_t piece, size_t *at)
{
	const size_t runs = onx_pieces(g->p, RUN), from = piece % runs * RUN;

	*at = piece / runs * g->c * g->p + from;
	return g->p - from < RUN ? g->p - from : RUN;
}

static void lrn_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = *(const struct onx_call **)ctx;
	const struct lrn_geo *g = c->geo;
	const struct lrn *a = c->attr;
	const real *x = c->x[0].v;
	size_t at, lo, hi;
	const size_t n = pixels(g, piece, &at);

	(void)worker;
	for (size_t ch = 0; ch < g->c; ch++) {
		double sum[RUN] = { 0 };
		window(g, (size_t)a->size, ch, false, &lo, &hi);
		for (size_t k = lo; k < hi; k++)
			add_squares(x + at + k * g->p, n, sum);
		lrn_run(x + at + ch * g->p, sum, n, a, (real *)c->save + at + ch * g->p,
			(real *)c->y[0].v + at + ch * g->p);
	}
}

/* y[c] = x[c] / s[c]^beta, s[c] = bias + alpha / size * sum of x[k]^2 over the window of c
 * (Krizhevsky et al. 2012, section 3.3) */
static void lrn_forward(const struct onx_call *c)
{
	const struct lrn_geo *g = c->geo;

	onx_parallel(c->pool, g->n * onx_pieces(g->p, RUN), lrn_piece, &c);
}

/* to = dy s^-beta, q = dy x s^(-beta-1) */
ONX_CLONES static void slopes(const real *restrict x, const real *restrict dy, const real *restrict s, size_t n,
			      double beta, real *restrict to, real *restrict q)
{
	powers(s, n, beta, to);
	for (size_t i = 0; i < n; i++) {
		to[i] *= dy[i];
		q[i] = to[i] * x[i] / s[i];
	}
}

ONX_CLONES static void add_slopes(const real *restrict q, size_t n, double *restrict sum)
{
	for (size_t i = 0; i < n; i++)
		sum[i] += (double)q[i];
}

ONX_CLONES static void lrn_dx(const real *restrict x, const real *restrict own, const double *restrict sum, size_t n,
			      double f, bool add, real *restrict dx)
{
	for (size_t i = 0; i < n; i++)
		dx[i] = (add ? dx[i] : 0) + (real)((double)own[i] - f * (double)x[i] * sum[i]);
}

static void lrn_dx_piece(void *ctx, size_t piece, int worker)
{
	const struct onx_call *c = *(const struct onx_call **)ctx;
	const struct lrn_geo *g = c->geo;
	const struct lrn *a = c->attr;
	const real *x = c->x[0].v, *dy = c->dy[0].v, *s = c->save;
	real *own = (real *)c->scratch + (size_t)worker * 2 * g->c * RUN, *q = own + g->c * RUN;
	size_t at, lo, hi;
	const size_t n = pixels(g, piece, &at);

	for (size_t k = 0, i = at; k < g->c; k++, i += g->p)
		slopes(x + i, dy + i, s + i, n, a->beta, own + k * RUN, q + k * RUN);
	for (size_t ch = 0, i = at; ch < g->c; ch++, i += g->p) {
		double sum[RUN] = { 0 };
		window(g, (size_t)a->size, ch, true, &lo, &hi);
		for (size_t k = lo; k < hi; k++)
			add_slopes(q + k * RUN, n, sum);
		lrn_dx(x + i, own + ch * RUN, sum, n, 2 * a->alpha * a->beta / (double)a->size, c->dx[0].add,
		       (real *)c->dx[0].v + i);
	}
}

static size_t lrn_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct lrn_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * 2 * g->c * RUN * sizeof(real) : 0;
}

/* dx[c] = dy[c] s[c]^-beta - 2 alpha beta / size x[c] sum of dy[k] x[k] s[k]^(-beta-1) over the windows k
 * that see c */
static void lrn_backward(const struct onx_call *c)
{
	const struct lrn_geo *g = c->geo;

	if (c->dx[0].v)
		onx_parallel(c->pool, g->n * onx_pieces(g->p, RUN), lrn_dx_piece, &c);
}

const struct onx_op ONX_R(onx_ops_lrn)[] = {
	{ .domain = "", .type = "LRN", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0), .attr = &lrn_attr, .infer = lrn_infer,
	  .saved = lrn_saved, .scratch = lrn_scratch, .forward = lrn_forward, .backward = lrn_backward },
	{ .type = NULL }
};
