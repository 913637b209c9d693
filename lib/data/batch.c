/* data/batch.c -- makes loaders: what was asked for is checked, room for batches made, bad pictures found. */
#include "data/batch_i.h"
#include <string.h>

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

static int make_slot(struct onx_loader *l, struct onx_slot *s, struct onx_err *e)
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

/* What a bad picture leads to: with skip_bad they are told of and taken out, else the first is the
 * fault. */
static int judge(struct onx_loader *l, struct onx_err *e)
{
	const struct onx_note *note = l->opts.note;
	size_t n = l->src->n, bad = 0;

	if (l->probe_at == SIZE_MAX)
		return ONX_OK;
	if (!l->src->skip_bad || l->probe_fault.code == ONX_NOMEM)
		return onx_loader_fault(l, &l->probe_fault, e);
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
	l->slot = ONX_NEWS(&l->arena, struct onx_slot, (size_t)l->depth);
	l->view = ONX_NEWS(&l->arena, struct onx_view, l->src->n_part);
	l->view_dim = onx_alloc(&l->arena, l->src->n_part, sizeof(*l->view_dim));
	if (!l->slot || !l->view || !l->view_dim)
		return onx_nomem(e, (double)l->depth * sizeof(*l->slot), "batches");
	for (int i = 0; rc == ONX_OK && i < l->depth; i++)
		rc = make_slot(l, &l->slot[i], e);
	if (rc == ONX_OK)
		rc = onx_loader_workers(l, e);
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
