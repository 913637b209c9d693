/* graph/facts_i.h -- private to facts.c, facts_fold.c and facts_partial.c. */
#ifndef ONX_FACTS_I_H
#define ONX_FACTS_I_H
#include "graph/facts.h"

struct onx_facts_work {                   /* what the functions below share */
	const struct onx_graph *g;
	struct onx_consts *consts;
	const struct onx_facts_want *want;
	struct onx_facts *f;
	bool *fed;              /* by value */
	bool small;             /* large constants are left out */
};

/* What a node reads, as s->in. */
int onx_facts_inputs(struct onx_facts_work *w, const struct onx_node *n, struct onx_infer *s,
		     struct onx_err *e) ONX_MUST;
/* partial: does the node read what was left out? */
bool onx_facts_behind(const struct onx_facts_work *w, uint32_t id);
/* partial: leaves out node id, which the fault *e says cannot be inferred, and clears the fault. */
int onx_facts_leave(struct onx_facts_work *w, uint32_t id, struct onx_err *e) ONX_MUST;
/* Computes node id, whose inputs are known, now. */
int onx_facts_fold(struct onx_facts_work *w, uint32_t id, struct onx_err *e) ONX_MUST;

#endif
