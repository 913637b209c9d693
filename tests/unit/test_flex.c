/* FlexAttention: the numbers and gradients of the same net in plain nodes, its modifiers' weights train and go back
 * into the file, the node itself stays. */
#include "unit/lib/bodies.h"

static struct onx_buf with_preview(struct onx_buf *g)
{
	struct onx_buf m = pb_model(g), opset = { 0 };
	pb_str(&opset, 1, "ai.onnx.preview");
	pb_int(&opset, 2, 1);
	pb_msg(&m, 8, &opset);
	return m;
}

static void attr_float(struct onx_buf *n, const char *name, float v)
{
	struct onx_buf a = { 0 };
	pb_str(&a, 1, name);
	pb_float(&a, 2, v);
	pb_int(&a, 20, 1);
	pb_msg(n, 5, &a);
}

/* Four heads of Q, two of K and V; projections that train around them. */
static void around(struct onx_buf *g)
{
	add(g, "q Wq", "MatMul", "Q");
	add(g, "k Wk", "MatMul", "K");
	add(g, "v Wv", "MatMul", "V");
	weight(g, "Wq", 2, 2);
	weight(g, "Wk", 2, 2);
	weight(g, "Wv", 3, 3);
	weight(g, "bias", 3, 5);
	INPUT(g, "q", 2, 4, 3, 2);
	INPUT(g, "k", 2, 2, 5, 2);
	INPUT(g, "v", 2, 2, 5, 3);
}

static void ends(struct onx_buf *g)
{
	add(g, "Y Y", "Mul", "YY");
	add(g, "YY", "ReduceSum", "loss");
	PORT_OUT(g, "loss", REAL);
	PORT_OUT(g, "Y", REAL);
}

/* score_mod: tanh(s + bias), bias from around; prob_mod: p * gain, its own.  precision 0: not given. */
static struct onx_buf flex(bool modified, int64_t precision)
{
	struct onx_buf g = { 0 }, score = { 0 }, prob = { 0 };
	around(&g);
	struct onx_buf n = node("Q K V", "FlexAttention", "Y");
	pb_str(&n, 7, "ai.onnx.preview");
	attr_float(&n, "scale", 0.75F);
	if (precision)
		attr_int(&n, "softmax_precision", precision);
	if (modified) {
		if (precision == 11)
			add(&score, "s", "Identity", "t");
		else
			add(&score, "s bias", "Add", "t");
		add(&score, "t", "Tanh", "scores");
		PORT_IN(&score, "s", REAL);
		PORT_OUT(&score, "scores", REAL);
		attr_graph(&n, "score_mod", &score);
		if (precision == 11)
			add(&prob, "p", "Sqrt", "o");
		else
			add(&prob, "p gain", "Mul", "o");
		if (precision != 11)
			weight(&prob, "gain", 3, 5);
		PORT_IN(&prob, "p", REAL);
		PORT_OUT(&prob, "o", REAL);
		attr_graph(&n, "prob_mod", &prob);
	}
	pb_msg(&g, 1, &n);
	ends(&g);
	return with_preview(&g);
}

static void whole_list(struct onx_buf *g, const char *name, const int64_t *v)
{
	struct onx_buf t = pb_tensor(name, WHOLE, (int64_t[]){ 4 }, 1);
	for (int i = 0; i < 4; i++)
		pb_int(&t, 7, (uint64_t)v[i]);
	pb_msg(g, 5, &t);
}

static void real_one(struct onx_buf *g, const char *name, float v)
{
	struct onx_buf t = pb_tensor(name, REAL, NULL, 0);
	pb_float(&t, 4, v);
	pb_msg(g, 5, &t);
}

static struct onx_buf plain(bool modified)
{
	struct onx_buf g = { 0 };
	around(&g);
	whole_list(&g, "pairs", (const int64_t[]){ 2, 2, 6, -1 });
	whole_list(&g, "heads", (const int64_t[]){ 2, 4, 3, -1 });
	real_one(&g, "scale", 0.75F);
	struct onx_buf turn = node("K", "Transpose", "Kt");
	attr_ints(&turn, "perm", 4, (const int64_t[]){ 0, 1, 3, 2 });
	pb_msg(&g, 1, &turn);
	add(&g, "Q pairs", "Reshape", "Qp");
	add(&g, "Qp Kt", "MatMul", "raw");
	add(&g, "raw scale", "Mul", "scaled");
	add(&g, "scaled heads", "Reshape", "s");
	if (modified) {
		add(&g, "s bias", "Add", "t");
		add(&g, "t", "Tanh", "scores");
		weight(&g, "gain", 3, 5);
	}
	add(&g, modified ? "scores" : "s", "Softmax", "p");
	if (modified)
		add(&g, "p gain", "Mul", "o");
	add(&g, modified ? "o pairs" : "p pairs", "Reshape", "op");
	add(&g, "op V", "MatMul", "Yp");
	add(&g, "Yp heads", "Reshape", "Y");
	ends(&g);
	return with_preview(&g);
}

/* The plan's Y and the gradients of the weights, by name. */
struct result { double y[72], grad[64]; size_t n_grad; };

static void run_one(struct onx_buf bytes, struct result *out)
{
	static const char *const names[] = { "Wq", "Wk", "Wv", "bias", "gain" };
	struct net n;
	struct run r;
	open_model(&n, &bytes);
	const uint32_t loss = onx_graph_find(n.g, "loss"), y = onx_graph_find(n.g, "Y");
	run_open(&r, &n, (uint32_t[]){ loss, y }, 2, loss, true, 0);
	memset(r.params->grad, 0, r.params->n * sizeof(double));
	run_forward(&r, &n);
	const struct onx_view *v = onx_exec_view(r.exec, y);
	assert_int_equal(v->n, 72);
	for (size_t i = 0; i < 72; i++)
		out->y[i] = onx_view_real(v, i);
	onx_exec_backward(r.exec, false, 1);
	out->n_grad = 0;
	for (size_t k = 0; k < sizeof names / sizeof *names; k++)
		for (uint32_t i = 0; i < n.g->n_value; i++) {
			const char *name = n.g->value[i].name, *dot = strrchr(name, '.');
			if (!n.weight[i] || strcmp(dot ? dot + 1 : name, names[k]) != 0)
				continue;
			for (size_t e = 0; e < n.g->value[i].init->n; e++)
				out->grad[out->n_grad++] = ((double *)r.params->grad)[r.params->at[i] + e];
		}
	run_close(&r);
	net_free(&n);
}

static void like_plain(void **state)
{
	(void)state;
	for (int modified = 0; modified < 2; modified++) {
		struct result a, b;
		run_one(flex(modified, 0), &a);
		run_one(plain(modified), &b);
		for (size_t i = 0; i < 72; i++)
			assert_float_equal(a.y[i], b.y[i], 1e-12);
		assert_int_equal(a.n_grad, modified ? 17 + 30 : 17);
		assert_int_equal(a.n_grad, b.n_grad);
		for (size_t i = 0; i < a.n_grad; i++)
			assert_float_equal(a.grad[i], b.grad[i], 1e-10);
	}
}

static void slopes(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct net n;
		struct onx_buf bytes = flex(k & 1, k & 2 ? 11 : 0);
		open_model(&n, &bytes);
		like_interpreter(&n);
		both(&n, onx_graph_find(n.g, "loss"));
	}
}

/* Nothing changed: the bytes of the file.  The modifier's own weight changed: in the file it is the new one. */
static void in_the_file(void **state)
{
	struct onx_buf bytes = flex(true, 0), now = { 0 };
	struct onx_model *m = NULL;
	struct onx_err e = { 0 };
	float v[15];
	(void)state;
	must(onx_model_parse(bytes.data, bytes.len, NULL, &m, &e), &e);
	struct onx_graph *g = built(m);
	must(onx_graph_export(g, &e), &e);
	must(onx_model_bytes(m, &now, &e), &e);
	assert_int_equal(now.len, bytes.len);
	assert_memory_equal(now.data, bytes.data, bytes.len);
	const uint32_t gain = onx_graph_find(g, "FlexAttention_1.prob_mod.gain");
	assert_int_not_equal(gain, ONX_NONE);
	for (int i = 0; i < 15; i++)
		v[i] = (float)i;
	const struct onx_weight *w = g->value[gain].init;
	const struct onx_view src = { .v = v, .n = 15, .rank = 2, .dim = w->dim, .type = ONX_FLOAT, .width = 4 };
	must(onx_weight_store(m, w, &src, &e), &e);
	must(onx_graph_export(g, &e), &e);
	onx_graph_free(g);
	struct onx_model *again = round_trip(m);
	const struct onx_file_node *n = &onx_model_graph(again)->node[3];
	assert_string_equal(n->type, "FlexAttention");
	const struct onx_file_graph *body = n->attr[2].graph;
	memset(v, 0, sizeof v);
	must(onx_weight_load(body->init[0], &src, &e), &e);
	assert_float_equal(v[14], 14, 0);
	onx_model_free(again);
	onx_model_free(m);
	onx_buf_release(&bytes);
	onx_buf_release(&now);
}

static void refused(void **state)
{
	struct onx_buf g = { 0 }, body = { 0 };
	struct onx_model *m = NULL;
	struct onx_graph *graph = NULL;
	struct onx_err e = { 0 };
	(void)state;
	add(&body, "s t", "Add", "u");
	PORT_IN(&body, "s", REAL);
	PORT_IN(&body, "t", REAL);
	PORT_OUT(&body, "u", REAL);
	struct onx_buf n = node("q k v", "FlexAttention", "Y");
	pb_str(&n, 7, "ai.onnx.preview");
	attr_graph(&n, "prob_mod", &body);
	pb_msg(&g, 1, &n);
	INPUT(&g, "q", 1, 1, 2, 2);
	INPUT(&g, "k", 1, 1, 2, 2);
	INPUT(&g, "v", 1, 1, 2, 2);
	PORT_OUT(&g, "Y", REAL);
	struct onx_buf bytes = with_preview(&g);
	must(onx_model_parse(bytes.data, bytes.len, NULL, &m, &e), &e);
	must_fail(onx_graph_build(m, 0, &graph, &e), ONX_FORMAT, &e, "'prob_mod' has 2 inputs and 1 outputs");
	onx_model_free(m);
	onx_buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(like_plain), cmocka_unit_test(slopes),
		cmocka_unit_test(in_the_file), cmocka_unit_test(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
