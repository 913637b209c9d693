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
	bool precise;                   /* as in onx_plan_want; before onx_session_plan */
	struct onx_exec *x;
	struct onx_facts *known;        /* of onx_session_evaluate */
	struct onx_arena mem;           /* for whatever belongs to this session's inputs and outputs */
};

/* threads 0: one for each core. */
int onx_session_open(struct onx_session *s, struct onx_model *m, int64_t threads, struct onx_err *e) ONX_MUST;
/* Plans for these inputs (again, if there was a plan). */
int onx_session_plan(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
	ONX_MUST;
/* Computes everything now, without a plan: any control flow, sequences, maps.  All feeds are known. */
int onx_session_evaluate(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
	ONX_MUST;
/* A value after a run, or after onx_session_evaluate where that came later; NULL: not computed. */
const struct onx_view *onx_session_view(const struct onx_session *s, uint32_t value);
void onx_session_close(struct onx_session *s);

#endif
