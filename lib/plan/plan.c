/* plan/plan.c -- the planner's outline: facts, what is wanted, forward steps, backward steps, places. */
#include "plan/plan.h"
#include <string.h>
#include "plan/plan_i.h"

size_t onx_param_layout(const struct onx_graph *g, const bool *variable, size_t *at)
{
	size_t top = 0;
	for (uint32_t v = 0; v < g->n_value; v++) {
		at[v] = SIZE_MAX;
		if (!variable || !variable[v] || !g->value[v].init)
			continue;
		at[v] = top;
		top += (g->value[v].init->n + 15) / 16 * 16;
	}
	return top;
}

uint32_t onx_plan_add_life(struct onx_builder *b, const char *what, uint32_t id, size_t bytes, uint32_t at)
{
	struct onx_plan *p = b->p;
	if (p->n_life == b->cap_life) {
		const uint32_t cap = b->cap_life ? 2 * b->cap_life : 256;
		struct onx_life *l = ONX_NEWS(&p->arena, struct onx_life, cap);
		if (!l)
			return ONX_NONE;
		if (p->n_life)
			memcpy(l, p->life, p->n_life * sizeof *l);
		p->life = l;
		b->cap_life = cap;
	}
	p->life[p->n_life] = (struct onx_life){ at, at, (bytes + 63) / 64 * 64, 0, what, id };
	return p->n_life++;
}

uint32_t onx_plan_add_tensor(struct onx_builder *b, const struct onx_view *view, enum onx_place at)
{
	struct onx_plan *p = b->p;
	if (p->n_tensor == b->cap_tensor) {
		const uint32_t cap = b->cap_tensor ? 2 * b->cap_tensor : 256;
		struct onx_tensor *t = ONX_NEWS(&p->arena, struct onx_tensor, cap);
		if (!t)
			return ONX_NONE;
		if (p->n_tensor)
			memcpy(t, p->tensor, p->n_tensor * sizeof *t);
		p->tensor = t;
		b->cap_tensor = cap;
	}
	p->tensor[p->n_tensor] = (struct onx_tensor){ *view, at, ONX_NONE, 0 };
	return p->n_tensor++;
}

struct onx_step *onx_plan_add_step(struct onx_builder *b, uint32_t node, bool back, uint32_t n_x,
				   uint32_t n_y)
{
	struct onx_plan *p = b->p;
	if (p->n_step == b->cap_step) {
		const uint32_t cap = b->cap_step ? 2 * b->cap_step : 128;
		struct onx_step *s = ONX_NEWS(&p->arena, struct onx_step, cap);
		if (!s)
			return NULL;
		if (p->n_step)
			memcpy(s, p->step, p->n_step * sizeof *s);
		p->step = s;
		b->cap_step = cap;
	}
	struct onx_step *s = &p->step[p->n_step];
	const size_t n = (size_t)n_x * 2 + (size_t)n_y * 2;
	uint32_t *id = ONX_NEWS(&p->arena, uint32_t, n + 1);
	bool *add = ONX_NEWS(&p->arena, bool, n_x + 1);
	if (!id || !add)
		return NULL;
	memset(id, 0xff, n * sizeof *id);               /* ONX_NONE everywhere */
	*s = (struct onx_step){ .node = node, .back = back, .n_x = n_x, .n_y = n_y, .x = id, .y = id + n_x,
				.dy = id + n_x + n_y, .dx = id + n_x + 2 * n_y, .add = add,
				.save = ONX_NONE, .scratch = ONX_NONE, .impl = "reference" };
	p->n_step++;
	return s;
}

int onx_plan_view(struct onx_builder *b, const struct onx_fact *f, struct onx_view *out, struct onx_err *e)
{
	int64_t *dim = ONX_NEWS(&b->p->arena, int64_t, ONX_RANK);
	size_t n = 0;
	int rc = onx_count(f->shape.rank, f->shape.dim, &n, e);
	if (rc < 0)
		return rc;
	if (!dim)
		return onx_nomem(e, sizeof *dim * ONX_RANK, "the plan");
	memcpy(dim, f->shape.dim, sizeof f->shape.dim);
	*out = (struct onx_view){ .n = n, .rank = f->shape.rank, .dim = dim, .type = f->type,
				  .width = (uint8_t)onx_dtype_store(f->type, b->want->facts.wide) };
	return ONX_OK;
}

bool onx_plan_is_view(const struct onx_builder *b, uint32_t node)
{
	const struct onx_node *n = &b->g->node[node];
	const struct onx_infer *s = b->p->facts->infer[node];
	if (!(n->op->flags & ONX_OP_VIEW) || s->train || n->in[0] == ONX_NONE)
		return false;
	for (uint32_t k = 1; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE)
			return false;
	return n->out[0] != ONX_NONE;
}

/* grad[v]: reachable from the loss backwards, and depends on a weight. */
static int want_gradients(struct onx_builder *b, struct onx_err *e)
{
	const struct onx_graph *g = b->g;
	const struct onx_facts *f = b->p->facts;
	bool *wants = NULL;
	char name[160];
	if (b->want->loss == ONX_NONE)
		return ONX_OK;
	int rc = onx_plan_wants(g, b->want->weight, &b->p->arena, &wants, e);
	if (rc < 0)
		return rc;
	b->grad[b->want->loss] = wants[b->want->loss];
	for (uint32_t i = g->n_order; i-- > 0; ) {
		const uint32_t id = g->order[i];
		const struct onx_node *n = &g->node[id];
		bool any = false;
		for (uint32_t k = 0; k < n->n_out && f->run[id]; k++)
			any |= n->out[k] != ONX_NONE && b->grad[n->out[k]] &&
			       onx_dtype_real(f->fact[n->out[k]].type);
		for (uint32_t k = 0; any && k < n->n_in; k++) {
			const uint32_t v = n->in[k];
			if (v == ONX_NONE || !wants[v] || onx_op_grad(n->op, (int)k) != ONX_G_DIFF ||
			    f->fact[v].value || !onx_dtype_real(f->fact[v].type))
				continue;
			b->grad[v] = b->back[id] = true;
		}
		if (b->back[id] && !n->op->backward)
			return onx_fail(e, ONX_UNSUP, "%s has no gradient here",
					onx_node_text(g, id, name, sizeof name));
	}
	return ONX_OK;
}

static int start(struct onx_builder *b, struct onx_err *e)
{
	struct onx_arena *a = &b->p->arena;
	const uint32_t nv = b->g->n_value + 1, nn = b->g->n_node + 1;
	b->grad = ONX_NEWS(a, bool, nv);
	b->written = ONX_NEWS(a, bool, nv);
	b->last_fwd = ONX_NEWS(a, uint32_t, nv);
	b->grad_tensor = ONX_NEWS(a, uint32_t, nv);
	b->p->value_tensor = ONX_NEWS(a, uint32_t, nv);
	b->p->param_at = ONX_NEWS(a, size_t, nv);
	b->back = ONX_NEWS(a, bool, nn);
	b->fwd_at = ONX_NEWS(a, uint32_t, nn);
	b->impl = ONX_NEWS(a, const struct onx_impl *, nn);
	if (!b->grad || !b->written || !b->last_fwd || !b->grad_tensor || !b->p->value_tensor ||
	    !b->p->param_at || !b->back || !b->fwd_at || !b->impl)
		return onx_nomem(e, nv * 32.0, "the plan");
	memset(b->grad_tensor, 0xff, nv * sizeof(uint32_t));
	memset(b->p->value_tensor, 0xff, nv * sizeof(uint32_t));
	memset(b->fwd_at, 0xff, nn * sizeof(uint32_t));
	b->p->n_param = onx_param_layout(b->g, b->p->facts->variable, b->p->param_at);
	b->p->loss = b->want->loss;
	return ONX_OK;
}

static int build(struct onx_builder *b, struct onx_err *e)
{
	int rc = start(b, e);
	if (rc == ONX_OK)
		rc = want_gradients(b, e);
	if (rc == ONX_OK)
		rc = onx_plan_forward(b, e);
	if (rc == ONX_OK)
		rc = onx_plan_keep_start(b, e);
	return rc < 0 ? rc : onx_plan_within(b, e);
}

int onx_plan_one(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		 struct onx_plan **out, struct onx_err *e)
{
	struct onx_plan *p = onx_heap(1, sizeof *p);
	if (!p)
		return onx_nomem(e, sizeof *p, "the plan");
	p->parts = 1;
	struct onx_builder b = { .g = g, .want = w, .p = p };
	struct onx_plan_want lowered;
	int rc = onx_facts_make(g, c, &w->facts, &p->facts, e);
	if (rc == ONX_OK)
		rc = onx_plan_lower(g, p->facts, w, &p->twin, &lowered, e);
	if (rc == ONX_OK && p->twin) {
		p->source = p->facts;
		p->facts = NULL;
		b.g = p->twin;
		b.want = &lowered;
		rc = onx_facts_make(b.g, c, &lowered.facts, &p->facts, e);
	}
	if (rc == ONX_OK)
		rc = build(&b, e);
	if (rc < 0)
		onx_plan_free(p);
	else
		*out = p;
	return rc;
}

int onx_plan_make(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		  struct onx_plan **out, struct onx_err *e)
{
	struct onx_plan_want want;
	struct onx_graph *written = NULL;
	bool guessed;
	int rc = onx_plan_unroll(g, c, w, &written, &want, &guessed, e);

	*out = NULL;
	if (rc < 0)
		return rc;
	if (written) {
		rc = onx_plan_one(written, c, &want, out, e);
		if (rc < 0)
			onx_plan_written_free(written);
		else
			(*out)->written = written;
	} else {
		rc = onx_plan_in_parts(g, c, w, out, e);
		if (rc == ONX_OK && !*out)
			rc = onx_plan_one(g, c, w, out, e);
	}
	if (rc == ONX_OK)
		(*out)->guessed = guessed;
	return rc;
}

void onx_plan_free(struct onx_plan *p)
{
	if (!p)
		return;
	onx_facts_free(p->facts);
	onx_plan_twin_free(p->twin);
	onx_facts_free(p->source);
	onx_plan_written_free(p->written);
	struct onx_arena a = p->arena;
	onx_arena_release(&a);
	onx_heap_free(p);
}
