/* report/read.c -- an event log, line by line. */
#include <math.h>
#include <string.h>
#include "base/io.h"
#include "base/json.h"
#include "report/read.h"

enum { MAX_BYTES = 1 << 30 };

/* Makes room for one more of n elements in an array of the run's arena. */
static void *room(struct onx_run *r, void *v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 64;
	void *grown;

	if (n < *cap)
		return v;
	grown = onx_alloc(&r->arena, want, size);
	if (!grown)
		return NULL;
	if (n)
		memcpy(grown, v, n * size);
	*cap = want;
	return grown;
}

static int add_point(struct onx_run *r, struct onx_series *s, double x, double y, struct onx_err *e)
{
	size_t cap_x = s->cap, cap_y = s->cap;
	double *px = room(r, s->x, s->n, &cap_x, sizeof *px), *py = room(r, s->y, s->n, &cap_y, sizeof *py);

	if (!px || !py)
		return onx_nomem(e, (double)cap_x * 2 * sizeof *px, "the event log");
	s->x = px;
	s->y = py;
	s->cap = cap_x;
	s->x[s->n] = x;
	s->y[s->n++] = y;
	return ONX_OK;
}

static int add_step(struct onx_run *r, const struct onx_json *j, struct onx_err *e)
{
	double step = onx_json_get_real(j, "step", NAN);
	int rc;

	if (!isfinite(step))
		return onx_fail(e, ONX_FORMAT, "a step event without a number 'step'");
	rc = add_point(r, &r->loss, step, onx_json_get_real(j, "loss", NAN), e);
	return rc < 0 ? rc : add_point(r, &r->rate, step, onx_json_get_real(j, "lr", NAN), e);
}

static int add_epoch(struct onx_run *r, const struct onx_json *j, struct onx_err *e)
{
	struct onx_epoch *v = room(r, r->epoch, r->n_epoch, &r->cap_epoch, sizeof *v);

	if (!v)
		return onx_nomem(e, (double)r->cap_epoch * sizeof *v, "the event log");
	r->epoch = v;
	v += r->n_epoch;
	v->epoch = onx_json_get_real(j, "epoch", NAN);
	if (!isfinite(v->epoch))
		return onx_fail(e, ONX_FORMAT, "an epoch event without a number 'epoch'");
	v->loss = onx_json_get_real(j, "loss", NAN);
	v->accuracy = onx_json_get_real(j, "accuracy", NAN);
	v->val_loss = onx_json_get_real(j, "val_loss", NAN);
	v->val_accuracy = onx_json_get_real(j, "val_accuracy", NAN);
	v->seconds = onx_json_get_real(j, "seconds", NAN);
	v->best = onx_json_get_bool(j, "best", false);
	r->n_epoch++;
	return ONX_OK;
}

static int add_event(struct onx_run *r, const struct onx_json *j, struct onx_err *e)
{
	const char *kind = onx_json_get_str(j, "event", NULL);

	if (!kind)
		return onx_fail(e, ONX_FORMAT, "not an event: no 'event'");
	if (strcmp(kind, "step") == 0)
		return add_step(r, j, e);
	if (strcmp(kind, "epoch") == 0)
		return add_epoch(r, j, e);
	if (strcmp(kind, "start") == 0) {
		r->started = true;
		r->epochs = onx_json_get_real(j, "epochs", NAN);
		r->batch = onx_json_get_real(j, "batch", NAN);
		r->lr = onx_json_get_real(j, "lr", NAN);
		r->weights = onx_json_get_real(j, "weights", NAN);
		r->peak_bytes = onx_json_get_real(j, "peak_bytes", NAN);
	} else if (strcmp(kind, "end") == 0) {
		r->ended = true;
		r->best_epoch = onx_json_get_real(j, "best_epoch", NAN);
		r->val_accuracy = onx_json_get_real(j, "val_accuracy", NAN);
		r->seconds = onx_json_get_real(j, "seconds", NAN);
		r->stopped = onx_json_get_bool(j, "stopped", false);
	}
	return ONX_OK;
}

static int read_lines(struct onx_run *r, const char *text, size_t n, struct onx_err *e)
{
	size_t line = 1, events = 0;

	for (size_t at = 0; at < n; line++) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t len = end ? (size_t)(end - (text + at)) : n - at;
		struct onx_json *j = NULL;
		struct onx_err was = { 0 };
		int rc = ONX_OK;

		if (len) {
			rc = onx_json_parse(text + at, len, &j, &was);
			if (rc == ONX_OK)
				rc = add_event(r, j, &was);
			else if (!end)
				r->cut = true;
			onx_json_free(j);
			events++;
		}
		if (rc < 0 && !r->cut)
			return onx_fail(e, rc, "%s:%zu: %s", r->name, line, was.text);
		at += len + (end != NULL);
	}
	if (!events)
		return onx_fail(e, ONX_FORMAT, "'%s' holds no events", r->name);
	return ONX_OK;
}

int onx_run_read(const char *path, struct onx_run *r, struct onx_err *e)
{
	struct onx_bytes b = { 0 };
	int rc = onx_read(path, MAX_BYTES, &b, e);

	if (rc < 0)
		return rc;
	r->best_epoch = r->val_accuracy = r->seconds = NAN;
	r->epochs = r->batch = r->lr = r->weights = r->peak_bytes = NAN;
	r->name = onx_dup(&r->arena, path && strcmp(path, "-") != 0 ? path : "standard input");
	rc = r->name ? read_lines(r, (const char *)b.data, b.len, e) : onx_nomem(e, 0, "the event log");
	onx_bytes_release(&b);
	return rc;
}

void onx_run_release(struct onx_run *r)
{
	onx_arena_release(&r->arena);
	*r = (struct onx_run){ 0 };
}
