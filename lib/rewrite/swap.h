/* rewrite/swap.h -- one activation for another. */
#ifndef ONX_SWAP_H
#define ONX_SWAP_H
#include "base/buf.h"
#include "base/field.h"
#include "graph/graph.h"

/* Each text is OLD=NEW, both operators of one input without attributes that matter (Relu, HardSwish, Sigmoid,
 * Tanh, Softplus, Elu, LeakyRelu, Selu, Mish, Gelu ...).  A NEW that the model's opset does not have, and an
 * OLD that does not occur, are faults. */
int onx_swap(struct onx_graph *g, const struct onx_strs *swap, struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
