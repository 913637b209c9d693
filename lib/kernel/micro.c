/* kernel/micro.c -- see the header.  The bodies are inlined once for each number of rows, so that the
 * loops over rows unroll and the sums stay in registers. */
#include "kernel/micro.h"

typedef struct ONX_R(onx_micro) micro;

#define PARTS(name, n, attributes)                                                               \
attributes static void name##_1(size_t k, const real *a, const real *b, const real *bias,       \
	bool add, real *c, size_t ldc) { name(n / 3, k, a, b, bias, add, c, ldc); }              \
attributes static void name##_2(size_t k, const real *a, const real *b, const real *bias,       \
	bool add, real *c, size_t ldc) { name(n / 3 * 2, k, a, b, bias, add, c, ldc); }          \
attributes static void name##_3(size_t k, const real *a, const real *b, const real *bias,       \
	bool add, real *c, size_t ldc) { name(n, k, a, b, bias, add, c, ldc); }

enum { BASE_ROWS = 6, BASE_COLS = 8 };

ONX_INLINE void base(int rows, size_t k, const real *restrict a, const real *restrict b, const real *bias,
		     bool add, real *restrict c, size_t ldc)
{
	real s[BASE_ROWS][BASE_COLS];

	for (int r = 0; r < rows; r++)
		for (int j = 0; j < BASE_COLS; j++)
			s[r][j] = 0;
	for (; k; k--, a += BASE_ROWS, b += BASE_COLS)
		for (int r = 0; r < rows; r++)
			for (int j = 0; j < BASE_COLS; j++)
				s[r][j] += a[r] * b[j];
	for (int r = 0; r < rows; r++)
		for (int j = 0; j < BASE_COLS; j++) {
			real *to = &c[(size_t)r * ldc + (size_t)j];

			*to = s[r][j] + (bias ? bias[r] : 0) + (add ? *to : 0);
		}
}
PARTS(base, BASE_ROWS, )

#if defined __x86_64__ && !defined ONX_F64
#define ONX_BY_HAND 1
#include <immintrin.h>

enum { WIDE_ROWS = 12, WIDE_COLS = 32, HALF_ROWS = 6, HALF_COLS = 16 };

__attribute__((target(ONX_SET_AVX512), always_inline))
static inline void wide(int rows, size_t k, const float *a, const float *b, const float *bias, bool add,
			float *c, size_t ldc)
{
	__m512 s[WIDE_ROWS][2];

	ONX_UNROLL
	for (int r = 0; r < rows; r++)
		s[r][0] = s[r][1] = _mm512_setzero_ps();
	for (; k; k--, a += WIDE_ROWS, b += WIDE_COLS) {
		const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);

		ONX_UNROLL
		for (int r = 0; r < rows; r++) {
			const __m512 w = _mm512_set1_ps(a[r]);

			s[r][0] = _mm512_fmadd_ps(w, b0, s[r][0]);
			s[r][1] = _mm512_fmadd_ps(w, b1, s[r][1]);
		}
	}
	ONX_UNROLL
	for (int r = 0; r < rows; r++) {
		float *to = c + (size_t)r * ldc;

		if (bias) {
			s[r][0] = _mm512_add_ps(s[r][0], _mm512_set1_ps(bias[r]));
			s[r][1] = _mm512_add_ps(s[r][1], _mm512_set1_ps(bias[r]));
		}
		if (add) {
			s[r][0] = _mm512_add_ps(s[r][0], _mm512_loadu_ps(to));
			s[r][1] = _mm512_add_ps(s[r][1], _mm512_loadu_ps(to + 16));
		}
		_mm512_storeu_ps(to, s[r][0]);
		_mm512_storeu_ps(to + 16, s[r][1]);
	}
}
PARTS(wide, WIDE_ROWS, __attribute__((target(ONX_SET_AVX512))))

__attribute__((target(ONX_SET_AVX2), always_inline))
static inline void half(int rows, size_t k, const float *a, const float *b, const float *bias, bool add,
			float *c, size_t ldc)
{
	__m256 s[HALF_ROWS][2];

	ONX_UNROLL
	for (int r = 0; r < rows; r++)
		s[r][0] = s[r][1] = _mm256_setzero_ps();
	for (; k; k--, a += HALF_ROWS, b += HALF_COLS) {
		const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);

		ONX_UNROLL
		for (int r = 0; r < rows; r++) {
			const __m256 w = _mm256_set1_ps(a[r]);

			s[r][0] = _mm256_fmadd_ps(w, b0, s[r][0]);
			s[r][1] = _mm256_fmadd_ps(w, b1, s[r][1]);
		}
	}
	ONX_UNROLL
	for (int r = 0; r < rows; r++) {
		float *to = c + (size_t)r * ldc;

		if (bias) {
			s[r][0] = _mm256_add_ps(s[r][0], _mm256_set1_ps(bias[r]));
			s[r][1] = _mm256_add_ps(s[r][1], _mm256_set1_ps(bias[r]));
		}
		if (add) {
			s[r][0] = _mm256_add_ps(s[r][0], _mm256_loadu_ps(to));
			s[r][1] = _mm256_add_ps(s[r][1], _mm256_loadu_ps(to + 8));
		}
		_mm256_storeu_ps(to, s[r][0]);
		_mm256_storeu_ps(to + 8, s[r][1]);
	}
}
PARTS(half, HALF_ROWS, __attribute__((target(ONX_SET_AVX2))))
#endif

const micro *onx_micro_of(enum onx_isa isa)
{
	static const micro table[ONX_ISAS] = {
		[ONX_ISA_BASE] = { BASE_ROWS, BASE_COLS, { base_1, base_2, base_3 } },
#ifdef ONX_BY_HAND
		[ONX_ISA_AVX2] = { HALF_ROWS, HALF_COLS, { half_1, half_2, half_3 } },
		[ONX_ISA_AVX512] = { WIDE_ROWS, WIDE_COLS, { wide_1, wide_2, wide_3 } },
#endif
	};

	return table[isa].rows ? &table[isa] : &table[ONX_ISA_BASE];
}
