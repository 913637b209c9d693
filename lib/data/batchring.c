/* data/batchring.c -- a loader's workers, the ring of batches that they fill, and passes over it. */
#include "data/batch_i.h"
#include <assert.h>
#include <signal.h>
#include <string.h>
#include "base/pool.h"

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

static void put_target(struct onx_loader *l, struct onx_slot *s, size_t at, size_t i)
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
	struct onx_slot *s = &l->slot[pos / l->opts.batch % (size_t)l->depth];
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
	struct onx_slot *s = &l->slot[pos / l->opts.batch % (size_t)l->depth];

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
int onx_loader_workers(struct onx_loader *l, struct onx_err *e)
{
	int want = l->opts.workers > 0 ? l->opts.workers : onx_cores();
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (l->n_thread < want && l->n_thread < ONX_WORKERS_MAX &&
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

int onx_loader_fault(const struct onx_loader *l, const struct onx_err *why, struct onx_err *e)
{
	*e = *why;
	if (why->code != ONX_FORMAT || l->src->skip_bad || l->src->part[0].kind != ONX_PART_FILE)
		return e->code;
	return onx_fail(e, ONX_FORMAT, "%.900s; --skip-bad leaves such pictures out", why->text);
}

static void open_slot(struct onx_loader *l, size_t b)
{
	struct onx_slot *s = &l->slot[b % (size_t)l->depth];

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
static void show(struct onx_loader *l, struct onx_slot *s, size_t b)
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
	struct onx_slot *s;
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
			(void)onx_loader_fault(l, &s->fault, e);
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
