/* exec/exec.c -- a for over the steps. */
#include "exec/exec.h"
#include <string.h>
#include <time.h>

struct onx_exec {
	struct onx_arena arena;
	const struct onx_plan *plan;
	struct onx_params *params;
	struct onx_block_mem *block;
	struct onx_pool *pool;
	void *base;                     /* where the block was when the calls were filled */
	struct onx_call *call;          /* by step                                        */
	struct onx_view *view;          /* by tensor, with addresses                      */
	struct onx_view *whole;         /* by plan->whole, with addresses                 */
	double *seconds;
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

static void *address(struct onx_exec *x, const struct onx_tensor *t)
{
	const size_t width = x->params && x->params->wide ? 8 : 4;
	switch (t->at) {
	case ONX_AT_CONST: return t->view.v;
	case ONX_AT_PARAM: return (char *)x->params->weight + t->element * width;
	case ONX_AT_GRAD:  return (char *)x->params->grad + t->element * width;
	case ONX_AT_BLOCK: return (char *)x->block->base + x->plan->life[t->life].offset;
	case ONX_AT_SEED:  return t->view.width == 8 ? (void *)&x->seed_wide : (void *)&x->seed;
	case ONX_AT_NONE:  break;
	}
	return NULL;
}

static void gather(const struct onx_exec *x, const uint32_t *id, uint32_t n, struct onx_view *out)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = id[i] == ONX_NONE ? (struct onx_view){ 0 } : x->view[id[i]];
}

/* Fills addresses; again whenever the block has moved. */
static void bind(struct onx_exec *x)
{
	const struct onx_plan *p = x->plan;
	if (x->base == x->block->base)
		return;
	x->base = x->block->base;
	for (uint32_t t = 0; t < p->n_tensor; t++) {
		x->view[t] = p->tensor[t].view;
		x->view[t].v = address(x, &p->tensor[t]);
	}
	for (uint32_t i = 0; i < p->n_whole; i++) {
		x->whole[i] = p->whole[i].view;
		x->whole[i].v = (char *)x->base + p->whole[i].offset;
	}
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		struct onx_call *c = &x->call[i];
		gather(x, s->x, s->n_x, (struct onx_view *)(uintptr_t)c->x);
		gather(x, s->y, s->n_y, (struct onx_view *)(uintptr_t)c->y);
		if (s->back) {
			gather(x, s->dy, s->n_y, (struct onx_view *)(uintptr_t)c->dy);
			gather(x, s->dx, s->n_x, x->dx[i]);
		}
		c->save = s->save == ONX_NONE ? NULL : (char *)x->base + p->life[s->save].offset;
		c->scratch = s->scratch == ONX_NONE ? NULL : (char *)x->base + p->life[s->scratch].offset;
	}
}

static int prepare(struct onx_exec *x, struct onx_err *e)
{
	const struct onx_plan *p = x->plan;
	x->view = ONX_NEWS(&x->arena, struct onx_view, p->n_tensor + 1);
	x->call = ONX_NEWS(&x->arena, struct onx_call, p->n_step + 1);
	x->dx = ONX_NEWS(&x->arena, struct onx_view *, p->n_step + 1);
	x->whole = ONX_NEWS(&x->arena, struct onx_view, p->n_whole + 1);
	if (!x->view || !x->call || !x->dx || !x->whole)
		return onx_nomem(e, p->n_step * sizeof *x->call, "a run");
	for (uint32_t i = 0; i < p->n_step; i++) {
		const struct onx_step *s = &p->step[i];
		struct onx_view *v = ONX_NEWS(&x->arena, struct onx_view, 2 * ((size_t)s->n_x + s->n_y) + 1);
		const struct onx_infer *f = p->facts->infer[s->node];
		if (!v)
			return onx_nomem(e, sizeof *v * s->n_x, "a run");
		x->dx[i] = v + s->n_x + 2 * s->n_y;
		x->call[i] = (struct onx_call){
			.attr = p->facts->g->node[s->node].attr, .geo = f ? f->geo : NULL,
			.n_x = (int)s->n_x, .n_y = (int)s->n_y, .x = v, .y = v + s->n_x,
			.dy = v + s->n_x + s->n_y, .dx = x->dx[i], .train = s->train,
			.again = s->again, .packed = s->packed,
			.pool = x->pool };
	}
	return ONX_OK;
}

int onx_exec_new(const struct onx_plan *plan, struct onx_params *params, struct onx_block_mem *block,
		 struct onx_pool *pool, struct onx_exec **out, struct onx_err *e)
{
	struct onx_exec *x = onx_heap(1, sizeof *x);
	if (!x)
		return onx_nomem(e, sizeof *x, "a run");
	*x = (struct onx_exec){ .plan = plan, .params = params, .block = block, .pool = pool };
	int rc = reserve(block, plan->bytes, e);
	if (rc == ONX_OK)
		rc = prepare(x, e);
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

void *onx_exec_feed_at(struct onx_exec *x, uint32_t value, size_t *bytes)
{
	const uint32_t t = x->plan->value_tensor[value];
	const struct onx_view *whole = whole_of(x, value);
	bind(x);
	if (whole) {
		*bytes = whole->n * whole->width;
		return whole->v;
	}
	if (t == ONX_NONE || x->plan->tensor[t].at != ONX_AT_BLOCK)
		return NULL;                    /* the plan found that nobody reads it */
	*bytes = x->view[t].n * x->view[t].width;
	return x->view[t].v;
}

void onx_exec_feed(struct onx_exec *x, uint32_t value, const void *src)
{
	size_t bytes;
	void *to = onx_exec_feed_at(x, value, &bytes);
	if (to)
		memcpy(to, src, bytes);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run(struct onx_exec *x, uint32_t i)
{
	const double t = x->seconds ? now() : 0;
	x->plan->step[i].run(&x->call[i]);
	if (x->seconds)
		x->seconds[i] += now() - t;
}

/* The samples of part `i` go in, or come out. */
static void carry(struct onx_exec *x, uint32_t i, bool out)
{
	for (uint32_t k = 0; k < x->plan->n_whole; k++) {
		const struct onx_whole *w = &x->plan->whole[k];
		char *all = (char *)x->whole[k].v + i * w->part;
		void *part = x->view[x->plan->value_tensor[w->value]].v;
		if (w->out && out)
			memcpy(all, part, w->part);
		else if (!w->out && !out)
			memcpy(part, all, w->part);
	}
}

void onx_exec_forward(struct onx_exec *x, uint64_t seed, uint64_t step)
{
	bind(x);
	for (uint32_t i = 0; i < x->plan->n_step; i++)
		x->call[i].rng = (struct onx_rng_key){ seed, step, x->plan->step[i].node };
	if (x->seconds)
		memset(x->seconds, 0, x->plan->n_step * sizeof *x->seconds);
	for (uint32_t part = 0; part < x->plan->parts; part++) {
		carry(x, part, false);
		for (uint32_t i = 0; i < x->plan->n_forward; i++)
			run(x, i);
		carry(x, part, true);
	}
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
		run(x, i);
	}
}

const struct onx_view *onx_exec_view(struct onx_exec *x, uint32_t value)
{
	const uint32_t t = x->plan->value_tensor[value];
	const struct onx_view *whole = whole_of(x, value);
	bind(x);
	if (whole)
		return whole;
	return t == ONX_NONE ? NULL : &x->view[t];
}

int onx_exec_profile(struct onx_exec *x, struct onx_err *e)
{
	x->seconds = ONX_NEWS(&x->arena, double, x->plan->n_step + 1);
	return x->seconds ? ONX_OK : onx_nomem(e, x->plan->n_step * sizeof(double), "the profile");
}

const double *onx_exec_times(const struct onx_exec *x)
{
	return x->seconds;
}
