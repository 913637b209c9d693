/* plan/prefix.c -- the frozen prefix: what can run once per sample instead of once per epoch. */
#include <string.h>
#include "plan/plan.h"

/* moves[v]: depends on something that varies between epochs -- a weight, a statistic, a random node. */
static int moving(const struct onx_graph *g, const struct onx_facts_want *w, struct onx_arena *a, bool **out,
		  struct onx_err *e)
{
	bool *moves = ONX_NEWS(a, bool, g->n_value + 1);
	if (!moves)
		return onx_nomem(e, g->n_value, "the plan");
	if (w->variable)
		memcpy(moves, w->variable, g->n_value * sizeof *moves);
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = (w->train && w->train[g->order[i]]) || (n->op && (n->op->flags & ONX_OP_RANDOM) &&
			   !(n->op->flags & ONX_OP_TRAIN));
		for (uint32_t k = 0; k < onx_node_reads(n) && !any; k++)
			any = onx_node_read(n, k) != ONX_NONE && moves[onx_node_read(n, k)];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				moves[n->out[k]] = true;
	}
	*out = moves;
	return ONX_OK;
}

/* Is there a slice of v for each sample?  Dim 0 is the batch that the feeds were bound with. */
static bool sliced(const struct onx_facts *f, uint32_t v, int64_t batch)
{
	return f->fact[v].shape.rank > 0 && f->fact[v].shape.dim[0] == batch;
}

static void add_cut(const struct onx_facts *f, uint32_t v, int64_t batch, bool wide, struct onx_prefix *out,
		    const char *name)
{
	size_t n = 1;
	for (uint32_t i = 0; i < out->n; i++)
		if (out->cut[i] == v)
			return;
	if (!sliced(f, v, batch)) {
		out->why = name;
		return;
	}
	for (int d = 1; d < f->fact[v].shape.rank; d++)
		n *= (size_t)f->fact[v].shape.dim[d];
	out->bytes += n * onx_dtype_store(f->fact[v].type, wide);
	out->cut[out->n++] = v;
}

static void border(const struct onx_graph *g, const struct onx_facts *f, const bool *moves, int64_t batch,
		   bool wide, struct onx_prefix *out)
{
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		if (!f->run[id])
			continue;
		const struct onx_infer *s = f->infer[id];
		bool still = true;
		for (uint32_t k = 0; k < n->n_out; k++)
			still &= n->out[k] == ONX_NONE || !moves[n->out[k]];
		const double macs = n->op->macs ? n->op->macs(s, n->attr) : 0;
		out->all_macs += macs / (double)batch;
		if (still) {
			out->macs += macs / (double)batch;
			continue;
		}
		for (uint32_t k = 0; k < onx_node_reads(n); k++) {
			const uint32_t v = onx_node_read(n, k);
			if (v != ONX_NONE && !moves[v] && !f->fact[v].value)
				add_cut(f, v, batch, wide, out, g->value[v].name);
		}
	}
}

int onx_plan_prefix(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w,
		    struct onx_arena *a, struct onx_prefix *out, struct onx_err *e)
{
	struct onx_facts *f = NULL;
	bool *moves = NULL;
	*out = (struct onx_prefix){ .cut = ONX_NEWS(a, uint32_t, g->n_value + 1) };
	if (!out->cut)
		return onx_nomem(e, g->n_value * 4.0, "the plan");
	int rc = moving(g, w, a, &moves, e);
	if (rc == ONX_OK)
		rc = onx_facts_make(g, c, w, &f, e);
	if (rc < 0)
		return rc;
	const int64_t batch = w->n_feed && w->feed[0].shape.rank ? w->feed[0].shape.dim[0] : 1;
	border(g, f, moves, batch, w->wide, out);
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
