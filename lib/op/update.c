/* op/update.c -- ai.onnx.preview.training: one step of Adagrad, Adam or Momentum over several tensors.
 *
 * Inputs R (the rate), T (steps so far, from 0), then n each of X, its gradient G, and the state; outputs the new X,
 * then the new state (specification, ai.onnx.preview.training, version 1).  With g = norm_coefficient X + G:
 *
 *     Adagrad   h' = h + g^2                              x' = x - R / (1 + T decay_factor) g / (sqrt h' + epsilon)
 *     Momentum  v' = alpha v + (T > 0 ? beta : 1) g       x' = x - R v', nesterov: x - R (g + alpha v')
 *     Adam      v' = alpha v + (1 - alpha) g              x' = (1 - norm_coefficient_post)
 *               h' = beta h + (1 - beta) g^2                   (x - r v' / (sqrt h' + epsilon)),
 *                                                         r = T > 0 ? R sqrt(1 - beta^T) / (1 - alpha^T) : R
 */
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

enum { STANDARD, NESTEROV };
static const char *const modes[] = { "standard", "nesterov", NULL };
struct update { double alpha, beta, epsilon, norm, post, decay; int mode; };
#define F_OF(name_, member, def_, text) \
	{ name_, F_REAL, offsetof(struct update, member), .def = def_, .min = -1e30, .max = 1e30, .help = text }
#define NORM F_OF("norm_coefficient", norm, "0", "of the penalty on the squares of X")
#define EPSILON(value) F_OF("epsilon", epsilon, value, "added to the root")
static const struct onx_field adagrad_field[] = {
	F_OF("decay_factor", decay, "0", "of the rate, by step"), EPSILON("0"), NORM, { .name = NULL }
};
static const struct onx_field momentum_field[] = {
	F_OF("alpha", alpha, "0.9", "what is kept of V"),
	F_OF("beta", beta, "1", "of the gradient, after the first step"),
	{ "mode", F_ENUM, offsetof(struct update, mode), .def = "standard", .choices = modes, .help = "of the step" },
	NORM, { .name = NULL }
};
static const struct onx_field adam_field[] = {
	F_OF("alpha", alpha, "0.9", "what is kept of V"), F_OF("beta", beta, "0.999", "what is kept of H"),
	EPSILON("0"), NORM, F_OF("norm_coefficient_post", post, "0", "by which X shrinks after the step"),
	{ .name = NULL }
};
#define TABLE(name) \
static const struct onx_table name##_table = { #name, sizeof(struct update), name##_field, .check = NULL };
TABLE(adagrad)
TABLE(momentum)
TABLE(adam)

/* each: tensors in X, G and the state, for one of X. */
static int infer(struct onx_infer *s, int each, struct onx_err *e)
{
	const int n = (s->n_in - 2) / each;
	int rc = onx_want_real(s, 0, e);

	if (rc == ONX_OK)
		rc = onx_want_type(s, 1, ONX_INT64, e);
	if (rc == ONX_OK && (n < 1 || 2 + n * each != s->n_in))
		return onx_fail(e, ONX_SHAPE, "%d inputs, wanted R, T and %d for each tensor", s->n_in, each);
	for (int i = 0; rc == ONX_OK && i < 2; i++)
		if (s->in[i].shape.rank != 0 && !(s->in[i].shape.rank == 1 && s->in[i].shape.dim[0] == 1))
			return onx_fail(e, ONX_SHAPE, "input %d is no single number", i);
	for (int i = 2; rc == ONX_OK && i < s->n_in; i++) {
		rc = onx_want_same_type(s, 2 + (i - 2) % n, i, e);
		if (rc == ONX_OK && !onx_shape_equal(&s->in[i].shape, &s->in[2 + (i - 2) % n].shape))
			return onx_fail(e, ONX_SHAPE, "input %d has another shape than input %d", i, 2 + (i - 2) % n);
		if (rc == ONX_OK)
			rc = onx_want_real(s, i, e);
	}
	for (int i = 0; rc == ONX_OK && i < s->n_out; i++)      /* X, then the state; G has no output */
		if (i < n * (each - 1))
			onx_set_out(s, i, s->in[2 + i % n].type, &s->in[2 + i % n].shape);
	if (rc == ONX_OK && s->n_out > n * (each - 1))
		return onx_fail(e, ONX_SHAPE, "%d outputs, wanted at most %d", s->n_out, n * (each - 1));
	return rc;
}

static int two_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return infer(s, 3, e);
}

static int three_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	(void)attr;
	return infer(s, 4, e);
}

/* One tensor: x, g and up to two states; outputs may be absent. */
struct job { const struct update *a; const real *in[4]; real *out[3]; double rate, first; };

static inline void put(real *to, size_t i, double v)
{
	if (to)
		to[i] = (real)v;
}

static void adagrad_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	for (size_t i = lo; i < hi; i++) {
		const double x = (double)j->in[0][i], g = j->a->norm * x + (double)j->in[1][i];
		const double h = (double)j->in[2][i] + g * g;

		put(j->out[0], i, x - j->rate * g / (sqrt(h) + j->a->epsilon));
		put(j->out[1], i, h);
	}
}

static void momentum_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;

	for (size_t i = lo; i < hi; i++) {
		const double x = (double)j->in[0][i], g = j->a->norm * x + (double)j->in[1][i];
		const double v = j->a->alpha * (double)j->in[2][i] + j->first * g;

		put(j->out[0], i, x - j->rate * (j->a->mode == NESTEROV ? g + j->a->alpha * v : v));
		put(j->out[1], i, v);
	}
}

static void adam_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct update *a = j->a;

	for (size_t i = lo; i < hi; i++) {
		const double x = (double)j->in[0][i], g = a->norm * x + (double)j->in[1][i];
		const double v = a->alpha * (double)j->in[2][i] + (1 - a->alpha) * g;
		const double h = a->beta * (double)j->in[3][i] + (1 - a->beta) * g * g;

		put(j->out[0], i, (1 - a->post) * (x - j->rate * v / (sqrt(h) + a->epsilon)));
		put(j->out[1], i, v);
		put(j->out[2], i, h);
	}
}

static void forward(const struct onx_call *c, int each, void (*range)(const void *, size_t, size_t), double rate)
{
	const struct update *a = c->attr;
	const int n = (c->n_x - 2) / each;

	for (int k = 0; k < n; k++) {
		struct job j = { .a = a, .rate = rate, .first = onx_view_int(&c->x[1], 0) > 0 ? a->beta : 1 };

		for (int i = 0; i < each; i++)
			j.in[i] = c->x[2 + i * n + k].v;
		for (int i = 0; i < each - 1 && i * n + k < c->n_y; i++)
			j.out[i] = c->y[i * n + k].v;
		onx_each(c->pool, c->x[2 + k].n, ONX_GRAIN, range, &j);
	}
}

static void adagrad_forward(const struct onx_call *c)
{
	const struct update *a = c->attr;

	forward(c, 3, adagrad_range, onx_view_real(&c->x[0], 0) / (1 + (double)onx_view_int(&c->x[1], 0) * a->decay));
}

static void momentum_forward(const struct onx_call *c)
{
	forward(c, 3, momentum_range, onx_view_real(&c->x[0], 0));
}

static void adam_forward(const struct onx_call *c)
{
	const struct update *a = c->attr;
	const double rate = onx_view_real(&c->x[0], 0), t = (double)onx_view_int(&c->x[1], 0);

	forward(c, 4, adam_range, t > 0 ? rate * sqrt(1 - pow(a->beta, t)) / (1 - pow(a->alpha, t)) : rate);
}

#define UPDATE(name, part, rule, least)                                                                        \
	{ .domain = "ai.onnx.preview.training", .type = name, .since = 1, .min_in = least, .max_in = ONX_MANY,  \
	  .min_out = 1, .max_out = ONX_MANY, .grad = { ONX_G_NEVER }, .n_grad = 1, .attr = &part##_table,       \
	  .infer = rule##_infer, .forward = part##_forward }
const struct onx_op ONX_R(onx_ops_update)[] = {
	UPDATE("Adagrad", adagrad, two, 5),
	UPDATE("Momentum", momentum, two, 5),
	UPDATE("Adam", adam, three, 6),
	{ .type = NULL }
};
