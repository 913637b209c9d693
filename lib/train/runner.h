/* train/runner.h -- one computation for any number of samples.
 * Plans are made per batch size (the full one and the rest at the end of an epoch) and kept; all share one
 * block of memory. */
#ifndef ONX_RUNNER_H
#define ONX_RUNNER_H
#include "exec/exec.h"

enum { ONX_RUNNER_SIZES = 4 };          /* batch sizes kept; then the oldest goes */

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
	/* its own */
	struct { int64_t n; struct onx_plan *plan; struct onx_exec *exec; uint64_t used; }
		slot[ONX_RUNNER_SIZES];
	uint64_t clock;
	size_t bytes;                   /* largest block asked for so far                   */
	size_t least;                   /* smallest block a plan could have, of the largest  */
};

int onx_runner_get(struct onx_runner *r, int64_t n, struct onx_exec **x, const struct onx_plan **plan,
		   struct onx_err *e) ONX_MUST;         /* plan may be NULL                 */
void onx_runner_release(struct onx_runner *r);

#endif
