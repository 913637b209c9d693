/* graph/probe.c -- shapes as functions of the batch. */
#include "graph/probe.h"
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "graph/facts.h"

/* Two primes, far apart and unlike any size that models use: a dim that is constant reads the same twice. */
enum { B1 = 7, B2 = 13 };

static int at_batch(const struct onx_graph *g, struct onx_consts *c, int64_t batch, int64_t size,
		    bool rebatch, bool guess, struct onx_facts **f, struct onx_err *e)
{
	struct onx_arena a = { 0 };
	struct onx_feed *feed;
	uint32_t n;
	int rc = onx_bind_inputs(g, batch, size, rebatch, &a, &feed, &n, e);
	if (rc == ONX_OK) {
		const struct onx_facts_want w = { .feed = feed, .n_feed = n, .guess = guess, .sizes = true };
		rc = onx_facts_make(g, c, &w, f, e);
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
