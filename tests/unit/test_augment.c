/* Augmentation: what each row does, and that nothing depends on what else is on.  Presets' formulas. */
#include <math.h>
#include <stdlib.h>
#include "unit.h"
#include "lib/pictures.h"
#include "data/augment.h"

enum { S = 24 };

static struct onx_augment off(void)
{
	static const double scale[2] = { 0.5, 1 }, ratio[2] = { 0.75, 4 / 3.0 };

	return (struct onx_augment){ .augment = true, .crop_scale = { scale, 2 },
				     .crop_ratio = { ratio, 2 } };
}

static const struct onx_preset preset = { .kind = ONX_PRESET_PICTURE, .name = "imagenet", .h = S, .w = S,
	.c = 3, .fit = ONX_FIT_SQUASH, .scale = 1 / 255.0, .mean = { 0.5, 0.4, 0.3 },
	.std = { 0.25, 0.5, 1 } };

static void apply(const struct onx_augment *g, uint64_t epoch, uint64_t i, struct onx_image *out)
{
	struct onx_image base;
	struct onx_err e = { 0 };

	must(onx_image_new(S, S, 3, &base, &e), &e);
	test_pixels(base.px, S, S, 3, 0);
	must(onx_augment_apply(g, &preset, &base, 7, epoch, i, out, &e), &e);
	assert_int_equal(out->w, S);
	assert_int_equal(out->h, S);
	onx_image_release(&base);
}

static void test_flip(void **state)
{
	struct onx_augment g = off();
	uint8_t px[S * S * 3];
	struct onx_image m;
	int flipped = 0;

	(void)state;
	test_pixels(px, S, S, 3, 0);
	g.flip = 1;
	apply(&g, 0, 0, &m);
	for (int x = 0; x < S; x++)
		assert_memory_equal(m.px + 3 * x, px + 3 * (S - 1 - x), 3);
	onx_image_release(&m);
	g.flip = 0.25;
	for (uint64_t i = 0; i < 1000; i++) {
		apply(&g, 1, i, &m);
		flipped += memcmp(m.px, px, sizeof(px)) != 0;
		onx_image_release(&m);
	}
	assert_in_range(flipped, 200, 300);     /* 250 within 3.6 standard deviations */
}

/* A row draws from its own place: with rows before it on or off, it does the same. */
static void test_apart(void **state)
{
	struct onx_augment g = off();
	struct onx_image a, b;

	(void)state;
	g.erase = 1;
	apply(&g, 0, 3, &a);
	g.rotate = 1e-9;
	g.brightness = 1e-9;
	apply(&g, 0, 3, &b);
	for (int i = 0; i < S * S * 3; i++)
		if (abs(a.px[i] - b.px[i]) > 1)
			fail_msg("byte %d is %d, wanted %d", i, b.px[i], a.px[i]);
	onx_image_release(&b);
	apply(&g, 1, 3, &b);
	assert_memory_not_equal(a.px, b.px, S * S * 3);
	onx_image_release(&a);
	onx_image_release(&b);
}

static void test_jitter(void **state)
{
	struct onx_augment g = off();
	uint8_t px[S * S * 3];
	struct onx_image m;
	double lo = 9, hi = 0;

	(void)state;
	test_pixels(px, S, S, 3, 0);
	g.brightness = 0.4;
	for (uint64_t i = 0; i < 200; i++) {
		double factor;

		apply(&g, 0, i, &m);
		factor = m.px[0] / (double)px[0];
		for (int k = 0; k < S * S * 3; k++)
			if (m.px[k] < 255 && fabs(m.px[k] - factor * px[k]) > 3)
				fail_msg("not one factor: %d of %d", m.px[k], px[k]);
		lo = fmin(lo, factor);
		hi = fmax(hi, factor);
		onx_image_release(&m);
	}
	assert_true(lo > 0.59 && lo < 0.65 && hi < 1.41 && hi > 1.35);
	g.brightness = 0;
	g.saturation = 1;
	apply(&g, 0, 1, &m);
	for (int k = 0; k < S * S; k++)         /* luma stays where nothing is cut off */
		if (m.px[3 * k] && m.px[3 * k] < 255 && m.px[3 * k + 1] && m.px[3 * k + 1] < 255 &&
		    m.px[3 * k + 2] && m.px[3 * k + 2] < 255)
			assert_true(abs(onx_luma(m.px[3 * k], m.px[3 * k + 1], m.px[3 * k + 2]) -
					onx_luma(px[3 * k], px[3 * k + 1], px[3 * k + 2])) <= 2);
	onx_image_release(&m);
}

static void test_erase_and_rotate(void **state)
{
	struct onx_augment g = off();
	uint8_t px[S * S * 3];
	struct onx_image m;

	(void)state;
	test_pixels(px, S, S, 3, 0);
	g.erase = 1;
	for (uint64_t i = 0; i < 100; i++) {
		int gone = 0;

		apply(&g, 0, i, &m);
		for (int k = 0; k < S * S; k++) {
			bool mean = m.px[3 * k] == 128 && m.px[3 * k + 1] == 102 && m.px[3 * k + 2] == 77;

			if (!mean)
				assert_memory_equal(m.px + 3 * k, px + 3 * k, 3);
			gone += mean;
		}
		assert_in_range(gone, S * S / 100, S * S * 36 / 100);
		onx_image_release(&m);
	}
	g.erase = 0;
	g.rotate = 180;
	apply(&g, 0, 5, &m);
	assert_int_equal(m.px[0] + m.px[1] + m.px[2], 0);       /* a corner came from outside */
	onx_image_release(&m);
}

static void test_formula(void **state)
{
	struct onx_preset p = preset;
	struct onx_image m;
	struct onx_err e = { 0 };
	float x[S * S * 3];
	double y[S * S * 3];
	struct onx_view v = { .v = x, .n = S * S * 3, .type = ONX_FLOAT, .width = 4 };

	(void)state;
	must(onx_image_new(S, S, 3, &m, &e), &e);
	test_pixels(m.px, S, S, 3, 0);
	onx_preset_pixels(&p, &m, &v);
	for (int k = 0; k < 3; k++)
		assert_true(fabs(x[k * S * S + 5] - (m.px[15 + k] / 255.0 - p.mean[k]) / p.std[k]) < 1e-6);
	p.nhwc = p.bgr = true;
	v.v = y;
	v.width = 8;
	onx_preset_pixels(&p, &m, &v);
	for (int k = 0; k < 3; k++)
		assert_true(fabs(y[15 + k] - (m.px[15 + 2 - k] / 255.0 - p.mean[k]) / p.std[k]) < 1e-12);
	onx_image_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flip), cmocka_unit_test(test_apart), cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_erase_and_rotate), cmocka_unit_test(test_formula),
	};
	return RUN(tests);
}
