/* plan/keep.c -- which forward tensors are kept for backward, and which are made again (plan/again.c).
 *
 * A tensor is light where its step costs little beside the memory it fills (element by element, a normalization
 * from saved statistics; under a budget also a product of few multiply-adds an element, as a 1x1 convolution that
 * makes many channels of few) and its inputs are kept, or are light themselves up to a depth: it is dropped and
 * made again in front of its readers.  Besides, the forward steps may be cut into segments: in front of the last cut
 * only what crosses a cut is kept, and what else backward reads there is made again segment by segment.  Cuts are
 * put where few bytes cross, as soon as a segment holds more than it may. */
#include <string.h>
#include "plan/plan_i.h"

enum { WORTH = 1 << 10 };       /* bytes below which nothing is gained */
static const double FEW = 16;   /* multiply-adds an element: pools, norms, moves */

static bool in_block(const struct onx_builder *b, uint32_t t)
{
	return t != ONX_NONE && b->p->tensor[t].at == ONX_AT_BLOCK;
}

static size_t bytes_of(const struct onx_builder *b, uint32_t t)
{
	return b->p->tensor[t].view.n * b->p->tensor[t].view.width;
}

/* macs: multiply-adds an element up to which any step will do; 0: none but the cheapest. */
static bool cheap(const struct onx_builder *b, const struct onx_step *s, double macs)
{
	if (s->op->flags & ONX_OP_AGAIN)
		return true;
	if ((s->train && !onx_op_repeats(s->op)) || (s->op->flags & ONX_OP_RANDOM))
		return false;
	if (s->op->flags & ONX_OP_EACH)
		return true;
	return macs > 0 && in_block(b, s->y[0]) && s->macs <= macs * (double)b->p->tensor[s->y[0]].view.n;
}

/* Running it a second time changes nothing but y. */
static bool pure(const struct onx_builder *b, const struct onx_step *s)
{
	if (onx_op_repeats(s->op))
		return true;
	if (s->train && s->op->stat)
		return false;
	for (uint32_t k = 0; k < s->n_x; k++)   /* numbers that forward itself moves on */
		if (s->x[k] != ONX_NONE && b->p->tensor[s->x[k]].at == ONX_AT_PARAM &&
		    b->moved[b->p->tensor[s->x[k]].element])
			return false;
	return true;
}

/* Statistics that a step in training mode writes. */
static void find_moved(struct onx_builder *b)
{
	const struct onx_plan *p = b->p;
	for (uint32_t i = 0; i < p->n_step; i++)
		for (uint32_t k = 0; k < p->step[i].n_y; k++)
			if (p->step[i].y[k] != ONX_NONE && p->tensor[p->step[i].y[k]].at == ONX_AT_PARAM)
				b->moved[p->tensor[p->step[i].y[k]].element] = true;
}

static void find_roots(struct onx_builder *b)
{
	const struct onx_graph *g = b->g;
	struct onx_plan *p = b->p;
	for (uint32_t t = 0; t < p->n_tensor; t++)
		b->root[t] = t;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		if (p->facts->run[g->order[i]] && onx_plan_is_view(b, g->order[i]))
			b->root[p->value_tensor[n->out[0]]] = b->root[p->value_tensor[n->in[0]]];
	}
	for (uint32_t i = 0; i < p->n_step; i++) {
		for (uint32_t k = 0; k < p->step[i].n_y; k++)
			if (in_block(b, p->step[i].y[k]))
				b->maker[p->step[i].y[k]] = i;
		for (uint32_t k = 0; k < p->step[i].n_x; k++)
			if (in_block(b, p->step[i].x[k]))
				b->last[b->root[p->step[i].x[k]]] = i;
	}
}

static void mark(const struct onx_builder *b, uint32_t v, bool *is)
{
	const uint32_t t = v == ONX_NONE ? ONX_NONE : b->p->value_tensor[v];
	if (in_block(b, t))
		is[b->root[t]] = true;
}

/* needed: backward reads it.  pinned: the caller does, or may feed it once for two runs. */
static void find_needed(struct onx_builder *b)
{
	for (uint32_t i = 0; i < b->g->n_order; i++) {
		const struct onx_node *n = &b->g->node[b->g->order[i]];
		if (!b->back[b->g->order[i]])
			continue;
		for (uint32_t k = 0; k < n->n_in; k++)
			if (n->op->keep & ONX_KEEP_X(k < 15 ? k : 15))
				mark(b, n->in[k], b->needed);
		for (uint32_t k = 0; k < n->n_out && k < 15; k++)
			if (n->op->keep & ONX_KEEP_Y(k))
				mark(b, n->out[k], b->needed);
	}
	for (uint32_t i = 0; i < b->p->facts->n_target; i++)
		mark(b, b->p->facts->target[i], b->pinned);
	for (uint32_t i = 0; i < b->want->facts.n_feed; i++)
		mark(b, b->want->facts.feed[i].value, b->pinned);
}

int onx_plan_keep_start(struct onx_builder *b, struct onx_err *e)
{
	struct onx_arena *a = &b->p->arena;
	const uint32_t n = b->p->n_tensor + 1, s = b->p->n_step + 1;
	bool **flag[] = { &b->needed, &b->pinned, &b->kept, &b->light };
	uint32_t **id[] = { &b->root, &b->maker, &b->last, &b->version, &b->depth };
	bool short_of = false;
	for (size_t i = 0; i < sizeof flag / sizeof *flag; i++)
		short_of |= !(*flag[i] = ONX_NEWS(a, bool, n));
	for (size_t i = 0; i < sizeof id / sizeof *id; i++)
		short_of |= !(*id[i] = ONX_NEWS(a, uint32_t, n));
	b->asked = ONX_NEWS(a, bool, s);
	b->lost = ONX_NEWS(a, bool, s);
	b->saved = ONX_NEWS(a, uint32_t, s);
	b->moved = ONX_NEWS(a, bool, b->p->n_param + 1);
	b->crossing = ONX_NEWS(a, double, s);
	if (short_of || !b->asked || !b->lost || !b->saved || !b->moved || !b->crossing)
		return onx_nomem(e, n * 32.0, "the plan");
	memset(b->maker, 0xff, n * sizeof *b->maker);
	find_moved(b);
	find_roots(b);
	find_needed(b);
	for (uint32_t t = 0; t + 1 < n; t++) {          /* bytes that cross the end of each step */
		if (b->root[t] != t || b->maker[t] == ONX_NONE || b->last[t] <= b->maker[t])
			continue;
		b->crossing[b->maker[t]] += (double)bytes_of(b, t);
		b->crossing[b->last[t]] -= (double)bytes_of(b, t);
	}
	for (uint32_t i = 1; i + 1 < s; i++)
		b->crossing[i] += b->crossing[i - 1];
	return ONX_OK;
}

/* In the order of the steps.  depth: light steps in a row up to here. */
static void find_light(struct onx_builder *b, const struct onx_keep *how)
{
	const struct onx_plan *p = b->p;
	memset(b->light, 0, p->n_tensor * sizeof *b->light);
	b->lasting = !how->broad;
	for (uint32_t i = 0; i < b->n_run; i++) {
		const struct onx_step *s = &p->step[i];
		const double macs = !how->broad ? 0 : i < how->until && how->macs > FEW ? how->macs : FEW;
		bool yes = how->depth > 0 && cheap(b, s, macs) && pure(b, s) && in_block(b, s->y[0]);
		uint32_t depth = 1;
		for (uint32_t k = 1; k < s->n_y && !onx_op_repeats(s->op); k++)
			yes &= !in_block(b, s->y[k]);
		for (uint32_t k = 0; yes && k < s->n_x; k++) {
			const uint32_t r = in_block(b, s->x[k]) ? b->root[s->x[k]] : ONX_NONE;
			if (r == ONX_NONE || b->pinned[r])
				continue;
			if (b->light[r] && b->depth[r] >= depth)
				depth = b->depth[r] + 1;
			yes = b->light[r] || b->needed[r];
		}
		if (!yes || depth > how->depth || b->pinned[s->y[0]] ||
		    (b->needed[s->y[0]] && bytes_of(b, s->y[0]) < WORTH))
			continue;
		b->light[s->y[0]] = true;
		b->depth[s->y[0]] = depth;
	}
}

/* Bytes that backward needs of what step i makes. */
static size_t held(const struct onx_builder *b, uint32_t i)
{
	const struct onx_step *s = &b->p->step[i];
	size_t sum = s->save == ONX_NONE ? 0 : b->p->life[s->save].bytes;
	for (uint32_t k = 0; k < s->n_y; k++)
		if (in_block(b, s->y[k]) && b->needed[s->y[k]] && !b->light[s->y[k]])
			sum += bytes_of(b, s->y[k]);
	return sum;
}

double onx_plan_held(const struct onx_builder *b)
{
	double sum = 0;
	for (uint32_t i = 0; i < b->n_run; i++)
		sum += (double)held(b, i);
	return sum;
}

/* Keeps what crosses the end of step c. */
static void cut(struct onx_builder *b, uint32_t c)
{
	for (uint32_t t = 0; t < b->p->n_tensor; t++)
		if (b->root[t] == t && b->maker[t] != ONX_NONE && b->maker[t] <= c && b->last[t] > c)
			b->kept[t] = true;
}

/* Returns the step behind the last cut: from there on everything is kept that backward reads. */
static uint32_t segments(struct onx_builder *b, const struct onx_keep *how)
{
	uint32_t start = 0, best = ONX_NONE;
	double sum = 0, behind = 0;     /* held by the segment, and by its steps behind `best` */
	for (uint32_t i = 0; how->room > 0 && i < how->until && i + 1 < b->n_run; i++) {
		sum += (double)held(b, i);
		behind += (double)held(b, i);
		if (2 * sum >= how->room && (best == ONX_NONE || b->crossing[i] <= b->crossing[best])) {
			best = i;
			behind = 0;
		}
		if (sum <= how->room || best == ONX_NONE)
			continue;
		cut(b, best);
		b->p->n_segment++;
		start = best + 1;
		best = ONX_NONE;
		sum = behind;
	}
	return start;
}

int onx_plan_keep(struct onx_builder *b, const struct onx_keep *how, bool **by_life, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	bool *keep = ONX_NEWS(&p->arena, bool, p->n_life + 1);
	if (!keep)
		return onx_nomem(e, p->n_life, "the plan");
	find_light(b, how);
	p->n_segment = 0;
	for (uint32_t t = 0; t < p->n_tensor; t++)
		b->kept[t] = b->pinned[t] || (b->maker[t] == ONX_NONE && b->needed[t]);
	memset(b->version, 0xff, p->n_tensor * sizeof *b->version);
	memset(b->saved, 0xff, b->n_run * sizeof *b->saved);
	const uint32_t rest = segments(b, how);
	for (uint32_t i = 0; i < b->n_run; i++) {
		const struct onx_step *s = &p->step[i];
		const bool once = !pure(b, s), same = onx_op_repeats(s->op);
		b->lost[i] = s->save != ONX_NONE && i < rest && !once && !same && p->life[s->save].bytes >= WORTH;
		for (uint32_t k = 0; k < s->n_y; k++) {
			const uint32_t t = s->y[k];
			if (in_block(b, t) && (once || (same && k > 0) ||
					       (i >= rest && b->needed[t] && !b->light[t])))
				b->kept[t] = true;
		}
	}
	for (uint32_t t = 0; t < p->n_tensor; t++)
		if (in_block(b, t) && b->root[t] == t && b->kept[t])
			keep[p->tensor[t].life] = true;
	*by_life = keep;
	return ONX_OK;
}
