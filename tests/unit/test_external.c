/* Data files beside a model: what is refused, and where they go when a model is saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "model/model.h"
#include "unit/lib/pb.h"

static const float numbers[] = { 1, 2, 3, 4, 5, 6 };
static const int64_t three[] = { 3 };

/* A folder of its own for each test, the current one while it runs. */
static int enter(void **state)
{
	char *dir = strdup("/tmp/onx-external-XXXXXX");

	*state = dir;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	char *dir = *state, line[64];

	snprintf(line, sizeof line, "rm -rf '%s'", dir);
	free(dir);
	return chdir("/") == 0 && system(line) == 0 ? 0 : -1;
}

static void put(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static size_t get(const char *path, void *p, size_t n)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return 0;
	n = fread(p, 1, n, f);
	fclose(f);
	return n;
}

/* A model with the external tensor "w" of three floats; NULL: leave the key out. */
static struct onx_buf model(const char *location, const char *offset, const char *length,
			    const char *extra)
{
	struct onx_buf t = pb_tensor("w", ONX_FLOAT, three, 1), g = { 0 };

	if (location)
		pb_entry(&t, 13, "location", location);
	if (offset)
		pb_entry(&t, 13, "offset", offset);
	if (length)
		pb_entry(&t, 13, "length", length);
	if (extra)
		pb_entry(&t, 13, extra, "0123");
	pb_int(&t, 14, 1);
	pb_msg(&g, 5, &t);
	return pb_model(&g);
}

static void put_model(const char *path, const char *location, const char *offset,
		      const char *length, const char *extra)
{
	struct onx_buf b = model(location, offset, length, extra);
	put(path, b.data, b.len);
	onx_buf_release(&b);
}

static void refuse(const char *location, const char *offset, const char *length, const char *extra,
		   int code, const char *words)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };

	put_model("m.onnx", location, offset, length, extra);
	const int rc = onx_model_read("m.onnx", &m, &e);
	if (rc == ONX_OK)
		onx_model_free(m);
	if (rc != code || !strstr(e.text, words))
		fail_msg("%d: '%s' does not say '%s'", rc, e.text, words);
}

static void test_places(void **state)
{
	(void)state;
	put("w.bin", numbers, sizeof numbers);
	assert_int_equal(mkdir("sub", 0777), 0);
	put("sub/w.bin", numbers, sizeof numbers);
	assert_int_equal(symlink("w.bin", "link.bin"), 0);
	assert_int_equal(symlink("sub", "linkdir"), 0);
	assert_int_equal(symlink("/etc/passwd", "passwd"), 0);
	assert_int_equal(link("sub/w.bin", "hard.bin"), 0);
	assert_int_equal(mkfifo("pipe", 0666), 0);
	refuse("../w.bin", NULL, NULL, NULL, ONX_FORMAT, "only files inside the model's folder");
	refuse("sub/../w.bin", NULL, NULL, NULL, ONX_FORMAT,
	       "only files inside the model's folder");
	refuse("sub/..", NULL, NULL, NULL, ONX_FORMAT, "only files inside the model's folder");
	refuse("/etc/passwd", NULL, NULL, NULL, ONX_FORMAT, "only files inside the model's folder");
	refuse("//etc/passwd", NULL, NULL, NULL, ONX_FORMAT,
	       "only files inside the model's folder");
	refuse("", NULL, NULL, NULL, ONX_FORMAT, "no location");
	refuse(NULL, "0", NULL, NULL, ONX_FORMAT, "no location");
	refuse("link.bin", NULL, NULL, NULL, ONX_FORMAT, "symbolic links are not followed");
	refuse("passwd", NULL, NULL, NULL, ONX_FORMAT, "symbolic links are not followed");
	refuse("linkdir/w.bin", NULL, NULL, NULL, ONX_FORMAT,
	       "'linkdir' is a link or not a folder");
	refuse("w.bin/x", NULL, NULL, NULL, ONX_FORMAT, "'w.bin' is a link or not a folder");
	refuse("hard.bin", NULL, NULL, NULL, ONX_FORMAT, "hard links are not allowed");
	refuse("sub", NULL, NULL, NULL, ONX_FORMAT, "not a regular file");
	refuse("pipe", NULL, NULL, NULL, ONX_FORMAT, "not a regular file");
	refuse("none.bin", NULL, NULL, NULL, ONX_IO, "cannot open external data 'none.bin'");
}

static void test_numbers(void **state)
{
	(void)state;
	put("w.bin", numbers, sizeof numbers);
	refuse("w.bin", "16", NULL, NULL, ONX_FORMAT,
	       "tensor 'w': bytes 16 to 28 of 'w.bin', which has 24");
	refuse("w.bin", "1000", NULL, NULL, ONX_FORMAT, "which has 24");
	refuse("w.bin", "9223372036854775800", "12", NULL, ONX_FORMAT, "which has 24");
	refuse("w.bin", "18446744073709551615", "12", NULL, ONX_FORMAT, "is not a number of bytes");
	refuse("w.bin", "-4", NULL, NULL, ONX_FORMAT, "offset '-4' is not a number of bytes");
	refuse("w.bin", "0", "-12", NULL, ONX_FORMAT, "length '-12' is not a number of bytes");
	refuse("w.bin", "0x4", NULL, NULL, ONX_FORMAT, "is not a number of bytes");
	refuse("w.bin", "", NULL, NULL, ONX_FORMAT, "is not a number of bytes");
	refuse("w.bin", "0", "8", NULL, ONX_FORMAT, "8 bytes in 'w.bin', its dims want 12");
	refuse("w.bin", NULL, NULL, "command", ONX_FORMAT, "unknown key 'command'");
	refuse("w.bin", NULL, NULL, "location", ONX_FORMAT, "repeated key 'location'");
}

static void test_no_folder(void **state)
{
	struct onx_buf b = model("w.bin", NULL, NULL, NULL);
	struct onx_model *m;
	struct onx_err e = { 0 };

	(void)state;
	assert_int_equal(onx_model_parse(b.data, b.len, NULL, &m, &e), ONX_FORMAT);
	assert_non_null(strstr(e.text, "came without a folder"));
	onx_buf_release(&b);
}

/* Reads "w" as floats. */
static void weights(const struct onx_weight *w, float y[3])
{
	const struct onx_view v = {
		.v = y, .n = 3, .rank = 1, .dim = three, .type = ONX_FLOAT, .width = 4
	};
	struct onx_err e = { 0 };

	if (onx_weight_load(w, &v, &e) < 0)
		fail_msg("%s", e.text);
}

static struct onx_model *open_model(const char *path)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };

	if (onx_model_read(path, &m, &e) < 0)
		fail_msg("%s", e.text);
	return m;
}

static void expect(const char *path, float a, float b, float c)
{
	struct onx_model *m = open_model(path);
	float y[3];

	weights(onx_model_graph(m)->init[0], y);
	assert_true(y[0] == a && y[1] == b && y[2] == c);
	onx_model_free(m);
}

static void change(struct onx_model *m, float a, float b, float c)
{
	float y[3] = { a, b, c };
	const struct onx_view v = {
		.v = y, .n = 3, .rank = 1, .dim = three, .type = ONX_FLOAT, .width = 4
	};
	struct onx_err e = { 0 };

	if (onx_weight_store(m, onx_model_graph(m)->init[0], &v, &e) < 0)
		fail_msg("%s", e.text);
}

static void save(struct onx_model *m, const char *path)
{
	struct onx_err e = { 0 };

	if (onx_model_write(m, path, &e) < 0)
		fail_msg("%s", e.text);
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void expect_file(const char *path, float a, float b, float c, float d, float e, float f)
{
	const float want[] = { a, b, c, d, e, f };
	float y[7];

	assert_int_equal(get(path, y, sizeof y), sizeof want);
	assert_memory_equal(y, want, sizeof want);
}

/* In place: the data file is replaced, layout and neighbours kept; its checksum goes. */
static void test_in_place(void **state)
{
	(void)state;
	put("w.bin", numbers, sizeof numbers);
	put_model("m.onnx", "./w.bin", "8", "12", "checksum");
	struct onx_model *m = open_model("m.onnx");
	float y[3];
	weights(onx_model_graph(m)->init[0], y);
	assert_true(y[0] == 3 && y[2] == 5);
	change(m, 30, 40, 50);
	expect_file("w.bin", 1, 2, 3, 4, 5, 6);         /* until it is saved */
	save(m, "m.onnx");
	save(m, "m.onnx");
	onx_model_free(m);
	expect_file("w.bin", 1, 2, 30, 40, 50, 6);
	expect("m.onnx", 30, 40, 50);
	assert_int_equal(entries("."), 2);
	char bytes[400];
	const size_t n = get("m.onnx", bytes, sizeof bytes);
	assert_null(memmem(bytes, n, "checksum", 8));
}

/* Beside the original: its data stay; shared while they are the same. */
static void test_other_name(void **state)
{
	(void)state;
	put("w.bin", numbers, sizeof numbers);
	put_model("m.onnx", "w.bin", NULL, NULL, NULL);
	struct onx_model *m = open_model("m.onnx");
	save(m, "same.onnx");
	assert_int_equal(entries("."), 3);
	expect("same.onnx", 1, 2, 3);
	change(m, 7, 8, 9);
	save(m, "out.onnx");
	save(m, "out.onnx");                            /* its own data may be replaced */
	assert_int_equal(entries("."), 5);
	onx_model_free(m);
	expect("m.onnx", 1, 2, 3);
	expect("out.onnx", 7, 8, 9);
	expect_file("out.onnx.data", 7, 8, 9, 4, 5, 6);
	expect_file("w.bin", 1, 2, 3, 4, 5, 6);
}

static void test_other_folder(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	assert_int_equal(mkdir("data", 0777), 0);
	assert_int_equal(mkdir("out", 0777), 0);
	put("data/w.bin", numbers, sizeof numbers);
	put_model("m.onnx", "data/w.bin", NULL, NULL, NULL);
	struct onx_model *m = open_model("m.onnx");
	save(m, "out/m.onnx");
	expect_file("out/data/w.bin", 1, 2, 3, 4, 5, 6);
	change(m, 7, 8, 9);
	save(m, "out/m.onnx");                          /* named by the model that is replaced */
	expect("out/m.onnx", 7, 8, 9);
	expect_file("out/data/w.bin", 7, 8, 9, 4, 5, 6);

	/* A file of somebody else is not touched. */
	assert_int_equal(mkdir("third", 0777), 0);
	assert_int_equal(mkdir("third/data", 0777), 0);
	put("third/data/w.bin", "mine", 4);
	save(m, "third/m.onnx");
	expect("third/m.onnx", 7, 8, 9);
	char mine[8];
	assert_int_equal(get("third/data/w.bin", mine, 8), 4);
	expect_file("third/m.onnx.data", 7, 8, 9, 4, 5, 6);
	onx_model_free(m);

	/* Nor is anything written through a link, file or folder. */
	m = open_model("m.onnx");
	assert_int_equal(mkdir("fourth", 0777), 0);
	assert_int_equal(symlink("../third/data", "fourth/data"), 0);
	assert_int_equal(onx_model_write(m, "fourth/m.onnx", &e), ONX_FORMAT);
	assert_non_null(strstr(e.text, "is a link or not a folder"));
	assert_int_equal(entries("fourth"), 1);
	assert_int_equal(unlink("fourth/data"), 0);
	assert_int_equal(mkdir("fourth/data", 0777), 0);
	assert_int_equal(symlink("../../third/data/w.bin", "fourth/data/w.bin"), 0);
	assert_int_equal(onx_model_write(m, "fourth/m.onnx", &e), ONX_IO);
	assert_non_null(strstr(e.text, "it is a link"));
	assert_int_equal(entries("fourth"), 1);
	assert_int_equal(get("third/data/w.bin", mine, 8), 4);
	onx_model_free(m);
}

/* To a pipe, and into one message, the numbers go into the file. */
static void test_inline(void **state)
{
	struct onx_buf b = { 0 };
	struct onx_err e = { 0 };
	struct onx_model *m, *n;
	float y[3];

	(void)state;
	put("w.bin", numbers, sizeof numbers);
	put_model("m.onnx", "w.bin", "12", NULL, NULL);
	m = open_model("m.onnx");
	assert_int_equal(onx_model_bytes(m, &b, &e), ONX_OK);
	assert_int_equal(onx_model_parse(b.data, b.len, NULL, &n, &e), ONX_OK);
	assert_false(onx_model_graph(n)->init[0]->external);
	weights(onx_model_graph(n)->init[0], y);
	assert_true(y[0] == 4 && y[2] == 6);
	onx_model_free(n);
	onx_buf_release(&b);
	save(m, "copy.onnx");                           /* still external afterwards */
	onx_model_free(m);
	m = open_model("copy.onnx");
	assert_true(onx_model_graph(m)->init[0]->external);
	onx_model_free(m);
}

/* A disk that is full, a folder that cannot be written: a fault, and nothing left behind. */
static void test_no_room(void **state)
{
	struct onx_err e = { 0 };

	(void)state;
	put("w.bin", numbers, sizeof numbers);
	put_model("m.onnx", "w.bin", NULL, NULL, NULL);
	struct onx_model *m = open_model("m.onnx");
	if (access("/dev/full", W_OK) == 0)
		assert_int_equal(onx_model_write(m, "/dev/full", &e), ONX_IO);
	assert_int_equal(onx_model_write(m, "none/m.onnx", &e), ONX_IO);
	change(m, 7, 8, 9);
	assert_int_equal(onx_model_write(m, "w.bin", &e), ONX_IO);
	assert_non_null(strstr(e.text, "would both be 'w.bin'"));
	onx_model_free(m);
	assert_int_equal(entries("."), 2);
	expect_file("w.bin", 1, 2, 3, 4, 5, 6);
}

/* Offsets beyond 4 GiB, in a file with a hole. */
static void test_large(void **state)
{
	const int fd = open("big.bin", O_RDWR | O_CREAT, 0666);
	float y[3];

	(void)state;
	assert_true(fd >= 0);
	if (ftruncate(fd, (off_t)5 << 30) < 0 || pwrite(fd, numbers, 12, (off_t)5000000000) != 12)
		skip();
	close(fd);
	put_model("m.onnx", "big.bin", "5000000000", "12", NULL);
	struct onx_model *m = open_model("m.onnx");
	weights(onx_model_graph(m)->init[0], y);
	assert_true(y[0] == 1 && y[2] == 3);
	onx_model_free(m);
}

#define T(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_places),   T(test_numbers),    T(test_no_folder),
		T(test_in_place), T(test_other_name), T(test_other_folder),
		T(test_inline),   T(test_no_room),    T(test_large),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
