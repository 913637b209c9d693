#include "unit.h"
#include <math.h>
#include "base/arena.h"
#include "base/json.h"

static struct onx_json *sample(void)
{
	struct onx_json *j = onx_json_object(), *list = onx_json_array();

	onx_json_str(j, "name", "a \"b\" \\ \n\x01 \xc3\xa4 \xff");
	onx_json_int(j, "big", INT64_MAX);
	onx_json_real(j, "tenth", 0.1);
	onx_json_real(j, "whole", 3);
	onx_json_real(j, "nan", NAN);
	onx_json_bool(j, "yes", true);
	onx_json_str(j, "none", NULL);
	for (int i = 0; i < 3; i++)
		onx_json_int(list, NULL, i);
	onx_json_put(j, "list", list);
	return j;
}

static void print_and_parse(void **state)
{
	struct onx_err e = { 0 };
	struct onx_buf b = { 0 }, again = { 0 };
	struct onx_json *j = sample(), *back;

	(void)state;
	must(onx_json_print(j, false, &b, &e), &e);
	assert_string_equal(b.data, "{\"name\": \"a \\\"b\\\" \\\\ \\n\\u0001 \xc3\xa4 \xef\xbf\xbd\", "
			    "\"big\": 9223372036854775807, \"tenth\": 0.1, \"whole\": 3.0, \"nan\": null, "
			    "\"yes\": true, \"none\": null, \"list\": [0, 1, 2]}");
	must(onx_json_parse(b.data, b.len, &back, &e), &e);
	must(onx_json_print(back, false, &again, &e), &e);
	assert_string_equal(b.data, again.data);
	assert_true(onx_json_get_int(back, "big", 0) == INT64_MAX);
	assert_true(onx_json_get_real(back, "tenth", 0) == 0.1);
	assert_true(onx_json_get_real(back, "big", 0) > 9e18);
	assert_int_equal(onx_json_get_int(back, "tenth", -5), -5);
	assert_string_equal(onx_json_get_str(back, "none", "default"), "default");
	assert_int_equal(onx_json_len(onx_json_get(back, "list")), 3);
	assert_null(onx_json_at(onx_json_get(back, "list"), 3));
	assert_null(onx_json_text(onx_json_get(back, "absent")));
	onx_json_free(back);
	onx_json_free(j);
	onx_buf_release(&b);
	onx_buf_release(&again);
}

static void a_key_put_twice_has_one_value(void **state)
{
	struct onx_json *j = onx_json_object();

	(void)state;
	onx_json_int(j, "k", 1);
	onx_json_int(j, "k", 2);
	assert_int_equal(onx_json_get_int(j, "k", 0), 2);
	struct onx_buf b = { 0 };
	struct onx_err e;
	must(onx_json_print(j, false, &b, &e), &e);
	assert_string_equal(b.data, "{\"k\": 2}");
	onx_buf_release(&b);
	onx_json_free(j);
}

static void damaged_text(void **state)
{
	static const char *const bad[] = { "", "{", "[1,]", "{\"a\":1,\"a\":2}", "nul", "\"\xff\"", "1 2" };
	struct onx_err e;
	struct onx_json *j;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		must_fail(onx_json_parse(bad[i], strlen(bad[i]), &j, &e), ONX_FORMAT, &e, "not JSON");
		assert_null(j);
	}
	char deep[20000];
	memset(deep, '[', sizeof deep);
	must_fail(onx_json_parse(deep, sizeof deep, &j, &e), ONX_FORMAT, &e, "not JSON");
}

/* Whichever allocation fails while a tree is built, printing says so. */
static void shortage_is_remembered(void **state)
{
	struct onx_err e;
	int lost = 0, n = 0;

	(void)state;
	for (n = 1; n < 100; n++) {
		struct onx_buf b = { 0 };
		onx_alloc_fail_at(n);
		struct onx_json *j = sample();
		int rc = onx_json_print(j, false, &b, &e);
		onx_alloc_fail_at(0);
		onx_json_free(j);
		onx_buf_release(&b);
		if (rc == ONX_OK)
			break;
		assert_int_equal(rc, ONX_NOMEM);
		lost++;
	}
	assert_in_range(lost, 20, 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(print_and_parse), cmocka_unit_test(a_key_put_twice_has_one_value),
		cmocka_unit_test(damaged_text), cmocka_unit_test(shortage_is_remembered)
	};

	return RUN(tests);
}
