/* plan/again.c -- making forward tensors again amid backward.
 *
 * A tensor that backward reads is either kept from forward on or made again: its step runs a second time, after
 * those of its inputs that are not there any more, in forward order.  What is made on the way stays as long as
 * later steps read it, so that the first demand in a segment makes the whole segment once (Chen et al. 2016,
 * arXiv:1604.06174).  A light tensor (plan/keep.c) does not stay, it is made anew; but without a budget
 * one that hangs on other light ones does.
 *
 * The second run gives the same bits: random steps draw by (seed, step, node), normalizations take the statistics
 * that they saved, running statistics are left alone (onx_call.again). */
#include <string.h>
#include "plan/plan_i.h"

enum { STALE = 4 };     /* steps after its last reader from which on a light tensor is made anew */

static bool in_block(const struct onx_builder *b, uint32_t t)
{
	return t != ONX_NONE && b->p->tensor[t].at == ONX_AT_BLOCK;
}

/* A reader in the next step finds the numbers of root tensor r. */
static bool is_here(const struct onx_builder *b, uint32_t r)
{
	if (b->maker[r] == ONX_NONE || b->kept[r])
		return true;
	if (b->version[r] == ONX_NONE)
		return false;
	const struct onx_plan *p = b->p;
	return !b->light[r] || (b->lasting && b->depth[r] > 1) ||
	       p->life[p->tensor[b->version[r]].life].last + STALE >= p->n_step;
}

/* The tensor that holds t's numbers now: itself, or a view of what was made again. */
static int now(struct onx_builder *b, uint32_t t, uint32_t *out, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	*out = t;
	if (!in_block(b, t))
		return ONX_OK;
	const uint32_t r = b->root[t];
	if (b->maker[r] != ONX_NONE && !b->kept[r]) {
		*out = b->version[r];
		if (r != t) {
			const struct onx_view view = p->tensor[t].view;
			*out = onx_plan_add_tensor(b, &view, ONX_AT_BLOCK);
			if (*out == ONX_NONE)
				return onx_nomem(e, sizeof view, "the plan");
			p->tensor[*out].life = p->tensor[b->version[r]].life;
		}
	}
	return ONX_OK;
}

/* y[0] may be made in place again where it was forward, if nothing else wants the input any more. */
static uint32_t in_place_of(struct onx_builder *b, const struct onx_step *f)
{
	const struct onx_plan *p = b->p;
	for (uint32_t i = 0; i < f->n_x && i < 8; i++) {
		if (!(f->op->alias >> i & 1) || !in_block(b, f->x[i]) || !in_block(b, f->y[0]) ||
		    p->tensor[f->x[i]].life != p->tensor[f->y[0]].life)
			continue;
		const uint32_t r = b->root[f->x[i]];
		if (b->maker[r] == ONX_NONE || b->kept[r] || b->needed[r] || b->version[r] == ONX_NONE)
			continue;
		const uint32_t life = p->tensor[b->version[r]].life;
		b->version[r] = ONX_NONE;
		return life;
	}
	return ONX_NONE;
}

static int outputs(struct onx_builder *b, const struct onx_step *f, struct onx_step *s, uint32_t at,
		   struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const uint32_t n = onx_op_repeats(f->op) ? 1 : f->n_y;
	for (uint32_t k = 0; k < n && k < f->n_y; k++) {
		if (!in_block(b, f->y[k]))
			continue;
		const struct onx_tensor old = p->tensor[f->y[k]];
		uint32_t life = k == 0 ? in_place_of(b, f) : ONX_NONE;
		if (life == ONX_NONE)
			life = onx_plan_add_life(b, "value again", p->life[old.life].id,
						 old.view.n * old.view.width, at);
		const uint32_t t = onx_plan_add_tensor(b, &old.view, ONX_AT_BLOCK);
		if (life == ONX_NONE || t == ONX_NONE)
			return onx_nomem(e, sizeof old, "the plan");
		p->tensor[t].life = life;
		onx_life_reach(&p->life[life], at);
		s->y[k] = t;
		b->version[f->y[k]] = t;
	}
	return ONX_OK;
}

/* What a normalization saved is read; all else saves anew, for backward where the first is gone. */
static int memory(struct onx_builder *b, uint32_t i, const struct onx_step *f, struct onx_step *s, uint32_t at,
		  struct onx_err *e)
{
	struct onx_plan *p = b->p;
	s->save = f->save;
	if (f->save != ONX_NONE && onx_op_repeats(f->op)) {
		onx_life_reach(&p->life[f->save], at);
	} else if (f->save != ONX_NONE) {
		s->save = onx_plan_add_life(b, "saved", f->node, p->life[f->save].bytes, at);
		if (s->save == ONX_NONE)
			return onx_nomem(e, sizeof *s, "the plan");
		if (b->lost[i])
			b->saved[i] = s->save;
	}
	if (f->scratch == ONX_NONE)
		return ONX_OK;
	s->scratch = onx_plan_add_life(b, "scratch", f->node, p->life[f->scratch].bytes, at);
	return s->scratch == ONX_NONE ? onx_nomem(e, sizeof *s, "the plan") : ONX_OK;
}

static int run_again(struct onx_builder *b, uint32_t i, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	const struct onx_step f = p->step[i];
	const uint32_t at = p->n_step;
	int rc = ONX_OK;
	struct onx_step *s = onx_plan_add_step(b, f.node, false, f.n_x, f.n_y);
	if (!s)
		return onx_nomem(e, sizeof *s, "the plan");
	s->op = f.op;
	s->impl = f.impl;
	s->run = f.run;
	s->train = f.train;
	s->packed = f.packed;
	s->macs = f.macs;
	s->again = true;
	for (uint32_t k = 0; rc == ONX_OK && k < f.n_x; k++) {
		rc = now(b, f.x[k], &s->x[k], e);
		if (rc == ONX_OK && in_block(b, s->x[k]))
			onx_life_reach(&p->life[p->tensor[s->x[k]].life], at);
	}
	if (rc == ONX_OK)
		rc = outputs(b, &f, s, at, e);
	return rc < 0 ? rc : memory(b, i, &f, s, at, e);
}

/* Runs step `last` again, and before it the steps whose results it lacks. */
static int chain(struct onx_builder *b, uint32_t last, struct onx_err *e)
{
	uint32_t first = last, open = 1;
	b->asked[last] = true;
	for (uint32_t i = last + 1; i-- > 0 && open; ) {
		const struct onx_step *f = &b->p->step[i];
		if (!b->asked[i])
			continue;
		open--;
		first = i;
		for (uint32_t k = 0; k < f->n_x; k++) {
			const uint32_t r = in_block(b, f->x[k]) ? b->root[f->x[k]] : ONX_NONE;
			if (r != ONX_NONE && !is_here(b, r) && !b->asked[b->maker[r]]) {
				b->asked[b->maker[r]] = true;
				open++;
			}
		}
	}
	int rc = ONX_OK;
	for (uint32_t i = first; i <= last; i++) {
		if (b->asked[i] && rc == ONX_OK)
			rc = run_again(b, i, e);
		b->asked[i] = false;
	}
	return rc;
}

int onx_plan_again(struct onx_builder *b, uint32_t tensor, struct onx_err *e)
{
	if (!in_block(b, tensor) || is_here(b, b->root[tensor]))
		return ONX_OK;
	return chain(b, b->maker[b->root[tensor]], e);
}

int onx_plan_again_saved(struct onx_builder *b, uint32_t step, struct onx_err *e)
{
	return b->lost[step] && b->saved[step] == ONX_NONE ? chain(b, step, e) : ONX_OK;
}

int onx_plan_now(struct onx_builder *b, uint32_t tensor, uint32_t at, uint32_t *out, struct onx_err *e)
{
	int rc = now(b, tensor, out, e);
	if (rc == ONX_OK && in_block(b, *out))
		onx_life_reach(&b->p->life[b->p->tensor[*out].life], at);
	return rc;
}
