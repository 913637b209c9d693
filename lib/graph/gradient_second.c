/* graph/gradient_second.c -- back through a Backward: gradients of gradients, to any order.
 *
 *     dx = J(x)^T dy,   u: the gradient of dx
 *
 * linear      f(x): J is constant.  dy has the gradient f(u), with 0 for what u lacks; x has none.
 * bilinear    f(a, b) + c, as a product or a convolution: dy has f(ua, b) + f(a, ub) + uc; a has what f's backward
 *             gives for (a, ub), and b for (ua, b), as dy . f(a, ub) is u . J^T dy read as a function of a.
 * straight    element by element, in pieces that are straight lines: dy has what f's backward makes of u; x has none.
 * spelt       element by element: each partial derivative as a formula.  Such a Backward never comes to be
 *             differentiated: where a sub-graph is copied it becomes nodes, dx = the backward of Mul on
 *             (dy; x, formula), which also sums over broadcast axes; those are differentiated like all others.
 *
 * So the table has one row an operator, and what it does not list is a fault that names the operator. */
#include <stdlib.h>
#include <string.h>
#include "graph/gradient_i.h"

enum how { LINEAR, BILINEAR, STRAIGHT, SPELT };

/* d: the derivative for input 0 and 1 in postfix: a and b are the inputs, "dup" the topmost once more, "like"
 * the topmost in the type of a. */
struct rule { const char *type; enum how how; const char *d[2]; };

static const struct rule rules[] = {
	{ "Add", LINEAR, { 0 } }, { "AveragePool", LINEAR, { 0 } }, { "Concat", LINEAR, { 0 } },
	{ "CumSum", LINEAR, { 0 } }, { "DepthToSpace", LINEAR, { 0 } }, { "Expand", LINEAR, { 0 } },
	{ "Flatten", LINEAR, { 0 } }, { "Gather", LINEAR, { 0 } }, { "GatherElements", LINEAR, { 0 } },
	{ "GatherND", LINEAR, { 0 } }, { "GlobalAveragePool", LINEAR, { 0 } }, { "Identity", LINEAR, { 0 } },
	{ "Mean", LINEAR, { 0 } }, { "Neg", LINEAR, { 0 } }, { "ReduceMean", LINEAR, { 0 } },
	{ "ReduceSum", LINEAR, { 0 } }, { "Reshape", LINEAR, { 0 } }, { "Slice", LINEAR, { 0 } },
	{ "SpaceToDepth", LINEAR, { 0 } }, { "Split", LINEAR, { 0 } }, { "Squeeze", LINEAR, { 0 } },
	{ "Sub", LINEAR, { 0 } }, { "Sum", LINEAR, { 0 } }, { "Tile", LINEAR, { 0 } },
	{ "Transpose", LINEAR, { 0 } }, { "Trilu", LINEAR, { 0 } }, { "Unsqueeze", LINEAR, { 0 } },
	{ "Where", LINEAR, { 0 } },
	{ "Conv", BILINEAR, { 0 } }, { "ConvTranspose", BILINEAR, { 0 } }, { "Gemm", BILINEAR, { 0 } },
	{ "MatMul", BILINEAR, { 0 } }, { "Mul", BILINEAR, { 0 } },
	{ "Abs", STRAIGHT, { 0 } }, { "Clip", STRAIGHT, { 0 } }, { "HardSigmoid", STRAIGHT, { 0 } },
	{ "LeakyRelu", STRAIGHT, { 0 } }, { "Relu", STRAIGHT, { 0 } },
	{ "Atan", SPELT, { "a dup Mul 1 Add Reciprocal" } },
	{ "Cos", SPELT, { "a Sin Neg" } },
	{ "Cosh", SPELT, { "a Sinh" } },
	{ "Div", SPELT, { "b Reciprocal", "a b b Mul Div Neg" } },
	{ "Erf", SPELT, { "a dup Mul Neg Exp 1 Atan Sqrt Div" } },      /* 2 / sqrt(pi) = 1 / sqrt(atan 1) */
	{ "Exp", SPELT, { "a Exp" } },
	{ "Log", SPELT, { "a Reciprocal" } },
	{ "Pow", SPELT, { "b like a b like 1 Sub Pow Mul", "a b Pow a Log Mul" } },
	{ "Reciprocal", SPELT, { "a dup Mul Reciprocal Neg" } },
	{ "Sigmoid", SPELT, { "a Sigmoid dup dup Mul Sub" } },
	{ "Sin", SPELT, { "a Cos" } },
	{ "Sinh", SPELT, { "a Cosh" } },
	{ "Softplus", SPELT, { "a Sigmoid" } },
	{ "Sqrt", SPELT, { "a Sqrt 2 Mul Reciprocal" } },
	{ "Tan", SPELT, { "a Tan dup Mul 1 Add" } },
	{ "Tanh", SPELT, { "1 a Tanh dup Mul Sub" } },
};

static const struct rule *rule_of(const struct onx_op *op)
{
	for (size_t i = 0; *op->domain == 0 && i < sizeof rules / sizeof *rules; i++)
		if (strcmp(rules[i].type, op->type) == 0)
			return &rules[i];
	return NULL;
}

/* ---- spelt ---- */

struct stack { uint32_t v[8]; int n; };

static int number(struct onx_gradient *x, double n, uint32_t like, uint32_t *out, struct onx_err *e)
{
	const struct onx_file_attr a = onx_attr_float("value_float", n);
	uint32_t at[2] = { 0, like };
	int rc = onx_grad_put(x, "Constant", &a, NULL, 0, &at[0], e);
	return rc < 0 ? rc : onx_grad_put(x, "CastLike", NULL, at, 2, out, e);
}

static int word(struct onx_gradient *x, const char *w, const uint32_t *in, struct stack *s, struct onx_err *e)
{
	const struct onx_op *op;
	if (strcmp(w, "a") == 0 || strcmp(w, "b") == 0) {
		s->v[s->n++] = in[*w - 'a'];
	} else if (strcmp(w, "dup") == 0) {
		s->v[s->n] = s->v[s->n - 1];
		s->n++;
	} else if (strcmp(w, "like") == 0) {
		const uint32_t from[2] = { s->v[s->n - 1], in[0] };
		return onx_grad_put(x, "CastLike", NULL, from, 2, &s->v[s->n - 1], e);
	} else if (*w >= '0' && *w <= '9') {
		return number(x, strtod(w, NULL), in[0], &s->v[s->n++], e);
	} else {
		int rc = onx_op_find("", w, ONX_NEWEST_OPSET, &op, e);
		if (rc < 0)
			return rc;
		const uint32_t from[2] = { s->v[s->n - op->min_in], s->v[s->n - 1] };
		s->n -= op->min_in;
		return onx_grad_put(x, op->type, NULL, from, (uint32_t)op->min_in, &s->v[s->n++], e);
	}
	return ONX_OK;
}

static int formula(struct onx_gradient *x, const char *text, const uint32_t *in, uint32_t *out, struct onx_err *e)
{
	struct stack s = { .n = 0 };
	int rc = ONX_OK;
	while (rc == ONX_OK && *text) {
		char w[16];
		const size_t n = strcspn(text, " ");
		memcpy(w, text, n);
		w[n] = 0;
		text += n + (text[n] == ' ');
		rc = word(x, w, in, &s, e);
	}
	*out = s.v[0];
	return rc;
}

int onx_grad_spell(struct onx_gradient *x, const struct onx_node *n, const uint32_t *in, uint32_t *dx,
		   struct onx_err *e)
{
	const struct onx_backward_attr *a = n->attr;
	const struct rule *r = rule_of(a->op);
	if (!r || r->how != SPELT || in[0] == ONX_NONE)
		return 0;
	struct onx_backward_attr *mul = ONX_NEW(&x->b->arena, struct onx_backward_attr);
	if (!mul)
		return onx_nomem(e, sizeof *mul, "a gradient");
	*mul = (struct onx_backward_attr){ .version = ONX_NEWEST_OPSET, .n_y = 1, .wanted = 1 };
	int rc = onx_op_find("", "Mul", ONX_NEWEST_OPSET, &mul->op, e);
	if (rc == ONX_OK)
		rc = onx_attr_fill(mul->op, NULL, 0, &x->b->arena, &mul->attr, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++) {
		uint32_t of[3] = { in[0], in[1 + k], 0 }, d[2] = { 0, ONX_NONE };
		dx[k] = ONX_NONE;
		if (n->out[k] == ONX_NONE)
			continue;
		rc = formula(x, r->d[k], in + 1, &of[2], e);
		if (rc == ONX_OK)
			rc = onx_grad_backward(x, mul, of, 3, d, e);
		dx[k] = d[0];
	}
	return rc < 0 ? rc : 1;
}

/* ---- back through the others ---- */

static bool active(const struct onx_gradient *x, uint32_t v)
{
	return v != ONX_NONE && x->act[v];
}

/* dy has one more gradient: f on `in`. */
static int forward_term(struct onx_gradient *x, const struct onx_node *n, const uint32_t *in, struct onx_err *e)
{
	const uint32_t n_y = (uint32_t)((const struct onx_backward_attr *)n->attr)->n_y;
	uint32_t *y = ONX_NEWS(&x->mem, uint32_t, n_y + 1u);
	const struct onx_backward_attr *a = n->attr;
	if (!y)
		return onx_nomem(e, 4.0 * n_y, "a gradient");
	for (uint32_t i = 0; i < n_y; i++)
		y[i] = i >= 32 || (a->wanted >> i & 1) ? 0 : ONX_NONE;
	int rc = onx_grad_forward(x, n, in, y, e);
	for (uint32_t i = 0; rc == ONX_OK && i < n_y; i++)
		if (y[i] != ONX_NONE && active(x, n->in[i]))
			rc = onx_grad_term(x, n->in[i], y[i], e);
	return rc;
}

/* v has one more gradient: output k of f's backward on `in`, which begins with that of y. */
static int backward_term(struct onx_gradient *x, const struct onx_node *n, const uint32_t *in, uint32_t k, uint32_t v,
			 struct onx_err *e)
{
	uint32_t *dx = ONX_NEWS(&x->mem, uint32_t, n->n_out + 1u);
	if (!dx)
		return onx_nomem(e, 4.0 * n->n_out, "a gradient");
	for (uint32_t i = 0; i < n->n_out; i++)
		dx[i] = i == k ? 0 : ONX_NONE;
	int rc = onx_grad_backward(x, n->attr, in, n->n_in, dx, e);
	return rc < 0 ? rc : onx_grad_term(x, v, dx[k], e);
}

static int linear(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, uint32_t *in,
		  struct onx_err *e)
{
	const struct onx_backward_attr *a = n->attr;
	uint32_t *arg = in + a->n_y;
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++)
		if (u[k] != ONX_NONE)
			arg[k] = u[k];
		else if (arg[k] != ONX_NONE && onx_op_grad(a->op, (int)k) == ONX_G_DIFF)
			rc = onx_grad_zeros(x, arg[k], &arg[k], e);
	return rc < 0 ? rc : forward_term(x, n, arg, e);
}

/* The part of input k, 0 or 1: f with u in its place, and what the other input has from it. */
static int bilinear_part(struct onx_gradient *x, const struct onx_node *n, uint32_t k, uint32_t u, uint32_t c,
			 uint32_t *in, struct onx_err *e)
{
	const uint32_t was = in[1 + k], plus = n->n_out > 2 ? in[3] : ONX_NONE;
	int rc = ONX_OK;
	in[1 + k] = u;
	if (active(x, n->in[2 - k]))
		rc = backward_term(x, n, in, 1 - k, n->in[2 - k], e);
	if (n->n_out > 2)
		in[3] = c;
	if (rc == ONX_OK && active(x, n->in[0]))
		rc = forward_term(x, n, in + 1, e);
	in[1 + k] = was;
	if (n->n_out > 2)
		in[3] = plus;
	return rc;
}

static int bilinear(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, uint32_t *in,
		    struct onx_err *e)
{
	const bool plus = n->n_out > 2 && in[3] != ONX_NONE;
	uint32_t zero = ONX_NONE, a = u[0], c = plus ? u[2] : ONX_NONE;
	int rc = plus ? onx_grad_zeros(x, in[3], &zero, e) : ONX_OK;
	if (rc == ONX_OK && a == ONX_NONE && c != ONX_NONE)
		rc = onx_grad_zeros(x, in[1], &a, e);
	if (rc == ONX_OK && a != ONX_NONE)
		rc = bilinear_part(x, n, 0, a, c != ONX_NONE ? c : zero, in, e);
	if (rc == ONX_OK && u[1] != ONX_NONE)
		rc = bilinear_part(x, n, 1, u[1], zero, in, e);
	return rc;
}

int onx_grad_second(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, struct onx_err *e)
{
	const struct onx_backward_attr *a = n->attr;
	const struct rule *r = rule_of(a->op);
	bool known = r != NULL;
	for (uint32_t k = 1; known && r->how == STRAIGHT && k < n->n_out; k++)
		known = u[k] == ONX_NONE;               /* as of a limit of Clip */
	if (!known)
		return onx_fail(e, ONX_UNSUP, "gradients of a gradient: %s has no second derivative here", a->op->type);
	uint32_t *in = ONX_NEWS(&x->mem, uint32_t, n->n_in + 1u);
	if (!in)
		return onx_nomem(e, 4.0 * n->n_in, "a gradient");
	memcpy(in, n->in, n->n_in * sizeof *in);
	if (r->how == LINEAR)
		return linear(x, n, u, in, e);
	if (r->how == BILINEAR)
		return bilinear(x, n, u, in, e);
	in[0] = u[0];                                   /* STRAIGHT */
	return u[0] != ONX_NONE && active(x, n->in[0]) ? backward_term(x, n, in, 0, n->in[0], e) : ONX_OK;
}
