/* op/gatherblock.c -- ONNX Runtime's GatherBlockQuantized: Gather from numbers of few bits that share a scale in blocks
 * along an axis, made real: y = (data - zero) scale.
 *
 * uint8 data of less than 8 bits hold several numbers a byte along the last axis, the lowest bits first; their zero is
 * 2 ^ (bits - 1) where no input says otherwise, that of 4-bit types 0.  An index outside the axis reads as zeros.
 * (onnxruntime, docs/ContribOperators.md) */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

enum { DATA, INDICES, SCALES, ZEROS };
struct blocks { int64_t bits, block, gather, quantize; };
static const struct onx_field block_field[] = {
	{ "bits", F_INT, offsetof(struct blocks, bits), .def = "4", .min = 2, .max = 8,
	  .help = "of a number, where data is uint8: 2, 4, 8" },
	{ "block_size", F_INT, offsetof(struct blocks, block), .def = "128", .min = 0, .max = 1 << 30,
	  .help = "numbers that share a scale; 0: all along the axis, small floats only" },
	{ "gather_axis", F_INT, offsetof(struct blocks, gather), .def = "0", .help = "axis that indices select from" },
	{ "quantize_axis", F_INT, offsetof(struct blocks, quantize), .def = "1", .help = "axis of the blocks" },
	{ .name = NULL }
};
static const struct onx_table block_attr = { "GatherBlockQuantized", sizeof(struct blocks), block_field,
					     .check = NULL };

/* dim: of the numbers, not of the bytes that hold `per` each; zero_row: bytes of a row of packed zero points. */
struct block_geo {
	int rank, at, q;
	int64_t dim[ONX_RANK], scale_dim[ONX_RANK];
	size_t outer, n, inner, axis, block, per, bits, scale_last, zero_row;
};

static int numbers(const struct onx_infer *s, const struct blocks *a, struct block_geo *g, struct onx_err *e)
{
	const enum onx_dtype t = s->in[DATA].type;
	const bool tiny = t == ONX_INT4 || t == ONX_UINT4, small = onx_dtype_real(t) && onx_dtype_bits(t) <= 8;

	if (t != ONX_UINT8 && !tiny && !small)
		return onx_fail(e, ONX_SHAPE, "data is %s, wanted uint8, 4-bit numbers or small floats",
				onx_dtype_name(t));
	if (t == ONX_UINT8 && a->bits != 2 && a->bits != 4 && a->bits != 8)
		return onx_fail(e, ONX_UNSUP, "numbers of %" PRId64 " bits, there are those of 2, 4 and 8", a->bits);
	if (small ? a->block & (a->block - 1) : a->block < 16 || (a->block & (a->block - 1)))
		return onx_fail(e, ONX_SHAPE, "block_size is %" PRId64 ", wanted a power of two from 16 on", a->block);
	if (small && onx_has_in(s, ZEROS))
		return onx_fail(e, ONX_SHAPE, "zero points of small floats");
	g->bits = t == ONX_UINT8 ? (size_t)a->bits : 8;
	g->per = 8 / g->bits;
	g->dim[g->rank - 1] *= (int64_t)g->per;
	g->block = a->block ? (size_t)a->block : g->dim[g->q] > 0 ? (size_t)g->dim[g->q] : 1;
	return ONX_OK;
}

static int scale_shape(const struct onx_infer *s, struct block_geo *g, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[SCALES].shape;
	const bool small = onx_dtype_real(s->in[DATA].type);
	char t[ONX_SHAPE_TEXT];
	bool fits = x->rank == g->rank;

	for (int d = 0; fits && d < g->rank; d++) {
		const int64_t n = g->dim[d], block = (int64_t)g->block;
		const int64_t want = d == g->q ? n / block + (n % block != 0) : n;
		fits = x->dim[d] == want || (small && d != g->q && x->dim[d] == 1);
		g->scale_dim[d] = x->dim[d];
	}
	if (!fits)
		return onx_fail(e, ONX_SHAPE, "scales of shape %s do not fit data in blocks of %zu",
				onx_shape_text(x->rank, x->dim, t, sizeof t), g->block);
	g->scale_last = (size_t)x->dim[x->rank - 1];
	g->zero_row = (g->scale_last + g->per - 1) / g->per;
	if (!onx_has_in(s, ZEROS))
		return ONX_OK;
	const struct onx_shape *z = &s->in[ZEROS].shape;
	fits = z->rank == x->rank;
	for (int d = 0; fits && d < z->rank; d++)
		fits = z->dim[d] == (d == z->rank - 1 ? (int64_t)g->zero_row : x->dim[d]);
	return fits ? onx_want_same_type(s, DATA, ZEROS, e)
		    : onx_fail(e, ONX_SHAPE, "zero points of shape %s do not fit the scales",
			       onx_shape_text(z->rank, z->dim, t, sizeof t));
}

static int block_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct blocks *a = attr;
	const struct onx_shape *x = &s->in[DATA].shape, *idx = &s->in[INDICES].shape;
	struct block_geo *g = ONX_NEW(s->mem, struct block_geo);
	struct onx_shape y = { .rank = 0 };
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "GatherBlockQuantized");
	*g = (struct block_geo){ .rank = x->rank, .outer = 1, .inner = 1, .n = 1 };
	if ((rc = onx_want_rank(s, DATA, 1, ONX_RANK, e)) < 0 || (rc = onx_want_real(s, SCALES, e)) < 0 ||
	    (rc = onx_axis(a->gather, x->rank, &g->at, e)) < 0 || (rc = onx_axis(a->quantize, x->rank, &g->q, e)) < 0)
		return rc;
	for (int d = 0; d < x->rank; d++)
		g->dim[d] = x->dim[d];
	if (s->in[INDICES].type != ONX_INT32 && (rc = onx_want_type(s, INDICES, ONX_INT64, e)) < 0)
		return rc;
	if (s->in[DATA].type == ONX_UINT8 && g->at != 0)
		return onx_fail(e, ONX_UNSUP, "gather_axis is %d, of uint8 data only 0", g->at);
	if (x->rank - 1 + idx->rank > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a result of more than %d dimensions", ONX_RANK);
	if ((rc = numbers(s, a, g, e)) < 0 || (rc = scale_shape(s, g, e)) < 0)
		return rc;
	for (int d = 0; d < g->at; d++)
		g->outer *= (size_t)(y.dim[y.rank++] = g->dim[d]);
	for (int d = 0; d < idx->rank; d++)
		g->n *= (size_t)(y.dim[y.rank++] = idx->dim[d]);
	for (int d = g->at + 1; d < g->rank; d++)
		g->inner *= (size_t)(y.dim[y.rank++] = g->dim[d]);
	g->axis = (size_t)g->dim[g->at];
	s->geo = g;
	onx_set_out(s, 0, s->in[SCALES].type, &y);
	return onx_count(y.rank, y.dim, &n, e);
}

/* The number that element i of y is made from, and its scale; false: none, y is 0. */
static bool place(const struct onx_call *c, size_t i, size_t *from, size_t *scale)
{
	const struct block_geo *g = c->geo;
	int64_t to = onx_view_int(&c->x[INDICES], i / g->inner % g->n);
	size_t rest, step = 1;

	to += to < 0 ? (int64_t)g->axis : 0;
	if (to < 0 || (size_t)to >= g->axis)
		return false;
	*from = rest = (i / g->inner / g->n * g->axis + (size_t)to) * g->inner + i % g->inner;
	*scale = 0;
	for (int d = g->rank - 1; d >= 0; d--) {
		const size_t k = rest % (size_t)g->dim[d];
		rest /= (size_t)g->dim[d];
		*scale += (d == g->q ? k / g->block : g->scale_dim[d] == 1 ? 0 : k) * step;
		step *= (size_t)g->scale_dim[d];
	}
	return true;
}

static double packed(const struct onx_view *v, size_t byte, size_t k, size_t bits)
{
	return (double)(((const uint8_t *)v->v)[byte] >> k * bits & ((1u << bits) - 1));
}

/* data - zero */
static double distance(const struct onx_call *c, size_t from, size_t scale)
{
	const struct block_geo *g = c->geo;
	const struct onx_view *x = &c->x[DATA], *z = c->n_x > ZEROS && c->x[ZEROS].v ? &c->x[ZEROS] : NULL;

	if (onx_dtype_real(x->type))
		return onx_view_real(x, from);
	if (x->type != ONX_UINT8)
		return (double)onx_view_int(x, from) - (z ? (double)onx_view_int(z, scale) : 0);
	const double v = packed(x, from / g->per, from % g->per, g->bits);
	const size_t row = scale / g->scale_last, k = scale % g->scale_last;
	return v - (z ? packed(z, row * g->zero_row + k / g->per, k % g->per, g->bits) : (double)(1u << (g->bits - 1)));
}

static void block_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	size_t from, scale;

	for (size_t i = lo; i < hi; i++)
		((real *)c->y[0].v)[i] = place(c, i, &from, &scale) ? (real)distance(c, from, scale) *
								      ((const real *)c->x[SCALES].v)[scale] : 0;
}

static void block_forward(const struct onx_call *c)
{
	onx_each(c->pool, c->y[0].n, ONX_GRAIN / 8, block_range, c);
}

/* dscale = sum of dy (data - zero) over what shares the scale, in double */
static void block_backward(const struct onx_call *c)
{
	const struct onx_view *d = &c->dx[SCALES];
	double *sum = c->scratch;
	size_t from, scale;

	if (!d->v)
		return;
	for (size_t i = 0; i < d->n; i++)
		sum[i] = 0;
	for (size_t i = 0; i < c->dy[0].n; i++)
		if (place(c, i, &from, &scale))
			sum[scale] += (double)((const real *)c->dy[0].v)[i] * distance(c, from, scale);
	for (size_t i = 0; i < d->n; i++)
		onx_put((real *)d->v + i, d->add, (real)sum[i]);
}

static size_t block_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct onx_shape *x = &s->in[SCALES].shape;
	struct onx_err e;
	size_t n = 0;

	(void)attr, (void)threads;
	return backward && onx_count(x->rank, x->dim, &n, &e) == ONX_OK ? n * sizeof(double) : 0;
}

const struct onx_op ONX_R(onx_ops_gatherblock)[] = {
	{ .domain = "com.microsoft", .type = "GatherBlockQuantized", .since = 1, .min_in = 3, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_NEVER, ONX_G_NEVER, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 4,
	  .keep = ONX_KEEP_X(DATA) | ONX_KEEP_X(INDICES) | ONX_KEEP_X(ZEROS), .attr = &block_attr,
	  .infer = block_infer, .scratch = block_scratch, .forward = block_forward, .backward = block_backward },
	{ .type = NULL }
};
