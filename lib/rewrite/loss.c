/* rewrite/loss.c -- the loss node. */
#include "rewrite/loss.h"
#include <string.h>
#include "graph/probe.h"
#include "model/mark.h"
#include "rewrite/scores.h"

int onx_loss_logits(const struct onx_graph *g, uint32_t *logits, uint32_t *behind, struct onx_err *e)
{
	const char *mark = onx_model_meta(g->model, ONX_MARK "logits");
	*behind = ONX_NONE;
	if (g->n_output == 0)
		return onx_fail(e, ONX_SHAPE, "the model has no output to take a loss from");
	const uint32_t scores = onx_scores(g);
	uint32_t v = scores != ONX_NONE ? scores : g->output[0];
	const struct onx_node *n = g->value[v].def == ONX_NONE ? NULL : &g->node[g->value[v].def];
	if (n && !*n->domain && n->n_in > 0 && n->in[0] != ONX_NONE &&
	    (strcmp(n->type, "Softmax") == 0 || strcmp(n->type, "LogSoftmax") == 0 ||
	     strcmp(n->type, "Sigmoid") == 0)) {
		*behind = g->value[v].def;
		v = n->in[0];
	}
	if (mark) {
		v = onx_graph_find(g, mark);
		if (v == ONX_NONE)
			return onx_fail(e, ONX_FORMAT, "the mark " ONX_MARK "logits names '%s', which the model "
					"does not have", mark);
	}
	*logits = v;
	return ONX_OK;
}

/* Rank of the logits and numbers a sample. */
static int size_of(const struct onx_graph *g, uint32_t v, struct onx_arena *a, int *rank, int64_t *classes,
		   struct onx_err *e)
{
	struct onx_probe *p = NULL;
	struct onx_err other = { 0 };
	int rc = onx_probe(g, 0, true, true, a, &p, &other);
	if (rc == ONX_NOMEM)
		*e = other;
	else if (rc < 0)
		rc = onx_probe(g, 0, false, true, a, &p, e);
	if (rc < 0)
		return rc;
	if (!p[v].known)
		return onx_fail(e, ONX_SHAPE, "'%s' is not on the way to an output", g->value[v].name);
	*rank = p[v].rank;
	*classes = 1;
	for (int i = 1; i < p[v].rank; i++) {
		if (p[v].dim[i].times != 0 || p[v].dim[i].plus <= 0 ||
		    p[v].dim[i].plus > INT32_MAX / *classes)
			return onx_fail(e, ONX_SHAPE, "cannot take a loss from '%s' of shape %s", g->value[v].name,
					onx_probe_text(&p[v], (char[256]){ 0 }, 256));
		*classes *= p[v].dim[i].plus;
	}
	return *rank > 0 ? ONX_OK : onx_fail(e, ONX_SHAPE, "cannot take a loss from the scalar '%s'",
					     g->value[v].name);
}

static void describe(struct onx_patch *p, uint32_t y, const struct onx_loss_opts *o, int64_t classes,
		     uint32_t *target, uint32_t *loss)
{
	const bool ce = strcmp(o->type, "CrossEntropy") == 0;
	const int64_t shape[2] = { -1, classes }, c[1] = { classes };
	struct onx_file_attr attr[2];
	size_t n = 0;
	*target = onx_patch_input(p, ONX_MARK "target", ce ? ONX_INT64 : ONX_FLOAT, ce ? 1 : 2, shape);
	*loss = onx_patch_value(p, ONX_MARK "loss", ONX_FLOAT, 0, NULL, NULL);
	uint32_t in[3] = { y, *target, ONX_NONE }, n_in = 2;
	if (o->class_weight)
		in[n_in++] = onx_patch_value(p, ONX_MARK "class_weight", ONX_FLOAT, 1, c, o->class_weight);
	if (ce) {
		attr[n++] = onx_attr_float("label_smoothing", o->label_smoothing);
		attr[n++] = onx_attr_int("ignore_index", o->ignore_index);
	} else if (strcmp(o->type, "Huber") == 0) {
		attr[n++] = onx_attr_float("delta", o->delta);
	}
	onx_patch_add(p, &(struct onx_patch_node){ "onnx_adapt", o->type, ONX_MARK "loss", in, loss, n_in, 1,
						   attr, n });
}

int onx_loss_append(struct onx_graph *g, uint32_t logits, const struct onx_loss_opts *o, struct onx_loss *out,
		    struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_patch p = { .mem = &mem, .rule = "loss", .where = g->value[logits].name };
	int rank = 0;
	int rc = size_of(g, logits, &mem, &rank, &out->classes, e);
	if (rc == ONX_OK && o->class_weight && (int64_t)o->n_class != out->classes)
		rc = onx_fail(e, ONX_SHAPE, "%u class weights for %lld classes", (unsigned)o->n_class,
			      (long long)out->classes);
	if (rc < 0)
		goto out;
	uint32_t y = onx_scores_patch(&p, g, logits), target, loss;
	const struct onx_file_attr axis = onx_attr_int("axis", 1);
	if (rank != 2)
		y = onx_patch_op(&p, "Flatten", ONX_MARK "flat", g->value[logits].type, &y, 1, &axis, 1);
	describe(&p, y, o, out->classes, &target, &loss);
	rc = onx_patch_apply(g, &p, log, e);
	if (rc < 0)
		goto out;
	out->loss = onx_patch_id(&p, loss);
	out->target = onx_patch_id(&p, target);
	out->logits = onx_patch_id(&p, y);
out:
	onx_arena_release(&mem);
	return rc;
}
