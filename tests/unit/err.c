#include "unit.h"

static void text_and_code(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	assert_int_equal(onx_fail(&e, ONX_SHAPE, "found %d, wanted %d", 3, 4), ONX_SHAPE);
	assert_int_equal(e.code, ONX_SHAPE);
	assert_string_equal(e.text, "found 3, wanted 4");
	assert_int_equal(onx_while(&e, ONX_SHAPE, "reading '%s'", "x"), ONX_SHAPE);
	assert_string_equal(e.text, "found 3, wanted 4; while reading 'x'");
	assert_int_equal(onx_while(&e, ONX_OK, "never"), ONX_OK);
	assert_string_equal(e.text, "found 3, wanted 4; while reading 'x'");
	assert_int_equal(onx_fail(&e, ONX_IO, "again: %s", e.text), ONX_IO);
	assert_string_equal(e.text, "again: found 3, wanted 4; while reading 'x'");
}

static void one_plain_line(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	assert_int_equal(onx_fail(&e, ONX_FORMAT, "name '%s'", "a\nb\x1b[31m"), ONX_FORMAT);
	assert_string_equal(e.text, "name 'a?b?[31m'");
}

static void long_texts_are_cut_not_overrun(void **state)
{
	struct onx_err e = { 0 };
	char big[3000];

	(void)state;
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = 0;
	assert_int_equal(onx_fail(&e, ONX_IO, "%s", big), ONX_IO);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	assert_int_equal(onx_fail(&e, ONX_IO, "short"), ONX_IO);
	assert_int_equal(onx_while(&e, ONX_IO, "%s", big), ONX_IO);
	assert_true(strlen(e.text) < sizeof e.text);
	assert_int_equal(onx_fail(NULL, ONX_IO, "nobody listens"), ONX_IO);
}

static void exit_statuses(void **state)
{
	(void)state;
	assert_int_equal(onx_exit_status(ONX_OK), 0);
	assert_int_equal(onx_exit_status(ONX_NO), 1);
	assert_int_equal(onx_exit_status(ONX_USAGE), 2);
	assert_int_equal(onx_exit_status(ONX_NUMERIC), 8);
	assert_int_not_equal(onx_exit_status(-99), 0);
	assert_string_equal(onx_code_text(ONX_OK), "done");
}

static void shortage_names_the_size(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	must_fail(onx_nomem(&e, 3 * 1024.0 * 1024, "the plan"), ONX_NOMEM, &e, "the plan wants 3.0 MiB");
	must_fail(onx_nomem(&e, 100, "a name"), ONX_NOMEM, &e, "a name wants 100 bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_code), cmocka_unit_test(one_plain_line),
		cmocka_unit_test(long_texts_are_cut_not_overrun), cmocka_unit_test(exit_statuses),
		cmocka_unit_test(shortage_names_the_size)
	};

	return RUN(tests);
}
