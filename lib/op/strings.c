/* op/strings.c -- operators on texts: StringNormalizer, StringConcat, StringSplit.  What a text
 * tensor holds is not laid out by a plan: each rule makes its result while it infers, from inputs that are known. */
#include <locale.h>
#include <string.h>
#include <wctype.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "tensor/seq.h"

static const char *text_at(const struct onx_view *v, size_t i)
{
	return ((const char *const *)v->v)[i];
}

static int texts(const struct onx_infer *s, int i, const struct onx_view **v, struct onx_err *e)
{
	if (s->in[i].type != ONX_STRING)
		return onx_fail(e, ONX_SHAPE, "input %d is %s, wanted strings", i, onx_dtype_name(s->in[i].type));
	return onx_in_known(s, i, v, e);
}

static struct onx_view *new_texts(struct onx_infer *s, int rank, const int64_t *dim)
{
	static const char nothing[] = "";
	struct onx_view *y = onx_tensor_new(s->mem, ONX_STRING, rank, dim, sizeof(char *));

	for (size_t i = 0; y && i < y->n; i++)
		((const char **)y->v)[i] = nothing;
	return y;
}

/* ---- StringNormalizer -------------------------------------------------------------------------------- */
enum { NONE, LOWER, UPPER };
static const char *const cases[] = { "NONE", "LOWER", "UPPER", NULL };
struct normalizer { int change; bool sensitive; const char *locale; struct onx_strs stop; };
static const struct onx_field norm_field[] = {
	{ "case_change_action", F_ENUM, offsetof(struct normalizer, change), .def = "NONE", .choices = cases,
	  .help = "of what is left" },
	{ "is_case_sensitive", F_BOOL, offsetof(struct normalizer, sensitive), .def = "0",
	  .help = "a stop word must agree in case, too" },
	{ "locale", F_STR, offsetof(struct normalizer, locale), .def = "", .help = "not looked at: Unicode's rules" },
	{ "stopwords", F_STRS, offsetof(struct normalizer, stop), .def = "", .help = "left out" },
	{ .name = NULL }
};
static const struct onx_table norm_table = { "StringNormalizer", sizeof(struct normalizer), norm_field,
					     .check = NULL };

/* The code point at *at, which moves on; a byte that is no UTF-8 stands for itself, above all code points. */
enum { RAW = 0x110000 };

static unsigned long decode(const unsigned char **at)
{
	const unsigned char *p = *at;
	const int more = *p >= 0xf0 && *p < 0xf8 ? 3 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xc2 && *p < 0xe0 ? 1 : 0;
	unsigned long c = more ? *p & (0x3fu >> more) : *p;

	for (int i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*at = p + 1;
			return RAW + (unsigned long)*p;
		}
		c = c << 6 | (p[i] & 0x3fu);
	}
	*at = p + more + 1;
	return more || *p < 0x80 ? c : RAW + (unsigned long)*p;
}

static char *encode(unsigned long c, char *to)
{
	if (c >= RAW) {
		*to++ = (char)(unsigned char)(c - RAW);
	} else if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* In the other case, in memory of s; NULL on shortage of memory. */
static const char *in_case(struct onx_infer *s, const char *text, int change, locale_t unicode)
{
	char *const out = onx_alloc(s->mem, strlen(text) * 4 + 1, 1);
	const unsigned char *at = (const unsigned char *)text;
	char *to = out;

	while (out && *at) {
		const unsigned long c = decode(&at);

		if (c >= RAW || change == NONE)
			to = encode(c, to);
		else
			to = encode(change == LOWER ? towlower_l((wint_t)c, unicode)
						    : towupper_l((wint_t)c, unicode), to);
	}
	return out;
}

static int kept(struct onx_infer *s, const struct normalizer *a, const struct onx_view *x, const char **to, size_t *n,
		locale_t unicode, struct onx_err *e)
{
	const char **stop = ONX_NEWS(s->mem, const char *, a->stop.n + 1);

	*n = 0;
	for (size_t k = 0; stop && k < a->stop.n; k++)
		if (!(stop[k] = in_case(s, a->stop.v[k], a->sensitive ? NONE : LOWER, unicode)))
			stop = NULL;
	for (size_t i = 0; stop && i < x->n; i++) {
		const char *const like = in_case(s, text_at(x, i), a->sensitive ? NONE : LOWER, unicode);
		bool out = !like;

		for (size_t k = 0; !out && k < a->stop.n; k++)
			out = strcmp(like, stop[k]) == 0;
		if (!like || (!out && !(to[(*n)++] = in_case(s, text_at(x, i), a->change, unicode))))
			stop = NULL;
	}
	return stop ? ONX_OK : onx_nomem(e, (double)x->n, "texts");
}

/* Where nothing is left: one empty text. */
static int normalizer_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x;
	int rc = texts(s, 0, &x, e);
	size_t n = 0;

	if (rc < 0)
		return rc;
	if (x->rank < 1 || x->rank > 2 || (x->rank == 2 && x->dim[0] != 1))
		return onx_fail(e, ONX_SHAPE, "input 0 has %d dimensions, wanted [C] or [1, C]", x->rank);
	const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	const char **to = ONX_NEWS(s->mem, const char *, x->n + 1);

	if (!unicode || !to)
		rc = onx_nomem(e, (double)x->n, "texts");
	else
		rc = kept(s, attr, x, to, &n, unicode, e);
	if (unicode)
		freelocale(unicode);
	if (rc < 0)
		return rc;
	const int64_t dim[2] = { x->rank == 2 ? 1 : (int64_t)(n ? n : 1), (int64_t)(n ? n : 1) };
	struct onx_view *y = new_texts(s, x->rank, dim);

	if (y && n)
		memcpy(y->v, to, n * sizeof *to);
	return onx_give(s, 0, y, e);
}

/* ---- StringConcat, StringSplit ----------------------------------------------------------------------- */

static int concat_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x[2];
	int rc = texts(s, 0, &x[0], e);

	(void)attr;
	if (rc < 0 || (rc = texts(s, 1, &x[1], e)) < 0 || (rc = onx_infer_broadcast(s, NULL, e)) < 0)
		return rc;
	const struct onx_shape shape = s->out[0].shape;
	struct onx_view *y = new_texts(s, shape.rank, shape.dim);

	for (size_t i = 0; y && i < y->n; i++) {
		const char *part[2];

		for (int k = 0; k < 2; k++) {
			size_t at = 0, step = 1, rest = i;

			for (int d = shape.rank, own = x[k]->rank; d-- > 0; rest /= (size_t)shape.dim[d])
				if (own-- > 0) {
					at += x[k]->dim[own] == 1 ? 0 : rest % (size_t)shape.dim[d] * step;
					step *= (size_t)x[k]->dim[own];
				}
			part[k] = text_at(x[k], at);
		}
		if (!(((const char **)y->v)[i] = onx_text(s->mem, "%s%s", part[0], part[1])))
			return onx_nomem(e, 64, "texts");
	}
	return onx_give(s, 0, y, e);
}

struct split { const char *delimiter; int64_t most; };
static const struct onx_field split_field[] = {
	{ "delimiter", F_STR, offsetof(struct split, delimiter), .def = "",
	  .help = "between the pieces; none: any run of blanks" },
	{ "maxsplit", F_INT, offsetof(struct split, most), .def = "-1", .min = -1, .max = 1e18,
	  .help = "cuts at most; -1: all" },
	{ .name = NULL }
};
static const struct onx_table split_table = { "StringSplit", sizeof(struct split), split_field, .check = NULL };

static const char blanks[] = " \t\n\v\f\r";

/* The next piece from *at on and its length; *at NULL: it was the last.  cut: there may be another cut. */
static const char *piece(const struct split *a, const char **at, bool cut, size_t *len)
{
	const bool any = !a->delimiter || !*a->delimiter;
	const char *const from = any ? *at + strspn(*at, blanks) : *at;
	const char *end = !cut ? NULL : any ? strpbrk(from, blanks) : strstr(from, a->delimiter);

	*len = end ? (size_t)(end - from) : strlen(from);
	*at = end ? end + (any ? strspn(end, blanks) : strlen(a->delimiter)) : NULL;
	if (any && *at && !**at)
		*at = NULL;
	return from;
}

/* Counts the pieces of a text, and puts them to `to` unless that is NULL; SIZE_MAX on shortage of memory. */
static size_t pieces(struct onx_infer *s, const struct split *a, const char *text, const char **to)
{
	const char *at = text;
	size_t n = 0;

	if ((!a->delimiter || !*a->delimiter) && !text[strspn(text, blanks)])
		return 0;
	while (at) {
		size_t len;
		const char *const from = piece(a, &at, a->most < 0 || n < (size_t)a->most, &len);

		if (to && !(to[n] = onx_text(s->mem, "%.*s", (int)len, from)))
			return SIZE_MAX;
		n++;
	}
	return n;
}

static int split_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct onx_view *x;
	size_t most = 0;
	int rc = texts(s, 0, &x, e);

	if (rc < 0)
		return rc;
	if (x->rank >= ONX_RANK)
		return onx_fail(e, ONX_SHAPE, "input 0 has %d dimensions, wanted at most %d", x->rank, ONX_RANK - 1);
	int64_t dim[ONX_RANK] = { 0 };

	for (int d = 0; d < x->rank; d++)
		dim[d] = x->dim[d];
	struct onx_view *count = onx_tensor_new(s->mem, ONX_INT64, x->rank, dim, 8);

	for (size_t i = 0; count && i < x->n; i++) {
		const size_t n = pieces(s, attr, text_at(x, i), NULL);

		((int64_t *)count->v)[i] = (int64_t)n;
		most = n > most ? n : most;
	}
	dim[x->rank] = (int64_t)most;
	struct onx_view *y = new_texts(s, x->rank + 1, dim);

	for (size_t i = 0; y && count && i < x->n; i++)
		if (pieces(s, attr, text_at(x, i), (const char **)y->v + i * most) == SIZE_MAX)
			return onx_nomem(e, 64, "texts");
	rc = onx_give(s, 0, y, e);
	return rc < 0 ? rc : onx_give(s, 1, count, e);
}

#define RULE(name, v, ins, outs, rule, table)                                                                \
	{ .domain = "", .type = name, .since = v, .min_in = ins, .max_in = ins, .min_out = 1, .max_out = outs, \
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = table, .infer = rule##_infer }
const struct onx_op ONX_R(onx_ops_strings)[] = {
	RULE("StringNormalizer", 10, 1, 1, normalizer, &norm_table),
	RULE("StringConcat", 20, 2, 1, concat, NULL),
	RULE("StringSplit", 20, 1, 2, split, &split_table),
	{ .type = NULL }
};
