/* plan/plan.h -- everything that is decided before the first number is computed.
 *
 * A plan turns facts into a list of steps with memory: which nodes run, in which precision, by which
 * implementation; which gradients are wanted (reverse reachability from the loss to the weights); how
 * long each tensor lives, counting the reads of backward; where it lies in one block.  What can fail,
 * fails here.  A plan holds no tensor memory and may be shared; exec/ runs it.
 *
 * Places of a tensor: CONST (numbers known now), PARAM (a trainable weight or a running statistic: one
 * block that outlives plans, exec/exec.h), GRAD (gradient of a weight, the twin block), BLOCK (an offset
 * in the plan's own memory), SEED (the one number that backward starts from). */
#ifndef ONX_PLAN_H
#define ONX_PLAN_H
#include "graph/facts.h"

enum onx_place { ONX_AT_NONE, ONX_AT_CONST, ONX_AT_PARAM, ONX_AT_GRAD, ONX_AT_BLOCK, ONX_AT_SEED };
struct onx_tensor {
	struct onx_view view;           /* .v is filled by exec, except for constants              */
	enum onx_place at;
	uint32_t life;                  /* BLOCK: index into plan->life                            */
	size_t element;                 /* PARAM, GRAD: first element                              */
};

struct onx_life {                       /* one piece of the block */
	uint32_t first, last;           /* steps, inclusive                                        */
	size_t bytes, offset;
	const char *what;               /* "value", "gradient", "saved", "scratch"                 */
	uint32_t id;                    /* of the value or node                                    */
};

struct onx_step {
	uint32_t node;
	const struct onx_op *op;
	const char *impl;               /* name of the implementation, "reference"                 */
	void (*run)(const struct onx_call *c);
	bool back, train, again;        /* again: a forward step amid backward (plan/again.c)       */
	uint32_t n_x, n_y;
	uint32_t *x, *y, *dy, *dx;      /* tensor ids, ONX_NONE: absent; dy, dx only where back     */
	bool *add;                      /* back: dx[i] already holds a sum                          */
	uint32_t save, scratch;         /* life ids, ONX_NONE: none                                 */
	const void *packed;             /* what the implementation made of frozen weights, or NULL  */
	double macs;
};

struct onx_whole {                      /* of a plan that runs in parts: a feed or a target, all samples */
	uint32_t value;
	struct onx_view view;           /* .v is filled by exec                                    */
	size_t offset, part;            /* in the block; bytes of a part                           */
	bool out;
};

struct onx_plan_want {
	struct onx_facts_want facts;
	uint32_t loss;                  /* value id of a scalar; ONX_NONE: forward only            */
	const bool *weight;             /* by value: gets a gradient (also `variable` in facts)    */
	int threads;                    /* for the size of scratch                                 */
	bool dry;                       /* to be looked at, never run: weights are neither folded nor packed */
	bool precise;                   /* no implementation that rounds more than the formula (onx_impl.rough) */
	size_t budget;                  /* bytes the block may take; 0: no limit.  Where keeping all that backward
					   reads takes more, the plan makes part of it again (segment.c) */
	size_t *least;                  /* NULL, or where the smallest block is left that was found, whether it
					   fits or not                                             */
};

struct onx_plan {
	struct onx_arena arena;
	struct onx_facts *facts;        /* owned; of the graph below                               */
	struct onx_facts *source;       /* of the user's graph, where that was lowered; else NULL  */
	struct onx_graph *written;      /* the user's graph with loops written out (unroll.c), or NULL */
	struct onx_graph *twin;         /* the lowered graph (lower.h): the user's values by the same ids */
	struct onx_step *step; uint32_t n_step, n_forward;      /* forward steps come first        */
	struct onx_tensor *tensor; uint32_t n_tensor;
	uint32_t *value_tensor;         /* by value: its tensor (forward), or ONX_NONE             */
	struct onx_life *life; uint32_t n_life;
	size_t bytes;                   /* of the block                                            */
	size_t live_bytes;              /* lower bound: most bytes alive at one step               */
	size_t n_param;                 /* elements of PARAM and GRAD                              */
	size_t *param_at;               /* by value: first element, SIZE_MAX: not a parameter      */
	double macs;                    /* multiply-adds of the forward steps                      */
	uint32_t parts;                 /* the forward steps run that often, each time on the next samples
					   (plan/parts.c).  Shapes are those of a part, .macs of all  */
	struct onx_whole *whole; uint32_t n_whole;
	uint32_t n_again, n_segment;    /* steps amid backward that make forward tensors again; cuts */
	double again;                   /* their share of the forward pass, by estimated time       */
	uint32_t loss;
	bool guessed;                   /* made with facts.guess, and something was: good for sizes, not to run */
};

/* Layout of the parameter block: the values with `variable` set, in order of id, each start rounded up to
 * 16 elements.  at[v]: first element, SIZE_MAX where not variable.  Returns the number of elements.  The
 * same for every plan of a graph with the same `variable`. */
size_t onx_param_layout(const struct onx_graph *g, const bool *variable, size_t *at);

int onx_plan_make(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		  struct onx_plan **out, struct onx_err *e) ONX_MUST;
void onx_plan_free(struct onx_plan *p);
/* Stable text: steps, implementations, memory. */
void onx_plan_print(const struct onx_plan *p, struct onx_buf *out);

/* plan/place.c: largest first, each at the lowest gap that is free during its life.  Returns the bytes of
 * the block, SIZE_MAX if there is no memory to work in.  Total order: the result does not depend on qsort. */
size_t onx_place(struct onx_life *life, uint32_t n);

/* plan/wants.c: which values depend on a trainable weight through inputs that have a gradient. */
int onx_plan_wants(const struct onx_graph *g, const bool *weight, struct onx_arena *a, bool **wants,
		   struct onx_err *e) ONX_MUST;

/* The pre-flight: looks only at nodes on a path from a trainable weight to a target and lists what cannot
 * pass a gradient, why, and a way out. */
struct onx_block { uint32_t node; const char *why, *way_out; };
int onx_plan_blocks(const struct onx_graph *g, const bool *weight, const uint32_t *target, uint32_t n_target,
		    struct onx_arena *a, struct onx_block **v, uint32_t *n, struct onx_err *e) ONX_MUST;

/* plan/prefix.c: the part of the graph that depends on no trainable weight and on no random node, so that
 * it can run once per sample.  `cut`: the values at its border that the rest reads, one slice a sample
 * (n == 0: there is no such part worth the name; `why` says so in words).  A feed that the rest reads itself
 * is part of the cut.  What has no such slice, and control flow that depends on the numbers (with w->guess), is
 * behind the cut.  alone: samples are computed one at a time, so that all of a value is its slice.  Targets are to be
 * the logits, not the loss. */
struct onx_prefix {
	uint32_t *cut, n;
	const char *why;
	double macs, all_macs;          /* of one sample: the prefix, everything                    */
	size_t bytes;                   /* of the cut, one sample                                  */
};
int onx_plan_prefix(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, bool alone,
		    struct onx_arena *a, struct onx_prefix *out, struct onx_err *e) ONX_MUST;

/* plan/mode.c: which nodes run in training mode, and what varies besides the weights.
 * BatchNormalization: where its scale or bias trains (bn auto) or nowhere (bn frozen); its statistics are
 * then variable too.  Dropout: where no frozen weight lies between it and what trains, so that the one in
 * front of a new classifier is active and those inside a frozen body are not. */
enum onx_bn_mode { ONX_BN_AUTO, ONX_BN_FROZEN };
struct onx_modes { bool *train; bool *variable; };      /* by node; by value (weights and statistics) */
int onx_plan_modes(const struct onx_graph *g, const bool *weight, enum onx_bn_mode bn, struct onx_arena *a,
		   struct onx_modes *out, struct onx_err *e) ONX_MUST;

#endif
