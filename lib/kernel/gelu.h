/* kernel/gelu.h -- the Gaussian error linear unit, exact and by tanh, with derivatives: shared by the plain
 * operator and those that add a bias first. */
#ifndef ONX_GELU_H
#define ONX_GELU_H
#include "kernel/vmath.h"

#define ONX_SQRT_2_PI ((real)0.79788456080286535588)        /* sqrt(2/pi) */

/* x * Phi(x), and its derivative Phi(x) + x * phi(x)  (Hendrycks and Gimpel, arXiv:1606.08415). */
ONX_INLINE real onx_gelu(real x)
{
	real bell;

	return x * onx_vphi(x, &bell);
}

ONX_INLINE real onx_gelu_slope(real x)
{
	real bell;
	const real p = onx_vphi(x, &bell);

	return p + x * (real)0.39894228040143267794 * bell;
}

ONX_INLINE real onx_gelu_tanh(real x)
{
	return (real)0.5 * x * (1 + onx_vtanh(ONX_SQRT_2_PI * (x + (real)0.044715 * x * x * x)));
}

ONX_INLINE real onx_gelu_tanh_slope(real x)
{
	const real t = onx_vtanh(ONX_SQRT_2_PI * (x + (real)0.044715 * x * x * x));

	return (real)0.5 * (1 + t) +
	       (real)0.5 * x * (1 - t * t) * ONX_SQRT_2_PI * (1 + (real)0.134145 * x * x);
}

#endif
