/* The scan of the wire format: what is refused, with which words; and that nothing crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/io.h"
#include "model/model.h"
#include "unit/lib/pb.h"

/* Parses, expects this code and these words, frees. */
static void refuse(const void *p, size_t n, int code, const char *words)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };

	assert_int_equal(onx_model_parse(p, n, NULL, &m, &e), code);
	if (!strstr(e.text, words))
		fail_msg("'%s' does not say '%s'", e.text, words);
	assert_null(strchr(e.text, '\n'));
}

static void refuse_buf(struct onx_buf *b, int code, const char *words)
{
	refuse(b->data, b->len, code, words);
	onx_buf_release(b);
}

static void test_not_onnx(void **state)
{
	(void)state;
	refuse("", 0, ONX_FORMAT, "not an ONNX model: it is empty");
	refuse("hello world, this is text\n", 26, ONX_FORMAT, "not an ONNX model: text");
	refuse("\xff\xd8\xff\xe0\0\x10JFIF", 10, ONX_FORMAT, "not an ONNX model: a JPEG picture");
	refuse("\x89PNG\r\n\x1a\n", 8, ONX_FORMAT, "a PNG picture");
	refuse("PK\3\4....", 8, ONX_FORMAT, "a zip archive");
	refuse("version https://git-lfs.github.com/spec/v1\noid", 46, ONX_FORMAT,
	       "a Git LFS pointer");
	refuse("<!DOCTYPE html>", 15, ONX_FORMAT, "a web page");
	refuse("\x08\x08", 2, ONX_FORMAT, "it has no graph");
	refuse("\xff\xff\xff\xff\xff\xff", 6, ONX_FORMAT, "damaged at byte 0");
}

static void test_damage(void **state)
{
	static const struct { const char *bytes; size_t n; const char *words;
	} rows[] = {
		{ "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13, "does not end" },
		{ "\x08\xff", 2, "field 1 'ir_version' does not end" },
		{ "\x3a\x7f\x0a\x00", 4,
		  "damaged at byte 0: field 7 'graph' wants 127 bytes, 2 are left" },
		{ "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
		  "wants 18446744073709551615 bytes" },
		{ "\x3a\x04\x2a\x02\x23\x00", 6, "a group, which ONNX never had" },
		{ "\x08\x01\x00\x01", 4,
		  "damaged at byte 2: no field of 'ModelProto' begins like this" },
		{ "\x08\x01\x0f\x01", 4, "has the wire type 7 (none)" },
		{ "\x0d\x01\x02\x03\x04", 5, "field 'ir_version' has the wire type 5, not 0" },
		{ "\x38\x01", 2, "field 'graph' has the wire type 0, not 2" },
		{ "\x12\x03"
		  "a\0b",
		  5, "a zero byte in the string 'producer_name'" },
		{ "\x3a\x00\x3a\x00", 4, "'graph' of 'ModelProto' is given twice" },
		{ "\x3a\x07\x2a\x05\x22\x03"
		  "abc",
		  9, "list 'float_data' has 3 bytes, not a multiple of 4" },
		{ "\x3a\x05\x2a\x03\x3a\x01\x80", 7, "a number in list 'int64_data' does not end" },
		{ "\x08\x01\xfd\x3e\x01", 5, "wants 4 bytes, 1 are left" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		refuse(rows[i].bytes, rows[i].n, ONX_FORMAT, rows[i].words);
}

/* Oneofs: two kinds of one type. */
static void test_oneof_twice(void **state)
{
	struct onx_buf g = { 0 }, v = { 0 }, type = { 0 }, m;

	(void)state;
	pb_str(&type, 1, "");
	pb_str(&type, 4, "");
	pb_str(&v, 1, "x");
	pb_msg(&v, 2, &type);
	pb_msg(&g, 11, &v);
	m = pb_model(&g);
	refuse_buf(&m, ONX_FORMAT, "'sequence_type' of 'TypeProto' is given twice");
}

static struct onx_buf nested_ifs(int depth)
{
	struct onx_buf g = { 0 };

	pb_str(&g, 2, "leaf");
	for (int i = 0; i < depth; i++) {
		struct onx_buf a = { 0 }, n = { 0 }, outer = { 0 };
		pb_str(&a, 1, "then_branch");
		pb_msg(&a, 6, &g);
		pb_int(&a, 20, 5);
		pb_str(&n, 4, "If");
		pb_msg(&n, 5, &a);
		pb_msg(&outer, 1, &n);
		g = outer;
	}
	return pb_model(&g);
}

static void test_depth(void **state)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };
	struct onx_buf b = nested_ifs(90);

	(void)state;
	refuse_buf(&b, ONX_FORMAT, "more than 100 messages inside each other");
	b = nested_ifs(32);
	assert_int_equal(onx_model_parse(b.data, b.len, NULL, &m, &e), ONX_OK);
	onx_model_free(m);
	onx_buf_release(&b);
}

/* Two bytes a node in the file, hundreds in memory. */
static void test_amplification(void **state)
{
	struct onx_buf g = { 0 }, m;

	(void)state;
	for (int i = 0; i < 1500000; i++)
		onx_buf_add(&g, "\x0a\x00", 2);
	m = pb_model(&g);
	refuse_buf(&m, ONX_NOMEM, "that its size allows");
}

/* Whatever comes: a fault in one line, or a model that can be freed. */
static void any(const void *p, size_t n)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };
	struct onx_buf out = { 0 };

	/* An exact copy on the heap, so that AddressSanitizer sees a read past its end. */
	char *copy = malloc(n ? n : 1);
	memcpy(copy, p, n);
	int rc = onx_model_parse(copy, n, NULL, &m, &e);
	free(copy);
	if (rc < 0) {
		assert_true(e.text[0] != 0);
		assert_null(strchr(e.text, '\n'));
		return;
	}
	assert_int_equal(onx_model_set_meta(m, "k", "v", &e), ONX_OK);
	assert_int_equal(onx_model_bytes(m, &out, &e), ONX_OK);
	onx_buf_release(&out);
	onx_model_free(m);
}

static void test_truncated(void **state)
{
	struct onx_buf b = pb_zoo();
	size_t refused = 0;

	(void)state;
	for (size_t n = 0; n < b.len; n++) {
		struct onx_model *m = NULL;
		struct onx_err e = { 0 };
		any(b.data, n);
		if (onx_model_parse(b.data, n, NULL, &m, &e) < 0)
			refused++;
		else
			onx_model_free(m);
	}
	/* Only a cut between two fields of the ModelProto after the graph can pass. */
	assert_true(refused >= b.len - 5);
	onx_buf_release(&b);
}

static void test_bit_flips(void **state)
{
	struct onx_buf b = pb_zoo();

	(void)state;
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] = (char)(b.data[i / 8] ^ 1 << i % 8);
		any(b.data, b.len);
		b.data[i / 8] = (char)(b.data[i / 8] ^ 1 << i % 8);
	}
	onx_buf_release(&b);
}

/* A real file: cut at every 64th of its length, and one bit flipped in each of its first bytes
 * (where the graph begins), then here and there. */
static void test_real_file(void **state)
{
	const char *shared = getenv("ONX_SHARED");
	struct onx_err e = { 0 };
	struct onx_bytes b;
	char path[512];

	(void)state;
	if (!shared || !*shared)
		skip();
	snprintf(path, sizeof path, "%s/models/mnist-7-cntk.onnx", shared);
	if (onx_read(path, SIZE_MAX, &b, &e) < 0)
		skip();
	for (size_t i = 0; i < 64; i++) {
		struct onx_model *m;
		any(b.data, b.len * i / 64);
		assert_true(onx_model_parse(b.data, b.len * i / 64, NULL, &m, &e) < 0);
	}
	uint8_t *copy = malloc(b.len);
	memcpy(copy, b.data, b.len);
	for (size_t i = 0; i < b.len * 8; i += i < 1200 ? 1 : 997) {
		copy[i / 8] = (uint8_t)(copy[i / 8] ^ 1u << i % 8);
		any(copy, b.len);
		copy[i / 8] = (uint8_t)(copy[i / 8] ^ 1u << i % 8);
	}
	free(copy);
	onx_bytes_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_onnx), cmocka_unit_test(test_damage),
		cmocka_unit_test(test_oneof_twice), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_amplification), cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bit_flips), cmocka_unit_test(test_real_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
