/* rewrite/dequantize.h -- weights that a quantised file keeps as whole numbers become float weights, which train. */
#ifndef ONX_DEQUANTIZE_H
#define ONX_DEQUANTIZE_H
#include "base/buf.h"
#include "graph/graph.h"

/* Each DequantizeLinear that makes a weight from constants (onx_graph_quantised) goes; the weight has the
 * numbers that it computes and the name of its output, without "_DequantizeLinear_Output" and the like.
 * *n: how many. */
int onx_dequantize(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;
/* The same for n values of the caller's, each made from constants alone. */
int onx_dequantize_these(struct onx_graph *g, const uint32_t *value, uint32_t n, struct onx_buf *log,
			 struct onx_err *e) ONX_MUST;

#endif
