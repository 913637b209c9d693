/* rewrite/fold.h -- what onnx-export may simplify; nothing of it happens unasked.  *n: how many nodes. */
#ifndef ONX_FOLD_H
#define ONX_FOLD_H
#include "base/buf.h"
#include "graph/graph.h"

/* Results that are larger than this and than what they are made of stay with their node: the file would only grow
 * (Expand, ConstantOfShape, DequantizeLinear). */
enum { ONX_FOLD_SMALL = 4096 };         /* bytes */

/* rewrite/idle.c: drops Identity nodes, and Dropout nodes whose mask nobody reads.  A node that makes a graph
 * output stays: the output would lose its name. */
int onx_drop_idle(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

/* rewrite/foldconst.c: drops nodes whose outputs never change -- computed from constants, or from shapes where
 * only the batch is open and two batch sizes agree -- and gives their readers the numbers.  What would only
 * make the file larger stays. */
int onx_fold_consts(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

/* rewrite/foldbody.c: the same in the file, before there is a graph, for the bodies of If, Loop and Scan and for
 * model-local functions, from constants alone; what they read of the graphs around them counts, too. */
int onx_fold_bodies(struct onx_model *m, uint32_t *n, struct onx_err *e) ONX_MUST;

/* rewrite/foldnorm.c: folds each BatchNormalization in inference mode behind a Conv, ConvTranspose or Gemm that
 * nobody else reads into its weights: W' = W * scale / sqrt(var + epsilon), b' = (b - mean) * scale /
 * sqrt(var + epsilon) + bias.  New weights keep the type of the old ones. */
int onx_fold_norms(struct onx_graph *g, uint32_t *n, struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
