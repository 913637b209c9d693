/* op/mllinear.c -- LinearClassifier and LinearRegressor of ai.onnx.ml: scores = X W' + b, then a transform
 * and, for the classifier, the label of the best.  LinearScores is the classifier's scores before all that: what a
 * loss works on (rewrite/scores.h). */
#include "op/ml.h"
#include <string.h>

struct linear {
	struct onx_reals coef, intercept;
	struct onx_labels labels;
	int64_t multi_class, targets;
	int post;
};
#define COMMON \
	{ "coefficients", F_REALS, offsetof(struct linear, coef), .def = "", .help = "W [E][C]" }, \
	{ "intercepts", F_REALS, offsetof(struct linear, intercept), .def = "", .help = "b [E]" }, \
	{ "post_transform", F_ENUM, offsetof(struct linear, post), .def = "NONE", .choices = onx_post_names, \
	  .help = "what acts on the scores" }
static const struct onx_field classifier_field[] = {
	COMMON,
	{ "classlabels_ints", F_INTS, offsetof(struct linear, labels.ints), .def = "", .help = "of the classes" },
	{ "classlabels_strings", F_STRS, offsetof(struct linear, labels.strings), .def = "",
	  .help = "of the classes" },
	{ "multi_class", F_INT, offsetof(struct linear, multi_class), .def = "0",
	  .help = "one against the rest or all together; the arithmetic is the same" },
	{ .name = NULL }
};
static const struct onx_field regressor_field[] = {
	COMMON,
	{ "targets", F_INT, offsetof(struct linear, targets), .def = "1", .min = 1, .max = 1e9,
	  .help = "number of outputs" },
	{ .name = NULL }
};
static const struct onx_table classifier_table = { "LinearClassifier", sizeof(struct linear), classifier_field,
						   .check = NULL };
static const struct onx_table regressor_table = { "LinearRegressor", sizeof(struct linear), regressor_field,
						  .check = NULL };

/* twice: one row of W tells two classes apart, with scores -s and s. */
struct geo { size_t rows, cols, n, outs, labels; bool twice; enum onx_post post; };

/* W and b are attributes, or inputs 1 and 2 (op.h, lift). */
static size_t count(const struct onx_infer *s, int i, const struct onx_reals *list)
{
	const struct onx_shape *w = onx_has_in(s, i) ? &s->in[i].shape : NULL;

	return !w ? list->n : w->rank == 1 ? (size_t)w->dim[0] : 0;
}

static double weight(const struct onx_call *c, int i, const struct onx_reals *list, size_t at)
{
	return c->n_x > i && c->x[i].v ? onx_view_real(&c->x[i], at) : list->v[at];
}

static double intercept(const struct onx_call *c, size_t k)
{
	const struct linear *a = c->attr;

	return a->intercept.n || (c->n_x > 2 && c->x[2].v) ? weight(c, 2, &a->intercept, k) : 0;
}

static int shape(struct onx_infer *s, const struct linear *a, struct geo *g, struct onx_err *e)
{
	const size_t coef = count(s, 1, &a->coef), intercepts = count(s, 2, &a->intercept);
	int rc = onx_ml_rows(s, 0, &g->rows, &g->cols, e);

	for (int i = 1; i < 3 && rc == ONX_OK; i++)
		rc = onx_has_in(s, i) ? onx_want_real(s, i, e) : ONX_OK;
	if (rc < 0)
		return rc;
	if (g->n == 0 || g->cols == 0 || coef / g->n != g->cols || coef % g->n != 0)
		return onx_fail(e, ONX_SHAPE, "%zu coefficients do not make %zu rows of %zu", coef, g->n, g->cols);
	if ((intercepts || onx_has_in(s, 2)) && intercepts != g->n)
		return onx_fail(e, ONX_SHAPE, "%zu intercepts, wanted %zu", intercepts, g->n);
	return ONX_OK;
}

static int classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct linear *a = attr;
	struct geo *g = ONX_NEW(s->mem, struct geo);
	enum onx_dtype type;

	if (!g)
		return onx_nomem(e, sizeof *g, "a classifier");
	int rc = onx_ml_labels(&a->labels, &g->labels, &type, e);
	if (rc < 0)
		return rc;
	const struct onx_shape *x = &s->in[0].shape;
	const size_t cols = x->rank > 0 ? (size_t)x->dim[x->rank - 1] : 0;
	const size_t intercepts = count(s, 2, &a->intercept);
	g->n = intercepts ? intercepts : cols ? count(s, 1, &a->coef) / cols : 0;
	if ((rc = shape(s, a, g, e)) < 0)
		return rc;
	g->twice = g->n == 1 && g->labels == 2;
	g->outs = g->twice ? 2 : g->n;
	if (g->labels && g->labels != g->outs)
		return onx_fail(e, ONX_SHAPE, "%zu class labels for %zu scores", g->labels, g->outs);
	const struct onx_shape y = { 1, { (int64_t)g->rows } };
	const struct onx_shape z = { 2, { (int64_t)g->rows, (int64_t)g->outs } };
	g->post = (enum onx_post)a->post;
	s->geo = g;
	if (s->n_out > 1) {
		onx_set_out(s, 0, type, &y);
		onx_set_out(s, 1, ONX_FLOAT, &z);
	} else {
		onx_set_out(s, 0, ONX_FLOAT, &z);
	}
	return ONX_OK;
}

static int scores_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = classifier_infer(s, attr, e);

	if (rc == ONX_OK)
		((struct geo *)s->geo)->post = ONX_POST_NONE;
	return rc;
}

static int regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct linear *a = attr;
	struct geo *g = ONX_NEW(s->mem, struct geo);

	if (!g)
		return onx_nomem(e, sizeof *g, "a regressor");
	g->n = g->outs = (size_t)a->targets;
	g->post = (enum onx_post)a->post;
	int rc = shape(s, a, g, e);
	if (rc < 0)
		return rc;
	const struct onx_shape y = { 2, { (int64_t)g->rows, (int64_t)g->n } };
	s->geo = g;
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}

static size_t work(const struct geo *g)
{
	return g->cols + 3 * g->outs;
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;
	const size_t rows = onx_ml_scratch(work(g), threads), weights = work(g) + g->n * g->cols + g->n;

	(void)attr;
	return backward && rows < weights * sizeof(double) ? weights * sizeof(double) : rows;
}

static double macs(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;

	(void)attr;
	return (double)g->rows * (double)g->cols * (double)g->n;
}

/* s [outs] of one row; x [cols] is filled on the way. */
static void score(const struct onx_call *c, size_t row, double *x, double *s)
{
	const struct geo *g = c->geo;
	const struct linear *a = c->attr;

	onx_ml_row(&c->x[0], row, g->cols, x);
	for (size_t k = 0; k < g->n; k++) {
		double sum = intercept(c, k);
		for (size_t i = 0; i < g->cols; i++)
			sum += weight(c, 1, &a->coef, k * g->cols + i) * x[i];
		s[k] = sum;
	}
	if (g->twice) {
		s[1] = s[0];
		s[0] = -s[1];
	}
}

static void put(const struct onx_view *y, size_t row, const double *s, size_t n)
{
	for (size_t k = 0; y->v && k < n; k++)
		onx_view_put_real(y, row * n + k, s[k]);
}

/* Y = label of the largest Z = f(X W' + b).  One score alone: the label where it is at least 0 (1/2 after a
 * transform), else 0. */
static void classify(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;
	const struct linear *a = c->attr;
	double *s = mem + g->cols;

	score(c, row, mem, s);
	onx_ml_post(g->post, s, g->outs);
	if (c->n_y > 1)
		put(&c->y[1], row, s, g->outs);
	if (g->outs > 1)
		onx_ml_put_label(&a->labels, &c->y[0], row, onx_ml_best(s, g->outs));
	else if (s[0] >= (g->post == ONX_POST_NONE ? 0 : 0.5))
		onx_ml_put_label(&a->labels, &c->y[0], row, g->labels ? 0 : 1);
	else if (c->y[0].v && c->y[0].type == ONX_STRING)
		((const char **)c->y[0].v)[row] = "";
	else if (c->y[0].v)
		onx_view_put_int(&c->y[0], row, 0);
}

static void classifier_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), classify);
}

static void regress(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;

	score(c, row, mem, mem + g->cols);
	onx_ml_post(g->post, mem + g->cols, g->outs);
	put(&c->y[0], row, mem + g->cols, g->outs);
}

static void regressor_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), regress);
}

/* d [n]: the gradient of one row before the transform; mem: x, s, y, d */
static double *row_slope(const struct onx_call *c, size_t row, double *mem, const struct onx_view *dy)
{
	const struct geo *g = c->geo;
	double *s = mem + g->cols, *y = s + g->outs, *d = y + g->outs;

	score(c, row, mem, s);
	memcpy(y, s, g->outs * sizeof *y);
	onx_ml_post(g->post, y, g->outs);
	for (size_t k = 0; k < g->outs; k++)
		d[k] = onx_view_real(dy, row * g->outs + k);
	onx_ml_post_back(g->post, s, y, d, g->outs);
	if (g->twice)
		d[0] = d[1] - d[0];
	return d;
}

/* dX = d W */
static void row_back(const struct onx_call *c, size_t row, double *mem, const struct onx_view *dy)
{
	const struct geo *g = c->geo;
	const struct linear *a = c->attr;
	const struct onx_view *dx = &c->dx[0];
	const double *d = row_slope(c, row, mem, dy);

	for (size_t i = 0; i < g->cols; i++) {
		double sum = dx->add ? onx_view_real(dx, row * g->cols + i) : 0;
		for (size_t k = 0; k < g->n; k++)
			sum += d[k] * weight(c, 1, &a->coef, k * g->cols + i);
		onx_view_put_real(dx, row * g->cols + i, sum);
	}
}

static void add_out(const struct onx_view *to, const double *sum)
{
	for (size_t i = 0; to->v && i < to->n; i++)
		onx_view_put_real(to, i, sum[i] + (to->add ? onx_view_real(to, i) : 0));
}

/* dW = d' X, db = the sum of d, over the rows in order. */
static void weights_back(const struct onx_call *c, const struct onx_view *dy)
{
	const struct geo *g = c->geo;
	static const struct onx_view none;
	const struct onx_view *dw = c->n_x > 1 ? &c->dx[1] : &none, *db = c->n_x > 2 ? &c->dx[2] : &none;
	double *mem = c->scratch, *w = mem + work(g), *b = w + g->n * g->cols;

	if (!dw->v && !db->v)
		return;
	memset(w, 0, (g->n * g->cols + g->n) * sizeof *w);
	for (size_t row = 0; row < g->rows; row++) {
		const double *d = row_slope(c, row, mem, dy);
		for (size_t k = 0; k < g->n; k++) {
			b[k] += d[k];
			for (size_t i = 0; i < g->cols; i++)
				w[k * g->cols + i] += d[k] * mem[i];
		}
	}
	add_out(dw, w);
	add_out(db, b);
}

static void classify_back(const struct onx_call *c, size_t row, double *mem)
{
	row_back(c, row, mem, &c->dy[1]);
}

static void regress_back(const struct onx_call *c, size_t row, double *mem)
{
	row_back(c, row, mem, &c->dy[0]);
}

static void classifier_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work(g), classify_back);
	weights_back(c, &c->dy[1]);
}

static void regressor_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work(g), regress_back);
	weights_back(c, &c->dy[0]);
}

static const char *const lifted[] = { "coefficients", "intercepts", NULL };
#define LINEAR(dom, name, outs, part, attr_, bodies) \
	{ .domain = dom, .type = name, .since = 1, .min_in = 1, .max_in = 3, .min_out = 1, .max_out = outs, \
	  .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 3, .weight = 6, .lift = lifted,      \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .flags = ONX_OP_WIDTHS,                 \
	  .attr = &attr_##_table, .infer = part##_infer, .scratch = scratch, .macs = macs,             \
	  .forward = bodies##_forward, .backward = bodies##_backward }
const struct onx_op ONX_R(onx_ops_mllinear)[] = {
	LINEAR(ONX_ML, "LinearClassifier", 2, classifier, classifier, classifier),
	LINEAR(ONX_ML, "LinearRegressor", 1, regressor, regressor, regressor),
	LINEAR("onnx_adapt", "LinearScores", 1, scores, classifier, regressor),
	{ .type = NULL }
};
