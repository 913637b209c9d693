/* TIFF: the first picture of a file, in strips or tiles; grey, RGB or a palette, of 1, 2, 4, 8 or 16 bits, samples of a
 * pixel together or in planes; packed as tiff.h says.  Alpha is dropped, of 16 bits the high byte is kept.  JPEG in
 * TIFF, YCbCr, CMYK, floats and BigTIFF are refused by name. */
#include <string.h>

#include "base/arena.h"
#include "picture/codec_i.h"
#include "picture/tiff.h"

enum { WIDTH = 256, HEIGHT = 257, BITS = 258, WAY = 259, COLOURS = 262, FILL = 266, STRIPS = 273, TURN = 274,
       SAMPLES = 277, STRIP_ROWS = 278, STRIP_BYTES = 279, PLANES = 284, PREDICTOR = 317, PALETTE = 320,
       TILE_W = 322, TILE_H = 323, TILES = 324, TILE_BYTES = 325, KIND = 339 };
enum { WHITE_IS_0, BLACK_IS_0, RGB, INDEX };

/* An entry of the directory: count numbers of 1, 2 or 4 bytes at `at`. */
struct list { const uint8_t *at; uint32_t n, size; };
struct tiff {
	const uint8_t *d; size_t n;
	bool big;                       /* the high byte first                               */
	bool broken;                    /* a tag that was asked for makes no sense           */
	const char *what;
	const uint8_t *entries; uint32_t n_entry;
	struct list where, bytes, palette;
	uint32_t w, h, bits, samples, colours, predictor, way;
	uint32_t cw, ch;                /* of a strip or tile                                */
	bool planes, tiled;
	uint8_t *chunk;                 /* one of them, unpacked                             */
	uint8_t *px; size_t c;          /* to: c samples a pixel, 8 bits                     */
};

static uint32_t get16(const struct tiff *t, const uint8_t *p)
{
	return t->big ? (uint32_t)p[0] << 8 | p[1] : p[0] | (uint32_t)p[1] << 8;
}
static uint32_t get32(const struct tiff *t, const uint8_t *p)
{
	return t->big ? get16(t, p) << 16 | get16(t, p + 2) : get16(t, p) | get16(t, p + 2) << 16;
}

static int cut_off(const struct tiff *t, struct onx_err *e)
{
	return onx_fail(e, ONX_FORMAT, "'%s': the TIFF data is cut off", t->what);
}

/* The numbers of a tag; n == 0: it is not there. */
static struct list find(struct tiff *t, uint32_t tag)
{
	static const uint32_t sizes[] = { 0, 1, 0, 2, 4 };      /* BYTE, -, SHORT, LONG */

	for (uint32_t i = 0; i < t->n_entry; i++) {
		const uint8_t *p = t->entries + 12 * (size_t)i;
		const uint32_t type = get16(t, p + 2), count = get32(t, p + 4);
		const uint32_t size = type < 5 ? sizes[type] : 0;

		if (get16(t, p) != tag)
			continue;
		if (size && count && (uint64_t)count * size <= 4)
			return (struct list){ p + 8, count, size };
		const uint64_t at = get32(t, p + 8);
		if (size && count && at + (uint64_t)count * size <= t->n)
			return (struct list){ t->d + at, count, size };
		t->broken = true;
	}
	return (struct list){ .n = 0 };
}

static uint32_t number(const struct tiff *t, const struct list *l, uint32_t i)
{
	const uint8_t *p = l->at + (size_t)i * l->size;

	return l->size == 1 ? *p : l->size == 2 ? get16(t, p) : get32(t, p);
}

static uint32_t one(struct tiff *t, uint32_t tag, uint32_t otherwise)
{
	const struct list l = find(t, tag);

	return l.n ? number(t, &l, 0) : otherwise;
}

static int open_directory(struct tiff *t, struct onx_err *e)
{
	if (t->n < 8)
		return cut_off(t, e);
	t->big = t->d[0] == 'M';
	const uint32_t at = get32(t, t->d + 4);
	if (at > t->n || t->n - at < 2)
		return cut_off(t, e);
	t->n_entry = get16(t, t->d + at);
	t->entries = t->d + at + 2;
	return 12 * (size_t)t->n_entry > t->n - at - 2 ? cut_off(t, e) : ONX_OK;
}

/* What the samples are. */
static int read_kind(struct tiff *t, struct onx_err *e)
{
	const struct list bits = find(t, BITS);

	t->bits = bits.n ? number(t, &bits, 0) : 1;
	t->samples = one(t, SAMPLES, 1);
	t->colours = one(t, COLOURS, BLACK_IS_0);
	t->way = one(t, WAY, ONX_TIFF_PLAIN);
	t->predictor = one(t, PREDICTOR, 1);
	t->planes = one(t, PLANES, 1) == 2 && t->samples > 1;
	t->palette = find(t, PALETTE);
	if (t->broken)
		return cut_off(t, e);
	for (uint32_t i = 1; i < bits.n; i++)
		if (number(t, &bits, i) != t->bits)
			return onx_fail(e, ONX_UNSUP, "'%s': a TIFF whose samples have different sizes", t->what);
	if (t->way != ONX_TIFF_PLAIN && t->way != ONX_TIFF_LZW && t->way != ONX_TIFF_DEFLATE &&
	    t->way != ONX_TIFF_BITS && t->way != ONX_TIFF_OLD_DEFLATE)
		return onx_fail(e, ONX_UNSUP, "'%s': a TIFF packed in way %u, wanted none, LZW, Deflate or PackBits",
				t->what, (unsigned)t->way);
	if (t->colours > INDEX || one(t, KIND, 1) != 1 || one(t, FILL, 1) != 1)
		return onx_fail(e, ONX_UNSUP, "'%s': a TIFF of other colours or numbers, wanted grey, RGB or a "
				"palette of whole numbers", t->what);
	if ((t->bits != 1 && t->bits != 2 && t->bits != 4 && t->bits != 8 && t->bits != 16) || t->samples < 1 ||
	    t->samples > 64 || (t->colours == RGB && t->samples < 3) || (t->colours == INDEX && t->bits > 8))
		return onx_fail(e, ONX_UNSUP, "'%s': a TIFF of %u samples of %u bits", t->what, (unsigned)t->samples,
				(unsigned)t->bits);
	if (t->predictor != 1 && (t->predictor != 2 || t->bits < 8))
		return onx_fail(e, ONX_UNSUP, "'%s': a TIFF with predictor %u", t->what, (unsigned)t->predictor);
	if (t->colours == INDEX && (t->palette.size != 2 || t->palette.n < 3u << t->bits))
		return onx_fail(e, ONX_FORMAT, "'%s': a TIFF without its palette", t->what);
	return ONX_OK;
}

static uint32_t parts(uint32_t all, uint32_t each)
{
	return (all - 1) / each + 1;
}

static int read_layout(struct tiff *t, struct onx_err *e)
{
	t->w = one(t, WIDTH, 0);
	t->h = one(t, HEIGHT, 0);
	int rc = onx_image_bound(t->w, t->h, t->what, e);
	if (rc < 0)
		return rc;
	t->where = find(t, TILES);
	t->tiled = t->where.n > 0;
	t->bytes = find(t, t->tiled ? TILE_BYTES : STRIP_BYTES);
	t->cw = t->tiled ? one(t, TILE_W, 0) : t->w;
	t->ch = t->tiled ? one(t, TILE_H, 0) : one(t, STRIP_ROWS, t->h);
	if (!t->tiled) {
		t->where = find(t, STRIPS);
		t->ch = t->ch > t->h ? t->h : t->ch;
	}
	if (t->cw < 1 || t->ch < 1 || t->cw > ONX_SIDE_MAX || t->ch > ONX_SIDE_MAX)
		return onx_fail(e, ONX_FORMAT, "'%s': the TIFF has strips or tiles of %ux%u", t->what, (unsigned)t->cw,
				(unsigned)t->ch);
	const uint64_t n = (uint64_t)parts(t->w, t->cw) * parts(t->h, t->ch) * (t->planes ? t->samples : 1);
	if (t->broken || t->where.n < n || t->bytes.n < n)
		return cut_off(t, e);
	if (t->tiled)           /* a tile is as large as it says, however small the picture */
		return onx_image_bound(t->cw, t->ch, t->what, e);
	return ONX_OK;
}

/* Sample i of a row, of 1 to 16 bits. */
static uint32_t sample(const struct tiff *t, const uint8_t *row, size_t i)
{
	if (t->bits == 8)
		return row[i];
	if (t->bits == 16)
		return get16(t, row + 2 * i);
	const size_t at = i * t->bits;
	return row[at / 8] >> (8 - t->bits - at % 8) & ((1u << t->bits) - 1);
}

/* Each sample is the difference from the one to its left. */
static void undo_predictor(const struct tiff *t, uint8_t *row, size_t n, size_t step)
{
	for (size_t i = step; i < n; i++) {
		if (t->bits == 8) {
			row[i] = (uint8_t)(row[i] + row[i - step]);
			continue;
		}
		const uint32_t v = get16(t, row + 2 * i) + get16(t, row + 2 * (i - step));
		row[2 * i + (t->big ? 1 : 0)] = (uint8_t)v;
		row[2 * i + (t->big ? 0 : 1)] = (uint8_t)(v >> 8);
	}
}

/* 8 bits of channel k. */
static uint8_t level(const struct tiff *t, uint32_t v, size_t k)
{
	const uint32_t most = (1u << t->bits) - 1;

	if (t->colours == INDEX)
		return (uint8_t)(number(t, &t->palette, (uint32_t)(k << t->bits) + v) >> 8);
	v = t->bits == 16 ? v >> 8 : t->bits == 8 ? v : v * 255 / most;
	return (uint8_t)(t->colours == WHITE_IS_0 ? 255 - v : v);
}

/* A row of a chunk to the pixels from (x, y) on; plane: of that sample alone, `each` samples a pixel. */
static void put_row(const struct tiff *t, const uint8_t *row, uint32_t x, uint32_t y, size_t plane, size_t each)
{
	const uint32_t n = t->w - x < t->cw ? t->w - x : t->cw;
	uint8_t *to = t->px + ((size_t)y * t->w + x) * t->c;

	for (size_t i = 0; i < n; i++, to += t->c)
		for (size_t k = 0; k < t->c; k++)
			if (t->colours == INDEX)
				to[k] = level(t, sample(t, row, i * each), k);
			else if (!t->planes || k == plane)
				to[k] = level(t, sample(t, row, t->planes ? i : i * each + k), k);
}

static int chunk(struct tiff *t, uint32_t i, struct onx_err *e)
{
	const uint32_t across = parts(t->w, t->cw), each_plane = across * parts(t->h, t->ch);
	const size_t plane = i / each_plane, each = t->planes ? 1 : t->samples;
	const uint32_t x = i % each_plane % across * t->cw, y = i % each_plane / across * t->ch;
	const uint32_t rows = t->h - y < t->ch ? t->h - y : t->ch;
	const size_t step = ((size_t)t->cw * each * t->bits + 7) / 8;
	const uint32_t at = number(t, &t->where, i), n = number(t, &t->bytes, i);

	if (t->planes && plane >= t->c)
		return ONX_OK;          /* alpha */
	if (at > t->n || n > t->n - at ||
	    !onx_tiff_unpack(t->way, t->d + at, n, t->chunk, step * (t->tiled ? t->ch : rows)))
		return cut_off(t, e);
	for (uint32_t r = 0; r < rows; r++) {
		uint8_t *row = t->chunk + r * step;
		if (t->predictor == 2)
			undo_predictor(t, row, t->cw * each, each);
		put_row(t, row, x, y + r, plane, each);
	}
	return ONX_OK;
}

int onx_tiff_decode(const uint8_t *data, size_t n, const char *what, const struct onx_decode *o,
		    struct onx_image *out, int *orientation, struct onx_err *e)
{
	struct tiff t = { .d = data, .n = n, .what = what };
	int rc = open_directory(&t, e);

	(void)o;
	if (rc < 0 || (rc = read_kind(&t, e)) < 0 || (rc = read_layout(&t, e)) < 0)
		return rc;
	t.c = t.colours == RGB || t.colours == INDEX ? 3 : 1;
	const size_t step = ((size_t)t.cw * (t.planes ? 1 : t.samples) * t.bits + 7) / 8;
	if ((rc = onx_image_new((int)t.w, (int)t.h, (int)t.c, out, e)) < 0)
		return onx_while(e, rc, "decoding '%s'", what);
	t.px = out->px;
	t.chunk = onx_heap(t.ch, step);
	rc = t.chunk ? ONX_OK : onx_nomem(e, (double)t.ch * (double)step, what);
	const uint32_t count = parts(t.w, t.cw) * parts(t.h, t.ch) * (t.planes ? t.samples : 1);
	for (uint32_t i = 0; rc == ONX_OK && i < count; i++)
		rc = chunk(&t, i, e);
	onx_heap_free(t.chunk);
	if (rc < 0)
		onx_image_release(out);
	const uint32_t turn = one(&t, TURN, 1);
	*orientation = turn >= 1 && turn <= 8 ? (int)turn : 1;
	return rc;
}
