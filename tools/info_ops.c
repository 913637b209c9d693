/* tools/info_ops.c -- the support table, read from the operators' own rows. */
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

static void one(const struct onx_op *op, struct onx_json *list, struct onx_buf *out)
{
	struct onx_buf g = { 0 };

	gradient(op, &g);
	if (list) {
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "domain", *op->domain ? op->domain : "ai.onnx");
		onx_json_str(o, "type", op->type);
		onx_json_int(o, "since", op->since);
		onx_json_bool(o, "trains", op->backward != NULL);
		onx_json_str(o, "gradient", g.data);
		onx_json_put(list, NULL, o);
	} else {
		onx_buf_fmt(out, "%-28s %5d  %-8s %s\n", op->type, op->since,
			    op->backward ? "trains" : "runs", g.data ? g.data : "");
	}
	out->lost |= g.lost;
	onx_buf_release(&g);
}

int onx_info_ops(bool json, struct onx_buf *out, struct onx_err *e)
{
	size_t n, rows = 0;
	const struct onx_op *const *family = onx_op_families(false, &n);
	const struct onx_op **all;
	struct onx_json *list = json ? onx_json_array() : NULL;
	int rc = ONX_OK;

	for (size_t i = 0; i < n; i++)
		for (const struct onx_op *op = family[i]; op->type; op++)
			rows++;
	all = onx_heap(rows + 1, sizeof *all);
	if (!all) {
		onx_json_free(list);
		return onx_nomem(e, (double)(rows * sizeof *all), "the operators");
	}
	rows = 0;
	for (size_t i = 0; i < n; i++)
		for (const struct onx_op *op = family[i]; op->type; op++)
			all[rows++] = op;
	qsort(all, rows, sizeof *all, by_name);
	if (!json)
		onx_buf_fmt(out, "%-28s %5s  %-8s %s\n", "operator", "opset", "support",
			    "inputs with a gradient (x), a zero gradient (0), none (-)");
	for (size_t i = 0; i < rows; i++)
		if (strcmp(all[i]->domain, "onnx_adapt") != 0)
			one(all[i], list, out);
	if (json) {
		rc = onx_json_print(list, true, out, e);
		onx_json_free(list);
		if (rc == ONX_OK)
			onx_buf_str(out, "\n");
	}
	onx_heap_free(all);
	return rc;
}
