/* graph/weights.c -- which constants are weights: found from the slots that want them, backwards through
 * nodes that only move or round numbers, and through functions that keep a weight in its range (exp of a
 * scale's logarithm, say). */
#include "graph/graph_i.h"
#include <string.h>

static const char *const movers[] = { "Reshape", "Transpose", "Cast", "Identity", "Squeeze", "Unsqueeze",
	"Flatten", "QuantizeLinear", "DequantizeLinear", "Expand", "Tile", "Gather", "Slice",
	"Exp", "Clip", "Sigmoid", "Tanh", "Softplus", NULL };

static bool moves(const struct onx_node *n)
{
	for (size_t i = 0; !*n->domain && movers[i]; i++)
		if (strcmp(n->type, movers[i]) == 0)
			return true;
	return false;
}

/* wanted: any size; wanted_many: where a single number is a setting (ONX_OP_SETTING). */
struct marks { bool *wanted, *wanted_many, *stat; };

/* A layer with one output has a bias of one number: MatMul, then Add of an array. */
static bool after_product(const struct onx_graph *g, const struct onx_node *n, uint32_t constant)
{
	const struct onx_weight *w = g->value[constant].init;

	for (uint32_t i = 0; w && w->rank > 0 && strcmp(n->type, "Add") == 0 && i < n->n_in; i++)
		if (n->in[i] != ONX_NONE && g->value[n->in[i]].def != ONX_NONE &&
		    strcmp(g->node[g->value[n->in[i]].def].type, "MatMul") == 0)
			return true;
	return false;
}

/* A class token is joined to the tokens of the picture; there every input only moves. */
static void mark_joined(const struct onx_node *n, struct marks *m)
{
	if (*n->domain || strcmp(n->type, "Concat") != 0 || n->n_out == 0 || n->out[0] == ONX_NONE)
		return;
	for (uint32_t i = 0; i < n->n_in; i++)
		if (n->in[i] != ONX_NONE) {
			m->wanted[n->in[i]] |= m->wanted[n->out[0]];
			m->wanted_many[n->in[i]] |= m->wanted_many[n->out[0]];
		}
}

static void mark_node(const struct onx_graph *g, const struct onx_node *n, struct marks *m)
{
	if (moves(n) && n->n_in > 0 && n->in[0] != ONX_NONE && n->n_out > 0 && n->out[0] != ONX_NONE) {
		m->wanted[n->in[0]] |= m->wanted[n->out[0]];
		m->wanted_many[n->in[0]] |= m->wanted_many[n->out[0]];
	}
	mark_joined(n, m);
	for (uint32_t i = 0; n->op && i < n->n_in && i < 16; i++) {
		if (n->in[i] == ONX_NONE)
			continue;
		if (n->op->stat >> i & 1)
			m->stat[n->in[i]] = true;
		if (n->op->weight >> i & 1) {
			if ((n->op->flags & ONX_OP_SETTING) && !after_product(g, n, n->in[i]))
				m->wanted_many[n->in[i]] = true;
			else
				m->wanted[n->in[i]] = true;
		}
	}
}

static int new_marks(const struct onx_graph *g, struct onx_arena *a, struct marks *m, struct onx_err *e)
{
	const size_t n = (size_t)g->n_value + 1;

	*m = (struct marks){ ONX_NEWS(a, bool, n), ONX_NEWS(a, bool, n), ONX_NEWS(a, bool, n) };
	return m->wanted && m->wanted_many && m->stat ? ONX_OK : onx_nomem(e, 3.0 * (double)n, "weights");
}

static int mark_bodies(const struct onx_node *n, struct onx_arena *a, struct marks *m, struct onx_err *e);

static int mark_graph(const struct onx_graph *g, struct onx_arena *a, struct marks *m, struct onx_err *e)
{
	int rc = ONX_OK;

	for (uint32_t i = g->n_order; rc == ONX_OK && i-- > 0; ) {
		mark_node(g, &g->node[g->order[i]], m);
		rc = mark_bodies(&g->node[g->order[i]], a, m, e);
	}
	return rc;
}

/* What the bodies read from around and need as a weight is one around. */
static int mark_bodies(const struct onx_node *n, struct onx_arena *a, struct marks *m, struct onx_err *e)
{
	int rc = ONX_OK;

	for (uint32_t b = 0; rc == ONX_OK && b < n->n_body; b++) {
		const struct onx_body *body = &n->body[b];
		struct marks in;

		if ((rc = new_marks(body->g, a, &in, e)) < 0)
			break;
		rc = mark_graph(body->g, a, &in, e);
		for (uint32_t i = 0; i < body->n_captured; i++) {
			m->wanted[body->outer[i]] |= in.wanted[body->inner[i]];
			m->wanted_many[body->outer[i]] |= in.wanted_many[body->inner[i]];
			m->stat[body->outer[i]] |= in.stat[body->inner[i]];
		}
	}
	return rc;
}

static bool trainable_type(enum onx_dtype t)
{
	return t == ONX_FLOAT || t == ONX_DOUBLE || t == ONX_FLOAT16 || t == ONX_BFLOAT16;
}

/* A constant inside a function serves every call of it (not one in a modifier of FlexAttention). */
static bool in_function(const struct onx_graph *g, uint32_t v)
{
	const uint32_t def = g->value[v].def;

	const struct onx_file_node *n = def != ONX_NONE ? g->node[def].file : NULL;

	return n && n->call && !n->call->once;
}

int onx_graph_weights(const struct onx_graph *g, struct onx_arena *a, bool **is, struct onx_err *e)
{
	struct marks m;
	int rc = new_marks(g, a, &m, e);

	if (rc < 0 || (rc = mark_graph(g, a, &m, e)) < 0)
		return rc;
	for (uint32_t v = 0; v < g->n_value; v++) {
		const struct onx_weight *w = g->value[v].init;
		m.wanted[v] = w && !in_function(g, v) && !g->value[v].fixed && trainable_type(w->type) &&
			      !m.stat[v] && w->n > 0 && (m.wanted[v] || (m.wanted_many[v] && w->n > 1));
	}
	*is = m.wanted;
	return ONX_OK;
}

int onx_graph_quantised(const struct onx_graph *g, struct onx_arena *a, uint32_t **node, uint32_t *n,
			struct onx_err *e)
{
	struct marks m;
	int rc = new_marks(g, a, &m, e);

	*n = 0;
	*node = ONX_NEWS(a, uint32_t, (size_t)g->n_order + 1);
	if (rc == ONX_OK && !*node)
		rc = onx_nomem(e, 4.0 * g->n_order, "weights");
	if (rc < 0 || (rc = mark_graph(g, a, &m, e)) < 0)
		return rc;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *x = &g->node[g->order[i]];

		if (*x->domain || strcmp(x->type, "DequantizeLinear") != 0 || x->n_out == 0 || x->out[0] == ONX_NONE)
			continue;
		bool constant = m.wanted[x->out[0]] || m.wanted_many[x->out[0]];
		for (uint32_t k = 0; k < x->n_in; k++)
			constant &= x->in[k] == ONX_NONE || g->value[x->in[k]].init;
		if (constant)
			(*node)[(*n)++] = g->order[i];
	}
	return ONX_OK;
}
