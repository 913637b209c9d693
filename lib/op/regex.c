/* op/regex.c -- RegexFullMatch: which texts a pattern of RE2's syntax describes as a whole (specification,
 * version 20; https://github.com/google/re2/wiki/Syntax).
 *
 * The matcher is PCRE2.  What it knows beyond RE2 (back references, looking around, recursion, verbs, possessive
 * and atomic groups) is refused before it compiles a pattern, and so is what reads otherwise there.  Its memory
 * comes from the arena of the plan, and its steps are limited: a pattern that goes back without end is a
 * fault, not a hang. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "tensor/seq.h"

enum { MATCH_LIMIT = 2000000, HEAP_KIB = 64 * 1024, PATTERN_MOST = 1 << 16, NEST_MOST = 200 };

struct regex { const char *pattern; };
static const struct onx_field field[] = {
	{ "pattern", F_STR, offsetof(struct regex, pattern), .def = "", .help = "in RE2's syntax" },
	{ .name = NULL }
};
static const struct onx_table table = { "RegexFullMatch", sizeof(struct regex), field, .check = NULL };

static void *take(PCRE2_SIZE n, void *arena)
{
	return onx_alloc(arena, n, 1);
}

static void give_back(void *at, void *arena)
{
	(void)at, (void)arena;          /* the arena goes as a whole */
}

/* \Q...\E stands for itself: past it. */
static const char *past_quote(const char *p)
{
	const char *const end = strstr(p, "\\E");

	return end ? end + 2 : p + strlen(p);
}

/* The letters after a backslash that RE2 has; the others are punctuation, which stands for itself. */
static bool escape_known(char c, bool class)
{
	const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9');

	return !word || (c && strchr(class ? "aftnrvxdDsSwWpP" : "aftnrvxdDsSwWpPAzbB", c));
}

/* After "(?": flags, a name, or nothing that RE2 knows. */
static bool group_known(const char *p)
{
	if (p[0] == 'P')
		return p[1] == '<';
	const size_t flags = strspn(p, "imsU-");

	return p[flags] == ':' || (flags > 0 && p[flags] == ')');
}

/* Past one class "[...]", p behind the "["; NULL: an escape that RE2 lacks. */
static const char *past_class(const char *p)
{
	p += *p == '^';
	p += *p == ']';                 /* first, it is a member */
	while (*p && *p != ']') {
		if (p[0] == '[' && (p[1] == '.' || p[1] == '='))
			return NULL;            /* collating elements */
		if (p[0] == '[' && p[1] == ':') {
			const char *const end = strstr(p, ":]");
			p = end ? end + 2 : p + 1;
		} else if (*p == '\\') {
			if (!p[1] || !escape_known(p[1], true))
				return NULL;
			p += 2;
		} else {
			p++;
		}
	}
	return *p ? p + 1 : p;
}

/* Past "\x{e9}", "\pL", "\d": p behind the backslash. */
static const char *past_escape(const char *p)
{
	const char *const end = *p && strchr("xpP", *p) && p[1] == '{' ? strchr(p, '}') : NULL;

	return end ? end + 1 : p + 1;
}

/* Past a repetition "*", "+?", "{2,3}" at p, or p; NULL: a possessive one. */
static const char *past_repeat(const char *p)
{
	const char *to = p;

	if (*p == '*' || *p == '+' || *p == '?') {
		to = p + 1;
	} else if (*p == '{' && p[1] >= '0' && p[1] <= '9') {
		to = p + 1 + strspn(p + 1, "0123456789,");
		if (*to++ != '}')
			return p;
	}
	if (to == p)
		return p;
	return *to == '+' ? NULL : to + (*to == '?');
}

/* NULL where the pattern keeps to what RE2 and PCRE2 share; else where it leaves it. */
static const char *foreign(const char *pattern)
{
	const char *p = pattern;

	while (*p) {
		const char *const at = p, *next;

		if (p[0] == '\\' && p[1] == 'Q') {
			p = past_quote(p + 2);
		} else if (*p == '\\') {
			if (!p[1] || !escape_known(p[1], false))
				return at;
			p = past_escape(p + 1);
		} else if (*p == '[') {
			if (!(p = past_class(p + 1)))
				return at;
		} else if (p[0] == '(' && (p[1] == '*' || (p[1] == '?' && !group_known(p + 2)))) {
			return at;
		} else {
			p += p[0] == '(' && p[1] == '?' ? 2 : 1;
		}
		if (!(next = past_repeat(p)))
			return p;
		p = next;
	}
	return NULL;
}

struct matcher { pcre2_code *code; pcre2_match_data *data; pcre2_match_context *limits; };

static int compile(struct matcher *m, const char *pattern, struct onx_arena *mem, struct onx_err *e)
{
	const char *const bad = strlen(pattern) > PATTERN_MOST ? pattern : foreign(pattern);
	pcre2_general_context *own = pcre2_general_context_create(take, give_back, mem);
	pcre2_compile_context *how = own ? pcre2_compile_context_create(own) : NULL;
	PCRE2_SIZE where = 0;
	PCRE2_UCHAR why[128] = "";
	int code = 0;

	if (bad)
		return onx_fail(e, ONX_UNSUP, "the pattern leaves RE2's syntax at '%.20s'", bad);
	if (!how || !(m->limits = pcre2_match_context_create(own)))
		return onx_nomem(e, 1024, "a pattern");
	pcre2_set_newline(how, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(how, NEST_MOST);
	pcre2_set_match_limit(m->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(m->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(m->limits, HEAP_KIB);
	m->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY |
				PCRE2_NEVER_BACKSLASH_C | PCRE2_ANCHORED | PCRE2_ENDANCHORED |
				PCRE2_NO_AUTO_CAPTURE, &code, &where, how);
	if (!m->code) {
		pcre2_get_error_message(code, why, sizeof why);
		return onx_fail(e, ONX_FORMAT, "the pattern fails at byte %zu: %s", where, (const char *)why);
	}
	m->data = pcre2_match_data_create(1, own);
	return m->data ? ONX_OK : onx_nomem(e, 1024, "a pattern");
}

/* A text that is no UTF-8 matches nothing. */
static int matches(const struct matcher *m, const char *text, bool *yes, struct onx_err *e)
{
	const int rc = pcre2_match(m->code, (PCRE2_SPTR)text, strlen(text), 0, 0, m->data, m->limits);

	*yes = rc >= 0;
	if (rc == PCRE2_ERROR_NOMEMORY)
		return onx_nomem(e, 1024, "a match");
	if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT)
		return onx_fail(e, ONX_UNSUP, "the pattern takes more than %d steps for '%.20s'", MATCH_LIMIT, text);
	return ONX_OK;
}

static int regex_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct regex *a = attr;
	struct matcher m = { 0 };
	const struct onx_view *x;
	int rc = onx_want_type(s, 0, ONX_STRING, e);

	if (rc == ONX_OK)
		rc = onx_in_known(s, 0, &x, e);
	if (rc == ONX_OK)
		rc = compile(&m, a->pattern ? a->pattern : "", s->mem, e);
	if (rc < 0)
		return rc;
	struct onx_view *y = onx_tensor_new(s->mem, ONX_BOOL, x->rank, x->dim, 1);

	for (size_t i = 0; y && i < x->n && rc == ONX_OK; i++) {
		bool yes;
		rc = matches(&m, ((const char *const *)x->v)[i], &yes, e);
		onx_view_put_int(y, i, yes);
	}
	return rc < 0 ? rc : onx_give(s, 0, y, e);
}

const struct onx_op ONX_R(onx_ops_regex)[] = {
	{ .domain = "", .type = "RegexFullMatch", .since = 20, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = &table, .infer = regex_infer },
	{ .type = NULL }
};
