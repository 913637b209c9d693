/* kernel/softmax.h -- softmax and its relatives along the middle of [outer][len][inner].
 * Sums in double; the largest element is subtracted first, so no exponential overflows. */
#ifndef ONX_SOFTMAX_H
#define ONX_SOFTMAX_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"

struct onx_lines { size_t outer, len, inner; };
enum onx_soft { ONX_SOFTMAX, ONX_LOG_SOFTMAX, ONX_HARDMAX };

#define onx_softmax_forward ONX_R(onx_softmax_forward)
#define onx_softmax_backward ONX_R(onx_softmax_backward)

/* SOFTMAX: y = exp(x - max) / sum exp(x - max); LOG_SOFTMAX: its logarithm; HARDMAX: 1 at the first
 * largest element, else 0.  y may be x. */
void onx_softmax_forward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			 const real *x, real *y);
/* SOFTMAX: dx = y (dy - sum dy y); LOG_SOFTMAX: dx = dy - exp(y) sum dy. */
void onx_softmax_backward(struct onx_pool *pool, const struct onx_lines *g, enum onx_soft kind,
			  const real *y, const real *dy, real *dx, bool add);

#endif
