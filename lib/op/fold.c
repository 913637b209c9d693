/* op/fold.c -- Col2Im: windows laid side by side, [n][c * window][places], added up to the picture that they
 * were cut from (PyTorch's fold).  Up to three spatial dimensions. */
#include <inttypes.h>
#include <string.h>
#include "kernel/im2col.h"
#include "op/infer.h"
#include "op/window.h"

struct fold { struct onx_win_attr win; };
static const struct onx_field fold_field[] = {
	{ "dilations", F_INTS, offsetof(struct fold, win.dilations), .def = "", .help = "step between taps" },
	{ "pads", F_INTS, offsetof(struct fold, win.pads), .def = "", .help = "padding: begins, then ends" },
	{ "strides", F_INTS, offsetof(struct fold, win.strides), .def = "", .help = "step between windows" },
	{ .name = NULL }
};
static const struct onx_table fold_attr = { "Col2Im", sizeof(struct fold), fold_field, .check = NULL };

struct fold_geo { struct onx_window w; size_t n, c; };

static int fold_sizes(struct onx_infer *s, const struct fold *a, struct onx_window *w, size_t *nd,
		      const int64_t **image, struct onx_err *e)
{
	const int64_t *block;
	size_t n_block, count;
	int rc = onx_in_ints(s, 1, image, nd, e);

	if (rc == ONX_OK)
		rc = onx_in_ints(s, 2, &block, &n_block, e);
	if (rc < 0)
		return rc;
	if (*nd < 1 || *nd > 3 || n_block != *nd)
		return onx_fail(e, *nd > 3 ? ONX_UNSUP : ONX_SHAPE, "%zu sizes of a picture, %zu of a window, wanted "
				"1 to 3 of both", *nd, n_block);
	if ((rc = onx_count((int)*nd, *image, &count, e)) < 0 || (rc = onx_count((int)*nd, block, &count, e)) < 0)
		return rc;
	if (count == 0)
		return onx_fail(e, ONX_SHAPE, "a window of no elements");
	rc = onx_win_read(&a->win, (int)*nd, *image, block, w, e);
	return rc < 0 ? rc : onx_win_slide(&a->win, (int)*nd, false, w, e);
}

static int fold_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct fold_geo *g = ONX_NEW(s->mem, struct fold_geo);
	const int64_t *image;
	size_t nd, n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "Col2Im");
	if (s->in[0].type == ONX_STRING)
		return onx_fail(e, ONX_SHAPE, "input 0 is string, which cannot be added up");
	if ((rc = onx_want_rank(s, 0, 3, 3, e)) < 0 || (rc = fold_sizes(s, attr, &g->w, &nd, &image, e)) < 0)
		return rc;
	if (x->dim[1] % (int64_t)g->w.kern_n || x->dim[2] != (int64_t)g->w.out_n)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " numbers at %" PRId64 " places, wanted a multiple of %zu "
				"at %zu", x->dim[1], x->dim[2], g->w.kern_n, g->w.out_n);
	g->n = (size_t)x->dim[0];
	g->c = (size_t)x->dim[1] / g->w.kern_n;
	struct onx_shape y = { (int)nd + 2, { x->dim[0], (int64_t)g->c } };
	for (size_t d = 0; d < nd; d++)
		y.dim[2 + d] = image[d];
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(y.rank, y.dim, &n, e);
}

static void fold_plane(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ctx;
	const struct fold_geo *g = c->geo;
	const size_t n_col = g->w.kern_n * g->w.out_n;
	real *y = (real *)c->y[0].v + i * g->w.in_n;

	(void)worker;
	for (size_t k = 0; k < g->w.in_n; k++)
		y[k] = 0;
	onx_col2im_add(&g->w, 1, 0, g->w.out_n, (const real *)c->x[0].v + i * n_col, g->w.out_n, y);
}

/* The place in the picture that tap k of window p reads; SIZE_MAX: padding. */
static size_t tap_at(const struct onx_window *w, size_t k, size_t p)
{
	size_t at = 0, step = 1;

	for (int d = 2; d >= 0; d--) {
		const int64_t i = onx_window_at(w, d, p % w->out[d], k % w->kern[d]);
		if (i < 0 || i >= (int64_t)w->in[d])
			return SIZE_MAX;
		at += (size_t)i * step;
		step *= w->in[d];
		p /= w->out[d];
		k /= w->kern[d];
	}
	return at;
}

/* y[to] += x[i]; of bools: or */
static void add_one(const struct onx_view *y, size_t to, const struct onx_view *x, size_t i)
{
	if (x->type == ONX_COMPLEX64)
		for (size_t k = 0; k < 2; k++)
			((float *)y->v)[2 * to + k] += ((const float *)x->v)[2 * i + k];
	else if (x->type == ONX_COMPLEX128)
		for (size_t k = 0; k < 2; k++)
			((double *)y->v)[2 * to + k] += ((const double *)x->v)[2 * i + k];
	else
		onx_view_put_int(y, to, (int64_t)((uint64_t)onx_view_int(y, to) + (uint64_t)onx_view_int(x, i)));
}

/* What is no real number. */
static void fold_others(const struct onx_call *c)
{
	const struct fold_geo *g = c->geo;

	if (c->y[0].n > 0)
		memset(c->y[0].v, 0, c->y[0].n * c->y[0].width);
	for (size_t i = 0; i < c->x[0].n; i++) {
		const size_t p = i % g->w.out_n, k = i / g->w.out_n % g->w.kern_n;
		const size_t to = tap_at(&g->w, k, p), base = i / g->w.out_n / g->w.kern_n * g->w.in_n;
		if (to != SIZE_MAX)
			add_one(&c->y[0], base + to, &c->x[0], i);
	}
}

static void fold_forward(const struct onx_call *c)
{
	const struct fold_geo *g = c->geo;

	if (onx_dtype_real(c->x[0].type))
		onx_parallel(c->pool, g->n * g->c, fold_plane, (void *)c);
	else
		fold_others(c);
}

/* dx: the windows of dy. */
static void cut_plane(void *ctx, size_t i, int worker)
{
	const struct onx_call *c = ctx;
	const struct fold_geo *g = c->geo;
	const size_t n_col = g->w.kern_n * g->w.out_n;
	real *dx = (real *)c->dx[0].v + i * n_col;
	real *col = c->dx[0].add ? (real *)c->scratch + (size_t)worker * n_col : dx;

	onx_im2col(&g->w, 1, 0, g->w.out_n, (const real *)c->dy[0].v + i * g->w.in_n, col, g->w.out_n);
	for (size_t k = 0; col != dx && k < n_col; k++)
		dx[k] += col[k];
}

static void fold_backward(const struct onx_call *c)
{
	const struct fold_geo *g = c->geo;

	if (c->dx[0].v)
		onx_parallel(c->pool, g->n * g->c, cut_plane, (void *)c);
}

static size_t fold_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct fold_geo *g = s->geo;

	(void)attr;
	return backward ? (size_t)threads * g->w.kern_n * g->w.out_n * sizeof(double) : 0;
}

const struct onx_op ONX_R(onx_ops_fold)[] = {
	{ .domain = "", .type = "Col2Im", .since = 18, .min_in = 3, .max_in = 3, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &fold_attr, .infer = fold_infer,
	  .scratch = fold_scratch, .forward = fold_forward, .backward = fold_backward },
	{ .type = NULL }
};
