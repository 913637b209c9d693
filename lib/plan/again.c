/* plan/again.c -- what is computed twice rather than kept.
 *
 * A value that backward reads costs memory from its step to there.  Where its step is cheap beside the memory it
 * fills (element by element, a normalization from saved statistics) and its own inputs are kept anyway, the
 * value is dropped after its last reader forward and made again in front of its first reader backward
 * (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", with segments of one step). */
#include <string.h>
#include "plan/plan_i.h"

enum { WORTH = 1 << 10 };       /* bytes below which nothing is gained */

static bool cheap(const struct onx_step *s)
{
	if (s->op->flags & ONX_OP_AGAIN)
		return true;
	return (s->op->flags & ONX_OP_EACH) && !s->train && !(s->op->flags & ONX_OP_RANDOM);
}

/* All that the step reads is there when backward comes by. */
static bool inputs_stay(const struct onx_builder *b, const struct onx_step *s, const bool *keep)
{
	for (uint32_t k = 0; k < s->n_x; k++) {
		const struct onx_tensor *x = s->x[k] == ONX_NONE ? NULL : &b->p->tensor[s->x[k]];
		if (x && x->at == ONX_AT_BLOCK && (!keep[x->life] || b->again_step[x->life] != ONX_NONE))
			return false;
	}
	return true;
}

static bool one_result(const struct onx_builder *b, const struct onx_step *s)
{
	for (uint32_t k = 1; k < s->n_y; k++)
		if (s->y[k] != ONX_NONE && b->p->tensor[s->y[k]].at == ONX_AT_BLOCK)
			return false;
	return s->n_y > 0 && s->y[0] != ONX_NONE && b->p->tensor[s->y[0]].at == ONX_AT_BLOCK;
}

int onx_plan_again_choose(struct onx_builder *b, const bool *keep, const bool *asked, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	b->again_step = ONX_NEWS(&p->arena, uint32_t, p->n_life + 1);
	b->again_life = ONX_NEWS(&p->arena, uint32_t, p->n_life + 1);
	b->n_again = p->n_life;
	if (!b->again_step || !b->again_life)
		return onx_nomem(e, p->n_life * 8.0, "the plan");
	memset(b->again_step, 0xff, p->n_life * sizeof(uint32_t));
	memset(b->again_life, 0xff, p->n_life * sizeof(uint32_t));
	for (uint32_t i = 0; b->want->loss != ONX_NONE && i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		if (!cheap(s) || !one_result(b, s) || !inputs_stay(b, s, keep))
			continue;
		const uint32_t l = p->tensor[s->y[0]].life;
		if (keep[l] && !asked[l] && p->life[l].bytes >= WORTH)
			b->again_step[l] = i;
	}
	return ONX_OK;
}

int onx_plan_again(struct onx_builder *b, uint32_t tensor, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const uint32_t l = tensor == ONX_NONE || p->tensor[tensor].at != ONX_AT_BLOCK ? ONX_NONE
			   : p->tensor[tensor].life;
	if (l == ONX_NONE || l >= b->n_again || b->again_step[l] == ONX_NONE || b->again_life[l] != ONX_NONE)
		return ONX_OK;
	const struct onx_step f = p->step[b->again_step[l]];
	const uint32_t at = p->n_step;
	struct onx_step *s = onx_plan_add_step(b, f.node, false, f.n_x, f.n_y);
	const uint32_t life = onx_plan_add_life(b, "value again", p->life[l].id, p->life[l].bytes, at);
	const struct onx_view view = p->tensor[f.y[0]].view;
	const uint32_t t = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
	if (!s || life == ONX_NONE || t == ONX_NONE)
		return onx_nomem(e, sizeof *s, "the plan");
	p->tensor[t].life = life;
	s->op = f.op;
	s->impl = f.impl;
	s->run = f.run;
	s->train = f.train;
	s->packed = f.packed;
	s->again = true;
	s->save = f.save;
	memcpy(s->x, f.x, f.n_x * sizeof *s->x);
	s->y[0] = t;
	for (uint32_t k = 0; k < f.n_x; k++)
		if (f.x[k] != ONX_NONE && p->tensor[f.x[k]].at == ONX_AT_BLOCK)
			onx_life_reach(&p->life[p->tensor[f.x[k]].life], at);
	if (f.save != ONX_NONE)
		onx_life_reach(&p->life[f.save], at);
	if (f.scratch != ONX_NONE &&
	    (s->scratch = onx_plan_add_life(b, "scratch", f.node, p->life[f.scratch].bytes, at)) == ONX_NONE)
		return onx_nomem(e, sizeof *s, "the plan");
	b->again_life[l] = life;
	return ONX_OK;
}
