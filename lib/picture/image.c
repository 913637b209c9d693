#include "picture/image.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/io.h"
#include "picture/codec_i.h"

static bool is_jpeg(const uint8_t *d, size_t n)
{
	return n >= 3 && d[0] == 0xff && d[1] == 0xd8 && d[2] == 0xff;
}

static bool is_png(const uint8_t *d, size_t n)
{
	return n >= 8 && memcmp(d, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_webp(const uint8_t *d, size_t n)
{
	return n >= 12 && memcmp(d, "RIFF", 4) == 0 && memcmp(d + 8, "WEBP", 4) == 0;
}

static bool is_bmp(const uint8_t *d, size_t n)
{
	return n >= 2 && d[0] == 'B' && d[1] == 'M';
}

static bool is_pnm(const uint8_t *d, size_t n)
{
	return n >= 3 && d[0] == 'P' && d[1] >= '1' && d[1] <= '6' && isspace(d[2]);
}

static bool is_tiff(const uint8_t *d, size_t n)
{
	return n >= 4 && (memcmp(d, "II*\0", 4) == 0 || memcmp(d, "MM\0*", 4) == 0);
}

static const struct codec {
	const char *name;
	const char *ending[4];
	bool (*is)(const uint8_t *d, size_t n);
	onx_codec_fn *decode;
} codecs[] = {
	{ "JPEG", { ".jpg", ".jpeg" }, is_jpeg, onx_jpeg_decode },
	{ "PNG", { ".png" }, is_png, onx_png_decode },
	{ "WebP", { ".webp" }, is_webp, onx_webp_decode },
	{ "BMP", { ".bmp" }, is_bmp, onx_bmp_decode },
	{ "PNM", { ".pnm", ".ppm", ".pgm", ".pbm" }, is_pnm, onx_pnm_decode },
	{ "TIFF", { ".tif", ".tiff" }, is_tiff, onx_tiff_decode },
	{ .name = NULL }
};

static const struct codec *find_codec(const void *data, size_t n)
{
	const struct codec *c;

	for (c = codecs; c->name; c++)
		if (c->is(data, n))
			return c;
	return NULL;
}

const char *onx_image_kind(const void *data, size_t n)
{
	const struct codec *c = find_codec(data, n);

	return c ? c->name : NULL;
}

bool onx_image_named(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (!dot)
		return false;
	for (const struct codec *c = codecs; c->name; c++)
		for (int i = 0; i < 4; i++)
			if (c->ending[i] && strcasecmp(dot, c->ending[i]) == 0)
				return true;
	return false;
}

void onx_image_endings(char *to, size_t n)
{
	const char *last = NULL;
	size_t at = 0;

	for (const struct codec *c = codecs; c->name; c++)
		for (int i = 0; i < 4 && c->ending[i]; i++) {
			if (last && at < n)
				at += (size_t)snprintf(to + at, n - at, "%s%s", at ? ", " : "", last);
			last = c->ending[i];
		}
	if (at < n)
		snprintf(to + at, n - at, " or %s", last);
}

int onx_image_bound(uint64_t w, uint64_t h, const char *what, struct onx_err *e)
{
	if (w < 1 || h < 1 || w > ONX_SIDE_MAX || h > ONX_SIDE_MAX || w * h > ONX_PIXELS_MAX)
		return onx_fail(e, ONX_UNSUP, "'%s': a picture of %" PRIu64 "x%" PRIu64
				" pixels, wanted at most %d on a side and %ld in all", what, w, h,
				ONX_SIDE_MAX, ONX_PIXELS_MAX);
	return ONX_OK;
}

int onx_image_new(int w, int h, int c, struct onx_image *out, struct onx_err *e)
{
	memset(out, 0, sizeof(*out));
	if (w < 1 || h < 1 || w > ONX_SIDE_MAX || h > ONX_SIDE_MAX)
		return onx_fail(e, ONX_SHAPE, "a picture of %dx%d pixels", w, h);
	out->px = onx_heap((size_t)w * (size_t)h, (size_t)c);
	if (!out->px)
		return onx_nomem(e, (double)w * h * c, "a picture");
	out->w = w;
	out->h = h;
	out->c = c;
	return ONX_OK;
}

void onx_image_release(struct onx_image *m)
{
	onx_heap_free(m->px);
	memset(m, 0, sizeof(*m));
}

int onx_image_channels(struct onx_image *m, int c, struct onx_err *e)
{
	struct onx_image to;
	size_t n = (size_t)m->w * (size_t)m->h;
	int rc;

	if (m->c == c)
		return ONX_OK;
	if (c != 1 && c != 3)
		return onx_fail(e, ONX_SHAPE, "a picture of %d channels, wanted 1 or 3", c);
	rc = onx_image_new(m->w, m->h, c, &to, e);
	if (rc < 0)
		return rc;
	if (c == 1)
		for (size_t i = 0; i < n; i++)
			to.px[i] = onx_luma(m->px[3 * i], m->px[3 * i + 1], m->px[3 * i + 2]);
	else
		for (size_t i = 0; i < n; i++)
			memset(to.px + 3 * i, m->px[i], 3);
	onx_image_release(m);
	*m = to;
	return ONX_OK;
}

/* EXIF orientation: which corner the first row and the first column of the stored picture stand for.
 * Output pixel (x, y) comes from stored (sx, sy); 5 to 8 swap the axes. */
static int make_upright(struct onx_image *m, int orientation, struct onx_err *e)
{
	bool swap = orientation >= 5;
	bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
	bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
	struct onx_image to;
	size_t c = (size_t)m->c;
	int rc;

	if (orientation == 1)
		return ONX_OK;
	rc = onx_image_new(swap ? m->h : m->w, swap ? m->w : m->h, m->c, &to, e);
	if (rc < 0)
		return rc;
	for (int y = 0; y < to.h; y++)
		for (int x = 0; x < to.w; x++) {
			int sx = swap ? y : x, sy = swap ? x : y;

			sx = mirror_x ? m->w - 1 - sx : sx;
			sy = mirror_y ? m->h - 1 - sy : sy;
			memcpy(to.px + ((size_t)y * (size_t)to.w + (size_t)x) * c,
			       m->px + ((size_t)sy * (size_t)m->w + (size_t)sx) * c, c);
		}
	onx_image_release(m);
	*m = to;
	return ONX_OK;
}

/* Formats that are known and not decoded. */
static const char *other(const uint8_t *d, size_t n)
{
	if (n >= 4 && (memcmp(d, "II+\0", 4) == 0 || memcmp(d, "MM\0+", 4) == 0))
		return "BigTIFF";
	if (n >= 12 && (memcmp(d, "\0\0\0\x0cjP  \r\n\x87\n", 12) == 0 || memcmp(d, "\xff\x4f\xff\x51", 4) == 0))
		return "JPEG 2000";
	return NULL;
}

int onx_image_decode(const void *data, size_t n, const char *what, const struct onx_decode *o,
		     struct onx_image *out, struct onx_err *e)
{
	static const struct onx_decode plain = { .channels = 0 };
	const struct codec *c = find_codec(data, n);
	int orientation = 1, rc;

	memset(out, 0, sizeof(*out));
	o = o ? o : &plain;
	if (n == 0)
		return onx_fail(e, ONX_FORMAT, "'%s' is empty", what);
	if (!c && other(data, n))
		return onx_fail(e, ONX_UNSUP, "'%s' is a %s picture, wanted JPEG, PNG, WebP, BMP, PNM or TIFF", what,
				other(data, n));
	if (!c)
		return onx_fail(e, ONX_FORMAT, "'%s' is not a JPEG, PNG, WebP, BMP, PNM or TIFF picture", what);
	rc = c->decode(data, n, what, o, out, &orientation, e);
	if (rc < 0)
		return rc;
	rc = o->channels ? onx_image_channels(out, o->channels, e) : ONX_OK;
	if (rc == ONX_OK && !o->lying)
		rc = make_upright(out, orientation, e);
	if (rc < 0) {
		onx_image_release(out);
		return onx_while(e, rc, "decoding '%s'", what);
	}
	return ONX_OK;
}

int onx_image_read(const char *path, const struct onx_decode *o, struct onx_image *out,
		   struct onx_err *e)
{
	struct onx_bytes b = { 0 };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = onx_read(path, SIZE_MAX, &b, e);
	if (rc < 0)
		return rc;
	rc = onx_image_decode(b.data, b.len, path, o, out, e);
	onx_bytes_release(&b);
	return rc;
}
