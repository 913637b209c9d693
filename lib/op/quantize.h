/* op/quantize.h -- what quantize.c and straight.c share. */
#ifndef ONX_QUANTIZE_H
#define ONX_QUANTIZE_H
#include <stddef.h>
#include "kernel/real.h"

/* DynamicQuantizeLinear of x [n]: scale = (max(x, 0) - min(x, 0)) / 255, zero point = saturate(round(-min / scale))
 * (specification, version 11). */
#define onx_dynamic_range ONX_R(onx_dynamic_range)
void onx_dynamic_range(const real *x, size_t n, real *scale, real *zero);

#endif
