/* train/feature.c */
#include "train/feature.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/io.h"

static int layout(const struct onx_features_ask *ask, const struct onx_plan *plan, struct onx_features *f,
		  struct onx_err *e)
{
	f->cut = ask->cut;
	f->n_cut = ask->n_cut;
	f->n = ask->list.n;
	f->views = ask->views;
	f->bytes = ONX_NEWS(&f->arena, size_t, f->n_cut + 1);
	f->at = ONX_NEWS(&f->arena, size_t, f->n_cut + 1);
	f->place = ONX_NEWS(&f->arena, uint32_t, ask->src->n + 1);
	if (!f->bytes || !f->at || !f->place)
		return onx_nomem(e, 4.0 * (double)ask->src->n, "kept results");
	for (size_t i = 0; i < f->n; i++)
		f->place[ask->list.v[i]] = (uint32_t)i;
	for (uint32_t k = 0; k < f->n_cut; k++) {
		const struct onx_view *v = &plan->tensor[plan->value_tensor[f->cut[k]]].view;
		f->bytes[k] = v->n * v->width;          /* the plan is for one sample */
		f->at[k] = f->row;
		f->row += f->bytes[k];
	}
	return ONX_OK;
}

static char *row(const struct onx_features *f, size_t view, size_t place)
{
	return (char *)f->map.data + (view * f->n + place) * f->row;
}

static int one_batch(const struct onx_features_ask *ask, struct onx_features *f, const struct onx_batch *b,
		     size_t view, struct onx_err *e)
{
	struct onx_exec *x;
	int rc = onx_runner_get(ask->prefix, (int64_t)b->n, &x, NULL, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < b->n_input && i < ask->prefix->n_feed; i++)
		onx_exec_feed(x, ask->prefix->feed[i].value, b->input[i].v);
	onx_exec_forward(x, 0, 0);
	for (uint32_t k = 0; k < f->n_cut; k++) {
		const char *from = onx_exec_view(x, f->cut[k])->v;
		for (size_t i = 0; i < b->n; i++)
			memcpy(row(f, view, f->place[b->index[i]]) + f->at[k], from + i * f->bytes[k],
			       f->bytes[k]);
	}
	return ONX_OK;
}

static void tell(const struct onx_train_ask *t, size_t done, size_t all, const struct timespec *since)
{
	struct timespec now;
	if (!t || !t->progress)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	const double s = (double)(now.tv_sec - since->tv_sec) + 1e-9 * (double)(now.tv_nsec - since->tv_nsec);
	const struct onx_progress p = {
		.phase = "frozen part", .sample = done, .samples = all,
		.samples_per_s = s > 0 ? (double)done / s : 0,
		.seconds_left = done ? s * (double)(all - done) / (double)done : 0 };
	t->progress(t->progress_ctx, &p);
}

static int compute(const struct onx_features_ask *ask, struct onx_features *f, struct onx_err *e)
{
	struct timespec since;
	clock_gettime(CLOCK_MONOTONIC, &since);
	for (size_t view = 0; view < f->views; view++) {
		int rc = onx_loader_start(ask->loader, ask->list.v, ask->list.n, view, e);
		for (size_t done = 0; rc == ONX_OK; ) {
			const struct onx_batch *b;
			rc = onx_loader_next(ask->loader, &b, e);
			if (rc < 0 || !b)
				break;
			rc = one_batch(ask, f, b, view, e);
			done += b->n;
			tell(ask->train, view * f->n + done, f->views * f->n, &since);
			if (ask->train && ask->train->stop && *ask->train->stop)
				rc = onx_fail(e, ONX_NO, "stopped before training began; nothing was "
					      "written");
		}
		onx_loader_stop(ask->loader);
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

int onx_features_make(const struct onx_features_ask *ask, struct onx_features *f, struct onx_err *e)
{
	struct onx_exec *x;
	const struct onx_plan *plan;
	char name[64], *path = NULL;
	*f = (struct onx_features){ .map = { .fd = -1 } };
	if (ask->list.n == 0)
		return ONX_OK;
	int rc = onx_runner_get(ask->prefix, 1, &x, &plan, e);
	if (rc == ONX_OK)
		rc = layout(ask, plan, f, e);
	if (rc < 0)
		return rc;
	const size_t bytes = f->row * f->n * f->views;
	if (ask->dir) {
		snprintf(name, sizeof name, "%016llx.features", (unsigned long long)ask->key);
		path = (char *)(uintptr_t)onx_join(&f->arena, ask->dir, name);
		rc = onx_map_open(path, &f->map, e);
		if (rc == 1 && f->map.bytes == bytes) {
			f->reused = true;
			return ONX_OK;
		}
		if (rc == 1)
			onx_map_release(&f->map);
	}
	if (rc >= 0)
		rc = onx_map_new(path, bytes, ask->memory, &f->map, e);
	if (rc == ONX_OK)
		rc = compute(ask, f, e);
	return rc < 0 ? rc : onx_map_commit(&f->map, e);
}

void onx_features_release(struct onx_features *f)
{
	if (f->map.data)
		onx_map_release(&f->map);
	onx_arena_release(&f->arena);
	*f = (struct onx_features){ .map = { .fd = -1 } };
}

void onx_features_copy(const struct onx_features *f, uint32_t k, const uint32_t *sample, size_t n, size_t view,
		       void *to)
{
	for (size_t i = 0; i < n; i++)
		memcpy((char *)to + i * f->bytes[k], row(f, view, f->place[sample[i]]) + f->at[k], f->bytes[k]);
}

void onx_features_feed(const struct onx_features *f, const uint32_t *sample, size_t n, size_t view,
		       struct onx_exec *x)
{
	for (uint32_t k = 0; k < f->n_cut; k++) {
		size_t room;
		char *to = onx_exec_feed_at(x, f->cut[k], &room);
		if (to)
			onx_features_copy(f, k, sample, n, view, to);
	}
}
