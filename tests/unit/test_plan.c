/* Plans as they are made: golden dumps, computing in place, views, modes, the frozen prefix. */
#include "unit/lib/net.h"
#include <stdlib.h>
#include "base/io.h"

struct planned { struct onx_consts c; struct onx_plan *p; };

static void plan(struct planned *x, const struct net *n, const uint32_t *target, uint32_t n_target, uint32_t loss)
{
	struct onx_err e = { 0 };
	const struct onx_plan_want w = net_want(n, target, n_target, loss, false);
	onx_consts_init(&x->c, n->g);
	must(onx_plan_make(n->g, &x->c, &w, &x->p, &e), &e);
}

static void unplan(struct planned *x)
{
	onx_plan_free(x->p);
	onx_consts_release(&x->c);
}

/* Do two values lie in one piece of memory? */
static bool shared(const struct onx_plan *p, uint32_t a, uint32_t b)
{
	const struct onx_tensor *x = &p->tensor[p->value_tensor[a]], *y = &p->tensor[p->value_tensor[b]];
	return x->at == ONX_AT_BLOCK && y->at == ONX_AT_BLOCK && x->life == y->life;
}

/* --- in place -------------------------------------------------------------------------------------- */

static void in_place(void **state)
{
	struct net n;
	struct planned x;
	(void)state;
	net_new(&n);
	const uint32_t in = IN(&n, "x", 4, 4), a = OP1(&n, "Relu", in), b = OP1(&n, "Sigmoid", a);
	const uint32_t c = OP1(&n, "Tanh", b), d = OP2(&n, "Add", c, b), e = OP1(&n, "Exp", d);
	plan(&x, &n, &e, 1, ONX_NONE);
	assert_false(shared(x.p, in, a));               /* never over a feed */
	assert_true(shared(x.p, a, b));
	assert_false(shared(x.p, b, c));                /* b has a second reader */
	assert_true(shared(x.p, d, e) && (shared(x.p, c, d) || shared(x.p, b, d)));
	unplan(&x);
	plan(&x, &n, (uint32_t[]){ e, a }, 2, ONX_NONE);
	assert_false(shared(x.p, a, b));                /* never over a target */
	unplan(&x);
	net_free(&n);
}

static void in_place_keeps(void **state)
{
	struct net n;
	struct planned x;
	(void)state;
	net_new(&n);
	const uint32_t in = IN(&n, "x", 4, 4), h = OP1(&n, "Neg", OP2(&n, "MatMul", in, W(&n, 4, 4)));
	const uint32_t a = OP1(&n, "Relu", h), b = OP1(&n, "Sigmoid", a), loss = LOSS(&n, b, 4, 4);
	plan(&x, &n, &loss, 1, loss);
	assert_true(shared(x.p, h, a));                 /* Neg's backward does not read h */
	assert_false(shared(x.p, a, b));                /* Relu's backward reads a */
	unplan(&x);
	net_free(&n);
}

/* --- views ----------------------------------------------------------------------------------------- */

static void views(void **state)
{
	struct net n;
	struct run r;
	(void)state;
	net_new(&n);
	const uint32_t in = IN(&n, "x", 2, 6), a = OP2(&n, "Reshape", in, INTS(&n, 2, 3, 4));
	const uint32_t b = OP1(&n, "Identity", OP1(&n, "Identity", a)), c = OP1(&n, "Exp", b);
	const uint32_t w = FROZEN(&n, 4), k = OP2(&n, "Reshape", w, INTS(&n, 2, 2, 2));
	run_open(&r, &n, (uint32_t[]){ b, c, k, in }, 4, ONX_NONE, false, 0);
	assert_int_equal(r.plan->n_step, 1);            /* Exp alone */
	run_forward(&r, &n);
	const struct onx_view *x = onx_exec_view(r.exec, in), *y = onx_exec_view(r.exec, b);
	assert_ptr_equal(x->v, y->v);
	assert_int_equal(y->dim[0], 3);
	assert_int_equal(r.plan->tensor[r.plan->value_tensor[k]].at, ONX_AT_CONST);
	float numbers[4];
	struct onx_err e = { 0 };
	const struct onx_view to = { .v = numbers, .n = 4, .type = ONX_FLOAT, .width = 4 };
	must(onx_weight_load(n.g->value[w].init, &to, &e), &e);
	assert_true(onx_view_real(onx_exec_view(r.exec, k), 3) == (double)numbers[3]);
	run_close(&r);
	net_free(&n);
}

/* --- frozen inputs, feeds inside -------------------------------------------------------------------- */

static uint32_t count_back(const struct onx_plan *p, const char *type)
{
	uint32_t k = 0;
	for (uint32_t i = p->n_forward; i < p->n_step; i++)
		k += p->step[i].op && strcmp(p->step[i].op->type, type) == 0;
	return k;
}

static void frozen(void **state)
{
	struct net n;
	struct planned x;
	struct onx_err e = { 0 };
	(void)state;
	net_new(&n);
	const uint32_t in = IN(&n, "x", 4, 4), a = OP2(&n, "MatMul", in, FROZEN(&n, 4, 4));
	const uint32_t w = W(&n, 4, 4), b = OP2(&n, "MatMul", OP1(&n, "Tanh", a), w);
	const uint32_t c = OP2(&n, "MatMul", OP1(&n, "Exp", b), FROZEN(&n, 4, 4)), loss = LOSS(&n, c, 4, 4);
	plan(&x, &n, &loss, 1, loss);
	assert_int_equal(count_back(x.p, "MatMul"), 2); /* behind the first weight that trains */
	assert_int_equal(count_back(x.p, "Tanh"), 0);
	for (uint32_t i = x.p->n_forward; i < x.p->n_step; i++) {
		const struct onx_step *s = &x.p->step[i];
		if (strcmp(s->op->type, "MatMul") == 0)
			assert_true((s->dx[0] == ONX_NONE) != (s->dx[1] == ONX_NONE));
	}
	unplan(&x);
	/* nothing trains */
	n.weight[w] = n.variable[w] = false;
	const struct onx_plan_want want = net_want(&n, &loss, 1, loss, false);
	onx_consts_init(&x.c, n.g);
	must_fail(onx_plan_make(n.g, &x.c, &want, &x.p, &e), ONX_USAGE, &e, "no trainable weight");
	onx_consts_release(&x.c);
	net_free(&n);
}

static void budget(void **state)
{
	struct net n;
	struct planned x;
	struct onx_err e = { 0 };
	(void)state;
	net_new(&n);
	const uint32_t y = OP1(&n, "Exp", IN(&n, "x", 64, 64));
	plan(&x, &n, &y, 1, ONX_NONE);
	struct onx_plan_want w = net_want(&n, &y, 1, ONX_NONE, false);
	w.budget = x.p->bytes;
	struct onx_plan *p;
	must(onx_plan_make(n.g, &x.c, &w, &p, &e), &e);
	onx_plan_free(p);
	w.budget--;
	must_fail(onx_plan_make(n.g, &x.c, &w, &p, &e), ONX_NOMEM, &e, "over the budget");
	unplan(&x);
	net_free(&n);
}

/* --- modes and the prefix -------------------------------------------------------------------------- */

/* Conv, BN, Relu, GlobalAveragePool, Flatten, Dropout, Gemm. */
struct parts { uint32_t conv, bn, flat, drop, gemm, logits, conv_w, bn_w, mean, fc; };
static struct parts classifier(struct net *n)
{
	struct parts p;
	uint32_t h;
	const uint32_t x = IN(n, "x", 2, 3, 5, 5);
	p.conv_w = FROZEN(n, 4, 3, 3, 3);
	p.conv = net_node(n, "Conv", 2, (uint32_t[]){ x, p.conv_w }, 1, &h, 0, NULL);
	const uint32_t in[5] = { h, p.bn_w = POSITIVE(n, false, 4), FROZEN(n, 4), p.mean = FROZEN(n, 4),
				 POSITIVE(n, false, 4) };
	p.bn = net_node(n, "BatchNormalization", 5, in, 1, &h, 0, NULL);
	h = OP1(n, "GlobalAveragePool", OP1(n, "Relu", h));
	p.flat = OP1(n, "Flatten", h);
	p.drop = net_node(n, "Dropout", 1, &p.flat, 1, &h, 0, NULL);
	p.fc = W(n, 4, 3);
	p.gemm = net_node(n, "Gemm", 2, (uint32_t[]){ h, p.fc }, 1, &p.logits, 0, NULL);
	return p;
}

struct asked { struct onx_arena a; struct onx_modes m; struct onx_prefix cut; };
static void ask(struct asked *q, const struct net *n, uint32_t logits, enum onx_bn_mode bn)
{
	struct onx_consts c;
	struct onx_err e = { 0 };
	memset(q, 0, sizeof *q);
	onx_consts_init(&c, n->g);
	must(onx_plan_modes(n->g, n->weight, bn, &q->a, &q->m, &e), &e);
	const struct onx_facts_want w = { .feed = n->feed, .n_feed = n->n_feed, .target = &logits, .n_target = 1,
					  .variable = q->m.variable, .train = q->m.train };
	must(onx_plan_prefix(n->g, &c, &w, false, &q->a, &q->cut, &e), &e);
	onx_consts_release(&c);
}

static void frozen_body(void **state)
{
	struct net n;
	struct asked q;
	(void)state;
	net_new(&n);
	const struct parts p = classifier(&n);
	ask(&q, &n, p.logits, ONX_BN_AUTO);
	assert_true(q.m.train[p.drop] && !q.m.train[p.bn] && !q.m.variable[p.mean]);
	assert_int_equal(q.cut.n, 1);                   /* Dropout is random: the cut is in front of it */
	assert_int_equal(q.cut.cut[0], p.flat);
	assert_int_equal(q.cut.bytes, 4 * sizeof(float));
	assert_true(q.cut.macs > 0 && q.cut.macs < q.cut.all_macs);
	onx_arena_release(&q.a);
	net_free(&n);
}

static void everything_trains(void **state)
{
	struct net n;
	struct asked q;
	(void)state;
	net_new(&n);
	const struct parts p = classifier(&n);
	n.weight[p.conv_w] = n.weight[p.bn_w] = true;
	ask(&q, &n, p.logits, ONX_BN_AUTO);
	assert_true(q.m.train[p.drop] && q.m.train[p.bn] && q.m.variable[p.mean]);
	assert_int_equal(q.cut.n, 0);
	assert_non_null(q.cut.why);
	onx_arena_release(&q.a);
	ask(&q, &n, p.logits, ONX_BN_FROZEN);
	assert_true(q.m.train[p.drop] && !q.m.train[p.bn] && !q.m.variable[p.mean]);
	onx_arena_release(&q.a);
	net_free(&n);
}

/* Two paths leave the frozen part: one of them is the input itself. */
static void branch(void **state)
{
	struct net n;
	struct asked q;
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 2, 6), h = OP1(&n, "Tanh", OP2(&n, "MatMul", x, FROZEN(&n, 6, 6)));
	const uint32_t y = OP2(&n, "Add", OP2(&n, "MatMul", h, W(&n, 6, 3)), OP2(&n, "MatMul", x, W(&n, 6, 3)));
	ask(&q, &n, y, ONX_BN_AUTO);
	assert_int_equal(q.cut.n, 2);
	assert_true((q.cut.cut[0] == h && q.cut.cut[1] == x) || (q.cut.cut[0] == x && q.cut.cut[1] == h));
	assert_int_equal(q.cut.bytes, 12 * sizeof(float));
	onx_arena_release(&q.a);
	net_free(&n);
}

/* What has no slice for each sample is behind the cut: another layout, and what all samples have a part in. */
static void no_slices(void **state)
{
	struct net n;
	struct asked q;
	const struct onx_file_attr turn = onx_attr_ints("perm", (int64_t[]){ 1, 0 }, 2);
	const struct onx_file_attr first = onx_attr_ints("axes", (int64_t[]){ 0 }, 1);
	(void)state;
	net_new(&n);
	const uint32_t x = IN(&n, "x", 2, 6), h = OP2(&n, "MatMul", x, FROZEN(&n, 6, 5));
	const uint32_t t = net_op(&n, "Transpose", 1, &h, &turn), y = OP2(&n, "MatMul", W(&n, 3, 5), t);
	ask(&q, &n, y, ONX_BN_AUTO);
	assert_int_equal(q.cut.n, 1);
	assert_int_equal(q.cut.cut[0], h);
	onx_arena_release(&q.a);
	const uint32_t less = OP2(&n, "Sub", h, net_op(&n, "ReduceMean", 1, &h, &first));
	ask(&q, &n, OP2(&n, "MatMul", less, W(&n, 5, 3)), ONX_BN_AUTO);
	assert_int_equal(q.cut.n, 1);
	assert_int_equal(q.cut.cut[0], h);
	onx_arena_release(&q.a);
	const struct onx_file_attr down = onx_attr_int("axis", 0);
	ask(&q, &n, OP2(&n, "MatMul", net_op(&n, "Softmax", 1, &h, &down), W(&n, 5, 3)), ONX_BN_AUTO);
	assert_int_equal(q.cut.cut[0], h);              /* a softmax down the samples */
	onx_arena_release(&q.a);
	ask(&q, &n, OP2(&n, "MatMul", OP2(&n, "MatMul", OP2(&n, "MatMul", h, t), h), W(&n, 5, 3)), ONX_BN_AUTO);
	assert_int_equal(q.cut.cut[0], h);              /* each sample times each other */
	onx_arena_release(&q.a);
	const struct onx_file_attr last = onx_attr_int("axis", 1);
	const uint32_t across = net_op(&n, "Softmax", 1, &h, &last);
	ask(&q, &n, OP2(&n, "MatMul", across, W(&n, 5, 3)), ONX_BN_AUTO);
	assert_int_equal(q.cut.cut[0], across);
	onx_arena_release(&q.a);
	const uint32_t other = IN(&n, "other", 5, 3), z = OP2(&n, "MatMul", h, OP2(&n, "Mul", other, W(&n, 5, 3)));
	ask(&q, &n, z, ONX_BN_AUTO);
	assert_int_equal(q.cut.n, 0);
	assert_non_null(strstr(q.cut.why, "no dimension for the samples"));
	onx_arena_release(&q.a);
	net_free(&n);
}

/* --- golden dumps ---------------------------------------------------------------------------------- */

/* Bytes and places, which depend on the processor where a step packs its operands for the kernel's tile. */
static void mask(struct onx_buf *b)
{
	static const char *const before[] = { "@", "scratch ", "block ", "least " };
	struct onx_buf to = { 0 };
	const char *s = b->data, *const end = s + b->len;
	while (s < end) {
		size_t n = 0;
		for (size_t k = 0; k < sizeof before / sizeof *before && !n; k++)
			if ((size_t)(end - s) > strlen(before[k]) && memcmp(s, before[k], strlen(before[k])) == 0)
				n = strlen(before[k]);
		onx_buf_add(&to, s, n ? n : 1);
		s += n ? n : 1;
		if (!n || s == end || *s < '0' || *s > '9')
			continue;
		onx_buf_add(&to, "#", 1);
		while (s < end && *s >= '0' && *s <= '9')
			s++;
	}
	onx_buf_release(b);
	*b = to;
}

/* ONX_GOLDEN=1 writes the file anew.  places: they are part of it. */
static void golden(const char *file, const struct onx_plan *p, bool places)
{
	char path[256];
	struct onx_buf b = { 0 };
	struct onx_bytes want = { 0 };
	struct onx_err e = { 0 };
	onx_plan_print(p, &b);
	if (!places)
		mask(&b);
	snprintf(path, sizeof path, "tests/golden/%s", file);
	if (getenv("ONX_GOLDEN"))
		must(onx_write_file(path, false, b.data, b.len, &e), &e);
	must(onx_read(path, 1 << 20, &want, &e), &e);
	if (want.len != b.len || memcmp(want.data, b.data, b.len) != 0)
		fail_msg("%s: the plan is another one now; if it is meant to be, write it anew with ONX_GOLDEN=1 "
			 "and look at the difference:\n%s", path, b.data);
	onx_bytes_release(&want);
	onx_buf_release(&b);
}

static void golden_mlp(void **state)
{
	struct net n;
	struct planned x;
	(void)state;
	net_new(&n);
	uint32_t h = OP3(&n, "Gemm", IN(&n, "x", 8, 4), W(&n, 4, 16), W(&n, 16));
	h = OP3(&n, "Gemm", OP1(&n, "Relu", h), W(&n, 16, 3), W(&n, 3));
	const uint32_t loss = OP2(&n, "CrossEntropy", h, LABELS(&n, "labels", 8));
	plan(&x, &n, (uint32_t[]){ loss, h }, 2, loss);
	golden("plan_mlp.txt", x.p, true);
	unplan(&x);
	net_free(&n);
}

static void golden_frozen(void **state)
{
	struct net n;
	struct planned x;
	struct asked q;
	(void)state;
	net_new(&n);
	const struct parts p = classifier(&n);
	const uint32_t loss = OP2(&n, "CrossEntropy", p.logits, LABELS(&n, "labels", 2));
	ask(&q, &n, p.logits, ONX_BN_AUTO);
	memcpy(n.train, q.m.train, n.g->n_node * sizeof *n.train);
	plan(&x, &n, &loss, 1, loss);
	golden("plan_frozen.txt", x.p, false);
	unplan(&x);
	onx_arena_release(&q.a);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_place), cmocka_unit_test(in_place_keeps), cmocka_unit_test(views),
		cmocka_unit_test(frozen), cmocka_unit_test(budget), cmocka_unit_test(frozen_body),
		cmocka_unit_test(everything_trains), cmocka_unit_test(branch), cmocka_unit_test(no_slices),
		cmocka_unit_test(golden_mlp), cmocka_unit_test(golden_frozen) };
	return RUN(tests);
}
