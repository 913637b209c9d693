/* kernel/trig.c -- see trig.h. */
#include "kernel/trig.h"
#include "kernel/vmath.h"

#ifdef ONX_F64

#define RUN(name)                                                                            \
void onx_##name##_run(const real *x, size_t n, real *y)                                      \
{                                                                                            \
	for (size_t i = 0; i < n; i++)                                                       \
		y[i] = name(x[i]);                                                           \
}

#else

/* r in [-pi/4, pi/4] and the quarter turns n of x = r + n pi/2, which has been cut to ONX_TRIG_FAR. */
ONX_INLINE float quarter(float x, uint32_t *n)
{
	const double round = 6755399441055744.0;                /* 1.5 * 2^52: adding it rounds to a whole number */
	const double whole = ((double)x * 0.63661977236758134 + round) - round;
	const double r = ((double)x - whole * 1.57079632673412561) - whole * 6.0771005065061922e-11;

	*n = (uint32_t)(int32_t)whole;
	return (float)r;
}

ONX_INLINE float near_sin(float r)
{
	const float z = r * r;

	return r + r * z * (-0.1666665524f + z * (0.008332155645f + z * -0.0001951463200f));
}

ONX_INLINE float near_cos(float r)
{
	const float z = r * r, half = 0.5f * z, w = 1 - half;

	return w + (((1 - w) - half) + z * z * (0.04166664556f + z * (-0.001388730947f + z * 2.443241283e-5f)));
}

/* The sine n quarter turns on. */
ONX_INLINE float turned(float r, uint32_t n)
{
	const float v = onx_vpick((n & 1) != 0, near_cos(r), near_sin(r));

	return onx_vfloat(onx_vbits(v) ^ (n & 2) << 30);
}

ONX_INLINE float sin_of(float x)
{
	uint32_t n;
	const float r = quarter(x, &n);

	return turned(r, n);
}

ONX_INLINE float cos_of(float x)
{
	uint32_t n;
	const float r = quarter(x, &n);

	return turned(r, n + 1);
}

/* sin / cos, or -cos / sin */
ONX_INLINE float tan_of(float x)
{
	uint32_t n;
	const float r = quarter(x, &n), s = near_sin(r), c = near_cos(r);
	const bool odd = (n & 1) != 0;

	return onx_vpick(odd, -c, s) / onx_vpick(odd, s, c);
}

/* Blocks, so that what is far is found and mended while it is near. */
#define RUN(name)                                                                            \
ONX_CLONES static bool name##_near(const real *x, size_t n, real *y)                         \
{                                                                                            \
	uint32_t far = 0;                                                                    \
	ONX_ALIKE for (size_t i = 0; i < n; i++) {                                           \
		const bool in = fabsf(x[i]) <= (real)ONX_TRIG_FAR;                           \
		far |= in ? 0 : 1;                                                           \
		y[i] = name##_of(onx_vpick(in, x[i], 0));                                    \
	}                                                                                    \
	return far == 0;                                                                     \
}                                                                                            \
void onx_##name##_run(const real *x, size_t n, real *y)                                      \
{                                                                                            \
	enum { SOME = 256 };                                                                 \
	real v[SOME];                                                                        \
	for (size_t at = 0, m; at < n; at += m) {                                            \
		m = n - at < SOME ? n - at : SOME;                                           \
		const bool all = name##_near(x + at, m, v);                                  \
		for (size_t i = 0; !all && i < m; i++)                                       \
			if (!(fabsf(x[at + i]) <= (real)ONX_TRIG_FAR))                       \
				v[i] = ONX_M(name)(x[at + i]);                               \
		memcpy(y + at, v, m * sizeof *v);                                            \
	}                                                                                    \
}

#endif

RUN(sin)
RUN(cos)
RUN(tan)
