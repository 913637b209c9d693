/* rewrite/straight.c -- rows with a straight-through estimate in the place of those without a gradient. */
#include "rewrite/straight.h"
#include <string.h>

static const char *const steps[] = { "Floor", "Ceil", "Round", "Sign" };

static bool is(const struct onx_node *n, const char *type)
{
	return n->op && !*n->domain && strcmp(n->type, type) == 0;
}

bool onx_straight_known(const char *domain, const char *type)
{
	bool known = strcmp(type, "QuantizeLinear") == 0 ||
		     strcmp(type, "DynamicQuantizeLinear") == 0 ||
		     strcmp(type, "DequantizeLinear") == 0;

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		known |= strcmp(type, steps[i]) == 0;
	return known && !*domain;
}

/* The same value, or two constants of one type and shape with the same numbers. */
static int same_constant(const struct onx_graph *g, uint32_t a, uint32_t b, bool *same, struct onx_err *e)
{
	double x[64], y[64];

	*same = a == b;
	if (*same || a == ONX_NONE || b == ONX_NONE)
		return ONX_OK;
	const struct onx_weight *v = g->value[a].init, *w = g->value[b].init;
	if (!v || !w || v->type != w->type || v->n != w->n || v->rank != w->rank)
		return ONX_OK;
	struct onx_arena mem = { 0 };
	const size_t width = onx_dtype_store(v->type, true);
	const bool small = v->n <= sizeof x / sizeof *x;
	void *p = small ? x : onx_alloc(&mem, v->n, width), *q = small ? y : onx_alloc(&mem, v->n, width);
	const struct onx_view to[2] = {
		{ .v = p, .n = v->n, .rank = v->rank, .dim = v->dim, .type = v->type, .width = (uint8_t)width },
		{ .v = q, .n = v->n, .rank = w->rank, .dim = w->dim, .type = v->type, .width = (uint8_t)width } };
	int rc = p && q ? onx_weight_load(v, &to[0], e) : onx_nomem(e, (double)v->n * 8, "scales");

	if (rc == ONX_OK)
		rc = onx_weight_load(w, &to[1], e);
	*same = rc == ONX_OK && memcmp(p, q, v->n * width) == 0;
	onx_arena_release(&mem);
	return rc;
}

static int64_t setting(const struct onx_node *n, const char *name)
{
	const struct onx_field *f = onx_find(n->op->attr, name);

	return *(const int64_t *)((const char *)n->attr + f->off);
}

static uint32_t input(const struct onx_node *n, uint32_t i)
{
	return i < n->n_in ? n->in[i] : ONX_NONE;
}

/* DequantizeLinear `n` with its QuantizeLinear: n reads what that reads.  The quantised numbers stay for others. */
static int pair(struct onx_graph *g, struct onx_node *n, uint32_t *count, struct onx_err *e)
{
	const uint32_t maker = input(n, 0) != ONX_NONE ? g->value[n->in[0]].def : ONX_NONE;
	const struct onx_node *q = maker != ONX_NONE ? &g->node[maker] : NULL;
	const struct onx_op *row;
	bool scale, zero;

	if (!q || q->dropped || !is(q, "QuantizeLinear") || setting(q, "axis") != setting(n, "axis") ||
	    setting(q, "block_size") != setting(n, "block_size") || setting(n, "output_dtype"))
		return ONX_OK;
	int rc = same_constant(g, input(q, 1), input(n, 1), &scale, e);
	if (rc < 0 || (rc = same_constant(g, input(q, 2), input(n, 2), &zero, e)) < 0 || !scale || !zero)
		return rc;
	rc = onx_op_find("onnx_adapt", "FakeQuantize", n->version, &row, e);
	uint32_t *in = ONX_NEWS(&g->arena, uint32_t, n->n_in + 1);
	if (rc < 0 || !in)
		return rc < 0 ? rc : onx_nomem(e, n->n_in * sizeof *in, "a node");
	memcpy(in, n->in, n->n_in * sizeof *in);
	in[0] = q->in[0];
	n->in = in;
	n->op = row;
	n->attr = q->attr;
	++*count;
	return ONX_OK;
}

/* DequantizeLinear `n` of all that a DynamicQuantizeLinear gives. */
static int dynamic_pair(struct onx_graph *g, struct onx_node *n, uint32_t *count, struct onx_err *e)
{
	const uint32_t maker = input(n, 0) != ONX_NONE ? g->value[n->in[0]].def : ONX_NONE;
	const struct onx_node *q = maker != ONX_NONE ? &g->node[maker] : NULL;

	if (!q || q->dropped || !is(q, "DynamicQuantizeLinear") || q->n_out != 3 || n->n_in != 3 ||
	    setting(n, "block_size") || setting(n, "output_dtype"))
		return ONX_OK;
	for (uint32_t i = 0; i < 3; i++)
		if (n->in[i] != q->out[i])
			return ONX_OK;
	int rc = onx_op_find("onnx_adapt", "FakeDynamic", n->version, &n->op, e);
	uint32_t *in = ONX_NEWS(&g->arena, uint32_t, 1);
	if (rc < 0 || !in)
		return rc < 0 ? rc : onx_nomem(e, sizeof *in, "a node");
	*in = q->in[0];
	n->in = in;
	n->n_in = 1;
	n->attr = NULL;
	++*count;
	return ONX_OK;
}

static int through(struct onx_graph *g, uint32_t *n, struct onx_err *e)
{
	for (uint32_t i = 0; i < g->n_node; i++) {
		struct onx_node *x = &g->node[i];
		int rc = ONX_OK;

		if (x->dropped)
			continue;
		for (uint32_t b = 0; rc == ONX_OK && b < x->n_body; b++)
			rc = through(x->body[b].g, n, e);
		for (size_t k = 0; rc == ONX_OK && k < sizeof steps / sizeof *steps; k++)
			if (is(x, steps[k]) && onx_op_grad(x->op, 0) == ONX_G_ZERO) {
				rc = onx_op_find("onnx_adapt", x->type, x->version, &x->op, e);
				++*n;
			}
		if (rc == ONX_OK && is(x, "DequantizeLinear"))
			rc = dynamic_pair(g, x, n, e);
		if (rc == ONX_OK && is(x, "DequantizeLinear") && !*x->op->domain)
			rc = pair(g, x, n, e);
		if (rc < 0)
			return rc;
	}
	return onx_graph_order(g, e);
}

int onx_straight_through(struct onx_graph *g, uint32_t *n, struct onx_err *e)
{
	*n = 0;
	return through(g, n, e);
}
