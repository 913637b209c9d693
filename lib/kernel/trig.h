/* kernel/trig.h -- sines, cosines, tangents of many numbers.
 *
 * Errors in float, in units of the last place, as tests/unit/test_vmath.c holds them: sin, cos 2, tan 3.  In double
 * they are the C library's.  x = n pi/2 + r in double (Cody and Waite), then polynomials in r^2, minimax fits (Remez).
 * From ONX_TRIG_FAR on n is too long for that, and numbers go to the C library one by one. */
#ifndef ONX_TRIG_H
#define ONX_TRIG_H
#include <stddef.h>
#include "kernel/real.h"

#define ONX_TRIG_FAR 1e6

#define onx_sin_run ONX_R(onx_sin_run)
#define onx_cos_run ONX_R(onx_cos_run)
#define onx_tan_run ONX_R(onx_tan_run)
/* y[i] = sin(x[i]) ...; y may be x. */
void onx_sin_run(const real *x, size_t n, real *y);
void onx_cos_run(const real *x, size_t n, real *y);
void onx_tan_run(const real *x, size_t n, real *y);

#endif
