/* op/mltree.c -- TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble of ai.onnx.ml.
 *
 * Whatever form the attributes have, infer makes one forest of them: nodes with the numbers of their
 * children, leaves with what they add.  A node that two nodes lead to is refused, so every walk from a
 * root ends. */
#include <string.h>
#include "op/mltree_i.h"

static bool member(const struct onx_forest *f, const struct onx_tree_node *n, double x)
{
	for (uint32_t i = n->from; i < n->to; i++)
		if (f->member[i] == x)
			return true;
	return false;
}

static bool holds(const struct onx_forest *f, const struct onx_tree_node *n, double x)
{
	if (n->missing && isnan(x))
		return true;
	switch ((enum onx_tree_mode)n->mode) {
	case ONX_TREE_LEQ: return x <= n->value;
	case ONX_TREE_LT:  return x < n->value;
	case ONX_TREE_GTE: return x >= n->value;
	case ONX_TREE_GT:  return x > n->value;
	case ONX_TREE_EQ:  return x == n->value;
	case ONX_TREE_NEQ: return x != n->value;
	case ONX_TREE_MEMBER: return member(f, n, x);
	case ONX_TREE_LEAF: break;
	}
	return false;
}

static void gather(const struct onx_forest *f, double *sum, bool *seen, const struct onx_tree_weight *w)
{
	double *to = &sum[w->id];

	if (f->aggregate == ONX_TREES_MIN)
		*to = !seen[w->id] || w->w < *to ? w->w : *to;
	else if (f->aggregate == ONX_TREES_MAX)
		*to = !seen[w->id] || w->w > *to ? w->w : *to;
	else
		*to += w->w;
	seen[w->id] = true;
}

/* mem: the row [cols], the sums [n_out], which of them a tree has touched [n_out bools]. */
static double *run_row(const struct onx_call *c, const struct onx_forest *f, size_t row, double *mem)
{
	double *sum = mem + f->cols;
	bool *seen = (bool *)(sum + f->n_out + 2);

	onx_ml_row(&c->x[0], row, f->cols, mem);
	memset(sum, 0, (f->n_out + 2) * sizeof *sum);
	memset(seen, 0, f->n_out);
	for (size_t t = 0; t < f->n_root; t++) {
		const struct onx_tree_node *n = &f->node[f->root[t]];
		while (n->mode != ONX_TREE_LEAF)
			n = &f->node[holds(f, n, mem[n->feature]) ? n->yes : n->no];
		for (uint32_t i = n->yes; i < n->no; i++)
			gather(f, sum, seen, &f->weight[i]);
	}
	for (size_t k = 0; k < f->n_out; k++) {
		if (f->aggregate == ONX_TREES_AVERAGE)
			sum[k] /= (double)f->n_root;
		if (f->n_base && !f->binary)
			sum[k] += f->base[f->n_base == 1 ? 0 : k];
	}
	return sum;
}

static size_t work(const struct onx_forest *f)
{
	return f->cols + 2 * f->n_out + 2;
}

static size_t scratch(const struct onx_infer *s, const void *attr, int threads, bool backward)
{
	(void)attr, (void)backward;
	return onx_ml_scratch(work(s->geo), threads);
}

static void put(const struct onx_view *y, size_t row, const double *s, size_t n)
{
	for (size_t k = 0; y->v && k < n; k++)
		onx_view_put_real(y, row * n + k, s[k]);
}

static void regress(const struct onx_call *c, size_t row, double *mem)
{
	const struct onx_forest *f = c->geo;
	double *sum = run_row(c, f, row, mem);

	onx_ml_post(f->post, sum, f->n_out);
	put(&c->y[0], row, sum, f->n_out);
}

static void forest_forward(const struct onx_call *c)
{
	const struct onx_forest *f = c->geo;

	onx_ml_each(c, f->rows, work(f), regress);
}

/* One class with all the weights: its sum p makes [1 - p, p] where no weight is negative and nothing acts on
 * it, else [-p, p], as ONNX Runtime does. */
static void classify(const struct onx_call *c, size_t row, double *mem)
{
	const struct onx_forest *f = c->geo;
	const struct onx_tree *a = c->attr;
	double *sum = run_row(c, f, row, mem);
	size_t n = f->n_out;

	if (f->binary) {
		const double p = sum[f->n_weight ? f->weight[0].id : 0] + (f->n_base ? f->base[f->n_base - 1] : 0);
		sum[0] = f->positive && f->post == ONX_POST_NONE ? 1 - p : -p;
		sum[1] = p;
		n = 2;
	}
	onx_ml_post(f->post, sum, n);
	if (c->n_y > 1)
		put(&c->y[1], row, sum, n);
	const size_t best = onx_ml_best(sum, n);
	if (f->n_label > 1)
		onx_ml_put_label(&a->labels, &c->y[0], row, best);
	else if (best == 1)
		onx_ml_put_label(&a->labels, &c->y[0], row, 0);
	else if (c->y[0].v && c->y[0].type == ONX_STRING)
		((const char **)c->y[0].v)[row] = "";
	else if (c->y[0].v)
		onx_view_put_int(&c->y[0], row, 0);
}

static void classifier_forward(const struct onx_call *c)
{
	const struct onx_forest *f = c->geo;

	onx_ml_each(c, f->rows, work(f), classify);
}

/* A sum of trees is flat wherever it has a derivative. */
#define TREE(name, v, outs, part, run) \
	{ .domain = ONX_ML, .type = name, .since = v, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = outs, \
	  .grad = { ONX_G_ZERO }, .n_grad = 1, .flags = ONX_OP_WIDTHS, .attr = &onx_tree_##part##_table,          \
	  .infer = onx_tree_##part##_infer, .scratch = scratch, .forward = run }
const struct onx_op ONX_R(onx_ops_mltree)[] = {
	TREE("TreeEnsembleClassifier", 1, 2, classifier, classifier_forward),
	TREE("TreeEnsembleRegressor", 1, 1, regressor, forest_forward),
	TREE("TreeEnsemble", 5, 1, ensemble, forest_forward),
	{ .type = NULL }
};
