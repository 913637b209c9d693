/* op/reduce.c -- reductions over axes, given as an attribute or as an input.  Sums are taken in double,
 * in a fixed order; each output element is computed by one piece, so the bits do not depend
 * on threads.  Max and Min give the gradient in equal parts to all elements that attain them. */
#include "op/infer.h"
#include "op/reduce_i.h"

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
static const struct onx_table log_attr = { .name = "Reduce", .size = sizeof(struct reduce),
					   .field = reduce_field + 1 };

static void add_dim(struct onx_reduce_dims *d, size_t size, size_t step)
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
	struct onx_reduce_geo *g = ONX_NEW(s->mem, struct onx_reduce_geo);
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

/* Logarithms of whole numbers went out with opset 28, long after `axes` had become an input. */
static int real_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : reduce_infer(s, attr, e);
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
static void name##_forward(const struct onx_call *c)  { onx_reduce_forward(c, kind); }             \
static void name##_backward(const struct onx_call *c) { onx_reduce_backward(c, kind); }
REDUCE(R)
#undef R
#define ROW(name, from, table, rule, keep_)                                                   \
	{ .domain = "", .type = #name, .since = from, .min_in = 1, .max_in = 2, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .keep = keep_, \
	  .flags = ONX_OP_APART, .attr = &table, .infer = rule, .forward = name##_forward,       \
	  .backward = name##_backward },
#define R(name, kind, keep_) ROW(name, 1, reduce_attr, reduce_infer, keep_)

const struct onx_op ONX_R(onx_ops_reduce)[] = {
	REDUCE(R)
	ROW(ReduceLogSum, 28, log_attr, real_infer, X0 | Y0)
	ROW(ReduceLogSumExp, 28, log_attr, real_infer, X0 | Y0)
	{ .type = NULL }
};
