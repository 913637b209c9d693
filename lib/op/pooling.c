/* op/pooling.c -- MaxPool, AveragePool, LpPool and their global forms.
 * Windows of up to three spatial dimensions; a global pool is one window over everything. */
#include "kernel/pooling.h"
#include "op/infer.h"
#include "op/pool_attr.h"

#define NORM_P { "p", F_INT, offsetof(struct onx_pool_attr, p), .def = "2", .min = 1, .max = 64, \
	.help = "which norm" }
static const struct onx_field max_field[] = { ONX_POOL_MAX, { .name = NULL } };
static const struct onx_field avg_field[] = { ONX_POOL_AVERAGE, { .name = NULL } };
static const struct onx_field lp_field[] = { ONX_POOL_WINDOW, NORM_P, { .name = NULL } };
static const struct onx_field global_lp_field[] = { NORM_P, { .name = NULL } };
static const struct onx_table max_table = { "MaxPool", sizeof(struct onx_pool_attr), max_field, .check = NULL };
static const struct onx_table avg_table = { "AveragePool", sizeof(struct onx_pool_attr), avg_field, .check = NULL };
static const struct onx_table lp_table = { "LpPool", sizeof(struct onx_pool_attr), lp_field, .check = NULL };
static const struct onx_table global_lp_table = { "GlobalLpPool", sizeof(struct onx_pool_attr), global_lp_field,
						  .check = NULL };

struct pool_geo { struct onx_window w; size_t planes, n; bool count_pad, column_major; };

static int set_out(struct onx_infer *s, struct pool_geo *g, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = *x;
	const int nd = x->rank - 2;

	for (int i = 0; i < nd; i++)
		y.dim[2 + i] = (int64_t)(nd > 3 ? 1 : g->w.out[3 - nd + i]);
	g->planes = (size_t)(x->dim[0] * x->dim[1]);
	s->geo = g;
	int rc = onx_count(y.rank, y.dim, &g->n, e);

	if (rc < 0)
		return rc;
	if (g->w.in_n > INT32_MAX)
		return onx_fail(e, ONX_UNSUP, "planes of %zu elements are too large to pool", g->w.in_n);
	onx_set_out(s, 0, s->in[0].type, &y);
	if (onx_has_out(s, 1))
		onx_set_out(s, 1, ONX_INT64, &y);
	return ONX_OK;
}

static int pool_geometry(struct onx_infer *s, const struct onx_pool_attr *a, struct onx_err *e)
{
	struct pool_geo *g = ONX_NEW(s->mem, struct pool_geo);
	const struct onx_shape *x = &s->in[0].shape;
	const int nd = x->rank - 2;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "pool");
	if ((rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, NULL, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, nd, a->ceil, &g->w, e)) < 0)
		return rc;
	g->count_pad = a->count_pad;
	g->column_major = a->column_major != 0;
	return set_out(s, g, e);
}

static int pool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	int rc = onx_want_real(s, 0, e);

	return rc < 0 ? rc : pool_geometry(s, attr, e);
}

static int max_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const bool bytes = s->in[0].type == ONX_INT8 || s->in[0].type == ONX_UINT8;
	int rc = bytes ? ONX_OK : onx_want_real(s, 0, e);

	return rc < 0 ? rc : pool_geometry(s, attr, e);
}

/* One window over all spatial dims, however many there are. */
static int global_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct pool_geo *g = ONX_NEW(s->mem, struct pool_geo);
	const struct onx_shape *x = &s->in[0].shape;
	size_t n = 1;
	int rc;

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "pool");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0)
		return rc;
	for (int d = 2; d < x->rank; d++)
		n *= (size_t)x->dim[d];
	if (n == 0)
		return onx_fail(e, ONX_SHAPE, "no elements to pool over");
	g->w = (struct onx_window){ .in = { 1, 1, n }, .out = { 1, 1, 1 }, .kern = { 1, 1, n },
				    .stride = { 1, 1, 1 }, .dil = { 1, 1, 1 } };
	onx_window_close(&g->w);
	return set_out(s, g, e);
}

static double pool_macs(const struct onx_infer *s, const void *attr)
{
	const struct pool_geo *g = s->geo;

	(void)attr;
	return (double)g->planes * (double)g->w.out_n * (double)g->w.kern_n;
}

static size_t max_saved(const struct onx_infer *s, const void *attr)
{
	const struct pool_geo *g = s->geo;

	(void)attr;
	return g->n * sizeof(int32_t);
}

/* Without a place of its own for where the maxima were (ONX_OP_SPARES), that goes to scratch. */
static size_t max_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)threads;
	return backward ? 0 : max_saved(s, attr);
}

static size_t column_place(const struct onx_window *w, size_t at)
{
	const size_t x = at % w->in[2], y = at / w->in[2] % w->in[1], z = at / w->in[2] / w->in[1];

	return (x * w->in[1] + y) * w->in[0] + z;
}

/* Indices of the whole tensor; storage_order 1 counts each plane in column-major order. */
static void write_indices(const struct onx_call *c, const struct pool_geo *g, const int32_t *at)
{
	const struct onx_window *w = &g->w;
	int64_t *to = c->y[1].v;

	for (size_t p = 0; p < g->planes; p++)
		for (size_t i = p * w->out_n; i < (p + 1) * w->out_n; i++) {
			const size_t in = at[i] < 0 ? 0 : (size_t)at[i];

			to[i] = (int64_t)(p * w->in_n + (g->column_major ? column_place(w, in) : in));
		}
}

static bool wants_indices(const struct onx_call *c)
{
	return c->n_y > 1 && c->y[1].v;
}

/* Y = max over the window, Indices = where */
static void max_forward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;
	int32_t *at = c->save ? c->save : c->scratch;

	if (c->x[0].type == ONX_INT8 || c->x[0].type == ONX_UINT8)
		onx_maxpool_bytes(c->pool, &g->w, g->planes, c->x[0].type == ONX_INT8, c->x[0].v, c->y[0].v, at);
	else
		onx_maxpool_forward(c->pool, &g->w, g->planes, c->x[0].v, c->y[0].v, at);
	if (wants_indices(c))
		write_indices(c, g, at);
}

/* ---- the same by runs of elements ---- */

static enum onx_pool_kind kind_of(enum onx_dtype type)
{
	return type == ONX_INT8 ? ONX_POOL_INT8 : type == ONX_UINT8 ? ONX_POOL_UINT8 : ONX_POOL_REAL;
}

static bool runs_fits(const struct onx_infer *s, const void *attr)
{
	const struct pool_geo *g = s->geo;

	(void)attr;
	return onx_maxruns_fits(&g->w);
}

static size_t places_bytes(size_t n)
{
	return (n * sizeof(int32_t) + 63) / 64 * 64;
}

static size_t runs_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct pool_geo *g = s->geo;

	(void)attr;
	return backward ? 0 : onx_maxruns_scratch(&g->w, kind_of(s->in[0].type), true, threads) +
			      (onx_has_out(s, 1) ? places_bytes(g->n) : 0);
}

static void runs_forward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;
	char *scratch = c->scratch;
	int32_t *at = c->save;

	if (wants_indices(c)) {
		at = at ? at : (int32_t *)(void *)scratch;
		scratch += places_bytes(g->n);
	}
	onx_maxruns_forward(c->pool, &g->w, g->planes, kind_of(c->x[0].type), c->x[0].v, c->y[0].v, at, scratch);
	if (wants_indices(c))
		write_indices(c, g, at);
}

static const struct onx_impl max_impl[] = {
	{ .name = "runs", .fits = runs_fits, .scratch = runs_scratch, .forward = runs_forward, .backward = NULL },
	{ .name = NULL }
};

static void max_backward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;

	onx_maxpool_backward(c->pool, &g->w, g->planes, c->dy[0].v, c->save, c->dx[0].v, c->dx[0].add);
}

/* Y = mean over the window */
static void avg_forward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;

	onx_avgpool_forward(c->pool, &g->w, g->planes, g->count_pad, c->x[0].v, c->y[0].v);
}

static void avg_backward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;

	onx_avgpool_backward(c->pool, &g->w, g->planes, g->count_pad, c->dy[0].v, c->dx[0].v, c->dx[0].add);
}

/* Y = p-norm of the window */
static void lp_forward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;
	const struct onx_pool_attr *a = c->attr;

	onx_lppool_forward(c->pool, &g->w, g->planes, (double)a->p, c->x[0].v, c->y[0].v);
}

static void lp_backward(const struct onx_call *c)
{
	const struct pool_geo *g = c->geo;
	const struct onx_pool_attr *a = c->attr;

	onx_lppool_backward(c->pool, &g->w, g->planes, (double)a->p, c->x[0].v, c->y[0].v, c->dy[0].v,
			    c->dx[0].v, c->dx[0].add);
}

#define POOL(t, v, outs, kept, table, shape, part, bytes) \
	.domain = "", .type = t, .since = v, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outs,       \
	.grad = { ONX_G_DIFF }, .n_grad = 1, .keep = kept, .attr = table, .infer = shape,                   \
	.saved = bytes, .macs = pool_macs, .forward = part##_forward, .backward = part##_backward
#define KEPT (ONX_KEEP_X(0) | ONX_KEEP_Y(0))
const struct onx_op ONX_R(onx_ops_pooling)[] = {
	{ POOL("MaxPool", 1, 2, 0, &max_table, max_infer, max, max_saved), .scratch = max_scratch, .impl = max_impl,
	  .flags = ONX_OP_APART | ONX_OP_SPARES },
	{ POOL("AveragePool", 1, 1, 0, &avg_table, pool_infer, avg, NULL), .flags = ONX_OP_APART },
	{ POOL("LpPool", 2, 1, KEPT, &lp_table, pool_infer, lp, NULL), .flags = ONX_OP_APART },
	{ POOL("GlobalMaxPool", 1, 1, 0, NULL, global_infer, max, max_saved), .flags = ONX_OP_APART },
	{ POOL("GlobalAveragePool", 1, 1, 0, NULL, global_infer, avg, NULL), .flags = ONX_OP_APART },
	{ POOL("GlobalLpPool", 2, 1, KEPT, &global_lp_table, global_infer, lp, NULL), .flags = ONX_OP_APART },
	{ .type = NULL }
};
