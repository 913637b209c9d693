/* kernel/half.h -- floats rounded to what half (IEEE 754 binary16) and brain floats can hold, as floats, without a
 * branch, so that a loop of them becomes vector instructions.  NaN stays as it is. */
#ifndef ONX_HALF_H
#define ONX_HALF_H
#include <math.h>
#include <string.h>
#include "kernel/cpu.h"

/* To half, to nearest even: above the smallest normal number the bits beyond the tenth are rounded away, below it
 * adding 0.5, whose last bit is half's smallest number, does that. */
ONX_INLINE float onx_to_half(float x)
{
	const float size = fabsf(x), tiny = (size + 0.5f) - 0.5f;
	float big;
	uint32_t u;

	memcpy(&u, &size, sizeof u);
	u = (u + 0xfff + (u >> 13 & 1)) & ~(uint32_t)0x1fff;
	memcpy(&big, &u, sizeof u);
	big = big > 65504 ? INFINITY : big;
	const float y = size < 0x1p-14f ? tiny : big;
	return x != x ? x : copysignf(y, x);
}

/* To bfloat16, to nearest even. */
ONX_INLINE float onx_to_brain(float x)
{
	uint32_t u;
	float y;

	memcpy(&u, &x, sizeof u);
	u = (u + 0x7fff + (u >> 16 & 1)) & ~(uint32_t)0xffff;
	memcpy(&y, &u, sizeof u);
	return x != x ? x : y;
}

#endif
