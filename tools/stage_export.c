/* tools/stage_export.c -- onnx-export. */
#include <string.h>
#include "model/mark.h"
#include "recipe/sections.h"
#include "rewrite/fold.h"
#include "rewrite/head.h"
#include "rewrite/narrow.h"
#include "stage.h"
#include "train/runner.h"
#include "trial.h"

const struct onx_optset onx_export_sets[] = { { &onx_export_table, "export" }, { .table = NULL } };

/* A first dim of that name becomes the number n. */
static void follow(struct onx_value *v, const char *name, int64_t n)
{
	if (!v->has_shape || v->rank == 0 || v->dim[0] >= 0)
		return;
	if (name && v->sym[0] && strcmp(name, v->sym[0]) != 0)
		return;
	v->dim[0] = n;
	v->sym[0] = NULL;
	v->changed = true;
}

/* Always n samples: the first dim of every input, and what is declared of the outputs. */
static int fix_batch(struct onx_graph *g, int64_t n, struct onx_err *e)
{
	for (uint32_t i = 0; i < g->n_input; i++) {
		struct onx_value *v = &g->value[g->input[i]];

		if (!v->has_shape || v->rank == 0 || v->dim[0] == n)
			continue;
		if (v->dim[0] >= 0)
			return onx_fail(e, ONX_SHAPE, "input '%s' has batch %lld; --batch sym first, in a pipe",
					v->name, (long long)v->dim[0]);
		for (uint32_t k = 0; k < g->n_output; k++)
			follow(&g->value[g->output[k]], v->sym[0], n);
		follow(v, v->sym[0], n);
	}
	return onx_redeclare(g, e);
}

static void say_narrow(struct onx_work *w, const char *what, const struct onx_narrow *n)
{
	if (n->weights == 0)
		onx_say(&w->note, ONX_WARN, "%s: no weight that it could make smaller", what);
	else
		onx_say(&w->note, ONX_INFO, "%s: %u weights, %.1f kB instead of %.1f kB; %u nodes compute with "
			"it", what, n->weights, n->after / 1e3, n->before / 1e3, n->nodes);
	if (n->clamped)
		onx_say(&w->note, ONX_WARN, "%zu numbers beyond the range of float16 became its largest", n->clamped);
}

static int fold(struct onx_work *w, struct onx_graph *g, struct onx_buf *log, struct onx_err *e)
{
	uint32_t consts = 0, norms = 0;
	int rc = onx_fold_consts(g, &consts, log, e);

	if (rc == ONX_OK)
		rc = onx_fold_norms(g, &norms, log, e);
	if (rc == ONX_OK)
		onx_say(&w->note, ONX_INFO, "folded: %u BatchNormalization nodes, %u nodes that never change", norms,
			consts);
	return rc;
}

/* Bodies and functions first: they are folded in the file, and the graph is built of that. */
static int fold_bodies(struct onx_work *w, struct onx_graph **g, struct onx_err *e)
{
	uint32_t n = 0;
	int rc = onx_fold_bodies(w->model, &n, e);

	if (rc < 0 || n == 0)
		return rc;
	onx_say(&w->note, ONX_INFO, "folded: %u nodes that never change in bodies and functions", n);
	onx_graph_free(*g);
	*g = NULL;
	return onx_graph_build(w->model, 0, g, e);
}

static int rewrite(struct onx_work *w, struct onx_graph *g, struct onx_buf *log, struct onx_err *e)
{
	const struct onx_export_opts *o = w->opt[0];
	struct onx_narrow narrow;
	uint32_t n = 0;
	int64_t batch = 0;
	int rc = ONX_OK;

	if (o->batch)
		rc = onx_export_batch(o->batch, &batch, e);
	if (rc == ONX_OK && batch)
		rc = fix_batch(g, batch, e);
	if (rc == ONX_OK && o->fold)
		rc = fold(w, g, log, e);
	if (rc == ONX_OK && o->drop_idle) {
		rc = onx_drop_idle(g, &n, log, e);
		if (rc == ONX_OK)
			onx_say(&w->note, ONX_INFO, "%u idle nodes left out", n);
	}
	if (rc == ONX_OK && o->fp16) {
		rc = onx_to_half(g, o->fp16_io, &narrow, log, e);
		if (rc == ONX_OK)
			say_narrow(w, "float16", &narrow);
	}
	if (rc == ONX_OK && o->int8) {
		rc = onx_to_int8(g, &narrow, log, e);
		if (rc == ONX_OK)
			say_narrow(w, "int8", &narrow);
	}
	return rc;
}

/* What goes out computes what came in, as far as was asked for: folding rounds once more, narrow numbers round
 * a lot. */
static int verify(struct onx_work *w, const struct onx_trial *before, int64_t batch, struct onx_err *e)
{
	const double tol = onx_export_tolerance(w->opt[0]);
	struct onx_graph *g = NULL;
	struct onx_trial after;
	double gap = 0;
	int rc = onx_graph_build(w->model, 0, &g, e);

	if (rc == ONX_OK)
		rc = onx_trial_run(g, batch, 0, &w->mem, &after, e);
	if (rc == ONX_OK)
		rc = onx_trial_same(before, &after, tol, &gap, e);
	onx_graph_free(g);
	if (rc == ONX_OK)
		onx_say(&w->note, ONX_INFO, "verified: outputs are off by at most %.2g of the largest (tolerance %g)",
			gap, tol);
	return rc < 0 ? onx_while(e, rc, "verifying the exported model (tolerance %g; --tol)", tol) : rc;
}

int onx_stage_export(struct onx_work *w, struct onx_err *e)
{
	const struct onx_export_opts *o = w->opt[0];
	const bool change = o->fold || o->drop_idle || o->batch || o->fp16 || o->int8;
	struct onx_graph *g = NULL;
	struct onx_trial before = { 0 };
	struct onx_buf log = { 0 };
	int64_t batch = 1;
	int rc = ONX_OK;

	if (o->batch)
		rc = onx_open_batch(w, NULL, e);
	if (rc == ONX_OK && o->batch)
		rc = onx_export_batch(o->batch, &batch, e);
	if (rc == ONX_OK)       /* what is passed on unchanged has to be a graph, too */
		rc = onx_graph_build(w->model, change ? 0 : ONX_BUILD_LAX, &g, e);
	if (rc == ONX_OK && o->batch && batch != 1 && onx_one_sample(g))
		rc = onx_fail(e, ONX_UNSUP, "the batch of 1 stays: what each sample decides for itself has no meaning "
			      "for a batch of them");
	if (rc == ONX_OK && change && o->verify)
		rc = onx_trial_run(g, batch ? batch : 2, 0, &w->mem, &before, e);
	if (rc == ONX_OK && o->fold)
		rc = fold_bodies(w, &g, e);
	if (rc == ONX_OK && change)
		rc = rewrite(w, g, &log, e);
	if (rc == ONX_OK && change)
		rc = onx_graph_export(g, e);
	onx_graph_free(g);
	if (rc == ONX_OK && change && o->verify)
		rc = verify(w, &before, batch ? batch : 2, e);
	onx_buf_release(&log);
	return rc < 0 ? rc : onx_model_drop_meta(w->model, ONX_MARK, e);
}
