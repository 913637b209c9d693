/* rewrite/head.c -- a classifier for other classes: new weights in the old place, or new layers. */
#include "rewrite/head.h"
#include <string.h>
#include "model/mark.h"
#include "rewrite/freeze.h"
#include "rewrite/layers.h"
#include "rewrite/patch.h"
#include "rewrite/swap.h"

static int check(const void *obj, struct onx_err *e)
{
	const struct onx_head_opts *o = obj;
	const int ways = (o->classes > 0) + (o->labels != NULL) + (o->extend != NULL) + (o->outputs > 0);
	if (ways > 1)
		return onx_fail(e, ONX_USAGE, "'classes', 'labels', 'extend' and 'outputs' exclude each other");
	if (ways == 0 && !o->layers && !o->swap.n)
		return onx_fail(e, ONX_USAGE, "say what the new head is for: classes, labels, extend, "
				"outputs or layers");
	if (o->extend && (o->cut_at || o->layers))
		return onx_fail(e, ONX_USAGE, "'extend' keeps the old classifier: no 'cut-at', no 'layers'");
	if (o->input && !o->layers)
		return onx_fail(e, ONX_USAGE, "'input' begins a new network: it wants 'layers'");
	return ONX_OK;
}

static const char *const inits[] = { "kaiming", "xavier", "normal", "zero", NULL };
#define AT(m) offsetof(struct onx_head_opts, m)
static const struct onx_field fields[] = {
	{ "classes", F_INT, AT(classes), "0", 0, 1e7, .letter = 'c', .arg = "N", .group = "The new head",
	  .help = "number of classes; 0: as many as there are labels" },
	{ "labels", F_STR, AT(labels), "", .letter = 'l', .arg = "FILE",
	  .help = "class names, one a line, or index,names" },
	{ "extend", F_STR, AT(extend), "", .arg = "FILE",
	  .help = "keep the old classes and their weights, and add the classes named here" },
	{ "outputs", F_INT, AT(outputs), "0", 0, 1e7, .arg = "N",
	  .help = "a regression with N numbers instead of classes" },
	{ "cut-at", F_STR, AT(cut_at), "", .arg = "TENSOR", .help = "put a new head behind this tensor" },
	{ "layers", F_STR, AT(layers), "", .arg = "TEXT",
	  .help = "the new head as layers: 'dropout:0.2 gemm:128 relu gemm:5'" },
	{ "input", F_STR, AT(input), "", .arg = "SPEC",
	  .help = "with layers: a whole network on a new input, as in 'x:float:Nx1x28x28'" },
	{ "keep-outputs", F_BOOL, AT(keep_outputs), "no", .help = "keep the other outputs of the model" },
	{ "swap", F_STRS, AT(swap), "", .arg = "OP=OP", .help = "change activations, as in Relu=HardSwish" },
	{ "init", F_ENUM, AT(init), "kaiming", .choices = inits, .help = "how new weights are drawn" },
	{ "seed", F_INT, AT(seed), "1", 0, 4e15, .arg = "N", .help = "of the new weights" },
	{ .name = NULL }
};
const struct onx_table onx_head_table = { "head", sizeof(struct onx_head_opts), fields, check, 0 };

struct work {
	struct onx_graph *g;
	const struct onx_head_opts *o;
	struct onx_arena *mem;
	struct onx_buf *log;
	const char *const *label; size_t n_label;
	int64_t classes;
	const char *made[8]; size_t n_made;             /* new weights in the old place */
	const char *const *list; size_t n_list;         /* all new weights              */
	uint32_t logits, output;
};

/* --- new numbers ------------------------------------------------------------------------------------- */

/* Copies the old classes' numbers into the first places along `axis`. */
static int keep_old(struct work *w, const struct onx_weight *old, int axis, struct onx_view *to,
		    struct onx_err *e)
{
	struct onx_view from = { .n = old->n, .rank = old->rank, .dim = old->dim, .type = old->type,
				 .width = to->width };
	from.v = onx_alloc(w->mem, old->n + 1, from.width);
	int rc = from.v ? onx_weight_load(old, &from, e) : onx_nomem(e, (double)old->n * 8, "old weights");
	if (rc < 0)
		return rc;
	size_t inner = 1;
	for (int i = axis + 1; i < old->rank; i++)
		inner *= (size_t)old->dim[i];
	const size_t a = inner * (size_t)old->dim[axis], b = inner * (size_t)to->dim[axis];
	for (size_t i = 0; i < old->n / a; i++)
		memcpy((char *)to->v + i * b * to->width, (char *)from.v + i * a * to->width, a * to->width);
	return ONX_OK;
}

/* A constant like `v` with another number of classes along axis. */
static int resized(struct work *w, struct onx_patch *p, uint32_t v, int axis, const struct onx_init *how,
		   uint32_t *out, struct onx_err *e)
{
	const struct onx_weight *old = w->g->value[v].init;
	int64_t dim[ONX_RANK];
	size_t n;
	if (old->rank > ONX_RANK || old->rank < 1)
		return onx_fail(e, ONX_UNSUP, "'%s' has rank %d", w->g->value[v].name, old->rank);
	memcpy(dim, old->dim, (size_t)old->rank * sizeof *dim);
	dim[axis] = w->classes;
	int rc = onx_count(old->rank, dim, &n, e);
	char *name = onx_text(w->mem, "%s_head", w->g->value[v].name);
	void *data = NULL;
	if (rc == ONX_OK)
		rc = name ? onx_init_fill(w->mem, how, name, old->type, n, &data, e) : onx_nomem(e, 64, "names");
	struct onx_view to = { .v = data, .n = n, .rank = old->rank, .dim = dim, .type = old->type,
			       .width = (uint8_t)onx_dtype_store(old->type, false) };
	if (rc == ONX_OK && w->o->extend)
		rc = keep_old(w, old, axis, &to, e);
	*out = rc == ONX_OK ? onx_patch_value(p, name, old->type, old->rank, dim, data) : ONX_NONE;
	return rc;
}

/* Where the classes are in a bias: its only dim that is not 1, or the last. */
static int bias_axis(const struct onx_weight *b)
{
	int axis = b->rank - 1;
	for (int i = 0; i < b->rank; i++)
		if (b->dim[i] != 1)
			axis = i;
	return axis;
}

/* The same shape constant with the number of classes as it is now; ONX_NONE: it does not say. */
static int reshaped(struct work *w, struct onx_patch *p, uint32_t v, int64_t old, uint32_t *out,
		    struct onx_err *e)
{
	const struct onx_weight *s = v == ONX_NONE ? NULL : w->g->value[v].init;
	int64_t dim[ONX_RANK];
	*out = ONX_NONE;
	if (!s || s->type != ONX_INT64 || s->n > ONX_RANK || s->n == 0 || s->rank != 1)
		return ONX_OK;
	const struct onx_view view = { .v = dim, .n = s->n, .rank = 1, .dim = s->dim, .type = ONX_INT64, .width = 8 };
	int rc = onx_weight_load(s, &view, e);
	for (size_t i = s->n; rc == ONX_OK && i-- > 0; )
		if (dim[i] == old) {
			dim[i] = w->classes;
			int64_t *copy = ONX_NEWS(w->mem, int64_t, ONX_RANK);
			char *name = onx_text(w->mem, "%s_head", w->g->value[v].name);
			if (!copy || !name)
				return onx_nomem(e, 64, "a shape");
			memcpy(copy, dim, sizeof dim);
			*out = onx_patch_value(p, name, ONX_INT64, 1, s->dim, copy);
			break;
		}
	return rc;
}

/* --- the old place ------------------------------------------------------------------------------------- */

/* Every reader of the old constant on the way: v is read by the node `at`, or by what moves it there. */
static void put_constant(struct work *w, struct onx_patch *p, uint32_t at, uint32_t old, uint32_t new)
{
	const struct onx_graph *g = w->g;
	const struct onx_node *n = &g->node[at];
	for (uint32_t k = 0; k < n->n_in; k++) {
		if (n->in[k] == old) {
			onx_patch_slot(p, at, k, new);
		} else if (k > 0 && n->in[k] != ONX_NONE && g->value[n->in[k]].def != ONX_NONE) {
			const uint32_t d = g->value[n->in[k]].def;
			for (uint32_t j = 0; j < g->node[d].n_in; j++)
				if (g->node[d].in[j] == old)
					onx_patch_slot(p, d, j, new);
		}
	}
}

static int fix_behind(struct work *w, struct onx_patch *p, const struct onx_head *h, struct onx_err *e)
{
	char name[160];
	for (int i = 0; i < h->n_behind; i++) {
		const struct onx_node *n = &w->g->node[h->behind[i]];
		if (n->n_in < 2 || n->in[1] == ONX_NONE || !w->g->value[n->in[1]].init)
			continue;
		uint32_t shape;
		if (strcmp(n->type, "Reshape") != 0) {
			if ((int64_t)w->g->value[n->in[1]].init->n == h->classes && h->classes > 1 &&
			    h->classes != w->classes)
				return onx_fail(e, ONX_UNSUP, "%s has one number for each old class",
						onx_node_text(w->g, h->behind[i], name, sizeof name));
			continue;
		}
		int rc = reshaped(w, p, n->in[1], h->classes, &shape, e);
		if (rc < 0)
			return rc;
		if (shape != ONX_NONE)
			onx_patch_slot(p, h->behind[i], 1, shape);
	}
	return ONX_OK;
}

static int replace(struct work *w, const struct onx_head *h, struct onx_err *e)
{
	char name[160];
	struct onx_patch p = { .mem = w->mem, .rule = "head",
			       .where = onx_node_text(w->g, h->node, name, sizeof name) };
	struct onx_init how = { w->o->init, w->o->seed, (double)h->features, (double)w->classes, false };
	uint32_t weight = ONX_NONE, bias = ONX_NONE, shape = ONX_NONE;
	int rc = resized(w, &p, h->weight, h->weight_axis, &how, &weight, e);
	how.is_bias = true;
	if (rc == ONX_OK && h->bias != ONX_NONE)
		rc = resized(w, &p, h->bias, bias_axis(w->g->value[h->bias].init), &how, &bias, e);
	if (rc == ONX_OK)
		rc = reshaped(w, &p, h->weight_shape, h->classes, &shape, e);
	if (rc == ONX_OK)
		rc = fix_behind(w, &p, h, e);
	if (rc < 0)
		return rc;
	put_constant(w, &p, h->node, h->weight, weight);
	if (shape != ONX_NONE)
		put_constant(w, &p, h->node, h->weight_shape, shape);
	if (bias != ONX_NONE) {
		put_constant(w, &p, h->node, h->bias, bias);
		put_constant(w, &p, w->g->value[h->y].def, h->bias, bias);
	}
	rc = onx_patch_sweep(&p, w->g, e);
	if (rc == ONX_OK)
		rc = onx_patch_apply(w->g, &p, w->log, e);
	if (rc < 0)
		return rc;
	w->made[w->n_made++] = w->g->value[onx_patch_id(&p, weight)].name;
	if (bias != ONX_NONE)
		w->made[w->n_made++] = w->g->value[onx_patch_id(&p, bias)].name;
	w->list = w->made;
	w->n_list = w->n_made;
	w->logits = h->logits;
	w->output = h->output;
	return ONX_OK;
}

/* --- new layers ------------------------------------------------------------------------------------------ */

/* The outputs end at the new layers; what only the old ones needed goes.  The tensor that the layers begin at
 * keeps its readers, also where it was the output. */
static int finish_layers(struct work *w, uint32_t from, uint32_t old, uint32_t new, struct onx_err *e)
{
	struct onx_patch p = { .mem = w->mem, .rule = "outputs", .where = w->g->value[new].name };
	uint32_t *list = ONX_NEWS(&w->g->arena, uint32_t, (size_t)w->g->n_output + 2);
	uint32_t n = 0;
	if (!list)
		return onx_nomem(e, 64, "outputs");
	list[n++] = new;
	for (uint32_t i = 0; i < w->g->n_output; i++) {
		const uint32_t v = w->g->output[i];
		if (w->o->keep_outputs && v != new)
			list[n++] = v;
		else if (v != new)
			w->g->value[v].output = false;
	}
	struct onx_graph before = *w->g;        /* what was needed is asked of the old outputs */
	w->g->value[new].output = true;
	for (uint32_t i = 0; i < before.n_output; i++) {
		const uint32_t v = before.output[i];
		if (!w->g->value[v].output && v != old && v != from)
			onx_patch_move(&p, v, new);
	}
	if (old != ONX_NONE && old != from && !w->g->value[old].output)
		onx_patch_move(&p, old, new);
	int rc = onx_patch_sweep(&p, &before, e);
	p.n_move = 0;
	w->g->output = list;
	w->g->n_output = n;
	return rc == ONX_OK ? onx_patch_apply(w->g, &p, w->log, e) : rc;
}

static int new_input(struct work *w, uint32_t *id, struct onx_err *e)
{
	struct onx_patch p = { .mem = w->mem, .rule = "input", .where = w->o->input };
	char *s = onx_dup(w->mem, w->o->input), *type = s ? strchr(s, ':') : NULL;
	char *dims = type ? strchr(type + 1, ':') : NULL;
	int64_t dim[ONX_RANK];
	int rank = 0;
	if (!s)
		return onx_nomem(e, 64, "the input");
	if (!dims)
		return onx_fail(e, ONX_USAGE, "'input' must be NAME:TYPE:DIMS as in x:float:Nx1x28x28, not '%s'",
				w->o->input);
	*type++ = *dims++ = 0;
	for (char *d = dims, *end; d && rank < ONX_RANK; d = end) {
		end = strchr(d, 'x');
		if (end)
			*end++ = 0;
		int64_t n = 0;
		if (rank > 0 && (onx_parse_int(d, &n) < 0 || n < 1))
			return onx_fail(e, ONX_USAGE, "'input': dim %d must be a whole number, not '%s'", rank, d);
		dim[rank] = rank == 0 && onx_parse_int(d, &n) < 0 ? -1 : n;
		rank++;
	}
	const enum onx_dtype t = onx_dtype_find(type);
	if (!onx_dtype_real(t) || rank < 2 || w->g->n_node > 0 || !*s)
		return onx_fail(e, ONX_USAGE, "'input' wants a model without nodes, a floating-point type and a shape "
				"of 2 dims or more, not '%s'", w->o->input);
	const uint32_t v = onx_patch_input(&p, s, t, rank, dim);
	int rc = onx_patch_apply(w->g, &p, w->log, e);
	*id = onx_patch_id(&p, v);
	return rc;
}

/* Where the new layers begin, and the output that they replace. */
static int cut(struct work *w, uint32_t *from, uint32_t *old, struct onx_err *e)
{
	struct onx_head h;
	*old = w->g->n_output == 1 || !w->o->keep_outputs ? w->g->n_output ? w->g->output[0] : ONX_NONE : ONX_NONE;
	if (w->o->input)
		return new_input(w, from, e);
	if (w->o->cut_at) {
		*from = onx_graph_find(w->g, w->o->cut_at);
		if (*from != ONX_NONE && !w->g->value[*from].init)
			return ONX_OK;
		const char **list = ONX_NEWS(w->mem, const char *, (size_t)w->g->n_value + 1);
		for (uint32_t v = 0; list && v < w->g->n_value; v++)
			list[v] = w->g->value[v].name;
		const char *near = list ? onx_nearest(list, w->g->n_value, w->o->cut_at) : NULL;
		return onx_fail(e, ONX_USAGE, "cut-at: the model has no tensor '%s'%s%s%s", w->o->cut_at,
				near ? "; nearest is '" : "", near ? near : "", near ? "'" : "");
	}
	int rc = onx_head_find(w->g, &h, e);
	*from = h.x;
	*old = h.output;
	return rc;
}

static int build_layers(struct work *w, struct onx_err *e)
{
	uint32_t from = ONX_NONE, old = ONX_NONE, to = ONX_NONE;
	int rc = cut(w, &from, &old, e);
	if (rc < 0)
		return rc;
	const struct onx_value *v = &w->g->value[from];
	const char *text = w->o->layers;
	if (!text)
		text = onx_text(w->mem, "%sgemm:%lld", v->has_shape && v->rank == 2 ? "" : "gap ",
				(long long)w->classes);
	struct onx_layers l = { .text = text, .init = w->o->init, .seed = w->o->seed,
				.prefix = w->o->input ? "net" : "head" };
	if (!text)
		return onx_nomem(e, 64, "layers");
	rc = onx_layers_append(w->g, from, &l, &to, w->log, e);
	if (rc < 0)
		return rc;
	if (to == from)
		return onx_fail(e, ONX_USAGE, "'layers' names no layer");
	const struct onx_node *n = &w->g->node[w->g->value[to].def];
	w->logits = strcmp(n->type, "Softmax") == 0 || strcmp(n->type, "Sigmoid") == 0 ? n->in[0] : to;
	w->output = to;
	w->list = l.made;
	w->n_list = l.n_made;
	return finish_layers(w, from, old, to, e);
}

/* --- marks ------------------------------------------------------------------------------------------------ */

/* What trained and is still there, and the new weights. */
static int mark_train(struct work *w, struct onx_err *e)
{
	const char *const *old = NULL;
	size_t n_old = 0, n = 0;
	int rc = onx_mark_list(w->g->model, ONX_MARK "train", w->mem, &old, &n_old, e);
	if (rc < 0 || !old)
		return rc;
	const char **v = ONX_NEWS(w->mem, const char *, n_old + w->n_list + 1);
	struct onx_uses uses;
	rc = v ? onx_graph_uses(w->g, w->mem, &uses, e) : onx_nomem(e, 64, "marks");
	for (size_t i = 0; rc == ONX_OK && i < n_old; i++) {
		const uint32_t id = onx_graph_find(w->g, old[i]);
		if (id != ONX_NONE && uses.first[id + 1] > uses.first[id])
			v[n++] = old[i];
	}
	for (size_t i = 0; rc == ONX_OK && i < w->n_list; i++)
		v[n++] = w->list[i];
	return rc == ONX_OK ? onx_mark_set_list(w->g->model, ONX_MARK "train", v, n, e) : rc;
}

static int set_marks(struct work *w, struct onx_err *e)
{
	struct onx_model *m = w->g->model;
	int rc = mark_train(w, e);
	if (rc == ONX_OK)
		rc = onx_mark_set_list(m, ONX_MARK "head", w->list, w->n_list, e);
	if (rc == ONX_OK)
		rc = onx_model_set_meta(m, ONX_MARK "logits",
					w->logits == w->output ? NULL : w->g->value[w->logits].name, e);
	if (rc == ONX_OK)
		rc = onx_model_set_meta(m, ONX_MARK "task", w->o->outputs ? "regress" : "classify", e);
	if (rc == ONX_OK && w->n_label)
		rc = onx_mark_set_list(m, ONX_MARK "labels", w->label, w->n_label, e);
	else if (rc == ONX_OK)
		rc = onx_model_set_meta(m, ONX_MARK "labels", NULL, e);
	return rc;
}

/* Old class names (numbers where nobody gave names) with the new ones behind them. */
static int extend(struct work *w, int64_t old, struct onx_err *e)
{
	const char *const *have = NULL, *const *add = NULL;
	size_t n_have = 0, n_add = 0;
	int rc = onx_mark_list(w->g->model, ONX_MARK "labels", w->mem, &have, &n_have, e);
	if (rc == ONX_OK)
		rc = onx_labels_read(w->o->extend, w->mem, &add, &n_add, e);
	const char **v = rc < 0 ? NULL : ONX_NEWS(w->mem, const char *, (size_t)old + n_add + 1);
	if (rc == ONX_OK && !v)
		rc = onx_nomem(e, (double)old * sizeof *v, "labels");
	for (size_t i = 0; rc == ONX_OK && i < (size_t)old + n_add; i++) {
		v[i] = i >= (size_t)old ? add[i - (size_t)old] : i < n_have ? have[i] : onx_text(w->mem, "%zu", i);
		if (!v[i])
			rc = onx_nomem(e, 64, "labels");
	}
	w->label = v;
	w->n_label = (size_t)old + n_add;
	w->classes = (int64_t)w->n_label;
	return rc;
}

static int run(struct work *w, struct onx_err *e)
{
	struct onx_head h = { 0 };
	int rc = onx_swap(w->g, &w->o->swap, w->log, e);
	if (rc == ONX_OK && w->o->labels)
		rc = onx_labels_read(w->o->labels, w->mem, &w->label, &w->n_label, e);
	w->classes = w->o->labels ? (int64_t)w->n_label : w->o->outputs ? w->o->outputs : w->o->classes;
	if (rc < 0 || (w->classes == 0 && !w->o->layers && !w->o->extend))
		return rc < 0 ? rc : onx_redeclare(w->g, e);
	if (w->o->layers || w->o->cut_at) {
		rc = build_layers(w, e);
	} else {
		rc = onx_head_find(w->g, &h, e);
		if (rc == ONX_OK && (h.n_made || h.pairs)) {
			rc = onx_head_float(w->g, &h, w->log, e);
			if (rc == ONX_OK)
				rc = onx_head_find(w->g, &h, e);
		}
		if (rc == ONX_OK && w->o->extend)
			rc = extend(w, h.classes, e);
		if (rc == ONX_OK)
			rc = replace(w, &h, e);
	}
	if (rc == ONX_OK)
		rc = onx_redeclare(w->g, e);
	return rc == ONX_OK ? set_marks(w, e) : rc;
}

int onx_head(struct onx_graph *g, const struct onx_head_opts *o, struct onx_buf *log, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct work w = { .g = g, .o = o, .mem = &mem, .log = log };
	int rc = check(o, e);
	if (rc == ONX_OK)
		rc = run(&w, e);
	onx_arena_release(&mem);
	return rc;
}
