/* model/mark.c -- marks: JSON in metadata_props. */
#include "model/mark.h"
#include "base/json.h"
#include <string.h>

/* The JSON array behind a key; *j NULL if the key is absent. */
static int read_list(const struct onx_model *m, const char *key, struct onx_json **j,
		     struct onx_err *e)
{
	const char *text = onx_model_meta(m, key);

	*j = NULL;
	if (!text)
		return ONX_OK;
	int rc = onx_json_parse(text, strlen(text), j, e);
	if (rc < 0) {
		*j = NULL;
		return onx_while(e, rc, "reading the mark '%s'", key);
	}
	for (size_t i = 0; i < onx_json_len(*j); i++)
		if (!onx_json_text(onx_json_at(*j, i)))
			rc = ONX_FORMAT;
	if (text[strspn(text, " \t\r\n")] == '[' && rc == ONX_OK)
		return ONX_OK;
	onx_json_free(*j);
	*j = NULL;
	return onx_fail(e, ONX_FORMAT, "the mark '%s' is not a list of texts", key);
}

int onx_mark_list(const struct onx_model *m, const char *key, struct onx_arena *a,
		  const char *const **v, size_t *n, struct onx_err *e)
{
	struct onx_json *j;

	*v = NULL;
	*n = 0;
	int rc = read_list(m, key, &j, e);
	if (rc < 0 || !j)
		return rc;
	const size_t len = onx_json_len(j);
	const char **s = ONX_NEWS(a, const char *, len + 1);
	bool ok = s != NULL;
	for (size_t i = 0; ok && i < len; i++) {
		s[i] = onx_dup(a, onx_json_text(onx_json_at(j, i)));
		ok = s[i] != NULL;
	}
	onx_json_free(j);
	if (!ok)
		return onx_nomem(e, (double)len * sizeof *s, "a mark");
	*v = s;
	*n = len;
	return ONX_OK;
}

int onx_mark_set_list(struct onx_model *m, const char *key, const char *const *v, size_t n,
		      struct onx_err *e)
{
	struct onx_json *j = onx_json_array();
	struct onx_buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		onx_json_str(j, NULL, v[i]);
	int rc = onx_json_print(j, false, &b, e);
	if (rc == ONX_OK)
		rc = onx_model_set_meta(m, key, b.data, e);
	onx_buf_release(&b);
	onx_json_free(j);
	return rc;
}

int onx_mark_history(struct onx_model *m, const char *line, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	const char *const *old;
	size_t n;

	int rc = onx_mark_list(m, ONX_MARK "history", &a, &old, &n, e);
	if (rc == ONX_OK) {
		const char **v = ONX_NEWS(&a, const char *, n + 1);
		if (v && n)
			memcpy(v, old, n * sizeof *v);
		if (v)
			v[n] = line;
		rc = v ? onx_mark_set_list(m, ONX_MARK "history", v, n + 1, e)
		       : onx_nomem(e, 64, "the history");
	}
	onx_arena_release(&a);
	return rc;
}
