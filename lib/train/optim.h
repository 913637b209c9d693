/* train/optim.h -- update rules over one flat block of weights, as PyTorch defines them.
 *
 *   sgd    g += wd*w;  b = mu*b + g (first step: b = g);  w -= lr*b   (Nesterov: w -= lr*(g + mu*b))
 *   adam   g += wd*w;  m, v moments;  w -= lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps)
 *   adamw  w *= 1 - lr*wd;  then as adam without the first line   (Loshchilov and Hutter, 2019)
 *
 * State (momentum, moments) lies in blocks as long as the weights'.  Work is cut by size: the same bits for
 * any number of threads. */
#ifndef ONX_OPTIM_H
#define ONX_OPTIM_H
#include "base/pool.h"
#include "exec/exec.h"
#include "train/config.h"

struct onx_segment { size_t at, n; double decay, lr; };  /* elements; lr: factor, 1 as a rule */
struct onx_optim {
	const struct onx_train_opts *o;
	struct onx_params *params;
	struct onx_segment *seg; uint32_t n_seg;
	uint32_t n_state;               /* blocks: 0 to 2 */
	void *state[2];
	uint64_t t;                     /* steps taken    */
	struct onx_arena arena;
};

/* weight: by value, those that train.  Biases and norms (rank < 2) are spared weight decay unless
 * o->decay_all. */
int onx_optim_init(struct onx_optim *x, const struct onx_train_opts *o, struct onx_params *params,
		   const bool *weight, struct onx_err *e) ONX_MUST;
void onx_optim_release(struct onx_optim *x);
/* One update with params->grad; first clips the gradient to o->clip.  Returns the gradient's norm before
 * clipping (computed only if o->clip > 0, else 0). */
double onx_optim_step(struct onx_optim *x, double lr, struct onx_pool *pool);

#endif
