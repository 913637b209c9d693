/* graph/gradient_second.c -- back through a Backward: gradients of gradients, to any order.
 *
 *     dx = J(x)^T dy,   u: the gradient of dx
 *
 * linear      f(x): J is constant.  dy has the gradient f(u), with 0 for what u lacks; x has none.
 * affine      f(x) = A x + c: as linear, with f(u) - f(0).
 * multilinear f(a, b, ...) of any number of inputs, linear in each: as bilinear.  multiaffine: and with constants.
 * bilinear    f(a, b) + c, as a product or a convolution: dy has f(ua, b) + f(a, ub) + uc; a has what f's backward
 *             gives for (a, ub), and b for (ua, b), as dy . f(a, ub) is u . J^T dy read as a function of a.
 * straight    element by element, in pieces that are straight lines: dy has what f's backward makes of u; x has none.
 * written     by what it computes, as nodes: gradient_spell.c.
 * spelt       element by element: each partial derivative as a formula.  Such a Backward never comes to be
 *             differentiated: where a sub-graph is copied it becomes nodes, dx = the backward of Mul on
 *             (dy; x, formula), which also sums over broadcast axes; those are differentiated like all others.
 *
 * So the table has one row an operator, and what it does not list is a fault that names the operator. */
#include <stdlib.h>
#include <string.h>
#include "graph/gradient_i.h"

enum how { LINEAR, AFFINE, BILINEAR, MULTILINEAR, MULTIAFFINE, STRAIGHT, SPELT };

/* when: name=value of an attribute.  d: the derivative for input 0 and 1 in postfix: a and b are the inputs, "dup" the
 * topmost once more, "like" the topmost in the type of a. */
struct rule { const char *type; enum how how; const char *when, *d[2]; };

#define IS(type, how) { type, how, NULL, { NULL, NULL } }
#define WHEN(type, how, when) { type, how, when, { NULL, NULL } }
#define D(type, ...) { type, SPELT, NULL, { __VA_ARGS__ } }
static const struct rule rules[] = {
	IS("Add", LINEAR), IS("AffineGrid", LINEAR), IS("AveragePool", LINEAR), IS("Cast", LINEAR),
	IS("CastLike", LINEAR), IS("CenterCropPad", LINEAR), IS("Col2Im", LINEAR), IS("Compress", LINEAR),
	IS("Concat", LINEAR), IS("CumSum", LINEAR), IS("DFT", LINEAR), IS("DepthToSpace", LINEAR),
	IS("DequantizeLinear", LINEAR), IS("Dropout", LINEAR), IS("Expand", LINEAR), IS("Flatten", LINEAR),
	IS("Gather", LINEAR), IS("GatherElements", LINEAR), IS("GatherND", LINEAR), IS("GlobalAveragePool", LINEAR),
	IS("Identity", LINEAR), IS("MaxUnpool", LINEAR), IS("Mean", LINEAR), IS("Neg", LINEAR),
	IS("NegativeLogLikelihoodLoss", LINEAR), IS("OneHot", LINEAR), IS("ReduceMean", LINEAR),
	IS("ReduceSum", LINEAR), IS("Reshape", LINEAR), IS("ReverseSequence", LINEAR), IS("Scatter", LINEAR),
	WHEN("ScatterElements", LINEAR, "reduction=none"), WHEN("ScatterElements", LINEAR, "reduction=add"),
	WHEN("ScatterND", LINEAR, "reduction=none"), WHEN("ScatterND", LINEAR, "reduction=add"), IS("Slice", LINEAR),
	IS("SpaceToDepth", LINEAR), IS("Split", LINEAR), IS("Squeeze", LINEAR), IS("Sub", LINEAR), IS("Sum", LINEAR),
	IS("TensorScatter", LINEAR), IS("Tile", LINEAR), IS("Transpose", LINEAR), IS("Trilu", LINEAR),
	IS("Unsqueeze", LINEAR), IS("Upsample", LINEAR), IS("Where", LINEAR),
	IS("ai.onnx.ml.ArrayFeatureExtractor", LINEAR), IS("ai.onnx.ml.FeatureVectorizer", LINEAR),
	IS("Pad", AFFINE), IS("Resize", AFFINE), IS("ai.onnx.ml.Imputer", AFFINE),
	IS("Conv", BILINEAR), IS("ConvTranspose", BILINEAR), IS("Gemm", BILINEAR), IS("MatMul", BILINEAR),
	IS("Mul", BILINEAR), IS("com.microsoft.FusedMatMul", BILINEAR),
	IS("Einsum", MULTILINEAR), IS("STFT", MULTILINEAR),
	IS("RotaryEmbedding", MULTIAFFINE), WHEN("ai.onnx.ml.LinearRegressor", MULTIAFFINE, "post_transform=NONE"),
	IS("ai.onnx.ml.Scaler", MULTIAFFINE),
	IS("Abs", STRAIGHT), IS("Clip", STRAIGHT), IS("HardSigmoid", STRAIGHT), IS("LeakyRelu", STRAIGHT),
	IS("Relu", STRAIGHT), IS("Shrink", STRAIGHT), IS("ThresholdedRelu", STRAIGHT),
	D("Acos", "1 a dup Mul Sub Sqrt Reciprocal Neg"),
	D("Acosh", "a dup Mul 1 Sub Sqrt Reciprocal"),
	D("Asin", "1 a dup Mul Sub Sqrt Reciprocal"),
	D("Asinh", "a dup Mul 1 Add Sqrt Reciprocal"),
	D("Atan", "a dup Mul 1 Add Reciprocal"),
	D("Atanh", "1 a dup Mul Sub Reciprocal"),
	D("Cos", "a Sin Neg"),
	D("Cosh", "a Sinh"),
	D("Div", "b Reciprocal", "a b b Mul Div Neg"),
	D("Erf", "a dup Mul Neg Exp 1 Atan Sqrt Div"),        /* 2 / sqrt(pi) = 1 / sqrt(atan 1) */
	D("Exp", "a Exp"),
	D("Log", "a Reciprocal"),
	D("Pow", "b like a b like 1 Sub Pow Mul", "a b Pow a Log Mul"),
	D("Reciprocal", "a dup Mul Reciprocal Neg"),
	D("Sigmoid", "a Sigmoid dup dup Mul Sub"),
	D("Sin", "a Cos"),
	D("Sinh", "a Cosh"),
	D("Softplus", "a Sigmoid"),
	D("Sqrt", "a Sqrt 2 Mul Reciprocal"),
	D("Tan", "a Tan dup Mul 1 Add"),
	D("Tanh", "1 a Tanh dup Mul Sub"),
};

static const struct rule *rule_of(const struct onx_backward_attr *a)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (onx_grad_about(a, rules[i].type, rules[i].when))
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

int onx_grad_spell(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		   uint32_t *dx, struct onx_err *e)
{
	const struct rule *r = rule_of(a);
	if (!r)
		return onx_grad_written(x, a, in, n_in, dx, e);
	if (r->how != SPELT || in[0] == ONX_NONE)
		return 0;
	struct onx_backward_attr *mul = ONX_NEW(&x->b->arena, struct onx_backward_attr);
	if (!mul)
		return onx_nomem(e, sizeof *mul, "a gradient");
	*mul = (struct onx_backward_attr){ .version = ONX_NEWEST_OPSET, .n_y = 1, .wanted = 1 };
	int rc = onx_op_find("", "Mul", ONX_NEWEST_OPSET, &mul->op, e);
	if (rc == ONX_OK)
		rc = onx_attr_fill(mul->op, NULL, 0, &x->b->arena, &mul->attr, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n_in - 1; k++) {
		uint32_t of[3] = { in[0], in[1 + k], 0 }, d[2] = { 0, ONX_NONE };
		if (dx[k] == ONX_NONE)
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

/* affine: minus what f has where all is 0. */
static int linear(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, uint32_t *in, bool affine,
		  struct onx_err *e)
{
	const struct onx_backward_attr *a = n->attr;
	uint32_t *arg = in + a->n_y, *none = ONX_NEWS(&x->mem, uint32_t, n->n_out + 1u), minus[2];
	int rc = none ? ONX_OK : onx_nomem(e, 4.0 * n->n_out, "a gradient");
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++) {
		const bool real = arg[k] != ONX_NONE && onx_op_grad(a->op, (int)k) == ONX_G_DIFF;
		none[k] = arg[k];
		if (real && (affine || u[k] == ONX_NONE))
			rc = onx_grad_zeros(x, arg[k], &none[k], e);
		arg[k] = u[k] != ONX_NONE ? u[k] : none[k];
	}
	if (rc < 0 || !affine)
		return rc < 0 ? rc : forward_term(x, n, arg, e);
	minus[0] = minus[1] = 0;
	rc = onx_grad_forward(x, n, arg, &minus[0], e);
	if (rc == ONX_OK)
		rc = onx_grad_forward(x, n, none, &minus[1], e);
	if (rc == ONX_OK && active(x, n->in[0])) {
		uint32_t y;
		rc = onx_grad_put(x, "Sub", NULL, minus, 2, &y, e);
		return rc < 0 ? rc : onx_grad_term(x, n->in[0], y, e);
	}
	return rc;
}

/* f at `in`, or what one of its inputs has back; minus the same where input k is 0, unless `zero` is ONX_NONE. */
static int part(struct onx_gradient *x, const struct onx_node *n, uint32_t *in, uint32_t k, uint32_t zero, uint32_t of,
		struct onx_err *e)
{
	uint32_t v[2] = { ONX_NONE, ONX_NONE }, y, *d = ONX_NEWS(&x->mem, uint32_t, n->n_in + n->n_out + 1u);
	const uint32_t u = in[1 + k];
	int rc = d ? ONX_OK : onx_nomem(e, 4.0 * n->n_in, "a gradient");
	for (int i = 0; rc == ONX_OK && i < (zero == ONX_NONE ? 1 : 2); i++) {
		in[1 + k] = i ? zero : u;
		memset(d, 0xff, (n->n_in + n->n_out) * sizeof *d);
		if (of == ONX_NONE) {
			d[0] = 0;
			rc = onx_grad_forward(x, n, in + 1, d, e);
			v[i] = d[0];
		} else {
			d[of] = 0;
			rc = onx_grad_backward(x, n->attr, in, n->n_in, d, e);
			v[i] = d[of];
		}
	}
	in[1 + k] = u;
	y = v[0];
	if (rc == ONX_OK && v[1] != ONX_NONE)
		rc = onx_grad_put(x, "Sub", NULL, v, 2, &y, e);
	return rc < 0 ? rc : onx_grad_term(x, n->in[of == ONX_NONE ? 0 : 1 + of], y, e);
}

static int multilinear(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, uint32_t *in, bool affine,
		       struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++) {
		const uint32_t was = in[1 + k];
		uint32_t zero = ONX_NONE;
		if (u[k] == ONX_NONE)
			continue;
		if (affine)
			rc = onx_grad_zeros(x, was, &zero, e);
		in[1 + k] = u[k];
		for (uint32_t i = 0; rc == ONX_OK && i < n->n_out; i++)
			if (i != k && active(x, n->in[1 + i]))
				rc = part(x, n, in, k, zero, i, e);
		if (rc == ONX_OK && active(x, n->in[0]))
			rc = part(x, n, in, k, zero, ONX_NONE, e);
		in[1 + k] = was;
	}
	return rc;
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
	const struct rule *r = rule_of(a);
	bool known = r != NULL;
	for (uint32_t k = 1; known && r->how == STRAIGHT && k < n->n_out; k++)
		known = u[k] == ONX_NONE;               /* as of a limit of Clip */
	if (!known)
		return onx_fail(e, ONX_UNSUP, "gradients of a gradient: %s has no second derivative here", a->op->type);
	uint32_t *in = ONX_NEWS(&x->mem, uint32_t, n->n_in + 1u);
	if (!in)
		return onx_nomem(e, 4.0 * n->n_in, "a gradient");
	memcpy(in, n->in, n->n_in * sizeof *in);
	if (r->how == LINEAR || r->how == AFFINE)
		return linear(x, n, u, in, r->how == AFFINE, e);
	if (r->how == MULTILINEAR || r->how == MULTIAFFINE)
		return multilinear(x, n, u, in, r->how == MULTIAFFINE, e);
	if (r->how == BILINEAR)
		return bilinear(x, n, u, in, e);
	in[0] = u[0];                                   /* STRAIGHT */
	return u[0] != ONX_NONE && active(x, n->in[0]) ? backward_term(x, n, in, 0, n->in[0], e) : ONX_OK;
}
