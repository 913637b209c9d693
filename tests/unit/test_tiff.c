/* TIFF byte by byte: both orders of bytes, strips and tiles, planes, depths, packings; cut anywhere, and absurd. */
#include <zlib.h>
#include "unit/unit.h"
#include "base/arena.h"
#include "base/buf.h"
#include "picture/image.h"

enum { ENTRY = 12, MOST = 16 };
struct tag { uint32_t tag, n, v[MOST]; };       /* all are LONG, but the palette's SHORT */
enum { W = 256, H, BITS, WAY, COLOURS = 262, STRIPS = 273, TURN, SAMPLES = 277, ROWS, BYTES, PLANES = 284,
       PREDICTOR = 317, PALETTE = 320, TILE_W = 322, TILE_H, TILES, TILE_BYTES, KIND = 339 };

static void put(struct onx_buf *b, bool big, uint32_t v, int bytes)
{
	for (int k = 0; k < bytes; k++) {
		const uint8_t c = (uint8_t)(v >> 8 * (big ? bytes - 1 - k : k));
		onx_buf_add(b, &c, 1);
	}
}

/* The data from byte 8 on, the directory behind it, and then what does not fit there. */
static struct onx_buf file(bool big, const struct tag *t, size_t n, const void *data, size_t len)
{
	struct onx_buf b = { 0 }, more = { 0 };
	const uint32_t behind = 8 + (uint32_t)len + 2 + ENTRY * (uint32_t)n + 4;
	onx_buf_add(&b, big ? "MM\0*" : "II*\0", 4);
	put(&b, big, 8 + (uint32_t)len, 4);
	onx_buf_add(&b, data, len);
	put(&b, big, (uint32_t)n, 2);
	for (size_t i = 0; i < n; i++) {
		const int size = t[i].tag == PALETTE ? 2 : 4;
		put(&b, big, t[i].tag, 2);
		put(&b, big, size == 2 ? 3 : 4, 2);
		put(&b, big, t[i].n, 4);
		put(&b, big, t[i].n == 1 ? t[i].v[0] : behind + (uint32_t)more.len, 4);
		for (uint32_t k = 0; t[i].n > 1 && k < t[i].n; k++)
			put(&more, big, t[i].v[k], size);
	}
	put(&b, big, 0, 4);
	if (more.len)
		onx_buf_add(&b, more.data, more.len);
	onx_buf_release(&more);
	return b;
}

static void decodes(struct onx_buf b, int w, int h, int c, const uint8_t *px)
{
	struct onx_image m;
	struct onx_err e = { 0 };
	must(onx_image_decode(b.data, b.len, "it", NULL, &m, &e), &e);
	assert_int_equal(m.w, w);
	assert_int_equal(m.h, h);
	assert_int_equal(m.c, c);
	assert_memory_equal(m.px, px, (size_t)w * (size_t)h * (size_t)c);
	onx_image_release(&m);
	for (size_t k = 0; k < b.len; k++) {    /* the last four bytes of a directory say that there is no other */
		uint8_t *part = onx_heap(k + 1, 1);
		memcpy(part, b.data, k);
		const int rc = onx_image_decode(part, k, "it", NULL, &m, &e);
		assert_true(rc < 0 || k + 4 >= b.len);
		if (rc == ONX_OK)
			onx_image_release(&m);
		onx_heap_free(part);
	}
	for (size_t k = 8; k < b.len; k++)      /* whatever is changed, it is a picture or a fault */
		for (int bit = 0; bit < 8; bit++) {
			b.data[k] ^= (char)(1 << bit);
			if (onx_image_decode(b.data, b.len, "it", NULL, &m, &e) == ONX_OK)
				onx_image_release(&m);
			b.data[k] ^= (char)(1 << bit);
		}
	onx_buf_release(&b);
}
#define FILE_OF(big, tags, data, len) file(big, tags, sizeof(tags) / sizeof *(tags), data, len)

static void layouts(void **state)
{
	static const uint8_t px[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 };  /* 3 x 2 */
	static const uint8_t planes[] = { 1, 4, 7, 10, 13, 16, 2, 5, 8, 11, 14, 17, 3, 6, 9, 12, 15, 18 };
	static const uint8_t tiles[] = { 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15,
					 7, 8, 9, 0, 0, 0, 16, 17, 18, 0, 0, 0 };
	const struct tag strips[] = { { W, 1, { 3 } }, { H, 1, { 2 } }, { BITS, 3, { 8, 8, 8 } }, { COLOURS, 1, { 2 } },
		{ STRIPS, 2, { 8, 17 } }, { SAMPLES, 1, { 3 } }, { ROWS, 1, { 1 } }, { BYTES, 2, { 9, 9 } } };
	const struct tag apart[] = { { W, 1, { 3 } }, { H, 1, { 2 } }, { BITS, 3, { 8, 8, 8 } }, { COLOURS, 1, { 2 } },
		{ STRIPS, 3, { 8, 14, 20 } }, { SAMPLES, 1, { 3 } }, { BYTES, 3, { 6, 6, 6 } }, { PLANES, 1, { 2 } } };
	const struct tag tiled[] = { { W, 1, { 3 } }, { H, 1, { 2 } }, { BITS, 3, { 8, 8, 8 } }, { COLOURS, 1, { 2 } },
		{ SAMPLES, 1, { 3 } }, { TILE_W, 1, { 2 } }, { TILE_H, 1, { 2 } }, { TILES, 2, { 8, 20 } },
		{ TILE_BYTES, 2, { 12, 12 } } };
	(void)state;
	for (int big = 0; big < 2; big++) {
		decodes(FILE_OF(big, strips, px, sizeof px), 3, 2, 3, px);
		decodes(FILE_OF(big, apart, planes, sizeof planes), 3, 2, 3, px);
		decodes(FILE_OF(big, tiled, tiles, sizeof tiles), 3, 2, 3, px);
	}
	/* turned by 90 degrees */
	const struct tag turned[] = { { W, 1, { 3 } }, { H, 1, { 1 } }, { BITS, 1, { 8 } }, { COLOURS, 1, { 1 } },
		{ STRIPS, 1, { 8 } }, { TURN, 1, { 6 } }, { BYTES, 1, { 3 } }, { WAY, 1, { 1 } } };
	decodes(FILE_OF(false, turned, px, 3), 1, 3, 1, px);
}

static void depths(void **state)
{
	const struct tag bit[] = { { W, 1, { 9 } }, { H, 1, { 1 } }, { COLOURS, 1, { 0 } }, { STRIPS, 1, { 8 } },
		{ BYTES, 1, { 2 } }, { WAY, 1, { 1 } } };
	const struct tag word[] = { { W, 1, { 2 } }, { H, 1, { 1 } }, { BITS, 1, { 16 } }, { COLOURS, 1, { 1 } },
		{ STRIPS, 1, { 8 } }, { BYTES, 1, { 4 } }, { PREDICTOR, 1, { 2 } } };
	const struct tag index[] = { { W, 1, { 3 } }, { H, 1, { 1 } }, { BITS, 1, { 2 } }, { COLOURS, 1, { 3 } },
		{ STRIPS, 1, { 8 } }, { BYTES, 1, { 1 } },
		{ PALETTE, 12, { 0x100, 0x200, 0x300, 0x400, 0x500, 0x600, 0x700, 0x800, 0x900, 0xa00, 0xb00,
				 0xc00 } } };
	const struct tag alpha[] = { { W, 1, { 2 } }, { H, 1, { 1 } }, { BITS, 2, { 4, 4 } }, { COLOURS, 1, { 1 } },
		{ SAMPLES, 1, { 2 } }, { STRIPS, 1, { 8 } }, { BYTES, 1, { 2 } } };
	(void)state;
	decodes(FILE_OF(false, bit, "\x81\x80", 2), 9, 1, 1,
		(const uint8_t[]){ 0, 255, 255, 255, 255, 255, 255, 0, 0 });
	decodes(FILE_OF(false, word, "\xff\x10\x01\x02", 4), 2, 1, 1, (const uint8_t[]){ 0x10, 0x13 });
	decodes(FILE_OF(true, word, "\x10\xff\x02\x01", 4), 2, 1, 1, (const uint8_t[]){ 0x10, 0x13 });
	decodes(FILE_OF(false, index, "\xe4", 1), 3, 1, 3, (const uint8_t[]){ 4, 8, 12, 3, 7, 11, 2, 6, 10 });
	decodes(FILE_OF(false, alpha, "\x3f\xf0", 2), 2, 1, 1, (const uint8_t[]){ 51, 255 });
}

/* Codes of 9 bits, from the high bit down. */
static size_t nine(const uint32_t *code, size_t n, uint8_t *to)
{
	memset(to, 0, n * 9 / 8 + 1);
	for (size_t i = 0; i < 9 * n; i++)
		if (code[i / 9] >> (8 - i % 9) & 1)
			to[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return (9 * n + 7) / 8;
}

static void packed(unsigned way, uint32_t predictor, const void *data, size_t n, const uint8_t *px)
{
	const struct tag t[] = { { W, 1, { 6 } }, { H, 1, { 2 } }, { BITS, 1, { 8 } }, { WAY, 1, { way } },
		{ COLOURS, 1, { 1 } }, { STRIPS, 1, { 8 } }, { BYTES, 1, { (uint32_t)n } },
		{ PREDICTOR, 1, { predictor } } };
	decodes(FILE_OF(false, t, data, n), 6, 2, 1, px);
}

static void packings(void **state)
{
	static const uint8_t px[] = { 7, 7, 7, 7, 7, 7, 9, 8, 7, 7, 9, 8 };
	static const uint8_t steps[] = { 7, 0, 0, 0, 0, 0, 9, 255, 255, 0, 2, 255 };
	/* 7 | 7 7 (being made) | 7 7 7 | 9 | 8 | 7 7 | 9 8 */
	static const uint32_t codes[] = { 256, 7, 258, 259, 9, 8, 258, 261, 257 };
	static const uint32_t wrong[] = { 256, 7, 300, 259, 9, 8, 258, 261, 257 };
	uint8_t to[64];
	uLongf n = sizeof to;
	(void)state;
	packed(5, 1, to, nine(codes, 9, to), px);
	packed(32773, 1, "\xfb\x07\x80\x05\x09\x08\x07\x07\x09\x08", 10, px);
	for (uint32_t predictor = 1; predictor < 3; predictor++) {
		n = sizeof to;
		assert_int_equal(compress(to, &n, predictor == 2 ? steps : px, sizeof px), Z_OK);
		packed(8, predictor, to, n, px);
		packed(32946, predictor, to, n, px);
	}
	struct onx_image m;
	struct onx_err e = { 0 };
	const struct tag t[] = { { W, 1, { 6 } }, { H, 1, { 2 } }, { BITS, 1, { 8 } }, { WAY, 1, { 5 } },
		{ COLOURS, 1, { 1 } }, { STRIPS, 1, { 8 } }, { BYTES, 1, { 11 } } };
	nine(wrong, 9, to);
	struct onx_buf b = FILE_OF(false, t, to, 11);
	must_fail(onx_image_decode(b.data, b.len, "it", NULL, &m, &e), ONX_FORMAT, &e, "cut off");
	onx_buf_release(&b);
}

static void refused(const struct tag *change, const char *text)
{
	struct tag t[] = { { W, 1, { 2 } }, { H, 1, { 1 } }, { BITS, 1, { 8 } }, { WAY, 1, { 1 } },
		{ COLOURS, 1, { 1 } }, { STRIPS, 1, { 8 } }, { BYTES, 1, { 2 } }, { KIND, 1, { 1 } },
		{ SAMPLES, 1, { 1 } }, { PREDICTOR, 1, { 1 } } };
	struct onx_image m;
	struct onx_err e = { 0 };
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (t[i].tag == change->tag)
			t[i] = *change;
	struct onx_buf b = FILE_OF(false, t, "ab", 2);
	assert_true(onx_image_decode(b.data, b.len, "it", NULL, &m, &e) < 0);
	assert_non_null(strstr(e.text, text));
	onx_buf_release(&b);
}

static void faults(void **state)
{
	(void)state;
	refused(&(struct tag){ W, 1, { 70000 } }, "70000x1 pixels");
	refused(&(struct tag){ H, 1, { 0 } }, "2x0 pixels");
	refused(&(struct tag){ WAY, 1, { 7 } }, "packed in way 7");
	refused(&(struct tag){ COLOURS, 1, { 6 } }, "other colours");
	refused(&(struct tag){ COLOURS, 1, { 3 } }, "without its palette");
	refused(&(struct tag){ KIND, 1, { 3 } }, "other colours or numbers");
	refused(&(struct tag){ BITS, 1, { 12 } }, "1 samples of 12 bits");
	refused(&(struct tag){ SAMPLES, 1, { 0 } }, "0 samples");
	refused(&(struct tag){ BITS, 2, { 8, 4 } }, "different sizes");
	refused(&(struct tag){ PREDICTOR, 1, { 3 } }, "predictor 3");
	refused(&(struct tag){ STRIPS, 1, { 0xffffffff } }, "cut off");
	refused(&(struct tag){ BYTES, 1, { 0xffffffff } }, "cut off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts), cmocka_unit_test(depths), cmocka_unit_test(packings),
		cmocka_unit_test(faults),
	};
	return RUN(tests);
}
