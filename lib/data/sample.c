#include "data/sample_i.h"

#include <assert.h>
#include <string.h>

#include "base/arena.h"

static bool random_now(const struct onx_sampler *s)
{
	return onx_augment_on(s->augment);
}

/* Whether bases with and without augmentation differ at all: only a random crop needs more picture. */
static int kind_kept(const struct onx_sampler *s)
{
	return random_now(s) && s->augment->crop;
}

static int decode(const struct onx_sampler *s, size_t i, struct onx_image *out, struct onx_err *e)
{
	const struct onx_preset *p = s->opts->preset;
	const struct onx_part *part = &s->src->part[0];
	/* a random crop magnifies a part of the picture */
	const struct onx_decode how = onx_preset_decode(p, kind_kept(s) ? 2 : 1);
	int rc;

	if (part->kind == ONX_PART_FILE)
		return onx_image_read(onx_source_path(s->src, i), &how, out, e);
	rc = onx_image_new(part->w, part->h, part->c, out, e);
	if (rc < 0)
		return rc;
	memcpy(out->px, onx_source_pixels(s->src, 0, i), part->n);
	rc = onx_image_channels(out, p->c, e);
	if (rc < 0)
		onx_image_release(out);
	return rc;
}

/* Takes a base into the store if there is room and nobody was faster. */
static bool keep(struct onx_sampler *s, size_t i, const struct onx_image *m)
{
	size_t bytes = (size_t)m->w * (size_t)m->h * (size_t)m->c;
	struct onx_image *place;
	bool taken = false;

	if (!s->kept[0] || s->src->part[0].kind != ONX_PART_FILE)
		return false;
	pthread_mutex_lock(&s->lock);
	place = &s->kept[kind_kept(s)][i];
	if (!place->px && bytes <= s->budget - s->bytes) {
		*place = *m;
		s->bytes += bytes;
		taken = true;
	}
	pthread_mutex_unlock(&s->lock);
	return taken;
}

int onx_sampler_base(struct onx_sampler *s, size_t i, struct onx_image *out, bool *own,
		     struct onx_err *e)
{
	struct onx_image raw;
	int rc;

	*own = false;
	memset(out, 0, sizeof(*out));
	if (s->kept[0]) {
		pthread_mutex_lock(&s->lock);
		*out = s->kept[kind_kept(s)][i];
		pthread_mutex_unlock(&s->lock);
	}
	if (out->px)
		return ONX_OK;
	rc = decode(s, i, &raw, e);
	if (rc < 0)
		return rc;
	rc = onx_augment_base(random_now(s) ? s->augment : NULL, s->opts->preset, &raw, out, e);
	onx_image_release(&raw);
	if (rc < 0)
		return rc;
	*own = !keep(s, i, out);
	return ONX_OK;
}

bool onx_sampler_full(struct onx_sampler *s)
{
	const struct onx_preset *p = s->opts->preset;
	size_t one = (size_t)p->w * (size_t)p->h * (size_t)p->c;
	bool full;

	pthread_mutex_lock(&s->lock);
	full = s->budget - s->bytes < one;
	pthread_mutex_unlock(&s->lock);
	return full;
}

static int make_picture(struct onx_sampler *s, size_t i, const struct onx_view *v, struct onx_err *e)
{
	const struct onx_preset *p = s->opts->preset;
	struct onx_image base, fitted;
	bool own;
	int rc = onx_sampler_base(s, i, &base, &own, e);

	if (rc < 0)
		return rc;
	if (!random_now(s)) {
		onx_preset_pixels(p, &base, v);
	} else {
		rc = onx_augment_apply(s->augment, p, &base, s->opts->seed, s->epoch, i, &fitted, e);
		if (rc == ONX_OK) {
			onx_preset_pixels(p, &fitted, v);
			onx_image_release(&fitted);
		}
	}
	if (own)
		onx_image_release(&base);
	return rc;
}

int onx_sampler_make(struct onx_sampler *s, size_t i, size_t part, const struct onx_view *v,
		     struct onx_err *e)
{
	const struct onx_preset *p = s->opts->preset;
	int rc;

	if (p->kind == ONX_PRESET_PICTURE)
		return make_picture(s, i, v, e);
	rc = onx_source_load(s->src, part, i, v, e);
	if (rc < 0 || p->kind != ONX_PRESET_TABLE || !p->col_mean)
		return rc;
	for (size_t k = 0; k < v->n; k++)
		onx_view_put_real(v, k, (onx_view_real(v, k) - p->col_mean[k]) / p->col_std[k]);
	return ONX_OK;
}

void onx_sampler_drop(struct onx_sampler *s, const bool *bad)
{
	size_t k = 0;

	for (size_t i = 0; s->kept[0] && i < s->n; i++) {
		if (bad[i])
			continue;
		for (int j = 0; j < 2; j++) {
			struct onx_image m = s->kept[j][i];

			memset(&s->kept[j][i], 0, sizeof(m));
			s->kept[j][k] = m;
		}
		k++;
	}
}

void onx_sampler_release(struct onx_sampler *s)
{
	for (int j = 0; j < 2; j++) {
		for (size_t i = 0; s->kept[j] && i < s->n; i++)
			onx_image_release(&s->kept[j][i]);
		onx_heap_free(s->kept[j]);
		s->kept[j] = NULL;
	}
}
