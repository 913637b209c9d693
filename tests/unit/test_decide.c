/* Control flow that depends on the numbers, in training: batch after batch the trajectory of the same nets written by
 * hand for what each batch decides, shared weights and statistics, the same bits whatever the threads. */
#include "unit/lib/bodies.h"
#include "train/runner.h"

enum { STEPS = 12, TURNS = 16 };
struct way { bool is; size_t turns; bool early[TURNS]; };      /* what a batch decides */

/* One turn: v = f(v L), f Relu + 0.1 or Tanh as the numbers are. */
static void turn_front(struct onx_buf *b, const char *v, const char *at)
{
	char in[64], out[64];
	snprintf(in, sizeof in, "%s L", v);
	snprintf(out, sizeof out, "u%s", at);
	add(b, in, "MatMul", out);
}

static void turn_branch(struct onx_buf *b, bool early, const char *at, const char *out)
{
	char in[64], mid[64];
	snprintf(in, sizeof in, "u%s", at);
	snprintf(mid, sizeof mid, "m%s", at);
	if (!early) {
		add(b, in, "Tanh", out);
		return;
	}
	add(b, in, "Relu", mid);
	snprintf(in, sizeof in, "m%s tenth", at);
	add(b, in, "Add", out);
}

static void sum_of(struct onx_buf *b, const char *in, const char *out)
{
	struct onx_buf n = node(in, "ReduceSum", out);
	attr_int(&n, "keepdims", 0);
	pb_msg(b, 1, &n);
}

static void scalar(struct onx_buf *g, const char *name, float v)
{
	struct onx_buf t = pb_tensor(name, REAL, NULL, 0);
	pb_float(&t, 4, v);
	pb_msg(g, 5, &t);
}

static struct onx_buf bodies(void)
{
	struct onx_buf body = { 0 }, then = { 0 }, other = { 0 };
	turn_front(&body, "v", "t");
	sum_of(&body, "ut", "us");
	add(&body, "us half", "Less", "early");
	turn_branch(&then, true, "t", "r");
	PORT_OUT(&then, "r", REAL);
	turn_branch(&other, false, "t", "r2");
	PORT_OUT(&other, "r2", REAL);
	struct onx_buf n = node("early", "If", "vn");
	attr_graph(&n, "then_branch", &then);
	attr_graph(&n, "else_branch", &other);
	pb_msg(&body, 1, &n);
	add(&body, "vn vn", "Mul", "sq");
	sum_of(&body, "sq", "size");
	add(&body, "size limit", "Greater", "on");
	add(&body, "early", "Identity", "early2");
	PORT_IN(&body, "i", WHOLE);
	PORT_IN(&body, "go", TRUTH);
	PORT_IN(&body, "v", REAL);
	PORT_OUT(&body, "on", TRUTH);
	PORT_OUT(&body, "vn", REAL);
	value(&body, 12, "size", REAL, 0, NULL);
	value(&body, 12, "early2", TRUTH, 0, NULL);
	return body;
}

/* The part in front: a normalization with statistics of the batch, a dropout. */
static void front(struct onx_buf *g)
{
	add(g, "x W", "MatMul", "a");
	add(g, "a gamma beta mean var", "BatchNormalization", "b");
	struct onx_buf drop = node("b", "Dropout", "h");
	pb_msg(g, 1, &drop);
	sum_of(g, "h", "s");
	add(g, "s zero", "Less", "is");
	add(g, "h A", "MatMul", "z1");
	weight(g, "W", 3, 3);
	weight(g, "A", 3, 3);
	weight(g, "L", 3, 3);
	const char *const name[] = { "gamma", "beta", "mean", "var" };
	for (int i = 0; i < 4; i++) {
		struct onx_buf t = pb_tensor(name[i], REAL, (int64_t[]){ 3 }, 1);
		for (int k = 0; k < 3; k++)
			pb_float(&t, 4, i == 1 || i == 2 ? 0.1F * (float)k : 1 + 0.2F * (float)k);
		pb_msg(g, 5, &t);
	}
	scalar(g, "zero", 0);
	scalar(g, "half", 0.5F);
	scalar(g, "tenth", 0.1F);
	scalar(g, "limit", 0.3F);
	INPUT(g, "x", 4, 3);
}

static void back(struct onx_buf *g)
{
	add(g, "y y", "Mul", "yy");
	sum_of(g, "yy", "l1");
	sum_of(g, "sizes", "l2");
	add(g, "l1 l2", "Add", "loss");
	PORT_OUT(g, "loss", REAL);
}

/* With the bodies; the outputs say what was decided. */
static struct onx_buf deciding(void)
{
	struct onx_buf g = { 0 }, then = { 0 }, other = { 0 }, body = bodies();
	front(&g);
	add(&then, "z1", "Sigmoid", "p");
	PORT_OUT(&then, "p", REAL);
	add(&other, "h", "Tanh", "q");
	PORT_OUT(&other, "q", REAL);
	struct onx_buf n = node("is", "If", "z");
	attr_graph(&n, "then_branch", &then);
	attr_graph(&n, "else_branch", &other);
	pb_msg(&g, 1, &n);
	struct onx_buf loop = node("most - z", "Loop", "y sizes early");
	attr_graph(&loop, "body", &body);
	pb_msg(&g, 1, &loop);
	whole(&g, "most", TURNS);
	back(&g);
	PORT_OUT(&g, "is", TRUTH);
	PORT_OUT(&g, "early", TRUTH);
	return g;
}

/* The same for one way, without. */
static struct onx_buf by_hand(const struct way *w)
{
	struct onx_buf g = { 0 };
	char v[32] = "z", at[32], out[32], in[80], size[32], sizes[256] = "";
	front(&g);
	add(&g, w->is ? "z1" : "h", w->is ? "Sigmoid" : "Tanh", "z");
	for (size_t t = 0; t < w->turns; t++) {
		snprintf(at, sizeof at, "%zu", t);
		snprintf(out, sizeof out, "v%zu", t);
		snprintf(size, sizeof size, "n%zu", t);
		turn_front(&g, v, at);
		turn_branch(&g, w->early[t], at, out);
		snprintf(in, sizeof in, "%s %s", out, out);
		snprintf(v, sizeof v, "q%zu", t);
		add(&g, in, "Mul", v);
		sum_of(&g, v, size);
		snprintf(sizes + strlen(sizes), sizeof sizes - strlen(sizes), "%s ", size);
		snprintf(v, sizeof v, "%s", out);
	}
	add(&g, v, "Identity", "y");
	struct onx_buf sum = { 0 };             /* more words than node() takes */
	for (char *rest = sizes, *word; (word = strtok_r(rest, " ", &rest)) != NULL; )
		pb_str(&sum, 1, word);
	pb_str(&sum, 2, "sizes");
	pb_str(&sum, 4, "Sum");
	pb_msg(&g, 1, &sum);
	back(&g);
	return g;
}

/* --- a trajectory ---------------------------------------------------------------------------------- */

static const char *const names[] = { "W", "A", "L", "gamma", "beta", "mean", "var" };
enum { NAMES = sizeof names / sizeof *names };
struct state { double v[NAMES][16], loss[STEPS]; struct way way[STEPS]; };

static double batch(int step, size_t i)
{
	struct onx_rng r;
	onx_rng_init(&r, 5, ONX_RNG_TEST, (uint64_t)step, i);
	return onx_rng_normal(&r) * (step % 3 == 2 ? 0.2 : 1) + (step % 4 == 1 ? 1 : -0.3);
}

static void swap(const struct onx_params *p, struct state *s, bool out)
{
	for (int i = 0; i < NAMES; i++) {
		const uint32_t v = onx_graph_find(p->graph, names[i]);
		double *here = (double *)p->weight + p->at[v];
		assert_true(p->at[v] != SIZE_MAX);
		memcpy(out ? s->v[i] : here, out ? here : s->v[i], p->graph->value[v].init->n * sizeof *here);
	}
}

static void descend(const struct onx_params *p, const struct net *n)
{
	for (uint32_t i = 0; i < p->n_value; i++) {
		const size_t at = p->at[p->value[i]];
		for (size_t k = 0; n->weight[p->value[i]] && k < p->graph->value[p->value[i]].init->n; k++)
			((double *)p->weight)[at + k] -= 0.05 * ((double *)p->grad)[at + k];
	}
}

/* Reads what the run itself found. */
static void found(struct onx_exec *x, const struct onx_graph *g, struct way *w)
{
	const struct onx_view *early = onx_exec_view(x, onx_graph_find(g, "early"));
	w->is = onx_view_int(onx_exec_view(x, onx_graph_find(g, "is")), 0);
	w->turns = early->n;
	assert_true(w->turns <= TURNS);
	for (size_t t = 0; t < w->turns; t++)
		w->early[t] = onx_view_int(early, t);
}

/* The deciding net from step `from`, whose state `s` is; threads 0: no pool. */
static void train(struct state *s, int from, int threads)
{
	struct onx_buf g = deciding();
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	struct onx_consts c;
	struct onx_open open;
	struct onx_block_mem block = { 0 };
	struct onx_pool *pool = NULL;
	struct onx_exec *x;
	struct net n;
	open_net(&n, &g);
	const uint32_t loss = onx_graph_find(n.g, "loss");
	assert_true(n.train[n.g->value[onx_graph_find(n.g, "h")].def]);         /* Dropout drops */
	onx_consts_init(&c, n.g);
	if (threads)
		must(onx_pool_new(threads, &pool, &e), &e);
	const struct onx_facts_want w = { .feed = n.feed, .n_feed = 1, .variable = n.variable, .train = n.train };
	must(onx_open_find(n.g, &c, &w, &a, &open, &e), &e);
	assert_int_equal(open.n, 2);
	struct onx_runner r = { .g = n.g, .consts = &c, .block = &block, .pool = pool, .feed = n.feed, .n_feed = 1,
				.target = n.g->output, .n_target = n.g->n_output, .loss = loss, .weight = n.weight,
				.train = n.train, .variable = n.variable, .wide = true, .open = &open };
	must(onx_params_new(n.g, n.variable, true, &r.params, &e), &e);
	if (from)
		swap(r.params, s, false);
	for (int step = from; step < STEPS; step++) {
		double in[12];
		const void *number[1] = { in };
		for (size_t i = 0; i < 12; i++)
			in[i] = batch(step, i);
		must(onx_runner_feed(&r, 4, number, 9, (uint64_t)step, &x, &e), &e);
		onx_exec_forward(x, 9, (uint64_t)step);
		s->loss[step] = onx_view_real(onx_exec_view(x, loss), 0);
		found(x, n.g, &s->way[step]);
		memset(r.params->grad, 0, r.params->n * 8);
		onx_exec_backward(x, true, 1);
		descend(r.params, &n);
		swap(r.params, s, true);
		if (from == 0 && step == STEPS / 2 - 1 && threads == 3)
			break;
	}
	onx_runner_release(&r);
	onx_params_free(r.params);
	onx_block_release(&block);
	onx_consts_release(&c);
	onx_pool_free(pool);
	onx_arena_release(&a);
	net_free(&n);
}

/* One step of the net written by hand for what was decided. */
static void hand_step(struct state *s, const struct way *w, int step)
{
	struct onx_buf g = by_hand(w);
	struct net n;
	struct run r;
	open_net(&n, &g);
	if (!w->is)                             /* nothing reads A then */
		n.weight[onx_graph_find(n.g, "A")] = n.variable[onx_graph_find(n.g, "A")] = true;
	run_open(&r, &n, n.g->output, 1, n.g->output[0], true, 0);
	if (step)
		swap(r.params, s, false);
	double in[12];
	for (size_t i = 0; i < 12; i++)
		in[i] = batch(step, i);
	onx_exec_feed(r.exec, n.feed[0].value, in);
	onx_exec_forward(r.exec, 9, (uint64_t)step);
	s->loss[step] = run_real(&r, n.g->output[0]);
	onx_exec_backward(r.exec, false, 1);
	descend(r.params, &n);
	swap(r.params, s, true);
	run_close(&r);
	net_free(&n);
}

static void as_by_hand(void **state)
{
	struct state s = { 0 }, hand = { 0 };
	size_t ways[2] = { 0 }, longest = 0, shortest = TURNS;
	(void)state;
	train(&s, 0, 0);
	for (int step = 0; step < STEPS; step++) {
		hand_step(&hand, &s.way[step], step);
		if (fabs(s.loss[step] - hand.loss[step]) > 1e-10)
			fail_msg("step %d: loss %.15g, by hand %.15g", step, s.loss[step], hand.loss[step]);
		ways[s.way[step].is]++;
		longest = s.way[step].turns > longest ? s.way[step].turns : longest;
		shortest = s.way[step].turns < shortest ? s.way[step].turns : shortest;
	}
	for (int i = 0; i < NAMES; i++)
		for (size_t k = 0; k < 16; k++)
			assert_true(fabs(s.v[i][k] - hand.v[i][k]) < 1e-9);
	assert_true(ways[0] && ways[1] && longest > shortest + 1);
}

/* With threads, and stopped half way: the same bits. */
static void same_bits(void **state)
{
	struct state a = { 0 }, b = { 0 };
	(void)state;
	train(&a, 0, 1);
	train(&b, 0, 3);
	train(&b, STEPS / 2, 2);
	assert_memory_equal(a.v, b.v, sizeof a.v);
	assert_memory_equal(a.loss, b.loss, sizeof a.loss);
}

/* --- what decides without a body being run; what cannot decide -------------------------------------- */

/* y = x^(n+1) by a loop whose number of turns is computed; drops: numbers of a Dropout in its body decide the sign of
 * the sum, so that it is below zero if what decides drew what the run draws. */
static struct onx_buf counting(bool drops)
{
	struct onx_buf g = { 0 }, body = { 0 }, then = { 0 };
	struct onx_buf cast = node("sum", "Cast", "n");
	sum_of(&g, "x", "sum");
	attr_int(&cast, "to", WHOLE);
	pb_msg(&g, 1, &cast);
	add(&body, "v x", "Mul", "w");
	if (drops) {
		add(&body, "w", "Dropout", "vn");
	} else {
		add(&body, "w", "Identity", "vn");
	}
	add(&body, "go", "Identity", "on");
	PORT_IN(&body, "i", WHOLE);
	PORT_IN(&body, "go", TRUTH);
	PORT_IN(&body, "v", REAL);
	PORT_OUT(&body, "on", TRUTH);
	PORT_OUT(&body, "vn", REAL);
	struct onx_buf loop = node("n - W", "Loop", "y");
	attr_graph(&loop, "body", &body);
	pb_msg(&g, 1, &loop);
	sum_of(&g, "y", "s");
	if (drops) {
		struct onx_buf other = { 0 }, n = node("less", "If", "loss");
		add(&g, "s zero", "Less", "less");
		add(&then, "s", "Identity", "p");
		PORT_OUT(&then, "p", REAL);
		add(&other, "s", "Neg", "q");
		PORT_OUT(&other, "q", REAL);
		attr_graph(&n, "then_branch", &then);
		attr_graph(&n, "else_branch", &other);
		pb_msg(&g, 1, &n);
	} else {
		add(&g, "s", "Identity", "loss");
	}
	scalar(&g, "zero", 0);
	struct onx_buf w = pb_tensor("W", REAL, (int64_t[]){ 3 }, 1);
	for (int i = 0; i < 3; i++)
		pb_float(&w, 4, 1 + (float)i);
	pb_msg(&g, 5, &w);
	INPUT(&g, "x", 3);
	PORT_OUT(&g, "loss", REAL);
	if (drops)
		PORT_OUT(&g, "less", TRUTH);
	return g;
}

static void powers(struct onx_runner *r, const struct net *n)
{
	struct onx_err e = { 0 };
	struct onx_exec *x;
	for (int turns = 3; turns-- > 0; ) {
		const double in[3] = { 0.5, -1, 0.6 + turns };
		const void *number[1] = { in };
		must(onx_runner_feed(r, 3, number, 0, 0, &x, &e), &e);
		onx_exec_forward(x, 0, 0);
		double want = 0;
		for (int i = 0; i < 3; i++)
			want += (1 + i) * pow(in[i], turns);
		if (fabs(onx_view_real(onx_exec_view(x, n->g->output[0]), 0) - want) > 1e-12)
			fail_msg("%d turns: not %.15g", turns, want);
		memset(r->params->grad, 0, r->params->n * 8);
		onx_exec_backward(x, true, 1);
		const double *grad = r->params->grad;
		for (int i = 0; i < 3; i++)
			assert_true(fabs(grad[i] - pow(in[i], turns)) < 1e-12);
	}
}

static void drawn(struct onx_runner *r, const struct net *n)
{
	struct onx_err e = { 0 };
	struct onx_exec *x;
	const double in[3] = { 0.5, -1, 1.6 };
	const void *number[1] = { in };
	int ways[2] = { 0 };
	for (uint64_t step = 0; step < 40; step++) {
		must(onx_runner_feed(r, 3, number, 7, step, &x, &e), &e);
		onx_exec_forward(x, 7, step);
		assert_true(onx_view_real(onx_exec_view(x, n->g->output[0]), 0) <= 0);
		ways[onx_view_int(onx_exec_view(x, n->g->output[1]), 0)]++;
	}
	assert_true(ways[0] > 2 && ways[1] > 2);
}

static void counted(void **state)
{
	(void)state;
	for (int drops = 0; drops < 2; drops++) {
		struct onx_buf g = counting(drops);
		struct onx_err e = { 0 };
		struct onx_arena a = { 0 };
		struct onx_consts c;
		struct onx_open open;
		struct onx_block_mem block = { 0 };
		struct net n;
		open_net(&n, &g);
		memset(n.weight, 0, sizeof n.weight);
		n.weight[onx_graph_find(n.g, "W")] = n.variable[onx_graph_find(n.g, "W")] = true;
		for (uint32_t i = 0; i < n.g->n_node; i++)
			n.train[i] = drops && n.g->node[i].n_body;
		onx_consts_init(&c, n.g);
		const struct onx_facts_want w = { .feed = n.feed, .n_feed = 1, .variable = n.variable,
						  .train = n.train };
		must(onx_open_find(n.g, &c, &w, &a, &open, &e), &e);
		assert_true(open.n == (drops ? 2 : 1) && open.plain[0]);
		struct onx_runner r = { .g = n.g, .consts = &c, .block = &block, .feed = n.feed, .n_feed = 1,
					.target = n.g->output, .n_target = n.g->n_output, .loss = n.g->output[0],
					.weight = n.weight, .train = n.train, .variable = n.variable, .wide = true,
					.open = &open };
		must(onx_params_new(n.g, n.variable, true, &r.params, &e), &e);
		if (drops)
			drawn(&r, &n);
		else
			powers(&r, &n);
		onx_runner_release(&r);
		onx_params_free(r.params);
		onx_block_release(&block);
		onx_consts_release(&c);
		onx_arena_release(&a);
		net_free(&n);
	}
}

/* Allocations on the way to a decision, and to its plan, fail, every third of them. */
static int one_look(struct net *n, struct onx_err *e)
{
	const double in[12] = { 0.5, -1, 2, 0.25 };
	const void *number[1] = { in };
	struct onx_arena a = { 0 };
	struct onx_block_mem block = { 0 };
	struct onx_consts c;
	struct onx_open open;
	struct onx_exec *x;
	struct onx_runner r = { .g = n->g, .consts = &c, .block = &block, .feed = n->feed, .n_feed = 1,
				.target = n->g->output, .n_target = n->g->n_output, .loss = ONX_NONE,
				.train = n->train, .variable = n->variable, .wide = true, .open = &open };
	const struct onx_facts_want w = { .feed = n->feed, .n_feed = 1, .variable = n->variable, .train = n->train };
	onx_consts_init(&c, n->g);
	int rc = onx_open_find(n->g, &c, &w, &a, &open, e);
	if (rc == ONX_OK)
		rc = onx_params_new(n->g, n->variable, true, &r.params, e);
	if (rc == ONX_OK)
		rc = onx_runner_feed(&r, 4, number, 9, 0, &x, e);
	onx_runner_release(&r);
	onx_params_free(r.params);
	onx_block_release(&block);
	onx_consts_release(&c);
	onx_arena_release(&a);
	return rc;
}

static void no_memory(void **state)
{
	struct onx_buf g = deciding();
	struct net n;
	int rc = ONX_NOMEM;
	long k = 0;
	(void)state;
	open_net(&n, &g);
	while (rc == ONX_NOMEM && (k += 3) < 20000) {
		struct onx_err e = { 0 };
		onx_alloc_fail_at(k);
		rc = one_look(&n, &e);
		onx_alloc_fail_at(0);
		assert_true(rc == ONX_OK || (rc == ONX_NOMEM && e.text[0]));
	}
	assert_int_equal(rc, ONX_OK);
	assert_true(k > 100);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_by_hand), cmocka_unit_test(same_bits), cmocka_unit_test(counted),
		cmocka_unit_test(no_memory),
	};
	return RUN(tests);
}
