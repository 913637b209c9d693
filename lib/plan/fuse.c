/* plan/fuse.c -- which nodes become one step.
 *
 *     Conv [BatchNormalization] [Add] [activation]        a BatchNormalization with fixed numbers behind fixed weights
 *     BatchNormalization [Add] [activation]               goes into them: w' = w s, b' = (b - mean) s + bias,
 *                                                         s = scale / sqrt(variance + epsilon)
 *
 * Each value between them is read by the next alone and asked for by nobody. */
#include <math.h>
#include <string.h>
#include "plan/lower.h"

uint32_t onx_lower_reader(const struct onx_lower *l, uint32_t v)
{
	uint32_t found = ONX_NONE;
	if (l->target[v])
		return ONX_NONE;
	for (uint32_t i = l->uses.first[v]; i < l->uses.first[v + 1]; i++) {
		const uint32_t id = l->uses.use[i];
		if (!l->f->run[id])
			continue;
		if (found != ONX_NONE || l->from->node[id].n_captured)
			return ONX_NONE;
		found = id;
	}
	return found;
}

static uint32_t out_of(const struct onx_lower *l, uint32_t node)
{
	return l->from->node[node].out[0];
}

static bool known(const struct onx_lower *l, const struct onx_node *n, uint32_t i)
{
	return i < n->n_in && n->in[i] != ONX_NONE && l->f->fact[n->in[i]].value;
}

static bool one_output(const struct onx_node *n)
{
	for (uint32_t k = 1; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE)
			return false;
	return n->out[0] != ONX_NONE;
}

/* Statistics of channels, and not of the batch because an old node does not say is_test. */
static bool by_channel(const struct onx_lower *l, const struct onx_node *n)
{
	const struct onx_file_attr *test = onx_lower_find(n, "is_test");

	return n->n_in > 1 && n->in[1] != ONX_NONE && l->f->fact[n->in[1]].shape.rank == 1 &&
	       (n->version >= 7 || (test && test->i != 0));
}

static bool fixed_norm(const struct onx_lower *l, uint32_t id)
{
	const struct onx_node *n = &l->from->node[id];
	return onx_lower_is(n, "BatchNormalization") && !l->f->infer[id]->train && one_output(n) &&
	       !onx_lower_find(n, "training_mode") && known(l, n, 1) && known(l, n, 2) && known(l, n, 3) &&
	       known(l, n, 4) && by_channel(l, n);
}

static bool same_shape(const struct onx_lower *l, uint32_t a, uint32_t b)
{
	return a != ONX_NONE && b != ONX_NONE && onx_shape_equal(&l->f->fact[a].shape, &l->f->fact[b].shape);
}

/* An Add of v and a value of the same shape that is no constant. */
static bool adds(const struct onx_lower *l, uint32_t id, uint32_t v, uint32_t *z)
{
	const struct onx_node *n = &l->from->node[id];
	if (!onx_lower_is(n, "Add") || n->in[0] == n->in[1] || l->inner[id] || l->chain[id] || l->swap[id])
		return false;
	*z = n->in[0] == v ? n->in[1] : n->in[0];
	return same_shape(l, v, *z) && !l->f->fact[*z].value && same_shape(l, n->out[0], v);
}

static bool single(const struct onx_lower *l, const struct onx_node *n, uint32_t i, double none, float *to)
{
	const struct onx_view *x;
	double v = none;
	if (i < n->n_in && n->in[i] != ONX_NONE) {
		x = l->f->fact[n->in[i]].value;
		if (!x || x->n != 1)
			return false;
		v = onx_view_real(x, 0);
	}
	*to = (float)v;
	return (double)*to == v;
}

/* The two numbers of a Clip: attributes before opset 11, then inputs. */
static bool clip(const struct onx_lower *l, const struct onx_node *n, struct onx_chain *c)
{
	const struct onx_file_attr *lo = onx_lower_find(n, "min"), *hi = onx_lower_find(n, "max");
	const float most = 3.402823466e38f;
	c->n_par = 2;
	if (n->version >= 11)
		return single(l, n, 1, -(double)most, &c->par[0]) && single(l, n, 2, (double)most, &c->par[1]);
	c->par[0] = lo ? lo->f : -most;
	c->par[1] = hi ? hi->f : most;
	return true;
}

static void number(const struct onx_node *n, const char *name, float none, struct onx_chain *c)
{
	const struct onx_file_attr *a = onx_lower_find(n, name);
	c->par[c->n_par++] = a ? a->f : none;
}

/* Where a gradient passes, the activation's derivative must be had from y, but for a normalization alone, which
 * knows them all. */
static bool any_activation(const struct onx_lower *l, uint32_t v, const struct onx_chain *c)
{
	return !l->wants || !l->wants[v] ||
	       (c->add == ONX_NONE && onx_lower_is(&l->from->node[c->head], "BatchNormalization"));
}

static bool activation(const struct onx_lower *l, uint32_t id, struct onx_chain *c)
{
	const struct onx_node *n = &l->from->node[id];
	c->n_par = 0;
	if (onx_lower_is(n, "Relu") || onx_lower_is(n, "Sigmoid") || onx_lower_is(n, "Tanh") ||
	    (onx_lower_is(n, "HardSwish") && any_activation(l, n->in[0], c))) {
		c->activation = n->type;
		return true;
	}
	if (onx_lower_is(n, "Clip") && clip(l, n, c)) {
		c->activation = n->type;
		return true;
	}
	c->n_par = 0;
	if (onx_lower_is(n, "LeakyRelu")) {
		number(n, "alpha", 0.01f, c);
		c->activation = c->par[0] > 0 ? n->type : NULL;
	} else if (onx_lower_is(n, "HardSigmoid")) {
		number(n, "alpha", 0.2f, c);
		number(n, "beta", 0.5f, c);
		c->activation = n->type;
	}
	return c->activation != NULL;
}

/* x * Sigmoid(x), as exporters write SiLU: both nodes read v and nobody else does. */
static bool silu(const struct onx_lower *l, uint32_t v, struct onx_chain *c, uint32_t *sigmoid)
{
	uint32_t two[2], n = 0;
	if (l->target[v] || !any_activation(l, v, c))
		return false;
	for (uint32_t i = l->uses.first[v]; i < l->uses.first[v + 1]; i++)
		if (l->f->run[l->uses.use[i]] && n++ < 2)
			two[n - 1] = l->uses.use[i];
	if (n != 2)
		return false;
	for (uint32_t k = 0; k < 2; k++) {
		const struct onx_node *s = &l->from->node[two[k]], *m = &l->from->node[two[1 - k]];
		if (onx_lower_is(s, "Sigmoid") && onx_lower_is(m, "Mul") &&
		    onx_lower_reader(l, s->out[0]) == two[1 - k] &&
		    (m->in[0] == s->out[0] || m->in[1] == s->out[0])) {
			*sigmoid = two[k];
			c->act = two[1 - k];
			c->activation = "Silu";
			return true;
		}
	}
	return false;
}

void onx_lower_follow(struct onx_lower *l, struct onx_chain *c)
{
	uint32_t v = out_of(l, c->end), sigmoid = ONX_NONE, next = onx_lower_reader(l, v), z;
	if (next != ONX_NONE && adds(l, next, v, &z)) {
		c->add = c->end = next;
		c->z = z;
		v = out_of(l, next);
		next = onx_lower_reader(l, v);
	}
	if (next != ONX_NONE && !l->inner[next] && !l->chain[next] && !l->swap[next] &&
	    one_output(&l->from->node[next]) && activation(l, next, c))
		c->act = c->end = next;
	else if (next == ONX_NONE && silu(l, v, c, &sigmoid)) {
		c->end = c->act;
		l->inner[sigmoid] = true;
	}
}

static bool fixed_weights(const struct onx_lower *l, const struct onx_node *n)
{
	return known(l, n, 1) && (n->n_in < 3 || n->in[2] == ONX_NONE || known(l, n, 2));
}

static bool starts(const struct onx_lower *l, uint32_t id)
{
	const struct onx_node *n = &l->from->node[id];
	if (!l->f->run[id] || l->inner[id] || l->chain[id] || !n->n_in || n->in[0] == ONX_NONE ||
	    l->f->fact[n->in[0]].shape.rank != 4)
		return false;
	return onx_lower_is(n, "Conv") || (onx_lower_is(n, "BatchNormalization") && one_output(n) &&
					   n->version >= 7 && by_channel(l, n) &&
					   !onx_lower_find(n, "training_mode"));
}

int onx_lower_chains(struct onx_lower *l, struct onx_err *e)
{
	const struct onx_graph *g = l->from;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (!starts(l, id))
			continue;
		struct onx_chain *c = ONX_NEW(&l->scratch, struct onx_chain);
		if (!c)
			return onx_nomem(e, sizeof *c, "the plan");
		*c = (struct onx_chain){ .head = id, .bn = ONX_NONE, .add = ONX_NONE, .act = ONX_NONE, .end = id,
					 .z = ONX_NONE, .x = ONX_NONE, .scale = ONX_NONE };
		const uint32_t next = onx_lower_reader(l, out_of(l, id));
		if (onx_lower_is(&g->node[id], "Conv") && next != ONX_NONE && fixed_norm(l, next) &&
		    fixed_weights(l, &g->node[id]))
			c->bn = c->end = next;
		onx_lower_follow(l, c);
		const uint32_t part[4] = { c->head, c->bn, c->add, c->act };
		for (int k = 0; k < 4; k++)
			if (part[k] != ONX_NONE && part[k] != c->end)
				l->inner[part[k]] = true;
		l->chain[c->end] = c;
	}
	return ONX_OK;
}

int onx_lower_folded(struct onx_lower *l, const struct onx_chain *c, uint32_t *w, uint32_t *b, struct onx_err *e)
{
	const struct onx_node *conv = &l->from->node[c->head], *bn = &l->from->node[c->bn];
	const struct onx_fact *fw = &l->f->fact[conv->in[1]];
	const struct onx_view *from = fw->value, *bias = NULL, *p[5];
	const struct onx_file_attr *a = onx_lower_find(bn, "epsilon");
	const double epsilon = a ? (double)a->f : 1e-5;
	struct onx_view *to_w, *to_b;
	int rc = onx_lower_known(l, conv->in[1], fw->type, &fw->shape, w, &to_w, e);
	if (rc == ONX_OK)
		rc = onx_lower_known(l, conv->in[1], fw->type, &(struct onx_shape){ 1, { fw->shape.dim[0] } }, b,
				     &to_b, e);
	if (rc < 0)
		return rc;
	if (conv->n_in > 2 && conv->in[2] != ONX_NONE)
		bias = l->f->fact[conv->in[2]].value;
	for (int i = 1; i < 5; i++)
		p[i] = l->f->fact[bn->in[i]].value;
	const size_t each = to_b->n ? to_w->n / to_b->n : 0;
	for (size_t m = 0; m < to_b->n; m++) {
		const double s = onx_view_real(p[1], m) / sqrt(onx_view_real(p[4], m) + epsilon);
		const double b0 = bias ? onx_view_real(bias, m) : 0;
		onx_view_put_real(to_b, m, (b0 - onx_view_real(p[3], m)) * s + onx_view_real(p[2], m));
		for (size_t k = m * each; k < (m + 1) * each; k++)
			onx_view_put_real(to_w, k, onx_view_real(from, k) * s);
	}
	return ONX_OK;
}
