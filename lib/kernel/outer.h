/* kernel/outer.h -- register tiles of a sum of outer products: the inner loop of gradients of weights.
 *
 *     c[r][j] (=|+=) sum over k < depth of  x[k][r] * b[k][j]        r < rows, j < width
 *
 * Both operands are read where they lie: row k of x is at[k] + first, of b it is b + k * ldb.
 * Rows come in thirds of ONX_R(onx_tile).rows, columns in multiples of its `unit` (tile.h). */
#ifndef ONX_OUTER_H
#define ONX_OUTER_H
#include <stdbool.h>
#include <stddef.h>
#include "kernel/tile.h"

struct ONX_R(onx_outer) {
	size_t depth, first, ldb, ldc;
	const real *const *at;
	const real *b;
	bool add;
	real *c;
};

typedef void ONX_R(onx_outer_fn)(const struct ONX_R(onx_outer) *t);
struct ONX_R(onx_outers) { ONX_R(onx_outer_fn) *run[ONX_TILE_PARTS][ONX_TILE_WIDTHS]; };

/* For the tiles of an instruction set: [3 * rows / tile's rows - 1][width / unit - 1]. */
#define onx_outers_of ONX_R(onx_outers_of)
const struct ONX_R(onx_outers) *onx_outers_of(enum onx_isa isa);

/* Of `rows` rows n numbers each, from `first` on, into panels [row][wide], `apart` numbers from panel to panel; what is
 * left of the last one is zero. */
#define onx_outer_panels ONX_R(onx_outer_panels)
void onx_outer_panels(const real *const *row, size_t rows, size_t first, size_t n, size_t wide, size_t apart, real *to);

#endif
