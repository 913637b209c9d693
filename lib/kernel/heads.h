/* kernel/heads.h -- attention of many heads without a matrix of all scores.
 *
 *     O[b,h] = softmax(scale Q[b,h] K[b,h]' + mask) V[b,h]        Q [tq][d], K [tk][d], V [tk][dv], O [tq][dv]
 *
 * (Vaswani and others 2017, section 3.2.)  A piece is a head of a sample, and goes through its queries by blocks
 * that fit the second-level cache with all their scores; backward makes the scores of a block again instead of
 * keeping them.  Operands are read where they lie: an element is at b * .b + h * .h + row * .t + column. */
#ifndef ONX_HEADS_H
#define ONX_HEADS_H
#include <stdbool.h>
#include <stddef.h>
#include "base/pool.h"
#include "kernel/real.h"

struct onx_head_steps { size_t b, h, t; };
struct onx_heads {
	size_t b, h, tq, tk, d, dv;
	double scale;
	struct onx_head_steps q, k, v, o;
	size_t mask_b, mask_h, mask_q, mask_k;          /* steps of the mask, 0 where it is broadcast */
};

#define onx_heads_forward ONX_R(onx_heads_forward)
#define onx_heads_backward ONX_R(onx_heads_backward)
#define onx_heads_scratch ONX_R(onx_heads_scratch)

/* Bytes of scratch; at least one key is wanted. */
size_t onx_heads_scratch(const struct onx_heads *g, int threads, bool backward);
/* mask may be NULL. */
void onx_heads_forward(struct onx_pool *pool, const struct onx_heads *g, const real *q, const real *k,
		       const real *v, const real *mask, real *o, void *scratch);
/* Gradients lie as their operands; each may be NULL, and is added to where add_* says so. */
struct ONX_R(onx_heads_grad) { real *q, *k, *v; bool add_q, add_k, add_v; };
void onx_heads_backward(struct onx_pool *pool, const struct onx_heads *g, const real *q, const real *k,
			const real *v, const real *mask, const real *d_o,
			const struct ONX_R(onx_heads_grad) *to, void *scratch);

#endif
