/* Straight-through estimates: gradients of the formulas, forward as before, the file's nodes as they were. */
#include "unit/lib/models.h"
#include "unit/lib/net.h"
#include <math.h>
#include "rewrite/straight.h"

enum { ROWS = 5, COLS = 7, ALL = ROWS * COLS };

struct found { double y[ALL], w[COLS], scale; };
struct nodes { const char *step; bool quant; float scale; int zero; bool other; };

/* loss = sum of r y, y = step(x + w); x [ROWS,COLS] is fed, w [COLS] and the scale train. */
static uint32_t build(struct net *n, const struct nodes *k, uint32_t *w, uint32_t *scale, uint32_t *y)
{
	const uint8_t zero = (uint8_t)k->zero;
	const float other = k->scale * 2;
	struct onx_err e = { 0 };
	uint32_t z, q, s2;

	net_new(n);
	const uint32_t x = IN(n, "x", ROWS, COLS);
	*w = W(n, COLS);
	const uint32_t sum = OP2(n, "Add", x, *w);
	*scale = ONX_NONE;
	if (!k->quant) {
		*y = k->step ? OP1(n, k->step, sum) : sum;
	} else {
		must(onx_graph_add_weight(n->g, "s", ONX_FLOAT, 0, NULL, &k->scale, scale, &e), &e);
		must(onx_graph_add_weight(n->g, "t", ONX_FLOAT, 0, NULL, k->other ? &other : &k->scale, &s2, &e), &e);
		must(onx_graph_add_weight(n->g, "z", ONX_UINT8, 0, NULL, &zero, &z, &e), &e);
		q = OP3(n, "QuantizeLinear", sum, *scale, z);
		*y = OP3(n, "DequantizeLinear", q, s2, z);
		*scale = s2;
		n->weight[s2] = n->variable[s2] = true;
	}
	net_target(n, *y);
	return LOSS(n, *y, ROWS, COLS);
}

static double grad_of(const struct run *r, uint32_t v, size_t i)
{
	return ((const double *)r->params->grad)[r->params->at[v] + i];
}

static void measure(const struct nodes *k, bool straight, struct found *to, uint32_t *changed)
{
	struct net n;
	struct run r;
	struct onx_err e = { 0 };
	uint32_t w, scale, y;
	const uint32_t loss = build(&n, k, &w, &scale, &y), target[2] = { loss, y };

	*changed = 0;
	if (straight)
		must(onx_straight_through(n.g, changed, &e), &e);
	/* without an estimate there is no path to the loss */
	run_open(&r, &n, target, 2, straight ? loss : ONX_NONE, true, 2);
	run_forward(&r, &n);
	for (size_t i = 0; i < ALL; i++)
		to->y[i] = onx_view_real(onx_exec_view(r.exec, y), i);
	if (straight) {
		memset(r.params->grad, 0xff, r.params->n * sizeof(double));
		onx_exec_backward(r.exec, false, 1);
		for (size_t i = 0; i < COLS; i++)
			to->w[i] = grad_of(&r, w, i);
		to->scale = scale == ONX_NONE ? 0 : grad_of(&r, scale, 0);
	}
	run_close(&r);
	net_free(&n);
}

static void near(double a, double b)
{
	assert_true(fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-12);
}

/* What the loss weighs each element of y with. */
static void slopes(const struct nodes *k, double *to)
{
	struct net n;
	uint32_t w, scale, y;
	struct onx_err e = { 0 };
	float v[ALL] = { 0 };

	build(&n, k, &w, &scale, &y);
	for (uint32_t i = 0; i < n.g->n_value; i++) {
		const struct onx_weight *c = n.g->value[i].init;
		if (!c || c->n != ALL)
			continue;
		const struct onx_view d = { .v = v, .n = ALL, .rank = 2, .dim = c->dim, .type = c->type, .width = 4 };
		must(onx_weight_load(c, &d, &e), &e);
	}
	for (size_t i = 0; i < ALL; i++)
		to[i] = (double)v[i];
	net_free(&n);
}

/* The gradient of y = x, and forward as without. */
static void roundings(void **state)
{
	static const char *const steps[] = { "Floor", "Ceil", "Round" };
	struct found with, without;
	double r[ALL];
	uint32_t changed;

	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		const struct nodes k = { steps[i], false, 0, 0, false };
		double want[COLS] = { 0 };
		measure(&k, true, &with, &changed);
		assert_int_equal(changed, 1);
		measure(&k, false, &without, &changed);
		assert_int_equal(changed, 0);
		assert_memory_equal(with.y, without.y, sizeof with.y);
		slopes(&k, r);
		for (size_t j = 0; j < ALL; j++)
			want[j % COLS] += r[j];
		for (size_t c = 0; c < COLS; c++)
			near(with.w[c], want[c]);
	}
}

static void signs(void **state)
{
	const struct nodes none = { NULL, false, 0, 0, false }, k = { "Sign", false, 0, 0, false };
	struct found plain, with;
	double r[ALL], want[COLS] = { 0 };
	uint32_t changed;
	int outside = 0;

	(void)state;
	slopes(&k, r);
	measure(&none, false, &plain, &changed);
	measure(&k, true, &with, &changed);
	for (size_t i = 0; i < ALL; i++) {
		want[i % COLS] += fabs(plain.y[i]) <= 1 ? r[i] : 0;
		outside += fabs(plain.y[i]) > 1;
	}
	assert_true(outside > 2 && outside < ALL - 2);
	for (size_t c = 0; c < COLS; c++)
		near(with.w[c], want[c]);
}

static void quantised(void **state)
{
	const struct nodes none = { NULL, false, 0, 0, false };
	struct nodes k = { NULL, true, 0.0078125f, 100, false };
	struct found plain, with, without;
	double r[ALL], want[COLS] = { 0 }, scale = 0;
	uint32_t changed;
	int outside = 0;

	(void)state;
	measure(&none, false, &plain, &changed);
	measure(&k, false, &without, &changed);
	measure(&k, true, &with, &changed);
	assert_int_equal(changed, 1);
	for (size_t i = 0; i < ALL; i++)
		near(with.y[i], without.y[i]);
	slopes(&k, r);
	for (size_t i = 0; i < ALL; i++) {
		const double ratio = plain.y[i] / (double)k.scale, q = rint(ratio);
		const bool in = q + k.zero >= 0 && q + k.zero <= 255;
		want[i % COLS] += in ? r[i] : 0;
		scale += r[i] * (in ? q - ratio : q + k.zero < 0 ? -k.zero : 255 - k.zero);
		outside += !in;
	}
	assert_true(outside > 2 && outside < ALL - 2);
	for (size_t c = 0; c < COLS; c++)
		near(with.w[c], want[c]);
	near(with.scale, scale);
	k.other = true;                 /* another scale behind: no pair */
	measure(&k, true, &with, &changed);
	assert_int_equal(changed, 0);
}

/* x + w quantised by its own range and back: forward as without, the gradient of y = x. */
static void dynamic(void **state)
{
	double y[2][ALL], want[COLS] = { 0 };

	(void)state;
	for (int straight = 0; straight < 2; straight++) {
		struct net n;
		struct run r;
		struct onx_err e = { 0 };
		uint32_t q[3], changed = 0;
		net_new(&n);
		const uint32_t x = IN(&n, "x", ROWS, COLS), w = W(&n, COLS), sum = OP2(&n, "Add", x, w);
		net_node(&n, "DynamicQuantizeLinear", 1, &sum, 3, q, 0, NULL);
		const uint32_t back = OP3(&n, "DequantizeLinear", q[0], q[1], q[2]);
		const int64_t all[4] = { ROWS, COLS };
		const uint32_t by = net_weight(&n, false, false, all), p = OP2(&n, "Mul", back, by);
		const struct onx_file_attr flat = onx_attr_int("keepdims", 0);
		const uint32_t loss = net_op(&n, "ReduceSum", 1, &p, &flat), target[2] = { loss, back };
		net_target(&n, back);
		if (straight)
			must(onx_straight_through(n.g, &changed, &e), &e);
		assert_int_equal(changed, straight);
		run_open(&r, &n, target, 2, straight ? loss : ONX_NONE, true, 2);
		run_forward(&r, &n);
		for (size_t i = 0; i < ALL; i++)
			y[straight][i] = onx_view_real(onx_exec_view(r.exec, back), i);
		if (straight) {
			float v[ALL];
			const struct onx_weight *c = n.g->value[by].init;
			const struct onx_view d = { .v = v, .n = ALL, .rank = 2, .dim = c->dim, .type = c->type,
						    .width = 4 };
			must(onx_weight_load(c, &d, &e), &e);
			for (size_t i = 0; i < ALL; i++)
				want[i % COLS] += (double)v[i];
			memset(r.params->grad, 0xff, r.params->n * sizeof(double));
			onx_exec_backward(r.exec, false, 1);
			for (size_t i = 0; i < COLS; i++)
				near(grad_of(&r, w, i), want[i]);
		}
		run_close(&r);
		net_free(&n);
	}
	for (size_t i = 0; i < ALL; i++)
		near(y[0][i], y[1][i]);
}

/* The file has the nodes that it had. */
static void exported(void **state)
{
	const struct nodes k = { NULL, true, 0.5f, 3, false };
	struct net n;
	struct onx_err e = { 0 };
	uint32_t w, scale, y, changed;

	(void)state;
	build(&n, &k, &w, &scale, &y);
	must(onx_graph_export(n.g, &e), &e);
	struct onx_graph *g = built(n.m);
	struct onx_buf before = { 0 }, after = { 0 };
	must(onx_model_bytes(n.m, &before, &e), &e);
	must(onx_straight_through(g, &changed, &e), &e);
	assert_int_equal(changed, 1);
	must(onx_graph_export(g, &e), &e);
	must(onx_model_bytes(n.m, &after, &e), &e);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, after.len);
	onx_buf_release(&before);
	onx_buf_release(&after);
	onx_graph_free(g);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roundings), cmocka_unit_test(signs), cmocka_unit_test(quantised),
		cmocka_unit_test(dynamic), cmocka_unit_test(exported),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
