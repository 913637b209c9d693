/* plan/sum.h -- the one step that no operator owns: where two gradients of a value meet. */
#ifndef ONX_SUM_H
#define ONX_SUM_H
#include "op/op.h"

/* dx[0] = dy[0], or dx[0] += dy[0] where dx[0].add; float or double by width; any shapes of one size. */
void onx_sum_gradients(const struct onx_call *c);

#endif
