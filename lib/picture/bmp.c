/* BMP: palettes of 1, 4 and 8 bits, 16, 24 and 32 bits, rows bottom up or top down, not compressed. */
#include <string.h>

#include "picture/codec_i.h"

struct bmp {
	const uint8_t *d, *palette, *rows;
	int64_t w, h;                   /* h as in the file: below 0 the rows go down */
	uint32_t bits, colours, mask[3];
	size_t entry, step;             /* bytes of a colour of the palette, of a row */
};

static uint32_t le16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}
static uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static int cut_off(const char *what, struct onx_err *e)
{
	return onx_fail(e, ONX_FORMAT, "'%s': the BMP data is cut off", what);
}

/* The header: sizes, kind, masks. */
static int read_header(struct bmp *b, size_t n, uint32_t *head, const char *what, struct onx_err *e)
{
	static const uint32_t masks16[3] = { 0x7c00, 0x3e0, 0x1f }, masks32[3] = { 0xff0000, 0xff00, 0xff };
	uint32_t packing = 0;

	if (n < 26)
		return cut_off(what, e);
	*head = le32(b->d + 14);
	const bool old = *head == 12;
	if ((!old && *head < 40) || *head > n - 14)
		return onx_fail(e, ONX_FORMAT, "'%s': the BMP header is damaged", what);
	b->w = old ? (int64_t)le16(b->d + 18) : (int32_t)le32(b->d + 18);
	b->h = old ? (int64_t)le16(b->d + 20) : (int32_t)le32(b->d + 22);
	b->bits = le16(b->d + (old ? 24 : 28));
	b->entry = old ? 3 : 4;
	if (!old) {
		packing = le32(b->d + 30);
		b->colours = le32(b->d + 46);
	}
	memcpy(b->mask, b->bits == 16 ? masks16 : masks32, sizeof b->mask);
	if (packing == 3 && n >= 66 && (b->bits == 16 || b->bits == 32)) {
		for (int k = 0; k < 3; k++)
			b->mask[k] = le32(b->d + 54 + 4 * k);
		*head += *head == 40 ? 12 : 0;
	} else if (packing != 0) {
		return onx_fail(e, ONX_UNSUP, "'%s': a BMP that is compressed (way %u)", what, (unsigned)packing);
	}
	return ONX_OK;
}

static int open_bmp(struct bmp *b, size_t n, const char *what, struct onx_err *e)
{
	uint32_t head = 0;
	int rc = read_header(b, n, &head, what, e);

	if (rc < 0)
		return rc;
	const uint32_t k = b->bits;
	if (k != 1 && k != 4 && k != 8 && k != 16 && k != 24 && k != 32)
		return onx_fail(e, ONX_FORMAT, "'%s': a BMP of %u bits", what, (unsigned)k);
	if ((rc = onx_image_bound((uint64_t)b->w, (uint64_t)(b->h < 0 ? -b->h : b->h), what, e)) < 0)
		return rc;
	const size_t at = le32(b->d + 10), h = (size_t)(b->h < 0 ? -b->h : b->h);
	b->step = ((size_t)b->w * k + 31) / 32 * 4;
	if (k <= 8 && (b->colours == 0 || b->colours > 1u << k))
		b->colours = 1u << k;
	b->palette = b->d + 14 + head;
	b->rows = b->d + at;
	if (at > n || b->step * h > n - at || (k <= 8 && 14 + (size_t)head + b->entry * b->colours > n))
		return cut_off(what, e);
	return ONX_OK;
}

/* The bits of a mask as 0..255. */
static uint8_t part(uint32_t v, uint32_t mask)
{
	if (mask == 0)
		return 0;
	const int shift = __builtin_ctz(mask);
	const uint64_t most = mask >> shift, x = (v & mask) >> shift;

	return (uint8_t)((x * 255 + most / 2) / most);
}

static void pixel(const struct bmp *b, const uint8_t *row, size_t x, uint8_t *to)
{
	if (b->bits <= 8) {
		const uint32_t per = 8 / b->bits, low = 8 - b->bits * (uint32_t)(1 + x % per);
		const uint32_t i = row[x / per] >> low & ((1u << b->bits) - 1);
		const uint8_t *c = b->palette + b->entry * i;

		for (int k = 0; k < 3; k++)
			to[k] = i < b->colours ? c[2 - k] : 0;
	} else if (b->bits == 24) {
		for (int k = 0; k < 3; k++)
			to[k] = row[3 * x + 2 - (size_t)k];
	} else {
		const uint32_t v = b->bits == 16 ? le16(row + 2 * x) : le32(row + 4 * x);

		for (int k = 0; k < 3; k++)
			to[k] = part(v, b->mask[k]);
	}
}

int onx_bmp_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		   struct onx_image *out, int *orientation, struct onx_err *e)
{
	struct bmp b = { .d = data };
	int rc = open_bmp(&b, n, what, e);

	(void)o, (void)orientation;
	if (rc < 0)
		return rc;
	const size_t w = (size_t)b.w, h = (size_t)(b.h < 0 ? -b.h : b.h);
	if ((rc = onx_image_new((int)w, (int)h, 3, out, e)) < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	for (size_t y = 0; y < h; y++)
		for (size_t x = 0; x < w; x++)
			pixel(&b, b.rows + b.step * (b.h < 0 ? y : h - 1 - y), x, out->px + 3 * (y * w + x));
	return ONX_OK;
}
