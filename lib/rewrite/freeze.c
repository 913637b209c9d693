/* rewrite/freeze.c -- choosing what trains. */
#include "rewrite/freeze.h"
#include <string.h>
#include "model/mark.h"

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_freeze_opts *o = obj;
	if (o->all + o->none + (o->last > 0) > 1)
		return onx_fail(e, ONX_USAGE, "'all', 'none' and 'last' exclude each other");
	if (!o->all && !o->none && !o->last && !o->up_to && !o->op.n && !o->match.n && !o->train.n)
		return onx_fail(e, ONX_USAGE, "say what to freeze: all, none, up-to, last, op, match or train");
	return ONX_OK;
}

#define AT(m) offsetof(struct onx_freeze_opts, m)
static const struct onx_field fields[] = {
	{ "all", F_BOOL, AT(all), "no", .help = "freeze every weight; what onnx-head makes later trains",
	  .group = "What trains" },
	{ "none", F_BOOL, AT(none), "no", .help = "every weight trains" },
	{ "last", F_INT, AT(last), "0", 0, 1e6, .arg = "N",
	  .help = "train only the last N layers with weights (a layer: Conv, Gemm, MatMul, ... with its bias and the "
	  "BatchNormalization behind it); 0: not asked" },
	{ "up-to", F_STR, AT(up_to), "", .arg = "NAME",
	  .help = "freeze everything upstream of this node or tensor" },
	{ "op", F_STRS, AT(op), "", .arg = "TYPE", .help = "freeze the weights of operators of this type" },
	{ "match", F_STRS, AT(match), "", .arg = "GLOB",
	  .help = "freeze weights whose name, or whose node's name, matches" },
	{ "train", F_STRS, AT(train), "", .arg = "GLOB", .help = "train these, whatever else was said" },
	{ "dequantize", F_BOOL, AT(dequantize), "no",
	  .help = "first turn quantised weights, which are whole numbers behind DequantizeLinear, into float weights, "
	  "which can train" },
	{ .name = NULL }
};
const struct onx_table onx_freeze_table = { "freeze", sizeof(struct onx_freeze_opts), fields, check, 0 };

struct work {
	const struct onx_graph *g;
	struct onx_arena *mem;
	bool *weight, *train;           /* by value */
	struct onx_uses uses;
	bool *bears;                    /* by node: reads a weight, directly or through moved numbers */
	uint32_t *layer;                /* by node: the first node of its layer                       */
};

/* Calls see for each node that computes with the weight v: readers, and readers of what only moves it. */
static void owners(const struct work *w, uint32_t v, int depth, void (*see)(void *, uint32_t), void *ctx)
{
	for (uint32_t i = w->uses.first[v]; i < w->uses.first[v + 1]; i++) {
		const uint32_t id = w->uses.use[i];
		const struct onx_node *n = &w->g->node[id];
		bool slot = !n->op;
		for (uint32_t k = 0; n->op && k < n->n_in && k < 16; k++)
			slot |= n->in[k] == v && (n->op->weight >> k & 1);
		if (slot || depth >= 16 || n->n_out == 0 || n->out[0] == ONX_NONE)
			see(ctx, id);
		else
			owners(w, n->out[0], depth + 1, see, ctx);
	}
}

struct meeting { const struct work *w; const char *glob; bool by_type, met; };

static void meet_node(void *ctx, uint32_t id)
{
	struct meeting *m = ctx;
	const struct onx_node *n = &m->w->g->node[id];
	if (m->by_type ? strcmp(n->type, m->glob) == 0 : *n->name && onx_glob(m->glob, n->name))
		m->met = true;
}

static void see_bearer(void *ctx, uint32_t id)
{
	((struct work *)ctx)->bears[id] = true;
}

/* What may follow the product of a layer and belong to it: the bias and the scale. */
static bool follows(const struct onx_node *n)
{
	static const char *const type[] = { "Add", "Sub", "Mul", "Div", "BatchNormalization", NULL };
	for (size_t i = 0; !*n->domain && type[i]; i++)
		if (strcmp(n->type, type[i]) == 0)
			return true;
	return false;
}

/* A MatMul and the Add of its bias, a Conv and the BatchNormalization behind it are one layer, however the
 * exporter wrote it: what only arithmetic with constants of its own adds to a node that bears weights, where
 * nobody else reads what is between. */
static void layers(struct work *w)
{
	const struct onx_graph *g = w->g;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		uint32_t from = ONX_NONE;
		w->layer[id] = id;
		for (uint32_t k = 0; w->bears[id] && follows(n) && k < n->n_in; k++) {
			const uint32_t v = n->in[k];
			if (v == ONX_NONE || g->value[v].init)
				continue;
			if (from != ONX_NONE)
				break;          /* two tensors meet */
			from = v;
		}
		if (from != ONX_NONE && g->value[from].def != ONX_NONE && w->bears[g->value[from].def] &&
		    !g->value[from].output && w->uses.first[from + 1] - w->uses.first[from] == 1)
			w->layer[id] = w->layer[g->value[from].def];
	}
}

static int start(struct work *w, struct onx_err *e)
{
	int rc = onx_graph_weights(w->g, w->mem, &w->weight, e);
	if (rc == ONX_OK)
		rc = onx_graph_uses(w->g, w->mem, &w->uses, e);
	w->train = ONX_NEWS(w->mem, bool, (size_t)w->g->n_value + 1);
	w->bears = ONX_NEWS(w->mem, bool, (size_t)w->g->n_node + 1);
	w->layer = ONX_NEWS(w->mem, uint32_t, (size_t)w->g->n_node + 1);
	if (rc == ONX_OK && (!w->train || !w->bears || !w->layer))
		rc = onx_nomem(e, w->g->n_value, "weights");
	for (uint32_t v = 0; rc == ONX_OK && v < w->g->n_value; v++)
		if (w->weight[v])
			owners(w, v, 0, see_bearer, w);
	if (rc == ONX_OK)
		layers(w);
	return rc;
}

/* --- choices ----------------------------------------------------------------------------------------- */

static void all(struct work *w, bool train)
{
	for (uint32_t v = 0; v < w->g->n_value; v++)
		w->train[v] = train && w->weight[v];
}

struct pick { const bool *in; bool met; };

static void pick_node(void *ctx, uint32_t id)
{
	struct pick *p = ctx;
	p->met |= p->in[id];
}

static int last(struct work *w, int64_t n, struct onx_err *e)
{
	bool *in = ONX_NEWS(w->mem, bool, (size_t)w->g->n_node + 1);
	bool *taken = ONX_NEWS(w->mem, bool, (size_t)w->g->n_node + 1);
	int64_t left = n;
	if (!in || !taken)
		return onx_nomem(e, w->g->n_node, "nodes");
	for (uint32_t i = w->g->n_order; i-- > 0; ) {
		const uint32_t id = w->g->order[i], first = w->layer[id];
		if (!w->bears[id] || (!taken[first] && left == 0))
			continue;
		left -= !taken[first];
		taken[first] = in[id] = true;
	}
	if (left > 0)
		return onx_fail(e, ONX_USAGE, "last %lld: the model has only %lld layers with weights",
				(long long)n, (long long)(n - left));
	for (uint32_t v = 0; v < w->g->n_value; v++) {
		struct pick p = { in, false };
		if (w->weight[v])
			owners(w, v, 0, pick_node, &p);
		w->train[v] = p.met;
	}
	return ONX_OK;
}

enum names { OF_WEIGHTS = 1, OF_NODES = 2, OF_TYPES = 4, OF_VALUES = 8 };

/* "no weight ... 'x'; nearest is 'y'". */
static int unmet(const struct work *w, const char *what, const char *name, int from, struct onx_err *e)
{
	const size_t room = (size_t)w->g->n_value + 2 * (size_t)w->g->n_node + 1;
	const char **list = ONX_NEWS(w->mem, const char *, room);
	size_t n = 0;
	if (!list)
		return onx_nomem(e, (double)room * sizeof *list, "names");
	for (uint32_t v = 0; v < w->g->n_value; v++)
		if ((from & OF_VALUES) || ((from & OF_WEIGHTS) && w->weight[v]))
			list[n++] = w->g->value[v].name;
	for (uint32_t i = 0; i < w->g->n_node; i++) {
		const struct onx_node *x = &w->g->node[i];
		if ((from & OF_NODES) && *x->name && !x->dropped)
			list[n++] = x->name;
		if ((from & OF_TYPES) && w->bears[i])
			list[n++] = x->type;
	}
	const char *near = onx_nearest(list, n, name);
	return onx_fail(e, ONX_USAGE, "%s '%s' meets nothing in the model%s%s%s", what, name,
			near ? "; nearest is '" : "", near ? near : "", near ? "'" : "");
}

static int up_to(struct work *w, const char *name, struct onx_err *e)
{
	const struct onx_graph *g = w->g;
	bool *up = ONX_NEWS(w->mem, bool, (size_t)g->n_value + 1);
	bool *node = ONX_NEWS(w->mem, bool, (size_t)g->n_node + 1);
	const uint32_t id = onx_graph_find_node(g, name);
	const uint32_t v = id == ONX_NONE ? onx_graph_find(g, name) : ONX_NONE;
	if (!up || !node)
		return onx_nomem(e, g->n_value, "nodes");
	if (id == ONX_NONE && v == ONX_NONE)
		return unmet(w, "up-to", name, OF_VALUES | OF_NODES, e);
	if (v != ONX_NONE)
		up[v] = true;
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const uint32_t x = g->order[i];
		node[x] = x == id;
		for (uint32_t k = 0; k < g->node[x].n_out; k++)
			node[x] |= g->node[x].out[k] != ONX_NONE && up[g->node[x].out[k]];
		for (uint32_t k = 0; node[x] && k < g->node[x].n_in; k++)
			if (g->node[x].in[k] != ONX_NONE)
				up[g->node[x].in[k]] = true;
	}
	for (uint32_t i = 0; i < g->n_value; i++)
		w->train[i] = w->train[i] && !up[i];
	return ONX_OK;
}

static int by_name(struct work *w, const char *what, const struct onx_strs *list, bool by_type, bool train,
		   struct onx_err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		bool any = false;
		for (uint32_t v = 0; v < w->g->n_value; v++) {
			struct meeting m = { w, list->v[i], by_type, false };
			if (!w->weight[v])
				continue;
			if (!by_type && onx_glob(list->v[i], w->g->value[v].name))
				m.met = true;
			else
				owners(w, v, 0, meet_node, &m);
			if (!m.met)
				continue;
			any = true;
			w->train[v] = train;
		}
		if (!any)
			return unmet(w, what, list->v[i], by_type ? OF_TYPES : OF_WEIGHTS | OF_NODES, e);
	}
	return ONX_OK;
}

static int set_mark(struct work *w, struct onx_freeze_count *count, struct onx_err *e)
{
	const char **name = ONX_NEWS(w->mem, const char *, (size_t)w->g->n_value + 1);
	struct onx_freeze_count c = { 0 };
	if (!name)
		return onx_nomem(e, (double)w->g->n_value * sizeof *name, "names");
	for (uint32_t v = 0; v < w->g->n_value; v++) {
		if (!w->weight[v])
			continue;
		c.weights++;
		c.numbers += w->g->value[v].init->n;
		if (!w->train[v])
			continue;
		c.training_numbers += w->g->value[v].init->n;
		name[c.training++] = w->g->value[v].name;
	}
	if (count)
		*count = c;
	return onx_mark_set_list(w->g->model, ONX_MARK "train", name, c.training, e);
}

int onx_freeze(struct onx_graph *g, const struct onx_freeze_opts *o, struct onx_freeze_count *count,
	       struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct work w = { .g = g, .mem = &mem };
	int rc = check(o, e);
	if (rc == ONX_OK)
		rc = start(&w, e);
	if (rc == ONX_OK && o->last > 0)
		rc = last(&w, o->last, e);
	else if (rc == ONX_OK)
		all(&w, o->none || (!o->all && (o->up_to || o->op.n || o->match.n)));
	if (rc == ONX_OK && o->up_to)
		rc = up_to(&w, o->up_to, e);
	if (rc == ONX_OK)
		rc = by_name(&w, "op", &o->op, true, false, e);
	if (rc == ONX_OK)
		rc = by_name(&w, "match", &o->match, false, false, e);
	if (rc == ONX_OK)
		rc = by_name(&w, "train", &o->train, false, true, e);
	if (rc == ONX_OK)
		rc = set_mark(&w, count, e);
	onx_arena_release(&mem);
	return rc;
}

int onx_trainable(const struct onx_graph *g, struct onx_arena *a, bool **trains, bool *said, struct onx_err *e)
{
	const char *const *name = NULL;
	size_t n = 0;
	bool *weight = NULL;
	int rc = onx_graph_weights(g, a, &weight, e);
	if (rc == ONX_OK)
		rc = onx_mark_list(g->model, ONX_MARK "train", a, &name, &n, e);
	if (rc < 0)
		return rc;
	*said = name != NULL;
	*trains = ONX_NEWS(a, bool, (size_t)g->n_value + 1);
	if (!*trains)
		return onx_nomem(e, g->n_value, "weights");
	for (size_t i = 0; i < n; i++) {
		const uint32_t v = onx_graph_find(g, name[i]);
		if (v == ONX_NONE || !weight[v])
			return onx_fail(e, ONX_FORMAT, "the mark " ONX_MARK "train names '%s', which is no weight "
					"of the model", name[i]);
		(*trains)[v] = true;
	}
	return ONX_OK;
}
