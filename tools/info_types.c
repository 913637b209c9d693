/* tools/info_types.c -- the element types of input 0 that an operator takes, asked of its own shape rule.
 *
 * The rule (onx_op.infer) is the one place that knows.  It is shown small inputs of every type, of several
 * ranks, with several kinds of other inputs; a type counts when one such node passes.  What needs inputs of a
 * rarer kind (a known permutation, an equation) is reported as not found rather than guessed. */
#include <string.h>
#include "info.h"

enum { PORTS = 8, KINDS = 8, RANKS = 6 };

struct guess {                          /* one node that is put before the rule */
	int n_in, rank, kind;
	int64_t side;                   /* every dim of the inputs of rank `rank` */
	enum onx_dtype type;
	bool known;                     /* input 0 is known while planning */
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

/* Ones, as a constant of the model has them; whole numbers and plain float alone. */
static bool ones(struct onx_fact *to, struct onx_arena *a)
{
	const size_t store = onx_dtype_store(to->type, false);
	struct onx_view *v = ONX_NEWS(a, struct onx_view, 1);
	size_t n;
	struct onx_err e;

	if (!v || store == 0 || onx_count(to->shape.rank, to->shape.dim, &n, &e) < 0)
		return false;
	*v = (struct onx_view){ .v = onx_alloc(a, n + 1, store), .n = n, .rank = to->shape.rank,
		.dim = to->shape.dim, .type = to->type, .width = (uint8_t)store };
	for (size_t i = 0; v->v && i < n && onx_dtype_class(to->type) != ONX_CLASS_CPLX; i++)
		onx_view_put_real(v, i, 1);
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
	return !kind[g->kind].known || (to->type != ONX_STRING && ones(to, a));
}

static bool passes(const struct onx_op *op, const struct guess *g)
{
	struct onx_arena a = { 0 };
	struct onx_fact in[PORTS] = { 0 }, out[PORTS] = { 0 };
	bool wanted[PORTS] = { true };
	struct onx_infer s = { .version = op->since, .n_in = g->n_in, .n_out = op->max_out < PORTS ?
		op->max_out : PORTS, .in = in, .out = out, .out_wanted = wanted, .mem = &a };
	struct onx_err e = { 0 };
	void *attr;
	bool good = attributes(op, &a, &attr);

	in[0].type = g->type;
	in[0].shape.rank = g->rank;
	for (int i = 0; i < g->rank; i++)
		in[0].shape.dim[i] = g->side;
	if (g->known)
		good = good && g->type != ONX_STRING && ones(&in[0], &a);
	for (int i = 0; i < op->min_out && i < PORTS; i++)
		wanted[i] = true;
	for (int i = 1; good && i < g->n_in; i++)
		good = other(g, &in[i], &a);
	good = good && op->infer(&s, attr, &e) == ONX_OK;
	onx_arena_release(&a);
	return good;
}

static bool takes(const struct onx_op *op, enum onx_dtype type)
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
			if ((g.n_in > 1 || g.kind == 0) && passes(op, &g))
				return true;
		}
	return false;
}

void onx_info_types(const struct onx_op *op, struct onx_buf *out)
{
	static const struct { const char *name; enum onx_dtype type[10]; } group[] = {
		{ "float", { ONX_FLOAT, ONX_DOUBLE, ONX_FLOAT16, ONX_BFLOAT16 } },
		{ "float8", { ONX_FLOAT8E4M3FN, ONX_FLOAT8E4M3FNUZ, ONX_FLOAT8E5M2, ONX_FLOAT8E5M2FNUZ } },
		{ "int", { ONX_INT8, ONX_INT16, ONX_INT32, ONX_INT64 } },
		{ "uint", { ONX_UINT8, ONX_UINT16, ONX_UINT32, ONX_UINT64 } },
		{ "4-bit", { ONX_INT4, ONX_UINT4 } },
		{ "bool", { ONX_BOOL } }, { "string", { ONX_STRING } },
		{ "complex", { ONX_COMPLEX64, ONX_COMPLEX128 } }
	};
	const size_t before = out->len;

	if (op->flags & (ONX_OP_RULE | ONX_OP_BODY)) {
		onx_buf_str(out, "any");
		return;
	}
	for (size_t k = 0; op->max_in > 0 && k < sizeof group / sizeof *group; k++) {
		int have = 0, n = 0;
		for (; group[k].type[n]; n++)
			have += takes(op, group[k].type[n]);
		if (have == n)
			onx_buf_fmt(out, "%s%s", out->len > before ? ", " : "", group[k].name);
		for (int i = 0; have && have < n && i < n; i++)
			if (takes(op, group[k].type[i]))
				onx_buf_fmt(out, "%s%s", out->len > before ? ", " : "",
					    onx_dtype_name(group[k].type[i]));
	}
	if (out->len == before)
		onx_buf_str(out, op->max_in > 0 ? "?" : "no input");
}
