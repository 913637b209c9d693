/* tools/trial.c -- running a graph on made-up numbers. */
#include <math.h>
#include <string.h>
#include "rewrite/batch.h"
#include "stage.h"
#include "trial.h"

enum { TOGETHER = 3 };                  /* samples that must be the same together and alone */

/* Numbers in [-1, 1) for real types, zeros for all others, which may be indices. */
static void fill(const struct onx_view *v, uint32_t input, int64_t batch, int64_t first)
{
	size_t per = batch > 0 ? v->n / (size_t)batch : v->n;

	for (size_t i = 0; onx_dtype_real(v->type) && i < v->n; i++) {
		uint64_t sample = (uint64_t)first + (per ? i / per : 0);
		uint64_t h = (sample * 1000003 + input) * 1000003 + (per ? i % per : i);

		h = (h ^ (h >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
		onx_view_put_real(v, i, (double)(h >> 40) / (1 << 23) - 1);
	}
}

static int copy_out(const struct onx_view *v, struct onx_arena *mem, struct onx_view *to, struct onx_err *e)
{
	int64_t *dim;

	if (!v)
		return onx_fail(e, ONX_UNSUP, "an output was not computed");
	*to = *v;
	dim = ONX_NEWS(mem, int64_t, ONX_RANK);
	to->v = onx_alloc(mem, v->n + 1, v->width);
	if (!dim || !to->v)
		return onx_nomem(e, (double)v->n * v->width, "an output");
	memcpy(dim, v->dim, (size_t)v->rank * sizeof *dim);
	to->dim = dim;
	if (v->n)
		memcpy(to->v, v->v, v->n * v->width);
	return ONX_OK;
}

/* Numbers for all feeds, which know them then. */
static int make_up(struct onx_feed *f, uint32_t n, int64_t batch, int64_t first, struct onx_arena *mem,
		   struct onx_err *e)
{
	for (uint32_t k = 0; k < n; k++) {
		struct onx_view v = { .type = f[k].type, .rank = f[k].shape.rank, .dim = f[k].shape.dim,
				      .width = (uint8_t)onx_dtype_store(f[k].type, false) };
		struct onx_view *known = ONX_NEW(mem, struct onx_view);
		int rc = onx_count(v.rank, v.dim, &v.n, e);

		if (rc < 0)
			return rc;
		v.v = onx_alloc(mem, v.n + 1, v.width);
		if (!v.v)
			return onx_nomem(e, (double)v.n * v.width, "an input");
		fill(&v, k, batch, first);
		if (!known)
			return onx_nomem(e, sizeof v, "an input");
		*known = v;
		f[k].known = known;
	}
	return ONX_OK;
}

/* Without a plan: control flow depends on the numbers. */
static int evaluate(const struct onx_graph *g, const struct onx_feed *in, uint32_t n, struct onx_consts *c,
		    struct onx_arena *mem, struct onx_trial *out, struct onx_err *e)
{
	const struct onx_facts_want want = { .feed = in, .n_feed = n, .evaluate = true };
	struct onx_facts *f = NULL;
	int rc = onx_facts_make(g, c, &want, &f, e);

	for (uint32_t i = 0; rc == ONX_OK && i < g->n_output; i++)
		if (!g->value[g->output[i]].composite)
			rc = copy_out(f->fact[g->output[i]].value, mem, &out->out[out->n++], e);
	onx_facts_free(f);
	return rc;
}

int onx_trial_run(const struct onx_graph *g, int64_t batch, int64_t first, struct onx_arena *mem,
		  struct onx_trial *out, struct onx_err *e)
{
	struct onx_plan_want want = { .loss = ONX_NONE, .threads = 1, .precise = true };
	struct onx_consts consts;
	struct onx_plan *plan = NULL;
	struct onx_exec *x = NULL;
	struct onx_block_mem block = { 0 };
	struct onx_feed *in = NULL;
	uint32_t n = 0;
	int rc = onx_bind_inputs(g, batch, 0, true, mem, &in, &n, e);

	onx_consts_init(&consts, g);
	want.facts.feed = in;
	want.facts.n_feed = n;
	if (rc == ONX_OK)
		rc = onx_plan_make(g, &consts, &want, &plan, e);
	if (rc == ONX_OK)
		rc = onx_exec_new(plan, NULL, &block, NULL, &x, e);
	out->n = 0;
	out->out = ONX_NEWS(mem, struct onx_view, (size_t)g->n_output + 1);
	if (rc == ONX_OK && !out->out)
		rc = onx_nomem(e, 0, "the outputs");
	const bool planned = rc != ONX_UNSUP || !in || !out->out || !onx_graph_has_bodies(g);
	if (rc == ONX_OK || !planned)
		rc = make_up(in, n, batch, first, mem, e);
	if (rc == ONX_OK && !planned) {
		*e = (struct onx_err){ 0 };
		rc = evaluate(g, in, n, &consts, mem, out, e);
	} else if (rc == ONX_OK) {
		for (uint32_t k = 0; k < n; k++)
			onx_exec_feed(x, in[k].value, in[k].known->v);
		onx_exec_forward(x, 0, 0);
	}
	for (uint32_t i = 0; rc == ONX_OK && planned && i < g->n_output; i++)
		if (!g->value[g->output[i]].composite)
			rc = copy_out(onx_exec_view(x, g->output[i]), mem, &out->out[out->n++], e);
	onx_exec_free(x);
	onx_plan_free(plan);
	onx_block_release(&block);
	onx_consts_release(&consts);
	return rc;
}

static int same_view(const struct onx_view *a, const struct onx_view *b, uint32_t i, double rtol,
		     double *worst, struct onx_err *e)
{
	struct onx_gap gap = { 0 };
	double top = 0;

	if (a->n != b->n)
		return onx_fail(e, ONX_SHAPE, "output %u has %zu numbers on one side and %zu on the other", i, a->n,
				b->n);
	if (a->type == ONX_STRING || b->type == ONX_STRING)
		return ONX_OK;
	for (size_t k = 0; k < b->n; k++)
		if (isfinite(onx_view_real(b, k)))
			top = fmax(top, fabs(onx_view_real(b, k)));
	for (size_t k = 0; k < a->n; k++) {
		double x = onx_view_real(a, k), y = onx_view_real(b, k);
		double d = fabs(x - y);

		if (isfinite(d) && top > 0)
			*worst = fmax(*worst, d / top);
		if (d <= rtol * top || (isnan(x) && isnan(y)) || x == y)
			continue;
		if (gap.bad++ == 0) {
			gap.at = k;
			gap.a = x;
			gap.b = y;
		}
	}
	return gap.bad ? onx_fail(e, ONX_NUMERIC, "output %u differs in %zu of %zu numbers (at %zu: %g, %g)", i,
				  gap.bad, a->n, gap.at, gap.a, gap.b) : ONX_OK;
}

int onx_trial_same(const struct onx_trial *a, const struct onx_trial *b, double rtol, double *worst,
		   struct onx_err *e)
{
	double gap = 0;

	if (a->n != b->n)
		return onx_fail(e, ONX_SHAPE, "%u outputs on one side, %u on the other", a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		int rc = same_view(&a->out[i], &b->out[i], i, rtol, &gap, e);

		if (rc < 0)
			return rc;
	}
	if (worst)
		*worst = gap;
	return ONX_OK;
}

/* Sample s of a trial of TOGETHER samples, as a trial of its own. */
static int one_of(const struct onx_trial *all, int64_t s, struct onx_arena *mem, struct onx_trial *one,
		  struct onx_err *e)
{
	one->n = all->n;
	one->out = ONX_NEWS(mem, struct onx_view, (size_t)all->n + 1);
	if (!one->out)
		return onx_nomem(e, 0, "the outputs");
	for (uint32_t i = 0; i < all->n; i++) {
		one->out[i] = all->out[i];
		one->out[i].n = all->out[i].n / TOGETHER;
		one->out[i].v = (char *)all->out[i].v + (size_t)s * one->out[i].n * all->out[i].width;
	}
	return ONX_OK;
}

static int together(void *ctx, const struct onx_graph *g, struct onx_err *e)
{
	struct onx_arena mem = { 0 };
	struct onx_trial all, one, alone;
	int rc = onx_trial_run(g, TOGETHER, 0, &mem, &all, e);

	(void)ctx;
	for (int64_t s = 0; rc == ONX_OK && s < TOGETHER; s++) {
		rc = one_of(&all, s, &mem, &one, e);
		if (rc == ONX_OK)
			rc = onx_trial_run(g, 1, s, &mem, &alone, e);
		if (rc == ONX_OK)
			rc = onx_trial_same(&one, &alone, 1e-4, NULL, e);
	}
	onx_arena_release(&mem);
	return rc;
}

int onx_open_batch(struct onx_work *w, bool *changed, struct onx_err *e)
{
	struct onx_graph *g = NULL;
	struct onx_buf log = { 0 };
	bool any = false;
	int rc = onx_graph_build(w->model, 0, &g, e);

	if (rc == ONX_OK)
		rc = onx_batch_free(g, together, NULL, &any, &log, e);
	if (rc == ONX_OK && any)
		rc = onx_graph_export(g, e);
	if (rc == ONX_OK && any) {
		onx_work_log(w, &log);
		onx_say(&w->note, ONX_INFO, "the batch of 1 in the file is open now");
	}
	if (rc == ONX_UNSUP && g) {
		onx_say(&w->note, ONX_INFO, "the batch of 1 in the file stays: what it means for others is not known "
			"(%s)", e->text);
		*e = (struct onx_err){ 0 };
		any = false;
		rc = ONX_OK;
	}
	onx_graph_free(g);
	onx_buf_release(&log);
	if (changed)
		*changed = any;
	return rc;
}
