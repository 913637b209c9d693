/* kernel/vmath.h -- exp, log, tanh, erf, atan and their like without a branch, so that a loop over them is
 * a vector loop (under ONX_CLONES).  In float they are ours, in double the C library's.
 *
 * Errors in float over the whole range, in units of the last place, as tests/unit/test_vmath.c holds
 * them: exp 1.1, expm1 2, log 1, log1p 2, sigmoid, silu, tanh, erf 3, Phi 5 (down to denormal results), atan, asin,
 * acos 3, atanh 4, sinh 3, cosh 2.
 * NaN stays NaN, infinities go where they belong, denormals count.
 *
 * exp: x = n ln 2 + r (Cody and Waite), a polynomial in r, 2^n in two factors so that neither end
 * overflows early.  log: x = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2).  The polynomials are minimax
 * fits (Remez), made for these ranges. */
#ifndef ONX_VMATH_H
#define ONX_VMATH_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "kernel/cpu.h"
#include "kernel/real.h"

#ifdef ONX_F64

ONX_INLINE double onx_vpick(bool yes, double a, double b) { return yes ? a : b; }
ONX_INLINE double onx_vexp(double x) { return exp(x); }
ONX_INLINE double onx_vexp_down(double x) { return exp(x); }
ONX_INLINE double onx_vexpm1(double x) { return expm1(x); }
ONX_INLINE double onx_vlog(double x) { return log(x); }
ONX_INLINE double onx_vlog1p(double x) { return log1p(x); }
ONX_INLINE double onx_vtanh(double x) { return tanh(x); }
ONX_INLINE double onx_verf(double x) { return erf(x); }
ONX_INLINE double onx_vatan(double x) { return atan(x); }
ONX_INLINE double onx_vasin(double x) { return asin(x); }
ONX_INLINE double onx_vacos(double x) { return acos(x); }
ONX_INLINE double onx_vatanh(double x) { return atanh(x); }
ONX_INLINE double onx_vsinh(double x) { return sinh(x); }
ONX_INLINE double onx_vcosh(double x) { return cosh(x); }

/* 1 / (1 + exp(-x)); the small side keeps its digits. */
ONX_INLINE double onx_vsigmoid(double x)
{
	const double e = exp(-fabs(x));

	return (x < 0 ? e : 1) / (1 + e);
}

ONX_INLINE double onx_vlogistic(double x) { return onx_vsigmoid(x); }

/* The normal distribution: Phi(x), and exp(-x^2/2) in *bell. */
ONX_INLINE double onx_vphi(double x, double *bell)
{
	*bell = exp(x * x / -2);
	return 0.5 * erfc(-x * 0.70710678118654752440);
}

#else

ONX_INLINE uint32_t onx_vbits(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof u);
	return u;
}

ONX_INLINE float onx_vfloat(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof x);
	return x;
}

ONX_INLINE float onx_vsigned(float size, float sign)
{
	return onx_vfloat(onx_vbits(size) | (onx_vbits(sign) & 0x80000000u));
}

/* yes ? a : b, both computed: a branch would keep the loop from being a vector loop. */
ONX_INLINE float onx_vpick(bool yes, float a, float b)
{
	const uint32_t mask = 0u - (uint32_t)yes;

	return onx_vfloat((onx_vbits(a) & mask) | (onx_vbits(b) & ~mask));
}

/* 2^n for -127 < n < 128; n in two's complement. */
ONX_INLINE float onx_vpower(uint32_t n)
{
	return onx_vfloat((n + 127u) << 23);
}

/* exp(r) - 1 for |r| <= ln 2 / 2 */
ONX_INLINE float onx_vexp_of(float r)
{
	return r + r * r * (0.5000000101f + r * (0.1666651289f + r * (0.04166618724f +
		r * (0.008369598189f + r * 0.001395172028f))));
}

/* x + low = n ln 2 + r with |r| <= ln 2 / 2; returns exp(r) - 1. */
ONX_INLINE float onx_vreduce(float x, float low, uint32_t *n)
{
	const float round = 12582912.0f;                /* 1.5 * 2^23: adding it rounds to a whole number */
	const float t = x * 1.44269504f + round, whole = t - round;
	const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f + low;

	*n = onx_vbits(t) - onx_vbits(round);
	return onx_vexp_of(r);
}

/* y * 2^n for |n| < 252 */
ONX_INLINE float onx_vscale(float y, uint32_t n)
{
	const uint32_t half = ((n + 1024u) >> 1) - 512u;

	return y * onx_vpower(half) * onx_vpower(n - half);
}

ONX_INLINE float onx_vexp(float x)
{
	const float above = onx_vpick(x < -105, -105, x), in = onx_vpick(above > 89, 89, above);
	uint32_t n;
	const float p = onx_vreduce(in, 0, &n);

	return onx_vscale(1 + p, n);
}

/* exp(x + low) for -106 < x <= 0 and small |low|: 2^n as 2^(n + 64) 2^-64 */
ONX_INLINE float onx_vexp_pair(float x, float low)
{
	uint32_t n;
	const float p = onx_vreduce(x, low, &n);

	return (1 + p) * onx_vpower(n + 64u) * 5.4210108624275222e-20f;
}

/* exp(x) for x <= 0 */
ONX_INLINE float onx_vexp_down(float x)
{
	return onx_vexp_pair(onx_vpick(x < -105, -105, x), 0);
}

/* 2^n (exp(r) - 1) + 2^n - 1, as 2^n (p + (1 - 2^-n)) */
ONX_INLINE float onx_vexpm1(float x)
{
	const float above = onx_vpick(x < -30, -30, x), in = onx_vpick(above > 89, 89, above);
	uint32_t n;
	const float p = onx_vreduce(in, 0, &n);
	const float back = onx_vpower(0u - n);

	return onx_vscale(p + (1 - onx_vpick(x < 40, back, 0)), n);
}

ONX_INLINE float onx_vlog(float x)
{
	const bool small = x < 1.17549435e-38f;
	const uint32_t tiny = (uint32_t)small * 23u;
	const float scaled = onx_vpick(small, x * 8388608.0f, x);
	const uint32_t i = onx_vbits(scaled) + (0x3f800000u - 0x3f3504f3u);
	const float e = (float)(int32_t)((i >> 23) - 127u - tiny);
	const float f = onx_vfloat((i & 0x7fffffu) + 0x3f3504f3u) - 1, f2 = f * f;
	const float q = 0.333333312f + f * (-0.2500083796f + f * (0.2000129269f + f * (-0.1662276503f +
		f * (0.1419969585f + f * (-0.1316418536f + f * (0.1277911332f + f * -0.07646103751f))))));
	const float y = (f2 * f * q + e * -2.12194440e-4f - 0.5f * f2) + f + e * 0.693359375f;
	const float high = onx_vpick(x > 3.402823466e38f, x, y);

	return onx_vpick(x > 0, high, onx_vpick(x == 0, -INFINITY, NAN));
}

/* log(u) + (x - (u - 1)) / u with u = 1 + x rounded; -1 <= x < inf */
ONX_INLINE float onx_vlog1p(float x)
{
	const float u = 1 + x, rest = x - (u - 1);

	return onx_vlog(u) + rest / u;
}

/* t / (t + 2) with t = exp(2|x|) - 1 */
ONX_INLINE float onx_vtanh(float x)
{
	const float a = fabsf(x), in = onx_vpick(a > 10, 10, a), t = onx_vexpm1(2 * in);

	return onx_vsigned(t / (t + 2), x);
}

/* exp(|x|) / 2, which overflows where sinh and cosh do */
ONX_INLINE float onx_vexp_half(float x)
{
	const float a = fabsf(x), in = onx_vpick(a > 90, 90, a);
	uint32_t n;
	const float p = onx_vreduce(in, 0, &n);

	return onx_vscale(1 + p, n - 1);
}

/* |x| < 1: x + x^3 P(x^2); else (exp(|x|) - exp(-|x|)) / 2 */
ONX_INLINE float onx_vsinh(float x)
{
	const float a = fabsf(x), z = x * x, h = onx_vexp_half(x);
	const float near = a + a * z * (0.1666666716f + z * (0.008333349600f + z * (0.0001983615948f +
		z * 2.816951337e-6f)));

	return onx_vsigned(onx_vpick(a < 1, near, h - 0.25f / h), x);
}

ONX_INLINE float onx_vcosh(float x)
{
	const float h = onx_vexp_half(x);

	return h + 0.25f / h;
}

/* 1 / (1 + exp(-x)) as s / (s + exp(-x) s) with s = 2^-40, so that one factor is all of 2^n and the small side keeps
 * its digits; of a NaN any number.  x is held between -115, where that is 0, and 59, where it is 1, by its bits:
 * positive numbers are in the order of signed, negative ones against that of unsigned whole numbers. */
ONX_INLINE float onx_vlogistic(float x)
{
	const int32_t high = 0x426c0000, i = (int32_t)onx_vbits(x), under = i < high ? i : high;
	const uint32_t low = 0xc2e60000u, u = (uint32_t)under, in_bits = u < low ? u : low;
	const float round = 12582912.0f, s = 9.094947018e-13f, in = onx_vfloat(in_bits);
	const float t = in * -1.44269504f + round, whole = t - round;
	const float r = (-in - whole * 0.693359375f) - whole * -2.12194440e-4f;
	const float power = onx_vfloat((onx_vbits(t) - onx_vbits(round) + (127u - 40u)) << 23);

	return s / (s + (power + power * onx_vexp_of(r)));
}

ONX_INLINE float onx_vsigmoid(float x)
{
	return onx_vfloat(onx_vbits(onx_vlogistic(x)) | (0u - (uint32_t)(x != x)));
}

#define ONX_V_RIGHT 1.57079637f         /* a right angle, and what is missing */
#define ONX_V_RIGHT_LOW -4.37113883e-8f

/* a + t + t^3 P(t^2) with t = x and a = 0; from tan 22.5 degrees on t = (x - 1) / (x + 1), a = 45 degrees; from tan
 * 67.5 degrees on t = -1 / x, a = 90 degrees */
ONX_INLINE float onx_vatan(float x)
{
	const float a = fabsf(x);
	const bool mid = a > 0.414213562f, far = a > 2.41421356f;
	const float top = onx_vpick(mid, a - 1, a), below = onx_vpick(mid, a + 1, 1);
	const float t = onx_vpick(far, -1, top) / onx_vpick(far, a, below), z = t * t;
	const float p = t * z * (-0.3333331519f + z * (0.1999847153f + z * (-0.1424353359f + z * (0.1059381541f +
		z * -0.06078225405f))));
	const float part = onx_vpick(far, 1, onx_vpick(mid, 0.5f, 0));

	return onx_vsigned(part * ONX_V_RIGHT + ((part * ONX_V_RIGHT_LOW + p) + t), x);
}

/* asin(s) for s = |x|; from 1/2 on for s = sqrt((1 - |x|) / 2), whose double is acos(|x|) */
ONX_INLINE float onx_vasin_part(float x)
{
	const float a = fabsf(x);
	const bool large = a > 0.5f;
	const float z = onx_vpick(large, 0.5f * (1 - a), a * a);
	const float root = sqrtf(z), s = onx_vpick(large, root, a);

	return s + s * z * (0.1666675248f + z * (0.07495297563f + z * (0.04547038438f + z * (0.02417947926f +
		z * 0.04216636069f))));
}

ONX_INLINE float onx_vasin(float x)
{
	const float s = onx_vasin_part(x), rest = ONX_V_RIGHT - (2 * s - ONX_V_RIGHT_LOW);

	return onx_vsigned(onx_vpick(fabsf(x) > 0.5f, rest, s), x);
}

ONX_INLINE float onx_vacos(float x)
{
	const float s = onx_vasin_part(x);
	const float near = ONX_V_RIGHT - (onx_vsigned(s, x) - ONX_V_RIGHT_LOW);
	const float back = 2 * ONX_V_RIGHT - (2 * s - 2 * ONX_V_RIGHT_LOW);

	return onx_vpick(x > 0.5f, 2 * s, onx_vpick(x < -0.5f, back, near));
}

/* log(1 + 2 |x| / (1 - |x|)) / 2 */
ONX_INLINE float onx_vatanh(float x)
{
	const float a = fabsf(x), in = onx_vpick(a == 1, 0, a);

	return onx_vsigned(onx_vpick(a == 1, INFINITY, 0.5f * onx_vlog1p(2 * in / (1 - in))), x);
}

/* |x| < 1: x P(x^2); else 1 - exp(-g(|x|)) with g = -log erfc */
ONX_INLINE float onx_verf(float x)
{
	const float a = fabsf(x), z = x * x, b = onx_vpick(a > 4, 4, a);
	const float near = a * (1.128379166f + z * (-0.3761262582f + z * (0.1128358515f +
		z * (-0.02685381194f + z * (0.005188327694f + z * (-0.0008010193752f +
		z * 7.853861925e-5f))))));
	const float g = -0.0001880362439f + b * (1.129578407f + b * (0.6332199258f + b * (0.1084185442f +
		b * (-0.02520823699f + b * (0.004204554941f + b * (-0.0004413350517f +
		b * 2.168674352e-5f))))));
	const float far = 1 - onx_vexp(-g);

	return onx_vsigned(onx_vpick(a < 1, near, far), x);
}

/* The normal distribution: Phi(x), and exp(-x^2/2) in *bell.  |x| < 3/4: 1/2 + x R(x^2); else
 * Phi(-a) = exp(-a^2/2) t P(t) with t = 1 / (1 + 0.35 a), so that the tail keeps its digits; the square
 * is taken in two parts for that. */
ONX_INLINE float onx_vphi(float x, float *bell)
{
	const float a = fabsf(x), in = onx_vpick(a > 14.5f, 14.5f, a), z = in * in;
	const float top = onx_vfloat(onx_vbits(in) & 0xfffff000u);
	const float e = onx_vexp_pair(-0.5f * top * top, -0.5f * (in - top) * (in + top));
	const float t = 1 / (1 + 0.35f * in);
	const float p = t * (0.1396200244f + t * (0.1398832363f + t * (0.1197210283f + t * (0.1056453891f +
		t * (-0.02227515046f + t * (0.1554151717f + t * (-0.2491954829f + t * (0.1386233952f +
		t * -0.02742849759f))))))));
	const float near = 0.5f + x * (0.3989422786f + z * (-0.06649023905f + z * (0.009971798071f +
		z * (-0.001179589009f + z * 0.0001013369553f))));
	const float tail = e * p;

	*bell = e;
	return onx_vpick(a < 0.75f, near, onx_vpick(x > 0, 1 - tail, tail));
}

#endif

/* x / (1 + exp(-x)) */
ONX_INLINE real onx_vsilu(real x)
{
	return x * onx_vlogistic(x);
}

/* log(1 + exp(x)) */
ONX_INLINE real onx_vsoftplus(real x)
{
	const real l = onx_vlog1p(onx_vexp(-ONX_M(fabs)(x)));

	return onx_vpick(x < 0, 0, x) + l;
}

#endif
