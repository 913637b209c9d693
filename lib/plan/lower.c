/* plan/lower.c -- the twin graph: values by the same ids, nodes anew. */
#include "plan/lower_block.h"
#include <string.h>
#include "plan/plan_i.h"

int onx_lower_value(struct onx_lower *l, uint32_t like, uint32_t *id, struct onx_err *e)
{
	struct onx_graph *g = l->to;
	if (g->n_value == g->cap_value) {
		const uint32_t cap = 2 * g->cap_value;
		struct onx_value *v = ONX_NEWS(&g->arena, struct onx_value, cap);
		if (!v)
			return onx_nomem(e, cap * sizeof *v, "the plan");
		memcpy(v, g->value, g->n_value * sizeof *v);
		g->value = v;
		g->cap_value = cap;
	}
	/* The facts know only values of the user's graph. */
	g->value[g->n_value] = (struct onx_value){
		.name = g->value[like].name, .def = ONX_NONE,
		.type = like < l->from->n_value ? l->f->fact[like].type : g->value[like].type };
	*id = g->n_value++;
	return ONX_OK;
}

static int room_for_node(struct onx_lower *l, struct onx_err *e)
{
	struct onx_graph *g = l->to;
	if (g->n_node < g->cap_node)
		return ONX_OK;
	const uint32_t cap = 2 * g->cap_node;
	struct onx_node *n = ONX_NEWS(&g->arena, struct onx_node, cap);
	uint32_t *order = ONX_NEWS(&g->arena, uint32_t, cap);
	bool *train = ONX_NEWS(&g->arena, bool, cap);
	if (!n || !order || !train)
		return onx_nomem(e, cap * sizeof *n, "the plan");
	memcpy(n, g->node, g->n_node * sizeof *n);
	memcpy(order, g->order, g->n_order * sizeof *order);
	memcpy(train, l->train, g->n_node * sizeof *train);
	g->node = n;
	g->order = order;
	l->train = train;
	g->cap_node = cap;
	return ONX_OK;
}

int onx_lower_node(struct onx_lower *l, const char *domain, const char *type, uint32_t like, const uint32_t *in,
		   uint32_t n_in, uint32_t out, const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	struct onx_graph *g = l->to;
	int rc = room_for_node(l, e);
	if (rc < 0)
		return rc;
	struct onx_node *n = &g->node[g->n_node];
	*n = (struct onx_node){ .name = l->from->node[like].name, .type = type, .domain = domain, .n_in = n_in,
				.n_out = 1, .version = domain[0] ? 1 : ONX_NEWEST_OPSET };
	n->in = ONX_NEWS(&g->arena, uint32_t, n_in + 1);
	n->out = ONX_NEWS(&g->arena, uint32_t, 1);
	if (!n->in || !n->out)
		return onx_nomem(e, n_in * 4.0, "the plan");
	memcpy(n->in, in, n_in * sizeof *in);
	n->out[0] = out;
	if ((rc = onx_op_find(domain, type, n->version, &n->op, e)) < 0 ||
	    (rc = onx_attr_fill(n->op, attr, n_attr, &g->arena, &n->attr, e)) < 0)
		return rc;
	g->value[out].def = g->n_node;
	g->order[g->n_order++] = g->n_node++;
	return ONX_OK;
}

int onx_lower_outs(struct onx_lower *l, const uint32_t *out, uint32_t n_out, struct onx_err *e)
{
	struct onx_graph *g = l->to;
	struct onx_node *n = &g->node[g->n_node - 1];
	n->out = ONX_NEWS(&g->arena, uint32_t, n_out);
	if (!n->out)
		return onx_nomem(e, n_out * 4.0, "the plan");
	memcpy(n->out, out, n_out * sizeof *out);
	n->n_out = n_out;
	for (uint32_t i = 0; i < n_out; i++)
		if (out[i] != ONX_NONE)
			g->value[out[i]].def = g->n_node - 1;
	return ONX_OK;
}

int onx_lower_feed(struct onx_lower *l, const struct onx_feed *f, struct onx_err *e)
{
	if (l->n_feed == l->cap_feed) {
		const uint32_t cap = l->cap_feed ? 2 * l->cap_feed : 64;
		struct onx_feed *v = ONX_NEWS(&l->to->arena, struct onx_feed, cap);
		if (!v)
			return onx_nomem(e, cap * sizeof *v, "the plan");
		if (l->n_feed)
			memcpy(v, l->feed, l->n_feed * sizeof *v);
		l->feed = v;
		l->cap_feed = cap;
	}
	l->feed[l->n_feed++] = *f;
	return ONX_OK;
}

int onx_lower_known(struct onx_lower *l, uint32_t like, enum onx_dtype type, const struct onx_shape *shape,
		    uint32_t *id, struct onx_view **out, struct onx_err *e)
{
	struct onx_arena *a = &l->to->arena;
	struct onx_view *v = ONX_NEW(a, struct onx_view);
	struct onx_shape *s = ONX_NEW(a, struct onx_shape);
	size_t n = 0;
	int rc = onx_count(shape->rank, shape->dim, &n, e);
	if (rc == ONX_OK && (!v || !s))
		rc = onx_nomem(e, sizeof *v, "the plan");
	if (rc < 0 || (rc = onx_lower_value(l, like, id, e)) < 0)
		return rc;
	*s = *shape;
	*v = (struct onx_view){ .n = n, .rank = s->rank, .dim = s->dim, .type = type,
				.width = (uint8_t)onx_dtype_store(type, l->want->facts.wide) };
	v->v = onx_alloc(a, n + 1, v->width);
	if (!v->v)
		return onx_nomem(e, (double)n * v->width, "a constant");
	*out = v;
	return onx_lower_feed(l, &(struct onx_feed){ *id, *shape, type, v }, e);
}

const struct onx_file_attr *onx_lower_find(const struct onx_node *n, const char *name)
{
	size_t count;
	const struct onx_file_attr *a = onx_lower_attr(n, &count);
	return onx_attr_find(a, count, name);
}

/* The twin begins with all values and nodes and an empty order. */
static int twin(struct onx_lower *l, struct onx_err *e)
{
	const struct onx_graph *g = l->from;
	struct onx_graph *t = onx_heap(1, sizeof *t);
	if (!t)
		return onx_nomem(e, sizeof *t, "the plan");
	l->to = t;
	t->cap_value = 2 * g->n_value + 64;
	t->cap_node = 2 * g->n_node + 64;
	t->value = ONX_NEWS(&t->arena, struct onx_value, t->cap_value);
	t->node = ONX_NEWS(&t->arena, struct onx_node, t->cap_node);
	t->order = ONX_NEWS(&t->arena, uint32_t, t->cap_node);
	l->train = ONX_NEWS(&t->arena, bool, t->cap_node);
	if (!t->value || !t->node || !t->order || !l->train)
		return onx_nomem(e, g->n_node * sizeof *t->node, "the plan");
	memcpy(t->value, g->value, g->n_value * sizeof *t->value);
	memcpy(t->node, g->node, g->n_node * sizeof *t->node);
	if (l->want->facts.train)
		memcpy(l->train, l->want->facts.train, g->n_node * sizeof *l->train);
	t->n_value = g->n_value;
	t->n_node = g->n_node;
	t->model = g->model;
	t->input = g->input;
	t->n_input = g->n_input;
	t->output = g->output;
	t->n_output = g->n_output;
	return ONX_OK;
}

static int tables(struct onx_lower *l, struct onx_err *e)
{
	const struct onx_graph *g = l->from;
	struct onx_arena *a = &l->scratch;
	l->target = ONX_NEWS(a, bool, g->n_value + 1);
	l->chain = ONX_NEWS(a, struct onx_chain *, g->n_node + 1);
	l->inner = ONX_NEWS(a, bool, g->n_node + 1);
	l->concat = ONX_NEWS(a, bool, g->n_node + 1);
	l->swap = ONX_NEWS(a, struct onx_swap *, g->n_node + 1);
	l->last = ONX_NEWS(a, uint32_t, g->n_value + 1);
	l->first = ONX_NEWS(a, bool, g->n_value + 1);
	l->fed = ONX_NEWS(a, bool, g->n_value + 1);
	if (!l->target || !l->chain || !l->inner || !l->concat || !l->swap || !l->last || !l->first || !l->fed)
		return onx_nomem(e, g->n_value * 16.0, "the plan");
	memset(l->last, 0xff, g->n_value * sizeof *l->last);
	for (uint32_t i = 0; i < l->f->n_target; i++)
		l->target[l->f->target[i]] = true;
	if (l->want->loss != ONX_NONE)
		l->target[l->want->loss] = true;
	int rc = onx_graph_uses(g, a, &l->uses, e);
	if (rc == ONX_OK && l->want->loss != ONX_NONE)
		rc = onx_plan_wants(g, l->want->weight, a, &l->wants, e);
	for (uint32_t i = 0; rc == ONX_OK && i < l->want->facts.n_feed; i++) {
		l->first[l->want->facts.feed[i].value] = true;
		rc = onx_lower_feed(l, &l->want->facts.feed[i], e);
	}
	return rc;
}

/* What is worth it: convolutions over two dimensions, without groups or depthwise.  Depthwise ones on their own, with
 * no normalization to take in, cost less than turning the pixels of what they read and of what they make. */
static bool worth_it(const struct onx_graph *g, const struct onx_facts *f)
{
	bool any = false, pays = false;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (!f->run[g->order[i]])
			continue;
		pays |= onx_lower_is(n, "BatchNormalization");
		if (!onx_lower_is(n, "Conv") || f->fact[n->in[0]].shape.rank != 4)
			continue;
		const int64_t *w = f->fact[n->in[1]].shape.dim, channels = f->fact[n->in[0]].shape.dim[1];
		if (w[1] != channels && (w[1] != 1 || w[0] != channels))
			return false;
		any = true;
		pays |= w[1] == channels;
	}
	return any && pays;
}

/* Or what lower_block.h looks for. */
static bool any_product(const struct onx_graph *g, const struct onx_facts *f)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (f->run[g->order[i]] &&
		    (onx_lower_is(n, "MatMul") || onx_lower_is(n, "Gemm") || onx_lower_is(n, "Erf")))
			return true;
	}
	return false;
}

static bool *longer(const struct onx_lower *l, const bool *v, struct onx_err *e, int *rc)
{
	bool *to = ONX_NEWS(&l->to->arena, bool, l->to->n_value + 1);
	if (!to)
		*rc = onx_nomem(e, l->to->n_value, "the plan");
	else if (v)
		memcpy(to, v, l->from->n_value * sizeof *v);
	return to;
}

static int wanted(struct onx_lower *l, struct onx_plan_want *w, struct onx_err *e)
{
	int rc = ONX_OK;
	*w = *l->want;
	w->facts.feed = l->feed;
	w->facts.n_feed = l->n_feed;
	w->facts.target = l->f->target;
	w->facts.n_target = l->f->n_target;
	w->facts.train = l->train;
	w->facts.variable = longer(l, l->want->facts.variable, e, &rc);
	w->weight = longer(l, l->want->weight, e, &rc);
	return rc;
}

int onx_plan_lower(const struct onx_graph *g, const struct onx_facts *f, const struct onx_plan_want *want,
		   struct onx_graph **out, struct onx_plan_want *lowered, struct onx_err *e)
{
	struct onx_lower l = { .from = g, .f = f, .want = want };
	*out = NULL;
	const bool chains = worth_it(g, f);
	if (want->facts.wide || (!chains && !any_product(g, f)))
		return ONX_OK;
	int rc = twin(&l, e);
	if (rc == ONX_OK)
		rc = tables(&l, e);
	if (rc == ONX_OK && chains)
		rc = onx_lower_chains(&l, e);
	if (rc == ONX_OK) {
		onx_lower_strips(&l);
		onx_lower_scales(&l);
		onx_lower_concats(&l);
		onx_lower_norms(&l);
	}
	if (rc == ONX_OK)
		rc = onx_lower_blocks(&l, e);
	if (rc == ONX_OK)
		rc = onx_lower_nodes(&l, e);
	if (rc == ONX_OK)
		rc = wanted(&l, lowered, e);
	onx_arena_release(&l.scratch);
	if (rc < 0)
		onx_plan_twin_free(l.to);
	else
		*out = l.to;
	return rc;
}

void onx_plan_twin_free(struct onx_graph *t)
{
	if (!t)
		return;
	struct onx_arena a = t->arena;
	onx_arena_release(&a);
	onx_heap_free(t);
}
