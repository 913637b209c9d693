/* tools/run_in.c -- files into the inputs of a model. */
#include <string.h>
#include "data/npy.h"
#include "info.h"
#include "model/mark.h"
#include "run.h"

enum { MAX_KNOWN = 64 };       /* elements of an input that the plan is told */

/* An array of this shape as input k: the ranks must be the same, or a missing batch of 1 is added. */
static int fit_shape(struct onx_run_job *r, uint32_t k, struct onx_shape *shape, const char *path,
		     struct onx_err *e)
{
	const struct onx_value *v = &r->s.g->value[r->s.g->input[k]];
	char want[600], have[ONX_SHAPE_TEXT];
	bool fits;

	if (v->has_shape && shape->rank == v->rank - 1) {
		memmove(shape->dim + 1, shape->dim, (size_t)shape->rank * sizeof *shape->dim);
		shape->dim[0] = 1;
		shape->rank++;
	}
	fits = !v->has_shape || shape->rank == v->rank;
	for (int d = 0; fits && v->has_shape && d < v->rank; d++)
		fits = v->dim[d] < 0 || v->dim[d] == shape->dim[d] || (d == 0 && v->dim[0] == 1);
	if (fits)
		return ONX_OK;
	return onx_fail(e, ONX_SHAPE, "'%s' has shape %s, but input '%s' wants %s", path,
			onx_shape_text(shape->rank, shape->dim, have, sizeof have), v->name,
			onx_declared_shape(v, want, sizeof want));
}

/* Memory for input k in its own type. */
static int give(struct onx_run_job *r, uint32_t k, enum onx_dtype type, const struct onx_shape *shape,
		struct onx_err *e)
{
	struct onx_feed *f = &r->feed[k];
	struct onx_view *v = &r->in[k];
	size_t n;
	int rc = onx_count(shape->rank, shape->dim, &n, e);

	if (rc < 0)
		return rc;
	f->shape = *shape;
	f->type = type;
	v->n = n;
	v->rank = f->shape.rank;
	v->dim = f->shape.dim;
	v->type = type;
	v->width = (uint8_t)onx_dtype_store(type, false);
	v->v = onx_alloc(&r->s.mem, n ? n : 1, v->width);
	return v->v ? ONX_OK : onx_nomem(e, (double)n * v->width, "an input");
}

static enum onx_dtype type_of(const struct onx_run_job *r, uint32_t k, enum onx_dtype file)
{
	enum onx_dtype t = r->s.g->value[r->s.g->input[k]].type;

	return t == ONX_UNDEFINED ? file : t;
}

static int from_array(struct onx_run_job *r, uint32_t k, const struct onx_array *a, const char *path,
		      struct onx_err *e)
{
	struct onx_shape shape = a->shape;
	int rc = fit_shape(r, k, &shape, path, e);

	if (rc == ONX_OK)
		rc = give(r, k, type_of(r, k, a->type), &shape, e);
	if (rc == ONX_OK && r->in[k].type == ONX_STRING)
		rc = onx_fail(e, ONX_UNSUP, "text in '%s' cannot be fed from a NumPy file; use a .pb file", path);
	return rc < 0 ? rc : onx_array_load(a, 0, &r->in[k], e);
}

static int from_tensor(struct onx_run_job *r, uint32_t k, const char *path, struct onx_err *e)
{
	struct onx_tensor_file *f = NULL;
	const struct onx_weight *t;
	struct onx_shape shape = { 0 };
	int rc = onx_tensor_file_read(path, &f, &t, e);

	if (rc < 0)
		return rc;
	shape.rank = t->rank;
	memcpy(shape.dim, t->dim, (size_t)t->rank * sizeof *t->dim);
	rc = fit_shape(r, k, &shape, path, e);
	if (rc == ONX_OK)
		rc = give(r, k, type_of(r, k, t->type), &shape, e);
	if (rc == ONX_OK)
		rc = onx_weight_load(t, &r->in[k], e);
	if (rc == ONX_OK && r->in[k].type == ONX_STRING) {
		const char **s = r->in[k].v;

		for (size_t i = 0; i < r->in[k].n; i++)
			s[i] = onx_dup(&r->s.mem, s[i]);
	}
	onx_tensor_file_free(f);
	return rc;
}

static int from_npz(struct onx_run_job *r, uint32_t k, const char *path, struct onx_err *e)
{
	struct onx_npz *z = NULL;
	struct onx_array a = { 0 };
	int rc = onx_npz_open(path, &z, e);

	if (rc == ONX_OK)
		rc = onx_npz_read(z, r->s.g->value[r->s.g->input[k]].name, &a, e);
	if (rc == ONX_OK)
		rc = from_array(r, k, &a, path, e);
	onx_array_release(&a);
	onx_npz_free(z);
	return rc;
}

static bool ends(const char *path, const char *with)
{
	size_t n = strlen(path), m = strlen(with);

	return n >= m && strcmp(path + n - m, with) == 0;
}

/* The picture's input is as large as bound; pixels become numbers as the model's mark or the options
 * say. */
static int picture_into(struct onx_run_job *r, uint32_t k, const char *path, struct onx_err *e)
{
	const struct onx_value *v = &r->s.g->value[r->s.g->input[k]];
	struct onx_data_want want = { v->name, r->feed[k].type, r->feed[k].shape.rank, r->feed[k].shape.dim };
	struct onx_shape shape = r->feed[k].shape;
	struct onx_preset p;
	int rc = onx_preset_resolve(r->preset, onx_model_meta(r->w->model, ONX_MARK "preprocess"), &want, NULL,
				    &r->s.mem, &p, e);

	if (rc == ONX_OK && p.kind != ONX_PRESET_PICTURE)
		rc = onx_fail(e, ONX_SHAPE, "input '%s' takes no pictures", v->name);
	if (rc == ONX_OK && !r->in[k].v)
		rc = give(r, k, r->feed[k].type, &shape, e);
	return rc < 0 ? rc : onx_preset_file(&p, path, &r->in[k], e);
}

int onx_run_picture(struct onx_run_job *r, size_t i, struct onx_err *e)
{
	return picture_into(r, 0, r->picture[i], e);
}

static int read_input(struct onx_run_job *r, uint32_t k, const char *path, struct onx_err *e)
{
	struct onx_array a = { 0 };
	int rc;

	if (ends(path, ".pb"))
		rc = from_tensor(r, k, path, e);
	else if (ends(path, ".npz"))
		rc = from_npz(r, k, path, e);
	else if (onx_image_named(path))
		rc = picture_into(r, k, path, e);
	else if (ends(path, ".npy")) {
		rc = onx_npy_read(path, &a, e);
		if (rc == ONX_OK)
			rc = from_array(r, k, &a, path, e);
		onx_array_release(&a);
	} else
		rc = onx_fail(e, ONX_USAGE, "do not know what '%s' is: an input is a .npy, .npz or .pb file or a "
			      "picture", path);
	return rc < 0 ? onx_while(e, rc, "reading input '%s'", r->s.g->value[r->s.g->input[k]].name) : rc;
}

/* The input that "NAME=FILE" is about. */
static int named(struct onx_run_job *r, const char *arg, uint32_t *k, const char **path, struct onx_err *e)
{
	const struct onx_graph *g = r->s.g;
	const char *eq = strrchr(arg, '='), *near, **names;
	char *name;

	*path = eq + 1;
	name = onx_dupn(&r->s.mem, arg, (size_t)(eq - arg));
	names = ONX_NEWS(&r->s.mem, const char *, g->n_input + 1);
	if (!name || !names)
		return onx_nomem(e, 0, "the inputs");
	for (*k = 0; *k < g->n_input; ++*k) {
		names[*k] = g->value[g->input[*k]].name;
		if (strcmp(names[*k], name) == 0)
			return ONX_OK;
	}
	near = onx_nearest(names, g->n_input, name);
	return onx_fail(e, ONX_USAGE, "the model has no input '%s'%s%s%s", name,
			near ? "; nearest is '" : g->n_input ? "; it has '" : "",
			near ? near : g->n_input ? names[0] : "", g->n_input ? "'" : "");
}

/* Small whole numbers are told to the plan, which may need them for shapes. */
static int tell_known(struct onx_run_job *r, struct onx_err *e)
{
	for (uint32_t k = 0; k < r->s.g->n_input; k++) {
		const struct onx_view *v = &r->in[k];

		if (!v->v)
			return onx_fail(e, ONX_USAGE, "nothing for input '%s'; give '%s=FILE'",
					r->s.g->value[r->s.g->input[k]].name,
					r->s.g->value[r->s.g->input[k]].name);
		if (!onx_dtype_real(v->type) && v->rank <= 1 && v->n <= MAX_KNOWN)
			r->feed[k].known = v;
	}
	return ONX_OK;
}

int onx_run_inputs(struct onx_run_job *r, struct onx_err *e)
{
	int rc = ONX_OK;

	r->picture = ONX_NEWS(&r->s.mem, const char *, r->w->n_operand + 1);
	if (!r->picture)
		return onx_nomem(e, 0, "the inputs");
	for (size_t i = 0; rc == ONX_OK && i < r->w->n_operand; i++) {
		const char *arg = r->w->operand[i], *path = arg;
		uint32_t k = 0;

		if (strchr(arg, '=')) {
			rc = named(r, arg, &k, &path, e);
			if (rc == ONX_OK)
				rc = read_input(r, k, path, e);
		} else if (r->s.g->n_input != 1) {
			rc = onx_fail(e, ONX_USAGE, "the model has %u inputs; which one is '%s' for? give NAME=FILE",
				      r->s.g->n_input, arg);
		} else if (onx_image_named(arg)) {
			r->picture[r->n_picture++] = arg;
		} else {
			rc = read_input(r, 0, arg, e);
		}
	}
	if (rc == ONX_OK && r->n_picture) {
		if (r->in[0].v)
			return onx_fail(e, ONX_USAGE, "pictures and arrays for the same input");
		rc = onx_run_picture(r, 0, e);
	}
	return rc < 0 ? rc : tell_known(r, e);
}
