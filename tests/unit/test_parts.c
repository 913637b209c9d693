/* Forward plans that run a few samples at a time: the same numbers as all at once, and only where each sample is
 * computed for itself. */
#include "unit/lib/net.h"
#include <math.h>

enum { SAMPLES = 48, SIDE = 128 };

/* What follows the convolution. */
enum tail { POOLED, CENTRED, SOFT_OVER_SAMPLES, JOINED_SAMPLES, SCALED_BY_SAMPLE, MIXED_BY_PRODUCT, TAILS };
static const char *const tail_name[] = { "pooled", "less its mean over the samples", "softmax over the samples",
					 "joined along the samples", "scaled by a constant of each sample",
					 "a product over the samples" };

static uint32_t tail_of(struct net *n, enum tail tail, uint32_t h)
{
	const struct onx_file_attr samples = onx_attr_ints("axes", (int64_t[]){ 0 }, 1), axis = onx_attr_int("axis", 0);
	uint32_t in[2] = { h, h }, y;

	switch (tail) {
	case CENTRED:
		return OP2(n, "Sub", h, net_op(n, "ReduceMean", 1, &h, &samples));
	case SOFT_OVER_SAMPLES:
		return net_op(n, "Softmax", 1, &h, &axis);
	case JOINED_SAMPLES:
		net_node(n, "Concat", 2, in, 1, &y, 1, &axis);
		return y;
	case SCALED_BY_SAMPLE:
		return OP2(n, "Mul", h, W(n, SAMPLES, 1, 1, 1));
	case MIXED_BY_PRODUCT:
		return OP2(n, "MatMul", W(n, SAMPLES, SAMPLES), OP1(n, "Flatten", h));
	default:
		return OP2(n, "Add", OP1(n, "Flatten", h), W(n, 8));
	}
}

static uint32_t net_of(struct net *n, enum tail tail, uint32_t *map)
{
	const struct onx_file_attr pads = onx_attr_ints("pads", (int64_t[]){ 1, 1, 1, 1 }, 4);
	uint32_t in[3], h;

	net_new(n);
	in[0] = IN(n, "x", SAMPLES, 3, SIDE, SIDE);
	in[1] = W(n, 8, 3, 3, 3);
	in[2] = W(n, 8);
	net_node(n, "Conv", 3, in, 1, &h, 1, &pads);
	*map = h = OP1(n, "Relu", h);
	return tail_of(n, tail, OP1(n, "GlobalAveragePool", h));
}

static void same_numbers(void **state)
{
	struct net n;
	struct run a, b;
	uint32_t out[2];

	(void)state;
	out[0] = net_of(&n, POOLED, &out[1]);
	run_open(&a, &n, out, 2, ONX_NONE, false, 0);
	run_open(&b, &n, out, 2, ONX_NONE, true, 0);
	assert_true(a.plan->parts > 1);
	assert_int_equal(SAMPLES % a.plan->parts, 0);
	assert_int_equal(b.plan->parts, 1);
	assert_true(fabs(a.plan->macs - b.plan->macs) < 0.1 * b.plan->macs);
	for (int turn = 0; turn < 2; turn++) {
		run_forward(&a, &n);
		run_forward(&b, &n);
		for (int k = 0; k < 2; k++) {
			const struct onx_view *u = onx_exec_view(a.exec, out[k]), *v = onx_exec_view(b.exec, out[k]);

			assert_int_equal(u->n, v->n);
			assert_int_equal(u->dim[0], SAMPLES);
			for (size_t i = 0; i < u->n; i++)
				assert_true(fabs(onx_view_real(u, i) - onx_view_real(v, i)) <
					    1e-4 * (1 + fabs(onx_view_real(v, i))));
		}
	}
	run_close(&a);
	run_close(&b);
	net_free(&n);
}

/* Threads take whole parts where that keeps most of them busy, and share the steps elsewhere: the same bits. */
static void same_bits(void **state)
{
	static const int threads[] = { 2, 3, 5, 16 };
	struct net n;
	struct run one, many;
	uint32_t out[2];
	bool beside = false, shared = false;

	(void)state;
	out[0] = net_of(&n, POOLED, &out[1]);
	run_open(&one, &n, out, 2, ONX_NONE, false, 0);
	assert_int_equal(one.block.bytes, one.plan->bytes);
	run_forward(&one, &n);
	for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
		run_open(&many, &n, out, 2, ONX_NONE, false, threads[t]);
		assert_int_equal(many.plan->parts, one.plan->parts);
		beside |= many.block.bytes > many.plan->bytes;
		shared |= many.block.bytes == many.plan->bytes;
		for (int turn = 0; turn < 2; turn++) {
			run_forward(&many, &n);
			for (int k = 0; k < 2; k++) {
				const struct onx_view *u = onx_exec_view(one.exec, out[k]);
				const struct onx_view *v = onx_exec_view(many.exec, out[k]);

				assert_memory_equal(u->v, v->v, u->n * u->width);
			}
		}
		run_close(&many);
	}
	assert_true(beside && shared);
	run_close(&one);
	net_free(&n);
}

static void only_apart(void **state)
{
	(void)state;
	for (int tail = 0; tail < TAILS; tail++) {
		struct net n;
		struct run r;
		uint32_t map, y = net_of(&n, (enum tail)tail, &map);

		run_open(&r, &n, &y, 1, ONX_NONE, false, 0);
		if ((r.plan->parts > 1) != (tail == POOLED))
			fail_msg("%s: %u parts", tail_name[tail], r.plan->parts);
		run_close(&r);
		net_free(&n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_numbers), cmocka_unit_test(same_bits),
					    cmocka_unit_test(only_apart) };

	return RUN(tests);
}
