/* op/many.c -- Sum, Mean, Max and Min of any number of inputs, broadcast.  Where several inputs attain the extreme they
 * share the gradient (as PyTorch). */
#include <string.h>
#include "op/infer.h"
#include "op/integer.h"
#include "op/pair.h"

/* Variadic: y = x0, then y = f(y, xk), k = 1, 2, ... */
enum many { M_SUM, M_MEAN, M_MAX, M_MIN };

ONX_CLONES static void copy_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const real *x = onx_at(&c->x[0], off[1]);
	real *y = onx_at(&c->y[0], off[0]);
	const real all = *x;

	if (step[1])
		memcpy(y, x, n * sizeof *y);
	else
		for (size_t i = 0; i < n; i++)
			y[i] = all;
}

#define FOLD(name, f)                                                                        \
ONX_CLONES static void name##_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n) \
{                                                                                            \
	const real *x = onx_at(&c->x[0], off[1]), all = *x;                                      \
	real *y = onx_at(&c->y[0], off[0]);                                                      \
	if (step[1]) {                                                                       \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const real a = y[i], b = x[i];                                       \
			y[i] = f;                                                            \
		}                                                                            \
	} else {                                                                             \
		ONX_ALIKE for (size_t i = 0; i < n; i++) {                                   \
			const real a = y[i], b = all;                                        \
			y[i] = f;                                                            \
		}                                                                            \
	}                                                                                    \
}
FOLD(sum, a + b)
FOLD(max, a > b || isnan(a) ? a : b)
FOLD(min, a < b || isnan(a) ? a : b)

static void run_one(const struct onx_call *c, int k, onx_run_fn *run)
{
	const struct onx_view *in[1] = { &c->x[k] };
	struct onx_call one = *c;
	struct onx_walk w;

	one.x = &c->x[k];
	onx_walk_init(&w, &c->y[0], in, 1);
	onx_walk_run(&one, &w, c->y[0].n, run);
}

ONX_CLONES static void mean_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const real n = (real)c->n_x;
	real *y = c->y[0].v;

	for (size_t i = lo; i < hi; i++)
		y[i] /= n;
}

static void many_forward(const struct onx_call *c, enum many what)
{
	static onx_run_fn *const run[] = { sum_run, sum_run, max_run, min_run };

	if (!onx_dtype_real(c->x[0].type)) {
		onx_int_fold(c, what == M_MAX ? ONX_I_MAX : ONX_I_MIN);
		return;
	}
	if (c->x[0].v != c->y[0].v)
		run_one(c, 0, copy_run);
	for (int k = 1; k < c->n_x; k++)
		run_one(c, k, run[what]);
	if (what == M_MEAN)
		onx_each(c->pool, c->y[0].n, ONX_GRAIN, mean_range, c);
}

static void spread_term(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n)
{
	const struct onx_call *c = ctx;
	const real *dy = onx_at(&c->dy[0], (size_t)off[0]);
	const real share = (real)1 / (real)c->n_x;      /* n_x: by how much to divide */

	(void)step;
	for (size_t i = 0; i < n; i++)
		out[i] = share * dy[i];
}

ONX_CLONES static void count_run(const struct onx_call *c, const size_t *off, const size_t *step, size_t n)
{
	const real *x = onx_at(&c->x[0], off[1]), *y = onx_at(&c->y[0], off[0]);
	real *count = (real *)c->scratch + off[0];

	if (step[1]) {
		ONX_ALIKE for (size_t i = 0; i < n; i++) {
			const real one = x[i] == y[i] ? 1 : 0;
			count[i] += one;
		}
		return;
	}
	const real all = *x;
	ONX_ALIKE for (size_t i = 0; i < n; i++) {
		const real one = all == y[i] ? 1 : 0;
		count[i] += one;
	}
}

ONX_CLONES static void extreme_term(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n)
{
	const struct onx_call *c = ctx;
	const real *x = onx_at(&c->x[0], (size_t)off[1]), *y = onx_at(&c->y[0], (size_t)off[0]);
	const real *dy = onx_at(&c->dy[0], (size_t)off[0]), *count = (const real *)c->scratch + off[0];

	if (step[1]) {
		ONX_ALIKE for (size_t i = 0; i < n; i++) {
			const real share = dy[i] / count[i];
			out[i] = x[i] == y[i] ? share : 0;
		}
		return;
	}
	const real all = *x;
	ONX_ALIKE for (size_t i = 0; i < n; i++) {
		const real share = dy[i] / count[i];
		out[i] = all == y[i] ? share : 0;
	}
}

/* reads: whether the terms look at the input. */
static void many_gradients(const struct onx_call *c, int share, bool reads, onx_sum_term *term)
{
	for (int k = 0; k < c->n_x; k++) {
		const struct onx_view *in[1] = { &c->x[k] };
		struct onx_call one = *c;
		struct onx_walk w;
		if (!c->dx[k].v)
			continue;
		one.x = &c->x[k];
		one.n_x = share;
		onx_walk_init(&w, &c->y[0], in, 1);
		onx_walk_grad(&one, &w, 1, 1 + reads, &c->dx[k], term);
	}
}

static void zero_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;

	memset((real *)c->scratch + lo, 0, (hi - lo) * sizeof(real));
}

/* Of two inputs no tie needs to be counted in advance. */
ONX_SLOPE(max_da, 1, a > b ? 1 : a == b ? (real)0.5 : 0)
ONX_SLOPE(max_db, 1, b > a ? 1 : a == b ? (real)0.5 : 0)
ONX_SLOPE(min_da, 1, a < b ? 1 : a == b ? (real)0.5 : 0)
ONX_SLOPE(min_db, 1, b < a ? 1 : a == b ? (real)0.5 : 0)

static void extreme_backward(const struct onx_call *c, bool max)
{
	if (c->n_x == 2) {
		onx_pair_back(c, 3, max ? max_da : min_da, max ? max_db : min_db);
		return;
	}
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, zero_range, c);
	for (int k = 0; k < c->n_x; k++)
		run_one(c, k, count_run);
	many_gradients(c, 1, true, extreme_term);
}

static size_t extreme_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	size_t n = 0;
	struct onx_err e;

	(void)attr;
	(void)threads;
	if (!backward || s->n_in == 2 || onx_count(s->out[0].shape.rank, s->out[0].shape.dim, &n, &e) < 0)
		return 0;
	return n * sizeof(real);
}

static void Sum_forward(const struct onx_call *c)  { many_forward(c, M_SUM); }
static void Mean_forward(const struct onx_call *c) { many_forward(c, M_MEAN); }
static void Max_forward(const struct onx_call *c)  { many_forward(c, M_MAX); }
static void Min_forward(const struct onx_call *c)  { many_forward(c, M_MIN); }
static void Sum_backward(const struct onx_call *c)  { many_gradients(c, 1, false, spread_term); }
static void Max_backward(const struct onx_call *c)  { extreme_backward(c, true); }
static void Min_backward(const struct onx_call *c)  { extreme_backward(c, false); }
static void Mean_backward(const struct onx_call *c) { many_gradients(c, c->n_x, false, spread_term); }

static int infer_reals(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : onx_infer_broadcast(s, attr, e);
}

#define MANY(name, since_, keep_, infer_, scratch_, backward_)                               \
	{ .domain = "", .type = #name, .since = since_, .min_in = 1, .max_in = ONX_MANY,     \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = keep_,    \
	  .alias = 1, .flags = ONX_OP_EACH, .infer = infer_, .scratch = scratch_, .forward = name##_forward,       \
	  .backward = backward_ }
#define KEEP_ALL (ONX_KEEP_Y(0) | 0xFFFF)

const struct onx_op ONX_R(onx_ops_many)[] = {
	MANY(Sum, 1, 0, infer_reals, NULL, Sum_backward),
	MANY(Mean, 1, 0, infer_reals, NULL, Mean_backward),
	MANY(Max, 1, KEEP_ALL, onx_infer_numbers, extreme_scratch, Max_backward),
	MANY(Min, 1, KEEP_ALL, onx_infer_numbers, extreme_scratch, Min_backward),
	{ .type = NULL }
};
