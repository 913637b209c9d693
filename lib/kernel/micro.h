/* kernel/micro.h -- the innermost block of a matrix product: a few rows by a few vectors of C, held in
 * registers while k runs (Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix
 * Multiplication").
 *
 *     C [rows x cols] (=|+=) bias + A B      A packed [k][rows], B packed [k][cols], C with rows ldc apart
 *
 * rows and cols are the kernel's own.  For each k: one load of a row of B, and for each row of A one
 * number broadcast and multiplied on to the sums.  12 x 32 floats are 24 of the 32 AVX-512 registers,
 * 6 x 16 are 12 of the 16 of AVX2.  Each element is one sum from zero in the order of k; bias and C are
 * added to it at the end, so that blocks of k keep the rounding of single precision small (README.md). */
#ifndef ONX_MICRO_H
#define ONX_MICRO_H
#include <stdbool.h>
#include <stddef.h>
#include "kernel/cpu.h"
#include "kernel/real.h"

enum { ONX_MICRO_PARTS = 3, ONX_MICRO_ROWS = 12, ONX_MICRO_COLS = 32 };     /* the largest */

/* bias [rows] or NULL; with `add` C is read. */
typedef void ONX_R(onx_micro_fn)(size_t k, const real *a, const real *b, const real *bias, bool add,
	real *c, size_t ldc);
struct ONX_R(onx_micro) {
	size_t rows, cols;
	/* run[i] computes the first (i + 1) * rows / 3 rows only, of the same packed A. */
	ONX_R(onx_micro_fn) *run[ONX_MICRO_PARTS];
};

#define onx_micro_of ONX_R(onx_micro_of)
/* The kernel for an instruction set; in double and where there is none by hand: the portable one. */
const struct ONX_R(onx_micro) *onx_micro_of(enum onx_isa isa);

#endif
