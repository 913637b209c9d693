/* plan/unroll_i.h -- what the files that write out control flow share; private to plan/. */
#ifndef ONX_UNROLL_I_H
#define ONX_UNROLL_I_H
#include "graph/control.h"
#include "plan/plan_i.h"

struct unroll {
	struct onx_graph *g;            /* the copy; everything new lives in its arena           */
	const struct onx_facts *f;      /* of g as it was before this round                      */
	struct onx_arena scratch;       /* of this round                                         */
	struct onx_arena mem;           /* of all rounds                                         */
	bool *train, *variable, *weight;
	struct onx_feed *feed; uint32_t n_feed, cap_feed;
	uint32_t cap_order;
	uint32_t at;                    /* the node that is written out                          */
	uint32_t yes;                   /* a value that is true, ONX_NONE: not made yet          */
	bool more;                      /* a node with bodies was copied                         */
	const struct onx_decision **told;       /* by node: what was decided beforehand            */
	size_t turn;                    /* bodies of `at` that were copied                       */
	bool guessed;
	bool sequences;                 /* there are operators on sequences                        */
	bool mixes;                     /* a node may have float and double inputs                 */
};

/* unroll_copy.c: a fault of memory; n elements of `old` copied to where `room` have place, NULL: none. */
int onx_unroll_nomem(double bytes, struct onx_err *e) ONX_MUST;
void *onx_unroll_longer(struct onx_arena *a, const void *old, size_t n, size_t room, size_t width) ONX_MUST;
/* Node id runs behind all others. */
int onx_unroll_order(struct unroll *u, uint32_t id, struct onx_err *e) ONX_MUST;
/* A new value without a maker. */
int onx_unroll_value(struct unroll *u, enum onx_dtype type, uint32_t *id, struct onx_err *e) ONX_MUST;
/* A node of the default domain beside the bodies' own; out are values without a maker. */
int onx_unroll_node(struct unroll *u, const char *type, int version, uint32_t n_in, const uint32_t *in, uint32_t n_out,
		    const uint32_t *out, const struct onx_file_attr *attr, size_t n_attr, struct onx_err *e) ONX_MUST;
/* v's numbers are those of t. */
int onx_unroll_known(struct unroll *u, uint32_t v, const struct onx_fact *t, struct onx_err *e) ONX_MUST;
/* A new value that holds one whole number. */
int onx_unroll_number(struct unroll *u, enum onx_dtype type, int64_t x, uint32_t *id, struct onx_err *e) ONX_MUST;
/* The nodes of body b once more: in are values for its inputs, out gets those of its outputs. */
int onx_unroll_body(struct unroll *u, const struct onx_body *b, size_t turn, const uint32_t *in, uint32_t *out,
		    struct onx_err *e) ONX_MUST;

/* plan/unroll_turns.c: node u->at written out. */
int onx_unroll_write(struct unroll *u, const struct onx_turns *t, struct onx_err *e) ONX_MUST;
int onx_unroll_scan8(struct unroll *u, const struct onx_turns *t, struct onx_err *e) ONX_MUST;  /* unroll_scan8.c */
/* unroll_seq.c: SequenceMap; operators on sequences.  !*done: it waits for a later round. */
int onx_unroll_map(struct unroll *u, const struct onx_turns *t, struct onx_err *e) ONX_MUST;
int onx_unroll_sequence(struct unroll *u, bool *done, struct onx_err *e) ONX_MUST;
/* Output k of u->at is v. */
int onx_unroll_connect(struct unroll *u, uint32_t k, uint32_t v, struct onx_err *e) ONX_MUST;
/* n values like `type` side by side along a new axis; out has no maker. */
int onx_unroll_stack(struct unroll *u, enum onx_dtype type, const uint32_t *slice, size_t n, int64_t axis, uint32_t out,
		     struct onx_err *e) ONX_MUST;
/* Output k of u->at is the n slices along a new axis, the last first where `back`. */
int onx_unroll_join(struct unroll *u, uint32_t k, uint32_t *slice, size_t n, int64_t axis, bool back,
		    struct onx_err *e) ONX_MUST;
/* `from` as n values, slices along the axis, which goes. */
int onx_unroll_cut(struct unroll *u, uint32_t from, enum onx_dtype type, int64_t axis, size_t n, uint32_t *slice,
		   struct onx_err *e) ONX_MUST;

#endif
