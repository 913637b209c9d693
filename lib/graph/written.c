/* graph/written.c -- operators of com.microsoft that are others put together, written out: on quantised numbers (the
 * numbers are made real, the operator of the standard computes, and the result is quantised again), with channels
 * last, with a bias in front or an activation behind.
 *
 * As with a function (graph/inline.c) the graph has the nodes, and the file keeps the one it had; what is said of
 * QuantizeLinear and DequantizeLinear, straight-through estimates too, holds for them. */
#include <stdlib.h>
#include <string.h>
#include "graph/inline_i.h"

/* Nodes behind each other, `type in... > out... : attribute...`, ended by `;`.  A digit is an input of the operator,
 * y0 to y3 an output, `-` nothing, any other word a name of its own; a node whose outputs nobody named is left out.
 * `7|0`: input 7, or if it is not there the number 0 in the type of input 0.
 * An attribute is the operator's, where it has that; `name=number`, or `name=other`: the operator's `other`;
 * `axis=column`: of a matrix B, where its columns are; `perm=first`, `perm=last`: channels become the second dimension,
 * or the last again. */
static const struct recipe {
	const char *type;
	unsigned need, none;            /* bits of inputs that must be there, and that must not      */
	const char *when;               /* `attribute=value?default`, < for =, between blanks: all   */
	int opset;                      /* of the standard, that its words are of; 0: the file's own */
	const char *text;
} recipes[] = {
#include "graph/recipes.inc"
};
enum { N_RECIPE = sizeof recipes / sizeof *recipes, WORDS = 16, MOST_INPUTS = 32, PERM_MOST = 8 };

const char *onx_graph_written(size_t i)
{
	return i < N_RECIPE ? recipes[i].type : i == N_RECIPE ? "QLinearConcat" : NULL;
}

static bool holds(const struct onx_file_node *n, const char *when)
{
	while (when) {
		const char *eq = when + strcspn(when, "=<");
		const struct onx_file_attr *is = NULL;
		char *end;
		const long long want = strtoll(eq + 1, &end, 10), otherwise = strtoll(end + 1, &end, 10);

		for (size_t i = 0; i < n->n_attr && !is; i++)
			if (strncmp(n->attr[i].name, when, (size_t)(eq - when)) == 0 && !n->attr[i].name[eq - when])
				is = &n->attr[i];
		const long long have = is ? is->i : otherwise;
		if (*eq == '<' ? have >= want : have != want)
			return false;
		when = *end == ' ' ? end + 1 : NULL;
	}
	return true;
}

static const struct recipe *recipe_of(const struct onx_file_node *n)
{
	unsigned have = 0;

	if (strcmp(n->domain, "com.microsoft") != 0 || n->n_out < 1 || n->n_in > MOST_INPUTS)
		return NULL;
	for (size_t i = 0; i < n->n_in; i++)
		have |= *n->in[i] ? 1u << i : 0;
	for (size_t i = 0; i < N_RECIPE; i++)
		if (strcmp(recipes[i].type, n->type) == 0 && (recipes[i].need & ~have) == 0 &&
		    (recipes[i].none & have) == 0 && holds(n, recipes[i].when))
			return &recipes[i];
	return NULL;
}

static bool is_concat(const struct onx_file_node *n)
{
	return strcmp(n->domain, "com.microsoft") == 0 && strcmp(n->type, "QLinearConcat") == 0 && n->n_in >= 5 &&
	       n->n_in % 3 == 2 && n->n_out == 1;
}

bool onx_is_written(const struct onx_file_node *n)
{
	return is_concat(n) || recipe_of(n);
}

struct writer {
	struct onx_inliner *x;
	const struct onx_file_node *n;
	const struct onx_file_call *call;
	const char *prefix;
	struct onx_node_list *to;
};

static int no_memory(struct onx_err *e)
{
	return onx_nomem(e, sizeof(struct onx_file_node), "the nodes of an operator");
}

/* What a word stands for; NULL: no memory. */
static const char *named(const struct writer *w, const char *word)
{
	char *end;
	const unsigned long k = strtoul(word, &end, 10);

	if (!*end)
		return k < w->n->n_in ? w->n->in[k] : "";
	if (word[0] == '-')
		return "";
	if (word[0] == 'y' && word[1] >= '0' && word[1] <= '3')
		return (size_t)(word[1] - '0') < w->n->n_out ? w->n->out[word[1] - '0'] : "";
	return onx_text(w->x->mem, "%s%s", w->prefix, word);
}

/* The order of dimensions, of as many as the window has and two more; without a window 4. */
static bool order(const struct writer *w, bool last, struct onx_file_attr *to)
{
	static const int64_t rows[][PERM_MOST] = { { 0, 2, 1 }, { 0, 3, 1, 2 }, { 0, 4, 1, 2, 3 },
						   { 0, 2, 1 }, { 0, 2, 3, 1 }, { 0, 2, 3, 4, 1 } };
	const struct onx_file_attr *window = onx_attr_find(w->n->attr, w->n->n_attr, "kernel_shape");
	const size_t nd = window && window->n >= 1 && window->n <= 3 ? window->n : 2;

	to->type = ONX_ATTR_INTS;
	to->ints = rows[(last ? 3 : 0) + nd - 1];
	to->n = nd + 2;
	return true;
}

/* An attribute from its word; false: the operator has none. */
static bool attribute(const struct writer *w, char *word, struct onx_file_attr *to)
{
	char *eq = strchr(word, '='), *end = NULL;
	const struct onx_file_attr *is;

	if (eq)
		*eq++ = 0;
	*to = (struct onx_file_attr){ .name = word, .type = ONX_ATTR_INT };
	if (eq && strcmp(eq, "column") == 0) {
		is = onx_attr_find(w->n->attr, w->n->n_attr, "transB");
		to->i = is && is->i ? 0 : 1;
		return true;
	}
	if (eq && (strcmp(eq, "first") == 0 || strcmp(eq, "last") == 0))
		return order(w, strcmp(eq, "last") == 0, to);
	if (eq)
		to->i = strtoll(eq, &end, 10);
	if (eq && !*end)
		return true;
	is = onx_attr_find(w->n->attr, w->n->n_attr, eq ? eq : word);
	if (!is)
		return false;
	*to = *is;
	to->name = word;
	return true;
}

static int append(struct writer *w, char *type, const char **in, size_t n_in, const char **out, size_t n_out,
		  const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
{
	char *dot = strrchr(type, '.');
	const char *domain = dot ? type : "";

	if (dot)
		*dot++ = 0;
	while (n_in > 0 && !*in[n_in - 1])
		n_in--;
	while (n_out > 0 && !*out[n_out - 1])
		n_out--;
	if (n_out == 0)
		return ONX_OK;
	const struct onx_file_node node = { .name = w->n->name, .type = dot ? dot : type, .domain = domain, .doc = "",
					    .n_in = n_in, .n_out = n_out, .n_attr = n_attr, .in = in, .out = out,
					    .attr = attr, .call = w->call };
	return onx_inline_append(w->x, w->to, &node, e);
}

/* `7|0`; a node gives the zero.  NULL: no memory. */
static const char *or_zero(struct writer *w, const char *word, struct onx_err *e)
{
	const unsigned long k = strtoul(word, NULL, 10);
	const char **at = ONX_NEWS(w->x->mem, const char *, 2);
	char *type = onx_dup(w->x->mem, "onnx_adapt.ZeroOf");

	if (k < w->n->n_in && *w->n->in[k])
		return w->n->in[k];
	if (!at || !type)
		return NULL;
	at[0] = named(w, strchr(word, '|') + 1);
	at[1] = onx_text(w->x->mem, "%szero%lu", w->prefix, k);
	if (!at[0] || !at[1] || append(w, type, at, 1, at + 1, 1, NULL, 0, e) < 0)
		return NULL;
	return at[1];
}

/* One node of a recipe; the text lives in the arena and is cut up. */
static int step(struct writer *w, char *text, struct onx_err *e)
{
	const char **names = ONX_NEWS(w->x->mem, const char *, 2 * WORDS);
	struct onx_file_attr *attr = ONX_NEWS(w->x->mem, struct onx_file_attr, WORDS);
	char *type = NULL;
	size_t n_in = 0, n_out = 0, n_attr = 0;
	enum { IN, OUT, ATTR } part = IN;

	if (!names || !attr)
		return no_memory(e);
	for (char *word = text, *next; word; word = next) {
		next = strchr(word, ' ');
		if (next)
			*next++ = 0;
		if (!*word)
			continue;
		if (strcmp(word, ">") == 0 || strcmp(word, ":") == 0) {
			part = *word == '>' ? OUT : ATTR;
		} else if (!type) {
			type = word;
		} else if (part == ATTR) {
			n_attr += attribute(w, word, &attr[n_attr]);
		} else {
			const char *name = strchr(word, '|') ? or_zero(w, word, e) : named(w, word);
			if (!name)
				return no_memory(e);
			names[part == IN ? n_in++ : WORDS + n_out++] = name;
		}
	}
	return append(w, type, names, n_in, names + WORDS, n_out, attr, n_attr, e);
}

static int run(struct writer *w, const char *recipe, struct onx_err *e)
{
	char *text = onx_dup(w->x->mem, recipe);
	int rc = text ? ONX_OK : no_memory(e);

	for (char *next; rc == ONX_OK && text; text = next) {
		next = strchr(text, ';');
		if (next)
			*next++ = 0;
		rc = step(w, text, e);
	}
	return rc;
}

/* scale, zero point, then value, scale, zero point of each */
static int concat(struct writer *w, struct onx_err *e)
{
	const size_t parts = (w->n->n_in - 2) / 3;
	const char **names = ONX_NEWS(w->x->mem, const char *, parts + 1);
	const struct onx_file_attr *axis = onx_attr_find(w->n->attr, w->n->n_attr, "axis");
	char *type = onx_dup(w->x->mem, "Concat");
	int rc = names && type ? ONX_OK : no_memory(e);

	for (size_t i = 0; rc == ONX_OK && i < parts; i++) {
		const char *text = onx_text(w->x->mem, "DequantizeLinear %zu %zu %zu > p%zu", 3 * i + 2, 3 * i + 3,
					    3 * i + 4, i);
		names[i] = onx_text(w->x->mem, "%sp%zu", w->prefix, i);
		rc = text && names[i] ? run(w, text, e) : no_memory(e);
	}
	if (rc < 0)
		return rc;
	names[parts] = onx_text(w->x->mem, "%sc", w->prefix);
	if (!names[parts])
		return no_memory(e);
	rc = append(w, type, names, parts, names + parts, 1, axis, axis != NULL, e);
	return rc == ONX_OK ? run(w, "QuantizeLinear c 0 1|2 > y0", e) : rc;
}

/* The opsets that the nodes are of: the recipe's, our own, those of the call around. */
static int opsets(struct writer *w, struct onx_file_call *call, const struct onx_frame *in, int own, struct onx_err *e)
{
	const size_t n = in ? in->call->n_opset : 0;
	struct onx_file_opset *all = ONX_NEWS(w->x->mem, struct onx_file_opset, n + 2);

	if (!all)
		return no_memory(e);
	if (own)
		all[call->n_opset++] = (struct onx_file_opset){ "", own };
	all[call->n_opset++] = (struct onx_file_opset){ "onnx_adapt", 1 };
	for (size_t i = 0; i < n; i++)
		all[call->n_opset++] = in->call->opset[i];
	call->opset = all;
	return ONX_OK;
}

int onx_inline_written(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_file_node *outermost,
		       const struct onx_frame *in, struct onx_node_list *to, struct onx_err *e)
{
	struct onx_file_call *call = ONX_NEW(x->mem, struct onx_file_call);
	struct writer w = { .x = x, .n = n, .to = to, .call = call,
			    .prefix = onx_text(x->mem, "%s_%zu.", n->type, ++x->calls) };

	if (!call || !w.prefix)
		return no_memory(e);
	*call = (struct onx_file_call){ .node = outermost, .once = !in };
	const struct recipe *r = is_concat(n) ? NULL : recipe_of(n);
	const int rc = opsets(&w, call, in, r ? r->opset : 0, e);
	if (rc < 0)
		return rc;
	return r ? run(&w, r->text, e) : concat(&w, e);
}
