/* plan/parts.c -- forward a few samples at a time.
 *
 * Between two layers a batch of pictures takes more memory than any cache holds, a few of them less.  Where every
 * slice along the samples is computed for itself, a forward plan is therefore made for a part of the batch and run as
 * often as there are parts, beside each other where there are threads (exec/exec.c): what passes between its steps
 * stays in a core's cache.  That pays while a part's tensors outweigh the weights, which each part reads anew.
 *
 * Whether slices are apart is found by comparing the facts of two sizes: a value that depends on the feeds must have
 * the samples in dim 0, in proportion, and nothing else may change; and each operator must say so of itself
 * (ONX_OP_EACH, ONX_OP_APART, ONX_OP_VIEW).  Sizes alone decide, never the number of threads. */
#include <string.h>
#include "plan/lower.h"
#include "plan/plan_i.h"

enum { CACHE = 12 << 20, LEAST = 2 };           /* bytes of a thread's share of a usual last-level cache; samples */

/* The samples, if all feeds agree on them; else 0.  With a budget the caller sees to parts (train/micro.c). */
static int64_t samples_of(const struct onx_plan_want *w)
{
	const struct onx_facts_want *f = &w->facts;
	int64_t n = 0;

	if (w->loss != ONX_NONE || w->budget || f->wide || f->evaluate || f->n_feed == 0)
		return 0;
	for (uint32_t i = 0; i < f->n_feed; i++) {
		if (f->feed[i].shape.rank < 1 || f->feed[i].known || (n && f->feed[i].shape.dim[0] != n))
			return 0;
		n = f->feed[i].shape.dim[0];
	}
	return n;
}

/* Most bytes of values that are alive at once; scratch, which goes with the threads, left out. */
static size_t alive(const struct onx_plan *p)
{
	size_t most = 0;

	for (uint32_t i = 0; i < p->n_forward; i++) {
		size_t sum = 0;

		for (uint32_t k = 0; k < p->n_life; k++)
			if (strcmp(p->life[k].what, "scratch") && p->life[k].first <= i && i <= p->life[k].last)
				sum += p->life[k].bytes;
		most = sum > most ? sum : most;
	}
	return most;
}

/* Bytes that the steps read and write: of values, and of constants. */
static void traffic(const struct onx_plan *p, double *values, double *constants)
{
	*values = *constants = 0;
	for (uint32_t i = 0; i < p->n_forward; i++) {
		const struct onx_step *s = &p->step[i];

		for (uint32_t k = 0; k < s->n_x + s->n_y; k++) {
			const uint32_t t = k < s->n_x ? s->x[k] : s->y[k - s->n_x];

			if (t != ONX_NONE)
				*(p->tensor[t].at == ONX_AT_BLOCK ? values : constants) +=
					(double)p->tensor[t].view.n * p->tensor[t].view.width;
		}
	}
}

/* Samples of a part: the largest divisor whose values fit the cache; 0: all at once is best. */
static int64_t part_of(const struct onx_plan *p, int64_t n)
{
	const double one = (double)alive(p) / (double)n;
	double values, constants;
	int64_t part = n;

	while (part > 1 && (n % part || (double)part * one > CACHE))
		part--;
	traffic(p, &values, &constants);
	return part < LEAST || part == n || values / (double)n * (double)part < 4 * constants ? 0 : part;
}

/* ---- are slices apart? ------------------------------------------------------------------------------- */
struct pair {
	const struct onx_facts *a, *b;  /* of the same graph with n samples, and with a part */
	int64_t n, part;
	bool *sliced;                   /* by value: depends on a feed */
};

/* Dim 0 goes with the samples, the others do not. */
static bool in_proportion(const struct pair *q, uint32_t v)
{
	const struct onx_shape *a = &q->a->fact[v].shape, *b = &q->b->fact[v].shape;

	if (a->rank < 1 || a->rank != b->rank || a->dim[0] % q->n || a->dim[0] / q->n * q->part != b->dim[0])
		return false;
	for (int d = 1; d < a->rank; d++)
		if (a->dim[d] != b->dim[d])
			return false;
	return true;
}

/* Of a value that depends on no feed: a parameter, a constant, or what is made of them. */
static bool same_numbers(const struct pair *q, uint32_t v)
{
	const struct onx_view *a = q->a->fact[v].value, *b = q->b->fact[v].value;

	if (!onx_shape_equal(&q->a->fact[v].shape, &q->b->fact[v].shape) || !a != !b)
		return false;
	return a == b || (a->n == b->n && a->width == b->width &&
			  (a->v == b->v || memcmp(a->v, b->v, a->n * a->width) == 0));
}

static bool axis_is_samples(const struct onx_node *n, int rank)
{
	const struct onx_file_attr *a = onx_lower_find(n, "axis");

	return a && (a->i == 0 || a->i == -rank);
}

/* Element by element an input that is sliced must lie along the output's dim 0. */
static bool node_apart(struct pair *q, uint32_t id)
{
	const struct onx_node *n = &q->a->g->node[id];
	const int flags = n->op->flags;
	bool any = false;

	if (!(flags & (ONX_OP_EACH | ONX_OP_APART | ONX_OP_VIEW)) || (flags & ONX_OP_RANDOM) || q->a->infer[id]->train)
		return false;
	for (uint32_t k = 0; k < n->n_in; k++) {
		const uint32_t v = n->in[k];

		if (v == ONX_NONE)
			continue;
		any |= q->sliced[v];
		if ((flags & ONX_OP_EACH) && q->sliced[v] &&
		    q->a->fact[v].shape.rank != q->a->fact[n->out[0]].shape.rank)
			return false;
		if (!q->sliced[v] && !((flags & ONX_OP_VIEW) && k > 0) && !same_numbers(q, v))
			return false;
	}
	if (!any || axis_is_samples(n, n->in[0] == ONX_NONE ? 0 : q->a->fact[n->in[0]].shape.rank))
		return !any;
	for (uint32_t k = 0; k < n->n_out; k++)
		if (n->out[k] != ONX_NONE && q->a->fact[n->out[k]].type != ONX_UNDEFINED) {
			if (!in_proportion(q, n->out[k]))
				return false;
			q->sliced[n->out[k]] = true;
		}
	return true;
}

static bool apart(struct pair *q, const struct onx_facts_want *w)
{
	const struct onx_graph *g = q->a->g;

	if (g->n_node != q->b->g->n_node || g->n_value != q->b->g->n_value)
		return false;
	for (uint32_t i = 0; i < w->n_feed; i++)
		q->sliced[w->feed[i].value] = true;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const uint32_t id = g->order[i];

		if (q->a->run[id] != q->b->run[id] || (q->a->run[id] && !node_apart(q, id)))
			return false;
	}
	for (uint32_t i = 0; i < q->a->n_target; i++)
		if (!q->sliced[q->a->target[i]] || !in_proportion(q, q->a->target[i]))
			return false;
	return true;
}

/* ---- the plan ---------------------------------------------------------------------------------------- */

/* Room at the end of the block for all samples of a feed or a target. */
static int whole(struct onx_plan *p, const struct onx_facts *all, uint32_t v, bool out, struct onx_err *e)
{
	const uint32_t t = p->value_tensor[v];
	struct onx_whole *w = &p->whole[p->n_whole];
	int64_t *dim = ONX_NEWS(&p->arena, int64_t, ONX_RANK);

	if (t == ONX_NONE || p->tensor[t].at != ONX_AT_BLOCK)
		return ONX_OK;                  /* nobody reads it */
	if (!dim)
		return onx_nomem(e, sizeof *dim * ONX_RANK, "the plan");
	memcpy(dim, all->fact[v].shape.dim, sizeof all->fact[v].shape.dim);
	*w = (struct onx_whole){ .value = v, .view = p->tensor[t].view, .offset = p->bytes, .out = out,
				 .part = p->tensor[t].view.n * p->tensor[t].view.width };
	w->view.dim = dim;
	w->view.n *= p->parts;
	p->bytes += (w->part * p->parts + 63) / 64 * 64;
	p->n_whole++;
	return ONX_OK;
}

static int wholes(struct onx_plan *p, const struct onx_plan_want *w, const struct onx_facts *all, struct onx_err *e)
{
	int rc = ONX_OK;

	p->whole = ONX_NEWS(&p->arena, struct onx_whole, w->facts.n_feed + all->n_target + 1);
	if (!p->whole)
		return onx_nomem(e, sizeof *p->whole, "the plan");
	for (uint32_t i = 0; rc == ONX_OK && i < w->facts.n_feed; i++)
		rc = whole(p, all, w->facts.feed[i].value, false, e);
	for (uint32_t i = 0; rc == ONX_OK && i < all->n_target; i++)
		rc = whole(p, all, all->target[i], true, e);
	for (uint32_t i = 0; i < p->n_step; i++)
		p->step[i].macs *= p->parts;
	p->macs *= p->parts;
	return rc;
}

/* A part's plan, if its slices are apart. */
static int part_plan(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		     const struct onx_plan *all, int64_t n, int64_t part, struct onx_plan **out, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_plan_want some = *w, look;
	struct onx_feed *feed = ONX_NEWS(&a, struct onx_feed, w->facts.n_feed);
	struct pair q = { .a = all->facts, .n = n, .part = part,
			  .sliced = ONX_NEWS(&a, bool, all->facts->g->n_value + 1) };
	struct onx_plan *dry = NULL;
	struct onx_err why = { 0 };
	int rc = feed && q.sliced ? ONX_OK : onx_nomem(e, all->facts->g->n_value, "the plan");

	for (uint32_t i = 0; rc == ONX_OK && i < w->facts.n_feed; i++) {
		feed[i] = w->facts.feed[i];
		feed[i].shape.dim[0] = part;
	}
	some.facts.feed = feed;
	look = some;
	look.dry = true;
	if (rc == ONX_OK && onx_plan_one(g, c, &look, &dry, &why) == ONX_OK) {  /* else: not for so few */
		q.b = dry->facts;
		if (dry->twin && apart(&q, &w->facts) && (rc = onx_plan_one(g, c, &some, out, e)) == ONX_OK) {
			(*out)->parts = (uint32_t)(n / part);
			rc = wholes(*out, w, all->facts, e);
		}
		onx_plan_free(dry);
	}
	if (rc < 0) {
		onx_plan_free(*out);
		*out = NULL;
	}
	onx_arena_release(&a);
	return rc;
}

int onx_plan_in_parts(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		      struct onx_plan **out, struct onx_err *e)
{
	const int64_t n = samples_of(w);
	struct onx_plan_want look = *w;
	struct onx_plan *all = NULL;
	int rc;

	*out = NULL;
	if (n < 2 * LEAST)
		return ONX_OK;
	look.dry = true;
	rc = onx_plan_one(g, c, &look, &all, e);
	if (rc < 0)
		return rc;
	const int64_t part = all->twin ? part_of(all, n) : 0;

	if (part)
		rc = part_plan(g, c, w, all, n, part, out, e);
	onx_plan_free(all);
	return rc;
}
