/* plan/forward.c -- forward steps: tensors, implementations, lives, computing in place. */
#include <string.h>
#include "plan/plan_i.h"

static const struct onx_op *row_of(const struct onx_builder *b, uint32_t id)
{
	const struct onx_op *op = b->g->node[id].op;
	return b->p->facts->wide[id] ? onx_op_wide(op) : op;
}

static const struct onx_impl *pick(const struct onx_op *op, const struct onx_infer *s, const void *attr, bool precise)
{
	for (const struct onx_impl *m = op->impl; m && m->name; m++)
		if (!(m->rough && precise) && (!m->fits || m->fits(s, attr)))
			return m;
	return NULL;
}

/* Numbers the steps and notes who reads what last.  A view's reader reads the tensor behind the view. */
static void number_steps(struct onx_builder *b)
{
	const struct onx_graph *g = b->g;
	uint32_t k = 0;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (b->p->facts->run[id] && !onx_plan_is_view(b, id))
			b->fwd_at[id] = k++;
	}
	b->n_run = k;
}

static int value_fault(const struct onx_builder *b, uint32_t v, const char *what, struct onx_err *e)
{
	return onx_fail(e, ONX_UNSUP, "'%s' is %s, which %s", b->g->value[v].name,
			onx_dtype_name(b->p->facts->fact[v].type), what);
}

/* The tensor of a value that no step makes: constant, parameter or feed. */
static int source(struct onx_builder *b, uint32_t v, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_fact *f = &p->facts->fact[v];
	struct onx_view view;
	uint32_t t;
	int rc = ONX_OK;
	if (f->value) {
		t = onx_plan_add_tensor(b, f->value, ONX_AT_CONST);
	} else if (p->param_at[v] != SIZE_MAX && b->g->value[v].init) {
		if (!onx_dtype_real(f->type) || (f->type == ONX_DOUBLE && !b->want->facts.wide))
			return value_fault(b, v, "cannot be trained in single precision", e);
		if ((rc = onx_plan_view(b, f, &view, e)) < 0)
			return rc;
		t = onx_plan_add_tensor(b, &view, ONX_AT_PARAM);
		if (t != ONX_NONE)
			p->tensor[t].element = p->param_at[v];
	} else {
		if ((rc = onx_plan_view(b, f, &view, e)) < 0)
			return rc;
		t = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
		const uint32_t l = onx_plan_add_life(b, "input", v, view.n * view.width, 0);
		if (t == ONX_NONE || l == ONX_NONE)
			return onx_nomem(e, sizeof view, "the plan");
		p->tensor[t].life = l;
	}
	if (t == ONX_NONE)
		return onx_nomem(e, sizeof view, "the plan");
	p->value_tensor[v] = t;
	return rc;
}

static int need_value(struct onx_builder *b, uint32_t v, struct onx_err *e)
{
	return b->p->value_tensor[v] != ONX_NONE ? ONX_OK : source(b, v, e);
}

/* A constant in the width that the step computes in; others must have it already. */
static int width_for(struct onx_builder *b, uint32_t id, uint32_t v, uint32_t *t, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_tensor *x = &p->tensor[*t];
	const uint8_t width = p->facts->wide[id] ? 8 : 4;
	char name[160];
	if (!onx_dtype_real(x->view.type) || x->view.width == width ||
	    (b->g->node[id].op->flags & ONX_OP_WIDTHS))
		return ONX_OK;
	if (x->at != ONX_AT_CONST)
		return onx_fail(e, ONX_UNSUP, "%s mixes float and double: '%s' is %s",
				onx_node_text(b->g, id, name, sizeof name), b->g->value[v].name,
				onx_dtype_name(x->view.type));
	struct onx_view y = x->view;
	const struct onx_view old = y;
	y.width = width;
	y.v = onx_alloc(&p->arena, y.n + 1, width);
	if (!y.v)
		return onx_nomem(e, (double)y.n * width, "a constant");
	for (size_t i = 0; i < y.n; i++)
		onx_view_put_real(&y, i, onx_view_real(&old, i));
	*t = onx_plan_add_tensor(b, &y, ONX_AT_CONST);
	return *t == ONX_NONE ? onx_nomem(e, sizeof y, "the plan") : ONX_OK;
}

static void read_at(struct onx_plan *p, uint32_t t, uint32_t step)
{
	if (t != ONX_NONE && p->tensor[t].at == ONX_AT_BLOCK)
		onx_life_reach(&p->life[p->tensor[t].life], step);
}

/* Running statistics: output 1 + k of a node in training mode is its k-th statistic, in place. */
static bool statistic(struct onx_builder *b, uint32_t id, int slot, uint32_t *t)
{
	const struct onx_node *n = &b->g->node[id];
	int k = 0;
	if (!n->op->stat || slot == 0 || ((uint32_t)slot < n->n_out && n->out[slot] != ONX_NONE))
		return false;
	for (uint32_t i = 0; i < n->n_in && i < 16; i++)
		if (n->op->stat >> i & 1 && ++k == slot && n->in[i] != ONX_NONE) {
			const uint32_t src = b->p->value_tensor[n->in[i]];
			*t = src;
			return b->p->tensor[src].at == ONX_AT_PARAM;
		}
	return false;
}

static int view_output(struct onx_builder *b, uint32_t id, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_node *n = &b->g->node[id];
	int rc = need_value(b, n->in[0], e);
	struct onx_view view;
	if (rc < 0 || (rc = onx_plan_view(b, &p->facts->infer[id]->out[0], &view, e)) < 0)
		return rc;
	const uint32_t from = p->value_tensor[n->in[0]];
	view.v = p->tensor[from].view.v;
	const uint32_t t = onx_plan_add_tensor(b, &view, p->tensor[from].at);
	if (t == ONX_NONE)
		return onx_nomem(e, sizeof view, "the plan");
	p->tensor[t].life = p->tensor[from].life;
	p->tensor[t].element = p->tensor[from].element;
	p->value_tensor[n->out[0]] = t;
	return ONX_OK;
}

static int outputs(struct onx_builder *b, uint32_t id, struct onx_step *s, uint32_t at, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_node *n = &b->g->node[id];
	const struct onx_infer *f = p->facts->infer[id];
	for (int k = 0; k < f->n_out; k++) {
		struct onx_view view;
		if (f->out[k].type == ONX_UNDEFINED || statistic(b, id, k, &s->y[k]))
			continue;
		int rc = onx_plan_view(b, &f->out[k], &view, e);
		if (rc < 0)
			return rc;
		const uint32_t v = (uint32_t)k < n->n_out ? n->out[k] : ONX_NONE;
		const uint32_t t = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
		const uint32_t l = onx_plan_add_life(b, "value", v, view.n * view.width, at);
		if (t == ONX_NONE || l == ONX_NONE)
			return onx_nomem(e, sizeof view, "the plan");
		p->tensor[t].life = l;
		s->y[k] = t;
		if (v != ONX_NONE && p->value_tensor[v] == ONX_NONE)    /* else it is fed */
			p->value_tensor[v] = t;
	}
	return ONX_OK;
}

static int memory(struct onx_builder *b, uint32_t id, struct onx_step *s, uint32_t at, struct onx_err *e)
{
	const struct onx_infer *f = b->p->facts->infer[id];
	const void *attr = b->g->node[id].attr;
	const struct onx_impl *m = b->impl[id];
	size_t (*saved)(const struct onx_infer *, const void *) =
		m && m->backward ? m->saved : s->op->saved;
	size_t (*scratch)(const struct onx_infer *, const void *, int, bool) = m ? m->scratch : s->op->scratch;
	const bool spare = b->want->loss == ONX_NONE && (s->op->flags & ONX_OP_SPARES);
	const size_t bytes = saved && !spare ? saved(f, attr) : 0;
	const size_t tmp = scratch ? scratch(f, attr, b->want->threads, false) : 0;
	if (bytes && (s->save = onx_plan_add_life(b, "saved", id, bytes, at)) == ONX_NONE)
		return onx_nomem(e, (double)bytes, "the plan");
	if (tmp && (s->scratch = onx_plan_add_life(b, "scratch", id, tmp, at)) == ONX_NONE)
		return onx_nomem(e, (double)tmp, "the plan");
	return ONX_OK;
}

/* Frozen weights in the order in which the implementation reads them, once for all runs. */
static int pack(struct onx_builder *b, uint32_t id, struct onx_step *s, struct onx_err *e)
{
	const struct onx_impl *m = b->impl[id];
	const struct onx_infer *f = b->p->facts->infer[id];
	if (b->want->dry || !m || !m->packed ||
	    s->n_x < 2 || s->x[1] == ONX_NONE || b->p->tensor[s->x[1]].at != ONX_AT_CONST)
		return ONX_OK;
	const size_t bytes = m->packed(f, b->g->node[id].attr);
	struct onx_view *x = ONX_NEWS(&b->p->arena, struct onx_view, s->n_x);
	void *to = onx_alloc(&b->p->arena, 1, bytes + 1);
	if (!to || !x)
		return onx_nomem(e, (double)bytes, "packed weights");
	for (uint32_t k = 1; k < s->n_x; k++)
		if (s->x[k] != ONX_NONE && b->p->tensor[s->x[k]].at == ONX_AT_CONST)
			x[k] = b->p->tensor[s->x[k]].view;
	m->pack(&(struct onx_call){ .attr = b->g->node[id].attr, .geo = f->geo, .n_x = (int)s->n_x, .x = x }, to);
	s->packed = to;
	return ONX_OK;
}

static int step(struct onx_builder *b, uint32_t id, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_node *n = &b->g->node[id];
	const struct onx_infer *f = p->facts->infer[id];
	const uint32_t at = b->fwd_at[id];
	struct onx_step *s = onx_plan_add_step(b, id, false, (uint32_t)f->n_in, (uint32_t)f->n_out);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	s->op = row_of(b, id);
	s->train = f->train;
	const struct onx_impl *m = b->impl[id] = pick(s->op, f, n->attr, b->want->precise);
	s->impl = m ? m->name : "reference";
	s->run = m ? m->forward : s->op->forward;
	for (uint32_t k = 0; k < n->n_in; k++) {
		if (n->in[k] == ONX_NONE)
			continue;
		int rc = need_value(b, n->in[k], e);
		if (rc < 0)
			return rc;
		s->x[k] = p->value_tensor[n->in[k]];
		if ((rc = width_for(b, id, n->in[k], &s->x[k], e)) < 0)
			return rc;
		read_at(p, s->x[k], at);
	}
	int rc = outputs(b, id, s, at, e);
	if (rc == ONX_OK)
		rc = memory(b, id, s, at, e);
	if (rc == ONX_OK)
		rc = pack(b, id, s, e);
	size_t n0 = 0;
	if (s->y[0] != ONX_NONE)
		n0 = p->tensor[s->y[0]].view.n;
	s->macs = s->op->macs ? s->op->macs(f, n->attr) : (double)n0;
	p->macs += s->macs;
	return rc;
}

static bool may_overwrite(const struct onx_builder *b, const struct onx_step *s, uint32_t i, uint32_t at,
			  const bool *keep)
{
	const struct onx_plan *p = b->p;
	const struct onx_tensor *x = &p->tensor[s->x[i]], *y = &p->tensor[s->y[0]];
	if (x->at != ONX_AT_BLOCK || y->at != ONX_AT_BLOCK || keep[x->life] || x->life == y->life)
		return false;
	if (p->life[x->life].last != at || p->life[x->life].bytes != p->life[y->life].bytes ||
	    x->view.n * x->view.width != y->view.n * y->view.width)
		return false;
	for (uint32_t k = 0; k < s->n_x; k++)
		if (k != i && s->x[k] != ONX_NONE && p->tensor[s->x[k]].at == ONX_AT_BLOCK &&
		    p->tensor[s->x[k]].life == x->life)
			return false;
	return true;
}

/* In the order of the steps, so that a chain of element-wise steps shares one piece. */
void onx_plan_in_place(struct onx_builder *b, bool *keep)
{
	struct onx_plan *p = b->p;
	for (uint32_t k = 0; k < b->n_run; k++) {
		const struct onx_step *s = &p->step[k];
		for (uint32_t i = 0; i < s->n_x && i < 8; i++) {
			if (!(s->op->alias >> i & 1) || s->x[i] == ONX_NONE || s->y[0] == ONX_NONE ||
			    !may_overwrite(b, s, i, k, keep))
				continue;
			const uint32_t from = p->tensor[s->y[0]].life, to = p->tensor[s->x[i]].life;
			onx_life_reach(&p->life[to], p->life[from].last);
			keep[to] = keep[to] || keep[from];
			for (uint32_t t = 0; t < p->n_tensor; t++)
				if (p->tensor[t].at == ONX_AT_BLOCK && p->tensor[t].life == from)
					p->tensor[t].life = to;
			p->life[from].bytes = 0;
			break;
		}
	}
}

int onx_plan_forward(struct onx_builder *b, struct onx_err *e)
{
	const struct onx_graph *g = b->g;
	char name[160];
	number_steps(b);
	int rc = ONX_OK;
	for (uint32_t i = 0; rc == ONX_OK && i < b->want->facts.n_feed; i++)
		if (b->p->facts->fact[b->want->facts.feed[i].value].type != ONX_UNDEFINED)
			rc = need_value(b, b->want->facts.feed[i].value, e);
	for (uint32_t i = 0; rc == ONX_OK && i < g->n_order; i++) {
		const uint32_t id = g->order[i];
		if (!b->p->facts->run[id])
			continue;
		rc = onx_plan_is_view(b, id) ? view_output(b, id, e) : step(b, id, e);
		if (rc < 0)
			return onx_while(e, rc, "planning %s", onx_node_text(g, id, name, sizeof name));
	}
	for (uint32_t i = 0; rc == ONX_OK && i < b->p->facts->n_target; i++)
		rc = need_value(b, b->p->facts->target[i], e);
	b->p->n_forward = b->p->n_step;
	return rc;
}
