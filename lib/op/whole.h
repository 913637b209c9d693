/* op/whole.h -- whole numbers in operators whose arithmetic is on real ones, and products of whole matrices. */
#ifndef ONX_WHOLE_H
#define ONX_WHOLE_H
#include "kernel/gemm.h"
#include "op/op.h"

static inline bool onx_is_whole(enum onx_dtype t)
{
	const enum onx_class class = onx_dtype_class(t);

	return class == ONX_CLASS_INT || class == ONX_CLASS_UINT;
}

/* Element i of whole numbers or bools from v: towards zero, what the type cannot hold becomes the nearest that
 * it can, NaN 0; bool: whether v is not 0. */
static inline void onx_whole_put(const struct onx_view *y, size_t i, double v)
{
	const bool sign = onx_dtype_class(y->type) == ONX_CLASS_INT;
	const int bits = onx_dtype_bits(y->type);
	const double hi = ldexp(1, bits - sign), lo = sign ? -hi : 0;

	if (y->type == ONX_BOOL)
		onx_view_put_int(y, i, v != 0);
	else if (bits == 64 && !sign)
		onx_view_put_int(y, i, v >= hi ? -1 : v > 0 ? (int64_t)(uint64_t)v : 0);
	else if (bits == 64)
		onx_view_put_int(y, i, v >= hi ? INT64_MAX : v >= lo ? (int64_t)v : isnan(v) ? 0 : INT64_MIN);
	else
		onx_view_put_int(y, i, v >= hi ? (int64_t)hi - 1 : v >= lo ? (int64_t)v : isnan(v) ? 0 : (int64_t)lo);
}

#define onx_whole_products ONX_R(onx_whole_products)

/* C[o] = sum over i of op(A[o,i]) op(B[o,i]) as onx_gemm_batch, modulo two to the width of C; batch NULL: one
 * product. */
void onx_whole_products(struct onx_pool *pool, const struct onx_mat *g, const struct onx_batch *batch,
			const struct onx_view *a, const struct onx_view *b, const struct onx_view *c);

#endif
