/* net.h -- small nets for tests of facts, plans and runs, built node by node.
 *
 * A net fills its own feeds: real numbers are drawn from the normal distribution, whole numbers count
 * 0, 1, 2, 0, 1, 2, ...  Everything is freed by net_free. */
#ifndef TEST_NET_H
#define TEST_NET_H
#include "unit/unit.h"
#include <math.h>
#include "exec/exec.h"
#include "rewrite/patch.h"

enum { NET_FEEDS = 8, NET_VALUES = 256, NET_NODES = 128 };

struct net {
	struct onx_model *m;
	struct onx_graph *g;
	struct onx_feed feed[NET_FEEDS]; uint32_t n_feed;
	bool weight[NET_VALUES], variable[NET_VALUES], train[NET_NODES];
};

static inline void net_new(struct net *n)
{
	struct onx_err e = { 0 };
	memset(n, 0, sizeof *n);
	must(onx_model_new("net", 17, &n->m, &e), &e);
	must(onx_graph_build(n->m, 0, &n->g, &e), &e);
	n->g->input = ONX_NEWS(&n->g->arena, uint32_t, NET_FEEDS);
	n->g->output = ONX_NEWS(&n->g->arena, uint32_t, NET_FEEDS);
}

static inline void net_free(struct net *n)
{
	onx_graph_free(n->g);
	onx_model_free(n->m);
}

/* A graph input that is fed; dims end with 0 (or after four). */
static inline uint32_t net_in(struct net *n, const char *name, enum onx_dtype type, const int64_t dim[4])
{
	struct onx_err e = { 0 };
	struct onx_shape s = { 0 };
	uint32_t id;
	while (s.rank < 4 && dim[s.rank] > 0) {
		s.dim[s.rank] = dim[s.rank];
		s.rank++;
	}
	must(onx_graph_add_value(n->g, name, type, &id, &e), &e);
	struct onx_value *v = &n->g->value[id];
	v->input = v->has_shape = true;
	v->rank = s.rank;
	memcpy(v->dim, s.dim, sizeof s.dim);
	n->g->input[n->g->n_input++] = id;
	n->feed[n->n_feed++] = (struct onx_feed){ .value = id, .shape = s, .type = type };
	return id;
}
#define IN(n, name, ...) net_in(n, name, ONX_FLOAT, (int64_t[4]){ __VA_ARGS__ })
#define LABELS(n, name, ...) net_in(n, name, ONX_INT64, (int64_t[4]){ __VA_ARGS__ })

/* A constant with numbers drawn by its id; positive ones if asked for (variances). */
static inline uint32_t net_weight(struct net *n, bool trains, bool positive, const int64_t dim[4])
{
	static float x[4096];
	struct onx_err e = { 0 };
	struct onx_rng r;
	int rank = 0;
	size_t count = 1;
	uint32_t id;
	while (rank < 4 && dim[rank] > 0)
		count *= (size_t)dim[rank++];
	assert_true(count <= 4096);
	onx_rng_init(&r, 3, ONX_RNG_TEST, n->g->n_value, 0);
	for (size_t i = 0; i < count; i++)
		x[i] = positive ? (float)onx_rng_range(&r, 0.5, 1.5) : (float)(0.5 * onx_rng_normal(&r));
	must(onx_graph_add_weight(n->g, "w", ONX_FLOAT, rank, dim, x, &id, &e), &e);
	n->weight[id] = n->variable[id] = trains;
	return id;
}
#define W(n, ...) net_weight(n, true, false, (int64_t[4]){ __VA_ARGS__ })
#define FROZEN(n, ...) net_weight(n, false, false, (int64_t[4]){ __VA_ARGS__ })
#define POSITIVE(n, trains, ...) net_weight(n, trains, true, (int64_t[4]){ __VA_ARGS__ })

static inline uint32_t net_ints(struct net *n, int64_t count, const int64_t *v)
{
	struct onx_err e = { 0 };
	uint32_t id;
	must(onx_graph_add_weight(n->g, "ints", ONX_INT64, 1, &count, v, &id, &e), &e);
	return id;
}
#define INTS(n, count, ...) net_ints(n, count, (int64_t[]){ __VA_ARGS__ })

/* A node; its outputs are new values out[0..n_out). */
static inline uint32_t net_node(struct net *n, const char *type, uint32_t n_in, const uint32_t *in,
				uint32_t n_out, uint32_t *out, size_t n_attr, const struct onx_file_attr *attr)
{
	struct onx_err e = { 0 };
	uint32_t id;
	const bool ours = strcmp(type, "CrossEntropy") == 0 || strcmp(type, "MSE") == 0;
	for (uint32_t i = 0; i < n_out; i++)
		must(onx_graph_add_value(n->g, type, ONX_FLOAT, &out[i], &e), &e);
	must(onx_graph_add_node(n->g, ours ? "onnx_adapt" : "", type, type, in, n_in, out, n_out, attr, n_attr,
				&id, &e), &e);
	must(onx_graph_order(n->g, &e), &e);
	assert_true(n->g->n_value < NET_VALUES && n->g->n_node < NET_NODES);
	return id;
}

static inline uint32_t net_op(struct net *n, const char *type, uint32_t n_in, const uint32_t *in,
			      const struct onx_file_attr *attr)
{
	uint32_t out;
	net_node(n, type, n_in, in, 1, &out, attr ? 1 : 0, attr);
	return out;
}
#define OP1(n, type, a) net_op(n, type, 1, (uint32_t[]){ a }, NULL)
#define OP2(n, type, a, b) net_op(n, type, 2, (uint32_t[]){ a, b }, NULL)
#define OP3(n, type, a, b, c) net_op(n, type, 3, (uint32_t[]){ a, b, c }, NULL)

/* sum of y * r for fixed random r: every element of y has a slope of its own.  dims: y's. */
static inline uint32_t net_loss(struct net *n, uint32_t y, const int64_t dim[4])
{
	const struct onx_file_attr flat = onx_attr_int("keepdims", 0);
	const uint32_t r = net_weight(n, false, false, dim), p = OP2(n, "Mul", y, r);
	return net_op(n, "ReduceSum", 1, &p, &flat);
}
#define LOSS(n, y, ...) net_loss(n, y, (int64_t[4]){ __VA_ARGS__ })

static inline void net_target(struct net *n, uint32_t v)
{
	n->g->output[n->g->n_output++] = v;
	n->g->value[v].output = true;
}

/* --- runs ------------------------------------------------------------------------------------------ */

struct run {
	struct onx_consts consts;
	struct onx_plan *plan;
	struct onx_params *params;
	struct onx_block_mem block;
	struct onx_pool *pool;
	struct onx_exec *exec;
};

static inline struct onx_plan_want net_want(const struct net *n, const uint32_t *target, uint32_t n_target,
					    uint32_t loss, bool wide)
{
	return (struct onx_plan_want){
		.facts = { .feed = n->feed, .n_feed = n->n_feed, .target = target, .n_target = n_target,
			   .variable = n->variable, .train = n->train, .wide = wide },
		.loss = loss, .weight = n->weight, .threads = 1 };
}

/* The plan that w asks for, where there is one; params and everything else.  threads 0: no pool. */
static inline int run_with(struct run *r, const struct net *n, struct onx_plan_want w, int threads, struct onx_err *e)
{
	memset(r, 0, sizeof *r);
	if (threads)
		must(onx_pool_new(threads, &r->pool, e), e);
	w.threads = onx_pool_threads(r->pool);
	onx_consts_init(&r->consts, n->g);
	const int rc = onx_plan_make(n->g, &r->consts, &w, &r->plan, e);
	if (rc < 0)
		return rc;
	must(onx_params_new(n->g, n->variable, w.facts.wide, &r->params, e), e);
	must(onx_exec_new(r->plan, r->params, &r->block, r->pool, &r->exec, e), e);
	return rc;
}

static inline void run_open(struct run *r, const struct net *n, const uint32_t *target, uint32_t n_target,
			    uint32_t loss, bool wide, int threads)
{
	struct onx_err e = { 0 };
	must(run_with(r, n, net_want(n, target, n_target, loss, wide), threads, &e), &e);
}

static inline void run_close(struct run *r)
{
	onx_exec_free(r->exec);
	onx_plan_free(r->plan);
	onx_params_free(r->params);
	onx_block_release(&r->block);
	onx_consts_release(&r->consts);
	onx_pool_free(r->pool);
}

/* NaN everywhere, then feeds, then forward: what is read before it is written shows. */
static inline void run_forward(struct run *r, const struct net *n)
{
	struct onx_rng rng;
	if (r->block.bytes)
		memset(r->block.base, 0xff, r->block.bytes);
	for (uint32_t k = 0; k < n->n_feed; k++) {
		size_t bytes;
		if (!onx_exec_feed_at(r->exec, n->feed[k].value, &bytes))
			continue;
		const struct onx_view *v = onx_exec_view(r->exec, n->feed[k].value);
		onx_rng_init(&rng, 4, ONX_RNG_TEST, k, 0);
		for (size_t i = 0; i < v->n; i++)
			if (onx_dtype_real(v->type))
				onx_view_put_real(v, i, onx_rng_normal(&rng));
			else
				onx_view_put_int(v, i, (int64_t)(i % 3));
	}
	onx_exec_forward(r->exec, 1, 0);
}

static inline double run_real(struct run *r, uint32_t v)
{
	return onx_view_real(onx_exec_view(r->exec, v), 0);
}

static inline int steps_of(const struct onx_plan *p, const char *type)
{
	int n = 0;
	for (uint32_t i = 0; i < p->n_step; i++)
		n += strcmp(p->step[i].op->type, type) == 0;
	return n;
}

/* A plan that only goes forward, in single precision with two threads, and the same by the reference in double. */
struct pair { struct run fast, plain; const uint32_t *value; uint32_t values; };

static inline void pair_open(struct pair *p, const struct net *n, const uint32_t *value, uint32_t values)
{
	p->value = value;
	p->values = values;
	run_open(&p->fast, n, value, values, ONX_NONE, false, 2);
	run_open(&p->plain, n, value, values, ONX_NONE, true, 0);
}

/* The values have the same numbers in both, up to `near`; frees all. */
static inline void pair_close(struct pair *p, struct net *n, double near, const char *name)
{
	run_forward(&p->fast, n);
	run_forward(&p->plain, n);
	for (uint32_t k = 0; k < p->values; k++) {
		const struct onx_view *u = onx_exec_view(p->fast.exec, p->value[k]);
		const struct onx_view *v = onx_exec_view(p->plain.exec, p->value[k]);

		assert_int_equal(u->n, v->n);
		for (size_t i = 0; i < u->n; i++) {
			const double x = onx_view_real(u, i), y = onx_view_real(v, i);

			if (!(fabs(x - y) < near))
				fail_msg("%s: element %zu is %g, wanted %g", name, i, x, y);
		}
	}
	run_close(&p->fast);
	run_close(&p->plain);
	net_free(n);
}

#endif
