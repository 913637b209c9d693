/* kernel/fuse_row.h -- y = f(y) over a row, for the end of a kernel that still has the row at hand. */
#ifndef ONX_FUSE_ROW_H
#define ONX_FUSE_ROW_H
#include <stddef.h>
#include "kernel/cpu.h"
#include "kernel/fuse.h"
#include "kernel/real.h"
#include "kernel/vmath.h"

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
			y[i] *= onx_vsigmoid(y[i]);
		break;
	}
}

#endif
