/* The pre-flight lists what cuts a weight off from the target, and nothing else. */
#include "unit/lib/net.h"

static uint32_t blocks(const struct net *n, uint32_t y, const char *first)
{
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_block *block = NULL;
	uint32_t count = 0;
	must(onx_plan_blocks(n->g, n->weight, &y, 1, &a, &block, &count, &e), &e);
	if (count)
		assert_string_equal(n->g->node[block[0].node].type, first);
	onx_arena_release(&a);
	return count;
}

static void of_shapes_and_steps(void **state)
{
	struct net n;
	(void)state;
	net_new(&n);
	const uint32_t h = OP2(&n, "MatMul", IN(&n, "x", 4, 3), W(&n, 3, 3));
	const uint32_t zeros = OP1(&n, "ConstantOfShape", OP1(&n, "Shape", OP1(&n, "Shape", h)));
	const uint32_t shaped = OP2(&n, "Reshape", h, OP2(&n, "Add", zeros, OP1(&n, "Shape", h)));
	assert_int_equal(blocks(&n, shaped, ""), 0);            /* no number of h goes into its shape */
	const uint32_t floor = OP1(&n, "Floor", h), twice = OP1(&n, "Ceil", floor);
	assert_int_equal(blocks(&n, floor, "Floor"), 1);
	assert_int_equal(blocks(&n, twice, "Floor"), 2);        /* each would have to go */
	assert_int_equal(blocks(&n, OP2(&n, "Add", twice, h), ""), 0);
	const uint32_t own = OP1(&n, "Floor", OP2(&n, "MatMul", h, W(&n, 3, 3)));
	assert_int_equal(blocks(&n, OP2(&n, "Add", own, h), "Floor"), 1);       /* the second weight is cut off */
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(of_shapes_and_steps) };
	return RUN(tests);
}
