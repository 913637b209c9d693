/* kernel/last_dw.c -- depthwise convolution with channels last, forward and gradient of the data (last.h: c == m == 1).
 *
 *     y[o][ch] = f(b[ch] + sum over k of w[k][ch] * x[o*stride + k*dil - pad][ch] + z[o][ch])
 *
 * The gradient is the same sum over dy, once for each phase of the strides (slide.h).
 *
 * Weights are packed as [tap][ch], so that each tap is one vector product over channels.  A block of channels
 * is summed in registers over all taps of one pixel, or of four neighbours whose windows lie inside the image, so
 * that a weight is loaded once for all four; taps in the padding are left out by their ranges.  Each sum has one
 * order.  This order of work touches memory in many short streams, which the processor does not foresee: so each
 * strip asks for what a later one needs, line after line.  A piece is some rows of output pixels; of the gradient it
 * does all phases of a row in turn, while dy is at hand. */
#include <string.h>
#include "kernel/far.h"
#include "kernel/fuse_row.h"
#include "kernel/last_dw_i.h"

typedef struct ONX_R(onx_dw_job) job;
typedef struct ONX_R(onx_dw_image) image;

enum { BLOCK = 64, STRIP = 4, SPANS = 25, SIDE = 4 };         /* channels of a block; pixels; rows of a window; lines */
enum { AHEAD = 8192 / sizeof(real), WORK = 1 << 16 };           /* numbers: asked for ahead; of y in a piece */

static bool fits(const struct onx_conv_geo *g)
{
	return g->c == 1 && g->m == 1 && g->groups > 1;
}

void onx_dw_pack(const struct onx_slide *s, size_t ch, const real *w, real *p)
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
	onx_dw_pack(&s, g->groups, w, to);
}

static size_t no_scratch(const struct onx_conv_geo *g, int threads)
{
	(void)g, (void)threads;
	return 0;
}

/* The row of the image that tap (a, b) of output position o meets. */
ONX_INLINE size_t under(const struct onx_slide *s, const size_t *o, size_t a, size_t b)
{
	return (size_t)onx_slide_at(s, 0, o[0], a) * s->src[1] + (size_t)onx_slide_at(s, 1, o[1], b);
}

ONX_INLINE const real *row_at(const image *im, size_t i)
{
	return im->x + (im->lines ? (im->first + i) % im->lines : i) * im->line;
}

/* n <= BLOCK channels of one pixel: y = b + z + sum of w x.  z may be NULL, or y. */
ONX_INLINE void pixel(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o,
		      size_t c0, size_t n, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t ch = j->ch;
	real sum[BLOCK];

	for (size_t c = 0; c < n; c++)
		sum[c] = (j->end->b ? j->end->b[c0 + c] : 0) + (z ? z[c0 + c] : 0);
	for (size_t a = k[0][0]; a < k[0][1]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++) {
			const real *const at = row_at(im, under(s, o, a, b)) + c0;

			for (size_t d = k[2][0]; d < k[2][1]; d++) {
				const real *x = at + (size_t)onx_slide_at(s, 2, o[2], d) * ch;
				const real *t = j->w[phase] + ((a * s->taps[1] + b) * s->taps[2] + d) * ch + c0;

				for (size_t c = 0; c < n; c++)
					sum[c] += t[c] * x[c];
			}
		}
	for (size_t c = 0; c < n; c++)
		y[c0 + c] = sum[c];
}

/* A row of the window: where the first pixel of the strips meets tap 0, or where taps go against pixels the last tap;
 * its weights; where it comes to new rows of x as the output goes down, what to ask for, else NULL. */
struct span { const real *x, *w, *ask; };
/* `count` strips, to y. */
struct strips {
	struct span span[SPANS];
	size_t spans, count, taps, mul, ch, pitch;
	int64_t inc;
	bool far;                       /* y is aligned to lines, and stored past the caches */
	const real *b, *z;
	real *y;
};

/* The loops for one width of lines: numbers in a line; one pixel, strips of any taps, strips of known[i]. */
typedef void strips_fn(const struct strips *k);
enum { KNOWN = 11 };
struct ONX_R(onx_dw_ways) { size_t line; strips_fn *one, *any, *known[KNOWN]; };

typedef struct ONX_R(onx_dw_ways) ways;

#define ONX_LINES "kernel/last_dw_lines.inc"
#include "kernel/lines.h"

static const ways *ways_of(enum onx_isa isa)
{
	static const ways *const all[ONX_ISAS] = ONX_WIDTHS(&ways);

	return all[isa];
}

/* 0: any. */
static const struct { size_t taps; int64_t mul, inc; } known[KNOWN] = {
	{ 3, 1, 1 }, { 3, 2, 1 }, { 5, 1, 1 }, { 5, 2, 1 }, { 7, 1, 1 }, { 1, 1, -1 }, { 2, 1, -1 }, { 3, 1, -1 },
	{ 5, 1, -1 }, { 7, 1, -1 }, { 3, 0, 0 },
};

static size_t which(const struct onx_slide *s)
{
	size_t i = 0;

	while (i < KNOWN && (known[i].taps != s->taps[2] || (known[i].mul != 0 && known[i].mul != s->mul[2]) ||
			     (known[i].inc != 0 && known[i].inc != s->inc[2])))
		i++;
	return i;
}

/* Pixels [*lo, *hi) of dimension 2 whose taps are all inside. */
static void middle(const struct onx_slide *s, size_t *lo, size_t *hi)
{
	const size_t last = s->taps[2] ? s->taps[2] - 1 : 0;

	for (*lo = 0; *lo < s->grid[2] && !(onx_slide_in(s, 2, *lo, 0) && onx_slide_in(s, 2, *lo, last)); )
		++*lo;
	for (*hi = s->grid[2]; *hi > *lo && !(onx_slide_in(s, 2, *hi - 1, 0) && onx_slide_in(s, 2, *hi - 1, last)); )
		--*hi;
}

/* Row i of the image from pixel `from` on, of the window's row b; what to ask for: further on in the image, or where
 * lines of it are made, the line that the next row of output will want anew. */
ONX_INLINE struct span span_of(const job *j, const struct onx_slide *s, const image *im, size_t i, size_t from,
			       size_t b)
{
	const bool fresh = s->inc[1] < 0 ? b == 0 : b + (size_t)s->mul[1] >= s->taps[1];
	const real *const x = row_at(im, i) + from * j->ch;

	return (struct span){ .x = x, .ask = !fresh ? NULL : !im->lines ? x + AHEAD :
			      j->x + (im->first + i + (size_t)s->mul[1]) * im->line + from * j->ch };
}

/* The spans over taps [k[i][0], k[i][1]) of pixel o, which start at tap `tap` of dimension 2; false: too many, or no
 * channels that fill a line. */
static bool spans(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o, size_t tap,
		  struct strips *to)
{
	const struct onx_slide *s = &j->s[phase];

	if ((k[0][1] - k[0][0]) * (k[1][1] - k[1][0]) > SPANS || j->ch < j->ways->line)
		return false;
	to->spans = 0;
	for (size_t a = k[0][0]; a < k[0][1] && s->taps[2]; a++)
		for (size_t b = k[1][0]; b < k[1][1]; b++) {
			struct span *const at = &to->span[to->spans++];

			*at = span_of(j, s, im, under(s, o, a, b), (size_t)onx_slide_at(s, 2, o[2], tap), b);
			at->w = j->w[phase] + ((a * s->taps[1] + b) * s->taps[2] + k[2][0]) * j->ch;
		}
	to->taps = k[2][1] - k[2][0];
	to->mul = (size_t)s->mul[2];
	to->inc = s->inc[2];
	to->ch = j->ch;
	to->pitch = s->step[2] * j->ch;
	to->b = j->end->b;
	return true;
}

/* Strips from pixel o on, as many as fit before pixel `end`; y and z stand at pixel o.  Returns the pixels done, with
 * the channels that fill lines. */
static size_t strips(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o, size_t end,
		     const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t i = which(s), tap = i < KNOWN && known[i].inc < 0 ? s->taps[2] - 1 : 0;
	struct strips to;

	to.count = end > o[2] ? (end - o[2]) / STRIP : 0;
	k[2][0] = 0;
	k[2][1] = s->taps[2];
	if (to.count == 0 || !spans(j, phase, im, k, o, tap, &to))
		return 0;
	to.z = z;
	to.y = y;
	to.far = j->far;
	(i < KNOWN ? j->ways->known[i] : j->ways->any)(&to);
	return to.count * STRIP;
}

/* Channels [c, ch) of one pixel, z and y at its first. */
ONX_CLONES
static void few_channels(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o,
			 size_t c, const real *z, real *y)
{
	for (size_t n; c < j->ch; c += n) {
		n = j->ch - c < BLOCK ? j->ch - c : BLOCK;
		pixel(j, phase, im, k, o, c, n, z, y);
	}
}

/* Channels [c0, ch) of pixels [o, end) of a row, one by one; y and z stand at pixel 0. */
static void pixels(const job *j, size_t phase, const image *im, size_t (*k)[2], size_t *o, size_t end,
		   size_t c0, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t pitch = s->step[2] * j->ch;
	struct strips to;

	for (; o[2] < end; o[2]++) {
		size_t c = c0;

		onx_slide_taps(s, 2, o[2], &k[2][0], &k[2][1]);
		to.z = z ? z + o[2] * pitch : NULL;
		to.y = y + o[2] * pitch;
		if (c == 0 && k[2][0] < k[2][1] && spans(j, phase, im, k, o, k[2][0], &to)) {
			j->ways->one(&to);
			c = j->ch - j->ch % j->ways->line;
		}
		if (c < j->ch)
			few_channels(j, phase, im, k, o, c, to.z, to.y);
	}
}

ONX_CLONES
static void finish(const struct onx_fuse *f, real *y, size_t n)
{
	onx_fuse_row(f, y, n);
}

/* Row r of the grid of a phase; y and z stand at its first pixel. */
static void row(const job *j, size_t phase, size_t r, const image *im, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t ch = j->ch, pitch = s->step[2] * ch;
	size_t o[3] = { r / s->grid[1] % s->grid[0], r % s->grid[1], 0 }, k[3][2], lo, hi, n;

	onx_slide_taps(s, 0, o[0], &k[0][0], &k[0][1]);
	onx_slide_taps(s, 1, o[1], &k[1][0], &k[1][1]);
	middle(s, &lo, &hi);
	pixels(j, phase, im, k, o, lo, 0, z, y);
	n = strips(j, phase, im, k, o, hi, z ? z + lo * pitch : NULL, y + lo * pitch);
	if (n > 0 && ch % j->ways->line != 0)
		pixels(j, phase, im, k, o, lo + n, ch - ch % j->ways->line, z, y);
	o[2] = lo + n;
	pixels(j, phase, im, k, o, s->grid[2], 0, z, y);
	if (j->end->f.kind != ONX_FUSE_NONE && pitch == ch)
		finish(&j->end->f, y, s->grid[2] * ch);
	else if (j->end->f.kind != ONX_FUSE_NONE)
		for (size_t i = 0; i < s->grid[2]; i++)
			finish(&j->end->f, y + i * pitch, ch);
}

/* Its row in the grid of each of its phases. */
void onx_dw_line(const job *j, size_t i, const image *im, const real *z, real *y)
{
	const size_t *dst = j->s[0].dst, *ph = j->phases;
	const size_t n = i / dst[1] / dst[0], i0 = i / dst[1] % dst[0], i1 = i % dst[1];
	const size_t phase = (i0 % ph[0] * ph[1] + i1 % ph[1]) * ph[2];

	for (size_t p = phase; p < phase + ph[2]; p++) {
		const struct onx_slide *s = &j->s[p];
		const size_t r = (n * s->grid[0] + i0 / j->stride[0]) * s->grid[1] + i1 / j->stride[1];

		row(j, p, r, im, z ? z + s->first[2] * j->ch : NULL, y + s->first[2] * j->ch);
	}
}

static size_t rows_by(const job *j)
{
	return WORK / (j->s[0].dst[2] * j->ch + 1) + 1;
}

static void rows_piece(void *ctx, size_t piece, int worker)
{
	const job *j = ctx;
	const size_t *dst = j->s[0].dst, *src = j->s[0].src, line = dst[2] * j->ch;
	image im = { .line = src[2] * j->ch };
	size_t lo, hi;

	(void)worker;
	onx_piece(j->rows, rows_by(j), piece, &lo, &hi);
	for (; lo < hi; lo++) {
		im.x = j->x + lo / (dst[0] * dst[1]) * src[0] * src[1] * im.line;
		onx_dw_line(j, lo, &im, j->end->z ? j->end->z + lo * line : NULL, j->y + lo * line);
	}
	if (j->far)
		onx_far_done();
}

void onx_dw_ready(job *j, size_t n)
{
	const size_t *dst = j->s[0].dst;

	j->rows = n * dst[0] * dst[1];
	j->ways = ways_of(onx_isa());
	j->far = onx_is_far(j->rows * dst[2] * j->ch) && j->end->f.kind == ONX_FUSE_NONE && j->end->z != j->y &&
		 j->ch % j->ways->line == 0 && (uintptr_t)j->y % (j->ways->line * sizeof(real)) == 0;
}

static void run(struct onx_pool *pool, job *j, size_t n)
{
	onx_dw_ready(j, n);
	onx_parallel(pool, onx_pieces(j->rows, rows_by(j)), rows_piece, j);
}

static void forward(struct onx_pool *pool, const struct onx_conv_geo *g, const real *x, const void *weights,
		    const struct ONX_R(onx_last_end) *end, real *y, void *scratch)
{
	const real *const w = weights;
	struct onx_slide s;
	job j = { .s = &s, .w = &w, .phases = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .ch = g->groups,
			 .x = x, .end = end, .y = y };

	(void)scratch;
	onx_slide_forward(&g->w, &s);
	run(pool, &j, g->n);
}

size_t onx_last_dw_data_scratch(const struct onx_conv_geo *g)
{
	return (packed(g) + 63) / 64 * 64;
}

/* Each tap belongs to one phase. */
void onx_dw_data_of(const struct onx_conv_geo *g, const real *w, struct onx_slide *s, const real **at, real *taps,
		    job *j)
{
	for (int d = 0; d < 3; d++) {
		j->phases[d] = onx_slide_phases_of(&g->w, d);
		j->stride[d] = (size_t)g->w.stride[d];
	}
	for (size_t i = 0; i < onx_slide_phases(&g->w); i++) {
		onx_slide_phase(&g->w, i, &s[i]);
		onx_dw_pack(&s[i], g->groups, w, taps);
		at[i] = taps;
		taps += s[i].taps[0] * s[i].taps[1] * s[i].taps[2] * g->groups;
	}
	j->s = s;
	j->w = at;
	j->ch = g->groups;
}

void onx_last_dw_data(struct onx_pool *pool, const struct onx_conv_geo *g, const real *w, const real *dy, real *dx,
		      bool add, void *scratch)
{
	const struct ONX_R(onx_last_end) end = { .z = add ? dx : NULL };
	struct onx_slide s[ONX_SLIDE_PHASES];           /* not worth clearing */
	const real *at[ONX_SLIDE_PHASES];
	job j = { .x = dy, .end = &end, .y = dx };

	onx_dw_data_of(g, w, s, at, scratch, &j);
	run(pool, &j, g->n);
}

const struct ONX_R(onx_last_way) onx_last_way_depthwise = {
	"depthwise", fits, packed, pack, no_scratch, forward, NULL, NULL };
