/* graph/written.c -- com.microsoft's operators on quantised numbers, written out: the numbers are made real, the
 * operator of the standard computes, and the result is quantised again.
 *
 * As with a function (graph/inline.c) the graph has the nodes, and the file keeps the one it had; what is said of
 * QuantizeLinear and DequantizeLinear, straight-through estimates too, holds for them. */
#include <stdlib.h>
#include <string.h>
#include "graph/inline_i.h"

/* Nodes behind each other, `type in... > out... : attribute...`, ended by `;`.  A digit is an input of the operator, y0
 * or y1 an output, any other word a name of its own.  An attribute is the operator's, where it has that; `name=number`,
 * or `name=other`: the operator's `other`; `axis=column`: of a matrix B, where its columns are.  */
#define DQ "DequantizeLinear "
#define Q "QuantizeLinear "
static const struct recipe {
	const char *type;
	unsigned need, none;            /* bits of inputs that must be there, and that must not */
	const char *text;
} recipes[] = {
	{ "QuantizeLinear", 0x3, 0, Q "0 1 2 > y0 : axis" },
	{ "DequantizeLinear", 0x3, 0, DQ "0 1 2 > y0 : axis" },
	{ "QLinearAdd", 0xDB, 0, DQ "0 1 2 > a ; " DQ "3 4 5 > b ; Add a b > c ; " Q "c 6 7 > y0" },
	{ "QLinearMul", 0xDB, 0, DQ "0 1 2 > a ; " DQ "3 4 5 > b ; Mul a b > c ; " Q "c 6 7 > y0" },
	{ "QLinearLeakyRelu", 0x1B, 0, DQ "0 1 2 > a ; LeakyRelu a > b : alpha ; " Q "b 3 4 > y0" },
	{ "QLinearSigmoid", 0x1B, 0, DQ "0 1 2 > a ; Sigmoid a > b ; " Q "b 3 4 > y0" },
	{ "QLinearSoftmax", 0x1B, 0, DQ "0 1 2 > a ; Softmax a > b : axis ; " Q "b 3 4 > y0" },
	{ "QLinearGlobalAveragePool", 0x1B, 0, DQ "0 1 2 > a ; GlobalAveragePool a > b ; " Q "b 3 4 > y0" },
	{ "QLinearAveragePool", 0x1B, 0, DQ "0 1 2 > a ; AveragePool a > b : kernel_shape strides pads auto_pad "
	  "ceil_mode count_include_pad ; " Q "b 3 4 > y0" },
	{ "QLinearWhere", 0x1FF, 0, DQ "1 2 3 > a ; " DQ "4 5 6 > b ; Where 0 a b > c ; " Q "c 7 8 > y0" },
	{ "QLinearConv", 0xFF, 0, "QLinearConv 0 1 2 3 4 5 6 7 8 > y0 : group pads strides dilations kernel_shape "
	  "auto_pad" },
	{ "QGemm", 0x1DB, 0, DQ "0 1 2 > a ; " DQ "3 4 5 > b : axis=column ; Mul 1 4 > s ; " DQ "6 s > c : axis=-1 ; "
	  "Gemm a b c > d : transA transB alpha beta=alpha ; " Q "d 7 8 > y0" },
	{ "QGemm", 0x5B, 0x180, DQ "0 1 2 > a ; " DQ "3 4 5 > b : axis=column ; Mul 1 4 > s ; "
	  DQ "6 s > c : axis=-1 ; Gemm a b c > y0 : transA transB alpha beta=alpha" },
	{ "QGemm", 0x19B, 0x40, DQ "0 1 2 > a ; " DQ "3 4 5 > b : axis=column ; Gemm a b > d : transA transB alpha ; "
	  Q "d 7 8 > y0" },
	{ "QGemm", 0x1B, 0x1C0, DQ "0 1 2 > a ; " DQ "3 4 5 > b : axis=column ; Gemm a b > y0 : transA transB alpha" },
	{ "MatMulIntegerToFloat", 0x4F, 0, DQ "0 2 4 > a ; " DQ "1 3 5 > b : axis=-1 ; MatMul a b > c ; Add c 6 > y0" },
	{ "MatMulIntegerToFloat", 0xF, 0, DQ "0 2 4 > a ; " DQ "1 3 5 > b : axis=-1 ; MatMul a b > y0" },
	{ "DynamicQuantizeMatMul", 0x17, 0, "DynamicQuantizeLinear 0 > q s z ; " DQ "q s z > a ; "
	  DQ "1 2 3 > b : axis=-1 ; MatMul a b > c ; Add c 4 > y0" },
	{ "DynamicQuantizeMatMul", 0x7, 0, "DynamicQuantizeLinear 0 > q s z ; " DQ "q s z > a ; "
	  DQ "1 2 3 > b : axis=-1 ; MatMul a b > y0" },
	{ "QAttention", 0x1F, 0, DQ "0 3 6 > a ; " DQ "1 4 7 > b : axis=-1 ; "
	  "com.microsoft.Attention a b 2 5 8 > y0 y1 : num_heads unidirectional mask_filter_value scale do_rotary "
	  "past_present_share_buffer" },
};
enum { N_RECIPE = sizeof recipes / sizeof *recipes, WORDS = 16 };

const char *onx_graph_written(size_t i)
{
	return i < N_RECIPE ? recipes[i].type : i == N_RECIPE ? "QLinearConcat" : NULL;
}

static const struct recipe *recipe_of(const struct onx_file_node *n)
{
	const struct onx_file_attr *last = onx_attr_find(n->attr, n->n_attr, "channels_last");
	unsigned have = 0;

	if (strcmp(n->domain, "com.microsoft") != 0 || n->n_out < 1 || !*n->out[0] || (last && last->i))
		return NULL;
	for (size_t i = 0; i < n->n_in && i < 16; i++)
		have |= *n->in[i] ? 1u << i : 0;
	for (size_t i = 0; i < N_RECIPE; i++)
		if (strcmp(recipes[i].type, n->type) == 0 && (recipes[i].need & ~have) == 0 &&
		    (recipes[i].none & have) == 0)
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
	if (word[0] == 'y' && (word[1] == '0' || word[1] == '1'))
		return (size_t)(word[1] - '0') < w->n->n_out ? w->n->out[word[1] - '0'] : "";
	return onx_text(w->x->mem, "%s%s", w->prefix, word);
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
	while (n_out > 1 && !*out[n_out - 1])
		n_out--;
	const struct onx_file_node node = { .name = w->n->name, .type = dot ? dot : type, .domain = domain, .doc = "",
					    .n_in = n_in, .n_out = n_out, .n_attr = n_attr, .in = in, .out = out,
					    .attr = attr, .call = w->call };
	return onx_inline_append(w->x, w->to, &node, e);
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
			const char *name = named(w, word);
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
		const char *text = onx_text(w->x->mem, DQ "%zu %zu %zu > p%zu", 3 * i + 2, 3 * i + 3, 3 * i + 4, i);
		names[i] = onx_text(w->x->mem, "%sp%zu", w->prefix, i);
		rc = text && names[i] ? run(w, text, e) : no_memory(e);
	}
	if (rc < 0)
		return rc;
	names[parts] = onx_text(w->x->mem, "%sc", w->prefix);
	if (!names[parts])
		return no_memory(e);
	rc = append(w, type, names, parts, names + parts, 1, axis, axis != NULL, e);
	return rc == ONX_OK ? run(w, Q "c 0 1 > y0", e) : rc;
}

int onx_inline_written(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_file_node *outermost,
		       const struct onx_frame *in, struct onx_node_list *to, struct onx_err *e)
{
	struct onx_file_call *call = ONX_NEW(x->mem, struct onx_file_call);
	struct writer w = { .x = x, .n = n, .to = to, .call = call,
			    .prefix = onx_text(x->mem, "%s_%zu.", n->type, ++x->calls) };

	if (!call || !w.prefix)
		return no_memory(e);
	*call = (struct onx_file_call){ .node = outermost, .opset = in ? in->call->opset : NULL,
					.n_opset = in ? in->call->n_opset : 0, .once = !in };
	return is_concat(n) ? concat(&w, e) : run(&w, recipe_of(n)->text, e);
}
