/* op/cover.c -- the table against its cases: every row has a case; every attribute, input and output
 * of a row (of variadic ones the first two) is given in one that is not a fault; every input that is
 * marked ONX_G_DIFF is named by a gradient case; rows are complete, and every default of an attribute
 * table parses. */
#include "case.h"
#include <stdio.h>
#include <string.h>

struct tally { int rows, bad; };

static void fault(struct tally *t, const struct onx_op *op, const char *what, int i)
{
	printf("not ok - %s-%d: %s %d\n", op->type, op->since, what, i);
	t->bad++;
}

/* What the cases of a row give, by number of the attribute, the input, the output. */
struct seen { bool any; uint64_t attr; uint32_t in, out, grad; };

/* Attributes that a case names: "name=text name=text"; texts may have anything but blanks. */
static uint64_t named(const struct onx_table *t, const char *text)
{
	uint64_t bits = 0;

	for (int i = 0; t && text && t->field[i].name; i++) {
		const size_t n = strlen(t->field[i].name);
		for (const char *at = text; (at = strstr(at, t->field[i].name)); at += n)
			if ((at == text || at[-1] == ' ') && at[n] == '=')
				bits |= UINT64_C(1) << i;
	}
	return bits;
}

/* Inputs and outputs that are not left out. */
static void ports(const struct op_case *c, struct seen *to)
{
	struct onx_arena a = { 0 };
	struct op_tensor t[OP_PORTS];
	struct onx_err e;
	const int n = op_tensors(c->in, t, OP_PORTS, &a, &e);

	for (int i = 0; i < n; i++)
		to->in |= t[i].absent ? 0 : 1u << i;
	onx_arena_release(&a);
	for (int i = 0; (c->out ? c->out : "1")[i]; i++)
		to->out |= (c->out ? c->out : "1")[i] == '1' ? 1u << i : 0;
}

static struct seen covered(const struct onx_op *op)
{
	struct seen seen = { 0 };

	for (size_t k = 0; k < op_n_cases; k++) {
		const struct op_case *c = &op_cases[k];
		const struct onx_op *row;
		struct onx_err e;
		struct op_run r;
		if (strcmp(c->op, op->type) != 0 || c->fault ||
		    onx_op_find(c->domain ? c->domain : "", c->op, c->version, &row, &e) < 0 || row != op)
			continue;
		seen.any = true;
		seen.attr |= named(op->attr, c->attr);
		ports(c, &seen);
		if (!c->grad)
			continue;
		if (op_run_open(&r, c, true, 1, &e) == ONX_OK)
			seen.grad |= op_run_wanted(&r);
		op_run_release(&r);
	}
	return seen;
}

/* Each number below n that the bits lack; where there are more than a case has room for, of the first two. */
static void lacking(struct tally *t, const struct onx_op *op, const char *what, uint32_t bits, int n)
{
	for (int i = 0; i < (n > OP_PORTS ? 2 : n); i++)
		if (!(bits >> i & 1))
			fault(t, op, what, i);
}

static void given(struct tally *t, const struct onx_op *op, const struct seen *seen)
{
	for (int i = 0; op->attr && op->attr->field[i].name; i++)
		if (!(seen->attr >> i & 1) && op->attr->field[i].kind != F_GRAPH) {     /* tests/unit/test_flex.c */
			fault(t, op, "no case gives attribute", i);
			printf("# %s\n", op->attr->field[i].name);
		}
	lacking(t, op, "no case gives input", seen->in, op->max_in);
	lacking(t, op, "no case asks for output", seen->out, op->max_out);
}

static void check(struct tally *t, const struct onx_op *op)
{
	const struct seen seen = covered(op);
	bool diff = false;

	t->rows++;
	if ((op->flags & ONX_OP_SECOND) && !op->attr)
		return;                 /* made of another node: tests/unit/test_gradient.c */
	/* Cases have tensors alone; libonnx-testdata tests the rows that are rules, tests/unit/test_unroll.c those that
	 * have bodies. */
	const bool no_kernel = op->flags & (ONX_OP_RULE | ONX_OP_BODY);
	if (seen.any)
		given(t, op, &seen);
	else if (!no_kernel)
		fault(t, op, "no case, inputs", op->max_in);
	for (int i = 0; i < op->max_in && i < OP_PORTS; i++) {
		if (onx_op_grad(op, i) != ONX_G_DIFF)
			continue;
		diff = !(op->flags & (ONX_OP_BODY | ONX_OP_SEQUENCE));
		/* an estimate is not the derivative: tests/unit/test_straight.c */
		if (diff && !(op->flags & ONX_OP_STRAIGHT) && !(seen.grad >> i & 1) &&
		    !(op->max_in == ONX_MANY && i > 1))
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
