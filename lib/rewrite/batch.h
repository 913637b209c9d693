/* rewrite/batch.h -- a batch of 1 that is baked into a file becomes symbolic.
 *
 * The leading 1 of every input becomes the dim "batch"; so does the leading 1 in the constant shape of each
 * Reshape whose data depends on an input: -1 where the shape has none, else 0 (take the data's own).  Then shapes
 * are inferred at two batch sizes: a node that does not go along is named in the fault.  Declared shapes of
 * outputs and value_info follow.  Last, `same` is asked whether N samples together equal N alone: shapes do
 * not prove that (a sum over dim 0 fits any batch). */
#ifndef ONX_REBATCH_H
#define ONX_REBATCH_H
#include "base/buf.h"
#include "graph/graph.h"

/* Runs the graph: ONX_OK if outputs agree, a fault that says what differs if not.  ctx NULL-able. */
typedef int onx_batch_same(void *ctx, const struct onx_graph *g, struct onx_err *e);

/* *changed: false where the batch was symbolic already.  same may be NULL: only shapes are proved. */
int onx_batch_free(struct onx_graph *g, onx_batch_same *same, void *ctx, bool *changed, struct onx_buf *log,
		   struct onx_err *e) ONX_MUST;

#endif
