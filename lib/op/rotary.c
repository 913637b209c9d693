/* op/rotary.c -- RotaryEmbedding: pairs of numbers of a head turned by an angle that grows with the position
 * (Su and others 2021).  X [b][s][h d] or [b][h][s][d]; the first `width` numbers of a head turn, the pair
 * (2 i, 2 i + 1) or (i, i + width / 2) by the angle i of its position:
 *     y1 = cos x1 - sin x2, y2 = sin x1 + cos x2
 * Rows of cos and sin: by position_ids, or [b][s][width / 2].  A position outside the tables turns by
 * nothing.  ONNX Runtime's has the positions in front of the tables; one position is that of the first column.
 * (onnxruntime, docs/ContribOperators.md) */
#include <inttypes.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"

struct rotary { bool interleaved, packed; int64_t heads, width; double scale; };
#define COMMON { "interleaved", F_BOOL, offsetof(struct rotary, interleaved), .def = "0", \
	  .help = "pairs are neighbours, not half a width apart" }, \
	{ "num_heads", F_INT, offsetof(struct rotary, heads), .def = "0", .min = 0, .max = 1 << 20, \
	  .help = "heads, where X has rank 3" }, \
	{ "rotary_embedding_dim", F_INT, offsetof(struct rotary, width), .def = "0", .min = 0, .max = 1 << 30, \
	  .help = "numbers of a head that turn; 0: all" }
static const struct onx_field rotary_field[] = { COMMON, { .name = NULL } };
static const struct onx_field ms_field[] = {
	COMMON,
	{ "is_packed_batching", F_BOOL, offsetof(struct rotary, packed), .def = "0",
	  .help = "sequences behind each other in a row; the positions say it all" },
	{ "scale", F_REAL, offsetof(struct rotary, scale), .def = "1",
	  .help = "ONNX Runtime has no arithmetic for others than 1" },
	{ .name = NULL }
};
static const struct onx_table rotary_attr = { "RotaryEmbedding", sizeof(struct rotary), rotary_field,
					      .check = NULL };
static const struct onx_table ms_attr = { "RotaryEmbedding", sizeof(struct rotary), ms_field, .check = NULL };

/* ids, tab: inputs that are the positions, and the cosines, the sines behind them.  from: one position for all. */
struct rotary_geo { size_t b, s, h, d, half, rows, step_b, step_s, step_h; int ids, tab; bool from; };

static int want_tables(struct onx_infer *s, struct rotary_geo *g, struct onx_err *e)
{
	const bool ids = onx_has_in(s, g->ids);
	char t[ONX_SHAPE_TEXT];

	for (int i = g->tab; i < g->tab + 2; i++) {
		const struct onx_shape *x = &s->in[i].shape;
		int rc = onx_want_same_type(s, 0, i, e);
		if (rc == ONX_OK)
			rc = onx_want_rank(s, i, ids ? 2 : 3, ids ? 2 : 3, e);
		if (rc < 0)
			return rc;
		if (x->dim[x->rank - 1] != (int64_t)g->half || !onx_shape_equal(x, &s->in[g->tab].shape) ||
		    (!ids && (x->dim[0] != (int64_t)g->b || x->dim[1] != (int64_t)g->s)))
			return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %zu numbers for each position", i,
					onx_shape_text(x->rank, x->dim, t, sizeof t), g->half);
	}
	g->rows = (size_t)s->in[g->tab].shape.dim[0];
	return ONX_OK;
}

static int want_positions(struct onx_infer *s, const struct rotary_geo *g, struct onx_err *e)
{
	const int64_t *ids = s->in[g->ids].shape.dim;
	int rc;

	if ((rc = onx_want_type(s, g->ids, ONX_INT64, e)) < 0 ||
	    (!g->from && (rc = onx_want_rank(s, g->ids, 2, 2, e)) < 0))
		return rc;
	if (!g->from && (ids[0] != (int64_t)g->b || ids[1] != (int64_t)g->s))
		return onx_fail(e, ONX_SHAPE, "positions for [%" PRId64 ",%" PRId64 "], wanted [%zu,%zu]",
				ids[0], ids[1], g->b, g->s);
	return ONX_OK;
}

/* heads: how many, where X has rank 3 */
static int infer_with(struct onx_infer *s, const void *attr, struct rotary_geo *g, int64_t heads, struct onx_err *e)
{
	const struct rotary *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	int rc;

	if ((rc = onx_infer_same(s, attr, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 4, e)) < 0)
		return rc;
	if (x->rank == 3 && (heads < 1 || x->dim[2] % heads))
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " numbers for %" PRId64 " heads", x->dim[2], heads);
	g->b = (size_t)x->dim[0];
	g->h = (size_t)(x->rank == 3 ? heads : x->dim[1]);
	g->s = (size_t)x->dim[x->rank == 3 ? 1 : 2];
	g->d = (size_t)(x->rank == 3 ? x->dim[2] / heads : x->dim[3]);
	g->step_b = g->h * g->s * g->d;
	g->step_s = x->rank == 3 ? g->h * g->d : g->d;
	g->step_h = x->rank == 3 ? g->d : g->s * g->d;
	const size_t width = a->width ? (size_t)a->width : g->d;
	if (width > g->d || width % 2)
		return onx_fail(e, ONX_SHAPE, "%zu of %zu numbers turn, wanted an even number of them", width, g->d);
	g->half = width / 2;
	s->geo = g;
	if (onx_has_in(s, g->ids) && (rc = want_positions(s, g, e)) < 0)
		return rc;
	return want_tables(s, g, e);
}

static int rotary_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct rotary_geo *g = ONX_NEW(s->mem, struct rotary_geo);

	if (!g)
		return onx_nomem(e, sizeof *g, "RotaryEmbedding");
	g->ids = 3;
	g->tab = 1;
	return infer_with(s, attr, g, ((const struct rotary *)attr)->heads, e);
}

/* Without num_heads, the tables say how wide a head is. */
static int ms_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct rotary *a = attr;
	const struct onx_shape *x = &s->in[0].shape, *ids = &s->in[1].shape, *table = &s->in[2].shape;
	struct rotary_geo *g = ONX_NEW(s->mem, struct rotary_geo);
	int64_t heads = a->heads;

	if (!g)
		return onx_nomem(e, sizeof *g, "RotaryEmbedding");
	if (a->scale < 1 || a->scale > 1)
		return onx_fail(e, ONX_UNSUP, "scale is %g, only 1 has a meaning", a->scale);
	g->ids = 1;
	g->tab = 2;
	g->from = ids->rank == 1 && ids->dim[0] == 1;
	if (x->rank == 3 && heads == 0 && table->rank == 2 && table->dim[1] > 0 && table->dim[1] < INT64_MAX / 2)
		heads = x->dim[2] / (2 * table->dim[1]);
	return infer_with(s, attr, g, heads, e);
}

/* The row of the tables for position (b, s); SIZE_MAX: none. */
static size_t table_row(const struct onx_call *c, size_t at)
{
	const struct rotary_geo *g = c->geo;

	if (c->n_x <= g->ids || !c->x[g->ids].v)
		return at;
	int64_t id = onx_view_int(&c->x[g->ids], g->from ? 0 : at);
	if (g->from && id >= 0 && (size_t)id < g->rows)
		id += (int64_t)(at % g->s);
	return id >= 0 && (size_t)id < g->rows ? (size_t)id : SIZE_MAX;
}

struct turn { const struct onx_call *c; const struct onx_view *from, *to; real way; };

/* All heads of the positions lo .. hi - 1. */
static void turn_range(const void *ctx, size_t lo, size_t hi)
{
	const struct turn *t = ctx;
	const struct rotary_geo *g = t->c->geo;
	const bool next = ((const struct rotary *)t->c->attr)->interleaved;
	const bool add = t->to->add;

	for (size_t at = lo; at < hi; at++) {
		const size_t row = table_row(t->c, at), base = at / g->s * g->step_b + at % g->s * g->step_s;
		const real *turn = row == SIZE_MAX ? NULL : (const real *)t->c->x[g->tab].v + row * g->half;
		const real *side = turn ? (const real *)t->c->x[g->tab + 1].v + row * g->half : NULL;
		for (size_t h = 0; h < g->h; h++) {
			const real *x = (const real *)t->from->v + base + h * g->step_h;
			real *y = (real *)t->to->v + base + h * g->step_h;
			for (size_t i = 0; i < g->half; i++) {
				const size_t j = next ? 2 * i : i, k = next ? j + 1 : i + g->half;
				const real c = turn ? turn[i] : 1, s = turn ? t->way * side[i] : 0;
				const real a = x[j], b = x[k];
				onx_put(&y[j], add, c * a - s * b);
				onx_put(&y[k], add, s * a + c * b);
			}
			for (size_t i = 2 * g->half; i < g->d; i++)
				onx_put(&y[i], add, x[i]);
		}
	}
}

static void rotary_forward(const struct onx_call *c)
{
	const struct rotary_geo *g = c->geo;
	const struct onx_view y = { .v = c->y[0].v };
	const struct turn t = { c, &c->x[0], &y, 1 };

	onx_each(c->pool, g->b * g->s, 64, turn_range, &t);
}

/* dcos = x1 dy1 + x2 dy2, dsin = x1 dy2 - x2 dy1, summed in double over what shares them. */
static void table_back(const struct onx_call *c)
{
	const struct rotary_geo *g = c->geo;
	const bool next = ((const struct rotary *)c->attr)->interleaved;
	const size_t n = c->x[g->tab].n;
	double *sum = c->scratch;

	for (size_t i = 0; i < 2 * n; i++)
		sum[i] = 0;
	for (size_t at = 0; at < g->b * g->s; at++) {
		const size_t row = table_row(c, at), base = at / g->s * g->step_b + at % g->s * g->step_s;
		for (size_t h = 0; row != SIZE_MAX && h < g->h; h++) {
			const real *x = (const real *)c->x[0].v + base + h * g->step_h;
			const real *dy = (const real *)c->dy[0].v + base + h * g->step_h;
			for (size_t i = 0; i < g->half; i++) {
				const size_t j = next ? 2 * i : i, k = next ? j + 1 : i + g->half;
				sum[row * g->half + i] += (double)x[j] * dy[j] + (double)x[k] * dy[k];
				sum[n + row * g->half + i] += (double)x[j] * dy[k] - (double)x[k] * dy[j];
			}
		}
	}
	for (int i = 0; i < 2; i++) {
		const struct onx_view *d = &c->dx[g->tab + i];
		for (size_t k = 0; d->v && k < n; k++)
			onx_put((real *)d->v + k, d->add, (real)sum[(size_t)i * n + k]);
	}
}

/* dX: dY turned back (also where cos^2 + sin^2 is not 1: the transposed matrix) */
static void rotary_backward(const struct onx_call *c)
{
	const struct rotary_geo *g = c->geo;
	const struct turn t = { c, &c->dy[0], &c->dx[0], -1 };

	if (c->dx[0].v)
		onx_each(c->pool, g->b * g->s, 64, turn_range, &t);
	if (c->dx[g->tab].v || c->dx[g->tab + 1].v)
		table_back(c);
}

static size_t rotary_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct rotary_geo *g = s->geo;
	const size_t rows = onx_has_in(s, g->ids) ? g->rows : g->b * g->s;

	(void)attr, (void)threads;
	return backward ? 2 * rows * g->half * sizeof(double) : 0;
}

const struct onx_op ONX_R(onx_ops_rotary)[] = {
	{ .domain = "", .type = "RotaryEmbedding", .since = 23, .min_in = 3, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_DIFF, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 4,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3), .attr = &rotary_attr,
	  .infer = rotary_infer, .scratch = rotary_scratch, .forward = rotary_forward,
	  .backward = rotary_backward },
	{ .domain = "com.microsoft", .type = "RotaryEmbedding", .since = 1, .min_in = 4, .max_in = 4, .min_out = 1,
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF, ONX_G_DIFF }, .n_grad = 4,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(3), .attr = &ms_attr,
	  .infer = ms_infer, .scratch = rotary_scratch, .forward = rotary_forward,
	  .backward = rotary_backward },
	{ .type = NULL }
};
