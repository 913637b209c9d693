#include "unit.h"
#include "base/names.h"

static void put_and_get(void **state)
{
	struct onx_arena a = { 0 };
	struct onx_names m = { .arena = &a };
	char name[32];

	(void)state;
	assert_int_equal(onx_names_get(&m, "none yet"), ONX_NONE);
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "value_%u", i);
		assert_true(onx_names_put(&m, name, i));
	}
	assert_true(onx_names_put(&m, "", 77));
	assert_true(onx_names_put(&m, "value_3", 99));
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "value_%u", i);
		assert_int_equal(onx_names_get(&m, name), i == 3 ? 99 : i);
	}
	assert_int_equal(onx_names_get(&m, ""), 77);
	assert_int_equal(onx_names_get(&m, "value_5000"), ONX_NONE);
	onx_names_release(&m);
	assert_int_equal(onx_names_get(&m, "value_1"), ONX_NONE);
	onx_arena_release(&a);
}

/* Whichever allocation fails, the map says so and keeps what it had. */
static void shortage(void **state)
{
	(void)state;
	for (long n = 1; n < 60; n++) {
		struct onx_arena a = { 0 };
		struct onx_names m = { .arena = &a };
		char name[8] = "a";
		int lost = 0;
		onx_alloc_fail_at(n);
		for (uint32_t i = 0; i < 26; i++) {
			name[0] = (char)('a' + i);
			if (!onx_names_put(&m, name, i))
				lost++;
			else
				assert_int_equal(onx_names_get(&m, name), i);
		}
		onx_alloc_fail_at(0);
		assert_in_range(lost, 0, 1);
		onx_names_release(&m);
		onx_arena_release(&a);
	}
}

static void globs(void **state)
{
	(void)state;
	assert_true(onx_glob("fc.*", "fc.weight"));
	assert_true(onx_glob("*/conv?", "a/b/conv1"));
	assert_false(onx_glob("fc", "fc.weight"));
	assert_true(onx_glob("*", ""));
	assert_true(onx_glob("[ab]x", "bx"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_and_get), cmocka_unit_test(shortage), cmocka_unit_test(globs)
	};

	return RUN(tests);
}
