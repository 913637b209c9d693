/* rewrite/batch.c -- a baked-in batch of 1 becomes symbolic. */
#include "rewrite/batch.h"
#include <string.h>
#include "graph/probe.h"
#include "rewrite/patch.h"

/* By value: depends on an input of the graph. */
static int depends(const struct onx_graph *g, struct onx_arena *a, bool **out, struct onx_err *e)
{
	bool *dep = ONX_NEWS(a, bool, (size_t)g->n_value + 1);
	if (!dep)
		return onx_nomem(e, g->n_value, "values");
	for (uint32_t i = 0; i < g->n_input; i++)
		dep[g->input[i]] = true;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		bool any = false;
		for (uint32_t k = 0; k < n->n_in; k++)
			any |= n->in[k] != ONX_NONE && dep[n->in[k]];
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				dep[n->out[k]] = true;
	}
	*out = dep;
	return ONX_OK;
}

/* The shape constant of a Reshape with the leading 1 opened; ONX_NONE: it has none. */
static int open_shape(const struct onx_graph *g, struct onx_patch *p, uint32_t v, uint32_t *out,
		      struct onx_err *e)
{
	const struct onx_weight *s = g->value[v].init;
	int64_t *dim = ONX_NEWS(p->mem, int64_t, ONX_RANK);
	bool wild = false;
	*out = ONX_NONE;
	if (!dim)
		return onx_nomem(e, 64, "a shape");
	if (s->type != ONX_INT64 || s->rank != 1 || s->n < 1 || s->n > ONX_RANK)
		return ONX_OK;
	const struct onx_view view = { .v = dim, .n = s->n, .rank = 1, .dim = s->dim, .type = ONX_INT64, .width = 8 };
	int rc = onx_weight_load(s, &view, e);
	if (rc < 0 || dim[0] != 1)
		return rc;
	for (size_t i = 1; i < s->n; i++)
		wild |= dim[i] == -1;
	dim[0] = wild ? 0 : -1;
	const char *name = onx_text(p->mem, "%s_batch", g->value[v].name);
	if (!name)
		return onx_nomem(e, 64, "names");
	*out = onx_patch_value(p, name, ONX_INT64, 1, s->dim, dim);
	return ONX_OK;
}

static int open_shapes(struct onx_graph *g, struct onx_arena *a, struct onx_buf *log, struct onx_err *e)
{
	struct onx_patch p = { .mem = a, .rule = "batch", .where = "shapes" };
	bool *dep = NULL;
	int rc = depends(g, a, &dep, e);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		uint32_t shape;
		if (*n->domain || strcmp(n->type, "Reshape") != 0 || n->n_in != 2 || n->in[0] == ONX_NONE ||
		    n->in[1] == ONX_NONE || !dep[n->in[0]] || !g->value[n->in[1]].init)
			continue;
		rc = open_shape(g, &p, n->in[1], &shape, e);
		if (rc == ONX_OK && shape != ONX_NONE)
			onx_patch_slot(&p, g->order[i], 1, shape);
	}
	if (rc < 0 || p.n_slot == 0)
		return rc;
	rc = onx_patch_sweep(&p, g, e);
	return rc == ONX_OK ? onx_patch_apply(g, &p, log, e) : rc;
}

static bool open_inputs(struct onx_graph *g)
{
	bool any = false;
	for (uint32_t i = 0; i < g->n_input; i++) {
		struct onx_value *v = &g->value[g->input[i]];
		if (!v->has_shape || v->rank < 1 || v->dim[0] != 1)
			continue;
		v->dim[0] = -1;
		v->sym[0] = "batch";
		v->changed = any = true;
	}
	return any;
}

/* Declared shapes where the batch is now; a dim that is another function of it becomes unknown. */
static void redeclare(struct onx_graph *g, const struct onx_probe *p)
{
	for (uint32_t id = 0; id < g->n_value; id++) {
		struct onx_value *v = &g->value[id];
		if (v->def == ONX_NONE || v->init || !v->has_shape || !p[id].known || p[id].rank != v->rank)
			continue;
		for (int i = 0; i < v->rank; i++) {
			const struct onx_probe_dim *d = &p[id].dim[i];
			if (d->times == 0 || v->dim[i] < 0)
				continue;
			v->dim[i] = -1;
			v->sym[i] = d->times == 1 && d->plus == 0 ? "batch" : NULL;
			v->changed = true;
		}
	}
}

/* Each output has to have the batch as its first dim: else a loss cannot tell samples apart. */
static int check_outputs(const struct onx_graph *g, const struct onx_probe *p, struct onx_err *e)
{
	char text[256], name[160];
	for (uint32_t i = 0; i < g->n_output; i++) {
		const uint32_t v = g->output[i];
		const struct onx_probe_dim *d = &p[v].dim[0];
		if (!p[v].known || g->value[v].def == ONX_NONE)
			continue;
		if (p[v].rank < 1 || d->times != 1 || d->plus != 0)
			return onx_fail(e, ONX_SHAPE, "the batch is lost on the way to the output '%s', which %s "
					"makes as %s", g->value[v].name,
					onx_node_text(g, g->value[v].def, name, sizeof name),
					onx_probe_text(&p[v], text, sizeof text));
	}
	return ONX_OK;
}

int onx_batch_free(struct onx_graph *g, onx_batch_same *same, void *ctx, bool *changed, struct onx_buf *log,
		   struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_probe *p = NULL;
	int rc = ONX_OK;

	*changed = open_inputs(g);
	if (!*changed)
		return ONX_OK;
	rc = open_shapes(g, &mem, log, e);
	if (rc == ONX_OK)
		rc = onx_probe(g, 0, true, false, &mem, &p, e);
	if (rc == ONX_OK)
		rc = check_outputs(g, p, e);
	if (rc < 0) {
		rc = onx_while(e, rc, "making the batch of 1 symbolic");
	} else {
		redeclare(g, p);
		if (same)
			rc = same(ctx, g, e);
		if (rc < 0)
			rc = onx_while(e, rc, "comparing samples together and alone");
	}
	onx_arena_release(&mem);
	return rc;
}
