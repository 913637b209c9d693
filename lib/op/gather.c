/* op/gather.c -- Gather, GatherElements, GatherND: block k of the result is read where index k says
 * (op/index.h). */
#include "op/index.h"
#include <string.h>
#include "kernel/cpu.h"
#include "op/walk.h"

struct axis { int64_t axis; uint64_t given; };
static const struct onx_field axis_field[] = {
	{ "axis", F_INT, offsetof(struct axis, axis), .def = "0", .help = "axis that the indices select from" },
	{ .name = NULL }
};
static const struct onx_table gather_attr = { "Gather", sizeof(struct axis), axis_field,
	.given = offsetof(struct axis, given) };

static int gather_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *idx = &s->in[1].shape;
	struct onx_shape y = { .rank = 0 };
	struct onx_index *g;
	int rc = onx_index_new(s, ONX_BY_AXIS, &g, e);
	size_t n;

	if (rc == ONX_OK)
		rc = onx_axis(((const struct axis *)attr)->axis, x->rank, &g->axis, e);
	if (rc < 0)
		return rc;
	if (x->rank - 1 + idx->rank > ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "a result of %d dimensions, at most %d are supported",
				x->rank - 1 + idx->rank, ONX_RANK);
	for (int i = 0; i < g->axis; i++)
		y.dim[y.rank++] = x->dim[i];
	for (int i = 0; i < idx->rank; i++)
		y.dim[y.rank++] = idx->dim[i];
	for (int i = g->axis + 1; i < x->rank; i++)
		y.dim[y.rank++] = x->dim[i];
	rc = onx_count(y.rank, y.dim, &n, e);
	if (rc < 0)
		return rc;
	g->n_index = onx_span(idx->dim, 0, idx->rank);
	g->block = (size_t)onx_span(x->dim, g->axis + 1, x->rank);
	g->blocks = n ? n / g->block : 0;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_index_known(s, g, e);
}

static const struct onx_table gather_elements_attr = { "GatherElements", sizeof(struct axis), axis_field,
	.given = offsetof(struct axis, given) };

static int gather_elements_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_index *g;
	int rc = onx_index_elements(s, ((const struct axis *)attr)->axis, &g, e);

	if (rc == ONX_OK)
		onx_set_out(s, 0, s->in[0].type, &s->in[1].shape);
	return rc;
}

struct batch { int64_t batch_dims; uint64_t given; };
static const struct onx_field batch_field[] = {
	{ "batch_dims", F_INT, offsetof(struct batch, batch_dims), .def = "0", .min = 0, .max = ONX_RANK,
	  .help = "leading axes that data and indices share" },
	{ .name = NULL }
};
static const struct onx_table gather_nd_attr = { "GatherND", sizeof(struct batch), batch_field,
	.given = offsetof(struct batch, given) };

static int gather_nd_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct onx_shape y;
	struct onx_index *g;
	int rc = onx_index_tuples(s, (int)((const struct batch *)attr)->batch_dims, &y, &g, e);

	if (rc == ONX_OK)
		onx_set_out(s, 0, s->in[0].type, &y);
	return rc;
}

enum { GRAIN = 1 << 14, SOME = 256 };  /* elements of a piece; places found at once */
struct job { const struct onx_call *c; const struct onx_index *g; size_t grain; };

static void take4(const uint32_t *x, const int64_t *at, size_t n, uint32_t *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = at[i] >= 0 ? x[at[i]] : 0;
}

static void take(const char *x, int64_t at, size_t width, size_t bytes, char *to)
{
	if (at >= 0)
		memcpy(to, x + (size_t)at * width, bytes);
	else
		memset(to, 0, bytes);
}

static void gather_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_view *x = &j->c->x[0], *y = &j->c->y[0];
	const size_t bytes = j->g->block * y->width;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->g->blocks, j->grain, piece, &lo, &hi);
	for (size_t n; lo < hi; lo += n) {
		int64_t at[SOME];

		n = hi - lo < SOME ? hi - lo : SOME;
		onx_locate_run(j->g, &j->c->x[1], lo, n, at);
		if (bytes == 4)
			take4(x->v, at, n, (uint32_t *)y->v + lo);
		else
			for (size_t i = 0; i < n; i++)
				take(x->v, at[i], y->width, bytes, (char *)y->v + (lo + i) * bytes);
	}
}

static void gather_forward(const struct onx_call *c)
{
	const struct onx_index *g = c->geo;
	struct job j = { c, g, g->block < GRAIN ? GRAIN / (g->block + 1) + 1 : 1 };

	if (c->y[0].n > 0)
		onx_parallel(c->pool, onx_pieces(g->blocks, j.grain), gather_piece, &j);
}

ONX_CLONES static void add_block(real *restrict to, const real *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
}

/* Columns from..to-1 of blocks lo..hi-1. */
static void add_blocks(const struct onx_call *c, size_t lo, size_t hi, size_t from, size_t to)
{
	const struct onx_index *g = c->geo;
	const real *dy = c->dy[0].v;
	real *dx = c->dx[0].v;
	int64_t at[SOME];

	for (size_t n; lo < hi; lo += n) {
		n = hi - lo < SOME ? hi - lo : SOME;
		onx_locate_run(g, &c->x[1], lo, n, at);
		for (size_t i = 0; i < n; i++) {
			if (at[i] < 0)
				continue;
			if (g->block == 1)
				dx[at[i]] += dy[lo + i];
			else
				add_block(dx + at[i] + from, dy + (lo + i) * g->block + from, to - from);
		}
	}
}

/* A piece is a strip of columns of every block, so that each element has one writer and its terms come in
 * the order of the blocks. */
static void gather_back_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->g->block, j->grain, piece, &lo, &hi);
	add_blocks(j->c, 0, j->g->blocks, lo, hi);
}

/* Blocks of one element that select along another axis than the first: what differs there does not meet. */
static void gather_back_rows(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const size_t row = j->g->blocks / (size_t)j->g->index_dim[0];
	size_t lo, hi;

	(void)worker;
	onx_piece((size_t)j->g->index_dim[0], j->grain, piece, &lo, &hi);
	add_blocks(j->c, lo * row, hi * row, 0, 1);
}

static void gather_backward(const struct onx_call *c)
{
	const struct onx_index *g = c->geo;
	const size_t strip = onx_pieces(g->block, 8);
	struct job j = { c, g, strip < 64 ? 64 : strip };

	if (!c->dx[0].v)
		return;
	if (!c->dx[0].add)
		onx_fill(c->dx[0].v, c->dx[0].n, NULL, sizeof(real));
	if (g->where == ONX_BY_ELEMENT && g->axis > 0 && g->blocks > 0) {
		j.grain = GRAIN * (size_t)g->index_dim[0] / g->blocks + 1;
		onx_parallel(c->pool, onx_pieces((size_t)g->index_dim[0], j.grain), gather_back_rows, &j);
	} else {
		onx_parallel(c->pool, onx_pieces(g->block, j.grain), gather_back_piece, &j);
	}
}

#define GATHER(name, version, table, rule)                                                  \
	{ .domain = "", .type = name, .since = version, .min_in = 2, .max_in = 2,             \
	  .min_out = 1, .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2,       \
	  .keep = ONX_KEEP_X(1), .attr = table, .infer = rule,                                \
	  .forward = gather_forward, .backward = gather_backward }
const struct onx_op ONX_R(onx_ops_gather)[] = {
	GATHER("Gather", 1, &gather_attr, gather_infer),
	GATHER("GatherElements", 11, &gather_elements_attr, gather_elements_infer),
	GATHER("GatherND", 11, &gather_nd_attr, gather_nd_infer),
	{ .type = NULL }
};
