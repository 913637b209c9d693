/* graph/diffpair.c -- the list of differences, and who is compared with whom. */
#include "graph/diff_i.h"
#include <inttypes.h>
#include <string.h>

void onx_diff_add(struct onx_differ *x, enum onx_diff_place place, enum onx_diff_what what,
		  const char *name, const char *field, const char *a, const char *b)
{
	struct onx_diff *d = x->d;

	if (d->n == d->cap) {
		const size_t cap = d->cap ? 2 * d->cap : 32;
		struct onx_difference *v = ONX_NEWS(&d->arena, struct onx_difference, cap);
		if (!v) {
			x->lost = true;
			return;
		}
		if (d->n)
			memcpy(v, d->v, d->n * sizeof *v);
		d->v = v;
		d->cap = cap;
	}
	const struct onx_difference v = { .place = place,
					  .what = what,
					  .name = onx_dup(&d->arena, name),
					  .field = onx_dup(&d->arena, field),
					  .a = onx_dup(&d->arena, a),
					  .b = onx_dup(&d->arena, b) };
	if (v.name && v.field && v.a && v.b)
		d->v[d->n++] = v;
	else
		x->lost = true;
}

uint32_t *onx_diff_table(struct onx_differ *x, size_t n)
{
	uint32_t *t = ONX_NEWS(&x->scratch, uint32_t, n + 1);

	x->lost |= t == NULL;
	for (size_t i = 0; t && i < n; i++)
		t[i] = ONX_NONE;
	return t;
}

enum { SHARED = 0x7fffffff };   /* more than one has this key */

/* Key -> index, of those that are not paired yet. */
static bool index_keys(struct onx_names *m, const char *const *key, size_t n,
		       const uint32_t *paired)
{
	for (size_t i = 0; i < n; i++) {
		if (paired[i] != ONX_NONE || !key[i] || !*key[i])
			continue;
		const bool there = onx_names_get(m, key[i]) != ONX_NONE;
		if (!onx_names_put(m, key[i], there ? SHARED : (uint32_t)i))
			return false;
	}
	return true;
}

void onx_diff_pair(struct onx_differ *x, const char *const *ka, size_t na, const char *const *kb,
		   size_t nb, uint32_t *pa, uint32_t *pb)
{
	struct onx_names a = { .arena = &x->scratch }, b = { .arena = &x->scratch };

	if (index_keys(&a, ka, na, pa) && index_keys(&b, kb, nb, pb)) {
		for (size_t i = 0; i < na; i++) {
			if (pa[i] != ONX_NONE || !ka[i] || !*ka[i] || onx_names_get(&a, ka[i]) != i)
				continue;
			const uint32_t k = onx_names_get(&b, ka[i]);
			if (k == ONX_NONE || k == SHARED)
				continue;
			pa[i] = k;
			pb[k] = (uint32_t)i;
		}
	} else {
		x->lost = true;
	}
	onx_names_release(&a);
	onx_names_release(&b);
}

const char *onx_diff_number(struct onx_differ *x, int64_t v)
{
	const char *s = onx_text(&x->scratch, "%" PRId64, v);
	x->lost |= s == NULL;
	return s ? s : "";
}

void onx_diff_texts(struct onx_differ *x, enum onx_diff_place place, const char *name,
		    const char *field, const char *a, const char *b)
{
	if (strcmp(a, b) != 0)
		onx_diff_add(x, place, ONX_DIFF_CHANGED, name, field, a, b);
}

void onx_diff_unpaired(struct onx_differ *x, enum onx_diff_place place, enum onx_diff_what what,
		       const char *const *name, const uint32_t *pair, size_t n, onx_diff_reads *how,
		       const void *list)
{
	for (size_t i = 0; i < n; i++) {
		if (pair[i] != ONX_NONE)
			continue;
		const char *s = how(x, list, i);
		onx_diff_add(x, place, what, name[i], "", what == ONX_DIFF_REMOVED ? s : "",
			     what == ONX_DIFF_ADDED ? s : "");
	}
}

void onx_diff_order(struct onx_differ *x, enum onx_diff_place place, const char *const *name,
		  const uint32_t *pa, size_t n)
{
	uint32_t last = 0;

	for (size_t i = 0; i < n; i++) {
		if (pa[i] == ONX_NONE)
			continue;
		if (pa[i] < last) {
			onx_diff_add(x, place, ONX_DIFF_CHANGED, name[i], "order",
				     onx_diff_number(x, (int64_t)i), onx_diff_number(x, pa[i]));
			return;
		}
		last = pa[i];
	}
}
