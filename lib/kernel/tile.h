/* kernel/tile.h -- the innermost blocks of products whose operands are read where they lie.
 *
 * gather:  C[r][j] = sum over s < spans, l < len of  at[s * rows + r][l] * b[(s * len + l) * width + j]
 *          Each row of the left operand is a list of spans of memory, given by pointers, so that the pixels
 *          of an image under a window are read in place; b is packed.  Then the end: bias, what is added,
 *          a clamp, and the store.
 *
 * The other kind, sums of outer products, has the same tiles: outer.h.
 *
 * A tile is rows x cols sums in registers: 12 x 32 floats are 24 of the 32 AVX-512 registers, 6 x 16 are 12
 * of the 16 of AVX2.  For each step: one load of a row of b, and for each row one number broadcast and
 * multiplied on to the sums (Goto and van de Geijn 2008).  Narrower tiles come in multiples of `unit`
 * columns (run[..][width / unit - 1]), shorter ones in thirds of `rows` (run[3 * rows' / rows - 1][..]).
 * Each element is one sum in the order of s, l. */
#ifndef ONX_TILE_H
#define ONX_TILE_H
#include <stdbool.h>
#include <stddef.h>
#include "kernel/cpu.h"
#include "kernel/real.h"

enum { ONX_TILE_PARTS = 3, ONX_TILE_WIDTHS = 4, ONX_TILE_ROWS = 12, ONX_TILE_COLS = 32 };   /* the largest */

/* Row r of C is y + row[r].  bias [width] and add (row r at add + add_row[r]) may be NULL; clamp: to [lo, hi] at the
 * end. */
struct ONX_R(onx_tile_gather) {
	size_t spans, len;
	const real *const *at;
	size_t first;                   /* added to each pointer */
	const real *b, *bias, *add;
	const real *const *next;        /* as `at`, of the tile to come, whose lines are asked for; or NULL */
	real *y;
	const size_t *row, *add_row;
	bool clamp, stream;             /* stream: past the caches; then rows of y are aligned */
	real lo, hi;
};
struct ONX_R(onx_tile) {
	enum onx_isa isa;
	size_t rows, cols, unit;
	void (*gather[ONX_TILE_PARTS][ONX_TILE_WIDTHS])(const struct ONX_R(onx_tile_gather) *t);
};

/* After the last of a piece's tiles with `stream`: its stores come before whatever tells others that it is done. */
static inline void onx_tile_settle(void)
{
#ifdef __x86_64__
	__builtin_ia32_sfence();
#endif
}

#define onx_tile_of ONX_R(onx_tile_of)
/* The tiles for an instruction set; where it has none: the portable ones. */
const struct ONX_R(onx_tile) *onx_tile_of(enum onx_isa isa);

#endif
