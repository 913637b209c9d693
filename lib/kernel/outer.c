/* kernel/outer.c -- see the header.  Written once on the compiler's vectors, V whole and H half registers; the
 * body is inlined for each number of rows and of vectors, so that the loops over them unroll and the sums
 * stay in registers. */
#include "kernel/outer.h"
#include "kernel/tile_i.h"
#include <string.h>

typedef struct ONX_R(onx_outer) outer;

/* One pointer in a register and offsets that are constants: else the compiler keeps a register for each row. */
#ifdef __GNUC__
#define KEEP(pointer) __asm__("" : "+r"(pointer))
#else
#define KEEP(pointer) ((void)0)
#endif

#define OUTER(name, attributes, V, H, ROWS)                                                           \
attributes __attribute__((always_inline))                                                             \
static inline void name(int rows, int nv, int nh, const outer *t)                                     \
{                                                                                                     \
	enum { LV = sizeof(V) / sizeof(real), LH = sizeof(H) / sizeof(real) };                        \
	const size_t ldc = t->ldc, ldb = t->ldb, first = t->first;                                    \
	const real *b = t->b, *const *at = t->at, *const *const end = at + t->depth;                  \
	real *const c = t->c;                                                                         \
	V v[ROWS][2], bv[2] = { { 0 }, { 0 } };                                                       \
	H h[ROWS], bh = { 0 };                                                                        \
                                                                                                      \
	ALL(v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                      \
	for (; at < end; at++, b += ldb) {                                                            \
		const real *x = *at + first;                                                          \
                                                                                                      \
		KEEP(x);                                                                              \
		ONX_UNROLL                                                                            \
		for (int j = 0; j < nv; j++)                                                          \
			bv[j] = *(const V##_at *)(b + j * LV);                                        \
		if (nh)                                                                               \
			bh = *(const H##_at *)(b + nv * LV);                                          \
		ALL(v[r][j] += bv[j] * x[r], h[r] += bh * x[r])                                       \
	}                                                                                             \
	if (t->add)                                                                                   \
		ALL(v[r][j] += *(const V##_at *)(c + (size_t)r * ldc + j * LV),                       \
		    h[r] += *(const H##_at *)(c + (size_t)r * ldc + nv * LV))                         \
	ALL(*(V##_at *)(c + (size_t)r * ldc + j * LV) = v[r][j],                                      \
	    *(H##_at *)(c + (size_t)r * ldc + nv * LV) = h[r])                                        \
}

OUTER(base, , v16, v16, BASE_ROWS)
TWO_WIDTHS(base, , outer, BASE_ROWS)
#ifdef ONX_BY_HAND
OUTER(half, AVX2, v32, v16, HALF_ROWS)
FOUR_WIDTHS(half, AVX2, outer, HALF_ROWS)
OUTER(wide, AVX512, v64, v32, WIDE_ROWS)
FOUR_WIDTHS(wide, AVX512, outer, WIDE_ROWS)
#endif

const struct ONX_R(onx_outers) *onx_outers_of(enum onx_isa isa)
{
	static const struct ONX_R(onx_outers) table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { TWO(base) },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = { FOUR(half) },
		[ONX_ISA_AVX512] = { FOUR(wide) },
#endif
	};

	return table[isa].run[0][0] ? &table[isa] : &table[ONX_ISA_BASE];
}

/* ---- panels ----------------------------------------------------------------------------------------- */

/* The end of a row, n < wide numbers, and zeros. */
ONX_INLINE void tail(const real *from, size_t n, size_t wide, real *to)
{
	for (size_t i = 0; i < wide; i++)
		to[i] = 0;
	for (size_t i = 0; i + 4 <= n; i += 4)
		memcpy(to + i, from + i, 4 * sizeof *to);
	for (size_t i = n / 4 * 4; i < n; i++)
		to[i] = from[i];
}

ONX_INLINE void rows_to(const real *const *row, size_t rows, size_t first, size_t n, size_t wide, size_t apart,
			real *to)
{
	for (size_t k = 0; k < rows; k++, to += wide) {
		const real *from = row[k] + first;
		real *panel = to;
		size_t left = n;

		for (; left >= wide; left -= wide, from += wide, panel += apart)
			memcpy(panel, from, wide * sizeof *to);
		if (left)
			tail(from, left, wide, panel);
	}
}

/* The tiles' widths stand here as constants. */
ONX_CLONES
void onx_outer_panels(const real *const *row, size_t rows, size_t first, size_t n, size_t wide, size_t apart, real *to)
{
	switch (wide) {
	case 4: rows_to(row, rows, first, n, 4, apart, to); break;
	case 6: rows_to(row, rows, first, n, 6, apart, to); break;
	case 8: rows_to(row, rows, first, n, 8, apart, to); break;
	case 12: rows_to(row, rows, first, n, 12, apart, to); break;
	case 16: rows_to(row, rows, first, n, 16, apart, to); break;
	case 32: rows_to(row, rows, first, n, 32, apart, to); break;
	default: rows_to(row, rows, first, n, wide, apart, to);
	}
}
