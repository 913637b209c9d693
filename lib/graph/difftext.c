/* graph/difftext.c -- how the parts of a model read in a list of differences. */
#include "graph/diff_i.h"
#include <inttypes.h>

enum { SHOWN = 8 };             /* elements of a list that are spelt out */

static const char *keep(struct onx_differ *x, struct onx_buf *b)
{
	const char *s = b->lost ? NULL : onx_dup(&x->scratch, b->data ? b->data : "");

	onx_buf_release(b);
	x->lost |= s == NULL;
	return s ? s : "";
}

const char *onx_diff_names_text(struct onx_differ *x, const char *const *v, size_t n)
{
	struct onx_buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		onx_buf_fmt(&b, "%s%s", i ? ", " : "", v[i]);
	return keep(x, &b);
}

const char *onx_diff_value_text(struct onx_differ *x, const struct onx_file_value *v)
{
	struct onx_buf b = { 0 };

	if (v->type != ONX_UNDEFINED)
		onx_buf_str(&b, onx_dtype_name(v->type));
	else
		onx_buf_str(&b, *v->kind ? v->kind : "?");
	if (!v->has_shape)
		return keep(x, &b);
	for (int i = 0; i < v->rank; i++) {
		onx_buf_str(&b, i ? "," : "[");
		if (v->dim[i].value >= 0)
			onx_buf_fmt(&b, "%" PRId64, v->dim[i].value);
		else
			onx_buf_str(&b, v->dim[i].param ? v->dim[i].param : "?");
	}
	onx_buf_str(&b, v->rank ? "]" : "[]");
	return keep(x, &b);
}

const char *onx_diff_weight_text(struct onx_differ *x, const struct onx_weight *w)
{
	char shape[ONX_SHAPE_TEXT];
	struct onx_buf b = { 0 };

	onx_buf_fmt(&b, "%s%s", onx_dtype_name(w->type),
		    onx_shape_text(w->rank, w->dim, shape, sizeof shape));
	return keep(x, &b);
}

static void list_text(struct onx_buf *b, const struct onx_file_attr *v)
{
	onx_buf_str(b, "[");
	for (size_t i = 0; i < v->n && i < SHOWN; i++) {
		onx_buf_str(b, i ? ", " : "");
		if (v->type == ONX_ATTR_INTS)
			onx_buf_fmt(b, "%" PRId64, v->ints[i]);
		else if (v->type == ONX_ATTR_FLOATS)
			onx_buf_fmt(b, "%.9g", (double)v->floats[i]);
		else
			onx_buf_fmt(b, "'%s'", v->strings[i]);
	}
	onx_buf_str(b, v->n > SHOWN ? ", ...]" : "]");
}

const char *onx_diff_attr_text(struct onx_differ *x, const struct onx_file_attr *v)
{
	struct onx_buf b = { 0 };

	if (v->ref) {
		onx_buf_fmt(&b, "the function's '%s'", v->ref);
		return keep(x, &b);
	}
	switch (v->type) {
	case ONX_ATTR_FLOAT:
		onx_buf_fmt(&b, "%.9g", (double)v->f);
		break;
	case ONX_ATTR_INT:
		onx_buf_fmt(&b, "%" PRId64, v->i);
		break;
	case ONX_ATTR_STRING:
		onx_buf_fmt(&b, "'%.200s'", v->s);
		break;
	case ONX_ATTR_INTS:
	case ONX_ATTR_FLOATS:
	case ONX_ATTR_STRINGS:
		list_text(&b, v);
		break;
	case ONX_ATTR_TENSOR:
		onx_buf_fmt(&b, "tensor %s", onx_diff_weight_text(x, v->tensor));
		break;
	case ONX_ATTR_GRAPH:
		onx_buf_fmt(&b, "graph of %zu nodes", v->graph->n_node);
		break;
	default:
		onx_buf_fmt(&b, "%zu of kind %d", v->n, (int)v->type);
	}
	return keep(x, &b);
}

const char *onx_diff_place_text(enum onx_diff_place p)
{
#define X(name, word, text) word,
	static const char *const words[] = { ONX_DIFF_PLACES(X) };
#undef X
	return words[p];
}

const char *onx_diff_what_text(enum onx_diff_what w)
{
	static const char *const words[] = { "removed", "added", "changed" };
	return words[w];
}

void onx_diff_line(const struct onx_difference *v, struct onx_buf *out)
{
	onx_buf_fmt(out, "%s '%s'", onx_diff_place_text(v->place), v->name);
	if (v->what != ONX_DIFF_CHANGED) {
		onx_buf_fmt(out, " %s", onx_diff_what_text(v->what));
		const char *how = v->what == ONX_DIFF_ADDED ? v->b : v->a;
		if (*how)
			onx_buf_fmt(out, ": %s", how);
		return;
	}
	onx_buf_fmt(out, ": %s: ", v->field);
	if (v->numbers)
		onx_buf_fmt(out, "%zu elements of %s differ, worst by %.6g (at %zu: %.9g, %.9g)",
			    v->gap.bad, v->a, v->gap.worst_abs, v->gap.at, v->gap.a, v->gap.b);
	else
		onx_buf_fmt(out, "%s -> %s", *v->a ? v->a : "(none)", *v->b ? v->b : "(none)");
}
