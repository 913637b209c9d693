/* bodies.h -- models whose nodes have graphs inside, written in bytes; nets of them beside the interpreter. */
#ifndef TEST_BODIES_H
#define TEST_BODIES_H
#include "unit/lib/models.h"
#include "unit/lib/pb.h"
#include "unit/lib/slopes.h"
#include "tensor/seq.h"

/* --- models in bytes ------------------------------------------------------------------------------- */

/* A value with a type, and a shape where rank >= 0. */
static inline void value(struct onx_buf *g, unsigned field, const char *name, int type, int rank, const int64_t *dim)
{
	struct onx_buf v = { 0 }, t = { 0 }, tensor = { 0 }, shape = { 0 };
	pb_int(&tensor, 1, (uint64_t)type);
	for (int d = 0; d < rank; d++) {
		struct onx_buf one = { 0 };
		pb_int(&one, 1, (uint64_t)dim[d]);
		pb_msg(&shape, 1, &one);
	}
	if (rank >= 0)
		pb_msg(&tensor, 2, &shape);
	pb_msg(&t, 1, &tensor);
	pb_str(&v, 1, name);
	pb_msg(&v, 2, &t);
	pb_msg(g, field, &v);
}
#define INPUT(g, name, ...) \
	value(g, 11, name, 1, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ })
#define PORT_IN(g, name, type) value(g, 11, name, type, -1, NULL)
#define PORT_OUT(g, name, type) value(g, 12, name, type, -1, NULL)
enum { REAL = 1, WHOLE = 7, TRUTH = 9 };

/* "in1 in2" -> type -> "out1 out2" */
static inline void words(struct onx_buf *b, unsigned field, const char *list)
{
	char copy[128], *rest = copy;
	snprintf(copy, sizeof copy, "%s", list);
	for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL; )
		pb_str(b, field, strcmp(w, "-") == 0 ? "" : w);
}

static inline struct onx_buf node(const char *in, const char *type, const char *out)
{
	struct onx_buf n = { 0 };
	words(&n, 1, in);
	words(&n, 2, out);
	pb_str(&n, 4, type);
	return n;
}

static inline void add(struct onx_buf *g, const char *in, const char *type, const char *out)
{
	struct onx_buf n = node(in, type, out);
	pb_msg(g, 1, &n);
}

static inline void attr_int(struct onx_buf *n, const char *name, int64_t v)
{
	struct onx_buf a = { 0 };
	pb_str(&a, 1, name);
	pb_int(&a, 3, (uint64_t)v);
	pb_int(&a, 20, 2);
	pb_msg(n, 5, &a);
}

static inline void attr_ints(struct onx_buf *n, const char *name, size_t count, const int64_t *v)
{
	struct onx_buf a = { 0 };
	pb_str(&a, 1, name);
	for (size_t i = 0; i < count; i++)
		pb_int(&a, 8, (uint64_t)v[i]);
	pb_int(&a, 20, 7);
	pb_msg(n, 5, &a);
}

static inline void attr_graph(struct onx_buf *n, const char *name, struct onx_buf *graph)
{
	struct onx_buf a = { 0 };
	pb_str(&a, 1, name);
	pb_str(graph, 2, name);
	pb_msg(&a, 6, graph);
	pb_int(&a, 20, 5);
	pb_msg(n, 5, &a);
}

static inline void weight(struct onx_buf *g, const char *name, int64_t rows, int64_t columns)
{
	struct onx_buf t = pb_tensor(name, REAL, (int64_t[]){ rows, columns }, 2);
	for (int64_t i = 0; i < rows * columns; i++)
		pb_float(&t, 4, (float)(((i * 7 + rows) % 11) - 5) * 0.1F);
	pb_msg(g, 5, &t);
}

static inline void whole(struct onx_buf *g, const char *name, int64_t v)
{
	struct onx_buf t = pb_tensor(name, WHOLE, NULL, 0);
	pb_int(&t, 7, (uint64_t)v);
	pb_msg(g, 5, &t);
}

/* The net of a model whose inputs are fed; all its weights train.  Releases bytes. */
static inline void open_model(struct net *n, struct onx_buf *bytes)
{
	struct onx_err e = { 0 };
	struct onx_arena a = { 0 };
	bool *is = NULL;
	memset(n, 0, sizeof *n);
	must(onx_model_parse(bytes->data, bytes->len, NULL, &n->m, &e), &e);
	onx_buf_release(bytes);
	n->g = built(n->m);
	assert_true(n->g->n_value < NET_VALUES);
	for (uint32_t i = 0; i < n->g->n_input; i++) {
		const struct onx_value *v = &n->g->value[n->g->input[i]];
		struct onx_feed *f = &n->feed[n->n_feed++];
		*f = (struct onx_feed){ .value = n->g->input[i], .type = v->type, .shape.rank = v->rank };
		memcpy(f->shape.dim, v->dim, sizeof v->dim);
	}
	must(onx_graph_weights(n->g, &a, &is, &e), &e);
	struct onx_modes modes;
	must(onx_plan_modes(n->g, is, ONX_BN_AUTO, &a, &modes, &e), &e);
	for (uint32_t v = 0; v < n->g->n_value; v++) {
		n->weight[v] = is[v];
		n->variable[v] = modes.variable[v];
	}
	memcpy(n->train, modes.train, n->g->n_node * sizeof *modes.train);
	onx_arena_release(&a);
}

/* The same of a graph.  Releases g. */
static inline void open_net(struct net *n, struct onx_buf *g)
{
	struct onx_buf bytes = pb_model(g);
	open_model(n, &bytes);
}

/* --- the same numbers ------------------------------------------------------------------------------ */

/* All outputs of the plan are those of the interpreter, which goes turn by turn and sums products in another order: to
 * 1e-12, of numbers above 1 of themselves. */
static inline void like_interpreter(struct net *n)
{
	struct onx_err e = { 0 };
	struct onx_facts *f = NULL;
	struct onx_feed feed[NET_FEEDS];
	struct onx_arena a = { 0 };
	struct onx_rng rng;
	struct run r;
	run_open(&r, n, n->g->output, n->g->n_output, ONX_NONE, true, 0);
	run_forward(&r, n);
	for (uint32_t i = 0; i < n->n_feed; i++) {      /* what run_forward drew: a run may write over its feeds */
		struct onx_view *v = onx_tensor_new(&a, ONX_FLOAT, n->feed[i].shape.rank, n->feed[i].shape.dim, 8);
		onx_rng_init(&rng, 4, ONX_RNG_TEST, i, 0);
		for (size_t k = 0; k < v->n; k++)
			onx_view_put_real(v, k, onx_rng_normal(&rng));
		feed[i] = n->feed[i];
		feed[i].known = v;
	}
	const struct onx_facts_want want = { .feed = feed, .n_feed = n->n_feed, .wide = true, .evaluate = true };
	must(onx_facts_make(n->g, &r.consts, &want, &f, &e), &e);
	for (uint32_t i = 0; i < n->g->n_output; i++) {
		const struct onx_view *got = onx_exec_view(r.exec, n->g->output[i]);
		const struct onx_view *wanted = f->fact[n->g->output[i]].value;
		assert_int_equal(got->rank, wanted->rank);
		for (int d = 0; d < got->rank; d++)
			assert_int_equal(got->dim[d], wanted->dim[d]);
		for (size_t k = 0; k < got->n; k++) {
			const double want_k = onx_view_real(wanted, k), size = fmax(1, fabs(want_k));

			assert_true(fabs(onx_view_real(got, k) - want_k) < 1e-12 * size);
		}
	}
	onx_facts_free(f);
	onx_arena_release(&a);
	run_close(&r);
}

#endif
