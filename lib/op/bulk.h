/* op/bulk.h -- runs of elements of any type read and written as 64-bit whole numbers or as double: the type is asked
 * once a run, not once an element.  Loops over types go through blocks of ONX_BULK elements on the stack.
 * Same values as onx_view_int, onx_view_real and their put_ counterparts.  Not for strings.  Nothing here fails. */
#ifndef ONX_BULK_H
#define ONX_BULK_H
#include <stdint.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "tensor/tensor.h"

enum { ONX_BULK = 512 };

#define onx_bulk_ints ONX_R(onx_bulk_ints)
#define onx_bulk_reals ONX_R(onx_bulk_reals)
#define onx_bulk_put_ints ONX_R(onx_bulk_put_ints)
#define onx_bulk_put_reals ONX_R(onx_bulk_put_reals)
#define onx_bulk_to_real ONX_R(onx_bulk_to_real)
#define onx_bulk_cut ONX_R(onx_bulk_cut)

/* Elements at, at + step, ... (n of them; step 0: one, repeated): where they stand, which is the tensor itself or
 * `to`, which has room for n.  Whole numbers and bool only. */
const int64_t *onx_bulk_ints(const struct onx_view *t, size_t at, size_t step, size_t n, int64_t *to);
/* The same as double. */
const double *onx_bulk_reals(const struct onx_view *t, size_t at, size_t step, size_t n, double *to);
/* Elements at, at + 1, ...; whole numbers wrap, bool is != 0.  Whole numbers and bool only. */
void onx_bulk_put_ints(const struct onx_view *t, size_t at, size_t n, const int64_t *from);
/* Any type: whole numbers are cut towards zero and to what the type holds. */
void onx_bulk_put_reals(const struct onx_view *t, size_t at, size_t n, const double *from);

/* ---- cut.c ---- */

/* A whole tensor of whole numbers or bools as real ones, and real ones cut to one: as onx_whole_put (whole.h). */
void onx_bulk_to_real(const struct onx_view *x, real *to, struct onx_pool *p);
void onx_bulk_cut(const struct onx_view *y, const real *from, struct onx_pool *p);

#endif
