/* train/setup.c -- everything that is settled, and said, before the first step. */
#include <string.h>
#include <time.h>
#include "train/loop_i.h"

double onx_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool onx_train_wide(const struct onx_graph *g, const bool *weight)
{
	for (uint32_t v = 0; v < g->n_value; v++)
		if (weight[v] && g->value[v].init && g->value[v].init->type == ONX_DOUBLE)
			return true;
	return false;
}

/* The model's inputs and the target, for one sample; dim 0 stands for the samples. */
static int feeds(struct onx_trainer *t, struct onx_err *e)
{
	const struct onx_objective *obj = &t->ask->obj;
	t->in_feed = ONX_NEWS(&t->arena, struct onx_feed, obj->n_input + 1);
	if (!t->in_feed)
		return onx_nomem(e, sizeof *t->in_feed, "the inputs");
	for (uint32_t i = 0; i < obj->n_input; i++) {
		t->in_feed[i] = (struct onx_feed){ .value = obj->input[i],
						   .type = t->ask->g->value[obj->input[i]].type };
		int rc = onx_loader_shape(t->ask->loader, i, 1, &t->in_feed[i].shape, e);
		if (rc < 0)
			return rc;
	}
	t->n_in = obj->n_input;
	return ONX_OK;
}

/* Control flow that depends on the numbers, and the frozen part; feed: of a number of samples. */
static int cut(struct onx_trainer *t, const struct onx_feed *feed, struct onx_err *e)
{
	struct onx_facts_want w = {
		.feed = feed, .n_feed = t->n_in, .target = &t->ask->obj.logits, .n_target = 1,
		.variable = t->modes.variable, .train = t->modes.train, .wide = t->ask->wide };
	int rc = onx_open_find(t->ask->g, &t->consts, &w, &t->arena, &t->open, e);
	w.guess = t->open.n > 0;
	w.partial = t->open.asks;
	return rc < 0 ? rc : onx_plan_prefix(t->ask->g, &t->consts, &w, t->alone, &t->arena, &t->cut, e);
}

static int find_prefix(struct onx_trainer *t, struct onx_err *e)
{
	const bool random = t->ask->augment && onx_augment_on(t->ask->augment);
	struct onx_feed *many = ONX_NEWS(&t->arena, struct onx_feed, t->n_in + 1);
	if (!many)
		return onx_nomem(e, sizeof *many, "the inputs");
	/* A number of samples that no constant dimension is likely to have. */
	memcpy(many, t->in_feed, t->n_in * sizeof *many);
	for (uint32_t i = 0; i < t->n_in; i++)
		if (many[i].shape.rank && !t->alone)
			many[i].shape.dim[0] = 13;
	int rc = cut(t, many, e);
	if (rc < 0)
		return rc;
	t->kept = t->cut.n > 0 && t->o->cache && (!random || t->o->views > 0);
	if (!t->kept && t->cut.n > 0)
		onx_say(&t->ask->note, ONX_INFO, "frozen part: computed anew each epoch (%s)",
			!t->o->cache ? "--no-cache" : "augmentation is on; --views K keeps K views");
	else if (!t->kept)
		onx_say(&t->ask->note, ONX_INFO, "frozen part: not kept (%s)", t->cut.why);
	return ONX_OK;
}

/* What the kept part is for: control flow behind it is decided by what is kept. */
static int reopen(struct onx_trainer *t, struct onx_err *e)
{
	const struct onx_facts_want w = {
		.feed = t->feed, .n_feed = t->cut.n, .target = &t->ask->obj.logits, .n_target = 1,
		.variable = t->modes.variable, .train = t->modes.train, .wide = t->ask->wide };
	return t->open.any ? onx_open_find(t->ask->g, &t->consts, &w, &t->arena, &t->open, e) : ONX_OK;
}

/* What train and eval are fed with: the cut or the inputs, and the target. */
static int step_feeds(struct onx_trainer *t, struct onx_err *e)
{
	const uint32_t n = t->kept ? t->cut.n : t->n_in;
	t->feed = ONX_NEWS(&t->arena, struct onx_feed, n + 2);
	t->number = ONX_NEWS(&t->arena, const void *, n + 2);
	if (!t->feed || !t->number)
		return onx_nomem(e, sizeof *t->feed, "the inputs");
	if (!t->kept && n)
		memcpy(t->feed, t->in_feed, n * sizeof *t->feed);
	if (t->kept) {
		struct onx_exec *x;
		const struct onx_plan *p;
		int rc = onx_runner_get(&t->prefix, t->alone ? 1 : 2, &x, &p, e);
		if (rc < 0)
			return rc;
		for (uint32_t i = 0; i < n; i++) {
			const struct onx_fact *f = &p->facts->fact[t->cut.cut[i]];
			t->feed[i] = (struct onx_feed){ .value = t->cut.cut[i], .shape = f->shape,
							.type = f->type };
		}
		if ((rc = reopen(t, e)) < 0)
			return rc;
	}
	t->feed[n] = onx_target_feed(&t->ask->obj, t->ask->g, t->ask->src, t->ask->wide);
	t->n_feed = n + 1;
	return ONX_OK;
}

static void runner(struct onx_trainer *t, struct onx_runner *r)
{
	*r = (struct onx_runner){
		.g = t->ask->g, .consts = &t->consts, .params = t->params, .block = &t->block,
		.pool = t->ask->pool, .loss = ONX_NONE, .variable = t->modes.variable,
		.wide = t->ask->wide, .precise = t->o->precise, .samples = t->alone ? 1 : 0,
		.open = t->open.any ? &t->open : NULL };
}

static int runners(struct onx_trainer *t, struct onx_err *e)
{
	runner(t, &t->prefix);
	t->prefix.open = NULL;          /* it ends in front of it */
	t->prefix.feed = t->in_feed;
	t->prefix.n_feed = t->n_in;
	t->prefix.target = t->cut.cut;
	t->prefix.n_target = t->cut.n;
	int rc = step_feeds(t, e);
	if (rc < 0)
		return rc;
	t->eval_target[0] = t->ask->obj.loss;
	t->eval_target[1] = t->ask->obj.logits;
	runner(t, &t->eval);
	runner(t, &t->train);
	t->eval.feed = t->train.feed = t->feed;
	t->eval.n_feed = t->train.n_feed = t->n_feed;
	t->eval.target = t->train.target = t->eval_target;
	t->eval.n_target = t->train.n_target = 2;
	t->train.loss = t->ask->obj.loss;
	t->train.weight = t->ask->weight;
	t->train.train = t->modes.train;
	return ONX_OK;
}

static size_t kept_bytes(const struct onx_trainer *t)
{
	const bool random = t->ask->augment && onx_augment_on(t->ask->augment);
	const size_t views = random ? (size_t)t->o->views : 1;
	return t->kept ? t->cut.bytes * (t->ask->train.n * views + t->ask->val.n) : 0;
}

/* Features up to a quarter of the budget are kept in memory, more of them in a file. */
static size_t feature_memory(const struct onx_trainer *t)
{
	return t->o->mem ? (size_t)t->o->mem / 4 : (size_t)2 << 30;
}

static size_t loaders(const struct onx_trainer *t, size_t (*bytes)(const struct onx_loader *))
{
	const struct onx_loader *a = t->ask->loader, *b = t->ask->vloader;
	return bytes(a) + (b && b != a ? bytes(b) : 0);
}

static int fit(struct onx_trainer *t, struct onx_err *e)
{
	const size_t width = t->ask->wide ? 8 : 4, n = t->ask->train.n;
	t->fixed_bytes = t->params->n * width * (2 + t->optim.n_state + (t->best ? 1 : 0));
	for (uint32_t v = 0; v < t->consts.n; v++)
		if (t->consts.view[t->ask->wide] && t->consts.view[t->ask->wide][v])
			t->fixed_bytes += t->consts.view[t->ask->wide][v]->n *
					  t->consts.view[t->ask->wide][v]->width;
	t->fixed_bytes += loaders(t, onx_loader_cached);
	if (kept_bytes(t) <= feature_memory(t))
		t->fixed_bytes += kept_bytes(t);
	t->parts = (struct onx_micro){ .mem = (size_t)t->o->mem, .fixed = t->fixed_bytes,
				   .each = loaders(t, onx_loader_ring), .n = t->kept ? 3 : 2,
				   .part = { { &t->train, n }, { &t->eval, t->ask->val.n }, { &t->prefix, 0 } } };
	t->whole = t->alone ? 1 : (size_t)t->o->batch < n ? (size_t)t->o->batch : n;
	return onx_micro_fit(&t->parts, t->whole, &t->micro, e);
}

static void counts(struct onx_trainer *t, size_t *elements, size_t *tensors, size_t *all)
{
	const struct onx_graph *g = t->ask->g;
	*elements = *tensors = *all = 0;
	for (uint32_t v = 0; v < g->n_value; v++) {
		if (!g->value[v].init || !onx_dtype_real(g->value[v].init->type))
			continue;
		*all += g->value[v].init->n;
		if (t->ask->weight[v]) {
			*elements += g->value[v].init->n;
			++*tensors;
		}
	}
}

static void say(struct onx_trainer *t, struct onx_train_result *r, size_t all)
{
	const struct onx_note *note = &t->ask->note;
	uint32_t bn = 0;
	for (uint32_t i = 0; i < t->ask->g->n_node; i++)
		bn += t->modes.train[i] && t->ask->g->node[i].op->stat;
	onx_say(note, ONX_INFO, "trains: %zu of %zu numbers in %zu tensors%s", r->n_weight, all, r->n_tensor,
		bn ? "; BatchNormalization among them uses batch statistics" : "");
	onx_say(note, ONX_INFO, "samples: %zu to train on, %zu to validate; %llu steps of %zu in %lld epochs",
		t->ask->train.n, t->ask->val.n, (unsigned long long)t->total, t->step_samples,
		(long long)t->epochs);
	if (t->alone)
		onx_say(note, ONX_INFO, "samples are computed one at a time, as the batch of 1 in the file asks%s",
			bn ? "; so BatchNormalization takes its statistics of one sample" : "");
	if (t->open.asks)
		onx_say(note, ONX_INFO, "shapes depend on the numbers of each batch, which is planned when it comes; "
			"what is said of memory holds for made-up ones");
	if (t->open.n)
		onx_say(note, ONX_INFO, "control flow: %u node%s by the numbers of each batch, which is planned when "
			"it comes; what is said of memory holds for one turn of each loop", (unsigned)t->open.n,
			t->open.n == 1 ? " decides" : "s decide");
	onx_micro_say(&t->parts, t->plan, t->micro, t->whole, bn, note);
	if (t->kept)
		onx_say(note, ONX_INFO, "frozen part: %.0f %% of the arithmetic, computed once per sample; "
			"%.1f MB kept", 100 * t->cut.macs / (t->cut.all_macs > 0 ? t->cut.all_macs : 1),
			(double)kept_bytes(t) / 1e6);
	onx_say(note, ONX_INFO, "memory: %.1f MB at most, %.1f MB of it the tensors of a step; learning rate: %g",
		(double)r->peak_bytes / 1e6, (double)t->block.bytes / 1e6, t->lr);
}

static bool all_fresh(const struct onx_trainer *t)
{
	for (uint32_t v = 0; v < t->ask->g->n_value; v++)
		if (t->ask->weight[v] && !(t->ask->fresh && t->ask->fresh[v]))
			return false;
	return true;
}

static int val_features(struct onx_trainer *t, struct onx_features_ask *a, struct onx_err *e)
{
	a->loader = t->ask->vloader;
	a->src = t->ask->vsrc;
	a->list = t->ask->val;
	a->views = 1;
	int rc = onx_features_key(t, a->src, &a->list, NULL, &a->key, e);
	if (rc < 0)
		return rc;
	onx_loader_augment(t->ask->vloader, NULL);
	return onx_features_make(a, &t->vf, e);
}

/* Room for what a micro-batch is fed with where it is looked at before it is planned. */
static int rows(struct onx_trainer *t, struct onx_err *e)
{
	t->row = ONX_NEWS(&t->arena, void *, t->cut.n + 1);
	for (uint32_t k = 0; t->row && k < t->cut.n; k++) {
		t->number[k] = t->row[k] = onx_alloc(&t->arena, t->micro + 1, t->tf.bytes[k]);
		if (!t->row[k])
			return onx_nomem(e, (double)t->micro * (double)t->tf.bytes[k], "kept results");
	}
	return t->row ? ONX_OK : onx_nomem(e, 8.0 * t->cut.n, "kept results");
}

static int features(struct onx_trainer *t, struct onx_err *e)
{
	const bool random = t->ask->augment && onx_augment_on(t->ask->augment);
	struct onx_features_ask a = {
		.prefix = &t->prefix, .cut = t->cut.cut, .n_cut = t->cut.n, .loader = t->ask->loader,
		.src = t->ask->src, .list = t->ask->train, .views = random ? (size_t)t->o->views : 1,
		.dir = t->o->cache_dir, .memory = feature_memory(t),
		.train = t->ask };
	if (!t->kept || t->ask->dry)
		return ONX_OK;
	const double began = onx_clock();
	onx_loader_augment(t->ask->loader, random ? t->ask->augment : NULL);
	int rc = onx_features_key(t, a.src, &a.list, random ? t->ask->augment : NULL, &a.key, e);
	if (rc == ONX_OK)
		rc = onx_features_make(&a, &t->tf, e);
	if (rc == ONX_OK && t->ask->val.n)
		rc = val_features(t, &a, e);
	if (rc == ONX_OK && (t->open.any))
		rc = rows(t, e);
	if (rc == ONX_OK)
		onx_say(&t->ask->note, ONX_INFO, "frozen part: %s in %.1f s",
			t->tf.reused ? "taken from the cache folder" : "done", onx_clock() - began);
	return rc;
}

static void steps(struct onx_trainer *t)
{
	t->step_samples = (size_t)(t->o->batch * t->o->accumulate);
	t->per_epoch = (t->ask->train.n + t->step_samples - 1) / t->step_samples;
	t->epochs = onx_train_epochs(t->o, all_fresh(t));
	t->total = t->per_epoch * (uint64_t)t->epochs;
	t->lr = onx_train_lr(t->o, all_fresh(t));
}

static int weights(struct onx_trainer *t, struct onx_err *e)
{
	const size_t width = t->ask->wide ? 8 : 4;
	int rc = onx_plan_modes(t->ask->g, t->ask->weight, t->o->bn, &t->arena, &t->modes, e);
	if (rc == ONX_OK)
		rc = onx_params_new(t->ask->g, t->modes.variable, t->ask->wide, &t->params, e);
	if (rc == ONX_OK)
		rc = onx_optim_init(&t->optim, t->o, t->params, t->ask->weight, e);
	if (rc == ONX_OK && t->o->keep_best && t->ask->val.n) {
		t->best = onx_heap(t->params->n + 16, width);
		if (!t->best)
			rc = onx_nomem(e, (double)t->params->n * (double)width, "the best weights");
	}
	t->order = ONX_NEWS(&t->arena, uint32_t, t->ask->train.n + 1);
	return rc == ONX_OK && !t->order ? onx_nomem(e, 4.0 * (double)t->ask->train.n, "the order") : rc;
}

int onx_trainer_setup(struct onx_trainer *t, struct onx_err *e)
{
	const uint32_t loss = t->ask->g->value[t->ask->obj.loss].def;
	onx_consts_init(&t->consts, t->ask->g);
	t->alone = onx_one_sample(t->ask->g);
	if (t->ask->train.n == 0)
		return onx_fail(e, ONX_USAGE, "there is no sample to train on");
	if (t->ask->val.n && (t->ask->vsrc->task != t->ask->src->task ||
			      t->ask->vsrc->n_target != t->ask->src->n_target))
		return onx_fail(e, ONX_USAGE, "the validation data has %zu target columns, the training data %zu",
				t->ask->vsrc->n_target, t->ask->src->n_target);
	t->ignores = loss != ONX_NONE && strcmp(t->ask->g->node[loss].type, "CrossEntropy") == 0;
	t->weighted = t->ignores && t->ask->obj.class_weight;
	int rc = weights(t, e);
	if (rc == ONX_OK)
		rc = feeds(t, e);
	if (rc == ONX_OK)
		rc = find_prefix(t, e);
	if (rc == ONX_OK)
		rc = runners(t, e);
	steps(t);
	if (rc == ONX_OK)
		rc = fit(t, e);
	if (rc == ONX_OK) {
		t->y = onx_alloc(&t->arena, t->micro * (t->ask->src->n_target + 1), sizeof(int64_t));
		if (!t->y)
			rc = onx_nomem(e, 8.0 * (double)t->micro, "the labels");
	}
	return rc;
}

int onx_trainer_begin(struct onx_trainer *t, struct onx_train_result *r, struct onx_err *e)
{
	struct onx_exec *x;
	size_t all;
	counts(t, &r->n_weight, &r->n_tensor, &all);
	const double before = onx_clock();
	onx_loader_rebatch(t->ask->loader, t->micro);
	if (t->ask->vloader && t->ask->vloader != t->ask->loader)
		onx_loader_rebatch(t->ask->vloader, t->micro);
	r->lr = t->lr;
	r->peak_bytes = t->fixed_bytes + t->block.bytes + t->micro * t->parts.each;
	int rc = onx_runner_get(&t->train, (int64_t)t->micro, &x, &t->plan, e);
	if (rc < 0)
		return rc;
	say(t, r, all);
	rc = features(t, e);
	r->prefix_seconds = onx_clock() - before;
	return rc;
}

void onx_trainer_release(struct onx_trainer *t)
{
	onx_runner_release(&t->train);
	onx_runner_release(&t->eval);
	onx_runner_release(&t->prefix);
	onx_features_release(&t->tf);
	onx_features_release(&t->vf);
	onx_optim_release(&t->optim);
	onx_params_free(t->params);
	onx_block_release(&t->block);
	onx_consts_release(&t->consts);
	onx_heap_free(t->best);
	onx_arena_release(&t->arena);
}
