/* op/maps.c -- ZipMap and DictVectorizer of ai.onnx.ml.  A map is made while its rule infers, from inputs that are
 * known, as sequences are (sequence.c, tensor/seq.h). */
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "tensor/seq.h"

struct zip { struct onx_ints ints; struct onx_strs strings; };
static const struct onx_field zip_field[] = {
	{ "classlabels_int64s", F_INTS, offsetof(struct zip, ints), .def = "", .help = "keys" },
	{ "classlabels_strings", F_STRS, offsetof(struct zip, strings), .def = "", .help = "keys" },
	{ .name = NULL }
};
static const struct onx_table zip_table = { "ZipMap", sizeof(struct zip), zip_field, .check = NULL };
static const struct onx_field dict_field[] = {
	{ "int64_vocabulary", F_INTS, offsetof(struct zip, ints), .def = "", .help = "keys" },
	{ "string_vocabulary", F_STRS, offsetof(struct zip, strings), .def = "", .help = "keys" },
	{ .name = NULL }
};
static const struct onx_table dict_table = { "DictVectorizer", sizeof(struct zip), dict_field, .check = NULL };

static const struct onx_view *keys_of(struct onx_infer *s, const struct zip *a)
{
	const int64_t n = (int64_t)(a->strings.n ? a->strings.n : a->ints.n);
	struct onx_view *k = onx_tensor_new(s->mem, a->strings.n ? ONX_STRING : ONX_INT64, 1, &n, 8);
	for (size_t i = 0; k && i < k->n; i++)
		if (a->strings.n)
			((const char **)k->v)[i] = a->strings.v[i];
		else
			((int64_t *)k->v)[i] = a->ints.v[i];
	return k;
}

/* Each row of scores as a map from the class labels. */
static int zip_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x, *key = keys_of(s, attr);
	int rc = onx_in_known(s, 0, &x, e);
	if (rc < 0)
		return rc;
	const size_t cols = x->rank ? (size_t)x->dim[x->rank - 1] : 0, rows = x->rank == 2 ? (size_t)x->dim[0] : 1;
	if (!key || x->rank < 1 || x->rank > 2 || key->n != cols)
		return onx_fail(e, ONX_SHAPE, "%zu class labels for %zu scores", key ? key->n : 0, cols);
	struct onx_view *y = onx_seq_new(s->mem, ONX_SEQUENCE, rows);
	const int64_t dim[1] = { (int64_t)cols };
	for (size_t r = 0; y && r < rows; r++) {
		struct onx_view *map = onx_seq_new(s->mem, ONX_MAP, 2);
		struct onx_view *v = onx_tensor_new(s->mem, x->type, 1, dim, x->width);
		if (!map || !v)
			return onx_nomem(e, 64, "a map");
		if (cols)
			memcpy(v->v, (const char *)x->v + r * cols * x->width, cols * x->width);
		onx_seq_items(map)[0] = key;
		onx_seq_items(map)[1] = v;
		onx_seq_items(y)[r] = map;
	}
	return onx_give(s, 0, y, e);
}

static bool same_key(const struct onx_view *a, size_t i, const struct onx_view *b, size_t j)
{
	if (a->type == ONX_STRING)
		return strcmp(((const char *const *)a->v)[i], ((const char *const *)b->v)[j]) == 0;
	return onx_view_int(a, i) == onx_view_int(b, j);
}

/* The map's values in the order of the vocabulary, zeros for what it lacks. */
static int dict_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x, *key = keys_of(s, attr);
	int rc = onx_in_known(s, 0, &x, e);
	if (rc < 0)
		return rc;
	if (!key || x->type != ONX_MAP || onx_seq_at(x, 0)->type != key->type)
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, wanted a map with keys as in the vocabulary",
				onx_dtype_name(x->type));
	const struct onx_view *have = onx_seq_at(x, 0), *v = onx_seq_at(x, 1);
	static const char nothing[] = "";
	const int64_t dim[2] = { 1, (int64_t)key->n };
	struct onx_view *y = onx_tensor_new(s->mem, v->type, 2, dim, v->width);
	for (size_t i = 0; y && i < key->n; i++) {
		if (v->type == ONX_STRING)
			((const char **)y->v)[i] = nothing;
		for (size_t j = 0; j < have->n; j++)
			if (same_key(key, i, have, j))
				memcpy((char *)y->v + i * v->width, (const char *)v->v + j * v->width, v->width);
	}
	return onx_give(s, 0, y, e);
}

#define RULE(name, rule, table) \
	{ .domain = "ai.onnx.ml", .type = name, .since = 1, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, \
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = table, .infer = rule##_infer }
const struct onx_op ONX_R(onx_ops_maps)[] = {
	RULE("ZipMap", zip, &zip_table),
	RULE("DictVectorizer", dict, &dict_table),
	{ .type = NULL }
};
