/* op/embednorm.c -- ONNX Runtime's EmbedLayerNormalization: the sum of a word's, a position's and a segment's
 * row, normalised (Devlin and others 2019, section 3.1).
 *
 * Ids may be computed while running: one that is out of range counts as a row of zeros. */
#include "kernel/norm.h"
#include "op/infer.h"
#include <string.h>

struct embed { double epsilon; int64_t mask_type; };
static const struct onx_field embed_field[] = {
	{ "epsilon", F_REAL, offsetof(struct embed, epsilon), .def = "1e-12", .min = 0, .max = 1e6,
	  .help = "added to the variance" },
	{ "mask_index_type", F_INT, offsetof(struct embed, mask_type), .def = "1", .min = 0, .max = 1,
	  .help = "1: output 1 counts the ones of the mask; 0: zeros" },
	{ .name = NULL }
};
static const struct onx_table embed_attr = { "EmbedLayerNormalization", sizeof(struct embed), embed_field,
					     .check = NULL };

enum { IDS, SEGMENTS, WORD, POSITION, SEGMENT, GAMMA, BETA, MASK, POSITIONS };
struct geo { struct onx_rows rows; size_t seq; };

static int want_ids(const struct onx_infer *s, int i, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[i].shape, *ids = &s->in[IDS].shape;
	int rc;

	if (!onx_has_in(s, i))
		return ONX_OK;
	if ((rc = onx_want_type(s, i, ONX_INT32, e)) < 0 || (rc = onx_want_rank(s, i, 2, 2, e)) < 0)
		return rc;
	if (x->dim[1] != ids->dim[1] || (x->dim[0] != ids->dim[0] && !(i == POSITIONS && x->dim[0] == 1)))
		return onx_fail(e, ONX_SHAPE, "input %d has shape [%lld,%lld], the ids [%lld,%lld]", i,
				(long long)x->dim[0], (long long)x->dim[1], (long long)ids->dim[0],
				(long long)ids->dim[1]);
	return ONX_OK;
}

static int want_tables(const struct onx_infer *s, int64_t width, struct onx_err *e)
{
	for (int i = WORD; i <= BETA; i++) {
		const struct onx_shape *x = &s->in[i].shape;
		const int rank = i < GAMMA ? 2 : 1;
		int rc;
		if (i == SEGMENT && !onx_has_in(s, i))
			continue;
		if ((rc = onx_want_same_type(s, WORD, i, e)) < 0 || (rc = onx_want_rank(s, i, rank, rank, e)) < 0)
			return rc;
		if (x->dim[rank - 1] != width)
			return onx_fail(e, ONX_SHAPE, "input %d is %lld wide, wanted %lld", i,
					(long long)x->dim[rank - 1], (long long)width);
	}
	return ONX_OK;
}

static int embed_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct geo *g = ONX_NEW(s->mem, struct geo);
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "an embedding");
	if ((rc = want_ids(s, IDS, e)) < 0 || (rc = want_ids(s, SEGMENTS, e)) < 0 ||
	    (rc = want_ids(s, MASK, e)) < 0 || (rc = want_ids(s, POSITIONS, e)) < 0 ||
	    (rc = onx_want_real(s, WORD, e)) < 0 || (rc = onx_want_rank(s, WORD, 2, 2, e)) < 0)
		return rc;
	const struct onx_shape *ids = &s->in[IDS].shape;
	const int64_t width = s->in[WORD].shape.dim[1];
	if ((rc = want_tables(s, width, e)) < 0 || (rc = onx_count(2, ids->dim, &n, e)) < 0)
		return rc;
	if (onx_has_in(s, SEGMENTS) != onx_has_in(s, SEGMENT))
		return onx_fail(e, ONX_SHAPE, "segment ids without their table, or the other way round");
	if (!onx_has_in(s, POSITIONS) && s->in[POSITION].shape.dim[0] < ids->dim[1])
		return onx_fail(e, ONX_SHAPE, "%lld positions for %lld ids", (long long)s->in[POSITION].shape.dim[0],
				(long long)ids->dim[1]);
	const struct onx_shape y = { 3, { ids->dim[0], ids->dim[1], width } }, m = { 1, { ids->dim[0] } };
	g->seq = (size_t)ids->dim[1];
	g->rows = (struct onx_rows){ .rows = n, .len = (size_t)width, .period = 1, .run = 1, .n_par = (size_t)width,
				     .eps = ((const struct embed *)attr)->epsilon, .centre = true };
	s->geo = g;
	onx_set_out(s, 0, s->in[WORD].type, &y);
	onx_set_out(s, 1, ONX_INT32, &m);
	onx_set_out(s, 2, s->in[WORD].type, &y);
	return ONX_OK;
}

/* save: the sums, then mean and deviation of each row. */
static size_t embed_saved(const struct onx_infer *s, const void *attr)
{
	const struct geo *g = s->geo;

	(void)attr;
	return (g->rows.rows * g->rows.len + 2 * g->rows.rows) * sizeof(double);
}

static size_t embed_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;

	(void)attr, (void)threads;
	return backward ? (g->rows.rows * g->rows.len * sizeof(double) + 63) / 64 * 64 + onx_rows_scratch(&g->rows) : 0;
}

static bool has(const struct onx_call *c, int i)
{
	return i < c->n_x && c->x[i].v;
}

/* The row of table i that element r of the batch reads; SIZE_MAX: none. */
static size_t row_of(const struct onx_call *c, int i, size_t r)
{
	const struct geo *g = c->geo;
	const int from = i == WORD ? IDS : i == SEGMENT ? SEGMENTS : POSITIONS;

	if (!has(c, from))
		return i == POSITION ? r % g->seq : SIZE_MAX;
	const int32_t at = ((const int32_t *)c->x[from].v)[r % c->x[from].n];
	return at >= 0 && at < c->x[i].dim[0] ? (size_t)at : SIZE_MAX;
}

static void count_mask(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const bool counts = ((const struct embed *)c->attr)->mask_type == 1 && has(c, MASK);
	int32_t *y = c->y[1].v;

	for (size_t b = 0; b < c->y[1].n; b++) {
		y[b] = 0;
		for (size_t i = 0; counts && i < g->seq; i++)
			y[b] += ((const int32_t *)c->x[MASK].v)[b * g->seq + i] == 1;
	}
}

static void embed_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const size_t len = g->rows.len;
	real *sum = c->save;

	memset(sum, 0, g->rows.rows * len * sizeof *sum);
	for (size_t r = 0; r < g->rows.rows; r++)
		for (int i = WORD; i <= SEGMENT; i++) {
			const size_t at = has(c, i) ? row_of(c, i, r) : SIZE_MAX;
			for (size_t k = 0; at != SIZE_MAX && k < len; k++)
				sum[r * len + k] += ((const real *)c->x[i].v)[at * len + k];
		}
	onx_rows_forward(c->pool, &g->rows, sum, c->x[GAMMA].v, c->x[BETA].v, c->y[0].v, sum + g->rows.rows * len);
	if (c->n_y > 1 && c->y[1].v)
		count_mask(c);
	if (c->n_y > 2 && c->y[2].v)
		memcpy(c->y[2].v, sum, g->rows.rows * len * sizeof *sum);
}

static void embed_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	const size_t len = g->rows.len, n = g->rows.rows * len;
	const real *other = c->n_y > 2 ? c->dy[2].v : NULL;
	real *ds = c->scratch;
	struct onx_rows_grad t = { .x = c->save, .scale = c->x[GAMMA].v, .dy = c->dy[0].v,
				   .stat = (const real *)c->save + n, .dx = ds, .add_x = other != NULL,
				   .dscale = c->dx[GAMMA].v, .add_scale = c->dx[GAMMA].add,
				   .dbias = c->dx[BETA].v, .add_bias = c->dx[BETA].add,
				   .scratch = (char *)c->scratch + (n * sizeof(double) + 63) / 64 * 64 };

	for (size_t i = 0; i < n; i++)
		ds[i] = other ? other[i] : 0;
	if (t.dy)
		onx_rows_backward(c->pool, &g->rows, &t);
	for (int i = GAMMA; !t.dy && i <= BETA; i++)
		for (size_t k = 0; c->dx[i].v && !c->dx[i].add && k < len; k++)
			((real *)c->dx[i].v)[k] = 0;
	for (int i = WORD; i <= SEGMENT; i++) {
		real *dx = i < c->n_x ? c->dx[i].v : NULL;
		for (size_t k = 0; dx && !c->dx[i].add && k < c->dx[i].n; k++)
			dx[k] = 0;
		for (size_t r = 0; dx && r < g->rows.rows; r++) {
			const size_t at = row_of(c, i, r);
			for (size_t k = 0; at != SIZE_MAX && k < len; k++)
				dx[at * len + k] += ds[r * len + k];
		}
	}
}

#define D ONX_G_DIFF
#define N ONX_G_NEVER
const struct onx_op ONX_R(onx_ops_embednorm)[] = {
	{ .domain = "com.microsoft", .type = "EmbedLayerNormalization", .since = 1, .min_in = 1, .max_in = 9,
	  .min_out = 1, .max_out = 3, .grad = { N, N, D, D, D, D, D, N }, .n_grad = 8,
	  .keep = ONX_KEEP_X(IDS) | ONX_KEEP_X(SEGMENTS) | ONX_KEEP_X(GAMMA) | ONX_KEEP_X(POSITIONS), .weight = 0x7C,
	  .attr = &embed_attr, .infer = embed_infer, .saved = embed_saved, .scratch = embed_scratch,
	  .forward = embed_forward, .backward = embed_backward },
	{ .type = NULL }
};
