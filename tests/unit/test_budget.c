/* Plans within a budget: the same bits as without one -- loss, gradients, running statistics -- down to the
 * smallest block that the planner finds, over nets with batch statistics, dropout, residuals, several outputs
 * and attention; then a fault that says how much is needed. */
#include "unit/lib/net.h"

enum { BATCH = 6 };

static uint32_t conv(struct net *n, uint32_t x, int64_t from, int64_t to, int64_t size)
{
	const int64_t p = size / 2;
	const struct onx_file_attr pads = onx_attr_ints("pads", (int64_t[]){ p, p, p, p }, 4);
	const uint32_t in[2] = { x, W(n, to, from, size, size) };
	return net_op(n, "Conv", 2, in, &pads);
}

static uint32_t norm(struct net *n, uint32_t x, int64_t c)
{
	uint32_t y;
	const uint32_t in[5] = { x, POSITIVE(n, true, c), W(n, c), FROZEN(n, c), POSITIVE(n, false, c) };
	const uint32_t id = net_node(n, "BatchNormalization", 5, in, 1, &y, 0, NULL);
	n->train[id] = n->variable[in[3]] = n->variable[in[4]] = true;
	return y;
}

static uint32_t dropout(struct net *n, uint32_t x)
{
	const uint32_t y = OP1(n, "Dropout", x);
	n->train[n->g->value[y].def] = true;
	return y;
}

/* Residual blocks, one of them with two branches; SiLU, pooling, a gate by channel, dropout. */
static uint32_t pictures(struct net *n)
{
	const struct onx_file_attr two[2] = { onx_attr_ints("kernel_shape", (int64_t[]){ 2, 2 }, 2),
					      onx_attr_ints("strides", (int64_t[]){ 2, 2 }, 2) };
	const struct onx_file_attr axis = onx_attr_int("axis", 1);
	uint32_t part[2], y, h = OP1(n, "Relu", norm(n, conv(n, IN(n, "x", BATCH, 3, 16, 16), 3, 8, 3), 8));
	for (int k = 0; k < 3; k++) {
		y = norm(n, conv(n, h, 8, 8, 1), 8);
		y = OP2(n, "Mul", y, OP1(n, "Sigmoid", y));
		y = norm(n, conv(n, y, 8, 8, 3), 8);
		h = OP1(n, "Relu", OP2(n, "Add", k == 1 ? dropout(n, y) : y, h));
	}
	net_node(n, "MaxPool", 1, &h, 1, &y, 2, two);
	net_node(n, "Split", 2, (uint32_t[]){ y, INTS(n, 2, 3, 5) }, 2, part, 1, &axis);
	part[0] = OP1(n, "Softplus", conv(n, part[0], 3, 3, 3));
	h = OP2(n, "Add", net_op(n, "Concat", 2, part, &axis), y);
	h = OP2(n, "Mul", h, OP1(n, "Sigmoid", conv(n, OP1(n, "GlobalAveragePool", h), 8, 8, 1)));
	h = OP1(n, "Flatten", OP1(n, "GlobalAveragePool", dropout(n, h)));
	return OP2(n, "CrossEntropy", OP3(n, "Gemm", h, W(n, 8, 3), W(n, 3)), LABELS(n, "labels", BATCH));
}

static uint32_t heads(struct net *n, uint32_t x, const int64_t *perm)
{
	const struct onx_file_attr turn = onx_attr_ints("perm", perm, 4);
	const uint32_t h = OP2(n, "Reshape", OP2(n, "Add", OP2(n, "MatMul", x, W(n, 16, 16)), W(n, 16)),
			       INTS(n, 4, BATCH, 12, 2, 8));
	return net_op(n, "Transpose", 1, &h, &turn);
}

/* Pre-norm attention and a feed-forward part, twice. */
static uint32_t tokens(struct net *n)
{
	static const int64_t in[4] = { 0, 2, 1, 3 }, across[4] = { 0, 2, 3, 1 };
	const struct onx_file_attr turn = onx_attr_ints("perm", in, 4);
	uint32_t h = OP2(n, "Add", OP2(n, "MatMul", IN(n, "x", BATCH, 12, 5), W(n, 5, 16)), W(n, 12, 16));
	for (int k = 0; k < 2; k++) {
		uint32_t x = OP3(n, "LayerNormalization", h, POSITIVE(n, true, 16), W(n, 16));
		uint32_t a = OP2(n, "MatMul", heads(n, x, in), heads(n, x, across));
		a = OP2(n, "MatMul", dropout(n, OP1(n, "Softmax", a)), heads(n, x, in));
		a = OP2(n, "Reshape", net_op(n, "Transpose", 1, &a, &turn), INTS(n, 3, BATCH, 12, 16));
		h = OP2(n, "Add", h, dropout(n, OP2(n, "MatMul", a, W(n, 16, 16))));
		x = OP3(n, "LayerNormalization", h, POSITIVE(n, true, 16), W(n, 16));
		x = OP2(n, "Add", OP2(n, "MatMul", x, W(n, 16, 40)), W(n, 40));
		x = OP2(n, "Mul", x, OP1(n, "Erf", x));
		h = OP2(n, "Add", h, OP2(n, "MatMul", x, W(n, 40, 16)));
	}
	return LOSS(n, h, BATCH, 12, 16);
}

/* Feed-forward parts over many rows. */
static uint32_t many_rows(struct net *n)
{
	uint32_t h = OP2(n, "Add", OP2(n, "MatMul", IN(n, "x", 512, 1, 5), W(n, 5, 64)), W(n, 32, 64));
	for (int k = 0; k < 6; k++) {
		uint32_t x = OP3(n, "LayerNormalization", h, POSITIVE(n, true, 64), W(n, 64));
		x = OP2(n, "MatMul", x, W(n, 64, 64));
		h = OP2(n, "Add", h, OP2(n, "MatMul", OP2(n, "Mul", x, OP1(n, "Erf", x)), W(n, 64, 64)));
	}
	return OP1(n, "ReduceMean", h);
}

/* Two steps, gradients added up, into out: loss, gradients and weights (running statistics among them). */
static size_t results(struct run *r, const struct net *n, uint32_t loss, double *out)
{
	const size_t k = r->params->n;
	const bool wide = r->params->wide;
	memset(r->params->grad, 0, k * (wide ? 8 : 4));
	for (int i = 0; i < 2; i++) {
		run_forward(r, n);
		out[i] = run_real(r, loss);
		onx_exec_backward(r->exec, i, i ? 0.75 : 0.25);
	}
	for (size_t i = 0; i < k; i++) {
		out[2 + i] = wide ? ((double *)r->params->grad)[i] : (double)((float *)r->params->grad)[i];
		out[2 + k + i] = wide ? ((double *)r->params->weight)[i] : (double)((float *)r->params->weight)[i];
	}
	return 2 + 2 * k;
}

/* A large block is made smaller without being asked, unless a budget says that there is room. */
static void leaner(void **state)
{
	struct net n;
	struct onx_err e = { 0 };
	struct run roomy, lean;
	(void)state;
	net_new(&n);
	const uint32_t loss = many_rows(&n);
	struct onx_plan_want w = net_want(&n, &loss, 1, loss, false);
	must(run_with(&lean, &n, w, 0, &e), &e);
	w.budget = (size_t)1 << 40;
	must(run_with(&roomy, &n, w, 0, &e), &e);
	assert_true(lean.plan->bytes <= roomy.plan->bytes / 4 * 3 && lean.plan->again > roomy.plan->again);
	run_close(&lean);
	run_close(&roomy);
	net_free(&n);
}

/* Products that make many numbers of few are dropped and made again before anything is cut into segments. */
static void expanded(void **state)
{
	struct net n;
	struct onx_err e = { 0 };
	struct run r;
	(void)state;
	net_new(&n);
	uint32_t h = IN(&n, "x", 512, 160);
	for (int k = 0; k < 6; k++) {
		const uint32_t few = OP1(&n, "Tanh", OP2(&n, "MatMul", h, W(&n, 160, 24)));
		h = OP2(&n, "Add", h, OP1(&n, "Softplus", OP2(&n, "MatMul", few, W(&n, 24, 160))));
	}
	const uint32_t loss = OP1(&n, "ReduceMean", h);
	struct onx_plan_want w = net_want(&n, &loss, 1, loss, false);
	w.budget = (size_t)9 * 512 * 160 * sizeof(float);       /* nine wide tensors: the blocks alone have twelve */
	must(run_with(&r, &n, w, 0, &e), &e);
	assert_true(r.plan->n_segment == 0 && r.plan->n_again >= 6 && r.plan->again < 0.6);
	run_close(&r);
	net_free(&n);
}

static void squeezed(uint32_t (*make)(struct net *), bool wide)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	uint32_t cuts = 0, again = 0;
	size_t least = 0, plain, count;
	net_new(&n);
	const uint32_t loss = make(&n);
	struct onx_plan_want w = net_want(&n, &loss, 1, loss, wide);
	must(run_with(&r, &n, w, 0, &e), &e);
	plain = r.plan->bytes;
	double *want = onx_heap(2 * r.params->n + 2, sizeof *want), *got = onx_heap(2 * r.params->n + 2, sizeof *got);
	count = results(&r, &n, loss, want);
	run_close(&r);
	w.least = &least;
	for (int percent = 99; ; percent -= 4) {
		w.budget = plain * (size_t)percent / 100;
		if (run_with(&r, &n, w, percent % 8 == 3 ? 2 : 0, &e) < 0) {
			must_fail(ONX_NOMEM, ONX_NOMEM, &e, "over the budget");
			run_close(&r);
			break;
		}
		assert_true(r.plan->bytes <= w.budget && r.plan->live_bytes <= r.plan->bytes);
		assert_true(r.plan->n_again > 0 && r.plan->again > 0);
		cuts = r.plan->n_segment > cuts ? r.plan->n_segment : cuts;
		again = r.plan->n_again > again ? r.plan->n_again : again;
		assert_int_equal(results(&r, &n, loss, got), count);
		assert_memory_equal(got, want, count * sizeof *got);
		run_close(&r);
		assert_true(percent > 4);
	}
	assert_true(cuts > 0 && 6 * least < 5 * plain && least > w.budget);
	w.budget = least;                               /* what the fault names is enough */
	e = (struct onx_err){ 0 };
	must(run_with(&r, &n, w, 0, &e), &e);
	results(&r, &n, loss, got);
	assert_memory_equal(got, want, count * sizeof *got);
	run_close(&r);
	onx_heap_free(want);
	onx_heap_free(got);
	net_free(&n);
}

static void of_pictures(void **state)
{
	(void)state;
	squeezed(pictures, false);
	squeezed(pictures, true);
}

static void of_tokens(void **state)
{
	(void)state;
	squeezed(tokens, false);
	squeezed(tokens, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(of_pictures), cmocka_unit_test(of_tokens),
					    cmocka_unit_test(leaner), cmocka_unit_test(expanded) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
