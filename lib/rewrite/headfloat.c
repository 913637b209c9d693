/* rewrite/headfloat.c -- a classifier of a quantised file in float numbers. */
#include <string.h>
#include "rewrite/dequantize.h"
#include "rewrite/head.h"
#include "rewrite/patch.h"

/* Readers of each pair behind the classifier take what went in; where it made an output of the graph, that one keeps
 * its name. */
static int without_pairs(struct onx_graph *g, const struct onx_head *h, struct onx_arena *mem, struct onx_buf *log,
			 struct onx_err *e)
{
	struct onx_patch p = { .mem = mem, .rule = "head", .where = "without QuantizeLinear and DequantizeLinear" };

	for (int i = 0; i < h->n_behind; i++) {
		const struct onx_node *n = &g->node[h->behind[i]];
		if (*n->domain || strcmp(n->type, "DequantizeLinear") != 0)
			continue;
		const uint32_t in = g->node[h->behind[i + 1]].in[0];
		if (g->value[n->out[0]].output) {
			onx_patch_drop(&p, h->behind[i]);
			onx_patch_add(&p, &(struct onx_patch_node){ .domain = "", .type = "Identity", .name = n->name,
				.in = &in, .out = n->out, .n_in = 1, .n_out = 1 });
		} else {
			onx_patch_move(&p, n->out[0], in);
		}
	}
	int rc = onx_patch_sweep(&p, g, e);
	return rc < 0 ? rc : onx_patch_apply(g, &p, log, e);
}

int onx_head_float(struct onx_graph *g, const struct onx_head *h, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	int rc = h->n_made ? onx_dequantize_these(g, h->made, (uint32_t)h->n_made, log, e) : ONX_OK;

	if (rc == ONX_OK && h->pairs)
		rc = without_pairs(g, h, &mem, log, e);
	onx_arena_release(&mem);
	return rc;
}
