/* rewrite/fold.h -- what onnx-export may simplify; nothing of it happens unasked. */
#ifndef ONX_FOLD_H
#define ONX_FOLD_H
#include "base/buf.h"
#include "graph/graph.h"

/* Drops Identity nodes, and Dropout nodes whose mask nobody reads.  *n: how many.  A node that makes a graph
 * output stays: the output would lose its name. */
int onx_drop_idle(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

/* Folds each BatchNormalization in inference mode behind a Conv that nobody else reads into the Conv's
 * weights: W' = W * scale / sqrt(var + epsilon), b' = (b - mean) * scale / sqrt(var + epsilon) + bias.  New
 * weights keep the type of the old ones.  *n: how many. */
int onx_fold_norms(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
