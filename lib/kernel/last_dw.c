/* kernel/last_dw.c -- depthwise convolution with channels last, forward and gradient of the data (last.h: c == m == 1).
 *
 *     y[o][ch] = f(b[ch] + sum over k of w[k][ch] * x[o*stride + k*dil - pad][ch] + z[o][ch])
 *
 * The gradient is the same sum over dy, once for each phase of the strides (slide.h).
 *
 * Weights are packed as [tap][ch], so that each tap is one vector product over channels.  A block of channels
 * is summed in registers over all taps of one pixel, or of four neighbours whose windows lie inside the image, so
 * that a weight is loaded once for all four; taps in the padding are left out by their ranges.  Each sum has one
 * order.  A piece is a row of output pixels. */
#include <string.h>
#include "kernel/fuse_row.h"
#include "kernel/last_dw.h"

/* 64 bytes: one register of AVX-512, two of AVX2, four of SSE. */
typedef real line __attribute__((vector_size(64)));
enum { LINE = 64 / sizeof(real), BLOCK = 64, STRIP = 4 };       /* channels of a line, of a block; pixels */

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1;
}

/* The taps of s, in their order. */
static void pack_taps(const struct onx_slide *s, size_t ch, const real *w, real *p)
{
	const size_t kn = s->kern[0] * s->kern[1] * s->kern[2];
	size_t t[3];

	for (t[0] = 0; t[0] < s->taps[0]; t[0]++)
		for (t[1] = 0; t[1] < s->taps[1]; t[1]++)
			for (t[2] = 0; t[2] < s->taps[2]; t[2]++, p += ch) {
				const size_t k = onx_slide_tap(s, t);

				for (size_t c = 0; c < ch; c++)
					p[c] = w[c * kn + k];
			}
}

static size_t packed(const struct onx_conv_geo *g)
{
	return g->groups * g->w.kern_n * sizeof(real);
}

static void pack(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, void *to)
{
	struct onx_slide s;

	(void)pool;
	onx_slide_forward(&g->w, &s);
	pack_taps(&s, g->groups, w, to);
}

static size_t no_scratch(const struct onx_conv_geo *g, int threads)
{
	(void)g, (void)threads;
	return 0;
}

struct job {
	struct onx_slide s;
	size_t ch;
	const real *x, *w;
	const struct ONX_R(onx_last_end) *end;
	real *y;
};

/* Offset of the input position under tap t of output position o. */
ONX_INLINE size_t under(const struct onx_slide *s, const size_t *o, size_t a, size_t b, size_t c)
{
	return ((size_t)onx_slide_at(s, 0, o[0], a) * s->src[1] + (size_t)onx_slide_at(s, 1, o[1], b)) * s->src[2] +
	       (size_t)onx_slide_at(s, 2, o[2], c);
}

/* n <= BLOCK channels of one pixel: y = b + z + sum of w x.  z may be NULL, or y. */
ONX_INLINE void pixel(const struct job *j, const real *image, size_t (*k)[2], const size_t *o, size_t c0,
		      size_t n, const real *z, real *y)
{
	const struct onx_slide *s = &j->s;
	const size_t ch = j->ch;
	real sum[BLOCK];

	for (size_t c = 0; c < n; c++)
		sum[c] = (j->end->b ? j->end->b[c0 + c] : 0) + (z ? z[c0 + c] : 0);
	for (size_t a = k[0][0]; a < k[0][1]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++)
			for (size_t d = k[2][0]; d < k[2][1]; d++) {
				const real *x = image + under(s, o, a, b, d) * ch + c0;
				const real *t = j->w + ((a * s->taps[1] + b) * s->taps[2] + d) * ch + c0;

				for (size_t c = 0; c < n; c++)
					sum[c] += t[c] * x[c];
			}
	for (size_t c = 0; c < n; c++)
		y[c0 + c] = sum[c];
}

/* LINE channels of STRIP pixels from o on, all taps of dimension 2 inside: the same sums as pixel(). */
ONX_INLINE void strip(const struct job *j, const real *image, size_t (*k)[2], const size_t *o, size_t c0,
		      const real *z, real *y)
{
	const struct onx_slide *s = &j->s;
	const size_t ch = j->ch, step = (size_t)s->mul[2] * ch, pitch = s->step[2] * ch;
	const int64_t inc = s->inc[2] * (int64_t)ch;
	line s0, s1, s2, s3, t, x0, x1, x2, x3;

	memset(&s0, 0, sizeof s0);
	if (j->end->b)
		memcpy(&s0, j->end->b + c0, sizeof s0);
	s1 = s2 = s3 = s0;
	if (z) {
		memcpy(&x0, z + c0, sizeof t);
		memcpy(&x1, z + pitch + c0, sizeof t);
		memcpy(&x2, z + 2 * pitch + c0, sizeof t);
		memcpy(&x3, z + 3 * pitch + c0, sizeof t);
		s0 += x0;
		s1 += x1;
		s2 += x2;
		s3 += x3;
	}
	for (size_t a = k[0][0]; a < k[0][1]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++) {
			const real *x = image + under(s, o, a, b, 0) * ch + c0;
			const real *from = j->w + (a * s->taps[1] + b) * s->taps[2] * ch + c0;

			for (size_t d = 0; d < s->taps[2]; d++, x += inc, from += ch) {
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
	memcpy(y + pitch + c0, &s1, sizeof s0);
	memcpy(y + 2 * pitch + c0, &s2, sizeof s0);
	memcpy(y + 3 * pitch + c0, &s3, sizeof s0);
}

/* Are the windows of STRIP pixels from o on inside the image along dimension 2? */
ONX_INLINE bool inside(const struct onx_slide *s, size_t o)
{
	const size_t last = s->taps[2] ? s->taps[2] - 1 : 0;

	return o + STRIP <= s->grid[2] && onx_slide_in(s, 2, o, 0) && onx_slide_in(s, 2, o, last) &&
	       onx_slide_in(s, 2, o + STRIP - 1, 0) && onx_slide_in(s, 2, o + STRIP - 1, last);
}

/* Where the first pixel of row r of the grid lies in y. */
ONX_INLINE size_t row_in_y(const struct onx_slide *s, size_t r)
{
	const size_t n = r / (s->grid[0] * s->grid[1]), o0 = r / s->grid[1] % s->grid[0], o1 = r % s->grid[1];

	return ((n * s->dst[0] + s->first[0] + o0 * s->step[0]) * s->dst[1] + s->first[1] + o1 * s->step[1]) *
	       s->dst[2] + s->first[2];
}

ONX_CLONES
static void row(const struct job *j, size_t r)
{
	const struct onx_slide *s = &j->s;
	const size_t ch = j->ch, pitch = s->step[2] * ch, line0 = row_in_y(s, r) * ch;
	const real *image = j->x + r / (s->grid[0] * s->grid[1]) * s->src[0] * s->src[1] * s->src[2] * ch;
	size_t o[3] = { r / s->grid[1] % s->grid[0], r % s->grid[1], 0 }, k[3][2];

	onx_slide_taps(s, 0, o[0], &k[0][0], &k[0][1]);
	onx_slide_taps(s, 1, o[1], &k[1][0], &k[1][1]);
	for (size_t n; o[2] < s->grid[2]; o[2] += n) {
		const size_t first = line0 + o[2] * pitch;
		real *y = j->y + first;
		const real *z = j->end->z ? j->end->z + first : NULL;
		size_t c = 0;

		n = inside(s, o[2]) && ch >= LINE ? STRIP : 1;
		onx_slide_taps(s, 2, o[2], &k[2][0], &k[2][1]);
		for (; n == STRIP && c + LINE <= ch; c += LINE)
			strip(j, image, k, o, c, z, y);
		for (; n == 1 && c + BLOCK <= ch; c += BLOCK)
			pixel(j, image, k, o, c, BLOCK, z, y);
		for (; n == 1 && c + LINE <= ch; c += LINE)
			pixel(j, image, k, o, c, LINE, z, y);
		for (size_t p = 0, at = o[2]; c < ch && p < n; p++) {
			o[2] = at + p;
			onx_slide_taps(s, 2, o[2], &k[2][0], &k[2][1]);
			pixel(j, image, k, o, c, ch - c, z ? z + p * pitch : NULL, y + p * pitch);
			o[2] = at;
		}
		for (size_t p = 0; p < n; p++, y += pitch)
			onx_fuse_row(&j->end->f, y, ch);
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
	struct job j = { .ch = g->groups, .x = x, .w = weights, .end = end, .y = y };

	(void)scratch;
	onx_slide_forward(&g->w, &j.s);
	onx_parallel(pool, g->n * j.s.grid[0] * j.s.grid[1], row_piece, &j);
}

size_t onx_last_dw_data_scratch(const struct onx_conv_geo *g)
{
	return (packed(g) + 63) / 64 * 64;
}

void onx_last_dw_data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		      bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	struct job j = { .ch = g->groups, .x = dy, .w = scratch, .end = &end, .y = dx };

	for (size_t i = 0; i < onx_slide_phases(&g->w); i++) {
		onx_slide_phase(&g->w, i, &j.s);
		pack_taps(&j.s, g->groups, w, scratch);
		onx_parallel(pool, g->n * j.s.grid[0] * j.s.grid[1], row_piece, &j);
	}
}

const struct ONX_R(onx_last_way) onx_last_way_depthwise = { "depthwise", fits, packed, pack, no_scratch, forward };
