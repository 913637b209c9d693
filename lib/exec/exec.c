/* exec/exec.c -- a for over the steps.
 *
 * A plan that runs in parts (plan/parts.c) has as many lanes as threads where the parts come out even: each a piece
 * of the block and calls of its own, so that a thread takes whole parts and nothing passes between cores.  Inside a
 * part the kernels find themselves in a piece already and run on that thread (base/pool.h).  Else there is one lane,
 * and the threads share each step.  The bits are the same. */
#include "exec/exec.h"
#include <string.h>
#include <time.h>

enum { EVEN = 75, ROOM = 512 << 20 };   /* % of the threads' time that parts fill; bytes of all lanes */
enum { LINE = 64, WORTH = 64 << 10 };   /* alignment and bytes from which on a feed is read where it is */

struct lane {
	char *base;                     /* its piece of the block    */
	struct onx_call *call;          /* by step                   */
	struct onx_view *view;          /* by tensor, with addresses */
	double *seconds;                /* by step, or NULL          */
};

struct onx_exec {
	struct onx_arena arena;
	const struct onx_plan *plan;
	struct onx_params *params;
	struct onx_block_mem *block;
	struct onx_pool *pool;
	void *base;                     /* where the block was when the calls were filled */
	struct lane *lane;
	uint32_t lanes;
	const void **lent, **lent_whole;        /* by life, by plan->whole: the caller's memory of a feed, or NULL */
	struct onx_view *whole;         /* by plan->whole, with addresses                 */
	double seed_wide; float seed;   /* what backward starts from                      */
	struct onx_view **dx;           /* by backward step: its own copies, with .add    */
};

void onx_block_release(struct onx_block_mem *b)
{
	onx_heap_free(b->base);
	*b = (struct onx_block_mem){ 0 };
}

static int reserve(struct onx_block_mem *b, size_t bytes, struct onx_err *e)
{
	if (bytes <= b->bytes && b->base)
		return ONX_OK;
	onx_heap_free(b->base);
	b->base = onx_heap(1, bytes + 64);
	b->bytes = b->base ? bytes : 0;
	return b->base ? ONX_OK : onx_nomem(e, (double)bytes, "the tensors of a run");
}

/* Of a part's tensors; those of all samples stand behind them. */
static size_t lane_bytes(const struct onx_plan *p)
{
	return p->n_whole ? p->whole[0].offset : p->bytes;
}

static uint32_t lanes_of(const struct onx_plan *p, const struct onx_pool *pool)
{
	const uint32_t threads = (uint32_t)onx_pool_threads(pool), turns = (p->parts + threads - 1) / threads;

	if (p->parts <= 1 || 100 * p->parts < EVEN * turns * threads || threads * lane_bytes(p) > ROOM)
		return 1;
	return threads;
}

static void *address(struct onx_exec *x, const struct lane *l, const struct onx_tensor *t)
{
	const size_t width = x->params && x->params->wide ? 8 : 4;
	if (t->at == ONX_AT_BLOCK && x->lent[t->life])     /* a plan writes over no feed (plan/keep.c) */
		return (void *)(uintptr_t)x->lent[t->life];
	switch (t->at) {
	case ONX_AT_CONST: return t->view.v;
	case ONX_AT_PARAM: return (char *)x->params->weight + t->element * width;
	case ONX_AT_GRAD:  return (char *)x->params->grad + t->element * width;
	case ONX_AT_BLOCK: return l->base + x->plan->life[t->life].offset;
	case ONX_AT_SEED:  return t->view.width == 8 ? (void *)&x->seed_wide : (void *)&x->seed;
	case ONX_AT_NONE:  break;
	}
	return NULL;
}

static void gather(const struct lane *l, const uint32_t *id, uint32_t n, struct onx_view *out)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = id[i] == ONX_NONE ? (struct onx_view){ 0 } : l->view[id[i]];
}

static void bind_lane(struct onx_exec *x, struct lane *l)
{
	const struct onx_plan *p = x->plan;
	for (uint32_t t = 0; t < p->n_tensor; t++) {
		l->view[t] = p->tensor[t].view;
		l->view[t].v = address(x, l, &p->tensor[t]);
	}
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		struct onx_call *c = &l->call[i];
		gather(l, s->x, s->n_x, (struct onx_view *)(uintptr_t)c->x);
		gather(l, s->y, s->n_y, (struct onx_view *)(uintptr_t)c->y);
		if (s->back) {
			gather(l, s->dy, s->n_y, (struct onx_view *)(uintptr_t)c->dy);
			gather(l, s->dx, s->n_x, x->dx[i]);
		}
		c->save = s->save == ONX_NONE ? NULL : l->base + p->life[s->save].offset;
		c->scratch = s->scratch == ONX_NONE ? NULL : l->base + p->life[s->scratch].offset;
	}
}

/* Fills addresses; again whenever the block has moved. */
static void bind(struct onx_exec *x)
{
	const struct onx_plan *p = x->plan;
	if (x->base == x->block->base)
		return;
	x->base = x->block->base;
	for (uint32_t k = 0; k < x->lanes; k++) {
		x->lane[k].base = (char *)x->base + (k ? p->bytes + (k - 1) * lane_bytes(p) : 0);
		bind_lane(x, &x->lane[k]);
	}
	for (uint32_t i = 0; i < p->n_whole; i++) {
		x->whole[i] = p->whole[i].view;
		x->whole[i].v = x->lent_whole[i] ? (void *)(uintptr_t)x->lent_whole[i]
						 : (char *)x->base + p->whole[i].offset;
	}
}

static int prepare_lane(struct onx_exec *x, struct lane *l, struct onx_err *e)
{
	const struct onx_plan *p = x->plan;
	l->view = ONX_NEWS(&x->arena, struct onx_view, p->n_tensor + 1);
	l->call = ONX_NEWS(&x->arena, struct onx_call, p->n_step + 1);
	if (!l->view || !l->call)
		return onx_nomem(e, p->n_step * sizeof *l->call, "a run");
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		struct onx_view *v = ONX_NEWS(&x->arena, struct onx_view, 2 * ((size_t)s->n_x + s->n_y) + 1);
		const struct onx_infer *f = p->facts->infer[s->node];
		if (!v)
			return onx_nomem(e, sizeof *v * s->n_x, "a run");
		x->dx[i] = v + s->n_x + 2 * s->n_y;
		l->call[i] = (struct onx_call){
			.attr = p->facts->g->node[s->node].attr, .geo = f ? f->geo : NULL,
			.n_x = (int)s->n_x, .n_y = (int)s->n_y, .x = v, .y = v + s->n_x,
			.dy = v + s->n_x + s->n_y, .dx = x->dx[i], .train = s->train,
			.again = s->again, .packed = s->packed,
			.pool = x->pool };
	}
	return ONX_OK;
}

static int prepare(struct onx_exec *x, struct onx_err *e)
{
	const struct onx_plan *p = x->plan;
	int rc = ONX_OK;
	x->lanes = lanes_of(p, x->pool);
	x->lane = ONX_NEWS(&x->arena, struct lane, x->lanes);
	x->dx = ONX_NEWS(&x->arena, struct onx_view *, p->n_step + 1);
	x->whole = ONX_NEWS(&x->arena, struct onx_view, p->n_whole + 1);
	x->lent = ONX_NEWS(&x->arena, const void *, p->n_life + 1);
	x->lent_whole = ONX_NEWS(&x->arena, const void *, p->n_whole + 1);
	if (!x->lane || !x->dx || !x->whole || !x->lent || !x->lent_whole)
		return onx_nomem(e, p->n_step * sizeof *x->dx, "a run");
	for (uint32_t k = 0; k < x->lanes && rc == ONX_OK; k++)
		rc = prepare_lane(x, &x->lane[k], e);
	return rc == ONX_OK ? reserve(x->block, p->bytes + (x->lanes - 1) * lane_bytes(p), e) : rc;
}

int onx_exec_new(const struct onx_plan *plan, struct onx_params *params, struct onx_block_mem *block,
		 struct onx_pool *pool, struct onx_exec **out, struct onx_err *e)
{
	struct onx_exec *x = onx_heap(1, sizeof *x);
	if (!x)
		return onx_nomem(e, sizeof *x, "a run");
	*x = (struct onx_exec){ .plan = plan, .params = params, .block = block, .pool = pool };
	const int rc = prepare(x, e);
	if (rc < 0) {
		onx_exec_free(x);
		return rc;
	}
	bind(x);
	*out = x;
	return ONX_OK;
}

void onx_exec_free(struct onx_exec *x)
{
	if (!x)
		return;
	struct onx_arena a = x->arena;
	onx_arena_release(&a);
	onx_heap_free(x);
}

/* All samples of a feed or a target of a plan that runs in parts; else NULL. */
static struct onx_view *whole_of(struct onx_exec *x, uint32_t value)
{
	for (uint32_t i = 0; i < x->plan->n_whole; i++)
		if (x->plan->whole[i].value == value)
			return &x->whole[i];
	return NULL;
}

/* Where a feed lies, and where it is written down that it is lent; NULL: nobody reads it. */
static const struct onx_view *feed_of(struct onx_exec *x, uint32_t value, const void ***lent)
{
	const uint32_t t = x->plan->value_tensor[value];
	const struct onx_view *whole = whole_of(x, value);
	if (whole) {
		*lent = &x->lent_whole[whole - x->whole];
		return whole;
	}
	if (t == ONX_NONE || x->plan->tensor[t].at != ONX_AT_BLOCK)
		return NULL;
	*lent = &x->lent[x->plan->tensor[t].life];
	return &x->lane->view[t];
}

static void lend(struct onx_exec *x, const void **lent, const void *src)
{
	if (*lent != src)
		x->base = NULL;
	*lent = src;
	bind(x);
}

void *onx_exec_feed_at(struct onx_exec *x, uint32_t value, size_t *bytes)
{
	const void **lent;
	const struct onx_view *v = feed_of(x, value, &lent);
	if (!v)
		return NULL;
	lend(x, lent, NULL);
	*bytes = v->n * v->width;
	return v->v;
}

void onx_exec_feed(struct onx_exec *x, uint32_t value, const void *src)
{
	size_t bytes;
	void *to = onx_exec_feed_at(x, value, &bytes);
	if (to)
		memcpy(to, src, bytes);
}

void onx_exec_lend(struct onx_exec *x, uint32_t value, const void *src)
{
	const void **lent;
	const struct onx_view *v = feed_of(x, value, &lent);
	if (!v || v->n * v->width < WORTH || (uintptr_t)src % LINE) {
		onx_exec_feed(x, value, src);
		return;
	}
	lend(x, lent, src);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(const struct onx_exec *x, const struct lane *l, uint32_t i)
{
	const double t = l->seconds ? now() : 0;
	x->plan->step[i].run(&l->call[i]);
	if (l->seconds)
		l->seconds[i] += now() - t;
}

/* The samples of part `i` go in, or come out. */
static void carry(const struct onx_exec *x, const struct lane *l, size_t i, bool out)
{
	for (uint32_t k = 0; k < x->plan->n_whole; k++) {
		const struct onx_whole *w = &x->plan->whole[k];
		char *all = (char *)x->whole[k].v + i * w->part;
		void *part = l->view[x->plan->value_tensor[w->value]].v;
		if (w->out && out)
			memcpy(all, part, w->part);
		else if (!w->out && !out)
			memcpy(part, all, w->part);
	}
}

static void run_part(void *ctx, size_t part, int worker)
{
	const struct onx_exec *x = ctx;
	const struct lane *l = &x->lane[worker];
	carry(x, l, part, false);
	for (uint32_t i = 0; i < x->plan->n_forward; i++)
		run(x, l, i);
	carry(x, l, part, true);
}

/* Lanes run beside each other: a step takes their mean. */
static void mean_seconds(struct onx_exec *x)
{
	for (uint32_t i = 0; x->lane->seconds && i < x->plan->n_forward; i++) {
		double sum = 0;
		for (uint32_t k = 0; k < x->lanes; k++)
			sum += x->lane[k].seconds[i];
		x->lane->seconds[i] = sum / x->lanes;
	}
}

static uint64_t draws_by(const struct onx_plan *p, uint32_t step)
{
	const uint32_t id = p->step[step].node;
	return id != ONX_NONE && p->facts->g->node[id].draw ? p->facts->g->node[id].draw : id;
}

void onx_exec_forward(struct onx_exec *x, uint64_t seed, uint64_t step)
{
	bind(x);
	for (uint32_t k = 0; k < x->lanes; k++) {
		struct lane *l = &x->lane[k];
		for (uint32_t i = 0; i < x->plan->n_step; i++)
			l->call[i].rng = (struct onx_rng_key){ seed, step, draws_by(x->plan, i) };
		if (l->seconds)
			memset(l->seconds, 0, x->plan->n_step * sizeof *l->seconds);
	}
	onx_parallel(x->lanes > 1 ? x->pool : NULL, x->plan->parts, run_part, x);
	mean_seconds(x);
}

void onx_exec_backward(struct onx_exec *x, bool accumulate, double share)
{
	const struct onx_plan *p = x->plan;
	x->seed_wide = share;
	x->seed = (float)share;
	for (uint32_t i = p->n_forward; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		for (uint32_t k = 0; k < s->n_x; k++)
			if (s->dx[k] != ONX_NONE)
				x->dx[i][k].add = s->add[k] ||
						  (accumulate && p->tensor[s->dx[k]].at == ONX_AT_GRAD);
		run(x, x->lane, i);
	}
}

const struct onx_view *onx_exec_view(struct onx_exec *x, uint32_t value)
{
	const uint32_t t = x->plan->value_tensor[value];
	const struct onx_view *whole = whole_of(x, value);
	bind(x);
	if (whole)
		return whole;
	return t == ONX_NONE ? NULL : &x->lane->view[t];
}

int onx_exec_profile(struct onx_exec *x, struct onx_err *e)
{
	for (uint32_t k = 0; k < x->lanes; k++)
		if (!(x->lane[k].seconds = ONX_NEWS(&x->arena, double, x->plan->n_step + 1)))
			return onx_nomem(e, x->plan->n_step * sizeof(double), "the profile");
	return ONX_OK;
}

const double *onx_exec_times(const struct onx_exec *x)
{
	return x->lane->seconds;
}
