/* op/sums.h -- what a gradient sums up where its value was spread: over some dimensions of a box.
 *
 * For every index k of the dimensions that are kept, dx[k] (+)= the sum of term(k, s) over every index s of those that
 * are summed.  Terms are `real` numbers that a loop writes side by side, sums are in double, in an order that depends
 * on the sizes only.  Nothing here allocates or fails. */
#ifndef ONX_SUMS_H
#define ONX_SUMS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "tensor/tensor.h"

enum { ONX_SUM_RANK = 2 * ONX_RANK + 2, ONX_SUM_FROM = 4 };

/* out[i] = the term that reads operand o at off[o] + i * step[o], for i < n. */
typedef void onx_sum_term(const void *ctx, real *out, const int64_t *off, const int64_t *step, size_t n);

struct onx_sum {                        /* zero-initialise */
	int rank, n_from;               /* operands that terms read                                   */
	struct onx_sum_axis {            /* from the inside out; there is room for two more than are used */
		size_t size;
		int64_t to, from[ONX_SUM_FROM];         /* steps in elements; to == 0: summed            */
	} dim[ONX_SUM_RANK + 2];
	int64_t to0, from0[ONX_SUM_FROM];
	onx_sum_term *term;
	const void *ctx;
};

#define onx_sum_dim ONX_R(onx_sum_dim)
#define onx_sum_run ONX_R(onx_sum_run)

/* Appends an outer dimension, or makes the last one longer where all steps allow it. */
void onx_sum_dim(struct onx_sum *s, const struct onx_sum_axis *d);
void onx_sum_run(const struct onx_sum *s, real *dx, bool add, struct onx_pool *p);

#endif
