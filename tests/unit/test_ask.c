/* Shapes that depend on the numbers, in training (graph/ask.c by way of train/runner.h): two batches with different
 * outcomes through each operator, forward beside the interpreter, gradients beside signed differences. */
#include "unit/lib/bodies.h"
#include "train/runner.h"

/* From f (4 x 3, of x and the weight W) and k (2 or 3, of x) to h.  "*": `value` nodes of Slice, added up. */
struct link { const char *in, *type, *out, *attr; int64_t value; };
struct chain { const char *name; struct link link[8]; };
static const struct chain CHAINS[] = {
	{ "TopK", { { "f k1", "TopK", "h i", "axis", 1 } } },
	{ "Slice", { { "f zero1 k1 one1", "Slice", "h", NULL, 0 } } },
	{ "Expand", { { "k1 one1", "Concat", "s", "axis", 0 }, { "s one1", "Concat", "s3", "axis", 0 },
		      { "f s3", "Expand", "h", NULL, 0 } } },
	{ "Tile", { { "one1 k1", "Concat", "s", "axis", 0 }, { "f s", "Tile", "h", NULL, 0 } } },
	{ "Pad", { { "zero1 zero1", "Concat", "s", "axis", 0 }, { "s k1", "Concat", "s3", "axis", 0 },
		   { "s3 one1", "Concat", "s4", "axis", 0 }, { "f s4 limit", "Pad", "h", NULL, 0 } } },
	{ "Reshape", { { "k1 two1", "Sub", "j", NULL, 0 }, { "j j", "Add", "j2", NULL, 0 },
		       { "j2 two1", "Add", "j3", NULL, 0 }, { "j3 rest1", "Concat", "s", "axis", 0 },
		       { "f s", "Reshape", "q", NULL, 0 }, { "q", "Softmax", "h", "axis", 1 } } },
	{ "Range", { { "zero k one", "Range", "r", NULL, 0 }, { "r", "Cast", "rf", "to", REAL },
		     { "rf", "ReduceSum", "rs", NULL, 0 }, { "f rs", "Mul", "h", NULL, 0 } } },
	{ "ConstantOfShape", { { "k1 three1", "Concat", "s", "axis", 0 }, { "s", "ConstantOfShape", "z", NULL, 0 },
			       { "z", "Cos", "ones", NULL, 0 }, { "ones", "ReduceSum", "n", NULL, 0 },
			       { "f n", "Mul", "h", NULL, 0 } } },
	{ "NonZero", { { "x limit", "Less", "b0", NULL, 0 }, { "b0", "NonZero", "z", NULL, 0 },
		       { "z", "Transpose", "zt", NULL, 0 }, { "f zt", "GatherND", "h", NULL, 0 } } },
	{ "Compress", { { "x axis0", "ReduceSum", "c", NULL, 0 }, { "k", "Cast", "kf", "to", REAL },
			{ "c kf", "Greater", "b", NULL, 0 },
			{ "b line", "Reshape", "b1", NULL, 0 }, { "f b1", "Compress", "h", "axis", 1 } } },
	{ "Unique", { { "x", "Ceil", "u", NULL, 0 }, { "u", "Unique", "v", NULL, 0 },
		      { "v", "ReduceMean", "m", NULL, 0 }, { "f m", "Mul", "h", NULL, 0 } } },
	{ "OneHot", { { "i4 k ends", "OneHot", "o", NULL, 0 }, { "o", "Transpose", "ot", NULL, 0 },
		      { "ot f", "MatMul", "h", NULL, 0 } } },
	{ "Resize", { { "f picture", "Reshape", "p", NULL, 0 }, { "ones3 k1", "Concat", "s", "axis", 0 },
		      { "p - - s", "Resize", "h", NULL, 0 } } },
	/* the same few values asked for by many, and twice by each */
	{ "many that ask", { { "k1 k1", "Sub", "none1", NULL, 0 }, { "k1 k1", "Div", "step1", NULL, 0 },
			     { "f none1 k1 none1 step1", "*", "h", NULL, 60 } } },
};

static void whole1(struct onx_buf *g, const char *name, size_t n, const int64_t *v)
{
	struct onx_buf t = pb_tensor(name, WHOLE, (int64_t[]){ (int64_t)n }, 1);
	for (size_t i = 0; i < n; i++)
		pb_int(&t, 7, (uint64_t)v[i]);
	pb_msg(g, 5, &t);
}

static void constants(struct onx_buf *g)
{
	struct onx_buf limit = pb_tensor("limit", REAL, NULL, 0), ends = pb_tensor("ends", REAL, (int64_t[]){ 2 }, 1);
	pb_float(&limit, 4, 0.5F);
	pb_msg(g, 5, &limit);
	pb_float(&ends, 4, -0.5F);
	pb_float(&ends, 4, 1.5F);
	pb_msg(g, 5, &ends);
	whole(g, "zero", 0);
	whole(g, "one", 1);
	whole1(g, "zero1", 1, (int64_t[]){ 0 });
	whole1(g, "one1", 1, (int64_t[]){ 1 });
	whole1(g, "two1", 1, (int64_t[]){ 2 });
	whole1(g, "three1", 1, (int64_t[]){ 3 });
	whole1(g, "rest1", 1, (int64_t[]){ -1 });
	whole1(g, "line", 1, (int64_t[]){ -1 });
	whole1(g, "axis0", 1, (int64_t[]){ 0 });
	whole1(g, "i4", 4, (int64_t[]){ 0, 1, 1, 0 });
	whole1(g, "picture", 4, (int64_t[]){ 1, 1, 4, 3 });
	whole1(g, "ones3", 3, (int64_t[]){ 1, 1, 4 });
}

static void slices(struct onx_buf *g, const struct link *l)
{
	struct onx_buf sum = { 0 };
	char name[16];
	for (int i = 0; i < l->value; i++) {
		snprintf(name, sizeof name, "s%d", i);
		add(g, l->in, "Slice", name);
		pb_str(&sum, 1, name);
	}
	pb_str(&sum, 2, l->out);
	pb_str(&sum, 4, "Sum");
	pb_msg(g, 1, &sum);
}

static struct onx_buf model(const struct chain *c)
{
	struct onx_buf g = { 0 }, top = node("x", "ReduceMax", "m0"), cast = node("up", "Cast", "k");
	add(&g, "x W", "MatMul", "f");
	attr_int(&top, "keepdims", 0);
	pb_msg(&g, 1, &top);
	add(&g, "m0", "Ceil", "up");
	attr_int(&cast, "to", WHOLE);
	pb_msg(&g, 1, &cast);
	add(&g, "k line", "Reshape", "k1");
	for (size_t i = 0; i < 8 && c->link[i].type; i++) {
		if (strcmp(c->link[i].type, "*") == 0) {
			slices(&g, &c->link[i]);
			continue;
		}
		struct onx_buf n = node(c->link[i].in, c->link[i].type, c->link[i].out);
		if (c->link[i].attr)
			attr_int(&n, c->link[i].attr, c->link[i].value);
		pb_msg(&g, 1, &n);
	}
	add(&g, "h h", "Mul", "sq");
	struct onx_buf sum = node("sq", "ReduceSum", "loss");
	attr_int(&sum, "keepdims", 0);
	pb_msg(&g, 1, &sum);
	constants(&g);
	weight(&g, "W", 3, 3);
	INPUT(&g, "x", 4, 3);
	PORT_OUT(&g, "loss", REAL);
	PORT_OUT(&g, "h", REAL);
	return g;
}

/* Row i, column j; the largest of all decides k. */
static void fill(double *in, int outcome)
{
	for (int i = 0; i < 12; i++)
		in[i] = 0.15 + 0.13 * ((i * 5 + outcome * 3) % 7) + (i == 4 ? 0.8 + outcome : 0);
}

static double forward(struct onx_runner *r, const double *in, struct onx_exec **x)
{
	struct onx_err e = { 0 };
	const void *number[1] = { in };
	must(onx_runner_feed(r, 4, number, 1, 0, x, &e), &e);
	onx_exec_forward(*x, 1, 0);
	return onx_view_real(onx_exec_view(*x, r->target[0]), 0);
}

static double interpreted(const struct net *n, struct onx_consts *c, const double *in)
{
	struct onx_err e = { 0 };
	struct onx_facts *f = NULL;
	const struct onx_view v = { .v = (void *)(uintptr_t)in, .n = 12, .rank = 2, .dim = (int64_t[]){ 4, 3 },
				    .type = ONX_FLOAT, .width = 8 };
	struct onx_feed feed = n->feed[0];
	feed.known = &v;
	const struct onx_facts_want w = { .feed = &feed, .n_feed = 1, .wide = true, .evaluate = true };
	must(onx_facts_make(n->g, c, &w, &f, &e), &e);
	const double loss = onx_view_real(f->fact[n->g->output[0]].value, 0);
	onx_facts_free(f);
	return loss;
}

static void one(const struct chain *chain, int threads)
{
	struct onx_buf g = model(chain);
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_consts c;
	struct onx_open open;
	struct onx_block_mem block = { 0 };
	struct onx_pool *pool = NULL;
	struct onx_exec *x;
	struct net n;
	size_t size[2];
	open_net(&n, &g);
	onx_consts_init(&c, n.g);
	must(onx_pool_new(threads, &pool, &e), &e);
	const struct onx_facts_want w = { .feed = n.feed, .n_feed = 1, .variable = n.variable, .train = n.train };
	must(onx_open_find(n.g, &c, &w, &a, &open, &e), &e);
	assert_true(open.asks && open.any && open.n_asker > 0);
	struct onx_runner r = { .g = n.g, .consts = &c, .block = &block, .pool = pool, .feed = n.feed, .n_feed = 1,
				.target = n.g->output, .n_target = n.g->n_output, .loss = n.g->output[0],
				.weight = n.weight, .train = n.train, .variable = n.variable, .wide = true,
				.open = &open };
	must(onx_params_new(n.g, n.variable, true, &r.params, &e), &e);
	double *weight = r.params->weight;
	for (int k = 0; k < 4; k++) {                   /* each outcome twice: its plan is found again */
		double in[12], grad[9];
		fill(in, k & 1);
		const double loss = forward(&r, in, &x), same = interpreted(&n, &c, in);
		size[k & 1] = onx_exec_view(x, n.g->output[1])->n;
		if (!(fabs(loss - same) < 1e-12 * (1 + fabs(same))))
			fail_msg("%s: loss %.15g, the interpreter says %.15g", chain->name, loss, same);
		memset(r.params->grad, 0, r.params->n * 8);
		onx_exec_backward(x, true, 1);
		memcpy(grad, r.params->grad, sizeof grad);
		for (int i = 0; i < 9; i++) {
			const double was = weight[i], step = 1e-5;
			weight[i] = was + step;
			const double up = forward(&r, in, &x);
			weight[i] = was - step;
			const double slope = (up - forward(&r, in, &x)) / (2 * step);
			weight[i] = was;
			if (!(fabs(grad[i] - slope) < 1e-7 * (1 + fabs(slope))))
				fail_msg("%s: dW[%d] is %.12g, differences say %.12g", chain->name, i, grad[i], slope);
		}
	}
	const bool scaled = strcmp(chain->name, "Range") == 0 || strcmp(chain->name, "ConstantOfShape") == 0 ||
			    strcmp(chain->name, "Unique") == 0 || strcmp(chain->name, "Reshape") == 0;
	if (!scaled && size[0] == size[1])
		fail_msg("%s: %zu numbers, whatever the batch", chain->name, size[0]);
	onx_runner_release(&r);
	onx_params_free(r.params);
	onx_block_release(&block);
	onx_consts_release(&c);
	onx_pool_free(pool);
	onx_arena_release(&a);
	net_free(&n);
}

static void each(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof CHAINS / sizeof *CHAINS; i++)
		one(&CHAINS[i], 1 + (int)(i & 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };
	return RUN(tests);
}
