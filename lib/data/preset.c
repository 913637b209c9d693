#include "data/preset.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/note.h"
#include "data/preset_i.h"

const struct onx_preset_row onx_preset_rows[] = {
	{ "imagenet", ONX_PRESET_PICTURE, .scale = 1 / 255.0, .mean = { 0.485, 0.456, 0.406 },
	  .std = { 0.229, 0.224, 0.225 }, .fit = ONX_FIT_CROP },
	{ "tf", ONX_PRESET_PICTURE, .scale = 1 / 127.5, .mean = { 1, 1, 1 }, .std = { 1, 1, 1 },
	  .fit = ONX_FIT_SQUASH },
	{ "caffe", ONX_PRESET_PICTURE, .bgr = true, .scale = 1, .mean = { 104, 117, 123 },
	  .std = { 1, 1, 1 }, .fit = ONX_FIT_CROP },
	{ "unit", ONX_PRESET_PICTURE, .scale = 1 / 255.0, .std = { 1, 1, 1 }, .fit = ONX_FIT_SQUASH },
	{ "raw", ONX_PRESET_PICTURE, .scale = 1, .std = { 1, 1, 1 }, .fit = ONX_FIT_SQUASH },
	{ .name = "standard", .kind = ONX_PRESET_TABLE },
	{ .name = "none", .kind = ONX_PRESET_NONE },
	{ .name = NULL }
};

static const char *const preset_names[] = { "auto", "imagenet", "tf", "caffe", "unit", "raw",
					    "standard", "none", NULL };
static const char *const fit_names[] = { "auto", "squash", "crop", "pad", NULL };
static const char *const order_names[] = { "auto", "rgb", "bgr", NULL };

int onx_preset_find(const char *name)
{
	for (int i = 1; preset_names[i]; i++)
		if (strcmp(preset_names[i], name) == 0)
			return i;
	return 0;
}

const char *onx_fit_name(enum onx_fit fit)
{
	return fit_names[fit];
}

int onx_fit_find(const char *name)
{
	for (int i = 1; fit_names[i]; i++)
		if (strcmp(fit_names[i], name) == 0)
			return i;
	return -1;
}

const struct onx_preset_row *onx_preset_row(const char *name)
{
	const struct onx_preset_row *r;

	for (r = onx_preset_rows; r->name; r++)
		if (strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

static bool one_or_three(const struct onx_reals *r)
{
	return r->n == 0 || r->n == 1 || r->n == 3;
}

static int check_opts(const void *obj, struct onx_err *e)
{
	const struct onx_preset_opts *o = obj;

	if (o->size.n > 2)
		return onx_fail(e, ONX_USAGE, "--size has %zu numbers, wanted one or height,width",
				o->size.n);
	for (size_t i = 0; i < o->size.n; i++)
		if (o->size.v[i] < 1 || o->size.v[i] > 16384)
			return onx_fail(e, ONX_USAGE, "--size %lld, wanted 1 to 16384",
					(long long)o->size.v[i]);
	if (!one_or_three(&o->mean) || !one_or_three(&o->std))
		return onx_fail(e, ONX_USAGE, "--mean and --std take one number or one a channel");
	for (size_t i = 0; i < o->std.n; i++)
		if (!(o->std.v[i] > 0))
			return onx_fail(e, ONX_USAGE, "--std %g, wanted a number above 0", o->std.v[i]);
	return ONX_OK;
}

#define AT(m) offsetof(struct onx_preset_opts, m)
static const struct onx_field preset_fields[] = {
	{ "preprocess", F_ENUM, AT(preset), .def = "auto", .choices = preset_names, .arg = "PRESET",
	  .help = "how pixels become numbers: imagenet (RGB 0-1, mean/std), tf (-1..1), caffe (BGR minus "
		  "mean), unit (0-1), raw (0-255); table columns: standard, none",
	  .group = "Preprocessing" },
	{ "resize", F_ENUM, AT(fit), .def = "auto", .choices = fit_names, .arg = "HOW",
	  .help = "how a picture is fitted: squash, crop (cover size/0.875, cut the centre), pad; auto: "
		  "the preset's way" },
	{ "size", F_INTS, AT(size), .def = "", .arg = "H,W",
	  .help = "picture size where the model's input leaves it open" },
	{ "mean", F_REALS, AT(mean), .def = "", .arg = "M,M,M",
	  .help = "subtracted after scaling, in the order of the input's channels" },
	{ "std", F_REALS, AT(std), .def = "", .arg = "S,S,S",
	  .help = "divided by, in the order of the input's channels" },
	{ "scale", F_REAL, AT(scale), .def = "0", .arg = "X",
	  .help = "multiplies pixels 0..255 first; 0: the preset's" },
	{ "channels", F_ENUM, AT(order), .def = "auto", .choices = order_names, .arg = "ORDER",
	  .help = "order of the input's channels" },
	{ "fast-decode", F_BOOL, AT(shrink), .def = "yes",
	  .help = "decode a JPEG at 1/2, 1/4 or 1/8 where it stays twice as large as what it is resized "
		  "to: faster; some pixels differ by a few grey levels" },
	{ .name = NULL }
};
#undef AT
const struct onx_table onx_preset_table = {
	"preprocess", sizeof(struct onx_preset_opts), preset_fields, check_opts,
	offsetof(struct onx_preset_opts, given)
};

void onx_preset_from_row(const struct onx_preset_row *r, int channels, struct onx_preset *p)
{
	p->kind = r->kind;
	p->name = r->name;
	p->bgr = r->bgr;
	p->scale = r->scale;
	p->fit = r->fit;
	for (int c = 0; c < 3; c++) {
		p->mean[c] = r->mean[c];
		p->std[c] = r->std[c];
	}
	if (channels == 1) {
		p->mean[0] = round((r->mean[0] + r->mean[1] + r->mean[2]) / 3 * 1e3) / 1e3;
		p->std[0] = round((r->std[0] + r->std[1] + r->std[2]) / 3 * 1e3) / 1e3;
		p->bgr = false;
	}
}

static void override(const struct onx_preset_opts *o, struct onx_preset *p)
{
	bool spelt = o->mean.n || o->std.n || o->scale != 0;

	if (o->scale != 0)
		p->scale = o->scale;
	for (int c = 0; c < p->c; c++) {
		if (o->mean.n)
			p->mean[c] = o->mean.v[o->mean.n > (size_t)c ? c : 0];
		if (o->std.n)
			p->std[c] = o->std.v[o->std.n > (size_t)c ? c : 0];
	}
	if (o->order)
		p->bgr = o->order == 2 && p->c == 3;
	if (o->fit)
		p->fit = (enum onx_fit)o->fit;
	if (spelt)
		p->name = "custom";
}

static bool is_channels(int64_t d)
{
	return d == 1 || d == 3;
}

/* Height, width, channels and layout out of the input's shape; -1 where it leaves them open. */
static int layout(const struct onx_data_want *w, const struct onx_source *src, struct onx_preset *p,
		  struct onx_err *e)
{
	const struct onx_part *part = src && src->n_part ? &src->part[0] : NULL;
	const int64_t *d = w->dim;
	char buf[ONX_SHAPE_TEXT];

	p->nhwc = p->flat = false;
	if (w->rank == 4 && (is_channels(d[1]) || (d[1] < 0 && !is_channels(d[3])))) {
		p->c = d[1] < 0 ? 3 : (int)d[1];
		p->h = (int)d[2];
		p->w = (int)d[3];
	} else if (w->rank == 4 && is_channels(d[3])) {
		p->nhwc = true;
		p->h = (int)d[1];
		p->w = (int)d[2];
		p->c = (int)d[3];
	} else if (w->rank == 3) {
		p->h = (int)d[1];
		p->w = (int)d[2];
		p->c = 1;
	} else if (w->rank == 2 && part && part->kind == ONX_PART_PIXELS &&
		   d[1] == (int64_t)part->h * part->w * part->c) {
		p->flat = p->nhwc = true;
		p->h = part->h;
		p->w = part->w;
		p->c = part->c;
	} else {
		return onx_fail(e, ONX_SHAPE, "input '%s' is %s, wanted [N,C,H,W] or [N,H,W,C] with 1 or 3 "
				"channels for pictures", w->name,
				onx_shape_text(w->rank, d, buf, sizeof(buf)));
	}
	if (p->h > 16384 || p->w > 16384)
		return onx_fail(e, ONX_UNSUP, "input '%s' wants pictures of %dx%d", w->name, p->w, p->h);
	return ONX_OK;
}

/* What the input's shape leaves open: --size, what is stored, the size of pixels at hand, 224. */
static int settle_size(const struct onx_preset_opts *o, const struct onx_source *src, int stored_h,
		       int stored_w, struct onx_preset *p, struct onx_err *e)
{
	bool pixels = src && src->n_part && src->part[0].kind == ONX_PART_PIXELS;
	int h = stored_h, w = stored_w;

	if (o->size.n) {
		h = (int)o->size.v[0];
		w = (int)o->size.v[o->size.n - 1];
		if ((p->h > 0 && p->h != h) || (p->w > 0 && p->w != w))
			return onx_fail(e, ONX_SHAPE, "--size %d,%d, but the model's input is %dx%d", h, w,
					p->h, p->w);
	} else if (!h) {
		h = pixels ? src->part[0].h : 224;
		w = pixels ? src->part[0].w : 224;
	}
	p->h = p->h > 0 ? p->h : h;
	p->w = p->w > 0 ? p->w : w;
	return ONX_OK;
}

static enum onx_preset_kind kind_wanted(const struct onx_data_want *want, const struct onx_source *src)
{
	if (!src)
		return want->rank >= 3 ? ONX_PRESET_PICTURE : ONX_PRESET_NONE;
	switch (src->part[0].kind) {
	case ONX_PART_FILE:
	case ONX_PART_PIXELS:
		return ONX_PRESET_PICTURE;
	case ONX_PART_COLUMNS:
		return ONX_PRESET_TABLE;
	default:
		return ONX_PRESET_NONE;
	}
}

static int resolve_picture(const struct onx_preset_opts *o, const struct onx_preset *stored,
			   const struct onx_data_want *want, const struct onx_source *src,
			   struct onx_preset *p, struct onx_err *e)
{
	bool use = stored && stored->kind == ONX_PRESET_PICTURE && !o->preset;
	const struct onx_preset_row *row;
	int rc;

	rc = layout(want, src, p, e);
	if (rc == ONX_OK)
		rc = settle_size(o, src, use ? stored->h : 0, use ? stored->w : 0, p, e);
	if (rc < 0)
		return rc;
	if (use) {
		struct onx_preset shape = *p;

		*p = *stored;
		p->h = shape.h;
		p->w = shape.w;
		p->c = shape.c;
		p->nhwc = shape.nhwc;
		p->flat = shape.flat;
	} else {
		row = onx_preset_row(o->preset ? preset_names[o->preset]
				     : p->c == 3 ? "imagenet" : "unit");
		if (row->kind != ONX_PRESET_PICTURE)
			return onx_fail(e, ONX_USAGE, "preset '%s' is not for pictures, wanted imagenet, tf, "
					"caffe, unit or raw", row->name);
		onx_preset_from_row(row, p->c, p);
	}
	if (!use || onx_given(&onx_preset_table, o, "fast-decode"))
		p->shrink = o->shrink;
	override(o, p);
	return ONX_OK;
}

static int resolve_table(const struct onx_preset_opts *o, const struct onx_preset *stored,
			 const struct onx_source *src, struct onx_arena *a, struct onx_preset *p,
			 struct onx_err *e)
{
	const char *name = o->preset ? preset_names[o->preset] : "standard";
	const struct onx_preset_row *row = onx_preset_row(name);

	if (row->kind == ONX_PRESET_PICTURE)
		return onx_fail(e, ONX_USAGE, "preset '%s' is for pictures, wanted standard or none for "
				"a table", name);
	if (stored && stored->kind == ONX_PRESET_TABLE && !o->preset) {
		*p = *stored;
		return ONX_OK;
	}
	p->kind = ONX_PRESET_TABLE;
	p->name = row->name;
	return onx_columns_copy(&src->columns, a, &p->columns, e);
}

int onx_preset_resolve(const struct onx_preset_opts *o, const char *stored,
		       const struct onx_data_want *want, const struct onx_source *src,
		       struct onx_arena *a, struct onx_preset *out, struct onx_err *e)
{
	struct onx_preset old;
	int rc;

	memset(out, 0, sizeof(*out));
	out->name = "none";
	if (stored) {
		rc = onx_preset_parse(stored, a, &old, e);
		if (rc < 0)
			return rc;
	}
	switch (kind_wanted(want, src)) {
	case ONX_PRESET_PICTURE:
		return resolve_picture(o, stored ? &old : NULL, want, src, out, e);
	case ONX_PRESET_TABLE:
		return resolve_table(o, stored ? &old : NULL, src, a, out, e);
	default:
		return ONX_OK;
	}
}

/* Mean and standard deviation (of the population, as scikit-learn's StandardScaler) in two passes
 * over the samples in list order; a constant column is divided by 1. */
int onx_preset_learn(struct onx_preset *p, const struct onx_source *src, const uint32_t *list,
		     size_t n, struct onx_arena *a, struct onx_err *e)
{
	size_t f = p->columns.n_feature;
	double *mean, *std, *row;
	struct onx_shape dim = { 1, { (int64_t)f } };
	struct onx_view v = { .n = f, .rank = 1, .dim = dim.dim, .type = ONX_DOUBLE, .width = 8 };

	if (p->kind != ONX_PRESET_TABLE || strcmp(p->name, "standard") != 0 || p->col_mean || !n)
		return ONX_OK;
	mean = ONX_NEWS(a, double, f);
	std = ONX_NEWS(a, double, f);
	v.v = row = ONX_NEWS(a, double, f);
	if (!mean || !std || !row)
		return onx_nomem(e, (double)f * 24, "statistics of columns");
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			int rc = onx_source_load(src, 0, list[i], &v, e);

			if (rc < 0)
				return rc;
			for (size_t k = 0; k < f; k++) {
				double d = row[k] - mean[k];

				if (pass == 0)
					std[k] += row[k];
				else
					std[k] += d * d;
			}
		}
		for (size_t k = 0; k < f; k++) {
			std[k] /= (double)n;
			if (pass == 0) {
				mean[k] = std[k];
				std[k] = 0;
			} else {
				std[k] = std[k] > 0 ? sqrt(std[k]) : 1;
			}
		}
	}
	p->col_mean = mean;
	p->col_std = std;
	return ONX_OK;
}
