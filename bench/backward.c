/* How long the gradients of a model of one node take, in the plan that training would run.
 *
 * usage: backward MODEL THREADS RUNS
 *
 * The node is the first of the file and reads initializers.  Those called x... stand for values of a net, others for
 * its constants; gradients are made of all that have one, of constants where those are weights.  What is behind the
 * node is the loss, and ends in the only output.  A line of JSON: medians of the seconds that its steps forward and
 * its steps back take, and which step back is the slowest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exec/exec.h"
#include "model/model.h"

enum { MOST = 100 };

struct job {
	struct onx_model *model;
	struct onx_graph *graph;
	struct onx_consts consts;
	struct onx_plan *plan;
	struct onx_params *params;
	struct onx_block_mem block;
	struct onx_pool *pool;
	struct onx_exec *exec;
	struct onx_modes modes;
	double forward[MOST], back[MOST];
};

static int open_model(struct job *j, const char *path, bool **weight, struct onx_err *e)
{
	int rc = onx_model_read(path, &j->model, e);
	bool any = false;

	if (rc == ONX_OK)
		rc = onx_graph_build(j->model, 0, &j->graph, e);
	if (rc < 0)
		return rc;
	onx_consts_init(&j->consts, j->graph);
	*weight = ONX_NEWS(&j->graph->arena, bool, j->graph->n_value);
	if (!*weight)
		return onx_nomem(e, j->graph->n_value, "marks of weights");
	const struct onx_node *n = &j->graph->node[0];
	for (uint32_t i = 0; i < n->n_in; i++) {
		if (n->in[i] == ONX_NONE || onx_op_grad(n->op, (int)i) != ONX_G_DIFF)
			continue;
		const struct onx_value *v = &j->graph->value[n->in[i]];
		const bool fed = v->name[0] == 'x', setting = (n->op->flags & ONX_OP_SETTING) && v->init->n == 1;
		if (onx_dtype_real(v->init->type) && (fed || ((n->op->weight >> i & 1) && !setting)))
			any = (*weight)[n->in[i]] = true;
	}
	return any ? ONX_OK : onx_fail(e, ONX_UNSUP, "no input of %s has a gradient", n->type);
}

static int plan(struct job *j, const bool *weight, int threads, struct onx_err *e)
{
	int rc = onx_plan_modes(j->graph, weight, ONX_BN_AUTO, &j->graph->arena, &j->modes, e);
	struct onx_plan_want want = {
		.facts = { .target = j->graph->output, .n_target = 1, .variable = j->modes.variable,
			   .train = j->modes.train },
		.loss = j->graph->output[0], .weight = weight, .threads = threads,
	};

	if (rc == ONX_OK)
		rc = onx_plan_make(j->graph, &j->consts, &want, &j->plan, e);
	if (rc == ONX_OK)
		rc = onx_params_new(j->graph, j->modes.variable, false, &j->params, e);
	if (rc == ONX_OK)
		rc = onx_pool_new(threads, &j->pool, e);
	if (rc == ONX_OK)
		rc = onx_exec_new(j->plan, j->params, &j->block, j->pool, &j->exec, e);
	return rc == ONX_OK ? onx_exec_profile(j->exec, e) : rc;
}

/* A step of the loss: the nodes behind the first write values called s0, s1, ... and loss. */
static bool of_loss(const struct job *j, const struct onx_step *s)
{
	const struct onx_graph *g = j->plan->facts->g;
	if (s->node == ONX_NONE)
		return false;
	const char *name = g->value[g->node[s->node].out[0]].name;
	return name && (name[0] == 's' || name[0] == 'l');
}

static int by_value(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void run(struct job *j, int runs)
{
	const struct onx_step *slow = NULL;

	for (int r = -1; r < runs; r++) {
		double sum[2] = { 0, 0 }, most = 0;
		onx_exec_forward(j->exec, 1, 0);
		onx_exec_backward(j->exec, false, 1);
		const double *t = onx_exec_times(j->exec);
		for (uint32_t i = 0; i < j->plan->n_step; i++) {
			const struct onx_step *s = &j->plan->step[i];
			if (of_loss(j, s))
				continue;
			sum[i >= j->plan->n_forward] += t[i];
			if (i >= j->plan->n_forward && t[i] > most) {
				most = t[i];
				slow = s;
			}
		}
		if (r >= 0) {
			j->forward[r] = sum[0];
			j->back[r] = sum[1];
		}
	}
	qsort(j->forward, (size_t)runs, sizeof *j->forward, by_value);
	qsort(j->back, (size_t)runs, sizeof *j->back, by_value);
	printf("{\"forward\": %g, \"backward\": %g, \"step\": \"%s [%s]\"}\n", j->forward[runs / 2],
	       j->back[runs / 2], slow && slow->op ? slow->op->type : "none", slow ? slow->impl : "");
}

int main(int argc, char **argv)
{
	struct job j = { .model = NULL };
	struct onx_err e = { .code = ONX_OK };
	bool *weight;
	const int threads = argc > 2 ? atoi(argv[2]) : 0, runs = argc > 3 ? atoi(argv[3]) : 0;
	int rc = threads > 0 && runs > 0 && runs <= MOST ? ONX_OK
		: onx_fail(&e, ONX_USAGE, "usage: backward MODEL THREADS RUNS");

	if (rc == ONX_OK)
		rc = open_model(&j, argv[1], &weight, &e);
	if (rc == ONX_OK)
		rc = plan(&j, weight, threads, &e);
	if (rc == ONX_OK)
		run(&j, runs);
	if (rc < 0)
		fprintf(stderr, "backward: %s\n", e.text);
	onx_exec_free(j.exec);
	onx_pool_free(j.pool);
	onx_plan_free(j.plan);
	onx_params_free(j.params);
	onx_block_release(&j.block);
	onx_consts_release(&j.consts);
	onx_graph_free(j.graph);
	onx_model_free(j.model);
	return onx_exit_status(rc);
}
