/* kernel/last_dw.c -- depthwise convolution with channels last, forward (last.h: c == m == 1).
 *
 *     y[o][ch] = f(b[ch] + sum over k of w[k][ch] * x[o*stride + k*dil - pad][ch] + z[o][ch])
 *
 * Weights are packed as [kern][ch], so that each tap is one vector product over channels.  A block of channels
 * is summed in registers over all taps of one pixel, or of four neighbours whose windows lie inside the image, so
 * that a weight is loaded once for all four; taps in the padding are left out by their ranges.  Each sum has one
 * order.  A piece is a row of output pixels. */
#include <string.h>
#include "kernel/fuse_row.h"
#include "kernel/last.h"

/* 64 bytes: one register of AVX-512, two of AVX2, four of SSE. */
typedef real line __attribute__((vector_size(64)));
enum { LINE = 64 / sizeof(real), BLOCK = 64, STRIP = 4 };       /* channels of a line, of a block; pixels */

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1;
}

static size_t packed(const struct onx_conv_geo *g)
{
	return g->groups * g->w.kern_n * sizeof(real);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to)
{
	const size_t kn = g->w.kern_n, ch = g->groups;
	real *p = to;

	(void)pool;
	for (size_t c = 0; c < ch; c++)
		for (size_t k = 0; k < kn; k++)
			p[k * ch + c] = w[c * kn + k];
}

static size_t no_scratch(const struct onx_conv_geo *g, int threads)
{
	(void)g, (void)threads;
	return 0;
}

struct job {
	const struct onx_conv_geo *g;
	const real *x, *w;
	const struct ONX_R(onx_last_end) *end;
	real *y;
};

/* Taps [lo, hi) of dimension d that output position o meets. */
ONX_INLINE void taps(const struct onx_window *w, int d, size_t o, size_t *lo, size_t *hi)
{
	*lo = 0;
	*hi = w->kern[d];
	while (*lo < *hi && onx_window_at(w, d, o, *lo) < 0)
		++*lo;
	while (*hi > *lo && onx_window_at(w, d, o, *hi - 1) >= (int64_t)w->in[d])
		--*hi;
}

/* n <= BLOCK channels of one pixel: y = b + sum of w x. */
ONX_INLINE void pixel(const struct job *j, const real *image, size_t (*k)[2], const size_t *o, size_t c0,
		      size_t n, real *y)
{
	const struct onx_window *w = &j->g->w;
	const size_t ch = j->g->groups;
	real sum[BLOCK];

	for (size_t c = 0; c < n; c++)
		sum[c] = j->end->b ? j->end->b[c0 + c] : 0;
	for (size_t a = k[0][0]; a < k[0][1]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++)
			for (size_t d = k[2][0]; d < k[2][1]; d++) {
				const size_t at = ((size_t)onx_window_at(w, 0, o[0], a) * w->in[1] +
						   (size_t)onx_window_at(w, 1, o[1], b)) * w->in[2] +
						  (size_t)onx_window_at(w, 2, o[2], d);
				const real *x = image + at * ch + c0;
				const real *t = j->w + ((a * w->kern[1] + b) * w->kern[2] + d) * ch + c0;

				for (size_t c = 0; c < n; c++)
					sum[c] += t[c] * x[c];
			}
	for (size_t c = 0; c < n; c++)
		y[c0 + c] = sum[c];
}

/* LINE channels of STRIP pixels from o on, all taps of dimension 2 inside: the same sums as pixel(). */
ONX_INLINE void strip(const struct job *j, const real *image, size_t (*k)[2], const size_t *o, size_t c0, real *y)
{
	const struct onx_window *w = &j->g->w;
	const size_t ch = j->g->groups, step = (size_t)w->stride[2] * ch;
	line s0, s1, s2, s3, t, x0, x1, x2, x3;

	memset(&s0, 0, sizeof s0);
	if (j->end->b)
		memcpy(&s0, j->end->b + c0, sizeof s0);
	s1 = s2 = s3 = s0;
	for (size_t a = k[0][0]; a < k[0][1]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++) {
			const size_t at = ((size_t)onx_window_at(w, 0, o[0], a) * w->in[1] +
					   (size_t)onx_window_at(w, 1, o[1], b)) * w->in[2] +
					  (size_t)onx_window_at(w, 2, o[2], 0);
			const real *x = image + at * ch + c0;
			const real *from = j->w + (a * w->kern[1] + b) * w->kern[2] * ch + c0;

			for (size_t d = 0; d < w->kern[2]; d++, x += (size_t)w->dil[2] * ch, from += ch) {
				memcpy(&t, from, sizeof t);
				memcpy(&x0, x, sizeof t);
				memcpy(&x1, x + step, sizeof t);
				memcpy(&x2, x + 2 * step, sizeof t);
				memcpy(&x3, x + 3 * step, sizeof t);
				s0 += t * x0;
				s1 += t * x1;
				s2 += t * x2;
				s3 += t * x3;
			}
		}
	memcpy(y + c0, &s0, sizeof s0);
	memcpy(y + ch + c0, &s1, sizeof s0);
	memcpy(y + 2 * ch + c0, &s2, sizeof s0);
	memcpy(y + 3 * ch + c0, &s3, sizeof s0);
}

/* Are the windows of STRIP pixels from o on inside the image along dimension 2? */
ONX_INLINE bool inside(const struct onx_window *w, size_t o)
{
	return o + STRIP <= w->out[2] && onx_window_at(w, 2, o, 0) >= 0 &&
	       onx_window_at(w, 2, o + STRIP - 1, w->kern[2] - 1) < (int64_t)w->in[2];
}

ONX_CLONES
static void row(const struct job *j, size_t r)
{
	const struct onx_window *w = &j->g->w;
	const size_t ch = j->g->groups;
	const real *image = j->x + r / (w->out[0] * w->out[1]) * w->in_n * ch;
	size_t o[3] = { r / w->out[1] % w->out[0], r % w->out[1], 0 }, k[3][2];

	taps(w, 0, o[0], &k[0][0], &k[0][1]);
	taps(w, 1, o[1], &k[1][0], &k[1][1]);
	for (size_t n; o[2] < w->out[2]; o[2] += n) {
		const size_t first = (r * w->out[2] + o[2]) * ch;
		real *y = j->y + first;
		size_t c = 0;

		n = inside(w, o[2]) && ch >= LINE ? STRIP : 1;
		taps(w, 2, o[2], &k[2][0], &k[2][1]);
		for (; n == STRIP && c + LINE <= ch; c += LINE)
			strip(j, image, k, o, c, y);
		for (; n == 1 && c + BLOCK <= ch; c += BLOCK)
			pixel(j, image, k, o, c, BLOCK, y);
		for (; n == 1 && c + LINE <= ch; c += LINE)
			pixel(j, image, k, o, c, LINE, y);
		for (size_t p = 0, at = o[2]; c < ch && p < n; p++) {
			o[2] = at + p;
			taps(w, 2, o[2], &k[2][0], &k[2][1]);
			pixel(j, image, k, o, c, ch - c, y + p * ch);
			o[2] = at;
		}
		for (size_t i = 0; j->end->z && i < n * ch; i++)
			y[i] += j->end->z[first + i];
		onx_fuse_row(&j->end->f, y, n * ch);
	}
}

static void row_piece(void *ctx, size_t piece, int worker)
{
	(void)worker;
	row(ctx, piece);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	struct job j = { g, x, weights, end, y };

	(void)scratch;
	onx_parallel(pool, g->n * g->w.out[0] * g->w.out[1], row_piece, &j);
}

const struct ONX_R(onx_last_way) onx_last_way_depthwise = { "depthwise", fits, packed, pack, no_scratch, forward };
