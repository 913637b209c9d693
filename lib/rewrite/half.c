/* rewrite/half.c -- float to float16: which node computes in which, and a Cast wherever that changes. */
#include "rewrite/narrow.h"
#include <math.h>
#include <string.h>
#include "graph/facts.h"
#include "rewrite/patch.h"

#define LARGEST 65504.0f                /* of float16 */

/* Stay in float: no float16 in the standard (or only lately), or the result's type is an attribute. */
static const char *const full_type[] = {
	"NonMaxSuppression", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger",
	"ConvInteger", "QLinearConv", "QLinearMatMul", "Range", "CumSum", "IsInf", "Celu", "ConstantOfShape",
	"EyeLike", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
	"Multinomial", "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "DFT", "STFT",
	"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceAt", "SequenceErase", "SequenceMap",
	"SequenceLength", "SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement",
	"OptionalHasElement", "If", "Loop", "Scan", "TfIdfVectorizer", "ImageDecoder", NULL
};

struct work {
	struct onx_graph *g;
	struct onx_patch p;
	bool io;                        /* inputs and outputs of the graph become float16, too     */
	bool *is_float;                 /* by value: float now                                     */
	bool *half;                     /* by value: float16 then, under its own id                */
	bool *kept;                     /* by value: a body reads it, or the world outside          */
	uint32_t *other;                /* by value: 1 + its copy in the other type                */
	struct onx_narrow *n;
};

static bool full(const struct onx_node *n)
{
	for (size_t i = 0; full_type[i]; i++)
		if (strcmp(n->type, full_type[i]) == 0)
			return true;
	/* A FlexAttention that is written out cannot be changed inside. */
	return *n->domain || n->n_captured || (n->file && n->file->call && n->file->call->once);
}

/* Does the node read input k as float, whatever it computes in?  The scales of Resize always are. */
static bool wants_float(const struct onx_node *n, uint32_t k)
{
	return full(n) || (k > 0 && (strcmp(n->type, "Resize") == 0 || strcmp(n->type, "Upsample") == 0));
}

static bool is_half(const struct work *w, const struct onx_node *n, uint32_t k)
{
	return n->in[k] != ONX_NONE && w->is_float[n->in[k]] && !wants_float(n, k);
}

/* Types of all values, as inference finds them. */
static int types(struct work *w, struct onx_err *e)
{
	struct onx_facts_want want = { .guess = true, .sizes = true }; /* types are those of any way */
	struct onx_consts consts;
	struct onx_facts *f = NULL;
	struct onx_feed *feed = NULL;
	onx_consts_init(&consts, w->g);
	int rc = onx_bind_inputs(w->g, 1, 0, false, w->p.mem, &feed, &want.n_feed, e);
	want.feed = feed;
	if (rc == ONX_OK)
		rc = onx_facts_make(w->g, &consts, &want, &f, e);
	for (uint32_t v = 0; rc == ONX_OK && v < w->g->n_value; v++) {
		const struct onx_value *x = &w->g->value[v];
		w->is_float[v] = (x->init ? x->init->type : x->input ? x->type : f->fact[v].type) == ONX_FLOAT;
	}
	onx_facts_free(f);
	onx_consts_release(&consts);
	return rc;
}

/* Which values are float16 under their own name: what half nodes make, and constants that they read. */
static void choose(struct work *w)
{
	const struct onx_graph *g = w->g;
	for (uint32_t i = 0; i < g->n_output; i++)
		w->kept[g->output[i]] = !w->io;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		for (uint32_t k = 0; k < n->n_captured; k++)
			w->kept[n->captured[k]] = true;
	}
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		w->n->nodes += !full(n);
		for (uint32_t k = 0; k < n->n_in; k++) {
			const uint32_t v = n->in[k];
			if (is_half(w, n, k) && !w->kept[v] && (g->value[v].init || (g->value[v].input && w->io)))
				w->half[v] = true;
		}
		for (uint32_t k = 0; !full(n) && k < n->n_out; k++)
			if (n->out[k] != ONX_NONE && w->is_float[n->out[k]] && !g->value[n->out[k]].init &&
			    !w->kept[n->out[k]])
				w->half[n->out[k]] = true;
	}
	/* with io, what the world sees is float16 whoever makes it: a full node's output gets a Cast */
	for (uint32_t i = 0; w->io && i < g->n_input; i++)
		w->half[g->input[i]] = w->is_float[g->input[i]] && !w->kept[g->input[i]];
	for (uint32_t i = 0; w->io && i < g->n_output; i++)
		w->half[g->output[i]] = w->is_float[g->output[i]] && !w->kept[g->output[i]];
}

static uint32_t cast(struct work *w, uint32_t from, const char *name, enum onx_dtype to)
{
	const struct onx_file_attr attr = onx_attr_int("to", to);
	w->n->casts++;
	return onx_patch_op(&w->p, "Cast", name, to, &from, 1, &attr, 1);
}

/* The value in the type that a reader wants. */
static uint32_t as(struct work *w, uint32_t v, bool half)
{
	if (w->half[v] == half)
		return v;
	if (!w->other[v]) {
		const char *name = onx_text(w->p.mem, half ? "%s_fp16" : "%s_fp32", w->g->value[v].name);
		if (!name) {
			w->p.lost = true;
			return v;
		}
		w->other[v] = 1 + cast(w, v, name, half ? ONX_FLOAT16 : ONX_FLOAT);
	}
	return w->other[v] - 1;
}

/* A value whose name must keep a type that its maker does not make: the maker makes a new one, and a Cast
 * makes the old one from it. */
static void behind(struct work *w, uint32_t node, uint32_t k, bool makes_half)
{
	const uint32_t v = w->g->node[node].out[k];
	const enum onx_dtype to = makes_half ? ONX_FLOAT : ONX_FLOAT16;
	const struct onx_file_attr attr = onx_attr_int("to", to);
	const char *name = onx_text(w->p.mem, makes_half ? "%s_fp16" : "%s_fp32", w->g->value[v].name);
	if (!name) {
		w->p.lost = true;
		return;
	}
	const uint32_t made = onx_patch_value(&w->p, name, makes_half ? ONX_FLOAT16 : ONX_FLOAT, 0, NULL, NULL);
	onx_patch_out(&w->p, node, k, made);
	onx_patch_add(&w->p, &(struct onx_patch_node){ "", "Cast", name, &made, &v, 1, 1, &attr, 1 });
	w->other[v] = 1 + made;
	w->n->casts++;
}

static void retarget(struct work *w, uint32_t id)
{
	const struct onx_node *n = &w->g->node[id];
	const struct onx_file_attr to = onx_attr_int("to", ONX_FLOAT16);
	if (strcmp(n->type, "Cast") == 0 && n->n_out == 1 && n->out[0] != ONX_NONE && w->is_float[n->out[0]])
		onx_patch_attr(&w->p, id, &to, 1);
}

static void describe(struct work *w)
{
	const struct onx_graph *g = w->g;
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		for (uint32_t k = 0; k < n->n_out; k++) {
			const uint32_t v = n->out[k];
			if (v != ONX_NONE && w->is_float[v] && !g->value[v].init && w->half[v] == full(n))
				behind(w, g->order[i], k, !full(n));
		}
		if (!full(n))
			retarget(w, g->order[i]);
	}
	for (uint32_t i = 0; i < g->n_order; i++) {
		const struct onx_node *n = &g->node[g->order[i]];
		for (uint32_t k = 0; k < n->n_in; k++) {
			if (n->in[k] == ONX_NONE || !w->is_float[n->in[k]])
				continue;
			const uint32_t v = as(w, n->in[k], !wants_float(n, k));
			if (v != n->in[k])
				onx_patch_slot(&w->p, g->order[i], k, v);
		}
	}
}

static int shrink(struct work *w, uint32_t v, struct onx_err *e)
{
	const struct onx_weight *x = w->g->value[v].init;
	float *f = ONX_NEWS(w->p.mem, float, x->n + 1);
	const struct onx_view dst = { .v = f, .n = x->n, .rank = x->rank, .dim = x->dim, .type = ONX_FLOAT,
				      .width = 4 };
	int rc = f ? onx_weight_load(x, &dst, e) : onx_nomem(e, 4.0 * (double)x->n, "float16 weights");
	for (size_t i = 0; rc == ONX_OK && i < x->n; i++)
		if (isfinite(f[i]) && fabsf(f[i]) > LARGEST) {
			f[i] = copysignf(LARGEST, f[i]);
			w->n->clamped++;
		}
	w->n->weights++;
	w->n->before += 4.0 * (double)x->n;
	w->n->after += 2.0 * (double)x->n;
	return rc == ONX_OK ? onx_graph_set_weight(w->g, v, ONX_FLOAT16, f, e) : rc;
}

static int retype(struct work *w, uint32_t n_value, struct onx_err *e)
{
	for (uint32_t v = 0; v < n_value; v++) {
		struct onx_value *x = &w->g->value[v];
		if (!w->half[v])
			continue;
		if (x->init) {
			int rc = shrink(w, v, e);
			if (rc < 0)
				return rc;
			continue;
		}
		x->type = ONX_FLOAT16;
		x->changed = x->proto != NULL;
	}
	return ONX_OK;
}

int onx_to_half(struct onx_graph *g, bool io, struct onx_narrow *n, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct work w = { .g = g, .p = { .mem = &mem, .rule = "float16", .where = "the graph" }, .io = io, .n = n };
	const uint32_t n_value = g->n_value;
	*n = (struct onx_narrow){ 0 };
	w.is_float = ONX_NEWS(&mem, bool, (size_t)n_value + 1);
	w.half = ONX_NEWS(&mem, bool, (size_t)n_value + 1);
	w.kept = ONX_NEWS(&mem, bool, (size_t)n_value + 1);
	w.other = ONX_NEWS(&mem, uint32_t, (size_t)n_value + 1);
	int rc = w.is_float && w.half && w.kept && w.other ? types(&w, e) : onx_nomem(e, 8.0 * n_value, "float16");
	if (rc == ONX_OK) {
		choose(&w);
		describe(&w);
		rc = onx_patch_apply(g, &w.p, log, e);
	}
	if (rc == ONX_OK)
		rc = retype(&w, n_value, e);
	onx_arena_release(&mem);
	return rc;
}
