/* rewrite/dequantize.c -- quantised weights behind DequantizeLinear become float weights. */
#include "rewrite/dequantize.h"
#include <string.h>
#include "graph/facts.h"
#include "rewrite/patch.h"

/* The name before quantisation, where a program that quantises only added to it. */
static const char *name_of(struct onx_arena *mem, const char *name)
{
	static const char *const added[] = { "_DequantizeLinear_Output", "_DequantizeLinear", "_dequantized" };
	const size_t n = strlen(name);

	for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
		const size_t k = strlen(added[i]);
		if (n > k && strcmp(name + n - k, added[i]) == 0)
			return onx_text(mem, "%.*s", (int)(n - k), name);
	}
	return name;
}

static int patch(struct onx_graph *g, const struct onx_facts *f, struct onx_arena *mem, struct onx_buf *log,
		 struct onx_err *e)
{
	struct onx_patch p = { .mem = mem, .rule = "dequantize", .where = "weights" };

	for (uint32_t i = 0; i < f->n_target; i++) {
		const uint32_t old = f->target[i];
		const struct onx_view *v = f->fact[old].value;

		if (!v)
			return onx_fail(e, ONX_UNSUP, "the numbers of '%s' are not known", g->value[old].name);
		const char *name = name_of(mem, g->value[old].name);
		if (!name)
			return onx_nomem(e, 64, "names");
		onx_patch_move(&p, old, onx_patch_value(&p, name, v->type, v->rank, v->dim, v->v));
	}
	int rc = onx_patch_sweep(&p, g, e);
	return rc < 0 ? rc : onx_patch_apply(g, &p, log, e);
}

int onx_dequantize_these(struct onx_graph *g, const uint32_t *value, uint32_t n, struct onx_buf *log,
			 struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_consts consts;
	struct onx_facts *f = NULL;
	const struct onx_facts_want want = { .target = value, .n_target = n };

	onx_consts_init(&consts, g);
	int rc = onx_facts_make(g, &consts, &want, &f, e);
	if (rc == ONX_OK)
		rc = patch(g, f, &mem, log, e);
	onx_facts_free(f);
	onx_consts_release(&consts);
	onx_arena_release(&mem);
	return rc;
}

int onx_dequantize(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	uint32_t *node;
	int rc = onx_graph_quantised(g, &mem, &node, n, e);

	for (uint32_t i = 0; rc == ONX_OK && i < *n; i++)
		node[i] = g->node[node[i]].out[0];
	if (rc == ONX_OK && *n)
		rc = onx_dequantize_these(g, node, *n, log, e);
	onx_arena_release(&mem);
	return rc;
}
