/* Data sources: what each format gives, and the one line that each kind of bad data earns. */
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>
#include "unit.h"
#include "lib/pictures.h"
#include "data/npy.h"
#include "data/preset.h"
#include "data/source.h"

struct bench {
	char dir[256], path[600];
	struct onx_arena arena;
	struct onx_source_opts so;
	struct onx_data_want want;
	struct onx_source_ask ask;
	int64_t dim[4];
	struct onx_source *src;
	struct onx_err e;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	test_folder(b->dir, sizeof(b->dir));
	must(onx_defaults(&onx_source_table, &b->so, &b->arena, &b->e), &b->e);
	b->want = (struct onx_data_want){ "x", ONX_FLOAT, 2, b->dim };
	b->dim[0] = b->dim[1] = -1;
	b->ask = (struct onx_source_ask){ .opts = &b->so, .want = &b->want, .n_want = 1 };
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	onx_source_free(b->src);
	onx_arena_release(&b->arena);
	test_folder_gone(b->dir);
	free(b);
	return 0;
}

static const char *in_dir(struct bench *b, const char *name)
{
	snprintf(b->path, sizeof(b->path), "%s/%s", b->dir, name);
	return b->path;
}

static int open_text(struct bench *b, const char *text)
{
	onx_source_free(b->src);
	b->src = NULL;
	test_file(in_dir(b, "t.csv"), text, strlen(text));
	return onx_source_open(b->path, &b->ask, &b->src, &b->e);
}

static void row(struct bench *b, size_t i, double *to)
{
	struct onx_view v = { .v = to, .n = b->src->part[0].n, .type = ONX_DOUBLE, .width = 8 };

	must(onx_source_load(b->src, 0, i, &v, &b->e), &b->e);
}

static void test_csv(void **state)
{
	struct bench *b = *state;
	double x[8];

	must(open_text(b, "\xef\xbb\xbf" "a,\"b, \"\"quoted\"\"\",c,kind\r\n1, 2.5 ,red,x\r\n\r\n"
		       "-1e1,0,\"blue\",y\r\n3,4,red,x"), &b->e);
	assert_int_equal(b->src->n, 3);
	assert_int_equal(b->src->n_class, 2);
	assert_string_equal(b->src->columns.v[1].name, "b, \"quoted\"");
	assert_int_equal(b->src->columns.n_feature, 4);
	assert_string_equal(b->src->columns.v[2].level[0], "blue");
	row(b, 1, x);
	assert_true(x[0] == -10 && x[1] == 0 && x[2] == 1 && x[3] == 0);
	row(b, 2, x);
	assert_true(x[0] == 3 && x[1] == 4 && x[2] == 0 && x[3] == 1);
	assert_int_equal(b->src->label[1], 1);
}

static void test_csv_target(void **state)
{
	static const char *const name = "a";
	struct bench *b = *state;

	b->so.task = ONX_TASK_REGRESS;
	b->so.target = (struct onx_strs){ &name, 1 };
	must(open_text(b, "a;b;c\n0.5;1;2\n-2;3;4\n"), &b->e);
	assert_int_equal(b->src->n_target, 1);
	assert_true(b->src->target[0] == 0.5f && b->src->target[1] == -2);
	assert_string_equal(b->src->columns.v[0].name, "b");
	must_fail(open_text(b, "ab,b\n1,2\n"), ONX_USAGE, &b->e, "no column 'a'");
	must_fail(open_text(b, "a,b\n1,2\nlow,3\n"), ONX_FORMAT, &b->e, "t.csv:3:1: 'low' in column 'a'");
}

static void test_csv_faults(void **state)
{
	struct bench *b = *state;

	must_fail(open_text(b, "a,k\n1,x\n2\n"), ONX_FORMAT, &b->e, "t.csv:3: 1 cells, but 2");
	must_fail(open_text(b, "a,k\n1,x\n2,\"y\n"), ONX_FORMAT, &b->e, "t.csv:3:3: this quote");
	must_fail(open_text(b, "a,k\n1,x\n2,y\nz,y\n"), ONX_FORMAT, &b->e, "t.csv:4:1: 'z' in column 'a'");
	must_fail(open_text(b, "a,k\n1,x\nNA,y\n"), ONX_FORMAT, &b->e, "t.csv:3:1: 'a' is missing");
	must_fail(open_text(b, "a,k\n1,x\n2,\n"), ONX_FORMAT, &b->e, "t.csv:3:3: 'k' is missing");
	must_fail(open_text(b, "a,a,k\n1,1,x\n"), ONX_FORMAT, &b->e, "column 'a' is there twice");
	must_fail(open_text(b, "a,k\n"), ONX_USAGE, &b->e, "no rows");
	must_fail(open_text(b, ""), ONX_USAGE, &b->e, "no rows");
	must_fail(open_text(b, "a,k\n1,x\n2,x\n"), ONX_USAGE, &b->e, "one class only, 'x'");
	b->dim[1] = 4;
	must_fail(open_text(b, "a,k\n1,x\n2,y\n"), ONX_SHAPE, &b->e, "1 features");
	must_fail(onx_source_open(in_dir(b, "absent"), &b->ask, &b->src, &b->e), ONX_IO, &b->e, "no data at");
}

static void test_csv_missing(void **state)
{
	struct bench *b = *state;
	double x[2];

	b->so.missing = ONX_MISSING_MEAN;
	must(open_text(b, "a,k\n1,x\nNA,y\n4,y\n"), &b->e);
	row(b, 1, x);
	assert_true(x[0] == 2.5);
	b->so.missing = ONX_MISSING_SKIP;
	must(open_text(b, "a,k\n1,x\nNA,y\n4,y\n"), &b->e);
	assert_int_equal(b->src->n, 2);
	assert_int_equal(b->src->n_bad, 1);
	row(b, 1, x);
	assert_true(x[0] == 4);
}

/* The model's classes and columns decide, whatever the order in the file. */
static void test_csv_again(void **state)
{
	static const char *const levels[] = { "blue", "red" }, *const classes[] = { "y", "x", "w" };
	static const struct onx_column cols[] = { { "c", 2, levels, 0 }, { "a", 0, NULL, 0 } };
	static const struct onx_columns want = { 2, 3, cols };
	struct bench *b = *state;
	double x[3];

	b->ask.columns = &want;
	b->ask.label = classes;
	b->ask.n_label = 3;
	must(open_text(b, "a,extra,c,k\n7,0,red,x\n"), &b->e);
	row(b, 0, x);
	assert_true(x[0] == 0 && x[1] == 1 && x[2] == 7);
	assert_int_equal(b->src->label[0], 1);
	must_fail(open_text(b, "a,c,k\n7,green,x\n"), ONX_USAGE, &b->e, "t.csv:2:3: 'green'");
	must_fail(open_text(b, "a,c,k\n7,red,xx\n"), ONX_USAGE, &b->e, "label 'xx' of sample 0");
	must_fail(open_text(b, "a,k\n7,x\n"), ONX_USAGE, &b->e, "no column 'c'");
}

static int open_dir(struct bench *b)
{
	onx_source_free(b->src);
	b->src = NULL;
	return onx_source_open(b->dir, &b->ask, &b->src, &b->e);
}

static void test_folder_faults(void **state)
{
	static const char *const classes[] = { "cat", "dig" };
	uint8_t px[12] = { 0 };
	struct bench *b = *state;

	must_fail(open_dir(b), ONX_USAGE, &b->e, ".pbm, .tif or .tiff files (found");
	assert_int_equal(mkdir(in_dir(b, "cat"), 0777), 0);
	test_file(in_dir(b, "cat/notes.txt"), "x", 1);
	test_file(in_dir(b, "cat/.hidden.png"), "x", 1);
	must_fail(open_dir(b), ONX_USAGE, &b->e, "no pictures in");
	test_png(in_dir(b, "cat/1.PNG"), px, 2, 2, 3);
	must_fail(open_dir(b), ONX_USAGE, &b->e, "one class only, 'cat'");
	assert_int_equal(mkdir(in_dir(b, "dog"), 0777), 0);
	test_png(in_dir(b, "dog/1.png"), px, 2, 2, 3);
	must(open_dir(b), &b->e);
	assert_int_equal(b->src->n, 2);
	assert_string_equal(b->src->class_name[1], "dog");
	b->ask.label = classes;
	b->ask.n_label = 2;
	must_fail(open_dir(b), ONX_USAGE, &b->e, "label 'dog'");
	assert_non_null(strstr(b->e.text, "did you mean 'dig'"));
}

/* IDX as bytes and as gzip: the same pixels; labels 5 and 9 are two classes, by value. */
static void test_idx(void **state)
{
	static const uint8_t images[16 + 8] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2,
						1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint8_t labels[8 + 2] = { 0, 0, 8, 1, 0, 0, 0, 2, 9, 5 };
	struct bench *b = *state;
	char spec[1300], a[600], l[600];
	gzFile z;

	snprintf(a, sizeof(a), "%s/images.gz", b->dir);
	snprintf(l, sizeof(l), "%s/labels", b->dir);
	snprintf(spec, sizeof(spec), "%s,%s", a, l);
	z = gzopen(a, "wb");
	assert_int_equal(gzwrite(z, images, sizeof(images)), sizeof(images));
	gzclose(z);
	test_file(l, labels, sizeof(labels));
	must(onx_source_open(spec, &b->ask, &b->src, &b->e), &b->e);
	assert_int_equal(b->src->n, 2);
	assert_string_equal(b->src->class_name[0], "5");
	assert_int_equal(b->src->label[0], 1);
	assert_int_equal(onx_source_pixels(b->src, 0, 1)[2], 7);
	onx_source_free(b->src);
	test_file(a, images, sizeof(images) - 1);
	must_fail(onx_source_open(spec, &b->ask, &b->src, &b->e), ONX_FORMAT, &b->e, "7 bytes after");
}

static void test_npy_pair(void **state)
{
	static float x[6] = { 1, 2, 3, 4, 5, 6 };
	static int64_t y[3] = { 2, 0, 2 };
	int64_t xd[2] = { 3, 2 }, yd[1] = { 3 };
	struct onx_view vx = { .v = x, .n = 6, .rank = 2, .dim = xd, .type = ONX_FLOAT, .width = 4 };
	struct onx_view vy = { .v = y, .n = 3, .rank = 1, .dim = yd, .type = ONX_INT64, .width = 8 };
	struct bench *b = *state;
	char spec[1300], px[600], py[600];
	double r[2];

	snprintf(px, sizeof(px), "%s/x.npy", b->dir);
	snprintf(py, sizeof(py), "%s/y.npy", b->dir);
	snprintf(spec, sizeof(spec), "%s,%s", px, py);
	must(onx_npy_write(px, &vx, &b->e), &b->e);
	must(onx_npy_write(py, &vy, &b->e), &b->e);
	must(onx_source_open(spec, &b->ask, &b->src, &b->e), &b->e);
	assert_int_equal(b->src->n_class, 2);
	assert_int_equal(b->src->label[2], 1);
	row(b, 2, r);
	assert_true(r[0] == 5 && r[1] == 6);
	onx_source_free(b->src);
	b->src = NULL;
	b->dim[1] = 5;
	must_fail(onx_source_open(spec, &b->ask, &b->src, &b->e), ONX_SHAPE, &b->e, "[3,2]");
}

/* What training leaves in the model comes back the same. */
static void test_preset_text(void **state)
{
	struct bench *b = *state;
	struct onx_preset_opts po;
	struct onx_preset p, q;
	struct onx_buf one = { 0 }, two = { 0 };
	uint32_t all[3] = { 0, 1, 2 };

	must(onx_defaults(&onx_preset_table, &po, &b->arena, &b->e), &b->e);
	must(open_text(b, "a,c,k\n1,red,x\n3,blue,y\n5,red,y\n"), &b->e);
	must(onx_preset_resolve(&po, NULL, &b->want, b->src, &b->arena, &p, &b->e), &b->e);
	must(onx_preset_learn(&p, b->src, all, 3, &b->arena, &b->e), &b->e);
	assert_true(p.col_mean[0] == 3 && fabs(p.col_std[0] - sqrt(8.0 / 3)) < 1e-12);
	must(onx_preset_text(&p, &one, &b->e), &b->e);
	must(onx_preset_parse(one.data, &b->arena, &q, &b->e), &b->e);
	must(onx_preset_text(&q, &two, &b->e), &b->e);
	assert_string_equal(one.data, two.data);
	assert_true(q.col_std[0] == p.col_std[0]);
	must_fail(onx_preset_parse("{\"kind\":\"picture\",\"size\":[0,1]}", &b->arena, &q, &b->e),
		  ONX_FORMAT, &b->e, "damaged");
	onx_buf_release(&one);
	onx_buf_release(&two);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_csv), CASE(test_csv_target), CASE(test_csv_faults), CASE(test_csv_missing),
		CASE(test_csv_again), CASE(test_folder_faults), CASE(test_idx), CASE(test_npy_pair),
		CASE(test_preset_text),
	};
	return RUN(tests);
}
