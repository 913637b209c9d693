/* op/reduce.c -- reductions over axes, given as an attribute or as an input.  Sums are taken in double,
 * in the order of the elements; each output element is computed by one piece, so the bits do not depend
 * on threads.  Max and Min give the gradient in equal parts to all elements that attain them. */
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

enum kind { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

struct reduce { struct onx_ints axes; bool keepdims, noop; };
static const struct onx_field reduce_field[] = {
	{ .name = "axes", .kind = F_INTS, .off = offsetof(struct reduce, axes), .def = "",
	  .help = "dimensions to reduce; all if none is given" },
	{ .name = "keepdims", .kind = F_BOOL, .off = offsetof(struct reduce, keepdims), .def = "1",
	  .help = "reduced dimensions stay, with size 1" },
	{ .name = "noop_with_empty_axes", .kind = F_BOOL, .off = offsetof(struct reduce, noop), .def = "0",
	  .help = "no axes: reduce nothing" },
	{ .name = NULL }
};
static const struct onx_table reduce_attr = { .name = "Reduce", .size = sizeof(struct reduce),
					      .field = reduce_field };

/* Kept and reduced dimensions with their steps through x, from the inside out. */
struct dims { int n; size_t size[ONX_RANK], step[ONX_RANK], count; };
struct geo { struct dims kept, gone; };

static void add_dim(struct dims *d, size_t size, size_t step)
{
	d->count *= size;
	if (d->n > 0 && d->step[d->n - 1] * d->size[d->n - 1] == step) {
		d->size[d->n - 1] *= size;
		return;
	}
	d->size[d->n] = size;
	d->step[d->n++] = step;
}

static int reduce_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct reduce *p = attr;
	const struct onx_shape *x = &s->in[0].shape;
	const enum onx_class class = onx_dtype_class(s->in[0].type);
	struct onx_shape out = { .rank = 0 };
	struct geo *g = ONX_NEW(s->mem, struct geo);
	int axes[ONX_RANK], n, rc = ONX_OK;
	bool gone[ONX_RANK] = { false };
	size_t step = 1;

	if (!g)
		return onx_nomem(e, sizeof *g, "a node");
	if (class != ONX_CLASS_INT && class != ONX_CLASS_UINT && class != ONX_CLASS_BOOL)
		rc = onx_want_real(s, 0, e);
	if (rc == ONX_OK)
		rc = onx_axes_arg(s, &p->axes, 1, x->rank, axes, &n, e);
	if (rc < 0)
		return rc;
	for (int i = 0; i < x->rank; i++)
		gone[i] = n == 0 && !p->noop;
	for (int i = 0; i < n; i++)
		gone[axes[i]] = true;
	for (int i = 0; i < x->rank; i++)
		if (!gone[i] || p->keepdims)
			out.dim[out.rank++] = gone[i] ? 1 : x->dim[i];
	g->kept.count = g->gone.count = 1;
	for (int i = x->rank - 1; i >= 0; i--) {
		add_dim(gone[i] ? &g->gone : &g->kept, (size_t)x->dim[i], step);
		step *= (size_t)x->dim[i];
	}
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &out);
	return ONX_OK;
}

static size_t offset(const struct dims *d, size_t i)
{
	size_t off = 0;

	for (int k = 0; k < d->n; k++) {
		off += i % d->size[k] * d->step[k];
		i /= d->size[k];
	}
	return off;
}

struct job { const struct onx_call *c; const struct geo *g; enum kind kind; };

static double start(enum kind kind)
{
	return kind == PROD ? 1 : kind == MAX || kind == LOG_SUM_EXP ? -INFINITY : kind == MIN ? INFINITY : 0;
}

static double step(enum kind kind, double acc, double x)
{
	switch (kind) {
	case MAX: case LOG_SUM_EXP: return x > acc || isnan(x) ? x : acc;
	case MIN:                   return x < acc || isnan(x) ? x : acc;
	case PROD:                  return acc * x;
	case L1:                    return acc + fabs(x);
	case L2: case SUM_SQUARE:   return acc + x * x;
	default:                    return acc + x;
	}
}

static double finish(enum kind kind, double acc, size_t n)
{
	return kind == MEAN ? acc / (double)n : kind == L2 ? sqrt(acc) : kind == LOG_SUM ? log(acc) : acc;
}

static void reduce_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct dims *gone = &j->g->gone;
	real *y = j->c->y[0].v;

	for (size_t o = lo; o < hi; o++) {
		const real *x = (const real *)j->c->x[0].v + offset(&j->g->kept, o);
		double acc = start(j->kind), sum = 0;
		for (size_t i = 0; i < gone->count; i++)
			acc = step(j->kind, acc, (double)x[offset(gone, i)]);
		if (j->kind == LOG_SUM_EXP && isfinite(acc)) {
			for (size_t i = 0; i < gone->count; i++)
				sum += exp((double)x[offset(gone, i)] - acc);
			acc += log(sum);
		}
		y[o] = (real)finish(j->kind, acc, gone->count);
	}
}

/* Whole numbers (and bool, for Max and Min) are summed as 64 bits, which wrap. */
static void reduce_ints(const struct job *j)
{
	const struct onx_view *x = &j->c->x[0];
	const bool wide = x->type == ONX_UINT64;
	const size_t n = j->g->gone.count;

	for (size_t o = 0; o < j->c->y[0].n; o++) {
		const size_t base = offset(&j->g->kept, o);
		uint64_t acc = j->kind == PROD;
		for (size_t i = 0; i < n; i++) {
			const uint64_t v = (uint64_t)onx_view_int(x, base + offset(&j->g->gone, i));
			const bool less = wide ? v < acc : (int64_t)v < (int64_t)acc;
			switch (j->kind) {
			case MAX: acc = i > 0 && less ? acc : v; break;
			case MIN: acc = i > 0 && !less ? acc : v; break;
			case PROD: acc *= v; break;
			case L1: acc += !wide && (int64_t)v < 0 ? 0 - v : v; break;
			case L2: case SUM_SQUARE: acc += v * v; break;
			default: acc += v;
			}
		}
		int64_t y = (int64_t)acc;
		if (j->kind == MEAN || j->kind == L2 || j->kind == LOG_SUM)
			y = n == 0 ? 0 : (int64_t)finish(j->kind, (double)y, n);
		onx_view_put_int(&j->c->y[0], o, y);
	}
}

static void forward(const struct onx_call *c, enum kind kind)
{
	const struct job j = { c, c->geo, kind };

	if (onx_dtype_real(c->x[0].type))
		onx_each(c->pool, c->y[0].n, onx_pieces(ONX_GRAIN, j.g->gone.count + 1), reduce_range, &j);
	else
		reduce_ints(&j);
}

/* Product of all but element i: right also where elements are 0. */
static double product_without(const real *x, const struct dims *gone, size_t i)
{
	double p = 1;

	for (size_t k = 0; k < gone->count; k++)
		p *= k == i ? 1 : (double)x[offset(gone, k)];
	return p;
}

static double slope(const struct job *j, const real *x, size_t i, double y, double ties)
{
	const struct dims *gone = &j->g->gone;
	const double v = (double)x[offset(gone, i)];

	switch (j->kind) {
	case MEAN:        return 1 / (double)gone->count;
	case MAX: case MIN: return v == y ? 1 / ties : 0;
	case PROD:        return product_without(x, gone, i);
	case L1:          return (v > 0) - (v < 0);
	case L2:          return y == 0 ? 0 : v / y;
	case LOG_SUM:     return exp(-y);
	case LOG_SUM_EXP: return exp(v - y);
	case SUM_SQUARE:  return 2 * v;
	default:          return 1;
	}
}

static void slope_range(const void *ctx, size_t lo, size_t hi)
{
	const struct job *j = ctx;
	const struct onx_call *c = j->c;
	const struct dims *gone = &j->g->gone;
	const real *dy = c->dy[0].v, *ys = c->y[0].v;
	const bool extreme = j->kind == MAX || j->kind == MIN;
	const bool plain = j->kind == SUM || j->kind == MEAN;

	for (size_t o = lo; o < hi; o++) {
		const size_t base = offset(&j->g->kept, o);
		const real *x = (const real *)c->x[0].v + base;
		real *dx = (real *)c->dx[0].v + base;
		const double y = plain ? 0 : (double)ys[o];
		const double each = j->kind == SUM ? 1 : 1 / (double)(gone->count ? gone->count : 1);
		double ties = 0;
		for (size_t i = 0; extreme && i < gone->count; i++)
			ties += (double)x[offset(gone, i)] == y;
		for (size_t i = 0; i < gone->count; i++)
			onx_put(&dx[offset(gone, i)], c->dx[0].add, (real)((double)dy[o] *
				(plain ? each : slope(j, x, i, y, ties))));
	}
}

static void backward(const struct onx_call *c, enum kind kind)
{
	const struct job j = { c, c->geo, kind };

	if (c->dx[0].v)
		onx_each(c->pool, c->y[0].n, onx_pieces(ONX_GRAIN, j.g->gone.count + 1), slope_range, &j);
}

#define X0 ONX_KEEP_X(0)
#define Y0 ONX_KEEP_Y(0)
#define REDUCE(R)                                       \
	R(ReduceSum,       SUM,         0)              \
	R(ReduceMean,      MEAN,        0)              \
	R(ReduceMax,       MAX,         X0 | Y0)        \
	R(ReduceMin,       MIN,         X0 | Y0)        \
	R(ReduceProd,      PROD,        X0 | Y0)        \
	R(ReduceL1,        L1,          X0 | Y0)        \
	R(ReduceL2,        L2,          X0 | Y0)        \
	R(ReduceLogSum,    LOG_SUM,     X0 | Y0)        \
	R(ReduceLogSumExp, LOG_SUM_EXP, X0 | Y0)        \
	R(ReduceSumSquare, SUM_SQUARE,  X0 | Y0)
#define R(name, kind, keep)                                                             \
static void name##_forward(const struct onx_call *c)  { forward(c, kind); }             \
static void name##_backward(const struct onx_call *c) { backward(c, kind); }
REDUCE(R)
#undef R
#define R(name, kind, keep_)                                                            \
	{ .domain = "", .type = #name, .since = 1, .min_in = 1, .max_in = 2, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = keep_, \
	  .flags = ONX_OP_APART, .attr = &reduce_attr, .infer = reduce_infer, .forward = name##_forward,       \
	  .backward = name##_backward },

const struct onx_op ONX_R(onx_ops_reduce)[] = {
	REDUCE(R)
	{ .type = NULL }
};
