/* kernel/outer.h -- register tiles of a sum of outer products: the inner loop of gradients of weights.
 *
 *     c[r][j] (=|+=) sum over k < depth of  x[k][r] * b[k][j]        r < rows, j < width
 *
 * Both operands are read where they lie: row k of x is at[k] + first, of b it is b + k * ldb.  While the sum runs,
 * memory that a later tile needs may be asked for, so that its way from far and the products overlap: in each
 * step two lines at ask + k * ask_step and one at at[k] + first + ask_x, which may lie outside of any array.  Into the
 * second-level cache: for the first a core waits as soon as some twenty lines are on their way.  A tile that
 * asks takes a tenth longer where everything is at hand.
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
	const real *ask;                /* NULL: nothing */
	size_t ask_step, ask_x;         /* numbers */
};

typedef void ONX_R(onx_outer_fn)(const struct ONX_R(onx_outer) *t);
struct ONX_R(onx_outers) { ONX_R(onx_outer_fn) *run[2][ONX_TILE_PARTS][ONX_TILE_WIDTHS]; };

/* For the tiles of an instruction set: [t->ask != NULL][3 * rows / tile's rows - 1][width / unit - 1]. */
#define onx_outers_of ONX_R(onx_outers_of)
const struct ONX_R(onx_outers) *onx_outers_of(enum onx_isa isa);

#endif
