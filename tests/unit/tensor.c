#include "unit.h"
#include <math.h>
#include "tensor/tensor.h"

static struct onx_err err;

static void counts(void **state)
{
	size_t n;

	(void)state;
	must(onx_count(0, NULL, &n, &err), &err);
	assert_int_equal(n, 1);
	must(onx_count(3, (int64_t[]){ 2, 3, 4 }, &n, &err), &err);
	assert_int_equal(n, 24);
	must(onx_count(2, (int64_t[]){ 5, 0 }, &n, &err), &err);
	assert_int_equal(n, 0);
	must(onx_count(1, (int64_t[]){ INT64_C(1) << 48 }, &n, &err), &err);
	must_fail(onx_count(2, (int64_t[]){ 2, -1 }, &n, &err), ONX_SHAPE, &err, "[2,-1] has a negative");
	must_fail(onx_count(2, (int64_t[]){ 1 << 25, 1 << 24 }, &n, &err), ONX_SHAPE, &err, "2^48");
	must_fail(onx_count(3, (int64_t[]){ INT64_MAX, INT64_MAX, 4 }, &n, &err), ONX_SHAPE, &err, "2^48");
	must_fail(onx_count(3, (int64_t[]){ 0, INT64_MAX, INT64_MAX }, &n, &err), ONX_SHAPE, &err, "2^48");
}

static void broadcasts(void **state)
{
	static const struct { struct onx_shape a, b, want; bool ok; } row[] = {
		{ { 0, { 0 } }, { 2, { 3, 4 } }, { 2, { 3, 4 } }, true },
		{ { 3, { 2, 1, 5 } }, { 2, { 4, 1 } }, { 3, { 2, 4, 5 } }, true },
		{ { 1, { 1 } }, { 2, { 0, 7 } }, { 2, { 0, 7 } }, true },
		{ { 2, { 2, 3 } }, { 2, { 2, 3 } }, { 2, { 2, 3 } }, true },
		{ { 2, { 2, 3 } }, { 1, { 2 } }, { 0, { 0 } }, false },
		{ { 1, { 0 } }, { 1, { 2 } }, { 0, { 0 } }, false },
	};
	struct onx_shape out;

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		int rc = onx_broadcast(&row[i].a, &row[i].b, &out, &err);
		assert_int_equal(rc, row[i].ok ? ONX_OK : ONX_SHAPE);
		if (row[i].ok)
			assert_true(onx_shape_equal(&out, &row[i].want));
	}
	must_fail(onx_broadcast(&row[4].a, &row[4].b, &out, &err), ONX_SHAPE, &err,
		  "cannot broadcast [2,3] with [2]: 3 against 2");
}

static void shape_texts(void **state)
{
	char buf[ONX_SHAPE_TEXT], small[6];
	int64_t most[ONX_RANK];

	(void)state;
	assert_string_equal(onx_shape_text(0, NULL, buf, sizeof buf), "[]");
	assert_string_equal(onx_shape_text(3, (int64_t[]){ 1, -1, 224 }, buf, sizeof buf), "[1,-1,224]");
	for (int i = 0; i < ONX_RANK; i++)
		most[i] = 1000000000000;
	assert_int_equal(strlen(onx_shape_text(ONX_RANK, most, buf, sizeof buf)), 13 * ONX_RANK + ONX_RANK + 1);
	onx_shape_text(ONX_RANK, most, small, sizeof small);
	assert_string_equal(small, "[1000");
}

static void elements_of_every_type(void **state)
{
	(void)state;
	for (int t = 1; t <= ONX_FLOAT6E3M2; t++) {
		double room[8] = { 0 };
		struct onx_view v = { .v = room, .n = 2, .type = (enum onx_dtype)t,
				      .width = (uint8_t)onx_dtype_store((enum onx_dtype)t, false) };
		if (t == ONX_STRING)
			continue;
		onx_view_put_int(&v, 1, 1);
		assert_int_equal(onx_view_int(&v, 1), 1);
		assert_true(onx_view_real(&v, 1) == 1);
		assert_int_equal(onx_view_int(&v, 0), 0);
		onx_view_put_real(&v, 0, 1);
		assert_true(onx_view_real(&v, 0) == 1);
	}
}

static void conversions_stay_in_range(void **state)
{
	uint64_t room[1];
	struct onx_view v = { .v = room, .n = 1 };
	static const struct { enum onx_dtype t; uint8_t width; double in; int64_t want; } row[] = {
		{ ONX_UINT8, 1, -3, 0 }, { ONX_UINT8, 1, 300, 255 }, { ONX_INT8, 1, -300, -128 },
		{ ONX_INT16, 2, 1e9, 32767 }, { ONX_INT32, 4, -1e12, INT32_MIN },
		{ ONX_INT64, 8, 1e30, INT64_MAX }, { ONX_INT64, 8, -1e30, INT64_MIN },
		{ ONX_INT64, 8, NAN, 0 }, { ONX_INT32, 4, -2.7, -2 }, { ONX_INT4, 1, 9, 7 },
		{ ONX_UINT4, 1, 99, 15 }, { ONX_UINT64, 8, -1, 0 },
		{ ONX_UINT64, 8, 0x1p63, INT64_MIN }, { ONX_UINT64, 8, 1e30, -1 }, { ONX_BOOL, 1, 0.1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		v.type = row[i].t;
		v.width = row[i].width;
		onx_view_put_real(&v, 0, row[i].in);
		assert_true(onx_view_int(&v, 0) == row[i].want);
	}
	v = (struct onx_view){ .v = (double[]){ 1e300 }, .n = 1, .type = ONX_DOUBLE, .width = 8 };
	assert_true(onx_view_int(&v, 0) == INT64_MAX);
}

static void compared(void **state)
{
	float a[] = { 1, 2, NAN, INFINITY, 5 }, b[] = { 1, 2.5f, NAN, INFINITY, 5.0001f };
	const struct onx_view va = { .v = a, .n = 5, .type = ONX_FLOAT, .width = 4 };
	const struct onx_view vb = { .v = b, .n = 5, .type = ONX_FLOAT, .width = 4 };
	struct onx_gap g;

	(void)state;
	onx_compare(&va, &vb, 1e-3, 1e-6, &g);
	assert_int_equal(g.bad, 1);
	assert_int_equal(g.at, 1);
	assert_true(g.worst_abs == 0.5 && g.worst_rel == 0.2 && g.a == 2 && g.b == 2.5);
	onx_compare(&va, &vb, 0.5, 0, &g);
	assert_int_equal(g.bad, 0);
	b[2] = 1;
	b[3] = -INFINITY;
	onx_compare(&va, &vb, 0.5, 1e30, &g);
	assert_int_equal(g.bad, 2);
	b[3] = 1;
	b[2] = NAN;
	onx_compare(&va, &vb, 0.5, 1, &g);
	assert_int_equal(g.bad, 1);
}

static void compared_exactly_where_doubles_cannot(void **state)
{
	int64_t a[] = { INT64_MAX }, b[] = { INT64_MAX - 1 };
	const struct onx_view va = { .v = a, .n = 1, .type = ONX_INT64, .width = 8 };
	const struct onx_view vb = { .v = b, .n = 1, .type = ONX_INT64, .width = 8 };
	const char *s[] = { "x" }, *t[] = { "y" };
	const struct onx_view vs = { .v = s, .n = 1, .type = ONX_STRING, .width = sizeof(char *) };
	const struct onx_view vt = { .v = t, .n = 1, .type = ONX_STRING, .width = sizeof(char *) };
	struct onx_gap g;

	(void)state;
	onx_compare(&va, &vb, 0, 0, &g);
	assert_int_equal(g.bad, 1);
	onx_compare(&va, &va, 0, 0, &g);
	assert_int_equal(g.bad, 0);
	onx_compare(&vs, &vt, 0, 0, &g);
	assert_int_equal(g.bad, 1);
	onx_compare(&vs, &vs, 0, 0, &g);
	assert_int_equal(g.bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts), cmocka_unit_test(broadcasts), cmocka_unit_test(shape_texts),
		cmocka_unit_test(elements_of_every_type), cmocka_unit_test(conversions_stay_in_range),
		cmocka_unit_test(compared), cmocka_unit_test(compared_exactly_where_doubles_cannot)
	};

	return RUN(tests);
}
