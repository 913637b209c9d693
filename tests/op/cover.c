/* op/cover.c -- the table against its cases: every row has a case, every input that is marked
 * ONX_G_DIFF is named by a gradient case of its row (of variadic inputs the first two), rows are
 * complete, and every default of an attribute table parses. */
#include "case.h"
#include <stdio.h>
#include <string.h>

struct tally { int rows, bad; };

static void fault(struct tally *t, const struct onx_op *op, const char *what, int i)
{
	printf("not ok - %s-%d: %s %d\n", op->type, op->since, what, i);
	t->bad++;
}

/* Bits: named as a gradient; bit 31: there is a case at all. */
static uint32_t covered(const struct onx_op *op)
{
	uint32_t bits = 0;

	for (size_t k = 0; k < op_n_cases; k++) {
		const struct op_case *c = &op_cases[k];
		const struct onx_op *row;
		struct onx_err e;
		struct op_run r;
		if (strcmp(c->op, op->type) != 0 || c->fault ||
		    onx_op_find(c->domain ? c->domain : "", c->op, c->version, &row, &e) < 0 || row != op)
			continue;
		bits |= 1u << 31;
		if (!c->grad)
			continue;
		if (op_run_open(&r, c, true, 1, &e) == ONX_OK)
			bits |= op_run_wanted(&r) & 0xFFFF;
		op_run_release(&r);
	}
	return bits;
}

static void check(struct tally *t, const struct onx_op *op)
{
	const uint32_t bits = covered(op);
	bool diff = false;

	t->rows++;
	if ((op->flags & ONX_OP_SECOND) && !op->attr)
		return;                 /* made of another node: tests/unit/test_gradient.c */
	/* Cases have tensors alone; libonnx-testdata tests the rows that are rules, tests/unit/test_unroll.c those that
	 * have bodies. */
	const bool no_kernel = op->flags & (ONX_OP_RULE | ONX_OP_BODY);
	if (!(bits >> 31) && !no_kernel)
		fault(t, op, "no case, inputs", op->max_in);
	for (int i = 0; i < op->max_in && i < OP_PORTS; i++) {
		if (onx_op_grad(op, i) != ONX_G_DIFF)
			continue;
		diff = !(op->flags & (ONX_OP_BODY | ONX_OP_SEQUENCE));
		/* an estimate is not the derivative: tests/unit/test_straight.c */
		if (diff && !(op->flags & ONX_OP_STRAIGHT) && !(bits >> i & 1) && !(op->max_in == ONX_MANY && i > 1))
			fault(t, op, "no gradient case for input", i);
	}
	if (diff != (op->backward != NULL))
		fault(t, op, "backward and the gradients' states disagree, inputs", op->max_in);
	if (!op->forward != no_kernel || !op->infer || !op->domain ||
	    op->min_in > op->max_in || op->max_out < 1)
		fault(t, op, "the row lacks forward, infer, domain or counts", 0);
	if (op->attr) {
		struct onx_arena a = { 0 };
		struct onx_err e = { 0 };
		void *obj = onx_alloc(&a, 1, op->attr->size);
		if (!obj || onx_defaults(op->attr, obj, &a, &e) < 0) {
			fault(t, op, "a default does not parse", 0);
			printf("# %s\n", e.text);
		}
		onx_arena_release(&a);
	}
}

int main(int argc, char **argv)
{
	struct tally t = { 0 };
	size_t n;
	const struct onx_op *const *family = onx_op_families(false, &n);

	for (size_t f = 0; f < n; f++)
		for (const struct onx_op *op = family[f]; op->type; op++) {
			const struct op_case c = { .op = op->type };
			if (op_case_picked(&c, argc, argv))
				check(&t, op);
		}
	printf("%d rows, %d faults\n", t.rows, t.bad);
	return t.bad != 0 || t.rows == 0;
}
