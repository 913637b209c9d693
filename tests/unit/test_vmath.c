/* The vector functions of float against the C library in double: every 997th bit pattern there is, so all
 * exponents, both signs, denormals, infinities and NaN; errors in units of the last place of float. */
#include <float.h>
#include <stdio.h>
#include "kernel/trig.h"
#include "kernel/vmath.h"

enum { BLOCK = 4096, STRIDE = 997 };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double softplus(double x) { return x > 700 ? x : log1p(exp(x)); }
static double phi(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
static double bell(double x) { return exp(x * x / -2); }

#define ROW(name, f)                                                                             \
ONX_CLONES static void name##_row(const float *x, float *y)                                      \
{                                                                                                \
	for (int i = 0; i < BLOCK; i++)                                                          \
		y[i] = f(x[i]);                                                                  \
}
ONX_INLINE float phi_of(float x) { float b; return onx_vphi(x, &b); }
ONX_INLINE float bell_of(float x) { float b; onx_vphi(x, &b); return b; }
ROW(exp, onx_vexp)
ROW(expm1, onx_vexpm1)
ROW(log, onx_vlog)
ROW(log1p, onx_vlog1p)
ROW(tanh, onx_vtanh)
ROW(erf, onx_verf)
ROW(atan, onx_vatan)
ROW(asin, onx_vasin)
ROW(acos, onx_vacos)
ROW(atanh, onx_vatanh)
ROW(sinh, onx_vsinh)
ROW(cosh, onx_vcosh)
ROW(sigmoid, onx_vsigmoid)
ROW(silu, onx_vsilu)
ROW(softplus, onx_vsoftplus)
ROW(phi, phi_of)
ROW(bell, bell_of)

static void sin_row(const float *x, float *y) { onx_sin_run(x, BLOCK, y); }
static void cos_row(const float *x, float *y) { onx_cos_run(x, BLOCK, y); }
static void tan_row(const float *x, float *y) { onx_tan_run(x, BLOCK, y); }

static const struct {
	const char *name;
	void (*row)(const float *, float *);
	double (*want)(double);
	double ulp, from, to;           /* NaN is asked for in any case */
} function[] = {
	{ "exp", exp_row, exp, 1.1, -INFINITY, INFINITY },
	{ "expm1", expm1_row, expm1, 2, -INFINITY, INFINITY },
	{ "log", log_row, log, 1, -INFINITY, INFINITY },
	{ "log1p", log1p_row, log1p, 2, -1, FLT_MAX },
	{ "tanh", tanh_row, tanh, 3, -INFINITY, INFINITY },
	{ "erf", erf_row, erf, 3, -INFINITY, INFINITY },
	{ "atan", atan_row, atan, 3, -INFINITY, INFINITY },
	{ "asin", asin_row, asin, 3, -INFINITY, INFINITY },
	{ "acos", acos_row, acos, 3, -INFINITY, INFINITY },
	{ "atanh", atanh_row, atanh, 4, -INFINITY, INFINITY },
	{ "sinh", sinh_row, sinh, 3, -INFINITY, INFINITY },
	{ "cosh", cosh_row, cosh, 2, -INFINITY, INFINITY },
	{ "sin", sin_row, sin, 2, -INFINITY, INFINITY },
	{ "cos", cos_row, cos, 2, -INFINITY, INFINITY },
	{ "tan", tan_row, tan, 3, -INFINITY, INFINITY },
	{ "sigmoid", sigmoid_row, sigmoid, 3, -INFINITY, INFINITY },
	{ "silu", silu_row, silu, 3, -87, INFINITY },   /* below, a denormal number is multiplied */
	{ "softplus", softplus_row, softplus, 2.5, -INFINITY, INFINITY },
	{ "Phi", phi_row, phi, 5, -INFINITY, INFINITY },
	{ "bell", bell_row, bell, 2, -14.4, 14.4 },
};

/* The distance in units of the last place of `want`, which is a rounded float where it is large. */
static double gap(float y, double want)
{
	int e;

	if (isnan(want) || isnan(y))
		return isnan(want) && isnan(y) ? 0 : INFINITY;
	if (isinf((float)want) || isinf(y))     /* one of them may stop just short of the other */
		return (float)want == y ? 0 : fmin(fabs(want), fabs((double)y)) > FLT_MAX * (1 - 1e-6) ? 1 : INFINITY;
	frexp(want, &e);
	return fabs((double)y - want) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void worst_of(size_t f, double *worst, float *at)
{
	static float x[BLOCK], y[BLOCK];
	uint64_t next = 0;

	while (next <= UINT32_MAX) {
		for (int i = 0; i < BLOCK; i++, next += STRIDE)
			x[i] = onx_vfloat(next <= UINT32_MAX ? (uint32_t)next : 0x7f800000u);
		function[f].row(x, y);
		for (int i = 0; i < BLOCK; i++) {
			const bool in = isnan(x[i]) || (x[i] >= function[f].from && x[i] <= function[f].to);
			const double g = in ? gap(y[i], function[f].want(x[i])) : 0;

			if (g > *worst) {
				*worst = g;
				*at = x[i];
			}
		}
	}
}

int main(void)
{
	int bad = 0;

	for (size_t f = 0; f < sizeof function / sizeof *function; f++) {
		double worst = 0;
		float at = 0;

		worst_of(f, &worst, &at);
		const bool ok = worst <= function[f].ulp;

		printf("%s - %s: %.2f units of the last place, at %.9g\n", ok ? "ok" : "not ok",
		       function[f].name, worst, (double)at);
		bad += !ok;
	}
	printf("1..%zu\n", sizeof function / sizeof *function);
	return bad > 0;
}
