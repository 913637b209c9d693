/* kernel/flat.h -- products of rows that lie evenly apart with one packed panel of columns.
 *
 *     y[r][j] = f(sum over l < len of x[r * x_pitch + l] * b[l * width + j]  + bias[j] + add[r * add_pitch + j])
 *
 * The tiles of tile.h find their rows by pointers, which a window needs.  Where rows follow each other, those pointers,
 * a call for each tile and what is asked for ahead cost a third of the time of a product with few terms: here
 * one call goes over all rows, with bias, clamp and store, 6 rows by one or two vectors at a time or 4 by three (12 and
 * 8 where there are 32 registers).  Each element is one sum in the order of l, whatever the tile. */
#ifndef ONX_FLAT_H
#define ONX_FLAT_H
#include <stdbool.h>
#include <stddef.h>
#include "kernel/cpu.h"
#include "kernel/real.h"

enum { ONX_FLAT_LINES = 3 };    /* the widest panel */

struct ONX_R(onx_flat) {
	size_t rows, len;
	const real *x, *b, *bias, *add; /* bias [width] and add may be NULL; add may be y */
	real *y;
	size_t x_pitch, add_pitch, y_pitch;
	bool clamp, stream;             /* to [lo, hi]; past the caches, rows of y aligned to lines */
	real lo, hi;
};
typedef void ONX_R(onx_flat_fn)(const struct ONX_R(onx_flat) *f);

#define onx_flat_of ONX_R(onx_flat_of)
/* For panels of 1 to ONX_FLAT_LINES vectors, whose numbers are half the columns of a tile (tile.h). */
ONX_R(onx_flat_fn) *onx_flat_of(enum onx_isa isa, size_t lines);

#endif
