/* Feeds that steps read where the caller has them: the same bits as a copy, and the caller's memory as it was. */
#include "unit/lib/net.h"

enum { ROWS = 64, WIDTH = 512, SIDE = 128, SAMPLES = 48 };

/* New numbers for every call. */
static float *numbers(size_t n, uint64_t which)
{
	float *x = onx_heap(n, sizeof *x);
	struct onx_rng rng;

	assert_non_null(x);
	onx_rng_init(&rng, 4, ONX_RNG_TEST, which, 1);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)onx_rng_normal(&rng);
	return x;
}

static void go(struct run *r, const float *x, uint32_t feed, bool lend)
{
	memset(r->block.base, 0xff, r->block.bytes);
	if (lend)
		onx_exec_lend(r->exec, feed, x);
	else
		onx_exec_feed(r->exec, feed, x);
	onx_exec_forward(r->exec, 1, 0);
	if (r->plan->n_step > r->plan->n_forward)
		onx_exec_backward(r->exec, false, 1);
}

static void same(struct run *a, struct run *b, uint32_t value)
{
	const struct onx_view *u = onx_exec_view(a->exec, value), *v = onx_exec_view(b->exec, value);

	assert_int_equal(u->n, v->n);
	assert_memory_equal(u->v, v->v, u->n * u->width);
}

/* One run copies, one reads in place, in turns from two places, from none that can be lent, and copies again. */
static void compare(struct net *n, const uint32_t *target, uint32_t n_target, uint32_t loss, int threads, bool parts)
{
	const uint32_t feed = n->feed[0].value;
	struct run a, b;
	size_t bytes = 0;

	run_open(&a, n, target, n_target, loss, false, threads);
	run_open(&b, n, target, n_target, loss, false, threads);
	assert_int_equal(parts, a.plan->parts > 1);
	char *home = onx_exec_feed_at(b.exec, feed, &bytes);
	const size_t count = bytes / 4;
	for (uint64_t turn = 0; turn < 6; turn++) {
		float *x = numbers(count + 1, turn), *was = numbers(count + 1, turn);
		const float *from = x;

		if (turn == 3) {        /* on no line of memory */
			memmove(x + 1, x, bytes);
			from = x + 1;
		}
		go(&a, from, feed, false);
		go(&b, from, feed, turn < 5);
		for (uint32_t k = 0; k < n_target; k++)
			same(&a, &b, target[k]);
		if (a.params && loss != ONX_NONE)
			assert_memory_equal(a.params->grad, b.params->grad, a.params->n * 4);
		assert_memory_equal(from, was, bytes);
		if (!parts && turn != 3 && turn < 5)
			assert_true(onx_exec_view(b.exec, feed)->v == from);
		assert_true(turn != 3 || onx_exec_view(b.exec, feed)->v == home);
		onx_heap_free(x);
		onx_heap_free(was);
	}
	assert_true(onx_exec_feed_at(b.exec, feed, &bytes) == home);
	run_close(&a);
	run_close(&b);
}

/* Relu could work in place of a view of its input, if that were not fed. */
static void in_place(void **state)
{
	struct net n;

	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", ROWS, WIDTH), v = OP2(&n, "Reshape", x, INTS(&n, 2, WIDTH, ROWS));
	const uint32_t mean = OP1(&n, "ReduceMean", x), y = OP1(&n, "Relu", v);
	const uint32_t target[] = { OP2(&n, "Reshape", y, INTS(&n, 1, ROWS * WIDTH)), mean };
	struct run r;

	run_open(&r, &n, target, 2, ONX_NONE, false, 0);
	const uint32_t life = r.plan->tensor[r.plan->value_tensor[x]].life;
	assert_int_not_equal(r.plan->tensor[r.plan->value_tensor[y]].life, life);
	run_close(&r);
	compare(&n, target, 2, ONX_NONE, 0, false);
	net_free(&n);
}

/* Nothing is computed of the first target. */
static void views(void **state)
{
	struct net n;

	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", ROWS, WIDTH);
	const uint32_t target[] = { OP2(&n, "Reshape", x, INTS(&n, 2, WIDTH, ROWS)), OP1(&n, "Exp", x) };

	compare(&n, target, 2, ONX_NONE, 0, false);
	net_free(&n);
}

static void backward(void **state)
{
	struct net n;

	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", ROWS, WIDTH), h = OP2(&n, "MatMul", x, W(&n, WIDTH, 8));
	const uint32_t loss = LOSS(&n, OP1(&n, "Tanh", h), ROWS, 8);

	compare(&n, &loss, 1, loss, 2, false);
	net_free(&n);
}

static void in_parts(void **state)
{
	const struct onx_file_attr pads = onx_attr_ints("pads", (int64_t[]){ 1, 1, 1, 1 }, 4);
	struct net n;

	(void)state;
	net_new(&n);
	const uint32_t in[] = { IN(&n, "x", SAMPLES, 3, SIDE, SIDE), W(&n, 8, 3, 3, 3), W(&n, 8) };
	uint32_t h;
	net_node(&n, "Conv", 3, in, 1, &h, 1, &pads);
	const uint32_t y = OP1(&n, "GlobalAveragePool", OP1(&n, "Relu", h));

	compare(&n, &y, 1, ONX_NONE, 2, true);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(in_place), cmocka_unit_test(views),
					    cmocka_unit_test(backward), cmocka_unit_test(in_parts) };
	return RUN(tests);
}
