/* kernel/draw.h -- many random numbers at once: those that base/rng.h gives one by one. */
#ifndef ONX_DRAW_H
#define ONX_DRAW_H
#include "base/rng.h"
#include "kernel/real.h"

#define onx_draw ONX_R(onx_draw)
/* to[k] = the (4 * block + k)-th number of r's stream (onx_rng_u32 from its start), k < n. */
void onx_draw(const struct onx_rng *r, uint64_t block, uint32_t *to, size_t n);

#endif
