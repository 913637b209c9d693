/* op/loss.c -- losses over classes: SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss of the
 * standard, and our CrossEntropy (F.cross_entropy of PyTorch, with class weights, label smoothing and
 * ignore_index).  With p = log softmax(x), t the label, w the class weights, s the smoothing:
 *     loss_i = -(1-s) w[t] p[t] - s/C sum_c w[c] p[c]
 * and the mean divides by the sum of w[t] over the labels that are not ignored, or by scale_n.
 * A label outside the classes makes the loss NaN. */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

enum reduction { R_NONE, R_MEAN, R_SUM };
struct loss { double smooth, scale_n; int64_t ignore; int reduction; uint64_t given; };

static const char *const reductions[] = { "none", "mean", "sum", NULL };
#define IGNORE { .name = "ignore_index", .kind = F_INT, .off = offsetof(struct loss, ignore), .def = "-100", \
	.help = "label that counts nothing" }
static const struct onx_field onnx_field[] = {
	IGNORE,
	{ .name = "reduction", .kind = F_ENUM, .off = offsetof(struct loss, reduction), .def = "mean",
	  .choices = reductions, .help = "what becomes of the losses of the samples" },
	{ .name = NULL }
};
static const struct onx_field cross_field[] = {
	IGNORE,
	{ .name = "label_smoothing", .kind = F_REAL, .off = offsetof(struct loss, smooth), .def = "0",
	  .min = 0, .max = 1, .help = "share of the label that is spread over all classes" },
	{ .name = "scale_n", .kind = F_REAL, .off = offsetof(struct loss, scale_n), .def = "0", .min = 0,
	  .max = 1e18, .help = "what the sum is divided by; 0: the weights of the batch's own labels" },
	{ .name = NULL }
};
static const struct onx_table onnx_attr = { .name = "loss", .size = sizeof(struct loss),
					    .field = onnx_field, .given = offsetof(struct loss, given) };
static const struct onx_table cross_attr = { .name = "CrossEntropy", .size = sizeof(struct loss),
					     .field = cross_field };

/* Positions: the samples times whatever follows the class dimension. */
struct job {
	const struct onx_call *c;
	const struct loss *p;
	size_t n, classes, inner;       /* n positions */
	const real *w;                  /* class weights or NULL */
	bool logs, ignoring;            /* inputs are log-probabilities; ignore_index is on */
	double *lse, *loss;             /* in save: log of the sum of exponentials; loss of each position */
	double by;                      /* gradient: of the scalar, divided by what the mean divides by */
};

static struct job make_job(const struct onx_call *c, bool logs, bool cross)
{
	struct job j = { .c = c, .p = c->attr, .n = c->x[1].n, .inner = 1, .logs = logs, .lse = c->save };

	j.classes = (size_t)c->x[0].dim[1];
	for (int d = 2; d < c->x[0].rank; d++)
		j.inner *= (size_t)c->x[0].dim[d];
	j.w = c->n_x > 2 ? c->x[2].v : NULL;
	j.loss = j.lse + j.n;
	j.ignoring = cross || onx_given(&onnx_attr, c->attr, "ignore_index");
	return j;
}

static size_t base_of(const struct job *j, size_t i)
{
	return i / j->inner * j->classes * j->inner + i % j->inner;
}

static double weight(const struct job *j, size_t class)
{
	return j->w ? (double)j->w[class] : 1;
}

/* The label, -1 if it is ignored, -2 if there is no such class. */
static int64_t label_of(const struct job *j, size_t i)
{
	const int64_t t = onx_view_int(&j->c->x[1], i);

	if (j->ignoring && t == j->p->ignore)
		return -1;
	return t < 0 || t >= (int64_t)j->classes ? -2 : t;
}

static double log_sum_exp(const struct job *j, const real *x)
{
	double top = (double)x[0], sum = 0;

	for (size_t k = 1; k < j->classes; k++)
		top = (double)x[k * j->inner] > top ? (double)x[k * j->inner] : top;
	for (size_t k = 0; k < j->classes; k++)
		sum += exp((double)x[k * j->inner] - top);
	return top + log(sum);
}

static void loss_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const double s = j->p->smooth;

	for (size_t i = lo; i < hi; i++) {
		const real *x = (const real *)j->c->x[0].v + base_of(j, i);
		const int64_t t = label_of(j, i);
		const double lse = j->logs ? 0 : log_sum_exp(j, x);
		double even = 0, sum = t == -2 ? NAN : 0;
		if (t >= 0)
			sum = (1 - s) * weight(j, (size_t)t) * (lse - (double)x[(size_t)t * j->inner]);
		for (size_t k = 0; s > 0 && t >= 0 && k < j->classes; k++)
			even += weight(j, k) * (lse - (double)x[k * j->inner]);
		j->lse[i] = lse;
		j->loss[i] = sum + s / (double)j->classes * even;
	}
}

/* What the mean divides by. */
static double divisor(const struct job *j)
{
	double sum = 0;

	if (j->p->scale_n > 0)
		return j->p->scale_n;
	for (size_t i = 0; i < j->n; i++) {
		const int64_t t = label_of(j, i);
		sum += t >= 0 ? weight(j, (size_t)t) : 0;
	}
	return sum;
}

static void put_log_prob(const struct job *j)
{
	real *y = j->c->y[1].v;
	const real *x = j->c->x[0].v;

	for (size_t i = 0; i < j->n; i++)
		for (size_t k = 0; k < j->classes; k++) {
			const size_t at = base_of(j, i) + k * j->inner;
			y[at] = (real)((double)x[at] - j->lse[i]);
		}
}

static void forward(const struct job *j, int reduction)
{
	real *y = j->c->y[0].v;
	double sum = 0;

	onx_each(j->c->pool, j->n, onx_pieces(ONX_GRAIN, j->classes), loss_range, j);
	for (size_t i = 0; i < j->n; i++) {
		sum += j->loss[i];
		if (reduction == R_NONE)
			y[i] = (real)j->loss[i];
	}
	if (reduction != R_NONE)
		y[0] = (real)(reduction == R_MEAN ? sum / divisor(j) : sum);
}

/* dx = by * ((1-s) w[t] + s/C sum w) softmax - by * ((1-s) w[t] [c == t] + s/C w[c]), and through the
 * log-probabilities, if they are an output with a gradient d: d - softmax * sum d. */
static void slope_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct onx_call *c = j->c;
	const double s = j->p->smooth, each = s / (double)j->classes;
	const real *dlog = c->n_y > 1 && !j->logs && c->x[0].n == c->dy[1].n ? c->dy[1].v : NULL;
	const real *dy = c->dy[0].v;

	for (size_t i = lo; i < hi; i++) {
		const size_t at = base_of(j, i);
		const real *x = (const real *)c->x[0].v + at;
		real *dx = (real *)c->dx[0].v + at;
		const int64_t t = label_of(j, i);
		const double by = !dy || t < 0 ? 0 : c->dy[0].n == 1 && c->y[0].rank == 0 ? j->by
				 : (double)dy[i];
		const double wt = t < 0 ? 0 : (1 - s) * weight(j, (size_t)t);
		double mass = wt, dsum = 0;
		for (size_t k = 0; k < j->classes; k++) {
			mass += s > 0 ? each * weight(j, k) : 0;
			dsum += dlog ? (double)dlog[at + k * j->inner] : 0;
		}
		for (size_t k = 0; k < j->classes; k++) {
			const size_t o = k * j->inner;
			const double soft = j->logs ? 0 : exp((double)x[o] - j->lse[i]);
			double d = by * (mass * soft - (s > 0 ? each * weight(j, k) : 0));
			d -= (int64_t)k == t ? by * wt : 0;
			d += dlog ? (double)dlog[at + o] - soft * dsum : 0;
			onx_put(&dx[o], c->dx[0].add, (real)d);
		}
	}
}

static void backward(struct job *j, int reduction)
{
	const struct onx_call *c = j->c;

	if (!c->dx[0].v)
		return;
	j->by = c->dy[0].v ? (double)*(const real *)c->dy[0].v : 0;
	if (reduction == R_MEAN)
		j->by /= divisor(j);
	onx_each(c->pool, j->n, onx_pieces(ONX_GRAIN, j->classes), slope_range, j);
}

static void onnx_run(const struct onx_call *c, bool logs, bool back)
{
	struct job j = make_job(c, logs, false);

	if (back) {
		backward(&j, j.p->reduction);
		return;
	}
	forward(&j, j.p->reduction);
	if (c->n_y > 1 && c->y[1].v)
		put_log_prob(&j);
}

static void softmax_forward(const struct onx_call *c)  { onnx_run(c, false, false); }
static void softmax_backward(const struct onx_call *c) { onnx_run(c, false, true); }
static void nll_forward(const struct onx_call *c)      { onnx_run(c, true, false); }
static void nll_backward(const struct onx_call *c)     { onnx_run(c, true, true); }

static void cross_forward(const struct onx_call *c)
{
	const struct job j = make_job(c, false, true);

	forward(&j, R_MEAN);
	for (size_t i = 0; c->n_y > 1 && c->y[1].v && i < j.n; i++)
		((real *)c->y[1].v)[i] = (real)j.loss[i];
}

/* The second output is for reports and has no gradient. */
static void cross_backward(const struct onx_call *c)
{
	struct job j = make_job(c, false, true);
	struct onx_call first = *c;

	first.n_y = 1;
	j.c = &first;
	backward(&j, R_MEAN);
}

static size_t saved(const struct onx_infer *s, const void *attr)
{
	struct onx_err e;
	size_t n = 0;

	(void)attr;
	if (onx_count(s->in[1].shape.rank, s->in[1].shape.dim, &n, &e) < 0)
		return 0;
	return 2 * n * sizeof(double);
}

static int check_inputs(struct onx_infer *s, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *t = &s->in[1].shape;
	char a[ONX_SHAPE_TEXT], b[ONX_SHAPE_TEXT];
	size_t n;
	int rc = onx_want_real(s, 0, e);

	if (rc == ONX_OK && s->in[1].type != ONX_INT32)
		rc = onx_want_type(s, 1, ONX_INT64, e);
	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 2, ONX_RANK, e);
	if (rc == ONX_OK)
		rc = onx_count(x->rank, x->dim, &n, e);
	if (rc < 0)
		return rc;
	bool fits = t->rank == x->rank - 1 && t->dim[0] == x->dim[0] && x->dim[1] > 0;
	for (int d = 1; fits && d < t->rank; d++)
		fits = t->dim[d] == x->dim[d + 1];
	if (!fits)
		return onx_fail(e, ONX_SHAPE, "scores have shape %s, labels %s, wanted [N,C,...] and [N,...]",
				onx_shape_text(x->rank, x->dim, a, sizeof a),
				onx_shape_text(t->rank, t->dim, b, sizeof b));
	if (!onx_has_in(s, 2))
		return ONX_OK;
	rc = onx_want_same_type(s, 0, 2, e);
	if (rc == ONX_OK && (s->in[2].shape.rank != 1 || s->in[2].shape.dim[0] != x->dim[1]))
		return onx_fail(e, ONX_SHAPE, "class weights have shape %s, wanted [%lld]",
				onx_shape_text(s->in[2].shape.rank, s->in[2].shape.dim, a, sizeof a),
				(long long)x->dim[1]);
	return rc;
}

static int onnx_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct loss *p = attr;
	const struct onx_shape scalar = { .rank = 0 };
	int rc = check_inputs(s, e);

	onx_set_out(s, 0, s->in[0].type, p->reduction == R_NONE ? &s->in[1].shape : &scalar);
	onx_set_out(s, 1, s->in[0].type, &s->in[0].shape);
	return rc;
}

static int cross_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape scalar = { .rank = 0 };
	int rc = check_inputs(s, e);

	(void)attr;
	onx_set_out(s, 0, s->in[0].type, &scalar);
	onx_set_out(s, 1, s->in[0].type, &s->in[1].shape);
	return rc;
}

#define ROW(dom, name, since_, outs, attr_)                                                  \
	{ .domain = dom, .type = name, .since = since_, .min_in = 2, .max_in = 3, .min_out = 1, \
	  .max_out = outs, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,                 \
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2), .flags = ONX_OP_LOSS, .attr = &attr_

const struct onx_op ONX_R(onx_ops_loss)[] = {
	ROW("", "SoftmaxCrossEntropyLoss", 12, 2, onnx_attr), .infer = onnx_infer, .saved = saved,
	  .forward = softmax_forward, .backward = softmax_backward },
	ROW("", "NegativeLogLikelihoodLoss", 12, 1, onnx_attr), .infer = onnx_infer, .saved = saved,
	  .forward = nll_forward, .backward = nll_backward },
	ROW("onnx_adapt", "CrossEntropy", 1, 2, cross_attr), .infer = cross_infer, .saved = saved,
	  .forward = cross_forward, .backward = cross_backward },
	{ .type = NULL }
};
