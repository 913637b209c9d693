/* plan/place.c -- where each piece of memory lies in the block.
 * Greedy by size (Pisarchyk and Lee, arXiv:2001.03288): the largest first, each at the lowest gap among
 * the pieces already placed whose lives meet its own. */
#include <stdlib.h>
#include "plan/plan.h"

static int by_size(const void *a, const void *b)
{
	const struct onx_life *p = *(struct onx_life *const *)a, *q = *(struct onx_life *const *)b;
	if (p->bytes != q->bytes)
		return p->bytes < q->bytes ? 1 : -1;
	return (p > q) - (p < q);       /* total order */
}

static size_t lowest_gap(struct onx_life *const *placed, uint32_t n, const struct onx_life *x)
{
	size_t at = 0;
	for (uint32_t i = 0; i < n; i++) {              /* in order of offset */
		const struct onx_life *p = placed[i];
		if (p->last < x->first || x->last < p->first)
			continue;
		if (p->offset >= at + x->bytes)
			break;
		if (p->offset + p->bytes > at)
			at = p->offset + p->bytes;
	}
	return at;
}

size_t onx_place(struct onx_life *life, uint32_t n)
{
	struct onx_arena a = { 0 };
	struct onx_life **order = ONX_NEWS(&a, struct onx_life *, n + 1);
	struct onx_life **placed = ONX_NEWS(&a, struct onx_life *, n + 1);
	size_t top = 0;
	uint32_t k = 0;

	for (uint32_t i = 0; order && placed && i < n; i++)
		order[i] = &life[i];
	if (!order || !placed) {
		onx_arena_release(&a);
		return SIZE_MAX;
	}
	qsort(order, n, sizeof(struct onx_life *), by_size);
	for (uint32_t i = 0; i < n; i++) {
		struct onx_life *x = order[i];
		if (x->bytes == 0)
			continue;
		x->offset = lowest_gap(placed, k, x);
		uint32_t j = k++;
		for (; j > 0 && placed[j - 1]->offset > x->offset; j--)
			placed[j] = placed[j - 1];
		placed[j] = x;
		if (x->offset + x->bytes > top)
			top = x->offset + x->bytes;
	}
	onx_arena_release(&a);
	return top;
}
