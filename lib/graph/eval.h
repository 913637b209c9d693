/* graph/eval.h -- one node, computed now: what constant folding and the interpreter are made of. */
#ifndef ONX_EVAL_H
#define ONX_EVAL_H
#include "op/op.h"

/* s is settled (infer has run); x: n_in views in the width that `op`'s table computes in; y: n_out views
 * with memory, .v == NULL where an output is not wanted; rng: what it draws by.  Uses the reference implementation. */
int onx_eval(const struct onx_op *op, const void *attr, const struct onx_infer *s, const struct onx_view *x,
	     const struct onx_view *y, struct onx_rng_key rng, struct onx_pool *pool, struct onx_err *e) ONX_MUST;

/* Does the node compute in double?  Its result does where an input is like it, else its first real-typed input. */
bool onx_runs_wide(const struct onx_infer *s, bool wide_plan);

#endif
