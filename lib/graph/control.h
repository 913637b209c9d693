/* graph/control.h -- If, Loop, Scan and SequenceMap as facts: their bodies' rules run turn by turn, with numbers
 * where all that a body reads is known (the interpreter, constant folding), else with types and shapes alone.
 * What decides -- a condition, the number of turns -- must be known. */
#ifndef ONX_CONTROL_H
#define ONX_CONTROL_H
#include "graph/facts.h"

struct onx_control {
	const struct onx_graph *g;
	const struct onx_node *n;       /* has bodies                                              */
	struct onx_infer *s;            /* in: filled; out: set here; geo: an onx_turns            */
	const struct onx_fact *fact;    /* of the values of g: for what the bodies capture         */
	const struct onx_facts_want *want;      /* precision, pool, what was decided               */
	struct onx_path *path;
};
/* Where a node stands in what was decided (facts.h). */
struct onx_path {
	const struct onx_decision *told;        /* or NULL                                         */
	struct onx_decision *made;      /* is written down, or NULL                                */
	size_t turn, room;              /* turns that were begun; of made->turn                    */
	bool guessed;
};
/* What was decided: which body ran how often.  plan/unroll.c writes out its nodes that often. */
struct onx_turns { uint32_t body; size_t n; };

/* ONX_UNSUP if something that decides is not known.  c->path->made is filled where it is there. */
int onx_control_infer(const struct onx_control *c, struct onx_err *e) ONX_MUST;

enum {
	ONX_TURNS = 1 << 24,            /* more turns of a loop are taken for one without an end */
	ONX_TURNS_PLANNED = 1 << 14     /* of a body that works on numbers computed while running */
};

#endif
