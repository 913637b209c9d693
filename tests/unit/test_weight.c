/* Tensors in every storage form: read, checked, written back in place, made new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "model/model.h"
#include "unit/lib/pb.h"

/* A model whose one initializer is t (released). */
static int with_tensor(struct onx_buf *t, struct onx_model **m, struct onx_err *e)
{
	struct onx_buf g = { 0 }, b;

	pb_msg(&g, 5, t);
	b = pb_model(&g);
	*m = NULL;
	int rc = onx_model_parse(b.data, b.len, NULL, m, e);
	onx_buf_release(&b);
	return rc;
}

static const struct onx_weight *only(const struct onx_model *m)
{
	assert_int_equal(onx_model_graph(m)->n_init, 1);
	return onx_model_graph(m)->init[0];
}

static struct onx_view view(void *v, size_t n, enum onx_dtype type, size_t width,
			    const int64_t *dim)
{
	return (struct onx_view){
		.v = v, .n = n, .rank = 1, .dim = dim, .type = type, .width = (uint8_t)width
	};
}

/* One row: n elements of a type, as raw_data and as a typed field, and what they are as numbers. */
struct row {
	enum onx_dtype type;
	size_t n;
	const void *raw; size_t raw_len;
	unsigned field;                 /* of the typed form; 4 and 10: fixed width, else varints */
	const int64_t *entry; size_t n_entry;
	const double *value;
};

static void add_typed(struct onx_buf *t, const struct row *r)
{
	struct onx_buf list = { 0 };

	if (r->field == 4 || r->field == 10)
		onx_buf_add(&list, r->raw, r->raw_len);
	else
		for (size_t i = 0; i < r->n_entry; i++)
			pb_raw_varint(&list, (uint64_t)r->entry[i]);
	pb_msg(t, r->field, &list);
}

static void check_form(const struct row *r, bool typed)
{
	const int64_t dim[] = { (int64_t)r->n };
	struct onx_buf t = pb_tensor("w", (int)r->type, dim, 1), before = { 0 }, after = { 0 };
	const bool real = onx_dtype_real(r->type);
	struct onx_model *m;
	struct onx_err e = { 0 };
	union { double d[16]; float f[16]; uint8_t b[128]; } mem, wide;

	if (typed)
		add_typed(&t, r);
	else
		pb_bytes(&t, 9, r->raw, r->raw_len);
	if (with_tensor(&t, &m, &e) < 0)
		fail_msg("%s: %s", onx_dtype_name(r->type), e.text);
	const struct onx_weight *w = only(m);
	assert_int_equal(w->n, r->n);
	assert_int_equal(w->raw != NULL, !typed);
	struct onx_view v = view(mem.b, r->n, r->type, onx_dtype_store(r->type, false), dim);
	if (onx_weight_load(w, &v, &e) < 0)
		fail_msg("%s: %s", onx_dtype_name(r->type), e.text);
	for (size_t i = 0; i < r->n; i++)
		assert_true(onx_view_real(&v, i) == r->value[i]);
	if (real) {
		struct onx_view d = view(wide.d, r->n, ONX_DOUBLE, 8, dim);
		assert_int_equal(onx_weight_load(w, &d, &e), ONX_OK);
		for (size_t i = 0; i < r->n; i++)
			assert_true(wide.d[i] == r->value[i]);
	}
	/* The same numbers back: the same (packed) file; others: found again. */
	assert_int_equal(onx_model_set_meta(m, "k", "v", &e), ONX_OK);
	assert_int_equal(onx_model_bytes(m, &before, &e), ONX_OK);
	assert_int_equal(onx_weight_store(m, w, &v, &e), ONX_OK);
	assert_int_equal(onx_model_bytes(m, &after, &e), ONX_OK);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, after.len);
	onx_view_put_real(&v, 0, r->value[r->n - 1]);
	assert_int_equal(onx_weight_store(m, w, &v, &e), ONX_OK);
	memset(&mem, 0x55, sizeof mem);
	assert_int_equal(onx_weight_load(w, &v, &e), ONX_OK);
	assert_true(onx_view_real(&v, 0) == r->value[r->n - 1]);
	assert_true(onx_view_real(&v, r->n - 1) == r->value[r->n - 1]);
	onx_buf_release(&before);
	onx_buf_release(&after);
	onx_model_free(m);
}

static void test_forms(void **state)
{
	static const float f[] = { 1.5f, -2, 0.1f };
	static const double d[] = { 1.5, -2, 0.1 }, fd[] = { 1.5, -2, 0.1f };
	static const double one[] = { 1, -2, 0.5 }, small[] = { 1, 2, 3 }, sint[] = { -1, 2, -3 };
	static const double s4[] = { -1, 7, -8 }, u4[] = { 15, 7, 8 }, f4[] = { 1, -6, 0.5 };
	static const double s2[] = { -1, 1, -2, 0, 1 }, u2[] = { 3, 1, 2, 0, 1 },
			    yes[] = { 1, 0, 1 };
	static const int64_t h[] = { 0x3c00, 0xc000, 0x3800 }, bf[] = { 0x3f80, 0xc000, 0x3f00 };
	static const int64_t p[] = { 1, 2, 3 }, q[] = { -1, 2, -3 }, b[] = { 1, 0, 1 };
	static const int64_t n4[] = { 0x7f, 0x08 }, fe[] = { 0xf2, 0x01 }, n2[] = { 0x27, 0x01 };
	static const int64_t e4[] = { 0x38, 0xc0, 0x30 }, e5[] = { 0x3c, 0xc0, 0x38 };
	static const int32_t i32[] = { -1, 2, -3 };
	static const uint32_t u32[] = { 1, 2, 3 };
	static const int64_t i64[] = { -1, 2, -3 };
	static const uint64_t u64[] = { 1, 2, 3 };
	static const double e2m3[] = { 1, -6, 0.5, 7.5, -0.125 }, e3m2[] = { 1, -6, 0.5, 28, -0.0625 };
	static const int64_t c23[] = { 0x08, 0x3c, 0x04, 0x1f, 0x21 }, c32[] = { 0x0c, 0x36, 0x08, 0x1f, 0x21 };
	const struct row rows[] = {
		{ ONX_FLOAT, 3, f, 12, 4, NULL, 0, fd },
		{ ONX_DOUBLE, 3, d, 24, 10, NULL, 0, d },
		{ ONX_FLOAT16, 3, "\x00\x3c\x00\xc0\x00\x38", 6, 5, h, 3, one },
		{ ONX_BFLOAT16, 3, "\x80\x3f\x00\xc0\x00\x3f", 6, 5, bf, 3, one },
		{ ONX_FLOAT8E4M3FN, 3, "\x38\xc0\x30", 3, 5, e4, 3, one },
		{ ONX_FLOAT8E5M2, 3, "\x3c\xc0\x38", 3, 5, e5, 3, one },
		{ ONX_FLOAT4E2M1, 3, "\xf2\x01", 2, 5, fe, 2, f4 },
		{ ONX_FLOAT6E2M3, 5, "\x08\x4f\x7c\x21", 4, 5, c23, 5, e2m3 },
		{ ONX_FLOAT6E3M2, 5, "\x8c\x8d\x7c\x21", 4, 5, c32, 5, e3m2 },
		{ ONX_INT8, 3, "\xff\x02\xfd", 3, 5, q, 3, sint },
		{ ONX_UINT8, 3, "\x01\x02\x03", 3, 5, p, 3, small },
		{ ONX_INT16, 3, "\xff\xff\x02\x00\xfd\xff", 6, 5, q, 3, sint },
		{ ONX_UINT16, 3, "\x01\x00\x02\x00\x03\x00", 6, 5, p, 3, small },
		{ ONX_INT32, 3, i32, 12, 5, q, 3, sint },
		{ ONX_UINT32, 3, u32, 12, 11, p, 3, small },
		{ ONX_INT64, 3, i64, 24, 7, q, 3, sint },
		{ ONX_UINT64, 3, u64, 24, 11, p, 3, small },
		{ ONX_BOOL, 3, "\x01\x00\x01", 3, 5, b, 3, yes },
		{ ONX_INT4, 3, "\x7f\x08", 2, 5, n4, 2, s4 },
		{ ONX_UINT4, 3, "\x7f\x08", 2, 5, n4, 2, u4 },
		{ ONX_INT2, 5, "\x27\x01", 2, 5, n2, 2, s2 },
		{ ONX_UINT2, 5, "\x27\x01", 2, 5, n2, 2, u2 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		check_form(&rows[i], false);
		check_form(&rows[i], true);
	}
}

/* More than one block, from an address that is not aligned. */
static void test_long(void **state)
{
	enum { N = 5000 };
	const int64_t dim[] = { N };
	float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
	struct onx_buf t = pb_tensor("odd", ONX_FLOAT, dim, 1);
	struct onx_model *m;
	struct onx_err e = { 0 };

	(void)state;
	for (int i = 0; i < N; i++)
		x[i] = (float)i * 0.25f;
	pb_bytes(&t, 9, x, N * sizeof *x);
	assert_int_equal(with_tensor(&t, &m, &e), ONX_OK);
	struct onx_view v = view(y, N, ONX_FLOAT, 4, dim);
	assert_int_equal(onx_weight_load(only(m), &v, &e), ONX_OK);
	assert_memory_equal(x, y, N * sizeof *x);
	onx_model_free(m);
	free(x);
	free(y);
}

static void refuse(struct onx_buf *t, int code, const char *words)
{
	struct onx_model *m;
	struct onx_err e = { 0 };

	assert_int_equal(with_tensor(t, &m, &e), code);
	if (!strstr(e.text, words))
		fail_msg("'%s' does not say '%s'", e.text, words);
}

static void test_amounts(void **state)
{
	const int64_t huge[] = { INT64_MAX, 4 }, minus[] = { -2 }, two[] = { 2 }, zero[] = { 0, 5 };
	struct onx_model *m;
	struct onx_err e = { 0 };
	struct onx_buf t = pb_tensor("w", ONX_FLOAT, huge, 2);

	(void)state;
	refuse(&t, ONX_FORMAT, "reading tensor 'w'");
	t = pb_tensor("w", ONX_FLOAT, minus, 1);
	refuse(&t, ONX_FORMAT, "reading tensor 'w'");
	t = pb_tensor("w", ONX_FLOAT, two, 1);
	pb_bytes(&t, 9, "1234567", 7);
	refuse(&t, ONX_FORMAT, "tensor 'w': raw_data has 7 bytes, float[2] wants 8");
	t = pb_tensor("w", ONX_FLOAT, two, 1);
	pb_bytes(&t, 4, "1234", 4);
	refuse(&t, ONX_FORMAT, "tensor 'w': holds 1 entries, float[2] wants 2");
	t = pb_tensor("w", ONX_FLOAT, two, 1);
	refuse(&t, ONX_FORMAT, "holds 0 entries");
	t = pb_tensor("w", ONX_STRING, two, 1);
	pb_bytes(&t, 9, "12", 2);
	refuse(&t, ONX_FORMAT, "raw_data has 2 bytes");
	t = pb_tensor("w", ONX_FLOAT, zero, 2);
	assert_int_equal(with_tensor(&t, &m, &e), ONX_OK);
	assert_int_equal(only(m)->n, 0);
	onx_model_free(m);
}

/* A type that we do not know and a segment are carried, not read. */
static void test_carried(void **state)
{
	const int64_t two[] = { 2 };
	float y[2];
	const struct onx_view v = view(y, 2, ONX_FLOAT, 4, two);
	struct onx_model *m;
	struct onx_err e = { 0 };
	struct onx_buf t = pb_tensor("new", 77, two, 1), s = { 0 };

	(void)state;
	pb_bytes(&t, 9, "abc", 3);
	assert_int_equal(with_tensor(&t, &m, &e), ONX_OK);
	assert_int_equal(only(m)->type, ONX_UNDEFINED);
	assert_int_equal(onx_weight_load(only(m), &v, &e), ONX_UNSUP);
	assert_non_null(strstr(e.text, "element type 77"));
	onx_model_free(m);
	t = pb_tensor("part", ONX_FLOAT, two, 1);
	pb_int(&s, 1, 0);
	pb_int(&s, 2, 1);
	pb_msg(&t, 3, &s);
	pb_bytes(&t, 9, "abcd", 4);
	assert_int_equal(with_tensor(&t, &m, &e), ONX_OK);
	assert_int_equal(onx_weight_load(only(m), &v, &e), ONX_UNSUP);
	onx_model_free(m);
}

static void test_strings(void **state)
{
	const int64_t dim[] = { 3 };
	const char *s[3];
	struct onx_buf t = pb_tensor("names", ONX_STRING, dim, 1);
	struct onx_model *m;
	struct onx_err e = { 0 };

	(void)state;
	pb_str(&t, 6, "one");
	pb_str(&t, 6, "");
	pb_str(&t, 6, "three");
	assert_int_equal(with_tensor(&t, &m, &e), ONX_OK);
	struct onx_view v = view(s, 3, ONX_STRING, onx_dtype_store(ONX_STRING, false), dim);
	assert_int_equal(onx_weight_load(only(m), &v, &e), ONX_OK);
	assert_string_equal(s[0], "one");
	assert_string_equal(s[1], "");
	assert_string_equal(s[2], "three");
	onx_model_free(m);
}

static void test_range(void **state)
{
	const int64_t dim[] = { 1 };
	static const enum onx_dtype types[] = { ONX_FLOAT16, ONX_FLOAT, ONX_FLOAT4E2M1,
						ONX_FLOAT8E5M2, ONX_FLOAT6E2M3, ONX_FLOAT6E3M2 };
	const struct onx_weight *w;
	struct onx_model *m;
	struct onx_err e = { 0 };
	double big = 1e300;
	int8_t nine = 9;

	(void)state;
	assert_int_equal(onx_model_new("g", 17, &m, &e), ONX_OK);
	struct onx_view v = view(&big, 1, ONX_DOUBLE, 8, dim);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		assert_int_equal(onx_weight_new(m, "w", types[i], &v, &w, &e), ONX_NUMERIC);
		assert_non_null(strstr(e.text, "tensor 'w': element 0 is 1e+300"));
	}
	v = view(&nine, 1, ONX_INT4, 1, dim);
	assert_int_equal(onx_weight_new(m, "q", ONX_INT4, &v, &w, &e), ONX_NUMERIC);
	nine = -8;
	assert_int_equal(onx_weight_new(m, "q", ONX_INT4, &v, &w, &e), ONX_OK);
	assert_int_equal(*(const uint8_t *)w->raw, 8);
	onx_model_free(m);
}

static void test_tensor_file(void **state)
{
	char path[] = "/tmp/onx-tensor-XXXXXX";
	const int64_t dim[] = { 2, 2 };
	float x[] = { 1, 2, 3, NAN }, y[4];
	struct onx_view v = {
		.v = x, .n = 4, .rank = 2, .dim = dim, .type = ONX_FLOAT, .width = 4
	};
	struct onx_tensor_file *f;
	const struct onx_weight *w;
	struct onx_err e = { 0 };
	const int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(onx_tensor_file_write(path, "input_0", &v, &e), ONX_OK);
	assert_int_equal(onx_tensor_file_read(path, &f, &w, &e), ONX_OK);
	assert_string_equal(w->name, "input_0");
	assert_int_equal(w->rank, 2);
	v.v = y;
	assert_int_equal(onx_weight_load(w, &v, &e), ONX_OK);
	assert_memory_equal(x, y, sizeof x);
	onx_tensor_file_free(f);
	FILE *out = fopen(path, "w");
	fputs("text", out);
	fclose(out);
	assert_int_equal(onx_tensor_file_read(path, &f, &w, &e), ONX_FORMAT);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),       cmocka_unit_test(test_long),
		cmocka_unit_test(test_amounts),     cmocka_unit_test(test_carried),
		cmocka_unit_test(test_strings),     cmocka_unit_test(test_range),
		cmocka_unit_test(test_tensor_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
