/* kernel/bytes.c -- see the header. */
#include "kernel/bytes.h"
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { ROWS = ONX_BYTES_ROWS, COLS = ONX_BYTES_COLS, WIDE = ONX_BYTES_WIDE, DEPTH = 256, TALL = 6 };

static size_t min_z(size_t a, size_t b) { return a < b ? a : b; }

/* c [rows][COLS] += a [rows][DEPTH] times a panel [pairs][WIDE], each two numbers of 16 bits, the lower bits first */
typedef void tile_fn(const int16_t *a, const uint32_t *panel, size_t pairs, uint32_t *c);
struct tiles { tile_fn *of[3]; };               /* of TALL, two rows, one */

#ifdef __x86_64__
#define AVX2 __attribute__((target(ONX_SET_AVX2)))

static inline __m128i pair_128(int32_t p, __m128i b) { return _mm_madd_epi16(_mm_set1_epi32(p), b); }
static inline __m128i plus_128(__m128i a, __m128i b) { return _mm_add_epi32(a, b); }
AVX2 static inline __m256i pair_256(int32_t p, __m256i b) { return _mm256_madd_epi16(_mm256_set1_epi32(p), b); }
AVX2 static inline __m256i plus_256(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }

/* V: a register of `bits`; the sums of `rows` rows stay in registers. */
#define TILE(name, attributes, V, bits, rows, count)                                                           \
attributes static void name(const int16_t *a, const uint32_t *panel, size_t pairs, uint32_t *c)                \
{                                                                                                              \
	enum { LANES = bits / 32 };                                                                            \
	V sum[rows][count], b[count];                                                                          \
                                                                                                               \
	for (int at = 0; at < WIDE / LANES; at += count) {                                                     \
		ONX_UNROLL                                                                                     \
		for (int r = 0; r < rows; r++)                                                                 \
			ONX_UNROLL                                                                             \
			for (int j = 0; j < count; j++)                                                        \
				memcpy(&sum[r][j], c + r * COLS + (at + j) * LANES, sizeof(V));                \
		for (size_t k = 0; k < pairs; k++) {                                                           \
			ONX_UNROLL                                                                             \
			for (int j = 0; j < count; j++)                                                        \
				memcpy(&b[j], panel + k * WIDE + (size_t)(at + j) * LANES, sizeof(V));         \
			ONX_UNROLL                                                                             \
			for (int r = 0; r < rows; r++) {                                                       \
				int32_t p;                                                                     \
				memcpy(&p, a + r * DEPTH + 2 * k, sizeof p);                                   \
				ONX_UNROLL                                                                     \
				for (int j = 0; j < count; j++)                                                \
					sum[r][j] = plus_##bits(sum[r][j], pair_##bits(p, b[j]));              \
			}                                                                                      \
		}                                                                                              \
		ONX_UNROLL                                                                                     \
		for (int r = 0; r < rows; r++)                                                                 \
			ONX_UNROLL                                                                             \
			for (int j = 0; j < count; j++)                                                        \
				memcpy(c + r * COLS + (at + j) * LANES, &sum[r][j], sizeof(V));                \
	}                                                                                                      \
}
TILE(base_6, , __m128i, 128, 6, 2)
TILE(base_2, , __m128i, 128, 2, 4)
TILE(base_1, , __m128i, 128, 1, 4)
TILE(half_6, AVX2, __m256i, 256, 6, 2)
TILE(half_2, AVX2, __m256i, 256, 2, 2)
TILE(half_1, AVX2, __m256i, 256, 1, 2)
#else
#define TILE(name, rows)                                                                                       \
static void name(const int16_t *restrict a, const uint32_t *restrict panel, size_t pairs, uint32_t *restrict c) \
{                                                                                                              \
	for (size_t k = 0; k < pairs; k++, panel += WIDE)                                                      \
		for (int r = 0; r < rows; r++) {                                                               \
			const int32_t p = a[r * DEPTH + 2 * k], q = a[r * DEPTH + 2 * k + 1];                  \
                                                                                                               \
			for (int j = 0; j < WIDE; j++)                                                         \
				c[r * COLS + j] += (uint32_t)(p * (int16_t)panel[j] +                          \
							      q * (int16_t)(panel[j] >> 16));                  \
		}                                                                                              \
}
TILE(base_6, 6)
TILE(base_2, 2)
TILE(base_1, 1)
#endif

static const struct tiles *tiles_of(enum onx_isa isa)
{
	static const struct tiles base = { { base_6, base_2, base_1 } };
#ifdef __x86_64__
	static const struct tiles half = { { half_6, half_2, half_1 } };

	if (isa != ONX_ISA_BASE)
		return &half;
#endif
	(void)isa;
	return &base;
}

/* Two rows of B side by side, columns [.., n) of panels that are DEPTH * WIDE / 2 apart. */
ONX_CLONES
static void interleave(const int16_t *restrict even, const int16_t *restrict odd, size_t n, uint32_t *restrict to)
{
	for (size_t j = 0; j < n; j += WIDE, to += DEPTH * WIDE / 2)
		for (size_t i = 0; i < WIDE; i++)
			to[i] = (uint32_t)(uint16_t)even[j + i] | (uint32_t)(uint16_t)odd[j + i] << 16;
}

/* Rows [k0, k0 + depth) of columns [j0, j0 + n): panels of DEPTH / 2 pairs each. */
static void copy_panels(const struct onx_bytes *p, size_t k0, size_t depth, size_t j0, size_t n, uint32_t *to)
{
	const size_t wide = onx_pieces(n, WIDE) * WIDE;
	int16_t row[2][COLS] = { { 0 } };

	for (size_t k = 0; k < depth; k += 2) {
		p->b(p->ctx, k0 + k, j0, n, row[0]);
		if (k + 1 < depth)
			p->b(p->ctx, k0 + k + 1, j0, n, row[1]);
		else
			memset(row[1], 0, sizeof row[1]);
		interleave(row[0], row[1], wide, to + k / 2 * WIDE);
	}
}

/* Rows [i, i + rows) of A, then along all panels. */
static void run_rows(const struct onx_bytes *p, tile_fn *tile, size_t i, size_t rows, size_t k0, size_t depth,
		     size_t n, const uint32_t *panels, uint32_t *c)
{
	int16_t a[TALL * DEPTH];

	for (size_t r = 0; r < rows; r++) {
		p->a(p->ctx, i + r, k0, depth, a + r * DEPTH);
		if (depth < DEPTH)
			a[r * DEPTH + depth] = 0;       /* beside an odd last one */
	}
	for (size_t j = 0; j < n; j += WIDE)
		tile(a, panels + j * DEPTH / 2, (depth + 1) / 2, c + j);
}

void onx_bytes_piece(const struct onx_bytes *p, enum onx_isa isa, size_t piece)
{
	const struct tiles *t = tiles_of(isa);
	const size_t across = onx_pieces(p->n, COLS), i0 = piece / across * ROWS, j0 = piece % across * COLS;
	const size_t rows = min_z(ROWS, p->m - i0), n = min_z(COLS, p->n - j0);
	uint32_t panels[DEPTH * COLS / 2];
	uint32_t sum[ROWS * COLS];

	memset(sum, 0, rows * COLS * sizeof *sum);
	for (size_t k0 = 0; k0 < p->k; k0 += DEPTH) {
		const size_t depth = min_z(DEPTH, p->k - k0);

		copy_panels(p, k0, depth, j0, n, panels);
		for (size_t i = 0, of = 0; i < rows; i += of) {
			of = rows - i >= TALL ? TALL : rows - i >= 2 ? 2 : 1;
			run_rows(p, t->of[of == TALL ? 0 : 3 - of], i0 + i, of, k0, depth, n, panels,
				 sum + i * COLS);
		}
	}
	for (size_t i = 0; i < rows; i++)
		p->put(p->ctx, i0 + i, j0, n, sum + i * COLS);
}
