/* op/contract.h -- sums of products over labels, as Einsum has them.
 *
 *     target[a, b, ...] (+)= sum over the labels that the target has not of the product of factor_i[labels of i]
 *
 * Every operand has a stride for every label (0: it does not have it; a label that stands twice has the sum of both
 * strides, a diagonal).  Labels that lie side by side in every operand are made one.  A sum of two real factors that
 * is a matrix product, or a batch of them, is one of kernel/gemm.h; every other is a loop over runs of one label with
 * sums in double (whole numbers: modulo 2^64).  One order for each element, whatever the number of threads. */
#ifndef ONX_CONTRACT_H
#define ONX_CONTRACT_H
#include <stdbool.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "tensor/tensor.h"

enum { ONX_LABELS = 52 + ONX_RANK, ONX_FACTORS = 8 };

struct onx_contract {
	int n, kept;                            /* labels; the first `kept` are those that the target has */
	int64_t dim[ONX_LABELS];                /* none 0 */
	int64_t to[ONX_LABELS], by[ONX_FACTORS][ONX_LABELS];    /* strides, in elements */
	int n_factor;
	const struct onx_view *factor[ONX_FACTORS];
	const struct onx_view *target;
	bool whole;                             /* whole numbers, of any type; else all are real */
	bool add;                               /* to what stands in the target; of real numbers alone */
};

#define onx_contract_run ONX_R(onx_contract_run)
/* Merges labels in s. */
void onx_contract_run(struct onx_pool *pool, struct onx_contract *s);

#endif
