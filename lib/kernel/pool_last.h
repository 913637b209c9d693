/* kernel/pool_last.h -- pooling over sliding windows with channels last: x [n][in][c], y [n][out][c].
 * Vector loops over channels.  Backward gathers: each element of dx is written once, from the outputs whose windows
 * hold it. */
#ifndef ONX_POOL_LAST_H
#define ONX_POOL_LAST_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"
#include "kernel/window.h"

struct onx_pool_last { size_t n, c; struct onx_window w; bool count_pad; };

#define onx_maxlast_taps ONX_R(onx_maxlast_taps)
#define onx_maxlast_forward ONX_R(onx_maxlast_forward)
#define onx_maxlast_backward ONX_R(onx_maxlast_backward)
#define onx_avglast_forward ONX_R(onx_avglast_forward)
#define onx_avglast_backward ONX_R(onx_avglast_backward)
#define onx_meanlast_forward ONX_R(onx_meanlast_forward)
#define onx_meanlast_backward ONX_R(onx_meanlast_backward)

/* y = max over the window; which tap it was goes to `tap`, one byte for each element of y, four where the
 * window has more than 255 taps; NULL: nobody asks, which is faster.  Ties and NaN as kernel/pooling.h. */
size_t onx_maxlast_taps(const struct onx_pool_last *g);         /* bytes */
void onx_maxlast_forward(struct onx_pool *pool, const struct onx_pool_last *g, const real *x, real *y, void *tap);
void onx_maxlast_backward(struct onx_pool *pool, const struct onx_pool_last *g, const real *dy, const void *tap,
			  real *dx, bool add);

/* y = sum over the window / count, the sum in double; count as kernel/pooling.h. */
void onx_avglast_forward(struct onx_pool *pool, const struct onx_pool_last *g, const real *x, real *y);
void onx_avglast_backward(struct onx_pool *pool, const struct onx_pool_last *g, const real *dy, real *dx, bool add);

/* ---- mean_last.c ---- */

/* y [n][c] = mean over the rows of x [n][rows][c], the sum in double or in short runs that are added in double; and
 * back. */
void onx_meanlast_forward(struct onx_pool *pool, size_t n, size_t rows, size_t c, const real *x, real *y);
void onx_meanlast_backward(struct onx_pool *pool, size_t n, size_t rows, size_t c, const real *dy, real *dx,
			   bool add);

#endif
