/* plan/layout.c -- writes the twin's nodes, channels last where it pays.
 *
 * Convolutions, and what stands beside them, compute on [n][y][x][channels].  A value that is needed in both
 * orders gets a Transpose (a Reshape where a picture is one pixel: the bytes are the same).  Steps that go
 * element by element follow their inputs; all others see values as the file has them. */
#include <string.h>
#include "plan/lower_block.h"

enum { OURS = 4 };              /* dimensions of what is laid out anew */

static bool four(const struct onx_lower *l, uint32_t v)
{
	return l->f->fact[v].shape.rank == OURS;
}

/* n c y x -> n y x c */
static struct onx_shape turned(const struct onx_shape *s)
{
	return (struct onx_shape){ OURS, { s->dim[0], s->dim[2], s->dim[3], s->dim[1] } };
}

static int reshape(struct onx_lower *l, uint32_t node, uint32_t from, uint32_t to, const struct onx_shape *s,
		   struct onx_err *e)
{
	struct onx_view *dims;
	uint32_t in[2] = { from };
	int rc = onx_lower_known(l, from, ONX_INT64, &(struct onx_shape){ 1, { s->rank } }, &in[1], &dims, e);
	if (rc < 0)
		return rc;
	for (int d = 0; d < s->rank; d++)
		onx_view_put_int(dims, (size_t)d, s->dim[d]);
	return onx_lower_node(l, "", "Reshape", node, in, 2, to, NULL, 0, e);
}

static int turn(struct onx_lower *l, uint32_t node, uint32_t from, uint32_t to, const struct onx_shape *first,
		bool last, struct onx_err *e)
{
	static const int64_t to_last[OURS] = { 0, 2, 3, 1 }, to_first[OURS] = { 0, 3, 1, 2 };
	const struct onx_shape s = last ? turned(first) : *first;
	if (first->dim[2] == 1 && first->dim[3] == 1)
		return reshape(l, node, from, to, &s, e);
	const struct onx_file_attr perm = { .name = "perm", .type = ONX_ATTR_INTS, .n = OURS,
					    .ints = last ? to_last : to_first };
	return onx_lower_node(l, "", "Transpose", node, &from, 1, to, &perm, 1, e);
}

/* Constants that were folded need not be folded again. */
static int source(struct onx_lower *l, uint32_t v, struct onx_err *e)
{
	const struct onx_fact *t = &l->f->fact[v];
	if (!t->value || l->fed[v] || l->first[v] || l->from->value[v].init)
		return ONX_OK;
	l->fed[v] = true;
	return onx_lower_feed(l, &(struct onx_feed){ v, t->shape, t->type, t->value }, e);
}

/* v as the file has it. */
static int first(struct onx_lower *l, uint32_t node, uint32_t v, struct onx_err *e)
{
	if (l->first[v] || l->last[v] == ONX_NONE)
		return source(l, v, e);
	l->first[v] = true;
	return turn(l, node, l->last[v], v, &l->f->fact[v].shape, false, e);
}

int onx_lower_last(struct onx_lower *l, uint32_t node, uint32_t v, uint32_t *out, struct onx_err *e)
{
	struct onx_shape s = l->f->fact[v].shape;
	uint32_t from = v;
	if (l->last[v] != ONX_NONE) {
		*out = l->last[v];
		return ONX_OK;
	}
	int rc = first(l, node, v, e);
	if (rc == ONX_OK && s.rank < OURS) {
		struct onx_shape wide = { OURS, { 1, 1, 1, 1 } };
		memcpy(wide.dim + OURS - s.rank, s.dim, (size_t)s.rank * sizeof *s.dim);
		s = wide;
		rc = onx_lower_value(l, v, &from, e);
		if (rc == ONX_OK)
			rc = reshape(l, node, v, from, &s, e);
	}
	if (rc == ONX_OK)
		rc = onx_lower_value(l, v, out, e);
	if (rc == ONX_OK)
		rc = turn(l, node, from, *out, &s, true, e);
	l->last[v] = *out;
	return rc;
}

int onx_lower_made_last(struct onx_lower *l, uint32_t v, uint32_t *id, struct onx_err *e)
{
	int rc = onx_lower_value(l, v, id, e);
	l->last[v] = *id;
	return rc;
}

/* n: whose attributes it has besides those of the chain. */
static int step(struct onx_lower *l, const struct onx_chain *c, const struct onx_node *n, const char *type,
		const uint32_t *in, uint32_t n_in, struct onx_err *e)
{
	size_t count, keep = 0;
	const struct onx_file_attr *own = onx_lower_attr(n, &count);
	struct onx_file_attr *a = ONX_NEWS(&l->to->arena, struct onx_file_attr, count + 2);
	float *par = ONX_NEWS(&l->to->arena, float, 2);
	uint32_t out;
	if (!a || !par)
		return onx_nomem(e, (double)count * sizeof *a, "the plan");
	for (size_t i = 0; i < count; i++)
		if (strcmp(own[i].name, "spatial") != 0)
			a[keep++] = own[i];
	if (c->activation)
		a[keep++] = (struct onx_file_attr){ .name = "activation", .type = ONX_ATTR_STRING,
						    .s = c->activation, .s_len = strlen(c->activation) };
	memcpy(par, c->par, sizeof c->par);
	if (c->n_par)
		a[keep++] = (struct onx_file_attr){ .name = "activation_params", .type = ONX_ATTR_FLOATS,
						    .n = c->n_par, .floats = par };
	int rc = onx_lower_made_last(l, l->from->node[c->end].out[0], &out, e);
	return rc < 0 ? rc : onx_lower_node(l, "onnx_adapt", type, c->head, in, n_in, out, a, keep, e);
}

int onx_lower_coefficients(struct onx_lower *l, const struct onx_chain *c, uint32_t *w, uint32_t *b, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[c->head];
	int rc = ONX_OK;
	*w = n->in[1];
	*b = n->n_in > 2 ? n->in[2] : ONX_NONE;
	if (c->bn != ONX_NONE && !l->want->dry)
		return onx_lower_folded(l, c, w, b, e);
	rc = first(l, c->head, *w, e);
	return rc < 0 || *b == ONX_NONE ? rc : first(l, c->head, *b, e);
}

/* A pointwise one of x * scale; its windows say nothing. */
static int scaled(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e)
{
	static const struct onx_node bare;
	uint32_t in[5] = { ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE };
	int rc = onx_lower_last(l, c->head, c->x, &in[0], e);
	if (rc == ONX_OK)
		rc = onx_lower_last(l, c->head, c->scale, &in[1], e);
	if (rc == ONX_OK)
		rc = onx_lower_coefficients(l, c, &in[2], &in[3], e);
	if (rc == ONX_OK && c->z != ONX_NONE)
		rc = onx_lower_last(l, c->head, c->z, &in[4], e);
	const uint32_t n_in = c->z != ONX_NONE ? 5 : in[3] != ONX_NONE ? 4 : 3;
	return rc < 0 ? rc : step(l, c, &bare, "ConvScaledLast", in, n_in, e);
}

/* A convolution and the normalization in front of it: the attributes of both. */
static int normed(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e)
{
	static const char *const own[2] = { "epsilon", "momentum" };
	const struct onx_node *bn = &l->from->node[c->norm->head];
	uint32_t in[9] = { ONX_NONE, bn->in[1], bn->in[2], bn->in[3], bn->in[4], ONX_NONE, ONX_NONE, ONX_NONE,
			   ONX_NONE };
	uint32_t n_in = 6;
	struct onx_node both = { .n_new_attr = 0 };
	size_t count;
	const struct onx_file_attr *conv = onx_lower_attr(&l->from->node[c->head], &count);
	struct onx_file_attr *a = ONX_NEWS(&l->to->arena, struct onx_file_attr, count + 2);
	if (!a)
		return onx_nomem(e, (double)count * sizeof *a, "the plan");
	for (size_t i = 0; i < count; i++)
		a[both.n_new_attr++] = conv[i];
	for (int k = 0; k < 2; k++)
		if (onx_lower_find(bn, own[k]))
			a[both.n_new_attr++] = *onx_lower_find(bn, own[k]);
	both.new_attr = a;
	int rc = onx_lower_last(l, c->head, bn->in[0], &in[0], e);
	for (int i = 1; rc == ONX_OK && i < 5; i++)
		rc = first(l, c->head, in[i], e);
	if (rc == ONX_OK)
		rc = onx_lower_coefficients(l, c, &in[5], &in[6], e);
	const struct onx_chain as_one = { .head = c->head, .end = c->end, .activation = c->norm->activation,
					  .par = { c->norm->par[0], c->norm->par[1] }, .n_par = c->norm->n_par };
	if (c->norm->from) {
		in[7] = c->norm->from->mean;
		in[8] = c->norm->from->var;
		n_in = 9;
	} else if (in[6] != ONX_NONE) {
		n_in = 7;
	}
	if (rc == ONX_OK)
		rc = step(l, &as_one, &both, "NormConvLast", in, n_in, e);
	if (rc == ONX_OK)
		l->train[l->to->n_node - 1] = l->f->infer[c->norm->head]->train;
	return rc;
}

/* Outputs of the convolution that was written last: mean and variance, behind the running statistics if it has any. */
static int with_moments(struct onx_lower *l, struct onx_chain *c, struct onx_err *e)
{
	const uint32_t y = l->from->node[c->head].out[0];
	uint32_t out[5] = { l->last[y], ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE }, at = c->norm ? 3 : 1;
	int rc = onx_lower_value(l, y, &c->mean, e);
	if (rc == ONX_OK)
		rc = onx_lower_value(l, y, &c->var, e);
	out[at] = c->mean;
	out[at + 1] = c->var;
	return rc < 0 ? rc : onx_lower_outs(l, out, at + 2, e);
}

static int plain(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[c->head];
	uint32_t in[4] = { ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE };
	int rc = onx_lower_last(l, c->head, n->in[0], &in[0], e);
	if (rc == ONX_OK)
		rc = onx_lower_coefficients(l, c, &in[1], &in[2], e);
	if (rc == ONX_OK && c->z != ONX_NONE)
		rc = onx_lower_last(l, c->head, c->z, &in[3], e);
	return rc < 0 ? rc : step(l, c, n, c->moments ? "ConvMomentsLast" : "ConvLast", in,
				  c->z != ONX_NONE ? 4 : in[2] != ONX_NONE ? 3 : 2, e);
}

static int convolution(struct onx_lower *l, struct onx_chain *c, struct onx_err *e)
{
	int rc = c->scale != ONX_NONE ? scaled(l, c, e) : c->norm ? normed(l, c, e) : plain(l, c, e);
	return rc == ONX_OK && c->moments ? with_moments(l, c, e) : rc;
}

static int normalization(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[c->head];
	uint32_t in[6] = { ONX_NONE, n->in[1], n->in[2], n->in[3], n->in[4], ONX_NONE };
	int rc = onx_lower_last(l, c->head, n->in[0], &in[0], e);
	for (int i = 1; rc == ONX_OK && i < 5; i++)
		rc = first(l, c->head, in[i], e);
	if (rc == ONX_OK && c->z != ONX_NONE)
		rc = onx_lower_last(l, c->head, c->z, &in[5], e);
	if (rc == ONX_OK)
		rc = c->z != ONX_NONE ? step(l, c, n, "BatchNormAddLast", in, 6, e)
				      : step(l, c, n, "BatchNormLast", in, 5, e);
	if (rc == ONX_OK)
		l->train[l->to->n_node - 1] = l->f->infer[c->head]->train;
	return rc;
}

static bool has_last(const struct onx_lower *l, const struct onx_node *n)
{
	for (uint32_t k = 0; k < n->n_in; k++)
		if (n->in[k] != ONX_NONE && four(l, n->in[k]) && l->last[n->in[k]] != ONX_NONE)
			return true;
	return false;
}

static bool alone(const struct onx_node *n)
{
	for (uint32_t k = 1; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE)
			return false;
	return n->n_out > 0 && n->out[0] != ONX_NONE;
}

/* The same operator on inputs with channels last. */
static int along(struct onx_lower *l, uint32_t id, const char *domain, const char *type,
		 const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[id];
	uint32_t *in = ONX_NEWS(&l->scratch, uint32_t, n->n_in + 1), out;
	int rc = in ? ONX_OK : onx_nomem(e, n->n_in * 4.0, "the plan");
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++) {
		size_t count = 0;
		in[k] = n->in[k];
		if (in[k] == ONX_NONE)
			continue;
		const struct onx_shape *s = &l->f->fact[in[k]].shape;
		rc = onx_count(s->rank, s->dim, &count, e);
		if (rc == ONX_OK)
			rc = count == 1 && s->rank < OURS ? first(l, id, in[k], e)
							  : onx_lower_last(l, id, in[k], &in[k], e);
	}
	if (rc == ONX_OK)
		rc = onx_lower_made_last(l, n->out[0], &out, e);
	if (rc == ONX_OK)
		rc = onx_lower_node(l, domain, type, id, in, n->n_in, out, attr, n_attr, e);
	if (rc == ONX_OK && !domain[0] && type == n->type) {    /* its version's meaning and attributes stay */
		struct onx_node *made = &l->to->node[l->to->n_node - 1];
		made->op = n->op;
		made->version = n->version;
		made->attr = n->attr;
	}
	return rc;
}

static int concat(struct onx_lower *l, uint32_t id, bool *done, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[id];
	const struct onx_file_attr *a = onx_lower_find(n, "axis");
	const struct onx_file_attr axis = { .name = "axis", .type = ONX_ATTR_INT, .i = 3 };
	*done = n->version >= 4 && a && (a->i == 1 || a->i == -3);
	return *done ? along(l, id, "", "Concat", &axis, 1, e) : ONX_OK;
}

/* Pools whose only output is the first. */
static int pool(struct onx_lower *l, uint32_t id, bool *done, struct onx_err *e)
{
	static const struct { const char *from, *to; } pools[] = {
		{ "MaxPool", "MaxPoolLast" }, { "AveragePool", "AveragePoolLast" },
		{ "GlobalAveragePool", "GlobalAveragePoolLast" } };
	const struct onx_node *n = &l->from->node[id];
	for (size_t k = 0; k < sizeof pools / sizeof *pools; k++) {
		size_t count;
		if (!onx_lower_is(n, pools[k].from))
			continue;
		const struct onx_file_attr *a = onx_lower_attr(n, &count);
		*done = true;
		return along(l, id, "onnx_adapt", pools[k].to, a, count, e);
	}
	return ONX_OK;
}

static int other(struct onx_lower *l, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[id];
	struct onx_graph *g = l->to;
	int rc = ONX_OK;
	bool done = false;
	if (alone(n) && four(l, n->out[0]) && has_last(l, n) && !l->f->infer[id]->train) {
		if (n->op->flags & ONX_OP_EACH)
			return along(l, id, n->domain, n->type, NULL, 0, e);
		rc = onx_lower_is(n, "Concat") ? concat(l, id, &done, e) : pool(l, id, &done, e);
	}
	if (done || rc < 0)
		return rc;
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_in; k++)
		if (n->in[k] != ONX_NONE)
			rc = first(l, id, n->in[k], e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_captured; k++)
		rc = first(l, id, n->captured[k], e);
	g->order[g->n_order++] = id;
	return rc;
}

static int swapped(struct onx_lower *l, const struct onx_swap *s, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < s->n_in; k++)
		if (s->in[k] != ONX_NONE)
			rc = first(l, s->end, s->in[k], e);
	return rc < 0 ? rc : onx_lower_node(l, s->domain, s->type, s->end, s->in, s->n_in, l->from->node[s->end].out[0],
					    s->attr, s->n_attr, e);
}

int onx_lower_nodes(struct onx_lower *l, struct onx_err *e)
{
	const struct onx_graph *g = l->from;
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		struct onx_chain *c = l->chain[id];
		if (!l->f->run[id] || l->inner[id])
			continue;
		if (l->swap[id])
			rc = swapped(l, l->swap[id], e);
		else if (c && c->before)
			rc = onx_lower_run(l, c, e);
		else if (l->concat[id])
			rc = onx_lower_concat(l, id, e);
		else if (c)
			rc = onx_lower_is(&g->node[c->head], "Conv") ? convolution(l, c, e) : normalization(l, c, e);
		else
			rc = other(l, id, e);
	}
	for (uint32_t i = 0; rc == ONX_OK && i < l->f->n_target; i++)
		rc = first(l, g->value[l->f->target[i]].def == ONX_NONE ? 0 : g->value[l->f->target[i]].def,
			   l->f->target[i], e);
	return rc;
}
