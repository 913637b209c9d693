/* plan/segment.c -- how much backward makes again, so that the block fits in the budget.
 *
 * Plans are made from cheap to expensive until one fits: everything kept (but for what costs next to nothing);
 * light steps made again; then steps of ever more arithmetic counted as light, and segments (plan/keep.c) of
 * several sizes, over the front of the forward pass, where activations are large and arithmetic is small.  For
 * each way the shortest front that fits is found by halving, and the plan with the least time to make up for wins.
 * Without a budget, a large block is made smaller in that way where it costs little.  Forward steps are planned
 * once; each trial begins behind them. */
#include <string.h>
#include "plan/plan_i.h"

static const double parts[] = { 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 };
static const double macs[] = { 16, 64, 128, 256, 512 };         /* an element of a light step */
enum { PARTS = sizeof parts / sizeof *parts, MACS = sizeof macs / sizeof *macs, TRIALS = 4, MIXED = 2,
       WAYS = MACS + (MACS + MIXED - 1) / MIXED * PARTS };
/* Light steps in a row that are made again: always, the additions of a few residual blocks; under a budget. */
enum { LIGHT = 4, BROAD = 3 };
/* Without a budget: blocks of that many bytes are made smaller by that share, if it costs no more than that part of
 * a forward pass by cost(): 2 to 8 % of a step. */
static const struct lean { double from, share, costs; } leans[] = { { 1e9, 0.7, 0.3 }, { 64e6, 0.75, 1.0 / 6 } };
enum { LEANS = sizeof leans / sizeof *leans };

struct trial {
	struct onx_builder *b;
	struct onx_life *life; uint32_t n_life;         /* as forward left them */
	struct onx_tensor *tensor; uint32_t n_tensor;
	size_t least;                                   /* smallest block so far */
	double held[MACS];                              /* bytes that backward needs, by way  */
};

/* Time of a step as bytes moved: four multiply-adds cost as much as a byte. */
static double cost(const struct onx_plan *p, const struct onx_step *s)
{
	double sum = s->macs / 4;
	for (uint32_t k = 0; k < s->n_x; k++)
		if (s->x[k] != ONX_NONE)
			sum += (double)p->tensor[s->x[k]].view.n * p->tensor[s->x[k]].view.width;
	for (uint32_t k = 0; k < s->n_y; k++)
		if (s->y[k] != ONX_NONE)
			sum += (double)p->tensor[s->y[k]].view.n * p->tensor[s->y[k]].view.width;
	return sum;
}

static void sum_up(struct onx_plan *p)
{
	double forward = 0, again = 0;
	p->n_again = 0;
	for (uint32_t i = 0; i < p->n_step; i++) {
		if (i < p->n_forward)
			forward += cost(p, &p->step[i]);
		else if (p->step[i].again)
			again += cost(p, &p->step[i]);
		p->n_again += p->step[i].again;
	}
	p->again = forward > 0 ? again / forward : 0;
}

/* Targets and, in a plan with backward, the loss stay readable to the end. */
static void pin(struct onx_plan *p, uint32_t v)
{
	const uint32_t t = p->value_tensor[v];
	if (t != ONX_NONE && p->tensor[t].at == ONX_AT_BLOCK && p->n_step)
		onx_life_reach(&p->life[p->tensor[t].life], p->n_step - 1);
}

/* Bytes that come to life at each step and die behind it, summed up. */
static int most_alive(struct onx_plan *p, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	size_t *born = ONX_NEWS(&a, size_t, p->n_step + 1), *dies = ONX_NEWS(&a, size_t, p->n_step + 1), now = 0;
	p->live_bytes = 0;
	for (uint32_t i = 0; born && dies && p->n_step && i < p->n_life; i++) {
		born[p->life[i].first] += p->life[i].bytes;
		dies[p->life[i].last] += p->life[i].bytes;
	}
	for (uint32_t s = 0; born && dies && s < p->n_step; s++) {
		now += born[s];
		p->live_bytes = now > p->live_bytes ? now : p->live_bytes;
		now -= dies[s];
	}
	const bool ok = born && dies;
	onx_arena_release(&a);
	return ok ? ONX_OK : onx_nomem(e, p->n_step * 16.0, "the plan");
}

static void begin(struct trial *t)
{
	struct onx_plan *p = t->b->p;
	if (t->n_life)                  /* a plan without steps has no room for any */
		memcpy(p->life, t->life, t->n_life * sizeof *t->life);
	if (t->n_tensor)
		memcpy(p->tensor, t->tensor, t->n_tensor * sizeof *t->tensor);
	p->n_life = t->n_life;
	p->n_tensor = t->n_tensor;
	p->n_step = p->n_forward;
	memset(t->b->grad_tensor, 0xff, t->b->g->n_value * sizeof *t->b->grad_tensor);
	memset(t->b->written, 0, t->b->g->n_value * sizeof *t->b->written);
}

/* A plan that keeps as much as `how` says; p->bytes is its block.  Where `most` is given and a lower bound is above
 * it, that bound will do. */
static int attempt(struct trial *t, const struct onx_keep *how, size_t most, struct onx_err *e)
{
	struct onx_plan *p = t->b->p;
	bool *keep = NULL;
	begin(t);
	int rc = onx_plan_keep(t->b, how, &keep, e);
	if (rc == ONX_OK) {
		onx_plan_in_place(t->b, keep);
		rc = t->b->want->loss == ONX_NONE ? ONX_OK : onx_plan_backward(t->b, e);
	}
	for (uint32_t i = 0; rc == ONX_OK && i < p->facts->n_target; i++)
		pin(p, p->facts->target[i]);
	if (rc == ONX_OK)
		rc = most_alive(p, e);
	if (rc < 0)
		return rc;
	p->bytes = most && p->live_bytes > most ? p->live_bytes : onx_place(p->life, p->n_life);
	if (p->bytes == SIZE_MAX)
		return onx_nomem(e, p->n_life * 16.0, "the plan");
	if (p->bytes < t->least)
		t->least = p->bytes;
	sum_up(p);
	return ONX_OK;
}

/* The shortest front, in forward steps, whose segments of that size fit; then its plan is the current one. */
static int shortest(struct trial *t, struct onx_keep *how, size_t budget, struct onx_err *e)
{
	uint32_t low = 0, high = how->until;    /* `high` fits */
	int rc = ONX_OK;
	while (rc == ONX_OK && high - low > 1 + how->until / 64) {
		struct onx_keep middle = *how;
		middle.until = low + (high - low) / 2;
		rc = attempt(t, &middle, budget, e);
		if (rc == ONX_OK && t->b->p->bytes <= budget)
			high = middle.until;
		else
			low = middle.until;
	}
	how->until = high;
	return rc < 0 ? rc : attempt(t, how, budget, e);
}

/* Way number i over the whole forward pass: light steps of ever more arithmetic, then segments of every size
 * beside them; the current plan. */
static int attempt_way(struct trial *t, int i, size_t most, struct onx_keep *how, struct onx_err *e)
{
	const int m = i < MACS ? i : (i - MACS) / PARTS * MIXED;

	*how = (struct onx_keep){ .depth = BROAD, .broad = true, .macs = macs[m], .until = t->b->n_run };
	if (i >= MACS)
		how->room = t->held[m] / parts[(i - MACS) % PARTS];
	const int rc = attempt(t, how, most, e);

	if (i < MACS)
		t->held[i] = onx_plan_held(t->b);
	return rc;
}

/* Of the ways that fit over the whole forward pass, the shortest front of each: that with the least to make again. */
static int fronts(struct trial *t, size_t budget, bool *fits, struct onx_err *e)
{
	struct onx_plan *p = t->b->p;
	struct onx_keep how, best = { 0 };
	double least = 0;
	int rc = ONX_OK, tried = 0;

	for (int i = 0; rc == ONX_OK && i < WAYS; i++) {
		tried = i < MACS || (i - MACS) % PARTS == 0 ? 0 : tried;
		if (tried == TRIALS)
			continue;
		rc = attempt_way(t, i, budget, &how, e);
		if (rc < 0 || p->bytes > budget)
			continue;
		tried++;
		rc = shortest(t, &how, budget, e);
		if (rc == ONX_OK && p->bytes <= budget && (!best.depth || p->again < least)) {
			best = how;
			least = p->again;
		}
	}
	*fits = best.depth > 0;
	return rc == ONX_OK && *fits ? attempt(t, &best, budget, e) : rc;
}

/* The smallest block that there is: what a budget would have to be. */
static int smallest(struct trial *t, struct onx_err *e)
{
	struct onx_keep how;
	int rc = attempt(t, &(struct onx_keep){ .depth = LIGHT }, 0, e);

	t->least = t->b->p->bytes;
	for (int i = 0; rc == ONX_OK && t->b->want->loss != ONX_NONE && i < WAYS; i++)
		rc = attempt_way(t, i, 0, &how, e);
	return rc;
}

/* Light steps made again, then segments. */
static int harder(struct trial *t, size_t budget, bool *fits, struct onx_err *e)
{
	const int rc = attempt(t, &(struct onx_keep){ .depth = BROAD, .broad = true }, budget, e);

	*fits = rc == ONX_OK && t->b->p->bytes <= budget;
	return rc < 0 || *fits ? rc : fronts(t, budget, fits, e);
}

/* Without a budget, where the block is large: less of it, if that costs little; else as before. */
static int leaner(struct trial *t, struct onx_err *e)
{
	struct onx_plan *p = t->b->p;
	const double light = p->again, all = (double)p->bytes;

	for (int i = 0; i < LEANS; i++) {
		bool fits = false;
		const int rc = all < leans[i].from ? ONX_OK : harder(t, (size_t)(all * leans[i].share), &fits, e);

		if (rc < 0 || (fits && p->again <= light + leans[i].costs))
			return rc;
	}
	return attempt(t, &(struct onx_keep){ .depth = LIGHT }, 0, e);
}

static int trials(struct trial *t, struct onx_err *e)
{
	struct onx_plan *p = t->b->p;
	const size_t budget = t->b->want->budget;
	bool fits = false;
	int rc = attempt(t, &(struct onx_keep){ .depth = LIGHT }, 0, e);
	if (rc == ONX_OK && !budget && t->b->want->loss != ONX_NONE)
		return leaner(t, e);
	if (rc < 0 || !budget || p->bytes <= budget)
		return rc;
	if (t->b->want->loss != ONX_NONE)
		rc = harder(t, budget, &fits, e);
	if (rc < 0 || fits || (rc = smallest(t, e)) < 0)
		return rc;
	return onx_fail(e, ONX_NOMEM, "the plan needs %.3f MB, over the budget of %.3f MB",
			(double)t->least / 1e6, (double)budget / 1e6);
}

int onx_plan_within(struct onx_builder *b, struct onx_err *e)
{
	struct onx_plan *p = b->p;
	struct trial t = { .b = b, .n_life = p->n_life, .n_tensor = p->n_tensor, .least = SIZE_MAX,
			   .life = ONX_NEWS(&p->arena, struct onx_life, p->n_life + 1),
			   .tensor = ONX_NEWS(&p->arena, struct onx_tensor, p->n_tensor + 1) };
	if (!t.life || !t.tensor)
		return onx_nomem(e, p->n_tensor * sizeof *t.tensor, "the plan");
	if (p->n_life)
		memcpy(t.life, p->life, p->n_life * sizeof *t.life);
	if (p->n_tensor)
		memcpy(t.tensor, p->tensor, p->n_tensor * sizeof *t.tensor);
	const int rc = trials(&t, e);
	if (b->want->least)
		*b->want->least = t.least;
	return rc;
}
