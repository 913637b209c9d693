/* rewrite/straight.h -- straight-through estimates on request: training goes through steps as if they were y = x.
 *
 * Floor, Ceil, Round and Sign, pairs of QuantizeLinear and DequantizeLinear with the same scale and zero point,
 * and pairs of DynamicQuantizeLinear and DequantizeLinear, in bodies of If, Loop and Scan too, get rows
 * (op/unary.c, quantize.c, straight.c) that compute the same forward and have a gradient backward.  What the file
 * says of the nodes stays: onx_graph_export writes them as they came. */
#ifndef ONX_STRAIGHT_H
#define ONX_STRAIGHT_H
#include "graph/graph.h"

/* *n: how many nodes or pairs were changed. */
int onx_straight_through(struct onx_graph *g, uint32_t *n, struct onx_err *e) ONX_MUST;
/* Has an operator of this type an estimate? */
bool onx_straight_known(const char *domain, const char *type);

#endif
