/* op/ml.c -- see op/ml.h. */
#include "op/ml.h"

const char *const onx_post_names[] = { "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT", NULL };

int onx_ml_rows(const struct onx_infer *s, int i, size_t *rows, size_t *cols, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape;
	const enum onx_dtype t = s->in[i].type;
	int rc = onx_want_rank(s, i, 1, 2, e);

	if (rc < 0)
		return rc;
	if (!onx_dtype_real(t) && t != ONX_INT32 && t != ONX_INT64)
		return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted float, double, int32 or int64", i,
				onx_dtype_name(t));
	*rows = x->rank == 2 ? (size_t)x->dim[0] : 1;
	*cols = (size_t)x->dim[x->rank - 1];
	return ONX_OK;
}

void onx_ml_row(const struct onx_view *x, size_t row, size_t cols, double *to)
{
	const bool real_type = onx_dtype_real(x->type);

	for (size_t i = 0; i < cols; i++)
		to[i] = real_type ? onx_view_real(x, row * cols + i) : (double)onx_view_int(x, row * cols + i);
}

enum { ROWS = 64 };             /* in a piece */
struct job { const struct onx_call *c; size_t rows, n; onx_ml_row_fn *fn; };

static size_t padded(size_t n)
{
	return (n * sizeof(double) + 63) / 64 * 64;
}

static void piece(void *ctx, size_t at, int worker)
{
	const struct job *j = ctx;
	size_t lo, hi;

	onx_piece(j->rows, ROWS, at, &lo, &hi);
	for (size_t r = lo; r < hi; r++)
		j->fn(j->c, r, (double *)(void *)((char *)j->c->scratch + (size_t)worker * padded(j->n)));
}

void onx_ml_each(const struct onx_call *c, size_t rows, size_t n, onx_ml_row_fn *fn)
{
	struct job j = { c, rows, n, fn };

	onx_parallel(c->pool, onx_pieces(rows, ROWS), piece, &j);
}

size_t onx_ml_scratch(size_t n, int threads)
{
	return (size_t)(threads < 1 ? 1 : threads) * padded(n);
}

static double logistic(double x)
{
	const double v = exp(-fabs(x));

	return x < 0 ? v / (1 + v) : 1 / (1 + v);
}

/* The inverse of the normal distribution function: a start by Winitzki's approximation of erf^-1, then
 * Newton's method on the function itself, which doubles the digits in each step. */
static double probit(double p)
{
	if (!(p > 0 && p < 1))
		return NAN;
	const double x = 2 * p - 1, l = log(4 * p * (1 - p)), t = 2 / (3.14159265358979323846 * 0.147) + l / 2;
	double z = copysign(sqrt(2 * (sqrt(t * t - l / 0.147) - t)), x);

	for (int i = 0; i < 4; i++)
		z -= (0.5 * erfc(-z * 0.70710678118654752440) - p) /
		     (0.39894228040143267794 * exp(-z * z / 2));
	return z;
}

static void softmax(double *s, size_t n, bool zeros)
{
	double most = -INFINITY, sum = 0;

	for (size_t i = 0; i < n; i++)
		most = s[i] > most ? s[i] : most;
	for (size_t i = 0; i < n; i++) {
		s[i] = zeros && s[i] == 0 ? 0 : exp(s[i] - most);
		sum += s[i];
	}
	for (size_t i = 0; i < n; i++)
		s[i] = sum > 0 ? s[i] / sum : s[i];
}

void onx_ml_post(enum onx_post kind, double *s, size_t n)
{
	switch (kind) {
	case ONX_POST_NONE:
		break;
	case ONX_POST_SOFTMAX: case ONX_POST_SOFTMAX_ZERO:
		softmax(s, n, kind == ONX_POST_SOFTMAX_ZERO);
		break;
	case ONX_POST_LOGISTIC:
		for (size_t i = 0; i < n; i++)
			s[i] = logistic(s[i]);
		break;
	case ONX_POST_PROBIT:
		for (size_t i = 0; i < n; i++)
			s[i] = probit(s[i]);
		break;
	}
}

void onx_ml_post_back(enum onx_post kind, const double *s, const double *y, double *d, size_t n)
{
	double sum = 0;

	switch (kind) {
	case ONX_POST_NONE:
		break;
	case ONX_POST_SOFTMAX: case ONX_POST_SOFTMAX_ZERO:      /* what is 0 stays 0, and has y = 0 */
		for (size_t i = 0; i < n; i++)
			sum += d[i] * y[i];
		for (size_t i = 0; i < n; i++)
			d[i] = s[i] == 0 && y[i] == 0 ? 0 : y[i] * (d[i] - sum);
		break;
	case ONX_POST_LOGISTIC:
		for (size_t i = 0; i < n; i++)
			d[i] *= y[i] * (1 - y[i]);
		break;
	case ONX_POST_PROBIT:
		for (size_t i = 0; i < n; i++)
			d[i] /= 0.39894228040143267794 * exp(-y[i] * y[i] / 2);
		break;
	}
}

int onx_ml_labels(const struct onx_labels *l, size_t *n, enum onx_dtype *type, struct onx_err *e)
{
	*n = l->strings.n ? l->strings.n : l->ints.n;
	*type = l->strings.n ? ONX_STRING : ONX_INT64;
	if (l->strings.n && l->ints.n)
		return onx_fail(e, ONX_FORMAT, "class labels are given as strings and as numbers");
	return ONX_OK;
}

void onx_ml_put_label(const struct onx_labels *l, const struct onx_view *y, size_t row, size_t k)
{
	if (!y->v)
		return;
	if (y->type == ONX_STRING)
		((const char **)y->v)[row] = k < l->strings.n ? l->strings.v[k] : "";
	else
		onx_view_put_int(y, row, k < l->ints.n ? l->ints.v[k] : (int64_t)k);
}

size_t onx_ml_best(const double *s, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (s[i] > s[best])
			best = i;
	return best;
}
