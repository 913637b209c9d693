/* train/micro.c -- how many samples are computed at once.
 *
 * The whole batch, as long as its plans fit in what the budget leaves: the planner first makes more and more of the
 * forward pass again (plan/segment.c), which changes no bit.  Only then the batch is worked off in parts -- its
 * divisors, so that steps are whole -- down to one sample. */
#include <stdio.h>
#include "train/loop_i.h"

/* All plans for n samples at once, and for the rest that is left over at the end of a pass. */
static int plans(const struct onx_micro *f, size_t n, struct onx_err *e)
{
	const size_t taken = f->fixed + n * f->each;
	struct onx_exec *x;
	int rc = ONX_OK;
	for (int i = 0; rc == ONX_OK && i < f->n; i++) {
		struct onx_runner *r = f->part[i].runner;
		r->least = 0;
		r->budget = !f->mem ? 0 : f->mem > taken ? f->mem - taken : 1;
		rc = onx_runner_get(r, (int64_t)n, &x, NULL, e);
		if (rc == ONX_OK && f->part[i].samples % n)
			rc = onx_runner_get(r, (int64_t)(f->part[i].samples % n), &x, NULL, e);
	}
	return rc;
}

static int too_little(const struct onx_micro *f, struct onx_err *e)
{
	const size_t taken = f->fixed + f->each;
	size_t least = 0;
	for (int i = 0; i < f->n; i++)
		least = f->part[i].runner->least > least ? f->part[i].runner->least : least;
	if (taken + least <= f->mem)
		return ONX_NOMEM;               /* the system's memory is short, not the budget */
	return onx_fail(e, ONX_NOMEM, "one sample at a time takes %.1f MB (%.1f MB of it weights, what "
			"belongs to them, and data), over the budget of %.1f MB", (double)(taken + least) / 1e6,
			(double)taken / 1e6, (double)f->mem / 1e6);
}

int onx_micro_fit(const struct onx_micro *f, size_t batch, size_t *micro, struct onx_err *e)
{
	size_t n = batch;
	for (;;) {
		int rc = plans(f, n, e);
		if (rc == ONX_OK)
			*micro = n;
		if (rc != ONX_NOMEM || !f->mem)
			return rc < 0 ? onx_while(e, rc, "planning batches of %zu", n) : rc;
		if (n == 1)
			return too_little(f, e);
		do
			n--;
		while (batch % n != 0);
	}
}

void onx_micro_say(const struct onx_micro *f, const struct onx_plan *p, size_t micro, size_t batch, uint32_t bn,
		 const struct onx_note *note)
{
	char parts[80] = "", twice[120] = "", cuts[40] = "";
	if (micro < batch)
		snprintf(parts, sizeof parts, "batches are worked off %zu samples at a time", micro);
	if (p->n_segment)
		snprintf(cuts, sizeof cuts, ", in %u segments", p->n_segment + 1);
	if (f->mem && p->n_again && p->again > 0.005)
		snprintf(twice, sizeof twice, "%s%.0f %% of the forward pass is computed twice%s",
			 *parts ? ", " : "", 100 * p->again, cuts);
	if (*parts || *twice)
		onx_say(note, ONX_INFO, "memory budget: %s%s", parts, twice);
	if (micro < batch && bn)
		onx_say(note, ONX_INFO, "memory budget: %u BatchNormalization nodes take their statistics of %zu "
			"samples, not of %zu, so results differ from those of the whole batch", bn, micro, batch);
}
