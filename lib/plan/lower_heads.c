/* plan/lower_heads.c -- attention, found around its Softmax:
 *
 *     scores = Q K' [* or / a number] [+ mask];   Y = Softmax(scores) V         Q, K, V [b][heads][t][d]
 *
 * where Q, K, V come out of a Transpose of what a product made, [b][t][heads d], or out of one such product for all
 * three, and Y goes back the same way, the step reads and writes that order and the transposes have no reader left.
 * Nodes in front of the swap are not marked: what nobody reads does not run. */
#include <string.h>
#include "plan/lower_block.h"
#include "plan/plan_i.h"

struct found {
	uint32_t qk, q, kt, v, mask, y; /* the product of scores; its factors; the values; the mask; Y          */
	uint32_t end;
	double scale;
	const struct onx_shape *sq, *sk, *sv;   /* of Q, K' and V */
};

static const struct onx_shape *shape(const struct onx_lower *l, uint32_t v)
{
	return &l->f->fact[v].shape;
}

static const struct onx_node *maker(const struct onx_lower *l, uint32_t v, const char *type)
{
	uint32_t id;
	return onx_swap_maker(l, v, type, &id);
}

/* The input of the Transpose with this permutation that makes v; ONNX_NONE: none such. */
static uint32_t turned(const struct onx_lower *l, uint32_t v, const int64_t *perm, uint32_t rank)
{
	const struct onx_node *n = maker(l, v, "Transpose");
	const struct onx_file_attr *a = n ? onx_lower_find(n, "perm") : NULL;
	return a && a->n == rank && memcmp(a->ints, perm, rank * sizeof *perm) == 0 ? n->in[0] : ONX_NONE;
}

static bool scores(const struct onx_lower *l, uint32_t v, struct found *f)
{
	const struct onx_node *n = maker(l, v, "Div");
	double c = 1;
	f->scale = 1;
	if (n && onx_swap_number(l, n->in[1], &c) && c != 0) {
		f->scale = 1 / c;
		v = n->in[0];
	} else if ((n = maker(l, v, "Mul"))) {
		const uint32_t x = onx_swap_number(l, n->in[0], &c) ? n->in[1] : n->in[0];
		if (!onx_swap_number(l, onx_swap_other(n, x), &c))
			return false;
		f->scale = c;
		v = x;
	}
	n = onx_swap_maker(l, v, "MatMul", &f->qk);
	if (!n)
		return false;
	f->q = n->in[0];
	f->kt = n->in[1];
	return true;
}

/* Does the mask broadcast to the scores, and need no gradient? */
static bool mask_fits(const struct onx_lower *l, uint32_t m, const struct onx_shape *s)
{
	const struct onx_shape *t = shape(l, m);
	if (t->rank > s->rank || (l->wants && l->wants[m]) || l->f->fact[m].type == ONX_UNDEFINED)
		return false;
	for (int d = 0; d < t->rank; d++)
		if (t->dim[d] != 1 && t->dim[d] != s->dim[s->rank - t->rank + d])
			return false;
	return true;
}

static bool front(const struct onx_lower *l, uint32_t softmax, struct found *f)
{
	const struct onx_node *n = &l->from->node[softmax], *add = maker(l, n->in[0], "Add");
	f->mask = ONX_NONE;
	if (!add)
		return scores(l, n->in[0], f);
	for (int k = 0; k < 2; k++)
		if (mask_fits(l, add->in[1 - k], shape(l, n->in[0])) &&
		    onx_shape_equal(shape(l, add->in[k]), shape(l, n->in[0])) && scores(l, add->in[k], f)) {
			f->mask = add->in[1 - k];
			return true;
		}
	return false;
}

static bool over_last(const struct onx_node *n)
{
	const struct onx_file_attr *a = onx_lower_find(n, "axis");
	return a ? a->i == -1 || a->i == 3 : n->version >= 13;
}

/* Four dimensions each, the first two alike. */
static bool sizes_fit(const struct onx_lower *l, struct found *f)
{
	const struct onx_shape *q = f->sq = shape(l, f->q), *k = f->sk = shape(l, f->kt), *v = f->sv = shape(l, f->v);
	if (q->rank != 4 || k->rank != 4 || v->rank != 4 || k->dim[3] == 0)
		return false;
	for (int d = 0; d < 2; d++)
		if (q->dim[d] != k->dim[d] || q->dim[d] != v->dim[d])
			return false;
	return q->dim[3] == k->dim[2] && k->dim[3] == v->dim[2];
}

/* [b][t][heads d], of which x4 [b][heads][t][d] is a view turned by perm; ONNX_NONE: it is not. */
static uint32_t rows_of(const struct onx_lower *l, uint32_t x4, const int64_t *perm)
{
	const uint32_t x = turned(l, x4, perm, 4);
	const struct onx_node *n = x == ONX_NONE ? NULL : maker(l, x, "Reshape");
	if (!n)
		return ONX_NONE;
	const struct onx_shape *s = shape(l, n->in[0]), *t = shape(l, x);
	return s->rank == 3 && s->dim[0] == t->dim[0] && s->dim[1] == t->dim[1] ? n->in[0] : ONX_NONE;
}

/* Which third of one [3][b][heads][t][d] x4 is: by Split and Squeeze, or by Gather. */
static uint32_t third_of(const struct onx_lower *l, uint32_t x4, uint32_t *which)
{
	const uint32_t id = l->from->value[x4].def;
	const struct onx_node *n = id == ONX_NONE ? NULL : &l->from->node[id];
	if (!n || !l->f->run[id] || n->n_in == 0)
		return ONX_NONE;
	const struct onx_file_attr *a = onx_lower_find(n, "axis");
	if (onx_lower_is(n, "Gather")) {
		const struct onx_view *i = l->f->fact[n->in[1]].value;
		if (!i || i->n != 1 || (a && a->i != 0) || shape(l, n->in[0])->rank != 5 || i->rank != 0)
			return ONX_NONE;
		*which = (uint32_t)onx_view_int(i, 0);
		return n->in[0];
	}
	if (!(n->op->flags & ONX_OP_VIEW) || shape(l, n->in[0])->rank != 5 || shape(l, n->in[0])->dim[0] != 1)
		return ONX_NONE;
	const struct onx_node *s = maker(l, n->in[0], "Split");
	a = s ? onx_lower_find(s, "axis") : NULL;
	if (!s || (a && a->i != 0) || s->n_out != 3)
		return ONX_NONE;
	for (*which = 0; *which < 3 && s->out[*which] != n->in[0]; ++*which)
		;
	return s->in[0];
}

/* The [b][t][3 heads d] that holds Q, K and V. */
static uint32_t packed(const struct onx_lower *l, const struct found *f, uint32_t k4)
{
	static const int64_t perm[5] = { 2, 0, 3, 1, 4 };
	uint32_t part[3], from[3];
	const uint32_t x4[3] = { f->q, k4, f->v };
	for (int i = 0; i < 3; i++) {
		from[i] = third_of(l, x4[i], &part[i]);
		if (from[i] == ONX_NONE || from[i] != from[0] || part[i] != (uint32_t)i)
			return ONX_NONE;
	}
	const uint32_t x = turned(l, from[0], perm, 5);
	const struct onx_node *n = x == ONX_NONE ? NULL : maker(l, x, "Reshape");
	if (!n)
		return ONX_NONE;
	const struct onx_shape *s = shape(l, n->in[0]), *t = shape(l, x), *q = f->sq;
	return s->rank == 3 && s->dim[0] == t->dim[0] && s->dim[1] == t->dim[1] && t->dim[2] == 3 &&
	       t->dim[0] == q->dim[0] && t->dim[1] == q->dim[2] && t->dim[3] == q->dim[1] && t->dim[4] == q->dim[3]
	       ? n->in[0] : ONX_NONE;
}

/* Does Y go on as [b][t][heads d]?  Then that is the end. */
static bool back_in_rows(const struct onx_lower *l, struct found *f, uint32_t inner[4])
{
	static const int64_t perm[4] = { 0, 2, 1, 3 };
	const uint32_t t = onx_swap_reader(l, f->y);
	if (!onx_swap_is(l, t, "Transpose") || turned(l, l->from->node[t].out[0], perm, 4) != f->y)
		return false;
	const uint32_t r = onx_swap_reader(l, l->from->node[t].out[0]);
	if (!onx_swap_is(l, r, "Reshape"))
		return false;
	const struct onx_shape *s = shape(l, l->from->node[r].out[0]);
	if (s->rank != 3 || s->dim[0] != f->sq->dim[0] || s->dim[1] != f->sq->dim[2])
		return false;
	inner[2] = f->end;
	inner[3] = t;
	f->end = r;
	return true;
}

int onx_lower_heads(struct onx_lower *l, uint32_t softmax, struct onx_err *e)
{
	static const int64_t heads_first[4] = { 0, 2, 1, 3 }, turn_k[4] = { 0, 1, 3, 2 }, both[4] = { 0, 2, 3, 1 };
	const struct onx_node *n = &l->from->node[softmax];
	struct found f;
	const char *layout = "bhtd";
	if (shape(l, n->in[0])->rank != 4 || !over_last(n) || !front(l, softmax, &f))
		return ONX_OK;
	f.end = onx_swap_reader(l, n->out[0]);
	if (!onx_swap_is(l, f.end, "MatMul") || l->from->node[f.end].in[0] != n->out[0])
		return ONX_OK;
	f.v = l->from->node[f.end].in[1];
	f.y = l->from->node[f.end].out[0];
	if (!sizes_fit(l, &f))
		return ONX_OK;
	const uint32_t k4 = turned(l, f.kt, turn_k, 4);
	uint32_t in[4] = { f.q, k4, f.v, f.mask }, inner[4] = { softmax, f.qk, ONX_NONE, ONX_NONE };
	const uint32_t rows[3] = { rows_of(l, f.q, heads_first),
				   k4 != ONX_NONE ? rows_of(l, k4, heads_first) : rows_of(l, f.kt, both),
				   rows_of(l, f.v, heads_first) };
	const uint32_t all = k4 == ONX_NONE ? ONX_NONE : packed(l, &f, k4);
	if (all != ONX_NONE && back_in_rows(l, &f, inner)) {
		layout = "packed";
		in[0] = all;
		in[1] = in[2] = ONX_NONE;
	} else if (rows[0] != ONX_NONE && rows[1] != ONX_NONE && rows[2] != ONX_NONE && back_in_rows(l, &f, inner)) {
		layout = "bthd";
		memcpy(in, rows, sizeof rows);
	} else if (k4 == ONX_NONE) {
		return ONX_OK;
	}
	if (onx_swap_reader(l, l->from->node[f.qk].out[0]) == ONX_NONE)
		return ONX_OK;
	struct onx_swap *s = onx_swap_new(l, "onnx_adapt", "HeadAttention", f.end, in, f.mask != ONX_NONE ? 4 : 3,
					  inner, 4);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "heads", .type = ONX_ATTR_INT, .i = f.sq->dim[1] };
	s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "scale", .type = ONX_ATTR_FLOAT, .f = (float)f.scale };
	s->attr[s->n_attr++] = (struct onx_file_attr){ .name = "layout", .type = ONX_ATTR_STRING, .s = layout,
						       .s_len = strlen(layout) };
	return ONX_OK;
}
