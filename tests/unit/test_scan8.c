/* Scan of version 8, a scan for each sample of a batch: numbers from a recurrence written here, gradients from
 * differences, with lengths that are known, that are fed, and without. */
#include "unit/lib/bodies.h"

enum { B = 4, T = 3, X = 3, H = 2 };
enum lens { NONE, GIVEN, FED };
static const int64_t lengths[B] = { 3, 0, 2, 1 };

static struct onx_buf model(struct onx_buf *g)
{
	struct onx_buf m = { 0 }, opset = { 0 };
	pb_int(&m, 1, 3);
	pb_msg(&m, 7, g);
	pb_str(&opset, 1, "");
	pb_int(&opset, 2, 8);
	pb_msg(&m, 8, &opset);
	return m;
}

/* h = tanh(x W + h R), y = sigmoid(h) */
static struct onx_buf net(enum lens lens, bool back)
{
	struct onx_buf g = { 0 }, body = { 0 };
	add(&body, "xt W", "MatMul", "a");
	add(&body, "h R", "MatMul", "b");
	add(&body, "a b", "Add", "c");
	add(&body, "c", "Tanh", "hn");
	add(&body, "hn", "Sigmoid", "yt");
	PORT_IN(&body, "h", REAL);
	PORT_IN(&body, "xt", REAL);
	value(&body, 12, "hn", REAL, 1, (int64_t[]){ H });
	value(&body, 12, "yt", REAL, 1, (int64_t[]){ H });
	struct onx_buf n = node(lens == NONE ? "- h0 x" : "lens h0 x", "Scan", "last all");
	attr_int(&n, "num_scan_inputs", 1);
	attr_ints(&n, "directions", 1, (int64_t[]){ back });
	attr_graph(&n, "body", &body);
	pb_msg(&g, 1, &n);
	add(&g, "all all", "Mul", "square");
	add(&g, "square", "ReduceSum", "t1");
	add(&g, "last", "ReduceSum", "t2");
	for (int i = 0; i < 2; i++) {
		struct onx_buf r = node(i ? "t2" : "t1", "Squeeze", i ? "u2" : "u1");
		pb_msg(&g, 1, &r);
	}
	add(&g, "u1 u2", "Add", "loss");
	weight(&g, "W", X, H);
	weight(&g, "R", H, H);
	if (lens == GIVEN) {
		struct onx_buf t = pb_tensor("lens", WHOLE, (int64_t[]){ B }, 1);
		for (int i = 0; i < B; i++)
			pb_int(&t, 7, (uint64_t)lengths[i]);
		pb_msg(&g, 5, &t);
	}
	INPUT(&g, "h0", B, H);
	INPUT(&g, "x", B, T, X);
	if (lens == FED)
		value(&g, 11, "lens", WHOLE, 1, (int64_t[]){ B });
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "last", REAL);
	PORT_OUT(&g, "all", REAL);
	return model(&g);
}

static double number(uint64_t of, size_t i)
{
	struct onx_rng r;
	onx_rng_init(&r, 6, ONX_RNG_TEST, of, i);
	return onx_rng_normal(&r);
}

static double w_at(int64_t rows, int64_t i)             /* as weight() has it */
{
	return (double)((float)(((i * 7 + rows) % 11) - 5) * 0.1F);
}

static void recurrence(enum lens lens, bool back, double last[B][H], double all[B][T][H])
{
	for (int b = 0; b < B; b++) {
		const int len = lens == NONE ? T : (int)lengths[b];
		double *h = last[b];
		for (int k = 0; k < H; k++)
			h[k] = number(0, (size_t)(b * H + k));
		for (int t = 0; t < T; t++) {
			double next[H];
			for (int k = 0; k < H; k++) {
				double sum = 0;
				for (int i = 0; i < X; i++)
					sum += number(1, (size_t)((b * T + (back ? len - 1 - t : t)) * X + i)) *
					       w_at(X, i * H + k);
				for (int i = 0; i < H; i++)
					sum += h[i] * w_at(H, i * H + k);
				next[k] = tanh(sum);
				all[b][t][k] = t < len ? 1 / (1 + exp(-next[k])) : 0;
			}
			for (int k = 0; k < H && t < len; k++)
				h[k] = next[k];
		}
	}
}

static void compare(const struct onx_view *v, const double *want, size_t n)
{
	assert_int_equal(v->n, n);
	for (size_t i = 0; i < n; i++)
		if (!(fabs(onx_view_real(v, i) - want[i]) < 1e-12))
			fail_msg("number %zu: %.15g, wanted %.15g", i, onx_view_real(v, i), want[i]);
}

static void numbers(void **state)
{
	static double h0[B * H], x[B * T * X];
	(void)state;
	for (int k = 0; k < 6; k++) {
		const enum lens lens = k / 2;
		double last[B][H], all[B][T][H];
		struct net n;
		struct run r;
		struct onx_buf g = net(lens, k & 1);
		open_model(&n, &g);
		run_open(&r, &n, n.g->output, n.g->n_output, ONX_NONE, true, 0);
		for (size_t i = 0; i < B * H; i++)
			h0[i] = number(0, i);
		for (size_t i = 0; i < B * T * X; i++)
			x[i] = number(1, i);
		onx_exec_feed(r.exec, onx_graph_find(n.g, "h0"), h0);
		onx_exec_feed(r.exec, onx_graph_find(n.g, "x"), x);
		if (lens == FED)
			onx_exec_feed(r.exec, onx_graph_find(n.g, "lens"), lengths);
		onx_exec_forward(r.exec, 0, 0);
		recurrence(lens, k & 1, last, all);
		compare(onx_exec_view(r.exec, onx_graph_find(n.g, "last")), &last[0][0], B * H);
		compare(onx_exec_view(r.exec, onx_graph_find(n.g, "all")), &all[0][0][0], B * T * H);
		/* the interpreter says the same */
		struct onx_view v[3] = {
			{ .v = h0, .n = B * H, .rank = 2, .dim = n.feed[0].shape.dim, .type = ONX_FLOAT, .width = 8 },
			{ .v = x, .n = B * T * X, .rank = 3, .dim = n.feed[1].shape.dim, .type = ONX_FLOAT,
			  .width = 8 },
			{ .v = (void *)(uintptr_t)lengths, .n = B, .rank = 1, .dim = n.feed[2].shape.dim,
			  .type = ONX_INT64, .width = 8 } };
		for (uint32_t i = 0; i < n.n_feed; i++)
			n.feed[i].known = &v[i];
		struct onx_facts *f = NULL;
		struct onx_err e = { 0 };
		const struct onx_facts_want w = { .feed = n.feed, .n_feed = n.n_feed, .wide = true, .evaluate = true };
		must(onx_facts_make(n.g, &r.consts, &w, &f, &e), &e);
		compare(f->fact[onx_graph_find(n.g, "last")].value, &last[0][0], B * H);
		compare(f->fact[onx_graph_find(n.g, "all")].value, &all[0][0][0], B * T * H);
		onx_facts_free(f);
		run_close(&r);
		net_free(&n);
	}
}

static void gradients(void **state)
{
	(void)state;
	for (int k = 0; k < 6; k++) {
		struct net n;
		struct onx_buf g = net(k / 2, k & 1);
		open_model(&n, &g);
		both(&n, onx_graph_find(n.g, "loss"));
	}
}

static void too_long(void **state)
{
	struct onx_buf g = net(GIVEN, false);
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	(void)state;
	open_model(&n, &g);
	n.feed[1].shape.dim[1] = 2;             /* two slices for a sample of three */
	const struct onx_plan_want w = net_want(&n, n.g->output, 1, ONX_NONE, false);
	must_fail(run_with(&r, &n, w, 0, &e), ONX_SHAPE, &e, "3 slices of 2");
	onx_consts_release(&r.consts);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers), cmocka_unit_test(gradients), cmocka_unit_test(too_long),
	};
	return RUN(tests);
}
