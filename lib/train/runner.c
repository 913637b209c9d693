/* train/runner.c */
#include "train/runner.h"
#include <string.h>
#include "base/rng.h"
#include "tensor/seq.h"

/* What a batch decides, and what a plan is told of its numbers. */
struct said { const struct onx_decision **decided; struct onx_told *told; uint32_t n; };

/* The feeds for n samples, and room for more. */
static int feeds(const struct onx_runner *r, int64_t n, uint32_t more, struct onx_arena *a, struct onx_feed **out,
		 struct onx_err *e)
{
	struct onx_feed *feed = *out = ONX_NEWS(a, struct onx_feed, (size_t)r->n_feed + more + 1);
	if (!feed)
		return onx_nomem(e, r->n_feed * sizeof *feed, "the plan");
	if (r->n_feed)
		memcpy(feed, r->feed, r->n_feed * sizeof *feed);
	for (uint32_t i = 0; i < r->n_feed; i++)
		if (feed[i].shape.rank && (!r->samples || feed[i].shape.dim[0] == r->samples))
			feed[i].shape.dim[0] = n;
	return ONX_OK;
}

static int make(struct onx_runner *r, int64_t n, const struct said *said, struct onx_plan **plan, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_feed *feed;
	size_t least = 0;
	int rc = feeds(r, n, said->n, &a, &feed, e);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < said->n; i++)
		feed[r->n_feed + i] = said->told[i].feed;
	const struct onx_plan_want w = {
		.facts = { .feed = feed, .n_feed = r->n_feed + said->n, .target = r->target, .n_target = r->n_target,
			   .variable = r->variable, .train = r->train, .wide = r->wide, .pool = r->pool,
			   .told = said->decided, .guess = r->open && !said->decided },
		.loss = r->loss, .weight = r->weight, .threads = onx_pool_threads(r->pool),
		.budget = r->budget, .precise = r->precise, .least = &least };
	rc = onx_plan_make(r->g, r->consts, &w, plan, e);
	onx_arena_release(&a);
	r->least = least > r->least ? least : r->least;
	return rc;
}

static void drop(struct onx_runner *r, int k)
{
	onx_exec_free(r->slot[k].exec);
	onx_plan_free(r->slot[k].plan);
	onx_buf_release(&r->slot[k].key);
	onx_arena_release(&r->slot[k].mem);
	memset(&r->slot[k], 0, sizeof r->slot[k]);
}

/* Constants of a plan live as long as it does. */
static int keep(struct onx_arena *mem, struct said *said, struct onx_err *e)
{
	for (uint32_t i = 0; i < said->n; i++)
		if (said->told[i].feed.known && !(said->told[i].feed.known = onx_view_copy(mem, said->told[i].view)))
			return onx_nomem(e, 64, "what shapes depend on");
	return ONX_OK;
}

/* The place of a plan for n samples that decide `key` (which it takes), made where it is new. */
static int find(struct onx_runner *r, int64_t n, struct said *said, struct onx_buf *key, int *at, struct onx_err *e)
{
	const int most = r->open ? ONX_RUNNER_WAYS : ONX_RUNNER_SIZES;
	int k = *at = 0;
	for (int i = 0; i < most; i++) {
		if (r->slot[i].exec && r->slot[i].n == n && r->slot[i].key.len == key->len &&
		    (!key->len || memcmp(r->slot[i].key.data, key->data, key->len) == 0)) {
			*at = i;
			onx_buf_release(key);
			r->slot[i].used = ++r->clock;
			return ONX_OK;
		}
		if (r->slot[i].used < r->slot[k].used)
			k = i;
	}
	drop(r, k);
	int rc = keep(&r->slot[k].mem, said, e);
	if (rc == ONX_OK)
		rc = make(r, n, said, &r->slot[k].plan, e);
	if (rc == ONX_OK)
		rc = onx_exec_new(r->slot[k].plan, r->params, r->block, r->pool, &r->slot[k].exec, e);
	if (rc < 0)
		return rc;
	r->slot[k].n = n;
	r->slot[k].key = *key;
	*key = (struct onx_buf){ 0 };
	if (r->slot[k].plan->bytes > r->bytes)
		r->bytes = r->slot[k].plan->bytes;
	r->slot[k].used = ++r->clock;
	*at = k;
	return ONX_OK;
}

/* A plan for sizes where they depend on the numbers: for some that are made up. */
static int made_up(struct onx_runner *r, int64_t n, struct onx_exec **x, const struct onx_plan **plan,
		   struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_feed *feed;
	const void **number = ONX_NEWS(&a, const void *, r->n_feed + 1);
	int rc = number ? feeds(r, n, 0, &a, &feed, e) : onx_nomem(e, 8.0 * r->n_feed, "the plan");
	for (uint32_t i = 0; rc == ONX_OK && i < r->n_feed; i++) {
		const enum onx_dtype type = feed[i].type ? feed[i].type : r->g->value[feed[i].value].type;
		struct onx_view *v = onx_tensor_new(&a, type, feed[i].shape.rank, feed[i].shape.dim,
						    onx_dtype_store(type, r->wide));
		struct onx_rng rng;
		onx_rng_init(&rng, 1, ONX_RNG_TEST, i, 0);
		for (size_t k = 0; v && onx_dtype_real(type) && k < v->n; k++)
			onx_view_put_real(v, k, onx_rng_range(&rng, -1, 1));
		for (size_t k = 0; v && type == ONX_STRING && k < v->n; k++)
			((const char **)v->v)[k] = "";
		number[i] = v ? v->v : NULL;
		if (!v)
			rc = onx_nomem(e, 64, "made-up numbers");
	}
	if (rc == ONX_OK)
		rc = onx_runner_feed(r, n, number, 0, 0, x, e);
	for (uint32_t i = 0; rc == ONX_OK && i < r->n_feed; i++)
		onx_exec_feed(*x, feed[i].value, number[i]);            /* they end here */
	for (int k = 0; rc == ONX_OK && plan && k < ONX_RUNNER_WAYS; k++)
		if (r->slot[k].exec == *x)
			*plan = r->slot[k].plan;
	onx_arena_release(&a);
	return rc;
}

int onx_runner_get(struct onx_runner *r, int64_t n, struct onx_exec **x, const struct onx_plan **plan,
		   struct onx_err *e)
{
	struct onx_buf none = { 0 };
	struct said nothing = { 0 };
	int k;
	if (r->open && r->open->asks)
		return made_up(r, n, x, plan, e);
	int rc = find(r, n, &nothing, &none, &k, e);
	if (rc < 0)
		return rc;
	*x = r->slot[k].exec;
	if (plan)
		*plan = r->slot[k].plan;
	return ONX_OK;
}

/* ---- where batches decide ---- */

struct look {                           /* at one batch */
	struct onx_runner *r;
	struct onx_arena mem;
	struct onx_feed *feed; uint32_t n;      /* all that the interpreter is given */
};

static int add(struct look *l, uint32_t value, const struct onx_view *v, struct onx_err *e)
{
	struct onx_view *copy = ONX_NEW(&l->mem, struct onx_view);
	struct onx_feed *f = &l->feed[l->n++];
	if (!copy)
		return onx_nomem(e, sizeof *copy, "what is decided");
	*copy = *v;
	*f = (struct onx_feed){ .value = value, .type = v->type, .shape.rank = v->rank, .known = copy };
	if (v->rank)
		memcpy(f->shape.dim, v->dim, (size_t)v->rank * sizeof *v->dim);
	return ONX_OK;
}

static int look_inputs(struct look *l, int64_t n, const void *const *number, struct onx_err *e)
{
	const struct onx_runner *r = l->r;
	struct onx_feed *feed;
	int rc = feeds(r, n, 0, &l->mem, &feed, e);
	for (uint32_t i = 0; rc == ONX_OK && i < r->n_feed; i++) {
		const enum onx_dtype type = feed[i].type ? feed[i].type : r->g->value[feed[i].value].type;
		struct onx_view v = { .v = (void *)(uintptr_t)number[i], .rank = feed[i].shape.rank, .type = type,
				      .dim = feed[i].shape.dim, .width = (uint8_t)onx_dtype_store(type, r->wide) };
		rc = onx_count(v.rank, v.dim, &v.n, e);
		if (rc == ONX_OK && number[i])
			rc = add(l, feed[i].value, &v, e);
	}
	return rc;
}

/* The numbers that weights have now. */
static int look_params(struct look *l, struct onx_err *e)
{
	const struct onx_params *p = l->r->params;
	int rc = ONX_OK;
	for (uint32_t i = 0; p && rc == ONX_OK && i < p->n_value; i++) {
		const struct onx_weight *w = l->r->g->value[p->value[i]].init;
		const struct onx_view v = { .v = (char *)p->weight + p->at[p->value[i]] * (p->wide ? 8 : 4), .n = w->n,
					    .rank = w->rank, .dim = w->dim, .type = w->type,
					    .width = p->wide ? 8 : 4 };
		rc = add(l, p->value[i], &v, e);
	}
	return rc;
}

static int open_ahead(struct onx_runner *r, int64_t n, struct onx_exec **x, struct onx_err *e)
{
	if (!r->ahead) {
		if (!(r->ahead = onx_heap(1, sizeof *r->ahead)))
			return onx_nomem(e, sizeof *r->ahead, "what is decided");
		*r->ahead = (struct onx_runner){
			.g = r->g, .consts = r->consts, .params = r->params, .block = r->block, .pool = r->pool,
			.feed = r->feed, .n_feed = r->n_feed, .target = r->open->front,
			.n_target = r->open->n_front, .loss = ONX_NONE, .train = r->train, .variable = r->variable,
			.wide = r->wide, .precise = r->precise, .samples = r->samples };
	}
	return onx_runner_get(r->ahead, n, x, NULL, e);
}

/* Copies running statistics out, or back: the run ahead must not move them. */
static void carry(const struct onx_params *p, const bool *weight, char *stats, bool back)
{
	const size_t width = p->wide ? 8 : 4;
	for (uint32_t i = 0; i < p->n_value; i++) {
		const size_t bytes = p->graph->value[p->value[i]].init->n * width;
		char *here = (char *)p->weight + p->at[p->value[i]] * width;
		if (weight && weight[p->value[i]])
			continue;
		memcpy(back ? here : stats, back ? stats : here, bytes);
		stats += bytes;
	}
}

static int look_ahead(struct look *l, int64_t n, const void *const *number, uint64_t seed, uint64_t step,
		      struct onx_err *e)
{
	struct onx_runner *r = l->r;
	struct onx_exec *x = NULL;
	struct onx_err why = { 0 };
	char *stats = NULL;
	if (r->blind || !r->open->n_front)
		return ONX_OK;
	int rc = open_ahead(r, n, &x, &why);
	if (rc == ONX_UNSUP) {
		r->blind = true;        /* sequences and the like: the interpreter computes them */
		return ONX_OK;
	}
	if (rc < 0) {
		*e = why;
		return rc;
	}
	if (r->train && r->params && !(stats = onx_alloc(&l->mem, r->params->n + 1, 8)))
		return onx_nomem(e, 8.0 * (double)r->params->n, "running statistics");
	for (uint32_t i = 0; i < r->n_feed; i++)
		if (number[i])
			onx_exec_feed(x, r->feed[i].value, number[i]);
	if (stats)
		carry(r->params, r->weight, stats, false);
	onx_exec_forward(x, seed, step);
	if (stats)
		carry(r->params, r->weight, stats, true);
	for (uint32_t i = 0; rc == ONX_OK && i < r->open->n_front; i++)
		rc = add(l, r->open->front[i], onx_exec_view(x, r->open->front[i]), e);
	return rc;
}

/* What shapes depend on. */
static int ask(struct look *l, int64_t n, const struct onx_facts_want *numbers, struct said *said, struct onx_err *e)
{
	const struct onx_runner *r = l->r;
	struct onx_feed *feed;
	int rc = feeds(r, n, 0, &l->mem, &feed, e);
	const struct onx_facts_want shapes = { .feed = feed, .n_feed = r->n_feed, .target = r->target,
					       .n_target = r->n_target, .variable = r->variable, .train = r->train,
					       .wide = r->wide, .pool = r->pool, .told = said->decided };
	const struct onx_ask all = { &shapes, numbers, r->loss == ONX_NONE ? NULL : r->weight };
	return rc < 0 ? rc : onx_ask(r->g, r->consts, &all, &l->mem, &said->told, &said->n, e);
}

static int decide(struct look *l, int64_t n, const void *const *number, uint64_t seed, uint64_t step,
		  struct said *said, struct onx_err *e)
{
	struct onx_runner *r = l->r;
	const size_t most = r->n_feed + r->open->n_front + (r->params ? r->params->n_value : 0) + 1u;
	l->feed = ONX_NEWS(&l->mem, struct onx_feed, most);
	int rc = l->feed ? look_inputs(l, n, number, e)
		 : onx_nomem(e, (double)most * sizeof *l->feed, "what is decided");
	if (rc == ONX_OK)
		rc = look_params(l, e);
	if (rc == ONX_OK)
		rc = look_ahead(l, n, number, seed, step, e);
	const struct onx_facts_want w = { .feed = l->feed, .n_feed = l->n, .variable = r->variable, .train = r->train,
					  .wide = r->wide, .pool = r->pool, .seed = seed, .step = step };
	if (rc == ONX_OK && r->open->n)
		rc = onx_decide(r->g, r->consts, &w, r->open, &l->mem, &said->decided, e);
	return rc == ONX_OK && r->open->asks ? ask(l, n, &w, said, e) : rc;
}

/* Constants by their numbers, what is fed by its shape. */
static void told_key(const struct said *said, struct onx_buf *key)
{
	for (uint32_t i = 0; i < said->n; i++) {
		const struct onx_told *t = &said->told[i];
		onx_buf_add(key, &t->feed.value, sizeof t->feed.value);
		onx_buf_add(key, t->feed.shape.dim, (size_t)t->feed.shape.rank * sizeof *t->feed.shape.dim);
		for (size_t k = 0; t->feed.known && t->view->type == ONX_STRING && k < t->view->n; k++)
			onx_buf_add(key, ((const char *const *)t->view->v)[k],
				    strlen(((const char *const *)t->view->v)[k]) + 1);
		if (t->feed.known && t->view->type != ONX_STRING && !onx_holds_views(t->view->type))
			onx_buf_add(key, t->view->v, t->view->n * t->view->width);
	}
}

int onx_runner_feed(struct onx_runner *r, int64_t n, const void *const *number, uint64_t seed, uint64_t step,
		    struct onx_exec **x, struct onx_err *e)
{
	struct look l = { .r = r };
	struct onx_buf key = { 0 };
	struct said said = { 0 };
	int k = 0, rc = r->open ? decide(&l, n, number, seed, step, &said, e) : ONX_OK;
	if (rc == ONX_OK && said.decided)
		onx_decision_key(r->g, said.decided, &key);
	if (rc == ONX_OK)
		told_key(&said, &key);
	if (rc == ONX_OK && key.lost)
		rc = onx_nomem(e, (double)key.len, "what is decided");
	if (rc == ONX_OK)
		rc = find(r, n, &said, &key, &k, e);
	for (uint32_t i = 0; rc == ONX_OK && i < said.n; i++)
		if (!said.told[i].feed.known)
			onx_exec_feed(r->slot[k].exec, said.told[i].feed.value, said.told[i].view->v);
	for (uint32_t i = 0; rc == ONX_OK && i < r->n_feed; i++)
		if (number[i])
			onx_exec_lend(r->slot[k].exec, r->feed[i].value, number[i]);
	*x = rc == ONX_OK ? r->slot[k].exec : NULL;
	onx_buf_release(&key);
	onx_arena_release(&l.mem);
	return rc;
}

void onx_runner_release(struct onx_runner *r)
{
	for (int i = 0; i < ONX_RUNNER_WAYS; i++)
		drop(r, i);
	if (r->ahead)
		onx_runner_release(r->ahead);
	onx_heap_free(r->ahead);
	r->ahead = NULL;
}

bool onx_one_sample(const struct onx_graph *g)
{
	bool one = false;
	for (uint32_t i = 0; i < g->n_input; i++) {
		const struct onx_value *v = &g->value[g->input[i]];
		one |= v->has_shape && v->rank > 0 && v->dim[0] == 1;
	}
	return one;
}
