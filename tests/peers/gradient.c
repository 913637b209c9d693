/* peers/gradient.c -- the gradients of a model's only output, a single number, by initializer.
 * usage: gradient auto|frozen MODEL NAME...    a line for each name: it, then its gradient's numbers
 *
 * The first word is for BatchNormalization, as onnx-train's --bn.  Gradients go straight through steps
 * (onnx-train's --straight-through).  The whole graph runs in double, whatever real type the file has.
 * For gradients.py. */
#include <stdio.h>
#include <string.h>
#include "exec/exec.h"
#include "model/model.h"
#include "rewrite/straight.h"

struct job {
	struct onx_model *model;
	struct onx_graph *graph;
	struct onx_consts consts;
	struct onx_plan *plan;
	struct onx_params *params;
	struct onx_block_mem block;
	struct onx_exec *exec;
	bool *weight;                   /* these two in the graph's arena */
	struct onx_modes modes;
};

static int open_model(struct job *j, const char *path, struct onx_err *e)
{
	uint32_t n;
	int rc = onx_model_read(path, &j->model, e);

	if (rc == ONX_OK)
		rc = onx_graph_build(j->model, 0, &j->graph, e);
	if (rc == ONX_OK)
		rc = onx_straight_through(j->graph, &n, e);
	if (rc < 0)
		return rc;
	onx_consts_init(&j->consts, j->graph);
	j->weight = ONX_NEWS(&j->graph->arena, bool, j->graph->n_value);
	if (!j->weight)
		return onx_nomem(e, j->graph->n_value, "marks of weights");
	return j->graph->n_output == 1 && j->graph->n_input == 0 ? ONX_OK
		: onx_fail(e, ONX_USAGE, "'%s' has %u inputs and %u outputs; wanted 0 and 1", path,
			   j->graph->n_input, j->graph->n_output);
}

static int mark(struct job *j, enum onx_bn_mode bn, char **name, int n, struct onx_err *e)
{
	for (int i = 0; i < n; i++) {
		const uint32_t v = onx_graph_find(j->graph, name[i]);
		if (v == ONX_NONE || !j->graph->value[v].init)
			return onx_fail(e, ONX_USAGE, "no initializer '%s'", name[i]);
		j->weight[v] = true;
	}
	return onx_plan_modes(j->graph, j->weight, bn, &j->graph->arena, &j->modes, e);
}

static int run(struct job *j, struct onx_err *e)
{
	struct onx_plan_want want = {
		.facts = { .target = j->graph->output, .n_target = 1, .variable = j->modes.variable,
			   .train = j->modes.train, .wide = true },
		.loss = j->graph->output[0], .weight = j->weight, .threads = 1,
	};
	int rc = onx_plan_make(j->graph, &j->consts, &want, &j->plan, e);

	if (rc == ONX_OK)
		rc = onx_params_new(j->graph, j->modes.variable, true, &j->params, e);
	if (rc == ONX_OK)
		rc = onx_exec_new(j->plan, j->params, &j->block, NULL, &j->exec, e);
	if (rc < 0)
		return rc;
	onx_exec_forward(j->exec, 1, 0);
	onx_exec_backward(j->exec, false, 1);
	return ONX_OK;
}

static void print(const struct job *j, const char *name)
{
	const uint32_t v = onx_graph_find(j->graph, name);
	const double *grad = (const double *)j->params->grad + j->params->at[v];

	fputs(name, stdout);
	for (size_t i = 0; i < j->graph->value[v].init->n; i++)
		printf(" %.17g", grad[i]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	struct job j = { .model = NULL };
	struct onx_err e = { .code = ONX_OK };
	int rc = argc < 4 ? onx_fail(&e, ONX_USAGE, "usage: gradient auto|frozen MODEL NAME...") : ONX_OK;

	if (rc == ONX_OK)
		rc = open_model(&j, argv[2], &e);
	if (rc == ONX_OK)
		rc = mark(&j, strcmp(argv[1], "auto") == 0 ? ONX_BN_AUTO : ONX_BN_FROZEN, argv + 3,
			  argc - 3, &e);
	if (rc == ONX_OK)
		rc = run(&j, &e);
	for (int i = 3; rc == ONX_OK && i < argc; i++)
		print(&j, argv[i]);
	if (rc < 0)
		fprintf(stderr, "gradient: %s\n", e.text);
	onx_exec_free(j.exec);
	onx_plan_free(j.plan);
	onx_params_free(j.params);
	onx_block_release(&j.block);
	onx_consts_release(&j.consts);
	onx_graph_free(j.graph);
	onx_model_free(j.model);
	return onx_exit_status(rc);
}
