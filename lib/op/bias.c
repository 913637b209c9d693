/* op/bias.c -- ONNX Runtime's operators of transformers that add a bias, or a skip connection, first:
 * BiasGelu, FastGelu, SkipLayerNormalization, SkipSimplifiedLayerNormalization. */
#include "kernel/cpu.h"
#include "kernel/gelu.h"
#include "kernel/norm.h"
#include "op/infer.h"
#include "op/loop.h"

/* The elements of input i, which must be those of the last dims of input 0. */
static int want_tail(const struct onx_infer *s, int i, int rank, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *b = &s->in[i].shape;
	bool same = true;
	int rc = onx_want_same_type(s, 0, i, e), skip = 0;

	while (skip < b->rank - 1 && b->dim[skip] == 1 && x->dim[skip] != 1)
		skip++;
	for (int d = skip; d < b->rank && x->rank >= b->rank; d++)
		same &= b->dim[d] == x->dim[x->rank - b->rank + d];
	if (rc < 0 || (same && b->rank >= 1 && b->rank <= x->rank && (rank == 0 || b->rank == rank)))
		return rc;
	char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted the last dimensions of %s", i,
			onx_shape_text(b->rank, b->dim, t, sizeof t), onx_shape_text(x->rank, x->dim, u, sizeof u));
}

/* to (+)= sum of from[k * n + i] over k, in double, a block of columns at a time */
static void fold(const struct onx_view *to, const real *from, size_t n)
{
	enum { BLOCK = 256 };

	for (size_t at = 0; to->v && at < to->n; at += BLOCK) {
		const size_t m = to->n - at < BLOCK ? to->n - at : BLOCK;
		double sum[BLOCK] = { 0 };
		for (size_t k = at; k < n; k += to->n)
			for (size_t i = 0; i < m; i++)
				sum[i] += from[k + i];
		for (size_t i = 0; i < m; i++)
			onx_put((real *)to->v + at + i, to->add, (real)sum[i]);
	}
}

/* ---- Gelu of x + bias ---- */

static int gelu_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_infer_same(s, attr, e);

	return rc == ONX_OK && onx_has_in(s, 1) ? want_tail(s, 1, 1, e) : rc;
}

static size_t gelu_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	struct onx_err e;
	size_t n = 0;

	(void)attr, (void)threads;
	if (!backward || onx_count(s->in[0].shape.rank, s->in[0].shape.dim, &n, &e) < 0)
		return 0;
	return n * sizeof(double);
}

struct gelu_job { const struct onx_call *c; bool by_tanh; };

/* fn over lo..hi in runs that start with element `at` of the bias; none: of one run. */
typedef void gelu_fn(const struct gelu_job *j, size_t i, const real *bias, size_t n);
static void runs(const struct gelu_job *j, size_t lo, size_t hi, gelu_fn *fn)
{
	const real *b = j->c->n_x > 1 ? j->c->x[1].v : NULL;

	for (size_t i = lo, n; i < hi; i += n) {
		const size_t at = b ? i % j->c->x[1].n : 0;
		n = b && j->c->x[1].n - at < hi - i ? j->c->x[1].n - at : hi - i;
		fn(j, i, b ? b + at : NULL, n);
	}
}

#define GELU_LOOP(f)                                                                                 \
	if (bias)                                                                                    \
		ONX_ALIKE for (size_t k = 0; k < n; k++) {                                           \
			const real v = x[k] + bias[k];                                               \
			f;                                                                           \
		}                                                                                    \
	else                                                                                         \
		ONX_ALIKE for (size_t k = 0; k < n; k++) {                                           \
			const real v = x[k];                                                         \
			f;                                                                           \
		}

ONX_CLONES static void gelu_run(const struct gelu_job *j, size_t i, const real *bias, size_t n)
{
	const real *x = (const real *)j->c->x[0].v + i;
	real *y = (real *)j->c->y[0].v + i;

	if (j->by_tanh) {
		GELU_LOOP(y[k] = onx_gelu_tanh(v))
	} else {
		GELU_LOOP(y[k] = onx_gelu(v))
	}
}

static void gelu_range(const void *ctx, size_t lo, size_t hi)
{
	runs(ctx, lo, hi, gelu_run);
}

ONX_CLONES static void gelu_slope_run(const struct gelu_job *j, size_t i, const real *bias, size_t n)
{
	const real *x = (const real *)j->c->x[0].v + i, *dy = (const real *)j->c->dy[0].v + i;
	real *sum = (real *)j->c->scratch + i;

	if (j->by_tanh) {
		GELU_LOOP(sum[k] = dy[k] * onx_gelu_tanh_slope(v))
	} else {
		GELU_LOOP(sum[k] = dy[k] * onx_gelu_slope(v))
	}
}

static void gelu_dx_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ((const struct gelu_job *)ctx)->c;
	const real *sum = c->scratch;
	real *dx = c->dx[0].v;

	runs(ctx, lo, hi, gelu_slope_run);
	for (size_t i = lo; dx && i < hi; i++)
		onx_put(&dx[i], c->dx[0].add, sum[i]);
}

static void gelu_backward(const struct onx_call *c, bool by_tanh)
{
	const struct gelu_job j = { c, by_tanh };

	onx_each(c->pool, c->dy[0].n, ONX_GRAIN, gelu_dx_range, &j);
	if (c->n_x > 1)
		fold(&c->dx[1], c->scratch, c->dy[0].n);
}

#define GELU(name, by_tanh)                                                                          \
static void name##_forward(const struct onx_call *c)                                                 \
{                                                                                                    \
	const struct gelu_job j = { c, by_tanh };                                                    \
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, gelu_range, &j);                                     \
}                                                                                                    \
static void name##_backward(const struct onx_call *c) { gelu_backward(c, by_tanh); }
GELU(exact, false)
GELU(fast, true)

/* ---- layer normalisation of x + skip + bias ---- */

struct skip { double epsilon; };
static const struct onx_field skip_field[] = {
	{ "epsilon", F_REAL, offsetof(struct skip, epsilon), .def = "1e-12", .min = 0, .max = 1e6,
	  .help = "added to the variance" },
	{ .name = NULL }
};
static const struct onx_table skip_attr = { "SkipLayerNormalization", sizeof(struct skip), skip_field,
					    .check = NULL };
struct skip_geo { struct onx_rows rows; size_t n; int beta, bias; };    /* inputs; beta 0: none */

static int skip_shape(struct onx_infer *s, const void *attr, bool centre, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct skip_geo *g = ONX_NEW(s->mem, struct skip_geo);
	int rc = onx_want_rank(s, 0, 2, 3, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "normalisation");
	if (rc == ONX_OK)
		rc = onx_infer_same(s, attr, e);
	if (rc == ONX_OK)
		rc = onx_count(x->rank, x->dim, &g->n, e);
	for (int i = 1; rc == ONX_OK && i < s->n_in; i++)
		if (onx_has_in(s, i))
			rc = want_tail(s, i, i == 1 ? 0 : 1, e);
	if (rc < 0)
		return rc;
	const size_t len = (size_t)x->dim[x->rank - 1];
	g->beta = centre ? 3 : 0;
	g->bias = centre ? 4 : 3;
	g->rows = (struct onx_rows){ .rows = len ? g->n / len : 0, .len = len, .period = 1, .run = 1,
				     .n_par = len, .eps = ((const struct skip *)attr)->epsilon,
				     .centre = centre };
	s->geo = g;
	struct onx_shape stat = *x;
	stat.dim[x->rank - 1] = 1;
	for (int i = 1; i < 3; i++)
		onx_set_out(s, i, ONX_FLOAT, &stat);
	onx_set_out(s, 3, s->in[0].type, x);
	return ONX_OK;
}

static int skip_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return skip_shape(s, attr, true, e);
}

static int simple_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	return skip_shape(s, attr, false, e);
}

/* save: the sum [n], then mean and deviation of each row. */
static size_t skip_saved(const struct onx_infer *s, const void *attr)
{
	const struct skip_geo *g = s->geo;

	(void)attr;
	return (g->n + 2 * g->rows.rows) * sizeof(double);
}

static size_t skip_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct skip_geo *g = s->geo;

	(void)attr, (void)threads;
	return backward ? (g->n * sizeof(double) + 63) / 64 * 64 + onx_rows_scratch(&g->rows) : 0;
}

static const real *input(const struct onx_call *c, int i)
{
	return i > 0 && i < c->n_x ? c->x[i].v : NULL;
}

/* s = x + skip + bias, y = (s - mean) / sqrt(var + epsilon) * gamma + beta */
static void skip_forward(const struct onx_call *c)
{
	const struct skip_geo *g = c->geo;
	const real *x = c->x[0].v, *more = c->x[1].v, *bias = input(c, g->bias);
	real *sum = c->save, *stat = sum + g->n;

	for (size_t i = 0; i < g->n; i++)
		sum[i] = x[i] + more[i % c->x[1].n] + (bias ? bias[i % g->rows.len] : 0);
	onx_rows_forward(c->pool, &g->rows, sum, c->x[2].v, input(c, g->beta), c->y[0].v, stat);
	for (int i = 1; i < c->n_y && i < 3; i++)
		for (size_t r = 0; c->y[i].v && r < c->y[i].n; r++)
			onx_view_put_real(&c->y[i], r, (double)stat[2 * r + (size_t)i - 1]);
	for (size_t i = 0; c->n_y > 3 && c->y[3].v && i < g->n; i++)
		((real *)c->y[3].v)[i] = sum[i];
}

static void skip_backward(const struct onx_call *c)
{
	const struct skip_geo *g = c->geo;
	const real *other = c->n_y > 3 ? c->dy[3].v : NULL;
	real *ds = c->scratch;
	struct onx_rows_grad t = { .x = c->save, .scale = c->x[2].v, .dy = c->dy[0].v,
				   .stat = (const real *)c->save + g->n, .dx = ds, .add_x = other != NULL,
				   .dscale = c->dx[2].v, .add_scale = c->dx[2].add,
				   .scratch = (char *)c->scratch + (g->n * sizeof(double) + 63) / 64 * 64 };

	for (size_t i = 0; i < g->n; i++)
		ds[i] = other ? other[i] : 0;
	if (g->beta > 0 && c->n_x > g->beta) {
		t.dbias = c->dx[g->beta].v;
		t.add_bias = c->dx[g->beta].add;
	}
	if (t.dy) {
		onx_rows_backward(c->pool, &g->rows, &t);
	} else {                                /* only the sum itself has a gradient */
		fold(&c->dx[2], ds, 0);
		if (g->beta > 0 && c->n_x > g->beta)
			fold(&c->dx[g->beta], ds, 0);
	}
	fold(&c->dx[0], ds, g->n);
	fold(&c->dx[1], ds, g->n);
	if (c->n_x > g->bias)
		fold(&c->dx[g->bias], ds, g->n);
}

#define GELUS(name, way, least)                                                                      \
	{ .domain = "com.microsoft", .type = name, .since = 1, .min_in = least, .max_in = 2,         \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .alias = 1,               \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1), .weight = 2, .infer = gelu_infer,                   \
	  .scratch = gelu_scratch, .forward = way##_forward, .backward = way##_backward }
#define SKIP(name, ins, rule, weights)                                                               \
	{ .domain = "com.microsoft", .type = name, .since = 1, .min_in = 3, .max_in = ins,           \
	  .min_out = 1, .max_out = 4, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(2),    \
	  .weight = weights, .attr = &skip_attr, .infer = rule, .saved = skip_saved,                 \
	  .scratch = skip_scratch, .forward = skip_forward, .backward = skip_backward }
const struct onx_op ONX_R(onx_ops_bias)[] = {
	GELUS("BiasGelu", exact, 2),
	GELUS("FastGelu", fast, 1),
	SKIP("SkipLayerNormalization", 5, skip_infer, 0x1C),
	SKIP("SkipSimplifiedLayerNormalization", 4, simple_infer, 0x0C),
	{ .type = NULL }
};
