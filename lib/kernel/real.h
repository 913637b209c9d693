/* kernel/real.h -- one source, two precisions.
 * Every file of kernel/ and op/ is compiled twice, with ONX_F64 undefined and defined: `real` is
 * float or double, and each public name gets _f32 or _f64.  The product trains in float; DOUBLE
 * tensors and the gradient tests run the same lines in double, so precision and correctness are
 * separate questions. */
#ifndef ONX_REAL_H
#define ONX_REAL_H
#include <math.h>

#ifdef ONX_F64
typedef double real;
#define ONX_R(name) name##_f64
#define ONX_M(fn) fn            /* ONX_M(exp)(x) */
#define ONX_REAL_MAX 1.7976931348623157e308
#else
typedef float real;
#define ONX_R(name) name##_f32
#define ONX_M(fn) fn##f         /* expf(x) */
#define ONX_REAL_MAX 3.402823466e38f
#endif

/* First writer or sum: never reads stale memory (0 * NaN is NaN). */
static inline void onx_put(real *d, _Bool add, real v) { *d = add ? *d + v : v; }

#endif
