/* graph/control.h -- If, Loop, Scan and SequenceMap run here and now, where all they read is known: what the
 * interpreter and constant folding do.  A plan refuses what depends on numbers computed while running. */
#ifndef ONX_CONTROL_H
#define ONX_CONTROL_H
#include "graph/facts.h"

struct onx_control {
	const struct onx_graph *g;
	const struct onx_node *n;       /* has bodies                                              */
	struct onx_infer *s;            /* in: filled; out: set here, with numbers                 */
	const struct onx_fact *fact;    /* of the values of g: for what the bodies capture         */
	const struct onx_facts_want *want;      /* precision and pool                              */
};
/* ONX_UNSUP if something that decides is not known. */
int onx_control_run(const struct onx_control *c, struct onx_err *e) ONX_MUST;

enum { ONX_TURNS = 1 << 24 };           /* more turns of a loop are taken for one without an end */

#endif
