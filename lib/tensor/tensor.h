/* tensor/tensor.h -- a view of a dense, row-major tensor, and checked shape arithmetic.
 * A view owns nothing; dims live wherever the maker of the view put them. */
#ifndef ONX_TENSOR_H
#define ONX_TENSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "tensor/dtype.h"

#define ONX_RANK 10                     /* most dimensions of a tensor here */

struct onx_view {
	void *v;                        /* NULL: absent (an optional input; a gradient nobody wants) */
	size_t n;                       /* elements                                                  */
	int rank;
	const int64_t *dim;
	enum onx_dtype type;
	uint8_t width;                  /* bytes an element takes here: 4 or 8 for real types        */
	bool add;                       /* gradients only: v already holds a sum, add to it          */
};

struct onx_shape { int rank; int64_t dim[ONX_RANK]; };

/* Product of dims.  Fails on a negative dim, on overflow and above 2^48 elements. */
int onx_count(int rank, const int64_t *dim, size_t *out, struct onx_err *e) ONX_MUST;
/* Multidirectional broadcasting (ONNX Broadcasting.md): out = a (x) b, or a fault that names both. */
int onx_broadcast(const struct onx_shape *a, const struct onx_shape *b, struct onx_shape *out,
		  struct onx_err *e) ONX_MUST;
bool onx_shape_equal(const struct onx_shape *a, const struct onx_shape *b);
/* "[1,3,224,224]" into buf; returns buf. */
const char *onx_shape_text(int rank, const int64_t *dim, char *buf, size_t n);
#define ONX_SHAPE_TEXT 160              /* a buffer that always suffices */

/* Reads element i as double / int64 whatever the type (bool: 0 or 1). Not for strings. */
double onx_view_real(const struct onx_view *t, size_t i);
int64_t onx_view_int(const struct onx_view *t, size_t i);
void onx_view_put_real(const struct onx_view *t, size_t i, double x);
void onx_view_put_int(const struct onx_view *t, size_t i, int64_t x);

/* Worst disagreement of two views of one shape: for tests, onnx-diff and onnx-run --test.
 * Elements agree if |a-b| <= atol + rtol*|b|, or both NaN, or both the same infinity. */
struct onx_gap { size_t bad, at; double worst_abs, worst_rel, a, b; };
void onx_compare(const struct onx_view *a, const struct onx_view *b, double rtol, double atol,
		 struct onx_gap *gap);

#endif
