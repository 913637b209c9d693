#include "data/resample.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "kernel/cpu.h"

enum {
	PRECISION = 32 - 8 - 2,         /* a sum of weights times 255 stays inside an int32 */
	ROWS = 8,                       /* resized together horizontally                    */
	STRETCH = 32                    /* bytes of a row summed together vertically        */
};

/* For each output pixel of a stretch: the first input pixel it looks at, how many, their weights. */
struct taps {
	int most, n;
	int *first, *count;
	int32_t *weight;                /* most for each output pixel */
};

static void taps_release(struct taps *t)
{
	onx_heap_free(t->first);
	onx_heap_free(t->count);
	onx_heap_free(t->weight);
}

/* The weights of output pixel i, normalised in double and then rounded, as Pillow does. */
static void taps_fill(struct taps *t, int at, int i, int from, double scale, double *w)
{
	double wide = scale < 1 ? 1 : scale, centre = (i + 0.5) * scale, sum = 0;
	int lo = (int)(centre - wide + 0.5), hi = (int)(centre + wide + 0.5);
	int32_t *to = t->weight + (size_t)at * (size_t)t->most;

	lo = lo < 0 ? 0 : lo;
	hi = hi > from ? from : hi;
	for (int x = lo; x < hi; x++) {
		double d = fabs((x - centre + 0.5) * (1 / wide));

		w[x - lo] = d < 1 ? 1 - d : 0;
		sum += w[x - lo];
	}
	for (int k = 0; k < hi - lo; k++)
		to[k] = (int32_t)(0.5 + (sum > 0 ? w[k] * (1 / sum) : w[k]) * (1 << PRECISION));
	t->first[at] = lo;
	t->count[at] = hi - lo;
}

/* `from` pixels become `to`, of which [lo, lo + n) are wanted. */
static int taps_init(struct taps *t, int from, int to, int lo, int n, struct onx_err *e)
{
	double scale = (double)from / to, *w;

	t->n = n;
	t->most = (int)ceil(scale < 1 ? 1 : scale) * 2 + 1;
	t->first = onx_heap((size_t)n, sizeof(int));
	t->count = onx_heap((size_t)n, sizeof(int));
	t->weight = onx_heap((size_t)n * (size_t)t->most, sizeof(int32_t));
	w = onx_heap((size_t)t->most, sizeof(double));
	if (!t->first || !t->count || !t->weight || !w) {
		onx_heap_free(w);
		return onx_nomem(e, (double)n * t->most * 4, "resizing a picture");
	}
	for (int i = 0; i < n; i++)
		taps_fill(t, i, lo + i, from, scale, w);
	onx_heap_free(w);
	return ONX_OK;
}

ONX_INLINE uint8_t clip8(int32_t v)
{
	v >>= PRECISION;
	return (uint8_t)(v > 255 ? 255 : v);    /* weights are not negative */
}

static void row_grey(const uint8_t *in, uint8_t *out, const struct taps *t)
{
	for (int x = 0; x < t->n; x++) {
		const int32_t *k = t->weight + (size_t)x * (size_t)t->most;
		const uint8_t *p = in + t->first[x];
		int32_t s = 1 << (PRECISION - 1);

		for (int i = 0; i < t->count[x]; i++)
			s += p[i] * k[i];
		out[x] = clip8(s);
	}
}

static void row_rgb(const uint8_t *in, uint8_t *out, const struct taps *t)
{
	for (int x = 0; x < t->n; x++, out += 3) {
		const int32_t *k = t->weight + (size_t)x * (size_t)t->most;
		const uint8_t *p = in + 3 * (size_t)t->first[x];
		int32_t r = 1 << (PRECISION - 1), g = r, b = r;

		for (int i = 0; i < t->count[x]; i++, p += 3) {
			r += p[0] * k[i];
			g += p[1] * k[i];
			b += p[2] * k[i];
		}
		out[0] = clip8(r);
		out[1] = clip8(g);
		out[2] = clip8(b);
	}
}

typedef uint32_t words __attribute__((vector_size(4 * ROWS)));
typedef int32_t lanes __attribute__((vector_size(4 * ROWS)));

ONX_INLINE void clip_lanes(lanes *sum)
{
	lanes most;

	*sum >>= PRECISION;
	most = *sum > 255;
	*sum = (*sum & ~most) | (most & 255);
}

/* The same for eight rows at a time: first all their pixels from `lo` on, one of each row to a
 * vector, as words of four bytes of which the last is the next pixel's and not used (so one byte
 * after each row is read); then every output pixel from those.  column: room for src->w words. */
ONX_CLONES static void rows_rgb(const uint8_t *in, size_t in_line, uint8_t *out, size_t out_line,
				const struct taps *t, words *column)
{
	const int lo = t->first[0], hi = t->first[t->n - 1] + t->count[t->n - 1];

	for (int x = lo; x < hi; x++) {
		uint32_t px[ROWS];

		ONX_UNROLL
		for (size_t r = 0; r < ROWS; r++)
			memcpy(&px[r], in + r * in_line + 3 * (size_t)x, 4);
		column[x - lo] = (words){ px[0], px[1], px[2], px[3], px[4], px[5], px[6], px[7] };
	}
	for (int x = 0; x < t->n; x++, out += 3) {
		const int32_t *k = t->weight + (size_t)x * (size_t)t->most;
		const words *p = column + (t->first[x] - lo);
		lanes red = { 0 }, green, blue, rgb;

		red += 1 << (PRECISION - 1);
		green = blue = red;
		for (int i = 0; i < t->count[x]; i++) {
			red += (lanes)(p[i] & 255) * k[i];
			green += (lanes)(p[i] >> 8 & 255) * k[i];
			blue += (lanes)(p[i] >> 16 & 255) * k[i];
		}
		clip_lanes(&red);
		clip_lanes(&green);
		clip_lanes(&blue);
		rgb = red | green << 8 | blue << 16;
		ONX_UNROLL
		for (size_t r = 0; r < ROWS; r++) {
			const uint32_t px = (uint32_t)rgb[r];

			out[r * out_line] = (uint8_t)px;
			out[r * out_line + 1] = (uint8_t)(px >> 8);
			out[r * out_line + 2] = (uint8_t)(px >> 16);
		}
	}
}

/* Columns: stretches of a row at a time, their sums in registers. */
ONX_CLONES static void columns(const struct onx_image *in, int skip, struct onx_image *out,
			       const struct taps *t)
{
	size_t line = (size_t)in->w * (size_t)in->c;

	for (int y = 0; y < out->h; y++) {
		const int32_t *k = t->weight + (size_t)y * (size_t)t->most;
		const uint8_t *from = in->px + (size_t)(t->first[y] - skip) * line;
		uint8_t *to = out->px + (size_t)y * line;
		size_t i = 0;

		for (; i + STRETCH <= line; i += STRETCH) {
			const uint8_t *p = from + i;
			int32_t sum[STRETCH];

			for (size_t l = 0; l < STRETCH; l++)
				sum[l] = 1 << (PRECISION - 1);
			for (int r = 0; r < t->count[y]; r++, p += line)
				for (size_t l = 0; l < STRETCH; l++)
					sum[l] += p[l] * k[r];
			for (size_t l = 0; l < STRETCH; l++)
				to[i + l] = clip8(sum[l]);
		}
		for (; i < line; i++) {
			int32_t sum = 1 << (PRECISION - 1);

			for (int r = 0; r < t->count[y]; r++)
				sum += from[(size_t)r * line + i] * k[r];
			to[i] = clip8(sum);
		}
	}
}

/* Rows [y, y + out->h) of the source, whose first pixel is at x. */
static void rows(const struct onx_image *src, int x, int y, struct onx_image *out, const struct taps *t,
		 words *column)
{
	const size_t line = (size_t)src->w * (size_t)src->c, to_line = (size_t)out->w * (size_t)src->c;
	const uint8_t *in = src->px + (size_t)y * line + (size_t)x * (size_t)src->c;
	uint8_t *to = out->px;
	int r = 0;

	/* Not with the picture's last row: nothing may be read after it. */
	for (; src->c == 3 && r + ROWS <= out->h && y + r + ROWS < src->h; r += ROWS) {
		rows_rgb(in, line, to, to_line, t, column);
		in += ROWS * line;
		to += ROWS * to_line;
	}
	for (; r < out->h; r++, in += line, to += to_line)
		if (src->c == 1)
			row_grey(in, to, t);
		else
			row_rgb(in, to, t);
}

int onx_resample_part(const struct onx_image *src, const struct onx_box *box, int w, int h,
		      const struct onx_box *part, struct onx_image *out, struct onx_err *e)
{
	struct onx_image half = { 0 };
	struct taps across = { 0 }, down = { 0 };
	words *column = onx_heap((size_t)box->w, sizeof(*column));
	int lo, hi, rc;

	if (!column)
		return onx_nomem(e, (double)box->w * sizeof(*column), "resizing a picture");
	rc = taps_init(&across, box->w, w, part->x, part->w, e);
	if (rc == ONX_OK)
		rc = taps_init(&down, box->h, h, part->y, part->h, e);
	if (rc == ONX_OK) {
		lo = down.first[0];
		hi = down.first[part->h - 1] + down.count[part->h - 1];
		rc = onx_image_new(part->w, hi - lo, src->c, &half, e);
	}
	if (rc == ONX_OK) {
		rows(src, box->x, box->y + lo, &half, &across, column);
		rc = onx_image_new(part->w, part->h, src->c, out, e);
	}
	if (rc == ONX_OK)
		columns(&half, lo, out, &down);
	onx_heap_free(column);
	onx_image_release(&half);
	taps_release(&across);
	taps_release(&down);
	return rc;
}

int onx_resample(const struct onx_image *src, const struct onx_box *box, int w, int h,
		 struct onx_image *out, struct onx_err *e)
{
	const struct onx_box all = { 0, 0, src->w, src->h }, whole = { 0, 0, w, h };

	box = box ? box : &all;
	assert(src->c == 1 || src->c == 3);
	assert(box->x >= 0 && box->y >= 0 && box->w > 0 && box->h > 0);
	assert(box->x + box->w <= src->w && box->y + box->h <= src->h);
	if (box->w == w && box->h == h)
		return onx_crop(src, box, 0, out, e);
	return onx_resample_part(src, box, w, h, &whole, out, e);
}

int onx_crop(const struct onx_image *src, const struct onx_box *box, uint8_t fill,
	     struct onx_image *out, struct onx_err *e)
{
	int x0 = box->x > 0 ? box->x : 0, y0 = box->y > 0 ? box->y : 0;
	int x1 = box->x + box->w < src->w ? box->x + box->w : src->w;
	int y1 = box->y + box->h < src->h ? box->y + box->h : src->h;
	size_t c = (size_t)src->c;
	int rc = onx_image_new(box->w, box->h, src->c, out, e);

	if (rc < 0)
		return rc;
	if (fill && (x1 - x0 < box->w || y1 - y0 < box->h))
		memset(out->px, fill, (size_t)box->w * (size_t)box->h * c);
	for (int y = y0; y < y1 && x1 > x0; y++)
		memcpy(out->px + ((size_t)(y - box->y) * (size_t)box->w + (size_t)(x0 - box->x)) * c,
		       src->px + ((size_t)y * (size_t)src->w + (size_t)x0) * c,
		       (size_t)(x1 - x0) * c);
	return ONX_OK;
}

/* Half of a difference, rounded to even as Python's round(). */
static int half_even(int d)
{
	return (int)nearbyint(d / 2.0);
}

struct onx_box onx_centre(int W, int H, int w, int h)
{
	struct onx_box b = { .w = w, .h = h };

	/* Where the picture is too small torchvision first pads (w - W) / 2 on the left and top. */
	b.x = W >= w ? half_even(W - w) : -((w - W) / 2);
	b.y = H >= h ? half_even(H - h) : -((h - H) / 2);
	return b;
}
