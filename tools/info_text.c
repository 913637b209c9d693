/* tools/info_text.c -- onnx-info for people. */
#include <string.h>
#include "info.h"

/* 1234567 -> 1,234,567 */
static void grouped(struct onx_buf *out, uint64_t n)
{
	char digits[32];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			onx_buf_str(out, ",");
		onx_buf_add(out, &digits[i], 1);
	}
}

/* 300813312 -> 300.8 million */
static void rounded(struct onx_buf *out, double n)
{
	static const struct { double over; const char *word; } row[] = {
		{ 1e12, " million million" }, { 1e9, " thousand million" }, { 1e6, " million" },
		{ 1e3, " thousand" }, { 0, "" }
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (n >= row[i].over) {
			onx_buf_fmt(out, "%.4g%s", row[i].over > 0 ? n / row[i].over : n, row[i].word);
			return;
		}
}

static void size_of(struct onx_buf *out, double bytes)
{
	if (bytes >= 1 << 20)
		onx_buf_fmt(out, "%.1f MiB", bytes / (1 << 20));
	else if (bytes >= 1 << 10)
		onx_buf_fmt(out, "%.1f KiB", bytes / (1 << 10));
	else
		onx_buf_fmt(out, "%.0f bytes", bytes);
}

static void head(struct onx_buf *out, const char *word)
{
	onx_buf_fmt(out, "%-14s ", word);
}

static void file_lines(const struct onx_info *f, struct onx_buf *out)
{
	const struct onx_file_opset *set;
	size_t n = onx_model_opsets(f->w->model, &set);
	const char *by = onx_model_producer(f->w->model);

	head(out, "file");
	onx_buf_fmt(out, "%s\n", f->w->path ? f->w->path : "standard input");
	head(out, "format");
	onx_buf_fmt(out, "IR %lld, opset", (long long)onx_model_ir(f->w->model));
	for (size_t i = 0; i < n; i++)
		onx_buf_fmt(out, "%s %s %lld", i ? "," : "", *set[i].domain ? set[i].domain : "ai.onnx",
			    (long long)set[i].version);
	onx_buf_fmt(out, "%s%s\n", *by ? "; written by " : "", by);
}

/* Does a declared size follow the batch, if the batch of 1 is taken for one? */
static bool follows_batch(const struct onx_value *v, const struct onx_probe *p)
{
	for (int i = 0; p->known && v->has_shape && i < p->rank && i < v->rank; i++)
		if (p->dim[i].times != 0 && v->dim[i] >= 0)
			return true;
	return false;
}

static void value_lines(const struct onx_info *f, const char *word, const uint32_t *id, uint32_t n,
			struct onx_buf *out)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct onx_value *v = &f->g->value[id[i]];
		char shape[600], batch[200];

		head(out, i ? "" : word);
		if (v->composite)
			onx_buf_fmt(out, "%s  sequence, map or optional", v->name);
		else
			onx_buf_fmt(out, "%s  %s %s", v->name, onx_dtype_name(v->type),
				    onx_declared_shape(v, shape, sizeof shape));
		if (f->probe && follows_batch(v, &f->probe[id[i]]))
			onx_buf_fmt(out, "  (any batch works: %s)",
				    onx_probe_text(&f->probe[id[i]], batch, sizeof batch));
		onx_buf_str(out, "\n");
	}
}

static void node_lines(const struct onx_info *f, struct onx_buf *out)
{
	size_t col = 0;

	head(out, "nodes");
	onx_buf_fmt(out, "%u", f->g->n_order);
	for (uint32_t i = 0; i < f->n_op; i++) {
		size_t from = out->len;

		onx_buf_str(out, i ? "," : ":");
		if (col > 64) {
			onx_buf_fmt(out, "\n%15s", "");
			col = 0;
			from = out->len;
		} else {
			onx_buf_str(out, " ");
		}
		onx_buf_fmt(out, "%u %s%s%s%s", f->op[i].n, f->op[i].domain, *f->op[i].domain ? "." : "",
			    f->op[i].type, f->op[i].known ? "" : " (not known here)");
		col += out->len - from;
	}
	onx_buf_str(out, "\n");
	if (onx_model_n_functions(f->w->model)) {
		head(out, "functions");
		onx_buf_fmt(out, "%zu\n", onx_model_n_functions(f->w->model));
	}
}

static void weight_lines(const struct onx_info *f, struct onx_buf *out)
{
	head(out, "weights");
	grouped(out, f->weights);
	onx_buf_fmt(out, " in %u tensors, ", f->n_weight);
	size_of(out, (double)f->bytes);
	if (f->stats) {
		onx_buf_str(out, "; and running statistics: ");
		grouped(out, f->stats);
	}
	if (f->n_quant)
		onx_buf_fmt(out, "; and %u quantised tensors (onnx-freeze --dequantize)", f->n_quant);
	onx_buf_str(out, "\n");
	head(out, "trains");
	if (f->marked) {
		grouped(out, f->trains);
		onx_buf_fmt(out, " in %u tensors\n", f->n_train);
	} else {
		onx_buf_str(out, "nobody has said (onnx-freeze chooses)\n");
	}
	if (!f->o->weights)
		return;
	for (uint32_t v = 0; v < f->g->n_value; v++) {
		const struct onx_value *x = &f->g->value[v];
		char shape[ONX_SHAPE_TEXT];

		if (!x->init || !(f->weight[v] || f->stat[v]))
			continue;
		onx_buf_fmt(out, "  %-10s %s  %s %s%s\n",
			    f->stat[v] ? "statistic" : f->marked ? f->train[v] ? "trains" : "frozen" : "weight",
			    x->name, onx_dtype_name(x->init->type),
			    onx_shape_text(x->init->rank, x->init->dim, shape, sizeof shape),
			    x->init->external ? "  (external)" : x->from_node ? "  (Constant node)"
			    : x->lifted ? "  (attribute)" : "");
	}
}

static void cost_lines(const struct onx_info *f, struct onx_buf *out)
{
	if (!f->plan) {
		const bool asks = onx_info_asks(f), runs = onx_info_interpreted(f);

		head(out, asks ? "no plan yet" : runs ? "no plan" : "cannot run");
		onx_buf_fmt(out, "%s%s\n", asks ? "each batch is planned for its own shapes: "
			    : runs ? "onnx-run computes it node by node: " : "", f->why.text);
		return;
	}
	head(out, "multiply-adds");
	rounded(out, f->plan->macs);
	onx_buf_fmt(out, " for a batch of %lld\n", (long long)f->o->batch);
	head(out, "memory");
	size_of(out, (double)f->plan->bytes);
	onx_buf_fmt(out, " beside the weights, to run a batch of %lld\n", (long long)f->o->batch);
}

static void mark_lines(const struct onx_info *f, struct onx_buf *out)
{
	size_t n = onx_model_n_meta(f->w->model);

	for (size_t i = 0; i < n; i++) {
		const char *key, *value;
		size_t len;

		onx_model_meta_at(f->w->model, i, &key, &value);
		len = strcspn(value, "\n");
		head(out, i ? "" : "metadata");
		onx_buf_fmt(out, "%s = %.*s%s\n", key, (int)(len < 100 ? len : 100), value,
			    value[len] || len > 100 ? "..." : "");
	}
}

void onx_info_text(const struct onx_info *f, struct onx_buf *out)
{
	file_lines(f, out);
	value_lines(f, "inputs", f->g->input, f->g->n_input, out);
	value_lines(f, "outputs", f->g->output, f->g->n_output, out);
	node_lines(f, out);
	weight_lines(f, out);
	cost_lines(f, out);
	mark_lines(f, out);
}
