/* tools/info_ops.c -- the support table, read from the operators' own rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "info.h"

/* "x" differentiable, "0" defined to be nothing, "-" never, for each input that the row tells apart */
static void gradient(const struct onx_op *op, struct onx_buf *out)
{
	static const char letter[] = { [ONX_G_NEVER] = '-', [ONX_G_ZERO] = '0', [ONX_G_DIFF] = 'x' };

	for (int i = 0; i < op->n_grad && (i < op->max_in || i == 0); i++)
		onx_buf_add(out, &letter[op->grad[i]], 1);
	if (op->n_grad == 0)
		onx_buf_str(out, "-");
	if (op->max_in == ONX_MANY)
		onx_buf_str(out, "...");
}

static int by_name(const void *x, const void *y)
{
	const struct onx_op *a = *(const struct onx_op *const *)x, *b = *(const struct onx_op *const *)y;
	int c = strcmp(a->domain, b->domain);

	if (c == 0)
		c = strcmp(a->type, b->type);
	return c ? c : (a->since > b->since) - (a->since < b->since);
}

struct listing {
	enum onx_ops_form form;
	const struct onx_op **row;
	size_t n;
	struct onx_json *list;
	struct onx_buf *out;
};

/* The last version that a row is right for, 0: the newest. */
static int until(const struct listing *l, size_t i)
{
	const struct onx_op *op = l->row[i];

	if (i + 1 == l->n || strcmp(op->type, l->row[i + 1]->type) != 0 ||
	    strcmp(op->domain, l->row[i + 1]->domain) != 0)
		return 0;
	return l->row[i + 1]->since - 1;
}

/* The newest version of a domain. */
static int newest(const char *domain)
{
	return !*domain ? ONX_NEWEST_OPSET : strcmp(domain, "ai.onnx.ml") == 0 ? 5 : 1;
}

static void as_json(const struct onx_op *op, const char *gradients, const char *types, struct listing *l)
{
	struct onx_json *o = onx_json_object(), *attributes = onx_json_array();

	for (int i = 0; op->attr && op->attr->field[i].name; i++)
		onx_json_str(attributes, NULL, op->attr->field[i].name);
	onx_json_str(o, "domain", *op->domain ? op->domain : "ai.onnx");
	onx_json_str(o, "type", op->type);
	onx_json_int(o, "since", op->since);
	onx_json_str(o, "types", types);
	onx_json_bool(o, "trains", op->backward != NULL);
	onx_json_str(o, "gradient", gradients);
	onx_json_int(o, "min_inputs", op->min_in);
	onx_json_int(o, "max_inputs", op->max_in);
	onx_json_int(o, "min_outputs", op->min_out);
	onx_json_int(o, "max_outputs", op->max_out);
	onx_json_put(o, "attributes", attributes);
	onx_json_put(l->list, NULL, o);
}

static const char *forward_word(const struct onx_op *op)
{
	if (op->flags & ONX_OP_RULE)
		return "planning";
	return (op->flags & ONX_OP_BODY) && !(op->flags & ONX_OP_SECOND) ? "turns" : "runs";
}

static void one(struct listing *l, size_t i)
{
	const struct onx_op *op = l->row[i];
	const int last = until(l, i);
	struct onx_buf g = { 0 }, t = { 0 };
	char versions[40];

	gradient(op, &g);
	if (l->form != ONX_OPS_TEXT)
		onx_info_types(op, last ? last : newest(op->domain), &t);
	if (last)
		snprintf(versions, sizeof versions, "%d-%d", op->since, last);
	else
		snprintf(versions, sizeof versions, "%d-", op->since);
	l->out->lost |= g.lost | t.lost;
	if (l->form == ONX_OPS_JSON)
		as_json(op, g.data ? g.data : "", t.data ? t.data : "", l);
	else if (l->form == ONX_OPS_PAGE)
		onx_buf_fmt(l->out, "| %s | %s | %s | %s | %s | `%s` |\n", *op->domain ? op->domain : "ai.onnx",
			    op->type, versions, t.data ? t.data : "", forward_word(op), g.data ? g.data : "");
	else
		onx_buf_fmt(l->out, "%-28s %5d  %-8s %s\n", op->type, op->since,
			    op->backward ? "trains" : "runs", g.data ? g.data : "");
	onx_buf_release(&g);
	onx_buf_release(&t);
}

static int gather(const struct onx_op ***to, size_t *rows, struct onx_err *e)
{
	size_t n, k = 0;
	const struct onx_op *const *family = onx_op_families(false, &n);
	const struct onx_op **all;

	for (size_t i = 0; i < n; i++)
		for (const struct onx_op *op = family[i]; op->type; op++)
			k++;
	all = onx_heap(k + 1, sizeof *all);
	if (!all)
		return onx_nomem(e, (double)(k * sizeof *all), "the operators");
	k = 0;
	for (size_t i = 0; i < n; i++)
		for (const struct onx_op *op = family[i]; op->type; op++)
			if (strcmp(op->domain, "onnx_adapt") != 0)
				all[k++] = op;
	qsort(all, k, sizeof *all, by_name);
	*to = all;
	*rows = k;
	return ONX_OK;
}

static const char page_head[] =
	"# Operators\n\n"
	"Printed by `onnx-info --ops --page` from the operators' own rows; `make page` writes it anew.\n\n"
	"- versions: of the domain's operator set, for which the row is right; `7-` goes on to the newest (ai.onnx: "
	"28).\n"
	"- types: of the first input, as its shape rule takes them from small trial nodes; `float` is float, double, "
	"float16, bfloat16, `float8` its four kinds with a mantissa, `4-bit` and `2-bit` are whole numbers.\n"
	"- forward: `runs`, or `planning`: the outputs (sequences, optionals, maps) come from inputs that are "
	"known while planning (tensors in sequences may be computed while running); `turns`: the nodes of its bodies "
	"stand in the plan once a turn, with their "
	"gradients; the condition or the number of turns is known while planning, or decided batch by batch (training, "
	"scoring); onnx-run goes on without a plan where neither is so.\n"
	"- gradient: one sign for each input, `x` computed, `0` zero by definition, `-` none makes sense; `...`: the "
	"last sign goes on. Gradients of gradients (Gradient of ai.onnx.preview.training) through ReduceProd and "
	"CumProd divide by the factors, those through Det and Inverse take the inverse: NaN where a factor is exactly "
	"zero or a matrix singular, though the first gradient is right there. There are none through RNN, GRU and "
	"LSTM, which is said by name.\n\n"
	"| domain | operator | versions | types | forward | gradient |\n"
	"|---|---|---|---|---|---|\n";

static void written_out(struct onx_buf *out)
{
	const char *last = "", *name;

	onx_buf_str(out, "\n## Written out\n\nOperators of com.microsoft that the graph has as operators of the table "
		    "(the file keeps them); those on quantised numbers as DequantizeLinear, the operator and "
		    "QuantizeLinear (a zero point that is not there is 0):");
	for (size_t i = 0; (name = onx_graph_written(i)) != NULL; i++) {
		if (strcmp(name, last) != 0)
			onx_buf_fmt(out, "%s %s", i ? "," : "", name);
		last = name;
	}
	onx_buf_str(out, ".\n\n[microsoft.md](microsoft.md) says which of that domain are not there.\n");
}

int onx_info_ops(enum onx_ops_form form, struct onx_buf *out, struct onx_err *e)
{
	struct listing l = { .form = form, .out = out };
	int rc = gather(&l.row, &l.n, e);

	if (rc < 0)
		return rc;
	if (form == ONX_OPS_JSON)
		l.list = onx_json_array();
	else if (form == ONX_OPS_PAGE)
		onx_buf_str(out, page_head);
	else
		onx_buf_fmt(out, "%-28s %5s  %-8s %s\n", "operator", "opset", "support",
			    "inputs with a gradient (x), a zero gradient (0), none (-)");
	for (size_t i = 0; i < l.n; i++)
		one(&l, i);
	if (form == ONX_OPS_PAGE)
		written_out(out);
	if (form == ONX_OPS_JSON) {
		rc = onx_json_print(l.list, true, out, e);
		onx_json_free(l.list);
		if (rc == ONX_OK)
			onx_buf_str(out, "\n");
	}
	onx_heap_free(l.row);
	return rc;
}
