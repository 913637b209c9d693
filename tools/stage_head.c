/* tools/stage_head.c -- onnx-head. */
#include <string.h>
#include "rewrite/head.h"
#include "stage.h"

enum { NEW_OPSET = 17 };                /* of a network made from nothing: LayerNormalization and older */

const struct onx_optset onx_head_sets[] = { { &onx_head_table, "head" }, { .table = NULL } };

void onx_work_log(struct onx_work *w, const struct onx_buf *log)
{
	for (const char *line = log->data; line && *line; ) {
		size_t n = strcspn(line, "\n");

		onx_say(&w->note, ONX_INFO, "%.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

int onx_stage_head(struct onx_work *w, struct onx_err *e)
{
	const struct onx_head_opts *o = w->opt[0];
	struct onx_graph *g = NULL;
	struct onx_buf log = { 0 };
	int rc = ONX_OK;

	if (!w->model && o->input)
		rc = onx_model_new("network", NEW_OPSET, &w->model, e);
	else if (!w->model)
		rc = onx_work_model(w, e);
	if (rc == ONX_OK)
		rc = onx_graph_build(w->model, 0, &g, e);
	if (rc == ONX_OK)
		rc = onx_head(g, o, &log, e);
	if (rc == ONX_OK)
		rc = onx_graph_export(g, e);
	onx_graph_free(g);
	if (rc == ONX_OK)
		onx_work_log(w, &log);
	onx_buf_release(&log);
	return rc;
}
