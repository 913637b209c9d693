/* kernel/tile.c -- see the header.  Written once on the compiler's vectors, V whole and H half registers; the
 * bodies are inlined for each number of rows and of vectors, so that the loops over them unroll and the
 * sums stay in registers. */
#include "kernel/tile_i.h"
#include "kernel/inside.h"

typedef struct ONX_R(onx_tile_gather) gather;

#define INSIDE(V, v, lo, hi) INSIDE_##V(V, v, lo, hi)
#define INSIDE_v16 ONX_INSIDE_16
#define INSIDE_v32 ONX_INSIDE_32
#define INSIDE_v64 ONX_INSIDE_64

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
	ALL(v[r][j] = (V){ 0 }, h[r] = (H){ 0 })                                                \
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
				ALL(v[r][j] += bv[j] * x[r][l], h[r] += bh * x[r][l])           \
			}                                                                             \
		}                                                                                     \
		if (next)                                                                             \
			next += ROWS;                                                                 \
	}                                                                                             \
	if (t->bias) {                                                                                \
		const real *const bias = t->bias;                                                     \
		ALL(v[r][j] += *(const V##_at *)(bias + j * LV),                                \
		    h[r] += *(const H##_at *)(bias + nv * LV))                                        \
	}                                                                                             \
	if (t->add) {                                                                                 \
		const real *const add = t->add;                                                       \
		const size_t *const from = t->add_row;                                                \
		ALL(v[r][j] += *(const V##_at *)(add + from[r] + j * LV),                       \
		    h[r] += *(const H##_at *)(add + from[r] + nv * LV))                               \
	}                                                                                             \
	if (t->clamp) {                 /* NaN stays, as in onx_fuse_row */                           \
		const V lo = (V){ 0 } + t->lo, hi = (V){ 0 } + t->hi;                                 \
		const H lo_h = (H){ 0 } + t->lo, hi_h = (H){ 0 } + t->hi;                             \
                                                                                                      \
		ALL(v[r][j] = INSIDE(V, v[r][j], lo, hi), h[r] = INSIDE(H, h[r], lo_h, hi_h))   \
	}                                                                                             \
	if (t->stream) {                                                                              \
		ALL(STREAM(V, y + row[r] + j * LV, v[r][j]),                                    \
		    STREAM(H, y + row[r] + nv * LV, h[r]))                                            \
	} else {                                                                                      \
		ALL(*(V##_at *)(y + row[r] + j * LV) = v[r][j],                                 \
		    *(H##_at *)(y + row[r] + nv * LV) = h[r])                                         \
	}                                                                                             \
}

GATHER(base, , v16, v16, BASE_ROWS)
TWO_WIDTHS(base, , gather, BASE_ROWS)
#ifdef ONX_BY_HAND
GATHER(half, AVX2, v32, v16, HALF_ROWS)
FOUR_WIDTHS(half, AVX2, gather, HALF_ROWS)
GATHER(wide, AVX512, v64, v32, WIDE_ROWS)
FOUR_WIDTHS(wide, AVX512, gather, WIDE_ROWS)
#endif

#define LANES(v) (sizeof(v) / sizeof(real))

const struct ONX_R(onx_tile) *onx_tile_of(enum onx_isa isa)
{
	static const struct ONX_R(onx_tile) table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { ONX_ISA_BASE, BASE_ROWS, 2 * LANES(v16), LANES(v16), TWO(base) },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = { ONX_ISA_AVX2, HALF_ROWS, 2 * LANES(v32), LANES(v16), FOUR(half) },
		[ONX_ISA_AVX512] = { ONX_ISA_AVX512, WIDE_ROWS, 2 * LANES(v64), LANES(v32), FOUR(wide) },
#endif
	};

	return table[isa].rows ? &table[isa] : &table[ONX_ISA_BASE];
}
