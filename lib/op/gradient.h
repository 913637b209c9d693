/* op/gradient.h -- what graph/gradient.c writes for the Gradient operator of ai.onnx.preview.training. */
#ifndef ONX_OP_GRADIENT_H
#define ONX_OP_GRADIENT_H
#include "op/op.h"

/* The attributes of Gradient in a file. */
struct onx_gradient_attr { struct onx_strs xs, zs; const char *y; };

/* Backward of domain onnx_adapt: the backward of one other node as a node of its own,
 *
 *     dx[0..n_x-1] = Backward(dy[0..n_y-1], x[0..n_x-1])
 *
 * dy absent: no gradient there.  Outputs that the node does not name are not computed.  It never reaches a file. */
struct onx_backward_attr {
	const struct onx_op *op;        /* of the other node, the row in float                       */
	const void *attr;
	int version, n_y;
	uint32_t wanted;                /* bit i: the other node names its output i                    */
};

#endif
