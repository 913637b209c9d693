/* kernel/tile.c -- see the header.  Written once on the compiler's vectors, V whole and H half registers; the
 * bodies are inlined for each number of rows and of vectors, so that the loops over them unroll and the
 * sums stay in registers. */
#include "kernel/tile.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef struct ONX_R(onx_tile_gather) gather;
typedef struct ONX_R(onx_tile_outer) outer;

/* The second of each pair is for memory, where it need not be aligned. */
#define VECTOR(name, bytes)                                                                           \
typedef real name __attribute__((vector_size(bytes)));                                                \
typedef real name##_at __attribute__((vector_size(bytes), aligned(sizeof(real)), may_alias));
VECTOR(v16, 16)
VECTOR(v32, 32)
VECTOR(v64, 64)

/* Statements on all sums: v and h stand for one of them, r for its row, at for its column. */
#define ALL(V, H, statement_v, statement_h)                                                           \
	ONX_UNROLL                                                                                    \
	for (int r = 0; r < rows; r++) {                                                              \
		ONX_UNROLL                                                                            \
		for (int j = 0; j < nv; j++)                                                          \
			statement_v;                                                                  \
		if (nh)                                                                               \
			statement_h;                                                                  \
	}
/* v held inside [lo, hi]; NaN stays.  x86's maximum and minimum give the second where one is NaN. */
#define BLEND(V, mask, a, b) (V)(((__typeof__(mask))(a) & ~(mask)) | ((__typeof__(mask))(b) & (mask)))
#define INSIDE(V, v, lo, hi) INSIDE_##V(v, lo, hi)
#define INSIDE_ANY(V, v, lo, hi) BLEND(V, (v) > (hi), BLEND(V, (v) < (lo), v, lo), hi)
#ifdef __x86_64__
#ifdef ONX_F64
#define LESSER(bits, v, lo, hi) _mm##bits##_min_pd(hi, _mm##bits##_max_pd(lo, v))
#else
#define LESSER(bits, v, lo, hi) _mm##bits##_min_ps(hi, _mm##bits##_max_ps(lo, v))
#endif
#define INSIDE_v16(v, lo, hi) (v16)LESSER(, v, lo, hi)
#define INSIDE_v32(v, lo, hi) (v32)LESSER(256, v, lo, hi)
#define INSIDE_v64(v, lo, hi) (v64)LESSER(512, v, lo, hi)
#else
#define INSIDE_v16(v, lo, hi) INSIDE_ANY(v16, v, lo, hi)
#endif

/* To memory past the caches, where the instruction set can. */
#define STREAM(V, to, v) STREAM_##V(to, v)
#define STREAM_v16(to, v) (*(v16_at *)(to) = (v))
#define STREAM_v32(to, v) _mm256_stream_si256((__m256i *)(void *)(to), (__m256i)(v))
#define STREAM_v64(to, v) _mm512_stream_si512((__m512i *)(void *)(to), (__m512i)(v))

enum { FETCH = 64 / sizeof(real) };     /* terms of a line */

/* nv whole vectors, then nh halves; ROWS: of the pointers' table. */
#define GATHER(name, attributes, V, H, ROWS)                                                          \
attributes __attribute__((always_inline))                                                             \
static inline void name(int rows, int nv, int nh, const gather *t)                                    \
{                                                                                                     \
	enum { LV = sizeof(V) / sizeof(real), LH = sizeof(H) / sizeof(real) };                        \
	const size_t width = (size_t)(nv * LV + nh * LH);                                             \
	const real *b = t->b, *const *at = t->at;                                                     \
	const size_t *const row = t->row;                                                             \
	real *const y = t->y;                                                                         \
	const real *const *next = t->next;                                                            \
	V v[ROWS][2], bv[2] = { { 0 }, { 0 } };                                                       \
	H h[ROWS], bh = { 0 };                                                                        \
                                                                                                      \
	ALL(V, H, v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                \
	for (size_t s = t->spans; s; s--, at += ROWS) {                                               \
		const real *x[ROWS];                                                                  \
                                                                                                      \
		ONX_UNROLL                                                                            \
		for (int r = 0; r < rows; r++)                                                        \
			x[r] = at[r] + t->first;                                                      \
		for (size_t l = 0, some = 0; l < t->len; ) {                                          \
			some = next && t->len - l > FETCH ? l + FETCH : t->len;                       \
			if (next)                                                                     \
				for (int r = 0; r < rows; r++)                                        \
					__builtin_prefetch(next[r] + t->first + l, 0, 2);                 \
			for (; l < some; l++, b += width) {                                           \
				ONX_UNROLL                                                            \
				for (int j = 0; j < nv; j++)                                          \
					bv[j] = *(const V##_at *)(b + j * LV);                        \
				if (nh)                                                               \
					bh = *(const H##_at *)(b + nv * LV);                          \
				ALL(V, H, v[r][j] += bv[j] * x[r][l], h[r] += bh * x[r][l])           \
			}                                                                             \
		}                                                                                     \
		if (next)                                                                             \
			next += ROWS;                                                                 \
	}                                                                                             \
	if (t->bias) {                                                                                \
		const real *const bias = t->bias;                                                     \
		ALL(V, H, v[r][j] += *(const V##_at *)(bias + j * LV),                                \
		    h[r] += *(const H##_at *)(bias + nv * LV))                                        \
	}                                                                                             \
	if (t->add) {                                                                                 \
		const real *const add = t->add;                                                       \
		const size_t *const from = t->add_row;                                                \
		ALL(V, H, v[r][j] += *(const V##_at *)(add + from[r] + j * LV),                       \
		    h[r] += *(const H##_at *)(add + from[r] + nv * LV))                               \
	}                                                                                             \
	if (t->clamp) {                 /* NaN stays, as in onx_fuse_row */                           \
		const V lo = (V){ 0 } + t->lo, hi = (V){ 0 } + t->hi;                                 \
		const H lo_h = (H){ 0 } + t->lo, hi_h = (H){ 0 } + t->hi;                             \
                                                                                                      \
		ALL(V, H, v[r][j] = INSIDE(V, v[r][j], lo, hi), h[r] = INSIDE(H, h[r], lo_h, hi_h))   \
	}                                                                                             \
	if (t->stream) {                                                                              \
		ALL(V, H, STREAM(V, y + row[r] + j * LV, v[r][j]),                                    \
		    STREAM(H, y + row[r] + nv * LV, h[r]))                                            \
	} else {                                                                                      \
		ALL(V, H, *(V##_at *)(y + row[r] + j * LV) = v[r][j],                                 \
		    *(H##_at *)(y + row[r] + nv * LV) = h[r])                                         \
	}                                                                                             \
}

#define OUTER(name, attributes, V, H, ROWS)                                                           \
attributes __attribute__((always_inline))                                                             \
static inline void name(int rows, int nv, int nh, const outer *t)                                     \
{                                                                                                     \
	enum { LV = sizeof(V) / sizeof(real), LH = sizeof(H) / sizeof(real) };                        \
	const real *b = t->b;                                                                         \
	const size_t ldc = t->ldc;                                                                    \
	real *const c = t->c;                                                                         \
	V v[ROWS][2], bv[2] = { { 0 }, { 0 } };                                                       \
	H h[ROWS], bh = { 0 };                                                                        \
                                                                                                      \
	ALL(V, H, v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                \
	for (size_t k = 0; k < t->depth; k++, b += t->ldb) {                                          \
		const real *const x = t->at[k] + t->first;                                            \
                                                                                                      \
		ONX_UNROLL                                                                            \
		for (int j = 0; j < nv; j++)                                                          \
			bv[j] = *(const V##_at *)(b + j * LV);                                        \
		if (nh)                                                                               \
			bh = *(const H##_at *)(b + nv * LV);                                          \
		ONX_UNROLL                                                                            \
		for (int r = 0; r < rows; r++) {                                                      \
			ONX_UNROLL                                                                    \
			for (int j = 0; j < nv; j++)                                                  \
				v[r][j] += bv[j] * x[r];                                              \
			if (nh)                                                                       \
				h[r] += bh * x[r];                                                    \
		}                                                                                     \
	}                                                                                             \
	if (t->add)                                                                                   \
		ALL(V, H, v[r][j] += *(const V##_at *)(c + (size_t)r * ldc + j * LV),                 \
		    h[r] += *(const H##_at *)(c + (size_t)r * ldc + nv * LV))                         \
	ALL(V, H, *(V##_at *)(c + (size_t)r * ldc + j * LV) = v[r][j],                                \
	    *(H##_at *)(c + (size_t)r * ldc + nv * LV) = h[r])                                        \
}

/* One function for each number of rows (thirds of n) and of vectors. */
#define WIDTH(set, attributes, n, w, nv, nh)                                                          \
attributes static void set##_g1##w(const gather *t) { set##_gather(n / 3, nv, nh, t); }               \
attributes static void set##_g2##w(const gather *t) { set##_gather(n / 3 * 2, nv, nh, t); }           \
attributes static void set##_g3##w(const gather *t) { set##_gather(n, nv, nh, t); }            \
attributes static void set##_o1##w(const outer *t) { set##_outer(n / 3, nv, nh, t); }                 \
attributes static void set##_o2##w(const outer *t) { set##_outer(n / 3 * 2, nv, nh, t); }             \
attributes static void set##_o3##w(const outer *t) { set##_outer(n, nv, nh, t); }

#define SET(set, attributes, V, H, n)                                                                 \
GATHER(set##_gather, attributes, V, H, n)                                                             \
OUTER(set##_outer, attributes, V, H, n)

enum { BASE_ROWS = 6, HALF_ROWS = 6, WIDE_ROWS = 12 };

SET(base, , v16, v16, BASE_ROWS)
WIDTH(base, , BASE_ROWS, a, 1, 0)
WIDTH(base, , BASE_ROWS, b, 2, 0)

#if defined __x86_64__
#define ONX_BY_HAND 1
#define AVX2 __attribute__((target("avx2,fma")))
SET(half, AVX2, v32, v16, HALF_ROWS)
WIDTH(half, AVX2, HALF_ROWS, a, 0, 1)
WIDTH(half, AVX2, HALF_ROWS, b, 1, 0)
WIDTH(half, AVX2, HALF_ROWS, c, 1, 1)
WIDTH(half, AVX2, HALF_ROWS, d, 2, 0)

#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
SET(wide, AVX512, v64, v32, WIDE_ROWS)
WIDTH(wide, AVX512, WIDE_ROWS, a, 0, 1)
WIDTH(wide, AVX512, WIDE_ROWS, b, 1, 0)
WIDTH(wide, AVX512, WIDE_ROWS, c, 1, 1)
WIDTH(wide, AVX512, WIDE_ROWS, d, 2, 0)
#endif

#define ROW_OF(set) set##a, set##b, set##c, set##d
#define FOUR(set) { { ROW_OF(set##1) }, { ROW_OF(set##2) }, { ROW_OF(set##3) } }
#define LANES(v) (sizeof(v) / sizeof(real))

const struct ONX_R(onx_tile) *onx_tile_of(enum onx_isa isa)
{
	static const struct ONX_R(onx_tile) table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { BASE_ROWS, 2 * LANES(v16), LANES(v16),
				   { { base_g1a, base_g1b }, { base_g2a, base_g2b }, { base_g3a, base_g3b } },
				   { { base_o1a, base_o1b }, { base_o2a, base_o2b }, { base_o3a, base_o3b } } },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = { HALF_ROWS, 2 * LANES(v32), LANES(v16), FOUR(half_g),
				   FOUR(half_o) },
		[ONX_ISA_AVX512] = { WIDE_ROWS, 2 * LANES(v64), LANES(v32), FOUR(wide_g),
				     FOUR(wide_o) },
#endif
	};

	return table[isa].rows ? &table[isa] : &table[ONX_ISA_BASE];
}
