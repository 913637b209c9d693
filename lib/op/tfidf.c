/* op/tfidf.c -- TfIdfVectorizer: how often the n-grams of a pool stand in a row of texts or numbers, weighted if asked
 * for.  As with all texts the result is made by the rule, from an input that is known (op/strings.c). */
#include <stdlib.h>
#include <string.h>
#include "kernel/real.h"
#include "op/infer.h"
#include "tensor/seq.h"

enum { TF, IDF, TFIDF };
static const char *const modes[] = { "TF", "IDF", "TFIDF", NULL };
struct tfidf {
	int64_t shortest, longest, skips;
	int mode;
	struct onx_ints counts, indexes, ints;
	struct onx_strs strings;
	struct onx_reals weights;
};
#define OF(member) offsetof(struct tfidf, member)
static const struct onx_field tfidf_field[] = {
	{ "min_gram_length", F_INT, OF(shortest), .def = "1", .min = 1, .max = 1e6, .help = "items of an n-gram" },
	{ "max_gram_length", F_INT, OF(longest), .def = "1", .min = 1, .max = 1e6, .help = "items of an n-gram" },
	{ "max_skip_count", F_INT, OF(skips), .def = "0", .min = 0, .max = 1e6, .help = "items between two of them" },
	{ "mode", F_ENUM, OF(mode), .def = "TF", .choices = modes, .help = "counts, weights, or both multiplied" },
	{ "ngram_counts", F_INTS, OF(counts), .def = "", .help = "where the n-grams of each length begin in the pool" },
	{ "ngram_indexes", F_INTS, OF(indexes), .def = "", .help = "the output's column of each n-gram" },
	{ "pool_int64s", F_INTS, OF(ints), .def = "", .help = "the n-grams' items" },
	{ "pool_strings", F_STRS, OF(strings), .def = "", .help = "the n-grams' items" },
	{ "weights", F_REALS, OF(weights), .def = "", .help = "of each n-gram; none: 1" },
	{ .name = NULL }
};
static const struct onx_table tfidf_table = { "TfIdfVectorizer", sizeof(struct tfidf), tfidf_field, .check = NULL };

/* One n-gram: `n` items from a pool of strings or numbers, `step` apart. */
struct gram { const char *const *text; const int64_t *number; size_t n, step, at; };

static int by_items(const struct gram *a, const struct gram *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		const size_t p = i * a->step, q = i * b->step;
		const int c = a->text ? strcmp(a->text[p], b->text[q])
				      : (a->number[p] > b->number[q]) - (a->number[p] < b->number[q]);
		if (c)
			return c;
	}
	return (a->n > b->n) - (a->n < b->n);
}

static int sorted(const void *x, const void *y)
{
	const struct gram *a = x, *b = y;
	const int c = by_items(a, b);

	return c ? c : (a->at > b->at) - (a->at < b->at);
}

static const struct gram *found(const struct gram *all, size_t n, const struct gram *want)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (by_items(&all[mid], want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && by_items(&all[lo], want) == 0 ? &all[lo] : NULL;
}

/* All n-grams of the pool, sorted. */
static int pool_of(struct onx_infer *s, const struct tfidf *a, struct gram **out, size_t *cols, struct onx_err *e)
{
	const size_t items = a->strings.n ? a->strings.n : a->ints.n;
	struct gram *g = ONX_NEWS(s->mem, struct gram, a->indexes.n + 1);
	size_t n = 0;

	if (!g)
		return onx_nomem(e, (double)a->indexes.n * sizeof *g, "n-grams");
	*cols = 0;
	for (size_t k = 0; k < a->counts.n; k++) {
		const int64_t from = a->counts.v[k], to = k + 1 < a->counts.n ? a->counts.v[k + 1] : (int64_t)items;

		if (from < 0 || to < from || to > (int64_t)items || (size_t)(to - from) % (k + 1))
			return onx_fail(e, ONX_SHAPE, "'ngram_counts' has %lld to %lld for %zu-grams in a pool of %zu",
					(long long)from, (long long)to, k + 1, items);
		for (size_t at = (size_t)from; at < (size_t)to; at += k + 1, n++)
			if (n < a->indexes.n)
				g[n] = (struct gram){ a->strings.n ? a->strings.v + at : NULL,
						      a->strings.n ? NULL : a->ints.v + at, k + 1, 1, n };
	}
	if (n != a->indexes.n || (a->weights.n && a->weights.n != n))
		return onx_fail(e, ONX_SHAPE, "%zu n-grams in the pool, %zu numbers in 'ngram_indexes', %zu weights", n,
				a->indexes.n, a->weights.n);
	for (size_t i = 0; i < n; i++) {
		if (a->indexes.v[i] < 0 || a->indexes.v[i] >= 1 << 30)
			return onx_fail(e, ONX_SHAPE, "'ngram_indexes' has %lld", (long long)a->indexes.v[i]);
		if ((size_t)a->indexes.v[i] >= *cols)
			*cols = (size_t)a->indexes.v[i] + 1;
	}
	qsort(g, n, sizeof *g, sorted);
	*out = g;
	return ONX_OK;
}

static void count_one(const struct tfidf *a, const struct gram *hit, float *row)
{
	const float weight = a->weights.n && a->mode != TF ? (float)a->weights.v[hit->at] : 1;
	float *const y = &row[a->indexes.v[hit->at]];

	*y = a->mode == IDF ? weight : *y + weight;
}

/* A row of `n` items.  Single items are counted once, however far others lie apart. */
static void count_row(const struct tfidf *a, const struct gram *pool, const struct gram *items, size_t n, float *row)
{
	const size_t longest = a->counts.n < (size_t)a->longest ? a->counts.n : (size_t)a->longest;

	for (size_t step = 1; step <= (size_t)a->skips + 1 && step <= n; step++)
		for (size_t length = (size_t)a->shortest; length <= longest && (length - 1) * step < n; length++) {
			if (length == 1 && step > 1)
				continue;
			for (size_t at = 0; at < n && (length - 1) * step < n - at; at++) {
				const struct gram want = { items->text ? items->text + at : NULL,
							   items->number ? items->number + at : NULL, length, step, 0 };
				const struct gram *const hit = found(pool, a->indexes.n, &want);

				if (hit)
					count_one(a, hit, row);
			}
		}
}

/* Numbers of any width as int64. */
static const int64_t *numbers(struct onx_infer *s, const struct onx_view *x)
{
	int64_t *v = ONX_NEWS(s->mem, int64_t, x->n + 1);

	for (size_t i = 0; v && i < x->n; i++)
		v[i] = onx_view_int(x, i);
	return v;
}

static int tfidf_infer(struct onx_infer *s, const void *attr, struct onx_err *e)
{
	const struct tfidf *a = attr;
	const enum onx_dtype type = s->in[0].type;
	const bool text = type == ONX_STRING;
	const struct onx_view *x;
	struct gram *pool = NULL, items = { .n = 0 };
	size_t cols = 0;
	int rc = onx_want_rank(s, 0, 1, 2, e);

	if (rc < 0)
		return rc;
	if ((!text && type != ONX_INT32 && type != ONX_INT64) || text != (a->strings.n > 0))
		return onx_fail(e, ONX_SHAPE, "input 0 is %s, the pool has %s", onx_dtype_name(type),
				a->strings.n ? "strings" : "whole numbers");
	if ((rc = onx_in_known(s, 0, &x, e)) < 0 || (rc = pool_of(s, a, &pool, &cols, e)) < 0)
		return rc;
	const size_t rows = x->rank == 2 ? (size_t)x->dim[0] : 1, n = (size_t)x->dim[x->rank - 1];
	const int64_t dim[2] = { x->rank == 2 ? (int64_t)rows : (int64_t)cols, (int64_t)cols };
	struct onx_view *y = onx_tensor_new(s->mem, ONX_FLOAT, x->rank, dim, sizeof(float));
	const int64_t *const number = text ? NULL : numbers(s, x);

	if (!y || (!text && !number))
		return onx_nomem(e, (double)rows * (double)cols * 4, "counts");
	for (size_t r = 0; r < rows; r++) {
		items.text = text ? (const char *const *)x->v + r * n : NULL;
		items.number = text ? NULL : number + r * n;
		count_row(a, pool, &items, n, (float *)y->v + r * cols);
	}
	return onx_give(s, 0, y, e);
}

const struct onx_op ONX_R(onx_ops_tfidf)[] = {
	{ .domain = "", .type = "TfIdfVectorizer", .since = 9, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1,
	  .flags = ONX_OP_RULE | ONX_OP_WIDTHS, .attr = &tfidf_table, .infer = tfidf_infer },
	{ .type = NULL }
};
