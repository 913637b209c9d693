/* graph/diffweight.c -- comparing the numbers of two stored tensors. */
#include "graph/diff_i.h"
#include <string.h>

static bool same_type(const struct onx_weight *a, const struct onx_weight *b)
{
	return a->type == b->type && a->rank == b->rank && a->n == b->n &&
	       (!a->rank || !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim));
}

/* The numbers of w in memory form; the caller frees v->v. */
static int load(const struct onx_weight *w, struct onx_view *v, struct onx_err *e)
{
	const size_t width = onx_dtype_store(w->type, false);

	*v = (struct onx_view){ .v = onx_heap(w->n ? w->n : 1, width ? width : 1),
				.n = w->n,
				.rank = w->rank,
				.dim = w->dim,
				.type = w->type,
				.width = (uint8_t)width };
	if (!v->v)
		return onx_nomem(e, (double)w->n * (double)width, "the numbers of a tensor");
	return onx_weight_load(w, v, e);
}

static bool same_texts(const struct onx_view *a, const struct onx_view *b)
{
	const char *const *s = a->v, *const *t = b->v;

	for (size_t i = 0; i < a->n; i++)
		if (strcmp(s[i], t[i]) != 0)
			return false;
	return true;
}

/* Elements of one width that are the same bytes. */
static size_t count_same(const struct onx_view *a, const struct onx_view *b)
{
	const char *p = a->v, *q = b->v;
	size_t same = 0;

	for (size_t i = 0; i < a->n; i++)
		same += !memcmp(p + i * a->width, q + i * a->width, a->width);
	return same;
}

/* Both are of one type and shape.  *same: to the byte; gap: filled for numbers that are not. */
static int compare(struct onx_differ *x, const struct onx_weight *a, const struct onx_weight *b,
		   bool *same, size_t *n_same, struct onx_gap *gap, struct onx_err *e)
{
	struct onx_view p = { 0 }, q = { 0 };

	*gap = (struct onx_gap){ 0 };
	*n_same = a->n;
	*same = true;
	if (a->type == ONX_UNDEFINED)
		return ONX_OK;          /* nobody knows how long an element is */
	if (a->raw && b->raw && !memcmp(a->raw, b->raw, onx_dtype_bytes(a->type, a->n)))
		return ONX_OK;
	int rc = load(a, &p, e);
	if (rc == ONX_OK)
		rc = load(b, &q, e);
	if (rc == ONX_OK && a->type == ONX_STRING) {
		*same = same_texts(&p, &q);
		gap->bad = !*same;
	} else if (rc == ONX_OK) {
		*n_same = count_same(&p, &q);
		*same = *n_same == a->n;
		gap->bad = !*same;
		if (!*same && onx_dtype_class(a->type) != ONX_CLASS_CPLX)
			onx_compare(&p, &q, x->o->rtol, x->o->atol, gap);
	}
	onx_heap_free(p.v);
	onx_heap_free(q.v);
	return rc;
}

int onx_diff_weight_same(struct onx_differ *x, const struct onx_weight *a,
			 const struct onx_weight *b, bool *same, struct onx_err *e)
{
	struct onx_gap gap;
	size_t n;

	*same = false;
	if (!a || !b || !same_type(a, b)) {
		*same = a == b;
		return ONX_OK;
	}
	return compare(x, a, b, same, &n, &gap, e);
}

int onx_diff_weight(struct onx_differ *x, const char *name, const struct onx_weight *a,
		    const struct onx_weight *b, struct onx_err *e)
{
	struct onx_diff *d = x->d;
	struct onx_gap gap;
	bool same;
	size_t n;

	if (!same_type(a, b)) {
		d->weights_far++;
		onx_diff_add(x, ONX_DIFF_WEIGHT, ONX_DIFF_CHANGED, name,
			     a->type != b->type ? "type" : "shape", onx_diff_weight_text(x, a),
			     onx_diff_weight_text(x, b));
		return ONX_OK;
	}
	int rc = compare(x, a, b, &same, &n, &gap, e);
	if (rc < 0)
		return onx_while(e, rc, "comparing the weight '%s'", name);
	d->numbers_same += n;
	if (same) {
		d->weights_same++;
	} else if (!gap.bad && (x->o->rtol > 0 || x->o->atol > 0)) {
		d->weights_near++;
	} else {
		const char *how = onx_diff_weight_text(x, a);
		d->weights_far++;
		onx_diff_add(x, ONX_DIFF_WEIGHT, ONX_DIFF_CHANGED, name, "values", how, how);
		if (d->n && !x->lost && onx_dtype_class(a->type) != ONX_CLASS_TEXT) {
			d->v[d->n - 1].numbers = true;
			d->v[d->n - 1].gap = gap;
		}
	}
	return ONX_OK;
}
