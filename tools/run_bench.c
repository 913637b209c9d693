/* tools/run_bench.c -- how fast a model runs: synthetic inputs, median of the runs. */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include "base/json.h"
#include "run.h"
#include "steptimes.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* Even numbers in [-1, 1) for real types, over the whole range for those of 8 bits, empty texts, zeros for all
 * others: those may be indices. */
static int fill(struct onx_run_job *r, uint32_t k, struct onx_err *e)
{
	struct onx_feed *f = &r->feed[k];
	struct onx_view *v = &r->in[k];
	int rc = onx_count(f->shape.rank, f->shape.dim, &v->n, e);

	if (rc < 0)
		return rc;
	v->type = f->type;
	v->rank = f->shape.rank;
	v->dim = f->shape.dim;
	v->width = (uint8_t)onx_dtype_store(f->type, false);
	v->v = onx_alloc(&r->s.mem, v->n ? v->n : 1, v->width);
	if (!v->v)
		return onx_nomem(e, (double)v->n * v->width, "an input");
	for (size_t i = 0; onx_dtype_real(v->type) && i < v->n; i++)
		onx_view_put_real(v, i, (double)((i * 2654435761u + k) % 65536) / 32768 - 1);
	for (size_t i = 0; (v->type == ONX_INT8 || v->type == ONX_UINT8) && i < v->n; i++)
		((uint8_t *)v->v)[i] = (uint8_t)((i * 2654435761u + k) >> 8);
	for (size_t i = 0; v->type == ONX_STRING && i < v->n; i++)
		((const char **)v->v)[i] = "";
	return ONX_OK;
}

static int report(struct onx_run_job *r, double median, double low, double high, struct onx_err *e)
{
	struct rusage use;
	const struct onx_plan *p = r->s.plan;           /* NULL: all of it runs without */
	double rate = (double)r->batch / median;
	int64_t peak;
	int rc;

	getrusage(RUSAGE_SELF, &use);
	peak = (int64_t)use.ru_maxrss * 1024;
	if (r->w->common.json) {
		struct onx_json *o = onx_json_object();

		onx_json_real(o, "samples_per_s", rate);
		onx_json_int(o, "peak_bytes", peak);
		onx_json_int(o, "block_bytes", p ? (int64_t)p->bytes : 0);
		onx_json_int(o, "batch", r->batch);
		onx_json_int(o, "runs", r->o->bench);
		onx_json_int(o, "threads", onx_pool_threads(r->s.pool));
		if (!r->s.partly)
			onx_json_real(o, "multiply_adds_per_s", p->macs / median);
		rc = onx_json_print(o, true, &r->w->text, e);
		onx_json_free(o);
		onx_buf_str(&r->w->text, "\n");
		return rc;
	}
	onx_buf_fmt(&r->w->text, "%.4g samples/s (median of %lld runs of %lld with %d threads; slowest %.4g, "
		    "fastest %.4g)", rate, (long long)r->o->bench, (long long)r->batch,
		    onx_pool_threads(r->s.pool), (double)r->batch / high, (double)r->batch / low);
	if (!r->s.partly)
		onx_buf_fmt(&r->w->text, ", %.4g billion multiply-adds/s", p->macs / median * 1e-9);
	onx_buf_fmt(&r->w->text, "\npeak memory %.1f MiB, %.1f MiB of it planned\n", (double)peak / (1 << 20),
		    p ? (double)p->bytes / (1 << 20) : 0);
	return ONX_OK;
}

/* Adds the times of the run that has just ended. */
static void add_times(const struct onx_session *s, double *sum)
{
	const double *t = onx_exec_times(s->x);

	for (uint32_t i = 0; i < s->plan->n_step; i++)
		sum[i] += t[i];
}

static int run_often(struct onx_run_job *r, size_t n, double *took, double *step, struct onx_err *e)
{
	int rc = ONX_OK;

	for (size_t i = 0; rc == ONX_OK && i <= n; i++) {       /* the first one warms up */
		const double t = now();

		rc = onx_session_run(&r->s, r->feed, r->in, r->s.g->n_input, 0, e);
		if (rc < 0 || i == 0)
			continue;
		took[i - 1] = now() - t;
		if (step)
			add_times(&r->s, step);
	}
	return rc;
}

static int plan(struct onx_run_job *r, struct onx_err *e)
{
	int rc = onx_session_plan(&r->s, r->feed, r->s.g->n_input, e);

	if (rc == ONX_OK && r->s.partly)
		onx_say(&r->w->note, ONX_INFO, "runs without a plan%s: %s",
			r->s.x ? " behind what can be planned" : "", r->s.why.text);
	return rc;
}

/* Room for the times of the steps, where they are asked for. */
static int profile(struct onx_run_job *r, double **step, struct onx_err *e)
{
	int rc = ONX_OK;

	if (!r->o->profile)
		return ONX_OK;
	if (r->w->common.json)
		return onx_fail(e, ONX_USAGE, "--profile is a table for people, not for --json");
	if (!r->s.x)
		return onx_fail(e, ONX_UNSUP, "--profile is about steps of a plan, and this model runs without one");
	rc = onx_exec_profile(r->s.x, e);
	*step = ONX_NEWS(&r->s.mem, double, r->s.plan->n_step + 1);
	return rc == ONX_OK && !*step ? onx_nomem(e, 0, "the profile") : rc;
}

int onx_run_bench(struct onx_run_job *r, struct onx_err *e)
{
	const size_t n = (size_t)r->o->bench;
	double *took = ONX_NEWS(&r->s.mem, double, n), *step = NULL;
	int rc = took ? ONX_OK : onx_nomem(e, (double)n * sizeof *took, "the times");

	for (uint32_t k = 0; rc == ONX_OK && k < r->s.g->n_input; k++)
		if (!r->in[k].v)
			rc = fill(r, k, e);
	if (rc == ONX_OK)
		rc = plan(r, e);
	if (rc == ONX_OK)
		rc = profile(r, &step, e);
	if (rc == ONX_OK)
		rc = run_often(r, n, took, step, e);
	if (rc < 0)
		return rc;
	if (step) {
		rc = onx_step_times(r->s.plan, step, (double)n, &r->w->text, e);
		if (rc < 0)
			return rc;
	}
	qsort(took, n, sizeof *took, by_value);
	return report(r, n % 2 ? took[n / 2] : (took[n / 2 - 1] + took[n / 2]) / 2, took[0], took[n - 1], e);
}
