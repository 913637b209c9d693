/* tools/session.h -- a model ready to run forward: graph, plan, memory and threads in one hand.
 * Zero-initialise, open, plan, run as often as wanted, close. */
#ifndef ONX_SESSION_H
#define ONX_SESSION_H
#include "exec/exec.h"
#include "model/model.h"

struct onx_session {
	struct onx_graph *g;
	struct onx_consts consts;
	struct onx_plan *plan;
	struct onx_block_mem block;
	struct onx_pool *pool;
	const struct onx_note *note;    /* is told when a loop takes long; or NULL                  */
	bool precise;                   /* as in onx_plan_want; before onx_session_plan */
	struct onx_exec *x;
	bool partly;                    /* what follows is in use, and why                          */
	struct onx_err why;
	struct onx_facts *known;        /* what is computed without a plan                          */
	uint32_t *front, n_front;       /* values of the plan that the rest reads                   */
	struct onx_arena mem;           /* for whatever belongs to this session's inputs and outputs */
};

/* threads 0: one for each core. */
int onx_session_open(struct onx_session *s, struct onx_model *m, int64_t threads, struct onx_err *e) ONX_MUST;
/* Plans for these inputs (again, if there was a plan); where not all can be planned -- control flow or shapes that
 * depend on the numbers, sequences and maps among the outputs -- what stands in front of it (s->partly; s->x NULL:
 * nothing). */
int onx_session_plan(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
	ONX_MUST;
/* One run; in: by feed, the numbers, in memory form.  What has no plan is computed without.  step: random nodes draw by
 * it. */
int onx_session_run(struct onx_session *s, const struct onx_feed *feed, const struct onx_view *in, uint32_t n,
		    uint64_t step, struct onx_err *e) ONX_MUST;
/* A value after a run; NULL: not computed. */
const struct onx_view *onx_session_view(const struct onx_session *s, uint32_t value);
void onx_session_close(struct onx_session *s);

#endif
