/* Plans that run: gradients against finite differences in double, through the plan; memory that holds NaN
 * before each run; the same bits for any number of threads. */
#include "unit/lib/slopes.h"
#include <math.h>

/* --- gradients ------------------------------------------------------------------------------------- */

static void read_twice(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 3, 4), h = OP2(&n, "MatMul", x, W(&n, 4, 5));
	const uint32_t square = OP2(&n, "Mul", h, h);
	const uint32_t two = OP2(&n, "Add", square, square);
	const uint32_t res = OP2(&n, "Add", two, OP1(&n, "Tanh", h));
	both(&n, LOSS(&n, OP2(&n, "Sub", res, h), 3, 5));
}

static void shared_weight(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 3, 4), w = W(&n, 4, 4);
	const uint32_t h = OP1(&n, "Sigmoid", OP2(&n, "MatMul", x, w));
	/* the third reader squares it */
	const uint32_t y = OP2(&n, "MatMul", OP2(&n, "MatMul", h, w), OP2(&n, "Mul", w, w));
	both(&n, LOSS(&n, y, 3, 4));
}

static void weight_behind_views(void **state)
{
	struct net n;
	const struct onx_file_attr turn = onx_attr_ints("perm", (int64_t[]){ 1, 0 }, 2);
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 3, 4);
	const uint32_t a = OP2(&n, "Reshape", W(&n, 12), INTS(&n, 2, 4, 3));
	const uint32_t w = W(&n, 5, 3), b = net_op(&n, "Transpose", 1, &w, &turn);
	/* one weight through two views, one of them a chain */
	const uint32_t s = W(&n, 5), s2 = OP1(&n, "Identity", OP2(&n, "Reshape", s, INTS(&n, 2, 1, 5)));
	const uint32_t h = OP2(&n, "Mul", OP2(&n, "MatMul", OP2(&n, "MatMul", x, a), b), s2);
	both(&n, LOSS(&n, OP2(&n, "Add", h, OP1(&n, "Identity", s)), 3, 5));
}

static void views_with_readers(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 2, 6), h = OP2(&n, "MatMul", x, W(&n, 6, 6));
	const uint32_t v = OP2(&n, "Reshape", h, INTS(&n, 2, 3, 4));
	const uint32_t u = OP1(&n, "Identity", OP2(&n, "Reshape", v, INTS(&n, 2, 4, 3)));
	const uint32_t a = LOSS(&n, OP2(&n, "Mul", v, v), 3, 4), b = LOSS(&n, OP1(&n, "Exp", v), 3, 4);
	const uint32_t c = LOSS(&n, OP1(&n, "Tanh", u), 4, 3), d = LOSS(&n, h, 2, 6);
	both(&n, OP2(&n, "Add", OP2(&n, "Add", a, b), OP2(&n, "Mul", c, d)));
}

static void loss_behind_a_view(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t h = OP2(&n, "MatMul", IN(&n, "x", 2, 3), W(&n, 3, 2));
	both(&n, OP2(&n, "Reshape", LOSS(&n, h, 2, 2), INTS(&n, 1, 1)));
}

static void several_outputs(void **state)
{
	struct net n;
	uint32_t part[3], top[2];
	const struct onx_file_attr axis = onx_attr_int("axis", 1);
	(void)state;
	net_new(&n);
	const uint32_t h = OP2(&n, "MatMul", IN(&n, "x", 3, 4), W(&n, 4, 6));
	/* the middle part is not used */
	net_node(&n, "Split", 2, (uint32_t[]){ h, INTS(&n, 3, 2, 1, 3) }, 3, part, 1, &axis);
	net_node(&n, "TopK", 2, (uint32_t[]){ h, INTS(&n, 1, 2) }, 2, top, 0, NULL);
	const uint32_t y = net_op(&n, "Concat", 4, (uint32_t[]){ part[0], part[2], top[0], part[0] }, &axis);
	both(&n, LOSS(&n, y, 3, 9));
}

static void variadic(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 3, 4), a = OP2(&n, "MatMul", x, W(&n, 4, 4));
	const uint32_t b = OP1(&n, "Tanh", a), c = OP2(&n, "Add", x, W(&n, 4));
	const uint32_t sum = net_op(&n, "Sum", 5, (uint32_t[]){ a, b, a, c, a }, NULL);
	const uint32_t most = OP3(&n, "Max", a, b, c), mean = OP3(&n, "Mean", most, sum, most);
	both(&n, LOSS(&n, mean, 3, 4));
}

static uint32_t norm(struct net *n, uint32_t x, int64_t c, bool train, uint32_t stat[2])
{
	uint32_t y;
	const uint32_t in[5] = { x, POSITIVE(n, true, c), W(n, c), FROZEN(n, c), POSITIVE(n, false, c) };
	const uint32_t id = net_node(n, "BatchNormalization", 5, in, 1, &y, 0, NULL);
	n->train[id] = train;
	for (int k = 0; k < 2; k++)
		n->variable[stat[k] = in[3 + k]] = train;
	return y;
}

static uint32_t picture_net(struct net *n, bool train)
{
	uint32_t stat[2], in[3];
	const struct onx_file_attr three[2] = { onx_attr_ints("pads", (int64_t[]){ 1, 1, 1, 1 }, 4) };
	const struct onx_file_attr two[2] = { onx_attr_ints("kernel_shape", (int64_t[]){ 2, 2 }, 2),
					      onx_attr_ints("strides", (int64_t[]){ 2, 2 }, 2) };
	uint32_t h, y;
	const uint32_t x = IN(n, "x", 4, 3, 6, 6);
	in[0] = x;
	in[1] = W(n, 5, 3, 3, 3);
	in[2] = W(n, 5);
	net_node(n, "Conv", 3, in, 1, &h, 1, three);
	h = OP1(n, "Relu", norm(n, h, 5, train, stat));
	net_node(n, "MaxPool", 1, &h, 1, &y, 2, two);
	in[0] = y;
	in[1] = W(n, 5, 5, 3, 3);
	net_node(n, "Conv", 2, in, 1, &h, 1, three);
	h = OP2(n, "Add", norm(n, h, 5, train, stat), y);
	h = OP1(n, "Flatten", OP1(n, "GlobalAveragePool", OP1(n, "Sigmoid", h)));
	h = OP3(n, "Gemm", h, W(n, 5, 3), W(n, 3));
	return OP2(n, "CrossEntropy", h, LABELS(n, "labels", 4));
}

static void whole_net(void **state)
{
	(void)state;
	for (int train = 0; train < 2; train++) {
		struct net n;
		net_new(&n);
		const uint32_t loss = picture_net(&n, train);
		both(&n, loss);
	}
}

/* Forward in float, convolutions go with channels last and what follows them is fused; in double nothing is
 * lowered.  Both orders of one value are read: by Concat and Add, and by Flatten. */
static void lowered(void **state)
{
	const struct onx_file_attr pads[1] = { onx_attr_ints("pads", (int64_t[]){ 1, 1, 1, 1 }, 4) };
	struct net n;
	struct run a, b;
	uint32_t stat[2], in[3], h, y, z;
	(void)state;
	net_new(&n);
	in[0] = IN(&n, "x", 4, 3, 6, 6);
	in[1] = W(&n, 5, 3, 3, 3);
	in[2] = W(&n, 5);
	net_node(&n, "Conv", 3, in, 1, &h, 1, pads);
	h = OP1(&n, "Relu", norm(&n, h, 5, 0, stat));
	in[0] = h;
	in[1] = W(&n, 5, 5, 3, 3);
	net_node(&n, "Conv", 2, in, 1, &y, 1, pads);
	y = OP1(&n, "Relu", OP2(&n, "Add", norm(&n, y, 5, 0, stat), h));
	y = OP2(&n, "Mul", y, OP1(&n, "Sigmoid", OP1(&n, "GlobalAveragePool", y)));
	const uint32_t both_orders[2] = { y, h };
	const struct onx_file_attr axis[1] = { { .name = "axis", .type = ONX_ATTR_INT, .i = 1 } };
	net_node(&n, "Concat", 2, both_orders, 1, &z, 1, axis);
	in[0] = z;
	in[1] = W(&n, 7, 10, 1, 1);
	net_node(&n, "Conv", 2, in, 1, &z, 0, NULL);
	const uint32_t out[2] = { OP1(&n, "Flatten", z), y };
	run_open(&a, &n, out, 2, ONX_NONE, false, 0);
	run_open(&b, &n, out, 2, ONX_NONE, true, 0);
	assert_non_null(a.plan->twin);
	assert_null(b.plan->twin);
	run_forward(&a, &n);
	run_forward(&b, &n);
	for (int k = 0; k < 2; k++) {
		const struct onx_view *u = onx_exec_view(a.exec, out[k]), *v = onx_exec_view(b.exec, out[k]);
		assert_int_equal(u->n, v->n);
		for (size_t i = 0; i < u->n; i++)
			assert_true(fabs(onx_view_real(u, i) - onx_view_real(v, i)) <
				    1e-4 * (1 + fabs(onx_view_real(v, i))));
	}
	run_close(&a);
	run_close(&b);
	net_free(&n);
}

/* 3x3 convolutions go by Winograd's products, forward and backward, but not where the plan is to be precise; the
 * numbers agree. */
static void precise(void **state)
{
	const struct onx_file_attr pads[1] = { onx_attr_ints("pads", (int64_t[]){ 1, 1, 1, 1 }, 4) };
	struct onx_err e = { 0 };
	struct net n;
	struct run r[2];
	uint32_t in[2], y;
	(void)state;
	net_new(&n);
	in[0] = IN(&n, "x", 4, 16, 8, 8);
	in[1] = W(&n, 16, 16, 3, 3);
	net_node(&n, "Conv", 2, in, 1, &y, 1, pads);
	y = OP1(&n, "Flatten", OP1(&n, "GlobalAveragePool", OP1(&n, "Relu", y)));
	const uint32_t loss = LOSS(&n, y, 4, 16), conv = in[1];
	for (int k = 0; k < 2; k++) {
		struct onx_plan_want want = net_want(&n, &loss, 1, loss, false);
		uint32_t forward = 0, back = 0;
		want.precise = k == 1;
		must(run_with(&r[k], &n, want, 0, &e), &e);
		for (uint32_t i = 0; i < r[k].plan->n_step; i++)
			if (strcmp(r[k].plan->step[i].impl, "winograd") == 0)
				++*(r[k].plan->step[i].back ? &back : &forward);
		assert_int_equal(forward, k == 0);
		assert_int_equal(back, k == 0);
		run_forward(&r[k], &n);
		onx_exec_backward(r[k].exec, false, 1);
	}
	for (size_t i = 0; i < (size_t)16 * 16 * 9; i++) {
		const float a = ((float *)r[0].params->grad)[r[0].params->at[conv] + i];
		const float b = ((float *)r[1].params->grad)[r[1].params->at[conv] + i];
		assert_true(fabsf(a - b) < 1e-5f);
	}
	assert_true(memcmp(r[0].params->grad, r[1].params->grad, (size_t)16 * 16 * 9 * sizeof(float)) != 0);
	run_close(&r[0]);
	run_close(&r[1]);
	net_free(&n);
}

/* ---- what exporters write for transformers ---- */

static uint32_t NUMBER(struct net *n, double x)
{
	struct onx_err e = { 0 };
	const float v = (float)x;
	uint32_t id;
	must(onx_graph_add_weight(n->g, "c", ONX_FLOAT, 0, NULL, &v, &id, &e), &e);
	return id;
}

static uint32_t mean_of(struct net *n, uint32_t x)
{
	const struct onx_file_attr axes = onx_attr_ints("axes", (int64_t[]){ -1 }, 1);
	return net_op(n, "ReduceMean", 1, &x, &axes);
}

static uint32_t layer_norm(struct net *n, uint32_t x, int64_t width)
{
	const uint32_t d = OP2(n, "Sub", x, mean_of(n, x));
	const uint32_t var = mean_of(n, OP2(n, "Pow", d, NUMBER(n, 2)));
	const uint32_t y = OP2(n, "Div", d, OP1(n, "Sqrt", OP2(n, "Add", var, NUMBER(n, 1e-5))));
	return OP2(n, "Add", OP2(n, "Mul", y, POSITIVE(n, true, width)), W(n, width));
}

static uint32_t gelu(struct net *n, uint32_t x)
{
	const uint32_t e = OP1(n, "Erf", OP2(n, "Div", x, NUMBER(n, 1.4142135381698608)));
	return OP2(n, "Mul", OP2(n, "Mul", x, OP2(n, "Add", e, NUMBER(n, 1))), NUMBER(n, 0.5));
}

static uint32_t turned(struct net *n, uint32_t x, int64_t a, int64_t b, int64_t c, int64_t d)
{
	const struct onx_file_attr perm = onx_attr_ints("perm", (int64_t[]){ a, b, c, d }, 4);
	return net_op(n, "Transpose", 1, &x, &perm);
}

static uint32_t dense(struct net *n, uint32_t x, int64_t from, int64_t to)
{
	return OP2(n, "Add", OP2(n, "MatMul", x, W(n, from, to)), W(n, to));
}

static uint32_t block(struct net *n, uint32_t x, uint32_t *inside)
{
	const uint32_t h = layer_norm(n, x, 8);
	uint32_t q = turned(n, OP2(n, "Reshape", dense(n, h, 8, 8), INTS(n, 4, 2, 5, 2, 4)), 0, 2, 1, 3);
	const uint32_t k = turned(n, OP2(n, "Reshape", dense(n, h, 8, 8), INTS(n, 4, 2, 5, 2, 4)), 0, 2, 3, 1);
	const uint32_t v = turned(n, OP2(n, "Reshape", dense(n, h, 8, 8), INTS(n, 4, 2, 5, 2, 4)), 0, 2, 1, 3);
	q = OP2(n, "Div", OP2(n, "MatMul", q, k), NUMBER(n, 2));
	const struct onx_file_attr axis = onx_attr_int("axis", -1);
	*inside = net_op(n, "Softmax", 1, &q, &axis);
	q = turned(n, OP2(n, "MatMul", *inside, v), 0, 2, 1, 3);
	x = OP2(n, "Add", dense(n, OP2(n, "Reshape", q, INTS(n, 3, 2, 5, 8)), 8, 8), x);
	return OP2(n, "Add", dense(n, gelu(n, dense(n, layer_norm(n, x, 8), 8, 12)), 12, 8), x);
}

static uint32_t count_steps(const struct run *r, const char *type)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->plan->n_forward; i++)
		n += strcmp(r->plan->step[i].op->type, type) == 0;
	return n;
}

/* The chains become steps of their own; not where a value inside is asked for. */
static void transformer(void **state)
{
	(void)state;
	for (int ask = 0; ask < 2; ask++) {
		struct net n;
		struct run r;
		uint32_t inside;
		net_new(&n);
		const uint32_t x = OP2(&n, "MatMul", IN(&n, "x", 2, 5, 6), W(&n, 6, 8));
		const uint32_t loss = LOSS(&n, block(&n, x, &inside), 2, 5, 8);
		const uint32_t target[2] = { loss, inside };
		run_open(&r, &n, target, 1 + (uint32_t)ask, loss, false, 0);
		assert_int_equal(count_steps(&r, "LayerNormalization"), 2);
		assert_int_equal(count_steps(&r, "HeadAttention"), !ask);
		assert_int_equal(count_steps(&r, "Erf") + count_steps(&r, "Sqrt"), 0);
		assert_int_equal(count_steps(&r, "Softmax"), ask);
		run_close(&r);
		both(&n, loss);
	}
}

/* Softplus keeps its input for its own gradient, so its output can be made again rather than kept. */
static void made_again(void **state)
{
	struct net n;
	struct run r;
	uint32_t again = 0;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 16, 8), h = OP2(&n, "MatMul", x, W(&n, 8, 24));
	const uint32_t y = OP2(&n, "MatMul", OP1(&n, "Softplus", OP1(&n, "Softplus", h)), W(&n, 24, 3));
	const uint32_t loss = LOSS(&n, y, 16, 3);
	run_open(&r, &n, &loss, 1, loss, true, 0);
	for (uint32_t i = r.plan->n_forward; i < r.plan->n_step; i++)
		again += r.plan->step[i].again;
	assert_int_equal(again, 1);                     /* the first; the second needs it in turn, so it is kept */
	run_close(&r);
	both(&n, loss);
}

/* Running statistics move by momentum, in place, and only in training mode. */
static void running_statistics(void **state)
{
	(void)state;
	for (int train = 0; train < 2; train++) {
		struct net n;
		struct run r;
		uint32_t stat[2];
		net_new(&n);
		const uint32_t x = IN(&n, "x", 5, 2);
		const uint32_t y = norm(&n, x, 2, train, stat), loss = LOSS(&n, y, 5, 2);
		run_open(&r, &n, &loss, 1, loss, true, 0);
		if (!train) {
			assert_true(r.params->at[stat[0]] == SIZE_MAX);
			run_close(&r);
			net_free(&n);
			continue;
		}
		double *mean = (double *)r.params->weight + r.params->at[stat[0]], before = mean[1];
		double *var = (double *)r.params->weight + r.params->at[stat[1]], was = var[1];
		run_forward(&r, &n);
		struct onx_rng rng;
		double m = 0, s = 0, all[10];
		onx_rng_init(&rng, 4, ONX_RNG_TEST, 0, 0);
		for (int i = 0; i < 10; i++)
			all[i] = onx_rng_normal(&rng);
		for (int i = 1; i < 10; i += 2)
			m += all[i] / 5;
		for (int i = 1; i < 10; i += 2)
			s += (all[i] - m) * (all[i] - m) / 4;       /* as PyTorch: unbiased */
	assert_true(fabs(mean[1] - (0.9 * before + 0.1 * m)) < 1e-12);
		assert_true(fabs(var[1] - (0.9 * was + 0.1 * s)) < 1e-12);
		run_close(&r);
		net_free(&n);
	}
}

static void dropout(void **state)
{
	struct net n;
	struct run r;
	(void)state;
	net_new(&n);
	const uint32_t h = OP2(&n, "MatMul", IN(&n, "x", 4, 8), W(&n, 8, 8));
	const uint32_t d = OP1(&n, "Dropout", h), node = n.g->value[d].def;
	n.train[node] = true;
	const uint32_t loss = LOSS(&n, OP1(&n, "Tanh", d), 4, 8);
	slopes_wide(&n, loss);
	slopes_float(&n, loss);
	/* the same (seed, step): the same mask; another step: another one */
	run_open(&r, &n, &loss, 1, loss, false, 0);
	run_forward(&r, &n);
	const double a = run_real(&r, loss);
	run_forward(&r, &n);
	assert_true(a == run_real(&r, loss));
	onx_exec_feed(r.exec, n.feed[0].value, (float[32]){ 1, 2, 3, 4, 5, 6, 7, 8 });
	onx_exec_forward(r.exec, 1, 1);
	const double b = run_real(&r, loss);
	onx_exec_feed(r.exec, n.feed[0].value, (float[32]){ 1, 2, 3, 4, 5, 6, 7, 8 });
	onx_exec_forward(r.exec, 1, 2);
	assert_true(b != run_real(&r, loss));
	run_close(&r);
	/* in inference mode nothing is dropped */
	n.train[node] = false;
	both(&n, loss);
}

/* --- shares and sums ------------------------------------------------------------------------------- */

static void accumulates(void **state)
{
	struct net n;
	struct run r;
	(void)state;
	net_new(&n);
	const uint32_t w = W(&n, 4, 4), v = W(&n, 16);
	const uint32_t h = OP2(&n, "MatMul", IN(&n, "x", 3, 4), w);
	/* v's gradient is written by a sum step, w's by MatMul itself */
	const uint32_t y = OP2(&n, "MatMul", h, OP2(&n, "Reshape", v, INTS(&n, 2, 4, 4)));
	const uint32_t loss = LOSS(&n, y, 3, 4);
	run_open(&r, &n, &loss, 1, loss, true, 0);
	const double *g = r.params->grad;
	const size_t at[2] = { r.params->at[w], r.params->at[v] };
	run_forward(&r, &n);
	onx_exec_backward(r.exec, false, 1);
	const double whole[2] = { g[at[0]], g[at[1]] };
	run_forward(&r, &n);
	onx_exec_backward(r.exec, false, 0.25);
	assert_true(fabs(g[at[0]] - 0.25 * whole[0]) < 1e-12 && fabs(g[at[1]] - 0.25 * whole[1]) < 1e-12);
	run_forward(&r, &n);
	onx_exec_backward(r.exec, true, 0.75);
	assert_true(fabs(g[at[0]] - whole[0]) < 1e-12 && fabs(g[at[1]] - whole[1]) < 1e-12);
	run_close(&r);
	net_free(&n);
}

static void same_bits(void **state)
{
	float *first = NULL;
	size_t bytes = 0;
	(void)state;
	for (int threads = 0; threads <= 3; threads++) {
		struct net n;
		struct run r;
		net_new(&n);
		const uint32_t loss = picture_net(&n, true);
		run_open(&r, &n, &loss, 1, loss, false, threads);
		run_forward(&r, &n);
		onx_exec_backward(r.exec, false, 1);
		bytes = r.params->n * sizeof(float);
		if (!first) {
			first = onx_heap(2, bytes);
			memcpy(first, r.params->grad, bytes);
			memcpy(first + r.params->n, r.params->weight, bytes);
		}
		assert_memory_equal(first, r.params->grad, bytes);
		assert_memory_equal(first + r.params->n, r.params->weight, bytes);
		run_close(&r);
		net_free(&n);
	}
	onx_heap_free(first);
}

/* One block for two plans; it moves when it grows, and both still run. */
static void shared_block(void **state)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	struct onx_plan *big;
	struct onx_exec *x;
	(void)state;
	net_new(&n);
	const uint32_t y = OP2(&n, "MatMul", IN(&n, "x", 3, 4), W(&n, 4, 4));
	net_target(&n, y);
	run_open(&r, &n, &y, 1, ONX_NONE, false, 0);
	run_forward(&r, &n);
	const double one = run_real(&r, y);
	n.feed[0].shape.dim[0] = 5000;
	const struct onx_plan_want w = net_want(&n, &y, 1, ONX_NONE, false);
	must(onx_plan_make(n.g, &r.consts, &w, &big, &e), &e);
	must(onx_exec_new(big, r.params, &r.block, NULL, &x, &e), &e);
	assert_true(r.block.bytes == big->bytes && big->bytes > r.plan->bytes);
	run_forward(&r, &n);
	assert_true(one == run_real(&r, y));
	onx_exec_free(x);
	onx_plan_free(big);
	run_close(&r);
	net_free(&n);
}

static void profile(void **state)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	(void)state;
	net_new(&n);
	const uint32_t y = OP1(&n, "Exp", IN(&n, "x", 3, 4));
	run_open(&r, &n, &y, 1, ONX_NONE, false, 0);
	assert_null(onx_exec_times(r.exec));
	must(onx_exec_profile(r.exec, &e), &e);
	run_forward(&r, &n);
	assert_true(onx_exec_times(r.exec)[0] > 0);
	run_close(&r);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_twice), cmocka_unit_test(shared_weight),
		cmocka_unit_test(weight_behind_views), cmocka_unit_test(views_with_readers),
		cmocka_unit_test(loss_behind_a_view), cmocka_unit_test(several_outputs),
		cmocka_unit_test(variadic), cmocka_unit_test(whole_net), cmocka_unit_test(made_again),
		cmocka_unit_test(lowered), cmocka_unit_test(precise),
		cmocka_unit_test(transformer),
		cmocka_unit_test(running_statistics),
		cmocka_unit_test(dropout), cmocka_unit_test(accumulates), cmocka_unit_test(same_bits),
		cmocka_unit_test(shared_block), cmocka_unit_test(profile) };
	return RUN(tests);
}
