/* Pixels through a preset: fitted to the input's size, then the formula. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/preset_i.h"

/* Channel k of the picture is channel at(k) of the model's input. */
static int at(const struct onx_preset *p, int k)
{
	return p->bgr ? p->c - 1 - k : k;
}

uint8_t onx_preset_neutral(const struct onx_preset *p, int k)
{
	double x = p->scale != 0 ? p->mean[at(p, k)] / p->scale : 0;

	return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : floor(x + 0.5));
}

/* What a side of `crop` is cut out of: 256 for 224. */
static int64_t cover(int side)
{
	return (int64_t)(side / 0.875);
}

/* torchvision's Resize and CenterCrop: the picture covers size / 0.875 (256 for 224); the side that is
 * not decisive is truncated, as there. */
static int fit_crop(const struct onx_preset *p, const struct onx_image *in, struct onx_image *out,
		    struct onx_err *e)
{
	int64_t cw = cover(p->w), ch = cover(p->h), w, h;
	struct onx_box all = { 0, 0, in->w, in->h }, part;

	if ((int64_t)in->w * ch <= (int64_t)in->h * cw) {
		w = cw;
		h = cw * in->h / in->w;
	} else {
		h = ch;
		w = ch * in->w / in->h;
	}
	/* A ribbon of a picture would make the long side absurd: cut it first to what can be seen. */
	if (w > 16 * cw || h > 16 * ch) {
		all = onx_centre(in->w, in->h, w > 16 * cw ? (int)(in->h * cw / ch) : in->w,
				 h > 16 * ch ? (int)(in->w * ch / cw) : in->h);
		all.w = all.w > 0 ? all.w : 1;
		all.h = all.h > 0 ? all.h : 1;
		w = cw;
		h = ch;
	}
	part = onx_centre((int)w, (int)h, p->w, p->h);
	return onx_resample_part(in, &all, (int)w, (int)h, &part, out, e);
}

static int fit_pad(const struct onx_preset *p, const struct onx_image *in, struct onx_image *out,
		   struct onx_err *e)
{
	double s = fmin((double)p->w / in->w, (double)p->h / in->h);
	int w = (int)floor(in->w * s + 0.5), h = (int)floor(in->h * s + 0.5);
	struct onx_image small;
	size_t c = (size_t)p->c;
	int rc, x0, y0;

	w = w < 1 ? 1 : w > p->w ? p->w : w;
	h = h < 1 ? 1 : h > p->h ? p->h : h;
	rc = onx_resample(in, NULL, w, h, &small, e);
	if (rc < 0)
		return rc;
	rc = onx_image_new(p->w, p->h, p->c, out, e);
	if (rc == ONX_OK) {
		x0 = (p->w - w) / 2;
		y0 = (p->h - h) / 2;
		for (size_t i = 0; i < (size_t)p->w * (size_t)p->h * c; i++)
			out->px[i] = onx_preset_neutral(p, (int)(i % c));
		for (int y = 0; y < h; y++)
			memcpy(out->px + ((size_t)(y0 + y) * (size_t)p->w + (size_t)x0) * c,
			       small.px + (size_t)y * (size_t)w * c, (size_t)w * c);
	}
	onx_image_release(&small);
	return rc;
}

int onx_preset_fit(const struct onx_preset *p, const struct onx_image *in, struct onx_image *out,
		   struct onx_err *e)
{
	assert(p->kind == ONX_PRESET_PICTURE && in->c == p->c);
	if (in->w == p->w && in->h == p->h && p->fit != ONX_FIT_CROP)
		return onx_resample(in, NULL, p->w, p->h, out, e);
	switch (p->fit) {
	case ONX_FIT_CROP:
		return fit_crop(p, in, out, e);
	case ONX_FIT_PAD:
		return fit_pad(p, in, out, e);
	default:
		return onx_resample(in, NULL, p->w, p->h, out, e);
	}
}

/* The formula for all 256 pixel values of one channel. */
static void formula(const struct onx_preset *p, int channel, enum onx_dtype type, double *x)
{
	for (int i = 0; i < 256; i++) {
		x[i] = (i * p->scale - p->mean[channel]) / p->std[channel];
		if (onx_dtype_real(type) && type != ONX_FLOAT && type != ONX_DOUBLE)
			x[i] = onx_round_to((float)x[i], type);
	}
}

void onx_preset_pixels(const struct onx_preset *p, const struct onx_image *m,
		       const struct onx_view *v)
{
	size_t n = (size_t)m->w * (size_t)m->h, c = (size_t)m->c;

	assert(m->w == p->w && m->h == p->h && m->c == p->c && v->n == n * c);
	for (int k = 0; k < m->c; k++) {
		size_t to = (size_t)at(p, k);
		size_t first = p->nhwc ? to : to * n, step = p->nhwc ? c : 1;
		const uint8_t *px = m->px + k;
		double x[256];
		float f[256];

		formula(p, at(p, k), v->type, x);
		for (int i = 0; i < 256; i++)
			f[i] = (float)x[i];
		if (onx_dtype_real(v->type) && v->width == 4)
			for (size_t i = 0; i < n; i++)
				((float *)v->v)[first + i * step] = f[px[i * c]];
		else if (onx_dtype_real(v->type))
			for (size_t i = 0; i < n; i++)
				((double *)v->v)[first + i * step] = x[px[i * c]];
		else
			for (size_t i = 0; i < n; i++)
				onx_view_put_int(v, first + i * step, (int64_t)floor(x[px[i * c]] + 0.5));
	}
}

struct onx_decode onx_preset_decode(const struct onx_preset *p, int times)
{
	struct onx_decode d = { .channels = p->c };

	if (p->shrink) {
		d.shrink_w = times * (p->fit == ONX_FIT_CROP ? (int)cover(p->w) : p->w);
		d.shrink_h = times * (p->fit == ONX_FIT_CROP ? (int)cover(p->h) : p->h);
	}
	return d;
}

int onx_preset_file(const struct onx_preset *p, const char *path, const struct onx_view *v,
		    struct onx_err *e)
{
	const struct onx_decode how = onx_preset_decode(p, 1);
	struct onx_image raw, fitted;
	int rc;

	if (p->kind != ONX_PRESET_PICTURE)
		return onx_fail(e, ONX_USAGE, "'%s' is a picture, but this model's input is not", path);
	rc = onx_image_read(path, &how, &raw, e);
	if (rc < 0)
		return rc;
	rc = onx_preset_fit(p, &raw, &fitted, e);
	onx_image_release(&raw);
	if (rc < 0)
		return onx_while(e, rc, "fitting '%s'", path);
	onx_preset_pixels(p, &fitted, v);
	onx_image_release(&fitted);
	return ONX_OK;
}
