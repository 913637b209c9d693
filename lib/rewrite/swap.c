/* rewrite/swap.c -- one activation for another. */
#include "rewrite/swap.h"
#include <string.h>
#include "rewrite/patch.h"

static const char *const activations[] = { "Relu", "LeakyRelu", "Elu", "Celu", "Selu", "Sigmoid", "Tanh",
	"Softplus", "Softsign", "HardSigmoid", "HardSwish", "Mish", "Gelu", "ThresholdedRelu" };
enum { N_ACTIVATION = sizeof activations / sizeof *activations };

static int known(const char *name, struct onx_err *e)
{
	for (size_t i = 0; i < N_ACTIVATION; i++)
		if (strcmp(activations[i], name) == 0)
			return ONX_OK;
	const char *near = onx_nearest(activations, N_ACTIVATION, name);
	return onx_fail(e, ONX_USAGE, "swap: '%s' is no activation%s%s%s", name, near ? "; nearest is '" : "",
			near ? near : "", near ? "'" : "");
}

static int swap_one(struct onx_graph *g, const char *from, const char *to, struct onx_arena *mem,
		    struct onx_buf *log, struct onx_err *e)
{
	struct onx_patch p = { .mem = mem, .rule = "swap", .where = onx_text(mem, "%s=%s", from, to) };
	const struct onx_op *op;
	int rc = known(from, e);
	if (rc == ONX_OK)
		rc = known(to, e);
	if (rc == ONX_OK)
		rc = onx_op_find("", to, (int)onx_model_opset(g->model, ""), &op, e);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (*n->domain || strcmp(n->type, from) != 0)
			continue;
		onx_patch_drop(&p, g->order[i]);
		onx_patch_add(&p, &(struct onx_patch_node){ "", to, n->name, n->in, n->out, 1, 1, NULL, 0 });
	}
	if (rc == ONX_OK && p.n_drop == 0)
		rc = onx_fail(e, ONX_USAGE, "swap: the model has no %s", from);
	return rc == ONX_OK ? onx_patch_apply(g, &p, log, e) : rc;
}

int onx_swap(struct onx_graph *g, const struct onx_strs *swap, struct onx_buf *log, struct onx_err *e)
{
	int rc = ONX_OK;
	for (size_t i = 0; rc == ONX_OK && i < swap->n; i++) {
		struct onx_arena mem = { 0 };
		char *from = onx_dup(&mem, swap->v[i]), *eq = from ? strchr(from, '=') : NULL;
		if (!from)
			rc = onx_nomem(e, 64, "names");
		else if (!eq)
			rc = onx_fail(e, ONX_USAGE, "swap: '%s' must be OLD=NEW", swap->v[i]);
		if (rc == ONX_OK) {
			*eq = 0;
			rc = swap_one(g, from, eq + 1, &mem, log, e);
		}
		onx_arena_release(&mem);
	}
	return rc;
}
