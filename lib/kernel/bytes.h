/* kernel/bytes.h -- products of 8-bit whole numbers less their zero points.
 *
 *     C[i][j] = sum over k of A[i][k] B[k][j]         i < m, j < n, modulo 2^32
 *
 * A and B are numbers of -255 to 255, so a product of two pairs is exact in 32 bits and sums wrap as two's complement
 * does: the order of the terms changes nothing.  Neither matrix need exist: rows of B and of A are asked for when
 * they are wanted (the matrix of a convolution's windows is read from the picture so).
 *
 * A piece is a block of C.  Some rows of B are copied as panels of ONX_BYTES_WIDE columns, two rows interleaved, which
 * is what one instruction (pmaddwd) multiplies and adds; a few rows of A at a time pass along all panels. */
#ifndef ONX_BYTES_H
#define ONX_BYTES_H
#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernel/cpu.h"
#include "kernel/real.h"

enum { ONX_BYTES_LEAST = 4, ONX_BYTES_ROWS = 128, ONX_BYTES_COLS = 128, ONX_BYTES_WIDE = 16 };

struct onx_bytes {
	size_t m, n, k;
	void (*a)(const void *ctx, size_t i, size_t k, size_t count, int16_t *to);      /* A[i][k ...] */
	/* B[k][j ...], in a piece k = 0, 1, ... */
	void (*b)(void *ctx, size_t k, size_t j, size_t count, int16_t *to);
	void (*put)(const void *ctx, size_t i, size_t j, size_t count, const uint32_t *sum);    /* C[i][j ...] */
	void *ctx;
};

#define onx_bytes_piece ONX_R(onx_bytes_piece)

/* Whether so many rows are worth copying B. */
static inline int onx_bytes_fits(size_t m) { return m >= ONX_BYTES_LEAST; }
/* How many pieces there are; below, one of them in the calling thread, for an instruction set that the
 * processor has. */
static inline size_t onx_bytes_pieces(const struct onx_bytes *p)
{
	return onx_pieces(p->m, ONX_BYTES_ROWS) * onx_pieces(p->n, ONX_BYTES_COLS);
}
/* The first column of a piece. */
static inline size_t onx_bytes_column(const struct onx_bytes *p, size_t piece)
{
	return piece % onx_pieces(p->n, ONX_BYTES_COLS) * ONX_BYTES_COLS;
}
void onx_bytes_piece(const struct onx_bytes *p, enum onx_isa isa, size_t piece);

#endif
