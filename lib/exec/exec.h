/* exec/exec.h -- runs a plan.
 *
 * Three kinds of memory: constants (graph/consts.h), parameters (struct onx_params: weights that train,
 * their gradients, running statistics; shared by all plans of one training), and a block for everything
 * else (struct onx_block_mem, shared by plans that never run at the same time; it grows to the largest).
 * Running cannot fail, allocates nothing and looks at no graph. */
#ifndef ONX_EXEC_H
#define ONX_EXEC_H
#include "plan/plan.h"

struct onx_params {
	const struct onx_graph *graph;
	bool wide;                      /* double instead of float                                 */
	size_t n;                       /* elements of each block                                  */
	size_t *at;                     /* by value: first element, SIZE_MAX: not a parameter      */
	uint32_t *value, n_value;       /* the parameters, in the order of the block               */
	void *weight, *grad;            /* blocks of n elements, 64-byte aligned                   */
};
/* variable: by value, as given to the plans.  Numbers are read from the graph's initializers. */
int onx_params_new(const struct onx_graph *g, const bool *variable, bool wide, struct onx_params **out,
		   struct onx_err *e) ONX_MUST;
void onx_params_free(struct onx_params *p);
/* From here on they alone hold the numbers: the model's own memory for them goes back, until they are stored. */
void onx_params_keep_alone(const struct onx_params *p);
/* Writes the numbers of every parameter back into the model (onx_weight_store). */
int onx_params_store(const struct onx_params *p, struct onx_err *e) ONX_MUST;

struct onx_block_mem { void *base; size_t bytes; };     /* zero-initialise */
void onx_block_release(struct onx_block_mem *b);

struct onx_exec;
/* plan, params (may be NULL if the plan has none), block and pool are borrowed. */
int onx_exec_new(const struct onx_plan *plan, struct onx_params *params, struct onx_block_mem *block,
		 struct onx_pool *pool, struct onx_exec **out, struct onx_err *e) ONX_MUST;
void onx_exec_free(struct onx_exec *x);
/* Copies numbers into a fed value: `src` in memory form, as many elements as the feed's shape has.
 * Feeds are to be given before each forward. */
void onx_exec_feed(struct onx_exec *x, uint32_t value, const void *src);
/* The same without the copy where that saves something (many numbers, on 64-byte lines): steps read `src` itself.  It
 * stays as it is until backward, or the last forward on it, is done and views of the feed are no longer looked at; the
 * feed is given again before each forward. */
void onx_exec_lend(struct onx_exec *x, uint32_t value, const void *src);
/* The memory of a feed, for a caller that gathers its numbers there; NULL where nobody reads it. */
void *onx_exec_feed_at(struct onx_exec *x, uint32_t value, size_t *bytes);
void onx_exec_forward(struct onx_exec *x, uint64_t seed, uint64_t step);
/* After forward: gradients of `share` times the loss into params->grad, set or (accumulate) added. */
void onx_exec_backward(struct onx_exec *x, bool accumulate, double share);
/* A target, a feed or a constant; good after forward and until another plan runs on the same block.
 * NULL if the plan does not have it. */
const struct onx_view *onx_exec_view(struct onx_exec *x, uint32_t value);
/* Seconds of each step of the last run once switched on; NULL before. */
int onx_exec_profile(struct onx_exec *x, struct onx_err *e) ONX_MUST;
const double *onx_exec_times(const struct onx_exec *x);

#endif
