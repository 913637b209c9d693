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
	s->n_front = 0;
	s->partly = false;
}

static int make(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
{
	struct onx_plan_want want = { .loss = ONX_NONE, .threads = onx_pool_threads(s->pool),
				      .precise = s->precise };
	int rc;

	want.facts.feed = feed;
	want.facts.n_feed = n;
	want.facts.target = s->front;
	want.facts.n_target = s->n_front;
	want.facts.pool = s->pool;
	rc = onx_plan_make(s->g, &s->consts, &want, &s->plan, e);
	return rc < 0 ? rc : onx_exec_new(s->plan, NULL, &s->block, s->pool, &s->x, e);
}

/* The part in front of what cannot be planned. */
static int front(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
{
	const struct onx_facts_want want = { .feed = feed, .n_feed = n, .pool = s->pool };
	struct onx_err no = { 0 };
	int rc;

	forget(s);
	s->partly = true;
	rc = onx_front(s->g, &s->consts, &want, &s->mem, &s->front, &s->n_front, &no);
	if (rc == ONX_OK && s->n_front)
		rc = make(s, feed, n, &no);
	if (rc == ONX_UNSUP) {
		forget(s);
		s->partly = true;
		return ONX_OK;
	}
	if (rc < 0)
		*e = no;
	return rc;
}

int onx_session_plan(struct onx_session *s, const struct onx_feed *feed, uint32_t n, struct onx_err *e)
{
	int rc = ONX_OK;

	forget(s);
	s->why = (struct onx_err){ 0 };
	for (uint32_t i = 0; rc == ONX_OK && i < s->g->n_output; i++)
		if (s->g->value[s->g->output[i]].composite)
			rc = onx_fail(&s->why, ONX_UNSUP, "output '%s' is a sequence or a map",
				      s->g->value[s->g->output[i]].name);
	if (rc == ONX_OK)
		rc = make(s, feed, n, &s->why);
	if (rc == ONX_UNSUP)
		return front(s, feed, n, e);
	if (rc < 0)
		*e = s->why;
	return rc;
}

/* The numbers of the front, beside those of the inputs. */
static int with_front(struct onx_session *s, struct onx_feed *all, uint32_t n, struct onx_err *e)
{
	for (uint32_t i = 0; i < s->n_front; i++) {
		const struct onx_view *v = onx_exec_view(s->x, s->front[i]);
		struct onx_feed *f = &all[n + i];

		if (!v)
			return onx_fail(e, ONX_UNSUP, "'%s' was not computed", s->g->value[s->front[i]].name);
		*f = (struct onx_feed){ .value = s->front[i], .type = v->type, .shape.rank = v->rank, .known = v };
		for (int d = 0; d < v->rank; d++)
			f->shape.dim[d] = v->dim[d];
	}
	return ONX_OK;
}

static int evaluate(struct onx_session *s, const struct onx_feed *feed, const struct onx_view *in, uint32_t n,
		    uint64_t step, struct onx_err *e)
{
	struct onx_feed *all = onx_heap((size_t)n + s->n_front + 1, sizeof *all);
	const struct onx_facts_want want = { .feed = all, .n_feed = n + s->n_front, .evaluate = true,
					     .pool = s->pool, .step = step, .note = s->note };
	int rc = all ? ONX_OK : onx_nomem(e, (double)n * sizeof *all, "the inputs");

	onx_facts_free(s->known);
	s->known = NULL;
	for (uint32_t i = 0; rc == ONX_OK && i < n; i++) {
		all[i] = feed[i];
		all[i].known = &in[i];
	}
	if (rc == ONX_OK && s->n_front)
		rc = with_front(s, all, n, e);
	if (rc == ONX_OK)
		rc = onx_facts_make(s->g, &s->consts, &want, &s->known, e);
	onx_heap_free(all);
	return rc;
}

int onx_session_run(struct onx_session *s, const struct onx_feed *feed, const struct onx_view *in, uint32_t n,
		    uint64_t step, struct onx_err *e)
{
	if (s->x) {
		for (uint32_t i = 0; i < n; i++)
			onx_exec_lend(s->x, feed[i].value, in[i].v);
		onx_exec_forward(s->x, 0, step);
	}
	return s->partly ? evaluate(s, feed, in, n, step, e) : ONX_OK;
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
