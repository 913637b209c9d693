/* base/names.c -- the only user of uthash.
 * Keys are hashed with xxHash, and uthash's own memory comes from onx_heap, so that a shortage is
 * a return value and a test can cause it. */
#include "base/names.h"
#include "base/rng.h"
#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)onx_hash((key), (len), 0x6f6e78))
#define uthash_malloc(size) onx_heap((size), 1)
#define uthash_free(p, size) onx_heap_free(p)
#define uthash_nonfatal_oom(element) ((element)->id = ONX_NONE)
#include <uthash.h>

struct onx_name {
	const char *key;
	uint32_t id;            /* ONX_NONE after a failed insertion */
	UT_hash_handle hh;
};

static struct onx_name *find(const struct onx_names *m, const char *name)
{
	struct onx_name *e = NULL;

	HASH_FIND(hh, m->head, name, strlen(name), e);
	return e;
}

uint32_t onx_names_get(const struct onx_names *m, const char *name)
{
	const struct onx_name *e = find(m, name);

	return e ? e->id : ONX_NONE;
}

bool onx_names_put(struct onx_names *m, const char *name, uint32_t id)
{
	struct onx_name *e = find(m, name);

	if (e) {
		e->id = id;
		return true;
	}
	e = ONX_NEW(m->arena, struct onx_name);
	if (!e)
		return false;
	e->key = onx_dup(m->arena, name);
	if (!e->key)
		return false;
	e->id = 0;
	HASH_ADD_KEYPTR(hh, m->head, e->key, strlen(e->key), e);
	if (e->id == ONX_NONE)
		return false;
	e->id = id;
	return true;
}

void onx_names_release(struct onx_names *m)
{
	HASH_CLEAR(hh, m->head);
	m->head = NULL;
}

bool onx_glob(const char *pattern, const char *name)
{
	return fnmatch(pattern, name, 0) == 0;
}
