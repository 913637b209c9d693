/* graph/flex.c -- FlexAttention of ai.onnx.preview written out: its two modifiers are graphs of one tensor, whose
 * nodes stand between the products and Softmax,
 *
 *     scores = FlexScores(Q, K), [Cast,] score_mod, Softmax, prob_mod, [CastLike,] Y = FlexMix(probabilities, V, Q)
 *
 * like those of a function (graph/inline.c): the graph runs and trains them, the file keeps the node.  Casts are there
 * where the node says in which precision its modifiers work.  Constants of a modifier are Constant nodes here. */
#include <string.h>
#include "graph/inline_i.h"

enum { MODIFIER_NODES = 4096 };

struct flex {
	struct onx_inliner *x;
	const struct onx_file_node *n;
	const struct onx_file_call *call;
	const char *prefix;
	const struct onx_frame *up;
	struct onx_node_list *to;
};

bool onx_is_flex(const struct onx_file_node *n)
{
	return strcmp(n->type, "FlexAttention") == 0 && strcmp(n->domain, "ai.onnx.preview") == 0 && n->n_in == 3 &&
	       n->n_out == 1 && *n->out[0];
}

static int no_memory(struct onx_err *e)
{
	return onx_nomem(e, sizeof(struct onx_file_node), "the nodes of FlexAttention");
}

/* type(in...) -> out; in: one to three names. */
static int put(struct flex *f, const char *domain, const char *type, const char *const in[3], const char *out,
	       const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	struct onx_file_attr *a = ONX_NEWS(f->x->mem, struct onx_file_attr, n_attr + 1);
	const char **names = ONX_NEWS(f->x->mem, const char *, 4);
	size_t n = 0;

	if (!a || !names || !out)
		return no_memory(e);
	while (n < 3 && in[n]) {
		names[n] = in[n];
		n++;
	}
	names[3] = out;
	if (n_attr)
		memcpy(a, attr, n_attr * sizeof *a);
	const struct onx_file_node node = { .name = f->n->name, .type = type, .domain = domain, .doc = "", .n_in = n,
					    .n_out = 1, .n_attr = n_attr, .in = names, .out = names + 3, .attr = a,
					    .call = f->call };
	return onx_inline_append(f->x, f->to, &node, e);
}

static const char *own_name(const struct flex *f, const char *what)
{
	return onx_text(f->x->mem, "%s%s", f->prefix, what);
}

static int constants(struct flex *f, const struct onx_frame *in, struct onx_err *e)
{
	for (size_t i = 0; i < in->own->n_init; i++) {
		const struct onx_weight *w = in->own->init[i];
		const struct onx_file_attr value = { .name = "value", .type = ONX_ATTR_TENSOR, .tensor = w };
		const char *name = onx_inline_name(f->x, in, w->name, e);
		int rc = name ? put(f, "", "Constant", (const char *const[3]){ NULL }, name, &value, 1, e) : ONX_NOMEM;
		if (rc < 0)
			return rc;
	}
	return ONX_OK;
}

/* The nodes of a modifier on *value, which becomes the name of the result. */
static int modify(struct flex *f, const struct onx_file_attr *a, const char **value, struct onx_err *e)
{
	const struct onx_file_graph *g = a->graph;
	struct onx_file_function *fn = ONX_NEW(f->x->mem, struct onx_file_function);
	struct onx_file_node *at = ONX_NEW(f->x->mem, struct onx_file_node);
	const char **names = ONX_NEWS(f->x->mem, const char *, 2);
	const char *prefix = onx_text(f->x->mem, "%s%s.", f->prefix, a->name);

	if (!fn || !at || !names || !prefix)
		return no_memory(e);
	if (g->n_input != 1 || g->n_output != 1)
		return onx_fail(e, ONX_FORMAT, "'%s' has %zu inputs and %zu outputs, wanted one of each", a->name,
				g->n_input, g->n_output);
	if (g->n_node > MODIFIER_NODES || g->n_init > MODIFIER_NODES)
		return onx_fail(e, ONX_UNSUP, "'%s' has more than %d nodes or constants", a->name, (int)MODIFIER_NODES);
	names[0] = g->input[0].name;
	names[1] = *value;
	*fn = (struct onx_file_function){ .name = a->name, .n_in = 1, .in = names };
	*at = (struct onx_file_node){ .name = f->n->name, .type = "", .domain = "", .n_in = 1, .in = names + 1 };
	const struct onx_frame in = { .f = fn, .at = at, .call = f->call, .own = g, .prefix = prefix, .up = f->up,
				      .depth = f->up ? f->up->depth + 1 : 1 };
	int rc = constants(f, &in, e);
	for (size_t i = 0; rc == ONX_OK && i < g->n_node; i++)
		rc = onx_inline_expand(f->x, &g->node[i], &in, f->to, e);
	if (rc < 0)
		return rc;
	*value = onx_inline_name(f->x, &in, g->output[0].name, e);
	return *value ? ONX_OK : ONX_NOMEM;
}

static int call_of(struct flex *f, const struct onx_file_node *outermost, const struct onx_frame *in,
		   struct onx_err *e)
{
	const size_t n = in ? in->call->n_opset : 0;
	struct onx_file_opset *all = ONX_NEWS(f->x->mem, struct onx_file_opset, n + 1);
	struct onx_file_call *call = ONX_NEW(f->x->mem, struct onx_file_call);

	if (!all || !call)
		return no_memory(e);
	if (n)
		memcpy(all, in->call->opset, n * sizeof *all);
	all[n] = (struct onx_file_opset){ "onnx_adapt", 1 };
	*call = (struct onx_file_call){ .node = outermost, .opset = all, .n_opset = n + 1, .once = !in };
	f->call = call;
	return ONX_OK;
}

/* From the scores to the probabilities. */
static int middle(struct flex *f, const char *scores, const char **value, struct onx_err *e)
{
	const struct onx_file_attr *precision = onx_attr_find(f->n->attr, f->n->n_attr, "softmax_precision");
	const struct onx_file_attr *score_mod = onx_attr_find(f->n->attr, f->n->n_attr, "score_mod");
	const struct onx_file_attr *prob_mod = onx_attr_find(f->n->attr, f->n->n_attr, "prob_mod");
	const struct onx_file_attr to = { .name = "to", .type = ONX_ATTR_INT, .i = precision ? precision->i : 0 };
	const struct onx_file_attr axis = { .name = "axis", .type = ONX_ATTR_INT, .i = 3 };
	int rc = ONX_OK;

	*value = scores;
	if (precision) {
		*value = own_name(f, "cast");
		rc = put(f, "", "Cast", (const char *const[3]){ scores }, *value, &to, 1, e);
	}
	if (rc == ONX_OK && score_mod && score_mod->graph)
		rc = modify(f, score_mod, value, e);
	if (rc == ONX_OK) {
		const char *in = *value;
		*value = own_name(f, "probabilities");
		rc = put(f, "", "Softmax", (const char *const[3]){ in }, *value, &axis, 1, e);
	}
	if (rc == ONX_OK && prob_mod && prob_mod->graph)
		rc = modify(f, prob_mod, value, e);
	if (rc == ONX_OK && precision) {
		const char *in = *value;
		*value = own_name(f, "back");
		rc = put(f, "", "CastLike", (const char *const[3]){ in, scores }, *value, NULL, 0, e);
	}
	return rc;
}

int onx_inline_flex(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_file_node *outermost,
		    const struct onx_frame *in, struct onx_node_list *to, struct onx_err *e)
{
	struct flex f = { .x = x, .n = n, .up = in, .to = to,
			  .prefix = onx_text(x->mem, "FlexAttention_%zu.", ++x->calls) };
	struct onx_file_attr *plain = ONX_NEWS(x->mem, struct onx_file_attr, n->n_attr + 1);
	size_t n_plain = 0;
	const char *value;

	if (!f.prefix || !plain)
		return no_memory(e);
	const char *scores = own_name(&f, "scores");
	for (size_t i = 0; i < n->n_attr; i++)
		if (!n->attr[i].graph)
			plain[n_plain++] = n->attr[i];
	int rc = call_of(&f, outermost, in, e);
	if (rc == ONX_OK)
		rc = put(&f, "onnx_adapt", "FlexScores", (const char *const[3]){ n->in[0], n->in[1] }, scores, plain,
			 n_plain, e);
	if (rc == ONX_OK)
		rc = middle(&f, scores, &value, e);
	if (rc == ONX_OK)
		rc = put(&f, "onnx_adapt", "FlexMix", (const char *const[3]){ value, n->in[2], n->in[0] }, n->out[0],
			 NULL, 0, e);
	return rc < 0 ? onx_while(e, rc, "writing out FlexAttention '%s'", n->name) : rc;
}
