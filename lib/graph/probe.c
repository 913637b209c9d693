/* graph/probe.c -- shapes as functions of the batch. */
#include "graph/probe.h"
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "graph/facts.h"
#include "tensor/seq.h"
#include "base/rng.h"

/* Two primes, far apart and unlike any size that models use: a dim that is constant reads the same twice. */
enum { B1 = 7, B2 = 13 };

/* Shapes that depend on the numbers: those of some that are made up, all computed. */
static int made_up(const struct onx_graph *g, struct onx_consts *c, struct onx_feed *feed, uint32_t n,
		   struct onx_arena *a, struct onx_facts **f, struct onx_err *e)
{
	for (uint32_t i = 0; i < n; i++) {
		struct onx_view *v = onx_tensor_new(a, feed[i].type, feed[i].shape.rank, feed[i].shape.dim,
						    onx_dtype_store(feed[i].type, false));
		struct onx_rng r;
		if (!v || feed[i].type == ONX_STRING)
			return v ? ONX_UNSUP : onx_nomem(e, 64, "made-up numbers");
		onx_rng_init(&r, 1, ONX_RNG_TEST, i, 0);
		for (size_t k = 0; onx_dtype_real(v->type) && k < v->n; k++)
			onx_view_put_real(v, k, onx_rng_range(&r, -1, 1));
		feed[i].known = v;
	}
	const struct onx_facts_want w = { .feed = feed, .n_feed = n, .evaluate = true };
	return onx_facts_make(g, c, &w, f, e);
}

static int at_batch(const struct onx_graph *g, struct onx_consts *c, int64_t batch, int64_t size,
		    bool rebatch, bool guess, struct onx_facts **f, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_feed *feed;
	uint32_t n;
	int rc = onx_bind_inputs(g, batch, size, rebatch, &a, &feed, &n, e);
	if (rc == ONX_OK) {
		const struct onx_facts_want w = { .feed = feed, .n_feed = n, .guess = guess, .sizes = true };
		struct onx_err why = { 0 }, no = { 0 };
		rc = onx_facts_make(g, c, &w, f, &why);
		if (rc == ONX_UNSUP && guess && made_up(g, c, feed, n, &a, f, &no) == ONX_OK)
			rc = ONX_OK;
		else if (rc < 0)
			*e = why;
	}
	onx_arena_release(&a);
	return rc;
}

static void solve(const struct onx_fact *p, const struct onx_fact *q, struct onx_probe *o)
{
	o->known = p->type != ONX_UNDEFINED && p->shape.rank == q->shape.rank;
	o->type = p->type;
	o->rank = p->shape.rank;
	for (int d = 0; o->known && d < o->rank; d++) {
		const int64_t rise = q->shape.dim[d] - p->shape.dim[d];
		o->known = rise % (B2 - B1) == 0;               /* half a batch is no multiple of it */
		o->dim[d].times = rise / (B2 - B1);
		o->dim[d].plus = p->shape.dim[d] - o->dim[d].times * B1;
	}
}

int onx_probe(const struct onx_graph *g, int64_t size, bool rebatch, bool guess, struct onx_arena *a,
	      struct onx_probe **out, struct onx_err *e)
{
	struct onx_consts c;
	struct onx_facts *f1 = NULL, *f2 = NULL;
	onx_consts_init(&c, g);
	*out = ONX_NEWS(a, struct onx_probe, g->n_value + 1);
	int rc = *out ? ONX_OK : onx_nomem(e, g->n_value * sizeof **out, "shapes");
	if (rc == ONX_OK)
		rc = at_batch(g, &c, B1, size, rebatch, guess, &f1, e);
	if (rc == ONX_OK)
		rc = at_batch(g, &c, B2, size, rebatch, guess, &f2, e);
	for (uint32_t v = 0; rc == ONX_OK && v < g->n_value; v++)
		solve(&f1->fact[v], &f2->fact[v], &(*out)[v]);
	onx_facts_free(f1);
	onx_facts_free(f2);
	onx_consts_release(&c);
	return rc;
}

const char *onx_probe_text(const struct onx_probe *p, char *buf, size_t n)
{
	size_t at = (size_t)snprintf(buf, n, "[");
	for (int d = 0; d < p->rank && at < n; d++) {
		const struct onx_probe_dim x = p->dim[d];
		const char *comma = d ? "," : "";
		if (x.times == 0)
			at += (size_t)snprintf(buf + at, n - at, "%s%lld", comma, (long long)x.plus);
		else if (x.times == 1 && x.plus == 0)
			at += (size_t)snprintf(buf + at, n - at, "%sbatch", comma);
		else if (x.plus == 0)
			at += (size_t)snprintf(buf + at, n - at, "%s%lld*batch", comma, (long long)x.times);
		else
			at += (size_t)snprintf(buf + at, n - at, "%s%lld*batch%+lld", comma,
					       (long long)x.times, (long long)x.plus);
	}
	if (at < n)
		snprintf(buf + at, n - at, "]");
	return buf;
}
