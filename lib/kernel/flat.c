/* kernel/flat.c -- see the header. */
#include "kernel/flat.h"
#include "kernel/far.h"
#include "kernel/inside.h"

typedef struct ONX_R(onx_flat) flat;

enum { ROWS_MOST = 12, SIDE_BY_SIDE = 3 };      /* rows of a tile; of those that share a pointer */

#define ONX_LINES "kernel/flat_lines.inc"
#include "kernel/lines.h"

ONX_R(onx_flat_fn) *onx_flat_of(enum onx_isa isa, size_t lines)
{
	static ONX_R(onx_flat_fn) *const *const all[ONX_ISAS] = ONX_WIDTHS(flats);

	return all[isa][lines - 1];
}
