/* rewrite/idle.c -- nodes that pass on what they get go out. */
#include "rewrite/fold.h"
#include <string.h>
#include "rewrite/patch.h"

static bool is(const struct onx_node *n, const char *type)
{
	return !*n->domain && strcmp(n->type, type) == 0;
}

static uint32_t readers(const struct onx_uses *u, uint32_t v)
{
	return u->first[v + 1] - u->first[v];
}

static bool idle(const struct onx_graph *g, const struct onx_uses *u, const struct onx_node *n)
{
	if ((!is(n, "Identity") && !is(n, "Dropout")) || n->n_in < 1 || n->in[0] == ONX_NONE ||
	    n->out[0] == ONX_NONE || g->value[n->out[0]].output)
		return false;
	if (n->n_in > 2 && n->in[2] != ONX_NONE)
		return false;                           /* a Dropout told to be in training mode */
	return n->n_out < 2 || n->out[1] == ONX_NONE ||
	       (readers(u, n->out[1]) == 0 && !g->value[n->out[1]].output);
}

/* A call that stays as it is reads the value by its name. */
static bool read_whole(const struct onx_uses *u, uint32_t v, const bool *whole)
{
	for (uint32_t k = u->first[v]; k < u->first[v + 1]; k++)
		if (whole[u->use[k]])
			return true;
	return false;
}

int onx_drop_idle(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_uses u;
	char name[160];
	bool *whole = NULL;
	int rc = onx_graph_uses(g, &mem, &u, e);
	if (rc == ONX_OK)
		rc = onx_graph_whole(g, &mem, &whole, e);
	*n = 0;
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_node; i++) {
		const struct onx_node *x = &g->node[i];
		if (x->dropped || whole[i] || !idle(g, &u, x) || read_whole(&u, x->out[0], whole))
			continue;
		struct onx_patch p = { .mem = &mem, .rule = "idle", .where = onx_node_text(g, i, name, sizeof name) };
		onx_patch_drop(&p, i);
		onx_patch_move(&p, x->out[0], x->in[0]);
		rc = onx_patch_apply(g, &p, log, e);
		++*n;
	}
	onx_arena_release(&mem);
	return rc;
}
