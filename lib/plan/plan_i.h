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
	uint32_t *again_step;   /* by life: the forward step that makes it again for backward, ONX_NONE: kept */
	uint32_t *again_life;   /* by life: what holds it then                                         */
	uint32_t n_again;       /* length of both                                                      */
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

int onx_plan_forward(struct onx_builder *b, struct onx_err *e) ONX_MUST;        /* plan/forward.c  */
/* plan/again.c.  keep, asked: by life, read by backward, and by the caller.  onx_plan_again puts the step that makes
 * a tensor again in front of the one that is about to be added, where that was chosen and not done yet. */
int onx_plan_again_choose(struct onx_builder *b, const bool *keep, const bool *asked, struct onx_err *e) ONX_MUST;
int onx_plan_again(struct onx_builder *b, uint32_t tensor, struct onx_err *e) ONX_MUST;
int onx_plan_backward(struct onx_builder *b, struct onx_err *e) ONX_MUST;       /* plan/backward.c */

#endif
