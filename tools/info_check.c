/* tools/info_check.c -- the pre-flight: can this be trained, and if not, where and what then? */
#include <stdio.h>
#include <string.h>
#include "graph/decide.h"
#include "info.h"
#include "model/mark.h"
#include "rewrite/scores.h"
#include "rewrite/straight.h"

/* What the loss works on: the marked logits, a classifier's scores, else the outputs. */
static const uint32_t *targets(const struct onx_info *f, uint32_t *logits, uint32_t *n)
{
	const char *name = onx_model_meta(f->w->model, ONX_MARK "logits");

	*logits = name ? onx_graph_find(f->g, name) : onx_scores(f->g);
	if (*logits != ONX_NONE) {
		*n = 1;
		return logits;
	}
	*n = f->g->n_output;
	return f->g->output;
}

static void say_block(const struct onx_info *f, const char *where, const char *why, const char *out,
		      struct onx_json *list)
{
	struct onx_buf *text = &f->w->text;

	if (list) {
		struct onx_json *o = onx_json_object();

		onx_json_str(o, "node", where);
		onx_json_str(o, "why", why);
		onx_json_str(o, "way_out", out);
		onx_json_put(list, NULL, o);
	} else {
		onx_buf_fmt(text, "%s: %s%s%s\n", where, why, out ? "; " : "", out ? out : "");
	}
}

static void say_nodes(const struct onx_info *f, const uint32_t *node, uint32_t n, const char *what, const char *then,
		      struct onx_json *list)
{
	char name[200];

	for (uint32_t i = 0; i < n; i++) {
		const char *text = onx_node_text(f->g, node[i], name, sizeof name);

		if (list)
			onx_json_str(list, NULL, text);
		else
			onx_buf_fmt(&f->w->text, "%s%s", i ? ", " : what, text);
	}
	if (n && !list)
		onx_buf_str(&f->w->text, then);
}

/* Control flow and shapes that depend on the numbers: what holds of them, and what does not. */
static int open_find(const struct onx_info *f, struct onx_open *open, struct onx_err *e)
{
	struct onx_feed *feed = NULL;
	uint32_t n = 0;
	int rc = onx_bind_inputs(f->g, f->o->batch, f->o->size, false, &f->w->mem, &feed, &n, e);

	*open = (struct onx_open){ 0 };
	if (rc < 0)
		return rc;
	const struct onx_facts_want want = { .feed = feed, .n_feed = n };
	struct onx_consts consts;
	onx_consts_init(&consts, f->g);
	rc = onx_open_find(f->g, &consts, &want, &f->w->mem, open, e);
	onx_consts_release(&consts);
	return rc;
}

static int say_open(const struct onx_info *f, struct onx_json *list, struct onx_err *e)
{
	struct onx_open open;

	if (f->plan ? !f->plan->guessed : f->why.code != ONX_UNSUP)
		return ONX_OK;
	int rc = open_find(f, &open, e);
	if (rc == ONX_UNSUP && !f->plan) {      /* it is among the obstacles */
		*e = (struct onx_err){ 0 };
		return ONX_OK;
	}
	if (rc < 0)
		return rc;
	say_nodes(f, open.node, open.n, "control flow depends on the numbers: ", "; each batch is planned for what it "
		  "decides, a frozen part is kept in front of it, and --mem is held or refused batch by batch\n", list);
	say_nodes(f, open.asker, open.n_asker, "shapes depend on the numbers: ", "; each batch is planned for its own, "
		  "and --mem is held or refused batch by batch\n", list);
	return ONX_OK;
}

bool onx_info_asks(const struct onx_info *f)
{
	struct onx_open open;
	struct onx_err no = { 0 };

	return !f->plan && f->why.code == ONX_UNSUP && open_find(f, &open, &no) == ONX_OK && open.asks;
}

/* Is there a node that cannot be done whatever the numbers are? */
static bool stands_still(const struct onx_info *f)
{
	struct onx_err no = { 0 };
	struct onx_feed *feed = NULL;
	struct onx_facts *facts = NULL;
	struct onx_consts consts;
	uint32_t n = 0;
	int rc = onx_bind_inputs(f->g, f->o->batch, f->o->size, false, &f->w->mem, &feed, &n, &no);

	if (rc < 0)
		return false;           /* other sizes may do */
	const struct onx_facts_want want = { .feed = feed, .n_feed = n, .guess = true, .partial = true };
	onx_consts_init(&consts, f->g);
	rc = onx_facts_make(f->g, &consts, &want, &facts, &no);
	const bool is = rc == ONX_OK && facts->other.code;
	onx_facts_free(facts);
	onx_consts_release(&consts);
	return is;
}

bool onx_info_interpreted(const struct onx_info *f)
{
	bool known = !f->plan && f->why.code == ONX_UNSUP;

	for (uint32_t i = 0; i < f->g->n_node; i++)
		known &= f->g->node[i].dropped || f->g->node[i].op;
	return known && !stands_still(f);
}

static int finish(const struct onx_info *f, struct onx_json *list, uint32_t n, struct onx_err *e)
{
	struct onx_json *top, *decides;
	int rc;

	if (!list) {
		rc = say_open(f, NULL, e);
		if (rc < 0)
			return rc;
		if (n == 0)
			onx_buf_fmt(&f->w->text, "ready: %llu weights in %u tensors can train\n",
				    (unsigned long long)f->trains, f->n_train);
		if (n == 0 && f->n_quant)
			onx_buf_fmt(&f->w->text, "%u more weight%s quantised and %s (onnx-freeze --dequantize makes %s "
				    "float)\n", f->n_quant, f->n_quant == 1 ? " is" : "s are",
				    f->n_quant == 1 ? "stays as it is" : "stay as they are",
				    f->n_quant == 1 ? "it" : "them");
		return n ? onx_fail(e, ONX_NO, "cannot train as it is: %u obstacle%s", n, n == 1 ? "" : "s")
			 : ONX_OK;
	}
	top = onx_json_object();
	onx_json_bool(top, "ready", n == 0);
	onx_json_put(top, "blocks", list);
	decides = onx_json_array();
	rc = say_open(f, decides, e);
	onx_json_put(top, "decides", decides);
	if (rc == ONX_OK)
		rc = onx_json_print(top, true, &f->w->text, e);
	onx_json_free(top);
	onx_buf_str(&f->w->text, "\n");
	if (rc == ONX_OK && n)
		rc = onx_fail(e, ONX_NO, "cannot train as it is: %u obstacle%s", n, n == 1 ? "" : "s");
	return rc;
}

/* No weight trains; returns how many obstacles that is. */
static uint32_t nothing_trains(const struct onx_info *f, struct onx_json *list)
{
	char name[200], why[120];

	if (f->n_weight || f->n_quant == 0)
		say_block(f, "the model", "no weight is to train",
			  "onnx-freeze --last 1, or onnx-head for a new classifier", list);
	for (uint32_t i = 0; f->n_weight == 0 && i < f->n_quant; i++) {
		const struct onx_node *x = &f->g->node[f->quant[i]];
		const struct onx_weight *w = x->n_in && x->in[0] != ONX_NONE ? f->g->value[x->in[0]].init : NULL;

		snprintf(why, sizeof why, "its weight is of %s, whole numbers that do not train",
			 w ? onx_dtype_name(w->type) : "?");
		say_block(f, onx_node_text(f->g, f->quant[i], name, sizeof name), why,
			  "make it float (onnx-freeze --dequantize), or take the float file that was quantised", list);
	}
	return f->n_weight || f->n_quant == 0 ? 1 : f->n_quant;
}

/* Inputs that no data source has numbers for (data/batch.h). */
static uint32_t unfed(const struct onx_info *f, struct onx_json *list)
{
	uint32_t n = 0;
	char why[120];

	for (uint32_t i = 0; i < f->g->n_input; i++) {
		const struct onx_value *v = &f->g->value[f->g->input[i]];
		const enum onx_class class = onx_dtype_class(v->type);
		if (v->composite || (class != ONX_CLASS_TEXT && class != ONX_CLASS_CPLX))
			continue;
		snprintf(why, sizeof why, "it is an input of %s, which no data source feeds", onx_dtype_name(v->type));
		say_block(f, v->name, why, "cut the model behind what turns it into numbers, and feed those", list);
		n++;
	}
	return n;
}

int onx_info_check(const struct onx_info *f, struct onx_err *e)
{
	struct onx_json *list = f->w->common.json ? onx_json_array() : NULL;
	struct onx_block *block = NULL;
	uint32_t n = 0, logits, n_target;
	const uint32_t *target = targets(f, &logits, &n_target);
	int rc = onx_plan_blocks(f->g, f->train, target, n_target, &f->w->mem, &block, &n, e);

	if (rc < 0) {
		onx_json_free(list);
		return rc;
	}
	for (uint32_t i = 0; i < n; i++) {
		const struct onx_node *x = &f->g->node[block[i].node];
		char name[200], out[300];

		snprintf(out, sizeof out, "%s%s", block[i].way_out, onx_straight_known(x->domain, x->type) ?
			 ", or let gradients through as if it were y = x (onnx-train --straight-through)" : "");

		say_block(f, onx_node_text(f->g, block[i].node, name, sizeof name), block[i].why,
			  out, list);
	}
	if (f->n_train == 0)
		n += nothing_trains(f, list);
	if (!f->plan && n == 0 && !onx_info_asks(f)) {
		say_block(f, "the model", f->why.text, !onx_info_interpreted(f) ? NULL :
			  "onnx-run goes without a plan; to train, make what it depends on a constant when exporting, "
			  "or cut the model in front of it (onnx-head --cut-at)", list);
		n++;
	}
	n += unfed(f, list);
	char why[200];
	if (n == 0 && n_target == 1 && !onx_info_rows(f, *target, why, sizeof why)) {
		say_block(f, f->g->value[*target].name, why, "training wants one for each; a file whose "
			  "inputs declare a batch of 1 trains sample by sample", list);
		n++;
	}
	return finish(f, list, n, e);
}
