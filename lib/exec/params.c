/* exec/params.c -- the weights that train, their gradients, and running statistics. */
#include <string.h>
#include "exec/exec.h"

/* Weight i where it lies in the block. */
static struct onx_view place_of(const struct onx_params *p, uint32_t i)
{
	const struct onx_weight *w = p->graph->value[p->value[i]].init;
	const size_t width = p->wide ? 8 : 4;
	return (struct onx_view){ .v = (char *)p->weight + p->at[p->value[i]] * width, .n = w->n, .rank = w->rank,
				  .dim = w->dim, .type = w->type, .width = (uint8_t)width };
}

static int load(struct onx_params *p, struct onx_err *e)
{
	for (uint32_t i = 0; i < p->n_value; i++) {
		const struct onx_weight *w = p->graph->value[p->value[i]].init;
		const struct onx_view v = place_of(p, i);
		int rc = onx_dtype_real(w->type) ? onx_weight_load(w, &v, e)
			 : onx_fail(e, ONX_UNSUP, "'%s' is %s and cannot be trained", w->name,
				    onx_dtype_name(w->type));
		if (rc < 0)
			return onx_while(e, rc, "loading the weight '%s'", w->name);
	}
	return ONX_OK;
}

int onx_params_new(const struct onx_graph *g, const bool *variable, bool wide, struct onx_params **out,
		   struct onx_err *e)
{
	struct onx_params *p = onx_heap(1, sizeof *p);
	if (!p)
		return onx_nomem(e, sizeof *p, "the weights");
	*p = (struct onx_params){ .graph = g, .wide = wide };
	p->at = onx_heap(g->n_value + 1, sizeof *p->at);
	p->value = onx_heap(g->n_value + 1, sizeof *p->value);
	int rc = p->at && p->value ? ONX_OK : onx_nomem(e, g->n_value * 12.0, "the weights");
	if (rc == ONX_OK) {
		p->n = onx_param_layout(g, variable, p->at);
		p->weight = onx_heap(p->n + 16, wide ? 8 : 4);
		p->grad = onx_heap(p->n + 16, wide ? 8 : 4);
		if (!p->weight || !p->grad)
			rc = onx_nomem(e, (double)p->n * (wide ? 16 : 8), "the weights");
	}
	for (uint32_t v = 0; rc == ONX_OK && v < g->n_value; v++)
		if (p->at[v] != SIZE_MAX)
			p->value[p->n_value++] = v;
	if (rc == ONX_OK)
		rc = load(p, e);
	if (rc < 0)
		onx_params_free(p);
	else
		*out = p;
	return rc;
}

void onx_params_free(struct onx_params *p)
{
	if (!p)
		return;
	onx_heap_free(p->at);
	onx_heap_free(p->value);
	onx_heap_free(p->weight);
	onx_heap_free(p->grad);
	onx_heap_free(p);
}

void onx_params_keep_alone(const struct onx_params *p)
{
	for (uint32_t i = 0; i < p->n_value; i++)
		onx_weight_rest(p->graph->value[p->value[i]].init);
}

int onx_params_store(const struct onx_params *p, struct onx_err *e)
{
	for (uint32_t i = 0; i < p->n_value; i++) {
		const struct onx_weight *w = p->graph->value[p->value[i]].init;
		const struct onx_view v = place_of(p, i);
		int rc = onx_weight_store(p->graph->model, w, &v, e);
		if (rc < 0)
			return onx_while(e, rc, "writing the weight '%s' back", w->name);
	}
	return ONX_OK;
}
