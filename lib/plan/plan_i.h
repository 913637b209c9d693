/* plan/plan_i.h -- what the parts of the planner share; private to plan/. */
#ifndef ONX_PLAN_I_H
#define ONX_PLAN_I_H
#include "plan/plan.h"

struct onx_builder {
	const struct onx_graph *g;
	const struct onx_plan_want *want;
	struct onx_plan *p;
	bool *grad;             /* by value: the loss has a gradient with respect to it that is wanted  */
	bool *back;             /* by node: has a backward step                                        */
	uint32_t *fwd_at;       /* by node: its forward step, ONX_NONE: runs none (a view, a constant)  */
	uint32_t *last_fwd;     /* by value: last forward step that reads its own tensor               */
	const struct onx_impl **impl;   /* by node: chosen implementation, NULL: the reference          */
	uint32_t *grad_tensor;  /* by value                                                            */
	bool *written;          /* by value: its gradient holds something already                      */
	/* By tensor that forward made (plan/keep.c).  A view's numbers are its root's. */
	uint32_t *root;
	uint32_t *maker, *last; /* root: forward step that makes it (ONX_NONE: a source), that reads it last */
	bool *needed, *pinned;  /* root: backward reads it; the caller does, or feeds it                     */
	bool *kept, *light;     /* root: kept from forward on; made again in front of each reader           */
	uint32_t *depth;        /* root: light ones in a row                                                */
	uint32_t *version;      /* root: the tensor that holds it where it was made again, else ONX_NONE     */
	/* By forward step. */
	bool *asked;            /* to be run again; plan/again.c                                            */
	bool *lost;             /* what it saved is not kept for backward                                   */
	uint32_t *saved;        /* lost: the life that holds it once it was saved again                     */
	double *crossing;       /* bytes made up to its end that later steps forward read                   */
	bool *moved;            /* by element of the parameters: the first of a running statistic           */
	bool lasting;           /* light tensors that are made of light ones stay for the next reader       */
	uint32_t cap_step, cap_tensor, cap_life;
	uint32_t n_run;         /* forward steps                                                       */
};

/* Growing tables of the plan; indices, ONX_NONE on shortage of memory. */
uint32_t onx_plan_add_life(struct onx_builder *b, const char *what, uint32_t id, size_t bytes, uint32_t at);
uint32_t onx_plan_add_tensor(struct onx_builder *b, const struct onx_view *view, enum onx_place at);
struct onx_step *onx_plan_add_step(struct onx_builder *b, uint32_t node, bool back, uint32_t n_x,
				   uint32_t n_y);

/* A view with dims of its own in the plan's arena. */
int onx_plan_view(struct onx_builder *b, const struct onx_fact *f, struct onx_view *out, struct onx_err *e)
	ONX_MUST;
static inline void onx_life_reach(struct onx_life *l, uint32_t step)
{
	if (step > l->last)
		l->last = step;
}
/* Nodes whose output is their input's bytes need no step. */
bool onx_plan_is_view(const struct onx_builder *b, uint32_t node);

/* plan/lower.c: the twin graph and what is wanted of it; *out is NULL where there is nothing to gain.  The twin
 * borrows from g and f, which must outlive it. */
int onx_plan_lower(const struct onx_graph *g, const struct onx_facts *f, const struct onx_plan_want *want,
		   struct onx_graph **out, struct onx_plan_want *lowered, struct onx_err *e) ONX_MUST;
void onx_plan_twin_free(struct onx_graph *t);
void onx_plan_written_free(struct onx_graph *g);        /* of onx_plan_unroll */

/* plan/unroll.c: a copy of the graph with the bodies of If, Loop and Scan written out, and what is wanted of it;
 * *out is NULL where none has to run.  Values and nodes keep their ids; new ones come behind them.  Borrows from g;
 * freed like a twin. */
int onx_plan_unroll(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *want,
		    struct onx_graph **out, struct onx_plan_want *written, bool *guessed, struct onx_err *e)
	ONX_MUST;

/* plan/plan.c: a plan for all samples as they are fed. */
int onx_plan_one(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		 struct onx_plan **out, struct onx_err *e) ONX_MUST;
/* plan/parts.c: the same in parts; *out is NULL where there is nothing to gain or samples are not apart. */
int onx_plan_in_parts(const struct onx_graph *g, struct onx_consts *c, const struct onx_plan_want *w,
		      struct onx_plan **out, struct onx_err *e) ONX_MUST;

int onx_plan_forward(struct onx_builder *b, struct onx_err *e) ONX_MUST;        /* plan/forward.c  */
void onx_plan_in_place(struct onx_builder *b, bool *keep);                      /* by life: not to be written over */

/* How much of what backward reads is kept (plan/keep.c). */
struct onx_keep {
	uint32_t depth;         /* light steps in a row; 0: everything is kept                              */
	bool broad;             /* light: also pools, norms, moves; else what works element by element       */
	double macs;            /* broad, before `until`: any step of up to so many multiply-adds an element */
	uint32_t until;         /* forward steps before this one are cut into segments                      */
	double room;            /* bytes that a segment may hold; 0: no segments                            */
};
int onx_plan_keep_start(struct onx_builder *b, struct onx_err *e) ONX_MUST;     /* once, after forward  */
int onx_plan_keep(struct onx_builder *b, const struct onx_keep *how, bool **by_life, struct onx_err *e) ONX_MUST;
double onx_plan_held(const struct onx_builder *b);      /* bytes that backward needs, light ones left out */

/* plan/again.c.  Before a backward step is added: makes again what it will read of a forward tensor, of what a
 * forward step saved, where that is not there.  Then: the tensor that holds the numbers, for a reader at `at`. */
int onx_plan_again(struct onx_builder *b, uint32_t tensor, struct onx_err *e) ONX_MUST;
int onx_plan_again_saved(struct onx_builder *b, uint32_t step, struct onx_err *e) ONX_MUST;
int onx_plan_now(struct onx_builder *b, uint32_t tensor, uint32_t at, uint32_t *out, struct onx_err *e) ONX_MUST;

/* plan/segment.c: backward steps and places, with as much made again as the budget asks for. */
int onx_plan_within(struct onx_builder *b, struct onx_err *e) ONX_MUST;
int onx_plan_backward(struct onx_builder *b, struct onx_err *e) ONX_MUST;       /* plan/backward.c */

#endif
