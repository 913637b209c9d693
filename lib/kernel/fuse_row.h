/* kernel/fuse_row.h -- y = f(y) over a row, for the end of a kernel that still has the row at hand; and the
 * derivative over a row, from y or from the argument.  At kinks as op/unary.c and op/clip.c. */
#ifndef ONX_FUSE_ROW_H
#define ONX_FUSE_ROW_H
#include <stddef.h>
#include "kernel/cpu.h"
#include "kernel/fuse.h"
#include "kernel/gelu.h"
#include "kernel/real.h"

ONX_INLINE real onx_hard(real x, real a, real b)
{
	const real h = a * x + b;
	return h < 0 ? 0 : h > 1 ? 1 : h;
}

/* The kind is asked outside the loops, so that each is a vector loop. */
ONX_INLINE void onx_fuse_row(const struct onx_fuse *f, real *y, size_t n)
{
	const real a = (real)f->a, b = (real)f->b;

	switch (f->kind) {
	case ONX_FUSE_NONE:
		break;
	case ONX_FUSE_RELU:
		for (size_t i = 0; i < n; i++)
			y[i] = y[i] < 0 ? 0 : y[i];
		break;
	case ONX_FUSE_CLIP:
		for (size_t i = 0; i < n; i++) {
			const real x = y[i] < a ? a : y[i];
			y[i] = x > b ? b : x;
		}
		break;
	case ONX_FUSE_LEAKY:
		for (size_t i = 0; i < n; i++)
			y[i] = y[i] < 0 ? a * y[i] : y[i];
		break;
	case ONX_FUSE_HARD_SIGMOID:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_hard(y[i], a, b);
		break;
	case ONX_FUSE_HARD_SWISH:
		for (size_t i = 0; i < n; i++)
			y[i] *= onx_hard(y[i], (real)(1.0 / 6), (real)0.5);
		break;
	case ONX_FUSE_TANH:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_vtanh(y[i]);
		break;
	case ONX_FUSE_SIGMOID:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_vsigmoid(y[i]);
		break;
	case ONX_FUSE_SILU:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_vsilu(y[i]);
		break;
	case ONX_FUSE_GELU:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_gelu(y[i]);
		break;
	case ONX_FUSE_GELU_TANH:
		for (size_t i = 0; i < n; i++)
			y[i] = onx_gelu_tanh(y[i]);
		break;
	}
}

/* The same over rows of n numbers from y + row[r] on.  Each kind has a loop over rows of its own, and one for `usual`
 * numbers a row, known at compile time: of short rows, what is set up anew for each would cost as much as the row. */
ONX_INLINE void onx_fuse_rows(const struct onx_fuse *f, real *y, const size_t *row, size_t rows, size_t n,
			      const size_t usual)
{
#define EACH(k)                                                                         \
	case k: {                                                                       \
		const struct onx_fuse one = { k, f->a, f->b };                          \
                                                                                        \
		for (size_t r = 0; n == usual && r < rows; r++)                         \
			onx_fuse_row(&one, y + row[r], usual);                          \
		for (size_t r = 0; n != usual && r < rows; r++)                         \
			onx_fuse_row(&one, y + row[r], n);                              \
		break;                                                                  \
	}
	switch (f->kind) {
	case ONX_FUSE_NONE:
		break;
	EACH(ONX_FUSE_RELU)
	EACH(ONX_FUSE_CLIP)
	EACH(ONX_FUSE_LEAKY)
	EACH(ONX_FUSE_HARD_SIGMOID)
	EACH(ONX_FUSE_HARD_SWISH)
	EACH(ONX_FUSE_TANH)
	EACH(ONX_FUSE_SIGMOID)
	EACH(ONX_FUSE_SILU)
	EACH(ONX_FUSE_GELU)
	EACH(ONX_FUSE_GELU_TANH)
	}
#undef EACH
}

/* g = dy f', where f' follows from y (HARD_SWISH, SILU and GELU have none such: 1).  g may be dy. */
ONX_INLINE void onx_slope_row(const struct onx_fuse *f, const real *y, const real *dy, real *g, size_t n)
{
	const real a = (real)f->a, b = (real)f->b;

	switch (f->kind) {
	case ONX_FUSE_RELU:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = y[i] > 0 ? dy[i] : 0;
		break;
	case ONX_FUSE_TANH:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * (1 - y[i] * y[i]);
		break;
	case ONX_FUSE_SIGMOID:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * (y[i] * (1 - y[i]));
		break;
	case ONX_FUSE_LEAKY:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * (y[i] > 0 ? 1 : a);
		break;
	case ONX_FUSE_HARD_SIGMOID:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = ((y[i] > 0) & (y[i] < 1)) ? a * dy[i] : 0;
		break;
	case ONX_FUSE_CLIP:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = ((y[i] > a) & (y[i] < b)) ? dy[i] : 0;
		break;
	case ONX_FUSE_NONE:
	case ONX_FUSE_HARD_SWISH:
	case ONX_FUSE_SILU:
	case ONX_FUSE_GELU:
	case ONX_FUSE_GELU_TANH:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i];
		break;
	}
}

ONX_INLINE real onx_hard_swish_slope(real x)
{
	return x < -3 ? 0 : x > 3 ? 1 : x * (real)(1.0 / 3) + (real)0.5;
}

ONX_INLINE real onx_silu_slope(real x)
{
	const real s = onx_vsigmoid(x);
	return s * (1 + x * (1 - s));
}

/* The same from the argument x of f, for every kind; x is overwritten.  g may be x or dy. */
ONX_INLINE void onx_slope_arg(const struct onx_fuse *f, real *x, const real *dy, real *g, size_t n)
{
	switch (f->kind) {
	case ONX_FUSE_HARD_SWISH:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * onx_hard_swish_slope(x[i]);
		break;
	case ONX_FUSE_SILU:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * onx_silu_slope(x[i]);
		break;
	case ONX_FUSE_GELU:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * onx_gelu_slope(x[i]);
		break;
	case ONX_FUSE_GELU_TANH:
		ONX_ALIKE
		for (size_t i = 0; i < n; i++)
			g[i] = dy[i] * onx_gelu_tanh_slope(x[i]);
		break;
	case ONX_FUSE_RELU:
	case ONX_FUSE_CLIP:
	case ONX_FUSE_LEAKY:            /* the same question to x as to y */
		onx_slope_row(f, x, dy, g, n);
		break;
	default:
		onx_fuse_row(f, x, n);
		onx_slope_row(f, x, dy, g, n);
	}
}

#endif
