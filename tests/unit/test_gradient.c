/* Gradient of ai.onnx.preview.training: what training computes for the same sub-graph, on the values that it is given;
 * its file may be wrong in ways of its own. */
#include "unit/lib/derive.h"
#include "plan/plan.h"

/* The chain of the specification, with a few nodes more: convolution, a branch that is joined again, a product. */
static struct onx_buf chain(const char *xs, const char *zs, const char *in, const char *out)
{
	struct onx_buf g = { 0 };
	struct onx_buf norm = node("R gamma beta mean var", "BatchNormalization", "N");
	struct onx_buf flat = node("J", "Flatten", "F");
	add(&g, "X W B", "Conv", "C");
	add(&g, "C", "Tanh", "R");
	pb_msg(&g, 1, &norm);
	add(&g, "N R", "Add", "J");
	pb_msg(&g, 1, &flat);
	add(&g, "F Z", "Gemm", "P");
	add(&g, "P", "Softmax", "S");
	add(&g, "S P", "Mul", "Y");
	gradient(&g, in, xs, zs, "Y", out);
	add(&g, "Y", "ReduceSum", "loss");
	tensor(&g, "W", 4, (int64_t[]){ 2, 3, 2, 2 });
	tensor(&g, "B", 1, (int64_t[]){ 2 });
	tensor(&g, "gamma", 1, (int64_t[]){ 2 });
	tensor(&g, "beta", 1, (int64_t[]){ 2 });
	tensor(&g, "mean", 1, (int64_t[]){ 2 });
	struct onx_buf var = pb_tensor("var", REAL, (int64_t[]){ 2 }, 1);
	pb_float(&var, 4, 0.5F);
	pb_float(&var, 4, 1.5F);
	pb_msg(&g, 5, &var);
	tensor(&g, "Z", 2, (int64_t[]){ 8, 5 });
	INPUT(&g, "X", 2, 3, 3, 3);
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "dW", REAL);
	PORT_OUT(&g, "dZ", REAL);
	return model(&g);
}

static void as_in_training(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		const bool wide = k & 1;
		struct net n;
		struct run r;
		struct onx_buf g = k & 2 ? chain("W Z", "X", "W Z X", "dW dZ")
				   : chain("Z B W", "X gamma", "Z B W X gamma", "dZ - dW");
		open_model(&n, &g);
		memset(n.train, 0, sizeof n.train);
		if (wide)
			like_interpreter(&n);
		run_open(&r, &n, n.g->output, n.g->n_output, onx_graph_find(n.g, "loss"), wide, 0);
		run_forward(&r, &n);
		const char *const name[] = { "W", "Z" }, *const d[] = { "dW", "dZ" };
		double seen[2][64];
		for (int i = 0; i < 2; i++)
			for (size_t j = 0; j < onx_exec_view(r.exec, onx_graph_find(n.g, d[i]))->n; j++)
				seen[i][j] = onx_view_real(onx_exec_view(r.exec, onx_graph_find(n.g, d[i])), j);
		onx_exec_backward(r.exec, false, 1);
		for (int i = 0; i < 2; i++) {
			const uint32_t w = onx_graph_find(n.g, name[i]);
			for (size_t j = 0; j < n.g->value[w].init->n; j++) {
				const size_t at = r.params->at[w] + j;
				const void *grad = r.params->grad;
				const double x = wide ? ((const double *)grad)[at] : (double)((const float *)grad)[at];
				assert_true(fabs(x - seen[i][j]) < (wide ? 1e-12 : 1e-5));
				assert_true(fabs(x) > 1e-9);
			}
		}
		run_close(&r);
		net_free(&n);
	}
}

/* dY/dH where H is H1; y that does not depend on an x; y that is the x. */
static void on_other_values(void **state)
{
	struct net n;
	struct run r;
	struct onx_buf g = { 0 };
	(void)state;
	add(&g, "x x", "Mul", "H");
	add(&g, "H Z", "Mul", "Y");
	add(&g, "x", "Exp", "H1");
	add(&g, "Y", "Identity", "alone");
	gradient(&g, "H1 Z x", "H Z x", "", "Y", "dH dZ dx");
	gradient(&g, "Y", "Y", "", "Y", "one");
	add(&g, "Z", "Floor", "steps");
	gradient(&g, "Z", "Z", "", "steps", "flat");
	INPUT(&g, "x", 3);
	INPUT(&g, "Z", 3);
	for (int i = 0; i < 8; i++)
		PORT_OUT(&g, ((const char *const[]){ "dH", "dZ", "dx", "one", "flat", "H1", "alone", "H" })[i], REAL);
	struct onx_buf m = model(&g);
	open_model(&n, &m);
	like_interpreter(&n);
	n.g->output[n.g->n_output - 2] = onx_graph_find(n.g, "Z");
	run_open(&r, &n, n.g->output, n.g->n_output, ONX_NONE, true, 0);
	run_forward(&r, &n);
	for (size_t i = 0; i < 3; i++) {
		assert_true(fabs(at(&r, &n, "dH", i) - at(&r, &n, "Z", i)) < 1e-12);
		assert_true(fabs(at(&r, &n, "dZ", i) - at(&r, &n, "H1", i)) < 1e-12);
		assert_true(at(&r, &n, "dx", i) == 0 && at(&r, &n, "one", i) == 1 && at(&r, &n, "flat", i) == 0);
	}
	run_close(&r);
	net_free(&n);
}

/* --- faults ---------------------------------------------------------------------------------------- */

static void refused(const char *in, const char *xs, const char *zs, const char *y, int code, const char *text)
{
	struct onx_err e = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *graph = NULL;
	struct onx_buf g = { 0 };
	add(&g, "a b", "Add", "c");
	add(&g, "c", "Relu", "d");
	add(&g, "c", "MaxPool", "pool");
	gradient(&g, "a", "a", "", "d", "first");
	gradient(&g, in, xs, zs, y, "out");
	INPUT(&g, "a", 3);
	INPUT(&g, "b", 3);
	PORT_OUT(&g, "out", REAL);
	struct onx_buf bytes = model(&g);
	must(onx_model_parse(bytes.data, bytes.len, NULL, &m, &e), &e);
	onx_buf_release(&bytes);
	must_fail(onx_graph_build(m, 0, &graph, &e), code, &e, text);
	must(onx_graph_build(m, ONX_BUILD_LAX, &graph, &e), &e);        /* to be looked at all the same */
	onx_graph_free(graph);
	onx_model_free(m);
}

static void faults(void **state)
{
	(void)state;
	refused("a b", "a x", "b", "d", ONX_FORMAT, "2 inputs");
	refused("a", "nobody", "", "d", ONX_FORMAT, "'nobody' is no tensor");
	refused("a", "a", "", "nobody", ONX_FORMAT, "'nobody' is no tensor");
	refused("a", "a", "", NULL, ONX_FORMAT, "attribute 'y' is missing");
	refused("a b", "a", "a", "d", ONX_FORMAT, "twice");
	refused("- b", "a", "b", "d", ONX_FORMAT, "input 0 is missing");
	refused("a", "a", "", "out", ONX_FORMAT, "depends on its own outputs");
}

/* A loss behind a gradient: second order.  The pre-flight says so, a plan refuses. */
static void second_order(void **state)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_block *block = NULL;
	struct onx_buf g = { 0 };
	uint32_t count = 0;
	(void)state;
	add(&g, "x W", "MatMul", "h");
	add(&g, "h", "Tanh", "y");
	gradient(&g, "x W", "x", "W", "y", "dx");
	add(&g, "dx dx", "Mul", "square");
	add(&g, "square", "ReduceSum", "loss");
	weight(&g, "W", 3, 3);
	INPUT(&g, "x", 2, 3);
	PORT_OUT(&g, "loss", REAL);
	struct onx_buf m = model(&g);
	open_model(&n, &m);
	like_interpreter(&n);
	must(onx_plan_blocks(n.g, n.weight, n.g->output, 1, &a, &block, &count, &e), &e);
	assert_int_equal(count, 1);
	assert_non_null(strstr(block[0].why, "second order"));
	must_fail(run_with(&r, &n, net_want(&n, n.g->output, 1, n.g->output[0], false), 0, &e), ONX_UNSUP, &e,
		  "no gradient");
	onx_consts_release(&r.consts);
	onx_arena_release(&a);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_in_training), cmocka_unit_test(on_other_values), cmocka_unit_test(faults),
		cmocka_unit_test(second_order),
	};
	return RUN(tests);
}
