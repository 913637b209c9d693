/* tools/stage_freeze.c -- onnx-freeze. */
#include "rewrite/dequantize.h"
#include "rewrite/freeze.h"
#include "stage.h"

const struct onx_optset onx_freeze_sets[] = { { &onx_freeze_table, "freeze" }, { .table = NULL } };

static int dequantize(struct onx_work *w, struct onx_graph *g, struct onx_err *e)
{
	uint32_t n = 0;
	int rc = onx_dequantize(g, &n, NULL, e);

	if (rc == ONX_OK)
		onx_say(&w->note, n ? ONX_INFO : ONX_WARN, "%u quantised weight%s made float", n,
			n == 1 ? "" : "s");
	return rc < 0 || n == 0 ? rc : onx_graph_export(g, e);
}

/* Weights that could not be chosen, because they are whole numbers. */
static int tell_quantised(struct onx_work *w, const struct onx_graph *g, struct onx_err *e)
{
	uint32_t *node, n = 0;
	int rc = onx_graph_quantised(g, &w->mem, &node, &n, e);

	if (n)
		onx_say(&w->note, ONX_WARN, "%u more weight%s quantised, whole numbers that do not train; --dequantize "
			"makes them float", n, n == 1 ? " is" : "s are");
	return rc;
}

int onx_stage_freeze(struct onx_work *w, struct onx_err *e)
{
	const struct onx_freeze_opts *o = w->opt[0];
	struct onx_freeze_count n;
	struct onx_graph *g = NULL;
	int rc = onx_graph_build(w->model, ONX_BUILD_LAX, &g, e);

	if (rc == ONX_OK && o->dequantize)
		rc = dequantize(w, g, e);
	if (rc == ONX_OK)
		rc = onx_freeze(g, o, &n, e);
	if (rc == ONX_OK && !o->all)
		rc = tell_quantised(w, g, e);
	onx_graph_free(g);
	if (rc == ONX_OK)
		onx_say(&w->note, ONX_INFO, "%zu of %zu numbers in %zu of %zu weights train", n.training_numbers,
			n.numbers, n.training, n.weights);
	return rc;
}
