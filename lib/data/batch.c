#include "data/batch.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/arena.h"
#include "base/pool.h"
#include "data/sample_i.h"

enum { WORKERS_MAX = 256 };

/* One place in the ring. */
struct slot {
	struct onx_view *input;         /* n_input, views of whole batches */
	int64_t (*dim)[ONX_RANK];
	void *y;
	size_t done;                    /* samples finished                */
	size_t fault_at;                /* the first one that failed       */
	struct onx_err fault;
};

struct onx_loader {
	struct onx_arena arena;
	struct onx_loader_opts opts;
	struct onx_source *src;
	struct onx_sampler sampler;
	struct slot *slot;
	int depth;
	size_t room;                    /* samples that a slot holds: opts.batch as it began    */
	struct onx_batch batch;         /* what the caller holds: views cut to its samples      */
	struct onx_view *view;
	int64_t (*view_dim)[ONX_RANK];
	uint32_t *order;
	size_t order_cap;
	/* Below: under lock. */
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	size_t n, take, out;            /* samples of the pass; next to take; batches given back */
	int busy;
	bool probing, quit;
	bool *bad;                      /* probing: samples that cannot be decoded               */
	struct onx_err probe_fault;
	size_t probe_at;
	pthread_t thread[WORKERS_MAX];
	int n_thread;
};

static size_t batch_size(const struct onx_loader *l, size_t b)
{
	size_t left = l->n - b * l->opts.batch;

	return left < l->opts.batch ? left : l->opts.batch;
}

/* The view of one sample inside a batch's view. */
static struct onx_view one_of(const struct onx_view *all, size_t at, size_t per)
{
	struct onx_view v = *all;

	v.v = (char *)all->v + at * per * all->width;
	v.n = per;
	v.rank = all->rank - 1;
	v.dim = all->dim + 1;
	return v;
}

static void put_target(struct onx_loader *l, struct slot *s, size_t at, size_t i)
{
	const struct onx_source *src = l->src;
	size_t t = src->n_target;

	if (src->task == ONX_TASK_CLASSIFY)
		((int64_t *)s->y)[at] = src->label[i];
	for (size_t k = 0; src->task == ONX_TASK_REGRESS && k < t; k++) {
		if (l->opts.wide)
			((double *)s->y)[at * t + k] = src->target[i * t + k];
		else
			((float *)s->y)[at * t + k] = src->target[i * t + k];
	}
}

static int make_sample(struct onx_loader *l, size_t pos, struct onx_err *e)
{
	struct slot *s = &l->slot[pos / l->opts.batch % (size_t)l->depth];
	size_t at = pos % l->opts.batch, i = l->order[pos];

	for (size_t p = 0; p < l->src->n_part; p++) {
		struct onx_view v = one_of(&s->input[p], at, s->input[p].n / l->room);
		int rc = onx_sampler_make(&l->sampler, i, p, &v, e);

		if (rc < 0)
			return rc;
	}
	put_target(l, s, at, i);
	return ONX_OK;
}

/* After the work on one place of the order, under lock. */
static void finish(struct onx_loader *l, size_t pos, int rc, const struct onx_err *e)
{
	struct slot *s = &l->slot[pos / l->opts.batch % (size_t)l->depth];

	if (l->probing) {
		l->bad[pos] = rc < 0;
		if (rc < 0 && pos < l->probe_at) {
			l->probe_at = pos;
			l->probe_fault = *e;
		}
		if (rc < 0 && (!l->src->skip_bad || rc == ONX_NOMEM))
			l->n = l->take;         /* everything before it has been taken */
		return;
	}
	s->done++;
	if (rc < 0 && pos < s->fault_at) {
		s->fault_at = pos;
		s->fault = *e;
	}
}

static bool can_take(const struct onx_loader *l)
{
	return l->take < l->n &&
	       (l->probing || l->take / l->opts.batch < l->out + (size_t)l->depth);
}

static void *worker(void *arg)
{
	struct onx_loader *l = arg;
	struct onx_err e = { 0 };

	pthread_mutex_lock(&l->lock);
	while (!l->quit) {
		size_t pos;
		int rc;

		if (!can_take(l)) {
			pthread_cond_wait(&l->work, &l->lock);
			continue;
		}
		pos = l->take++;
		l->busy++;
		pthread_mutex_unlock(&l->lock);
		if (l->probing) {
			struct onx_image base;
			bool own = false;

			rc = ONX_OK;
			if (l->src->skip_bad || !onx_sampler_full(&l->sampler))
				rc = onx_sampler_base(&l->sampler, pos, &base, &own, &e);
			if (own)
				onx_image_release(&base);
		} else {
			rc = make_sample(l, pos, &e);
		}
		pthread_mutex_lock(&l->lock);
		l->busy--;
		finish(l, pos, rc, &e);
		pthread_cond_broadcast(&l->ready);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* Signals are for the thread that holds the terminal. */
static int start_workers(struct onx_loader *l, struct onx_err *e)
{
	int want = l->opts.workers > 0 ? l->opts.workers : onx_cores();
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (l->n_thread < want && l->n_thread < WORKERS_MAX &&
	       pthread_create(&l->thread[l->n_thread], NULL, worker, l) == 0)
		l->n_thread++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!l->n_thread)
		return onx_fail(e, ONX_IO, "cannot start a thread to load data");
	return ONX_OK;
}

void onx_loader_stop(struct onx_loader *l)
{
	pthread_mutex_lock(&l->lock);
	l->n = l->take = 0;
	while (l->busy)
		pthread_cond_wait(&l->ready, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

void onx_loader_free(struct onx_loader *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->quit = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < l->n_thread; i++)
		pthread_join(l->thread[i], NULL);
	for (int i = 0; l->slot && i < l->depth; i++) {
		for (size_t p = 0; l->slot[i].input && p < l->src->n_part; p++)
			onx_heap_free(l->slot[i].input[p].v);
		onx_heap_free(l->slot[i].y);
	}
	onx_sampler_release(&l->sampler);
	onx_heap_free(l->order);
	onx_heap_free(l->bad);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->sampler.lock);
	pthread_cond_destroy(&l->work);
	pthread_cond_destroy(&l->ready);
	onx_arena_release(&l->arena);
	onx_heap_free(l);
}

int onx_loader_shape(const struct onx_loader *l, size_t i, size_t n, struct onx_shape *out,
		     struct onx_err *e)
{
	const struct onx_preset *p = l->opts.preset;
	const struct onx_data_want *w = &l->opts.want[i];
	size_t count;

	if (p->kind == ONX_PRESET_PICTURE && p->flat)
		*out = (struct onx_shape){ 2, { (int64_t)n, (int64_t)p->h * p->w * p->c } };
	else if (p->kind == ONX_PRESET_PICTURE && w->rank == 3)
		*out = (struct onx_shape){ 3, { (int64_t)n, p->h, p->w } };
	else if (p->kind == ONX_PRESET_PICTURE && p->nhwc)
		*out = (struct onx_shape){ 4, { (int64_t)n, p->h, p->w, p->c } };
	else if (p->kind == ONX_PRESET_PICTURE)
		*out = (struct onx_shape){ 4, { (int64_t)n, p->c, p->h, p->w } };
	else {
		const struct onx_shape *s = &l->src->part[i].shape;

		out->rank = s->rank + 1;
		out->dim[0] = (int64_t)n;
		memcpy(out->dim + 1, s->dim, (size_t)s->rank * sizeof(*s->dim));
	}
	return onx_count(out->rank, out->dim, &count, e);
}

static int make_slot(struct onx_loader *l, struct slot *s, struct onx_err *e)
{
	size_t parts = l->src->n_part, y = l->src->task == ONX_TASK_CLASSIFY ? 1 : l->src->n_target;

	s->input = ONX_NEWS(&l->arena, struct onx_view, parts);
	s->dim = onx_alloc(&l->arena, parts, sizeof(*s->dim));
	s->y = onx_heap(l->opts.batch * 8, y);
	if (!s->input || !s->dim || !s->y)
		return onx_nomem(e, (double)l->opts.batch * (double)y * 8, "a batch");
	for (size_t p = 0; p < parts; p++) {
		struct onx_view *v = &s->input[p];
		struct onx_shape shape;
		int rc = onx_loader_shape(l, p, l->opts.batch, &shape, e);

		if (rc == ONX_OK)
			rc = onx_count(shape.rank, shape.dim, &v->n, e);
		if (rc < 0)
			return rc;
		memcpy(s->dim[p], shape.dim, sizeof(shape.dim));
		v->dim = s->dim[p];
		v->rank = shape.rank;
		v->type = l->opts.want[p].type;
		v->width = (uint8_t)onx_dtype_store(v->type, l->opts.wide);
		v->v = onx_heap(v->n, v->width);
		if (!v->v)
			return onx_nomem(e, (double)v->n * v->width, "a batch");
	}
	return ONX_OK;
}

static int check_opts(const struct onx_source *src, const struct onx_loader_opts *o, struct onx_err *e)
{
	const struct onx_preset *p = o->preset;
	enum onx_part_kind kind = src->part[0].kind;
	bool picture = kind == ONX_PART_FILE || kind == ONX_PART_PIXELS;

	if (o->batch < 1 || o->batch > 1 << 20)
		return onx_fail(e, ONX_USAGE, "a batch of %zu, wanted 1 to 1048576", o->batch);
	if (o->n_want != src->n_part)
		return onx_fail(e, ONX_USAGE, "'%s' feeds %zu inputs, but the model has %zu", src->spec,
				src->n_part, o->n_want);
	if (picture != (p->kind == ONX_PRESET_PICTURE) || (picture && src->n_part != 1))
		return onx_fail(e, ONX_USAGE, "preset '%s' does not go with '%s' (%s)", p->name, src->spec,
				src->format);
	if (kind == ONX_PART_COLUMNS && p->col_mean && p->columns.n_feature != src->columns.n_feature)
		return onx_fail(e, ONX_SHAPE, "'%s' has %zu features, but the model's preset %zu", src->spec,
				src->columns.n_feature, p->columns.n_feature);
	if (kind == ONX_PART_COLUMNS && !onx_dtype_real(o->want[0].type))
		return onx_fail(e, ONX_UNSUP, "input '%s' is %s, wanted real numbers for csv columns",
				o->want[0].name, onx_dtype_name(o->want[0].type));
	for (size_t i = 0; i < o->n_want; i++)
		if (onx_dtype_class(o->want[i].type) == ONX_CLASS_TEXT ||
		    onx_dtype_class(o->want[i].type) == ONX_CLASS_CPLX)
			return onx_fail(e, ONX_UNSUP, "input '%s' is %s, which no data source feeds",
					o->want[i].name, onx_dtype_name(o->want[i].type));
	return ONX_OK;
}

/* The fault of a sample, with the way out where it has one. */
static int picture_fault(const struct onx_loader *l, const struct onx_err *why, struct onx_err *e)
{
	*e = *why;
	if (why->code != ONX_FORMAT || l->src->skip_bad || l->src->part[0].kind != ONX_PART_FILE)
		return e->code;
	return onx_fail(e, ONX_FORMAT, "%.900s; --skip-bad leaves such pictures out", why->text);
}

/* What a bad picture leads to: with skip_bad they are told of and taken out, else the first is the
 * fault. */
static int judge(struct onx_loader *l, struct onx_err *e)
{
	const struct onx_note *note = l->opts.note;
	size_t n = l->src->n, bad = 0;

	if (l->probe_at == SIZE_MAX)
		return ONX_OK;
	if (!l->src->skip_bad || l->probe_fault.code == ONX_NOMEM)
		return picture_fault(l, &l->probe_fault, e);
	for (size_t i = 0; i < n; i++) {
		if (l->bad[i] && bad++ < 10)
			onx_say(note, ONX_WARN, "left out: '%s'", onx_source_path(l->src, i));
	}
	onx_say(note, ONX_WARN, "%zu of %zu pictures cannot be decoded and are left out; the first: %s", bad,
		n, l->probe_fault.text);
	if (bad == n)
		return onx_fail(e, ONX_FORMAT, "none of the %zu pictures in '%s' can be decoded", n,
				l->src->spec);
	onx_sampler_drop(&l->sampler, l->bad);
	onx_source_drop(l->src, l->bad);
	return ONX_OK;
}

/* Decodes once what will be kept, and finds bad pictures before anything else starts. */
static int probe(struct onx_loader *l, struct onx_err *e)
{
	if (l->src->part[0].kind != ONX_PART_FILE || (!l->sampler.budget && !l->src->skip_bad))
		return ONX_OK;
	l->bad = onx_heap(l->src->n, sizeof(*l->bad));
	if (!l->bad)
		return onx_nomem(e, (double)l->src->n, "a list of samples");
	pthread_mutex_lock(&l->lock);
	l->probing = true;
	l->n = l->src->n;
	l->take = 0;
	pthread_cond_broadcast(&l->work);
	while (l->take < l->n || l->busy)
		pthread_cond_wait(&l->ready, &l->lock);
	l->probing = false;
	l->n = l->take = 0;
	pthread_mutex_unlock(&l->lock);
	return judge(l, e);
}

static int prepare(struct onx_loader *l, struct onx_err *e)
{
	struct onx_sampler *s = &l->sampler;
	int rc = ONX_OK;

	s->src = l->src;
	s->opts = &l->opts;
	s->augment = l->opts.augment;
	s->n = l->src->n;
	s->budget = l->opts.cache < 0 ? (size_t)512 << 20 : (size_t)l->opts.cache;
	if (l->src->part[0].kind == ONX_PART_FILE && s->budget) {
		s->kept[0] = onx_heap(s->n, sizeof(*s->kept[0]));
		s->kept[1] = onx_heap(s->n, sizeof(*s->kept[1]));
		if (!s->kept[0] || !s->kept[1])
			return onx_nomem(e, (double)s->n * 2 * sizeof(*s->kept[0]), "kept pictures");
	}
	l->slot = ONX_NEWS(&l->arena, struct slot, (size_t)l->depth);
	l->view = ONX_NEWS(&l->arena, struct onx_view, l->src->n_part);
	l->view_dim = onx_alloc(&l->arena, l->src->n_part, sizeof(*l->view_dim));
	if (!l->slot || !l->view || !l->view_dim)
		return onx_nomem(e, (double)l->depth * sizeof(*l->slot), "batches");
	for (int i = 0; rc == ONX_OK && i < l->depth; i++)
		rc = make_slot(l, &l->slot[i], e);
	if (rc == ONX_OK)
		rc = start_workers(l, e);
	return rc == ONX_OK ? probe(l, e) : rc;
}

int onx_loader_new(struct onx_source *src, const struct onx_loader_opts *o, struct onx_loader **out,
		   struct onx_err *e)
{
	struct onx_loader *l;
	int rc = check_opts(src, o, e);

	*out = NULL;
	if (rc < 0)
		return rc;
	l = onx_heap(1, sizeof(*l));
	if (!l)
		return onx_nomem(e, sizeof(*l), "a loader");
	l->opts = *o;
	l->src = src;
	l->room = o->batch;
	l->depth = o->ahead > 0 && o->ahead < 1000 ? o->ahead : 3;
	l->probe_at = SIZE_MAX;
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->sampler.lock, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->ready, NULL);
	rc = prepare(l, e);
	if (rc < 0) {
		onx_loader_free(l);
		return rc;
	}
	*out = l;
	return ONX_OK;
}

void onx_loader_augment(struct onx_loader *l, const struct onx_augment *g)
{
	onx_loader_stop(l);
	l->sampler.augment = g;
}

void onx_loader_rebatch(struct onx_loader *l, size_t batch)
{
	onx_loader_stop(l);
	l->opts.batch = batch < 1 ? 1 : batch < l->room ? batch : l->room;
}

size_t onx_loader_cached(const struct onx_loader *l)
{
	return l->sampler.bytes;
}

size_t onx_loader_ring(const struct onx_loader *l)
{
	size_t sum = 0;

	for (size_t p = 0; p < l->src->n_part; p++)
		sum += l->slot[0].input[p].n / l->room * l->slot[0].input[p].width;
	return sum * (size_t)l->depth;
}

static void open_slot(struct onx_loader *l, size_t b)
{
	struct slot *s = &l->slot[b % (size_t)l->depth];

	s->done = 0;
	s->fault_at = SIZE_MAX;
}

int onx_loader_start(struct onx_loader *l, const uint32_t *order, size_t n, uint64_t epoch,
		     struct onx_err *e)
{
	onx_loader_stop(l);
	if (n > l->order_cap) {
		onx_heap_free(l->order);
		l->order_cap = 0;
		l->order = onx_heap(n, sizeof(*order));
		if (!l->order)
			return onx_nomem(e, (double)n * sizeof(*order), "the order of samples");
		l->order_cap = n;
	}
	for (size_t i = 0; i < n; i++) {
		assert(order[i] < l->src->n);
		l->order[i] = order[i];
	}
	l->sampler.epoch = epoch;
	memset(&l->batch, 0, sizeof(l->batch));
	pthread_mutex_lock(&l->lock);
	for (int i = 0; i < l->depth; i++)
		open_slot(l, (size_t)i);
	l->n = n;
	l->take = l->out = 0;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	return ONX_OK;
}

/* The slot as the caller sees it: views cut to the number of samples. */
static void show(struct onx_loader *l, struct slot *s, size_t b)
{
	size_t n = batch_size(l, b), t = l->src->n_target;
	bool classes = l->src->task == ONX_TASK_CLASSIFY;
	struct onx_batch *o = &l->batch;
	int64_t *y_dim = o->y_dim;

	o->n = n;
	o->n_input = l->src->n_part;
	for (size_t p = 0; p < o->n_input; p++) {
		l->view[p] = s->input[p];
		l->view[p].n = s->input[p].n / l->room * n;
		l->view[p].dim = l->view_dim[p];
		memcpy(l->view_dim[p], s->dim[p], sizeof(s->dim[p]));
		l->view_dim[p][0] = (int64_t)n;
	}
	o->input = l->view;
	o->first = b * l->opts.batch;
	o->index = l->order + o->first;
	y_dim[0] = (int64_t)n;
	y_dim[1] = (int64_t)t;
	o->y = (struct onx_view){ .v = s->y, .n = classes ? n : n * t, .rank = classes ? 1 : 2,
				  .dim = y_dim, .type = classes ? ONX_INT64 : ONX_FLOAT,
				  .width = classes || l->opts.wide ? 8 : 4 };
}

int onx_loader_next(struct onx_loader *l, const struct onx_batch **b, struct onx_err *e)
{
	struct slot *s;
	int rc = ONX_OK;

	*b = NULL;
	pthread_mutex_lock(&l->lock);
	if (l->batch.n) {               /* the one before is given back */
		open_slot(l, l->out);
		l->out++;
		l->batch.n = 0;
		pthread_cond_broadcast(&l->work);
	}
	if (l->out * l->opts.batch < l->n) {
		s = &l->slot[l->out % (size_t)l->depth];
		while (s->done < batch_size(l, l->out))
			pthread_cond_wait(&l->ready, &l->lock);
		if (s->fault_at != SIZE_MAX) {
			(void)picture_fault(l, &s->fault, e);
			rc = e->code;
		} else {
			show(l, s, l->out);
			*b = &l->batch;
		}
	}
	pthread_mutex_unlock(&l->lock);
	if (rc < 0)
		onx_loader_stop(l);
	return rc;
}
