/* op/mlcolumns.c -- ai.onnx.ml's operators that put columns together and pick them out: FeatureVectorizer,
 * ArrayFeatureExtractor. */
#include "op/ml.h"
#include <string.h>

/* ---- FeatureVectorizer: columns of all inputs side by side, as float ---- */

struct vectorizer { struct onx_ints dims; };
static const struct onx_field vectorizer_field[] = {
	{ "inputdimensions", F_INTS, offsetof(struct vectorizer, dims), .def = "",
	  .help = "columns that each input fills" },
	{ .name = NULL }
};
static const struct onx_table vectorizer_attr = { "FeatureVectorizer", sizeof(struct vectorizer),
						  vectorizer_field, .check = NULL };

static int vectorizer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct vectorizer *a = attr;
	size_t rows = 0, cols = 0, all = 0;

	if (a->dims.n && a->dims.n != (size_t)s->n_in)
		return onx_fail(e, ONX_SHAPE, "inputdimensions has %zu numbers for %d inputs", a->dims.n, s->n_in);
	for (int i = 0; i < s->n_in; i++) {
		size_t n;
		int rc = onx_ml_rows(s, i, &n, &cols, e);
		if (rc < 0)
			return rc;
		if (i > 0 && n != rows)
			return onx_fail(e, ONX_SHAPE, "input %d has %zu rows, input 0 %zu", i, n, rows);
		rows = n;
		if (a->dims.n && (a->dims.v[i] < 0 || a->dims.v[i] > 1 << 30))
			return onx_fail(e, ONX_SHAPE, "inputdimensions holds %lld", (long long)a->dims.v[i]);
		all += a->dims.n ? (size_t)a->dims.v[i] : cols;
	}
	const struct onx_shape y = { 2, { (int64_t)rows, (int64_t)all } };
	onx_set_out(s, 0, ONX_FLOAT, &y);
	return ONX_OK;
}

/* An input with fewer columns than it should fill leaves zeros, one with more loses the rest. */
static void vectorizer_forward(const struct onx_call *c)
{
	const struct vectorizer *a = c->attr;
	const struct onx_view *y = &c->y[0];
	size_t at = 0, all = (size_t)y->dim[1];

	for (int i = 0; i < c->n_x; i++) {
		const struct onx_view *x = &c->x[i];
		const size_t cols = (size_t)x->dim[x->rank - 1], wide = a->dims.n ? (size_t)a->dims.v[i] : cols;

		for (size_t r = 0; r < (size_t)y->dim[0]; r++)
			for (size_t k = 0; k < wide; k++)
				onx_view_put_real(y, r * all + at + k, k < cols ? onx_view_real(x, r * cols + k) : 0);
		at += wide;
	}
}

static void vectorizer_backward(const struct onx_call *c)
{
	const struct vectorizer *a = c->attr;
	const struct onx_view *dy = &c->dy[0];
	size_t at = 0, all = (size_t)dy->dim[1];

	for (int i = 0; i < c->n_x; i++) {
		const struct onx_view *dx = &c->dx[i];
		const size_t cols = (size_t)c->x[i].dim[c->x[i].rank - 1];
		const size_t wide = a->dims.n ? (size_t)a->dims.v[i] : cols;

		for (size_t r = 0; dx->v && r < (size_t)dy->dim[0]; r++)
			for (size_t k = 0; k < cols; k++)
				onx_view_put_real(dx, r * cols + k,
						  (k < wide ? onx_view_real(dy, r * all + at + k) : 0) +
						  (dx->add ? onx_view_real(dx, r * cols + k) : 0));
		at += wide;
	}
}

/* ---- ArrayFeatureExtractor: the columns that input 1 names, of the last dim ---- */

static int extractor_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_shape *x = &s->in[0].shape;
	struct onx_shape y = *x;
	size_t k;
	int rc = onx_want_rank(s, 0, 1, ONX_RANK, e);

	(void)attr;
	if (rc == ONX_OK)
		rc = onx_want_type(s, 1, ONX_INT64, e);
	if (rc == ONX_OK)
		rc = onx_count(s->in[1].shape.rank, s->in[1].shape.dim, &k, e);
	if (rc < 0)
		return rc;
	if (y.rank == 1)
		y = (struct onx_shape){ 2, { 1, x->dim[0] } };
	y.dim[y.rank - 1] = (int64_t)k;
	for (size_t i = 0; s->in[1].value && i < k; i++) {
		const int64_t at = onx_view_int(s->in[1].value, i);
		if (at < 0 || at >= x->dim[x->rank - 1])
			return onx_fail(e, ONX_SHAPE, "there is no column %lld of %lld", (long long)at,
					(long long)x->dim[x->rank - 1]);
	}
	onx_set_out(s, 0, s->in[0].type, &y);
	return ONX_OK;
}

/* An index that is out of range, and not known before running, gives zeros (as op/index.h). */
static void extractor_forward(const struct onx_call *c)
{
	const struct onx_view *x = &c->x[0], *y = &c->y[0];
	const size_t cols = (size_t)x->dim[x->rank - 1], k = c->x[1].n, w = x->width;
	static const char nothing[] = "";
	const char *none = nothing;

	for (size_t i = 0; i < y->n; i++) {
		const int64_t at = ((const int64_t *)c->x[1].v)[i % k];
		char *to = (char *)y->v + i * w;
		if (at >= 0 && (size_t)at < cols)
			memcpy(to, (const char *)x->v + (i / k * cols + (size_t)at) * w, w);
		else if (x->type == ONX_STRING)
			memcpy(to, &none, sizeof none);
		else
			memset(to, 0, w);
	}
}

static void extractor_backward(const struct onx_call *c)
{
	const struct onx_view *dx = &c->dx[0];
	const size_t cols = (size_t)dx->dim[dx->rank - 1], k = c->x[1].n;

	for (size_t i = 0; dx->v && !dx->add && i < dx->n; i++)
		onx_view_put_real(dx, i, 0);
	for (size_t i = 0; dx->v && i < c->dy[0].n; i++) {
		const int64_t at = ((const int64_t *)c->x[1].v)[i % k];
		const size_t to = i / k * cols + (size_t)at;
		if (at >= 0 && (size_t)at < cols)
			onx_view_put_real(dx, to, onx_view_real(dx, to) + onx_view_real(&c->dy[0], i));
	}
}

const struct onx_op ONX_R(onx_ops_mlcolumns)[] = {
	{ .domain = ONX_ML, .type = "FeatureVectorizer", .since = 1, .min_in = 1, .max_in = ONX_MANY,
	  .min_out = 1, .max_out = 1, .flags = ONX_OP_WIDTHS, .grad = { ONX_G_DIFF }, .n_grad = 1,
	  .attr = &vectorizer_attr, .infer = vectorizer_infer, .forward = vectorizer_forward,
	  .backward = vectorizer_backward },
	{ .domain = ONX_ML, .type = "ArrayFeatureExtractor", .since = 1, .min_in = 2, .max_in = 2,
	  .min_out = 1, .max_out = 1, .flags = ONX_OP_WIDTHS, .grad = { ONX_G_DIFF, ONX_G_NEVER },
	  .n_grad = 2, .keep = ONX_KEEP_X(1), .infer = extractor_infer, .forward = extractor_forward,
	  .backward = extractor_backward },
	{ .type = NULL }
};
