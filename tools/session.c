/* tools/session.c -- a model ready to run forward. */
#include "session.h"

int onx_session_open(struct onx_session *s, struct onx_model *m, int64_t threads, struct onx_err *e)
{
	int rc = onx_graph_build(m, 0, &s->g, e);

	if (rc < 0)
		return rc;
	onx_consts_init(&s->consts, s->g);
	return onx_pool_new((int)threads, &s->pool, e);
}

static void forget(struct onx_session *s)
{
	onx_exec_free(s->x);
	s->x = NULL;
	onx_plan_free(s->plan);
	s->plan = NULL;
	onx_facts_free(s->known);
	s->known = NULL;
}

int onx_session_plan(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
{
	struct onx_plan_want want = { .loss = ONX_NONE, .threads = onx_pool_threads(s->pool),
				      .precise = s->precise };
	int rc;

	forget(s);
	want.facts.feed = feed;
	want.facts.n_feed = n;
	want.facts.pool = s->pool;
	rc = onx_plan_make(s->g, &s->consts, &want, &s->plan, e);
	return rc < 0 ? rc : onx_exec_new(s->plan, NULL, &s->block, s->pool, &s->x, e);
}

int onx_session_evaluate(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
{
	const struct onx_facts_want want = { .feed = feed, .n_feed = n, .evaluate = true, .pool = s->pool };

	forget(s);
	return onx_facts_make(s->g, &s->consts, &want, &s->known, e);
}

const struct onx_view *onx_session_view(const struct onx_session *s, uint32_t value)
{
	return s->known ? s->known->fact[value].value : s->x ? onx_exec_view(s->x, value) : NULL;
}

void onx_session_close(struct onx_session *s)
{
	forget(s);
	onx_block_release(&s->block);
	if (s->g)
		onx_consts_release(&s->consts);
	onx_graph_free(s->g);
	onx_pool_free(s->pool);
	onx_arena_release(&s->mem);
	*s = (struct onx_session){ 0 };
}
