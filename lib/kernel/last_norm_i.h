/* kernel/last_norm_i.h -- lines of x, normalised where they are needed: what the convolutions of last_norm.h share.
 *
 * A line is `line` numbers of x side by side, whole pixels of all channels: a row of an image.  The parameters stand
 * repeated over some pixels, so that vector loops are long whatever the channels. */
#ifndef ONX_LAST_NORM_I_H
#define ONX_LAST_NORM_I_H
#include "kernel/last_norm.h"

/* m, a, b over `width` numbers, a multiple of the channels. */
struct ONX_R(onx_last_spread) {
	const real *m, *a, *b;
	size_t width;
	struct onx_fuse f;
};

#define onx_last_spread_bytes ONX_R(onx_last_spread_bytes)
#define onx_last_spread_of ONX_R(onx_last_spread_of)
#define onx_last_norm_line ONX_R(onx_last_norm_line)
size_t onx_last_spread_bytes(size_t ch);        /* a multiple of 64 */
/* `to`: so many bytes, which s points into. */
void onx_last_spread_of(const struct ONX_R(onx_last_norm) *p, size_t ch, void *to, struct ONX_R(onx_last_spread) *s);
/* f(u) of n numbers from channel 0 on.  May be in place. */
void onx_last_norm_line(const struct ONX_R(onx_last_spread) *s, const real *x, size_t n, real *to);

#endif
