#include "data/resample.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"

enum { PRECISION = 32 - 8 - 2 };        /* a sum of weights times 255 stays inside an int32 */

/* For each output pixel: the first input pixel it looks at, how many, and their weights. */
struct taps {
	int most;
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
static void taps_fill(struct taps *t, int i, int from, double scale, double *w)
{
	double wide = scale < 1 ? 1 : scale, centre = (i + 0.5) * scale, sum = 0;
	int lo = (int)(centre - wide + 0.5), hi = (int)(centre + wide + 0.5);
	int32_t *to = t->weight + (size_t)i * (size_t)t->most;

	lo = lo < 0 ? 0 : lo;
	hi = hi > from ? from : hi;
	for (int x = lo; x < hi; x++) {
		double d = fabs((x - centre + 0.5) * (1 / wide));

		w[x - lo] = d < 1 ? 1 - d : 0;
		sum += w[x - lo];
	}
	for (int k = 0; k < hi - lo; k++)
		to[k] = (int32_t)(0.5 + (sum > 0 ? w[k] * (1 / sum) : w[k]) * (1 << PRECISION));
	t->first[i] = lo;
	t->count[i] = hi - lo;
}

static int taps_init(struct taps *t, int from, int to, struct onx_err *e)
{
	double scale = (double)from / to, *w;

	t->most = (int)ceil(scale < 1 ? 1 : scale) * 2 + 1;
	t->first = onx_heap((size_t)to, sizeof(int));
	t->count = onx_heap((size_t)to, sizeof(int));
	t->weight = onx_heap((size_t)to * (size_t)t->most, sizeof(int32_t));
	w = onx_heap((size_t)t->most, sizeof(double));
	if (!t->first || !t->count || !t->weight || !w) {
		onx_heap_free(w);
		return onx_nomem(e, (double)to * t->most * 4, "resizing a picture");
	}
	for (int i = 0; i < to; i++)
		taps_fill(t, i, from, scale, w);
	onx_heap_free(w);
	return ONX_OK;
}

static uint8_t clip8(int32_t v)
{
	v >>= PRECISION;
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One row of w output pixels from a row of input pixels. */
static void row_grey(const uint8_t *in, uint8_t *out, int w, const struct taps *t)
{
	for (int x = 0; x < w; x++) {
		const int32_t *k = t->weight + (size_t)x * (size_t)t->most;
		const uint8_t *p = in + t->first[x];
		int32_t s = 1 << (PRECISION - 1);

		for (int i = 0; i < t->count[x]; i++)
			s += p[i] * k[i];
		out[x] = clip8(s);
	}
}

static void row_rgb(const uint8_t *in, uint8_t *out, int w, const struct taps *t)
{
	for (int x = 0; x < w; x++, out += 3) {
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

/* Columns: whole rows at a time, so that the inner loop runs along memory. */
static void columns(const struct onx_image *in, struct onx_image *out, const struct taps *t,
		    int32_t *sum)
{
	size_t line = (size_t)in->w * (size_t)in->c;

	for (int y = 0; y < out->h; y++) {
		const int32_t *k = t->weight + (size_t)y * (size_t)t->most;
		const uint8_t *p = in->px + (size_t)t->first[y] * line;
		uint8_t *to = out->px + (size_t)y * line;

		for (size_t i = 0; i < line; i++)
			sum[i] = 1 << (PRECISION - 1);
		for (int r = 0; r < t->count[y]; r++, p += line)
			for (size_t i = 0; i < line; i++)
				sum[i] += p[i] * k[r];
		for (size_t i = 0; i < line; i++)
			to[i] = clip8(sum[i]);
	}
}

static int resize_rows(const struct onx_image *src, const struct onx_box *b, int w,
		       struct onx_image *out, struct onx_err *e)
{
	struct taps t = { 0 };
	size_t line = (size_t)src->w * (size_t)src->c;
	int rc = onx_image_new(w, b->h, src->c, out, e);

	if (rc == ONX_OK)
		rc = taps_init(&t, b->w, w, e);
	for (int y = 0; rc == ONX_OK && y < b->h; y++) {
		const uint8_t *in = src->px + (size_t)(b->y + y) * line + (size_t)b->x * (size_t)src->c;
		uint8_t *to = out->px + (size_t)y * (size_t)w * (size_t)src->c;

		if (src->c == 1)
			row_grey(in, to, w, &t);
		else
			row_rgb(in, to, w, &t);
	}
	taps_release(&t);
	if (rc < 0)
		onx_image_release(out);
	return rc;
}

static int resize_columns(const struct onx_image *src, int h, struct onx_image *out,
			  struct onx_err *e)
{
	struct taps t = { 0 };
	int32_t *sum = NULL;
	int rc = onx_image_new(src->w, h, src->c, out, e);

	if (rc == ONX_OK)
		rc = taps_init(&t, src->h, h, e);
	if (rc == ONX_OK) {
		sum = onx_heap((size_t)src->w * (size_t)src->c, sizeof(*sum));
		if (!sum)
			rc = onx_nomem(e, 4.0 * src->w * src->c, "resizing a picture");
	}
	if (rc == ONX_OK)
		columns(src, out, &t, sum);
	onx_heap_free(sum);
	taps_release(&t);
	if (rc < 0)
		onx_image_release(out);
	return rc;
}

int onx_resample(const struct onx_image *src, const struct onx_box *box, int w, int h,
		 struct onx_image *out, struct onx_err *e)
{
	struct onx_box all = { 0, 0, src->w, src->h };
	struct onx_image half;
	int rc;

	box = box ? box : &all;
	assert(src->c == 1 || src->c == 3);
	assert(box->x >= 0 && box->y >= 0 && box->w > 0 && box->h > 0);
	assert(box->x + box->w <= src->w && box->y + box->h <= src->h);
	if (box->w == w && box->h == h)
		return onx_crop(src, box, 0, out, e);
	rc = resize_rows(src, box, w, &half, e);
	if (rc < 0)
		return rc;
	if (half.h == h) {
		*out = half;
		return ONX_OK;
	}
	rc = resize_columns(&half, h, out, e);
	onx_image_release(&half);
	return rc;
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
