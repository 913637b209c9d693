#include "unit.h"
#include <math.h>
#include "base/field.h"

struct inner { double rate; };
struct obj {
	double alpha, free_number;
	int64_t count, bytes, any;
	bool flag;
	int mode;
	const char *name, *must;
	struct onx_ints ints;
	struct onx_reals reals;
	struct onx_strs strs;
	struct inner inner;
	uint64_t given;
};
static const char *const modes[] = { "constant", "step", "cosine", NULL };
static const struct onx_field inner_field[] = {
	{ "rate", F_REAL, offsetof(struct inner, rate), .def = "0.5", .min = 0, .max = 1 },
	{ .name = NULL }
};
static const struct onx_table inner_table = { "inner", sizeof(struct inner), inner_field, NULL, 0 };
static const struct onx_field field[] = {
	{ "alpha", F_REAL, offsetof(struct obj, alpha), .def = "0.01", .min = 0, .max = 1 },
	{ "free-number", F_REAL, offsetof(struct obj, free_number), .def = "-inf" },
	{ "count", F_INT, offsetof(struct obj, count), .def = "10", .min = 1, .max = 1e18 },
	{ "bytes", F_SIZE, offsetof(struct obj, bytes), .def = "512M", .min = 0, .max = 1e18 },
	{ "any", F_INT, offsetof(struct obj, any), .def = "0" },
	{ "flag", F_BOOL, offsetof(struct obj, flag), .def = "yes" },
	{ "mode", F_ENUM, offsetof(struct obj, mode), .def = "cosine", .choices = modes },
	{ "name", F_STR, offsetof(struct obj, name), .def = "" },
	{ "must", F_STR, offsetof(struct obj, must), .def = NULL },
	{ "ints", F_INTS, offsetof(struct obj, ints), .def = "1,2,3" },
	{ "reals", F_REALS, offsetof(struct obj, reals), .def = "", .min = 0, .max = 9 },
	{ "strs", F_STRS, offsetof(struct obj, strs), .def = "default" },
	{ "inner", F_MAP, offsetof(struct obj, inner), .def = "", .sub = &inner_table },
	{ .name = NULL }
};
static const struct onx_table table = { "table", sizeof(struct obj), field, NULL,
					offsetof(struct obj, given) };

static struct onx_arena arena;
static struct onx_err err;

static int set(struct obj *o, const char *name, const char *text)
{
	return onx_set(&table, onx_find(&table, name), o, text, &arena, &err);
}

static int free_arena(void **state)
{
	(void)state;
	onx_arena_release(&arena);
	return 0;
}

static void defaults_go_through_the_parser(void **state)
{
	struct obj o;

	(void)state;
	memset(&o, 0xA5, sizeof o);
	must(onx_defaults(&table, &o, &arena, &err), &err);
	assert_true(o.alpha == 0.01 && o.free_number == -INFINITY && o.inner.rate == 0.5);
	assert_int_equal(o.count, 10);
	assert_int_equal(o.bytes, 512 * 1024 * 1024);
	assert_true(o.flag);
	assert_int_equal(o.mode, 2);
	assert_null(o.name);
	assert_null(o.must);
	assert_int_equal(o.ints.n, 3);
	assert_int_equal(o.ints.v[2], 3);
	assert_int_equal(o.reals.n, 0);
	assert_int_equal(o.strs.n, 1);
	assert_string_equal(o.strs.v[0], "default");
	assert_int_equal(o.given, 0);
}

static void a_wrong_default_is_a_fault(void **state)
{
	static const struct onx_field bad[] = {
		{ "rate", F_REAL, 0, .def = "2", .min = 0, .max = 1 }, { .name = NULL } };
	static const struct onx_table t = { "bad", sizeof(double), bad, NULL, 0 };
	double d;

	(void)state;
	must_fail(onx_defaults(&t, &d, &arena, &err), ONX_USAGE, &err,
		  "'rate' must be a number in [0, 1], not '2'; while taking the default of 'bad.rate'");
}

static void ranges_and_types(void **state)
{
	struct obj o;

	(void)state;
	must(onx_defaults(&table, &o, &arena, &err), &err);
	must_fail(set(&o, "alpha", "1.1"), ONX_USAGE, &err, "'alpha' must be a number in [0, 1], not '1.1'");
	must_fail(set(&o, "alpha", "nan"), ONX_USAGE, &err, "not 'nan'");
	must_fail(set(&o, "alpha", "0.5x"), ONX_USAGE, &err, "not '0.5x'");
	must_fail(set(&o, "count", "0"), ONX_USAGE, &err, "a whole number, at least 1, not '0'");
	must_fail(set(&o, "count", "1.5"), ONX_USAGE, &err, "not '1.5'");
	must_fail(set(&o, "any", "9223372036854775808"), ONX_USAGE, &err, "not '9223372036854775808'");
	must_fail(set(&o, "bytes", "1Q"), ONX_USAGE, &err, "512M");
	must_fail(set(&o, "flag", "maybe"), ONX_USAGE, &err, "yes or no");
	must_fail(set(&o, "mode", "cosin"), ONX_USAGE, &err,
		  "one of constant, step, cosine, not 'cosin'; nearest is 'cosine'");
	must_fail(set(&o, "ints", "1,x"), ONX_USAGE, &err, "not 'x'");
	must_fail(set(&o, "reals", "1,10"), ONX_USAGE, &err, "not '10'");
	must_fail(set(&o, "inner", "x"), ONX_USAGE, &err, "section");
	assert_true(o.alpha == 0.01 && o.count == 10 && o.mode == 2);
	assert_int_equal(o.given, 0);
}

static void given_bits(void **state)
{
	struct obj o;

	(void)state;
	must(onx_defaults(&table, &o, &arena, &err), &err);
	must(set(&o, "flag", "no"), &err);
	must(set(&o, "name", "resnet"), &err);
	assert_true(onx_given(&table, &o, "flag") && onx_given(&table, &o, "name"));
	assert_false(onx_given(&table, &o, "alpha"));
	assert_false(o.flag);
	assert_string_equal(o.name, "resnet");
}

static void lists(void **state)
{
	static const char *const two[] = { "7", "-8" };
	struct obj o;

	(void)state;
	must(onx_defaults(&table, &o, &arena, &err), &err);
	must(set(&o, "strs", "a"), &err);       /* the first takes the default's place */
	must(set(&o, "strs", "b,c"), &err);
	assert_int_equal(o.strs.n, 2);
	assert_string_equal(o.strs.v[0], "a");
	assert_string_equal(o.strs.v[1], "b,c");
	must(set(&o, "ints", ""), &err);
	assert_int_equal(o.ints.n, 0);
	must(onx_set_list(&table, onx_find(&table, "ints"), &o, two, 2, &arena, &err), &err);
	assert_int_equal(o.ints.v[1], -8);
	must_fail(onx_set_list(&table, onx_find(&table, "alpha"), &o, two, 2, &arena, &err), ONX_USAGE, &err,
		  "'alpha' takes one value, not a list of 2");
}

static void shown_values_read_back(void **state)
{
	static const double hard[] = { 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e22, 123456789 };
	struct obj o, back;

	(void)state;
	must(onx_defaults(&table, &o, &arena, &err), &err);
	must(set(&o, "any", "-9223372036854775808"), &err);
	must(set(&o, "bytes", "1.5GiB"), &err);
	must(set(&o, "reals", "0.5, 8.25"), &err);
	must(onx_defaults(&table, &back, &arena, &err), &err);
	for (const struct onx_field *f = field; f->name; f++) {
		struct onx_buf b = { 0 };
		onx_field_show(f, &o, &b);
		if (f->kind != F_MAP)
			must(onx_set(&table, f, &back, b.data ? b.data : "", &arena, &err), &err);
		onx_buf_release(&b);
	}
	assert_true(back.any == INT64_MIN && back.bytes == 3LL << 29 && back.reals.v[1] == 8.25);
	assert_string_equal(back.strs.v[0], "default");
	for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
		struct onx_buf b = { 0 };
		o.free_number = hard[i];
		onx_field_show(&field[1], &o, &b);
		must(set(&back, "free-number", b.data), &err);
		assert_memory_equal(&back.free_number, &hard[i], sizeof(double));
		onx_buf_release(&b);
	}
}

static void nearest_names(void **state)
{
	static const char *const ops[] = { "Conv", "ConvTranspose", "LeakyRelu", "Relu", "Softmax" };

	(void)state;
	assert_string_equal(onx_nearest_field(&table, "coutn"), "count");
	assert_string_equal(onx_nearest_field(&table, "aplha"), "alpha");
	assert_string_equal(onx_nearest(ops, 5, "LeakyReLU"), "LeakyRelu");
	assert_string_equal(onx_nearest(ops, 5, "SoftMx"), "Softmax");
	assert_null(onx_nearest(ops, 5, "Bernoulli"));
	assert_null(onx_nearest(ops, 0, "Conv"));
	assert_null(onx_find(&table, "coutn"));
}

static void numbers_from_text(void **state)
{
	double r;
	int64_t i;

	(void)state;
	assert_int_equal(onx_parse_int("-42", &i), ONX_OK);
	assert_int_equal(i, -42);
	assert_int_not_equal(onx_parse_int("", &i), ONX_OK);
	assert_int_not_equal(onx_parse_int(" 1", &i), ONX_OK);
	assert_int_not_equal(onx_parse_int("1 ", &i), ONX_OK);
	assert_int_equal(onx_parse_real("1e-3", &r), ONX_OK);
	assert_true(r == 1e-3);
	assert_int_not_equal(onx_parse_real("1e999", &r), ONX_OK);
	assert_int_not_equal(onx_parse_real("1,5", &r), ONX_OK);
	assert_int_equal(onx_parse_size("2G", &i), ONX_OK);
	assert_int_equal(i, 2LL << 30);
	assert_int_equal(onx_parse_size("10kB", &i), ONX_OK);
	assert_int_equal(i, 10240);
	assert_int_equal(onx_parse_size("4096", &i), ONX_OK);
	assert_int_equal(i, 4096);
	assert_int_not_equal(onx_parse_size("-1M", &i), ONX_OK);
	assert_int_not_equal(onx_parse_size("9999999T", &i), ONX_OK);
}

static void no_memory_is_a_fault(void **state)
{
	struct obj o;
	int faults = 0;

	(void)state;
	for (long n = 1; n < 40; n++) {
		onx_alloc_fail_at(n);
		int rc = onx_defaults(&table, &o, &arena, &err);
		onx_alloc_fail_at(0);
		if (rc == ONX_OK)
			break;
		assert_int_equal(rc, ONX_NOMEM);
		faults++;
	}
	assert_in_range(faults, 3, 38);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_go_through_the_parser), cmocka_unit_test(a_wrong_default_is_a_fault),
		cmocka_unit_test(ranges_and_types), cmocka_unit_test(given_bits), cmocka_unit_test(lists),
		cmocka_unit_test(shown_values_read_back), cmocka_unit_test(nearest_names),
		cmocka_unit_test(numbers_from_text), cmocka_unit_test(no_memory_is_a_fault)
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, free_arena);
}
