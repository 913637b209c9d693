/* tools/trial.h -- running a graph on made-up numbers, to see that a change did not change what it
 * computes. */
#ifndef ONX_TRIAL_H
#define ONX_TRIAL_H
#include "exec/exec.h"
#include "tool.h"

struct onx_trial { struct onx_view *out; uint32_t n; };

/* Runs samples first .. first + batch - 1; sample i has the same numbers in any batch.  Copies of the
 * outputs go into mem. */
int onx_trial_run(const struct onx_graph *g, int64_t batch, int64_t first, struct onx_arena *mem,
		  struct onx_trial *out, struct onx_err *e) ONX_MUST;
/* Do all outputs of a and b agree within rtol of the largest number of an output?  A fault that says where not.
 * *worst: the largest gap, as a part of the largest number of its output; may be NULL. */
int onx_trial_same(const struct onx_trial *a, const struct onx_trial *b, double rtol, double *worst,
		   struct onx_err *e) ONX_MUST;

/* A batch of 1 that is baked into w->model becomes open, if it is there; proved by shapes and by numbers.
 * *changed may be NULL. */
int onx_open_batch(struct onx_work *w, bool *changed, struct onx_err *e) ONX_MUST;

#endif
