/* The preset as the JSON text of a mark, and back. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/preset_i.h"

int onx_columns_copy(const struct onx_columns *from, struct onx_arena *a, struct onx_columns *to,
		     struct onx_err *e)
{
	struct onx_column *v = ONX_NEWS(a, struct onx_column, from->n + 1);
	bool ok = v != NULL;

	for (size_t i = 0; ok && i < from->n; i++) {
		const char **level = ONX_NEWS(a, const char *, from->v[i].n_level + 1);

		v[i] = from->v[i];
		v[i].level = level;
		v[i].name = onx_dup(a, from->v[i].name);
		ok = level && v[i].name;
		for (size_t k = 0; ok && k < v[i].n_level; k++) {
			level[k] = onx_dup(a, from->v[i].level[k]);
			ok = level[k] != NULL;
		}
	}
	if (!ok)
		return onx_nomem(e, (double)from->n * sizeof(*v), "columns");
	*to = *from;
	to->v = v;
	return ONX_OK;
}

static struct onx_json *reals(const double *v, size_t n)
{
	struct onx_json *a = onx_json_array();

	for (size_t i = 0; i < n; i++)
		onx_json_real(a, NULL, v[i]);
	return a;
}

static void put_picture(struct onx_json *j, const struct onx_preset *p)
{
	struct onx_json *size = onx_json_array();

	onx_json_int(size, NULL, p->h);
	onx_json_int(size, NULL, p->w);
	onx_json_put(j, "size", size);
	onx_json_int(j, "channels", p->c);
	onx_json_str(j, "layout", p->flat ? "flat" : p->nhwc ? "NHWC" : "NCHW");
	onx_json_str(j, "order", p->c == 1 ? "grey" : p->bgr ? "BGR" : "RGB");
	onx_json_str(j, "fit", onx_fit_name(p->fit));
	onx_json_real(j, "scale", p->scale);
	onx_json_put(j, "mean", reals(p->mean, (size_t)p->c));
	onx_json_put(j, "std", reals(p->std, (size_t)p->c));
	if (p->shrink)
		onx_json_bool(j, "fast_decode", true);
}

static void put_table(struct onx_json *j, const struct onx_preset *p)
{
	struct onx_json *cols = onx_json_array();

	for (size_t i = 0; i < p->columns.n; i++) {
		const struct onx_column *c = &p->columns.v[i];
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "name", c->name);
		if (c->n_level) {
			struct onx_json *l = onx_json_array();

			for (size_t k = 0; k < c->n_level; k++)
				onx_json_str(l, NULL, c->level[k]);
			onx_json_put(o, "levels", l);
		} else {
			onx_json_real(o, "fill", c->fill);
		}
		onx_json_put(cols, NULL, o);
	}
	onx_json_put(j, "columns", cols);
	if (p->col_mean) {
		onx_json_put(j, "mean", reals(p->col_mean, p->columns.n_feature));
		onx_json_put(j, "std", reals(p->col_std, p->columns.n_feature));
	}
}

static const char *const kind_names[] = { "none", "picture", "table" };

int onx_preset_text(const struct onx_preset *p, struct onx_buf *out, struct onx_err *e)
{
	struct onx_json *j = onx_json_object();
	int rc;

	onx_json_str(j, "kind", kind_names[p->kind]);
	onx_json_str(j, "preset", p->name);
	if (p->kind == ONX_PRESET_PICTURE)
		put_picture(j, p);
	else if (p->kind == ONX_PRESET_TABLE)
		put_table(j, p);
	rc = onx_json_print(j, false, out, e);
	onx_json_free(j);
	return rc;
}

/* n numbers of an array by key; false if it is not there, of another length, or not finite. */
static bool get_reals(const struct onx_json *j, const char *key, size_t n, double *out)
{
	const struct onx_json *a = onx_json_get(j, key);

	if (!a || onx_json_len(a) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		out[i] = onx_json_get_real(onx_json_at(a, i), NULL, NAN);
		if (!isfinite(out[i]))
			return false;
	}
	return true;
}

static bool parse_picture(const struct onx_json *j, struct onx_preset *p)
{
	const char *layout = onx_json_get_str(j, "layout", "NCHW");
	const char *order = onx_json_get_str(j, "order", "RGB");
	double size[2];
	int fit = onx_fit_find(onx_json_get_str(j, "fit", "squash"));
	int64_t c = onx_json_get_int(j, "channels", 3);

	if (!get_reals(j, "size", 2, size) || (c != 1 && c != 3) || fit < 0)
		return false;
	if (!(size[0] >= 1 && size[0] <= 16384 && size[1] >= 1 && size[1] <= 16384))
		return false;
	p->h = (int)size[0];
	p->w = (int)size[1];
	p->c = (int)c;
	p->flat = strcmp(layout, "flat") == 0;
	p->nhwc = p->flat || strcmp(layout, "NHWC") == 0;
	p->bgr = strcmp(order, "BGR") == 0;
	p->fit = (enum onx_fit)fit;
	p->scale = onx_json_get_real(j, "scale", 1);
	p->shrink = onx_json_get_bool(j, "fast_decode", false);
	if (!get_reals(j, "mean", (size_t)c, p->mean) || !get_reals(j, "std", (size_t)c, p->std))
		return false;
	for (int64_t k = 0; k < c; k++)
		if (!(p->std[k] > 0))
			return false;
	return isfinite(p->scale);
}

static bool parse_column(const struct onx_json *j, struct onx_arena *a, struct onx_column *c)
{
	const struct onx_json *l = onx_json_get(j, "levels");
	const char *name = onx_json_get_str(j, "name", NULL);
	const char **level;

	c->name = onx_dup(a, name);
	c->fill = onx_json_get_real(j, "fill", 0);
	if (!c->name || !l)
		return c->name != NULL;
	c->n_level = onx_json_len(l);
	c->level = level = ONX_NEWS(a, const char *, c->n_level + 1);
	if (!level || !c->n_level)
		return false;
	for (size_t k = 0; k < c->n_level; k++) {
		level[k] = onx_dup(a, onx_json_text(onx_json_at(l, k)));
		if (!level[k])
			return false;
	}
	return true;
}

static bool parse_table(const struct onx_json *j, struct onx_arena *a, struct onx_preset *p)
{
	const struct onx_json *cols = onx_json_get(j, "columns");
	struct onx_column *v;
	double *mean, *std;
	size_t f;

	p->columns.n = onx_json_len(cols);
	p->columns.v = v = ONX_NEWS(a, struct onx_column, p->columns.n + 1);
	if (!v || !p->columns.n)
		return false;
	for (size_t i = 0; i < p->columns.n; i++) {
		if (!parse_column(onx_json_at(cols, i), a, &v[i]))
			return false;
		p->columns.n_feature += v[i].n_level ? v[i].n_level : 1;
	}
	if (!onx_json_get(j, "mean"))
		return true;
	f = p->columns.n_feature;
	mean = ONX_NEWS(a, double, f);
	std = ONX_NEWS(a, double, f);
	if (!mean || !std || !get_reals(j, "mean", f, mean) || !get_reals(j, "std", f, std))
		return false;
	for (size_t k = 0; k < f; k++)
		if (!(std[k] > 0))
			return false;
	p->col_mean = mean;
	p->col_std = std;
	return true;
}

int onx_preset_parse(const char *text, struct onx_arena *a, struct onx_preset *out,
		     struct onx_err *e)
{
	struct onx_json *j = NULL;
	const char *kind;
	bool ok = true;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = onx_json_parse(text, strlen(text), &j, e);
	if (rc < 0)
		return onx_while(e, rc, "reading the mark 'onnx_adapt.preprocess'");
	kind = onx_json_get_str(j, "kind", "");
	out->name = onx_dup(a, onx_json_get_str(j, "preset", "custom"));
	if (strcmp(kind, "picture") == 0) {
		out->kind = ONX_PRESET_PICTURE;
		ok = parse_picture(j, out);
	} else if (strcmp(kind, "table") == 0) {
		out->kind = ONX_PRESET_TABLE;
		ok = parse_table(j, a, out);
	} else {
		ok = strcmp(kind, "none") == 0;
	}
	onx_json_free(j);
	if (!ok || !out->name)
		return onx_fail(e, ONX_FORMAT, "the mark 'onnx_adapt.preprocess' is damaged: '%.80s'",
				text);
	return ONX_OK;
}
