/* tools/run_out.c -- the outputs of a model: printed, listed as JSON, or written as files. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include "base/io.h"
#include "base/json.h"
#include "data/npy.h"
#include "run.h"
#include "tensor/seq.h"

static void number(const struct onx_view *v, size_t i, struct onx_buf *out)
{
	if (v->type == ONX_STRING)
		onx_buf_fmt(out, "\"%s\"", ((const char *const *)v->v)[i]);
	else if (onx_dtype_real(v->type))
		onx_buf_fmt(out, "%.*g", v->type == ONX_DOUBLE ? 17 : 9, onx_view_real(v, i));
	else
		onx_buf_fmt(out, "%lld", (long long)onx_view_int(v, i));
}

/* The k best of the classes of sample s, best first; equal ones in order of their index. */
static size_t best(const struct onx_view *v, size_t s, size_t n_class, size_t k, size_t *index)
{
	size_t n = 0;

	for (size_t c = 0; c < n_class; c++) {
		double x = onx_view_real(v, s * n_class + c);
		size_t at = n;

		while (at > 0 && x > onx_view_real(v, s * n_class + index[at - 1]))
			at--;
		if (at == k)
			continue;
		n = n < k ? n + 1 : k;
		memmove(index + at + 1, index + at, (n - at - 1) * sizeof *index);
		index[at] = c;
	}
	return n;
}

static const char *label(const struct onx_run_job *r, size_t c)
{
	return c < r->n_label ? r->label[c] : NULL;
}

/* The best classes of each sample of an output. */
static int top(struct onx_run_job *r, const struct onx_view *v, const char *what, struct onx_json *into,
	       struct onx_err *e)
{
	size_t samples = v->rank > 1 ? (size_t)v->dim[0] : 1, n = samples ? v->n / samples : 0;
	size_t *index = ONX_NEWS(&r->s.mem, size_t, (size_t)r->o->top + 1);
	struct onx_json *list = into ? onx_json_array() : NULL;

	if (!index)
		return onx_nomem(e, (double)r->o->top * sizeof *index, "the best classes");
	for (size_t s = 0; s < samples; s++) {
		size_t k = best(v, s, n, (size_t)r->o->top, index);
		struct onx_json *one = list ? onx_json_array() : NULL;

		if (!list && what)
			onx_buf_fmt(&r->w->text, "%s\n", what);
		else if (!list && samples > 1)
			onx_buf_fmt(&r->w->text, "sample %zu\n", s);
		for (size_t i = 0; i < k; i++) {
			double x = onx_view_real(v, s * n + index[i]);

			if (list) {
				struct onx_json *o = onx_json_object();

				onx_json_int(o, "class", (int64_t)index[i]);
				onx_json_str(o, "label", label(r, index[i]));
				onx_json_real(o, "value", x);
				onx_json_put(one, NULL, o);
			} else {
				onx_buf_fmt(&r->w->text, "%10.6g  %zu%s%s\n", x, index[i],
					    label(r, index[i]) ? "  " : "",
					    label(r, index[i]) ? label(r, index[i]) : "");
			}
		}
		if (list)
			onx_json_put(list, NULL, one);
	}
	if (list)
		onx_json_put(into, "top", list);
	return ONX_OK;
}

static void print_map(const struct onx_view *map, struct onx_buf *out)
{
	const struct onx_view *key = onx_seq_at(map, 0), *v = onx_seq_at(map, 1);

	onx_buf_str(out, "  {");
	for (size_t i = 0; i < key->n; i++) {
		onx_buf_str(out, i ? ", " : "");
		number(key, i, out);
		onx_buf_str(out, ": ");
		number(v, i, out);
	}
	onx_buf_str(out, "}\n");
}

static void print_tensor(struct onx_run_job *r, const char *name, const struct onx_view *v)
{
	struct onx_buf *out = &r->w->text;
	size_t n = r->o->print == 0 || v->n < (size_t)r->o->print ? v->n : (size_t)r->o->print;
	char shape[ONX_SHAPE_TEXT];

	onx_buf_fmt(out, "%s  %s %s\n", name, onx_dtype_name(v->type),
		    onx_shape_text(v->rank, v->dim, shape, sizeof shape));
	for (size_t i = 0; i < n; i++) {
		onx_buf_str(out, i % 8 ? " " : "  ");
		number(v, i, out);
		if (i % 8 == 7 || i + 1 == n)
			onx_buf_str(out, "\n");
	}
	if (n < v->n)
		onx_buf_fmt(out, "  ... and %zu more\n", v->n - n);
}

/* Depth is bounded by that of the types in the file. */
static void print(struct onx_run_job *r, const char *name, const struct onx_view *v)
{
	struct onx_buf *out = &r->w->text;
	size_t n = r->o->print == 0 || v->n < (size_t)r->o->print ? v->n : (size_t)r->o->print;
	char element[256];

	if (!onx_holds_views(v->type)) {
		print_tensor(r, name, v);
		return;
	}
	onx_buf_fmt(out, "%s  %s", name, onx_dtype_name(v->type));
	onx_buf_fmt(out, v->type == ONX_SEQUENCE ? " of %zu\n" : "\n", v->n);
	if (v->type == ONX_MAP)
		print_map(v, out);
	for (size_t i = 0; v->type == ONX_SEQUENCE && i < n; i++)
		if (onx_seq_at(v, i)->type == ONX_MAP) {
			print_map(onx_seq_at(v, i), out);
		} else {
			snprintf(element, sizeof element, "%.200s[%zu]", name, i);
			print(r, element, onx_seq_at(v, i));
		}
	if (v->type == ONX_SEQUENCE && n < v->n)
		onx_buf_fmt(out, "  ... and %zu more\n", v->n - n);
}

static void list_number(struct onx_json *j, const char *key, const struct onx_view *v, size_t i)
{
	if (v->type == ONX_STRING)
		onx_json_str(j, key, ((const char *const *)v->v)[i]);
	else if (onx_dtype_real(v->type))
		onx_json_real(j, key, onx_view_real(v, i));
	else
		onx_json_int(j, key, onx_view_int(v, i));
}

/* A tensor as the list of its numbers, a sequence as one of its elements, a map as an object. */
static void list_values(struct onx_json *j, const char *key, const struct onx_view *v)
{
	struct onx_json *o = v->type == ONX_MAP ? onx_json_object() : onx_json_array();
	struct onx_buf name = { 0 };

	for (size_t i = 0; v->type == ONX_MAP && i < onx_seq_at(v, 0)->n; i++) {
		const struct onx_view *k = onx_seq_at(v, 0);

		name.len = 0;
		if (k->type != ONX_STRING)
			onx_buf_fmt(&name, "%lld", (long long)onx_view_int(k, i));
		list_number(o, k->type == ONX_STRING ? ((const char *const *)k->v)[i] : name.data ? name.data : "",
			    onx_seq_at(v, 1), i);
	}
	for (size_t i = 0; v->type != ONX_MAP && i < v->n; i++)
		if (v->type == ONX_SEQUENCE)
			list_values(o, NULL, onx_seq_at(v, i));
		else
			list_number(o, NULL, v, i);
	onx_json_put(j, key, o);
	onx_buf_release(&name);
}

static struct onx_json *listed(const char *name, const struct onx_view *v)
{
	struct onx_json *o = onx_json_object(), *dims = onx_json_array();

	onx_json_str(o, "name", name);
	onx_json_str(o, "type", onx_dtype_name(v->type));
	for (int d = 0; v->type != ONX_MAP && d < v->rank; d++)
		onx_json_int(dims, NULL, v->dim[d]);
	onx_json_put(o, "shape", dims);
	list_values(o, "values", v);
	return o;
}

/* A name of an output as a file name: what may not be in one becomes '_'. */
static const char *file_name(struct onx_run_job *r, const char *what, const char *name)
{
	const char *base = what ? strrchr(what, '/') : NULL;
	char *s = onx_text(&r->s.mem, "%s%s%s%s", what ? base ? base + 1 : what : "", what ? "." : "", name,
			   r->o->format == ONX_RUN_PB ? ".pb" : ".npy");

	for (char *p = s; p && *p; p++)
		if (*p == '/' || (unsigned char)*p <= ' ')
			*p = '_';
	if (s && *s == '.')
		*s = '_';
	return s;
}

static int write_one(struct onx_run_job *r, const char *what, const char *name, const struct onx_view *v,
		     struct onx_err *e)
{
	const char *dir = r->w->common.output, *file = file_name(r, what, name);
	const char *path = file ? onx_join(&r->s.mem, dir, file) : NULL;

	if (!path)
		return onx_nomem(e, 0, "a file name");
	if (onx_holds_views(v->type)) {
		onx_say(&r->w->note, ONX_WARN, "output '%s' is a %s, which is not written as a file", name,
			onx_dtype_name(v->type));
		return ONX_OK;
	}
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return onx_fail(e, ONX_IO, "cannot make folder '%s': %s", dir, strerror(errno));
	return r->o->format == ONX_RUN_PB ? onx_tensor_file_write(path, name, v, e)
					  : onx_npy_write(path, v, e);
}

/* The output that --top is about: the first of real numbers; none: all are printed as they are. */
static uint32_t ranked(const struct onx_run_job *r)
{
	const struct onx_graph *g = r->s.g;

	for (uint32_t i = 0; r->o->top && i < g->n_output; i++) {
		const struct onx_view *v = onx_session_view(&r->s, g->output[i]);
		if (v && onx_dtype_real(v->type))
			return i;
	}
	return ONX_NONE;
}

int onx_run_outputs(struct onx_run_job *r, const char *what, struct onx_err *e)
{
	struct onx_json *result = r->json ? onx_json_object() : NULL, *list = r->json ? onx_json_array() : NULL;
	const uint32_t best_of = ranked(r);
	int rc = ONX_OK;

	if (result && what)
		onx_json_str(result, "picture", what);
	for (uint32_t i = 0; rc == ONX_OK && i < r->s.g->n_output; i++) {
		const char *name = r->s.g->value[r->s.g->output[i]].name;
		const struct onx_view *v = onx_session_view(&r->s, r->s.g->output[i]);

		if (!v)
			rc = onx_fail(e, ONX_UNSUP, "output '%s' was not computed", name);
		else if (r->w->common.output)
			rc = write_one(r, what, name, v, e);
		else if (i == best_of)
			rc = top(r, v, what, result, e);
		else if (r->json)
			onx_json_put(list, NULL, listed(name, v));
		else if (best_of == ONX_NONE) {
			if (what && i == 0)
				onx_buf_fmt(&r->w->text, "%s\n", what);
			print(r, name, v);
		}
	}
	if (result) {
		onx_json_put(result, "outputs", list);
		onx_json_put(r->json, NULL, result);
	}
	return rc;
}
