/* Models whose large tensors stay in the file: the same views and the same bytes as those that were copied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/io.h"
#include "model/model.h"
#include "unit/lib/pb.h"

enum { LARGE = 5000, FLOAT = 1, INT8 = 3 };

static char path[] = "/tmp/onx-look-XXXXXX";

static void good(int rc, const struct onx_err *e)
{
	if (rc < 0)
		fail_msg("%s", e->text);
}

static void put_tensor(struct onx_buf *to, unsigned field, const char *name, int64_t n)
{
	struct onx_buf t = pb_tensor(name, INT8, &n, 1);
	uint8_t *v = malloc((size_t)n);

	for (int64_t i = 0; i < n; i++)
		v[i] = (uint8_t)(i * 7 + name[0]);
	pb_bytes(&t, 9, v, (size_t)n);
	pb_str(&t, 12, "behind the numbers");
	pb_msg(to, field, &t);
	free(v);
}

static void put_floats(struct onx_buf *to, const char *name)
{
	const int64_t n = LARGE;
	struct onx_buf t = pb_tensor(name, FLOAT, &n, 1);
	float *v = malloc(LARGE * sizeof *v);

	for (int i = 0; i < LARGE; i++)
		v[i] = (float)i / 8;
	pb_bytes(&t, 9, v, LARGE * sizeof *v);
	pb_msg(to, 5, &t);
	free(v);
}

/* Large tensors as initializers, as an attribute, inside a body, twice; small ones between them.  extra: bytes of one
 * more. */
static void write_model(int64_t extra)
{
	struct onx_buf g = { 0 }, body = { 0 }, node = { 0 }, value = { 0 }, in_if = { 0 };
	struct onx_err e = { 0 };

	put_tensor(&value, 5, "in an attribute", LARGE);
	pb_str(&value, 1, "value");
	pb_int(&value, 20, 4);
	pb_str(&node, 2, "c");
	pb_str(&node, 4, "Constant");
	pb_msg(&node, 5, &value);
	pb_msg(&g, 1, &node);
	put_tensor(&body, 5, "deep", LARGE + 1);
	pb_str(&body, 2, "branch");
	pb_str(&in_if, 1, "then_branch");
	pb_int(&in_if, 20, 5);
	pb_msg(&in_if, 6, &body);
	node = (struct onx_buf){ 0 };
	pb_str(&node, 1, "c");
	pb_str(&node, 4, "If");
	pb_msg(&node, 5, &in_if);
	pb_msg(&g, 1, &node);
	put_tensor(&g, 5, "a small one", 12);
	put_floats(&g, "floats");
	put_tensor(&g, 5, "b", 4096);
	put_tensor(&g, 5, "c", 4095);
	put_tensor(&g, 5, "extra", extra);
	struct onx_buf m = pb_model(&g);
	good(onx_write_file(path, true, m.data, m.len, &e), &e);
	onx_buf_release(&m);
}

static struct onx_model *open_model(bool in_place)
{
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };

	good(in_place ? onx_model_look(path, &m, &e) : onx_model_read(path, &m, &e), &e);
	return m;
}

static void same_weights(const struct onx_weight *a, const struct onx_weight *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->type, b->type);
	assert_memory_equal(a->raw, b->raw, a->n * (a->type == ONX_FLOAT ? 4 : 1));
}

static void same_bytes(struct onx_model *a, struct onx_model *b)
{
	struct onx_buf x = { 0 }, y = { 0 };
	struct onx_err e = { 0 };

	good(onx_model_bytes(a, &x, &e), &e);
	good(onx_model_bytes(b, &y, &e), &e);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	onx_buf_release(&x);
	onx_buf_release(&y);
}

static void check_against_copy(void)
{
	struct onx_model *a = open_model(false), *b = open_model(true);
	const struct onx_file_graph *g = onx_model_graph(a), *h = onx_model_graph(b);
	struct onx_err e = { 0 };

	assert_int_equal(g->n_init, h->n_init);
	for (size_t i = 0; i < g->n_init; i++)
		same_weights(g->init[i], h->init[i]);
	same_weights(g->node[0].attr[0].tensor, h->node[0].attr[0].tensor);
	same_weights(g->node[1].attr[0].graph->init[0], h->node[1].attr[0].graph->init[0]);
	same_bytes(a, b);
	good(onx_model_set_opset(a, "", 18, &e), &e);
	good(onx_model_set_opset(b, "", 18, &e), &e);
	same_bytes(a, b);
	onx_model_free(a);
	onx_model_free(b);
}

static void test_same(void **state)
{
	(void)state;
	write_model(1);
	check_against_copy();
	write_model(13);        /* as long as the mark of one that was left out */
	check_against_copy();
	write_model(300000);
	check_against_copy();
}

/* Numbers that are stored go into the model that is written, never into the file that was read. */
static void test_store(void **state)
{
	static float v[LARGE];
	const int64_t n = LARGE;
	const struct onx_view x = { .v = v, .n = LARGE, .rank = 1, .dim = &n, .type = ONX_FLOAT, .width = 4 };
	struct onx_err e = { 0 };

	(void)state;
	write_model(2);
	struct onx_model *m = open_model(true), *whole = open_model(false);
	const struct onx_weight *w = onx_model_graph(m)->init[1];
	good(onx_weight_store(m, w, &x, &e), &e);
	assert_memory_equal(w->raw, v, sizeof v);
	struct onx_model *fresh = open_model(true);
	same_bytes(fresh, whole);
	good(onx_model_write(m, path, &e), &e);
	struct onx_model *written = open_model(true);
	assert_memory_equal(onx_model_graph(written)->init[1]->raw, v, sizeof v);
	same_weights(onx_model_graph(written)->init[2], onx_model_graph(whole)->init[2]);
	onx_model_free(m);
	onx_model_free(whole);
	onx_model_free(fresh);
	onx_model_free(written);
}

/* Memory runs out at the n-th allocation, for each n: a fault, nothing lost. */
static void test_no_memory(void **state)
{
	long n = 1;

	(void)state;
	write_model(2);
	for (;; n++) {
		struct onx_model *m = NULL;
		struct onx_err e = { 0 };

		onx_alloc_fail_at(n);
		const int rc = onx_model_look(path, &m, &e);
		onx_alloc_fail_at(0);
		onx_model_free(m);
		if (rc == ONX_OK)
			break;
		assert_int_equal(rc, ONX_NOMEM);
	}
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same), cmocka_unit_test(test_store), cmocka_unit_test(test_no_memory),
	};
	const int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
