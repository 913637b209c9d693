/* graph/inline_i.h -- what inline.c and flex.c share: nodes that stand in place of one node. */
#ifndef ONX_INLINE_I_H
#define ONX_INLINE_I_H
#include "graph/graph_i.h"

struct onx_node_list { struct onx_file_node *v; size_t n, cap; };

struct onx_inliner {
	struct onx_model *m;
	struct onx_arena *mem;          /* of the model: what is made here lives as long as its views */
	const struct onx_file_function *f; size_t n_f;
	size_t calls, nodes;
};

/* One call being worked off; up: the call that it stands in. */
struct onx_frame {
	const struct onx_file_function *f;
	const struct onx_file_node *at;         /* with the names and attributes of the main graph */
	const struct onx_file_call *call;
	const struct onx_file_graph *own;       /* not NULL: other names than this graph makes stay what they are */
	const char *prefix;
	const struct onx_frame *up;
	int depth;
};

/* The name as the main graph has it; NULL: no memory. */
const char *onx_inline_name(struct onx_inliner *x, const struct onx_frame *in, const char *name, struct onx_err *e);
int onx_inline_append(struct onx_inliner *x, struct onx_node_list *to, const struct onx_file_node *n,
		      struct onx_err *e) ONX_MUST;
/* n, of the main graph or of the call `in`, with what it calls replaced by nodes. */
int onx_inline_expand(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_frame *in,
		      struct onx_node_list *to, struct onx_err *e) ONX_MUST;

/* graph/flex.c: FlexAttention with inputs and an output; n is as the main graph has it. */
bool onx_is_flex(const struct onx_file_node *n);
int onx_inline_flex(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_file_node *outermost,
		    const struct onx_frame *in, struct onx_node_list *to, struct onx_err *e) ONX_MUST;

/* graph/written.c: an operator that is others put together; n likewise. */
bool onx_is_written(const struct onx_file_node *n);
int onx_inline_written(struct onx_inliner *x, const struct onx_file_node *n, const struct onx_file_node *outermost,
		       const struct onx_frame *in, struct onx_node_list *to, struct onx_err *e) ONX_MUST;

#endif
