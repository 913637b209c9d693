/* data/split.h -- which samples train, which validate, and in which order.
 * Lists are sample numbers of a source, in the arena given. */
#ifndef ONX_SPLIT_H
#define ONX_SPLIT_H
#include "base/arena.h"
#include "base/err.h"
#include "data/source.h"

struct onx_list { uint32_t *v; size_t n; };

/* All samples in order. */
int onx_list_all(const struct onx_source *s, struct onx_arena *a, struct onx_list *out,
		 struct onx_err *e) ONX_MUST;
/* Splits by class: of each class the nearest whole number to `fraction` of its samples goes to val,
 * chosen by (seed, ONX_RNG_SPLIT, class), at least one stays in train; regression: one class.  Both
 * lists ascend.  ONX_USAGE if a part comes out empty while 0 < fraction < 1. */
int onx_split(const struct onx_source *s, double fraction, uint64_t seed, struct onx_arena *a,
	      struct onx_list *train, struct onx_list *val, struct onx_err *e) ONX_MUST;
/* order[] = list[] shuffled by (seed, ONX_RNG_SHUFFLE, epoch); order has list->n places. */
void onx_shuffle(const struct onx_list *list, uint64_t seed, uint64_t epoch, uint32_t *order);
/* How many samples of each class are in the list: count has s->n_class places. */
void onx_class_counts(const struct onx_source *s, const struct onx_list *list, size_t *count);

#endif
