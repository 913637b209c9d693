/* op/mlsvm.c -- SVMClassifier and SVMRegressor of ai.onnx.ml: libsvm's decision functions (Chang and Lin, LIBSVM:
 * a library for support vector machines, sections 4 and 8). */
#include "op/mlsvm_i.h"
#include <string.h>

/* Of one row: x [cols], k [vectors], decisions [pairs], votes and probabilities [classes], the matrix of
 * pairs [classes^2]. */
static size_t work(const struct onx_svm_geo *g)
{
	return 2 * g->cols + g->vectors + g->pairs + 4 * g->classes + 4 + (g->prob ? 2 * g->classes * g->classes : 0);
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return onx_ml_scratch(work(s->geo), threads);
}

static double distance(const double *a, const double *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

/* K(x, v): x'v, (gamma x'v + coef0)^degree, exp(-gamma |x - v|^2), tanh(gamma x'v + coef0) */
static double kernel(const struct onx_svm_geo *g, enum onx_svm_kernel kind, const double *x, const double *v)
{
	switch (kind) {
	case ONX_SVM_LINEAR:  break;
	case ONX_SVM_POLY:    return pow(g->gamma * onx_ml_dot(x, v, g->cols) + g->coef0, g->degree);
	case ONX_SVM_RBF:     return exp(-g->gamma * distance(x, v, g->cols));
	case ONX_SVM_SIGMOID: return tanh(g->gamma * onx_ml_dot(x, v, g->cols) + g->coef0);
	}
	return onx_ml_dot(x, v, g->cols);
}

/* d [cols] += c dK/dx */
static void kernel_back(const struct onx_svm_geo *g, enum onx_svm_kernel kind, const double *x, const double *v,
			double c, double *d)
{
	const double t = kind == ONX_SVM_RBF ? 0 : g->gamma * onx_ml_dot(x, v, g->cols) + g->coef0;
	double f = c;

	if (kind == ONX_SVM_POLY)
		f *= g->gamma * g->degree * pow(t, g->degree - 1);
	else if (kind == ONX_SVM_SIGMOID)
		f *= g->gamma * (1 - tanh(t) * tanh(t));
	else if (kind == ONX_SVM_RBF)
		f *= 2 * g->gamma * exp(-g->gamma * distance(x, v, g->cols));
	for (size_t i = 0; i < g->cols; i++)
		d[i] += f * (kind == ONX_SVM_RBF ? v[i] - x[i] : v[i]);
}

/* ---- the classifier ---- */

/* One against one: the decision of each pair (i, j), i < j, and the votes. */
static void decide(const struct onx_svm *a, const struct onx_svm_geo *g, const double *k, double *s, double *votes)
{
	size_t p = 0;

	memset(votes, 0, g->classes * sizeof *votes);
	for (size_t i = 0; i < g->classes; i++)
		for (size_t j = i + 1; j < g->classes; j++, p++) {
			const double *ci = a->coef.v + (j - 1) * g->vectors, *cj = a->coef.v + i * g->vectors;
			s[p] = a->rho.v[p] +
			       onx_ml_dot(ci + g->first[i], k + g->first[i], g->first[i + 1] - g->first[i]) +
			       onx_ml_dot(cj + g->first[j], k + g->first[j], g->first[j + 1] - g->first[j]);
			votes[s[p] > 0 ? i : j]++;
		}
}

#define LEAST 1e-7              /* of a probability of a pair */

/* r [n][n]: how probable class i is beside j, a logistic function of their decision s. */
static void pairwise(const struct onx_svm *a, size_t n, const double *s, double *r)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++, k++) {
			const double v = 1 / (1 + exp(s[k] * a->prob_a.v[k] + a->prob_b.v[k]));
			r[i * n + j] = v < LEAST ? LEAST : v > 1 - LEAST ? 1 - LEAST : v;
			r[j * n + i] = 1 - r[i * n + j];
		}
}

static void probabilities(const struct onx_svm *a, const struct onx_svm_geo *g, const double *s, double *p, double *mem)
{
	const size_t n = g->classes;
	double *r = mem, *q = r + n * n, *qp = p + n;

	pairwise(a, n, s, r);
	onx_couple(n, r, q, qp, p);
}

static void put(const struct onx_view *y, size_t row, const double *s, size_t n)
{
	for (size_t k = 0; y->v && k < n; k++)
		onx_view_put_real(y, row * n + k, s[k]);
}

static void classify(const struct onx_call *c, size_t row, double *mem)
{
	const struct onx_svm_geo *g = c->geo;
	const struct onx_svm *a = c->attr;
	double *k = mem + g->cols, *s = k + g->vectors, *votes = s + g->pairs + g->classes + 2;
	size_t best;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	if (g->vectors) {
		for (size_t i = 0; i < g->vectors; i++)
			k[i] = kernel(g, (enum onx_svm_kernel)a->kernel, mem, a->vector.v + i * g->cols);
		decide(a, g, k, s, votes);
		best = onx_ml_best(votes, g->classes);
		if (g->prob) {
			double *p = votes + g->classes;
			probabilities(a, g, s, p, p + 2 * g->classes);
			s = p;
		}
	} else {
		for (size_t i = 0; i < g->classes; i++)
			s[i] = a->rho.v[0] + onx_ml_dot(mem, a->coef.v + i * g->cols, g->cols);
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
	const struct onx_svm_geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), classify);
}

/* ds [pairs]: the gradient of the decisions s from that of the probabilities, dp. */
static void probabilities_back(const struct onx_svm *a, const struct onx_svm_geo *g, const double *s, const double *dp,
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
			onx_couple_along(n, r, dr, slope + n, slope);
			ds[k] = onx_ml_dot(dp, slope, n);
			dr[i * n + j] = dr[j * n + i] = 0;
		}
}

/* dx [cols] += of the decisions' gradient ds: each support vector's coefficients of all pairs at once. */
static void decide_back(const struct onx_svm *a, const struct onx_svm_geo *g, const double *x, const double *ds,
			double *dx)
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
			kernel_back(g, (enum onx_svm_kernel)a->kernel, x, a->vector.v + v * g->cols, sum, dx);
		}
}

/* Of one row: as work(), then before and after the transform, two gradients, dx, and what the slopes take. */
static size_t work_back(const struct onx_svm_geo *g)
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
	const struct onx_svm_geo *g = c->geo;
	const struct onx_svm *a = c->attr;
	const struct onx_view *dx = &c->dx[0];
	double *k = mem + g->cols, *s = k + g->vectors, *votes = s + g->pairs + g->classes + 2;
	double *z = mem + work(g), *y = z + g->outs + 1, *d = y + g->outs + 1, *to = d + g->outs + g->pairs + 1;
	double *ds = d;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	if (g->vectors) {
		for (size_t i = 0; i < g->vectors; i++)
			k[i] = kernel(g, (enum onx_svm_kernel)a->kernel, mem, a->vector.v + i * g->cols);
		decide(a, g, k, s, votes);
	}
	for (size_t i = 0; !g->vectors && i < g->classes; i++)
		s[i] = a->rho.v[0] + onx_ml_dot(mem, a->coef.v + i * g->cols, g->cols);
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
	const struct onx_svm_geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work_back(g), classify_back);
}

/* ---- the regressor: rho + sum of coef K(x, v) ---- */

static double decision(const struct onx_svm *a, const struct onx_svm_geo *g, const double *x)
{
	double sum = a->rho.v[0] + (g->vectors ? 0 : onx_ml_dot(x, a->coef.v, g->cols));

	for (size_t i = 0; i < g->vectors; i++)
		sum += a->coef.v[i] * kernel(g, (enum onx_svm_kernel)a->kernel, x, a->vector.v + i * g->cols);
	return sum;
}

static void regress(const struct onx_call *c, size_t row, double *mem)
{
	const struct onx_svm_geo *g = c->geo;
	const struct onx_svm *a = c->attr;

	onx_ml_row(&c->x[0], row, g->cols, mem);
	double y = decision(a, g, mem);
	if (a->one_class)
		y = y > 0 ? 1 : -1;
	onx_ml_post((enum onx_post)a->post, &y, 1);
	onx_view_put_real(&c->y[0], row, y);
}

static void regressor_forward(const struct onx_call *c)
{
	const struct onx_svm_geo *g = c->geo;

	onx_ml_each(c, g->rows, work(g), regress);
}

static void regress_back(const struct onx_call *c, size_t row, double *mem)
{
	const struct onx_svm_geo *g = c->geo;
	const struct onx_svm *a = c->attr;
	const struct onx_view *dx = &c->dx[0];
	double *x = mem, *d = mem + g->cols, dy = onx_view_real(&c->dy[0], row);

	onx_ml_row(&c->x[0], row, g->cols, x);
	memset(d, 0, g->cols * sizeof *d);
	const double s = decision(a, g, x);
	double y = s;
	onx_ml_post((enum onx_post)a->post, &y, 1);
	onx_ml_post_back((enum onx_post)a->post, &s, &y, &dy, 1);
	for (size_t i = 0; !a->one_class && i < g->vectors; i++)
		kernel_back(g, (enum onx_svm_kernel)a->kernel, x, a->vector.v + i * g->cols, dy * a->coef.v[i], d);
	for (size_t i = 0; i < g->cols; i++) {
		if (!g->vectors && !a->one_class)
			d[i] = dy * a->coef.v[i];
		onx_view_put_real(dx, row * g->cols + i, d[i] + (dx->add ? onx_view_real(dx, row * g->cols + i) : 0));
	}
}

static void regressor_backward(const struct onx_call *c)
{
	const struct onx_svm_geo *g = c->geo;

	if (c->dx[0].v)
		onx_ml_each(c, g->rows, work(g), regress_back);
}

#define SVM(name, outs, part) \
	.domain = ONX_ML, .type = name, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outs, \
	.flags = ONX_OP_WIDTHS, .attr = &onx_svm_##part##_table, .infer = onx_svm_##part##_infer,            \
	.forward = part##_forward
const struct onx_op ONX_R(onx_ops_mlsvm)[] = {
	{ SVM("SVMClassifier", 2, classifier), .scratch = classifier_scratch, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(0), .backward = classifier_backward },
	{ SVM("SVMRegressor", 1, regressor), .scratch = scratch, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .keep = ONX_KEEP_X(0), .backward = regressor_backward },
	{ .type = NULL }
};
