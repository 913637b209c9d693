/* op/cumsum.c -- CumSum and CumProd: running sums and products along an axis. */
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/bulk.h"
#include "op/infer.h"
#include "op/loop.h"

struct cumsum { bool exclusive, reverse; };
static const struct onx_field cumsum_field[] = {
	{ "exclusive", F_BOOL, offsetof(struct cumsum, exclusive), .def = "0",
	  .help = "leaves out the element it stands at" },
	{ "reverse", F_BOOL, offsetof(struct cumsum, reverse), .def = "0", .help = "from the end" },
	{ .name = NULL }
};
static const struct onx_table cumsum_attr = { "CumSum", sizeof(struct cumsum), cumsum_field, .check = NULL };
static const struct onx_table cumprod_attr = { "CumProd", sizeof(struct cumsum), cumsum_field, .check = NULL };

struct cumsum_geo { size_t lines, n, inner; };

static int cumsum_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	struct cumsum_geo *g = ONX_NEW(s->mem, struct cumsum_geo);
	const int64_t *v;
	size_t n;
	int axis, rc = onx_in_ints(s, 1, &v, &n, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "CumSum");
	if (rc == ONX_OK && n != 1)
		rc = onx_fail(e, ONX_SHAPE, "%zu axes, wanted 1", n);
	if (rc == ONX_OK && class != ONX_CLASS_INT && class != ONX_CLASS_UINT)
		rc = onx_want_real(s, 0, e);
	if (rc == ONX_OK)
		rc = onx_axis(v[0], x->rank, &axis, e);
	if (rc < 0)
		return rc;
	*g = (struct cumsum_geo){ 1, (size_t)x->dim[axis], 1 };
	for (int d = 0; d < x->rank; d++) {
		g->lines *= d == axis ? 1 : (size_t)x->dim[d];
		g->inner *= d > axis ? (size_t)x->dim[d] : 1;
	}
	s->geo = g;
	return onx_infer_same_any(s, attr, e);
}

struct job { const struct onx_call *c; const struct onx_view *from, *to; bool reverse; };

/* One step of n lines side by side: sum += x, and out goes the sum before or after. */
/* y may be x. */
ONX_CLONES static void step_reals(const real *x, size_t n, bool exclusive, double *restrict sum, bool add, real *y)
{
	ONX_ALIKE for (size_t i = 0; i < n; i++) {
		const double before = sum[i], after = before + (double)x[i];
		const real out = (real)(exclusive ? before : after);
		sum[i] = after;
		y[i] = add ? y[i] + out : out;
	}
}

ONX_CLONES static void step_ints(const int64_t *restrict x, size_t n, bool exclusive, uint64_t *restrict sum,
				 int64_t *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t before = sum[i], after = before + (uint64_t)x[i];
		sum[i] = after;
		y[i] = (int64_t)(exclusive ? before : after);
	}
}

enum { LINES = 1024 };           /* side by side: a page of memory of each row */

static void sum_lines(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct cumsum_geo *g = j->c->geo;
	const bool exclusive = ((const struct cumsum *)j->c->attr)->exclusive;
	const bool is_real = onx_dtype_real(j->from->type);

	for (size_t i = lo, n; i < hi; i += n) {
		const size_t left = g->inner - i % g->inner, most = hi - i < LINES ? hi - i : LINES;
		const size_t first = i / g->inner * g->n * g->inner + i % g->inner;
		double sum[LINES] = { 0 };
		uint64_t whole[LINES] = { 0 };
		int64_t room[LINES], out[LINES];
		n = left < most ? left : most;
		for (size_t k = 0; k < g->n; k++) {
			const size_t at = first + (j->reverse ? g->n - 1 - k : k) * g->inner;
			if (is_real) {
				step_reals((const real *)j->from->v + at, n, exclusive, sum, j->to->add,
					   (real *)j->to->v + at);
			} else {
				step_ints(onx_bulk_ints(j->from, at, 1, n, room), n, exclusive, whole, out);
				onx_bulk_put_ints(j->to, at, n, out);
			}
		}
	}
}

/* Lines that are contiguous, one after the other. */
static void sum_runs(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct cumsum_geo *g = j->c->geo;
	const bool exclusive = ((const struct cumsum *)j->c->attr)->exclusive;

	for (size_t i = lo; i < hi; i++) {
		double sum = 0;
		for (size_t k = 0; k < g->n; k++) {
			const size_t at = i * g->n + (j->reverse ? g->n - 1 - k : k);
			const double before = sum;
			sum += (double)((const real *)j->from->v)[at];
			onx_put((real *)j->to->v + at, j->to->add, (real)(exclusive ? before : sum));
		}
	}
}

static void whole_runs(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct cumsum_geo *g = j->c->geo;
	const bool exclusive = ((const struct cumsum *)j->c->attr)->exclusive;

	for (size_t i = lo; i < hi; i++) {
		uint64_t sum = 0;
		for (size_t k = 0; k < g->n; k += LINES) {
			const size_t n = g->n - k < LINES ? g->n - k : LINES;
			const size_t at = i * g->n + (j->reverse ? g->n - k - n : k);
			int64_t room[LINES], out[LINES];
			const int64_t *x = onx_bulk_ints(j->from, at, 1, n, room);
			for (size_t s = 0; s < n; s++) {
				const size_t e = j->reverse ? n - 1 - s : s;
				const uint64_t before = sum;
				sum += (uint64_t)x[e];
				out[e] = (int64_t)(exclusive ? before : sum);
			}
			onx_bulk_put_ints(j->to, at, n, out);
		}
	}
}

static void sums(const struct onx_call *c, const struct job *j)
{
	const struct cumsum_geo *g = c->geo;
	const size_t grain = onx_pieces(ONX_GRAIN, g->n + 1);

	if (g->inner > 1)
		onx_each(c->pool, g->lines, grain < LINES ? LINES : grain, sum_lines, j);
	else
		onx_each(c->pool, g->lines, grain, onx_dtype_real(j->from->type) ? sum_runs : whole_runs, j);
}

/* y[i] = x[0] + ... + x[i], sums in double (whole numbers wrap) */
static void cumsum_forward(const struct onx_call *c)
{
	const struct job j = { c, &c->x[0], &c->y[0], ((const struct cumsum *)c->attr)->reverse };

	sums(c, &j);
}

/* dx[i] = dy[i] + ... + dy[n-1]: the same sum from the other end */
static void cumsum_backward(const struct onx_call *c)
{
	const struct job j = { c, &c->dy[0], &c->dx[0], !((const struct cumsum *)c->attr)->reverse };

	if (c->dx[0].v)
		sums(c, &j);
}

/* ---- CumProd ---- */

static void product_lines(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct cumsum_geo *g = j->c->geo;
	const bool exclusive = ((const struct cumsum *)j->c->attr)->exclusive;
	const bool is_real = onx_dtype_real(j->from->type);

	for (size_t i = lo; i < hi; i++) {
		const size_t first = i / g->inner * g->n * g->inner + i % g->inner;
		uint64_t whole = 1;
		double product = 1;
		for (size_t k = 0; k < g->n; k++) {
			const size_t at = first + (j->reverse ? g->n - 1 - k : k) * g->inner;
			const double before = product;
			const uint64_t whole_before = whole;
			if (is_real)
				product *= ((const real *)j->from->v)[at];
			else
				whole *= (uint64_t)onx_view_int(j->from, at);
			if (is_real)
				((real *)j->to->v)[at] = (real)(exclusive ? before : product);
			else
				onx_view_put_int(j->to, at, (int64_t)(exclusive ? whole_before : whole));
		}
	}
}

/* y[i] = x[0] ... x[i], products in double (whole numbers wrap) */
static void cumprod_forward(const struct onx_call *c)
{
	const struct job j = { c, &c->x[0], &c->y[0], ((const struct cumsum *)c->attr)->reverse };

	onx_each(c->pool, ((const struct cumsum_geo *)c->geo)->lines, 64, product_lines, &j);
}

/* dx[k] = (x[0] ... x[k-1]) r[k] with r[k] = dy[k] + x[k+1] r[k+1], exclusive: r[k] = dy[k+1] + x[k+1] r[k+1];
 * nothing is divided, so zeros are no exception.  r goes through scratch, a line for each thread. */
static void product_back(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ctx;
	const struct cumsum_geo *g = c->geo;
	const struct cumsum *a = c->attr;
	const size_t first = i / g->inner * g->n * g->inner + i % g->inner;
	const real *x = c->x[0].v, *dy = c->dy[0].v;
	double *r = (double *)c->scratch + (size_t)worker * (g->n + 1), before = 1;

	r[g->n] = 0;
	for (size_t k = g->n; k-- > 0; ) {
		const size_t at = first + (a->reverse ? g->n - 1 - k : k) * g->inner;
		const size_t next = first + (a->reverse ? g->n - 2 - k : k + 1) * g->inner;
		const bool last = k + 1 == g->n;
		const double own = a->exclusive ? last ? 0 : dy[next] : dy[at];
		r[k] = own + (last ? 0 : x[next] * r[k + 1]);
	}
	for (size_t k = 0; k < g->n; k++) {
		const size_t at = first + (a->reverse ? g->n - 1 - k : k) * g->inner;
		onx_put((real *)c->dx[0].v + at, c->dx[0].add, (real)(before * r[k]));
		before *= x[at];
	}
}

static void cumprod_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_parallel(c->pool, ((const struct cumsum_geo *)c->geo)->lines, product_back, (void *)c);
}

static size_t cumprod_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct cumsum_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * (g->n + 1) * sizeof(double) : 0;
}

const struct onx_op ONX_R(onx_ops_cumsum)[] = {
	{ .domain = "", .type = "CumProd", .since = 26, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = ONX_KEEP_X(0), .attr = &cumprod_attr,
	  .infer = cumsum_infer, .scratch = cumprod_scratch, .forward = cumprod_forward,
	  .backward = cumprod_backward },
	{ .domain = "", .type = "CumSum", .since = 11, .min_in = 2, .max_in = 2, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &cumsum_attr, .infer = cumsum_infer,
	  .forward = cumsum_forward, .backward = cumsum_backward },
	{ .type = NULL }
};
