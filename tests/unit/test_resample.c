/* Resizing against the filter's definition in double precision, and crops. */
#include <math.h>
#include <stdlib.h>
#include "unit.h"
#include "lib/pictures.h"
#include "data/resample.h"

/* One axis of the triangle filter at output i. */
static double weight(int x, int i, double scale)
{
	double wide = scale < 1 ? 1 : scale, d = fabs((x + 0.5 - (i + 0.5) * scale) / wide);

	return d < 1 ? 1 - d : 0;
}

static double direct(const struct onx_image *m, int w, int h, int x, int y, int c)
{
	double sx = (double)m->w / w, sy = (double)m->h / h, sum = 0, norm = 0;

	for (int v = 0; v < m->h; v++)
		for (int u = 0; u < m->w; u++) {
			double k = weight(u, x, sx) * weight(v, y, sy);

			norm += k;
			sum += k * m->px[(v * m->w + u) * m->c + c];
		}
	return sum / norm;
}

static void agrees(int W, int H, int c, int w, int h)
{
	struct onx_image a, b;
	struct onx_err e = { 0 };
	double worst = 0;

	must(onx_image_new(W, H, c, &a, &e), &e);
	test_pixels(a.px, W, H, c, W);
	must(onx_resample(&a, NULL, w, h, &b, &e), &e);
	assert_int_equal(b.w, w);
	assert_int_equal(b.h, h);
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++)
			for (int k = 0; k < c; k++)
				worst = fmax(worst, fabs(b.px[(y * w + x) * c + k] -
							 direct(&a, w, h, x, y, k)));
	/* Two roundings of half a level each. */
	if (!(worst <= 1.0001))
		fail_msg("%dx%dx%d to %dx%d: off by %g", W, H, c, w, h, worst);
	onx_image_release(&a);
	onx_image_release(&b);
}

static void test_formula(void **state)
{
	(void)state;
	agrees(64, 48, 3, 32, 24);
	agrees(61, 47, 3, 17, 40);
	agrees(20, 30, 1, 55, 11);
	agrees(9, 7, 3, 28, 28);
	agrees(50, 1, 1, 7, 3);
	agrees(1, 1, 3, 4, 4);
}

/* Whatever the size, a flat picture stays flat: the weights add up to one. */
static void test_flat(void **state)
{
	struct onx_image a, b;
	struct onx_err e = { 0 };

	(void)state;
	must(onx_image_new(97, 89, 1, &a, &e), &e);
	memset(a.px, 255, 97 * 89);
	for (int n = 1; n < 200; n += 13) {
		must(onx_resample(&a, NULL, n, 200 - n, &b, &e), &e);
		for (int i = 0; i < n * (200 - n); i++)
			assert_int_equal(b.px[i], 255);
		onx_image_release(&b);
	}
	onx_image_release(&a);
}

/* A box is cut first: what lies outside has no influence. */
static void test_box(void **state)
{
	struct onx_box b = { 5, 6, 20, 10 };
	struct onx_image a, cut, one, two;
	struct onx_err e = { 0 };

	(void)state;
	must(onx_image_new(40, 30, 3, &a, &e), &e);
	test_pixels(a.px, 40, 30, 3, 1);
	must(onx_crop(&a, &b, 0, &cut, &e), &e);
	must(onx_resample(&cut, NULL, 8, 8, &one, &e), &e);
	must(onx_resample(&a, &b, 8, 8, &two, &e), &e);
	assert_memory_equal(one.px, two.px, 8 * 8 * 3);
	assert_memory_equal(cut.px, a.px + (6 * 40 + 5) * 3, 20 * 3);
	onx_image_release(&a);
	onx_image_release(&cut);
	onx_image_release(&one);
	onx_image_release(&two);
}

/* A part is the same pixels of the whole, to the bit; sides around the eight rows taken together. */
static void test_part(void **state)
{
	(void)state;
	for (int c = 1; c <= 3; c += 2)
		for (int H = 5; H < 30; H += 3) {
			const struct onx_box all = { 0, 0, 61, H }, part = { 3, 2, 20, 9 };
			struct onx_image a, whole, cut, direct_part;
			struct onx_err e = { 0 };

			must(onx_image_new(61, H, c, &a, &e), &e);
			test_pixels(a.px, 61, H, c, H);
			must(onx_resample(&a, NULL, 33, 14, &whole, &e), &e);
			must(onx_crop(&whole, &part, 0, &cut, &e), &e);
			must(onx_resample_part(&a, &all, 33, 14, &part, &direct_part, &e), &e);
			assert_memory_equal(cut.px, direct_part.px, (size_t)(20 * 9 * c));
			onx_image_release(&a);
			onx_image_release(&whole);
			onx_image_release(&cut);
			onx_image_release(&direct_part);
		}
}

static void test_centre(void **state)
{
	struct onx_box b = onx_centre(256, 341, 224, 224);
	struct onx_image a, c;
	struct onx_err e = { 0 };

	(void)state;
	assert_int_equal(b.x, 16);
	assert_int_equal(b.y, 58);      /* 58.5 to even, as Python */
	b = onx_centre(3, 2, 5, 2);
	assert_int_equal(b.x, -1);
	must(onx_image_new(3, 2, 1, &a, &e), &e);
	memset(a.px, 9, 6);
	must(onx_crop(&a, &b, 7, &c, &e), &e);
	assert_memory_equal(c.px, "\7\11\11\11\7\7\11\11\11\7", 10);
	onx_image_release(&a);
	onx_image_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formula), cmocka_unit_test(test_flat),
		cmocka_unit_test(test_box), cmocka_unit_test(test_part),
		cmocka_unit_test(test_centre),
	};
	return RUN(tests);
}
