/* op/gather.c -- Gather, GatherElements, GatherND: block k of the result is read where index k says
 * (op/index.h). */
#include "op/index.h"
#include <string.h>
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

enum { GRAIN = 1 << 14 };
struct job { const struct onx_call *c; const struct onx_index *g; size_t grain; };

static void gather_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct onx_view *x = &j->c->x[0], *y = &j->c->y[0];
	const size_t bytes = j->g->block * y->width;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->g->blocks, j->grain, piece, &lo, &hi);
	for (size_t k = lo; k < hi; k++) {
		const int64_t at = onx_locate(j->g, &j->c->x[1], k);
		char *to = (char *)y->v + k * bytes;

		if (at >= 0)
			memcpy(to, (const char *)x->v + (size_t)at * y->width, bytes);
		else
			memset(to, 0, bytes);
	}
}

static void gather_forward(const struct onx_call *c)
{
	const struct onx_index *g = c->geo;
	struct job j = { c, g, g->block < GRAIN ? GRAIN / (g->block + 1) + 1 : 1 };

	if (c->y[0].n > 0)
		onx_parallel(c->pool, onx_pieces(g->blocks, j.grain), gather_piece, &j);
}

/* A piece is a strip of columns of every block, so that each element has one writer and its terms come in
 * the order of the blocks. */
static void gather_back_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const real *dy = j->c->dy[0].v;
	real *dx = j->c->dx[0].v;
	size_t lo, hi;

	(void)worker;
	onx_piece(j->g->block, j->grain, piece, &lo, &hi);
	for (size_t k = 0; k < j->g->blocks; k++) {
		const int64_t at = onx_locate(j->g, &j->c->x[1], k);

		for (size_t i = lo; at >= 0 && i < hi; i++)
			dx[(size_t)at + i] += dy[k * j->g->block + i];
	}
}

static void gather_backward(const struct onx_call *c)
{
	const struct onx_index *g = c->geo;
	struct job j = { c, g, 64 };

	if (!c->dx[0].v)
		return;
	if (!c->dx[0].add)
		onx_fill(c->dx[0].v, c->dx[0].n, NULL, sizeof(real));
	onx_parallel(c->pool, onx_pieces(g->block, j.grain), gather_back_piece, &j);
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
