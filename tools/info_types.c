/* tools/info_types.c -- the element types of input 0 that an operator takes, asked of its own shape rule.
 *
 * The rule (onx_op.infer) is the one place that knows.  It is shown small inputs of every type, of several
 * ranks, with several kinds of other inputs; a type counts when one such node passes.  Where inputs have to fit each
 * other more closely than that, info_types.inc has a node that does, in which the type alone is changed. */
#include <stdlib.h>
#include <string.h>
#include "info.h"

enum { PORTS = 10, KINDS = 8, RANKS = 6 };

struct guess {                          /* one node that is put before the rule */
	int n_in, rank, kind;
	int64_t side;                   /* every dim of the inputs of rank `rank` */
	enum onx_dtype type;
	bool known;                     /* input 0 is known while planning */
};

/* A node of an operator: attributes as "name=text" separated by blanks, inputs as "type:dims[=value]" separated by
 * blanks; T is the type that is asked for, `s` a scalar, `-` an absent input; inputs with a value are known while
 * planning, all their elements are that number. */
static const struct sample { const char *type, *attr, *in; } samples[] = {
#include "info_types.inc"
};

/* Attributes that have a default but mean nothing without a value. */
static const struct { const char *name, *text; } helpful[] = {
	{ "kernel_shape", "1,1" }, { "hidden_size", "1" }, { "pooled_shape", "1,1" }, { "to", "1" },
	{ "num_heads", "1" }, { "q_num_heads", "1" }, { "kv_num_heads", "1" }
};

/* Text for an attribute that a node has to give; NULL: no guess. */
static const char *required(const struct onx_field *f)
{
	switch (f->kind) {
	case F_BOOL: return "yes";
	case F_INT:
	case F_REAL: return "1";
	case F_INTS:
	case F_REALS: return "1,1";
	case F_ENUM: return f->choices[0];
	default: return NULL;
	}
}

static bool attributes(const struct onx_op *op, struct onx_arena *a, void **out)
{
	struct onx_err e = { 0 };

	*out = NULL;
	if (!op->attr)
		return true;
	*out = onx_alloc(a, 1, op->attr->size);
	if (!*out || onx_defaults(op->attr, *out, a, &e) < 0)
		return false;
	for (const struct onx_field *f = op->attr->field; f->name; f++) {
		const char *text = f->def ? "" : required(f);
		if (!text || (*text && onx_set(op->attr, f, *out, text, a, &e) < 0))
			return false;
	}
	for (size_t i = 0; i < sizeof helpful / sizeof *helpful; i++) {
		const struct onx_field *f = onx_find(op->attr, helpful[i].name);
		if (f && onx_set(op->attr, f, *out, helpful[i].text, a, &e) < 0)
			return false;
	}
	return !op->attr->check || op->attr->check(*out, &e) == ONX_OK;
}

/* All elements x, as a constant of the model has them. */
static bool number(struct onx_fact *to, double x, bool wide, struct onx_arena *a)
{
	const size_t store = onx_dtype_store(to->type, wide);
	struct onx_view *v = ONX_NEWS(a, struct onx_view, 1);
	size_t n;
	struct onx_err e;

	if (!v || store == 0 || onx_count(to->shape.rank, to->shape.dim, &n, &e) < 0)
		return false;
	*v = (struct onx_view){ .v = onx_alloc(a, n + 1, store), .n = n, .rank = to->shape.rank,
		.dim = to->shape.dim, .type = to->type, .width = (uint8_t)store };
	for (size_t i = 0; v->v && i < n && onx_dtype_class(to->type) != ONX_CLASS_CPLX; i++)
		if (to->type == ONX_STRING)
			((const char **)v->v)[i] = "";
		else
			onx_view_put_real(v, i, x);
	to->value = v;
	return v->v != NULL;
}

/* An input after the first: like it, a vector of its type, known numbers, another type. */
static bool other(const struct guess *g, struct onx_fact *to, struct onx_arena *a)
{
	static const struct { enum onx_dtype type; enum { SAME, FLAT, ONE } shape; bool known; } kind[KINDS] = {
		{ ONX_UNDEFINED, SAME, false }, { ONX_UNDEFINED, FLAT, false }, { ONX_INT64, ONE, true },
		{ ONX_INT64, FLAT, true }, { ONX_FLOAT, FLAT, false }, { ONX_BOOL, FLAT, false },
		{ ONX_INT64, SAME, false }, { ONX_UNDEFINED, ONE, true }
	};

	to->type = kind[g->kind].type ? kind[g->kind].type : g->type;
	to->shape.rank = kind[g->kind].shape == SAME ? g->rank : kind[g->kind].shape == FLAT;
	for (int i = 0; i < to->shape.rank; i++)
		to->shape.dim[i] = kind[g->kind].known ? g->rank : g->side;
	return !kind[g->kind].known || (to->type != ONX_STRING && number(to, 1, false, a));
}

/* Does the rule take these inputs, with as many outputs as there can be, or of any number with one or two? */
static bool asked(const struct onx_op *op, int version, const struct onx_fact *in, int n_in, const void *attr,
		  struct onx_arena *a)
{
	const int many = op->max_out == ONX_MANY, most = op->max_out < PORTS ? op->max_out : PORTS;

	for (int n_out = many ? 1 : most; n_out <= (many ? 2 : most); n_out++) {
		struct onx_fact out[PORTS] = { 0 };
		bool wanted[PORTS];
		struct onx_infer s = { .version = version, .n_in = n_in, .n_out = n_out, .in = in, .out = out,
				       .out_wanted = wanted, .mem = a };
		struct onx_err e = { 0 };

		for (int i = 0; i < PORTS; i++)
			wanted[i] = i < op->min_out || (many && i < n_out);
		if (op->infer(&s, attr, &e) == ONX_OK)
			return true;
	}
	return false;
}

static bool passes(const struct onx_op *op, int version, const struct guess *g)
{
	struct onx_arena a = { 0 };
	struct onx_fact in[PORTS] = { 0 };
	void *attr;
	bool good = attributes(op, &a, &attr);

	in[0].type = g->type;
	in[0].shape.rank = g->rank;
	for (int i = 0; i < g->rank; i++)
		in[0].shape.dim[i] = g->side;
	if (g->known)
		good = good && g->type != ONX_STRING && number(&in[0], 1, false, &a);
	for (int i = 1; good && i < g->n_in; i++)
		good = other(g, &in[i], &a);
	good = good && asked(op, version, in, g->n_in, attr, &a);
	onx_arena_release(&a);
	return good;
}

/* ---- samples ---- */

static bool sample_in(char *w, enum onx_dtype type, bool wide, struct onx_fact *to, struct onx_arena *a)
{
	char *dims = strchr(w, ':'), *value = strchr(w, '=');

	*to = (struct onx_fact){ 0 };
	if (!dims)
		return true;
	*dims++ = '\0';
	to->type = strcmp(w, "T") == 0 ? type : onx_dtype_find(w);
	while (*dims >= '0' && *dims <= '9') {
		to->shape.dim[to->shape.rank++] = strtol(dims, &dims, 10);
		dims += *dims == 'x';
	}
	return !value || number(to, strtod(value + 1, NULL), wide, a);
}

static bool sample_attr(const struct onx_op *op, const char *text, enum onx_dtype type, struct onx_arena *a, void **out)
{
	struct onx_err e = { 0 };
	char *copy = onx_dup(a, text), *rest = NULL;

	*out = op->attr ? onx_alloc(a, 1, op->attr->size) : NULL;
	if (!op->attr)
		return true;
	if (!*out || !copy || onx_defaults(op->attr, *out, a, &e) < 0)
		return false;
	for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
		char *eq = strchr(w, '=');
		*eq = '\0';
		const struct onx_field *f = onx_find(op->attr, w);
		if (f && f->kind == F_TENSOR) {         /* numbers of attributes are double */
			struct onx_fact *t = ONX_NEW(a, struct onx_fact);
			if (!t || !sample_in(eq + 1, type, true, t, a))
				return false;
			*(const struct onx_view **)(void *)((char *)*out + f->off) = t->value;
		} else if (!f || onx_set(op->attr, f, *out, eq + 1, a, &e) < 0) {
			return false;
		}
	}
	return !op->attr->check || op->attr->check(*out, &e) == ONX_OK;
}

static bool sample_passes(const struct onx_op *op, int version, const struct sample *s, enum onx_dtype type)
{
	struct onx_arena a = { 0 };
	struct onx_fact in[PORTS];
	char *copy = onx_dup(&a, s->in), *rest = NULL;
	void *attr;
	int n = 0;
	bool good = copy && sample_attr(op, s->attr, type, &a, &attr);

	for (char *w = good ? strtok_r(copy, " ", &rest) : NULL; good && w && n < PORTS; w = strtok_r(NULL, " ", &rest))
		good = sample_in(w, type, false, &in[n++], &a);
	good = good && n >= op->min_in && n <= op->max_in && asked(op, version, in, n, attr, &a);
	onx_arena_release(&a);
	return good;
}

static bool guessed(const struct onx_op *op, int version, enum onx_dtype type)
{
	struct guess g = { .type = type };
	const int most = op->max_in < PORTS ? op->max_in : PORTS, least = op->min_in > 1 ? op->min_in : 1;
	const int tries = 2 * RANKS * 2 * KINDS;

	for (g.n_in = least; g.n_in <= most; g.n_in++)
		for (int i = 0; i < tries; i++) {
			g.kind = i % KINDS;
			g.side = 1 + i / KINDS % 2;
			g.rank = i / KINDS / 2 % RANKS;
			g.known = i >= tries / 2;
			if ((g.n_in > 1 || g.kind == 0) && passes(op, version, &g))
				return true;
		}
	return false;
}

static bool has_sample(const struct onx_op *op)
{
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		if (strcmp(samples[i].type, op->type) == 0)
			return true;
	return false;
}

static bool takes(const struct onx_op *op, int last, enum onx_dtype type)
{
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		if (strcmp(samples[i].type, op->type) == 0 && sample_passes(op, last, &samples[i], type))
			return true;
	return guessed(op, last, type) || (op->since != last && guessed(op, op->since, type));
}

void onx_info_types(const struct onx_op *op, int last, struct onx_buf *out)
{
	static const struct { const char *name; enum onx_dtype type[10]; } group[] = {
		{ "float", { ONX_FLOAT, ONX_DOUBLE, ONX_FLOAT16, ONX_BFLOAT16 } },
		{ "float8", { ONX_FLOAT8E4M3FN, ONX_FLOAT8E4M3FNUZ, ONX_FLOAT8E5M2, ONX_FLOAT8E5M2FNUZ } },
		{ "float8e8m0", { ONX_FLOAT8E8M0 } }, { "float4", { ONX_FLOAT4E2M1 } },
		{ "float6", { ONX_FLOAT6E2M3, ONX_FLOAT6E3M2 } },
		{ "int", { ONX_INT8, ONX_INT16, ONX_INT32, ONX_INT64 } },
		{ "uint", { ONX_UINT8, ONX_UINT16, ONX_UINT32, ONX_UINT64 } },
		{ "4-bit", { ONX_INT4, ONX_UINT4 } }, { "2-bit", { ONX_INT2, ONX_UINT2 } },
		{ "bool", { ONX_BOOL } }, { "string", { ONX_STRING } },
		{ "complex", { ONX_COMPLEX64, ONX_COMPLEX128 } }
	};
	const size_t before = out->len;

	if ((op->flags & (ONX_OP_RULE | ONX_OP_BODY)) && !has_sample(op)) {
		onx_buf_str(out, "any");
		return;
	}
	for (size_t k = 0; op->max_in > 0 && k < sizeof group / sizeof *group; k++) {
		int have = 0, n = 0;
		for (; group[k].type[n]; n++)
			have += takes(op, last, group[k].type[n]);
		if (have == n)
			onx_buf_fmt(out, "%s%s", out->len > before ? ", " : "", group[k].name);
		for (int i = 0; have && have < n && i < n; i++)
			if (takes(op, last, group[k].type[i]))
				onx_buf_fmt(out, "%s%s", out->len > before ? ", " : "",
					    onx_dtype_name(group[k].type[i]));
	}
	if (out->len == before)
		onx_buf_str(out, op->max_in > 0 ? "?" : "no input");
}
