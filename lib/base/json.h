/* base/json.h -- JSON text out and in; base/json.c is the only user of jansson.
 * A writer for the --json of tools and for event logs: values are appended to a tree and printed in
 * one go, numbers with enough digits to be read back equal; NaN and Inf become null. */
#ifndef ONX_JSON_H
#define ONX_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

struct onx_json;                                /* one JSON value */
struct onx_json *onx_json_object(void);
struct onx_json *onx_json_array(void);
void onx_json_free(struct onx_json *j);
/* Put into an object (key) or append to an array (key NULL).  Shortage of memory is remembered and
 * reported by onx_json_print. */
void onx_json_str(struct onx_json *j, const char *key, const char *v);  /* NULL: null; bad UTF-8 is replaced */
void onx_json_int(struct onx_json *j, const char *key, int64_t v);
void onx_json_real(struct onx_json *j, const char *key, double v);
void onx_json_bool(struct onx_json *j, const char *key, bool v);
void onx_json_put(struct onx_json *j, const char *key, struct onx_json *child);     /* takes child */
int onx_json_print(const struct onx_json *j, bool pretty, struct onx_buf *out, struct onx_err *e) ONX_MUST;

/* Reading, for marks and event logs.  Getters give the default where the key is absent or of
 * another type.  key NULL: j itself, for the elements of an array. */
int onx_json_parse(const char *text, size_t n, struct onx_json **out, struct onx_err *e) ONX_MUST;
const char *onx_json_get_str(const struct onx_json *j, const char *key, const char *def);
double onx_json_get_real(const struct onx_json *j, const char *key, double def);
int64_t onx_json_get_int(const struct onx_json *j, const char *key, int64_t def);
bool onx_json_get_bool(const struct onx_json *j, const char *key, bool def);
size_t onx_json_len(const struct onx_json *j);                          /* array; 0 otherwise  */
/* Borrowed children, good while j lives. */
const struct onx_json *onx_json_at(const struct onx_json *j, size_t i);
const struct onx_json *onx_json_get(const struct onx_json *j, const char *key);
const char *onx_json_text(const struct onx_json *j);                    /* NULL if not a string */

#endif
