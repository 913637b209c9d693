/* kernel/inside.h -- a vector of 16, 32 or 64 bytes held inside [lo, hi], in two instructions where there are such; NaN
 * stays.  x86's maximum and minimum give the second where one is NaN. */
#ifndef ONX_INSIDE_H
#define ONX_INSIDE_H
#include "kernel/real.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define ONX_INSIDE(bytes, V, v, lo, hi) ONX_INSIDE_AS(bytes, V, v, lo, hi)
#define ONX_INSIDE_AS(bytes, V, v, lo, hi) ONX_INSIDE_##bytes(V, v, lo, hi)
#ifdef __x86_64__
#ifdef ONX_F64
#define ONX_LESSER(bits, v, lo, hi) _mm##bits##_min_pd(hi, _mm##bits##_max_pd(lo, v))
#else
#define ONX_LESSER(bits, v, lo, hi) _mm##bits##_min_ps(hi, _mm##bits##_max_ps(lo, v))
#endif
#define ONX_INSIDE_16(V, v, lo, hi) (V)ONX_LESSER(, v, lo, hi)
#define ONX_INSIDE_32(V, v, lo, hi) (V)ONX_LESSER(256, v, lo, hi)
#define ONX_INSIDE_64(V, v, lo, hi) (V)ONX_LESSER(512, v, lo, hi)
#else
#define ONX_BLEND(V, mask, a, b) (V)(((__typeof__(mask))(a) & ~(mask)) | ((__typeof__(mask))(b) & (mask)))
#define ONX_INSIDE_16(V, v, lo, hi) ONX_BLEND(V, (v) > (hi), ONX_BLEND(V, (v) < (lo), v, lo), hi)
#endif

#endif
