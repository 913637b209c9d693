/* kernel/last_dw_rows.c -- the loops of depthwise convolutions with channels last over one row of pixels (last_dw_i.h).
 *
 * A block of channels is summed in registers over all taps of one pixel, or of four neighbours whose windows lie inside
 * the image, so that a weight is loaded once for all four; taps in the padding are left out by their ranges.  Each sum
 * has one order, the same along all these ways.  This order of work touches memory in many short streams, which the
 * processor does not foresee: so each strip asks for what a later one needs, line after line.  Where the second-level
 * cache holds x already, as in the strips of strips.c and in a ring of lines, a line of channels goes along a whole row
 * instead. */
#include <math.h>
#include "kernel/far.h"
#include "kernel/fuse_row.h"
#include "kernel/inside.h"
#include "kernel/last_dw_i.h"

typedef struct ONX_R(onx_dw_job) job;
typedef struct ONX_R(onx_dw_image) image;

enum { BLOCK = 64, STRIP = 4, SPANS = 25, SIDE = 4 };         /* channels of a block; pixels; rows of a window; lines */
enum { AHEAD = 8192 / sizeof(real) };   /* numbers: asked for ahead */
enum { ALIKE = 2048 };          /* pixels that many bytes apart share few sets of the nearest cache */

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
	size_t first, end;              /* of an edge: the lines under the window that there are, [first, end) */
	bool clamp;
	real lo, hi;
	bool far;                       /* y is aligned to lines, and stored past the caches */
	const real *b, *z;
	real *y;
};

/* The loops for one width of lines: numbers in a line; one pixel, strips of any taps, strips of known[i]. */
typedef void strips_fn(const struct strips *k);
enum { KNOWN = 11 };
struct ONX_R(onx_dw_ways) {
	size_t line;
	strips_fn *one, *any, *known[KNOWN][2], /* [1]: at an edge, or NULL */
		  *row[2][3];           /* a whole row, whose window has 3 taps in 1 to 3 rows, stride 1 or 2 */
};

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
ONX_INLINE struct span span_of(const job *j, const struct onx_slide *s, const image *im, size_t i, int64_t from,
			       size_t b)
{
	const bool fresh = (im->lines || !im->near) &&
			   (s->inc[1] < 0 ? b == 0 : b + (size_t)s->mul[1] >= s->taps[1]);
	const real *const x = row_at(im, i) + from * (int64_t)j->ch;

	return (struct span){ .x = x, .ask = !fresh ? NULL : !im->lines ? x + AHEAD :
			      j->x + (im->first + i + (size_t)s->mul[1]) * im->line + from * (int64_t)j->ch };
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

			*at = span_of(j, s, im, under(s, o, a, b), onx_slide_at(s, 2, o[2], tap), b);
			at->w = j->w[phase] + ((a * s->taps[1] + b) * s->taps[2] + k[2][0]) * j->ch;
		}
	to->taps = k[2][1] - k[2][0];
	to->mul = (size_t)s->mul[2];
	to->inc = s->inc[2];
	to->ch = j->ch;
	to->pitch = s->step[2] * j->ch;
	to->b = j->end->b;
	to->clamp = j->clamp;
	to->lo = j->lo;
	to->hi = j->hi;
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
	(i < KNOWN ? j->ways->known[i][0] : j->ways->any)(&to);
	return to.count * STRIP;
}

/* May strips have taps in the padding, so that they fill the row? */
static bool edges(const job *j, size_t phase)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t i = which(s);

	return i < KNOWN && j->ways->known[i][1] && s->grid[2] % STRIP == 0 && j->ch >= j->ways->line &&
	       s->taps[0] * s->taps[1] <= SPANS;
}

/* The strip of pixels from o on; z and y stand at pixel 0 of the row. */
static void edge(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o, const real *z,
		 real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t i = which(s), tap = s->inc[2] < 0 ? s->taps[2] - 1 : 0;
	const int64_t at = onx_slide_at(s, 2, o[2], tap), left = (int64_t)s->src[2] - at;
	struct strips to;

	k[2][0] = 0;
	k[2][1] = s->taps[2];
	(void)spans(j, phase, im, k, o, tap, &to);
	to.count = 1;
	to.z = z ? z + o[2] * to.pitch : NULL;
	to.y = y + o[2] * to.pitch;
	to.far = j->far;
	to.first = at < 0 ? (size_t)-at : 0;
	to.end = left > 0 ? (size_t)left : 0;
	j->ways->known[i][1](&to);
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

ONX_CLONES
static void finish(const struct onx_fuse *f, real *y, size_t n)
{
	onx_fuse_row(f, y, n);
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
		if (c < j->ch && j->clamp)
			finish(&j->end->f, to.y + c, j->ch - c);
	}
}

/* The row of output pixel o, where its window has three taps side by side and x is near: a line of channels goes
 * along the whole row, with its weights in registers.  False: it is none such. */
static bool whole_row(const job *j, size_t phase, const image *im, size_t (*k)[2], const size_t *o,
		      size_t lo, size_t hi, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t mul = (size_t)s->mul[2];
	struct strips to;

	if (!im->near || s->taps[2] != 3 || s->inc[2] != 1 || mul < 1 || mul > 2 || lo > 1 || s->grid[2] - hi > 1 ||
	    lo >= hi || j->ch * sizeof(real) % ALIKE == 0 || !onx_slide_in(s, 2, 0, 1) ||
	    !onx_slide_in(s, 2, s->grid[2] - 1, 1))
		return false;
	k[2][0] = 0;
	k[2][1] = 3;
	if (!spans(j, phase, im, k, o, 0, &to) || to.spans < 1 || to.spans > 3)
		return false;
	to.count = s->grid[2];
	to.first = lo;
	to.end = s->grid[2] - hi;
	to.z = z;
	to.y = y;
	j->ways->row[mul - 1][to.spans - 1](&to);
	return true;
}

/* The same for any window, in strips and single pixels. */
static void row_in_strips(const job *j, size_t phase, const image *im, size_t (*k)[2], size_t *o, size_t lo,
			  size_t hi, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t ch = j->ch, pitch = s->step[2] * ch, most = ch - ch % j->ways->line;
	const bool edged = edges(j, phase);
	size_t n;

	for (; edged && o[2] < lo; o[2] += STRIP)
		edge(j, phase, im, k, o, z, y);
	if (!edged)
		pixels(j, phase, im, k, o, lo, 0, z, y);
	lo = o[2];
	n = strips(j, phase, im, k, o, hi, z ? z + lo * pitch : NULL, y + lo * pitch);
	for (o[2] += n; edged && o[2] < s->grid[2]; o[2] += STRIP)
		edge(j, phase, im, k, o, z, y);
	if (!edged)
		pixels(j, phase, im, k, o, s->grid[2], 0, z, y);
	o[2] = edged ? 0 : lo;
	if (most < ch)
		pixels(j, phase, im, k, o, edged ? s->grid[2] : lo + n, most, z, y);
}

/* Row r of the grid of a phase; y and z stand at its first pixel. */
static void row(const job *j, size_t phase, size_t r, const image *im, const real *z, real *y)
{
	const struct onx_slide *s = &j->s[phase];
	const size_t ch = j->ch, pitch = s->step[2] * ch, most = ch - ch % j->ways->line;
	size_t o[3] = { r / s->grid[1] % s->grid[0], r % s->grid[1], 0 }, k[3][2], lo, hi;

	onx_slide_taps(s, 0, o[0], &k[0][0], &k[0][1]);
	onx_slide_taps(s, 1, o[1], &k[1][0], &k[1][1]);
	middle(s, &lo, &hi);
	if (!whole_row(j, phase, im, k, o, lo, hi, z, y))
		row_in_strips(j, phase, im, k, o, lo, hi, z, y);
	else if (most < ch)
		pixels(j, phase, im, k, o, s->grid[2], most, z, y);
	if (j->clamp || j->end->f.kind == ONX_FUSE_NONE)
		return;
	if (pitch == ch)
		finish(&j->end->f, y, s->grid[2] * ch);
	else
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

void onx_dw_ready(job *j, size_t n)
{
	const size_t *dst = j->s[0].dst, *src = j->s[0].src;
	const struct onx_fuse *f = &j->end->f;

	j->rows = n * dst[0] * dst[1];
	j->ways = ways_of(onx_isa());
	j->near = n * src[0] * src[1] * src[2] * j->ch * sizeof(real) <= ONX_DW_NEAR;
	j->clamp = f->kind == ONX_FUSE_RELU || f->kind == ONX_FUSE_CLIP;
	j->lo = f->kind == ONX_FUSE_CLIP ? (real)f->a : 0;
	j->hi = f->kind == ONX_FUSE_CLIP ? (real)f->b : (real)INFINITY;
	j->far = onx_is_far(j->rows * dst[2] * j->ch) && (j->clamp || f->kind == ONX_FUSE_NONE) && j->end->z != j->y &&
		 j->ch % j->ways->line == 0 && (uintptr_t)j->y % (j->ways->line * sizeof(real)) == 0;
}
