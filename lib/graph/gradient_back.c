/* graph/gradient_back.c -- the way back of a Gradient node: one Backward for each node of its sub-graph between the
 * xs and y, Sum where a tensor has several readers, zeros where y does not depend on an x. */
#include <string.h>
#include "graph/gradient_i.h"

#define MICROSOFT "com.microsoft"

static int no_memory(double n, struct onx_err *e)
{
	return onx_nomem(e, n, "a gradient");
}

/* ---- nodes of the body ---- */

int onx_grad_value(struct onx_gradient *x, const char *name, uint32_t *id, struct onx_err *e)
{
	return onx_graph_add_value(x->b, name, ONX_UNDEFINED, id, e);
}

void onx_grad_made(struct onx_gradient *x, uint32_t node)
{
	const struct onx_node *n = &x->b->node[node];
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE) {
			x->b->value[n->out[k]].def = node;
			x->b->value[n->out[k]].def_slot = k;
		}
}

/* A node without a type yet; outputs that are not ONX_NONE are new values. */
static int add_node(struct onx_gradient *x, const uint32_t *in, uint32_t n_in, uint32_t *out, uint32_t n_out,
		    struct onx_node **n, struct onx_err *e)
{
	const char *name = x->g->node[x->node].name;
	uint32_t id;
	int rc = onx_graph_new_node(x->b, n_in, n_out, &id, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n_out; k++)
		if (out[k] != ONX_NONE)
			rc = onx_grad_value(x, "gradient", &out[k], e);
	if (rc < 0)
		return rc;
	*n = &x->b->node[id];
	(*n)->name = name;
	for (uint32_t k = 0; k < n_in; k++)
		(*n)->in[k] = in[k];
	for (uint32_t k = 0; k < n_out; k++)
		(*n)->out[k] = out[k];
	onx_grad_made(x, id);
	return ONX_OK;
}

int onx_grad_node(struct onx_gradient *x, const char *type, const struct onx_file_attr *attr, size_t n_attr,
		  const uint32_t *in, uint32_t n_in, uint32_t *out, uint32_t n_out, struct onx_err *e)
{
	struct onx_node *n;
	int rc = add_node(x, in, n_in, out, n_out, &n, e);
	if (rc < 0)
		return rc;
	const bool theirs = strncmp(type, MICROSOFT ".", sizeof MICROSOFT) == 0;
	n->version = theirs ? 1 : ONX_NEWEST_OPSET;
	rc = onx_op_find(theirs ? MICROSOFT : "", theirs ? type + sizeof MICROSOFT : type, n->version, &n->op, e);
	if (rc < 0)
		return rc;
	n->domain = n->op->domain;
	n->type = n->op->type;
	return onx_attr_fill(n->op, attr, n_attr, &x->b->arena, &n->attr, e);
}

int onx_grad_put(struct onx_gradient *x, const char *type, const struct onx_file_attr *attr, const uint32_t *in,
		 uint32_t n_in, uint32_t *out, struct onx_err *e)
{
	*out = 0;
	return onx_grad_node(x, type, attr, attr != NULL, in, n_in, out, 1, e);
}

int onx_grad_again(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		   uint32_t *out, uint32_t n_out, struct onx_err *e)
{
	struct onx_node *n;
	int rc = add_node(x, in, n_in, out, n_out, &n, e);
	if (rc < 0)
		return rc;
	n->type = a->op->type;
	n->domain = a->op->domain;
	n->version = a->version;
	n->op = a->op;
	n->attr = a->attr;
	return ONX_OK;
}

int onx_grad_zeros(struct onx_gradient *x, uint32_t v, uint32_t *out, struct onx_err *e)
{
	uint32_t shape, at[2] = { 0, v };
	int rc = onx_grad_put(x, "Shape", NULL, &v, 1, &shape, e);
	if (rc == ONX_OK)
		rc = onx_grad_put(x, "ConstantOfShape", NULL, &shape, 1, &at[0], e);
	return rc < 0 ? rc : onx_grad_put(x, "CastLike", NULL, at, 2, out, e);
}

int onx_grad_forward(struct onx_gradient *x, const struct onx_node *like, const uint32_t *in, uint32_t *y,
		     struct onx_err *e)
{
	const struct onx_backward_attr *a = like->attr;
	return onx_grad_again(x, a, in, like->n_in - (uint32_t)a->n_y, y, (uint32_t)a->n_y, e);
}

int onx_grad_backward(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		      uint32_t *dx, struct onx_err *e)
{
	struct onx_node *n;
	int rc = add_node(x, in, n_in, dx, n_in - (uint32_t)a->n_y, &n, e);
	if (rc < 0)
		return rc;
	n->type = "Backward";
	n->domain = "onnx_adapt";
	n->version = 1;
	n->attr = a;
	return onx_op_find(n->domain, n->type, 1, &n->op, e);
}

/* ---- sums ---- */

int onx_grad_term(struct onx_gradient *x, uint32_t v, uint32_t gradient, struct onx_err *e)
{
	struct onx_term *t = ONX_NEW(&x->mem, struct onx_term);
	if (!t)
		return no_memory(sizeof *t, e);
	*t = (struct onx_term){ gradient, x->d[v] };
	x->d[v] = t;
	return ONX_OK;
}

/* The whole gradient of v, ONX_NONE: it has none. */
static int sum_of(struct onx_gradient *x, uint32_t v, uint32_t *out, struct onx_err *e)
{
	uint32_t n = 0, *all;
	*out = x->d[v] ? x->d[v]->v : ONX_NONE;
	for (const struct onx_term *t = x->d[v]; t; t = t->next)
		n++;
	if (n < 2)
		return ONX_OK;
	if (!(all = ONX_NEWS(&x->mem, uint32_t, n)))
		return no_memory(4.0 * n, e);
	uint32_t at = n;
	for (const struct onx_term *t = x->d[v]; t; t = t->next)
		all[--at] = t->v;
	int rc = onx_grad_put(x, "Sum", NULL, all, n, out, e);
	if (rc == ONX_OK)
		*x->d[v] = (struct onx_term){ *out, NULL };
	return rc;
}

/* ---- back ---- */

/* Of the values that there are now, none is active and none has a gradient. */
static int open_lists(struct onx_gradient *x, struct onx_err *e)
{
	x->act = ONX_NEWS(&x->mem, bool, x->b->n_value + 1u);
	x->d = ONX_NEWS(&x->mem, struct onx_term *, x->b->n_value + 1u);
	return x->act && x->d ? ONX_OK : no_memory(9.0 * x->b->n_value, e);
}

/* Values whose gradient leads to one that is active, made by the nodes from `first` on. */
static void spread(struct onx_gradient *x, uint32_t first, uint32_t last)
{
	for (uint32_t i = first; i < last; i++) {
		const struct onx_node *n = &x->b->node[i];
		bool any = false;
		for (uint32_t k = 0; k < n->n_in && !any; k++)
			any = n->in[k] != ONX_NONE && x->act[n->in[k]] && onx_op_grad(n->op, (int)k) == ONX_G_DIFF;
		for (uint32_t k = 0; any && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE)
				x->act[n->out[k]] = true;
	}
}

static int attr_of(struct onx_gradient *x, const struct onx_node *n, struct onx_backward_attr **out, struct onx_err *e)
{
	struct onx_backward_attr *a = *out = ONX_NEW(&x->b->arena, struct onx_backward_attr);
	if (!a)
		return no_memory(sizeof *a, e);
	*a = (struct onx_backward_attr){ .op = n->op, .attr = n->attr, .version = n->version, .n_y = (int)n->n_out };
	for (uint32_t k = 0; k < n->n_out && k < 32; k++)
		a->wanted |= (uint32_t)(n->out[k] != ONX_NONE) << k;
	return ONX_OK;
}

/* The Backward of n, behind the gradients dy of its outputs, which stand in front of room for its inputs. */
static int put_backward(struct onx_gradient *x, const struct onx_node *n, uint32_t *in, struct onx_err *e)
{
	uint32_t *dx = ONX_NEWS(&x->mem, uint32_t, n->n_in + 1u);
	struct onx_backward_attr *a;
	int rc = dx ? attr_of(x, n, &a, e) : no_memory(4.0 * n->n_in, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++) {
		in[n->n_out + k] = n->in[k];
		dx[k] = n->in[k] != ONX_NONE && x->act[n->in[k]] && onx_op_grad(n->op, (int)k) == ONX_G_DIFF
			? 0 : ONX_NONE;
	}
	if (rc == ONX_OK && x->spells)
		rc = onx_grad_spell(x, a, in, n->n_out + n->n_in, dx, e);
	if (rc == ONX_OK)               /* it was not written out */
		rc = onx_grad_backward(x, a, in, n->n_out + n->n_in, dx, e);
	rc = rc > 0 ? ONX_OK : rc;
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++)
		if (dx[k] != ONX_NONE)
			rc = onx_grad_term(x, n->in[k], dx[k], e);
	return rc;
}

/* Behind node id of b, where its outputs have gradients. */
static int back_through(struct onx_gradient *x, uint32_t id, struct onx_err *e)
{
	const struct onx_node n = x->b->node[id];       /* the table moves */
	uint32_t *dy = ONX_NEWS(&x->mem, uint32_t, (size_t)n.n_out + n.n_in + 1);
	bool any = false;
	char name[160];
	int rc = dy ? ONX_OK : no_memory(4.0 * n.n_out, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n.n_out; k++) {
		dy[k] = ONX_NONE;
		if (n.out[k] != ONX_NONE && x->act[n.out[k]])
			rc = sum_of(x, n.out[k], &dy[k], e);
		any |= dy[k] != ONX_NONE;
	}
	if (rc < 0 || !any)
		return rc;
	if (onx_is_backward(&n))
		return onx_grad_second(x, &n, dy, e);
	if (!n.op->backward)
		return onx_fail(e, ONX_UNSUP, "%s has no gradient", onx_node_text(x->b, id, name, sizeof name));
	return put_backward(x, &n, dy, e);
}

int onx_grad_region(struct onx_gradient *x, uint32_t first, const uint32_t *y, const uint32_t *dy, uint32_t n_y,
		    const uint32_t *arg, uint32_t *dx, uint32_t n_x, struct onx_err *e)
{
	bool *act = x->act, spells = x->spells;
	struct onx_term **d = x->d;
	const uint32_t last = x->b->n_node;
	int rc = open_lists(x, e);
	x->spells = true;
	for (uint32_t k = 0; rc == ONX_OK && k < n_x; k++)
		if (dx[k] != ONX_NONE)
			x->act[arg[k]] = true;
	if (rc == ONX_OK)
		spread(x, first, last);
	for (uint32_t i = 0; rc == ONX_OK && i < n_y; i++)
		if (dy[i] != ONX_NONE)
			rc = onx_grad_term(x, y[i], dy[i], e);
	for (uint32_t i = last; rc == ONX_OK && i-- > first; )
		rc = back_through(x, i, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n_x; k++)
		if (dx[k] != ONX_NONE) {
			rc = sum_of(x, arg[k], &dx[k], e);
			if (rc == ONX_OK && dx[k] == ONX_NONE)
				rc = onx_grad_zeros(x, arg[k], &dx[k], e);
		}
	x->act = act;
	x->d = d;
	x->spells = spells;
	return rc;
}

int onx_grad_way_back(struct onx_gradient *x, uint32_t y, struct onx_err *e)
{
	uint32_t zero, one;
	int rc = open_lists(x, e);
	x->n_copied = x->b->n_node;
	for (size_t i = 0; rc == ONX_OK && i < x->a->xs.n; i++)
		x->act[x->x[i]] = true;
	if (rc == ONX_OK) {
		spread(x, 0, x->n_copied);
		rc = onx_grad_zeros(x, y, &zero, e);
	}
	if (rc == ONX_OK)
		rc = onx_grad_put(x, "Exp", NULL, &zero, 1, &one, e);
	if (rc == ONX_OK)
		rc = onx_grad_term(x, y, one, e);
	for (uint32_t i = x->n_copied; rc == ONX_OK && i-- > 0; )
		rc = back_through(x, i, e);
	for (uint32_t i = 0; rc == ONX_OK && i < x->g->node[x->node].n_out; i++) {
		uint32_t out;
		rc = sum_of(x, x->x[i], &out, e);
		if (rc == ONX_OK && out == ONX_NONE)
			rc = onx_grad_zeros(x, x->x[i], &out, e);
		if (rc == ONX_OK) {
			x->b->value[out].output = true;
			x->b->output[x->b->n_output++] = out;
		}
	}
	return rc;
}
