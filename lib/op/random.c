/* op/random.c -- RandomNormal, RandomUniform, their Like forms, Bernoulli, Multinomial.
 * A number is a function of (seed, step, node, element): the bits depend neither on threads nor on
 * what other nodes draw.  The standard leaves the generator open, so other runtimes draw others. */
#include "kernel/real.h"
#include <inttypes.h>
#include <string.h>
#include "op/infer.h"
#include "op/loop.h"

struct draw {
	double a, b, seed;              /* mean and scale, or low and high */
	int64_t dtype, samples;
	struct onx_ints shape;
	uint64_t given;
};
#define SEED { "seed", F_REAL, offsetof(struct draw, seed), .def = "0", \
	.help = "replaces the run's own seed" }
#define REAL(text, member, d, about) \
	{ text, F_REAL, offsetof(struct draw, member), .def = d, .help = about }
#define DTYPE(d) { "dtype", F_INT, offsetof(struct draw, dtype), .def = d, .min = 0, .max = 64, \
	.help = "element type of the result" }
#define SHAPE { "shape", F_INTS, offsetof(struct draw, shape), .help = "of the result" }
#define NORMAL REAL("mean", a, "0", "mean"), REAL("scale", b, "1", "standard deviation")
#define UNIFORM REAL("low", a, "0", "lower bound"), REAL("high", b, "1", "upper bound")
#define TABLE(part, text, ...)                                                                       \
static const struct onx_field part##_field[] = { SEED, __VA_ARGS__, { .name = NULL } };              \
static const struct onx_table part##_attr = { text, sizeof(struct draw), part##_field,               \
	.given = offsetof(struct draw, given) };
TABLE(normal, "RandomNormal", NORMAL, DTYPE("1"), SHAPE)
TABLE(uniform, "RandomUniform", UNIFORM, DTYPE("1"), SHAPE)
TABLE(normal_like, "RandomNormalLike", NORMAL, DTYPE("0"))
TABLE(uniform_like, "RandomUniformLike", UNIFORM, DTYPE("0"))
TABLE(bernoulli, "Bernoulli", DTYPE("0"))
TABLE(multinomial, "Multinomial", DTYPE("6"),
      { "sample_size", F_INT, offsetof(struct draw, samples), .def = "1", .min = 0, .max = 1e12,
	.help = "numbers drawn for each row" })

static int type_of(const struct draw *a, enum onx_dtype usual, bool only_real, enum onx_dtype *t,
		   struct onx_err *e)
{
	*t = a->dtype ? (enum onx_dtype)a->dtype : usual;
	if (!onx_dtype_known((int)*t) || *t == ONX_STRING || onx_dtype_class(*t) == ONX_CLASS_CPLX ||
	    (only_real && !onx_dtype_real(*t)))
		return onx_fail(e, ONX_UNSUP, "random numbers of type %s", onx_dtype_name(*t));
	return ONX_OK;
}

static int shape_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct draw *a = attr;
	struct onx_shape y = { .rank = (int)a->shape.n };
	enum onx_dtype t;
	size_t n;
	int rc = type_of(a, ONX_FLOAT, true, &t, e);

	if (rc == ONX_OK && a->shape.n > ONX_RANK)
		rc = onx_fail(e, ONX_UNSUP, "a shape of %zu dimensions, at most %d are supported",
			      a->shape.n, ONX_RANK);
	if (rc < 0)
		return rc;
	for (int i = 0; i < y.rank; i++)
		y.dim[i] = a->shape.v[i];
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, t, &y);
	return rc;
}

static int like_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const enum onx_dtype usual = onx_dtype_real(s->in[0].type) ? s->in[0].type : ONX_FLOAT;
	enum onx_dtype t;
	const int rc = type_of(attr, usual, true, &t, e);

	if (rc == ONX_OK)
		onx_set_out(s, 0, t, &s->in[0].shape);
	return rc;
}

static int bernoulli_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	enum onx_dtype t;
	int rc = onx_want_real(s, 0, e);

	if (rc == ONX_OK)
		rc = type_of(attr, s->in[0].type, false, &t, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, t, &s->in[0].shape);
	return rc;
}

static int multinomial_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct draw *a = attr;
	int rc = onx_want_real(s, 0, e);
	size_t n;

	if (rc == ONX_OK)
		rc = onx_want_rank(s, 0, 2, 2, e);
	if (rc < 0)
		return rc;
	const struct onx_shape y = { 2, { s->in[0].shape.dim[0], a->samples } };
	if (a->dtype != ONX_INT32 && a->dtype != ONX_INT64)
		return onx_fail(e, ONX_SHAPE, "dtype is %" PRId64 ", wanted int32 or int64", a->dtype);
	if (s->in[0].shape.dim[1] == 0)
		return onx_fail(e, ONX_SHAPE, "no classes to draw from");
	rc = onx_count(2, y.dim, &n, e);
	if (rc == ONX_OK)
		onx_set_out(s, 0, (enum onx_dtype)a->dtype, &y);
	return rc;
}

static struct onx_rng generator(const struct onx_call *c, uint64_t skip)
{
	const struct draw *a = c->attr;
	uint64_t seed = c->rng.seed;
	struct onx_rng r;

	if (onx_given(&bernoulli_attr, a, "seed"))      /* the first row of every table here */
		memcpy(&seed, &a->seed, sizeof seed);
	onx_rng_init(&r, seed, ONX_RNG_NODE, c->rng.step, c->rng.node);
	onx_rng_skip(&r, skip);
	return r;
}

/* Box and Muller 1958, two uniform numbers for each normal one. */
static void normal_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct draw *a = c->attr;
	struct onx_rng r = generator(c, 2 * lo);

	for (size_t i = lo; i < hi; i++) {
		const double u = 1 - onx_rng_unit(&r), v = onx_rng_unit(&r);
		onx_view_put_real(&c->y[0], i, a->a + a->b * sqrt(-2 * log(u)) * cos(6.283185307179586477 * v));
	}
}

static void normal_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, normal_range, c);
}

static void uniform_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct draw *a = c->attr;
	struct onx_rng r = generator(c, lo);

	for (size_t i = lo; i < hi; i++)
		onx_view_put_real(&c->y[0], i, a->a + (a->b - a->a) * onx_rng_unit(&r));
}

static void uniform_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, uniform_range, c);
}

/* y = 1 with probability x */
static void bernoulli_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const bool is_real = onx_dtype_real(c->y[0].type);
	struct onx_rng r = generator(c, lo);

	for (size_t i = lo; i < hi; i++) {
		const bool one = onx_rng_unit(&r) < ((const real *)c->x[0].v)[i];
		if (is_real)
			onx_view_put_real(&c->y[0], i, one);
		else
			onx_view_put_int(&c->y[0], i, one);
	}
}

static void bernoulli_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN, bernoulli_range, c);
}

/* Class k with probability softmax(x)[k]: x are logarithms of probabilities that need not sum to 1. */
static void multinomial_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const size_t n = (size_t)c->x[0].dim[1], each = (size_t)c->y[0].dim[1];

	for (size_t row = lo; row < hi; row++) {
		const real *x = (const real *)c->x[0].v + row * n;
		struct onx_rng r = generator(c, row * each);
		double top = x[0], sum = 0;
		for (size_t k = 0; k < n; k++)
			top = x[k] > top ? x[k] : top;
		for (size_t k = 0; k < n; k++)
			sum += exp(x[k] - top);
		for (size_t i = 0; i < each; i++) {
			const double u = onx_rng_unit(&r) * sum;
			double below = 0;
			size_t k = 0;
			for (; k + 1 < n; k++) {
				below += exp(x[k] - top);
				if (u < below)
					break;
			}
			onx_view_put_int(&c->y[0], row * each + i, (int64_t)k);
		}
	}
}

static void multinomial_forward(const struct onx_call *c)
{
	onx_each(c->pool, (size_t)c->x[0].dim[0], 1, multinomial_range, c);
}

#define ROW(name, version, ins, part, rule, run) \
	{ .domain = "", .type = name, .since = version, .min_in = ins, .max_in = ins, .min_out = 1,   \
	  .max_out = 1, .grad = { ONX_G_ZERO }, .n_grad = 1, .flags = ONX_OP_RANDOM | ONX_OP_NOFOLD,  \
	  .attr = &part##_attr, .infer = rule, .forward = run }
const struct onx_op ONX_R(onx_ops_random)[] = {
	ROW("RandomNormal", 1, 0, normal, shape_infer, normal_forward),
	ROW("RandomUniform", 1, 0, uniform, shape_infer, uniform_forward),
	ROW("RandomNormalLike", 1, 1, normal_like, like_infer, normal_forward),
	ROW("RandomUniformLike", 1, 1, uniform_like, like_infer, uniform_forward),
	ROW("Bernoulli", 15, 1, bernoulli, bernoulli_infer, bernoulli_forward),
	ROW("Multinomial", 7, 1, multinomial, multinomial_infer, multinomial_forward),
	{ .type = NULL }
};
