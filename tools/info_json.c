/* tools/info_json.c -- onnx-info for programs. */
#include <string.h>
#include "info.h"

static void values(const struct onx_info *f, struct onx_json *top, const char *key, const uint32_t *id,
		   uint32_t n)
{
	struct onx_json *list = onx_json_array();

	for (uint32_t i = 0; i < n; i++) {
		const struct onx_value *v = &f->g->value[id[i]];
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "name", v->name);
		onx_json_str(o, "type", v->composite ? "sequence, map or optional" : onx_dtype_name(v->type));
		if (v->has_shape) {
			struct onx_json *dims = onx_json_array();

			for (int d = 0; d < v->rank; d++)
				if (v->dim[d] >= 0)
					onx_json_int(dims, NULL, v->dim[d]);
				else
					onx_json_str(dims, NULL, v->sym[d]);
			onx_json_put(o, "shape", dims);
		}
		onx_json_put(list, NULL, o);
	}
	onx_json_put(top, key, list);
}

static void weights(const struct onx_info *f, struct onx_json *top)
{
	struct onx_json *list = onx_json_array();

	for (uint32_t v = 0; v < f->g->n_value; v++) {
		const struct onx_value *x = &f->g->value[v];
		struct onx_json *o, *dims;

		if (!x->init || !(f->weight[v] || f->stat[v]))
			continue;
		o = onx_json_object();
		dims = onx_json_array();
		onx_json_str(o, "name", x->name);
		onx_json_str(o, "type", onx_dtype_name(x->init->type));
		for (int d = 0; d < x->init->rank; d++)
			onx_json_int(dims, NULL, x->init->dim[d]);
		onx_json_put(o, "shape", dims);
		onx_json_int(o, "elements", (int64_t)x->init->n);
		onx_json_bool(o, "statistic", f->stat[v]);
		if (f->marked)
			onx_json_bool(o, "trains", f->train[v]);
		onx_json_put(list, NULL, o);
	}
	onx_json_put(top, "weights", list);
}

static void file(const struct onx_info *f, struct onx_json *top)
{
	struct onx_json *sets = onx_json_object(), *meta = onx_json_object(), *ops = onx_json_array();
	const struct onx_file_opset *set;
	size_t n = onx_model_opsets(f->w->model, &set);

	onx_json_str(top, "file", f->w->path ? f->w->path : "-");
	onx_json_int(top, "ir", onx_model_ir(f->w->model));
	onx_json_str(top, "producer", onx_model_producer(f->w->model));
	for (size_t i = 0; i < n; i++)
		onx_json_int(sets, *set[i].domain ? set[i].domain : "ai.onnx", set[i].version);
	onx_json_put(top, "opsets", sets);
	for (size_t i = 0; i < onx_model_n_meta(f->w->model); i++) {
		const char *key, *value;

		onx_model_meta_at(f->w->model, i, &key, &value);
		onx_json_str(meta, key, value);
	}
	onx_json_put(top, "metadata", meta);
	onx_json_int(top, "nodes", f->g->n_order);
	for (uint32_t i = 0; i < f->n_op; i++) {
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "domain", *f->op[i].domain ? f->op[i].domain : "ai.onnx");
		onx_json_str(o, "type", f->op[i].type);
		onx_json_int(o, "count", f->op[i].n);
		onx_json_bool(o, "supported", f->op[i].known);
		onx_json_put(ops, NULL, o);
	}
	onx_json_put(top, "operators", ops);
}

int onx_info_json(const struct onx_info *f, struct onx_buf *out, struct onx_err *e)
{
	struct onx_json *top = onx_json_object();
	int rc;

	file(f, top);
	values(f, top, "inputs", f->g->input, f->g->n_input);
	values(f, top, "outputs", f->g->output, f->g->n_output);
	onx_json_int(top, "parameters", (int64_t)f->weights);
	onx_json_int(top, "parameter_bytes", (int64_t)f->bytes);
	onx_json_int(top, "statistics", (int64_t)f->stats);
	onx_json_int(top, "quantised_tensors", f->n_quant);
	onx_json_bool(top, "marked", f->marked);
	if (f->marked) {
		onx_json_int(top, "train_tensors", f->n_train);
		onx_json_int(top, "train_parameters", (int64_t)f->trains);
	}
	onx_json_bool(top, "runs", f->plan || onx_info_interpreted(f));
	onx_json_bool(top, "any_batch", f->probe != NULL);
	if (f->plan) {
		onx_json_int(top, "batch", f->o->batch);
		onx_json_real(top, "multiply_adds", f->plan->macs);
		onx_json_int(top, "block_bytes", (int64_t)f->plan->bytes);
	} else {
		onx_json_str(top, "why_not", f->why.text);
	}
	if (f->o->weights)
		weights(f, top);
	rc = onx_json_print(top, true, out, e);
	onx_json_free(top);
	if (rc == ONX_OK && out->len && out->data[out->len - 1] != '\n')
		onx_buf_str(out, "\n");
	return rc;
}
