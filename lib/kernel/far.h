/* kernel/far.h -- rows that are stored past the caches.
 *
 * A store into memory that no cache holds fetches the line first, only to overwrite it.  Where a tensor is so large
 * that it is gone from the caches before anybody reads it, that is a third of the traffic of a pass for nothing, and
 * on processors whose cores share one large cache more than half of the time.  Bits are the same either way. */
#ifndef ONX_FAR_H
#define ONX_FAR_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { ONX_FAR = 1 << 24 };     /* bytes above which a tensor counts as larger than the caches */

static inline bool onx_is_far(size_t n)
{
#ifdef __SSE2__
	return n > ONX_FAR / sizeof(real);
#else
	(void)n;
	return false;
#endif
}

/* n numbers; `to` is not read before onx_far_done. */
ONX_INLINE void onx_far_row(const real *from, size_t n, real *to)
{
	size_t i = 0;

#ifdef __SSE2__
	enum { WIDE = 16 / sizeof(real) };
	const size_t head = (16 - (uintptr_t)to % 16) % 16 / sizeof(real);

	for (; i < n && i < head; i++)
		to[i] = from[i];
	for (; i + WIDE <= n; i += WIDE) {
		__m128i v;

		memcpy(&v, from + i, sizeof v);
		_mm_stream_si128((__m128i *)(void *)(to + i), v);
	}
#endif
	for (; i < n; i++)
		to[i] = from[i];
}

/* A vector of 16, 32 or 64 bytes to memory of that alignment; where it is called the instructions are there. */
#ifdef __x86_64__
#define ONX_FAR_16(to, v) _mm_stream_si128((__m128i *)(void *)(to), (__m128i)(v))
#define ONX_FAR_32(to, v) _mm256_stream_si256((__m256i *)(void *)(to), (__m256i)(v))
#define ONX_FAR_64(to, v) _mm512_stream_si512((__m512i *)(void *)(to), (__m512i)(v))
#else
#define ONX_FAR_16(to, v) memcpy(to, &(v), 16)
#endif

/* A line of 64 bytes; `to` is a multiple of 64. */
ONX_INLINE void onx_far_line(const void *from, void *to)
{
#ifdef __SSE2__
	ONX_UNROLL
	for (size_t i = 0; i < 4; i++) {
		__m128i v;

		memcpy(&v, (const char *)from + 16 * i, sizeof v);
		_mm_stream_si128((__m128i *)to + i, v);
	}
#else
	memcpy(to, from, 64);
#endif
}

/* At the end of a piece that stored so: others may read. */
static inline void onx_far_done(void)
{
#ifdef __SSE2__
	_mm_sfence();
#endif
}

#endif
