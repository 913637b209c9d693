/* .npy and .npz files. */
#include <stdlib.h>
#include <zip.h>
#include "unit.h"
#include "lib/pictures.h"
#include "data/npy.h"

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

/* A format 1.0 file in buf; returns its length. */
static size_t make(char *buf, const char *dict, const void *data, size_t n)
{
	size_t len = strlen(dict);

	memcpy(buf, "\x93NUMPY\1\0", 8);
	buf[8] = (char)len;
	buf[9] = 0;
	memcpy(buf + 10, dict, len);
	memcpy(buf + 10 + len, data, n);
	return 10 + len + n;
}

static void test_round(void **state)
{
	static const float x[6] = { 0, 1.5f, -2, 65504, 0.1f, 3 };
	static const enum onx_dtype types[] = { ONX_FLOAT, ONX_FLOAT16 };
	int64_t dim[2] = { 2, 3 };
	struct onx_view v = { .v = (void *)x, .n = 6, .rank = 2, .dim = dim, .width = 4 };
	struct onx_array a;
	struct onx_err e = { 0 };

	(void)state;
	for (int t = 0; t < 2; t++) {
		v.type = types[t];
		must(onx_npy_write(in_dir("a.npy"), &v, &e), &e);
		must(onx_npy_read(path, &a, &e), &e);
		assert_int_equal(a.type, types[t]);
		assert_int_equal(a.shape.rank, 2);
		assert_int_equal(a.shape.dim[1], 3);
		assert_int_equal(a.width, t ? 2 : 4);
		for (size_t i = 0; i < 6; i++)
			assert_true(onx_array_real(&a, i) ==
				    (t ? onx_from_f16(onx_to_f16(x[i])) : x[i]));
		onx_array_release(&a);
	}
	v.rank = 0;
	v.n = 1;
	must(onx_npy_write(in_dir("scalar.npy"), &v, &e), &e);
	must(onx_npy_read(path, &a, &e), &e);
	assert_int_equal(a.n, 1);
	onx_array_release(&a);
}

static void test_orders(void **state)
{
	static const int16_t columns[6] = { 1, 4, 2, 5, 3, 6 };
	static const uint8_t big[4] = { 0x01, 0x02, 0xff, 0xfe };
	static const uint32_t text[4] = { 'a', 0xe9, 'b', 0 };
	struct onx_array a;
	struct onx_err e = { 0 };
	char buf[400];
	size_t n;

	(void)state;
	n = make(buf, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n", columns, 12);
	must(onx_npy_parse(buf, n, "f", &a, &e), &e);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(onx_array_real(&a, i), i + 1);
	onx_array_release(&a);
	n = make(buf, "{'shape': (2,), 'fortran_order': False, 'descr': '>i2'}", big, 4);
	must(onx_npy_parse(buf, n, "b", &a, &e), &e);
	assert_int_equal(onx_array_real(&a, 0), 0x102);
	assert_int_equal(onx_array_real(&a, 1), -2);
	onx_array_release(&a);
	n = make(buf, "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", text, 16);
	must(onx_npy_parse(buf, n, "s", &a, &e), &e);
	assert_string_equal(((const char *const *)a.data)[0], "a\xc3\xa9");
	assert_string_equal(((const char *const *)a.data)[1], "b");
	onx_array_release(&a);
}

static void test_load(void **state)
{
	static const double x[3] = { 1, 300, 2.5 };
	struct onx_array a;
	struct onx_err e = { 0 };
	char buf[200];
	uint8_t small[3];
	float f[2];
	size_t n = make(buf, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", x, 24);
	struct onx_view v = { .v = f, .n = 2, .type = ONX_FLOAT, .width = 4 };

	(void)state;
	must(onx_npy_parse(buf, n, "x", &a, &e), &e);
	must(onx_array_load(&a, 1, &v, &e), &e);
	assert_true(f[0] == 300 && f[1] == 2.5f);
	v = (struct onx_view){ .v = small, .n = 1, .type = ONX_UINT8, .width = 1 };
	must(onx_array_load(&a, 0, &v, &e), &e);
	assert_int_equal(small[0], 1);
	must_fail(onx_array_load(&a, 1, &v, &e), ONX_SHAPE, &e, "element 1 is 300");
	must_fail(onx_array_load(&a, 2, &v, &e), ONX_SHAPE, &e, "element 2 is 2.5");
	onx_array_release(&a);
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {
		"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",    /* too few bytes */
		"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1), }",
		"{'descr': '<f4', 'fortran_order': False, }",
		"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
		"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
		"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", "",
	};
	struct onx_array a;
	struct onx_err e = { 0 };
	char buf[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t n = make(buf, bad[i], "\0\0\0\0", 4);

		assert_true(onx_npy_parse(buf, n, "it", &a, &e) < 0);
		assert_non_null(strstr(e.text, "'it'"));
	}
	for (size_t n = 0; n < 75; n++)
		assert_true(onx_npy_parse(buf, n < 10 ? n : 10, "it", &a, &e) < 0);
}

static void put(zip_t *z, const char *name, const void *data, size_t n, int method)
{
	zip_int64_t i = zip_file_add(z, name, zip_source_buffer(z, data, n, 0), 0);

	assert_true(i >= 0);
	assert_int_equal(zip_set_file_compression(z, (zip_uint64_t)i, method, 0), 0);
}

static void test_npz(void **state)
{
	static const float x[4] = { 1, 2, 3, 4 };
	struct onx_npz *z;
	struct onx_array a;
	struct onx_err e = { 0 };
	char one[200];
	size_t n = make(one, "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", x, 16);
	zip_t *w = zip_open(in_dir("a.npz"), ZIP_CREATE | ZIP_TRUNCATE, NULL);

	(void)state;
	put(w, "stored.npy", one, n, ZIP_CM_STORE);
	put(w, "deflated.npy", one, n, ZIP_CM_DEFLATE);
	assert_int_equal(zip_close(w), 0);
	must(onx_npz_open(path, &z, &e), &e);
	assert_int_equal(onx_npz_count(z), 2);
	assert_string_equal(onx_npz_name(z, 0), "stored");
	for (size_t i = 0; i < 2; i++) {
		must(onx_npz_read(z, onx_npz_name(z, i), &a, &e), &e);
		assert_int_equal(a.n, 4);
		assert_memory_equal(a.data, x, 16);
		onx_array_release(&a);
	}
	must_fail(onx_npz_read(z, "store", &a, &e), ONX_USAGE, &e, "did you mean 'stored'");
	onx_npz_free(z);
	test_file(in_dir("no.npz"), "PK\3\4 not really", 15);
	must_fail(onx_npz_open(path, &z, &e), ONX_FORMAT, &e, "no.npz");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round), cmocka_unit_test(test_orders),
		cmocka_unit_test(test_load), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_npz),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
