/* kernel/ask.h -- rows of memory that are asked for before they are needed, a few lines at a time.
 *
 * A core waits as soon as some twenty lines are on their way to it, so what a block of work will read is asked for in
 * equal parts along the block before: then its way from far takes no time of the arithmetic's.  Into the second-level
 * cache.  Bits do not depend on it, and pointers are never read through. */
#ifndef ONX_ASK_H
#define ONX_ASK_H
#include <stddef.h>
#include "kernel/real.h"

struct ONX_R(onx_asks) {
	const real *const *row;         /* the first of `rows` rows, of n numbers each */
	size_t rows, n;
	const real *const *then;        /* and of as many more, of another length */
	size_t then_rows, then_n;
	size_t at, each;                /* numbers of the first row that are asked for; lines at a time */
};

static inline void onx_ask(struct ONX_R(onx_asks) *a)
{
	for (size_t i = a->each; i; i--) {
		if (a->rows == 0) {
			a->row = a->then;
			a->rows = a->then_rows;
			a->n = a->then_n;
			a->then_rows = 0;
			if (a->rows == 0)
				return;
		}
		__builtin_prefetch(*a->row + a->at, 0, 2);
		a->at += 64 / sizeof(real);
		if (a->at >= a->n) {
			a->at = 0;
			a->row++;
			a->rows--;
		}
	}
}

#endif
