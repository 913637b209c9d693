/* op/deform.c -- DeformConv: a convolution whose taps read from places that are moved by numbers of an input
 * (Dai and others 2017; with a mask: Zhu and others 2018).  Two spatial dimensions.
 *
 * X [n][c][h][w], W [oc][c / group][kh][kw], offset [n][og kh kw 2][oh][ow], B [oc], mask [n][og kh kw][oh][ow];
 * channel i belongs to offset group i / (c / og).  Column (i, k), place p:
 *     col = mask x(at), at = p stride - pad + k dil + offset, between the four elements around it,
 * elements outside being 0; Y = W col + B by group, a product of matrices for each sample. */
#include <inttypes.h>
#include "kernel/gemm.h"
#include <string.h>
#include "op/infer.h"
#include "op/window.h"

struct deform { struct onx_win_attr win; int64_t group, offset_group; };
static const struct onx_field deform_field[] = {
	{ "kernel_shape", F_INTS, offsetof(struct deform, win.kernel_shape), .def = "", .help = "size of the kernel" },
	{ "dilations", F_INTS, offsetof(struct deform, win.dilations), .def = "", .help = "step between taps" },
	{ "pads", F_INTS, offsetof(struct deform, win.pads), .def = "", .help = "padding: begins, then ends" },
	{ "strides", F_INTS, offsetof(struct deform, win.strides), .def = "", .help = "step between places" },
	{ "group", F_INT, offsetof(struct deform, group), .def = "1", .min = 1, .max = 1 << 30,
	  .help = "groups of channels that do not mix" },
	{ "offset_group", F_INT, offsetof(struct deform, offset_group), .def = "1", .min = 1, .max = 1 << 30,
	  .help = "groups of channels that move alike" },
	{ .name = NULL }
};
static const struct onx_table deform_attr = { "DeformConv", sizeof(struct deform), deform_field, .check = NULL };

enum { X, W, OFFSET, B, MASK };
struct deform_geo { struct onx_window w; size_t n, c, oc, group, og, rows; };    /* rows: of the columns: c kh kw */

static int want_shape(const struct onx_infer *s, int i, int rank, const int64_t *dim, struct onx_err *e)
{
	const struct onx_shape *have = &s->in[i].shape;
	struct onx_shape want = { rank, { 0 } };
	char t[ONX_SHAPE_TEXT], u[ONX_SHAPE_TEXT];
	int rc = onx_want_same_type(s, X, i, e);

	for (int d = 0; d < rank; d++)
		want.dim[d] = dim[d];
	if (rc < 0 || onx_shape_equal(have, &want))
		return rc;
	return onx_fail(e, ONX_SHAPE, "input %d has shape %s, wanted %s", i,
			onx_shape_text(have->rank, have->dim, t, sizeof t), onx_shape_text(rank, dim, u, sizeof u));
}

static int deform_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct deform *a = attr;
	const int64_t *x = s->in[X].shape.dim, *w = s->in[W].shape.dim;
	struct deform_geo *g = ONX_NEW(s->mem, struct deform_geo);
	size_t n;
	int rc;

	if (!g)
		return onx_nomem(e, sizeof *g, "DeformConv");
	if ((rc = onx_want_real(s, X, e)) < 0 || (rc = onx_want_rank(s, X, 4, 4, e)) < 0 ||
	    (rc = onx_want_rank(s, W, 4, 4, e)) < 0 || (rc = onx_want_same_type(s, X, W, e)) < 0)
		return rc;
	if (x[1] % a->group || w[0] % a->group || w[1] != x[1] / a->group || x[1] % a->offset_group)
		return onx_fail(e, ONX_SHAPE, "%" PRId64 " channels and %" PRId64 " of the result, weights for %" PRId64
				", in %" PRId64 " groups and %" PRId64 " of offsets do not fit", x[1], w[0], w[1],
				a->group, a->offset_group);
	if ((rc = onx_win_read(&a->win, 2, x + 2, w + 2, &g->w, e)) < 0 ||
	    (rc = onx_win_slide(&a->win, 2, false, &g->w, e)) < 0)
		return rc;
	const int64_t oh = (int64_t)g->w.out[1], ow = (int64_t)g->w.out[2], taps = a->offset_group * w[2] * w[3];
	const int64_t offset[4] = { x[0], 2 * taps, oh, ow }, mask[4] = { x[0], taps, oh, ow };
	const struct onx_shape y = { 4, { x[0], w[0], oh, ow } };
	if ((rc = want_shape(s, OFFSET, 4, offset, e)) < 0 ||
	    (onx_has_in(s, B) && (rc = want_shape(s, B, 1, w, e)) < 0) ||
	    (onx_has_in(s, MASK) && (rc = want_shape(s, MASK, 4, mask, e)) < 0))
		return rc;
	g->n = (size_t)x[0];
	g->c = (size_t)x[1];
	g->oc = (size_t)w[0];
	g->group = (size_t)a->group;
	g->og = (size_t)a->offset_group;
	g->rows = g->c * g->w.kern_n;
	s->geo = g;
	onx_set_out(s, 0, s->in[X].type, &y);
	return onx_count(4, y.dim, &n, e);
}

static const real *given(const struct onx_call *c, int i)
{
	return i < c->n_x ? c->x[i].v : NULL;
}

/* The four elements around a place: where, or -1 outside, and how far in between. */
struct corners { int64_t at[4]; double fy, fx; };

static void find_corners(const struct deform_geo *g, double y, double x, struct corners *t)
{
	const int64_t h = (int64_t)g->w.in[1], w = (int64_t)g->w.in[2];
	const bool in = y > -1 && y < (double)h && x > -1 && x < (double)w;     /* not NaN either */
	const int64_t y0 = in ? (int64_t)floor(y) : -2, x0 = in ? (int64_t)floor(x) : -2;

	t->fy = in ? y - (double)y0 : 0;
	t->fx = in ? x - (double)x0 : 0;
	for (int k = 0; k < 4; k++) {
		const int64_t i = y0 + k / 2, j = x0 + k % 2;
		t->at[k] = i >= 0 && i < h && j >= 0 && j < w ? i * w + j : -1;
	}
}

/* Tap k of offset group og at place p: its offsets and mask, and the corners. */
struct tap { size_t dy, dx, mask; struct corners c; double m; };

static struct tap tap_at(const struct onx_call *c, size_t b, size_t og, size_t k, size_t p)
{
	const struct deform_geo *g = c->geo;
	const size_t set = (b * g->og + og) * g->w.kern_n + k, ow = g->w.out[2], kw = g->w.kern[2];
	const real *offset = c->x[OFFSET].v, *mask = given(c, MASK);
	struct tap t;

	t.dy = 2 * set * g->w.out_n + p;
	t.dx = t.dy + g->w.out_n;
	t.mask = set * g->w.out_n + p;
	t.m = mask ? mask[t.mask] : 1;
	find_corners(g, (double)onx_window_at(&g->w, 1, p / ow, k / kw) + offset[t.dy],
		     (double)onx_window_at(&g->w, 2, p % ow, k % kw) + offset[t.dx], &t.c);
	return t;
}

static double corner(const struct corners *t, const real *x, int k)
{
	return t->at[k] < 0 ? 0 : x[t->at[k]];
}

static double between(const struct corners *t, const real *x)
{
	return (1 - t->fy) * ((1 - t->fx) * corner(t, x, 0) + t->fx * corner(t, x, 1)) +
	       t->fy * ((1 - t->fx) * corner(t, x, 2) + t->fx * corner(t, x, 3));
}

/* Places whose taps are found at once, and channels that share them backward. */
enum { PLACES = 64, CHANNELS = 8 };
struct columns { const struct onx_call *c; size_t b; real *col; };

/* One tap of one offset group: its places are found once for all channels of the group. */
static void fill_tap(void *ctx, size_t set, int worker)
{
	const struct columns *j = ctx;
	const struct deform_geo *g = j->c->geo;
	const size_t channels = g->c / g->og, og = set / g->w.kern_n, k = set % g->w.kern_n;
	struct tap t[PLACES];

	(void)worker;
	for (size_t p = 0, n; p < g->w.out_n; p += n) {
		n = g->w.out_n - p < PLACES ? g->w.out_n - p : PLACES;
		for (size_t i = 0; i < n; i++)
			t[i] = tap_at(j->c, j->b, og, k, p + i);
		for (size_t ch = og * channels; ch < (og + 1) * channels; ch++) {
			const real *x = (const real *)j->c->x[X].v + (j->b * g->c + ch) * g->w.in_n;
			real *col = j->col + (ch * g->w.kern_n + k) * g->w.out_n + p;

			for (size_t i = 0; i < n; i++)
				col[i] = (real)(t[i].m * between(&t[i].c, x));
		}
	}
}

static struct onx_mat forward_mat(const struct deform_geo *g)
{
	const size_t k = g->rows / g->group;

	return (struct onx_mat){ g->oc / g->group, g->w.out_n, k, false, false, k, g->w.out_n, g->w.out_n };
}

static void deform_forward(const struct onx_call *c)
{
	const struct deform_geo *g = c->geo;
	const struct onx_mat m = forward_mat(g);
	const real *bias = given(c, B);

	for (size_t b = 0; b < g->n; b++) {
		struct columns j = { c, b, c->scratch };
		real *y = (real *)c->y[0].v + b * g->oc * g->w.out_n;

		onx_parallel(c->pool, g->og * g->w.kern_n, fill_tap, &j);
		for (size_t i = 0; bias && i < g->oc * g->w.out_n; i++)
			y[i] = bias[i / g->w.out_n];
		for (size_t i = 0; i < g->group; i++)
			onx_gemm(c->pool, &m, 1, (const real *)c->x[W].v + i * m.m * m.k,
				 j.col + i * m.k * m.n, bias ? 1 : 0, y + i * m.m * m.n);
	}
}

/* The columns, backward also their gradient and double sums of one sample's offsets and mask. */
static size_t deform_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct deform_geo *g = s->geo;
	const size_t n = g->rows * g->w.out_n, plane = (size_t)threads * CHANNELS * g->w.in_n;

	(void)attr;
	return ((backward ? 2 * n : n) + (backward ? plane : 0)) * sizeof(double);
}

static double deform_macs(const struct onx_infer *s, const void *attr)
{
	const struct deform_geo *g = s->geo;

	(void)attr;
	return (double)g->n * (double)(g->oc / g->group) * (double)g->rows * (double)g->w.out_n;
}

/* ---- backward: d = the gradient of the columns of sample b ---- */

struct back { const struct onx_call *c; size_t b; const real *d; double *planes; };

/* What the taps of n places send to one channel. */
static void scatter(const struct tap *t, const real *d, size_t n, double *sum)
{
	for (size_t i = 0; i < n; i++) {
		const struct corners *c = &t[i].c;
		const double v = t[i].m * d[i], up = v * (1 - c->fy), down = v * c->fy;
		const double part[4] = { up * (1 - c->fx), up * c->fx, down * (1 - c->fx), down * c->fx };

		for (int k = 0; k < 4; k++)
			if (c->at[k] >= 0)
				sum[c->at[k]] += part[k];
	}
}

/* Up to CHANNELS channels of X of one offset group: all taps that read them. */
static void plane_back(void *ctx, size_t piece, int worker)
{
	const struct back *j = ctx;
	const struct deform_geo *g = j->c->geo;
	const struct onx_view *dx = &j->c->dx[X];
	const size_t of_group = g->c / g->og, runs = onx_pieces(of_group, CHANNELS), og = piece / runs;
	double *sum = j->planes + (size_t)worker * CHANNELS * g->w.in_n;
	struct tap t[PLACES];
	size_t lo, hi;

	onx_piece(of_group, CHANNELS, piece % runs, &lo, &hi);
	lo += og * of_group;
	hi += og * of_group;
	memset(sum, 0, (hi - lo) * g->w.in_n * sizeof *sum);
	for (size_t k = 0; k < g->w.kern_n; k++)
		for (size_t p = 0, n; p < g->w.out_n; p += n) {
			n = g->w.out_n - p < PLACES ? g->w.out_n - p : PLACES;
			for (size_t i = 0; i < n; i++)
				t[i] = tap_at(j->c, j->b, og, k, p + i);
			for (size_t ch = lo; ch < hi; ch++)
				scatter(t, j->d + (ch * g->w.kern_n + k) * g->w.out_n + p, n,
					sum + (ch - lo) * g->w.in_n);
		}
	real *to = (real *)dx->v + (j->b * g->c + lo) * g->w.in_n;
	for (size_t i = 0; i < (hi - lo) * g->w.in_n; i++)
		onx_put(&to[i], dx->add, (real)sum[i]);
}

static void put(const struct onx_call *c, int i, size_t at, double v)
{
	if (i < c->n_x && c->dx[i].v)
		onx_put((real *)c->dx[i].v + at, c->dx[i].add, (real)v);
}

/* The gradients of dy, dx and mask of n places. */
struct moves { double dy[PLACES], dx[PLACES], m[PLACES]; };

/* What one channel adds to them. */
static void move_back(const struct tap *t, const real *x, const real *d, size_t n, struct moves *to)
{
	for (size_t i = 0; i < n; i++) {
		const struct corners *c = &t[i].c;
		const double a = corner(c, x, 0), b = corner(c, x, 1), e = corner(c, x, 2), f = corner(c, x, 3);
		const double up = a + c->fx * (b - a), down = e + c->fx * (f - e), v = d[i] * t[i].m;

		to->m[i] += d[i] * (up + c->fy * (down - up));
		to->dy[i] += v * (down - up);
		to->dx[i] += v * ((1 - c->fy) * (b - a) + c->fy * (f - e));
	}
}

/* One tap of one offset group: every channel of the group moves by the same numbers. */
static void tap_back(void *ctx, size_t set, int worker)
{
	const struct back *j = ctx;
	const struct deform_geo *g = j->c->geo;
	const size_t channels = g->c / g->og, og = set / g->w.kern_n, k = set % g->w.kern_n;
	struct tap t[PLACES];

	(void)worker;
	for (size_t p = 0, n; p < g->w.out_n; p += n) {
		struct moves to = { .m = { 0 } };

		n = g->w.out_n - p < PLACES ? g->w.out_n - p : PLACES;
		for (size_t i = 0; i < n; i++)
			t[i] = tap_at(j->c, j->b, og, k, p + i);
		for (size_t ch = og * channels; ch < (og + 1) * channels; ch++)
			move_back(t, (const real *)j->c->x[X].v + (j->b * g->c + ch) * g->w.in_n,
				  j->d + (ch * g->w.kern_n + k) * g->w.out_n + p, n, &to);
		for (size_t i = 0; i < n; i++) {
			put(j->c, OFFSET, t[i].dy, to.dy[i]);
			put(j->c, OFFSET, t[i].dx, to.dx[i]);
			put(j->c, MASK, t[i].mask, to.m[i]);
		}
	}
}

static void weight_back(const struct onx_call *c, size_t b, const real *col, const real *dy)
{
	const struct deform_geo *g = c->geo;
	const struct onx_view *dw = &c->dx[W];
	const size_t k = g->rows / g->group, m = g->oc / g->group;
	const struct onx_mat mat = { m, k, g->w.out_n, false, true, g->w.out_n, g->w.out_n, k };

	for (size_t i = 0; i < g->group; i++)
		onx_gemm(c->pool, &mat, 1, dy + i * m * g->w.out_n, col + i * k * g->w.out_n,
			 dw->add || b > 0 ? 1 : 0, (real *)dw->v + i * m * k);
}

/* dB = sum of dY over samples and places, in double */
static void bias_back(const struct onx_call *c)
{
	const struct deform_geo *g = c->geo;

	for (size_t o = 0; o < g->oc; o++) {
		double sum = 0;
		for (size_t b = 0; b < g->n; b++)
			for (size_t p = 0; p < g->w.out_n; p++)
				sum += ((const real *)c->dy[0].v)[(b * g->oc + o) * g->w.out_n + p];
		put(c, B, o, sum);
	}
}

static void deform_backward(const struct onx_call *c)
{
	const struct deform_geo *g = c->geo;
	const struct onx_mat f = forward_mat(g);
	const struct onx_mat m = { f.k, f.n, f.m, true, false, f.k, f.n, f.n };
	const bool moved = c->dx[OFFSET].v || (c->n_x > MASK && c->dx[MASK].v);
	real *col = c->scratch, *d = col + g->rows * g->w.out_n;
	double *planes = (double *)c->scratch + 2 * g->rows * g->w.out_n;

	for (size_t b = 0; b < g->n; b++) {
		const real *dy = (const real *)c->dy[0].v + b * g->oc * g->w.out_n;
		struct columns j = { c, b, col };
		struct back k = { c, b, d, planes };

		if (c->dx[W].v) {
			onx_parallel(c->pool, g->og * g->w.kern_n, fill_tap, &j);
			weight_back(c, b, col, dy);
		}
		if (!c->dx[X].v && !moved)
			continue;
		for (size_t i = 0; i < g->group; i++)
			onx_gemm(c->pool, &m, 1, (const real *)c->x[W].v + i * f.m * f.k, dy + i * f.m * f.n, 0,
				 d + i * f.k * f.n);
		if (c->dx[X].v)
			onx_parallel(c->pool, g->og * onx_pieces(g->c / g->og, CHANNELS), plane_back, &k);
		if (moved)
			onx_parallel(c->pool, g->og * g->w.kern_n, tap_back, &k);
	}
	if (c->dx[W].v && !c->dx[W].add && g->n == 0)
		for (size_t i = 0; i < c->dx[W].n; i++)
			((real *)c->dx[W].v)[i] = 0;
	if (c->n_x > B && c->dx[B].v)
		bias_back(c);
}

#define KEEP (ONX_KEEP_X(0) | ONX_KEEP_X(1) | ONX_KEEP_X(2) | ONX_KEEP_X(4))
const struct onx_op ONX_R(onx_ops_deform)[] = {
	{ .domain = "", .type = "DeformConv", .since = 19, .min_in = 3, .max_in = 5, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = KEEP, .weight = 10, .attr = &deform_attr,
	  .infer = deform_infer, .scratch = deform_scratch, .macs = deform_macs, .forward = deform_forward,
	  .backward = deform_backward },
	{ .type = NULL }
};
