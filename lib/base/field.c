/* base/field.c -- settings by table: defaults, setting, showing.  Text to numbers is in parse.c,
 * nearest names in near.c. */
#include "base/field.h"
#include <assert.h>
#include <math.h>
#include <string.h>
#include <strings.h>

/* The union of what a field can hold, at its place in obj. */
union slot {
	bool *flag;
	int64_t *whole;
	double *number;
	const char **text;
	int *choice;
	struct onx_ints *ints;
	struct onx_reals *reals;
	struct onx_strs *strs;
	void *any;
};

static union slot slot_of(const struct onx_field *f, void *obj)
{
	return (union slot){ .any = (char *)obj + f->off };
}

static bool limited(const struct onx_field *f)
{
	return f->min != 0 || f->max != 0;
}

static bool in_range(const struct onx_field *f, double v)
{
	return !limited(f) || (v >= f->min && v <= f->max);     /* NaN is in no range */
}

static void mark_given(const struct onx_table *t, const struct onx_field *f, void *obj)
{
	if (t->given)
		*(uint64_t *)(void *)((char *)obj + t->given) |= UINT64_C(1) << (f - t->field);
}

bool onx_given(const struct onx_table *t, const void *obj, const char *name)
{
	const struct onx_field *f = onx_find(t, name);

	if (!f || !t->given)
		return false;
	return *(const uint64_t *)(const void *)((const char *)obj + t->given) >> (f - t->field) & 1;
}

const struct onx_field *onx_find(const struct onx_table *t, const char *name)
{
	for (const struct onx_field *f = t->field; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* ---- faults and wants ---------------------------------------------------------------------- */

static void range_text(const struct onx_field *f, struct onx_buf *out)
{
	if (!limited(f))
		return;
	if (f->max >= 1e15 && f->min <= -1e15)
		return;
	if (f->max >= 1e15)
		onx_buf_fmt(out, ", at least %.10g", f->min);
	else if (f->min <= -1e15)
		onx_buf_fmt(out, ", at most %g", f->max);
	else
		onx_buf_fmt(out, " in [%.10g, %.10g]", f->min, f->max);
}

void onx_field_want(const struct onx_field *f, struct onx_buf *out)
{
	static const char *const word[] = {
		[F_BOOL] = "yes or no", [F_INT] = "whole number", [F_REAL] = "number",
		[F_SIZE] = "size such as 512M", [F_STR] = "text", [F_ENUM] = "one of ",
		[F_INTS] = "whole numbers with commas between", [F_REALS] = "numbers with commas between",
		[F_STRS] = "one or more texts", [F_TENSOR] = "tensor", [F_GRAPH] = "graph",
		[F_MAP] = "section with keys of its own"
	};

	onx_buf_str(out, word[f->kind]);
	if (f->kind == F_ENUM)
		for (size_t i = 0; f->choices[i]; i++)
			onx_buf_fmt(out, "%s%s", i ? ", " : "", f->choices[i]);
	else if (f->kind != F_BOOL && f->kind != F_STR)
		range_text(f, out);
}

static int refuse(const struct onx_field *f, const char *text, struct onx_err *e)
{
	struct onx_buf want = { 0 };
	const char *near = NULL;
	size_t n = 0;

	onx_field_want(f, &want);
	if (f->kind == F_ENUM) {
		while (f->choices[n])
			n++;
		near = onx_nearest(f->choices, n, text);
	}
	int rc = onx_fail(e, ONX_USAGE, "'%s' must be %s%s, not '%.200s'%s%s%s", f->name,
			  f->kind == F_INT || f->kind == F_REAL || f->kind == F_SIZE ? "a " : "",
			  want.data ? want.data : "otherwise", text, near ? "; nearest is '" : "",
			  near ? near : "", near ? "'" : "");
	onx_buf_release(&want);
	return rc;
}

/* ---- setting ------------------------------------------------------------------------------- */

static int parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (strcasecmp(s, yes[i]) == 0 || strcasecmp(s, no[i]) == 0) {
			*out = strcasecmp(s, yes[i]) == 0;
			return ONX_OK;
		}
	return ONX_USAGE;
}

static int parse_choice(const struct onx_field *f, const char *s, int *out)
{
	for (int i = 0; f->choices[i]; i++)
		if (strcmp(f->choices[i], s) == 0) {
			*out = i;
			return ONX_OK;
		}
	return ONX_USAGE;
}

static int set_list(const struct onx_field *f, void *obj, const char *const *text, size_t n,
		    struct onx_arena *a, struct onx_err *e)
{
	const size_t each = f->kind == F_INTS ? sizeof(int64_t) : f->kind == F_REALS ? sizeof(double)
										    : sizeof(char *);
	union slot s = slot_of(f, obj);
	void *v = n ? onx_alloc(a, n, each) : NULL;

	if (n && !v)
		return onx_nomem(e, (double)n * (double)each, f->name);
	for (size_t i = 0; i < n; i++) {
		int rc = ONX_OK;
		double x = 0;
		if (f->kind == F_INTS) {
			rc = onx_parse_int(text[i], &((int64_t *)v)[i]);
			x = rc < 0 ? 0 : (double)((int64_t *)v)[i];
		} else if (f->kind == F_REALS) {
			rc = onx_parse_real(text[i], &((double *)v)[i]);
			x = ((double *)v)[i];
		} else if (!(((char **)v)[i] = onx_dup(a, text[i]))) {
			return onx_nomem(e, (double)strlen(text[i]), f->name);
		}
		if (rc < 0 || (f->kind != F_STRS && !in_range(f, x)))
			return refuse(f, text[i], e);
	}
	if (f->kind == F_INTS)
		*s.ints = (struct onx_ints){ v, n };
	else if (f->kind == F_REALS)
		*s.reals = (struct onx_reals){ v, n };
	else
		*s.strs = (struct onx_strs){ v, n };
	return ONX_OK;
}

/* "1,2,3" in pieces; "" is the empty list. */
static int split_and_set(const struct onx_field *f, void *obj, const char *text, struct onx_arena *a,
			 struct onx_err *e)
{
	size_t n = *text != 0;
	char *copy = onx_dup(a, text);

	for (const char *p = text; *p; p++)
		n += *p == ',';
	const char **piece = onx_alloc(a, n, sizeof *piece);
	if (!copy || !piece)
		return onx_nomem(e, (double)strlen(text), f->name);
	for (size_t i = 0; i < n; i++) {
		copy += strspn(copy, " ");
		piece[i] = copy;
		copy += strcspn(copy, ",");
		if (*copy)
			*copy++ = 0;
	}
	return set_list(f, obj, piece, n, a, e);
}

static int append_str(const struct onx_field *f, void *obj, const char *text, struct onx_arena *a,
		      struct onx_err *e)
{
	struct onx_strs *s = slot_of(f, obj).strs;
	const char **v = onx_alloc(a, s->n + 1, sizeof *v);
	char *copy = onx_dup(a, text);

	if (!v || !copy)
		return onx_nomem(e, (double)strlen(text), f->name);
	for (size_t i = 0; i < s->n; i++)
		v[i] = s->v[i];
	v[s->n] = copy;
	*s = (struct onx_strs){ v, s->n + 1 };
	return ONX_OK;
}

static int set_str(const struct onx_field *f, void *obj, const char *text, struct onx_arena *a,
		   struct onx_err *e)
{
	char *copy = *text ? onx_dup(a, text) : NULL;

	if (*text && !copy)
		return onx_nomem(e, (double)strlen(text), f->name);
	*slot_of(f, obj).text = copy;
	return ONX_OK;
}

static int set_value(const struct onx_field *f, void *obj, const char *text, struct onx_arena *a,
		     struct onx_err *e)
{
	union slot s = slot_of(f, obj);
	int64_t whole = 0;
	double number = 0;

	switch (f->kind) {
	case F_BOOL:
		return parse_bool(text, s.flag) < 0 ? refuse(f, text, e) : ONX_OK;
	case F_INT:
	case F_SIZE:
		if ((f->kind == F_INT ? onx_parse_int(text, &whole) : onx_parse_size(text, &whole)) < 0 ||
		    !in_range(f, (double)whole))
			return refuse(f, text, e);
		*s.whole = whole;
		return ONX_OK;
	case F_REAL:
		if (onx_parse_real(text, &number) < 0 || !in_range(f, number))
			return refuse(f, text, e);
		*s.number = number;
		return ONX_OK;
	case F_ENUM:
		return parse_choice(f, text, s.choice) < 0 ? refuse(f, text, e) : ONX_OK;
	case F_STR:
		return set_str(f, obj, text, a, e);
	case F_INTS:
	case F_REALS:
		return split_and_set(f, obj, text, a, e);
	case F_STRS:
		return append_str(f, obj, text, a, e);
	case F_TENSOR:
	case F_GRAPH:
	case F_MAP:
		break;
	}
	return refuse(f, text, e);
}

int onx_set(const struct onx_table *t, const struct onx_field *f, void *obj, const char *text,
	    struct onx_arena *a, struct onx_err *e)
{
	/* The user's first text takes the place of a default list, later ones are added to it. */
	if (f->kind == F_STRS && t->given && !onx_given(t, obj, f->name))
		*slot_of(f, obj).strs = (struct onx_strs){ 0 };
	int rc = set_value(f, obj, text, a, e);
	if (rc == ONX_OK)
		mark_given(t, f, obj);
	return rc;
}

int onx_set_list(const struct onx_table *t, const struct onx_field *f, void *obj,
		 const char *const *text, size_t n, struct onx_arena *a, struct onx_err *e)
{
	int rc;

	if (f->kind == F_INTS || f->kind == F_REALS || f->kind == F_STRS)
		rc = set_list(f, obj, text, n, a, e);
	else if (n == 1)
		rc = set_value(f, obj, text[0], a, e);
	else
		rc = onx_fail(e, ONX_USAGE, "'%s' takes one value, not a list of %zu", f->name, n);
	if (rc == ONX_OK)
		mark_given(t, f, obj);
	return rc;
}

int onx_defaults(const struct onx_table *t, void *obj, struct onx_arena *a, struct onx_err *e)
{
	memset(obj, 0, t->size);
	for (const struct onx_field *f = t->field; f->name; f++) {
		assert(f - t->field < 64);
		int rc = ONX_OK;
		if (f->kind == F_MAP)
			rc = onx_defaults(f->sub, (char *)obj + f->off, a, e);
		else if (f->def && (*f->def || (f->kind != F_STRS && f->kind != F_TENSOR &&
						f->kind != F_GRAPH)))
			rc = set_value(f, obj, f->def, a, e);
		if (rc < 0)
			return onx_while(e, rc, "taking the default of '%s.%s'", t->name, f->name);
	}
	return ONX_OK;
}

/* ---- showing ------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same double. */
static void show_real(double v, struct onx_buf *out)
{
	char text[32] = "";
	double back = 0;

	for (int digits = 6; digits <= 17; digits++) {
		struct onx_buf b = { 0 };
		onx_buf_fmt(&b, "%.*g", digits, v);
		if (b.len < sizeof text && b.data)
			memcpy(text, b.data, b.len + 1);
		onx_buf_release(&b);
		if (onx_parse_real(text, &back) == ONX_OK && (back == v || isnan(v)))
			break;
	}
	onx_buf_str(out, text);
}

static void show_size(int64_t v, struct onx_buf *out)
{
	static const char unit[] = "KMGT";
	size_t u = 0;

	while (v != 0 && v % 1024 == 0 && u < sizeof unit - 1) {
		v /= 1024;
		u++;
	}
	onx_buf_fmt(out, "%lld", (long long)v);
	if (u > 0)
		onx_buf_add(out, &unit[u - 1], 1);
}

void onx_field_show(const struct onx_field *f, const void *obj, struct onx_buf *out)
{
	const void *p = (const char *)obj + f->off;
	const char *text;

	switch (f->kind) {
	case F_BOOL:
		onx_buf_str(out, *(const bool *)p ? "yes" : "no");
		return;
	case F_INT:
		onx_buf_fmt(out, "%lld", (long long)*(const int64_t *)p);
		return;
	case F_REAL:
		show_real(*(const double *)p, out);
		return;
	case F_SIZE:
		show_size(*(const int64_t *)p, out);
		return;
	case F_STR:
		text = *(const char *const *)p;
		onx_buf_str(out, text ? text : "");
		return;
	case F_ENUM:
		onx_buf_str(out, f->choices[*(const int *)p]);
		return;
	case F_INTS:
		for (size_t i = 0; i < ((const struct onx_ints *)p)->n; i++)
			onx_buf_fmt(out, "%s%lld", i ? "," : "",
				    (long long)((const struct onx_ints *)p)->v[i]);
		return;
	case F_REALS:
		for (size_t i = 0; i < ((const struct onx_reals *)p)->n; i++) {
			onx_buf_str(out, i ? "," : "");
			show_real(((const struct onx_reals *)p)->v[i], out);
		}
		return;
	case F_STRS:
		for (size_t i = 0; i < ((const struct onx_strs *)p)->n; i++)
			onx_buf_fmt(out, "%s%s", i ? "," : "", ((const struct onx_strs *)p)->v[i]);
		return;
	case F_TENSOR:
	case F_GRAPH:
	case F_MAP:
		return;
	}
}
