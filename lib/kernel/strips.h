/* kernel/strips.h -- convolutions in a row with channels last, a few lines of the picture at a time.
 *
 *     y = f_k(W_k * ... f_2(W_2 * f_1(W_1 * x + b_1) + b_2) ... + b_k + z)
 *
 * as that many convolutions of last.h would compute it, to the same bits.  Between a pointwise convolution that makes
 * many channels and the depthwise one behind it stands the largest tensor of a mobile net; done one after the other
 * both wait for memory.  Here each goes over so many lines that the next has what its window wants, and what is
 * between them stays in the second-level cache.  Lines that the next strip wants again are moved, not computed again.
 *
 * A piece is an image, or a run of its strips where there are few images.  Forward only, two dimensions; a stage is
 * dense or depthwise.  Sizes are in bytes; memory is 64-byte aligned. */
#ifndef ONX_STRIPS_H
#define ONX_STRIPS_H
#include "kernel/last.h"

enum { ONX_STRIPS_MOST = 4 };

struct onx_strips {                     /* g[i].n is that of all; g[i]'s outputs are g[i + 1]'s inputs */
	size_t k;
	struct onx_conv_geo g[ONX_STRIPS_MOST];
	struct onx_fuse f[ONX_STRIPS_MOST];
};
/* b[i] and z may be NULL. */
struct ONX_R(onx_strips_data) { const real *x, *b[ONX_STRIPS_MOST], *z; const void *packed; real *y; };

#define onx_strips_fits ONX_R(onx_strips_fits)
#define onx_strips_packed ONX_R(onx_strips_packed)
#define onx_strips_pack ONX_R(onx_strips_pack)
#define onx_strips_scratch ONX_R(onx_strips_scratch)
#define onx_strips_forward ONX_R(onx_strips_forward)

bool onx_strips_fits(const struct onx_strips *s);
size_t onx_strips_packed(const struct onx_strips *s);
void onx_strips_pack(const struct onx_strips *s, const real *const *w, void *to);      /* w[i] as in last.h */
size_t onx_strips_scratch(const struct onx_strips *s, int threads);
void onx_strips_forward(struct onx_pool *pool, const struct onx_strips *s, const struct ONX_R(onx_strips_data) *d,
			void *scratch);

#endif
