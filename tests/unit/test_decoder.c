/* BMP, PBM, PGM and PPM byte by byte; ImageDecoder on them: order of channels, grey, empty pictures. */
#include "unit/unit.h"
#include "op/op.h"
#include "picture/image.h"

static void put32(uint8_t *p, uint32_t v)
{
	for (int k = 0; k < 4; k++)
		p[k] = (uint8_t)(v >> 8 * k);
}

/* The two headers of a BMP, 54 bytes; the pixels begin at `at`. */
static void bmp_head(uint8_t *p, uint32_t at, int32_t w, int32_t h, uint8_t bits, uint32_t packing)
{
	memset(p, 0, 54);
	p[0] = 'B';
	p[1] = 'M';
	put32(p + 10, at);
	put32(p + 14, 40);
	put32(p + 18, (uint32_t)w);
	put32(p + 22, (uint32_t)h);
	p[26] = 1;
	p[28] = bits;
	put32(p + 30, packing);
}

static void decodes(const void *d, size_t n, int w, int h, int c, const uint8_t *px)
{
	struct onx_image m;
	struct onx_err e = { 0 };
	must(onx_image_decode(d, n, "it", NULL, &m, &e), &e);
	assert_int_equal(m.w, w);
	assert_int_equal(m.h, h);
	assert_int_equal(m.c, c);
	assert_memory_equal(m.px, px, (size_t)w * (size_t)h * (size_t)c);
	onx_image_release(&m);
	/* cut anywhere it is a fault, never a picture */
	for (size_t k = 0; k < n; k++) {
		uint8_t *part = onx_heap(k + 1, 1);
		memcpy(part, d, k);
		assert_true(onx_image_decode(part, k, "it", NULL, &m, &e) < 0);
		onx_heap_free(part);
	}
}

static void bmp_forms(void **state)
{
	uint8_t d[54 + 64] = { 0 };
	(void)state;
	bmp_head(d, 54, 2, 2, 24, 0);           /* rows bottom up, blue first, padded to 8 bytes */
	memcpy(d + 54, (const uint8_t[]){ 1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0 }, 16);
	decodes(d, 70, 2, 2, 3, (const uint8_t[]){ 9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4 });
	bmp_head(d, 54, 2, -2, 24, 0);          /* top down */
	decodes(d, 70, 2, 2, 3, (const uint8_t[]){ 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10 });
	bmp_head(d, 62, 9, 1, 1, 0);            /* a bit each, two colours */
	memcpy(d + 54, (const uint8_t[]){ 30, 20, 10, 0, 60, 50, 40, 0, 0x81, 0x80, 0, 0 }, 12);
	decodes(d, 66, 9, 1, 3, (const uint8_t[]){ 40, 50, 60, 10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30,
		10, 20, 30, 10, 20, 30, 40, 50, 60, 40, 50, 60 });
	bmp_head(d, 66, 2, 1, 16, 3);           /* 5, 6 and 5 bits */
	put32(d + 54, 0xf800);
	put32(d + 58, 0x7e0);
	put32(d + 62, 0x1f);
	memcpy(d + 66, (const uint8_t[]){ 0x00, 0xf8, 0xf0, 0x07 }, 4);
	decodes(d, 70, 2, 1, 3, (const uint8_t[]){ 255, 0, 0, 0, 255, 132 });
}

static void pnm_forms(void **state)
{
	(void)state;
	decodes("P1\n# a remark\n3 2\n101 010", 25, 3, 2, 1, (const uint8_t[]){ 0, 255, 0, 255, 0, 255 });
	decodes("P4 9 2\n\x80\x80\x01\0", 11, 9, 2, 1, (const uint8_t[]){ 0, 255, 255, 255, 255, 255, 255, 255, 0,
		255, 255, 255, 255, 255, 255, 255, 0, 255 });
	decodes("P5 2 1 255\n\x07\xff", 13, 2, 1, 1, (const uint8_t[]){ 7, 255 });
	decodes("P5 2 1 65535\n\x80\x00\xff\xff", 17, 2, 1, 1, (const uint8_t[]){ 128, 255 });
	decodes("P6 1 2 100\n\x00\x32\x64\x01\x02\x03", 17, 1, 2, 3, (const uint8_t[]){ 0, 128, 255, 3, 5, 8 });
	struct onx_image m;
	struct onx_err e = { 0 };
	must(onx_image_decode("P3 1 1 5 0 5 1", 14, "it", NULL, &m, &e), &e);
	assert_memory_equal(m.px, ((const uint8_t[]){ 0, 255, 51 }), 3);
	onx_image_release(&m);
	must_fail(onx_image_decode("P6 70000 2 255\n", 15, "it", NULL, &m, &e), ONX_UNSUP, &e, "70000x2 pixels");
	must_fail(onx_image_decode("P3 1 1 5 0 6 1", 14, "it", NULL, &m, &e), ONX_FORMAT, &e, "damaged");
	must_fail(onx_image_decode("II+\0        ", 12, "it", NULL, &m, &e), ONX_UNSUP, &e,
		  "'it' is a BigTIFF picture");
	must_fail(onx_image_decode("\0\0\0\x0cjP  \r\n\x87\n", 12, "it", NULL, &m, &e), ONX_UNSUP, &e, "JPEG 2000");
}

/* What ImageDecoder's rule makes of the bytes. */
static int rule(const char *bytes, size_t n, const char *format, struct onx_arena *a, struct onx_fact *out,
		struct onx_err *e)
{
	const struct onx_op *op;
	must(onx_op_find("", "ImageDecoder", 20, &op, e), e);
	void *attr = onx_alloc(a, 1, op->attr->size);
	must(onx_defaults(op->attr, attr, a, e), e);
	must(onx_set(op->attr, onx_find(op->attr, "pixel_format"), attr, format, a, e), e);
	const int64_t dim = (int64_t)n;
	const struct onx_view v = { .v = (void *)(uintptr_t)bytes, .n = n, .rank = 1, .dim = &dim, .type = ONX_UINT8,
				    .width = 1 };
	const struct onx_fact in = { .type = ONX_UINT8, .shape = { 1, { dim } }, .value = &v };
	bool wanted = true;
	*out = (struct onx_fact){ 0 };
	struct onx_infer s = { .version = 20, .n_in = 1, .n_out = 1, .in = &in, .out = out, .out_wanted = &wanted,
			       .mem = a };
	return op->infer(&s, attr, e);
}

static void decoder(void **state)
{
	static const struct { const char *format; int64_t c; uint8_t px[3]; } want[] = {
		{ "RGB", 3, { 10, 20, 30 } }, { "BGR", 3, { 30, 20, 10 } }, { "Grayscale", 1, { 18 } }
	};
	struct onx_arena a = { 0 };
	struct onx_fact y;
	struct onx_err e = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		must(rule("P6 1 1 255\n\x0a\x14\x1e", 14, want[i].format, &a, &y, &e), &e);
		assert_int_equal(y.shape.dim[0] * y.shape.dim[1], 1);
		assert_int_equal(y.shape.dim[2], want[i].c);
		assert_memory_equal(y.value->v, want[i].px, (size_t)want[i].c);
	}
	must(rule("P5 2 1 255\n\x07\xff", 13, "RGB", &a, &y, &e), &e);          /* grey in three channels */
	assert_memory_equal(y.value->v, ((const uint8_t[]){ 7, 7, 7, 255, 255, 255 }), 6);
	must(rule("no picture at all", 17, "RGB", &a, &y, &e), &e);             /* empty, as specified */
	assert_int_equal(y.value->n, 0);
	assert_int_equal(y.shape.rank, 3);
	must_fail(rule("\xff\x4f\xff\x51        ", 12, "RGB", &a, &y, &e), ONX_UNSUP, &e, "JPEG 2000");
	onx_arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bmp_forms), cmocka_unit_test(pnm_forms),
		cmocka_unit_test(decoder) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
