/* kernel/conv_phase.c -- depthwise convolution in two dimensions as one flat vector loop.
 *
 * A band of the zero-padded input is split by row and column modulo the strides into phases
 *     F[a][b][i][j] = padded[i * sh + a][j * sw + b],          rows of PW = OW + ((KW - 1) * dw) / sw
 * so that for every tap (kh, kw) the input of output (oh, ow) is F[kh*dh % sh][kw*dw % sw] at
 *     (oh + kh*dh / sh) * PW + ow + kw*dw / sw
 * a fixed distance from oh * PW + ow: no edges and no strides are left, and rows need not end with a
 * vector (7x7 maps fill them as well as 112x112).  What falls between OW and PW is dropped.
 *     forward   y[f] = b + sum over taps of w[tap] * F_tap[f]
 *     wgrad     dw[tap] = sum over f of dy[f] * F_tap[f], dy with zeros between OW and PW; float sums of
 *               a band in LANES lanes, double sums over bands and images
 *     dgrad     forward of dy, spread by the stride, with the weights turned round
 * A band is a run of output rows whose buffers stay in the first-level cache. */
#include "kernel/conv_phase.h"
#include "kernel/cpu.h"
#include <string.h>

enum {
	BAND = 2048,            /* elements of a band                                       */
	WIDE = 28               /* outputs in a row: from here on taking every other column
				   apart costs more than loops along the rows do            */
};
enum { VECS = 4, LANES = 64 / sizeof(real), STEP = VECS * LANES, PIECE_WORK = 1 << 16 };

#define ONX_LINES "kernel/conv_phase_lines.inc"
#include "kernel/lines.h"

typedef void sum_taps_fn(const real *const *tap, const real *k, size_t taps, real bias, size_t n, real *to);
typedef void sum_steps_fn(const real *a, const real *b, size_t n, real *sum);

/* The convolution as it is computed: sizes in both directions, index 0 rows, 1 columns. */
struct plane {
	size_t in[2], out[2], kern[2], taps;
	int64_t stride[2], dil[2], pad[2], spread[2];   /* spread: distance between inputs        */
	size_t width, rows;                             /* PW; output rows of a band              */
	size_t phase, phases, flat;                     /* elements of a phase; phases; of a band */
};

struct job {
	struct plane p;
	size_t planes, grain, m, channels, n;
	bool turned, add;
	const real *x, *w, *b, *dy;
	real *y, *dw, *scratch;
	size_t step;                    /* elements of scratch of one worker */
};

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_z(size_t a, size_t b) { return a > b ? a : b; }
static size_t up(size_t a, size_t to) { return (a + to - 1) / to * to; }

bool onx_conv_phase_fits(const struct onx_conv_geo *g)
{
	const struct onx_window *w = &g->w;

	return g->c == 1 && w->in[0] == 1 && w->out[0] == 1 && w->kern[0] == 1 && w->pad[0] == 0 &&
	       w->kern_n <= ONX_PHASE_TAPS && w->stride[1] <= 4 && w->stride[2] <= 4 &&
	       w->pad[1] >= 0 && w->pad[2] >= 0;
}

static void close_plane(struct plane *p)
{
	size_t reach[2];

	for (int d = 0; d < 2; d++)
		reach[d] = (p->kern[d] - 1) * (size_t)p->dil[d] / (size_t)p->stride[d];
	p->taps = p->kern[0] * p->kern[1];
	p->width = p->out[1] + reach[1];
	p->rows = max_z(min_z(BAND / p->width, p->out[0]), 1);
	p->flat = up(p->rows * p->width, STEP);
	p->phase = up(p->flat + reach[0] * p->width + reach[1], STEP);
	p->phases = (size_t)(p->stride[0] * p->stride[1]);
}

static struct plane forward_plane(const struct onx_conv_geo *g)
{
	struct plane p = { .taps = 0 };

	for (int d = 0; d < 2; d++) {
		p.in[d] = g->w.in[d + 1];
		p.out[d] = g->w.out[d + 1];
		p.kern[d] = g->w.kern[d + 1];
		p.stride[d] = g->w.stride[d + 1];
		p.dil[d] = g->w.dil[d + 1];
		p.pad[d] = g->w.pad[d + 1];
		p.spread[d] = 1;
	}
	close_plane(&p);
	return p;
}

static struct plane back_plane(const struct onx_conv_geo *g)
{
	struct plane p = forward_plane(g);

	for (int d = 0; d < 2; d++) {
		p.spread[d] = p.stride[d];
		p.stride[d] = 1;
		p.pad[d] = ((int64_t)p.kern[d] - 1) * p.dil[d] - p.pad[d];
		p.in[d] = g->w.out[d + 1];
		p.out[d] = g->w.in[d + 1];
	}
	close_plane(&p);
	return p;
}

static size_t elements(const struct plane *p)
{
	return p->phase * p->phases + p->flat;
}

/* Columns b, b + stride, ... of one padded row: `from` is the input row, NULL in the padding. */
ONX_INLINE void fill_row(const struct plane *p, const real *restrict from, size_t b, real *restrict to)
{
	const int64_t s = p->stride[1], u = p->spread[1], first = (int64_t)b - p->pad[1];
	const size_t width = p->width;
	size_t lo, hi;

	if (!from || u > 1) {
		memset(to, 0, width * sizeof *to);
		for (size_t i = 0; from && i < p->in[1]; i++) {         /* s is 1 here */
			const int64_t at = (int64_t)i * u - first;

			if (at >= 0 && at < (int64_t)width)
				to[at] = from[i];
		}
		return;
	}
	lo = first >= 0 ? 0 : min_z((size_t)((-first + s - 1) / s), width);
	hi = (int64_t)p->in[1] > first ? (size_t)(((int64_t)p->in[1] - first - 1) / s + 1) : 0;
	hi = max_z(min_z(hi, width), lo);
	for (size_t i = 0; i < lo; i++)
		to[i] = 0;
	if (s == 1)
		for (size_t i = lo; i < hi; i++)
			to[i] = from[first + (int64_t)i];
	else if (s == 2)
		for (size_t i = lo; i < hi; i++)
			to[i] = from[first + 2 * (int64_t)i];
	else
		for (size_t i = lo; i < hi; i++)
			to[i] = from[first + (int64_t)i * s];
	for (size_t i = hi; i < width; i++)
		to[i] = 0;
}

/* All phases of the band of output rows r0 .. r1-1. */
ONX_INLINE void fill(const struct plane *p, const real *x, size_t r0, size_t r1, real *f)
{
	const int64_t s = p->stride[0], u = p->spread[0];
	const size_t rows = r1 - r0 + (p->kern[0] - 1) * (size_t)p->dil[0] / (size_t)s;

	for (size_t a = 0; a < (size_t)s; a++)
		for (size_t b = 0; b < (size_t)p->stride[1]; b++, f += p->phase) {
			for (size_t i = 0; i < rows; i++) {
				const int64_t at = (int64_t)(r0 + i) * s + (int64_t)a - p->pad[0];
				const bool in = at >= 0 && at % u == 0 && at / u < (int64_t)p->in[0];

				fill_row(p, in ? x + (size_t)(at / u) * p->in[1] : NULL, b,
					 f + i * p->width);
			}
			memset(f + rows * p->width, 0, (p->phase - rows * p->width) * sizeof *f);
		}
}

/* Where tap t reads for output 0 of the band. */
static const real *tap_at(const struct plane *p, const real *f, size_t t)
{
	const size_t h = t / p->kern[1] * (size_t)p->dil[0], c = t % p->kern[1] * (size_t)p->dil[1];
	const size_t sh = (size_t)p->stride[0], sw = (size_t)p->stride[1];

	return f + (h % sh * sw + c % sw) * p->phase + h / sh * p->width + c / sw;
}

ONX_CLONES
static void plane_forward(const struct plane *p, const real *x, const real *k, real bias, bool add,
			  real *f, real *y)
{
	static sum_taps_fn *const sum_taps[ONX_ISAS] = ONX_WIDTHS(sum_taps);
	const real *tap[ONX_PHASE_TAPS];
	real *to = f + p->phase * p->phases;

	for (size_t t = 0; t < p->taps; t++)
		tap[t] = tap_at(p, f, t);
	for (size_t r0 = 0; r0 < p->out[0]; r0 += p->rows) {
		const size_t r1 = min_z(r0 + p->rows, p->out[0]);

		fill(p, x, r0, r1, f);
		sum_taps[onx_isa()](tap, k, p->taps, bias, (r1 - r0) * p->width, to);
		for (size_t r = r0; r < r1; r++) {
			real *out = y + r * p->out[1];
			const real *from = to + (r - r0) * p->width;

			if (add)
				for (size_t i = 0; i < p->out[1]; i++)
					out[i] += from[i];
			else
				memcpy(out, from, p->out[1] * sizeof *out);
		}
	}
}

/* sum[t] += dy . F_tap over one plane. */
ONX_CLONES
static void plane_wgrad(const struct plane *p, const real *x, const real *dy, real *f, double *sum)
{
	static sum_steps_fn *const sum_steps[ONX_ISAS] = ONX_WIDTHS(sum_steps);
	real *d = f + p->phase * p->phases;

	for (size_t r0 = 0; r0 < p->out[0]; r0 += p->rows) {
		const size_t r1 = min_z(r0 + p->rows, p->out[0]), n = (r1 - r0) * p->width;

		fill(p, x, r0, r1, f);
		for (size_t r = r0; r < r1; r++) {
			real *to = d + (r - r0) * p->width;

			memcpy(to, dy + r * p->out[1], p->out[1] * sizeof *to);
			memset(to + p->out[1], 0, (p->width - p->out[1]) * sizeof *to);
		}
		memset(d + n, 0, (p->flat - n) * sizeof *d);
		for (size_t t = 0; t < p->taps; t++) {
			real s[STEP];

			sum_steps[onx_isa()](d, tap_at(p, f, t), n, s);
			for (size_t l = 0; l < LANES; l++)
				sum[t] += (double)((s[l] + s[LANES + l]) + (s[2 * LANES + l] + s[3 * LANES + l]));
		}
	}
}

static void set_grain(struct job *j, size_t planes, size_t per_plane)
{
	j->planes = planes;
	j->grain = max_z(PIECE_WORK / max_z(per_plane, 1), 1);
	j->step = elements(&j->p);
}

/* y plane i of channel i % channels; forward reads one plane, dgrad the m planes of its group. */
static void forward_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct plane *p = &j->p;
	const size_t in_n = p->in[0] * p->in[1], out_n = p->out[0] * p->out[1];
	real *own = j->scratch + (size_t)worker * j->step, turned[ONX_PHASE_TAPS];
	size_t lo, hi;

	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t i = lo; i < hi; i++) {
		const size_t ch = i % j->channels;

		if (!j->turned) {
			plane_forward(p, j->x + i / j->m * in_n, j->w + ch * p->taps, j->b ? j->b[ch] : 0,
				      j->add, own, j->y + i * out_n);
			continue;
		}
		for (size_t m = 0; m < j->m; m++) {
			const real *w = j->w + (ch * j->m + m) * p->taps;

			for (size_t t = 0; t < p->taps; t++)
				turned[t] = w[p->taps - 1 - t];
			plane_forward(p, j->x + (i * j->m + m) * in_n, turned, 0, j->add || m > 0, own,
				      j->y + i * out_n);
		}
	}
}

void onx_conv_phase_forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			    const real *w, const real *b, real *y, bool add, void *scratch)
{
	struct job j = { .p = forward_plane(g), .m = g->m, .channels = g->groups * g->m, .x = x, .w = w,
			 .b = b, .y = y, .add = add, .scratch = scratch };

	if (g->w.stride[2] > 1 && g->w.out[2] >= WIDE) {
		onx_conv_dw_forward(pool, g, x, w, b, y, add, NULL);
		return;
	}
	set_grain(&j, g->n * j.channels, g->w.out_n * g->w.kern_n);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), forward_piece, &j);
}

void onx_conv_phase_dgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w,
			  const real *dy, real *dx, bool add, void *scratch)
{
	struct job j = { .p = back_plane(g), .m = g->m, .channels = g->groups, .turned = true, .x = dy,
			 .w = w, .y = dx, .add = add, .scratch = scratch };

	set_grain(&j, g->n * g->groups, g->w.in_n * g->w.kern_n * g->m);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), forward_piece, &j);
}

static void wgrad_piece(void *ctx, size_t piece, int worker)
{
	const struct job *j = ctx;
	const struct plane *p = &j->p;
	const size_t in_n = p->in[0] * p->in[1], out_n = p->out[0] * p->out[1];
	size_t lo, hi;

	onx_piece(j->planes, j->grain, piece, &lo, &hi);
	for (size_t ch = lo; ch < hi; ch++) {
		double sum[ONX_PHASE_TAPS] = { 0 };

		for (size_t n = 0; n < j->n; n++)
			plane_wgrad(p, j->x + (n * j->channels + ch) / j->m * in_n,
				    j->dy + (n * j->channels + ch) * out_n,
				    j->scratch + (size_t)worker * j->step, sum);
		for (size_t t = 0; t < p->taps; t++)
			onx_put(&j->dw[ch * p->taps + t], j->add, (real)sum[t]);
	}
}

void onx_conv_phase_wgrad(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x,
			  const real *dy, real *dw, bool add, void *scratch)
{
	struct job j = { .p = forward_plane(g), .m = g->m, .channels = g->groups * g->m, .n = g->n, .x = x,
			 .dy = dy, .dw = dw, .add = add, .scratch = scratch };

	set_grain(&j, j.channels, g->n * g->w.out_n * g->w.kern_n);
	onx_parallel(pool, onx_pieces(j.planes, j.grain), wgrad_piece, &j);
}

size_t onx_conv_phase_scratch(const struct onx_conv_geo *g, int threads, bool backward)
{
	const struct plane p = forward_plane(g), q = back_plane(g);
	const size_t one = backward ? max_z(elements(&p), elements(&q)) : elements(&p);

	return one * sizeof(real) * (size_t)threads;
}
