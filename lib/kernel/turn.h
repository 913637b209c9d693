/* kernel/turn.h -- copies that change the order of dimensions: what follows each other in one tensor is far apart in
 * the other.  Elements of 1, 2, 4 or 8 bytes, whatever they are. */
#ifndef ONX_TURN_H
#define ONX_TURN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/real.h"

enum { ONX_TURN_RANK = 22 };

/* to[b * step + a] = from[b + place of a]: a counts through a box of dimensions, the outermost first, which lie
 * `stride` apart in `from`. */
struct onx_turn {
	size_t width;                   /* bytes of an element */
	int64_t step;
	bool far;                       /* `to` is larger than the caches: see far.h */
	int rank;                       /* at least 1 */
	int64_t dim[ONX_TURN_RANK], stride[ONX_TURN_RANK];
};

#define onx_turn_block ONX_R(onx_turn_block)

/* a0 <= a < a1, 0 <= b < n; to and from do not overlap. */
void onx_turn_block(const struct onx_turn *t, void *to, const void *from, int64_t a0, int64_t a1, int64_t n);

#endif
