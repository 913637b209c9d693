/* Pictures: what goes into a file comes out upright, in RGB or grey; damaged files are faults. */
#include <math.h>
#include <stdlib.h>
#include "unit.h"
#include "lib/pictures.h"
#include "base/io.h"
#include "picture/image.h"

#define W 40
#define H 24

static char dir[256], path[512];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	(void)state;
	test_folder(dir, sizeof(dir));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_folder_gone(dir);
	return 0;
}

static void near(const struct onx_image *m, const uint8_t *px, int tolerance)
{
	for (int i = 0; i < m->w * m->h * m->c; i++)
		if (abs(m->px[i] - px[i]) > tolerance)
			fail_msg("pixel byte %d is %d, wanted %d", i, m->px[i], px[i]);
}

static void test_png_forms(void **state)
{
	static const uint8_t rgb[4][3] = { { 1, 2, 3 }, { 40, 50, 60 }, { 200, 100, 0 }, { 9, 8, 7 } };
	uint8_t px[W * H * 4], flat[W * H * 3];
	uint16_t deep[W * H * 3];
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	test_pixels(px, W, H, 3, 1);
	test_png(in_dir("rgb.png"), px, W, H, 3);
	must(onx_image_read(path, NULL, &m, &e), &e);
	assert_int_equal(m.c, 3);
	near(&m, px, 0);
	onx_image_release(&m);
	for (int i = 0; i < W * H * 3; i++)
		deep[i] = (uint16_t)(px[i] << 8 | 0xff);
	test_png16(in_dir("deep.png"), deep, W, H);
	must(onx_image_read(path, NULL, &m, &e), &e);
	near(&m, px, 0);
	onx_image_release(&m);
	test_pixels(px, W, H, 4, 2);
	for (int i = 0; i < W * H; i++)
		memcpy(flat + 3 * i, px + 4 * i, 3);
	test_png(in_dir("alpha.png"), px, W, H, 4);
	must(onx_image_read(path, NULL, &m, &e), &e);
	near(&m, flat, 0);
	onx_image_release(&m);
	for (int i = 0; i < W * H; i++) {
		px[i] = (uint8_t)(i % 4);
		memcpy(flat + 3 * i, rgb[i % 4], 3);
	}
	test_png_palette(in_dir("palette.png"), px, W, H, rgb);
	must(onx_image_read(path, NULL, &m, &e), &e);
	near(&m, flat, 0);
	onx_image_release(&m);
}

static void test_grey(void **state)
{
	struct onx_decode three = { .channels = 3 }, one = { .channels = 1 };
	uint8_t px[W * H * 3];
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	test_pixels(px, W, H, 1, 1);
	test_png(in_dir("grey.png"), px, W, H, 1);
	must(onx_image_read(path, NULL, &m, &e), &e);
	assert_int_equal(m.c, 1);
	near(&m, px, 0);
	onx_image_release(&m);
	must(onx_image_read(path, &three, &m, &e), &e);
	assert_int_equal(m.c, 3);
	for (int i = 0; i < W * H; i++)
		assert_int_equal(m.px[3 * i + 2], px[i]);
	onx_image_release(&m);
	test_pixels(px, W, H, 3, 1);
	test_png(in_dir("rgb.png"), px, W, H, 3);
	must(onx_image_read(path, &one, &m, &e), &e);
	assert_int_equal(m.px[5], onx_luma(px[15], px[16], px[17]));
	onx_image_release(&m);
}

static void test_jpeg_forms(void **state)
{
	uint8_t px[W * H * 4], want[W * H * 3];
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	for (int progressive = 0; progressive < 2; progressive++) {
		test_pixels(px, W, H, 1, 3);
		test_jpeg(in_dir("grey.jpg"), px, W, H, 1, progressive, 0);
		must(onx_image_read(path, NULL, &m, &e), &e);
		assert_int_equal(m.c, 1);
		near(&m, px, 6);
		onx_image_release(&m);
		/* Grey in three channels: chroma subsampling loses nothing. */
		for (int i = 0; i < W * H * 3; i++)
			want[i] = px[i / 3];
		test_jpeg(in_dir("rgb.jpg"), want, W, H, 3, progressive, 0);
		must(onx_image_read(path, NULL, &m, &e), &e);
		assert_int_equal(m.c, 3);
		near(&m, want, 8);
		onx_image_release(&m);
	}
	/* Inverted CMYK: rgb = k * cmy / 255. */
	test_pixels(px, W, H, 4, 3);
	for (int i = 0; i < W * H; i++)
		for (int k = 0; k < 3; k++)
			want[3 * i + k] = (uint8_t)(px[4 * i + 3] * px[4 * i + k] / 255.0 + 0.5);
	test_jpeg(in_dir("cmyk.jpg"), px, W, H, 4, false, 0);
	must(onx_image_read(path, NULL, &m, &e), &e);
	near(&m, want, 12);
	onx_image_release(&m);
}

/* All eight orientations: a picture that is dark at its top left corner, as it must come out. */
static void test_orientation(void **state)
{
	/* Where the stored picture's top left corner stands in the upright one: right?, bottom? */
	static const int corner[9][2] = { { 0, 0 }, { 0, 0 }, { 1, 0 }, { 1, 1 }, { 0, 1 },
					  { 0, 0 }, { 1, 0 }, { 1, 1 }, { 0, 1 } };
	uint8_t px[W * H];
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++)
			px[y * W + x] = x < 8 && y < 8 ? 20 : x >= 8 && y < 8 ? 120 : 230;
	for (int o = 1; o <= 8; o++) {
		test_jpeg(in_dir("turned.jpg"), px, W, H, 1, false, o);
		must(onx_image_read(path, NULL, &m, &e), &e);
		assert_int_equal(m.w, o < 5 ? W : H);
		int x = corner[o][0] ? m.w - 3 : 2, y = corner[o][1] ? m.h - 3 : 2;
		/* The strip of 120 runs along the stored top edge: mirrored pairs differ in it. */
		int u = o < 5 ? m.w - 1 - x : x, v = o < 5 ? y : m.h - 1 - y;

		if (abs(m.px[y * m.w + x] - 20) > 10 || abs(m.px[v * m.w + u] - 120) > 10)
			fail_msg("orientation %d: %d and %d at the corners", o, m.px[y * m.w + x],
				 m.px[v * m.w + u]);
		onx_image_release(&m);
	}
}

/* Decoded at the smallest of 1/1 .. 1/8 that leaves twice the sides asked for, which are upright
 * ones; a flat picture keeps its level. */
static void test_shrink(void **state)
{
	enum { WIDE = 203, HIGH = 97 };
	static uint8_t px[WIDE * HIGH];
	static const struct { int ask_w, ask_h, orientation, den; } all[] = {
		{ 0, 0, 1, 1 }, { 12, 6, 1, 8 }, { 13, 6, 1, 4 }, { 12, 7, 1, 4 }, { 25, 12, 1, 4 },
		{ 25, 13, 1, 2 }, { 50, 24, 1, 2 }, { 51, 24, 1, 1 }, { 6, 12, 6, 8 }, { 12, 6, 6, 4 },
	};
	struct onx_err e = { 0 };

	(void)state;
	memset(px, 77, sizeof px);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		const struct onx_decode how = { 0, all[i].ask_w, all[i].ask_h, false };
		const int den = all[i].den, w = (WIDE + den - 1) / den, h = (HIGH + den - 1) / den;
		const bool turned = all[i].orientation >= 5;
		struct onx_image m;

		test_jpeg(in_dir("large.jpg"), px, WIDE, HIGH, 1, false, all[i].orientation);
		must(onx_image_read(path, &how, &m, &e), &e);
		assert_int_equal(m.w, turned ? h : w);
		assert_int_equal(m.h, turned ? w : h);
		assert_in_range(m.px[0], 76, 78);
		assert_in_range(m.px[m.w * m.h - 1], 76, 78);
		onx_image_release(&m);
	}
}

static void test_webp_form(void **state)
{
	uint8_t px[W * H * 3];
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	test_pixels(px, W, H, 3, 5);
	test_webp(in_dir("a.webp"), px, W, H);
	must(onx_image_read(path, NULL, &m, &e), &e);
	near(&m, px, 0);
	onx_image_release(&m);
}

/* Every prefix of a file is a fault that names it, or (a JPEG without its last bytes) a picture. */
static void cut_everywhere(const char *name, bool tail_may_miss)
{
	struct onx_bytes b = { 0 };
	struct onx_image m;
	struct onx_err e = { 0 };

	must(onx_read(in_dir(name), SIZE_MAX, &b, &e), &e);
	for (size_t n = 0; n < b.len; n += n < 700 ? 1 : 41) {
		int rc = onx_image_decode(b.data, n, "cut.x", NULL, &m, &e);

		if (rc == ONX_OK && (!tail_may_miss || n + 8 < b.len))
			fail_msg("%s: %zu bytes of %zu were a picture", name, n, b.len);
		if (rc < 0 && !strstr(e.text, "'cut.x'"))
			fail_msg("the fault does not name the file: %s", e.text);
		if (rc == ONX_OK)
			onx_image_release(&m);
	}
	onx_bytes_release(&b);
}

static void test_cut(void **state)
{
	uint8_t px[W * H * 3];

	(void)state;
	test_pixels(px, W, H, 3, 5);
	test_jpeg(in_dir("a.jpg"), px, W, H, 3, false, 0);
	test_jpeg(in_dir("b.jpg"), px, W, H, 3, true, 6);
	test_png(in_dir("a.png"), px, W, H, 3);
	test_webp(in_dir("a.webp"), px, W, H);
	cut_everywhere("a.jpg", true);
	cut_everywhere("b.jpg", true);
	cut_everywhere("a.png", false);
	cut_everywhere("a.webp", false);
}

static void test_hostile(void **state)
{
	/* A PNG header that claims 65,000 x 65,000 pixels. */
	static const uint8_t huge[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H',
					'D', 'R', 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe8, 8, 2, 0, 0, 0,
					0x5f, 0x8c, 0x3b, 0x3c };
	struct onx_image m;
	struct onx_err e = { 0 };

	(void)state;
	assert_true(onx_image_decode(huge, sizeof(huge), "huge", NULL, &m, &e) < 0);
	must_fail(onx_image_decode("GIF89a......", 12, "x.gif", NULL, &m, &e), ONX_FORMAT, &e,
		  "'x.gif' is not a JPEG, PNG, WebP, BMP, PNM or TIFF picture");
	must_fail(onx_image_decode("", 0, "nil", NULL, &m, &e), ONX_FORMAT, &e, "'nil' is empty");
	must_fail(onx_image_read(in_dir("absent.png"), NULL, &m, &e), ONX_IO, &e, "absent.png");
	assert_null(m.px);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png_forms), cmocka_unit_test(test_grey),
		cmocka_unit_test(test_jpeg_forms), cmocka_unit_test(test_orientation), cmocka_unit_test(test_shrink),
		cmocka_unit_test(test_webp_form), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
