/* graph/gradient_spell.c -- operators written out, so that their gradients have gradients.
 *
 * A Backward in a sub-graph that is differentiated once more is replaced: the operator's own forward pass as nodes that
 * have second derivatives (gradient_second.c, or rows of the table again), and the way back through them from dy.  So
 * a row says what an operator computes, and every derivative of it, to any order, follows from that.  Where that is no
 * way (a determinant, a product of zeros), the row says what comes back, through the operator itself: that has a
 * derivative again, which is the same row's. */
#include <stdlib.h>
#include <string.h>
#include "graph/gradient_i.h"

#include "graph/gradient_rows.inc"

enum { NAMES = 64, WORDS = 8, OUTPUTS = 4 };
struct spell {
	struct onx_gradient *x;
	const struct onx_backward_attr *a;
	const uint32_t *in; uint32_t n_in;      /* the operator's inputs                 */
	uint32_t dy;                            /* the gradient of y0                    */
	struct { const char *name; uint32_t id; } name[NAMES];
	int n_name;
};

static const struct row *row_of(const struct spell *s)
{
	unsigned have = 0;
	for (uint32_t i = 0; i < s->n_in && i < 16; i++)
		have |= (unsigned)(s->in[i] != ONX_NONE) << i;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *r = &rows[i];
		if (s->a->version >= r->since && s->a->version <= r->until && (r->need & ~have) == 0 &&
		    (r->none & have) == 0 && onx_grad_about(s->a, r->type, r->when))
			return r;
	}
	return NULL;
}

/* ---- values ---- */

static int whole(struct spell *s, const int64_t *v, size_t n, uint32_t *id, struct onx_err *e)
{
	int64_t *copy = ONX_NEWS(&s->x->b->arena, int64_t, n + 1);
	if (!copy)
		return onx_nomem(e, 8.0 * (double)n, "a gradient");
	memcpy(copy, v, n * sizeof *v);
	const struct onx_file_attr a = onx_attr_ints("value_ints", copy, n);
	return onx_grad_put(s->x, "Constant", &a, NULL, 0, id, e);
}

/* [0,$groups,-1] */
static int numbers(struct spell *s, const char *w, int64_t *v, size_t *count, struct onx_err *e)
{
	size_t n = 0;
	for (const char *p = w; *p && *p != ']' && n < 8; p += strcspn(p, ",]")) {
		struct onx_file_attr a = { .i = 0 };
		char name[24];
		p++;
		const size_t len = strcspn(p, ",]");
		if (*p == ']')
			break;
		if (*p == '$') {
			memcpy(name, p + 1, len - 1);
			name[len - 1] = 0;
			if (!onx_grad_attr(s->a, name, &a))
				return onx_fail(e, ONX_UNSUP, "gradients of a gradient: %s without '%s'",
						s->a->op->type, name);
			v[n++] = a.i;
		} else {
			v[n++] = strtoll(p, NULL, 10);
		}
	}
	*count = n;
	return ONX_OK;
}

static int list(struct spell *s, const char *w, uint32_t *id, struct onx_err *e)
{
	int64_t v[8];
	size_t n;
	int rc = numbers(s, w, v, &n, e);
	return rc < 0 ? rc : whole(s, v, n, id, e);
}

/* All axes from the one that the attribute says. */
static int from_axis(struct spell *s, uint32_t *id, struct onx_err *e)
{
	struct onx_file_attr a;
	const struct onx_file_attr one = onx_attr_int("value_int", 1);
	uint32_t at[3], shape;
	if (!onx_grad_attr(s->a, "axis", &a))
		a.i = -1;
	if (a.i < -ONX_RANK)
		return onx_fail(e, ONX_SHAPE, "%s has axis %lld", s->a->op->type, (long long)a.i);
	if (a.i < 0) {
		int64_t v[ONX_RANK];
		for (int64_t i = a.i; i < 0; i++)
			v[i - a.i] = i;
		return whole(s, v, (size_t)-a.i, id, e);
	}
	const struct onx_file_attr first = onx_attr_int("value_int", a.i);
	int rc = onx_grad_put(s->x, "Constant", &first, NULL, 0, &at[0], e);
	if (rc == ONX_OK)
		rc = onx_grad_put(s->x, "Shape", NULL, s->in, 1, &shape, e);
	if (rc == ONX_OK)
		rc = onx_grad_put(s->x, "Size", NULL, &shape, 1, &at[1], e);
	if (rc == ONX_OK)
		rc = onx_grad_put(s->x, "Constant", &one, NULL, 0, &at[2], e);
	return rc < 0 ? rc : onx_grad_put(s->x, "Range", NULL, at, 3, id, e);
}

static int like(struct spell *s, double number, uint32_t *id, struct onx_err *e)
{
	const struct onx_file_attr a = onx_attr_float("value_float", number);
	uint32_t k = 0, at[2] = { 0, 0 };
	while (k + 1 < s->n_in && (s->in[k] == ONX_NONE || onx_op_grad(s->a->op, (int)k) != ONX_G_DIFF))
		k++;
	at[1] = s->in[k];
	int rc = onx_grad_put(s->x, "Constant", &a, NULL, 0, &at[0], e);
	return rc < 0 ? rc : onx_grad_put(s->x, "CastLike", NULL, at, 2, id, e);
}

/* The activation at the end of FusedConv and FusedGemm (op/fuse.h). */
static int fused(struct spell *s, uint32_t in, uint32_t *out, struct onx_err *e)
{
	static const char *const names[] = { "alpha", "beta" };
	struct onx_file_attr a, attr[2];
	uint32_t at[3] = { in, ONX_NONE, ONX_NONE }, n_in = 1;
	size_t n = 0;
	double v;
	int rc = ONX_OK;
	const char *type = onx_grad_attr(s->a, "activation", &a) ? a.s : "";
	if (strcmp(type, "Clip") == 0) {
		for (size_t i = 0; rc == ONX_OK && i < 2; i++)
			if (onx_grad_fused(s->a, i, &v))
				rc = like(s, v, &at[n_in = (uint32_t)i + 1], e);
		n_in = at[2] != ONX_NONE ? 3 : at[1] != ONX_NONE ? 2 : 1;
	} else if (strcmp(type, "LeakyRelu") == 0 || strcmp(type, "HardSigmoid") == 0) {
		for (; n < (*type == 'L' ? 1 : 2) && onx_grad_fused(s->a, n, &v); n++)
			attr[n] = onx_attr_float(names[n], v);
	} else if (strcmp(type, "GeluTanh") == 0) {
		attr[n++] = (struct onx_file_attr){ .name = "approximate", .type = ONX_ATTR_STRING, .s = "tanh",
						    .s_len = 4 };
	}
	type = !*type ? "Identity" : strcmp(type, "Silu") == 0 ? "Swish" : strcmp(type, "GeluTanh") == 0 ? "Gelu"
	       : type;
	*out = 0;
	return rc < 0 ? rc : onx_grad_node(s->x, type, attr, n, at, n_in, out, 1, e);
}

/* What a word among the inputs stands for. */
static int value(struct spell *s, const char *w, uint32_t *id, struct onx_err *e)
{
	struct onx_file_attr a;
	*id = ONX_NONE;
	if (*w >= '0' && *w <= '9') {
		*id = (uint32_t)(*w - '0') < s->n_in ? s->in[*w - '0'] : ONX_NONE;
	} else if (*w == '#') {
		return like(s, strtod(w + 1, NULL), id, e);
	} else if (*w == '%') {
		if (!onx_grad_attr(s->a, w + 1, &a))
			return onx_fail(e, ONX_UNSUP, "gradients of a gradient: %s without '%s'", s->a->op->type,
					w + 1);
		return like(s, a.type == ONX_ATTR_INT ? (double)a.i : (double)a.f, id, e);
	} else if (*w == '[') {
		return list(s, w, id, e);
	} else if (strcmp(w, "@axis") == 0) {
		return from_axis(s, id, e);
	} else if (strcmp(w, "dy") == 0) {
		*id = s->dy;
	} else if (*w == '@') {
		if (onx_grad_attr(s->a, w + 1, &a))
			return whole(s, a.ints, a.n, id, e);
		*id = s->n_in > 1 ? s->in[1] : ONX_NONE;
	}
	for (int i = 0; i < s->n_name; i++)
		if (strcmp(s->name[i].name, w) == 0)
			*id = s->name[i].id;
	return ONX_OK;
}

/* ---- nodes ---- */

struct node {
	char *type;
	uint32_t in[WORDS], out[WORDS];
	char *name[WORDS];              /* of the outputs */
	struct onx_file_attr attr[WORDS];
	uint32_t n_in, n_out;
	size_t n_attr;
};

/* name=3, name=SAME_UPPER, name=[$size,1] */
static int given(struct spell *s, struct node *n, const char *name, const char *v, struct onx_err *e)
{
	struct onx_file_attr *a = &n->attr[n->n_attr++];
	char *end;
	size_t count;
	*a = onx_attr_int(name, strtoll(v, &end, 10));
	if (*v == '[') {
		int64_t *list = ONX_NEWS(&s->x->b->arena, int64_t, WORDS);
		int rc = list ? numbers(s, v, list, &count, e) : onx_nomem(e, WORDS * sizeof *list, "a gradient");
		if (rc == ONX_OK)
			*a = onx_attr_ints(name, list, count);
		return rc;
	}
	if (*end)
		*a = (struct onx_file_attr){ .name = name, .type = ONX_ATTR_STRING, .s = onx_dup(&s->x->b->arena, v),
					     .s_len = strlen(v) };
	return !*end || a->s ? ONX_OK : onx_nomem(e, 64, "a gradient");
}

static int word(struct spell *s, char *w, char part, struct node *n, struct onx_err *e)
{
	char *eq = strchr(w, '=');
	if (!n->type) {
		n->type = w;
	} else if (part == '>') {
		n->name[n->n_out] = w;
		n->out[n->n_out++] = 0;
	} else if (part != ':') {
		return value(s, w, &n->in[n->n_in++], e);
	} else if (eq) {
		*eq = 0;
		return given(s, n, w, eq + 1, e);
	} else {
		n->n_attr += onx_grad_attr(s->a, w, &n->attr[n->n_attr]);
	}
	return ONX_OK;
}

static int one(struct spell *s, char *text, struct onx_err *e)
{
	struct node n = { .n_in = 0 };
	char part = 0, *rest = text;
	int rc = ONX_OK;
	for (char *w; rc == ONX_OK && (w = strtok_r(rest, " ", &rest)) != NULL; )
		if (strcmp(w, ">") == 0 || strcmp(w, ":") == 0)
			part = *w;
		else
			rc = word(s, w, part, &n, e);
	while (n.n_in && n.in[n.n_in - 1] == ONX_NONE)
		n.n_in--;
	if (rc == ONX_OK && strcmp(n.type, "self") == 0)
		rc = onx_grad_again(s->x, s->a, n.in, n.n_in, n.out, n.n_out, e);
	else if (rc == ONX_OK && strcmp(n.type, "fused") == 0)
		rc = fused(s, n.in[0], n.out, e);
	else if (rc == ONX_OK)
		rc = onx_grad_node(s->x, n.type, n.attr, n.n_attr, n.in, n.n_in, n.out, n.n_out, e);
	for (uint32_t i = 0; rc == ONX_OK && i < n.n_out && s->n_name < NAMES; i++) {
		s->name[s->n_name].name = n.name[i];
		s->name[s->n_name++].id = n.out[i];
	}
	return rc;
}

static int forward(struct spell *s, const char *text, struct onx_err *e)
{
	char *copy = onx_dup(&s->x->mem, text);
	int rc = copy ? ONX_OK : onx_nomem(e, 256, "a gradient");
	for (char *next; rc == ONX_OK && copy; copy = next) {
		if ((next = strchr(copy, ';')) != NULL)
			*next++ = 0;
		rc = one(s, copy, e);
	}
	return rc;
}

/* Max and Min of more than two: two at a time. */
static int pairs(struct spell *s, struct onx_err *e)
{
	uint32_t at[2] = { s->in[0], 0 }, y = s->in[0];
	int rc = ONX_OK;
	for (uint32_t i = 1; rc == ONX_OK && i < s->n_in; i++) {
		at[0] = y;
		at[1] = s->in[i];
		y = 0;
		rc = onx_grad_node(s->x, s->a->op->type, NULL, 0, at, 2, &y, 1, e);
	}
	s->name[0].name = "y0";
	s->name[0].id = y;
	s->n_name = 1;
	return rc;
}

static bool many(const struct spell *s)
{
	return *s->a->op->domain == 0 && s->n_in > 2 && s->a->version >= 8 &&
	       (strcmp(s->a->op->type, "Max") == 0 || strcmp(s->a->op->type, "Min") == 0);
}

/* An input that is there twice gets two names, since each has a gradient of its own. */
static int apart(struct spell *s, uint32_t *in, struct onx_err *e)
{
	int rc = ONX_OK;
	for (uint32_t i = 1; rc == ONX_OK && i < s->n_in; i++)
		for (uint32_t k = 0; k < i; k++)
			if (in[i] != ONX_NONE && in[i] == s->in[k]) {
				const uint32_t from = in[i];
				rc = onx_grad_put(s->x, "Identity", NULL, &from, 1, &in[i], e);
				break;
			}
	return rc;
}

/* The gradients d0, d1, ... that a row gave itself. */
static int slopes(struct spell *s, uint32_t *dx, struct onx_err *e)
{
	for (uint32_t k = 0; k < s->n_in; k++) {
		const char name[3] = { 'd', (char)('0' + k), 0 };
		int rc = dx[k] == ONX_NONE ? ONX_OK : value(s, name, &dx[k], e);
		if (rc < 0)
			return rc;
	}
	return 1;
}

int onx_grad_written(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		     uint32_t *dx, struct onx_err *e)
{
	struct spell *s = ONX_NEW(&x->mem, struct spell);
	const uint32_t n_y = (uint32_t)a->n_y, n = n_in - n_y;
	uint32_t *arg = ONX_NEWS(&x->mem, uint32_t, n + 1u), y[OUTPUTS];
	if (!s || !arg)
		return onx_nomem(e, 4.0 * n, "a gradient");
	memcpy(arg, in + n_y, n * sizeof *arg);
	*s = (struct spell){ .x = x, .a = a, .in = in + n_y, .n_in = n, .dy = in[0] };
	const struct row *r = row_of(s);
	if (!r && !many(s))
		return 0;
	const uint32_t first = x->b->n_node;
	int rc = apart(s, arg, e);
	s->in = arg;
	if (rc == ONX_OK)
		rc = r ? forward(s, r->text, e) : pairs(s, e);
	if (rc == ONX_OK && r && strstr(r->text, "> d0"))
		return slopes(s, dx, e);
	for (uint32_t i = 0; rc == ONX_OK && i < OUTPUTS; i++) {
		const char name[3] = { 'y', (char)('0' + i), 0 };
		rc = value(s, name, &y[i], e);
		if (rc == ONX_OK && i < n_y && in[i] != ONX_NONE && y[i] == ONX_NONE)
			rc = onx_fail(e, ONX_UNSUP, "gradients of a gradient: output %u of %s has no second derivative "
				      "here", i, a->op->type);
	}
	if (rc == ONX_OK)
		rc = onx_grad_region(x, first, y, in, n_y < OUTPUTS ? n_y : OUTPUTS, arg, dx, n, e);
	return rc < 0 ? rc : 1;
}
