/* graph/facts_fold.c -- what depends on what is known alone is computed while facts are made. */
#include <string.h>
#include "graph/eval.h"
#include "graph/facts_i.h"

/* A view of a fact's numbers in the width that the node computes in (Dropout's double ratio beside float
 * data). */
static int in_width(struct onx_facts_work *w, const struct onx_op *op, const struct onx_fact *t, size_t width,
		    struct onx_view *x, struct onx_err *e)
{
	*x = *t->value;
	if (!onx_dtype_real(t->type) || x->width == width || (op->flags & ONX_OP_WIDTHS))
		return ONX_OK;
	x->v = onx_alloc(&w->f->arena, x->n + 1, width);
	if (!x->v)
		return onx_nomem(e, (double)x->n * (double)width, "a constant");
	x->width = (uint8_t)width;
	for (size_t i = 0; i < x->n; i++)
		onx_view_put_real(x, i, onx_view_real(t->value, i));
	return ONX_OK;
}

static int new_view(struct onx_facts_work *w, const struct onx_fact *t, struct onx_view **out, struct onx_err *e)
{
	struct onx_view *y = ONX_NEW(&w->f->arena, struct onx_view);
	int64_t *dim = ONX_NEWS(&w->f->arena, int64_t, ONX_RANK);
	size_t n;
	int rc = onx_count(t->shape.rank, t->shape.dim, &n, e);
	if (rc < 0)
		return rc;
	if (!y || !dim)
		return onx_nomem(e, sizeof *y, "a constant");
	memcpy(dim, t->shape.dim, sizeof t->shape.dim);
	*y = (struct onx_view){ .n = n, .rank = t->shape.rank, .dim = dim, .type = t->type,
				.width = (uint8_t)onx_dtype_store(t->type, w->want->wide) };
	y->v = onx_alloc(&w->f->arena, n + 1, y->width);
	*out = y;
	return y->v ? ONX_OK : onx_nomem(e, (double)n * y->width, "a constant");
}

int onx_facts_fold(struct onx_facts_work *w, uint32_t id, struct onx_err *e)
{
	const struct onx_node *n = &w->g->node[id];
	struct onx_infer *s = w->f->infer[id];
	const size_t width = w->f->wide[id] ? 8 : 4;
	struct onx_view *x = ONX_NEWS(&w->f->arena, struct onx_view, (size_t)s->n_in + 1);
	struct onx_view *y = ONX_NEWS(&w->f->arena, struct onx_view, (size_t)s->n_out + 1);
	int rc = x && y ? ONX_OK : onx_nomem(e, sizeof *x, "a constant");

	for (int i = 0; rc == ONX_OK && i < s->n_in; i++)
		if (s->in[i].type != ONX_UNDEFINED) {
			if (!s->in[i].value)
				return onx_fail(e, ONX_UNSUP, "the numbers of input '%s' are not known while "
						"planning", w->g->value[n->in[i]].name);
			rc = in_width(w, n->op, &s->in[i], width, &x[i], e);
		}
	for (int i = 0; rc == ONX_OK && i < s->n_out; i++)
		if (s->out[i].type != ONX_UNDEFINED) {
			struct onx_view *made = NULL;
			rc = new_view(w, &s->out[i], &made, e);
			if (rc < 0)
				break;
			y[i] = *made;
			if (i < (int)n->n_out && n->out[i] != ONX_NONE && !w->fed[n->out[i]])
				w->f->fact[n->out[i]].value = made;
		}
	if (rc < 0)
		return rc;
	const struct onx_op *op = w->f->wide[id] ? onx_op_wide(n->op) : n->op;
	const uint64_t draw = w->want->inside ? onx_draw_inside(w->want->draw, w->want->turn, id) : id;
	const struct onx_rng_key rng = { w->want->seed, w->want->step, draw };
	return onx_eval(op, n->attr, s, x, y, rng, w->want->pool, e);
}
