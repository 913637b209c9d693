/* op/move.h -- what operators that only move elements leave for their kernels: walks between x and y.
 * It lives in the plan's arena.  `zero`: the walk does not visit every element of x, so the gradient
 * starts from zeros. */
#ifndef ONX_MOVE_H
#define ONX_MOVE_H
#include "op/infer.h"
#include "op/walk.h"

struct onx_move {
	bool zero;
	int n;
	struct onx_walk *w;
};

#define onx_move_new ONX_R(onx_move_new)
#define onx_move_to ONX_R(onx_move_to)
#define onx_move_forward ONX_R(onx_move_forward)
#define onx_move_backward ONX_R(onx_move_backward)

/* n empty walks in s->geo. */
int onx_move_new(struct onx_infer *s, int n, struct onx_move **out, struct onx_err *e) ONX_MUST;
/* One, to a result of this shape; *count: its elements. */
int onx_move_to(struct onx_infer *s, const struct onx_shape *y, size_t *count, struct onx_move **out,
		struct onx_err *e) ONX_MUST;
/* y[0] from x[0] by the first walk, and back. */
void onx_move_forward(const struct onx_call *c);
void onx_move_backward(const struct onx_call *c);

#endif
