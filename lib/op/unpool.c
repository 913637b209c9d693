/* op/unpool.c -- MaxUnpool: elements back to where MaxPool found them, zeros elsewhere. */
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "op/window.h"

struct unpool { struct onx_win_attr win; };
static const struct onx_field unpool_field[] = {
	ONX_WIN_SHAPE(struct unpool),
	{ .name = NULL }
};
static const struct onx_table unpool_attr = { "MaxUnpool", sizeof(struct unpool), unpool_field, .check = NULL };

/* Indices count in `from`, the size that the attributes give; a larger output_shape leaves zeros at the
 * ends. */
struct unpool_geo { struct onx_shape from, to; bool same; int64_t n; };        /* n: elements of from */

static int given_size(struct onx_infer *s, struct unpool_geo *g, struct onx_err *e)
{
	const int64_t *v;
	size_t n;
	int rc = onx_in_ints(s, 2, &v, &n, e);

	if (rc == ONX_OK && n != (size_t)g->from.rank)
		rc = onx_fail(e, ONX_SHAPE, "output_shape has %zu numbers, wanted %d", n, g->from.rank);
	for (int d = 0; rc == ONX_OK && d < g->from.rank; d++) {
		g->to.dim[d] = v[d];
		if (v[d] < g->from.dim[d])
			rc = onx_fail(e, ONX_SHAPE, "output_shape has %lld, wanted at least %lld",
				      (long long)v[d], (long long)g->from.dim[d]);
	}
	return rc;
}

static int unpool_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct unpool *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	struct unpool_geo *g = ONX_NEW(s->mem, struct unpool_geo);
	const int nd = x->rank - 2;
	struct onx_window w;
	size_t n, from;
	int rc = onx_want_real(s, 0, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "MaxUnpool");
	if (rc < 0 || (rc = onx_want_type(s, 1, ONX_INT64, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 5, e)) < 0 ||
	    (rc = onx_win_read(&a->win, nd, x->dim + 2, NULL, &w, e)) < 0)
		return rc;
	if (!onx_shape_equal(&s->in[1].shape, x))
		return onx_fail(e, ONX_SHAPE, "the indices have another shape than the input");
	g->from = *x;
	for (int i = 0; i < nd; i++) {
		const int d = 3 - nd + i;
		g->from.dim[2 + i] = (x->dim[2 + i] - 1) * w.stride[d] + (int64_t)w.kern[d] - w.pad[d] - w.pad_end[d];
		if (g->from.dim[2 + i] < 1)
			return onx_fail(e, ONX_SHAPE, "the output would have size %lld along a spatial dimension",
					(long long)g->from.dim[2 + i]);
	}
	g->to = g->from;
	if (onx_has_in(s, 2) && (rc = given_size(s, g, e)) < 0)
		return rc;
	if ((rc = onx_count(g->to.rank, g->to.dim, &n, e)) < 0 ||
	    (rc = onx_count(g->from.rank, g->from.dim, &from, e)) < 0)
		return rc;
	g->n = (int64_t)from;
	g->same = onx_shape_equal(&g->from, &g->to);
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &g->to);
	return ONX_OK;
}

/* Where index i of `from` lies in `to`; -1: nowhere. */
static int64_t place(const struct unpool_geo *g, int64_t i)
{
	int64_t at = 0, step = 1;

	if (g->same)
		return i >= 0 && i < g->n ? i : -1;
	for (int d = g->from.rank - 1; d >= 0; d--) {
		if (i < 0)
			return -1;
		at += i % g->from.dim[d] * step;
		i /= g->from.dim[d];
		step *= g->to.dim[d];
	}
	return i == 0 ? at : -1;
}

/* y[index[k]] = x[k]; an index outside the output is not written */
static void unpool_forward(const struct onx_call *c)
{
	const int64_t *index = c->x[1].v;
	real *y = c->y[0].v;

	memset(y, 0, c->y[0].n * sizeof *y);
	for (size_t k = 0; k < c->x[0].n; k++) {
		const int64_t at = place(c->geo, index[k]);
		if (at >= 0)
			y[at] = ((const real *)c->x[0].v)[k];
	}
}

/* dx[k] = dy[index[k]]; of elements with one index the last was written, so it alone has a gradient */
static void unpool_backward(const struct onx_call *c)
{
	const int64_t *index = c->x[1].v;
	const real *dy = c->dy[0].v;
	int64_t *last = c->scratch;
	real *dx = c->dx[0].v;

	for (size_t k = 0; dx && k < c->dx[0].n; k++) {
		const int64_t at = place(c->geo, index[k]);
		if (at >= 0)
			last[at] = (int64_t)k;
	}
	for (size_t k = 0; dx && k < c->dx[0].n; k++) {
		const int64_t at = place(c->geo, index[k]);
		onx_put(&dx[k], c->dx[0].add, at >= 0 && last[at] == (int64_t)k ? dy[at] : 0);
	}
}

static size_t unpool_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct unpool_geo *g = s->geo;
	struct onx_err e;
	size_t n = 0;

	(void)attr, (void)threads;
	return backward && onx_count(g->to.rank, g->to.dim, &n, &e) == ONX_OK ? n * sizeof(int64_t) : 0;
}

const struct onx_op ONX_R(onx_ops_unpool)[] = {
	{ .domain = "", .type = "MaxUnpool", .since = 9, .min_in = 2, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_NEVER }, .n_grad = 3, .keep = ONX_KEEP_X(1),
	  .attr = &unpool_attr, .infer = unpool_infer, .scratch = unpool_scratch,
	  .forward = unpool_forward, .backward = unpool_backward },
	{ .type = NULL }
};
