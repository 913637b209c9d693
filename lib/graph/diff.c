/* graph/diff.c -- see diff.h.  One function for each place, in the order of enum onx_diff_place. */
#include "graph/diff_i.h"
#include <string.h>

/* --- model, opsets, metadata ------------------------------------------------------------------ */

static void diff_model(struct onx_differ *x)
{
	const struct onx_model *a = x->a, *b = x->b;

	onx_diff_texts(x, ONX_DIFF_MODEL, "", "IR version", onx_diff_number(x, onx_model_ir(a)),
		       onx_diff_number(x, onx_model_ir(b)));
	onx_diff_texts(x, ONX_DIFF_MODEL, "", "functions",
		       onx_diff_number(x, (int64_t)onx_model_n_functions(a)),
		       onx_diff_number(x, (int64_t)onx_model_n_functions(b)));
	onx_diff_texts(x, ONX_DIFF_MODEL, "", "sparse initializers",
		       onx_diff_number(x, (int64_t)onx_model_graph(a)->n_sparse),
		       onx_diff_number(x, (int64_t)onx_model_graph(b)->n_sparse));
	if (!x->o->no_meta) {
		onx_diff_texts(x, ONX_DIFF_MODEL, "", "producer", onx_model_producer(a),
			       onx_model_producer(b));
		onx_diff_texts(x, ONX_DIFF_MODEL, "", "graph name", onx_model_graph(a)->name,
			       onx_model_graph(b)->name);
	}
}

static void diff_opsets(struct onx_differ *x)
{
	const struct onx_file_opset *v;
	const size_t na = onx_model_opsets(x->a, &v);

	for (size_t i = 0; i < na; i++) {
		const int64_t other = onx_model_opset(x->b, v[i].domain);
		if (!other)
			onx_diff_add(x, ONX_DIFF_OPSET, ONX_DIFF_REMOVED, v[i].domain, "",
				     onx_diff_number(x, v[i].version), "");
		else
			onx_diff_texts(x, ONX_DIFF_OPSET, v[i].domain, "version",
				       onx_diff_number(x, v[i].version), onx_diff_number(x, other));
	}
	const size_t nb = onx_model_opsets(x->b, &v);
	for (size_t i = 0; i < nb; i++)
		if (!onx_model_opset(x->a, v[i].domain))
			onx_diff_add(x, ONX_DIFF_OPSET, ONX_DIFF_ADDED, v[i].domain, "", "",
				     onx_diff_number(x, v[i].version));
}

static void diff_meta(struct onx_differ *x)
{
	const char *key, *value;

	for (size_t i = 0; i < onx_model_n_meta(x->a); i++) {
		onx_model_meta_at(x->a, i, &key, &value);
		const char *other = onx_model_meta(x->b, key);
		if (!other)
			onx_diff_add(x, ONX_DIFF_META, ONX_DIFF_REMOVED, key, "", value, "");
		else
			onx_diff_texts(x, ONX_DIFF_META, key, "value", value, other);
	}
	for (size_t i = 0; i < onx_model_n_meta(x->b); i++) {
		onx_model_meta_at(x->b, i, &key, &value);
		if (!onx_model_meta(x->a, key))
			onx_diff_add(x, ONX_DIFF_META, ONX_DIFF_ADDED, key, "", "", value);
	}
}

/* --- inputs, outputs, value_info -------------------------------------------------------------- */

static const char *value_reads(struct onx_differ *x, const void *list, size_t i)
{
	return onx_diff_value_text(x, (const struct onx_file_value *)list + i);
}

static const char **value_names(struct onx_differ *x, const struct onx_file_value *v, size_t n)
{
	const char **s = ONX_NEWS(&x->scratch, const char *, n + 1);

	x->lost |= s == NULL;
	for (size_t i = 0; s && i < n; i++)
		s[i] = v[i].name;
	return s;
}

static void diff_values(struct onx_differ *x, enum onx_diff_place place,
			const struct onx_file_value *a, size_t na, const struct onx_file_value *b,
			size_t nb)
{
	const char **ka = value_names(x, a, na), **kb = value_names(x, b, nb);
	uint32_t *pa = onx_diff_table(x, na), *pb = onx_diff_table(x, nb);

	if (x->lost)
		return;
	onx_diff_pair(x, ka, na, kb, nb, pa, pb);
	onx_diff_unpaired(x, place, ONX_DIFF_REMOVED, ka, pa, na, value_reads, a);
	onx_diff_unpaired(x, place, ONX_DIFF_ADDED, kb, pb, nb, value_reads, b);
	for (size_t i = 0; i < na; i++)
		if (pa[i] != ONX_NONE)
			onx_diff_texts(x, place, ka[i], "type", onx_diff_value_text(x, &a[i]),
			      onx_diff_value_text(x, &b[pa[i]]));
	if (place != ONX_DIFF_INFO)
		onx_diff_order(x, place, ka, pa, na);
}

/* --- weights ---------------------------------------------------------------------------------- */

static const char *weight_reads(struct onx_differ *x, const void *list, size_t i)
{
	return onx_diff_weight_text(x, ((const struct onx_weight *const *)list)[i]);
}

static const char **weight_names(struct onx_differ *x, const struct onx_file_graph *g)
{
	const char **s = ONX_NEWS(&x->scratch, const char *, g->n_init + 1);

	x->lost |= s == NULL;
	for (size_t i = 0; s && i < g->n_init; i++)
		s[i] = g->init[i]->name;
	return s;
}

static int diff_weights(struct onx_differ *x, const struct onx_file_graph *a,
			const struct onx_file_graph *b, struct onx_err *e)
{
	const char **ka = weight_names(x, a), **kb = weight_names(x, b);
	uint32_t *pa = onx_diff_table(x, a->n_init), *pb = onx_diff_table(x, b->n_init);
	int rc = ONX_OK;

	if (x->lost)
		return ONX_OK;
	onx_diff_pair(x, ka, a->n_init, kb, b->n_init, pa, pb);
	onx_diff_unpaired(x, ONX_DIFF_WEIGHT, ONX_DIFF_REMOVED, ka, pa, a->n_init, weight_reads,
			  a->init);
	onx_diff_unpaired(x, ONX_DIFF_WEIGHT, ONX_DIFF_ADDED, kb, pb, b->n_init, weight_reads,
			  b->init);
	for (size_t i = 0; i < a->n_init && rc == ONX_OK; i++)
		if (pa[i] != ONX_NONE)
			rc = onx_diff_weight(x, ka[i], a->init[i], b->init[pa[i]], e);
	return rc;
}

int onx_diff_models(const struct onx_model *a, const struct onx_model *b,
		    const struct onx_diff_options *o, struct onx_diff *d, struct onx_err *e)
{
	static const struct onx_diff_options plain = { 0 };
	struct onx_differ x = { .a = a, .b = b, .o = o ? o : &plain, .d = d };
	const struct onx_file_graph *g = onx_model_graph(a), *h = onx_model_graph(b);

	diff_model(&x);
	diff_opsets(&x);
	if (!x.o->no_meta)
		diff_meta(&x);
	diff_values(&x, ONX_DIFF_INPUT, g->input, g->n_input, h->input, h->n_input);
	diff_values(&x, ONX_DIFF_OUTPUT, g->output, g->n_output, h->output, h->n_output);
	if (!x.o->no_info)
		diff_values(&x, ONX_DIFF_INFO, g->info, g->n_info, h->info, h->n_info);
	int rc = onx_diff_nodes(&x, g, h, e);
	if (rc == ONX_OK)
		rc = diff_weights(&x, g, h, e);
	onx_arena_release(&x.scratch);
	return rc == ONX_OK && x.lost ? onx_nomem(e, 0, "the list of differences") : rc;
}

void onx_diff_release(struct onx_diff *d)
{
	onx_arena_release(&d->arena);
	*d = (struct onx_diff){ 0 };
}
