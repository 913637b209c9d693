/* Constant nodes with sparse_value: read as dense tensors, left as they are, written back dense once they moved. */
#include "unit/lib/models.h"
#include "unit/lib/pb.h"

enum { REAL = 1, WHOLE = 7 };

/* 5 and 7 in a tensor of 2x3, at places of the flat tensor or at pairs of indices. */
static struct onx_model *model(bool pairs, const int64_t *index, struct onx_err *e, int *rc)
{
	struct onx_buf g = { 0 }, n = { 0 }, a = { 0 }, s = { 0 };
	struct onx_buf v = pb_tensor("", REAL, (int64_t[]){ 2 }, 1);
	struct onx_buf i = pb_tensor("", WHOLE, (int64_t[]){ 2, 2 }, pairs ? 2 : 1);
	struct onx_model *m = NULL;

	pb_float(&v, 4, 5);
	pb_float(&v, 4, 7);
	for (int k = 0; k < (pairs ? 4 : 2); k++)
		pb_int(&i, 7, (uint64_t)index[k]);
	pb_msg(&s, 1, &v);
	pb_msg(&s, 2, &i);
	pb_int(&s, 3, 2);
	pb_int(&s, 3, 3);
	pb_str(&a, 1, "sparse_value");
	pb_int(&a, 20, 11);
	pb_msg(&a, 22, &s);
	pb_str(&n, 2, "c");
	pb_str(&n, 4, "Constant");
	pb_msg(&n, 5, &a);
	pb_msg(&g, 1, &n);
	struct onx_buf bytes = pb_model(&g);
	must(onx_model_parse(bytes.data, bytes.len, NULL, &m, e), e);
	onx_buf_release(&bytes);
	struct onx_graph *built_one = NULL;
	*rc = onx_graph_build(m, 0, &built_one, e);
	onx_graph_free(built_one);
	return m;
}

static void numbers(const struct onx_graph *g, const float *want)
{
	const struct onx_weight *w = g->value[onx_graph_find(g, "c")].init;
	float have[6];
	const struct onx_view v = { .v = have, .n = 6, .rank = 2, .dim = w->dim, .type = ONX_FLOAT, .width = 4 };
	struct onx_err e = { 0 };

	assert_int_equal(w->rank, 2);
	assert_int_equal(w->n, 6);
	must(onx_weight_load(w, &v, &e), &e);
	for (int i = 0; i < 6; i++)
		assert_float_equal(have[i], want[i], 0);
}

static void both_ways(void **state)
{
	static const int64_t flat[] = { 1, 5 }, pair[] = { 0, 1, 1, 2 };
	(void)state;
	for (int pairs = 0; pairs < 2; pairs++) {
		struct onx_err e = { 0 };
		int rc;
		struct onx_model *m = model(pairs, pairs ? pair : flat, &e, &rc);
		must(rc, &e);
		struct onx_graph *g = built(m);
		numbers(g, (const float[]){ 0, 5, 0, 0, 0, 7 });
		must(onx_graph_export(g, &e), &e);
		assert_int_equal(onx_model_graph(m)->node[0].attr[0].type, ONX_ATTR_SPARSE_TENSOR);
		onx_graph_free(g);
		onx_model_free(m);
	}
}

static void moved(void **state)
{
	static const int64_t flat[] = { 1, 5 }, dim[] = { 2, 3 };
	float now[6] = { 1, 2, 3, 4, 5, 6 };
	const struct onx_view v = { .v = now, .n = 6, .rank = 2, .dim = dim, .type = ONX_FLOAT, .width = 4 };
	struct onx_err e = { 0 };
	int rc;
	struct onx_model *m = model(false, flat, &e, &rc);
	(void)state;
	must(rc, &e);
	struct onx_graph *g = built(m);
	must(onx_weight_store(m, g->value[onx_graph_find(g, "c")].init, &v, &e), &e);
	must(onx_graph_export(g, &e), &e);
	onx_graph_free(g);
	struct onx_model *again = round_trip(m);
	assert_string_equal(onx_model_graph(again)->node[0].attr[0].name, "value");
	assert_int_equal(onx_model_graph(again)->node[0].n_attr, 1);
	g = built(again);
	numbers(g, now);
	onx_graph_free(g);
	onx_model_free(again);
	onx_model_free(m);
}

static void outside(void **state)
{
	static const int64_t flat[] = { 1, 6 }, pair[] = { 0, 1, 2, 0 }, below[] = { -1, 2 };
	(void)state;
	const struct { bool pairs; const int64_t *index; const char *text; } bad[] = {
		{ false, flat, "index 6, of 6 elements" }, { true, pair, "index 2 on an axis of 2" },
		{ false, below, "index -1, of 6 elements" }
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct onx_err e = { 0 };
		int rc;
		struct onx_model *m = model(bad[i].pairs, bad[i].index, &e, &rc);
		must_fail(rc, ONX_FORMAT, &e, bad[i].text);
		onx_model_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways), cmocka_unit_test(moved),
		cmocka_unit_test(outside) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
