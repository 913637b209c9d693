/* graph/gradient_i.h -- what writes the body of a Gradient node: the files gradient*.c. */
#ifndef ONX_GRAPH_GRADIENT_I_H
#define ONX_GRAPH_GRADIENT_I_H
#include <string.h>
#include "graph/graph_i.h"
#include "op/gradient.h"

struct onx_term { uint32_t v; struct onx_term *next; };
struct onx_gradient {
	struct onx_graph *g, *b;        /* around the node; its body                                       */
	uint32_t node;
	const struct onx_gradient_attr *a;
	struct onx_body *body;
	struct onx_arena mem;           /* of the work                                                     */
	uint32_t *map;                  /* by value of g: the value of b, or ONX_NONE                      */
	bool *given, *dep, *need;       /* by value of g: xs and zs; behind them; in front of y            */
	bool *copied;                   /* by node of g                                                    */
	uint32_t *x;                    /* by input of the node: its value of b; those of xs first         */
	bool *act;                      /* by value of b, once the sub-graph is there: behind an x         */
	struct onx_term **d;            /* by value of b: its gradients so far                             */
	uint32_t n_copied;              /* nodes of b that are the sub-graph                               */
	bool may_wait;                  /* control flow between is left for later                           */
	bool spells;                    /* Backwards are written out as they are made                       */
};

static inline bool onx_is_backward(const struct onx_node *n)
{
	return strcmp(n->domain, "onnx_adapt") == 0 && strcmp(n->type, "Backward") == 0;
}

/* gradient_back.c.  A new value, named like another; a node of an operator (of ai.onnx, or "com.microsoft.Inverse")
 * with one new output; all 0
 * in the shape and type of v; the forward or backward of the node that `like`, a Backward, is about, on other
 * values: y and dx are new where they are not ONX_NONE.  All ids are of x->b. */
int onx_grad_value(struct onx_gradient *x, const char *name, uint32_t *id, struct onx_err *e) ONX_MUST;
int onx_grad_put(struct onx_gradient *x, const char *type, const struct onx_file_attr *attr, const uint32_t *in,
		 uint32_t n_in, uint32_t *out, struct onx_err *e) ONX_MUST;
/* The same with any number of outputs and attributes; node `a` is about once more, with other outputs. */
int onx_grad_node(struct onx_gradient *x, const char *type, const struct onx_file_attr *attr, size_t n_attr,
		  const uint32_t *in, uint32_t n_in, uint32_t *out, uint32_t n_out, struct onx_err *e) ONX_MUST;
int onx_grad_again(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		   uint32_t *out, uint32_t n_out, struct onx_err *e) ONX_MUST;
int onx_grad_zeros(struct onx_gradient *x, uint32_t v, uint32_t *out, struct onx_err *e) ONX_MUST;
int onx_grad_forward(struct onx_gradient *x, const struct onx_node *like, const uint32_t *in, uint32_t *y,
		     struct onx_err *e) ONX_MUST;
int onx_grad_backward(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		      uint32_t *dx, struct onx_err *e) ONX_MUST;
int onx_grad_term(struct onx_gradient *x, uint32_t v, uint32_t gradient, struct onx_err *e) ONX_MUST;
void onx_grad_made(struct onx_gradient *x, uint32_t node);
/* Behind the sub-graph: the way from y, a value of b, to the xs, which become the outputs. */
int onx_grad_way_back(struct onx_gradient *x, uint32_t y, struct onx_err *e) ONX_MUST;

/* From the gradients dy of the values y back through the nodes from `first` on, each Backward written out; dx[k] is
 * that of arg[k], new where it was not ONX_NONE. */
int onx_grad_region(struct onx_gradient *x, uint32_t first, const uint32_t *y, const uint32_t *dy, uint32_t n_y,
		    const uint32_t *arg, uint32_t *dx, uint32_t n_x, struct onx_err *e) ONX_MUST;

/* gradient_second.c.  A Backward on the values `in`: 1, it is written out as nodes that have derivatives themselves,
 * dx[k] new where it was not ONX_NONE; 0, it is to stay. */
int onx_grad_spell(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		   uint32_t *dx, struct onx_err *e) ONX_MUST;
/* gradient_attr.c.  Is it about this operator ("domain.type" where it is not ai.onnx), whose attributes have the
 * values "name=value name=value" (NULL: whichever)?  An attribute as a file would have it; false: the operator has
 * none, or a list that is empty.  Number i of the activation of FusedConv or FusedGemm; false: its usual one. */
bool onx_grad_about(const struct onx_backward_attr *a, const char *type, const char *when);
bool onx_grad_attr(const struct onx_backward_attr *a, const char *name, struct onx_file_attr *to);
bool onx_grad_fused(const struct onx_backward_attr *a, size_t i, double *to);
/* gradient_spell.c.  The same as onx_grad_spell for operators that are written out. */
int onx_grad_written(struct onx_gradient *x, const struct onx_backward_attr *a, const uint32_t *in, uint32_t n_in,
		     uint32_t *dx, struct onx_err *e) ONX_MUST;
/* Back through n of b, a Backward, whose outputs have the gradients u (ONX_NONE: none). */
int onx_grad_second(struct onx_gradient *x, const struct onx_node *n, const uint32_t *u, struct onx_err *e) ONX_MUST;

#endif
