/* train/runner.h -- one computation for any number of samples.
 * Plans are made per batch size (the full one and the rest at the end of an epoch) and kept; all share one
 * block of memory.
 *
 * Where control flow depends on the numbers (graph/decide.h), a batch is looked at first and planned by what it
 * decides; plans are kept by decision, too.  All of them share parameters and block, so that weights, the optimiser's
 * state and running statistics are one.  What is random, and statistics of a batch, are the same in the look ahead
 * and in the run; the running statistics move once. */
#ifndef ONX_RUNNER_H
#define ONX_RUNNER_H
#include "exec/exec.h"
#include "graph/decide.h"

enum { ONX_RUNNER_SIZES = 4,            /* batch sizes kept; then the oldest goes        */
       ONX_RUNNER_WAYS = 32 };          /* plans kept where batches decide               */

struct onx_runner {
	/* filled by the owner before the first onx_runner_get */
	const struct onx_graph *g;
	struct onx_consts *consts;
	struct onx_params *params;
	struct onx_block_mem *block;
	struct onx_pool *pool;
	const struct onx_feed *feed; uint32_t n_feed;   /* dim 0 stands for the samples     */
	const uint32_t *target; uint32_t n_target;
	uint32_t loss;                  /* ONX_NONE: forward only                           */
	const bool *weight, *train, *variable;
	bool wide, precise;
	size_t budget;                  /* bytes of the block; 0: no limit                  */
	int64_t samples;                /* 0, or: only feeds whose dim 0 is this have samples */
	const struct onx_open *open;    /* control flow that depends on the numbers, or NULL: none */
	/* its own */
	struct { int64_t n; struct onx_buf key; struct onx_plan *plan; struct onx_exec *exec; uint64_t used;
		struct onx_arena mem; } slot[ONX_RUNNER_WAYS];
	uint64_t clock;
	size_t bytes;                   /* largest block asked for so far                   */
	size_t least;                   /* smallest block a plan could have, of the largest  */
	struct onx_runner *ahead;       /* of what decides                                  */
	bool blind;                     /* what decides cannot be planned                   */
};

/* With r->open: the plan of a guess, good for sizes; of made-up numbers where shapes depend on them. */
int onx_runner_get(struct onx_runner *r, int64_t n, struct onx_exec **x, const struct onx_plan **plan,
		   struct onx_err *e) ONX_MUST;         /* plan may be NULL                 */
/* The run for these numbers, fed with them.  number: by feed, in memory form, NULL: the caller feeds it (nothing may
 * be decided by it).  seed and step: those of the onx_exec_forward that follows. */
int onx_runner_feed(struct onx_runner *r, int64_t n, const void *const *number, uint64_t seed, uint64_t step,
		    struct onx_exec **x, struct onx_err *e) ONX_MUST;
void onx_runner_release(struct onx_runner *r);
/* Does the graph take one sample at a time?  A batch of 1 that could not be opened (rewrite/batch.h), because
 * control flow depends on the numbers of a sample, stays. */
bool onx_one_sample(const struct onx_graph *g);

#endif
