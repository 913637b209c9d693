/* graph/facts_i.h -- private to facts.c and facts_fold.c. */
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

/* Computes node id, whose inputs are known, now. */
int onx_facts_fold(struct onx_facts_work *w, uint32_t id, struct onx_err *e) ONX_MUST;

#endif
