/* kernel/outer.c -- see the header.  Written once on the compiler's vectors, V whole and H half registers; the
 * body is inlined for each number of rows and of vectors, so that the loops over them unroll and the sums
 * stay in registers. */
#include "kernel/outer.h"
#include "kernel/tile_i.h"

typedef struct ONX_R(onx_outer) outer;

/* One pointer in a register and offsets that are constants: else the compiler keeps a register for each row. */
#ifdef __GNUC__
#define KEEP(pointer) __asm__("" : "+r"(pointer))
#else
#define KEEP(pointer) ((void)0)
#endif

#define OUTER(name, attributes, V, H, ROWS)                                                           \
attributes __attribute__((always_inline))                                                             \
static inline void name##_tile(int rows, int nv, int nh, const bool asks, const outer *t)             \
{                                                                                                     \
	enum { LV = sizeof(V) / sizeof(real), LH = sizeof(H) / sizeof(real) };                        \
	const size_t ldc = t->ldc, ldb = t->ldb, first = t->first, ask_x = t->ask_x;                  \
	const size_t ask_step = t->ask_step;                                                          \
	const real *b = t->b, *ask = t->ask, *const *at = t->at, *const *const end = at + t->depth;           \
	real *const c = t->c;                                                                         \
	V v[ROWS][2], bv[2] = { { 0 }, { 0 } };                                                       \
	H h[ROWS], bh = { 0 };                                                                        \
                                                                                                      \
	ALL(v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                      \
	for (; at < end; at++, b += ldb) {                                                            \
		const real *x = *at + first;                                                          \
                                                                                                      \
		KEEP(x);                                                                              \
		if (asks) {                                                                           \
			__builtin_prefetch(ask, 0, 2);                                                \
			__builtin_prefetch(ask + 64 / sizeof(real), 0, 2);                            \
			__builtin_prefetch(x + ask_x, 0, 2);                                          \
			ask += ask_step;                                                              \
		}                                                                                     \
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
}                                                                                                     \
attributes __attribute__((always_inline))                                                             \
static inline void name(int rows, int nv, int nh, const outer *t)                                     \
{                                                                                                     \
	name##_tile(rows, nv, nh, false, t);                                                          \
}                                                                                                     \
attributes __attribute__((always_inline))                                                             \
static inline void name##_ask(int rows, int nv, int nh, const outer *t)                               \
{                                                                                                     \
	name##_tile(rows, nv, nh, true, t);                                                           \
}

OUTER(base, , v16, v16, BASE_ROWS)
TWO_WIDTHS(base, , outer, BASE_ROWS)
TWO_WIDTHS(base_ask, , outer, BASE_ROWS)
#ifdef ONX_BY_HAND
OUTER(half, AVX2, v32, v16, HALF_ROWS)
FOUR_WIDTHS(half, AVX2, outer, HALF_ROWS)
FOUR_WIDTHS(half_ask, AVX2, outer, HALF_ROWS)
OUTER(wide, AVX512, v64, v32, WIDE_ROWS)
FOUR_WIDTHS(wide, AVX512, outer, WIDE_ROWS)
FOUR_WIDTHS(wide_ask, AVX512, outer, WIDE_ROWS)
#endif

const struct ONX_R(onx_outers) *onx_outers_of(enum onx_isa isa)
{
	static const struct ONX_R(onx_outers) table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { { TWO(base), TWO(base_ask) } },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = { { FOUR(half), FOUR(half_ask) } },
		[ONX_ISA_AVX512] = { { FOUR(wide), FOUR(wide_ask) } },
#endif
	};

	return table[isa].run[0][0][0] ? &table[isa] : &table[ONX_ISA_BASE];
}
