/* op/jordan.h -- elimination with the largest pivot of each column, and the inverse by it (Gauss and Jordan). */
#ifndef ONX_JORDAN_H
#define ONX_JORDAN_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Their product is the determinant; their sizes tell how many digits the inverse has lost. */
struct onx_pivots { double det, least, most; };

/* The row of the largest number in column k of a [m][w], from row k on. */
static inline size_t onx_pivot(const double *a, size_t m, size_t w, size_t k)
{
	size_t top = k;

	for (size_t i = k + 1; i < m; i++)
		if (fabs(a[i * w + k]) > fabs(a[top * w + k]))
			top = i;
	return top;
}

/* a [m][2m], A beside the unit matrix, becomes that beside the inverse; false: A has none. */
static inline bool onx_jordan(double *a, size_t m, struct onx_pivots *p)
{
	const size_t w = 2 * m;

	*p = (struct onx_pivots){ 1, INFINITY, 0 };
	for (size_t k = 0; k < m; k++) {
		const size_t top = onx_pivot(a, m, w, k);
		const double pivot = a[top * w + k];
		if (!(fabs(pivot) > 0))
			return false;
		p->det *= top == k ? pivot : -pivot;
		p->least = fmin(p->least, fabs(pivot));
		p->most = fmax(p->most, fabs(pivot));
		for (size_t j = 0; j < w; j++) {
			const double t = a[top * w + j] / pivot;
			a[top * w + j] = a[k * w + j];
			a[k * w + j] = t;
		}
		for (size_t i = 0; i < m; i++) {
			const double f = a[i * w + k];
			for (size_t j = 0; i != k && j < w; j++)
				a[i * w + j] -= f * a[k * w + j];
		}
	}
	return true;
}

#endif
