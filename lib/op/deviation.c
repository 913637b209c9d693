/* op/deviation.c -- normalisations without weights along axes: LpNormalization, MeanVarianceNormalization. */
#include "kernel/cpu.h"
#include "kernel/lanes.h"
#include "op/infer.h"
#include "op/loop.h"

/* The elements along some axes, one group for each index of the others. */
struct groups {
	size_t n, len;                          /* groups, elements of one        */
	bool mean_only;                         /* MeanVarianceNormalization      */
	int n_out, n_in;
	size_t dim_out[ONX_RANK], step_out[ONX_RANK], dim_in[ONX_RANK], step_in[ONX_RANK];
};

static size_t place(size_t i, int rank, const size_t *dim, const size_t *step)
{
	size_t at = 0;

	for (int d = 0; d < rank; d++) {
		at += i % dim[d] * step[d];
		i /= dim[d];
	}
	return at;
}
static size_t group_at(const struct groups *g, size_t i) { return place(i, g->n_out, g->dim_out, g->step_out); }

static int groups_infer(struct onx_infer *s, const int *axes, int n, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct groups *g = ONX_NEW(s->mem, struct groups);
	bool in[ONX_RANK] = { false };
	size_t step = 1;

	if (!g)
		return onx_nomem(e, sizeof *g, "normalisation");
	*g = (struct groups){ .n = 1, .len = 1 };
	for (int k = 0; k < n; k++)
		in[axes[k]] = true;
	for (int d = x->rank - 1; d >= 0; d--) {        /* from the inside out, as place() reads them */
		const size_t dim = (size_t)x->dim[d];
		const int k = in[d] ? g->n_in++ : g->n_out++;
		*(in[d] ? &g->dim_in[k] : &g->dim_out[k]) = dim;
		*(in[d] ? &g->step_in[k] : &g->step_out[k]) = step;
		*(in[d] ? &g->len : &g->n) *= dim;
		step *= dim;
	}
	s->geo = g;
	return ONX_OK;
}

static size_t groups_saved(const struct onx_infer *s, const void *attr)
{
	const struct groups *g = s->geo;

	(void)attr;
	return 2 * g->n * sizeof(double);
}

/* ---- LpNormalization ---- */

struct lp { int64_t axis, p; };
static const struct onx_field lp_field[] = {
	{ "axis", F_INT, offsetof(struct lp, axis), .def = "-1", .help = "axis of a vector" },
	{ "p", F_INT, offsetof(struct lp, p), .def = "2", .min = 1, .max = 2, .help = "which norm" },
	{ .name = NULL }
};
static const struct onx_table lp_attr = { "LpNormalization", sizeof(struct lp), lp_field, .check = NULL };

static int lp_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int axis, rc = onx_infer_same(s, attr, e);

	if (rc == ONX_OK)
		rc = onx_axis(((const struct lp *)attr)->axis, s->in[0].shape.rank, &axis, e);
	return rc < 0 ? rc : groups_infer(s, &axis, 1, e);
}

static void lp_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct groups *g = c->geo;
	const bool square = ((const struct lp *)c->attr)->p == 2;
	const real *x = c->x[0].v;
	real *y = c->y[0].v, *norm = c->save;

	for (size_t i = lo; i < hi; i++) {
		const size_t at = group_at(g, i), step = g->step_in[0];
		double s = 0;
		for (size_t k = 0; k < g->len; k++) {
			const double v = x[at + k * step];
			s += square ? v * v : fabs(v);
		}
		s = square ? sqrt(s) : s;
		norm[i] = (real)s;
		for (size_t k = 0; k < g->len; k++)
			y[at + k * step] = s > 0 ? (real)(x[at + k * step] / s) : s > -1 ? 0 : (real)s;
	}
}

/* y = x / |x|_p; a vector of norm 0 stays 0, with gradient 0 */
static void lp_forward(const struct onx_call *c)
{
	onx_each(c->pool, ((const struct groups *)c->geo)->n, 64, lp_range, c);
}

static void lp_dx_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct groups *g = c->geo;
	const bool square = ((const struct lp *)c->attr)->p == 2;
	const real *y = c->y[0].v, *dy = c->dy[0].v, *norm = c->save;
	real *dx = c->dx[0].v;

	for (size_t i = lo; i < hi; i++) {
		const size_t first = group_at(g, i), step = g->step_in[0];
		double s = 0;
		for (size_t k = 0; k < g->len; k++)
			s += (double)dy[first + k * step] * y[first + k * step];
		for (size_t k = 0; k < g->len; k++) {
			const size_t at = first + k * step;
			const double slope = square ? y[at] : (y[at] > 0) - (y[at] < 0);
			onx_put(&dx[at], c->dx[0].add,
				norm[i] > 0 ? (real)((dy[at] - slope * s) / norm[i]) : 0);
		}
	}
}

/* dx = (dy - d|x|/dx sum of dy y) / |x|, d|x|/dx = y for p = 2, sign(x) for p = 1 */
static void lp_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, ((const struct groups *)c->geo)->n, 64, lp_dx_range, c);
}

/* ---- MeanVarianceNormalization ---- */

struct mvn { struct onx_ints axes; bool across, variance; };
static const struct onx_field mvn_field[] = {
	{ "axes", F_INTS, offsetof(struct mvn, axes), .def = "0,2,3", .help = "axes of one mean" },
	{ .name = NULL }
};
static const struct onx_table mvn_attr = { "MeanVarianceNormalization", sizeof(struct mvn), mvn_field,
					   .check = NULL };
/* Opset 1 had it on trial. */
static const struct onx_field mvn_trial_field[] = {
	{ "across_channels", F_BOOL, offsetof(struct mvn, across), .def = "0", .help = "one mean for all channels" },
	{ "normalize_variance", F_BOOL, offsetof(struct mvn, variance), .def = "1",
	  .help = "0: take off the mean alone" },
	{ .name = NULL }
};
static const struct onx_table mvn_trial_attr = { "MeanVarianceNormalization", sizeof(struct mvn), mvn_trial_field,
						 .check = NULL };
#define MVN_EPSILON 1e-9        /* added to the deviation: the function body of the specification */

static int mvn_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int axes[ONX_RANK], n, rc = onx_infer_same(s, attr, e);

	if (rc == ONX_OK)
		rc = onx_axes_arg(s, &((const struct mvn *)attr)->axes, -1, s->in[0].shape.rank, axes, &n, e);
	return rc < 0 ? rc : groups_infer(s, axes, n, e);
}

static int mvn_trial_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	static const int each[] = { 0, 2, 3 }, all[] = { 0, 1, 2, 3 };
	const struct mvn *a = attr;
	int rc = onx_infer_same(s, attr, e);

	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 4, 4, e);
	if (rc == ONX_OK)
		rc = groups_infer(s, a->across ? all : each, a->across ? 4 : 3, e);
	if (rc == ONX_OK)
		((struct groups *)s->geo)->mean_only = !a->variance;
	return rc;
}

/* A group is runs of n elements, `step` apart. */
struct runs { size_t rows, n, step; };

static struct runs runs_of(const struct groups *g)
{
	const size_t n = g->n_in > 0 ? g->dim_in[0] : 1;

	return (struct runs){ n ? g->len / n : 0, n, g->n_in > 0 ? g->step_in[0] : 1 };
}

static size_t run_at(const struct groups *g, size_t r)
{
	return g->n_in > 0 ? place(r, g->n_in - 1, g->dim_in + 1, g->step_in + 1) : 0;
}

ONX_CLONES static double sum_run(const real *x, const struct runs *k)
{
	double sum = 0;

	if (k->step == 1)
		return onx_sum(x, k->n);
	for (size_t i = 0; i < k->n; i++)
		sum += (double)x[i * k->step];
	return sum;
}

/* Sum of a (b - mean); a NULL: of (b - mean)^2 */
ONX_CLONES static double sum_run_products(const real *a, const real *b, double mean, const struct runs *k)
{
	double sum = 0;

	if (k->step == 1)
		return a ? onx_sum_product(a, b, mean, k->n) : onx_sum_square(b, mean, k->n);
	for (size_t i = 0; i < k->n; i++) {
		const double d = (double)b[i * k->step] - mean;
		sum += (a ? (double)a[i * k->step] : d) * d;
	}
	return sum;
}

/* to (+)= (a - mean) by - b with; b NULL: nothing */
ONX_CLONES static void put_run(const real *a, double mean, double by, const real *b, double with, const struct runs *k,
			       bool add, real *to)
{
	const size_t step = k->step;

	if (step == 1 && !add && !b) {
		ONX_ALIKE for (size_t i = 0; i < k->n; i++)
			to[i] = (real)(((double)a[i] - mean) * by);
		return;
	}
	if (step == 1 && !add) {
		ONX_ALIKE for (size_t i = 0; i < k->n; i++)
			to[i] = (real)(((double)a[i] - mean) * by - (double)b[i] * with);
		return;
	}
	for (size_t i = 0; i < k->n; i++)
		onx_put(&to[i * step], add, (real)(((double)a[i * step] - mean) * by -
						   (b ? (double)b[i * step] * with : 0)));
}

static void mvn_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct groups *g = c->geo;
	const struct runs k = runs_of(g);
	real *deviation = c->save;

	for (size_t i = lo; i < hi; i++) {
		const real *x = (const real *)c->x[0].v + group_at(g, i);
		real *y = (real *)c->y[0].v + group_at(g, i);
		double mean = 0, var = 0;
		for (size_t r = 0; r < k.rows; r++)
			mean += sum_run(x + run_at(g, r), &k);
		mean /= (double)g->len;
		for (size_t r = 0; r < k.rows; r++)
			var += sum_run_products(NULL, x + run_at(g, r), mean, &k);
		const double s = sqrt(var / (double)g->len);
		deviation[i] = (real)s;
		for (size_t r = 0; r < k.rows; r++)
			put_run(x + run_at(g, r), mean, g->mean_only ? 1 : 1 / (s + MVN_EPSILON), NULL, 0, &k, false,
				y + run_at(g, r));
	}
}

/* y = (x - mean) / (s + 1e-9), s the deviation of the group */
static void mvn_forward(const struct onx_call *c)
{
	onx_each(c->pool, ((const struct groups *)c->geo)->n, 1, mvn_range, c);
}

static void mvn_dx_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct groups *g = c->geo;
	const struct runs k = runs_of(g);
	const real *deviation = c->save;

	for (size_t i = lo; i < hi; i++) {
		const size_t first = group_at(g, i);
		const real *y = (const real *)c->y[0].v + first, *dy = (const real *)c->dy[0].v + first;
		const double n = (double)g->len, s = g->mean_only ? 0 : (double)deviation[i];
		double mean = 0, both = 0;
		for (size_t r = 0; r < k.rows; r++) {
			mean += sum_run(dy + run_at(g, r), &k);
			both += sum_run_products(dy + run_at(g, r), y + run_at(g, r), 0, &k);
		}
		mean /= n;
		both = s > 0 ? both / (n * s) : 0;
		for (size_t r = 0; r < k.rows; r++)
			put_run(dy + run_at(g, r), mean, g->mean_only ? 1 : 1 / (s + MVN_EPSILON), y + run_at(g, r),
				both, &k, c->dx[0].add, (real *)c->dx[0].v + first + run_at(g, r));
	}
}

/* dx = (dy - mean dy) / (s + 1e-9) - y sum(dy y) / (n s) */
static void mvn_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, ((const struct groups *)c->geo)->n, 1, mvn_dx_range, c);
}

#define ROW(t, version, kept, part, run, bytes) \
	{ .domain = "", .type = t, .since = version, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = kept, .attr = &part##_attr, .infer = part##_infer,  \
	  .saved = bytes, .forward = run##_forward, .backward = run##_backward }
const struct onx_op ONX_R(onx_ops_deviation)[] = {
	ROW("LpNormalization", 1, ONX_KEEP_Y(0), lp, lp, groups_saved),
	ROW("MeanVarianceNormalization", 1, ONX_KEEP_Y(0), mvn_trial, mvn, groups_saved),
	ROW("MeanVarianceNormalization", 9, ONX_KEEP_Y(0), mvn, mvn, groups_saved),
	{ .type = NULL }
};
