/* Models: bytes that come back as they were, views, edits, marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "graph/diff.h"
#include "model/mark.h"
#include "model/model.h"
#include "unit/lib/pb.h"

static struct onx_model *zoo(void)
{
	struct onx_buf b = pb_zoo();
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };

	if (onx_model_parse(b.data, b.len, NULL, &m, &e) < 0)
		fail_msg("%s", e.text);
	onx_buf_release(&b);
	return m;
}

static void good(int rc, const struct onx_err *e)
{
	if (rc < 0)
		fail_msg("%s", e->text);
}

/* m as it is packed now, read again. */
static struct onx_model *again(struct onx_model *m)
{
	struct onx_buf b = { 0 };
	struct onx_model *n = NULL;
	struct onx_err e = { 0 };

	good(onx_model_bytes(m, &b, &e), &e);
	good(onx_model_parse(b.data, b.len, NULL, &n, &e), &e);
	onx_buf_release(&b);
	return n;
}

static bool holds(struct onx_model *m, const char *text)
{
	struct onx_buf b = { 0 };
	struct onx_err e = { 0 };

	good(onx_model_bytes(m, &b, &e), &e);
	const bool found = memmem(b.data, b.len, text, strlen(text)) != NULL;
	onx_buf_release(&b);
	return found;
}

static void test_views(void **state)
{
	struct onx_model *m = zoo();
	const struct onx_file_graph *g = onx_model_graph(m);
	const struct onx_file_opset *o;

	(void)state;
	assert_string_equal(g->name, "zoo");
	assert_int_equal(onx_model_ir(m), 8);
	assert_int_equal(onx_model_opsets(m, &o), 1);
	assert_int_equal(onx_model_opset(m, "ai.onnx"), 17);
	assert_int_equal(onx_model_opset(m, "other"), 0);
	assert_int_equal(onx_model_n_functions(m), 1);
	assert_int_equal(g->n_node, 3);
	assert_string_equal(g->node[0].type, "Gemm");
	const struct onx_file_node *n = &g->node[1];
	assert_string_equal(n->domain, "org.example");
	assert_string_equal(n->doc, "doc");
	assert_int_equal(n->n_in, 2);
	assert_string_equal(n->in[1], "");
	assert_int_equal(n->n_attr, 7);
	assert_true(n->attr[0].type == ONX_ATTR_FLOAT && n->attr[0].f == 0.5f);
	assert_true(n->attr[1].type == ONX_ATTR_INT && n->attr[1].i == -3);
	assert_string_equal(n->attr[2].s, "text");
	assert_int_equal(n->attr[3].tensor->n, 2);
	assert_true(n->attr[4].n == 2 && n->attr[4].floats[1] == -2);
	assert_true(n->attr[5].n == 2 && n->attr[5].ints[1] == 9);
	assert_string_equal(n->attr[6].strings[1], "bc");
	assert_string_equal(g->node[2].attr[0].graph->node[0].type, "Relu");
	assert_int_equal(g->input[0].rank, 2);
	assert_string_equal(g->input[0].dim[0].param, "N");
	assert_int_equal(g->input[0].dim[1].value, 4);
	assert_string_equal(g->input[0].kind, "tensor");
	assert_string_equal(onx_model_meta(m, "author"), "nobody");
	onx_model_free(m);
}

/* IR 1 and 2 have no attribute types. */
static void test_untyped_attr(void **state)
{
	struct onx_buf g = { 0 }, n = { 0 }, a = { 0 }, b;
	struct onx_model *m;
	struct onx_err e = { 0 };

	(void)state;
	pb_str(&a, 1, "alpha");
	pb_float(&a, 2, 2.5f);
	pb_msg(&n, 5, &a);
	pb_str(&a, 1, "axes");
	pb_int(&a, 8, 1);
	pb_msg(&n, 5, &a);
	pb_str(&n, 4, "X");
	pb_msg(&g, 1, &n);
	b = pb_model(&g);
	good(onx_model_parse(b.data, b.len, NULL, &m, &e), &e);
	const struct onx_file_attr *v = onx_model_graph(m)->node[0].attr;
	assert_true(v[0].type == ONX_ATTR_FLOAT && v[0].f == 2.5f);
	assert_true(v[1].type == ONX_ATTR_INTS && v[1].ints[0] == 1);
	onx_model_free(m);
	onx_buf_release(&b);
}

/* Read, saved, read: the same bytes; packed anew they still hold what we do not know. */
static void test_unchanged(void **state)
{
	struct onx_buf b = pb_zoo(), out = { 0 };
	struct onx_model *m = zoo();
	struct onx_err e = { 0 };
	struct onx_diff d = { 0 };

	(void)state;
	good(onx_model_bytes(m, &out, &e), &e);
	assert_int_equal(out.len, b.len);
	assert_memory_equal(out.data, b.data, b.len);
	good(onx_model_set_meta(m, "k", "v", &e), &e);
	good(onx_model_set_meta(m, "k", NULL, &e), &e);
	assert_true(holds(m, "unknown in the model"));
	assert_true(holds(m, "unknown in a node"));
	assert_true(holds(m, "unknown in a tensor"));
	assert_true(holds(m, "DATA_BATCH"));
	struct onx_model *n = again(m);
	good(onx_diff_models(m, n, NULL, &d, &e), &e);
	assert_int_equal(d.n, 0);
	assert_int_equal(d.nodes_same, 3);
	assert_int_equal(d.weights_same, 2);
	onx_diff_release(&d);
	onx_model_free(n);
	onx_model_free(m);
	onx_buf_release(&b);
	onx_buf_release(&out);
}

/* Drops the odd node, renames an input of the If, adds a node and a weight. */
static void edit(struct onx_model *m)
{
	static const char *const in[] = { "h", "w2" }, *const out[] = { "z" };
	static const int64_t dim[] = { 2 }, axes[] = { 0, -1 };
	static const float x[] = { 0.5f, 0.25f }, fl[] = { 1, 2 };
	static const char *const strs[] = { "p", "qq" };
	static const char *const if_in[] = { "h" };
	const struct onx_view v = { .v = (void *)(uintptr_t)x, .n = 2, .rank = 1, .dim = dim,
				    .type = ONX_FLOAT, .width = 4 };
	struct onx_file_graph g = *onx_model_graph(m);
	const struct onx_weight *w, *t, *init[3];
	struct onx_err e = { 0 };

	good(onx_weight_new(m, "w2", ONX_FLOAT16, &v, &w, &e), &e);
	good(onx_weight_new(m, "", ONX_FLOAT, &v, &t, &e), &e);
	const struct onx_file_attr attr[] = {
		{ .name = "i", .type = ONX_ATTR_INT, .i = 7 },
		{ .name = "f", .type = ONX_ATTR_FLOAT, .f = 0.125f },
		{ .name = "s", .type = ONX_ATTR_STRING, .s = "str", .s_len = 3 },
		{ .name = "axes", .type = ONX_ATTR_INTS, .n = 2, .ints = axes },
		{ .name = "fl", .type = ONX_ATTR_FLOATS, .n = 2, .floats = fl },
		{ .name = "ss", .type = ONX_ATTR_STRINGS, .n = 2, .strings = strs },
		{ .name = "t", .type = ONX_ATTR_TENSOR, .tensor = t },
	};
	struct onx_file_node node[3] = { g.node[0],
					 g.node[2],
					 { .name = "new",
					   .type = "Mul",
					   .domain = "",
					   .doc = "",
					   .n_in = 2,
					   .in = in,
					   .n_out = 1,
					   .out = out,
					   .n_attr = sizeof attr / sizeof *attr,
					   .attr = attr } };
	node[1].in = if_in;
	node[1].changed = true;
	const struct onx_file_dim shape[] = { { -1, "N" }, { 2, NULL } };
	struct onx_file_value output[] = { g.output[0],
					   { .name = "z",
					     .type = ONX_FLOAT,
					     .kind = "tensor",
					     .has_shape = true,
					     .rank = 2,
					     .dim = shape } };
	const struct onx_file_dim three[] = { { -1, "N" }, { 3, NULL } };
	output[0].dim = three;
	output[0].changed = true;
	init[0] = g.init[0];
	init[1] = g.init[1];
	init[2] = w;
	g.node = node;
	g.init = init;
	g.n_init = 3;
	g.output = output;
	g.n_output = 2;
	good(onx_model_set_graph(m, &g, &e), &e);
}

static void test_edit(void **state)
{
	struct onx_model *m = zoo();
	struct onx_err e = { 0 };

	(void)state;
	edit(m);
	struct onx_model *n = again(m);
	for (int round = 0; round < 2; round++) {
		const struct onx_file_graph *g = onx_model_graph(round ? n : m);
		assert_int_equal(g->n_node, 3);
		assert_string_equal(g->node[1].in[0], "h");
		assert_string_equal(g->node[1].attr[0].graph->name, "branch");
		const struct onx_file_attr *a = g->node[2].attr;
		assert_int_equal(g->node[2].n_attr, 7);
		assert_true(a[0].i == 7 && a[1].f == 0.125f && a[3].ints[1] == -1 &&
			    a[4].floats[1] == 2);
		assert_string_equal(a[2].s, "str");
		assert_string_equal(a[5].strings[1], "qq");
		assert_int_equal(a[6].tensor->n, 2);
		assert_int_equal(g->n_init, 3);
		assert_int_equal(g->init[2]->type, ONX_FLOAT16);
		assert_int_equal(g->n_info, 1);         /* 'odd' names nothing any more */
		assert_string_equal(g->info[0].name, "h");
		assert_int_equal(g->n_output, 2);
		assert_int_equal(g->output[0].dim[1].value, 3);
		assert_string_equal(g->output[1].dim[0].param, "N");
		assert_int_equal(g->output[1].type, ONX_FLOAT);
	}
	assert_false(holds(n, "unknown in a node"));    /* it went with its node */
	assert_true(holds(n, "unknown in a tensor"));
	assert_true(holds(n, "a value"));
	good(onx_model_set_opset(n, "", 18, &e), &e);
	good(onx_model_set_opset(n, "com.example", 1, &e), &e);
	onx_model_free(m);
	m = again(n);
	assert_int_equal(onx_model_opset(m, ""), 18);
	assert_int_equal(onx_model_opset(m, "com.example"), 1);
	onx_model_free(m);
	onx_model_free(n);
}

static void test_diff(void **state)
{
	struct onx_model *a = zoo(), *b = zoo();
	struct onx_diff d = { 0 };
	struct onx_err e = { 0 };
	struct onx_buf line = { 0 };
	const struct onx_weight *w = onx_model_graph(b)->init[0];
	float x[8];
	const struct onx_view v = {
		.v = x, .n = 8, .rank = 2, .dim = w->dim, .type = ONX_FLOAT, .width = 4
	};

	(void)state;
	good(onx_weight_load(w, &v, &e), &e);
	x[5] += 0.5f;
	good(onx_weight_store(b, w, &v, &e), &e);
	good(onx_diff_models(a, b, NULL, &d, &e), &e);
	assert_int_equal(d.n, 1);
	assert_true(d.v[0].place == ONX_DIFF_WEIGHT && d.v[0].numbers && d.v[0].gap.at == 5);
	assert_true(d.v[0].gap.bad == 1 && d.v[0].gap.worst_abs == 0.5);
	assert_int_equal(d.numbers_same, 9);
	onx_diff_line(&d.v[0], &line);
	assert_non_null(strstr(line.data, "weight 'w': values: 1 elements of float[4,2] differ"));
	onx_buf_release(&line);
	onx_diff_release(&d);
	const struct onx_diff_options near = { .atol = 1 };
	good(onx_diff_models(a, b, &near, &d, &e), &e);
	assert_true(d.n == 0 && d.weights_near == 1 && d.weights_same == 1);
	onx_diff_release(&d);
	edit(b);
	good(onx_diff_models(a, b, NULL, &d, &e), &e);
	size_t added = 0, removed = 0, changed = 0;
	for (size_t i = 0; i < d.n; i++) {
		added += d.v[i].what == ONX_DIFF_ADDED;
		removed += d.v[i].what == ONX_DIFF_REMOVED;
		changed += d.v[i].what == ONX_DIFF_CHANGED;
	}
	assert_int_equal(added, 3);     /* node, weight, output */
	assert_int_equal(removed, 2);   /* node, value_info */
	assert_int_equal(changed, 3);   /* shape of y, inputs of the If, w */
	onx_diff_release(&d);
	onx_model_free(a);
	onx_model_free(b);
}

static void test_marks(void **state)
{
	static const char *const names[] = { "a", "b \"quoted\"", "\xc3\xa9" };
	struct onx_model *m = zoo(), *n;
	struct onx_arena a = { 0 };
	const char *const *v;
	size_t len;
	struct onx_err e = { 0 };

	(void)state;
	good(onx_mark_list(m, ONX_MARK "train", &a, &v, &len, &e), &e);
	assert_true(v == NULL && len == 0);
	good(onx_mark_set_list(m, ONX_MARK "train", NULL, 0, &e), &e);
	good(onx_mark_set_list(m, ONX_MARK "labels", names, 3, &e), &e);
	good(onx_mark_history(m, "onnx-freeze --all", &e), &e);
	good(onx_mark_history(m, "onnx-head --classes 5", &e), &e);
	n = again(m);
	good(onx_mark_list(n, ONX_MARK "train", &a, &v, &len, &e), &e);
	assert_true(v != NULL && len == 0);
	good(onx_mark_list(n, ONX_MARK "labels", &a, &v, &len, &e), &e);
	assert_int_equal(len, 3);
	assert_string_equal(v[1], names[1]);
	assert_string_equal(v[2], names[2]);
	good(onx_mark_list(n, ONX_MARK "history", &a, &v, &len, &e), &e);
	assert_int_equal(len, 2);
	assert_string_equal(v[1], "onnx-head --classes 5");
	good(onx_model_set_meta(n, ONX_MARK "train", "{}", &e), &e);
	assert_int_equal(onx_mark_list(n, ONX_MARK "train", &a, &v, &len, &e), ONX_FORMAT);
	good(onx_model_set_meta(n, ONX_MARK "train", "[1", &e), &e);
	assert_true(onx_mark_list(n, ONX_MARK "train", &a, &v, &len, &e) < 0);
	good(onx_model_drop_meta(n, ONX_MARK, &e), &e);
	assert_int_equal(onx_model_n_meta(n), 1);
	onx_arena_release(&a);
	onx_model_free(m);
	onx_model_free(n);
}

static void test_new(void **state)
{
	char path[] = "/tmp/onx-model-XXXXXX";
	struct onx_model *m, *n;
	struct onx_err e = { 0 };
	const int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	good(onx_model_new("made", 21, &m, &e), &e);
	assert_int_equal(onx_model_ir(m), 10);
	assert_string_equal(onx_model_producer(m), "onnx-adapt");
	good(onx_model_write(m, path, &e), &e);
	good(onx_model_read(path, &n, &e), &e);
	assert_string_equal(onx_model_graph(n)->name, "made");
	assert_int_equal(onx_model_opset(n, ""), 21);
	assert_string_equal(onx_model_path(n), path);
	onx_model_free(m);
	onx_model_free(n);
	assert_int_equal(onx_model_new("old", 7, &m, &e), ONX_OK);
	assert_int_equal(onx_model_ir(m), 4);
	onx_model_free(m);
	unlink(path);
	assert_int_equal(onx_model_read(path, &m, &e), ONX_IO);
}

/* Memory runs out at the n-th allocation, for each n: a fault, nothing lost. */
static void test_no_memory(void **state)
{
	struct onx_buf b = pb_zoo();
	long n = 1;

	(void)state;
	for (;; n++) {
		struct onx_model *m = NULL;
		struct onx_err e = { 0 };
		onx_alloc_fail_at(n);
		int rc = onx_model_parse(b.data, b.len, NULL, &m, &e);
		if (rc == ONX_OK)
			rc = onx_mark_history(m, "line", &e);
		onx_alloc_fail_at(0);
		onx_model_free(m);
		if (rc == ONX_OK)
			break;
		assert_int_equal(rc, ONX_NOMEM);
	}
	assert_true(n > 10);
	onx_buf_release(&b);
}

/* --- real files: forced to be packed again, the same bytes come out --------------------------- */

/* nftw hands nothing through. */
static struct { int seen, same; char first[1100]; } walk;

static int one_file(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	struct onx_model *m;
	struct onx_buf a = { 0 }, b = { 0 };
	struct onx_err e = { 0 };
	const size_t n = strlen(path);

	(void)st;
	(void)at;
	if (flag != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx") != 0)
		return 0;
	walk.seen++;
	if (onx_model_read(path, &m, &e) < 0) {
		snprintf(walk.first, sizeof walk.first, "%s", e.text);
		return 0;
	}
	good(onx_model_bytes(m, &a, &e), &e);
	good(onx_model_set_meta(m, "a key that nobody has", "", &e), &e);
	good(onx_model_set_meta(m, "a key that nobody has", NULL, &e), &e);
	good(onx_model_bytes(m, &b, &e), &e);
	if (a.len == b.len && !memcmp(a.data, b.data, a.len))
		walk.same++;
	else
		snprintf(walk.first, sizeof walk.first, "'%s' comes back as other bytes", path);
	onx_buf_release(&a);
	onx_buf_release(&b);
	onx_model_free(m);
	return 0;
}

static void same_bytes_in(const char *dir)
{
	walk.seen = walk.same = 0;
	walk.first[0] = 0;
	if (!dir || nftw(dir, one_file, 16, FTW_PHYS) < 0 || !walk.seen)
		skip();
	if (walk.seen != walk.same)
		fail_msg("%d of %d: %s", walk.same, walk.seen, walk.first);
}

static void test_real_models(void **state)
{
	char dir[512];

	(void)state;
	if (!getenv("ONX_SHARED") || !*getenv("ONX_SHARED"))
		skip();
	snprintf(dir, sizeof dir, "%s/models", getenv("ONX_SHARED"));
	same_bytes_in(dir);
}

static void test_backend_models(void **state)
{
	(void)state;
	same_bytes_in("/usr/share/libonnx-testdata");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views),       cmocka_unit_test(test_untyped_attr),
		cmocka_unit_test(test_unchanged),   cmocka_unit_test(test_edit),
		cmocka_unit_test(test_diff),        cmocka_unit_test(test_marks),
		cmocka_unit_test(test_new),         cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_real_models), cmocka_unit_test(test_backend_models),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
