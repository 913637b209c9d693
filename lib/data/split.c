#include "data/split.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"

static int list_new(struct onx_arena *a, size_t n, struct onx_list *out, struct onx_err *e)
{
	out->n = 0;
	out->v = ONX_NEWS(a, uint32_t, n ? n : 1);
	return out->v ? ONX_OK : onx_nomem(e, (double)n * 4, "a list of samples");
}

int onx_list_all(const struct onx_source *s, struct onx_arena *a, struct onx_list *out,
		 struct onx_err *e)
{
	int rc = list_new(a, s->n, out, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n; i++)
		out->v[out->n++] = (uint32_t)i;
	return ONX_OK;
}

void onx_class_counts(const struct onx_source *s, const struct onx_list *list, size_t *count)
{
	memset(count, 0, s->n_class * sizeof(*count));
	for (size_t i = 0; i < list->n; i++)
		count[s->label[list->v[i]]]++;
}

/* Marks the samples of one class that validate; `own` has room for all samples. */
static void choose(const struct onx_source *s, int64_t class, double fraction, uint64_t seed,
		   uint32_t *own, bool *val)
{
	struct onx_rng r;
	size_t n = 0, take;

	for (size_t i = 0; i < s->n; i++)
		if (class < 0 || s->label[i] == class)
			own[n++] = (uint32_t)i;
	if (!n)
		return;
	take = (size_t)floor((double)n * fraction + 0.5);
	take = take < n ? take : n - 1;
	onx_rng_init(&r, seed, ONX_RNG_SPLIT, (uint64_t)(class < 0 ? 0 : class), 0);
	onx_rng_shuffle(&r, own, n);
	for (size_t i = 0; i < take; i++)
		val[own[i]] = true;
}

int onx_split(const struct onx_source *s, double fraction, uint64_t seed, struct onx_arena *a,
	      struct onx_list *train, struct onx_list *val, struct onx_err *e)
{
	bool *chosen;
	int rc;

	if (!(fraction >= 0 && fraction < 1))
		return onx_fail(e, ONX_USAGE, "a validation part of %g, wanted a fraction from 0 to below 1",
				fraction);
	rc = list_new(a, s->n, train, e);
	if (rc == ONX_OK)
		rc = list_new(a, s->n, val, e);
	if (rc < 0)
		return rc;
	chosen = ONX_NEWS(a, bool, s->n ? s->n : 1);
	if (!chosen)
		return onx_nomem(e, (double)s->n, "a list of samples");
	if (s->task == ONX_TASK_CLASSIFY)
		for (size_t c = 0; c < s->n_class; c++)
			choose(s, (int64_t)c, fraction, seed, train->v, chosen);
	else
		choose(s, -1, fraction, seed, train->v, chosen);
	for (size_t i = 0; i < s->n; i++) {
		struct onx_list *to = chosen[i] ? val : train;

		to->v[to->n++] = (uint32_t)i;
	}
	if (fraction > 0 && (!train->n || !val->n))
		return onx_fail(e, ONX_USAGE, "a validation part of %g of %zu samples leaves %zu to train "
				"on and %zu to validate on", fraction, s->n, train->n, val->n);
	return ONX_OK;
}

void onx_shuffle(const struct onx_list *list, uint64_t seed, uint64_t epoch, uint32_t *order)
{
	struct onx_rng r;

	memcpy(order, list->v, list->n * sizeof(*order));
	onx_rng_init(&r, seed, ONX_RNG_SHUFFLE, epoch, 0);
	onx_rng_shuffle(&r, order, list->n);
}
