/* op/mlscale.c -- ai.onnx.ml's operators on the numbers of columns: Scaler, Imputer, Binarizer, Normalizer. */
#include "op/ml.h"
#include "op/loop.h"

/* ---- Scaler: y = (x - offset) * scale, by column ---- */

struct scaler { struct onx_reals offset, scale; };
static const struct onx_field scaler_field[] = {
	{ "offset", F_REALS, offsetof(struct scaler, offset), .def = "", .help = "taken off first" },
	{ "scale", F_REALS, offsetof(struct scaler, scale), .def = "", .help = "factor" },
	{ .name = NULL }
};
static const struct onx_table scaler_attr = { "Scaler", sizeof(struct scaler), scaler_field, .check = NULL };
struct columns { size_t rows, cols; };

static int want_list(const char *name, size_t n, size_t cols, struct onx_err *e)
{
	return n <= 1 || n == cols ? ONX_OK
	       : onx_fail(e, ONX_SHAPE, "%s has %zu numbers, wanted 1 or %zu", name, n, cols);
}

static int want_columns(struct onx_infer *s, struct columns **out, struct onx_err *e)
{
	struct columns *g = ONX_NEW(s->mem, struct columns);

	if (!g)
		return onx_nomem(e, sizeof *g, "columns");
	*out = s->geo = g;
	return onx_ml_rows(s, 0, &g->rows, &g->cols, e);
}

/* offset and scale are attributes, or inputs 1 and 2 (op.h, lift). */
static int want_numbers(const struct onx_infer *s, int i, const char *name, const struct onx_reals *list, size_t cols,
			struct onx_err *e)
{
	int rc = onx_has_in(s, i) ? onx_want_real(s, i, e) : ONX_OK;

	if (rc == ONX_OK && onx_has_in(s, i))
		rc = onx_want_rank(s, i, 1, 1, e);
	if (rc < 0)
		return rc;
	if (onx_has_in(s, i) && s->in[i].shape.dim[0] == 0)
		return onx_fail(e, ONX_SHAPE, "%s has 0 numbers, wanted 1 or %zu", name, cols);
	return want_list(name, onx_has_in(s, i) ? (size_t)s->in[i].shape.dim[0] : list->n, cols, e);
}

static int scaler_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct scaler *a = attr;
	struct columns *g = NULL;
	int rc = want_columns(s, &g, e);

	if (rc == ONX_OK)
		rc = want_numbers(s, 1, "offset", &a->offset, g->cols, e);
	if (rc == ONX_OK)
		rc = want_numbers(s, 2, "scale", &a->scale, g->cols, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, ONX_FLOAT, &s->in[0].shape);
	return rc;
}

static double of_column(const struct onx_reals *l, size_t col, double none)
{
	return l->n == 0 ? none : l->v[l->n == 1 ? 0 : col];
}

static double scaler_offset(const struct onx_call *c, size_t col)
{
	if (c->n_x > 1 && c->x[1].v)
		return onx_view_real(&c->x[1], c->x[1].n == 1 ? 0 : col);
	return of_column(&((const struct scaler *)c->attr)->offset, col, 0);
}

static double scaler_scale(const struct onx_call *c, size_t col)
{
	if (c->n_x > 2 && c->x[2].v)
		return onx_view_real(&c->x[2], c->x[2].n == 1 ? 0 : col);
	return of_column(&((const struct scaler *)c->attr)->scale, col, 1);
}

static void scaler_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct columns *g = c->geo;

	for (size_t i = lo; i < hi; i++)
		onx_view_put_real(&c->y[0], i, (onx_view_real(&c->x[0], i) - scaler_offset(c, i % g->cols)) *
						scaler_scale(c, i % g->cols));
}

static void scaler_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, scaler_range, c);
}

static void scaler_back_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct columns *g = c->geo;
	const struct onx_view *dx = &c->dx[0];

	for (size_t i = lo; i < hi; i++)
		onx_view_put_real(dx, i, (dx->add ? onx_view_real(dx, i) : 0) +
				  onx_view_real(&c->dy[0], i) * scaler_scale(c, i % g->cols));
}

/* doffset = -sum of dy scale, dscale = sum of dy (x - offset), over the rows in order; one number for all columns
 * takes the sum of them. */
static void scaler_back_column(const struct onx_call *c, int i, size_t at, size_t step)
{
	const struct columns *g = c->geo;
	const struct onx_view *d = &c->dx[i];
	double sum = 0;

	for (size_t k = at; k < c->dy[0].n; k += step) {
		const size_t col = k % g->cols;
		const double dy = onx_view_real(&c->dy[0], k);
		sum += i == 1 ? -dy * scaler_scale(c, col) : dy * (onx_view_real(&c->x[0], k) - scaler_offset(c, col));
	}
	onx_view_put_real(d, at, sum + (d->add ? onx_view_real(d, at) : 0));
}

static void scaler_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, scaler_back_range, c);
	for (int i = 1; i < c->n_x; i++)
		for (size_t at = 0; c->dx[i].v && at < c->dx[i].n; at++)
			scaler_back_column(c, i, at, c->dx[i].n);
}

/* ---- Imputer: y = x, or the column's own number where x is the one that stands for "missing" ---- */

struct imputer { struct onx_reals reals; struct onx_ints ints; double missing; int64_t missing_int; };
static const struct onx_field imputer_field[] = {
	{ "imputed_value_floats", F_REALS, offsetof(struct imputer, reals), .def = "", .help = "by column" },
	{ "imputed_value_int64s", F_INTS, offsetof(struct imputer, ints), .def = "", .help = "by column" },
	{ "replaced_value_float", F_REAL, offsetof(struct imputer, missing), .def = "0",
	  .help = "stands for missing" },
	{ "replaced_value_int64", F_INT, offsetof(struct imputer, missing_int), .def = "0",
	  .help = "stands for missing" },
	{ .name = NULL }
};
static const struct onx_table imputer_attr = { "Imputer", sizeof(struct imputer), imputer_field, .check = NULL };

static int imputer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct imputer *a = attr;
	struct columns *g = NULL;
	int rc = want_columns(s, &g, e);

	if (rc < 0)
		return rc;
	const bool is_real = onx_dtype_real(s->in[0].type);
	const size_t n = is_real ? a->reals.n : a->ints.n;
	if (n == 0)
		return onx_fail(e, ONX_FORMAT, "no imputed values for an input of %s",
				onx_dtype_name(s->in[0].type));
	if ((rc = want_list("the list of imputed values", n, g->cols, e)) == ONX_OK)
		onx_set_out(s, 0, s->in[0].type, &s->in[0].shape);
	return rc;
}

static bool missing(double x, double what)
{
	return x == what || (isnan(x) && isnan(what));
}

static void imputer_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct columns *g = c->geo;
	const struct imputer *a = c->attr;
	const struct onx_view *x = &c->x[0], *y = &c->y[0];

	for (size_t i = lo; i < hi; i++) {
		if (onx_dtype_real(x->type)) {
			const double v = onx_view_real(x, i);
			onx_view_put_real(y, i, missing(v, a->missing) ? of_column(&a->reals, i % g->cols, 0) : v);
		} else {
			const int64_t v = onx_view_int(x, i);
			onx_view_put_int(y, i, v == a->missing_int ? a->ints.v[a->ints.n == 1 ? 0 : i % g->cols] : v);
		}
	}
}

static void imputer_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, imputer_range, c);
}

static void imputer_back_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct onx_view *dx = &c->dx[0];
	const struct imputer *a = c->attr;

	for (size_t i = lo; i < hi; i++)
		onx_view_put_real(dx, i, (dx->add ? onx_view_real(dx, i) : 0) +
				  (missing(onx_view_real(&c->x[0], i), a->missing) ? 0
				   : onx_view_real(&c->dy[0], i)));
}

static void imputer_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_each(c->pool, c->dx[0].n, ONX_GRAIN, imputer_back_range, c);
}

/* ---- Binarizer: y = 1 where x > threshold, else 0 ---- */

struct binarizer { double threshold; };
static const struct onx_field binarizer_field[] = {
	{ "threshold", F_REAL, offsetof(struct binarizer, threshold), .def = "0", .help = "0 up to here" },
	{ .name = NULL }
};
static const struct onx_table binarizer_attr = { "Binarizer", sizeof(struct binarizer), binarizer_field,
						 .check = NULL };

static int binarizer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_class class = onx_dtype_class(s->in[0].type);

	if (class != ONX_CLASS_REAL && class != ONX_CLASS_INT)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a number", onx_dtype_name(s->in[0].type));
	return onx_infer_same_any(s, attr, e);
}

static void binarizer_forward(const struct onx_call *c)
{
	const double t = ((const struct binarizer *)c->attr)->threshold;
	const struct onx_view *x = &c->x[0], *y = &c->y[0];

	for (size_t i = 0; i < y->n; i++)
		if (onx_dtype_real(x->type))
			onx_view_put_real(y, i, onx_view_real(x, i) > t);
		else
			onx_view_put_int(y, i, (double)onx_view_int(x, i) > t);
}

/* ---- Normalizer: each row divided by its largest element, its sum of magnitudes or its length; a row of
 * zeros stays as it is ---- */

struct normalizer { int norm; };
enum { NORM_MAX, NORM_L1, NORM_L2 };
static const char *const norms[] = { "MAX", "L1", "L2", NULL };
static const struct onx_field normalizer_field[] = {
	{ "norm", F_ENUM, offsetof(struct normalizer, norm), .def = "MAX", .choices = norms,
	  .help = "what becomes 1" },
	{ .name = NULL }
};
static const struct onx_table normalizer_attr = { "Normalizer", sizeof(struct normalizer), normalizer_field,
						  .check = NULL };

static int normalizer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct columns *g = NULL;
	int rc = want_columns(s, &g, e);

	(void)attr;
	if (rc == ONX_OK)
		onx_set_out(s, 0, ONX_FLOAT, &s->in[0].shape);
	return rc;
}

static size_t normalizer_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return onx_ml_scratch(((const struct columns *)s->geo)->cols, threads);
}

/* The norm of a row; *best: which element it is, for MAX. */
static double norm_of(int kind, const double *x, size_t n, size_t *best)
{
	double sum = 0;

	*best = onx_ml_best(x, n);
	if (kind == NORM_MAX)
		return n ? x[*best] : 0;
	for (size_t i = 0; i < n; i++)
		sum += kind == NORM_L1 ? fabs(x[i]) : x[i] * x[i];
	return kind == NORM_L1 ? sum : sqrt(sum);
}

static void normalize(const struct onx_call *c, size_t row, double *x)
{
	const struct columns *g = c->geo;
	size_t best;

	onx_ml_row(&c->x[0], row, g->cols, x);
	const double norm = norm_of(((const struct normalizer *)c->attr)->norm, x, g->cols, &best);
	for (size_t i = 0; i < g->cols; i++)
		onx_view_put_real(&c->y[0], row * g->cols + i, norm == 0 ? x[i] : x[i] / norm);
}

static void normalizer_forward(const struct onx_call *c)
{
	const struct columns *g = c->geo;

	onx_ml_each(c, g->rows, g->cols, normalize);
}

/* dx = (dy - norm'(x) sum(dy x) / norm) / norm with norm' = 1 at the largest, sign(x), or x / norm */
static void normalize_back(const struct onx_call *c, size_t row, double *x)
{
	const struct columns *g = c->geo;
	const struct onx_view *dx = &c->dx[0], *dy = &c->dy[0];
	const int kind = ((const struct normalizer *)c->attr)->norm;
	size_t best;
	double dot = 0;

	onx_ml_row(&c->x[0], row, g->cols, x);
	const double norm = norm_of(kind, x, g->cols, &best);
	for (size_t i = 0; i < g->cols; i++)
		dot += onx_view_real(dy, row * g->cols + i) * x[i];
	for (size_t i = 0; i < g->cols; i++) {
		const size_t at = row * g->cols + i;
		const double slope = kind == NORM_MAX ? i == best
				     : kind == NORM_L1 ? (x[i] > 0) - (x[i] < 0) : norm == 0 ? 0 : x[i] / norm;
		double d = onx_view_real(dy, at);
		if (norm != 0)
			d = (d - slope * dot / norm) / norm;
		onx_view_put_real(dx, at, d + (dx->add ? onx_view_real(dx, at) : 0));
	}
}

static void normalizer_backward(const struct onx_call *c)
{
	const struct columns *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, g->cols, normalize_back);
}

static const char *const scaler_lifted[] = { "offset", "scale", NULL };
#define ML(name, hi, ...) \
	{ .domain = ONX_ML, .type = #name, .since = 1, .min_in = 1, .max_in = hi, .min_out = 1, .max_out = 1, \
	  .flags = ONX_OP_WIDTHS, __VA_ARGS__ }
const struct onx_op ONX_R(onx_ops_mlscale)[] = {
	ML(Scaler, 3, .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 3, .weight = 6, .lift = scaler_lifted,
	   .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .attr = &scaler_attr, .infer = scaler_infer,
	   .forward = scaler_forward, .backward = scaler_backward),
	ML(Imputer, 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0), .attr = &imputer_attr,
	   .infer = imputer_infer, .forward = imputer_forward, .backward = imputer_backward),
	ML(Binarizer, 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .attr = &binarizer_attr,
	   .infer = binarizer_infer, .forward = binarizer_forward),
	ML(Normalizer, 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0), .attr = &normalizer_attr,
	   .infer = normalizer_infer, .scratch = normalizer_scratch, .forward = normalizer_forward,
	   .backward = normalizer_backward),
	{ .type = NULL }
};
