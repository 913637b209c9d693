#include "data/augment.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "data/preset_i.h"

#define PI 3.14159265358979323846

/* What a row works on: the picture so far, replaced where its size changes. */
struct work {
	const struct onx_augment *g;
	const struct onx_preset *p;
	struct onx_rng rng;
	struct onx_image m;
};

static bool crop_on(const struct onx_augment *g) { return g->crop; }
static bool flip_on(const struct onx_augment *g) { return g->flip > 0; }
static bool rotate_on(const struct onx_augment *g) { return g->rotate > 0; }
static bool erase_on(const struct onx_augment *g) { return g->erase > 0; }
static bool jitter_on(const struct onx_augment *g)
{
	return g->brightness > 0 || g->contrast > 0 || g->saturation > 0;
}

/* A box of a share of the area in area[], proportions log-uniform in ratio[]; ten tries.  `below`:
 * the box must be smaller than the picture (RandomErasing), not just fit (RandomResizedCrop). */
static bool random_box(struct onx_rng *r, int W, int H, const double *area, const double *ratio,
		       bool below, struct onx_box *b)
{
	for (int i = 0; i < 10; i++) {
		double want = (double)W * H * onx_rng_range(r, area[0], area[1]);
		double q = exp(onx_rng_range(r, log(ratio[0]), log(ratio[1])));
		/* For a crop proportions are width by height, for erasing height by width. */
		double w = nearbyint(sqrt(below ? want / q : want * q));
		double h = nearbyint(sqrt(below ? want * q : want / q));

		if (w < 1 || h < 1 || w > W || h > H || (below && (w == W || h == H)))
			continue;
		b->w = (int)w;
		b->h = (int)h;
		b->y = (int)onx_rng_below(r, (uint32_t)(H - b->h + 1));
		b->x = (int)onx_rng_below(r, (uint32_t)(W - b->w + 1));
		return true;
	}
	return false;
}

static int do_crop(struct work *k, struct onx_err *e)
{
	const double *ratio = k->g->crop_ratio.v;
	int W = k->m.w, H = k->m.h, rc;
	double whole = (double)W / H;
	struct onx_image out;
	struct onx_box b;

	if (!random_box(&k->rng, W, H, k->g->crop_scale.v, ratio, false, &b)) {
		/* Ten misses: the largest centred box of allowed proportions. */
		int w = whole > ratio[1] ? (int)nearbyint(H * ratio[1]) : W;
		int h = whole < ratio[0] ? (int)nearbyint(W / ratio[0]) : H;

		w = w < 1 ? 1 : w > W ? W : w;
		h = h < 1 ? 1 : h > H ? H : h;
		b = (struct onx_box){ (W - w) / 2, (H - h) / 2, w, h };
	}
	rc = onx_resample(&k->m, &b, k->p->w, k->p->h, &out, e);
	if (rc < 0)
		return rc;
	onx_image_release(&k->m);
	k->m = out;
	return ONX_OK;
}

static int do_flip(struct work *k, struct onx_err *e)
{
	size_t c = (size_t)k->m.c, w = (size_t)k->m.w;

	(void)e;
	if (!(onx_rng_unit(&k->rng) < k->g->flip))
		return ONX_OK;
	for (int y = 0; y < k->m.h; y++) {
		uint8_t *row = k->m.px + (size_t)y * w * c;

		for (size_t x = 0; x < w / 2; x++)
			for (size_t i = 0; i < c; i++) {
				uint8_t t = row[x * c + i];

				row[x * c + i] = row[(w - 1 - x) * c + i];
				row[(w - 1 - x) * c + i] = t;
			}
	}
	return ONX_OK;
}

/* Bilinear sample at (x, y) in pixel centres; black outside. */
static uint8_t sample(const struct onx_image *m, double x, double y, int c)
{
	int x0 = (int)floor(x), y0 = (int)floor(y);
	double fx = x - x0, fy = y - y0, s = 0;

	for (int j = 0; j < 2; j++)
		for (int i = 0; i < 2; i++) {
			int xx = x0 + i, yy = y0 + j;
			double w = (i ? fx : 1 - fx) * (j ? fy : 1 - fy);

			if (xx >= 0 && yy >= 0 && xx < m->w && yy < m->h)
				s += w * m->px[((size_t)yy * (size_t)m->w + (size_t)xx) *
					       (size_t)m->c + (size_t)c];
		}
	return (uint8_t)(s + 0.5);
}

/* Counter-clockwise about the middle, size kept.  y points down. */
static int do_rotate(struct work *k, struct onx_err *e)
{
	double angle = onx_rng_range(&k->rng, -k->g->rotate, k->g->rotate) * (PI / 180);
	double s = sin(angle), c = cos(angle), cx = (k->m.w - 1) / 2.0, cy = (k->m.h - 1) / 2.0;
	struct onx_image out;
	uint8_t *to;
	int rc = onx_image_new(k->m.w, k->m.h, k->m.c, &out, e);

	if (rc < 0)
		return rc;
	to = out.px;
	for (int y = 0; y < out.h; y++)
		for (int x = 0; x < out.w; x++)
			for (int i = 0; i < out.c; i++)
				*to++ = sample(&k->m, cx + c * (x - cx) - s * (y - cy),
					       cy + s * (x - cx) + c * (y - cy), i);
	onx_image_release(&k->m);
	k->m = out;
	return ONX_OK;
}

/* Pillow's Image.blend: from + factor * (to - from), cut off at 0 and 255, truncated. */
static uint8_t blend(int from, int to, double factor)
{
	float v = (float)from + (float)factor * (float)(to - from);

	return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : (int)v);
}

static int grey_of(const struct onx_image *m, size_t i)
{
	const uint8_t *p = m->px + i * (size_t)m->c;

	return m->c == 1 ? p[0] : onx_luma(p[0], p[1], p[2]);
}

static void brightness(struct onx_image *m, double factor)
{
	for (size_t i = 0; i < (size_t)m->w * (size_t)m->h * (size_t)m->c; i++)
		m->px[i] = blend(0, m->px[i], factor);
}

static void contrast(struct onx_image *m, double factor)
{
	size_t n = (size_t)m->w * (size_t)m->h;
	uint64_t sum = 0;
	int mean;

	for (size_t i = 0; i < n; i++)
		sum += (unsigned)grey_of(m, i);
	mean = (int)((double)sum / (double)n + 0.5);
	for (size_t i = 0; i < n * (size_t)m->c; i++)
		m->px[i] = blend(mean, m->px[i], factor);
}

static void saturation(struct onx_image *m, double factor)
{
	for (size_t i = 0; m->c == 3 && i < (size_t)m->w * (size_t)m->h; i++) {
		int grey = grey_of(m, i);

		for (size_t k = 0; k < 3; k++)
			m->px[3 * i + k] = blend(grey, m->px[3 * i + k], factor);
	}
}

static int do_jitter(struct work *k, struct onx_err *e)
{
	static void (*const change[3])(struct onx_image *, double) = { brightness, contrast,
								       saturation };
	const double by[3] = { k->g->brightness, k->g->contrast, k->g->saturation };
	uint32_t order[3] = { 0, 1, 2 };
	double factor[3];

	(void)e;
	onx_rng_shuffle(&k->rng, order, 3);
	for (int i = 0; i < 3; i++)
		factor[i] = onx_rng_range(&k->rng, fmax(0, 1 - by[i]), 1 + by[i]);
	for (int i = 0; i < 3; i++)
		if (by[order[i]] > 0)
			change[order[i]](&k->m, factor[order[i]]);
	return ONX_OK;
}

static int do_erase(struct work *k, struct onx_err *e)
{
	static const double area[2] = { 0.02, 0.33 }, ratio[2] = { 0.3, 3.3 };
	size_t c = (size_t)k->m.c;
	struct onx_box b;

	(void)e;
	if (!(onx_rng_unit(&k->rng) < k->g->erase) ||
	    !random_box(&k->rng, k->m.w, k->m.h, area, ratio, true, &b))
		return ONX_OK;
	for (int y = b.y; y < b.y + b.h; y++)
		for (int x = b.x; x < b.x + b.w; x++)
			for (size_t i = 0; i < c; i++)
				k->m.px[((size_t)y * (size_t)k->m.w + (size_t)x) * c + i] =
					onx_preset_neutral(k->p, (int)i);
	return ONX_OK;
}

/* `place` is the row's own place in the sample's random stream: a frozen number. */
static const struct row {
	const char *name;
	uint32_t place;
	bool (*on)(const struct onx_augment *g);
	int (*apply)(struct work *k, struct onx_err *e);
} rows[] = {
	{ "crop", 0, crop_on, do_crop },
	{ "flip", 128, flip_on, do_flip },
	{ "rotate", 192, rotate_on, do_rotate },
	{ "jitter", 256, jitter_on, do_jitter },
	{ "erase", 384, erase_on, do_erase },
	{ .name = NULL }
};

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_augment *g = obj;
	const struct onx_reals *s = &g->crop_scale, *r = &g->crop_ratio;

	if (s->n != 2 || !(s->v[0] > 0 && s->v[0] <= s->v[1] && s->v[1] <= 1))
		return onx_fail(e, ONX_USAGE, "--crop-scale wants two ascending numbers in (0, 1]");
	if (r->n != 2 || !(r->v[0] > 0 && r->v[0] <= r->v[1] && r->v[1] <= 100))
		return onx_fail(e, ONX_USAGE, "--crop-ratio wants two ascending numbers in (0, 100]");
	return ONX_OK;
}

#define AT(m) offsetof(struct onx_augment, m)
static const struct onx_field fields[] = {
	{ "augment", F_BOOL, AT(augment), .def = "no", .group = "Augmentation",
	  .help = "change training pictures at random, anew in every epoch" },
	{ "flip", F_REAL, AT(flip), .def = "0.5", .max = 1, .arg = "P",
	  .help = "mirror left and right with this probability" },
	{ "crop", F_BOOL, AT(crop), .def = "no", .help = "random resized crop" },
	{ "crop-scale", F_REALS, AT(crop_scale), .def = "0.5,1", .arg = "LO,HI",
	  .help = "share of the picture's area that a crop keeps" },
	{ "crop-ratio", F_REALS, AT(crop_ratio), .def = "0.75,1.3333333333333333", .arg = "LO,HI",
	  .help = "proportions of a crop, width by height" },
	{ "rotate", F_REAL, AT(rotate), .def = "0", .max = 180, .arg = "DEG",
	  .help = "turn by up to this many degrees either way" },
	{ "brightness", F_REAL, AT(brightness), .def = "0", .max = 1, .arg = "X",
	  .help = "brightness times a factor in [1-X, 1+X]" },
	{ "contrast", F_REAL, AT(contrast), .def = "0", .max = 1, .arg = "X",
	  .help = "contrast times a factor in [1-X, 1+X]" },
	{ "saturation", F_REAL, AT(saturation), .def = "0", .max = 1, .arg = "X",
	  .help = "saturation times a factor in [1-X, 1+X]" },
	{ "erase", F_REAL, AT(erase), .def = "0", .max = 1, .arg = "P",
	  .help = "blank a random rectangle with this probability" },
	{ .name = NULL }
};
#undef AT
const struct onx_table onx_augment_table = {
	"augment", sizeof(struct onx_augment), fields, check, offsetof(struct onx_augment, given)
};

bool onx_augment_on(const struct onx_augment *g)
{
	const struct row *r;

	if (!g || !g->augment)
		return false;
	for (r = rows; r->name; r++)
		if (r->on(g))
			return true;
	return false;
}

int onx_augment_base(const struct onx_augment *g, const struct onx_preset *p,
		     const struct onx_image *in, struct onx_image *out, struct onx_err *e)
{
	int64_t cw = (int64_t)p->w * 3 / 2, ch = (int64_t)p->h * 3 / 2, w = in->w, h = in->h;

	if (!g || !g->augment || !g->crop)
		return onx_preset_fit(p, in, out, e);
	if (w > cw && h > ch) {
		if (w * ch <= h * cw) {
			h = cw * h / w;
			w = cw;
		} else {
			w = ch * w / h;
			h = ch;
		}
	}
	return onx_resample(in, NULL, (int)w, (int)h, out, e);
}

int onx_augment_apply(const struct onx_augment *g, const struct onx_preset *p,
		      const struct onx_image *base, uint64_t seed, uint64_t epoch, uint64_t sample_no,
		      struct onx_image *out, struct onx_err *e)
{
	struct work k = { .g = g, .p = p };
	struct onx_box all = { 0, 0, base->w, base->h };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = onx_crop(base, &all, 0, &k.m, e);
	for (const struct row *r = rows; onx_augment_on(g) && rc == ONX_OK && r->name; r++) {
		if (!r->on(g))
			continue;
		onx_rng_init(&k.rng, seed, ONX_RNG_AUGMENT, epoch, sample_no);
		onx_rng_skip(&k.rng, r->place);
		rc = r->apply(&k, e);
	}
	if (rc < 0) {
		onx_image_release(&k.m);
		return rc;
	}
	*out = k.m;
	return ONX_OK;
}
