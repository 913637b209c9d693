/* op/mlsvm.c -- SVMClassifier and SVMRegressor of ai.onnx.ml: libsvm's decision functions (Chang and Lin, LIBSVM:
 * a library for support vector machines, sections 4 and 8). */
#include "op/ml.h"
#include <string.h>

enum kernel { LINEAR, POLY, RBF, SIGMOID };
static const char *const kernels[] = { "LINEAR", "POLY", "RBF", "SIGMOID", NULL };

struct svm {
	struct onx_reals coef, params, prob_a, prob_b, rho, vector;
	struct onx_ints per_class;
	struct onx_labels labels;
	int64_t one_class, n_supports, n_targets;
	int kernel, post;
};
#define COMMON                                                                                         \
	{ "coefficients", F_REALS, offsetof(struct svm, coef), .def = "", .help = "of the support vectors" },  \
	{ "kernel_params", F_REALS, offsetof(struct svm, params), .def = "", .help = "gamma, coef0, degree" }, \
	{ "kernel_type", F_ENUM, offsetof(struct svm, kernel), .def = "LINEAR", .choices = kernels,           \
	  .help = "the kernel" },                                                                              \
	{ "post_transform", F_ENUM, offsetof(struct svm, post), .def = "NONE", .choices = onx_post_names,      \
	  .help = "what acts on the scores" },                                                                 \
	{ "rho", F_REALS, offsetof(struct svm, rho), .def = "", .help = "added to each decision" },            \
	{ "support_vectors", F_REALS, offsetof(struct svm, vector), .def = "", .help = "[S][C]" }
static const struct onx_field classifier_field[] = {
	COMMON,
	{ "classlabels_ints", F_INTS, offsetof(struct svm, labels.ints), .def = "", .help = "of the classes" },
	{ "classlabels_strings", F_STRS, offsetof(struct svm, labels.strings), .def = "",
	  .help = "of the classes" },
	{ "prob_a", F_REALS, offsetof(struct svm, prob_a), .def = "", .help = "slopes of the sigmoids of pairs" },
	{ "prob_b", F_REALS, offsetof(struct svm, prob_b), .def = "", .help = "their offsets" },
	{ "vectors_per_class", F_INTS, offsetof(struct svm, per_class), .def = "",
	  .help = "support vectors of each class; none: a linear model" },
	{ .name = NULL }
};
static const struct onx_field regressor_field[] = {
	COMMON,
	{ "n_supports", F_INT, offsetof(struct svm, n_supports), .def = "0", .min = 0, .max = 1e9,
	  .help = "support vectors; 0: a linear model" },
	{ "n_targets", F_INT, offsetof(struct svm, n_targets), .def = "1", .help = "one is all there can be" },
	{ "one_class", F_INT, offsetof(struct svm, one_class), .def = "0", .help = "1: 1 or -1 by the sign" },
	{ .name = NULL }
};
static const struct onx_table classifier_table = { "SVMClassifier", sizeof(struct svm), classifier_field,
						   .check = NULL };
static const struct onx_table regressor_table = { "SVMRegressor", sizeof(struct svm), regressor_field,
						  .check = NULL };

struct geo {
	size_t rows, cols, vectors;     /* vectors 0: linear                                        */
	size_t classes, pairs, outs;
	const size_t *first;            /* by class: its first vector                               */
	bool prob, twice;               /* twice: one decision, given as -s and s                   */
	double gamma, coef0, degree;
};

static int want(const char *name, size_t have, size_t n, struct onx_err *e)
{
	return have == n ? ONX_OK
	       : onx_fail(e, ONX_FORMAT, "%s has %zu numbers, wanted %zu", name, have, n);
}

static int open(struct onx_infer *s, const struct svm *a, struct geo **out, struct onx_err *e)
{
	struct geo *g = ONX_NEW(s->mem, struct geo);

	if (!g)
		return onx_nomem(e, sizeof *g, "an SVM");
	if (a->params.n && a->params.n < 3)
		return onx_fail(e, ONX_FORMAT, "kernel_params has %zu numbers, wanted 3", a->params.n);
	if (a->params.n) {
		g->gamma = a->params.v[0];
		g->coef0 = a->params.v[1];
		g->degree = a->params.v[2];
	}
	*out = s->geo = g;
	return onx_ml_rows(s, 0, &g->rows, &g->cols, e);
}

static int of_classes(struct onx_infer *s, const struct svm *a, struct geo *g, struct onx_err *e)
{
	size_t *first = ONX_NEWS(s->mem, size_t, g->classes + 1);
	int rc = want("vectors_per_class", a->per_class.n, g->classes, e);

	if (rc < 0 || !first)
		return rc < 0 ? rc : onx_nomem(e, (double)g->classes * 8, "an SVM");
	for (size_t i = 0; i < g->classes; i++) {
		if (a->per_class.v[i] < 0 || a->per_class.v[i] > 1 << 30)
			return onx_fail(e, ONX_FORMAT, "vectors_per_class holds %lld", (long long)a->per_class.v[i]);
		first[i] = g->vectors;
		g->vectors += (size_t)a->per_class.v[i];
	}
	first[g->classes] = g->vectors;
	g->first = first;
	g->pairs = g->classes * (g->classes - 1) / 2;
	g->prob = a->prob_a.n > 0;
	if ((rc = want("support_vectors", a->vector.n, g->vectors * g->cols, e)) < 0 ||
	    (rc = want("coefficients", a->coef.n, g->vectors * (g->classes - 1), e)) < 0 ||
	    (rc = want("rho", a->rho.n, g->pairs, e)) < 0)
		return rc;
	if (g->prob && ((rc = want("prob_a", a->prob_a.n, g->pairs, e)) < 0 ||
			(rc = want("prob_b", a->prob_b.n, g->pairs, e)) < 0))
		return rc;
	g->outs = g->prob ? g->classes : g->pairs;
	return ONX_OK;
}

static int classifier_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct svm *a = attr;
	struct geo *g = NULL;
	enum onx_dtype type;
	size_t n;
	int rc = onx_ml_labels(&a->labels, &n, &type, e);

	if (rc < 0 || (rc = open(s, a, &g, e)) < 0)
		return rc;
	g->classes = n ? n : 1;
	if (a->per_class.n) {
		if (n < 2 || n > 4096)
			return onx_fail(e, ONX_FORMAT, "support vectors of %zu classes", n);
		rc = of_classes(s, a, g, e);
	} else {
		g->outs = g->classes;
		rc = want("coefficients", a->coef.n, g->classes * g->cols, e);
		if (rc == ONX_OK && a->rho.n == 0)
			rc = want("rho", 0, 1, e);
	}
	if (rc < 0)
		return rc;
	g->twice = g->outs == 1 && g->classes == 2;
	g->outs += g->twice;
	const struct onx_shape y = { 1, { (int64_t)g->rows } };
	const struct onx_shape z = { 2, { (int64_t)g->rows, (int64_t)g->outs } };
	onx_set_out(s, 0, type, &y);
	onx_set_out(s, 1, ONX_FLOAT, &z);
	return ONX_OK;
}

static int regressor_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct svm *a = attr;
	struct geo *g = NULL;
	int rc = open(s, a, &g, e);

	if (rc < 0)
		return rc;
	g->vectors = (size_t)a->n_supports;
	g->outs = 1;
	if (a->n_targets != 1)
		return onx_fail(e, ONX_UNSUP, "n_targets is %lld", (long long)a->n_targets);
	if (a->rho.n == 0)
		return want("rho", 0, 1, e);
	if (g->vectors && (rc = want("support_vectors", a->vector.n, g->vectors * g->cols, e)) < 0)
		return rc;
	if ((rc = want("coefficients", a->coef.n, g->vectors ? g->vectors : g->cols, e)) < 0)
		return rc;
	const struct onx_shape y = { 2, { (int64_t)g->rows, 1 } };
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}

/* Of one row: x [cols], k [vectors], decisions [pairs], votes and probabilities [classes], the matrix of
 * pairs [classes^2]. */
static size_t work(const struct geo *g)
{
	return 2 * g->cols + g->vectors + g->pairs + 4 * g->classes + 4 + (g->prob ? 2 * g->classes * g->classes : 0);
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return onx_ml_scratch(work(s->geo), threads);
}

static double dot(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static double distance(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

/* K(x, v): x'v, (gamma x'v + coef0)^degree, exp(-gamma |x - v|^2), tanh(gamma x'v + coef0) */
static double kernel(const struct geo *g, enum kernel kind, const double *x, const double *v)
{
	switch (kind) {
	case LINEAR:  break;
	case POLY:    return pow(g->gamma * dot(x, v, g->cols) + g->coef0, g->degree);
	case RBF:     return exp(-g->gamma * distance(x, v, g->cols));
	case SIGMOID: return tanh(g->gamma * dot(x, v, g->cols) + g->coef0);
	}
	return dot(x, v, g->cols);
}

/* d [cols] += c dK/dx */
static void kernel_back(const struct geo *g, enum kernel kind, const double *x, const double *v, double c,
			double *d)
{
	const double t = kind == RBF ? 0 : g->gamma * dot(x, v, g->cols) + g->coef0;
	double f = c;

	if (kind == POLY)
		f *= g->gamma * g->degree * pow(t, g->degree - 1);
	else if (kind == SIGMOID)
		f *= g->gamma * (1 - tanh(t) * tanh(t));
	else if (kind == RBF)
		f *= 2 * g->gamma * exp(-g->gamma * distance(x, v, g->cols));
	for (size_t i = 0; i < g->cols; i++)
		d[i] += f * (kind == RBF ? v[i] - x[i] : v[i]);
}

/* ---- the classifier ---- */

/* One against one: the decision of each pair (i, j), i < j, and the votes. */
static void decide(const struct svm *a, const struct geo *g, const double *k, double *s, double *votes)
{
	size_t p = 0;

	memset(votes, 0, g->classes * sizeof *votes);
	for (size_t i = 0; i < g->classes; i++)
		for (size_t j = i + 1; j < g->classes; j++, p++) {
			const double *ci = a->coef.v + (j - 1) * g->vectors, *cj = a->coef.v + i * g->vectors;
			s[p] = a->rho.v[p] +
			       dot(ci + g->first[i], k + g->first[i], g->first[i + 1] - g->first[i]) +
			       dot(cj + g->first[j], k + g->first[j], g->first[j + 1] - g->first[j]);
			votes[s[p] > 0 ? i : j]++;
		}
}

/* Probabilities of classes from those of pairs, r [n][n]: the second method of Wu, Lin and Weng (2004), a fixed
 * point of Q p = p'Qp; q [n][n], qp [n] are scratch. */
static void couple(size_t n, const double *r, double *q, double *qp, double *p)
{
	const size_t rounds = n > 100 ? n : 100;

	for (size_t t = 0; t < n; t++) {
		p[t] = 1 / (double)n;
		q[t * n + t] = 0;
		for (size_t j = 0; j < n; j++)
			if (j != t) {
				q[t * n + t] += r[j * n + t] * r[j * n + t];
				q[t * n + j] = -r[j * n + t] * r[t * n + j];
			}
	}
	for (size_t round = 0; round < rounds; round++) {
		double all = 0, worst = 0;
		for (size_t t = 0; t < n; t++) {
			qp[t] = dot(q + t * n, p, n);
			all += p[t] * qp[t];
		}
		for (size_t t = 0; t < n; t++)
			worst = fabs(qp[t] - all) > worst ? fabs(qp[t] - all) : worst;
		if (worst < 0.005 / (double)n)
			break;
		for (size_t t = 0; t < n; t++) {
			const double step = (all - qp[t]) / q[t * n + t];
			p[t] += step;
			all = (all + step * (step * q[t * n + t] + 2 * qp[t])) / ((1 + step) * (1 + step));
			for (size_t j = 0; j < n; j++) {
				qp[j] = (qp[j] + step * q[t * n + j]) / (1 + step);
				p[j] /= 1 + step;
			}
		}
	}
}

#define LEAST 1e-7              /* of a probability of a pair */

/* r [n][n]: how probable class i is beside j, a logistic function of their decision s. */
static void pairwise(const struct svm *a, size_t n, const double *s, double *r)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++, k++) {
			const double v = 1 / (1 + exp(s[k] * a->prob_a.v[k] + a->prob_b.v[k]));
			r[i * n + j] = v < LEAST ? LEAST : v > 1 - LEAST ? 1 - LEAST : v;
			r[j * n + i] = 1 - r[i * n + j];
		}
}

static void probabilities(const struct svm *a, const struct geo *g, const double *s, double *p, double *mem)
{
	const size_t n = g->classes;
	double *r = mem, *q = r + n * n, *qp = p + n;

	pairwise(a, n, s, r);
	couple(n, r, q, qp, p);
}

static void put(const struct onx_view *y, size_t row, const double *s, size_t n)
{
	for (size_t k = 0; y->v && k < n; k++)
		onx_view_put_real(y, row * n + k, s[k]);
}

static void classify(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;
	const struct svm *a = c->attr;
	double *k = mem + g->cols, *s = k + g->vectors, *votes = s + g->pairs + g->classes + 2;
	size_t best;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	if (g->vectors) {
		for (size_t i = 0; i < g->vectors; i++)
			k[i] = kernel(g, (enum kernel)a->kernel, mem, a->vector.v + i * g->cols);
		decide(a, g, k, s, votes);
		best = onx_ml_best(votes, g->classes);
		if (g->prob) {
			double *p = votes + g->classes;
			probabilities(a, g, s, p, p + 2 * g->classes);
			s = p;
		}
	} else {
		for (size_t i = 0; i < g->classes; i++)
			s[i] = a->rho.v[0] + dot(mem, a->coef.v + i * g->cols, g->cols);
		best = g->classes > 1 ? onx_ml_best(s, g->classes) : s[0] > 0;
	}
	if (g->twice) {
		s[1] = s[0];
		s[0] = -s[1];
	}
	onx_ml_post((enum onx_post)a->post, s, g->outs);
	if (c->n_y > 1)
		put(&c->y[1], row, s, g->outs);
	if (g->classes > 1)
		onx_ml_put_label(&a->labels, &c->y[0], row, best);
	else if (c->y[0].v && c->y[0].type == ONX_STRING)
		((const char **)c->y[0].v)[row] = best ? a->labels.strings.v[0] : "";
	else if (c->y[0].v)
		onx_view_put_int(&c->y[0], row, (int64_t)best);
}

static void classifier_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), classify);
}

/* The same fixed point with its slope dp [n] along dr [n][n]: each step differentiated, so that dp belongs to the
 * p that forward gives.  mem: 2 n^2 + 3 n doubles. */
static void couple_along(size_t n, const double *r, const double *dr, double *mem, double *dp)
{
	const size_t rounds = n > 100 ? n : 100;
	double *q = mem, *dq = q + n * n, *p = dq + n * n, *qp = p + n, *dqp = qp + n;

	for (size_t t = 0; t < n; t++) {
		p[t] = 1 / (double)n;
		dp[t] = q[t * n + t] = dq[t * n + t] = 0;
		for (size_t j = 0; j < n; j++)
			if (j != t) {
				const double a = r[j * n + t], da = dr[j * n + t];
				const double b = r[t * n + j], db = dr[t * n + j];
				q[t * n + t] += a * a;
				dq[t * n + t] += 2 * a * da;
				q[t * n + j] = -a * b;
				dq[t * n + j] = -(da * b + a * db);
			}
	}
	for (size_t round = 0; round < rounds; round++) {
		double all = 0, dall = 0, worst = 0;
		for (size_t t = 0; t < n; t++) {
			qp[t] = dot(q + t * n, p, n);
			dqp[t] = dot(dq + t * n, p, n) + dot(q + t * n, dp, n);
			all += p[t] * qp[t];
			dall += dp[t] * qp[t] + p[t] * dqp[t];
		}
		for (size_t t = 0; t < n; t++)
			worst = fabs(qp[t] - all) > worst ? fabs(qp[t] - all) : worst;
		if (worst < 0.005 / (double)n)
			break;
		for (size_t t = 0; t < n; t++) {
			const double own = q[t * n + t], down = dq[t * n + t], step = (all - qp[t]) / own;
			const double dstep = (dall - dqp[t] - step * down) / own, by = 1 + step;
			p[t] += step;
			dp[t] += dstep;
			dall += dstep * (step * own + 2 * qp[t]) + step * (dstep * own + step * down + 2 * dqp[t]);
			all = (all + step * (step * own + 2 * qp[t])) / (by * by);
			dall = (dall - 2 * all * by * dstep) / (by * by);
			for (size_t j = 0; j < n; j++) {
				qp[j] = (qp[j] + step * q[t * n + j]) / by;
				dqp[j] = (dqp[j] + dstep * q[t * n + j] + step * dq[t * n + j] - qp[j] * dstep) / by;
				p[j] /= by;
				dp[j] = (dp[j] - p[j] * dstep) / by;
			}
		}
	}
}

/* ds [pairs]: the gradient of the decisions s from that of the probabilities, dp. */
static void probabilities_back(const struct svm *a, const struct geo *g, const double *s, const double *dp,
			       double *ds, double *mem)
{
	const size_t n = g->classes;
	double *r = mem, *dr = r + n * n, *slope = dr + n * n;
	size_t k = 0;

	pairwise(a, n, s, r);
	memset(dr, 0, n * n * sizeof *dr);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++, k++) {
			const double v = r[i * n + j];
			const bool cut = v <= LEAST || v >= 1 - LEAST;
			dr[i * n + j] = cut ? 0 : -a->prob_a.v[k] * v * (1 - v);
			dr[j * n + i] = -dr[i * n + j];
			couple_along(n, r, dr, slope + n, slope);
			ds[k] = dot(dp, slope, n);
			dr[i * n + j] = dr[j * n + i] = 0;
		}
}

/* dx [cols] += of the decisions' gradient ds: each support vector's coefficients of all pairs at once. */
static void decide_back(const struct svm *a, const struct geo *g, const double *x, const double *ds, double *dx)
{
	for (size_t i = 0; i < g->classes; i++)
		for (size_t v = g->first[i]; v < g->first[i + 1]; v++) {
			double sum = 0;
			for (size_t j = 0; j < g->classes; j++) {
				if (j == i)
					continue;
				const size_t lo = i < j ? i : j, hi = i < j ? j : i;
				const size_t p = lo * (2 * g->classes - lo - 1) / 2 + hi - lo - 1;
				sum += ds[p] * a->coef.v[(j < i ? j : j - 1) * g->vectors + v];
			}
			kernel_back(g, (enum kernel)a->kernel, x, a->vector.v + v * g->cols, sum, dx);
		}
}

/* Of one row: as work(), then before and after the transform, two gradients, dx, and what the slopes take. */
static size_t work_back(const struct geo *g)
{
	const size_t n = g->classes;

	return work(g) + 3 * (g->outs + 1) + g->pairs + 1 + g->cols + (g->prob ? 4 * n * n + 4 * n : 0);
}

static size_t classifier_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr;
	return onx_ml_scratch(backward ? work_back(s->geo) : work(s->geo), threads);
}

static void classify_back(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;
	const struct svm *a = c->attr;
	const struct onx_view *dx = &c->dx[0];
	double *k = mem + g->cols, *s = k + g->vectors, *votes = s + g->pairs + g->classes + 2;
	double *z = mem + work(g), *y = z + g->outs + 1, *d = y + g->outs + 1, *to = d + g->outs + g->pairs + 1;
	double *ds = d;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	if (g->vectors) {
		for (size_t i = 0; i < g->vectors; i++)
			k[i] = kernel(g, (enum kernel)a->kernel, mem, a->vector.v + i * g->cols);
		decide(a, g, k, s, votes);
	}
	for (size_t i = 0; !g->vectors && i < g->classes; i++)
		s[i] = a->rho.v[0] + dot(mem, a->coef.v + i * g->cols, g->cols);
	if (g->prob)
		probabilities(a, g, s, votes + g->classes, votes + 3 * g->classes);
	memcpy(z, g->prob ? votes + g->classes : s, (g->twice ? 1 : g->outs) * sizeof *z);
	if (g->twice) {
		z[1] = z[0];
		z[0] = -z[1];
	}
	memcpy(y, z, g->outs * sizeof *y);
	onx_ml_post((enum onx_post)a->post, y, g->outs);
	for (size_t i = 0; i < g->outs; i++)
		d[i] = onx_view_real(&c->dy[1], row * g->outs + i);
	onx_ml_post_back((enum onx_post)a->post, z, y, d, g->outs);
	if (g->twice)
		d[0] = d[1] - d[0];
	memset(to, 0, g->cols * sizeof *to);
	if (g->prob)
		probabilities_back(a, g, s, d, ds = d + g->outs, to + g->cols);
	if (g->vectors)
		decide_back(a, g, mem, ds, to);
	for (size_t i = 0; i < g->cols; i++) {
		for (size_t m = 0; !g->vectors && m < g->classes; m++)
			to[i] += d[m] * a->coef.v[m * g->cols + i];
		onx_view_put_real(dx, row * g->cols + i, to[i] + (dx->add ? onx_view_real(dx, row * g->cols + i) : 0));
	}
}

static void classifier_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work_back(g), classify_back);
}

/* ---- the regressor: rho + sum of coef K(x, v) ---- */

static double decision(const struct svm *a, const struct geo *g, const double *x)
{
	double sum = a->rho.v[0] + (g->vectors ? 0 : dot(x, a->coef.v, g->cols));

	for (size_t i = 0; i < g->vectors; i++)
		sum += a->coef.v[i] * kernel(g, (enum kernel)a->kernel, x, a->vector.v + i * g->cols);
	return sum;
}

static void regress(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;
	const struct svm *a = c->attr;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	double y = decision(a, g, mem);
	if (a->one_class)
		y = y > 0 ? 1 : -1;
	onx_ml_post((enum onx_post)a->post, &y, 1);
	onx_view_put_real(&c->y[0], row, y);
}

static void regressor_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), regress);
}

static void regress_back(const struct onx_call *c, size_t row, double *mem)
{
	const struct geo *g = c->geo;
	const struct svm *a = c->attr;
	const struct onx_view *dx = &c->dx[0];
	double *x = mem, *d = mem + g->cols, dy = onx_view_real(&c->dy[0], row);

	onx_ml_row(&c->x[0], row, g->cols, x);
	memset(d, 0, g->cols * sizeof *d);
	const double s = decision(a, g, x);
	double y = s;
	onx_ml_post((enum onx_post)a->post, &y, 1);
	onx_ml_post_back((enum onx_post)a->post, &s, &y, &dy, 1);
	for (size_t i = 0; !a->one_class && i < g->vectors; i++)
		kernel_back(g, (enum kernel)a->kernel, x, a->vector.v + i * g->cols, dy * a->coef.v[i], d);
	for (size_t i = 0; i < g->cols; i++) {
		if (!g->vectors && !a->one_class)
			d[i] = dy * a->coef.v[i];
		onx_view_put_real(dx, row * g->cols + i, d[i] + (dx->add ? onx_view_real(dx, row * g->cols + i) : 0));
	}
}

static void regressor_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work(g), regress_back);
}

#define SVM(name, outs, part) \
	.domain = ONX_ML, .type = name, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outs, \
	.flags = ONX_OP_WIDTHS, .attr = &part##_table, .infer = part##_infer,                             \
	.forward = part##_forward
const struct onx_op ONX_R(onx_ops_mlsvm)[] = {
	{ SVM("SVMClassifier", 2, classifier), .scratch = classifier_scratch, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(0), .backward = classifier_backward },
	{ SVM("SVMRegressor", 1, regressor), .scratch = scratch, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(0), .backward = regressor_backward },
	{ .type = NULL }
};
