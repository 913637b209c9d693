/* op/dft.c -- DFT and STFT (kernel/fft.h).
 *
 * A transform is linear: its gradient is the transform with the other sign.  Numbers of the last axis
 * are the real and the imaginary part; one number: the imaginary part is 0.  One-sided results
 * hold bins 0 .. n/2 of a real signal.  One-sided and inverse: the input holds these bins and the result
 * is real; bins that stand for two count twice. */
#include <inttypes.h>
#include <string.h>
#include "kernel/fft.h"
#include "op/infer.h"
#include "op/loop.h"
#include "op/spectrum.h"

struct dft_attr { int64_t axis; bool inverse, onesided; };
#define ONESIDED(value) { "onesided", F_BOOL, offsetof(struct dft_attr, onesided), .def = value, \
	.help = "bins 0 .. n/2, of a real signal" }
#define INVERSE { "inverse", F_BOOL, offsetof(struct dft_attr, inverse), .def = "0", \
	.help = "exp(+i ...) and 1 / n" }
static const struct onx_field dft17_field[] = {
	{ "axis", F_INT, offsetof(struct dft_attr, axis), .def = "1", .help = "axis of the signal" },
	INVERSE, ONESIDED("0"), { .name = NULL }
};
static const struct onx_field dft20_field[] = { INVERSE, ONESIDED("0"), { .name = NULL } };
static const struct onx_field stft_field[] = { ONESIDED("1"), { .name = NULL } };
static const struct onx_table dft17_attr = { "DFT", sizeof(struct dft_attr), dft17_field, .check = NULL };
static const struct onx_table dft20_attr = { "DFT", sizeof(struct dft_attr), dft20_field, .check = NULL };
static const struct onx_table stft_attr = { "STFT", sizeof(struct dft_attr), stft_field, .check = NULL };

struct side { size_t len, parts; };     /* elements along the axis that there are, numbers of each */
struct geo {
	size_t n;               /* length of the transform                              */
	int sign;
	double scale;
	bool half;              /* x holds bins 0 .. n/2 of a spectrum whose signal is real */
	struct side x, y;
	size_t lines, inner;    /* DFT: lines of every outer index are `inner` apart    */
	size_t batch, frames, step, length;     /* STFT: length of the signal            */
	double *circle;
};

static int new_geo(struct onx_infer *s, int64_t n, struct geo **out, struct onx_err *e)
{
	struct geo *g = *out = ONX_NEW(s->mem, struct geo);

	if (n < 1 || n > (int64_t)1 << 40)
		return onx_fail(e, ONX_SHAPE, "a transform of length %" PRId64 ", wanted 1 or more", n);
	if (!g || !(g->circle = ONX_NEWS(s->mem, double, 2 * (size_t)n)))
		return onx_nomem(e, 16.0 * (double)n, "a transform");
	g->n = (size_t)n;
	onx_fft_circle(g->n, g->circle);
	s->geo = g;
	return ONX_OK;
}

/* A signal has one or two numbers an element. */
static int parts_of(const struct onx_infer *s, size_t *parts, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	const int64_t last = x->dim[x->rank - 1];

	*parts = last == 2 ? 2 : 1;
	return last == 1 || last == 2 ? ONX_OK
	       : onx_fail(e, ONX_SHAPE, "the last axis has %" PRId64 " numbers, wanted 1 (real) or 2 (complex)", last);
}

static int dft_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct dft_attr *a = attr;
	struct onx_shape y = s->in[0].shape;
	int64_t where = s->version < 20 ? a->axis : -2, n = 0;
	size_t parts, count;
	struct geo *g;
	int axis, rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 2, ONX_RANK, e)) < 0 ||
	    (rc = parts_of(s, &parts, e)) < 0 || (rc = onx_signal_number(s, 2, &where, e)) < 0 ||
	    (rc = onx_axis(where, y.rank, &axis, e)) < 0)
		return rc;
	if (axis == y.rank - 1)
		return onx_fail(e, ONX_SHAPE, "the last axis holds the parts of a number, not a signal");
	const int64_t have = y.dim[axis];
	const bool half = a->onesided && a->inverse;
	if (a->onesided && !a->inverse && parts == 2)
		return onx_fail(e, ONX_SHAPE, "a one-sided transform of a complex signal");
	n = half ? 2 * (have - 1) : have;
	if ((rc = onx_signal_number(s, 1, &n, e)) < 0 || (rc = new_geo(s, n, &g, e)) < 0)
		return rc;
	const int64_t bins = a->onesided ? n / 2 + 1 : n;
	g->sign = a->inverse ? 1 : -1;
	g->scale = a->inverse ? 1 / (double)n : 1;
	g->half = half;
	g->x = (struct side){ (size_t)(have < (half ? bins : n) ? have : half ? bins : n), parts };
	y.dim[axis] = half ? n : bins;
	y.dim[y.rank - 1] = half ? 1 : 2;
	g->y = (struct side){ (size_t)y.dim[axis], half ? 1 : 2 };
	g->lines = g->inner = 1;
	for (int d = 0; d < y.rank - 1; d++) {
		g->lines *= d == axis ? 1 : (size_t)y.dim[d];
		g->inner *= d > axis ? (size_t)y.dim[d] : 1;
	}
	g->length = (size_t)have;
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(y.rank, y.dim, &count, e);
}

/* Two complex lines for each thread; STFT's backward: a signal as well. */
static size_t dft_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;

	(void)attr;
	return (size_t)threads * (4 * g->n + (backward ? 2 * g->length : 0)) * sizeof(double);
}

/* How often bin k counts where half of a spectrum stands for the whole. */
static double times(const struct geo *g, size_t k)
{
	return !g->half || k == 0 || 2 * k == g->n ? 1 : 2;
}

struct way { const struct onx_call *c; const struct onx_view *from, *to; struct side in, out; bool back; };

/* A line, whose elements are `step` numbers apart, into z; behind it zeros. */
static void take_line(const struct way *w, const real *from, size_t step, double *z)
{
	const struct geo *g = w->c->geo;
	const size_t parts = w->in.parts, len = w->in.len;

	for (size_t t = 0; parts == 2 && t < len; t++) {
		z[2 * t] = from[t * step];
		z[2 * t + 1] = from[t * step + 1];
	}
	for (size_t t = 0; parts == 1 && t < len; t++) {
		z[2 * t] = from[t * step];
		z[2 * t + 1] = 0;
	}
	memset(z + 2 * len, 0, 2 * (g->n - len) * sizeof *z);
	for (size_t t = 0; g->half && !w->back && t < len; t++) {
		z[2 * t] *= times(g, t);
		z[2 * t + 1] *= times(g, t);
	}
}

/* And back, n elements, those behind the line 0. */
static void put_line(const struct way *w, double *z, size_t step, size_t n, real *to)
{
	const struct geo *g = w->c->geo;
	const size_t parts = w->out.parts, len = w->out.len < n ? w->out.len : n;
	const bool add = w->to->add;

	for (size_t t = 0; g->half && w->back && t < len; t++) {
		z[2 * t] *= times(g, t);
		z[2 * t + 1] *= times(g, t);
	}
	for (size_t t = 0; t < len; t++) {
		onx_put(&to[t * step], add, (real)(z[2 * t] * g->scale));
		if (parts == 2)
			onx_put(&to[t * step + 1], add, (real)(z[2 * t + 1] * g->scale));
	}
	for (size_t t = len; t < n; t++)
		for (size_t p = 0; p < parts; p++)
			onx_put(&to[t * step + p], add, 0);
}

static void dft_line(void *ctx, size_t line, int worker)
{
	const struct way *w = ctx;
	const struct geo *g = w->c->geo;
	double *z = (double *)w->c->scratch + (size_t)worker * (4 * g->n + (w->back ? 2 * g->length : 0));
	const size_t outer = line / g->inner, i = line % g->inner;
	const size_t n_from = w->back ? g->y.len : g->length, n_to = w->back ? g->length : g->y.len;

	take_line(w, (const real *)w->from->v + (outer * n_from * g->inner + i) * w->in.parts,
		  g->inner * w->in.parts, z);
	onx_fft(g->n, g->circle, w->back ? -g->sign : g->sign, z, z + 2 * g->n);
	put_line(w, z, g->inner * w->out.parts, n_to, (real *)w->to->v +
		 (outer * n_to * g->inner + i) * w->out.parts);
}

static void dft_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	struct way w = { c, &c->x[0], &c->y[0], g->x, g->y, false };

	onx_parallel(c->pool, c->y[0].n ? g->lines : 0, dft_line, &w);
}

static void dft_backward(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	struct way w = { c, &c->dy[0], &c->dx[0], g->y, g->x, true };

	if (c->dx[0].v)
		onx_parallel(c->pool, c->dx[0].n ? g->lines : 0, dft_line, &w);
}

/* ---- STFT ---- */

static int stft_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct dft_attr *a = attr;
	const struct onx_shape *x = &s->in[0].shape;
	int64_t step = 0, n = 0;
	size_t parts, count;
	struct geo *g;
	int rc;

	if ((rc = onx_want_real(s, 0, e)) < 0 || (rc = onx_want_rank(s, 0, 3, 3, e)) < 0 ||
	    (rc = parts_of(s, &parts, e)) < 0 || (rc = onx_signal_number(s, 1, &step, e)) < 0)
		return rc;
	if (step < 1)
		return onx_fail(e, ONX_SHAPE, "frames %" PRId64 " apart, wanted 1 or more", step);
	if (onx_has_in(s, 2)) {
		if ((rc = onx_want_same_type(s, 0, 2, e)) < 0 || (rc = onx_want_rank(s, 2, 1, 1, e)) < 0)
			return rc;
		n = s->in[2].shape.dim[0];
	} else {
		n = x->dim[1];
	}
	if ((rc = onx_signal_number(s, 3, &n, e)) < 0)
		return rc;
	if (onx_has_in(s, 2) && s->in[2].shape.dim[0] != n)
		return onx_fail(e, ONX_SHAPE, "a window of %" PRId64 " for frames of %" PRId64,
				s->in[2].shape.dim[0], n);
	if (a->onesided && parts == 2)
		return onx_fail(e, ONX_SHAPE, "a one-sided transform of a complex signal");
	if ((rc = new_geo(s, n, &g, e)) < 0)
		return rc;
	const struct onx_shape y = { 4, { x->dim[0], x->dim[1] < n ? 0 : 1 + (x->dim[1] - n) / step,
					  a->onesided ? n / 2 + 1 : n, 2 } };
	g->sign = -1;
	g->scale = 1;
	g->x = (struct side){ (size_t)n, parts };
	g->y = (struct side){ (size_t)y.dim[2], 2 };
	g->batch = (size_t)x->dim[0];
	g->frames = (size_t)y.dim[1];
	g->step = (size_t)step;
	g->length = (size_t)x->dim[1];
	onx_set_out(s, 0, s->in[0].type, &y);
	return onx_count(y.rank, y.dim, &count, e);
}

static const real *window_of(const struct onx_call *c)
{
	return c->n_x > 2 ? c->x[2].v : NULL;
}

static void stft_frame(void *ctx, size_t at, int worker)
{
	const struct onx_call *c = ctx;
	const struct geo *g = c->geo;
	double *z = (double *)c->scratch + (size_t)worker * 4 * g->n;
	const real *window = window_of(c), *x = c->x[0].v;
	real *y = (real *)c->y[0].v + at * g->y.len * 2;

	x += (at / g->frames * g->length + at % g->frames * g->step) * g->x.parts;
	memset(z, 0, 2 * g->n * sizeof *z);
	for (size_t t = 0; t < g->n; t++)
		for (size_t p = 0; p < g->x.parts; p++)
			z[2 * t + p] = (double)x[t * g->x.parts + p] * (window ? window[t] : 1);
	onx_fft(g->n, g->circle, -1, z, z + 2 * g->n);
	for (size_t k = 0; k < 2 * g->y.len; k++)
		y[k] = (real)z[k];
}

/* Y[b, f] = DFT(x[b, f step ... f step + n) * window) */
static void stft_forward(const struct onx_call *c)
{
	const struct geo *g = c->geo;

	onx_parallel(c->pool, g->batch * g->frames, stft_frame, (void *)c);
}

/* z = the conjugate transform of dY[b, f] */
static void frame_back(const struct onx_call *c, size_t at, double *z)
{
	const struct geo *g = c->geo;
	const real *dy = (const real *)c->dy[0].v + at * g->y.len * 2;

	memset(z, 0, 2 * g->n * sizeof *z);
	for (size_t k = 0; k < 2 * g->y.len; k++)
		z[k] = dy[k];
	onx_fft(g->n, g->circle, 1, z, z + 2 * g->n);
}

static void signal_back(void *ctx, size_t b, int worker)
{
	const struct onx_call *c = ctx;
	const struct geo *g = c->geo;
	double *z = (double *)c->scratch + (size_t)worker * (4 * g->n + 2 * g->length), *sum = z + 4 * g->n;
	const real *window = window_of(c);
	const size_t n = g->length * g->x.parts;

	memset(sum, 0, n * sizeof *sum);
	for (size_t f = 0; f < g->frames; f++) {
		frame_back(c, b * g->frames + f, z);
		for (size_t t = 0; t < g->n; t++)
			for (size_t p = 0; p < g->x.parts; p++)
				sum[(f * g->step + t) * g->x.parts + p] += z[2 * t + p] * (window ? window[t] : 1);
	}
	for (size_t i = 0; i < n; i++)
		onx_put((real *)c->dx[0].v + b * n + i, c->dx[0].add, (real)sum[i]);
}

/* dwindow[t] = sum over frames and parts of x z: one after another, in double */
static void window_back(const struct onx_call *c)
{
	const struct geo *g = c->geo;
	double *z = c->scratch, *sum = z + 4 * g->n;
	const real *x = c->x[0].v;

	memset(sum, 0, g->n * sizeof *sum);
	for (size_t at = 0; at < g->batch * g->frames; at++) {
		const real *v = x + (at / g->frames * g->length + at % g->frames * g->step) * g->x.parts;
		frame_back(c, at, z);
		for (size_t t = 0; t < g->n; t++)
			for (size_t p = 0; p < g->x.parts; p++)
				sum[t] += v[t * g->x.parts + p] * z[2 * t + p];
	}
	for (size_t t = 0; t < g->n; t++)
		onx_put((real *)c->dx[2].v + t, c->dx[2].add, (real)sum[t]);
}

static void stft_backward(const struct onx_call *c)
{
	if (c->dx[0].v)
		onx_parallel(c->pool, ((const struct geo *)c->geo)->batch, signal_back, (void *)c);
	if (c->n_x > 2 && c->dx[2].v)
		window_back(c);
}

/* As STFT's window may be longer than the signal (then there are no frames), it counts, too. */
static size_t stft_scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	const struct geo *g = s->geo;

	return dft_scratch(s, attr, threads, backward) + (backward ? g->n * sizeof(double) : 0);
}

#define DFT(version, ins, table)                                                                \
	{ .domain = "", .type = "DFT", .since = version, .min_in = 1, .max_in = ins, .min_out = 1, \
	  .max_out = 1, .grad = { ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 2, .attr = &table,        \
	  .infer = dft_infer, .scratch = dft_scratch, .forward = dft_forward, .backward = dft_backward }
const struct onx_op ONX_R(onx_ops_dft)[] = {
	DFT(17, 2, dft17_attr),
	DFT(20, 3, dft20_attr),
	{ .domain = "", .type = "STFT", .since = 17, .min_in = 2, .max_in = 4, .min_out = 1, .max_out = 1,
	  .grad = { ONX_G_DIFF, ONX_G_NEVER, ONX_G_DIFF, ONX_G_NEVER }, .n_grad = 4,
	  .keep = ONX_KEEP_X(0) | ONX_KEEP_X(2), .attr = &stft_attr, .infer = stft_infer,
	  .scratch = stft_scratch, .forward = stft_forward, .backward = stft_backward },
	{ .type = NULL }
};
