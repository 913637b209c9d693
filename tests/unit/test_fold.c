/* Folding: fewer nodes, the numbers of the formula. */
#include "unit/lib/models.h"
#include <math.h>
#include "rewrite/fold.h"
#include "rewrite/head.h"

static void numbers(const struct onx_graph *g, uint32_t v, float *to, size_t n)
{
	const struct onx_weight *w = g->value[v].init;
	const struct onx_view d = { .v = to, .n = n, .rank = w->rank, .dim = w->dim, .type = w->type, .width = 4 };
	struct onx_err e = { 0 };
	assert_int_equal(w->n, n);
	must(onx_weight_load(w, &d, &e), &e);
}

static void norms(void **state)
{
	struct onx_model *m = shared_model("mobilenet_v1_0.25_224.onnx");
	struct onx_err e = { 0 };
	static float w[8 * 27], bn[4][8], got[8 * 27], bias[8];
	uint32_t n;
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	const struct onx_node *conv = &g->node[0], *norm = &g->node[1];
	assert_string_equal(norm->type, "BatchNormalization");
	numbers(g, conv->in[1], w, 8 * 27);
	for (int i = 0; i < 4; i++)
		numbers(g, norm->in[i + 1], bn[i], 8);
	const uint32_t y = norm->out[0];
	must(onx_fold_norms(g, &n, NULL, &e), &e);
	assert_int_equal(n, 27);
	assert_int_equal(g->n_order, 85 - 27);
	conv = &g->node[g->value[y].def];
	assert_string_equal(conv->type, "Conv");
	numbers(g, conv->in[1], got, 8 * 27);
	numbers(g, conv->in[2], bias, 8);
	for (int r = 0; r < 8; r++) {
		const double s = (double)bn[0][r] / sqrt((double)bn[3][r] + (double)0.001f);
		for (int i = 0; i < 27; i++) {
			const double x = w[27 * r + i] * s;
			assert_true(fabs(got[27 * r + i] - x) <= 1e-6 * (fabs(x) + 1e-6));
		}
		const double want = bn[1][r] - bn[2][r] * s;
		assert_true(fabs(bias[r] - want) <= 1e-6 * (fabs(want) + 1));
	}
	must(onx_graph_export(g, &e), &e);
	struct onx_model *out = round_trip(m);
	struct onx_graph *h = built(out);
	assert_int_equal(h->n_order, 85 - 27);
	onx_graph_free(h);
	onx_model_free(out);
	onx_graph_free(g);
	onx_model_free(m);
}

static void dropouts(void **state)
{
	struct onx_model *m = shared_model("squeezenet1.1-7-fp16.onnx");
	struct onx_err e = { 0 };
	uint32_t n;
	(void)state;
	if (!m)
		return;
	struct onx_graph *g = built(m);
	must(onx_drop_idle(g, &n, NULL, &e), &e);
	assert_int_equal(n, 1);
	assert_int_equal(g->n_order, 65);
	onx_graph_free(g);
	onx_model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(norms), cmocka_unit_test(dropouts) };
	return RUN(tests);
}
