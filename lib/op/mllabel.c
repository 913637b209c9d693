/* op/mllabel.c -- ai.onnx.ml's tables from keys to values: LabelEncoder, CategoryMapper, OneHotEncoder. */
#include "op/ml.h"
#include <stdlib.h>
#include <string.h>

/* Keys of one kind, sorted: whole numbers, real numbers (NaN is a key too) or strings. */
struct key { int64_t i; double f; const char *s; size_t at; };
struct keys { enum onx_class kind; size_t n; struct key *key; };

static int by_value(const struct key *a, const struct key *b, enum onx_class kind)
{
	if (kind == ONX_CLASS_TEXT)
		return strcmp(a->s, b->s);
	if (kind == ONX_CLASS_INT)
		return (a->i > b->i) - (a->i < b->i);
	if (isnan(a->f) || isnan(b->f))
		return (isnan(a->f) != 0) - (isnan(b->f) != 0);
	return (a->f > b->f) - (a->f < b->f);
}

#define COMPARE(name, kind)                                                                     \
static int name(const void *x, const void *y)                                                   \
{                                                                                               \
	const struct key *a = x, *b = y;                                                        \
	const int c = by_value(a, b, kind);                                                     \
	return c ? c : (a->at > b->at) - (a->at < b->at);                                       \
}
COMPARE(by_text, ONX_CLASS_TEXT)
COMPARE(by_int, ONX_CLASS_INT)
COMPARE(by_real, ONX_CLASS_REAL)

static enum onx_class kind_of(enum onx_dtype t)
{
	const enum onx_class class = onx_dtype_class(t);

	return class == ONX_CLASS_UINT || class == ONX_CLASS_BOOL ? ONX_CLASS_INT : class;
}

static struct key key_at(const struct onx_view *v, size_t i, enum onx_class kind)
{
	struct key k = { .at = i };

	if (kind == ONX_CLASS_TEXT)
		k.s = ((const char *const *)v->v)[i];
	else if (kind == ONX_CLASS_INT)
		k.i = onx_view_int(v, i);
	else
		k.f = onx_view_real(v, i);
	return k;
}

static int sort_keys(struct onx_infer *s, const struct onx_view *from, struct keys *k, struct onx_err *e)
{
	k->kind = kind_of(from->type);
	k->n = from->n;
	k->key = ONX_NEWS(s->mem, struct key, from->n + 1);
	if (!k->key)
		return onx_nomem(e, (double)from->n * sizeof *k->key, "keys");
	for (size_t i = 0; i < k->n; i++)
		k->key[i] = key_at(from, i, k->kind);
	qsort(k->key, k->n, sizeof *k->key,
	      k->kind == ONX_CLASS_TEXT ? by_text : k->kind == ONX_CLASS_INT ? by_int : by_real);
	return ONX_OK;
}

/* Where the key stands in the list it came from; SIZE_MAX: nowhere.  Of equal keys the first counts. */
static size_t look_up(const struct keys *k, const struct onx_view *x, size_t i)
{
	const struct key want = key_at(x, i, k->kind);
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		if (by_value(&k->key[mid], &want, k->kind) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < k->n && by_value(&k->key[lo], &want, k->kind) == 0 ? k->key[lo].at : SIZE_MAX;
}

/* A list as a view, so that lists and tensors are one thing. */
static struct onx_view of_ints(const struct onx_ints *l)
{
	return (struct onx_view){ .v = (void *)(uintptr_t)l->v, .n = l->n, .type = ONX_INT64, .width = 8 };
}

static struct onx_view of_reals(const struct onx_reals *l)
{
	return (struct onx_view){ .v = (void *)(uintptr_t)l->v, .n = l->n, .type = ONX_FLOAT, .width = 8 };
}

static struct onx_view of_strs(const struct onx_strs *l)
{
	return (struct onx_view){ .v = (void *)(uintptr_t)l->v, .n = l->n, .type = ONX_STRING, .width = 8 };
}

/* y = value number `at` of a list, or of the one default. */
static void put(const struct onx_view *y, size_t i, const struct onx_view *from, size_t at)
{
	if (y->type == ONX_STRING)
		((const char **)y->v)[i] = ((const char *const *)from->v)[at];
	else if (onx_dtype_real(y->type))
		onx_view_put_real(y, i, onx_view_real(from, at));
	else
		onx_view_put_int(y, i, onx_view_int(from, at));
}

/* ---- tables: LabelEncoder, CategoryMapper ---- */

struct table { struct keys keys; struct onx_view value, other; };       /* other: one element */

struct encoder {
	struct onx_strs classes;                                /* version 1, CategoryMapper: both ways */
	struct onx_ints cats;
	struct onx_ints key_ints, value_ints;
	struct onx_reals key_reals, value_reals;
	struct onx_strs key_strs, value_strs;
	const struct onx_view *key_tensor, *value_tensor, *default_tensor;
	double default_real;
	int64_t default_int;
	const char *default_str;
};
#define FIELD(name_, kind_, m, d, about) { name_, kind_, offsetof(struct encoder, m), .def = d, .help = about }
#define DEFAULTS                                                                                        \
	FIELD("default_int64", F_INT, default_int, "-1", "for what is not in the table"),               \
	FIELD("default_string", F_STR, default_str, "_Unused", "for what is not in the table")
static const struct onx_field old_field[] = {
	FIELD("classes_strings", F_STRS, classes, "", "number i is string i"), DEFAULTS, { .name = NULL }
};
static const struct onx_field mapper_field[] = {
	FIELD("cats_int64s", F_INTS, cats, "", "the numbers"),
	FIELD("cats_strings", F_STRS, classes, "", "the strings"),
	DEFAULTS, { .name = NULL }
};
static const struct onx_field encoder_field[] = {
	FIELD("keys_int64s", F_INTS, key_ints, "", "keys"), FIELD("keys_floats", F_REALS, key_reals, "", "keys"),
	FIELD("keys_strings", F_STRS, key_strs, "", "keys"), FIELD("keys_tensor", F_TENSOR, key_tensor, "", "keys"),
	FIELD("values_int64s", F_INTS, value_ints, "", "values"),
	FIELD("values_floats", F_REALS, value_reals, "", "values"),
	FIELD("values_strings", F_STRS, value_strs, "", "values"),
	FIELD("values_tensor", F_TENSOR, value_tensor, "", "values"),
	FIELD("default_float", F_REAL, default_real, "-0", "for what is not in the table"),
	FIELD("default_tensor", F_TENSOR, default_tensor, "", "one element, for what is not in the table"),
	DEFAULTS, { .name = NULL }
};
static const struct onx_table old_table = { "LabelEncoder", sizeof(struct encoder), old_field, .check = NULL };
static const struct onx_table mapper_table = { "CategoryMapper", sizeof(struct encoder), mapper_field,
					       .check = NULL };
static const struct onx_table encoder_table = { "LabelEncoder", sizeof(struct encoder), encoder_field,
						.check = NULL };

static int finish(struct onx_infer *s, const struct encoder *a, const struct onx_view *key,
		  const struct onx_view *value, struct onx_err *e)
{
	struct table *t = ONX_NEW(s->mem, struct table);
	void *other = onx_alloc(s->mem, 1, 8);
	size_t n;
	int rc;

	if (!t || !other)
		return onx_nomem(e, sizeof *t, "a table");
	if (key->n != value->n)
		return onx_fail(e, ONX_FORMAT, "%zu keys for %zu values", key->n, value->n);
	if (kind_of(s->in[0].type) != kind_of(key->type))
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, the keys are %s", onx_dtype_name(s->in[0].type),
				onx_dtype_name(key->type));
	t->value = *value;
	t->other = (struct onx_view){ .v = other, .n = 1, .type = value->type, .width = 8 };
	if (a->default_tensor && a->default_tensor->n == 1 && a->default_tensor->type == value->type)
		t->other = *a->default_tensor;
	else if (value->type == ONX_STRING)
		*(const char **)other = a->default_str ? a->default_str : "";
	else if (onx_dtype_real(value->type))
		*(double *)other = a->default_real;
	else if (onx_dtype_store(value->type, true) == 8)
		*(int64_t *)other = a->default_int;
	else {
		t->other.type = ONX_INT64;
		*(int64_t *)other = a->default_int;
	}
	if ((rc = sort_keys(s, key, &t->keys, e)) < 0 ||
	    (rc = onx_count(s->in[0].shape.rank, s->in[0].shape.dim, &n, e)) < 0)
		return rc;
	s->geo = t;
	onx_set_out(s, 0, value->type, &s->in[0].shape);
	return ONX_OK;
}

/* Version 1 and CategoryMapper: strings to numbers or numbers to strings, as the input is. */
static int both_ways(struct onx_infer *s, const struct encoder *a, const struct onx_ints *ints, struct onx_err *e)
{
	const struct onx_view number = of_ints(ints), text = of_strs(&a->classes);

	if (s->in[0].type == ONX_STRING)
		return finish(s, a, &text, &number, e);
	if (s->in[0].type == ONX_INT64)
		return finish(s, a, &number, &text, e);
	return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted string or int64", onx_dtype_name(s->in[0].type));
}

static int old_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct encoder *a = attr;
	int64_t *v = ONX_NEWS(s->mem, int64_t, a->classes.n + 1);

	if (!v)
		return onx_nomem(e, (double)a->classes.n * 8, "a table");
	for (size_t i = 0; i < a->classes.n; i++)
		v[i] = (int64_t)i;
	return both_ways(s, a, &(struct onx_ints){ v, a->classes.n }, e);
}

static int mapper_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct encoder *a = attr;

	return both_ways(s, a, &a->cats, e);
}

static int one_of(const struct onx_ints *i, const struct onx_reals *f, const struct onx_strs *s,
		  const struct onx_view *t, const char *what, struct onx_view *out, struct onx_err *e)
{
	const int n = (i->n > 0) + (f->n > 0) + (s->n > 0) + (t != NULL);

	*out = t ? *t : i->n ? of_ints(i) : f->n ? of_reals(f) : of_strs(s);
	return n == 1 ? ONX_OK : onx_fail(e, ONX_FORMAT, "%d lists of %s are given, wanted one", n, what);
}

static int encoder_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct encoder *a = attr;
	struct onx_view key, value;
	int rc = one_of(&a->key_ints, &a->key_reals, &a->key_strs, a->key_tensor, "keys", &key, e);

	if (rc == ONX_OK)
		rc = one_of(&a->value_ints, &a->value_reals, &a->value_strs, a->value_tensor, "values", &value, e);
	return rc < 0 ? rc : finish(s, a, &key, &value, e);
}

static void table_forward(const struct onx_call *c)
{
	const struct table *t = c->geo;

	for (size_t i = 0; i < c->y[0].n; i++) {
		const size_t at = look_up(&t->keys, &c->x[0], i);
		put(&c->y[0], i, at == SIZE_MAX ? &t->other : &t->value, at == SIZE_MAX ? 0 : at);
	}
}

/* ---- OneHotEncoder: a new last dim with 1 at the category ---- */

struct onehot { struct onx_ints ints; struct onx_strs strings; bool zeros; };
static const struct onx_field onehot_field[] = {
	{ "cats_int64s", F_INTS, offsetof(struct onehot, ints), .def = "", .help = "the categories" },
	{ "cats_strings", F_STRS, offsetof(struct onehot, strings), .def = "", .help = "the categories" },
	{ "zeros", F_BOOL, offsetof(struct onehot, zeros), .def = "1",
	  .help = "1: zeros for an unknown category; 0: it is a fault, and NaN where it is seen only while running" },
	{ .name = NULL }
};
static const struct onx_table onehot_table = { "OneHotEncoder", sizeof(struct onehot), onehot_field,
					       .check = NULL };

static int onehot_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onehot *a = attr;
	struct keys *k = ONX_NEW(s->mem, struct keys);
	const bool text = s->in[0].type == ONX_STRING;
	const struct onx_view from = text ? of_strs(&a->strings) : of_ints(&a->ints);
	struct onx_shape y = s->in[0].shape;
	int rc;

	if (!k)
		return onx_nomem(e, sizeof *k, "categories");
	if (from.n == 0 || (!text && onx_dtype_class(s->in[0].type) != ONX_CLASS_INT &&
			    !onx_dtype_real(s->in[0].type)))
		return onx_fail(e, ONX_FORMAT, "no categories for an input of %s", onx_dtype_name(s->in[0].type));
	if (y.rank == ONX_RANK)
		return onx_fail(e, ONX_UNSUP, "an input of %d dimensions", y.rank);
	if ((rc = sort_keys(s, &from, k, e)) < 0)
		return rc;
	y.dim[y.rank++] = (int64_t)from.n;
	s->geo = k;
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}

/* Real numbers are cut to whole ones first. */
static size_t category(const struct keys *k, const struct onx_view *x, size_t i)
{
	int64_t cut;
	const struct onx_view one = { .v = &cut, .n = 1, .type = ONX_INT64, .width = 8 };

	if (!onx_dtype_real(x->type))
		return look_up(k, x, i);
	const double v = onx_view_real(x, i);
	if (!(v > -9e18 && v < 9e18))
		return SIZE_MAX;
	cut = (int64_t)v;
	return look_up(k, &one, 0);
}

static void onehot_forward(const struct onx_call *c)
{
	const struct keys *k = c->geo;
	const bool zeros = ((const struct onehot *)c->attr)->zeros;

	for (size_t i = 0; i < c->x[0].n; i++) {
		const size_t at = category(k, &c->x[0], i);
		for (size_t j = 0; j < k->n; j++)
			onx_view_put_real(&c->y[0], i * k->n + j, at == SIZE_MAX && !zeros ? NAN : j == at);
	}
}

#define TABLE(name, v, part, run) \
	{ .domain = ONX_ML, .type = name, .since = v, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .flags = ONX_OP_WIDTHS, .attr = &part##_table, .infer = part##_infer, .forward = run }
const struct onx_op ONX_R(onx_ops_mllabel)[] = {
	TABLE("LabelEncoder", 1, old, table_forward),
	TABLE("LabelEncoder", 2, encoder, table_forward),
	TABLE("CategoryMapper", 1, mapper, table_forward),
	TABLE("OneHotEncoder", 1, onehot, onehot_forward),
	{ .type = NULL }
};
