/* plan/prefix.c -- the frozen prefix: what can run once per sample instead of once per epoch. */
#include <string.h>
#include "plan/lower.h"
#include "plan/plan.h"
#include "tensor/seq.h"

struct work {
	const struct onx_graph *g;
	const struct onx_facts_want *w;
	const struct onx_facts *f;
	int64_t batch;
	bool alone;
	bool *moves;                    /* by value: another number in another epoch, or in another batch */
};

/* Numbers, with a slice for each sample?  Dim 0 is the batch that the feeds were bound with. */
static bool sliced(const struct work *x, uint32_t v)
{
	const struct onx_fact *t = &x->f->fact[v];
	const enum onx_class c = onx_dtype_class(t->type);
	return c != ONX_CLASS_NONE && c != ONX_CLASS_TEXT &&
	       (x->alone || (t->shape.rank > 0 && t->shape.dim[0] == x->batch));
}

/* No dimension has to do with the samples: a mean over all of them, say. */
static bool mixed(const struct work *x, uint32_t v)
{
	const struct onx_fact *t = &x->f->fact[v];
	bool any = x->alone || onx_holds_views(t->type);
	for (int d = 0; d < t->shape.rank; d++)
		any |= t->shape.dim[d] % x->batch == 0;
	return !any;
}

/* Does a node work along the samples' dimension of what it reads?  By `axis` or `axes`, by the default that these have
 * (Concat asks for all its inputs, others for the first), or with a row or column for each sample of the batch. */
static bool along_samples(const struct onx_node *n, int rank)
{
	static const char *const first[] = { "Gather", "GatherElements", "Split", "MeanVarianceNormalization" };
	const struct onx_file_attr *axis = onx_lower_find(n, "axis"), *axes = onx_lower_find(n, "axes");
	bool any = axis && (axis->i == 0 || axis->i == -rank);
	for (size_t i = 0; axes && i < axes->n && axes->type == ONX_ATTR_INTS; i++)
		any |= axes->ints[i] == 0 || axes->ints[i] == -rank;
	for (size_t i = 0; !axis && !axes && i < sizeof first / sizeof *first; i++)
		any |= onx_lower_is(n, first[i]);
	return any;
}

/* The samples are a dimension behind the first, too. */
static bool again(const struct work *x, const struct onx_shape *s)
{
	bool any = false;
	for (int d = 1; d < s->rank; d++)
		any |= s->dim[d] == x->batch;
	return any;
}

static bool joins(const struct work *x, uint32_t id)
{
	const struct onx_node *n = &x->g->node[id];
	const uint32_t reads = onx_lower_is(n, "Concat") ? n->n_in : n->n_in > 0;
	bool any = false;
	if (x->alone || !n->op || n->op->flags & (ONX_OP_EACH | ONX_OP_VIEW | ONX_OP_BODY))
		return false;
	for (uint32_t k = 0; k < reads && !any; k++)
		any = n->in[k] != ONX_NONE && !x->f->fact[n->in[k]].value && sliced(x, n->in[k]) &&
		      along_samples(n, x->f->fact[n->in[k]].shape.rank);
	for (uint32_t k = 0; k < n->n_out && !any; k++)
		any = n->out[k] != ONX_NONE && sliced(x, n->out[k]) && again(x, &x->f->fact[n->out[k]].shape);
	return any;
}

/* Depends on a weight that trains, a statistic or a random node, on the other samples or on what the numbers of a
 * batch decide. */
static bool varies(const struct work *x, uint32_t id)
{
	const struct onx_node *n = &x->g->node[id];
	bool any = (x->w->train && x->w->train[id]) || x->f->guessed[id] ||
		   (n->op && (n->op->flags & ONX_OP_RANDOM) && !(n->op->flags & ONX_OP_TRAIN));
	for (uint32_t k = 0; k < onx_node_reads(n) && !any; k++)
		any = onx_node_read(n, k) != ONX_NONE && x->moves[onx_node_read(n, k)];
	for (uint32_t k = 0; k < n->n_out && !any; k++)
		any = n->out[k] != ONX_NONE && x->f->run[id] && (x->moves[n->out[k]] || mixed(x, n->out[k]));
	return any || (x->f->run[id] && joins(x, id));
}

static void moving(const struct work *x)
{
	const struct onx_graph *g = x->g;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		const uint32_t id = g->order[i];
		const bool any = x->f->infer[id] ? varies(x, id) : x->w->partial;
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				x->moves[n->out[k]] = true;
	}
}

/* What a node that moves reads and has no slices of moves with it, so that the cut is in front of it.  true: some
 * did. */
static bool pull(const struct work *x)
{
	const struct onx_graph *g = x->g;
	bool any = false;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		bool moves = false;
		const bool runs = x->f->run[id] || (!x->f->infer[id] && x->w->partial);
		for (uint32_t k = 0; runs && k < n->n_out; k++)
			moves |= n->out[k] != ONX_NONE && x->moves[n->out[k]];
		for (uint32_t k = 0; moves && k < onx_node_reads(n); k++) {
			const uint32_t v = onx_node_read(n, k);
			if (v == ONX_NONE || x->moves[v] || x->f->fact[v].value || sliced(x, v) ||
			    x->f->fact[v].type == ONX_UNDEFINED ||
			    g->value[v].def == ONX_NONE || !x->f->infer[g->value[v].def])
				continue;
			x->moves[v] = any = true;
		}
	}
	return any;
}

static void add_cut(const struct work *x, uint32_t v, struct onx_prefix *out)
{
	const struct onx_fact *t = &x->f->fact[v];
	size_t n = 1;
	for (uint32_t i = 0; i < out->n; i++)
		if (out->cut[i] == v)
			return;
	if (!sliced(x, v)) {
		out->why = x->g->value[v].name;
		return;
	}
	for (int d = x->alone ? 0 : 1; d < t->shape.rank; d++)
		n *= (size_t)t->shape.dim[d];
	out->bytes += n * onx_dtype_store(t->type, x->w->wide);
	out->cut[out->n++] = v;
}

static void border(const struct work *x, struct onx_prefix *out)
{
	const struct onx_graph *g = x->g;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		const struct onx_infer *s = x->f->infer[id];
		if (!x->f->run[id] && (s || !x->w->partial))
			continue;
		bool still = true;
		for (uint32_t k = 0; k < n->n_out; k++)
			still &= n->out[k] == ONX_NONE || !x->moves[n->out[k]];
		const double macs = s && n->op->macs ? n->op->macs(s, n->attr) : 0;
		out->all_macs += macs / (double)x->batch;
		if (still) {
			out->macs += macs / (double)x->batch;
			continue;
		}
		for (uint32_t k = 0; k < onx_node_reads(n); k++) {
			const uint32_t v = onx_node_read(n, k);
			if (v != ONX_NONE && !x->moves[v] && !x->f->fact[v].value &&
			    x->f->fact[v].type != ONX_UNDEFINED)
				add_cut(x, v, out);
		}
	}
}

int onx_plan_prefix(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, bool alone,
		    struct onx_arena *a, struct onx_prefix *out, struct onx_err *e)
{
	struct onx_facts *f = NULL;
	*out = (struct onx_prefix){ .cut = ONX_NEWS(a, uint32_t, g->n_value + 1) };
	if (!out->cut)
		return onx_nomem(e, g->n_value * 4.0, "the plan");
	int rc = onx_facts_make(g, c, w, &f, e);
	if (rc < 0)
		return rc;
	struct work x = { .g = g, .w = w, .f = f, .alone = alone,
			  .batch = w->n_feed && w->feed[0].shape.rank ? w->feed[0].shape.dim[0] : 1 };
	if (!(x.moves = ONX_NEWS(a, bool, g->n_value + 1))) {
		onx_facts_free(f);
		return onx_nomem(e, g->n_value, "the plan");
	}
	if (w->variable)
		memcpy(x.moves, w->variable, g->n_value * sizeof *x.moves);
	do
		moving(&x);
	while (pull(&x));
	border(&x, out);
	if (out->why) {
		out->why = onx_text(a, "'%s' has no dimension for the samples", out->why);
		out->n = 0;
	} else if (out->n == 0 || out->macs <= 0) {
		out->why = "nothing that costs time is frozen in front of the first weight that trains";
		out->n = 0;
	}
	onx_facts_free(f);
	return ONX_OK;
}
