/* op/mlmap.c -- CastMap of ai.onnx.ml: a map from whole numbers as a row [1,N].  Maps are not laid out by a plan: the
 * rule makes the row while it infers, from a map that is known (ZipMap of constants, an input that the
 * interpreter has). */
#include "op/ml.h"
#include <string.h>
#include "tensor/seq.h"

enum to { TO_FLOAT, TO_STRING, TO_INT64 };
enum { DENSE, SPARSE };
enum { WIDEST = 1 << 24 };
static const char *const tos[] = { "TO_FLOAT", "TO_STRING", "TO_INT64", NULL };
static const char *const forms[] = { "DENSE", "SPARSE", NULL };

struct cast_map { int to, form; int64_t most; };
static const struct onx_field field[] = {
	{ "cast_to", F_ENUM, offsetof(struct cast_map, to), .def = "TO_FLOAT", .choices = tos,
	  .help = "element type of the row" },
	{ "map_form", F_ENUM, offsetof(struct cast_map, form), .def = "DENSE", .choices = forms,
	  .help = "DENSE: the values by ascending key; SPARSE: each at the place that its key is" },
	{ "max_map", F_INT, offsetof(struct cast_map, most), .def = "1", .min = 0, .max = WIDEST,
	  .help = "SPARSE: length of the row" },
	{ .name = NULL }
};
static const struct onx_table table = { "CastMap", sizeof(struct cast_map), field, .check = NULL };

/* Element `at` of the row from value `i` of the map. */
static int put(const struct onx_view *y, size_t at, const struct onx_view *v, size_t i, struct onx_err *e)
{
	const char *text = v->type == ONX_STRING ? ((const char *const *)v->v)[i] : NULL;
	double x = text ? 0 : onx_dtype_real(v->type) ? onx_view_real(v, i) : (double)onx_view_int(v, i);

	if (y->type == ONX_STRING && !text)
		return onx_fail(e, ONX_UNSUP, "the standard does not say how numbers of a map become text");
	if (y->type == ONX_STRING) {
		((const char **)y->v)[at] = text;
		return ONX_OK;
	}
	if (text && onx_parse_real(text, &x) < 0)
		return onx_fail(e, ONX_SHAPE, "the map holds '%.40s', wanted a number", text);
	if (y->type == ONX_FLOAT)
		onx_view_put_real(y, at, x);
	else if (x > -9.2e18 && x < 9.2e18)
		onx_view_put_int(y, at, (int64_t)x);
	else
		return onx_fail(e, ONX_SHAPE, "the map holds %g, wanted an int64", x);
	return ONX_OK;
}

/* DENSE: how many keys come before; SPARSE: the key itself, -1 where the row has no such place. */
static int64_t place(const struct cast_map *a, const struct onx_view *key, size_t i)
{
	const int64_t own = onx_view_int(key, i);
	int64_t before = 0;

	if (a->form == SPARSE)
		return own >= 0 && own < a->most ? own : -1;
	for (size_t k = 0; k < key->n; k++)
		before += onx_view_int(key, k) < own;
	return before;
}

static int cast_map_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	static const enum onx_dtype types[] = { ONX_FLOAT, ONX_STRING, ONX_INT64 };
	static const char nothing[] = "";
	const struct cast_map *a = attr;
	const struct onx_view *x;
	int rc = onx_in_known(s, 0, &x, e);

	if (rc < 0)
		return rc;
	if (x->type != ONX_MAP || onx_seq_at(x, 0)->type != ONX_INT64)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a map with int64 keys", onx_dtype_name(x->type));
	const struct onx_view *key = onx_seq_at(x, 0), *v = onx_seq_at(x, 1);
	const int64_t dim[2] = { 1, a->form == SPARSE ? a->most : (int64_t)key->n };
	struct onx_view *y = onx_tensor_new(s->mem, types[a->to], 2, dim, onx_dtype_store(types[a->to], false));

	for (size_t i = 0; y && y->type == ONX_STRING && i < y->n; i++)
		((const char **)y->v)[i] = nothing;
	for (size_t i = 0; y && i < key->n && rc == ONX_OK; i++) {
		const int64_t at = place(a, key, i);
		if (at >= 0)
			rc = put(y, (size_t)at, v, i, e);
	}
	return rc < 0 ? rc : onx_give(s, 0, y, e);
}

const struct onx_op ONX_R(onx_ops_mlmap)[] = {
	{ .domain = ONX_ML, .type = "CastMap", .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = &table, .infer = cast_map_infer },
	{ .type = NULL }
};
