/* plan/backward.c -- backward steps, in reverse order of the forward ones.
 *
 * The gradient of a value starts to live at its first writer, which sets it; later writers add.  Stale
 * memory is never read and nothing is zeroed.  A value that one view alone reads shares its gradient's
 * memory with the view's, so reshapes cost nothing on the way back either. */
#include <string.h>
#include "plan/plan_i.h"
#include "plan/sum.h"

/* How many (node, input) pairs send a gradient to each value. */
static int count_writers(struct onx_builder *b, uint32_t **out, struct onx_err *e)
{
	uint32_t *n = ONX_NEWS(&b->p->arena, uint32_t, b->g->n_value + 1);
	if (!n)
		return onx_nomem(e, b->g->n_value * 4.0, "the plan");
	for (uint32_t i = 0; i < b->g->n_order; i++) {
		const struct onx_node *x = &b->g->node[b->g->order[i]];
		for (uint32_t k = 0; b->back[b->g->order[i]] && k < x->n_in; k++)
			if (x->in[k] != ONX_NONE && b->grad[x->in[k]] &&
			    onx_op_grad(x->op, (int)k) == ONX_G_DIFF)
				n[x->in[k]]++;
	}
	*out = n;
	return ONX_OK;
}

/* A gradient tensor with the shape of value v, in the block from step `at` on. */
static int gradient_block(struct onx_builder *b, uint32_t v, uint32_t at, uint32_t *t, struct onx_err *e)
{
	struct onx_view view;
	int rc = onx_plan_view(b, &b->p->facts->fact[v], &view, e);
	if (rc < 0)
		return rc;
	*t = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
	const uint32_t l = onx_plan_add_life(b, "gradient", v, view.n * view.width, at);
	if (*t == ONX_NONE || l == ONX_NONE)
		return onx_nomem(e, sizeof view, "the plan");
	b->p->tensor[*t].life = l;
	return ONX_OK;
}

/* The tensor that holds v's gradient; made on first use. */
static int gradient_of(struct onx_builder *b, uint32_t v, uint32_t at, uint32_t *t, struct onx_err *e)
{
	if (b->grad_tensor[v] == ONX_NONE && b->p->param_at[v] != SIZE_MAX && b->g->value[v].init) {
		struct onx_view view;
		int rc = onx_plan_view(b, &b->p->facts->fact[v], &view, e);
		if (rc < 0)
			return rc;
		const uint32_t g = onx_plan_add_tensor(b, &view, ONX_AT_GRAD);
		if (g == ONX_NONE)
			return onx_nomem(e, sizeof view, "the plan");
		b->p->tensor[g].element = b->p->param_at[v];
		b->grad_tensor[v] = g;
	} else if (b->grad_tensor[v] == ONX_NONE) {
		int rc = gradient_block(b, v, at, &b->grad_tensor[v], e);
		if (rc < 0)
			return rc;
	}
	*t = b->grad_tensor[v];
	if (b->p->tensor[*t].at == ONX_AT_BLOCK)
		onx_life_reach(&b->p->life[b->p->tensor[*t].life], at);
	return ONX_OK;
}

static int sum_step(struct onx_builder *b, uint32_t id, uint32_t from, uint32_t v, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const uint32_t at = p->n_step;
	struct onx_step *s = onx_plan_add_step(b, id, true, 1, 1);
	uint32_t to;
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	int rc = gradient_of(b, v, at, &to, e);
	if (rc < 0)
		return rc;
	s->run = onx_sum_gradients;
	s->impl = "sum";
	s->dy[0] = from;
	s->dx[0] = to;
	s->add[0] = b->written[v];
	b->written[v] = true;
	if (p->tensor[from].at == ONX_AT_BLOCK)
		onx_life_reach(&p->life[p->tensor[from].life], at);
	return ONX_OK;
}

/* The gradient of v is another view of tensor `from`; of another size: it stays apart. */
static int same_memory(struct onx_builder *b, uint32_t v, uint32_t from, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	struct onx_view view;
	int rc = onx_plan_view(b, &p->facts->fact[v], &view, e);
	if (rc < 0 || view.n != p->tensor[from].view.n)
		return rc;
	const uint32_t t = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
	if (t == ONX_NONE)
		return onx_nomem(e, sizeof view, "the plan");
	p->tensor[t].life = p->tensor[from].life;
	b->grad_tensor[v] = t;
	return ONX_OK;
}

/* A view's input takes the gradient of its output: the same memory if nothing else writes to it. */
static int view_back(struct onx_builder *b, uint32_t id, const uint32_t *writers, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_node *n = &b->g->node[id];
	const uint32_t x = n->in[0], from = b->grad_tensor[n->out[0]];
	if (writers[x] != 1 || p->param_at[x] != SIZE_MAX || p->tensor[from].at != ONX_AT_BLOCK)
		return sum_step(b, id, from, x, e);
	b->written[x] = true;
	return same_memory(b, x, from, e);
}

/* What backward may read: tensors with their numbers where the operator says so, else their shape alone. */
static int readable(struct onx_builder *b, uint32_t from, bool numbers, uint32_t at, uint32_t *t,
		    struct onx_err *e)
{
	struct onx_plan *p = b->p;
	*t = from;
	if (from == ONX_NONE || p->tensor[from].at != ONX_AT_BLOCK)
		return ONX_OK;
	if (numbers)
		return onx_plan_now(b, from, at, t, e);
	const struct onx_view view = p->tensor[from].view;
	*t = onx_plan_add_tensor(b, &view, ONX_AT_NONE);
	return *t == ONX_NONE ? onx_nomem(e, sizeof view, "the plan") : ONX_OK;
}

static int read_back(struct onx_builder *b, const struct onx_step *f, struct onx_step *s, uint32_t at,
		     struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t k = 0; rc == ONX_OK && k < f->n_x; k++)
		rc = readable(b, f->x[k], f->op->keep & ONX_KEEP_X(k < 15 ? k : 15), at, &s->x[k], e);
	for (uint32_t k = 0; rc == ONX_OK && k < f->n_y; k++)
		rc = readable(b, f->y[k], k < 15 && (f->op->keep & ONX_KEEP_Y(k)), at, &s->y[k], e);
	return rc;
}

/* What this step will read and nobody has kept. */
static int make_again(struct onx_builder *b, uint32_t step, struct onx_err *e)
{
	const struct onx_step copy = b->p->step[step], *f = &copy;
	int rc = onx_plan_again_saved(b, step, e);
	for (uint32_t k = 0; rc == ONX_OK && k < f->n_x; k++)
		if (f->op->keep & ONX_KEEP_X(k < 15 ? k : 15))
			rc = onx_plan_again(b, f->x[k], e);
	for (uint32_t k = 0; rc == ONX_OK && k < f->n_y && k < 15; k++)
		if (f->op->keep & ONX_KEEP_Y(k))
			rc = onx_plan_again(b, f->y[k], e);
	return rc;
}

static bool seen_before(const struct onx_node *n, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		if (n->in[i] == n->in[k] && onx_op_grad(n->op, (int)i) == ONX_G_DIFF)
			return true;
	return false;
}

/* Input k whose gradient may have dy[0]'s memory: the same, if nothing was written there yet. */
static int pass_on(struct onx_builder *b, uint32_t k, uint32_t v, const struct onx_step *s, struct onx_err *e)
{
	const struct onx_plan *p = b->p;
	const uint32_t from = s->dy[0];
	if (k != s->op->pass || (k == 0 && !(s->op->flags & ONX_OP_OVER_DY)) || from == ONX_NONE)
		return ONX_OK;
	if (b->grad_tensor[v] != ONX_NONE || p->param_at[v] != SIZE_MAX || p->tensor[from].at != ONX_AT_BLOCK)
		return ONX_OK;
	return same_memory(b, v, from, e);
}

/* Where this step writes.  A value that the node reads twice (x * x) gets its second gradient in a piece of
 * its own, which a sum step adds: the order of writes inside a kernel stays the kernel's matter.  So does one that
 * holds a gradient already where the operator does not add to it. */
static int write_back(struct onx_builder *b, uint32_t id, struct onx_step *s, uint32_t at, struct onx_err *e)
{
	const struct onx_node *n = &b->g->node[id];
	for (uint32_t k = 0; k < n->n_in; k++) {
		const uint32_t v = n->in[k];
		int rc;
		if (v == ONX_NONE || !b->grad[v] || onx_op_grad(n->op, (int)k) != ONX_G_DIFF)
			continue;
		if (seen_before(n, k) || (k == 0 && b->written[v] && (n->op->flags & ONX_OP_SETS_DX0))) {
			rc = gradient_block(b, v, at, &s->dx[k], e);
		} else {
			rc = pass_on(b, k, v, s, e);
			if (rc == ONX_OK)
				rc = gradient_of(b, v, at, &s->dx[k], e);
			s->add[k] = b->written[v];
			b->written[v] = true;
		}
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

static int sum_twins(struct onx_builder *b, uint32_t id, uint32_t step, struct onx_err *e)
{
	const struct onx_node *n = &b->g->node[id];
	for (uint32_t k = 0; k < n->n_in; k++) {
		if (n->in[k] == ONX_NONE || b->p->step[step].dx[k] == ONX_NONE ||
		    b->p->step[step].dx[k] == b->grad_tensor[n->in[k]])
			continue;
		int rc = sum_step(b, id, b->p->step[step].dx[k], n->in[k], e);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

static int memory(struct onx_builder *b, uint32_t id, const struct onx_step *f, struct onx_step *s,
		  uint32_t at, struct onx_err *e)
{
	const struct onx_impl *m = b->impl[id];
	const bool own = m && m->backward;
	size_t (*scratch)(const struct onx_infer *, const void *, int, bool) =
		own ? m->scratch : f->op->scratch;
	const size_t tmp = scratch ? scratch(b->p->facts->infer[id], b->g->node[id].attr, b->want->threads,
					     true) : 0;
	s->run = own ? m->backward : f->op->backward;
	s->impl = own ? m->name : "reference";
	s->save = b->lost[b->fwd_at[id]] ? b->saved[b->fwd_at[id]] : f->save;
	if (s->save != ONX_NONE)
		onx_life_reach(&b->p->life[s->save], at);
	if (tmp && (s->scratch = onx_plan_add_life(b, "scratch", id, tmp, at)) == ONX_NONE)
		return onx_nomem(e, (double)tmp, "the plan");
	return ONX_OK;
}

static int step_back(struct onx_builder *b, uint32_t id, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_node *n = &b->g->node[id];
	const struct onx_step f = p->step[b->fwd_at[id]];
	int rc = make_again(b, b->fwd_at[id], e);
	if (rc < 0)
		return rc;
	const uint32_t at = p->n_step;
	struct onx_step *s = onx_plan_add_step(b, id, true, f.n_x, f.n_y);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	s->op = f.op;
	s->train = f.train;
	s->macs = 2 * f.macs;
	rc = read_back(b, &f, s, at, e);
	for (uint32_t k = 0; rc == ONX_OK && k < n->n_out; k++)
		if (n->out[k] != ONX_NONE && b->grad[n->out[k]] && b->written[n->out[k]])
			rc = gradient_of(b, n->out[k], at, &s->dy[k], e);
	if (rc == ONX_OK)
		rc = write_back(b, id, s, at, e);
	if (rc == ONX_OK)
		rc = memory(b, id, &f, s, at, e);
	return rc < 0 ? rc : sum_twins(b, id, at, e);
}

/* d loss / d loss: 1, or the share of a micro-batch; exec says. */
static int seed(struct onx_builder *b, struct onx_err *e)
{
	struct onx_view view;
	int rc = onx_plan_view(b, &b->p->facts->fact[b->want->loss], &view, e);
	if (rc < 0)
		return rc;
	if (view.n != 1 || !onx_dtype_real(view.type))
		return onx_fail(e, ONX_SHAPE, "the loss must be one real number, '%s' is not",
				b->g->value[b->want->loss].name);
	b->grad_tensor[b->want->loss] = onx_plan_add_tensor(b, &view, ONX_AT_SEED);
	b->written[b->want->loss] = true;
	return b->grad_tensor[b->want->loss] == ONX_NONE ? onx_nomem(e, 64, "the plan") : ONX_OK;
}

int onx_plan_backward(struct onx_builder *b, struct onx_err *e)
{
	const struct onx_graph *g = b->g;
	uint32_t *writers = NULL;
	char name[160];
	if (!b->grad[b->want->loss])
		return onx_fail(e, ONX_USAGE, "no trainable weight has a gradient path to the loss; "
				"see onnx-info --check");
	int rc = count_writers(b, &writers, e);
	if (rc == ONX_OK)
		rc = seed(b, e);
	for (uint32_t i = g->n_order; rc == ONX_OK && i-- > 0; ) {
		const uint32_t id = g->order[i];
		if (!b->back[id])
			continue;
		rc = onx_plan_is_view(b, id) ? view_back(b, id, writers, e) : step_back(b, id, e);
		if (rc < 0)
			return onx_while(e, rc, "planning the gradient of %s",
					 onx_node_text(g, id, name, sizeof name));
	}
	return rc;
}
