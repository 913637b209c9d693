/* plan/lower.h -- the graph as the plan wants it: fused and with channels last; private to plan/.
 *
 * The user's graph is never touched.  Lowering makes a twin that shares its values by id (new values come
 * behind them) and replaces nodes by steps of domain "onnx_adapt", which stand in no file.  Gradients, lives
 * and places are then planned as for any graph.  README.md has the rules. */
#ifndef ONX_LOWER_H
#define ONX_LOWER_H
#include "plan/plan.h"
#include "kernel/fuse.h"

/* What one step will compute: Conv or BatchNormalization, and what follows it.  ONNX_NONE: not there. */
struct onx_chain {
	uint32_t head, bn, add, act;
	uint32_t end;                   /* the last of them: the step stands where it stood   */
	uint32_t z;                     /* value that `add` adds                               */
	uint32_t x, scale;              /* `scale` is none, or the head's input is x * scale (lower_scale.c) */
	const char *activation;         /* NULL: none                                          */
	float par[2]; size_t n_par;
	struct onx_chain *norm;         /* the normalization in front that goes into it (lower_norm.c), or NULL */
	bool moments;                   /* it makes mean and variance of its result, too; twin values:          */
	uint32_t mean, var;
	struct onx_chain *from;         /* of a normalization: the convolution that made them, or NULL         */
	struct onx_chain *before;       /* one that is computed with it, strip by strip, or NULL */
};

struct onx_lower {
	const struct onx_graph *from;
	const struct onx_facts *f;      /* of `from`                                           */
	const struct onx_plan_want *want;
	struct onx_graph *to;           /* the twin; everything new lives in its arena         */
	struct onx_arena scratch;
	struct onx_uses uses;           /* of `from`                                           */
	bool *target, *wants;           /* by value of `from`: asked for; depends on a weight  */
	struct onx_chain **chain;       /* by node: the chain that ends here                   */
	bool *inner;                    /* by node: part of a chain or a swap that ends later  */
	bool *concat;                   /* by node: convolutions in front of it write into it  */
	struct onx_swap **swap;         /* by node: the swap that ends here (lower_block.h)    */
	uint32_t *last;                 /* by value: its twin with channels last, ONX_NONE     */
	bool *first;                    /* by value: there with channels first, as in the file */
	bool *train;                    /* by node of `to`                                     */
	bool *fed;                      /* by value: a constant that feed[] has already        */
	struct onx_feed *feed; uint32_t n_feed, cap_feed;
};

/* lower.c.  A new value like `like` (for its name and type); a new node behind all others. */
int onx_lower_value(struct onx_lower *l, uint32_t like, uint32_t *id, struct onx_err *e) ONX_MUST;
int onx_lower_node(struct onx_lower *l, const char *domain, const char *type, uint32_t like, const uint32_t *in,
		   uint32_t n_in, uint32_t out, const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e)
	ONX_MUST;
/* All outputs of the last node, ONX_NONE: absent. */
int onx_lower_outs(struct onx_lower *l, const uint32_t *out, uint32_t n_out, struct onx_err *e) ONX_MUST;
/* A new value with numbers known now: `count` elements that the caller fills through *out. */
int onx_lower_known(struct onx_lower *l, uint32_t like, enum onx_dtype type, const struct onx_shape *shape,
		    uint32_t *id, struct onx_view **out, struct onx_err *e) ONX_MUST;
/* A value whose numbers come from outside. */
int onx_lower_feed(struct onx_lower *l, const struct onx_feed *f, struct onx_err *e) ONX_MUST;

/* fuse.c: finds the chains. */
int onx_lower_chains(struct onx_lower *l, struct onx_err *e) ONX_MUST;
/* fuse.c: the one node that runs and reads v; ONX_NONE if there is another, or none, or v is asked for. */
uint32_t onx_lower_reader(const struct onx_lower *l, uint32_t v);
/* Convolutions of one step as op/stages.h has them; `n` of them, none described yet. */
struct onx_lower_stages { size_t n; int64_t *windows; const char **activation; float *params; };

/* lower_strips.c: finds chains that are computed together; writes the step of those that end with c. */
void onx_lower_strips(struct onx_lower *l);
int onx_lower_run(struct onx_lower *l, const struct onx_chain *c, struct onx_err *e) ONX_MUST;
/* lower_strips.c: the chain whose result is v, or NULL; are it a convolution's and its numbers known? */
struct onx_chain *onx_lower_maker(const struct onx_lower *l, uint32_t v);
bool onx_lower_fixed(const struct onx_lower *l, const struct onx_chain *c);
int onx_lower_stages(struct onx_lower *l, size_t n, struct onx_lower_stages *to, struct onx_err *e) ONX_MUST;
void onx_lower_stage(const struct onx_lower *l, const struct onx_chain *c, size_t i, struct onx_lower_stages *to);
int onx_lower_stages_node(struct onx_lower *l, const char *type, uint32_t like, const uint32_t *in, uint32_t n_in,
			  uint32_t out, const struct onx_lower_stages *s, struct onx_err *e) ONX_MUST;
bool onx_lower_depthwise(const struct onx_lower *l, const struct onx_chain *c);
/* lower_scale.c: finds scales of channels that pointwise convolutions take in. */
void onx_lower_scales(struct onx_lower *l);
bool onx_lower_pointwise(const struct onx_lower *l, const struct onx_node *n);
/* lower_norm.c: finds trained normalizations that go into the convolution behind them. */
void onx_lower_norms(struct onx_lower *l);
/* lower_concat.c: finds what is joined behind convolutions that can write their part of it; writes that step. */
void onx_lower_concats(struct onx_lower *l);
int onx_lower_concat(struct onx_lower *l, uint32_t id, struct onx_err *e) ONX_MUST;
/* fuse.c: takes what follows c->end into the chain: Add, activation. */
void onx_lower_follow(struct onx_lower *l, struct onx_chain *c);
/* fuse.c: weights and bias of a Conv with the BatchNormalization behind it folded in. */
int onx_lower_folded(struct onx_lower *l, const struct onx_chain *c, uint32_t *w, uint32_t *b, struct onx_err *e)
	ONX_MUST;
/* layout.c: writes the nodes of `to`, in order. */
int onx_lower_nodes(struct onx_lower *l, struct onx_err *e) ONX_MUST;
/* layout.c: v with channels last, for `node`; of fewer dimensions: as broadcasting sees it. */
int onx_lower_last(struct onx_lower *l, uint32_t node, uint32_t v, uint32_t *out, struct onx_err *e) ONX_MUST;
/* layout.c: a new value that is v with channels last. */
int onx_lower_made_last(struct onx_lower *l, uint32_t v, uint32_t *id, struct onx_err *e) ONX_MUST;
/* layout.c: weights and bias (or ONX_NONE) of a convolution's chain, the normalization in them. */
int onx_lower_coefficients(struct onx_lower *l, const struct onx_chain *c, uint32_t *w, uint32_t *b, struct onx_err *e)
	ONX_MUST;

/* The attributes of a node as in its file. */
static inline const struct onx_file_attr *onx_lower_attr(const struct onx_node *n, size_t *count)
{
	*count = n->new_attr || !n->file ? n->n_new_attr : n->file->n_attr;
	return n->new_attr || !n->file ? n->new_attr : n->file->attr;
}
const struct onx_file_attr *onx_lower_find(const struct onx_node *n, const char *name);  /* NULL: not given */
static inline bool onx_lower_is(const struct onx_node *n, const char *type)
{
	return !n->domain[0] && n->type[0] == type[0] && __builtin_strcmp(n->type, type) == 0;
}

#endif
