/* rewrite/narrow.h -- smaller numbers in the file: float16, and int8 for weights.  Asked for by onnx-export. */
#ifndef ONX_NARROW_H
#define ONX_NARROW_H
#include "base/buf.h"
#include "graph/graph.h"

struct onx_narrow {
	uint32_t nodes, weights;        /* that compute in half; that were changed                   */
	uint32_t casts;                 /* that had to be added                                      */
	double before, after;           /* bytes of the changed weights                              */
	size_t clamped;                 /* numbers beyond 65504 that became it                       */
};

/* rewrite/half.c: weights and arithmetic from float to float16.  Operators that the standard does not have in
 * float16, those of other domains, those with bodies and those that say their type themselves stay in float,
 * with Cast around them.  Inputs and outputs of the graph stay float behind a Cast each, unless `io`.  Numbers
 * beyond the range become the largest float16 (a mask of -3e38 means just "very small"). */
int onx_to_half(struct onx_graph *g, bool io, struct onx_narrow *n, struct onx_buf *log, struct onx_err *e)
	ONX_MUST;

/* rewrite/int8.c: the weights of Conv, ConvTranspose, Gemm and MatMul as int8, one scale for each output channel:
 * scale = max |w| / 127, symmetric, rounded to nearest even; a DequantizeLinear (from opset 13 on, before that
 * Cast and Mul, which is the same) in front of the node makes them float again.  Weights of fewer than 1024
 * numbers, and those that are not float, stay. */
int onx_to_int8(struct onx_graph *g, struct onx_narrow *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
