/* graph/graph_i.h -- what the files of graph/ share; private to graph/. */
#ifndef ONX_GRAPH_I_H
#define ONX_GRAPH_I_H
#include "graph/graph.h"

/* A value or node at the end of its table; value names must be free.  In a new node all ids are 0. */
int onx_graph_new_value(struct onx_graph *g, const char *name, uint32_t *id, struct onx_err *e) ONX_MUST;
int onx_graph_new_node(struct onx_graph *g, uint32_t n_in, uint32_t n_out, uint32_t *id, struct onx_err *e)
	ONX_MUST;
/* graph/inline.c: *out is g with the calls of model-local functions replaced by their nodes; g itself where there
 * are none. */
int onx_graph_inline(struct onx_model *m, const struct onx_file_graph *g, const struct onx_file_graph **out,
		     struct onx_err *e) ONX_MUST;

/* The numbers of a Constant node, in whichever attribute it has them; *out NULL where it has none that we
 * can read.  Other attributes than `value` become a new tensor in the model's arena. */
int onx_constant_weight(struct onx_model *m, const struct onx_file_node *n, const struct onx_weight **out,
			struct onx_err *e) ONX_MUST;
/* A Constant node that keeps its numbers in value_float, value_floats or sparse_value, which have moved since:
 * writes what its attribute *at is now.  1: changed, 0: as it was. */
int onx_constant_changed(struct onx_model *m, const struct onx_file_node *n, const struct onx_weight *w,
			 struct onx_arena *a, size_t *at, struct onx_file_attr *out, struct onx_err *e) ONX_MUST;

/* graph/gradient.c: the bodies of all Gradient nodes, once the graph is in order; lax: those that are not to be had
 * become operators that are not known; may_wait: those around control flow are left for onx_graph_late. */
int onx_graph_gradients(struct onx_graph *g, bool lax, bool may_wait, struct onx_err *e) ONX_MUST;

/* graph/lift.c: attributes that op->lift names become constants, read by the node as inputs 1, 2, ... */
int onx_lift(struct onx_graph *g, uint32_t node, struct onx_err *e) ONX_MUST;
/* f's attributes with the numbers that the lifted constants of n have now.  1: some moved, and *out is a list of
 * f->n_attr in mem; 0: none did. */
int onx_lift_back(const struct onx_graph *g, const struct onx_node *n, const struct onx_file_node *f,
		  struct onx_arena *mem, const struct onx_file_attr **out, struct onx_err *e) ONX_MUST;

#endif
