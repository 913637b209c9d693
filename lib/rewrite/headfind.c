/* rewrite/headfind.c -- where the classifier is. */
#include "rewrite/head.h"
#include <string.h>

/* What may stand between a classifier and an output, and does not decide between classes itself. */
static const char *const passing[] = { "Softmax", "LogSoftmax", "Sigmoid", "Flatten", "Reshape", "Squeeze",
	"Unsqueeze", "Identity", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "ReduceMean",
	"Transpose", "Mul", "Div", "Cast", "Relu", NULL };

static bool is(const struct onx_node *n, const char *type)
{
	return !*n->domain && strcmp(n->type, type) == 0;
}

static bool passes(const struct onx_node *n)
{
	for (size_t i = 0; passing[i]; i++)
		if (is(n, passing[i]))
			return true;
	return false;
}

static bool constant(const struct onx_graph *g, uint32_t v)
{
	return v != ONX_NONE && g->value[v].init;
}

/* The input of n that is no constant; ONX_NONE if there is not exactly one among the first two. */
static uint32_t moving(const struct onx_graph *g, const struct onx_node *n)
{
	if (n->n_in < 1)
		return ONX_NONE;
	if (n->n_in < 2 || constant(g, n->in[1]) || is(n, "Reshape") || is(n, "Dropout"))
		return n->in[0];
	return constant(g, n->in[0]) ? n->in[1] : ONX_NONE;
}

/* The stored tensor behind an input: itself, or what a Reshape with a constant shape reads. */
static uint32_t stored(const struct onx_graph *g, uint32_t v, uint32_t *shape)
{
	*shape = ONX_NONE;
	if (v == ONX_NONE || constant(g, v) || g->value[v].def == ONX_NONE)
		return v;
	const struct onx_node *n = &g->node[g->value[v].def];
	if (is(n, "Reshape") && n->n_in == 2 && constant(g, n->in[0]) && constant(g, n->in[1])) {
		*shape = n->in[1];
		return n->in[0];
	}
	if ((is(n, "Identity") || is(n, "Cast")) && n->n_in == 1 && constant(g, n->in[0]))
		return n->in[0];
	return v;
}

/* The node behind v if it is of the type and all it reads but input 0 is constant, else NULL. */
static const struct onx_node *scaled(const struct onx_graph *g, uint32_t v, const char *type)
{
	if (v == ONX_NONE || g->value[v].def == ONX_NONE)
		return NULL;
	const struct onx_node *n = &g->node[g->value[v].def];
	if (!is(n, type) || n->n_in < 2 || n->in[0] == ONX_NONE)
		return NULL;
	for (uint32_t i = 1; i < n->n_in; i++)
		if (n->in[i] != ONX_NONE && !constant(g, n->in[i]))
			return NULL;
	return n;
}

/* A constant of real numbers, or the one behind DequantizeLinear (and QuantizeLinear), whose shape is the same; NULL:
 * neither.  *made: it is the latter. */
static const struct onx_weight *numbers(const struct onx_graph *g, uint32_t v, bool *made)
{
	const struct onx_node *dq = scaled(g, v, "DequantizeLinear");
	*made = dq != NULL;
	if (!dq)
		return constant(g, v) && onx_dtype_real(g->value[v].init->type) ? g->value[v].init : NULL;
	const struct onx_node *q = scaled(g, dq->in[0], "QuantizeLinear");
	const uint32_t c = q ? q->in[0] : dq->in[0];
	return constant(g, c) ? g->value[c].init : NULL;
}

static int64_t attr_int(const struct onx_node *n, const char *name, int64_t def)
{
	const struct onx_file_attr *a = n->new_attr ? n->new_attr : n->file ? n->file->attr : NULL;
	const size_t count = n->new_attr ? n->n_new_attr : n->file ? n->file->n_attr : 0;
	for (size_t i = 0; i < count; i++)
		if (strcmp(a[i].name, name) == 0)
			return a[i].i;
	return def;
}

static bool all_ones(const struct onx_weight *w, int from)
{
	for (int i = from; i < w->rank; i++)
		if (w->dim[i] != 1)
			return false;
	return true;
}

/* v is the bias if it has a number for each class. */
static bool take_bias(const struct onx_graph *g, uint32_t v, struct onx_head *h)
{
	bool made;
	const struct onx_weight *b = numbers(g, v, &made);
	if (!b || (int64_t)b->n != h->classes)
		return false;
	h->bias = v;
	if (made)
		h->made[h->n_made++] = v;
	return true;
}

/* Fills h if n is a Gemm, MatMul or 1x1 Conv over a constant weight. */
static bool classifies(const struct onx_graph *g, uint32_t id, struct onx_head *h)
{
	const struct onx_node *n = &g->node[id];
	const bool conv = is(n, "Conv"), gemm = is(n, "Gemm"), matmul = is(n, "MatMul");
	if ((!conv && !gemm && !matmul) || n->n_in < 2 || n->n_out < 1)
		return false;
	bool made;
	h->weight = stored(g, n->in[1], &h->weight_shape);
	const struct onx_weight *w = numbers(g, h->weight, &made);
	h->n_made = 0;
	if (made)
		h->made[h->n_made++] = h->weight;
	if (!w || w->rank < 2 || w->n == 0 || (conv && (!all_ones(w, 2) || attr_int(n, "group", 1) != 1)))
		return false;
	const bool first = conv || (gemm && attr_int(n, "transB", 0));
	if (gemm && attr_int(n, "transA", 0))
		return false;
	h->weight_axis = first ? 0 : w->rank - 1;
	h->classes = w->dim[h->weight_axis];
	h->features = (int64_t)w->n / h->classes;
	h->node = id;
	h->x = n->in[0];
	h->y = n->out[0];
	uint32_t none;
	h->bias = ONX_NONE;
	if (n->n_in > 2)
		take_bias(g, stored(g, n->in[2], &none), h);
	return n->n_in < 3 || n->in[2] == ONX_NONE || h->bias != ONX_NONE;
}

/* y = x + bias behind a MatMul (or a Conv without one): n is the Add. */
static bool adds_bias(const struct onx_graph *g, const struct onx_node *n, struct onx_head *h)
{
	if (!is(n, "Add") || n->n_in != 2)
		return false;
	bool made;
	const int c = numbers(g, n->in[0], &made) ? 0 : 1;
	const uint32_t x = n->in[1 - c];
	if (x == ONX_NONE || g->value[x].def == ONX_NONE || !classifies(g, g->value[x].def, h) || h->bias != ONX_NONE ||
	    !take_bias(g, n->in[c], h))
		return false;
	h->y = n->out[0];
	return true;
}

/* 1: found; 0: the walk ended at *stop. */
static int walk(const struct onx_graph *g, uint32_t output, struct onx_head *h, uint32_t *stop)
{
	uint32_t v = output;
	*h = (struct onx_head){ .output = output, .logits = output };
	*stop = ONX_NONE;
	while (v != ONX_NONE && g->value[v].def != ONX_NONE) {
		const uint32_t id = g->value[v].def;
		const struct onx_node *n = &g->node[id];
		*stop = id;
		if (classifies(g, id, h) || adds_bias(g, n, h))
			return 1;
		if (scaled(g, v, "DequantizeLinear") && scaled(g, n->in[0], "QuantizeLinear") && h->n_behind < 31) {
			h->pairs = true;
			h->behind[h->n_behind++] = id;
			h->behind[h->n_behind++] = g->value[n->in[0]].def;
			v = g->node[g->value[n->in[0]].def].in[0];
			continue;
		}
		if (!passes(n) || h->n_behind == 32)
			return 0;
		h->behind[h->n_behind++] = id;
		v = moving(g, n);
		if (is(n, "Softmax") || is(n, "LogSoftmax") || is(n, "Sigmoid"))
			h->logits = v;
	}
	return 0;
}

int onx_head_find(const struct onx_graph *g, struct onx_head *h, struct onx_err *e)
{
	struct onx_buf found = { 0 }, ends = { 0 };
	struct onx_head one = { 0 };
	uint32_t stop, n = 0;
	char name[160];
	int rc = ONX_OK;

	for (uint32_t i = 0; i < g->n_output; i++) {
		const char *out = g->value[g->output[i]].name;
		if (walk(g, g->output[i], &one, &stop)) {
			if (n > 0 && one.node == h->node)
				continue;
			n++;
			*h = one;
			onx_buf_fmt(&found, "%s%s (output '%s', %lld classes)", n > 1 ? ", " : "",
				    onx_node_text(g, one.node, name, sizeof name), out, (long long)one.classes);
		} else {
			onx_buf_fmt(&ends, "%soutput '%s' comes from %s", i ? ", " : "", out,
				    stop == ONX_NONE ? "nothing" : onx_node_text(g, stop, name, sizeof name));
		}
	}
	if (found.lost || ends.lost)
		rc = onx_nomem(e, 256, "names");
	else if (n == 0)
		rc = onx_fail(e, ONX_UNSUP, "no classifier found: %s; name the tensor to put a new one behind with "
			      "--cut-at", ends.data ? ends.data : "the graph has no output");
	else if (n > 1 || ends.len > 0)
		rc = onx_fail(e, ONX_UNSUP, "the model has %u outputs and more than one could be the classifier: "
			      "%s%s%s; name the tensor to put a new one behind with --cut-at", (unsigned)g->n_output,
			      found.data, ends.len ? "; " : "", ends.len ? ends.data : "");
	onx_buf_release(&found);
	onx_buf_release(&ends);
	return rc;
}
