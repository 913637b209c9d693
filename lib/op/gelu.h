/* op/gelu.h -- the Gaussian error linear unit, exact and by tanh, with derivatives: shared by the plain
 * operator and those that add a bias first. */
#ifndef ONX_GELU_H
#define ONX_GELU_H
#include "kernel/real.h"

#define ONX_SQRT1_2 ((real)0.70710678118654752440)          /* 1/sqrt(2)  */
#define ONX_SQRT_2_PI ((real)0.79788456080286535588)        /* sqrt(2/pi) */

/* x * Phi(x), and its derivative Phi(x) + x * phi(x)  (Hendrycks and Gimpel, arXiv:1606.08415). */
static inline real onx_gelu(real x)
{
	return (real)0.5 * x * ONX_M(erfc)(-x * ONX_SQRT1_2);
}

static inline real onx_gelu_slope(real x)
{
	return (real)0.5 * ONX_M(erfc)(-x * ONX_SQRT1_2) + x * (real)0.39894228040143267794 * ONX_M(exp)(x * x / -2);
}

static inline real onx_gelu_tanh(real x)
{
	return (real)0.5 * x * (1 + ONX_M(tanh)(ONX_SQRT_2_PI * (x + (real)0.044715 * x * x * x)));
}

static inline real onx_gelu_tanh_slope(real x)
{
	const real t = ONX_M(tanh)(ONX_SQRT_2_PI * (x + (real)0.044715 * x * x * x));

	return (real)0.5 * (1 + t) +
	       (real)0.5 * x * (1 - t * t) * ONX_SQRT_2_PI * (1 + (real)0.134145 * x * x);
}

#endif
