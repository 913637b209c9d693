/* plan/lower_block.c -- what transformers are made of, found in the nodes that exporters write:
 *
 *     layer norm      (x - mean) / sqrt(mean((x - mean)^2) + eps) * scale + bias      -> LayerNormalization
 *     Gelu            x * (1 + erf(x / sqrt 2)) / 2                                   -> Gelu
 *     dense           MatMul or Gemm [+ bias] [+ residual] [activation]               -> Dense, DenseAct
 *     attention       softmax(scale Q K' [+ mask]) V, with the transposes around it   -> HeadAttention (lower_heads.c)
 *
 * A swap stands where its last node stood; each value inside is read by the swap alone and asked for by nobody. */
#include "plan/lower_block.h"
#include <math.h>
#include <string.h>
#include "plan/plan_i.h"

const struct onx_node *onx_swap_maker(const struct onx_lower *l, uint32_t v, const char *type, uint32_t *id)
{
	if (v == ONX_NONE || (*id = l->from->value[v].def) == ONX_NONE)
		return NULL;
	const struct onx_node *n = &l->from->node[*id];
	return onx_swap_is(l, *id, type) ? n : NULL;
}

bool onx_swap_is(const struct onx_lower *l, uint32_t id, const char *type)
{
	return id != ONX_NONE && l->f->run[id] && !l->inner[id] && !l->chain[id] && !l->swap[id] &&
	       onx_lower_is(&l->from->node[id], type);
}

uint32_t onx_swap_readers(const struct onx_lower *l, uint32_t v, uint32_t *to, uint32_t most)
{
	uint32_t n = 0;
	if (l->target[v])
		return UINT32_MAX;
	for (uint32_t i = l->uses.first[v]; i < l->uses.first[v + 1]; i++) {
		const uint32_t id = l->uses.use[i];
		if (!l->f->run[id])
			continue;
		if (n == most || l->from->node[id].n_captured)
			return UINT32_MAX;
		to[n++] = id;
	}
	return n;
}

uint32_t onx_swap_reader(const struct onx_lower *l, uint32_t v)
{
	uint32_t id;
	return onx_swap_readers(l, v, &id, 1) == 1 ? id : ONX_NONE;
}

bool onx_swap_number(const struct onx_lower *l, uint32_t v, double *to)
{
	const struct onx_view *x = v == ONX_NONE ? NULL : l->f->fact[v].value;
	if (!x || x->n != 1 || !onx_dtype_real(x->type))
		return false;
	*to = onx_view_real(x, 0);
	return true;
}

uint32_t onx_swap_other(const struct onx_node *n, uint32_t v)
{
	return n->in[0] == v ? n->in[1] : n->in[0];
}

struct onx_swap *onx_swap_new(struct onx_lower *l, const char *domain, const char *type, uint32_t end,
			      const uint32_t *in, uint32_t n_in, const uint32_t *inner, uint32_t n_inner)
{
	struct onx_swap *s = ONX_NEW(&l->to->arena, struct onx_swap);
	if (!s)
		return NULL;
	*s = (struct onx_swap){ .domain = domain, .type = type, .end = end, .n_in = n_in };
	memcpy(s->in, in, n_in * sizeof *in);
	for (uint32_t i = 0; i < n_inner; i++)
		if (inner[i] != ONX_NONE && inner[i] != end)
			l->inner[inner[i]] = true;
	l->swap[end] = s;
	return s;
}

static bool close_to(double a, double b)
{
	return fabs(a - b) <= 1e-6 * fabs(b);
}

/* A mean over the last dimension, which stays. */
static bool last_mean(const struct onx_lower *l, const struct onx_node *n)
{
	const struct onx_file_attr *keep = onx_lower_find(n, "keepdims"), *axes = onx_lower_find(n, "axes");
	const int rank = l->f->fact[n->in[0]].shape.rank;
	int64_t axis;
	if (keep && keep->i != 1)
		return false;
	if (axes && axes->n == 1) {
		axis = axes->ints[0];
	} else {
		const struct onx_view *v = n->n_in > 1 && n->in[1] != ONX_NONE ? l->f->fact[n->in[1]].value : NULL;
		if (!v || v->n != 1)
			return false;
		axis = onx_view_int(v, 0);
	}
	return rank > 0 && (axis == -1 || axis == rank - 1);
}

/* One number for each place of the last dimension of v. */
static bool by_column(const struct onx_lower *l, uint32_t b, uint32_t v)
{
	const struct onx_shape *s = &l->f->fact[v].shape, *t = &l->f->fact[b].shape;
	return t->rank == 1 && s->rank > 0 && t->dim[0] == s->dim[s->rank - 1] &&
	       l->f->fact[b].type == l->f->fact[v].type;
}

static bool squares(const struct onx_lower *l, const struct onx_node *n, uint32_t d)
{
	double p;
	if (onx_lower_is(n, "Pow"))
		return n->in[0] == d && onx_swap_number(l, n->in[1], &p) && p == 2;
	return n->in[0] == d && n->in[1] == d;
}

/* From the Div back: Sub, ReduceMean, Pow, ReduceMean, Add, Sqrt; and forward: Mul, Add. */
static int layer_norm(struct onx_lower *l, uint32_t div, struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[div], *sub, *sqrt_, *add, *var, *sq, *mean;
	uint32_t id[9] = { div }, use[2];
	double eps = 0;
	if (!(sub = onx_swap_maker(l, n->in[0], "Sub", &id[1])) ||
	    !(sqrt_ = onx_swap_maker(l, n->in[1], "Sqrt", &id[2])) ||
	    !(add = onx_swap_maker(l, sqrt_->in[0], "Add", &id[3])))
		return ONX_OK;
	const uint32_t v = onx_swap_number(l, add->in[1], &eps) ? add->in[0] : add->in[1];
	if (!onx_swap_number(l, onx_swap_other(add, v), &eps) ||
	    !(var = onx_swap_maker(l, v, "ReduceMean", &id[4])) ||
	    (!(sq = onx_swap_maker(l, var->in[0], "Pow", &id[5])) &&
	     !(sq = onx_swap_maker(l, var->in[0], "Mul", &id[5]))) ||
	    !squares(l, sq, n->in[0]) || !(mean = onx_swap_maker(l, sub->in[1], "ReduceMean", &id[6])) ||
	    mean->in[0] != sub->in[0] || !last_mean(l, mean) || !last_mean(l, var))
		return ONX_OK;
	const uint32_t x = sub->in[0];
	if (onx_swap_readers(l, n->in[0], use, 2) != 2)
		return ONX_OK;
	for (int k = 2; k < 7; k++)
		if (onx_swap_reader(l, l->from->node[id[k]].out[0]) == ONX_NONE)
			return ONX_OK;
	id[7] = onx_swap_reader(l, n->out[0]);
	if (!onx_swap_is(l, id[7], "Mul"))
		return ONX_OK;
	const struct onx_node *mul = &l->from->node[id[7]];
	const uint32_t scale = onx_swap_other(mul, n->out[0]);
	id[8] = onx_swap_reader(l, mul->out[0]);
	if (!by_column(l, scale, x) || !onx_swap_is(l, id[8], "Add"))
		return ONX_OK;
	const uint32_t bias = onx_swap_other(&l->from->node[id[8]], mul->out[0]), in[3] = { x, scale, bias };
	if (!by_column(l, bias, x))
		return ONX_OK;
	struct onx_swap *s = onx_swap_new(l, "", "LayerNormalization", id[8], in, 3, id, 9);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "axis", .type = ONX_ATTR_INT, .i = -1 };
	s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "epsilon", .type = ONX_ATTR_FLOAT, .f = (float)eps };
	return ONX_OK;
}

/* A product of v and a half. */
static bool halves(const struct onx_lower *l, const struct onx_node *n, uint32_t v)
{
	double h;
	return onx_swap_number(l, onx_swap_other(n, v), &h) && h == 0.5;
}

/* Around an Erf: x / sqrt 2 in front; behind it + 1, * x, * 1/2, or * (x * 1/2). */
static int gelu(struct onx_lower *l, uint32_t erf_, struct onx_err *e)
{
	const struct onx_node *f = &l->from->node[erf_], *d, *half;
	uint32_t id[6] = { erf_, ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE };
	double c = 0, one = 0;
	if (!(d = onx_swap_maker(l, f->in[0], "Div", &id[1])) && !(d = onx_swap_maker(l, f->in[0], "Mul", &id[1])))
		return ONX_OK;
	const uint32_t x = onx_swap_number(l, d->in[1], &c) ? d->in[0] : d->in[1];
	if (!onx_swap_number(l, onx_swap_other(d, x), &c) || (onx_lower_is(d, "Div") && d->in[0] != x) ||
	    !close_to(onx_lower_is(d, "Div") ? c * c : 1 / (c * c), 2) || onx_swap_reader(l, f->in[0]) != erf_)
		return ONX_OK;
	id[2] = onx_swap_reader(l, f->out[0]);
	if (!onx_swap_is(l, id[2], "Add"))
		return ONX_OK;
	const struct onx_node *add = &l->from->node[id[2]];
	if (!onx_swap_number(l, onx_swap_other(add, f->out[0]), &one) || one != 1)
		return ONX_OK;
	id[3] = onx_swap_reader(l, add->out[0]);
	if (!onx_swap_is(l, id[3], "Mul"))
		return ONX_OK;
	const struct onx_node *mul = &l->from->node[id[3]];
	const uint32_t other = onx_swap_other(mul, add->out[0]);
	uint32_t end = id[3];
	if (other == x) {
		end = id[4] = onx_swap_reader(l, mul->out[0]);
		if (!onx_swap_is(l, end, "Mul") || !halves(l, &l->from->node[end], mul->out[0]))
			return ONX_OK;
	} else if (!(half = onx_swap_maker(l, other, "Mul", &id[5])) || onx_swap_other(half, x) == x ||
		   (half->in[0] != x && half->in[1] != x) || !halves(l, half, x) ||
		   onx_swap_reader(l, other) != id[3]) {
		return ONX_OK;
	}
	struct onx_swap *s = onx_swap_new(l, "", "Gelu", end, &x, 1, id, 6);
	return s ? ONX_OK : onx_nomem(e, sizeof *s, "the plan");
}

/* The Gelu that alone reads v, as one node or as found above, where no gradient passes; its last node. */
static uint32_t gelu_of(const struct onx_lower *l, uint32_t v, const struct onx_swap *const *found, uint32_t n)
{
	uint32_t use[2];
	const uint32_t readers = onx_swap_readers(l, v, use, 2);
	if (readers == UINT32_MAX || (l->wants && l->wants[v]))
		return ONX_NONE;
	if (readers == 1 && onx_swap_is(l, use[0], "Gelu") && !onx_lower_find(&l->from->node[use[0]], "approximate"))
		return use[0];
	for (uint32_t i = 0; i < n; i++)
		if (l->swap[found[i]->end] == found[i] && found[i]->in[0] == v && readers <= 2)
			return found[i]->end;
	return ONX_NONE;
}

static bool plain_gemm(const struct onx_node *n)
{
	const struct onx_file_attr *a = onx_lower_find(n, "alpha"), *b = onx_lower_find(n, "beta"),
				   *t = onx_lower_find(n, "transA");
	return (!a || a->f == 1) && (!b || b->f == 1) && (!t || t->i == 0);
}

static void dense_attr(struct onx_swap *s, const struct onx_file_attr *tb, const struct onx_chain *c)
{
	if (tb)
		s->attr[s->n_attr++] = *tb;
	if (c->activation)
		s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "activation", .type = ONX_ATTR_STRING,
							       .s = c->activation, .s_len = strlen(c->activation) };
	memcpy(s->par, c->par, sizeof c->par);
	if (c->n_par)
		s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "activation_params", .type = ONX_ATTR_FLOATS,
							       .n = c->n_par, .floats = s->par };
}

static int dense(struct onx_lower *l, uint32_t id, const struct onx_swap *const *gelus, uint32_t n_gelu,
		 struct onx_err *e)
{
	const struct onx_node *n = &l->from->node[id];
	const bool gemm = onx_lower_is(n, "Gemm");
	const uint32_t v = n->out[0];
	uint32_t in[4] = { n->in[0], n->in[1], ONX_NONE, ONX_NONE };
	uint32_t inner[5] = { id, ONX_NONE, ONX_NONE, ONX_NONE, ONX_NONE };
	struct onx_chain c = { .head = id, .bn = ONX_NONE, .add = ONX_NONE, .act = ONX_NONE, .end = id,
			       .z = ONX_NONE };
	if (l->f->fact[in[1]].shape.rank != 2 || l->f->fact[in[0]].shape.rank < 2 || (gemm && !plain_gemm(n)))
		return ONX_OK;
	if (gemm && n->n_in > 2 && n->in[2] != ONX_NONE) {
		in[2] = n->in[2];
		if (!by_column(l, in[2], v))
			return ONX_OK;
	} else {
		const uint32_t next = onx_swap_reader(l, v);
		if (onx_swap_is(l, next, "Add")) {
			const uint32_t b = onx_swap_other(&l->from->node[next], v);
			if (b != v && by_column(l, b, v)) {
				in[2] = b;
				c.end = inner[1] = next;
			}
		}
	}
	onx_lower_follow(l, &c);
	in[3] = c.z;
	inner[2] = c.add;
	inner[3] = c.act;
	const uint32_t g = c.activation ? ONX_NONE : gelu_of(l, l->from->node[c.end].out[0], gelus, n_gelu);
	if (g != ONX_NONE) {
		inner[4] = c.end;
		c.end = g;
		c.activation = "Gelu";
	}
	if (c.end == id && in[2] == ONX_NONE)
		return ONX_OK;
	if (l->inner[c.end] || l->chain[c.end])
		return ONX_OK;
	const bool grad = l->wants && l->wants[l->from->node[c.end].out[0]];
	struct onx_swap *s = onx_swap_new(l, "onnx_adapt", c.activation && grad ? "DenseAct" : "Dense", c.end, in,
					  in[3] != ONX_NONE ? 4 : in[2] != ONX_NONE ? 3 : 2, inner, 5);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	dense_attr(s, gemm ? onx_lower_find(n, "transB") : NULL, &c);
	return ONX_OK;
}

int onx_lower_blocks(struct onx_lower *l, struct onx_err *e)
{
	const struct onx_graph *g = l->from;
	const struct onx_swap **gelus = ONX_NEWS(&l->scratch, const struct onx_swap *, g->n_order + 1);
	uint32_t n_gelu = 0;
	int rc = gelus ? ONX_OK : onx_nomem(e, g->n_order * 8.0, "the plan");
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (onx_swap_is(l, id, "Div"))
			rc = layer_norm(l, id, e);
		else if (onx_swap_is(l, id, "Erf"))
			rc = gelu(l, id, e);
		else if (onx_swap_is(l, id, "Softmax"))
			rc = onx_lower_heads(l, id, e);
	}
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++)
		if (l->swap[g->order[i]] && strcmp(l->swap[g->order[i]]->type, "Gelu") == 0)
			gelus[n_gelu++] = l->swap[g->order[i]];
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (onx_swap_is(l, id, "MatMul") || onx_swap_is(l, id, "Gemm"))
			rc = dense(l, id, gelus, n_gelu, e);
	}
	return rc;
}
