/* rewrite/foldconst.c -- what never changes is computed once, here. */
#include "rewrite/fold.h"
#include <string.h>
#include "graph/facts.h"
#include "rewrite/patch.h"

enum { B1 = 7, B2 = 13 };

struct work {
	struct onx_graph *g;
	struct onx_consts consts;
	struct onx_facts *f[2];         /* at two batch sizes: what is the same in both never changes */
	struct onx_arena mem;
	bool *constant;                 /* by value: made by nodes, the same for every input          */
	bool *whole;                    /* by node: of a call that stays as it is (graph.h)                */
};

static double bytes(const struct onx_view *v)
{
	return (double)v->n * onx_dtype_bits(v->type) / 8;
}

/* Only the batch may be open: then a shape that two batches agree about is one that all have. */
static bool only_batch_open(const struct onx_graph *g)
{
	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];
		if (!v->has_shape)
			return false;
		for (int d = 1; d < v->rank; d++)
			if (v->dim[d] < 0)
				return false;
	}
	return true;
}

static int facts(struct work *w, int64_t batch, struct onx_facts **f, struct onx_err *e)
{
	struct onx_feed *feed;
	struct onx_facts_want want = { .partial = true };       /* what depends on numbers is no constant */
	int rc = onx_bind_inputs(w->g, batch, 0, false, &w->mem, &feed, &want.n_feed, e);
	want.feed = feed;
	return rc == ONX_OK ? onx_facts_make(w->g, &w->consts, &want, f, e) : rc;
}

static bool same(const struct onx_view *a, const struct onx_view *b)
{
	if (!a || !b || a->type != b->type || a->rank != b->rank || a->n != b->n || a->width != b->width)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (a->dim[i] != b->dim[i])
			return false;
	return a->type != ONX_STRING && onx_dtype_class(a->type) != ONX_CLASS_NONE &&
	       memcmp(a->v, b->v, a->n * a->width) == 0;
}

/* From constants alone, whatever the inputs' sizes are? */
static bool from_constants(const struct work *w, const struct onx_node *n)
{
	for (uint32_t k = 0; k < n->n_in; k++)
		if (n->in[k] != ONX_NONE && !w->g->value[n->in[k]].init && !w->constant[n->in[k]])
			return false;
	return n->n_captured == 0;
}

static void mark(struct work *w, bool shapes)
{
	const struct onx_graph *g = w->g;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		double made_of = ONX_FOLD_SMALL;
		if (w->whole[g->order[i]] || (!shapes && !from_constants(w, n)))
			continue;
		for (uint32_t k = 0; k < n->n_in; k++) {
			const struct onx_view *v = n->in[k] == ONX_NONE ? NULL : w->f[0]->fact[n->in[k]].value;
			if (v && (g->value[n->in[k]].init || w->constant[n->in[k]]))
				made_of += bytes(v);
		}
		for (uint32_t k = 0; k < n->n_out; k++) {
			const uint32_t v = n->out[k];
			if (v == ONX_NONE || g->value[v].init)
				continue;
			const struct onx_view *a = w->f[0]->fact[v].value;
			w->constant[v] = same(a, w->f[1]->fact[v].value) && bytes(a) <= made_of;
		}
	}
}

/* A node that has to run gets what never changes as a weight. */
static int patch(struct work *w, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_patch p = { .mem = &w->mem, .rule = "fold-constants" };
	const struct onx_graph *g = w->g;
	uint32_t *made = ONX_NEWS(&w->mem, uint32_t, (size_t)g->n_value + 1);
	if (!made)
		return onx_nomem(e, 4.0 * g->n_value, "constants");
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *x = &g->node[g->order[i]];
		bool stays = x->n_out == 0;
		for (uint32_t k = 0; k < x->n_out && !w->whole[g->order[i]]; k++)
			stays |= x->out[k] != ONX_NONE && (!w->constant[x->out[k]] || g->value[x->out[k]].output);
		for (uint32_t k = 0; stays && k < x->n_in; k++) {
			const uint32_t v = x->in[k];
			if (v == ONX_NONE || g->value[v].init || !w->constant[v])
				continue;
			const struct onx_view *c = w->f[0]->fact[v].value;
			if (!made[v])
				made[v] = 1 + onx_patch_value(&p, g->value[v].name, c->type, c->rank, c->dim, c->v);
			onx_patch_slot(&p, g->order[i], k, made[v] - 1);
		}
	}
	int rc = p.n_slot ? onx_patch_sweep(&p, g, e) : ONX_OK;
	*n = p.n_drop;
	return rc == ONX_OK && p.n_slot ? onx_patch_apply(w->g, &p, log, e) : rc;
}

int onx_fold_consts(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct work w = { .g = g };
	*n = 0;
	onx_consts_init(&w.consts, g);
	w.constant = ONX_NEWS(&w.mem, bool, (size_t)g->n_value + 1);
	int rc = w.constant ? facts(&w, B1, &w.f[0], e) : onx_nomem(e, g->n_value, "constants");
	if (rc == ONX_OK)
		rc = facts(&w, B2, &w.f[1], e);
	if (rc == ONX_OK)
		rc = onx_graph_whole(g, &w.mem, &w.whole, e);
	if (rc == ONX_OK) {
		mark(&w, only_batch_open(g));
		rc = patch(&w, n, log, e);
	}
	onx_facts_free(w.f[0]);
	onx_facts_free(w.f[1]);
	onx_consts_release(&w.consts);
	onx_arena_release(&w.mem);
	return rc;
}
