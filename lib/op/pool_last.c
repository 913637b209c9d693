/* op/pool_last.c -- MaxPool, AveragePool and GlobalAveragePool with channels last, steps of the plan that stand
 * in no file.  X [n][spatial][c], Y [n][spatial][c]; the global one leaves spatial sizes of 1. */
#include "kernel/pool_last.h"
#include "op/infer.h"
#include "op/pool_attr.h"

static const struct onx_field max_field[] = { ONX_POOL_MAX, { .name = NULL } };
static const struct onx_field avg_field[] = { ONX_POOL_AVERAGE, { .name = NULL } };
static const struct onx_table max_table = { "MaxPoolLast", sizeof(struct onx_pool_attr), max_field, .check = NULL };
static const struct onx_table avg_table = { "AveragePoolLast", sizeof(struct onx_pool_attr), avg_field,
					    .check = NULL };

static int pool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_pool_attr *a = attr;
	struct onx_pool_last *g = ONX_NEW(s->mem, struct onx_pool_last);
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = *x;
	const int nd = x->rank - 2;
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "pool");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 1, NULL, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, nd, a->ceil, &g->w, e)) < 0)
		return rc;
	g->n = (size_t)x->dim[0];
	g->c = (size_t)x->dim[x->rank - 1];
	g->count_pad = a->count_pad;
	for (int i = 0; i < nd; i++)
		y.dim[1 + i] = (int64_t)g->w.out[3 - nd + i];
	if ((rc = onx_count(y.rank, y.dim, &n, e)) < 0)
		return rc;
	if (g->w.kern_n > INT32_MAX)
		return onx_fail(e, ONX_UNSUP, "windows of %zu elements are too large to pool", g->w.kern_n);
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double pool_macs(const struct onx_infer *s, const void *attr)
{
	const struct onx_pool_last *g = s->geo;

	(void)attr;
	return (double)g->n * (double)g->c * (double)g->w.out_n * (double)g->w.kern_n;
}

static size_t max_saved(const struct onx_infer *s, const void *attr)
{
	(void)attr;
	return onx_maxlast_taps(s->geo);
}

/* Y = max over the window */
static void max_forward(const struct onx_call *c)
{
	onx_maxlast_forward(c->pool, c->geo, c->x[0].v, c->y[0].v, c->save);
}

static void max_backward(const struct onx_call *c)
{
	onx_maxlast_backward(c->pool, c->geo, c->dy[0].v, c->save, c->dx[0].v, c->dx[0].add);
}

/* Y = mean over the window */
static void avg_forward(const struct onx_call *c)
{
	onx_avglast_forward(c->pool, c->geo, c->x[0].v, c->y[0].v);
}

static void avg_backward(const struct onx_call *c)
{
	onx_avglast_backward(c->pool, c->geo, c->dy[0].v, c->dx[0].v, c->dx[0].add);
}

struct mean_geo { size_t n, rows, c; };

static int mean_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	struct mean_geo *g = ONX_NEW(s->mem, struct mean_geo);
	struct onx_shape y = s->in[0].shape;
	int rc;

	(void)attr;
	if (!g)
		return onx_nomem(e, sizeof *g, "pool");
	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, ONX_RANK, e)) < 0)
		return rc;
	*g = (struct mean_geo){ (size_t)y.dim[0], 1, (size_t)y.dim[y.rank - 1] };
	for (int d = 1; d < y.rank - 1; d++) {
		g->rows *= (size_t)y.dim[d];
		y.dim[d] = 1;
	}
	if (g->rows == 0)
		return onx_fail(e, ONX_SHAPE, "no elements to pool over");
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

static double mean_macs(const struct onx_infer *s, const void *attr)
{
	const struct mean_geo *g = s->geo;

	(void)attr;
	return (double)g->n * (double)g->rows * (double)g->c;
}

/* Y = mean over all pixels */
static void mean_forward(const struct onx_call *c)
{
	const struct mean_geo *g = c->geo;

	onx_meanlast_forward(c->pool, g->n, g->rows, g->c, c->x[0].v, c->y[0].v);
}

static void mean_backward(const struct onx_call *c)
{
	const struct mean_geo *g = c->geo;

	onx_meanlast_backward(c->pool, g->n, g->rows, g->c, c->dy[0].v, c->dx[0].v, c->dx[0].add);
}

#define POOL(t, table, part, shape, work, bytes, more) \
	{ .domain = "onnx_adapt", .type = t, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .attr = table, .infer = shape, .saved = bytes, .macs = work,   \
	  .flags = ONX_OP_APART | (more), \
	  .forward = part##_forward, .backward = part##_backward }
const struct onx_op ONX_R(onx_ops_pool_last)[] = {
	POOL("MaxPoolLast", &max_table, max, pool_infer, pool_macs, max_saved, ONX_OP_SPARES),
	POOL("AveragePoolLast", &avg_table, avg, pool_infer, pool_macs, NULL, 0),
	POOL("GlobalAveragePoolLast", NULL, mean, mean_infer, mean_macs, NULL, 0),
	{ .type = NULL }
};
