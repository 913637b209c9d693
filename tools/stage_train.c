/* tools/stage_train.c -- onnx-train. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "base/json.h"
#include "model/mark.h"
#include "objective.h"
#include "plan/plan.h"
#include "rewrite/straight.h"
#include "stage.h"
#include "steptimes.h"
#include "train/runner.h"

enum { DATA, SOURCE, PRESET, AUGMENT, TRAIN, LOG };
const struct onx_optset onx_train_sets[] = {
	[DATA] = { &onx_data_table, "data" }, [SOURCE] = { &onx_source_table, "data" },
	[PRESET] = { &onx_preset_table, "data" }, [AUGMENT] = { &onx_augment_table, "data" },
	[TRAIN] = { &onx_train_table, "train" }, [LOG] = { &onx_log_table, "train" }, { .table = NULL }
};

static void told(struct onx_work *w, const struct onx_train_result *r)
{
	const char *end = r->stopped ? "stopped" : r->early ? "ended early" : "done";

	onx_tty_line(w, NULL);
	if (r->val.n == 0)
		onx_say(&w->note, ONX_INFO, "%s after %llu epochs, %.1f s; training loss %.4g", end,
			(unsigned long long)r->epochs, r->seconds, onx_score_loss(&r->train));
	else if (r->val.n_class)
		onx_say(&w->note, ONX_INFO, "%s after %llu epochs, %.1f s; best is epoch %llu: validation "
			"accuracy %.2f %% (standard error %.2f %%), loss %.4g", end,
			(unsigned long long)r->epochs, r->seconds, (unsigned long long)r->best_epoch,
			onx_score_accuracy(&r->val) * 100, onx_score_accuracy_se(&r->val) * 100,
			onx_score_loss(&r->val));
	else
		onx_say(&w->note, ONX_INFO, "%s after %llu epochs, %.1f s; best is epoch %llu: validation loss "
			"%.4g, R squared %.4g", end, (unsigned long long)r->epochs, r->seconds,
			(unsigned long long)r->best_epoch, onx_score_loss(&r->val), onx_score_r2(&r->val));
}

static struct onx_train_ask ask_of(struct onx_work *w, struct onx_problem *p, struct onx_samples *s)
{
	const struct onx_log_opts *log = w->opt[LOG];

	return (struct onx_train_ask){
		.g = p->g, .obj = p->obj, .weight = p->weight, .fresh = p->fresh, .o = w->opt[TRAIN],
		.src = s->src, .loader = s->loader, .vsrc = s->vsrc, .vloader = s->vloader,
		.augment = w->opt[AUGMENT], .train = s->train, .val = s->val, .data_hash = s->hash,
		.checkpoint = log->checkpoint, .resume = log->resume, .pool = p->pool, .note = w->note,
		.progress = onx_tty_shown(w) ? onx_progress_line : NULL, .progress_ctx = w, .wide = p->wide };
}

static int loop(struct onx_work *w, struct onx_problem *p, struct onx_samples *s, struct onx_err *e)
{
	const struct onx_log_opts *log = w->opt[LOG];
	struct onx_train_ask ask = ask_of(w, p, s);
	struct onx_train_result r = { 0 };
	struct onx_events events = { .fd = -1 };
	int rc = ONX_OK, closed;

	if (log->events)
		rc = onx_events_open(&events, log->events, log->resume != NULL, e);
	if (rc < 0)
		return rc;
	ask.events = log->events ? &events : NULL;
	ask.stop = onx_stop_catch();
	rc = onx_train(&ask, &r, e);
	if (log->events) {
		struct onx_err late = { 0 };

		closed = onx_events_close(&events, &late);
		if (rc == ONX_OK && closed < 0) {
			*e = late;
			rc = closed;
		}
	}
	if (rc == ONX_OK)
		told(w, &r);
	return rc;
}

static int by_value(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static int bench_result(struct onx_work *w, double *seconds, size_t n, int64_t batch, const struct onx_bench *b,
			struct onx_err *e)
{
	struct rusage use;
	double rate;
	int rc = ONX_OK;

	qsort(seconds, n, sizeof *seconds, by_value);
	rate = (double)batch / (n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2);
	getrusage(RUSAGE_SELF, &use);
	if (w->common.json) {
		struct onx_json *j = onx_json_object();

		onx_json_real(j, "samples_per_s", rate);
		onx_json_int(j, "peak_bytes", (int64_t)use.ru_maxrss * 1024);
		onx_json_int(j, "planned_bytes", (int64_t)b->peak_bytes);
		onx_json_int(j, "micro_batch", (int64_t)b->micro);
		onx_json_real(j, "computed_twice", b->again);
		onx_json_int(j, "batch", batch);
		onx_json_int(j, "steps", (int64_t)n);
		rc = onx_json_print(j, true, &w->text, e);
		onx_json_free(j);
		onx_buf_str(&w->text, "\n");
	} else {
		onx_buf_fmt(&w->text, "%.4g samples/s (median of %zu steps of %lld samples)\npeak memory %.1f "
			    "MiB, %.1f MiB of it planned\n", rate, n, (long long)batch,
			    (double)use.ru_maxrss / 1024, (double)b->peak_bytes / (1 << 20));
	}
	return rc;
}

struct profile { struct onx_work *w; double runs; };

static int profile(void *ctx, const struct onx_plan *p, const double *seconds, struct onx_err *e)
{
	struct profile *to = ctx;

	return onx_step_times(p, seconds, to->runs, &to->w->text, e);
}

/* Speed on numbers that mean nothing: no data is opened and no model written. */
static int bench(struct onx_work *w, struct onx_problem *p, struct onx_err *e)
{
	const struct onx_log_opts *log = w->opt[LOG];
	const struct onx_train_opts *o = w->opt[TRAIN];
	const int64_t batch = onx_one_sample(p->g) ? 1 : o->batch;      /* as training has it */
	struct onx_samples none = { 0 };
	struct onx_train_ask ask;
	struct onx_feed *feed;
	struct profile to = { w, (double)log->bench };
	struct onx_bench b = { .steps = (int)log->bench, .seconds = ONX_NEWS(&w->mem, double, (size_t)log->bench),
			       .profile = log->profile ? profile : NULL, .ctx = &to };
	uint32_t n;
	int rc = b.seconds ? ONX_OK : onx_nomem(e, (double)log->bench * sizeof *b.seconds, "the times");

	if (rc == ONX_OK && log->profile && w->common.json)
		rc = onx_fail(e, ONX_USAGE, "--profile is a table for people, not for --json");

	/* bound before the loss adds its own input */
	if (rc == ONX_OK)
		rc = onx_bind_inputs(p->g, batch, 0, true, &w->mem, &feed, &n, e);
	if (rc == ONX_OK)
		rc = onx_problem_attach(p, o, NULL, o->loss >= ONX_LOSS_MSE, e);
	if (rc < 0)
		return rc;
	ask = ask_of(w, p, &none);
	rc = onx_train_bench(&ask, feed, n, &b, e);
	if (rc == ONX_OK)
		rc = bench_result(w, b.seconds, (size_t)log->bench, batch, &b, e);
	onx_model_free(w->model);
	w->model = NULL;
	return rc;
}

/* Weights that the file keeps in attributes of nodes are written with their nodes. */
static int write_attributes(struct onx_problem *p, struct onx_err *e)
{
	for (uint32_t v = 0; v < p->g->n_value; v++)
		if (p->weight[v] && (p->g->value[v].lifted || p->g->value[v].from_node))
			return onx_graph_export(p->g, e);
	return ONX_OK;
}

/* Weights in front of a node that lets no gradient through would train in name only. */
static int warn_of_blocks(struct onx_work *w, const struct onx_problem *p, struct onx_err *e)
{
	struct onx_block *block;
	char name[200];
	bool *wants;
	uint32_t n = 0;
	int rc = onx_plan_blocks(p->g, p->weight, &p->logits, 1, &w->mem, &block, &n, e);

	if (rc < 0 || n == 0 || (rc = onx_plan_wants(p->g, p->weight, &w->mem, &wants, e)) < 0)
		return rc;
	const struct onx_node *x = &p->g->node[block->node];
	const char *out = onx_straight_known(x->domain, x->type) ? " without --straight-through" : "";
	onx_node_text(p->g, block->node, name, sizeof name);
	if (!wants[p->logits])
		return onx_fail(e, ONX_USAGE, "no trainable weight has a gradient path to the loss%s: %s: %s; onnx-"
				"info --check says more", out, name, block->why);
	onx_say(&w->note, ONX_WARN, "%s: %s, so weights in front of it stay as they are%s; onnx-info --check "
		"says more", name, block->why, out);
	return ONX_OK;
}

static int train(struct onx_work *w, struct onx_problem *p, struct onx_err *e)
{
	const struct onx_train_opts *o = w->opt[TRAIN];
	struct onx_samples s = { 0 };
	struct onx_samples_ask ask = {
		.w = w, .g = p->g, .input = p->input, .n_input = p->n_input, .data = w->opt[DATA],
		.source = w->opt[SOURCE], .preset = w->opt[PRESET], .augment = w->opt[AUGMENT],
		.batch = o->batch, .threads = o->threads, .mem = o->mem, .seed = (uint64_t)o->seed, .wide = p->wide,
		.learn = true };
	int rc = onx_samples_open(&ask, &s, e);

	if (rc == ONX_OK)
		rc = onx_problem_attach(p, o, &s, s.src->task == ONX_TASK_REGRESS, e);
	if (rc == ONX_OK)
		rc = loop(w, p, &s, e);
	if (rc == ONX_OK)
		rc = write_attributes(p, e);
	if (rc == ONX_OK)
		rc = onx_samples_mark(&s, w->model, e);
	if (rc == ONX_OK)
		rc = onx_model_set_meta(w->model, ONX_MARK "head", NULL, e);    /* no longer untrained */
	onx_samples_close(&s);
	return rc;
}

int onx_train_check(struct onx_work *w, struct onx_err *e)
{
	const struct onx_data_opts *data = w->opt[DATA];
	const struct onx_log_opts *log = w->opt[LOG];

	return data->data || log->bench ? ONX_OK : onx_work_missing(w, DATA, "data", e);
}

int onx_stage_train(struct onx_work *w, struct onx_err *e)
{
	const struct onx_train_opts *o = w->opt[TRAIN];
	const struct onx_log_opts *log = w->opt[LOG];
	struct onx_problem p = { 0 };
	uint32_t n = 0;
	int rc = onx_train_check(w, e);

	if (rc == ONX_OK)
		rc = onx_problem_open(w, true, o->threads, &p, e);
	if (rc == ONX_OK && o->straight)
		rc = onx_straight_through(p.g, &n, e);
	if (rc == ONX_OK && o->straight)
		onx_say(&w->note, ONX_INFO, "straight through: %u node%s", n, n == 1 ? "" : "s");
	if (rc == ONX_OK)
		rc = warn_of_blocks(w, &p, e);
	if (rc == ONX_OK)
		rc = log->bench ? bench(w, &p, e) : train(w, &p, e);
	onx_problem_close(&p);
	return rc;
}
