/* op/gridsample.c -- GridSample: X read at the places of a grid, in two or three spatial dimensions.
 * Linear and cubic interpolation are products of one weight for each axis; places outside are padded as
 * PyTorch's grid_sample does (for cubic the taps, else the place itself). */
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#include "op/infer.h"
#include "op/loop.h"
#include "op/whole.h"

enum mode { LINEAR, NEAREST, CUBIC };
enum padding { ZEROS, BORDER, REFLECTION };
struct grid_attr { int mode, padding; bool align; };
static const char *const old_modes[] = { "bilinear", "nearest", "bicubic", NULL };
static const char *const new_modes[] = { "linear", "nearest", "cubic", NULL };
static const char *const paddings[] = { "zeros", "border", "reflection", NULL };
#define FIELDS(first, names) \
	{ "mode", F_ENUM, offsetof(struct grid_attr, mode), .def = first, .choices = names,             \
	  .help = "how values between elements are found" },                                           \
	{ "padding_mode", F_ENUM, offsetof(struct grid_attr, padding), .def = "zeros",                  \
	  .choices = paddings, .help = "what stands outside" },                                        \
	{ "align_corners", F_BOOL, offsetof(struct grid_attr, align), .def = "0",                       \
	  .help = "-1 and 1 are the centres of the corner elements, not their edges" }
static const struct onx_field old_field[] = { FIELDS("bilinear", old_modes), { .name = NULL } };
static const struct onx_field new_field[] = { FIELDS("linear", new_modes), { .name = NULL } };
static const struct onx_table old_attr = { "GridSample", sizeof(struct grid_attr), old_field, .check = NULL };
static const struct onx_table new_attr = { "GridSample", sizeof(struct grid_attr), new_field, .check = NULL };

struct grid_geo { int nd; size_t c, in[3], in_n, out_n; };

/* X of any type beside a real grid, which takes the precision of a real X.  Strings have no mean. */
static int grid_types(const struct onx_infer *s, const struct grid_attr *a, struct onx_err *e)
{
	const enum onx_dtype x = s->in[0].type;
	int rc = onx_want_real(s, 1, e);

	if (rc == ONX_OK && x == ONX_STRING && a->mode != NEAREST)
		rc = onx_fail(e, ONX_SHAPE, "input 0 is string, which mode 'nearest' alone can pick from");
	return rc;
}

static int grid_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape, *grid = &s->in[1].shape;
	struct grid_geo *g = ONX_NEW(s->mem, struct grid_geo);
	struct onx_shape y = *x;
	size_t n;
	int rc = grid_types(s, attr, e);

	if (!g)
		return onx_nomem(e, sizeof *g, "GridSample");
	if (rc < 0 || (rc = onx_want_rank(s, 0, 4, 5, e)) < 0 || (rc = onx_want_rank(s, 1, x->rank, x->rank, e)) < 0)
		return rc;
	*g = (struct grid_geo){ .nd = x->rank - 2, .c = (size_t)x->dim[1], .in_n = 1, .out_n = 1 };
	if (grid->dim[0] != x->dim[0] || grid->dim[x->rank - 1] != g->nd)
		return onx_fail(e, ONX_SHAPE, "a grid of %lld samples of %lld coordinates, wanted %lld of %d",
				(long long)grid->dim[0], (long long)grid->dim[x->rank - 1],
				(long long)x->dim[0], g->nd);
	for (int d = 0; d < g->nd; d++) {
		y.dim[2 + d] = grid->dim[1 + d];
		g->in[d] = (size_t)x->dim[2 + d];
		g->in_n *= g->in[d];
		g->out_n *= (size_t)grid->dim[1 + d];
	}
	if ((rc = onx_count(y.rank, y.dim, &n, e)) < 0)
		return rc;
	if (g->in_n == 0 || g->in_n > (size_t)1 << 40)
		return onx_fail(e, ONX_SHAPE, "planes of %zu elements", g->in_n);
	s->geo = g;
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* x moved into [lo, hi] by mirrors at both ends; *sign: the derivative of that. */
static double reflect(double x, double lo, double hi, double *sign)
{
	const double span = hi - lo;

	if (!(span > 0)) {
		*sign = 0;
		return lo;
	}
	const double away = fabs(x - lo), turns = floor(away / span), rest = away - turns * span;
	const bool odd = fmod(turns, 2) != 0;
	*sign = (x < lo ? -1 : 1) * (odd ? -1 : 1);
	return odd ? hi - rest : lo + rest;
}

/* The place x on an axis of n elements, padded; *slope: its derivative. */
static double padded(const struct grid_attr *a, double x, size_t n, double *slope)
{
	const double last = (double)n - 1;

	*slope = 1;
	if (a->padding == ZEROS)
		return x;
	if (a->padding == REFLECTION)
		x = a->align ? reflect(x, 0, last, slope) : reflect(x, -0.5, last + 0.5, slope);
	if (x > 0 && x < last)
		return x;
	*slope = 0;
	return x >= last ? last : 0;            /* NaN: 0 */
}

/* Keys 1981 with a = -0.75 at distance t, and its derivative. */
static double keys(double t, double *slope)
{
	const double A = -0.75, d = fabs(t), sign = t < 0 ? -1 : 1;

	if (d <= 1) {
		*slope = sign * (3 * (A + 2) * d * d - 2 * (A + 3) * d);
		return ((A + 2) * d - (A + 3)) * d * d + 1;
	}
	*slope = sign * A * (3 * d * d - 10 * d + 8);
	return A * (((d - 5) * d + 8) * d - 4);
}

/* What one axis contributes: elements, weights, derivatives of the weights by the grid's number. */
struct taps { int n; int64_t at[4]; double w[4], dw[4]; };

static void find_taps(const struct grid_attr *a, double v, size_t n, struct taps *t)
{
	const double per = (a->align ? (double)n - 1 : (double)n) / 2;
	double slope, x = a->align ? (v + 1) * per : (v + 1) * per - 0.5;

	x = x > -0x1p40 && x < 0x1p40 ? x : -0x1p40;            /* NaN and far away: outside */
	if (a->mode != CUBIC)
		x = padded(a, x, n, &slope);
	const double from = a->mode == NEAREST ? rint(x) : floor(x);
	t->n = a->mode == NEAREST ? 1 : a->mode == LINEAR ? 2 : 4;
	for (int k = 0; k < t->n; k++) {
		double place = from + k - (a->mode == CUBIC), unused;
		if (a->mode == NEAREST) {
			t->w[k] = 1;
			t->dw[k] = 0;
		} else if (a->mode == LINEAR) {
			t->w[k] = k == 0 ? from + 1 - x : x - from;
			t->dw[k] = (k == 0 ? -1 : 1) * slope * per;
		} else {
			t->w[k] = keys(x - place, &t->dw[k]);
			t->dw[k] *= per;
			place = rint(padded(a, place, n, &unused));
		}
		t->at[k] = place >= 0 && place < (double)n ? (int64_t)place : -1;
	}
}

/* All taps of one place of the grid: up to 64 elements of a plane. */
struct place { struct taps axis[3]; int n; };

static void find_place(const struct onx_call *c, size_t i, struct place *p)
{
	const struct grid_geo *g = c->geo;
	const real *grid = (const real *)c->x[1].v + i * (size_t)g->nd;

	p->n = 1;
	for (int d = 0; d < g->nd; d++) {       /* the grid counts from the innermost axis */
		find_taps(c->attr, (double)grid[g->nd - 1 - d], g->in[d], &p->axis[d]);
		p->n *= p->axis[d].n;
	}
}

/* Tap number k: where it is in the plane (-1: padding), its weight, and with by >= 0 its derivative
 * along that axis. */
static int64_t tap(const struct grid_geo *g, const struct place *p, int k, int by, double *w)
{
	int64_t at = 0;

	*w = 1;
	for (int d = 0; d < g->nd; d++) {
		const struct taps *t = &p->axis[d];
		const int i = k % t->n;
		k /= t->n;
		if (t->at[i] < 0)
			return -1;
		at = at * (int64_t)g->in[d] + t->at[i];
		*w *= d == by ? t->dw[i] : t->w[i];
	}
	return at;
}

/* Number `part` (0; 1: the imaginary part) of element i. */
static double number_at(const struct onx_view *x, size_t i, size_t part)
{
	switch (x->type) {
	case ONX_COMPLEX64:  return (double)((const float *)x->v)[2 * i + part];
	case ONX_COMPLEX128: return ((const double *)x->v)[2 * i + part];
	default:             return onx_view_real(x, i);
	}
}

static void put_number(const struct onx_view *y, size_t i, size_t part, double v)
{
	if (y->type == ONX_COMPLEX64)
		((float *)y->v)[2 * i + part] = (float)v;
	else if (y->type == ONX_COMPLEX128)
		((double *)y->v)[2 * i + part] = v;
	else
		onx_whole_put(y, i, v);
}

/* Element `to` of y from plane ch of what is no real number. */
static void sample_other(const struct onx_call *c, const struct place *p, size_t ch, size_t to)
{
	const struct grid_geo *g = c->geo;
	const struct onx_view *x = &c->x[0], *y = &c->y[0];
	const size_t parts = onx_dtype_class(x->type) == ONX_CLASS_CPLX ? 2 : 1;
	double w;

	if (x->type == ONX_STRING) {
		const int64_t at = tap(g, p, 0, -1, &w);
		((const char **)y->v)[to] = at < 0 ? "" : ((const char *const *)x->v)[ch * g->in_n + (size_t)at];
		return;
	}
	for (size_t part = 0; part < parts; part++) {
		double sum = 0;
		for (int k = 0; k < p->n; k++) {
			const int64_t at = tap(g, p, k, -1, &w);
			sum += at < 0 ? 0 : w * number_at(x, ch * g->in_n + (size_t)at, part);
		}
		put_number(y, to, part, sum);
	}
}

static void other_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct grid_geo *g = c->geo;
	struct place p;

	for (size_t i = lo; i < hi; i++) {
		find_place(c, i, &p);
		for (size_t ch = i / g->out_n * g->c; ch < (i / g->out_n + 1) * g->c; ch++)
			sample_other(c, &p, ch, ch * g->out_n + i % g->out_n);
	}
}

/* Some places of one sample, for all of its channels: tap k of place j at [k * MANY / n_tap + j].  at < 0: padding. */
enum { MANY = 1024, PLACES = 64 };
struct block { size_t first, m, n_tap, wide; struct place place[PLACES]; int64_t at[MANY]; double w[MANY]; };

/* The block that begins at place i, at most up to `end`; returns where the next one begins. */
static size_t find_block(const struct onx_call *c, size_t i, size_t end, struct block *b)
{
	const struct grid_geo *g = c->geo;
	const size_t left = g->out_n - i % g->out_n;

	find_place(c, i, &b->place[0]);
	b->first = i;
	b->n_tap = (size_t)b->place[0].n;
	b->wide = MANY / b->n_tap < PLACES ? MANY / b->n_tap : PLACES;
	b->m = end - i < left ? end - i : left;
	b->m = b->m < b->wide ? b->m : b->wide;
	for (size_t j = 0; j < b->m; j++) {
		find_place(c, i + j, &b->place[j]);
		for (size_t k = 0; k < b->n_tap; k++)
			b->at[k * b->wide + j] = tap(g, &b->place[j], (int)k, -1, &b->w[k * b->wide + j]);
	}
	return i + b->m;
}

ONX_INLINE void sum_taps(const struct block *b, size_t n_tap, const real *restrict x, real *restrict y)
{
	for (size_t j = 0; j < b->m; j++) {
		double sum = 0;

		ONX_UNROLL
		for (size_t k = 0; k < n_tap; k++) {
			const int64_t at = b->at[k * b->wide + j];
			const double v = (double)x[at < 0 ? 0 : at] * b->w[k * b->wide + j];

			sum += at < 0 ? 0 : v;
		}
		y[j] = (real)sum;
	}
}

ONX_CLONES
static void sample_block(const struct block *b, const real *x, real *y)
{
	if (b->n_tap == 1)
		sum_taps(b, 1, x, y);
	else if (b->n_tap == 4)
		sum_taps(b, 4, x, y);
	else if (b->n_tap == 16)
		sum_taps(b, 16, x, y);
	else
		sum_taps(b, b->n_tap, x, y);
}

static void sample_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct grid_geo *g = c->geo;
	struct block b;

	for (size_t i = lo, next; i < hi; i = next) {
		next = find_block(c, i, hi, &b);
		for (size_t ch = i / g->out_n * g->c; ch < (i / g->out_n + 1) * g->c; ch++)
			sample_block(&b, (const real *)c->x[0].v + ch * g->in_n,
				     (real *)c->y[0].v + ch * g->out_n + i % g->out_n);
	}
}

/* y[n,c,o] = sum over the taps of grid[n,o] of weight * x[n,c,tap] */
static void grid_forward(const struct onx_call *c)
{
	const struct grid_geo *g = c->geo;

	onx_each(c->pool, (size_t)c->x[0].dim[0] * g->out_n, 256,
		 onx_dtype_real(c->x[0].type) ? sample_range : other_range, c);
}

/* dx[at] += w dy, place after place; both: the sums over channels of dy x[at], for each tap. */
static void back_channel(const struct block *b, const real *dy, const real *x, real *dx, double *both)
{
	for (size_t j = 0; j < b->m; j++)
		for (size_t k = 0; k < b->n_tap; k++) {
			const size_t t = k * b->wide + j;

			if (b->at[t] < 0)
				continue;
			if (dx)
				dx[b->at[t]] += (real)(b->w[t] * dy[j]);
			if (both)
				both[t] += (double)dy[j] * x[b->at[t]];
		}
}

static void back_grid(const struct onx_call *c, const struct block *b, const double *both)
{
	const struct grid_geo *g = c->geo;
	real *dgrid = c->dx[1].v;
	double w;

	for (size_t j = 0; j < b->m; j++)
		for (int d = 0; d < g->nd; d++) {
			double sum = 0;

			for (size_t k = 0; k < b->n_tap; k++)
				if (tap(g, &b->place[j], (int)k, d, &w) >= 0)
					sum += w * both[k * b->wide + j];
			onx_put(&dgrid[(b->first + j) * (size_t)g->nd + (size_t)(g->nd - 1 - d)], c->dx[1].add,
				(real)sum);
		}
}

static void back_block(const struct onx_call *c, const struct block *b)
{
	const struct grid_geo *g = c->geo;
	const size_t n = b->first / g->out_n, o = b->first % g->out_n;
	const bool grid = c->dx[1].v;
	double both[MANY];

	memset(both, 0, sizeof both);
	for (size_t ch = n * g->c; ch < (n + 1) * g->c; ch++)
		back_channel(b, (const real *)c->dy[0].v + ch * g->out_n + o, (const real *)c->x[0].v + ch * g->in_n,
			     c->dx[0].v ? (real *)c->dx[0].v + ch * g->in_n : NULL, grid ? both : NULL);
	if (grid)
		back_grid(c, b, both);
}

/* One sample: its places write to the same plane, so they stay in one piece. */
static void back_range(const void *ctx, size_t lo, size_t hi)
{
	const struct onx_call *c = ctx;
	const struct grid_geo *g = c->geo;
	const size_t plane = g->c * g->in_n;
	real *dx = c->dx[0].v;
	struct block b;

	for (size_t n = lo; n < hi; n++) {
		for (size_t i = n * plane; dx && !c->dx[0].add && i < (n + 1) * plane; i++)
			dx[i] = 0;
		for (size_t i = n * g->out_n; i < (n + 1) * g->out_n;) {
			i = find_block(c, i, (n + 1) * g->out_n, &b);
			back_block(c, &b);
		}
	}
}

static void grid_backward(const struct onx_call *c)
{
	onx_each(c->pool, (size_t)c->x[0].dim[0], 1, back_range, c);
}

#define ROW(version, table) \
	{ .domain = "", .type = "GridSample", .since = version, .min_in = 2, .max_in = 2, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF }, .n_grad = 1, .keep = ONX_KEEP_X(0) | ONX_KEEP_X(1),      \
	  .attr = &table, .infer = grid_infer, .forward = grid_forward, .backward = grid_backward }
const struct onx_op ONX_R(onx_ops_gridsample)[] = {
	ROW(16, old_attr),
	ROW(20, new_attr),
	{ .type = NULL }
};
