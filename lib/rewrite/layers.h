/* rewrite/layers.h -- new layers from a line of text.
 *
 *     'dropout:0.2 gemm:128 relu gemm:5'        'conv:32:3 bn relu maxpool:2 res( conv:32:3 bn ) gap gemm:10'
 *
 *   gemm:N            y = x W^T + b; an input of rank > 2 is flattened first
 *   conv:F:K[:S]      F filters K x K, stride S (1), padding K/2      dwconv:K[:S]  one filter a channel
 *   bn                BatchNormalization                               dropout:R
 *   maxpool:K[:S]  avgpool:K[:S]     windows, stride K by default      gap  global average pooling
 *   flatten  relu  gelu  sigmoid  tanh  softmax  hardswish
 *   res( ... )        x + f(x); where shapes differ the shortcut is a 1x1 convolution
 *
 * Weights are drawn as struct onx_init says, in the type of the tensor that they meet. */
#ifndef ONX_LAYERS_H
#define ONX_LAYERS_H
#include "base/buf.h"
#include "graph/graph.h"

struct onx_layers {
	const char *text;
	int init; int64_t seed;
	const char *prefix;             /* of the names of nodes and weights: "head"                  */
	const char *const *made; size_t n_made;         /* out: names of the new weights, in the graph's arena */
};
/* Appends the layers behind the value `from`; *to: the last output.  One patch for each layer. */
int onx_layers_append(struct onx_graph *g, uint32_t from, struct onx_layers *l, uint32_t *to,
		      struct onx_buf *log, struct onx_err *e) ONX_MUST;

#endif
