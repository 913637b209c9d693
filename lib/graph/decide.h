/* graph/decide.h -- control flow that depends on the numbers: what there is of it, and what one batch decides.
 *
 * A plan needs to know which body an If takes and how often a Loop turns.  Where that is computed while running, it
 * is decided batch by batch: `front`, values that no such node is in front of, come from a plan of their own; from
 * there on the interpreter goes as far as the last thing that decides.  What was decided (onx_facts_want.told) is what
 * the batch is planned with. */
#ifndef ONX_DECIDE_H
#define ONX_DECIDE_H
#include "base/buf.h"
#include "graph/facts.h"

struct onx_open {
	uint32_t *node, n;              /* the nodes that decide by numbers                         */
	bool *plain;                    /* of each: its inputs alone say it, no body need run      */
	uint32_t *target, n_target;     /* values that have to be known                            */
	uint32_t *front, n_front;       /* values that a plan can compute for it                   */
	uint32_t *asker, n_asker;       /* the first nodes whose shapes depend on the numbers       */
	bool asks;                      /* there are: onx_ask                                       */
	bool any;                       /* there are such nodes, or it asks                         */
};

/* w: feeds with shapes alone.  ONX_UNSUP and the like as onx_facts_make with `guess`.  Lists live in the arena. */
int onx_open_find(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w, struct onx_arena *a,
		  struct onx_open *out, struct onx_err *e) ONX_MUST;
/* w: everything that is fed is known, the front or what is in front of it, and what varies.  *told: by node, for
 * onx_facts_want; lives in the arena. */
int onx_decide(const struct onx_graph *g, struct onx_consts *c, const struct onx_facts_want *w,
	       const struct onx_open *open, struct onx_arena *a, const struct onx_decision ***told, struct onx_err *e)
	ONX_MUST;
/* graph/ask.c: what a plan has to be told where shapes depend on the numbers (NonZero, a computed K of TopK): values
 * with their numbers, constants of the plan (feed.known) or fed to it before each run. */
struct onx_told { struct onx_feed feed; const struct onx_view *view; };
struct onx_ask {
	const struct onx_facts_want *shapes;    /* as the plan's                                      */
	const struct onx_facts_want *numbers;   /* everything that is fed is known, the front too     */
	const bool *weight;             /* by value: trains; NULL: nothing does                       */
};
/* The list lives in the arena. */
int onx_ask(const struct onx_graph *g, struct onx_consts *c, const struct onx_ask *ask, struct onx_arena *mem,
	    struct onx_told **told, uint32_t *n, struct onx_err *e) ONX_MUST;
/* What was decided as bytes: the same for the same, and only then. */
void onx_decision_key(const struct onx_graph *g, const struct onx_decision *const *told, struct onx_buf *out);

#endif
