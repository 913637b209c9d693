/* kernel/outer.c -- see the header.  Written once on the compiler's vectors, V whole and H half registers; the
 * body is inlined for each number of rows and of vectors, so that the loops over them unroll and the sums
 * stay in registers. */
#include "kernel/outer.h"

typedef struct ONX_R(onx_outer) outer;

/* The second of each pair is for memory, where it need not be aligned. */
#define VECTOR(name, bytes)                                                                           \
typedef real name __attribute__((vector_size(bytes)));                                                \
typedef real name##_at __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));
VECTOR(v16, 16)
VECTOR(v32, 32)
VECTOR(v64, 64)

/* Statements on all sums: v and h stand for one of them, r for its row, at for its column. */
#define ALL(statement_v, statement_h)                                                                 \
	ONX_UNROLL                                                                                    \
	for (int r = 0; r < rows; r++) {                                                              \
		ONX_UNROLL                                                                            \
		for (int j = 0; j < nv; j++)                                                          \
			statement_v;                                                                  \
		if (nh)                                                                               \
			statement_h;                                                                  \
	}

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
	const size_t ldc = t->ldc, ldb = t->ldb, first = t->first, ask_x = t->ask_x;                  \
	const size_t ask_step = t->ask_step;                                                          \
	const real *b = t->b, *ask = t->ask, *const *at = t->at, *const *const end = at + t->depth;   \
	real *const c = t->c;                                                                         \
	V v[ROWS][2], bv[2] = { { 0 }, { 0 } };                                                       \
	H h[ROWS], bh = { 0 };                                                                        \
                                                                                                      \
	ALL(v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                      \
	for (; at < end; at++, b += ldb, ask += ask_step) {                                           \
		const real *x = *at + first;                                                          \
                                                                                                      \
		KEEP(x);                                                                              \
		__builtin_prefetch(ask, 0, 2);                                                              \
		__builtin_prefetch(ask + 64 / sizeof(real), 0, 2);                                          \
		__builtin_prefetch(x + ask_x, 0, 2);                                                        \
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

/* One function for each number of rows (thirds of n) and of vectors. */
#define WIDTH(set, attributes, n, w, nv, nh)                                                          \
attributes static void set##_1##w(const outer *t) { set(n / 3, nv, nh, t); }                          \
attributes static void set##_2##w(const outer *t) { set(n / 3 * 2, nv, nh, t); }                      \
attributes static void set##_3##w(const outer *t) { set(n, nv, nh, t); }

enum { BASE_ROWS = 6, HALF_ROWS = 6, WIDE_ROWS = 12 };          /* as in tile.c */

OUTER(base, , v16, v16, BASE_ROWS)
WIDTH(base, , BASE_ROWS, a, 1, 0)
WIDTH(base, , BASE_ROWS, b, 2, 0)

#if defined __x86_64__
#define ONX_BY_HAND 1
#define AVX2 __attribute__((target("avx2,fma")))
OUTER(half, AVX2, v32, v16, HALF_ROWS)
WIDTH(half, AVX2, HALF_ROWS, a, 0, 1)
WIDTH(half, AVX2, HALF_ROWS, b, 1, 0)
WIDTH(half, AVX2, HALF_ROWS, c, 1, 1)
WIDTH(half, AVX2, HALF_ROWS, d, 2, 0)

#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
OUTER(wide, AVX512, v64, v32, WIDE_ROWS)
WIDTH(wide, AVX512, WIDE_ROWS, a, 0, 1)
WIDTH(wide, AVX512, WIDE_ROWS, b, 1, 0)
WIDTH(wide, AVX512, WIDE_ROWS, c, 1, 1)
WIDTH(wide, AVX512, WIDE_ROWS, d, 2, 0)
#endif

#define ROW_OF(set) set##a, set##b, set##c, set##d
#define FOUR(set) { { { ROW_OF(set##_1) }, { ROW_OF(set##_2) }, { ROW_OF(set##_3) } } }

const struct ONX_R(onx_outers) *onx_outers_of(enum onx_isa isa)
{
	static const struct ONX_R(onx_outers) table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { { { base_1a, base_1b }, { base_2a, base_2b }, { base_3a, base_3b } } },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = FOUR(half),
		[ONX_ISA_AVX512] = FOUR(wide),
#endif
	};

	return table[isa].run[0][0] ? &table[isa] : &table[ONX_ISA_BASE];
}
