/* tools/stage_freeze.c -- onnx-freeze. */
#include "rewrite/freeze.h"
#include "stage.h"

const struct onx_optset onx_freeze_sets[] = { { &onx_freeze_table, "freeze" }, { .table = NULL } };

int onx_stage_freeze(struct onx_work *w, struct onx_err *e)
{
	struct onx_freeze_count n;
	struct onx_graph *g = NULL;
	int rc = onx_graph_build(w->model, ONX_BUILD_LAX, &g, e);

	if (rc == ONX_OK)
		rc = onx_freeze(g, w->opt[0], &n, e);
	onx_graph_free(g);
	if (rc == ONX_OK)
		onx_say(&w->note, ONX_INFO, "%zu of %zu numbers in %zu of %zu weights train", n.training_numbers,
			n.numbers, n.training, n.weights);
	return rc;
}
