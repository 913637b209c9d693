/* base/json.c -- a tree of JSON values.  Text is read by jansson, of which this file is the only
 * user; it is written here, because numbers shall be the shortest that read back equal. */
#include "base/json.h"
#include "base/arena.h"
#include "base/field.h"
#include <jansson.h>
#include <math.h>
#include <string.h>

enum type { J_NULL, J_BOOL, J_INT, J_REAL, J_STR, J_ARRAY, J_OBJECT };

struct onx_json {
	enum type type;
	bool lost;                      /* something that was put in here found no memory */
	char *key;                      /* in the object above, else NULL */
	int64_t i;
	double r;
	char *s;
	struct onx_json **kid;
	size_t n, cap;
};

static struct onx_json *make(enum type type)
{
	struct onx_json *j = onx_heap(1, sizeof *j);

	if (j)
		j->type = type;
	return j;
}

struct onx_json *onx_json_object(void) { return make(J_OBJECT); }
struct onx_json *onx_json_array(void) { return make(J_ARRAY); }

void onx_json_free(struct onx_json *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		onx_json_free(j->kid[i]);
	onx_heap_free(j->kid);
	onx_heap_free(j->key);
	onx_heap_free(j->s);
	onx_heap_free(j);
}

/* ---- building ------------------------------------------------------------------------------ */

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	unsigned low = 0x80, high = 0xBF;
	size_t n;

	if (*s < 0x80)
		return 1;
	if (*s < 0xC2 || *s > 0xF4)
		return 0;
	n = *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : 4;
	if (*s == 0xE0)
		low = 0xA0;
	else if (*s == 0xED)
		high = 0x9F;
	else if (*s == 0xF0)
		low = 0x90;
	else if (*s == 0xF4)
		high = 0x8F;
	for (size_t i = 1; i < n; i++, low = 0x80, high = 0xBF)
		if (s[i] < low || s[i] > high)
			return 0;
	return n;
}

/* A copy in which bytes that are not UTF-8 became U+FFFD.  NULL: no memory. */
static char *clean_copy(const char *s)
{
	struct onx_buf b = { 0 };

	onx_buf_add(&b, "", 0);
	while (*s) {
		const size_t n = utf8_len((const unsigned char *)s);
		onx_buf_add(&b, n ? s : "\xEF\xBF\xBD", n ? n : 3);
		s += n ? n : 1;
	}
	if (b.lost)
		onx_buf_release(&b);
	return b.data;
}

static size_t find_key(const struct onx_json *j, const char *key)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->kid[i]->key && strcmp(j->kid[i]->key, key) == 0)
			return i;
	return j->n;
}

static bool room_for_kid(struct onx_json *j)
{
	if (j->n < j->cap)
		return true;
	const size_t cap = j->cap ? j->cap * 2 : 8;
	struct onx_json **kid = onx_heap_grow(j->kid, j->n * sizeof *kid, cap * sizeof *kid);
	if (!kid)
		return false;
	j->kid = kid;
	j->cap = cap;
	return true;
}

void onx_json_put(struct onx_json *j, const char *key, struct onx_json *child)
{
	if (!j || !child) {
		if (j)
			j->lost = true;
		onx_json_free(child);
		return;
	}
	if (key)
		child->key = clean_copy(key);
	const size_t at = child->key ? find_key(j, child->key) : j->n;
	if ((key && !child->key) || (at == j->n && !room_for_kid(j))) {
		j->lost = true;
		onx_json_free(child);
		return;
	}
	if (at < j->n)                  /* a key that is put again gets the new value */
		onx_json_free(j->kid[at]);
	else
		j->n++;
	j->kid[at] = child;
}

void onx_json_str(struct onx_json *j, const char *key, const char *v)
{
	struct onx_json *c = make(v ? J_STR : J_NULL);

	if (c && v && !(c->s = clean_copy(v))) {
		onx_json_free(c);
		c = NULL;
	}
	onx_json_put(j, key, c);
}

void onx_json_int(struct onx_json *j, const char *key, int64_t v)
{
	struct onx_json *c = make(J_INT);

	if (c)
		c->i = v;
	onx_json_put(j, key, c);
}

void onx_json_real(struct onx_json *j, const char *key, double v)
{
	struct onx_json *c = make(isfinite(v) ? J_REAL : J_NULL);

	if (c)
		c->r = v;
	onx_json_put(j, key, c);
}

void onx_json_bool(struct onx_json *j, const char *key, bool v)
{
	struct onx_json *c = make(J_BOOL);

	if (c)
		c->i = v;
	onx_json_put(j, key, c);
}

/* ---- printing ------------------------------------------------------------------------------ */

static void print_str(const char *s, struct onx_buf *out)
{
	onx_buf_str(out, "\"");
	for (; *s; s++) {
		const char *short_form = strchr("\"\"\\\\\nn\tt\rr\bb\ff", *s);
		if ((unsigned char)*s >= 0x20 && *s != '"' && *s != '\\')
			onx_buf_add(out, s, 1);
		else if (short_form)
			onx_buf_fmt(out, "\\%c", short_form[1]);
		else
			onx_buf_fmt(out, "\\u%04x", (unsigned char)*s);
	}
	onx_buf_str(out, "\"");
}

static void print_real(double v, struct onx_buf *out)
{
	const struct onx_field as_real = { .name = "", .kind = F_REAL };
	const size_t from = out->len;

	onx_field_show(&as_real, &v, out);
	if (!out->lost && !strpbrk(out->data + from, ".e"))
		onx_buf_str(out, ".0");         /* a real stays a real when it is read back */
}

static void new_line(bool pretty, int depth, struct onx_buf *out)
{
	if (!pretty)
		return;
	onx_buf_str(out, "\n");
	for (int i = 0; i < depth; i++)
		onx_buf_str(out, "  ");
}

/* Children of a number-only array stay on one line. */
static bool flat(const struct onx_json *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->type == J_OBJECT || j->kid[i]->type == J_ARRAY || j->kid[i]->type == J_OBJECT)
			return false;
	return true;
}

static void print_value(const struct onx_json *j, bool pretty, int depth, struct onx_buf *out);

static void print_kids(const struct onx_json *j, bool pretty, int depth, struct onx_buf *out)
{
	const bool lines = pretty && !flat(j);

	onx_buf_str(out, j->type == J_OBJECT ? "{" : "[");
	for (size_t i = 0; i < j->n; i++) {
		onx_buf_str(out, i == 0 ? "" : lines ? "," : ", ");
		new_line(lines, depth + 1, out);
		if (j->type == J_OBJECT) {
			print_str(j->kid[i]->key ? j->kid[i]->key : "", out);
			onx_buf_str(out, ": ");
		}
		print_value(j->kid[i], pretty, depth + 1, out);
	}
	new_line(lines && j->n > 0, depth, out);
	onx_buf_str(out, j->type == J_OBJECT ? "}" : "]");
}

static void print_value(const struct onx_json *j, bool pretty, int depth, struct onx_buf *out)
{
	if (j->lost)
		out->lost = true;
	switch (j->type) {
	case J_NULL:
		onx_buf_str(out, "null");
		return;
	case J_BOOL:
		onx_buf_str(out, j->i ? "true" : "false");
		return;
	case J_INT:
		onx_buf_fmt(out, "%lld", (long long)j->i);
		return;
	case J_REAL:
		print_real(j->r, out);
		return;
	case J_STR:
		print_str(j->s, out);
		return;
	case J_ARRAY:
	case J_OBJECT:
		print_kids(j, pretty, depth, out);
		return;
	}
}

int onx_json_print(const struct onx_json *j, bool pretty, struct onx_buf *out, struct onx_err *e)
{
	if (j)
		print_value(j, pretty, 0, out);
	if (!j || out->lost)
		return onx_nomem(e, (double)out->len, "JSON text");
	return ONX_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

static struct onx_json *convert(const json_t *v)
{
	struct onx_json *j, *root = make(J_NULL);
	const char *key;
	json_t *item;
	size_t i;

	if (!root)
		return NULL;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		root->type = J_OBJECT;
		json_object_foreach((json_t *)(uintptr_t)v, key, item) {
			j = convert(item);
			onx_json_put(root, key, j);
		}
		break;
	case JSON_ARRAY:
		root->type = J_ARRAY;
		json_array_foreach(v, i, item)
			onx_json_put(root, NULL, convert(item));
		break;
	case JSON_STRING:
		root->type = J_STR;
		root->s = clean_copy(json_string_value(v));
		root->lost = !root->s;
		break;
	case JSON_INTEGER:
		root->type = J_INT;
		root->i = json_integer_value(v);
		break;
	case JSON_REAL:
		root->type = J_REAL;
		root->r = json_real_value(v);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		root->type = J_BOOL;
		root->i = json_is_true(v);
		break;
	case JSON_NULL:
		break;
	}
	return root;
}

static bool any_lost(const struct onx_json *j)
{
	if (!j || j->lost)
		return true;
	for (size_t i = 0; i < j->n; i++)
		if (any_lost(j->kid[i]))
			return true;
	return false;
}

int onx_json_parse(const char *text, size_t n, struct onx_json **out, struct onx_err *e)
{
	json_error_t fault;
	json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);

	*out = NULL;
	if (!v)
		return onx_fail(e, ONX_FORMAT, "not JSON: %s (line %d, column %d)", fault.text, fault.line,
				fault.column);
	struct onx_json *j = convert(v);
	json_decref(v);
	if (any_lost(j)) {
		onx_json_free(j);
		return onx_nomem(e, (double)n, "JSON text");
	}
	*out = j;
	return ONX_OK;
}

const struct onx_json *onx_json_get(const struct onx_json *j, const char *key)
{
	if (!key)
		return j;
	if (!j || j->type != J_OBJECT)
		return NULL;
	const size_t at = find_key(j, key);
	return at < j->n ? j->kid[at] : NULL;
}

const struct onx_json *onx_json_at(const struct onx_json *j, size_t i)
{
	return j && j->type == J_ARRAY && i < j->n ? j->kid[i] : NULL;
}

size_t onx_json_len(const struct onx_json *j)
{
	return j && j->type == J_ARRAY ? j->n : 0;
}

const char *onx_json_text(const struct onx_json *j)
{
	return j && j->type == J_STR ? j->s : NULL;
}

const char *onx_json_get_str(const struct onx_json *j, const char *key, const char *def)
{
	const char *s = onx_json_text(onx_json_get(j, key));

	return s ? s : def;
}

double onx_json_get_real(const struct onx_json *j, const char *key, double def)
{
	const struct onx_json *v = onx_json_get(j, key);

	if (!v || (v->type != J_REAL && v->type != J_INT))
		return def;
	return v->type == J_REAL ? v->r : (double)v->i;
}

int64_t onx_json_get_int(const struct onx_json *j, const char *key, int64_t def)
{
	const struct onx_json *v = onx_json_get(j, key);

	return v && v->type == J_INT ? v->i : def;
}

bool onx_json_get_bool(const struct onx_json *j, const char *key, bool def)
{
	const struct onx_json *v = onx_json_get(j, key);

	return v && v->type == J_BOOL ? v->i != 0 : def;
}
