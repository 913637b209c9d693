#include "unit.h"
#include "base/arena.h"
#include "base/buf.h"

static void pieces_are_zeroed_and_aligned(void **state)
{
	struct onx_arena a = { 0 };
	const struct onx_mark m = onx_arena_mark(&a);

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t n = 0; n < 300; n++) {
			unsigned char *p = onx_alloc(&a, n, 3);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 64, 0);
			for (size_t i = 0; i < n * 3; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xA5, n * 3);
		}
		onx_arena_rewind(&a, m);
		assert_int_equal(a.live, 0);
	}
	onx_arena_release(&a);
	assert_null(a.top);
}

static void overflow_is_null(void **state)
{
	struct onx_arena a = { 0 };

	(void)state;
	assert_null(onx_alloc(&a, SIZE_MAX, 2));
	assert_null(onx_alloc(&a, SIZE_MAX / 2 + 2, 2));
	assert_null(onx_alloc(&a, SIZE_MAX, 1));
	assert_null(onx_alloc(&a, SIZE_MAX - 63, 1));
	assert_null(onx_heap(SIZE_MAX / 4, 8));
	assert_null(a.top);
}

static void rewind_gives_back_only_what_came_after(void **state)
{
	struct onx_arena a = { 0 };

	(void)state;
	char *first = onx_dup(&a, "stays");
	const struct onx_mark m = onx_arena_mark(&a);
	const size_t live = a.live;
	for (int i = 0; i < 100; i++)
		assert_non_null(onx_alloc(&a, 10000, 1));       /* several chunks */
	assert_non_null(onx_alloc(&a, 1000000, 1));             /* and one of its own size */
	onx_arena_rewind(&a, m);
	assert_string_equal(first, "stays");
	assert_int_equal(a.live, live);
	assert_true(a.peak >= 2000000);
	char *next = onx_dup(&a, "next");
	assert_true(next > first && next - first <= 192);
	onx_arena_release(&a);
}

static void texts(void **state)
{
	struct onx_arena a = { 0 };

	(void)state;
	assert_null(onx_dup(&a, NULL));
	assert_string_equal(onx_dupn(&a, "abcdef", 3), "abc");
	assert_string_equal(onx_text(&a, "%s-%d", "x", 7), "x-7");
	onx_arena_release(&a);
}

static void the_nth_allocation_fails(void **state)
{
	struct onx_arena a = { 0 };

	(void)state;
	onx_alloc_fail_at(3);
	assert_non_null(onx_alloc(&a, 1, 1));
	void *h = onx_heap(1, 1);
	assert_non_null(h);
	assert_null(onx_alloc(&a, 1, 1));
	assert_non_null(onx_alloc(&a, 1, 1));
	onx_alloc_fail_at(1);
	assert_null(onx_heap_grow(h, 1, 100));  /* h stays */
	onx_alloc_fail_at(0);
	onx_heap_free(h);
	onx_arena_release(&a);
}

static void heap_grows_with_its_contents(void **state)
{
	(void)state;
	unsigned char *p = onx_heap(100, 1);
	for (int i = 0; i < 100; i++)
		p[i] = (unsigned char)i;
	p = onx_heap_grow(p, 100, 5000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], i);
	for (int i = 100; i < 5000; i++)
		assert_int_equal(p[i], 0);
	onx_heap_free(p);
	onx_heap_free(NULL);
}

static void buffer_appends(void **state)
{
	struct onx_buf b = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		onx_buf_fmt(&b, "%03d", i);
	onx_buf_str(&b, "end");
	onx_buf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 3005);
	assert_false(b.lost);
	assert_memory_equal(b.data + 2997, "999end\0x", 9);
	onx_buf_release(&b);
	assert_null(b.data);
}

static void buffer_remembers_a_loss(void **state)
{
	struct onx_buf b = { 0 };

	(void)state;
	onx_buf_str(&b, "abc");
	onx_alloc_fail_at(1);
	onx_buf_fmt(&b, "%1000d", 1);
	onx_alloc_fail_at(0);
	assert_true(b.lost);
	onx_buf_str(&b, "ignored");
	assert_string_equal(b.data, "abc");
	onx_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zeroed_and_aligned), cmocka_unit_test(overflow_is_null),
		cmocka_unit_test(rewind_gives_back_only_what_came_after), cmocka_unit_test(texts),
		cmocka_unit_test(the_nth_allocation_fails), cmocka_unit_test(heap_grows_with_its_contents),
		cmocka_unit_test(buffer_appends), cmocka_unit_test(buffer_remembers_a_loss)
	};

	return RUN(tests);
}
